# SPDX-License-Identifier: ISC
"""What a client may cost (A7, A8, A9)."""
import os
import resource
import socket
import time

from harness.smtp import Client
from harness.suite import Suite, wait_for

HELLO = b"Subject: hello\r\n\r\nhello\r\n"


def memory_kb(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        for line in f:
            if line.startswith("Private_Dirty"):
                return int(line.split()[1])
    return 0


def test_A9_idle_clients_cost_little_and_harm_nobody():
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 500), hard))
    with Suite({"smtpd_client_connection_count_limit": "0", "smtpd_workers": "2"}) as s:
        pids = s.pid_of("smtpd")
        with s.client() as c:
            c.ehlo()
        before = sum(memory_kb(p) for p in pids)
        idle = []
        for _ in range(count):
            c = Client(s.port)
            idle.append(c)
        for c in idle:
            c.ehlo()
        after = sum(memory_kb(p) for p in pids)
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")
        assert (after - before) / count <= 4.5, "%.1f KiB a session" % ((after - before) / count)
        for c in idle:
            c.close()


def test_A9_a_byte_a_minute_is_caught():
    with Suite({"smtpd_timeout": "3s"}) as s:
        c = s.client()
        began = time.monotonic()
        closed = False
        try:
            while time.monotonic() - began < 15 and not closed:
                c.raw(b"N")
                closed = c.closed(1)
        except OSError:
            closed = True
        assert closed, "still there after 15 s"
        s.wait_log("timeout after")


def test_A9_slow_content_is_caught():
    with Suite({"smtpd_timeout": "3s"}) as s:
        c = s.client()
        c.ehlo()
        c.envelope("a@src.test", ["alice@example.test"])
        c.expect(354, "DATA")
        began, closed = time.monotonic(), False
        try:
            while time.monotonic() - began < 20 and not closed:
                c.raw(b"x\r\n")
                closed = c.closed(0.5)
        except OSError:
            closed = True
        assert closed
        assert s.queue() == []


def test_A7_memory_of_one_client_is_bounded():
    """Tiny BDAT chunks, endless lines, a thousand recipients: at most 64 KiB and a little."""
    with Suite({"mynetworks": "192.0.2.0/24", "message_size_limit": "50000000",
                "smtpd_workers": "1"}) as s:
        pid = s.pid_of("smtpd")[0]
        with s.client() as c:
            c.ehlo()
        before = memory_kb(pid)
        with s.client() as c:
            c.ehlo()
            c.envelope("a@src.test", ["alice@example.test"])
            for _ in range(5000):
                c.raw(b"BDAT 1\r\nx")
                assert c.reply()[0] == 250
            tiny = memory_kb(pid) - before
            c.raw(b"BDAT 3000000\r\n" + b"x" * 78 * 100)
            time.sleep(0.5)
            large = memory_kb(pid) - before
        assert tiny <= 256 and large <= 512, (tiny, large)


def test_A8_hostile_headers_take_linear_time():
    def took(s, n):
        header = b"To: " + b"<a@b>,(((((" * n + b"\r\n"
        began = time.monotonic()
        with s.client() as c:
            c.ehlo()
            c.envelope("a@src.test", ["alice@example.test"])
            c.data(header + HELLO)
        return time.monotonic() - began
    with Suite({"header_size_limit": "10m"}) as s:
        took(s, 1000)
        small = max(took(s, 20000), 0.02)
        large = took(s, 80000)
        assert large < 10 * small + 1, (small, large)


def test_connection_limit_for_strangers():
    with Suite({"mynetworks": "192.0.2.0/24", "smtpd_client_connection_count_limit": "3"}) as s:
        s.wait_log("disconnect from")      # the harness's own, when it looked for the port
        held = [s.client() for _ in range(3)]
        c = s.client(greet=False)
        assert c.reply()[0] == 421
        s.wait_log("too many connections|Connection concurrency limit exceeded")
        for h in held:
            h.close()
        time.sleep(0.3)
        s.client().close()


def test_recipient_and_error_limits():
    with Suite({"smtpd_recipient_limit": "3", "smtpd_error_sleep_time": "0",
                "smtpd_hard_error_limit": "5"}) as s:
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<a@src.test>")
            codes = [c.cmd("RCPT TO:<alice@example.test>")[0] for _ in range(5)]
            assert codes[:3] == [250] * 3 and 452 in codes[3:], codes
        with s.client() as c:
            codes = []
            try:
                for _ in range(10):
                    codes.append(c.cmd("BOGUS")[0])
            except (EOFError, OSError):
                pass
            assert 421 in codes or len(codes) <= 6, codes


def test_rate_limit():
    with Suite({"mynetworks": "192.0.2.0/24", "smtpd_client_message_rate_limit": "2"}) as s:
        with s.client() as c:
            c.ehlo()
            codes = []
            for _ in range(4):
                code, _ = c.cmd("MAIL FROM:<a@src.test>")
                codes.append(code)
                if code == 250:
                    c.expect(250, "RCPT TO:<alice@example.test>")
                    assert c.data(HELLO)[0] == 250
            assert codes[:2] == [250, 250] and codes[2] >= 400, codes


def test_unix_and_ipv6_listeners():
    s = Suite(start=False)
    with s:
        path = os.path.join(s.dir, "smtp.sock")
        conf = "smtp:inet:127.0.0.1:%d, local:unix:%s" % (s.port, path)
        six = None
        try:
            probe = socket.socket(socket.AF_INET6)
            probe.bind(("::1", 0))
            six = probe.getsockname()[1]
            probe.close()
            conf += ", six:inet6:[::1]:%d" % six
        except OSError:
            pass
        s.write_conf(listeners=conf, local_listener_class="local")
        s.start()
        with Client(path) as c:
            c.ehlo()
            c.send("a@src.test", ["alice@example.test"], HELLO)
        s.wait_mail("alice")
        if six:
            with Client(six, host="::1") as c:
                c.ehlo()
                c.send("a@src.test", ["bob@example.test"], HELLO)
            s.wait_mail("bob")


def test_F3_low_space_is_answered_452():
    """Low disk space is answered 452 before the reserve is touched."""
    with Suite({"queue_minfree": "16000g"}) as s:
        def full():
            with s.client() as c:
                c.ehlo()
                return c.cmd("MAIL FROM:<a@src.test>")[0] == 452
        wait_for("452", full, 10, 0.3)
