# SPDX-License-Identifier: ISC
"""Accounts in databases and directories: the real servers, hostile names, servers that lie."""
import base64
import os
import signal
import socket
import subprocess
import threading
import time

from harness.databases import MariaDB, Postgres, Proxy, Redis, Slapd, SQLite
from harness.suite import Suite, wait_for

CLEAR = {
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_tls_auth_only": "no",
    "auth_mechanisms": "plain",
    "auth_failure_delay": "0",
    "auth_client_failure_limit": "0",
    "auth_account_failure_limit": "0",
    "auth_cache_ttl": "0",
    "auth_source_timeout": "2s",
    "listener_class": "submission",
    "smtpd_hard_error_limit": "1000",
    "smtpd_soft_error_limit": "1000",
}
MAPS = {
    "virtual_mailbox_domains": "accounts:domains",
    "virtual_mailbox_maps": "accounts:users",
    "virtual_alias_maps": "accounts:aliases",
    "virtual_mailbox_quota_maps": "accounts:quotas",
}

# Quotes, backslashes, comments, wild cards, filter signs, overlong and broken UTF-8, NUL, length.
HOSTILE = [
    b"' OR '1'='1", b"' OR 1=1 -- ", b"\\' OR 1=1 #", b"'; DROP TABLE users; --",
    b"alice@example.test' --", b"alice@example.test\\", b"alice@example.test';",
    b"\" OR \"\"=\"", b"`", b"%", b"%u", b"a%@example.test", b"_lice@example.test",
    b"alice@example.test)(|(mail=*", b"*", b"*)(uid=*", b"\\2a", b"a*@example.test",
    b"alice@example.test)(userPassword=*", b"$1", b"?", b"%s%n%n%n", b":u", b"{SCHEME}",
    b"\xc0\xa7 OR 1=1", b"\xe0\x80\xa7", b"\xbf'", b"\xff\xfe", b"\xe2\x80\x99 OR 1=1",
    b"alice@example.test\x00", b"alice@example.test\x00' OR 1=1", b"\x00alice@example.test",
    b"alice@example.test\r\n", b"a" * 300 + b"@example.test", b"alice@" + b"x" * 300,
    b"", b"@", b"@example.test", b"alice@", b"alice@example.test@example.test",
    b"ALICE@EXAMPLE.TEST ", b" alice@example.test", b"alice @example.test",
    "älice@example.test".encode(), "\u0430lice@example.test".encode(),
    b"o''hara@example.test", b"-1' UNION SELECT 'x','{PLAIN}x",
]
# In the local part of an address these are valid.
HOSTILE_RCPT = [
    "'or'1'='1", "alice'--", "x';drop", "a%27", "*", "al*ce", "alice\\", "{alice}", "$1", "a%b",
    "`id`", "alice'||'", "_lice", "al?ce", "|x", "a&b", "#",
]


class Talk:
    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 30)
        self.f = self.s.makefile("rwb")
        self.reply()
        self.command(b"EHLO client.example.test")

    def reply(self):
        while True:
            line = self.f.readline()
            assert line, "the server closed the connection"
            if line[3:4] != b"-":
                return int(line[:3])

    def command(self, text):
        self.f.write(text + b"\r\n")
        self.f.flush()
        return self.reply()

    def plain(self, user, password):
        return self.command(b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password))

    def close(self):
        self.s.close()


def login(s, user, password):
    t = Talk(s.port)
    code = t.plain(user.encode() if isinstance(user, str) else user, password.encode())
    t.close()
    return code


SCHEMA = """CREATE TABLE users (username varchar(200) PRIMARY KEY, password varchar(200),
 mailbox varchar(200), quota varchar(20), disabled varchar(1));
CREATE TABLE domains (name varchar(200) PRIMARY KEY);
CREATE TABLE aliases (address varchar(200), target varchar(200));
INSERT INTO users VALUES ('alice@example.test', '{PLAIN}secret', 'alice/', '1G', 'n');
INSERT INTO users VALUES ('bob@example.test', '{PLAIN}bobs', NULL, NULL, NULL);
INSERT INTO users VALUES ('o''hara@example.test', '{PLAIN}irish', 'ohara/', NULL, 'n');
INSERT INTO users VALUES ('off@example.test', '{PLAIN}secret', NULL, NULL, 'y');
INSERT INTO users VALUES ('full@example.test', 'secret', 'full/', '1x', 'n');
INSERT INTO domains VALUES ('example.test');
INSERT INTO aliases VALUES ('both@example.test', 'alice@example.test');
INSERT INTO aliases VALUES ('both@example.test', 'bob@example.test');
INSERT INTO aliases VALUES ('second@example.test', '''; DROP TABLE users; --@example.test');
INSERT INTO aliases VALUES ('second@example.test', '"'' OR 1=1"@example.test');
"""

# Quotes as people write them; %% is a percent sign.
QUERIES = {
    "password_query": "SELECT username AS user, password, disabled, quota FROM users\n"
                      "    WHERE username = '%u' AND username NOT LIKE '%%!%%'",
    "user_query": "SELECT mailbox FROM users WHERE username = '%n@%d'",
    "domain_query": "SELECT name FROM domains WHERE name = %d",
    "alias_query": "SELECT target FROM aliases WHERE address = '%u'",
    "quota_query": "SELECT quota FROM users WHERE username = \n  '%u'",
}


def source_file(s, db, hosts, extra=None, queries=None):
    text = "".join("%s = %s\n" % kv for kv in {
        **({"hosts": hosts} if hosts else {}), **db.settings,
        **(QUERIES if queries is None else queries), **(extra or {})}.items())
    return s.write("source.cf", "# accounts\n" + text)


def suite_on(kind, db, hosts, extra=None, queries=None):
    s = Suite({**CLEAR, **MAPS}, start=False)
    s.write_conf(auth_sources="%s:%s" %
                 (kind, source_file(s, db, hosts, extra, queries)))
    s.start()
    return s


def check_logins(s):
    assert login(s, "alice@example.test", "secret") == 235
    assert login(s, "alice@example.test", "wrong") == 535
    assert login(s, "nobody@example.test", "secret") == 535
    assert login(s, "off@example.test", "secret") == 535
    assert login(s, "bob@example.test", "bobs") == 235
    assert login(s, "o'hara@example.test", "irish") == 235


def check_mail(s):
    s.send(["alice@example.test", "bob@example.test", "o'hara@example.test"])
    s.wait_mail("alice")
    s.wait_mail("ohara")
    s.wait_mail("example.test/bob")
    s.send("both@example.test", b"Subject: both\r\n\r\nx\r\n")
    s.wait_mail("alice", 2)
    s.wait_mail("example.test/bob", 2)
    with s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test>")
        c.expect(550, "RCPT TO:<nobody@example.test>")


def check_hostile(s):
    """A12: as a login, as a recipient, and out of the database again."""
    for name in HOSTILE:
        for password in ("secret", "x"):
            try:
                t = Talk(s.port)
                code = t.plain(name, password.encode())
                t.close()
            except AssertionError as e:
                code = e
            assert code in (535, 501, 500), (name, code)
    with s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test>")
        for local in HOSTILE_RCPT:
            code = int(c.cmd("RCPT TO:<%s@example.test>" % local)[0])
            assert code in (550, 501, 553), (local, code)
            code = int(c.cmd('RCPT TO:<"%s"@example.test>' % local.replace("\\", "\\\\"))[0])
            assert code in (550, 501, 553), (local, code)
        c.cmd("RSET")
    # Second order: what an alias holds is asked for in its turn.
    s.send("second@example.test", sender="")
    time.sleep(1)
    assert not [line for line in s.log().splitlines()
                if "_query: " in line or "_filter: " in line], s.log()[-3000:]


def canary(db):
    return db.sql("SELECT count(*) FROM users;\n").strip()


def sql_story(kind, db, hosts, extra=None):
    with suite_on(kind, db, hosts, extra) as s:
        check_logins(s)
        check_mail(s)
        before = canary(db)
        check_hostile(s)
        assert canary(db) == before
        # A change counts without a reload; a value without form is no user.
        db.sql("INSERT INTO users VALUES ('new@example.test', '{PLAIN}fresh', NULL, NULL, NULL);\n")
        assert login(s, "new@example.test", "fresh") == 235
        wait_for("mail for the new one", lambda: s.send("new@example.test"))
        db.sql("DELETE FROM users WHERE username = 'new@example.test';\n")
        assert login(s, "new@example.test", "fresh") == 535
        assert login(s, "full@example.test", "secret") == 454
        s.wait_log("has not the form it should have")


def test_A12_sqlite():
    with SQLite() as db:
        db.sql(SCHEMA)
        sql_story("sqlite", db, None)


def test_A12_pgsql():
    with Postgres() as db:
        db.sql(SCHEMA)
        db.grants()
        sql_story("pgsql", db, "127.0.0.1:%d" % db.port)


def test_A12_mysql():
    with MariaDB() as db:
        db.create()
        db.sql(SCHEMA)
        db.grants()
        sql_story("mysql", db, "127.0.0.1:%d" % db.port)


PEOPLE = "".join(
    "dn: cn=%d,dc=test\nobjectClass: inetOrgPerson\ncn: %d\nsn: x\nmail: %s\n"
    "userPassword: %s\nemployeeType: %s\n%s\n" % (i, i, mail, password, off, more)
    for i, (mail, password, off, more) in enumerate([
        ("alice@example.test", "{PLAIN}secret", "no", "roomNumber: alice/\n"),
        ("bob@example.test", "{PLAIN}bobs", "no", ""),
        ("o'hara@example.test", "{PLAIN}irish", "no", "roomNumber: ohara/\n"),
        ("off@example.test", "{PLAIN}secret", "yes", ""),
    ])) + """dn: cn=list,dc=test
objectClass: inetOrgPerson
cn: list
sn: both@example.test
description: alice@example.test
description: bob@example.test

dn: cn=list2,dc=test
objectClass: inetOrgPerson
cn: list2
sn: second@example.test
description: *)(mail=*@example.test
description: "*"@example.test

dn: o=example.test,dc=test
objectClass: organization
o: example.test

"""
FILTERS = {
    "user_filter": "(&(objectClass=inetOrgPerson)(mail=%u))",
    "disabled_attribute": "employeeType",
    "mailbox_filter": "(&(objectClass=inetOrgPerson)(mail=%n@%d))",
    "mailbox_attribute": "roomNumber",
    "domain_filter": "(&(objectClass=organization)(o=%d))",
    "alias_filter": "(sn=%u)",
    "alias_attribute": "description",
}


def test_A12_ldap():
    with Slapd() as db:
        db.ldif(PEOPLE)
        with suite_on("ldap", db, "ldap://127.0.0.1:%d" % db.port, queries=FILTERS) as s:
            check_logins(s)
            check_mail(s)
            check_hostile(s)


# ---- A20: who is it that asks for the password? ----

def certificates(where):
    """CA, a certificate of it for 127.0.0.1, and one of another CA for the same address."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=where)
    for ca, leaf in (("ca", "good"), ("other", "bad")):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", ca + ".key", "-out", ca + ".pem", "-subj", "/CN=" + ca, "-days", "9")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", leaf + ".key", "-out", leaf + ".csr", "-subj", "/CN=127.0.0.1")
        with open(os.path.join(where, "ext"), "w") as f:
            f.write("subjectAltName=IP:127.0.0.1,DNS:127.0.0.1\n")
        openssl("x509", "-req", "-in", leaf + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key",
                "-CAcreateserial", "-out", leaf + ".pem", "-days", "9", "-extfile", "ext")
    return [os.path.join(where, n) for n in
            ("ca.pem", "good.pem", "good.key", "bad.pem", "bad.key")]


def tls_story(make, kind, hosts, extra, fill, queries=None):
    with SQLite() as place:
        ca, good, good_key, bad, bad_key = certificates(place.dir)
        for cert, key, want in ((good, good_key, 235), (bad, bad_key, 454)):
            with make(tls=(cert, key)) as db:
                fill(db)
                with suite_on(kind, db, hosts % db.port, dict(extra, tls_ca_file=ca),
                              queries=queries) as s:
                    code = login(s, "alice@example.test", "secret")
                    assert code == want, (cert, code, s.log()[-1500:])


def fill_sql(db):
    if hasattr(db, "create"):
        db.create()
    db.sql(SCHEMA)
    db.grants()


def test_A20_pgsql_in_the_middle():
    tls_story(Postgres, "pgsql", "127.0.0.1:%d", {"tls": "verify"}, fill_sql)


def test_A20_mysql_in_the_middle():
    tls_story(MariaDB, "mysql", "127.0.0.1:%d", {"tls": "verify"}, fill_sql)


def test_A20_ldap_in_the_middle():
    tls_story(Slapd, "ldap", "ldap://127.0.0.1:%d", {"tls": "verify", "start_tls": "yes"},
              lambda db: db.ldif(PEOPLE), FILTERS)


# ---- F8: servers that are down, slow, lying ----

def timed(s, user, password):
    begun = time.monotonic()
    return login(s, user, password), time.monotonic() - begun


def crowd(s, n):
    """n logins at once of one whose account is there; their codes and the longest wait."""
    got = []
    threads = [threading.Thread(target=lambda: got.append(
        timed(s, "alice@example.test", "secret"))) for _ in range(n)]
    for t in threads:
        t.start()
    # Who is in another source is served meanwhile.
    begun = time.monotonic()
    assert login(s, "local@example.test", "here") == 235
    other = time.monotonic() - begun
    for t in threads:
        t.join()
    return {code for code, _ in got}, max(wait for _, wait in got), other


def lying_story(kind, db, host, queries=None):
    proxy = Proxy(db.port)
    with suite_lying(kind, db, host % proxy.port, queries) as s:
        # The first connection of a server that has just started may take its time.
        wait_for("a first login", lambda: login(s, "alice@example.test", "secret") == 235)
        for mode in ("down", "silent", "slow", "cut", "half", "garbage"):
            proxy.set(mode)
            codes, wait, other = crowd(s, 20)
            print("  %s %s: longest %.1f s, others %.2f s" % (kind, mode, wait, other))
            assert codes == {454}, (mode, codes)
            # auth_source_timeout is 2 s: one wait for it, and the switch opens.
            assert wait < 6, (mode, wait)
            assert other < 1, (mode, other)
            before = proxy.accepted
            assert crowd(s, 20)[0] == {454}, mode
            assert proxy.accepted - before <= 10, "the switch is not open"
            proxy.set("pass")
            wait_for("answers again after " + mode,
                     lambda: login(s, "alice@example.test", "secret") == 235, 40, 0.3)
        s.wait_log("answers again")
        assert not [line for line in s.log().splitlines() if "panic" in line or "fatal" in line]


def suite_lying(kind, db, host, queries):
    s = Suite({**CLEAR, **MAPS}, start=False)
    local = s.write("local", "local@example.test:{PLAIN}here:::::\n")
    s.write_conf(auth_sources="passwd-file:%s %s:%s" %
                 (local, kind, source_file(s, db, host, {"tls": "disable"}, queries)))
    s.start()
    return s


def test_F8_pgsql_lies():
    with Postgres() as db:
        fill_sql(db)
        lying_story("pgsql", db, "127.0.0.1:%d")


def test_F8_mysql_lies():
    with MariaDB() as db:
        fill_sql(db)
        lying_story("mysql", db, "127.0.0.1:%d")


def test_F8_ldap_lies():
    with Slapd() as db:
        db.ldif(PEOPLE)
        lying_story("ldap", db, "ldap://127.0.0.1:%d", FILTERS)


def test_F8_restart_is_not_seen():
    """Connections that were idle when the server was restarted are made anew."""
    with Postgres() as db:
        fill_sql(db)
        with suite_on("pgsql", db, "127.0.0.1:%d" % db.port) as s:
            assert login(s, "alice@example.test", "secret") == 235
            db.stop()
            db.start()
            assert login(s, "alice@example.test", "secret") == 235


def test_bad_file_is_said():
    with SQLite() as db:
        db.sql(SCHEMA)
        for queries, words in (
                ({"password_query": "SELECT '%x'"}, "write %% for a percent sign"),
                ({"password_querry": "SELECT 1"}, "unknown name"),
                ({"password_query": "SELECT 1; DROP TABLE users"}, "one statement"),
                ({"password_query": 'SELECT "%u" FROM users'}, "not for names of columns")):
            s = Suite({**CLEAR}, start=False)
            try:
                s.write_conf(auth_sources="sqlite:" + source_file(s, db, None, None, queries))
                s.start(wait=False)
                wait_for(words, lambda: words in s.errors() + s.log(), 20)
            finally:
                s.clean()


# ---- failed logins that machines share ----

def sharing(db, **conf):
    s = Suite({**CLEAR, "auth_client_failure_limit": "6", **conf}, start=False)
    secret = s.write("redis", "redis secret\n")
    local = s.write("local", "local@example.test:{PLAIN}here:::::\n")
    s.write_conf(auth_sources="passwd-file:" + local, auth_redis_password_file=secret,
                 auth_redis_server="127.0.0.1:%d" % db.port)
    s.start()
    return s


def test_machines_share_failed_logins():
    with Redis() as db, sharing(db) as a, sharing(db) as b:
        assert login(a, "local@example.test", "here") == 235
        wait_for("both are connected", lambda: len(clients(db)) >= 2)
        for s in (a, b, a, b, a, b):
            assert login(s, "nobody@example.test", "x") == 535
            time.sleep(0.05)
        # Six by both of them, three by each.
        for s in (a, b):
            assert login(s, "other@example.test", "x") == 454
        # One that got in at a machine before is known at the other one.
        assert login(b, "local@example.test", "here") == 235
        assert login(a, "local@example.test", "here") == 235


def clients(db):
    r = subprocess.run(["redis-cli", "-p", str(db.port), "-a", "redis secret", "client", "list"],
                       capture_output=True, text=True, timeout=10)
    return [line for line in r.stdout.splitlines() if "cmd=ping" in line or "cmd=mget" in line
            or "cmd=set" in line or "cmd=eval" in line]


def test_F8_redis_away():
    with Redis() as db, sharing(db, auth_client_failure_limit="100") as s:
        assert login(s, "local@example.test", "here") == 235
        wait_for("a connection", lambda: clients(db))
        os.kill(db.process.pid, signal.SIGSTOP)
        for i in range(12):
            code, wait = timed(s, "local@example.test", "here")
            assert code == 235 and wait < 1, (code, wait)
        # By now it is not waited for at all.
        assert sum(timed(s, "local@example.test", "here")[1] for _ in range(5)) < 0.8
        os.kill(db.process.pid, signal.SIGCONT)
        s.wait_log("auth_redis_server: .* answers again", 20)
        db.process.kill()
        db.process.wait()
        for i in range(10):
            code, wait = timed(s, "local@example.test", "here")
            assert code == 235 and wait < 1, (code, wait)
        time.sleep(4)
        assert s.log().count("counted on this machine alone") == 2, s.log()
        db.start()
        wait_for("answers again", lambda: s.log().count("answers again") == 2, 20)
