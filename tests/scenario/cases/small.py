# SPDX-License-Identifier: ISC
"""The small cases in which servers differ (each was wrong in at least one of them)."""
import time

from harness.smtp import Sink, queue_id
from harness.suite import Suite, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"


def relay_to(sink, **conf):
    return Suite({"relayhost": "[127.0.0.1]:%d" % sink.port, "retry_schedule": "1s",
                  "minimal_backoff_time": "1s", **conf})


def test_one_message_arrives():
    with Suite() as s:
        qid = s.send("alice@example.test", HELLO)
        mail = s.wait_mail("alice")[0]
        assert b"Return-Path: <sender@src.test>" in mail
        assert b"Delivered-To: alice@example.test" in mail
        assert qid.encode() in mail, "queue id in the trace header"
        assert mail.endswith(b"\nhello\n")
        s.wait_log(qid + r": removed")
        s.wait_empty()


def test_two_messages_on_one_connection():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.send("a@src.test", ["alice@example.test"], HELLO)
        c.send("b@src.test", ["alice@example.test"], HELLO)
        assert len(s.wait_mail("alice", 2)) == 2


def test_rset_then_mail():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.envelope("a@src.test", ["bob@example.test"])
        c.expect(250, "RSET")
        assert c.cmd("DATA")[0] == 503
        c.send("b@src.test", ["alice@example.test"], HELLO)
        assert b"Return-Path: <b@src.test>" in s.wait_mail("alice")[0]
        assert s.mailbox("bob") == []


def test_second_ehlo_resets():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.envelope("a@src.test", ["bob@example.test"])
        c.ehlo("again.test")
        assert c.cmd("DATA")[0] == 503
        c.send("b@src.test", ["alice@example.test"], HELLO)
        s.wait_mail("alice")
        assert s.mailbox("bob") == []


def test_noop_anywhere():
    with Suite() as s, s.client() as c:
        c.expect(250, "NOOP")
        c.ehlo()
        c.expect(250, "NOOP with words")
        c.expect(250, "MAIL FROM:<a@src.test>")
        c.expect(250, "NOOP")
        c.expect(250, "RCPT TO:<alice@example.test>")
        c.expect(250, "NOOP")
        assert c.data(HELLO)[0] == 250
        s.wait_mail("alice")


def test_command_split_over_packets():
    with Suite() as s, s.client() as c:
        for part in (b"EH", b"LO clie", b"nt.test\r", b"\n"):
            c.raw(part)
            time.sleep(0.05)
        assert c.reply()[0] == 250
        for byte in b"MAIL FROM:<a@src.test>\r\n":
            c.raw(bytes([byte]))
        assert c.reply()[0] == 250


def test_whole_dialogue_in_one_packet():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.raw(b"MAIL FROM:<a@src.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n")
        assert [c.reply()[0] for _ in range(3)] == [250, 250, 354]
        c.raw(HELLO + b".\r\nQUIT\r\n")
        assert c.reply()[0] == 250
        assert c.reply()[0] == 221
        assert c.closed()
        s.wait_mail("alice")


def test_notify_failure_alone():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test>")
        c.expect(250, "RCPT TO:<alice@example.test> NOTIFY=FAILURE")
        assert c.data(HELLO)[0] == 250
        s.wait_mail("alice")


def test_harmless_words_are_accepted():
    with Suite() as s:
        s.send("alice@example.test", b"Subject: virus\r\n\r\nthe word virus\r\n",
               sender="updates@src.test")
        s.wait_mail("alice")


def test_eight_bit_that_is_not_utf8():
    with Suite() as s:
        body = b"Subject: x\r\n\r\n\xff\xfe\x80\xe9\r\n"
        s.send("alice@example.test", body)
        assert b"\xff\xfe\x80\xe9" in s.wait_mail("alice")[0]


def test_leading_dots_through_store_and_forward():
    body = b"Subject: dots\r\n\r\n.\x20one\r\n..two\r\n...\r\nend\r\n"
    with Sink() as sink, relay_to(sink) as s:
        s.send("x@far.test", body)
        s.send("alice@example.test", body)
        wait_for("a message at the sink", lambda: sink.messages)
        assert sink.messages[0].data.endswith(body.split(b"\r\n\r\n", 1)[1])
        assert s.wait_mail("alice")[0].endswith(b"\n. one\n..two\n...\nend\n")


def test_one_refused_recipient_of_three():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test>")
        c.expect(250, "RCPT TO:<alice@example.test>")
        assert "unknown" in c.expect(550, "RCPT TO:<nobody@example.test>").lower()
        c.expect(250, "RCPT TO:<bob@example.test>")
        assert c.data(HELLO)[0] == 250
        s.wait_mail("alice")
        s.wait_mail("bob")


def test_three_domains_in_one_mail():
    with Sink() as sink, relay_to(sink) as s:
        s.send(["x@one.test", "y@two.test", "alice@example.test"], HELLO)
        s.wait_mail("alice")
        wait_for("both at the sink",
                 lambda: sorted(r for m in sink.messages for r in m.rcpts) ==
                 ["x@one.test", "y@two.test"])


def test_4xx_then_success():
    tries = []

    def first_time_no(session, arg):
        tries.append(time.monotonic())
        return "451 4.7.1 come back later" if len(tries) == 1 else None
    with Sink({"rcpt": first_time_no}) as sink, relay_to(sink) as s:
        qid = s.send("x@far.test", HELLO)
        s.wait_log(qid + r": to=<x@far.test>.* status=deferred .*451 4.7.1 come back later")
        wait_for("delivery at the second try", lambda: sink.messages)
        s.wait_log(qid + r": to=<x@far.test>.* status=sent")
        s.wait_empty()
        assert len(sink.messages) == 1


def test_5xx_gives_one_bounce():
    with Sink({"rcpt": "550 5.1.1 no such user here"}) as sink, relay_to(sink) as s:
        s.send("x@far.test", HELLO, sender="alice@example.test")
        bounce = s.wait_mail("alice")[0]
        assert b"550 5.1.1 no such user here" in bounce
        assert b"Return-Path: <>" in bounce
        assert b"multipart/report" in bounce
        s.wait_empty()
        time.sleep(1)
        assert len(s.mailbox("alice")) == 1


def test_hold_outlives_any_lifetime():
    with Sink() as sink, relay_to(
            sink, maximal_queue_lifetime="1s",
            smtpd_recipient_restrictions="check_recipient_access static:HOLD") as s:
        qid = s.send("x@far.test", HELLO, sender="alice@example.test")
        time.sleep(3)
        assert [m["state"] for m in s.queue()] == ["hold"]
        assert s.mailbox("alice") == [] and not sink.messages
        s.adminctl("queue", "release", qid)
        wait_for("delivery after the release", lambda: sink.messages)


def test_help_and_vrfy():
    with Suite() as s, s.client() as c:
        c.ehlo()
        assert c.cmd("HELP")[0] == 214
        assert c.cmd("VRFY alice@example.test")[0] in (250, 252)
        assert c.cmd("EXPN list")[0] == 502
        assert c.cmd("FROBNICATE")[0] in (500, 502)


def test_quit_with_mail_in_flight():
    """QUIT pipelined behind the dot: the message is accepted and delivered."""
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.envelope("a@src.test", ["alice@example.test"])
        c.expect(354, "DATA")
        c.raw(HELLO + b".\r\nQUIT\r\n")
        code, text = c.reply()
        assert code == 250 and queue_id(text)
        assert c.reply()[0] == 221
        s.wait_mail("alice")


def test_disconnect_in_data_leaves_nothing():
    with Suite() as s:
        c = s.client()
        c.ehlo()
        c.envelope("a@src.test", ["alice@example.test"])
        c.expect(354, "DATA")
        c.raw(HELLO)
        c.close()
        s.wait_log("lost connection after DATA")
        assert s.queue() == [] and s.mailbox("alice") == []


def test_listing_of_ten_thousand():
    with Suite({"default_transport": "discard:", "smtpd_recipient_restrictions":
                "check_recipient_access static:HOLD",
                "smtpd_client_connection_count_limit": "0"}) as s, s.client() as c:
        c.ehlo()
        one = b"MAIL FROM:<a@src.test>\r\nRCPT TO:<x@far.test>\r\nDATA\r\n"
        for _ in range(10000):
            c.raw(one)
            assert [c.reply()[0] for _ in range(3)] == [250, 250, 354]
            c.raw(b"Subject: x\r\n\r\nx\r\n.\r\n")
            assert c.reply()[0] == 250
        assert len(s.queue()) == 10000
