# SPDX-License-Identifier: ISC
"""SMTP in: what is offered, and what the words of RFC and Postfix do."""
import re

from harness.smtp import Client, Sink
from harness.suite import Suite, free_port, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"


def keywords(c):
    return c.ehlo().split("\n")[1:]


def test_what_ehlo_offers():
    with Suite({"message_size_limit": "12345678", "smtpd_recipient_limit": "77"}) as s:
        with s.client() as c:
            offered = keywords(c)
            for word in ("PIPELINING", "SIZE 12345678", "8BITMIME", "SMTPUTF8", "DSN",
                         "ENHANCEDSTATUSCODES", "CHUNKING", "LIMITS RCPTMAX=77", "MT-PRIORITY",
                         "VRFY", "HELP"):
                assert any(line.startswith(word) for line in offered), (word, offered)
            assert "BINARYMIME" not in offered, "only if what follows can carry it"
            assert "STARTTLS" not in offered and not any(w.startswith("AUTH") for w in offered)
            assert re.search(r"^\S+$", c.expect(250, "HELO client.test")), "one line"


def test_keywords_can_be_withdrawn():
    with Suite({"smtpd_discard_ehlo_keywords": "chunking, dsn"}) as s, s.client() as c:
        offered = keywords(c)
        assert "CHUNKING" not in offered and "DSN" not in offered
        c.expect(250, "MAIL FROM:<a@src.test>")
        assert c.cmd("RCPT TO:<alice@example.test> NOTIFY=NEVER")[0] in (501, 555)
        c.raw(b"BDAT 5 LAST\r\nhello")
        assert c.reply()[0] in (500, 501, 502, 503)


def test_enhanced_codes_everywhere():
    with Suite() as s, s.client() as c:
        c.ehlo()
        for command in ("MAIL FROM:<a@src.test>", "RCPT TO:<alice@example.test>",
                        "RCPT TO:<nobody@example.test>", "RCPT TO:<@@>", "MAIL FROM:<b@src.test>",
                        "BOGUS", "RSET", "RCPT TO:<alice@example.test>", "DATA", "NOOP", "EXPN x",
                        "VRFY alice", "MAIL FROM:<a@src.test> BODY=9BIT", "QUIT"):
            code, text = c.cmd(command)
            assert re.match(r"^%d\.\d{1,3}\.\d{1,3} " % (code // 100), text), (command, code, text)


def test_helo_restrictions():
    with Suite({"smtpd_helo_required": "yes",
                "smtpd_helo_restrictions": "reject_invalid_helo_hostname, "
                "reject_non_fqdn_helo_hostname"}) as s:
        with s.client() as c:
            assert c.cmd("MAIL FROM:<a@src.test>")[0] == 503
        for name, verdict in (("nodots", 504), ("a..b", 501), ("-bad-.test", 501),
                              ("good.client.test", 250), ("[127.0.0.1]", 250)):
            with s.client() as c:
                code = c.cmd("EHLO " + name)[0]
                if code == 250:
                    c.expect(250, "MAIL FROM:<a@src.test>")
                    code = c.cmd("RCPT TO:<alice@example.test>")[0]
                assert code == verdict, (name, code)


def test_sender_and_recipient_restrictions():
    with Suite({"smtpd_sender_restrictions": "reject_non_fqdn_sender",
                "smtpd_recipient_restrictions": "reject_non_fqdn_recipient"}) as s:
        for sender, rcpt, verdict in (("a@nodots", "alice@example.test", 504),
                                      ("a@src.test", "alice@example", 504),
                                      ("", "alice@example.test", 250),
                                      ("a@src.test", "alice@example.test", 250)):
            with s.client() as c:
                c.ehlo()
                c.expect(250, "MAIL FROM:<%s>" % sender)
                assert c.cmd("RCPT TO:<%s>" % rcpt)[0] == verdict, (sender, rcpt)


def test_reject_at_once_without_delay_reject():
    with Suite({"smtpd_delay_reject": "no",
                "smtpd_sender_restrictions": "reject_non_fqdn_sender"}) as s, s.client() as c:
        c.ehlo()
        c.expect(504, "MAIL FROM:<a@nodots>")
        c.expect(250, "MAIL FROM:<a@src.test>")


def test_vrfy_and_expn_tell_nothing():
    with Suite() as s, s.client() as c:
        c.ehlo()
        assert c.cmd("VRFY alice@example.test") == c.cmd("VRFY nobody@example.test")
        assert c.cmd("VRFY alice@example.test")[0] == 252
        assert c.cmd("EXPN staff")[0] >= 500
    with Suite({"disable_vrfy_command": "yes"}) as s, s.client() as c:
        assert "VRFY" not in keywords(c)
        assert c.cmd("VRFY alice@example.test")[0] == 502


def test_mt_priority():
    with Suite({"relayhost": "[127.0.0.1]:9", "retry_schedule": "1h"}) as s:
        for value, priority in (("-9", 0), ("-3", 1), ("0", 2), ("4", 3), ("9", 4)):
            with s.client() as c:
                c.ehlo()
                qid = c.send("a@src.test", ["x@far.test"], HELLO, "MT-PRIORITY=" + value)
            message = wait_for("in the queue",
                               lambda: [m for m in s.queue() if m["id"] == qid])[0]
            assert message["priority"] == priority, (value, message)
        with s.client() as c:
            c.ehlo()
            for bad in ("10", "-10", "x", ""):
                assert c.cmd("MAIL FROM:<a@src.test> MT-PRIORITY=" + bad)[0] == 501, bad


def test_mt_priority_of_strangers_raises_nothing():
    with Suite({"mynetworks": "192.0.2.0/24"}) as s:
        s.adminctl("queue", "freeze", "all")
        with s.client() as c:
            c.ehlo()
            qid = c.send("a@src.test", ["alice@example.test"], HELLO, "MT-PRIORITY=9")
        message = wait_for("in the queue", lambda: [m for m in s.queue() if m["id"] == qid])[0]
        assert message["priority"] == 2, message


def test_bad_parameters():
    with Suite() as s, s.client() as c:
        c.ehlo()
        for bad in ("SIZE=x", "BODY=9BIT", "RET=SOME", "ENVID=", "NOSUCH=1", "SIZE=1 SIZE=1"):
            assert c.cmd("MAIL FROM:<a@src.test> " + bad)[0] in (501, 555), bad
        c.expect(250, "MAIL FROM:<a@src.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2By")
        for bad in ("NOTIFY=NEVER,FAILURE", "NOTIFY=SOON", "ORCPT=alice", "NOSUCH"):
            assert c.cmd("RCPT TO:<alice@example.test> " + bad)[0] in (501, 555), bad
        c.expect(250, "RCPT TO:<alice@example.test> NOTIFY=FAILURE,DELAY "
                 "ORCPT=rfc822;alice@example.test")
        assert c.data(HELLO)[0] == 250


def test_commands_out_of_order():
    with Suite() as s, s.client() as c:
        for command in ("RCPT TO:<alice@example.test>", "DATA"):
            assert c.cmd(command)[0] == 503, command
        c.ehlo()
        assert c.cmd("DATA")[0] == 503
        c.expect(250, "MAIL FROM:<a@src.test>")
        assert c.cmd("MAIL FROM:<b@src.test>")[0] == 503
        assert c.cmd("DATA")[0] in (503, 554)
        c.expect(250, "RCPT TO:<alice@example.test>")
        assert c.data(HELLO)[0] == 250


def test_listeners_with_settings_of_their_own():
    s = Suite(start=False)
    with s:
        inside = free_port()
        s.write_conf(listeners="smtp:inet:127.0.0.1:%d, inside:inet:127.0.0.1:%d" %
                     (s.port, inside), inside_message_size_limit="5555",
                     inside_smtpd_banner="inside.example.test hello")
        s.start()
        with s.client() as c:
            assert "SIZE 5555" not in c.ehlo()
        with Client(inside, greet=False) as c:
            assert "inside.example.test hello" in c.reply()[1]
            assert "SIZE 5555" in c.ehlo()


def test_smtputf8_mailbox():
    s = Suite(mailboxes=("alice", "j\u00fcrgen"))
    with s, s.client() as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@src.test>")[0] == 250
        assert c.cmd("RCPT TO:<j\u00fcrgen@example.test>")[0] >= 500, "without SMTPUTF8"
        c.expect(250, "RSET")
        c.expect(250, "MAIL FROM:<a@src.test> SMTPUTF8")
        c.expect(250, "RCPT TO:<j\u00fcrgen@example.test>")
        assert c.data("Subject: gr\u00fc\u00dfe\r\n\r\nhello\r\n".encode())[0] == 250
        mail = s.wait_mail("j\u00fcrgen")[0]
        assert b"UTF8SMTP" in mail and "gr\u00fc\u00dfe".encode() in mail


def test_bdat_in_chunks():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.envelope("a@src.test", ["alice@example.test"])
        body = b"Subject: chunks\r\n\r\n.not a dot\r\n.\r\nlast\r\n"
        for at in range(0, len(body), 7):
            part = body[at:at + 7]
            c.raw(b"BDAT %d%s\r\n%s" % (len(part), b" LAST" if at + 7 >= len(body) else b"", part))
            assert c.reply()[0] == 250
        mail = s.wait_mail("alice")[0]
        assert mail.endswith(b".not a dot\n.\nlast\n") or mail.endswith(body[19:]), mail[-60:]


def test_binarymime_when_it_can_be_carried():
    with Sink(ehlo=("CHUNKING", "BINARYMIME", "8BITMIME")) as sink, Suite({
            "smtpd_binarymime": "yes", "relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        with s.client() as c:
            assert "BINARYMIME" in keywords(c)
            c.envelope("a@src.test", ["x@far.test"], "BODY=BINARYMIME")
            assert c.cmd("DATA")[0] in (501, 503), "RFC 3030: BINARYMIME goes by BDAT only"
