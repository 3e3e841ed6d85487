# SPDX-License-Identifier: ISC
"""Users send mail: logins on 587, 465 and a Unix socket, and what they may not do."""
import base64
import hashlib
import hmac
import os
import random
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import time

from cases.relay import MATRIX
from harness import tls
from harness.smtp import Client, Sink
from harness.suite import Skip, Suite, free_port, wait_for

HELLO = b"From: alice@example.test\r\nSubject: hello\r\n\r\nhello\r\n"
NAME = "mx.example.test"
SECRET = {"alice": "pa55-Alice", "bob": "pa55-Bob"}


def context():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c


def plain(user, password=None, authzid=""):
    text = "%s\0%s\0%s" % (authzid, user, SECRET.get(user, "x") if password is None else password)
    return base64.b64encode(text.encode()).decode()


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class UserSuite(Suite):
    """
    alice and bob with passwords, a certificate, and four doors: self.port for
    strangers, self.submission (STARTTLS), self.submissions (TLS from the first
    byte), self.unix. Nobody on the network is trusted.
    """

    def __init__(self, conf=None, start=True, **kw):
        super().__init__(start=False, **kw)
        ca = tls.make_ca(os.path.join(self.dir, "pki"))
        self.submission, self.submissions = free_port(), free_port()
        self.unix = os.path.join(self.dir, "submit")
        self.write("users", "".join("%s@example.test:{PLAIN}%s\n" % u for u in SECRET.items()))
        self.write_conf(**{
            "listeners": "smtp:inet:127.0.0.1:%d, sub:inet:127.0.0.1:%d, "
                         "subs:inet:127.0.0.1:%d, door:unix:%s" %
                         (self.port, self.submission, self.submissions, self.unix),
            "sub_listener_class": "submission", "subs_listener_class": "submission",
            "subs_smtpd_tls_wrappermode": "yes", "door_listener_class": "submission",
            "smtpd_tls_chain_files": tls.make_cert([NAME], ca=ca).pem,
            "auth_sources": "passwd-file:" + os.path.join(self.etc, "users"),
            "auth_default_domain": "example.test", "auth_failure_delay": "0",
            "mynetworks": "192.0.2.0/24", "default_transport": "discard:",
            "smtpd_client_connection_count_limit": "0", "smtpd_error_sleep_time": "0",
            **(conf or {})})
        if start:
            self.start()

    def wait_up(self, seconds=30):
        super().wait_up(seconds)

        def offered():
            with Client(self.submission) as c:
                if "STARTTLS" not in c.ehlo():
                    return False
            with Client(self.unix) as c:
                return " PLAIN" in c.ehlo()
        wait_for("STARTTLS and AUTH offered", offered, seconds)

    def door(self, which, secure=True):
        """A client behind EHLO at one of the four doors."""
        if which == "subs":
            c = Client(self.submissions, tls=context(), name=NAME)
        else:
            c = Client({"smtp": self.port, "sub": self.submission, "unix": self.unix}[which])
        c.ehlo()
        if secure and which in ("smtp", "sub"):
            c.starttls(context(), name=NAME)
            c.ehlo()
        return c

    def user(self, which="sub", user="alice"):
        c = self.door(which)
        c.expect(235, "AUTH PLAIN " + plain(user))
        return c


def header_of(mail):
    """Field by field: folded lines joined."""
    head = mail.replace(b"\r\n", b"\n").split(b"\n\n")[0]
    return re.sub(rb"\n[ \t]+", b" ", head).decode()


# ---- three doors ----

def test_three_doors():
    with UserSuite({"smtpd_sasl_authenticated_header": "yes"}) as s:
        for n, (which, with_) in enumerate((("sub", "ESMTPSA"), ("subs", "ESMTPSA"),
                                            ("unix", "ESMTPA")), 1):
            with s.user(which) as c:
                queue_id = c.send("alice@example.test", ["bob@example.test", "x@far.test"], HELLO)
            # Names of files follow the queue ids, and these the workers.
            mail = next(header_of(m) for m in s.wait_mail("bob", n) if queue_id.encode() in m)
            assert " with %s id " % with_ in mail, mail
            assert "(Authenticated sender: alice@example.test)" in mail, mail
            s.wait_log(r"postkeep/submission/smtpd\[\d+\]: %s: client=\S+\[127\.0\.0\.1\], "
                       r"sasl_method=PLAIN, sasl_username=alice@example\.test(,|$)" % queue_id)
            assert ", logged in as alice@example.test by PLAIN" in \
                s.adminctl("trace", queue_id).stdout


def test_smtplib():
    with UserSuite() as s:
        for login in ("alice@example.test", "alice"):
            with smtplib.SMTP("127.0.0.1", s.submission, timeout=20) as c:
                c.starttls(context=context())
                c.login(login, SECRET["alice"])
                c.sendmail("alice@example.test", ["bob@example.test"], HELLO)
        with smtplib.SMTP_SSL("127.0.0.1", s.submissions, timeout=20, context=context()) as c:
            c.login("bob", SECRET["bob"])
            c.sendmail("bob@example.test", ["alice@example.test"], HELLO)
            assert c.docmd("AUTH", "PLAIN " + plain("bob"))[0] == 503
        s.wait_mail("bob", 2)
        s.wait_mail("alice")


def test_swaks():
    program = shutil.which("swaks")
    if not program:
        raise Skip("swaks is not installed")
    with UserSuite() as s:
        n = 0
        for mechanism in ("PLAIN", "LOGIN"):
            for door in (["--port", str(s.submission), "--tls"],
                         ["--port", str(s.submissions), "--tls-on-connect"]):
                r = subprocess.run([program, "--server", "127.0.0.1", *door, "--auth", mechanism,
                                    "--auth-user", "alice@example.test", "--auth-password",
                                    SECRET["alice"], "--from", "alice@example.test", "--to",
                                    "bob@example.test"], capture_output=True, text=True, timeout=60)
                assert r.returncode == 0, r.stdout + r.stderr
                n += 1
                r = subprocess.run([program, "--server", "127.0.0.1", *door, "--auth", mechanism,
                                    "--auth-user", "alice@example.test", "--auth-password",
                                    "Wrong", "--from", "alice@example.test", "--to",
                                    "bob@example.test"], capture_output=True, text=True, timeout=60)
                assert r.returncode == 28, r.stdout + r.stderr
        s.wait_mail("bob", n)


class Scram:
    """The client's side of RFC 5802 with SHA-256, without channel binding."""

    def __init__(self, user, password):
        self.user, self.password = user, password
        self.nonce = b64(os.urandom(18))
        self.bare = "n=%s,r=%s" % (user, self.nonce)
        self.first = "n,," + self.bare

    def final(self, challenge):
        f = dict(p.split("=", 1) for p in challenge.split(","))
        assert f["r"].startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(),
                                     base64.b64decode(f["s"]), int(f["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without = "c=biws,r=" + f["r"]
        message = ",".join((self.bare, challenge, without)).encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.server = hmac.digest(server_key, message, "sha256")
        return without + ",p=" + b64(bytes(a ^ b for a, b in zip(client_key, signature)))


def scram(c, user, password):
    """The code and text at its end; the lines sent."""
    me = Scram(user, password)
    lines = ["AUTH SCRAM-SHA-256 " + b64(me.first)]
    code, text = c.cmd(lines[0])
    if code != 334:
        return code, text, lines
    lines.append(b64(me.final(base64.b64decode(text).decode())))
    code, text = c.cmd(lines[1])
    if code != 334:
        return code, text, lines
    assert base64.b64decode(base64.b64decode(text).decode().split("v=")[1]) == me.server
    lines.append("")
    code, text = c.cmd("")
    return code, text, lines


def test_A15_scram_and_its_replay():
    with UserSuite(start=False) as s:
        salt, n = os.urandom(16), 4096
        salted = hashlib.pbkdf2_hmac("sha256", b"pa55-Carol", salt, n)
        stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        s.write("users", "carol@example.test:{SCRAM-SHA-256}%d,%s,%s,%s\n" % (
            n, b64(salt), b64(stored), b64(hmac.digest(salted, b"Server Key", "sha256"))))
        s.start()
        with s.door("sub") as c:
            assert " SCRAM-SHA-256" in c.ehlo()
            code, text, lines = scram(c, "carol@example.test", "pa55-Carol")
            assert code == 235, (code, text)
            c.send("carol@example.test", ["bob@example.test"], HELLO)
        with s.door("sub") as c:
            assert scram(c, "carol@example.test", "wrong")[0] == 535
            assert scram(c, "nobody@example.test", "pa55-Carol")[0] == 535
            # What was said in one session is worth nothing in the next.
            c.expect(334, lines[0])
            c.expect(535, lines[1])
            c.expect(530, "MAIL FROM:<carol@example.test>")
        s.wait_log("sasl_method=SCRAM-SHA-256, sasl_username=carol@example.test")


def test_A15_a_line_of_plain_is_worth_its_password():
    """Replayed it logs in, as the password does; it opens no other session and no transaction."""
    with UserSuite() as s:
        line = "AUTH PLAIN " + plain("alice")
        with s.door("sub") as first, s.door("sub") as second:
            first.expect(235, line)
            second.expect(530, "MAIL FROM:<alice@example.test>")
            second.expect(235, line)
            second.expect(503, line)
        s.write("users", "alice@example.test:{PLAIN}other\n")
        # The file is looked at once a second, and a success is kept for its password.
        time.sleep(1.5)
        with s.door("sub") as c:
            c.expect(235, "AUTH PLAIN " + plain("alice", "other"))
        with s.door("sub") as c:
            c.expect(535, "AUTH PLAIN " + plain("alice", "wrong"))


def test_A15_mechanisms_by_circumstance():
    """-PLUS where there is a channel to bind to, EXTERNAL where a certificate was verified."""
    with UserSuite(start=False) as s:
        ca = tls.make_ca(os.path.join(s.dir, "clients"))
        stranger = tls.make_cert(["laptop"], directory=os.path.join(s.dir, "clients"))
        s.write("users", "laptop@example.test:{PLAIN}x\n")
        s.write_conf(smtpd_tls_ask_ccert="yes", smtpd_tls_CAfile=ca.cert,
                     smtpd_sasl_mechanism_filter="static:all",
                     auth_mechanisms="plain scram-sha-256 scram-sha-256-plus external")
        s.start()
        offer = {}
        for name, most, cert in (("1.2", ssl.TLSVersion.TLSv1_2, None),
                                 ("1.3", ssl.TLSVersion.TLSv1_3, None),
                                 ("stranger", ssl.TLSVersion.TLSv1_3, stranger),
                                 ("known", ssl.TLSVersion.TLSv1_3,
                                  tls.make_cert(["laptop"], ca=ca))):
            ctx = context()
            ctx.maximum_version = most
            if cert:
                ctx.load_cert_chain(cert.chain, cert.key)
            with Client(s.submissions, tls=ctx, name=NAME) as c:
                words = re.search(r"^AUTH (.*)$", c.ehlo(), re.M).group(1).split()
                offer[name] = words
                code, _ = c.cmd("AUTH EXTERNAL =")
                assert code == (235 if name == "known" else 504), (name, code)
                c.expect(503 if name == "known" else 504, "AUTH SCRAM-SHA-256-PLUS bm9uZQ==") \
                    if name in ("1.2", "known") else None
        assert "SCRAM-SHA-256-PLUS" not in offer["1.2"] and "SCRAM-SHA-256" in offer["1.2"]
        assert "SCRAM-SHA-256-PLUS" in offer["1.3"]
        assert [n for n in offer if "EXTERNAL" in offer[n]] == ["known"], offer


# ---- what is refused ----

def test_nothing_in_clear():
    with UserSuite() as s:
        with s.door("sub", secure=False) as c:
            text = c.ehlo()
            assert "AUTH" not in text and "STARTTLS" in text, text
            c.expect(530, "AUTH PLAIN " + plain("alice"))
            c.expect(530, "MAIL FROM:<alice@example.test>")
        with s.door("smtp") as c:
            assert "AUTH" not in c.ehlo()
            c.expect(503, "AUTH PLAIN " + plain("alice"))
        with s.door("subs") as c:
            text = c.ehlo()
            assert re.search(r"^AUTH .*PLAIN", text, re.M) and "STARTTLS" not in text, text
            c.expect(530, "MAIL FROM:<alice@example.test>")
            c.expect(503, "RCPT TO:<bob@example.test>")
    with UserSuite({"sub_smtpd_tls_security_level": "may"}) as s:
        with s.door("sub", secure=False) as c:
            assert "AUTH" not in c.ehlo()
            c.expect(538, "AUTH PLAIN " + plain("alice"))
            c.expect(530, "MAIL FROM:<alice@example.test>")
            c.starttls(context(), name=NAME)
            assert re.search(r"^AUTH .*PLAIN", c.ehlo(), re.M)
            c.expect(235, "AUTH PLAIN " + plain("alice"))


def test_six_wrong_passwords_over_six_connections():
    with UserSuite() as s:
        for i in range(6):
            with s.door("sub") as c:
                code, text = c.cmd("AUTH PLAIN " + plain("alice", "Tr0ub4dor-%d" % i))
                assert code == 535 and text.startswith("5.7.8 Error: authentication failed"), text
                c.expect(530, "MAIL FROM:<alice@example.test>")
                c.expect(535, "AUTH PLAIN " + plain("nobody", "wrong")) if i == 5 else None
        with s.user() as c:
            c.send("alice@example.test", ["bob@example.test"], HELLO)
        s.wait_mail("bob")
        lines = re.findall(r"warning: \S+\[127\.0\.0\.1\]: SASL PLAIN authentication failed: ",
                           s.log())
        assert len(lines) == 7, s.log()
        for word in ("Tr0ub4dor", SECRET["alice"], plain("alice")):
            assert word not in s.log(), word
        fail2ban_finds(s, 7)


def fail2ban_finds(s, count):
    program = shutil.which("fail2ban-regex")
    if not program:
        return
    with open("/etc/fail2ban/filter.d/postfix.conf") as f:
        text = f.read()
    copy = s.write("postkeep.conf", text.replace("postfix(", "post(?:fix|keep)(")
                   .replace("_daemon = postfix", "_daemon = postkeep"))
    with open("/etc/fail2ban/filter.d/common.conf") as f:
        s.write("common.conf", f.read())
    r = subprocess.run([program, s.log_file, copy + "[mode=auth]"],
                       capture_output=True, text=True, timeout=60)
    matched = re.search(r"Failregex: (\d+) total", r.stdout)
    assert matched and int(matched.group(1)) == count, r.stdout[-2000:] + r.stderr[-500:]


def test_A16_whose_address():
    """A sender belongs to its owners; the null sender to everybody."""
    with UserSuite(start=False) as s:
        s.write("senders", "alice@example.test alice@example.test\n"
                "bob@example.test bob@example.test\nsales@example.test alice, bob@example.test\n"
                "@team.test bob\n")
        s.write_conf(smtpd_sender_login_maps="texthash:%s/senders" % s.etc)
        s.start()
        for user, sender, fine in (
                ("alice", "alice@example.test", True), ("alice", "ALICE@Example.Test", True),
                ("alice", "alice+news@example.test", False), ("alice", "", True),
                ("alice", "bob@example.test", False), ("alice", "sales@example.test", True),
                ("bob", "sales@example.test", True), ("bob", "x@team.test", True),
                ("alice", "x@team.test", False), ("alice", "x@elsewhere.test", False),
                ("alice", '"alice@example.test"@far.test', False)):
            with s.user("subs", user) as c:
                c.expect(250, "MAIL FROM:<%s>" % sender)
                code, text = c.cmd("RCPT TO:<x@far.test>")
                assert (code == 250) == fine, (user, sender, code, text)
                if not fine:
                    assert "553 5.7.1" in "%d %s" % (code, text) and \
                        "not owned by user %s@example.test" % user in text, text
                # And what was refused does not go on to the next transaction.
                c.expect(250, "RSET")
                c.expect(250, "MAIL FROM:<%s@example.test>" % user)
                c.expect(250, "RCPT TO:<x@far.test>")


def test_A16_addresses_of_accounts():
    """accounts:logins: a user's own address, and the senders that the account names."""
    with UserSuite({"auth_sources": "accounts", "auth_cache_ttl": "0",
                    "smtpd_sender_login_maps": "accounts:logins"}) as s:
        s.adminctl("domain", "add", "example.test")
        for user, senders in (("alice", "sales@example.test"),
                              ("bob", "sales@example.test,boss@example.test")):
            s.adminctl("user", "add", user + "@example.test", "--senders", senders,
                       stdin=SECRET[user] + "\n")
        for user, sender, fine in (
                ("alice", "alice", True), ("alice", "bob", False), ("alice", "sales", True),
                ("bob", "sales", True), ("alice", "boss", False), ("bob", "boss", True),
                ("bob", "nobody", False), ("alice", None, True)):
            with s.user("sub", user) as c:
                c.expect(250, "MAIL FROM:<%s>" % (sender + "@example.test" if sender else ""))
                code, text = c.cmd("RCPT TO:<x@far.test>")
                assert (code == 250) == fine, (user, sender, code, text)


def refuses_all(c, what):
    for rcpt, ours in MATRIX:
        c.cmd("RSET")
        code, text = c.cmd("MAIL FROM:<a@src.test>")
        if code == 250:
            code, text = c.cmd("RCPT TO:<%s>" % rcpt)
        assert code >= 400 or ours is not False, "%s: %s: %d %s" % (what, rcpt, code, text)


def test_A16_matrix_with_tls_and_logins():
    """No recipient elsewhere without a login that holds now, at any door."""
    with UserSuite({"smtpd_hard_error_limit": "1000", "smtpd_soft_error_limit": "1000",
                    "smtpd_junk_command_limit": "1000",
                    "smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "no",
                    "sub_smtpd_tls_security_level": "may", "relay_domains": "relayed.test",
                    "auth_client_failure_limit": "0"}) as s:
        for which in ("smtp", "sub", "subs"):
            for secure in (False, True):
                for login in ("none", "wrong", "cancelled", "half", "garbage"):
                    with s.door(which, secure) as c:
                        if login == "wrong":
                            c.expect(535, "AUTH PLAIN " + plain("alice", "wrong"))
                        elif login == "cancelled":
                            c.expect(334, "AUTH LOGIN")
                            c.expect(501, "*")
                        elif login == "half":
                            c.expect(334, "AUTH LOGIN " + b64("alice"))
                            c.expect(501, "MAIL FROM:<a@src.test>")
                        elif login == "garbage":
                            c.expect(501, "AUTH PLAIN ====")
                        refuses_all(c, (which, secure, login))
        # A login that was lost: before STARTTLS, or another client's.
        for which in ("smtp", "sub"):
            with s.door(which, secure=False) as c:
                c.expect(235, "AUTH PLAIN " + plain("alice"))
                c.expect(250, "MAIL FROM:<a@src.test>")
                c.expect(250, "RCPT TO:<x@far.test>")
                c.expect(250, "RSET")
                c.starttls(context(), name=NAME)
                c.ehlo()
                refuses_all(c, (which, "login before STARTTLS"))
        with s.user("sub") as user, s.door("sub") as other:
            user.expect(250, "MAIL FROM:<a@src.test>")
            refuses_all(other, "beside a user")
            user.expect(250, "RCPT TO:<x@far.test>")


def test_user_rates():
    with UserSuite({"smtpd_user_message_rate_limit": "3", "smtpd_workers": "2",
                    "smtpd_user_recipient_rate_limit": "4"}) as s:
        for which in ("sub", "subs", "unix"):
            with s.user(which) as c:
                c.send("alice@example.test", ["bob@example.test"], HELLO)
        with s.user("sub") as c:
            assert "too much mail from this user" in c.expect(450, "MAIL FROM:<a@example.test>")
        with s.user("sub", "bob") as c:
            c.expect(250, "MAIL FROM:<bob@example.test>")
            for i in range(4):
                c.expect(250, "RCPT TO:<x%d@far.test>" % i)
            c.expect(450, "RCPT TO:<x4@far.test>")
        s.wait_log("Message delivery request rate limit exceeded: 4 of user alice@example.test")
        s.wait_log("Recipient address rate limit exceeded: 5 of user bob@example.test")


# ---- what is done for users ----

def test_future_release():
    with UserSuite() as s:
        with s.user() as c:
            assert re.search(r"^FUTURERELEASE 604800 2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ$",
                             c.ehlo(), re.M)
            c.expect(501, "MAIL FROM:<alice@example.test> HOLDFOR=604801")
            begun = time.time()
            c.send("alice@example.test", ["bob@example.test"], HELLO, "HOLDFOR=3")
            c.send("alice@example.test", ["alice@example.test"], HELLO)
        s.wait_mail("alice")
        assert not s.mailbox("bob")
        s.wait_mail("bob")
        assert 2.5 < time.time() - begun < 12, time.time() - begun
        with s.door("sub") as c:
            c.expect(530, "MAIL FROM:<alice@example.test> HOLDFOR=3")


def test_header_is_completed_and_the_client_hidden():
    with UserSuite({"smtpd_hide_client": "yes"}) as s:
        with s.user() as c:
            c.send("alice@example.test", ["bob@example.test"], b"Subject: x\r\n\r\nx\r\n")
        head = header_of(s.wait_mail("bob")[0])
        assert re.search(r"^Date: \w{3}, \d+ \w{3} \d{4} ", head, re.M), head
        found = re.search(r"^Message-ID: (<\d{14}\.[0-9A-F]{16}@mx\.example\.test>)$", head, re.M)
        assert found, head
        assert "127.0.0.1" not in head and "client.test" not in head, head
        s.wait_log("message-id=" + re.escape(found.group(1)))
        # A stranger's message stays as it is.
        with s.door("smtp") as c:
            c.send("x@src.test", ["alice@example.test"], b"Subject: x\r\n\r\nx\r\n")
        head = header_of(s.wait_mail("alice")[0])
        assert "\nDate:" not in head and "\nMessage-ID:" not in head, head
        assert "127.0.0.1" in head


def test_authd_away():
    """454, no login, no word to fail2ban; and back again."""
    with UserSuite() as s:
        with s.user() as kept, s.door("sub") as half:
            half.expect(334, "AUTH LOGIN")
            for pid in s.pid_of("authd"):
                os.kill(pid, signal.SIGSTOP)
                os.kill(pid, signal.SIGKILL)
            half.expect(454, b64("alice"))
            half.expect(530, "MAIL FROM:<alice@example.test>")
            # Who is logged in is not disturbed.
            kept.send("alice@example.test", ["bob@example.test"], HELLO)

        def again():
            with s.door("sub") as c:
                return c.cmd("AUTH PLAIN " + plain("alice"))[0] == 235
        wait_for("logins again", again)
        s.wait_mail("bob")
        fail2ban_finds(s, 0)


# ---- A5 ----

class Automaton:
    """
    RFC 5321, 3030, 3207 and 4954 in as few words as possible, beside a real
    connection. Every step compares the reply with what must come; what was
    sent is compared with what arrived.
    """

    def __init__(self, suite, rng):
        self.s, self.rng, self.serial, self.sent = suite, rng, 0, []
        self.connect()

    def connect(self):
        self.c = Client(self.s.submission)
        self.secure = self.login = self.greeted = False
        self.reset()

    def reset(self):
        self.mail = self.failed = False
        self.rcpts = self.chunks = 0

    def say(self, line, *codes):
        got = self.c.cmd(line)
        assert got[0] in codes, "%s: %d %s, not %s (tls %s login %s mail %s rcpts %d)" % (
            line, *got, codes, self.secure, self.login, self.mail, self.rcpts)
        return got

    def ehlo(self):
        text = self.say("EHLO c.test", 250)[1]
        assert ("STARTTLS" in text.split("\n")) != self.secure
        assert bool(re.search("^AUTH ", text, re.M)) == self.secure, text
        self.greeted = True
        self.reset()

    def starttls(self):
        if self.secure:
            self.say("STARTTLS", 503, 554, 502)
            return
        self.say("STARTTLS", 220)
        self.c.secure(context(), NAME)
        self.secure, self.login, self.greeted = True, False, False
        self.reset()

    def auth(self):
        right = self.rng.random() < 0.7
        line = "AUTH PLAIN " + plain("alice", None if right else "wrong")
        if not self.greeted or self.mail or self.login:
            self.say(line, 503)
        elif not self.secure:
            self.say(line, 538)
        else:
            self.say(line, 235 if right else 535)
            self.login = right

    def auth_login(self):
        if not self.greeted or self.mail or self.login or not self.secure:
            self.say("AUTH LOGIN", 503, 538)
            return
        self.say("AUTH LOGIN", 334)
        answer = self.rng.choice(["*", b64("HELO x"), "MAIL FROM:<x@evil.test>", b64("alice")])
        if answer in ("*", "MAIL FROM:<x@evil.test>"):
            self.say(answer, 501)
            return
        self.say(answer, 334)
        self.say(b64(SECRET["alice"]), 235 if answer == b64("alice") else 535)
        self.login = answer == b64("alice")

    def mail_from(self):
        self.serial += 1
        line = "MAIL FROM:<s%d@sender.test>" % self.serial
        if self.failed or self.mail:
            self.say(line, 503)
        elif not self.login:
            self.say(line, 530)
        else:
            self.say(line, 250)
            self.mail, self.number = True, self.serial

    def rcpt(self):
        good = self.rng.random() < 0.8
        line = "RCPT TO:<%s@example.test>" % ("bob" if good else "nobody")
        if self.failed or not self.mail or self.chunks:
            self.say(line, 503)
        else:
            self.say(line, 250 if good else 550)
            self.rcpts += good

    def body(self):
        return b"Subject: %d\r\n\r\nMAIL FROM:<x@evil.test>\r\nRCPT TO:<bob@example.test>\r\n" % \
            self.serial

    def done(self):
        self.sent.append(self.number)
        self.reset()

    def data(self):
        if self.failed or not self.rcpts or self.chunks:
            self.say("DATA", 503)
            return
        self.say("DATA", 354)
        if self.rng.random() < 0.8:
            self.c.raw(self.body() + b".\r\n")
            assert self.c.reply()[0] == 250
            self.done()
        else:
            self.c.raw(b"x\r\n\n.\nMAIL FROM:<x@evil.test>\r\n.\r\n")
            assert self.c.reply()[0] == 550
            self.reset()

    def bdat(self):
        last, body = self.rng.random() < 0.5, self.body()
        self.c.raw(b"BDAT %d%s\r\n" % (len(body), b" LAST" if last else b"") + body)
        code, text = self.c.reply()
        if self.failed or not self.rcpts:
            assert code in (503, 502), (code, text)
            self.failed = self.failed or self.mail
            return
        assert code == 250, (code, text)
        self.chunks += 1
        if last:
            self.done()

    def pipelined(self):
        """MAIL, RCPT and DATA in one packet."""
        if not self.login or self.mail or self.failed:
            return
        self.serial += 1
        self.c.raw(b"MAIL FROM:<s%d@sender.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
                   % self.serial)
        assert [self.c.reply()[0] for _ in range(3)] == [250, 250, 354]
        self.number = self.serial
        self.c.raw(self.body() + b".\r\n")
        assert self.c.reply()[0] == 250
        self.done()

    def rset(self):
        self.say("RSET", 250)
        self.reset()

    def garbage(self):
        self.say(self.rng.choice(["XYZZY", "VRFY x", "NOOP", "Received: x"]), 250, 252, 500, 502)

    def again(self):
        self.c.close()
        self.connect()

    def sensible(self):
        if not self.greeted:
            self.ehlo()
        elif not self.secure:
            self.starttls()
        elif not self.login:
            self.auth() if not self.mail else self.rset()
        elif self.failed:
            self.rset()
        elif not self.mail:
            self.mail_from()
        elif not self.rcpts:
            self.rcpt()
        elif self.chunks:
            self.bdat()
        else:
            self.data()

    def step(self):
        wild = (self.ehlo, self.starttls, self.auth, self.auth_login, self.mail_from, self.rcpt,
                self.data, self.bdat, self.pipelined, self.rset, self.garbage)
        dice = self.rng.random()
        if dice < 0.01:
            self.again()
        elif dice < 0.5:
            self.rng.choice(wild)()
        else:
            self.sensible()


def test_A5_random_walk_over_tls_and_logins():
    """No message without its own MAIL and RCPT in a session that is logged in."""
    with UserSuite({"smtpd_hard_error_limit": "100000", "smtpd_soft_error_limit": "100000",
                    "smtpd_junk_command_limit": "100000", "auth_client_failure_limit": "0",
                    "auth_account_failure_limit": "0", "smtpd_forbid_unauth_pipelining": "no",
                    "sub_smtpd_tls_security_level": "may"}) as s:
        a = Automaton(s, random.Random(20261120))
        for _ in range(4000):
            a.step()
        a.c.close()
        assert len(a.sent) > 200, len(a.sent)
        s.wait_empty(60)
        got = [int(re.search(rb"Return-Path: <s(\d+)@sender\.test>", m).group(1))
               for m in s.mailbox("bob")]
        assert len(set(a.sent)) == len(a.sent)
        assert sorted(set(got)) == sorted(a.sent), (len(got), len(a.sent))
        log = s.log()
        assert "evil.test" not in "".join(re.findall(r"from=<.*?>, size", log))
