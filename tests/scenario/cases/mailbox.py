# SPDX-License-Identifier: ISC
"""Delivery into Maildirs."""
import os
import stat

from harness.smtp import Sink
from harness.suite import Skip, Suite, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"


def test_the_maildir_is_made_with_tight_rights():
    with Suite() as s:
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")
        for sub in ("new", "cur", "tmp"):
            st = os.stat(os.path.join(s.mail, "alice", sub))
            assert stat.S_IMODE(st.st_mode) == 0o700, sub
        # The group may go through to maildirsize, and see no name.
        st = os.stat(os.path.join(s.mail, "alice"))
        assert stat.S_IMODE(st.st_mode) == 0o710
        assert stat.S_IMODE(os.stat(s.mail).st_mode) & 0o027 == 0
        new = os.path.join(s.mail, "alice", "new")
        st = os.stat(os.path.join(new, os.listdir(new)[0]))
        assert stat.S_IMODE(st.st_mode) == 0o600
        assert os.listdir(os.path.join(s.mail, "alice", "tmp")) == []


def test_header_in_front():
    with Suite({"virtual_alias_maps": "inline:{info@example.test=alice@example.test}"}) as s:
        s.send("info@example.test", HELLO)
        mail = s.wait_mail("alice")[0]
        head = mail.split(b"\nFrom: a@src.test")[0]
        assert b"Return-Path: <sender@src.test>" in head
        assert b"Delivered-To: alice@example.test" in head
        assert b"X-Original-To: info@example.test" in head
        assert b"Received: from client.test" in head and b"with ESMTP id" in head


def test_A19_links_are_not_followed():
    if os.geteuid() != 0:
        raise Skip("needs root to plant a link in the store")
    with Suite() as s:
        victim = os.path.join(s.dir, "victim")
        os.mkdir(victim, 0o777)
        os.chmod(victim, 0o777)
        os.symlink(victim, os.path.join(s.mail, "alice"))
        qid = s.send("alice@example.test", HELLO)
        s.wait_log(qid + r": to=<alice@example.test>.* status=(deferred|bounced)")
        assert os.listdir(victim) == []


def test_quota_is_kept():
    with Suite({"virtual_mailbox_limit": "2000"}) as s:
        s.send("alice@example.test", HELLO + b"x" * 900 + b"\r\n")
        s.wait_mail("alice")
        big = HELLO + b"x" * 980 + b"\r\n"
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<bob@example.test>")
            code, _ = c.cmd("RCPT TO:<alice@example.test>")
            if code == 250:
                code, _ = c.data(big)
                assert code == 250
                s.wait_log(r"to=<alice@example.test>.* dsn=[45]\.2\.2")
            else:
                assert code in (452, 552)
        assert len(s.mailbox("alice")) == 1


def full_mailbox(s):
    """alice has more than she may: the limit went down below what she has."""
    s.send("alice@example.test", HELLO + b"x" * 900 + b"\r\n")
    s.wait_mail("alice")
    s.write_conf(virtual_mailbox_limit="1000")
    s.adminctl("system", "reload")


def rcpt_alice(s):
    with s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<bob@example.test>")
        return c.cmd("RCPT TO:<alice@example.test>")


def test_a_full_mailbox_is_refused_at_rcpt():
    with Suite({"virtual_mailbox_limit": "2000"}) as s:
        full_mailbox(s)
        size = os.path.join(s.mail, "alice", "maildirsize")
        assert stat.S_IMODE(os.stat(size).st_mode) == 0o640
        assert os.stat(size).st_uid == os.stat(s.mail).st_uid
        code, text = rcpt_alice(s)
        assert code == 452 and text.startswith("4.2.2 "), (code, text)
        assert "quotas are checked at delivery" not in s.log()


def test_folders_that_nobody_else_may_enter_are_checked_at_delivery():
    if os.geteuid() != 0:
        raise Skip("needs root: an ordinary user's lookupd is the folders' owner")
    with Suite({"virtual_mailbox_limit": "2000"}) as s:
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")
        os.chmod(os.path.join(s.mail, "alice"), 0o700)
        full_mailbox(s)
        code, text = rcpt_alice(s)
        assert code == 250, (code, text)
        s.send("alice@example.test", HELLO)
        s.wait_log(r"to=<alice@example.test>.* dsn=[45]\.2\.[23]")


def test_aliases_fan_out_without_doubles():
    with Suite({"virtual_alias_maps": "inline:{{all@example.test="
                "alice@example.test,bob@example.test,alice@example.test}}"}) as s:
        s.send(["all@example.test", "alice@example.test"], HELLO)
        s.wait_mail("alice")
        s.wait_mail("bob")
        s.wait_empty()
        assert len(s.mailbox("alice")) == 1 and len(s.mailbox("bob")) == 1


def test_alias_loop_is_a_clear_failure():
    with Suite({"virtual_alias_maps": "inline:{a@example.test=b@example.test, "
                "b@example.test=a@example.test}"}) as s:
        s.send("bob@example.test", HELLO)
        s.wait_mail("bob")
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<bob@example.test>")
            c.cmd("RCPT TO:<a@example.test>")
            c.expect(250, "RCPT TO:<alice@example.test>")
            assert c.data(HELLO)[0] == 250
        s.wait_mail("alice")


def test_a_large_message_arrives_whole():
    body = b"Subject: big\r\n\r\n" + b"".join(b"%070d\r\n" % i for i in range(70000))
    with Suite() as s:
        s.send("alice@example.test", body)
        mail = s.wait_mail("alice", seconds=30)[0]
        assert mail.endswith(body.split(b"\r\n\r\n", 1)[1].replace(b"\r\n", b"\n"))


def test_plus_addressing():
    with Suite({"recipient_delimiter": "+"}) as s:
        s.send("alice+list@example.test", HELLO)
        assert b"alice+list@example.test" in s.wait_mail("alice")[0]


def test_a_large_message_is_relayed_whole():
    body = b"Subject: big\r\n\r\n" + b"".join(b"%070d\r\n" % i for i in range(70000))
    with Sink() as sink, Suite({"relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        s.send("x@far.test", body)
        wait_for("delivery", lambda: sink.messages, 30)
        assert sink.messages[0].data.endswith(body.split(b"\r\n\r\n", 1)[1])
        s.wait_empty()
