# SPDX-License-Identifier: ISC
"""F6, F9, F10: the clock steps, a sibling hangs for a while, a backlog comes alive."""
import os
import re
import signal
import subprocess
import time

import common
from common import LONG, QUICK, Load, arrived, check_arrived, check_queue, drained, letter, \
    one_pid
from harness.dns import Nsd
from harness.smtp import Client, Sink
from harness.suite import Skip, Suite, free_port, wait_for

RCPTS = ("x%d@far.test", "alice@example.test", "y%d@near.test", "bob@example.test")


def test_F6_wall_clock_steps():
    """Stepping the machine's clock would hurt others: the store's clock with ours in its hands."""
    r = subprocess.run([common.program("clock")], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stdout


def hang(role, seconds=5):
    common.need_root()
    with Sink() as sink, Suite({
            **QUICK, "relayhost": "[127.0.0.1]:%d" % sink.port, "smtpd_workers": "1"}) as s:
        load = Load(s, sessions=3, rcpts=RCPTS, pause=0.02)
        wait_for("some mail", lambda: len(load.acked) > 20)
        pid = one_pid(s, role)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        during = len(load.acked)
        os.kill(pid, signal.SIGCONT)
        wait_for("mail afterwards", lambda: len(load.acked) > during + 20, 30)
        load.stop()
        drained(s, 60)
        doubles = check_arrived(load, arrived(s, sink))
        check_queue(s)
        print("  %s away for %d s: %d acknowledged, %d refused, %d duplicates" % (
            role, seconds, len(load.acked), load.refused, doubles))


def test_F9_qmgr_hangs():
    hang("qmgr")


def test_F9_lookupd_hangs():
    hang("lookupd")


def test_F9_smtp_hangs():
    hang("smtp")


def test_F9_mailbox_hangs():
    hang("mailbox")


def test_F9_logd_hangs():
    hang("logd")


def anonymous_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1))


def test_F10_dead_hosts_come_alive():
    messages = int(os.environ.get("FAULT_BACKLOG", 200000 if LONG else 2000))
    domains = messages // 10
    port = free_port()
    with Suite({**QUICK, "retry_schedule": "2s", "smtp_tcp_port": str(port),
                "smtp_connection_cache_time_limit": "0s", "smtp_helo_timeout": "20s"},
               start=False) as s, \
            Nsd(s.dir, {"far.test": ["* IN A 127.0.0.1"]}) as nsd:
        s.conf.update(nsd.conf())
        s.write_conf()
        s.start()
        acked = submit(s, messages, domains)
        s.wait_log("status=deferred")
        time.sleep(3)
        before = anonymous_kib(one_pid(s, "qmgr"))
        s.kill()
        began = time.monotonic()
        s.start()
        up = time.monotonic() - began
        count = s.admin("queue", "stats")["messages"]
        assert count == messages, "%d of %d in the queue after the restart" % (count, messages)
        came_alive(s, port, acked, before, up)


def submit(s, messages, domains):
    with Client(s.port, timeout=120) as c:
        c.ehlo()
        for n in range(messages):
            c.raw(b"MAIL FROM:<>\r\nRCPT TO:<x%d@d%d.far.test>\r\nDATA\r\n" % (n, n % domains))
            for want in (250, 250, 354):
                code, text = c.reply()
                assert code == want, (code, text)
            c.raw(letter("TK%d" % n, 500) + b".\r\n")
            code, text = c.reply()
            assert code == 250, (code, text)
    return {"TK%d" % n for n in range(messages)}


def came_alive(s, port, acked, before, up):
    with Sink(address=("127.0.0.1", port)) as sink:
        began = time.monotonic()
        most = before
        s.adminctl("queue", "flush")
        while True:
            with sink.lock:
                n = len(sink.messages)
            most = max(most, anonymous_kib(one_pid(s, "qmgr")))
            if n >= len(acked) or time.monotonic() > began + 60 + len(acked) / 60:
                break
            time.sleep(0.5)
        took = time.monotonic() - began
        drained(s)
        got = arrived(s, sink)
        lost = acked - set(got)
        assert not lost, "%d of %d never arrived" % (len(lost), len(acked))
        check_queue(s)
        doubles = sum(len(v) - 1 for v in got.values())
        print("  %d messages, %d duplicates; up again in %.1f s, delivered in %.1f s; qmgr's "
              "anonymous memory %d KiB with the backlog, %d KiB at most" % (
                  len(acked), doubles, up, took, before, most))
        assert doubles == 0 and most < 96 * 1024


def test_F10_all_is_due_and_one_next_hop_alive():
    """Each message has a recipient at the one that answers and many at those that do not."""
    recipients = int(os.environ.get("FAULT_RECIPIENTS", 200000 if LONG else 10000))
    messages, port = recipients // 100, free_port()
    wait = 40 if LONG else 8
    with Suite({**QUICK, "retry_schedule": "%ds" % wait, "minimal_backoff_time": "%ds" % wait,
                "maximal_backoff_time": "1h", "smtp_tcp_port": str(port)}, start=False) as s, \
            Nsd(s.dir, {"far.test": ["* IN A 127.0.0.2"],
                        "alive.test": ["@ IN A 127.0.0.1"]}) as nsd:
        s.conf.update(nsd.conf())
        s.write_conf()
        s.start()
        with s.client(timeout=60) as c:
            c.ehlo()
            for n in range(messages):
                rcpts = ["x%d@d%d.far.test" % (i, (n * 99 + i) % 2000) for i in range(99)]
                c.send("", ["x%d@alive.test" % n] + rcpts, letter("TK%d" % n))
        wait_for("everything put off", lambda: s.admin("queue", "stats")["deferred"] == messages,
                 60 + recipients / 500, 0.5)
        s.kill()
        time.sleep(wait * 1.1)              # not by a flush: that has all in its hands
        began = time.monotonic()
        s.start()
        up = time.monotonic() - began
        one_alive(s, port, messages, recipients, up)


def one_alive(s, port, messages, recipients, up):
    with Sink(address=("127.0.0.1", port)) as sink:
        before = most = anonymous_kib(one_pid(s, "qmgr"))
        began = time.monotonic()
        end = began + 60 + recipients / 500
        while len(sink.messages) < messages and time.monotonic() < end:
            most = max(most, anonymous_kib(one_pid(s, "qmgr")))
            time.sleep(0.1)
        took = time.monotonic() - began
        got = arrived(s, sink)
        assert len(got) == messages, "%d of %d arrived in %.0f s" % (len(got), messages, took)
        left = s.admin("queue", "stats")["recipients"]
        assert left == recipients - messages, "%d recipients left" % left
        check_queue(s)
        doubles = sum(len(v) - 1 for v in got.values())
        print("  %d recipients: up again in %.1f s, the %d of the one that "
              "lives in %.1f s, %d duplicates; qmgr's anonymous memory %d KiB before, %d KiB at "
              "most" % (recipients, up, messages, took, doubles, before, most))
        assert doubles == 0 and most < 192 * 1024
