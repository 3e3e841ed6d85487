# SPDX-License-Identifier: ISC
"""Accounts: what adminctl manages, and who logs in with it."""
import base64
import json
import os
import signal
import socket
import threading
import time

from harness.suite import Suite, wait_for


class Talk:
    """An SMTP session without TLS, over the Unix listener or TCP."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 20)
        self.f = self.s.makefile("rwb")
        self.reply()
        self.ehlo = self.command("EHLO client.example.test")[1]

    def reply(self):
        lines = []
        while True:
            line = self.f.readline().decode()
            assert line, "the server closed the connection"
            lines.append(line[4:].strip())
            if line[3:4] != "-":
                return int(line[:3]), lines

    def command(self, text):
        self.f.write(text.encode() + b"\r\n")
        self.f.flush()
        return self.reply()

    def plain(self, user, password):
        both = base64.b64encode(("\0%s\0%s" % (user, password)).encode()).decode()
        return self.command("AUTH PLAIN " + both)

    def close(self):
        self.s.close()


CLEAR = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_tls_auth_only": "no",
    "auth_mechanisms": "plain login scram-sha-256",
    "auth_failure_delay": "0",
}


def test_passwd_file():
    with Suite(conf=CLEAR, start=False) as s:
        s.write("users", "alice@example.test:{PLAIN}secret:::::\n")
        s.write_conf(auth_sources="passwd-file:" + os.path.join(s.etc, "users"))
        s.start()
        t = Talk(s.port)
        code, text = t.plain("alice@example.test", "wrong")
        assert code == 535, (code, text)
        code, text = t.plain("alice@example.test", "secret")
        assert code == 235, (code, text)


def add(s, user, password="secret", *options):
    return s.adminctl("user", "add", *options, user, stdin=password + "\n")


def test_adminctl_everything():
    with Suite(conf=CLEAR) as s:
        r = s.adminctl("user", "add", "alice@example.test", stdin="x\n", check=False)
        assert r.returncode == 3 and "adminctl domain add" in r.stderr, r
        s.adminctl("domain", "add", "example.test", "--quota", "1g", "--description", "ours")
        assert s.adminctl("domain", "add", "EXAMPLE.test", check=False).returncode == 1
        add(s, "Alice@Example.Test", "secret", "--quota", "2g")
        assert add_fails(s, "alice@example.test")
        s.adminctl("user", "add", "--no-password", "nobody@example.test")
        s.adminctl("alias", "add", "sales@example.test", "alice@example.test", "bob@far.test")
        s.adminctl("alias", "add", "@example.test", "alice@example.test")
        rows = s.admin("domain", "list")["domains"]
        assert [(d["name"], d["users"], d["aliases"], d["quota"]) for d in rows] == \
            [("example.test", 2, 2, 1 << 30)], rows
        users = s.admin("user", "list", "example.test")["users"]
        assert [(u["name"], u["has_password"]) for u in users] == \
            [("alice@example.test", True), ("nobody@example.test", False)], users
        assert [a["name"] for a in s.admin("alias", "list")["aliases"]] == \
            ["@example.test", "sales@example.test"]
        assert s.admin("alias", "show", "sales@example.test")["to"] == \
            ["alice@example.test", "bob@far.test"]

        # No hash is ever shown.
        for out in (s.adminctl("user", "show", "alice@example.test").stdout,
                    s.adminctl("--json", "user", "list").stdout,
                    s.adminctl("--json", "user", "show", "alice@example.test").stdout):
            assert "$" not in out and "SCRAM" not in out, out

        t = Talk(s.port)
        assert t.plain("alice@example.test", "secret")[0] == 235
        # auth_default_domain is $mydomain.
        assert Talk(s.port).plain("alice", "secret")[0] == 235
        t = Talk(s.port)
        assert t.plain("nobody@example.test", "")[0] != 235
        assert t.plain("nobody@example.test", "x")[0] == 535

        # A new password: the old one, though cached, is over in every worker.
        s.adminctl("user", "password", "alice@example.test", stdin="another\n")
        for _ in range(4):
            t = Talk(s.port)
            assert t.plain("alice@example.test", "secret")[0] == 535
            assert t.plain("alice@example.test", "another")[0] == 235

        app = s.admin("app-password", "add", "alice@example.test", "phone", "--services", "smtp")
        tv = s.admin("app-password", "add", "alice@example.test", "tv", "--services", "imap")
        assert len(app["password"]) == 20
        t = Talk(s.port)
        assert t.plain("alice@example.test", tv["password"])[0] == 535
        assert t.plain("alice@example.test", app["password"])[0] == 235
        names = [a["name"] for a in s.admin("app-password", "list", "alice@example.test")
                 ["app_passwords"]]
        assert names == ["phone", "tv"], names
        s.adminctl("app-password", "delete", "alice@example.test", "phone")
        assert Talk(s.port).plain("alice@example.test", app["password"])[0] == 535

        s.adminctl("user", "set", "alice@example.test", "--disable")
        assert Talk(s.port).plain("alice@example.test", "another")[0] == 535
        s.adminctl("user", "set", "alice@example.test", "--enable", "--quota", "")
        assert Talk(s.port).plain("alice@example.test", "another")[0] == 235
        assert "quota" not in s.admin("user", "show", "alice@example.test")

        r = s.adminctl("auth", "test", "alice@example.test", stdin="another\n")
        assert "right" in r.stdout, r
        assert s.adminctl("auth", "test", "alice@example.test", stdin="no\n",
                          check=False).returncode == 1

        r = s.adminctl("--yes", "domain", "delete", "example.test", check=False)
        assert r.returncode == 1 and "--force" in r.stderr, r
        s.adminctl("--yes", "domain", "delete", "example.test", "--force")
        assert s.admin("user", "list")["users"] == [] and s.admin("alias", "list")["aliases"] == []
        assert Talk(s.port).plain("alice@example.test", "another")[0] == 535
        log = s.log()
        assert "audit: uid=%d user password alice@example.test" % os.geteuid() in log
        for secret in ("secret", "another", app["password"]):
            assert secret not in log, secret


def add_fails(s, user, password="secret"):
    return s.adminctl("user", "add", user, stdin=password + "\n", check=False).returncode != 0


def test_import_export_round_trip():
    with Suite(conf=CLEAR) as s:
        s.adminctl("domain", "add", "example.test")
        add(s, "alice@example.test", "secret", "--senders", "sales@example.test @far.test")
        s.adminctl("app-password", "add", "alice@example.test", "phone")
        s.adminctl("alias", "add", "sales@example.test", "alice@example.test")
        first = s.adminctl("account", "export").stdout
        assert s.admin_import(first) == (0, 0, 3), "the same again changes nothing"
        s.adminctl("--yes", "domain", "delete", "example.test", "--force")
        assert s.adminctl("account", "export").stdout == ""
        assert s.admin_import(first) == (3, 0, 0)
        assert s.adminctl("account", "export").stdout == first
        assert Talk(s.port).plain("alice@example.test", "secret")[0] == 235
        # A line that is wrong stops it, and says which.
        bad = first + '{"kind": "user", "name": "bob@example.test", "pasword": "x"}\n'
        r = s.adminctl("account", "import", stdin=bad, check=False)
        assert r.returncode != 0 and "pasword" in r.stderr, r
        # The server counts within what it got at once: the note says from where.
        assert "record 4: " in r.stderr and "from 1 on" in r.stderr, r
        assert "(record 1 is that line)" in r.stderr, r


def import_counts(self, text):
    r = self.adminctl("--json", "account", "import", stdin=text)
    d = json.loads(r.stdout)
    return d["added"], d["changed"], d["same"]


Suite.admin_import = import_counts


def records(n, password="{PLAIN}secret"):
    """JSON lines of a domain and n users."""
    yield json.dumps({"kind": "domain", "name": "example.test"})
    for i in range(n):
        yield json.dumps({"kind": "user", "name": "user%06d@example.test" % i,
                          "password": password + "%d" % i})


def test_A14_thousand_users_none_mixed_up():
    """1,000 users with names that are near each other: each gets in as himself only."""
    near = ["alice", "alice+tag", "alice-x", "al.ice", "a", "alic\u00e9", "alice1", "\u0430lice"]
    lines = list(records(1000)) + [
        json.dumps({"kind": "user", "name": n + "@example.test", "password": "{PLAIN}pw-" + n})
        for n in near]
    with Suite(conf=dict(CLEAR, recipient_delimiter="+", auth_client_failure_limit="0",
                         auth_account_failure_limit="0", smtpd_hard_error_limit="100000",
                         smtpd_soft_error_limit="100000")) as s:
        assert s.admin_import("\n".join(lines))[0] == 1001 + len(near)
        t = Talk(s.port)
        for name in near:
            for other in near:
                code, _ = t.plain(name + "@example.test", "pw-" + other)
                assert (code == 235) == (name == other), (name, other, code)
                if code == 235:
                    t = Talk(s.port)
        # Written otherwise, the same account; never another.
        for form in ("ALICE@EXAMPLE.TEST", "alice@Example.test"):
            assert Talk(s.port).plain(form, "pw-alice")[0] == 235, form
            r = json.loads(s.adminctl("--json", "auth", "test", form, stdin="pw-alice\n").stdout)
            assert r["login"] == "alice@example.test", r
        for form in ("alice%example.test", "alice@example.test@example.test", "@example.test", "",
                     "alice+other@example.test", "example.test!alice", '"alice"@example.test',
                     "alice@example.test ", " alice@example.test", "alice\u200b@example.test"):
            t = Talk(s.port)
            code, text = t.plain(form, "pw-alice")
            assert code in (535, 501), (form, code, text)
        for i in range(0, 1000, 97):
            t = Talk(s.port)
            assert t.plain("user%06d@example.test" % i, "secret%d" % ((i + 1) % 1000))[0] == 535
            assert t.plain("user%06d@example.test" % i, "secret%d" % i)[0] == 235


def test_A14_hostile_names():
    with Suite(conf=CLEAR) as s:
        s.adminctl("domain", "add", "example.test")
        for name in ("a b@example.test", "a/b@example.test", "../x@example.test", "@example.test",
                     "a%b@example.test", "x!a@example.test", "a:b@example.test", "example.test",
                     ".a@example.test", "a..b@example.test", "a\u202eb@example.test",
                     "a" * 65 + "@example.test", "a@" + "x" * 64 + ".test", "a@[127.0.0.1]",
                     "a\\b@example.test", "a,b@example.test", "a\n@example.test"):
            assert add_fails(s, name), name
        for domain in ("", "a b", "x" * 64 + ".test", "../x", "[1.2.3.4]", "a..b", "\u202e.test"):
            assert s.adminctl("domain", "add", domain, check=False).returncode != 0, domain
        for box in ("/etc/passwd", "../x", "a/../b", ".hidden", "a/.b"):
            r = s.adminctl("user", "add", "--mailbox", box, "alice@example.test", stdin="x\n",
                           check=False)
            assert r.returncode != 0, box
        assert s.admin("user", "list")["users"] == []
        s.adminctl("domain", "add", "b\u00fccher.test")
        assert "xn--bcher-kva.test" in [d["name"] for d in s.admin("domain", "list")["domains"]]
        add(s, "J\u00fcrgen@B\u00dcCHER.test")
        assert Talk(s.port).plain("ju\u0308rgen@xn--bcher-kva.test", "secret")[0] == 235
        # An alias may not take a user's mail away.
        assert s.adminctl("alias", "add", "j\u00fcrgen@b\u00fccher.test", "x@far.test",
                          check=False).returncode != 0


def test_failures_are_limited_and_owners_get_in():
    conf = dict(CLEAR, auth_client_failure_limit="5", auth_account_failure_limit="8",
                smtpd_hard_error_limit="1000", smtpd_soft_error_limit="1000",
                smtpd_client_ipv4_prefix_length="32")
    with Suite(conf=conf) as s:
        s.admin_import("\n".join(records(3)))
        assert Talk(s.port).plain("user000001@example.test", "secret1")[0] == 235
        t = Talk(s.port)
        for _ in range(5):
            assert t.plain("user000000@example.test", "wrong")[0] == 535
        # Over the limit, also with the right password; but not into an account it knows.
        assert t.plain("user000000@example.test", "secret0")[0] == 454
        assert t.plain("user000001@example.test", "secret1")[0] == 235
        rows = s.admin("auth", "failures", "list")["failures"]
        assert {"127.0.0.1/32", "user000000@example.test"} <= {r["name"] for r in rows}, rows
        s.adminctl("auth", "failures", "clear", "127.0.0.1")
        t = Talk(s.port)
        assert t.plain("user000000@example.test", "secret0")[0] == 235
        # A client that got in once is counted apart; the list shows that too, and it is forgiven.
        pair = "127.0.0.1/32 user000000@example.test"
        for name in ("127.0.0.1", "user000000@example.test", pair, None):
            t = Talk(s.port)
            for _ in range(5):
                assert t.plain("user000000@example.test", "wrong")[0] == 535
            assert t.plain("user000000@example.test", "secret0")[0] == 454
            rows = s.admin("auth", "failures", "list")["failures"]
            assert ("pair", pair, 5) in [(r["kind"], r["name"], r["count"]) for r in rows], rows
            s.adminctl("auth", "failures", "clear", *([name] if name else []))
            t = Talk(s.port)
            assert t.plain("user000000@example.test", "secret0")[0] == 235, name


def test_killed_while_changing():
    """kill -9 of all authd while users are added: whatever was acknowledged is there."""
    with Suite(conf=CLEAR) as s:
        s.adminctl("domain", "add", "example.test")
        stop = threading.Event()

        def killer():
            while not stop.is_set():
                time.sleep(0.15)
                for pid in s.pid_of("authd")[:1]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass

        k = threading.Thread(target=killer)
        k.start()
        known = []
        try:
            end = time.monotonic() + 5
            i = 0
            while time.monotonic() < end:
                i += 1
                user = "user%d@example.test" % i
                r = s.adminctl("user", "add", "--no-password", user, check=False)
                if r.returncode == 0:
                    known.append(user)
        finally:
            stop.set()
            k.join()
        assert len(known) > 5, known
        wait_for("authd", lambda: s.adminctl("user", "list", check=False).returncode == 0)
        there = {u["name"] for u in s.admin("user", "list")["users"]}
        assert set(known) <= there, set(known) - there


def test_killed_while_importing():
    """kill -9 of authd during an import: every batch is there whole or not at all."""
    with Suite(conf=CLEAR) as s:
        lines = list(records(20000))
        stop = threading.Event()

        def killer():
            time.sleep(0.3)
            while not stop.is_set():
                for pid in s.pid_of("authd"):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
                time.sleep(0.5)

        k = threading.Thread(target=killer)
        k.start()
        try:
            r = s.adminctl("--json", "account", "import", stdin="\n".join(lines), check=False)
        finally:
            stop.set()
            k.join()
        acknowledged = json.loads(r.stdout)
        assert r.returncode != 0, "it was over before the first kill"
        count = acknowledged["added"]
        wait_for("authd", lambda: s.adminctl("domain", "list", check=False).returncode == 0)
        there = len(s.admin("user", "list")["users"])
        domains = len(s.admin("domain", "list")["domains"])
        # The batch under way may have come to the disk without its answer.
        assert count <= there + domains <= count + 200, (count, there, domains)
        assert (there + domains) % 200 == 0, there
        # And the same once more makes it whole.
        assert s.admin_import("\n".join(lines))[2] == there + domains
        assert len(s.admin("user", "list")["users"]) == 20000


def test_check_names_a_source_that_cannot_be_opened():
    with Suite(conf=CLEAR, start=False) as s:
        for value, words in (("passwd-file:/nonexistent/users", "/nonexistent/users"),
                             ("accuonts", "none of accounts"),
                             ("passwd-file", "needs a file"),
                             ("accounts:x", "has no argument")):
            s.write_conf(auth_sources=value)
            r = s.postkeep("check")
            assert r.returncode != 0 and words in r.stderr + r.stdout, (value, r)
        s.write_conf(auth_sources="accounts")
        assert s.postkeep("check").returncode == 0


def test_a_weak_hash_is_made_anew():
    with Suite(conf=CLEAR) as s:
        s.admin_import("\n".join(records(1)))
        before = s.adminctl("account", "export").stdout
        assert "{PLAIN}secret0" in before
        assert Talk(s.port).plain("user000000@example.test", "secret0")[0] == 235
        s.wait_log("made anew as yescrypt")
        after = s.adminctl("account", "export").stdout
        assert "{PLAIN}" not in after and "$y$" in after
        assert Talk(s.port).plain("user000000@example.test", "secret0")[0] == 235


def test_mail_for_accounts():
    """Domains, users, aliases and quotas of the accounts, from RCPT to the mailbox."""
    conf = dict(CLEAR, virtual_mailbox_domains="accounts:domains",
                virtual_mailbox_maps="accounts:users", virtual_alias_maps="accounts:aliases",
                recipient_delimiter="+")
    with Suite(conf=conf) as s:
        s.adminctl("domain", "add", "example.org")
        add(s, "alice@example.org")
        s.adminctl("alias", "add", "sales@example.org", "alice@example.org")
        with s.client() as c:
            c.ehlo()
            assert c.cmd("MAIL FROM:<x@src.test>")[0] == 250
            for rcpt, code in (("alice@example.org", 250), ("alice+tag@example.org", 250),
                               ("SALES@example.org", 250), ("bob@example.org", 550),
                               ("alice%example.org@example.org", 550)):
                got = c.cmd("RCPT TO:<%s>" % rcpt)
                assert got[0] == code, (rcpt, got)


def test_reload_to_other_sources():
    """Other sources need another authd: it comes by itself, and sessions live on."""
    with Suite(conf=dict(CLEAR, auth_client_failure_limit="0",
                         auth_account_failure_limit="0")) as s:
        s.admin_import("\n".join(records(1)))
        t = Talk(s.port)
        assert Talk(s.port).plain("user000000@example.test", "secret0")[0] == 235
        path = s.write("users", "bob@example.test:{SSHA512}vULKAH1vgkywqqBijCoF4g3McFG8NpQvajbfa/"
                       "yrV7efEjbQG2IYXcrqq7eKe8rziEBlhjEvlGe5BGg9WQVVTAEWduA=::::::\n")
        s.write_conf(auth_sources="passwd-file:%s, accounts" % path)
        before = s.pid_of("authd")
        assert s.postkeep("reload").returncode == 0
        wait_for("another authd", lambda: s.pid_of("authd") and s.pid_of("authd") != before)
        wait_for("bob", lambda: Talk(s.port).plain("bob@example.test", "correct horse")[0] == 235)
        assert t.plain("user000000@example.test", "secret0")[0] == 235
        # A file that is replaced is read again.
        s.write("users", "carol@example.test:{PLAIN}x::::::\n")
        wait_for("carol", lambda: Talk(s.port).plain("carol@example.test", "x")[0] == 235)
        assert Talk(s.port).plain("bob@example.test", "correct horse")[0] == 535


def test_A15_failures_are_answered_late_and_alike():
    with Suite(conf=dict(CLEAR, auth_failure_delay="1s")) as s:
        s.admin_import("\n".join(records(1)))
        answers = set()
        for user, password in (("user000000@example.test", "wrong"), ("nobody@example.test", "x"),
                               ("no body", "x")):
            t = Talk(s.port)
            start = time.monotonic()
            code, text = t.plain(user, password)
            answers.add((code, tuple(text)))
            took = time.monotonic() - start
            assert 1 <= took < 3.5, (user, took)
        assert len(answers) == 1, answers
        start = time.monotonic()
        assert Talk(s.port).plain("user000000@example.test", "secret0")[0] == 235
        assert time.monotonic() - start < 1
