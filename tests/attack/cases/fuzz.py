# SPDX-License-Identifier: ISC
"""
Every decoder between two processes, from both ends, in the living suite.

A role is taken over; it says what messages.def lets it say, and answers what it
is asked, with fields of hostile values. Nobody else may fall, and mail must go
through afterwards. Run with a build that has sanitizers too, a wrong step in a
sibling is its end and so is seen.
"""
import os
import random
import struct
import threading
import time

from harness.suite import alive, wait_for
from packets import HEADER, MESSAGES, REPLY, grammar, hostile, may_say, say
from taken import AttackedSuite, Out

SECONDS = float(os.environ.get("ATTACK_FUZZ_SECONDS", "4"))
ROWS = grammar()
NAMES = {n: name for name, n in MESSAGES.items()}
# What answers what, where it is not NAME_ANSWER or ACK.
ANSWERS = {"ACCESS": "TABLE_ANSWER", "TABLE_GET": "TABLE_ANSWER", "DNS_LOOKUP": "DNS_ANSWER",
           "KEY_SIGN": "KEY_SIGNED", "AUTH_BEGIN": "AUTH_STEP", "AUTH_MORE": "AUTH_STEP",
           "SEGMENT_WANT": "SEGMENT", "ACCOUNT_GET": "ACCOUNT_ANSWER",
           "ROUTE_CHECK": "ROUTE_CHECK_ANSWER", "EXPAND": "EXPAND_ANSWER"}


def traffic(s, stop):
    """Honest mail, so that there is something to be asked."""
    n = 0
    while not stop.is_set():
        n += 1
        try:
            with s.client(timeout=2) as c:
                c.ehlo()
                c.send("a%d@src.test" % n, ["alice@example.test" if n % 3 else "x@far.test"],
                       b"Subject: t\r\n\r\n%d\r\n" % n)
        except (OSError, AssertionError, EOFError):
            time.sleep(0.02)


def questions(t, fd):
    """[(message, id)] that wait on a channel."""
    out = []
    room = Out(65536)
    for _ in range(8):
        r = t.call("recvfrom", fd, room, 65536, 0x40, 0, 0)
        if r < HEADER.size:
            break
        number, flags, _, id_ = HEADER.unpack(room.data[:HEADER.size])
        if not flags & REPLY and number in NAMES:
            out.append((NAMES[number], id_))
    return out


def lie(rnd, t, peer, fd):
    for asked, id_ in questions(t, fd):
        answer = ANSWERS.get(asked, "ACK")
        for _ in range(rnd.choice([1, 1, 2])):
            say(t, fd, hostile(rnd, answer, ROWS[answer][3], id=id_,
                               flags=REPLY | (rnd.random() < 0.1) * 2))
    said = [m for m, row in ROWS.items() if may_say(t.role, peer, row)
            and m not in ("HELLO", "ADMIN", "LEAVING")]
    for _ in range(6):
        m = rnd.choice(said)
        say(t, fd, hostile(rnd, m, ROWS[m][3], id=rnd.randrange(1, 60)))


def fuzz(role, spared=()):
    """A process of `role` lies for SECONDS; the others but `spared` stay who they are."""
    seed = struct.unpack("<I", os.urandom(4))[0]
    rnd = random.Random(seed)
    print("  seed %d" % seed)
    with AttackedSuite(roles=(role,), conf={
            "smtpd_workers": "2", "smtp_connect_timeout": "1s",
            "relayhost": "[127.0.0.1]:9"}) as s:
        before = {p["pid"]: p["role"] for p in s.processes()
                  if p["pid"] and p["role"] != role and p["role"] not in spared}
        stop = threading.Event()
        honest = threading.Thread(target=traffic, args=(s, stop))
        honest.start()
        t, said, rounds = s.taken(role), 0, 0
        end = time.monotonic() + SECONDS
        try:
            while time.monotonic() < end:
                rounds += 1
                try:
                    for peer, fds in t.channels().items():
                        if peer != "master":
                            for fd in fds:
                                lie(rnd, t, peer, fd)
                                said += 1
                    t.go_on()
                except (OSError, AssertionError):
                    # Its own end: a writer that qmgr cut off, or master's patience.
                    t = s.taken(role)
                fallen = [r for p, r in before.items() if not alive(p)]
                assert not fallen, "seed %d: %s fell" % (seed, fallen)
        finally:
            stop.set()
            honest.join()
        print("  %d rounds, %d channels lied to" % (rounds, said))
        assert said > 5
        if alive(t.pid):
            os.kill(t.pid, 9)       # what it remembers of this is nobody's concern
        s.doors[role].close()
        wait_for("mail goes through", lambda: delivered(s), 40, 0.5)


def delivered(s):
    try:
        s.send("bob@example.test", b"Subject: after\r\n\r\nTKafter\r\n")
    except (OSError, AssertionError, EOFError):
        return False
    return any(b"TKafter" in m for m in s.mailbox("bob"))


def test_A24_fuzz_smtpd():
    fuzz("smtpd")


def test_A24_fuzz_lookupd():
    fuzz("lookupd")


def test_A24_fuzz_dnsd():
    fuzz("dnsd")


def test_A24_fuzz_smtp():
    fuzz("smtp")


def test_A24_fuzz_mailbox():
    fuzz("mailbox")


def test_A24_fuzz_bounce():
    fuzz("bounce")


def test_A24_fuzz_certd():
    fuzz("certd")


def test_A24_fuzz_authd():
    fuzz("authd")


def test_A24_fuzz_qmgr():
    """Whom it cuts off is replaced: writers are its to lose."""
    fuzz("qmgr", spared=("smtpd", "bounce"))
