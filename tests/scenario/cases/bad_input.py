# SPDX-License-Identifier: ISC
"""Bad input: a clear error that names the thing and the way out, nothing lost, no crash."""
import os
import socket
import subprocess

from harness.suite import Skip, Suite, free_port, wait_for

HELLO = b"Subject: hello\r\n\r\nhello\r\n"


def start_fails(s, *words):
    """`postkeep start` ends by itself, not with 0, and says each of the words."""
    r = subprocess.run([s.path("sbin/postkeep"), "start", "-f", "-c", s.etc],
                       capture_output=True, text=True, timeout=30)
    said = r.stdout + r.stderr + s.log()
    assert r.returncode != 0, said
    for w in words:
        assert w in said, "%r is not in:\n%s" % (w, said)


def test_unknown_parameter():
    s = Suite(start=False)
    with s:
        s.write_conf(mynetwork="127.0.0.0/8")
        start_fails(s, "main.cf:", "mynetwork", "mynetworks")


def test_bad_value_names_file_and_line():
    s = Suite(start=False)
    with s:
        s.write_conf(smtpd_timeout="soon")
        start_fails(s, "main.cf:%d" % len(s.conf), "smtpd_timeout", "soon")


def test_unreadable_configuration():
    s = Suite(start=False)
    with s:
        os.remove(os.path.join(s.etc, "main.cf"))
        start_fails(s, os.path.join(s.etc, "main.cf"))


def test_unknown_restriction():
    s = Suite(start=False)
    with s:
        s.write_conf(smtpd_recipient_restrictions="reject_everything_odd")
        r = s.postkeep("check")
        if r.returncode != 0:
            assert "reject_everything_odd" in r.stdout + r.stderr
            return
        s.start()
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<a@src.test>")
            assert c.cmd("RCPT TO:<alice@example.test>")[0] == 451
        s.wait_log("reject_everything_odd")


def test_broken_table_defers_and_says_where():
    with Suite() as s:
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")
        os.remove(os.path.join(s.etc, "mailboxes"))
        os.mkdir(os.path.join(s.etc, "mailboxes"))

        def said():
            with s.client() as c:
                c.ehlo()
                c.expect(250, "MAIL FROM:<a@src.test>")
                code, _ = c.cmd("RCPT TO:<bob@example.test>")
                assert code in (250, 451), code     # the old version stays in use, or 4xx
            return "mailboxes" in s.log()
        # Tables are looked at again once a second, and answers remembered for two.
        wait_for("a complaint that names the table", said, 15, 0.5)
        os.rmdir(os.path.join(s.etc, "mailboxes"))
        s.write("mailboxes", "alice@example.test alice/\nbob@example.test bob/\n")

        def again():
            with s.client() as c:
                c.ehlo()
                c.expect(250, "MAIL FROM:<a@src.test>")
                return c.cmd("RCPT TO:<bob@example.test>")[0] == 250
        wait_for("the mended table", again, 10, 0.5)


def test_missing_table_file():
    with Suite({"virtual_alias_maps": "texthash:/nonexistent/table"}) as s:
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<a@src.test>")
            assert c.cmd("RCPT TO:<alice@example.test>")[0] == 451
        s.wait_log("/nonexistent/table")


def test_unknown_table_type():
    s = Suite(start=False)
    with s:
        s.write_conf(virtual_alias_maps="berkeley:/etc/x")
        s.start(wait=False)
        wait_for("an error that names the type",
                 lambda: "berkeley" in s.errors() or s.process.poll() is not None)
        assert "berkeley" in s.errors()


def test_occupied_port():
    s = Suite(start=False)
    with s, socket.socket() as taken:
        taken.bind(("127.0.0.1", s.port))
        taken.listen()
        start_fails(s, str(s.port), "in use")


def test_second_instance():
    with Suite() as s:
        start_fails(s, "running", str(s.process.pid))
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")


def test_stale_socket_and_pid_file():
    with Suite() as s:
        s.kill()
        s.start()
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")


def test_queue_directory_of_a_wrong_owner():
    if os.geteuid() != 0:
        raise Skip("needs root to give a directory away")
    s = Suite(start=False)
    with s:
        os.mkdir(s.conf["queue_directory"])
        os.chown(s.conf["queue_directory"], 65534, 65534)
        start_fails(s, s.conf["queue_directory"], "owne")


def test_unwritable_spool():
    s = Suite(start=False)
    with s:
        s.write_conf(queue_directory="/proc/nowhere/spool")
        start_fails(s, "/proc/nowhere/spool")


def test_bad_listener():
    for bad in ("smtp", "smtp:inet:notaport", "smtp:ipx:25", "smtp:inet:127.0.0.1:99999"):
        s = Suite(start=False)
        with s:
            s.write_conf(listeners=bad)
            start_fails(s, "listeners")


def test_oversized_everything():
    """A7: whatever is too long gets an answer, and the session or the server goes on."""
    with Suite({"message_size_limit": "20000"}) as s:
        with s.client() as c:
            c.ehlo()
            assert c.cmd("MAIL FROM:<a@src.test> SIZE=99999999")[0] == 552
            assert c.cmd("MAIL FROM:<%s@src.test>" % ("x" * 300))[0] >= 500
        with s.client() as c:
            c.raw(b"E" * 100000 + b"\r\n")
            assert c.reply()[0] >= 500 or c.closed()
        with s.client() as c:
            c.ehlo()
            c.envelope("a@src.test", ["alice@example.test"])
            assert c.data(b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 20000)[0] == 552
            c.send("a@src.test", ["alice@example.test"], HELLO)
        with s.client() as c:
            c.ehlo()
            c.envelope("a@src.test", ["alice@example.test"])
            loops = b"".join(b"Received: by hop%d\r\n" % i for i in range(60))
            code, text = c.data(loops + HELLO)
            assert code == 554 and "hops" in text
        assert len(s.wait_mail("alice")) == 1


def test_A4_http_verbs_are_cut_off():
    with Suite() as s:
        for verb in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n",
                     b"CONNECT x:25 HTTP/1.1\r\n\r\n"):
            c = s.client()
            c.raw(verb)
            assert c.closed(), verb
            assert b"221" in c.buf or b"421" in c.buf or b"5" in c.buf


def test_port_zero_is_nothing():
    s = Suite(start=False)
    with s:
        s.write_conf(listeners="smtp:inet:127.0.0.1:0")
        start_fails(s, "listeners")
        assert free_port() > 0
