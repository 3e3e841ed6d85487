# SPDX-License-Identifier: ISC
"""Packets between processes as an attacker would write them, from the tables in lib/ipc."""
import os
import re
import socket
import struct

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
HEADER = struct.Struct("<HHII")         # type, flags, length of the body, id
REPLY, MORE = 1, 2


def table(name, macro):
    """{name: number} of lib/ipc/NAME."""
    with open(os.path.join(TOP, "lib/ipc", name), encoding="utf-8") as f:
        return {m.group(1): int(m.group(2)) for m in
                re.finditer(r"^%s\((\w+),\s*(\d+)," % macro, f.read(), re.M)}


MESSAGES = table("messages.def", "IPC_MESSAGE")
FIELDS = table("fields.def", "IPC_FIELD")


def field(name, value):
    data = struct.pack("<Q", value) if isinstance(value, int) else value
    return struct.pack("<HH", FIELDS[name], len(data)) + data


def packet(message, *fields, id=7, flags=0):
    """packet("LOG_LINES", ("PID", 1), ("LINES", b"...")): one packet's bytes."""
    body = b"".join(field(*f) for f in fields)
    number = MESSAGES[message] if isinstance(message, str) else message
    return HEADER.pack(number, flags, len(body), id) + body


def malformed(message):
    """[(what, bytes)]: packets that no honest sibling sends."""
    good = packet(message, ("CODE", 0), ("TEXT", b"x"))
    return [
        ("empty", b"\0"),
        ("half a header", good[:7]),
        ("a longer length than it has", HEADER.pack(MESSAGES[message], 0, 60000, 1)),
        ("a shorter length than it has", HEADER.pack(MESSAGES[message], 0, 1, 1) + b"xxxxxx"),
        ("an unknown message", packet(60000)),
        ("a field that ends behind the packet", HEADER.pack(MESSAGES[message], 0, 4, 1) +
         struct.pack("<HH", FIELDS["CODE"], 65535)),
        ("an unknown field", HEADER.pack(MESSAGES[message], 0, 12, 1) +
         struct.pack("<HHQ", 65535, 8, 1)),
        ("a reply to nothing", packet(message, ("CODE", 0), flags=REPLY, id=0xffffffff)),
        ("a second greeting", packet("HELLO", ("VERSION", 1), ("ROLE", 3))),
        ("another version", packet("HELLO", ("VERSION", 77), ("ROLE", 1))),
        ("control characters", packet("LOG_LINES", ("PID", 1), ("LINES", b"\0\xff\xff"))),
        ("65,000 bytes of nothing", packet(message) + b"\0" * 65000),
    ]


def say(t, fd, data):
    """Sends one packet over a channel of t; the result is send()'s, None: that was its end."""
    try:
        return t.call("sendto", fd, data, len(data),
                      socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT, 0, 0)
    except (OSError, AssertionError):
        return None


def flood(t, fd, data, count):
    """The same packet `count` times without reading an answer: how many the kernel took."""
    batch, iov, msgs = 512, 65536, 65536 + 64
    t.poke(131072, data)
    t.poke(iov, struct.pack("<QQ", t.arena + 131072, len(data)))
    one = struct.pack("<QIxxxxQQQQixxxxIxxxx", 0, 0, t.arena + iov, 1, 0, 0, 0, 0)
    t.poke(msgs, one * batch)
    sent = idle = 0
    while sent < count and idle < 2000:
        try:
            r = t.call("sendmmsg", fd, t.arena + msgs, batch,
                       socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        except (OSError, AssertionError):
            break
        if r > 0:
            sent, idle = sent + r, 0
        elif r in (-11, -105):          # EAGAIN, ENOBUFS: it has not read yet
            idle += 1
        else:
            break                       # it closed the channel
    return sent
