# SPDX-License-Identifier: ISC
"""Reports: RFC 3461 parameters in, RFC 3464 reports out, one a failure."""
import email
import time

from harness.smtp import Sink
from harness.suite import Suite, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\nMessage-ID: <one@src.test>\r\n\r\nsecret body\r\n"


def failing(**conf):
    sink = Sink({"rcpt": "550 5.1.1 no"})
    return sink, Suite({"relayhost": "[127.0.0.1]:%d" % sink.port, "retry_schedule": "1s",
                        "minimal_backoff_time": "1s", **conf})


def report_of(mail):
    m = email.message_from_bytes(mail)
    assert m.get_content_type() == "multipart/report", m.get_content_type()
    assert m.get_param("report-type") == "delivery-status"
    parts = m.get_payload()
    assert parts[1].get_content_type() == "message/delivery-status"
    return m, parts


def test_failure_report_is_complete():
    sink, s = failing()
    with sink, s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<alice@example.test> RET=HDRS ENVID=env-1")
        c.expect(250, "RCPT TO:<x@far.test> NOTIFY=FAILURE ORCPT=rfc822;orig@far.test")
        assert c.data(HELLO)[0] == 250
        m, parts = report_of(s.wait_mail("alice")[0])
        assert m["Return-Path"] == "<>" and m["Auto-Submitted"] == "auto-replied"
        per_message, per_rcpt = parts[1].get_payload()[:2]
        assert per_message["Original-Envelope-Id"] == "env-1"
        assert "mx.example.test" in per_message["Reporting-MTA"]
        assert per_rcpt["Original-Recipient"].replace(" ", "") == "rfc822;orig@far.test"
        assert per_rcpt["Final-Recipient"].replace(" ", "") == "rfc822;x@far.test"
        assert per_rcpt["Action"] == "failed" and per_rcpt["Status"] == "5.1.1"
        assert "550 5.1.1 no" in per_rcpt["Diagnostic-Code"]
        assert parts[2].get_content_type() == "text/rfc822-headers"
        assert b"secret body" not in s.mailbox("alice")[0]
        assert b"one@src.test" in s.mailbox("alice")[0]


def test_ret_full_returns_the_content():
    sink, s = failing()
    with sink, s, s.client() as c:
        c.ehlo()
        c.send("alice@example.test", ["x@far.test"], HELLO, "RET=FULL")
        _, parts = report_of(s.wait_mail("alice")[0])
        assert parts[2].get_content_type() == "message/rfc822"
        assert b"secret body" in s.mailbox("alice")[0]


def test_notify_never_and_null_sender_get_none():
    sink, s = failing()
    with sink, s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<alice@example.test>")
        c.expect(250, "RCPT TO:<x@far.test> NOTIFY=NEVER")
        assert c.data(HELLO)[0] == 250
        c.send("", ["y@far.test"], HELLO)
        s.wait_empty()
        time.sleep(1)
        assert s.mailbox("alice") == []
        assert s.log().count("status=bounced") == 2


def test_never_a_bounce_of_a_bounce():
    """The bounce itself fails: the story ends there."""
    sink, s = failing()
    with sink, s:
        s.send("x@far.test", HELLO, sender="nobody@elsewhere.test")
        s.wait_log(r"to=<nobody@elsewhere\.test>.* status=bounced")
        s.wait_empty()
        assert s.log().count("status=bounced") == 2


def test_one_report_for_recipients_that_fail_together():
    sink, s = failing()
    with sink, s:
        s.send(["x@far.test", "y@far.test", "z@far.test"], HELLO, sender="alice@example.test")
        s.wait_mail("alice")
        s.wait_empty()
        _, parts = report_of(s.mailbox("alice")[0])
        reports = [m for mail in s.mailbox("alice") for m in report_of(mail)[1][1].get_payload()[1:]]
        assert len(reports) == 3
        assert len(s.mailbox("alice")) == 1


def test_success_report_for_local_delivery():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<alice@example.test>")
        c.expect(250, "RCPT TO:<bob@example.test> NOTIFY=SUCCESS")
        assert c.data(HELLO)[0] == 250
        s.wait_mail("bob")
        _, parts = report_of(s.wait_mail("alice")[0])
        assert parts[1].get_payload()[1]["Action"] == "delivered"


def test_success_is_relayed_when_the_next_hop_has_no_dsn():
    with Sink() as sink, Suite({"relayhost": "[127.0.0.1]:%d" % sink.port}) as s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<alice@example.test>")
        c.expect(250, "RCPT TO:<x@far.test> NOTIFY=SUCCESS")
        assert c.data(HELLO)[0] == 250
        _, parts = report_of(s.wait_mail("alice")[0])
        assert parts[1].get_payload()[1]["Action"] == "relayed"


def test_delay_warning_comes_once():
    with Sink({"mail": "451 4.3.0 not now"}) as sink, Suite(
            {"relayhost": "[127.0.0.1]:%d" % sink.port, "retry_schedule": "1s",
             "minimal_backoff_time": "1s", "delay_warning_time": "2s"}) as s:
        s.send("x@far.test", HELLO, sender="alice@example.test")
        _, parts = report_of(s.wait_mail("alice", seconds=20)[0])
        assert parts[1].get_payload()[1]["Action"] == "delayed"
        time.sleep(3)
        assert len(s.mailbox("alice")) == 1
        assert len(s.queue()) == 1, "still being tried"


def test_expired_mail_is_returned():
    with Sink({"mail": "451 4.3.0 not now"}) as sink, Suite(
            {"relayhost": "[127.0.0.1]:%d" % sink.port, "retry_schedule": "1s",
             "minimal_backoff_time": "1s", "maximal_queue_lifetime": "3s"}) as s:
        s.send("x@far.test", HELLO, sender="alice@example.test")
        _, parts = report_of(s.wait_mail("alice", seconds=30)[0])
        assert parts[1].get_payload()[1]["Action"] == "failed"
        assert b"451 4.3.0 not now" in s.mailbox("alice")[0]
        s.wait_empty()


def test_A11_report_fields_cannot_be_forged():
    """A remote reply with control bytes stays one field of the report and one line of the log."""
    evil = "550 5.1.1 no\rAction: delivered\x00\x1b[2J"
    with Sink({"rcpt": evil}) as sink, Suite({"relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        s.send("x@far.test", HELLO, sender="alice@example.test")
        try:
            mail = s.wait_mail("alice", seconds=10)[0]
        except AssertionError:
            s.wait_log("status=deferred")       # a reply with such bytes may count as garbage
            return
        _, parts = report_of(mail)
        assert parts[1].get_payload()[1]["Action"] == "failed"
        assert b"\x1b" not in mail.split(b"message/rfc822")[0]
        assert "\x1b" not in s.log()
