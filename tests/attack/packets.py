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


# ---- packets by the grammar of messages.def ----

SETS = {
    "acceptor": {"smtpd", "submission", "localsmtp"},
    "writer": {"smtpd", "submission", "localsmtp", "bounce"},
    "deliverer": {"smtp", "lmtp", "mailbox", "bounce"},
    "asker": {"smtpd", "submission", "localsmtp", "lookupd", "smtp", "lmtp", "mailbox", "bounce"},
    "keyuser": {"smtpd", "submission", "localsmtp", "smtp", "lmtp"},
    "served": {"master", "qmgr", "dnsd", "lookupd", "logd", "certd", "authd"},
}


# Messages whose comment is prose.
TOKENS = {
    "EXPAND_ANSWER": "CODE [ DSN TEXT ] { RECIPIENT CLASS TRANSPORT NEXTHOP [ PATH QUOTA ] "
                     "[ DSN TEXT ] }",
    "AUTH_STEP": "JOB STATE [ DATA ] [ LOGIN DATA ] [ DSN TEXT ]",
}


def grammar():
    """{message: (from, to, handles, [tokens])}: the fields as the comment above a row has them."""
    with open(os.path.join(TOP, "lib/ipc/messages.def"), encoding="utf-8") as f:
        text = f.read()
    out, comment = {}, ""
    for m in re.finditer(r"/\*(.*?)\*/|IPC_MESSAGE\((\w+),\s*\d+,\s*(\w+),\s*(\w+),\s*\d,\s*\w+,"
                         r"\s*(\d)", text, re.S):
        if m.group(1) is not None:
            comment = m.group(1)
            continue
        words = re.sub(r"\([^()]*\)", " ", re.sub(r"\([^()]*\)", " ", comment))
        words = re.split(r"->|\. |:(?=\s)", words)[0]
        tokens = [t for t in re.findall(r"[A-Z][A-Z_]+|[\[\]{}]", words)
                  if t in "[]{}" or t in FIELDS]
        out[m.group(2)] = (m.group(3), m.group(4), int(m.group(5)),
                           TOKENS.get(m.group(2), " ".join(tokens)).split())
    return out


def may_say(sender, receiver, row):
    def among(role, word):
        return word == "any" or role == word or role in SETS.get(word, ())
    return among(sender, row[0]) and among(receiver, row[1])


NUMBERS = [0, 1, 2, 3, 4, 7, 8, 63, 64, 255, 4096, 65535, 65536, 1 << 24, 1 << 31, (1 << 32) - 1,
           1 << 32, 1 << 48, 1 << 63, (1 << 64) - 1]
TEXTS = [b"", b"x", b"alice@example.test", b"nobody@example.test", b"smtp", b"lmtp", b"mailbox",
         b"bounce", b"[127.0.0.1]:9", b"mx.example.test", b"example.test", b"list:mynetworks",
         b"list:mydestination", b"PLAIN", b"SCRAM-SHA-256", b"2.0.0", b"5.1.1", b"9.9.9",
         b"127.0.0.1", b"%s%n%x", b"\xff\xfe\x80", b"../../etc/shadow", b"a" * 255, b"b" * 1025,
         b"\"q\\\" q\"@example.test", b"@", b"a@", b"@[1.2.3.4]", b"users", b"domains", b"{",
         b"[]", b"x" * 4000, b"line\nbreak", b"nul\0nul"]


def kinds():
    with open(os.path.join(TOP, "lib/ipc/fields.def"), encoding="utf-8") as f:
        return {m.group(1): m.group(2) for m in
                re.finditer(r"^IPC_FIELD\((\w+),\s*\d+,\s*(\w+),", f.read(), re.M)}


KINDS = kinds()


def hostile(rnd, message, tokens, id=7, flags=0):
    """A packet with the fields of a message and values of no good will."""
    fields, i, open_at = [], 0, None
    while i < len(tokens):
        t = tokens[i]
        if t == "[" and rnd.random() < 0.4:
            i = tokens.index("]", i)
        elif t == "{":
            open_at = i
        elif t == "}" and rnd.random() < 0.4 and len(fields) < 60:
            i = open_at
        elif t not in "[]{}":
            fields.append(value(rnd, t))
        i += 1
    trick = rnd.random()
    if fields and trick < 0.06:
        fields.pop(rnd.randrange(len(fields)))
    elif fields and trick < 0.1:
        rnd.shuffle(fields)
    elif trick < 0.13:
        fields.append(value(rnd, rnd.choice(list(FIELDS))))
    data = bytearray(packet(message, *fields, id=id, flags=flags))
    if trick > 0.95 and len(data) > HEADER.size:
        data[rnd.randrange(HEADER.size, len(data))] ^= 1 << rnd.randrange(8)
    return bytes(data[:65536])


def value(rnd, name):
    kind = KINDS[name]
    if kind == "u64":
        return name, rnd.choice(NUMBERS) if rnd.random() < 0.4 else rnd.randrange(6)
    if kind == "text" or rnd.random() < 0.3:
        return name, rnd.choice(TEXTS)
    return name, rnd.randbytes(rnd.choice([0, 1, 2, 12, 34, 48, 64, 300, 2000]))
