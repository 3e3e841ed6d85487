# SPDX-License-Identifier: ISC
"""What the queue knows of who sent a message, and mail that waits for its time."""
import base64
import os
import signal
import time

from harness import smtp
from harness.smtp import Sink
from harness.suite import Suite, free_port, wait_for


BODY = b"Subject: hello\r\n\r\nx\r\n"


def submission(sink, **conf):
    port = free_port()
    s = Suite({"smtpd_sasl_auth_enable": "no", "submission_smtpd_sasl_auth_enable": "yes",
               "smtpd_tls_auth_only": "no", "auth_mechanisms": "plain",
               "submission_listener_class": "submission", "retry_schedule": "1h",
               "minimal_backoff_time": "1h", "mynetworks": "",
               "relayhost": "[127.0.0.1]:%d" % sink.port, **conf}, start=False)
    local = s.write("local", "".join("%s@example.test:{PLAIN}secret:::::\n" % u
                                     for u in ("alice", "bob")))
    s.write_conf(listeners=s.conf["listeners"] + ", submission:inet:127.0.0.1:%d" % port,
                 auth_sources="passwd-file:" + local)
    s.submission = port
    s.start()
    return s


def session(s, user="alice@example.test"):
    c = smtp.Client(s.submission)
    c.ehlo()
    c.expect(235, "AUTH PLAIN " +
             base64.b64encode(("\0%s\0secret" % user).encode()).decode())
    return c


def one(s, message_id):
    return next(m for m in s.queue() if m["id"] == message_id)


def test_login_shows_in_the_queue():
    with Sink({"rcpt": lambda session, arg: "450 4.2.0 busy"}) as sink, submission(sink) as s:
        with session(s) as c:
            mine = c.send("alice@example.test", ["x@far.test"], BODY)
        s.wait_log(mine + r": to=<x@far\.test>, .*status=deferred")
        m = one(s, mine)
        assert (m["class"], m["sasl_username"]) == ("submission", "alice@example.test"), m
        assert "alice@example.test" in s.adminctl("queue", "view", mine).stdout
        assert "logged in as alice@example.test" in s.adminctl("trace", mine).stdout
        s.stop()
        s.start()
        assert one(s, mine)["sasl_username"] == "alice@example.test"
        s.adminctl("--yes", "queue", "rebuild")
        wait_for("the rebuilt one", lambda: one(s, mine).get("sasl_username") ==
                 "alice@example.test")


def test_F8_waits_while_authd_is_away():
    """Not lost, not delivered unchecked: asked again when authd is back."""
    with Sink() as sink, submission(sink) as s:
        with session(s) as c:
            pids = s.pid_of("authd")
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            mine = c.send("alice@example.test", ["x@far.test"], BODY)
        time.sleep(2)
        assert sink.messages == []
        m = one(s, mine)
        assert "sasl_username" not in m and m["state"] in ("incoming", "deferred"), m
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_for("its delivery", lambda: len(sink.messages) == 1, 60)
        s.wait_log(mine + ": removed")


def test_future_release():
    with Sink() as sink, submission(sink) as s:
        with session(s) as c:
            c.expect(250, "MAIL FROM:<alice@example.test> HOLDFOR=3")
            c.expect(250, "RCPT TO:<soon@far.test>")
            c.data(b"Subject: soon\r\n\r\nx\r\n")
        with session(s) as c:
            c.expect(250, "MAIL FROM:<alice@example.test> HOLDFOR=86400")
            c.expect(250, "RCPT TO:<later@far.test>")
            c.data(b"Subject: later\r\n\r\nx\r\n")
        begun = time.monotonic()
        waiting = s.queue()
        later = next(m for m in waiting if m["recipients"][0]["address"] == "later@far.test")
        assert later["state"] == "deferred" and later["class"] == "submission", later
        assert abs(later["hold_until_ms"] / 1000 - time.time() - 86400) < 20, later
        assert abs(later["next_ms"] / 1000 - time.time() - 86400) < 20, later
        s.adminctl("queue", "flush", check=False)
        s.adminctl("--yes", "queue", "retry", "all", check=False)
        s.adminctl("--yes", "queue", "release", "all", check=False)
        time.sleep(1)
        assert sink.messages == []
        wait_for("the first one", lambda: len(sink.messages) == 1, 15)
        assert time.monotonic() - begun > 1.5
        s.stop()
        s.start()
        time.sleep(1)
        assert len(sink.messages) == 1 and one(s, later["id"])["hold_until_ms"] == \
            later["hold_until_ms"]
        s.adminctl("--yes", "queue", "release", later["id"])
        wait_for("the other one, let go", lambda: len(sink.messages) == 2)
