# SPDX-License-Identifier: ISC
"""Mail for accounts: tables accounts:... that authd answers."""
import os
import re
import signal
import threading
import time

from harness.smtp import Sink
from harness.suite import Suite, wait_for

MAPS = {
    "virtual_mailbox_domains": "accounts:domains",
    "virtual_mailbox_maps": "accounts:users",
    "virtual_alias_maps": "accounts:aliases",
    "virtual_mailbox_quota_maps": "accounts:quotas",
    "recipient_delimiter": "+",
}


def add(s, user, *options):
    s.adminctl("user", "add", "--no-password", *options, user)


def rcpt(s, address):
    with s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test>")
        return int(c.cmd("RCPT TO:<%s>" % address)[0])


def test_changes_count_without_a_reload():
    # One worker: each remembers for smtpd_lookup_cache_time what it was told.
    with Suite({**MAPS, "smtpd_workers": "1"}) as s:
        s.adminctl("domain", "add", "example.test")
        wait_for("the domain is ours", lambda: rcpt(s, "alice@example.test") == 550, 5)
        add(s, "alice@example.test", "--quota", "1m")
        wait_for("alice exists", lambda: rcpt(s, "alice@example.test") == 250, 5)
        s.send("alice@example.test")
        s.wait_mail("example.test/alice")
        assert rcpt(s, "nobody@example.test") == 550
        tables = [r["table"] for r in s.admin("lookup", "status")["tables"]]
        assert "accounts:users" in tables and "static:rest" not in tables, tables
        address = s.admin("lookup", "address", "alice@example.test")
        assert address["routes"][0]["quota"] == 1 << 20, address
        shown = s.adminctl("user", "show", "alice@example.test").stdout
        assert "quota: 1.0 MB" in shown, shown
        assert re.search(r"^created_ms: 20\d\d-\d\d-\d\d \d\d:", shown, re.M), shown
        value = s.admin("table", "get", "accounts:users", "alice@example.test")
        assert value["answer"] == "example.test/alice/", value
        s.adminctl("--yes", "user", "delete", "alice@example.test")
        begun = time.monotonic()
        wait_for("alice is gone", lambda: rcpt(s, "alice@example.test") == 550, 6)
        assert time.monotonic() - begun < 5


def test_aliases_lead_on():
    sink = Sink()
    with sink, Suite({**MAPS, "relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        s.adminctl("domain", "add", "example.test")
        for user in ("a", "b", "c"):
            add(s, user + "@example.test")
        for i in range(8):
            s.adminctl("alias", "add", "n%d@example.test" % i, "n%d@example.test" % (i + 1))
        s.adminctl("alias", "add", "n8@example.test", "a@example.test", "list@example.test")
        s.adminctl("alias", "add", "list@example.test", "b@example.test", "c@example.test",
                   "d@far.test")
        s.adminctl("alias", "add", "l1@example.test", "l2@example.test")
        s.adminctl("alias", "add", "l2@example.test", "l1@example.test")
        s.send("n0@example.test")
        for user in ("a", "b", "c"):
            s.wait_mail("example.test/" + user)
        wait_for("the one elsewhere", lambda: len(sink.messages) == 1)
        s.send("l1@example.test")
        s.wait_log("mail forwarding loop")
        for user in ("a", "b", "c"):
            assert len(s.mailbox("example.test/" + user)) == 1


def test_F2_authd_is_killed_meanwhile():
    """Who cannot be told is asked for later: 451, never 550 for one who exists."""
    with Suite(MAPS) as s:
        s.adminctl("domain", "add", "example.test")
        for i in range(40):
            add(s, "u%d@example.test" % i)
        stop, codes = threading.Event(), []

        def ask(k):
            n = 0
            while not stop.is_set():
                codes.append(rcpt(s, "u%d+%d.%d@example.test" % (n % 40, k, n)))
                n += 1
        threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        for _ in range(6):
            time.sleep(0.7)
            for pid in s.pid_of("authd"):
                os.kill(pid, signal.SIGKILL)
        time.sleep(2)
        stop.set()
        for t in threads:
            t.join()
        print("  %d answers: %s" % (len(codes), {c: codes.count(c) for c in set(codes)}))
        assert set(codes) <= {250, 451}, set(codes)
        assert codes.count(250) > 50
        wait_for("all is well again", lambda: rcpt(s, "u1@example.test") == 250)


def test_F8_authd_stands_still():
    """A sibling that does not answer: deferred within the bound, other tables unharmed."""
    with Suite({**MAPS, "virtual_alias_maps": "inline:{quick@example.test=x@far.test}"}) as s:
        s.adminctl("domain", "add", "example.test")
        add(s, "alice@example.test")
        assert rcpt(s, "alice@example.test") == 250
        pids = s.pid_of("authd")
        time.sleep(3)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        assert rcpt(s, "alice@example.test") == 451
        assert time.monotonic() - begun < 15
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        wait_for("alice again", lambda: rcpt(s, "alice@example.test") == 250)


def test_a_catch_all_takes_no_users_mail():
    with Suite(MAPS) as s:
        s.adminctl("domain", "add", "example.test")
        for user in ("a", "b"):
            add(s, user + "@example.test")
        s.adminctl("alias", "add", "@example.test", "a@example.test")
        s.adminctl("alias", "add", "list@example.test", "b@example.test")
        for rcpt in ("b@example.test", "b+box@example.test", "list@example.test"):
            s.send(rcpt)
        s.send("anybody@example.test")
        wait_for("users' own mail", lambda: len(s.mailbox("example.test/b")) == 3)
        wait_for("the others' mail", lambda: len(s.mailbox("example.test/a")) == 1)
