# SPDX-License-Identifier: ISC
"""A1, A2: what ends a message, and what we pass on."""
import itertools
import re
import time

from harness.smtp import Client, Sink
from harness.suite import Suite, wait_for

SECOND = (b"MAIL FROM:<evil@src.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
          b"Subject: smuggled\r\n\r\nsmuggled\r\n.\r\n")
ENDINGS = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\n.\r",
           b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n.\r\x00\n", b"\r\r\n.\r\r\n"]


def attempt(suite, ending, split=None):
    """First message with a false end of data, the second behind it, then a true end."""
    with Client(suite.port) as c:
        c.ehlo()
        c.envelope("a@src.test", ["alice@example.test"])
        c.expect(354, "DATA")
        stream = b"Subject: first\r\n\r\nfirst" + ending + SECOND
        cuts = [stream] if split is None else [stream[:split], stream[split:]]
        for part in cuts:
            try:
                c.raw(part)
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.002)
        replies = []
        try:
            c.s.settimeout(0.3)
            while True:
                replies.append(c.reply()[0])
        except (OSError, EOFError, AssertionError):
            pass
        return replies


def nothing_for_bob(suite, name):
    assert suite.mailbox("bob") == [], "smuggled by " + name
    assert "evil@src.test" not in suite.log(), "second envelope taken by " + name


def test_A1_false_ends_of_data():
    with Suite() as s:
        for ending in ENDINGS:
            attempt(s, ending)
            nothing_for_bob(s, repr(ending))


def test_A1_false_ends_split_at_every_byte():
    with Suite({"smtpd_client_connection_count_limit": "0"}) as s:
        base = len(b"Subject: first\r\n\r\nfirst")
        for ending in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r"):
            for at in range(base - 1, base + len(ending) + 3):
                attempt(s, ending, at)
                nothing_for_bob(s, "%r split at %d" % (ending, at))


def test_A1_bare_newline_is_refused():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.envelope("a@src.test", ["alice@example.test"])
        c.expect(354, "DATA")
        c.raw(b"Subject: x\r\n\r\nbare\nline\r\n.\r\n")
        code, text = c.reply()
        assert code in (521, 550), (code, text)
        assert s.queue() == [] and s.mailbox("alice") == []


def test_A1_after_bdat():
    """Content of BDAT is counted: what looks like an end in it is content."""
    with Suite({"smtpd_forbid_bare_newline": "no"}) as s, s.client() as c:
        c.ehlo()
        c.envelope("a@src.test", ["alice@example.test"])
        content = b"Subject: x\r\n\r\nfirst\r\n.\r\n" + SECOND
        c.raw(b"BDAT %d LAST\r\n" % len(content) + content)
        assert c.reply()[0] == 250
        mail = s.wait_mail("alice")[0]
        assert b"Subject: smuggled" in mail
        nothing_for_bob(s, "BDAT")


def test_A2_no_bare_cr_or_lf_goes_out():
    with Sink() as sink, Suite({"relayhost": "[127.0.0.1]:%d" % sink.port,
                                "smtpd_forbid_bare_newline": "no",
                                "smtpd_client_connection_count_limit": "0"}) as s:
        sent = 0
        pieces = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"a\rb", b"a\nb", b"\r\r\n"]
        for piece in pieces:
            with s.client() as c:
                c.ehlo()
                c.envelope("a@src.test", ["x@far.test"])
                content = b"Subject: x\r\n\r\none" + piece + b"two\r\n"
                c.raw(b"BDAT %d LAST\r\n" % len(content) + content)
                if c.reply()[0] == 250:
                    sent += 1
        wait_for("%d at the sink" % sent, lambda: len(sink.messages) >= sent)
        assert len(sink.messages) == sent
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", sink.raw), "bare CR or LF sent"


def test_A1_many_messages_are_counted():
    """Every split of a valid dialogue gives exactly the messages that are in it."""
    with Suite({"smtpd_client_connection_count_limit": "0"}) as s:
        text = (b"MAIL FROM:<a@src.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n")
        body = b"Subject: n\r\n\r\n..x\r\n.\r\n"
        count = 0
        for size in itertools.chain(range(1, 12), (40, 97)):
            with s.client() as c:
                c.ehlo()
                for part in (text, body):
                    for i in range(0, len(part), size):
                        c.raw(part[i:i + size])
                    replies = 3 if part is text else 1
                    got = [c.reply()[0] for _ in range(replies)]
                    assert got == ([250, 250, 354] if part is text else [250]), (size, got)
                count += 1
        assert len(s.wait_mail("alice", count)) == count
