# SPDX-License-Identifier: ISC
"""adminctl: sees and steers it all."""
import json
import os
import signal
import subprocess

from harness.smtp import Sink, queue_id
from harness.suite import Skip, Suite, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\nMessage-ID: <tr-1@src.test>\r\n\r\nhello\r\n"
STUCK = {"relayhost": "[127.0.0.1]:9", "retry_schedule": "1h", "minimal_backoff_time": "1h"}


def stuck(count=1, **conf):
    s = Suite({**STUCK, **conf})
    ids = [s.send("x%d@far.test" % i, HELLO, sender="alice@example.test") for i in range(count)]
    wait_for("all deferred",
             lambda: len([m for m in s.queue() if m["state"] == "deferred"]) == count)
    return s, ids


def test_queue_list_view_and_why():
    s, (qid,) = stuck()
    with s:
        text = s.adminctl("queue", "list").stdout
        assert qid in text and "deferred" in text and "x0@far.test" in text
        view = s.admin("queue", "view", qid)
        assert view["version"] == 1
        assert view["message"]["recipients"][0]["address"] == "x0@far.test"
        assert "efused" in json.dumps(view)
        assert b"hello" in s.adminctl("queue", "view", qid, "--content").stdout.encode()
        assert "efused" in s.adminctl("queue", "why", "far.test").stdout
        assert s.admin("queue", "stats")["deferred"] == 1


def test_hold_release_priority_delete():
    s, ids = stuck(3)
    with s:
        assert s.admin("queue", "hold", ids[0])["count"] == 1
        assert [m["state"] for m in s.queue("--state", "hold")] == ["hold"]
        assert s.admin("queue", "release", "state=hold")["count"] == 1
        s.adminctl("queue", "priority", ids[1], "4")
        assert s.admin("queue", "view", ids[1])["message"]["priority"] == 4
        refused = s.adminctl("queue", "delete", ids[1], check=False, stdin="")
        assert refused.returncode == 2, "destroying asks first"
        assert s.admin("queue", "delete", ids[1], "--yes")["count"] == 1
        assert sorted(s.queue_ids()) == sorted([ids[0], ids[2]])
        gone = s.adminctl("queue", "view", ids[1], check=False)
        assert gone.returncode == 3
        assert s.admin("queue", "delete", "all", "--yes")["count"] == 2
        s.wait_empty()
        assert s.mailbox("alice") == [], "delete tells nobody"


def test_expire_returns_to_sender():
    s, (qid,) = stuck()
    with s:
        s.adminctl("queue", "expire", qid, "--yes")
        assert b"x0@far.test" in s.wait_mail("alice")[0]
        s.wait_empty()


def test_retry_flush_requeue():
    with Sink() as sink:
        port = sink.port
    s = Suite({**STUCK, "relayhost": "[127.0.0.1]:%d" % port})
    with s:
        ids = [s.send("x%d@far.test" % i, HELLO) for i in range(3)]
        wait_for("deferred", lambda: len(s.queue("--state", "deferred")) == 3)
        with Sink(address=("127.0.0.1", port)) as sink:
            s.adminctl("queue", "retry", ids[0])
            wait_for("the retried one", lambda: len(sink.messages) >= 1)
            s.adminctl("queue", "flush", "far.test")
            wait_for("the rest", lambda: len(sink.messages) == 3)


def test_requeue_uses_the_changed_route():
    s, (qid,) = stuck()
    with s, Sink() as sink:
        s.write_conf(relayhost="[127.0.0.1]:%d" % sink.port)
        s.adminctl("system", "reload")
        s.adminctl("queue", "requeue", qid)
        wait_for("delivery by the new route", lambda: sink.messages)


def test_a_retry_follows_a_changed_table():
    """The route is decided at each attempt: no requeue is needed."""
    s = Suite(start=False)
    with s, Sink() as sink:
        s.write("transport", "far.test smtp:[127.0.0.1]:9\n")
        s.write_conf(transport_maps="texthash:%s/transport" % s.etc, retry_schedule="1h",
                     minimal_backoff_time="1h")
        s.start()
        qid = s.send("x@far.test", HELLO)
        wait_for("deferred", lambda: s.queue("--state", "deferred"))
        s.write("transport", "far.test smtp:[127.0.0.1]:%d\n" % sink.port)

        def arrives():
            s.adminctl("queue", "retry", qid, check=False)
            return sink.messages
        wait_for("delivery by the new route", arrives, 10, 0.5)


def test_freeze_and_thaw():
    with Sink() as sink, Suite({"relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        s.adminctl("queue", "freeze", "domain", "far.test")
        s.send("x@far.test", HELLO)
        s.send("y@near.test", HELLO)
        wait_for("the other domain", lambda: len(sink.messages) == 1)
        assert sink.messages[0].rcpts == ["y@near.test"]
        assert "frozen" in s.adminctl("queue", "why", "far.test").stdout
        s.adminctl("queue", "thaw", "domain", "far.test")
        wait_for("after the thaw", lambda: len(sink.messages) == 2)
        s.adminctl("queue", "freeze", "all")
        s.send("z@far.test", HELLO)
        wait_for("taken in", lambda: len(s.queue()) == 1)
        s.adminctl("queue", "thaw", "all")
        wait_for("after the second thaw", lambda: len(sink.messages) == 3)


def test_trace_tells_the_story():
    with Suite() as s:
        qid = s.send("bob@example.test", HELLO)
        s.wait_log(qid + ": removed")
        for what in (qid, "bob@example.test", "<tr-1@src.test>"):
            text = s.adminctl("trace", what).stdout
            assert qid in text, what
            assert "was delivered to <bob@example.test>" in text
            assert "is finished and was removed" in text
            assert "now: not in the queue" in text
        doc = s.admin("trace", qid)
        assert doc["messages"][0]["id"] == qid and doc["messages"][0]["now"] is None
        assert s.adminctl("trace", "nobody@nowhere.test", check=False).returncode == 3
        r = s.adminctl("queue", "remove", qid, check=False)
        assert r.returncode == 2 and "  queue delete " in r.stderr, r
        assert "dns" not in r.stderr, r


def test_trace_of_what_is_still_here_and_what_was_refused():
    s, (qid,) = stuck()
    with s:
        text = s.adminctl("trace", "x0@far.test").stdout
        assert "could not be delivered yet" in text and "in the queue, deferred" in text
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<a@src.test>")
            c.cmd("RCPT TO:<ghost@example.test>")
        s.wait_log("NOQUEUE: reject")
        assert "refused" in s.adminctl("trace", "ghost@example.test").stdout


def test_trace_without_a_log():
    s, (qid,) = stuck(maillog_file="")
    with s:
        for what in (qid, "x0@far.test", "alice@example.test"):
            text = s.adminctl("trace", what).stdout
            assert qid in text and "in the queue, deferred" in text, text
        assert s.adminctl("trace", "x9@far.test", check=False).returncode == 3


def test_trace_in_json_logs():
    with Suite({"maillog_format": "json"}) as s:
        qid = s.send("bob@example.test", HELLO)
        s.wait_log(qid + ": removed")
        for line in s.log().splitlines():
            json.loads(line)
        assert "was delivered to" in s.adminctl("trace", "bob@example.test").stdout


def test_config_show_set_check_diff():
    with Suite() as s:
        assert "myhostname = mx.example.test" in s.adminctl("config", "show", "myhostname").stdout
        s.adminctl("config", "set", "message_size_limit = 5000")
        diff = s.adminctl("config", "diff").stdout
        assert "message_size_limit" in diff and "5000" in diff
        s.adminctl("system", "reload")
        with s.client() as c:
            wait_for("the new limit", lambda: "SIZE 5000" in c.ehlo())
        assert "no difference" in s.adminctl("config", "diff").stdout
        bad = s.adminctl("config", "set", "message_size_limit = many", check=False)
        assert bad.returncode == 1 and "message_size_limit" in bad.stderr
        assert "5000" in open(os.path.join(s.etc, "main.cf")).read()
        unknown = s.adminctl("config", "set", "mesage_size_limit = 1", check=False)
        assert "message_size_limit" in unknown.stderr, "nearest name is offered"
        two = s.adminctl("config", "set", "bounce_queue_lifetime = 2d", "mynetworks = ::1/128",
                         check=False)
        assert two.returncode == 2 and "mynetworks is another" in two.stderr, two
        s.adminctl("config", "set", "smtp_tls_policy_maps = inline:{ {mynetworks = may} }")
        s.adminctl("config", "check")


def test_config_set_leaves_the_rest_alone():
    """The whole old value goes, also behind a comment; link, owner and mode stay."""
    s = Suite(start=False)
    real, link = os.path.join(s.etc, "real.cf"), os.path.join(s.etc, "main.cf")
    with s:
        with open(link, encoding="utf-8") as f:
            text = f.read()
        with open(real, "w", encoding="utf-8") as f:
            f.write(text + "mynetworks = 127.0.0.1\n# the old office\n\n  203.0.113.0/24\n"
                    "relay_domains = a.test\n")
        os.chmod(real, 0o640)
        if s.root:
            os.chown(real, 12345, 23456)
        before = os.stat(real)
        os.unlink(link)
        os.symlink("real.cf", link)
        s.adminctl("config", "set", "mynetworks = 192.0.2.1")
        shown = s.adminctl("config", "show", "mynetworks").stdout
        assert shown == "mynetworks = 192.0.2.1\n", shown
        assert "# the old office\n" in open(real, encoding="utf-8").read()
        assert "a.test" in s.adminctl("config", "show", "relay_domains").stdout
        assert os.path.islink(link)
        after = os.stat(real)
        for what in ("st_mode", "st_uid", "st_gid"):
            assert getattr(before, what) == getattr(after, what), what


def test_config_set_at_once():
    """Each of several that run at once is in the file afterwards."""
    names = ["smtpd_timeout", "smtpd_recipient_limit", "message_size_limit", "smtpd_hard_error_limit",
             "smtpd_soft_error_limit", "smtpd_junk_command_limit"]
    s = Suite(start=False)
    with s:
        for n in range(101, 111):
            runs = [subprocess.Popen([s.path("bin/adminctl"), "-c", s.etc, "config", "set",
                                      "%s = %d" % (name, n)], stdout=subprocess.DEVNULL)
                    for name in names]
            assert [r.wait(30) for r in runs] == [0] * len(names)
            text = open(os.path.join(s.etc, "main.cf"), encoding="utf-8").read()
            for name in names:
                assert "%s = %d\n" % (name, n) in text, name


def test_delete_while_addresses_are_looked_up():
    with Suite() as s:
        with s.client() as c:
            c.ehlo()
            c.cmd("MAIL FROM:<a@src.test>")
            c.cmd("RCPT TO:<alice@example.test>")
            c.cmd("DATA")
            stopped = s.pid_of("lookupd")
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            try:
                c.raw(HELLO + b".\r\n")
                qid = queue_id(c.reply()[1])
                s.wait_log(qid + ": from=")
                assert s.admin("queue", "delete", qid, "--yes")["count"] == 1
            finally:
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
        s.wait_empty()
        assert s.mailbox("alice") == []


def test_reload_changes_the_time_between_checkpoints():
    s, _ = stuck(queue_checkpoint_time="60s")
    with s:
        journal = os.path.join(s.conf["queue_directory"], "journal")
        before = os.listdir(journal)
        s.write_conf(queue_checkpoint_time="100ms")
        s.adminctl("system", "reload")
        wait_for("a checkpoint", lambda: os.listdir(journal) != before, 10)


def test_tables():
    s = Suite(start=False)
    with s:
        s.write("vmap", "info@example.test alice@example.test\n")
        s.adminctl("table", "build", s.etc + "/vmap")
        os.chmod(s.etc + "/vmap.lmdb", 0o644)
        s.write_conf(virtual_alias_maps="lmdb:%s/vmap" % s.etc)
        s.start()
        got = s.adminctl("table", "get", "lmdb:%s/vmap" % s.etc, "info@example.test").stdout
        assert "alice@example.test" in got
        s.send("info@example.test", HELLO)
        s.wait_mail("alice")
        s.write("vmap", "info@example.test bob@example.test\n")
        s.adminctl("table", "build", s.etc + "/vmap")
        os.chmod(s.etc + "/vmap.lmdb", 0o644)

        def bob():
            s.send("info@example.test", HELLO)
            return s.mailbox("bob")
        wait_for("the rebuilt table in use", bob, 10, 0.5)


def test_queue_check_and_rebuild():
    s, ids = stuck(5)
    with s:
        doc = s.admin("queue", "check")
        assert doc["problems"] == [], doc
        assert doc["messages"] == 5
        s.adminctl("queue", "rebuild", "--yes")

        def same():
            try:
                return sorted(s.queue_ids()) == sorted(ids)
            except AssertionError:          # one qmgr is about to follow the other
                return False
        wait_for("the same queue", same)


def test_system_commands():
    with Suite() as s:
        status = s.admin("system", "status")
        assert status["version"] == 1
        ping = s.admin("system", "ping")["processes"]
        assert ping and all(p["answered"] for p in ping), ping
        roles = {p["role"] for p in s.processes()}
        assert {"logd", "smtpd", "qmgr", "smtp", "lmtp", "mailbox", "bounce", "dnsd",
                "lookupd"} <= roles
        s.adminctl("system", "log-level", "debug")
        s.adminctl("system", "log-level", "info")
        s.send("alice@example.test", HELLO)
        s.wait_mail("alice")
        stats = s.admin("stats")
        assert stats["counters"]["smtpd_messages"] >= 1
        assert stats["counters"]["deliver_sent"] >= 1
        assert "smtpd_messages" in s.adminctl("stats").stdout


def test_changes_are_in_the_audit_log():
    s, (qid,) = stuck()
    with s:
        s.adminctl("queue", "hold", qid)
        s.wait_log(r"audit: uid=%d .*hold" % os.getuid())


def test_strangers_may_not():
    if os.geteuid() != 0:
        raise Skip("needs root to become somebody else")
    with Suite() as s:
        r = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                            s.path("bin/adminctl"), "-c", s.etc, "queue", "list"],
                           capture_output=True, text=True, timeout=30)
        assert r.returncode in (4, 5), (r.returncode, r.stdout, r.stderr)
        assert "ID" not in r.stdout


def test_usage_errors_and_help():
    s = Suite(start=False)
    with s:
        for args, status in ((["nonsense"], 2), (["queue", "hold"], 2),
                             (["queue", "list", "--bogus"], 2), (["queue", "list"], 4)):
            r = s.adminctl(*args, check=False)
            assert r.returncode == status, (args, r.returncode, r.stderr)
            assert r.stderr
        assert "queue list" in s.adminctl("help").stdout
        assert "--state" in s.adminctl("help", "queue", "list").stdout
        script = s.adminctl("completion", "bash").stdout
        test = script + '\nCOMP_WORDS=(adminctl queue re); COMP_CWORD=2; _adminctl; ' \
            'echo "${COMPREPLY[@]}"'
        out = subprocess.run(["bash", "-c", test], capture_output=True, text=True).stdout
        assert "retry" in out and "release" in out and "list" not in out
