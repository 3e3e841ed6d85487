# SPDX-License-Identifier: ISC
"""Running it: figures, levels and shapes of the log, exit codes, fixed DNS answers, ordinary users."""
import encodings.idna       # noqa: F401  cannot be loaded once root is gone
import json
import os
import re
import socket
import subprocess
import time

from harness.smtp import Sink
from harness.suite import Skip, Suite, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\nMessage-ID: <op-1@src.test>\r\n\r\nhello\r\n"


def watched(s, *words):
    """What `adminctl --json ... --watch` prints in three seconds: JSON documents."""
    p = subprocess.Popen([s.path("bin/adminctl"), "-c", s.etc, "--json", *words, "--watch"],
                         stdout=subprocess.PIPE, text=True)
    time.sleep(3)
    p.terminate()
    out = p.communicate(timeout=10)[0]
    decoder, docs = json.JSONDecoder(), []
    while out.strip():
        out = out.lstrip()
        doc, end = decoder.raw_decode(out)
        docs.append(doc)
        out = out[end:]
    return docs


def test_stats_watch():
    with Suite({"relayhost": "[127.0.0.1]:9", "retry_schedule": "1h"}) as s:
        s.send("x@far.test", HELLO)
        wait_for("deferred", lambda: s.queue("--state", "deferred"))
        docs = watched(s, "queue", "stats")
        assert len(docs) >= 2 and all(d["deferred"] == 1 for d in docs), docs
        assert len(watched(s, "stats")) >= 2


def test_stats_count_what_happened():
    with Suite() as s:
        before = s.admin("stats")["counters"]
        for _ in range(5):
            s.send("alice@example.test", HELLO)
        s.wait_mail("alice", 5)
        s.wait_empty()
        after = wait_for("the figures", lambda: (lambda c: c if
                         c["deliver_sent"] - before["deliver_sent"] == 5 else None)(
                             s.admin("stats")["counters"]))
        assert after["smtpd_messages"] - before["smtpd_messages"] == 5
        assert after["queue_removed"] - before["queue_removed"] == 5


def test_log_level():
    with Suite({"log_level": "warn"}) as s:
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")
        time.sleep(0.5)
        assert "client=" not in s.log(), s.log()
        s.adminctl("system", "log-level", "info")
        qid = s.send("alice@example.test", HELLO)
        s.wait_log(qid + ": removed")
        s.write_conf(log_level="error")
        s.adminctl("system", "reload")
        qid = s.send("alice@example.test", HELLO)
        s.wait_mail("alice", 3)
        time.sleep(0.5)
        assert qid not in s.log()


def test_json_lines():
    with Suite({"maillog_format": "json"}) as s:
        qid = s.send("alice@example.test", HELLO)
        s.wait_log(qid + ": removed")
        lines = [json.loads(line) for line in s.log().splitlines()]
        for line in lines:
            assert set(line) >= {"time", "host", "program", "pid", "level", "text"}, line
            assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", line["time"])
        assert any(x["program"] == "postkeep/mailbox" and x["text"].startswith(qid + ": to=<")
                   for x in lines)


def test_syslog():
    if os.path.exists("/dev/log") or os.geteuid() != 0:
        raise Skip("/dev/log is somebody else's here")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind("/dev/log")
        try:
            os.chmod("/dev/log", 0o666)
            log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            log.settimeout(10)
            with Suite({"maillog_syslog": "yes", "syslog_name": "pk-test"}) as s:
                qid = s.send("alice@example.test", HELLO)
                got = b""
                while (qid + ": removed").encode() not in got:
                    got += log.recv(8192) + b"\n"
                assert re.search(rb"^<22>... .. ..:..:.. pk-test/smtpd\[\d+\]: connect from",
                                 got, re.M), got
                assert re.search(rb"pk-test/mailbox\[\d+\]: %s: to=<alice" % qid.encode(), got)
        finally:
            os.unlink("/dev/log")


def test_exit_codes():
    with Suite() as s:
        for args, status in ((["queue", "list"], 0), (["system", "status"], 0),
                             (["queue", "view", "0123456789"], 3),
                             (["queue", "retry", "0123456789"], 3),
                             (["config", "set", "message_size_limit = x"], 1),
                             (["queue", "freeze", "transport", "nosuch"], (1, 2)),
                             (["queue", "priority", "0123456789", "9"], (1, 2)),
                             (["queue", "delete", "all"], 2),
                             (["table", "get", "nosuch:/x", "y"], 1),
                             (["lookup", "address", "alice@example.test"], 0)):
            r = s.adminctl(*args, check=False, stdin="")
            wanted = status if isinstance(status, tuple) else (status,)
            assert r.returncode in wanted, (args, r.returncode, r.stdout, r.stderr)
            assert r.returncode == 0 or (r.stdout + r.stderr).strip(), args


def test_dns_answers_out_of_the_configuration():
    with Sink(address=("127.0.0.2", 0)) as sink, Suite({
            "dns_overrides": "{far.test/MX=10 mx.far.test.}, mx.far.test/A=127.0.0.2",
            "smtp_tcp_port": str(sink.port), "inet_protocols": "ipv4",
            "inet_interfaces": "127.0.0.1"}) as s:
        s.send("x@far.test", HELLO)
        wait_for("delivery by the fixed answer", lambda: sink.messages)
        doc = s.admin("dns", "override", "list")["overrides"]
        assert {o["name"].rstrip(".") for o in doc} == {"far.test", "mx.far.test"}, doc


def test_frozen_things_are_told():
    with Suite() as s:
        s.adminctl("queue", "freeze", "transport", "mailbox")
        s.send("alice@example.test", HELLO)
        time.sleep(0.5)
        assert s.mailbox("alice") == []
        assert "transport mailbox" in s.admin("queue", "stats")["frozen"]
        assert s.stop() == 0
        s.start()
        assert "transport mailbox" in s.admin("queue", "stats")["frozen"], "outlives a restart"
        assert s.mailbox("alice") == []
        s.adminctl("queue", "thaw", "transport", "mailbox")
        s.wait_mail("alice")


def test_an_ordinary_user_runs_it():
    """Development mode: no root, no chroot, no users; it works and says what is missing."""
    if os.geteuid() == 0:
        # The case has a process to itself.
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    with Sink() as sink, Suite({"relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        qid = s.send("alice@example.test", HELLO)
        s.send("x@far.test", HELLO)
        s.wait_mail("alice")
        wait_for("delivery by SMTP", lambda: sink.messages)
        s.wait_log("development mode.*missing: .*user")
        assert s.admin("system", "status")["development"] is True
        assert "was delivered to" in s.adminctl("trace", qid).stdout
        for p in s.admin("system", "confinement")["processes"]:
            if p["role"] != "master":
                assert p["seccomp"] and p["no_new_privs"], p
        assert s.postkeep("check").returncode == 0
        assert s.stop() == 0
        s.start()
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice", 2)
