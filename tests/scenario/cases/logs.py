# SPDX-License-Identifier: ISC
"""Lines in Postfix's shapes, as pflogsumm and fail2ban read them."""
import re
import shutil
import subprocess

from harness import smtp
from harness.smtp import Sink
from harness.suite import Skip, Suite, free_port, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\nMessage-ID: <m1@src.test>\r\n\r\nhello\r\n"


def story():
    """A suite that has accepted, delivered, relayed, bounced, deferred and refused."""
    sink = Sink({"rcpt": lambda session, arg:
                 "550 5.1.1 gone" if "gone" in arg else
                 "450 4.2.0 busy" if "busy" in arg else None})
    s = Suite({"relayhost": "[127.0.0.1]:%d" % sink.port, "retry_schedule": "1h",
               "minimal_backoff_time": "1h",
               "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
               "mynetworks": "127.0.0.1/32"})
    s.send("alice@example.test", HELLO)
    s.send("x@far.test", HELLO)
    s.send("gone@far.test", HELLO, sender="alice@example.test")
    s.send("busy@far.test", HELLO)
    with s.client(source="127.0.0.66") as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<spam@src.test>")
        c.expect(554, "RCPT TO:<x@far.test>")
        c.expect(550, "RCPT TO:<nobody@example.test>")
        c.cmd("QUIT")
    s.wait_log("status=bounced")
    s.wait_log("status=deferred")
    s.wait_mail("alice", 2)
    s.wait_log(r"disconnect from .*\[127.0.0.66\]")
    return sink, s


def test_shapes():
    sink, s = story()
    with sink, s:
        head = r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ postkeep/%s\[\d+\]: "
        smtpd, qmgr = head % r"smtpd", head % r"[a-z/]+"
        for shape in (
                smtpd + r"connect from \S+\[127\.0\.0\.1\]$",
                smtpd + r"[0-9A-F]{10,}: client=\S+\[127\.0\.0\.1\]",
                head % r"\w+" + r"[0-9A-F]{10,}: message-id=<m1@src\.test>",
                qmgr + r"[0-9A-F]{10,}: from=<sender@src\.test>, size=\d+, nrcpt=1 \(queue active\)",
                head % "mailbox" + r"[0-9A-F]{10,}: to=<alice@example\.test>, (orig_to=<\S+>, )?relay=\S+, "
                r"delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, dsn=2\.\d\.\d, "
                r"status=sent \(.*\)$",
                head % "smtp" + r"[0-9A-F]{10,}: to=<x@far\.test>, relay=\S+\[127\.0\.0\.1\]:\d+, "
                r"delay=.* status=sent \(250 2\.0\.0 Ok: taken\)$",
                qmgr + r"[0-9A-F]{10,}: removed$",
                smtpd + r"NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.66\]: 554 5\.7\.1 ",
                smtpd + r"NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.66\]: 550 5\.1\.1 "
                r"<nobody@example\.test>: Recipient address rejected: User unknown",
                smtpd + r"disconnect from \S+\[127\.0\.0\.66\] ehlo=1 mail=1 rcpt=0/2 quit=1 "
                r"commands=3/5$"):
            s.wait_log(shape, 5)


def test_pflogsumm_reads_it():
    program = shutil.which("pflogsumm")
    if not program:
        raise Skip("pflogsumm is not installed")
    sink, s = story()
    with sink, s:
        r = subprocess.run([program, "--syslog-name=postkeep", s.log_file],
                           capture_output=True, text=True, timeout=60)
        out = r.stdout
        assert re.search(r"^\s*[1-9]\d*\s+received", out, re.M), out
        assert re.search(r"^\s*[1-9]\d*\s+delivered", out, re.M), out
        assert re.search(r"^\s*[1-9]\d*\s+deferred", out, re.M), out
        assert re.search(r"^\s*[1-9]\d*\s+bounced", out, re.M), out
        assert re.search(r"^\s*[1-9]\d*\s+rejected", out, re.M), out


def test_fail2ban_reads_it():
    program = shutil.which("fail2ban-regex")
    if not program:
        raise Skip("fail2ban is not installed")
    sink, s = story()
    with sink, s:
        filter_text = open("/etc/fail2ban/filter.d/postfix.conf").read()
        assert "postfix" in filter_text
        copy = s.write("postkeep.conf", filter_text.replace("postfix(", "post(?:fix|keep)(")
                       .replace("_daemon = postfix", "_daemon = postkeep"))
        common = open("/etc/fail2ban/filter.d/common.conf").read()
        s.write("common.conf", common)
        r = subprocess.run([program, s.log_file, copy + "[mode=aggressive]"],
                           capture_output=True, text=True, timeout=60)
        matched = re.search(r"Failregex: (\d+) total", r.stdout)
        assert matched and int(matched.group(1)) >= 2, r.stdout[-2000:] + r.stderr[-500:]


def test_A11_log_lines_cannot_be_forged():
    with Suite() as s:
        with s.client() as c:
            c.raw(b"EHLO x\x1b[2Jy\r\n")
            c.reply()
            c.cmd("MAIL FROM:<a\x0b@src.test>")
            c.cmd("RCPT TO:<nobody@example.test>")
        with s.client() as c:
            c.ehlo()
            c.envelope("a@src.test", ["alice@example.test"])
            c.data(b"Message-ID: <x>\r\n y\x1b]0;z\x07\r\nSubject: x\r\n\r\nx\r\n")
        s.wait_mail("alice")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", s.log())


def test_rotation():
    with Suite({"maillog_rotate_size": "4k"}) as s:
        for _ in range(30):
            s.send("alice@example.test", HELLO)
        wait_for("a rotated file", lambda: __import__("os").path.exists(s.log_file + ".1"))


def test_class_is_in_program_name():
    """Whose session it was: Postfix's habit postfix/submission/smtpd[pid]; also in listings."""
    port = free_port()
    sink, s = story()
    with sink, s:
        s.write_conf(listeners=s.conf["listeners"] +
                     ", submission:inet:127.0.0.1:%d" % port,
                     submission_listener_class="submission")
        s.postkeep("reload")
        wait_for("the new listener", lambda: listens(port))
        with smtp.Client(port, source="127.0.0.67") as c:
            c.ehlo()
            c.expect(530, "MAIL FROM:<spam@src.test>")
            c.cmd("QUIT")
        with smtp.Client(port) as c:
            c.ehlo()
            busy = c.send("alice@example.test", ["busy@far.test"], HELLO)
        s.wait_log(r"postkeep/submission/smtpd\[\d+\]: connect from \S+\[127\.0\.0\.67\]")
        s.wait_log(r"postkeep/submission/smtpd\[\d+\]: NOQUEUE: reject: MAIL from")
        s.wait_log(busy + r": to=<busy@far\.test>, .* status=deferred")
        by_id = {m["id"]: m for m in s.queue()}
        assert by_id.pop(busy)["class"] == "submission"
        assert {m["class"] for m in by_id.values()} == {"mx"}, by_id
        s.stop()
        s.start()
        by_id = {m["id"]: m["class"] for m in s.queue()}
        assert by_id.pop(busy) == "submission"
        assert set(by_id.values()) == {"mx"}, by_id
        assert "class submission" in s.adminctl("trace", busy).stdout
        if shutil.which("pflogsumm"):
            r = subprocess.run(["pflogsumm", "--syslog-name=postkeep", s.log_file],
                               capture_output=True, text=True, timeout=60)
            assert re.search(r"^\s*2\s+rejected|^\s*3\s+rejected", r.stdout, re.M), r.stdout
        if shutil.which("fail2ban-regex"):
            text = open("/etc/fail2ban/filter.d/postfix.conf").read()
            copy = s.write("postkeep.conf", text.replace("postfix(", "post(?:fix|keep)(")
                           .replace("_daemon = postfix", "_daemon = postkeep"))
            s.write("common.conf", open("/etc/fail2ban/filter.d/common.conf").read())
            only = s.write("only.log", "".join(
                line + "\n" for line in s.log().splitlines() if "/submission/smtpd" in line))
            r = subprocess.run(["fail2ban-regex", only, copy + "[mode=aggressive]"],
                               capture_output=True, text=True, timeout=60)
            assert re.search(r"Failregex: [1-9]", r.stdout), r.stdout[-2000:]


def listens(port):
    try:
        smtp.Client(port, timeout=2).close()
        return True
    except (OSError, AssertionError):
        return False
