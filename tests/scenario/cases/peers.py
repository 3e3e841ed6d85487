# SPDX-License-Identifier: ISC
"""Beside real servers and clients from the distribution: Postfix, Dovecot, swaks."""
import re
import smtplib
import subprocess

from harness.peers import Dovecot, Postfix, need
from harness.suite import Suite, wait_for

BODY = "".join("%04d .dots and words\r\n..%d\r\n" % (i, i) for i in range(2000))
TEXT = "From: a@src.test\r\nSubject: hello\r\nMessage-ID: <p1@src.test>\r\n\r\n" + BODY


def test_to_postfix():
    with Suite() as s:
        with Postfix(s.dir) as peer:
            s.write_conf(relayhost="[127.0.0.1]:%d" % peer.port)
            s.adminctl("system", "reload")
            qid = s.send("known@peer.test", TEXT.encode(), sender="alice@example.test")
            s.wait_log(qid + r": to=<known@peer\.test>.* status=sent \(250 2\.0\.0 Ok: queued as")
            mail = wait_for("the mail in Postfix's Maildir", lambda: peer.mailbox("known"))[0]
            assert mail.endswith(BODY.replace("\r\n", "\n").encode()), "content changed on the way"
            qid = s.send("ghost@peer.test", TEXT.encode(), sender="alice@example.test")
            s.wait_log(qid + r": to=<ghost@peer\.test>.* dsn=5\.1\.1, status=bounced .*"
                       r"User unknown in virtual mailbox table")
            assert b"ghost@peer.test" in s.wait_mail("alice")[0]


def test_from_postfix():
    with Suite() as s:
        with Postfix(s.dir, relayhost="[127.0.0.1]:%d" % s.port) as peer:
            with smtplib.SMTP("127.0.0.1", peer.port) as c:
                c.sendmail("a@src.test", ["alice@example.test", "bob@example.test"], TEXT)
                c.sendmail("known@peer.test", ["ghost@example.test"], TEXT)
            for user in ("alice", "bob"):
                mail = s.wait_mail(user)[0]
                assert mail.endswith(BODY.replace("\r\n", "\n").encode())
            wait_for("Postfix's bounce of what was refused at RCPT",
                     lambda: [m for m in peer.mailbox("known") if b"ghost@example.test" in m])


def test_many_through_postfix_and_back():
    """Postkeep, Postfix, Postkeep: 200 messages, each once."""
    with Suite({"transport_maps": ""}) as s:
        with Postfix(s.dir, relayhost="[127.0.0.1]:%d" % s.port,
                     default_destination_concurrency_limit="20") as peer:
            s.write("transport", "loop.test smtp:[127.0.0.1]:%d\n" % peer.port)
            s.write_conf(transport_maps="texthash:%s/transport" % s.etc,
                         virtual_alias_maps=None)
            s.adminctl("system", "reload")
            with smtplib.SMTP("127.0.0.1", peer.port) as c:
                for i in range(200):
                    c.sendmail("a@src.test", ["alice@example.test"],
                               "Subject: n%d\r\n\r\nx\r\n" % i)
            mails = s.wait_mail("alice", 200, 60)
            subjects = sorted(int(re.search(rb"Subject: n(\d+)", m).group(1)) for m in mails)
            assert subjects == list(range(200))


def test_to_dovecot_by_lmtp():
    with Suite() as s:
        with Dovecot(s.dir) as peer:
            s.write_conf(virtual_mailbox_domains="example.test, peer.test",
                         virtual_mailbox_maps="inline:{known@peer.test=x/, ghost@peer.test=x/, "
                         "alice@example.test=alice/}",
                         transport_maps="inline:{peer.test=lmtp:unix:%s}" % peer.socket)
            s.adminctl("system", "reload")
            qid = s.send(["known@peer.test", "ghost@peer.test"], TEXT.encode(),
                         sender="alice@example.test")
            s.wait_log(qid + r": to=<known@peer\.test>.* status=sent")
            s.wait_log(qid + r": to=<ghost@peer\.test>.* status=bounced")
            mail = wait_for("the mail in Dovecot's Maildir",
                            lambda: peer.mailbox("known@peer.test"))[0]
            assert BODY.split("\r\n")[0].encode() in mail
            assert b"ghost@peer.test" in s.wait_mail("alice")[0]


def test_swaks():
    swaks = need("swaks")
    with Suite() as s:
        for extra in ([], ["--pipeline"], ["--protocol", "SMTP"]):
            r = subprocess.run([swaks, "--server", "127.0.0.1:%d" % s.port, "--from",
                                "a@src.test", "--to", "alice@example.test,bob@example.test",
                                "--helo", "client.test", *extra],
                               capture_output=True, text=True, timeout=60)
            assert r.returncode == 0, r.stdout + r.stderr
        s.wait_mail("alice", 3)
        s.wait_mail("bob", 3)
