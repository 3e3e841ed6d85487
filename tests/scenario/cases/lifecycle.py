# SPDX-License-Identifier: ISC
"""Start, reload, upgrade, stop, and what happens when a process dies."""
import os
import re
import shutil
import signal
import threading
import time

from harness.smtp import Sink
from harness.suite import Suite, free_port, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"


def test_reload_drops_no_session():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test>")
        s.write_conf(smtpd_banner="mx.example.test changed")
        s.adminctl("system", "reload")
        c.expect(250, "RCPT TO:<alice@example.test>")
        assert c.data(HELLO)[0] == 250
        s.wait_mail("alice")

        def changed():
            with s.client(greet=False) as n:
                return "changed" in n.reply()[1]
        wait_for("the new greeting", changed)


def test_reload_to_a_table_in_a_new_folder():
    """lookupd was confined without that folder: it is replaced, and nobody is told to come back."""
    with Suite({"recipient_delimiter": "+", "smtpd_recipient_limit": "100000"}) as s, \
            s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test>")
        before = s.pid_of("lookupd")
        answers, stop = [], threading.Event()

        def ask():
            # Another address each time: nothing is answered from memory.
            while not stop.is_set():
                answers.append(c.cmd("RCPT TO:<alice+%d@example.test>" % len(answers)))
                time.sleep(0.002)
        asker = threading.Thread(target=ask)
        asker.start()
        try:
            wait_for("answers before", lambda: len(answers) > 10)
            folder = os.path.join(s.dir, "tables")
            os.mkdir(folder)
            os.chmod(folder, 0o755)
            with open(os.path.join(folder, "more"), "w", encoding="utf-8") as f:
                f.write("carol@example.test carol/\n")
            s.write_conf(virtual_mailbox_maps="%s, texthash:%s/more" % (
                s.conf["virtual_mailbox_maps"], folder))
            s.adminctl("system", "reload")
            s.send("carol@example.test", HELLO)
            after = len(answers)
            wait_for("answers after", lambda: len(answers) > after + 10)
        finally:
            stop.set()
            asker.join(30)
        assert {a[0] for a in answers} == {250}, [a for a in answers if a[0] != 250]
        s.wait_mail("carol")
        assert not set(s.pid_of("lookupd")) & set(before)
        s.wait_log("lookupd.*%s/more.*confined" % folder)
        assert "exited with status" not in s.log() and "has died" not in s.log()
        # Once: what it may read now is no reason for another.
        now = s.pid_of("lookupd")
        s.adminctl("system", "reload")
        s.send("carol@example.test", HELLO)
        assert s.pid_of("lookupd") == now


def test_reload_opens_and_closes_listeners():
    with Suite() as s:
        second = free_port()
        s.write_conf(listeners="smtp:inet:127.0.0.1:%d, two:inet:127.0.0.1:%d" % (s.port, second))
        s.adminctl("system", "reload")

        def open_now():
            try:
                s.client().close()
                from harness.smtp import Client
                Client(second, timeout=2).close()
                return True
            except OSError:
                return False
        wait_for("the second listener", open_now)
        s.write_conf(listeners="smtp:inet:127.0.0.1:%d" % s.port)
        s.adminctl("system", "reload")
        wait_for("the second listener closed", lambda: not open_now())


def test_reload_with_errors_keeps_the_old():
    with Suite() as s:
        s.write_conf(message_size_limit="lots")
        r = s.adminctl("system", "reload", check=False)
        assert r.returncode != 0
        assert "message_size_limit" in r.stderr + s.log()
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")


def test_stop_says_421_and_finishes_what_is_open():
    with Suite({"drain_timeout": "3s"}) as s:
        idle, busy = s.client(), s.client()
        idle.ehlo()
        busy.ehlo()
        busy.envelope("a@src.test", ["alice@example.test"])
        s.process.send_signal(signal.SIGTERM)
        assert idle.closed(10) and b"421" in idle.buf
        s.process.wait(30)
        assert s.process.returncode == 0


def test_deliveries_in_flight_are_put_back():
    with Sink({"dot": "hang"}) as sink, Suite({
            "relayhost": "[127.0.0.1]:%d" % sink.port, "drain_timeout": "2s",
            "retry_schedule": "2s", "minimal_backoff_time": "2s"}) as s:
        s.send("x@far.test", HELLO)
        wait_for("delivery begun", lambda: "DATA" in sink.commands)
        assert s.stop() == 0
        sink.script.pop("dot")
        s.start()
        wait_for("delivery after the restart", lambda: sink.messages, 30)


def test_restart_keeps_the_queue():
    with Suite({"relayhost": "[127.0.0.1]:9", "retry_schedule": "1h",
                "minimal_backoff_time": "1h"}) as s:
        ids = sorted(s.send("x%d@far.test" % i, HELLO) for i in range(20))
        wait_for("deferred", lambda: len(s.queue("--state", "deferred")) == 20)
        assert s.stop() == 0
        s.start()
        assert sorted(s.queue_ids()) == ids


def test_every_process_is_restarted():
    with Suite() as s:
        for role in ("logd", "lookupd", "dnsd", "mailbox", "smtp", "lmtp", "bounce", "qmgr",
                     "smtpd"):
            for pid in s.pid_of(role):
                os.kill(pid, signal.SIGKILL)
            wait_for("a new " + role, lambda: s.pid_of(role) and pid not in s.pid_of(role), 20)

            def works():
                try:
                    s.send("alice@example.test", HELLO)
                    return True
                except (OSError, EOFError, AssertionError):
                    return False
            before = len(s.mailbox("alice"))
            wait_for("mail accepted after the death of " + role, works, 20, 0.3)
            s.wait_mail("alice", before + 1, 20)


def test_upgrade_in_place_refuses_nobody():
    with Suite() as s, s.client() as old:
        old.ehlo()
        before = {p["pid"] for p in s.processes()}
        s.adminctl("system", "upgrade")
        end = time.monotonic() + 60
        replaced = False
        while time.monotonic() < end and not replaced:
            with s.client() as c:           # never refused
                c.ehlo()
            try:
                roles = s.processes()
            except AssertionError:
                continue
            live = [p for p in roles if p["state"] in ("running", "ready", "up")]
            # master executes itself: it alone keeps its pid.
            replaced = len(live) >= 9 and not any(
                p["pid"] in before for p in live if p["role"] != "master")
            time.sleep(0.1)
        assert replaced, s.processes()
        old.send("a@src.test", ["alice@example.test"], HELLO)
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice", 2)


def kill_qmgr(s):
    pid = s.pid_of("qmgr")[0]
    os.kill(pid, signal.SIGKILL)
    wait_for("a new qmgr", lambda: any(p["role"] == "qmgr" and p["pid"] != pid
                                       and p["state"] == "ready" for p in s.processes()), 20)


def test_large_message_over_the_death_of_qmgr():
    with Suite() as s, s.client() as c:
        c.ehlo()
        c.envelope("a@src.test", ["alice@example.test"])
        c.expect(354, "DATA")
        c.raw(HELLO + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 8000)
        time.sleep(1)
        kill_qmgr(s)
        time.sleep(1)
        c.raw(b"end\r\n.\r\n")
        assert c.reply()[0] == 250
        s.wait_mail("alice", 1, 20)


def test_leaving_smtpd_outlives_qmgr():
    with Suite({"drain_timeout": "60s"}) as s, s.client() as old:
        old.ehlo()
        before = set(s.pid_of("smtpd"))
        s.adminctl("system", "upgrade")

        def replaced():
            try:
                live = {p["pid"] for p in s.processes()
                        if p["role"] == "smtpd" and p["state"] == "ready"}
            except AssertionError:
                return False
            return live and not live & before
        wait_for("new smtpds", replaced, 60)
        kill_qmgr(s)
        old.send("a@src.test", ["alice@example.test"], HELLO)
        s.wait_mail("alice", 1, 20)


def test_large_mail_while_qmgr_drains():
    with Sink({"dot": "hang"}) as sink, Suite({
            "relayhost": "[127.0.0.1]:%d" % sink.port, "drain_timeout": "60s"}) as s:
        s.send("x@far.test", HELLO)
        wait_for("delivery begun", lambda: "DATA" in sink.commands or "BDAT" in sink.commands)
        s.adminctl("system", "upgrade")

        def draining():
            try:
                return any(p["role"] == "qmgr" and p["state"] == "draining"
                           for p in s.processes())
            except AssertionError:      # asked while one master became the other
                return False
        wait_for("qmgr draining", draining, 30)
        for _ in range(6):
            with s.client() as c:
                c.ehlo()
                c.send("a@src.test", ["alice@example.test"], HELLO + b"y" * 70 + b"\r\n" +
                       (b"z" * 70 + b"\r\n") * 4000)


def test_leaving_deliverer_gets_no_jobs():
    slow, sinks = Sink({"dot": "hang"}), [Sink() for _ in range(8)]
    table = ", ".join(["{ h.test = smtp:[127.0.0.1]:%d }" % slow.port] + [
        "{ d%d.test = smtp:[127.0.0.1]:%d }" % (i, k.port) for i, k in enumerate(sinks)])
    with Suite({"transport_maps": "inline:{ %s }" % table, "drain_timeout": "60s"}) as s:
        before = set(s.pid_of("smtp"))
        s.send("x@h.test", HELLO)
        wait_for("delivery begun", lambda: "DATA" in slow.commands or "BDAT" in slow.commands)
        s.write_conf(inet_interfaces="127.0.0.2")
        s.adminctl("system", "reload")

        def replaced():
            try:
                live = {p["pid"] for p in s.processes()
                        if p["role"] == "smtp" and p["state"] == "ready"}
            except AssertionError:
                return False
            return live and not live & before
        wait_for("a new smtp", replaced, 60)
        assert set(s.pid_of("smtp")) & before, "it still delivers"
        for i in range(8):
            s.send("x@d%d.test" % i, HELLO)
        wait_for("all delivered", lambda: all(k.messages for k in sinks), 10)


def test_postkeep_status_and_second_stop():
    with Suite() as s:
        r = s.postkeep("status")
        assert r.returncode == 0 and str(s.process.pid) in r.stdout, r.stdout + r.stderr
        assert s.postkeep("stop").returncode == 0
        s.process.wait(20)
        assert s.postkeep("status").returncode != 0
        assert s.postkeep("stop").returncode != 0


def test_background_start():
    s = Suite(start=False)
    with s:
        r = s.postkeep("start")
        assert r.returncode == 0, r.stderr
        try:
            s.send("alice@example.test", HELLO)
            s.wait_mail("alice")
        finally:
            assert s.postkeep("stop").returncode == 0


def test_what_cannot_start_is_tried_again_and_the_rest_works():
    """A program that dies at once: restarted ever later, said so; the others go on."""
    s = Suite(start=False)
    with s:
        programs = os.path.join(s.dir, "libexec")
        shutil.copytree(s.path("libexec/postkeep"), programs)
        os.chmod(programs, 0o755)
        s.write_conf(program_directory=programs)
        s.start()
        lookupd = os.path.join(programs, "lookupd")
        os.rename(lookupd, lookupd + ".good")
        with open(lookupd, "w") as f:
            f.write("#!/bin/sh\nexit 1\n")
        os.chmod(lookupd, 0o755)
        for pid in s.pid_of("lookupd"):
            os.kill(pid, signal.SIGKILL)
        time.sleep(6)
        text = s.log() + s.errors()
        deaths = text.count("lookupd") and len(re.findall(r"lookupd.*(exit|ended|died|status)", text))
        assert 0 < deaths < 60, "no pause between restarts: %d deaths" % deaths
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<a@src.test>")
            assert c.cmd("RCPT TO:<alice@example.test>")[0] == 451
        os.rename(lookupd + ".good", lookupd)

        def works():
            try:
                s.send("alice@example.test", HELLO)
                return True
            except (OSError, EOFError, AssertionError):
                return False
        wait_for("mail is taken again", works, 40, 0.5)
        s.wait_mail("alice")


def test_a_compacted_queue_keeps_what_is_left():
    with Sink() as sink, Suite({"queue_segment_size": "1m", "queue_compact_age": "1s",
                                "relayhost": "[127.0.0.1]:%d" % sink.port,
                                "smtpd_workers": "1"}) as s:
        s.adminctl("queue", "freeze", "domain", "kept.test")
        big = HELLO + (b"y" * 70 + b"\r\n") * 600
        ids = []
        with s.client() as c:
            c.ehlo()
            for i in range(120):
                if i % 20 == 0:
                    ids.append(c.send("a@src.test", ["x%d@kept.test" % i], HELLO))
                c.send("a@src.test", ["x@far.test"], big)
        wait_for("the others gone", lambda: sorted(s.queue_ids()) == sorted(ids), 30)
        s.wait_log("segment .* compacted", 30)
        assert s.admin("queue", "check")["problems"] == []
        assert sorted(s.queue_ids()) == sorted(ids), "ids stay"
        s.kill()
        s.start()
        assert sorted(s.queue_ids()) == sorted(ids)
        s.adminctl("queue", "thaw", "domain", "kept.test")
        wait_for("what was kept", lambda: len(sink.messages) == 126, 30)
        s.wait_empty()
