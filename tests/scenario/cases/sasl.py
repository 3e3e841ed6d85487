# SPDX-License-Identifier: ISC
"""Logins by every SASL mechanism, with clients that people use; tokens and their services."""
import base64
import hashlib
import hmac
import json
import os
import shutil
import smtplib
import ssl
import subprocess
import time

from harness import tls, tokens
from harness.smtp import Client
from harness.suite import Skip, Suite, free_port, wait_for

NAME = "mx.example.test"
ALL = "plain login scram-sha-256 scram-sha-256-plus scram-sha-1 scram-sha-1-plus external cram-md5"
PASSWORD = "wonderland"


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def verifier(scheme, digest, password, rounds=4096):
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, rounds)
    client = hmac.digest(salted, b"Client Key", digest)
    return "{%s}%d,%s,%s,%s" % (scheme, rounds, b64(salt),
                                b64(hashlib.new(digest, client).digest()),
                                b64(hmac.digest(salted, b"Server Key", digest)))


class SaslSuite(Suite):
    """
    alice has a readable password, sam and old have SCRAM verifiers, gone is
    disabled, hash has only a hash. self.submission has STARTTLS.
    """

    def __init__(self, conf=None, start=True, **kw):
        super().__init__(start=False, **kw)
        self.pki = os.path.join(self.dir, "pki")
        self.ca = tls.make_ca(self.pki)
        os.chmod(self.ca.cert, 0o644)
        os.chmod(self.pki, 0o755)
        self.submission = free_port()
        self.write("users", "".join("%s@example.test:%s\n" % u for u in (
            ("alice", "{PLAIN}" + PASSWORD),
            ("sam", verifier("SCRAM-SHA-256", "sha256", PASSWORD)),
            ("old", verifier("SCRAM-SHA-1", "sha1", PASSWORD)),
            ("hash", "{SSHA256}" + b64(hashlib.sha256(PASSWORD.encode() + b"salt").digest()
                                       + b"salt")))))
        self.write_conf(**{
            "listeners": "smtp:inet:127.0.0.1:%d, sub:inet:127.0.0.1:%d" %
                         (self.port, self.submission),
            "sub_listener_class": "submission",
            "sub_smtpd_sasl_auth_enable": "yes",
            "sub_smtpd_sasl_mechanism_filter": "static:rest",
            "smtpd_tls_chain_files": tls.make_cert([NAME, "localhost"], ca=self.ca).pem,
            "auth_sources": "passwd-file:" + os.path.join(self.etc, "users"),
            "auth_mechanisms": ALL,
            "auth_failure_delay": "0",
            "auth_client_failure_limit": "0",
            "auth_account_failure_limit": "0",
            **(conf or {})})
        if start:
            self.start()

    def wait_up(self, seconds=30):
        super().wait_up(seconds)

        def offered():
            try:
                return self.session().mechanisms
            except (OSError, AssertionError, EOFError):
                return None
        wait_for("AUTH is offered", offered)

    def context(self, cert=None):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.load_verify_locations(self.ca.cert)
        if cert is not None:
            c.load_cert_chain(cert.chain, cert.key)
        return c

    def session(self, cert=None):
        """A Client behind STARTTLS and EHLO, with .mechanisms."""
        c = Client(self.submission)
        c.cmd("EHLO client.example.test")
        assert c.cmd("STARTTLS")[0] == 220
        c.secure(self.context(cert), NAME)
        code, text = c.cmd("EHLO client.example.test")
        assert code == 250, (code, text)
        found = [line[5:].split() for line in text.split("\n") if line.startswith("AUTH ")]
        c.mechanisms = found[0] if found else []
        return c

    def auth(self, *messages, cert=None):
        """AUTH with the messages, base64 done here; the last reply."""
        with self.session(cert) as c:
            code, text = c.cmd("AUTH " + messages[0])
            for m in messages[1:]:
                if code != 334:
                    break
                code, text = c.cmd(b64(m))
            return code, text


def need(program):
    if shutil.which(program) is None:
        raise Skip("%s is not installed" % program)


def test_mechanisms_are_offered_as_configured():
    with SaslSuite() as s:
        with s.session() as c:
            offered = set(c.mechanisms)
        assert offered >= {"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-1",
                           "SCRAM-SHA-256-PLUS"}, offered
        assert "EXTERNAL" not in offered, offered
        with Client(s.submission) as c:
            _, text = c.cmd("EHLO client.example.test")
            assert "AUTH" not in text, text
        s.write_conf(auth_mechanisms="plain")
        s.postkeep("reload")

        def only_plain():
            with s.session() as c:
                return c.mechanisms == ["PLAIN"]
        wait_for("PLAIN alone", only_plain)


def test_swaks():
    need("swaks")
    with SaslSuite() as s:
        for user, mechanism, password, right in (
                ("alice", "PLAIN", PASSWORD, True), ("alice", "LOGIN", PASSWORD, True),
                ("alice", "CRAM-MD5", PASSWORD, True), ("hash", "PLAIN", PASSWORD, True),
                ("sam", "LOGIN", PASSWORD, True), ("alice", "PLAIN", "wrong", False),
                ("nobody", "LOGIN", PASSWORD, False), ("sam", "CRAM-MD5", PASSWORD, False)):
            done = subprocess.run(
                ["swaks", "--server", "127.0.0.1:%d" % s.submission, "--tls",
                 "--auth", mechanism, "--auth-user", user + "@example.test",
                 "--auth-password", password, "--quit-after", "AUTH"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
            if "not available" in done.stdout or "requires" in done.stdout.lower() and \
               "235" not in done.stdout and "535" not in done.stdout:
                raise Skip("swaks lacks %s: %s" % (mechanism, done.stdout[-300:]))
            assert ("<~  235 2.7.0" in done.stdout) == right, (user, mechanism, done.stdout)
            assert ("<~* 535 5.7.8" in done.stdout) != right, (user, mechanism, done.stdout)


def test_smtplib():
    with SaslSuite() as s:
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
            for password, code in ((PASSWORD, 235), ("wrong", 535)):
                with smtplib.SMTP("localhost", s.submission, timeout=30) as c:
                    c.starttls(context=s.context())
                    c.ehlo()
                    c.user, c.password = "alice@example.test", password
                    method = getattr(c, "auth_" + mechanism.lower().replace("-", "_"))
                    for first in (True, False):
                        try:
                            got = c.auth(mechanism, method, initial_response_ok=first)[0]
                        except smtplib.SMTPAuthenticationError as e:
                            got = e.smtp_code
                        assert got == code, (mechanism, password, got)
                        if code == 235:
                            break


def test_gsasl_with_and_without_channel_binding():
    need("gsasl")
    with SaslSuite() as s:
        for user, mechanism, password, right in (
                ("sam", "SCRAM-SHA-256-PLUS", PASSWORD, True),
                ("sam", "SCRAM-SHA-256-PLUS", "wrong", False),
                ("old", "SCRAM-SHA-1-PLUS", PASSWORD, True),
                ("alice", "PLAIN", PASSWORD, True),
                ("alice", "LOGIN", PASSWORD, True),
                ("alice", "CRAM-MD5", PASSWORD, True),
                ("hash", "SCRAM-SHA-256-PLUS", PASSWORD, False),
                ("nobody", "SCRAM-SHA-256-PLUS", PASSWORD, False)):
            done = subprocess.run(
                ["gsasl", "--smtp", "--connect", "localhost:%d" % s.submission,
                 "--starttls", "--x509-ca-file", s.ca.cert, "--mechanism", mechanism,
                 "--authentication-id", user + "@example.test", "--password", password,
                 "--service", "smtp", "--hostname", "localhost"],
                input="", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
            assert ("235 2.7.0" in done.stdout) == right, (user, mechanism, done.stdout)


def scram(c, user, password, digest="sha256", mechanism="SCRAM-SHA-256", gs2="n,,"):
    """A client of our own: the last reply, and what it said."""
    said = []
    nonce = b64(os.urandom(12))
    bare = "n=%s,r=%s" % (user, nonce)
    said.append(gs2 + bare)
    code, text = c.cmd("AUTH %s %s" % (mechanism, b64(gs2 + bare)))
    if code != 334:
        return code, text, said
    first = base64.b64decode(text).decode()
    f = dict(p.split("=", 1) for p in first.split(","))
    assert f["r"].startswith(nonce) and len(f["r"]) > len(nonce) + 10, first
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(f["s"]), int(f["i"]))
    key = hmac.digest(salted, b"Client Key", digest)
    final = "c=%s,r=%s" % (b64(gs2), f["r"])
    message = ("%s,%s,%s" % (bare, first, final)).encode()
    signature = hmac.digest(hashlib.new(digest, key).digest(), message, digest)
    said.append("%s,p=%s" % (final, b64(bytes(a ^ b for a, b in zip(key, signature)))))
    code, text = c.cmd(b64(said[-1]))
    if code != 334:
        return code, text, said
    want = hmac.digest(hmac.digest(salted, b"Server Key", digest), message, digest)
    assert base64.b64decode(text).decode() == "v=" + b64(want), text
    said.append("")
    return (*c.cmd(""), said)


def test_scram_by_a_client_of_our_own():
    with SaslSuite() as s:
        for user, digest, mechanism in (("sam", "sha256", "SCRAM-SHA-256"),
                                        ("old", "sha1", "SCRAM-SHA-1")):
            with s.session() as c:
                code, text, _ = scram(c, user, PASSWORD, digest, mechanism)
                assert code == 235, (code, text)
            with s.session() as c:
                code, text, _ = scram(c, user, "wrong", digest, mechanism)
                assert code == 535, (code, text)


def test_scram_verifiers_of_our_own_accounts():
    with SaslSuite(conf={"auth_sources": "accounts"}) as s:
        s.adminctl("domain", "add", "example.test")
        s.adminctl("user", "add", "alice@example.test", stdin="w\u00fcnder\u00b2\n")
        with s.session() as c:
            # SASLprep: the client prepares, or it does not (gsasl does).
            code, text, _ = scram(c, "alice", "w\u00fcnder2")
            assert code == 235, (code, text)
        for password in ("w\u00fcnder\u00b2", "w\u00fcnder2"):
            code, text = s.auth("PLAIN " + b64("\0alice\0" + password))
            assert code == 235, (password, code, text)
        # Brought along with a hash only: SCRAM works from the first PLAIN on.
        records = s.adminctl("account", "export").stdout.splitlines()
        record = next(json.loads(r) for r in records if "alice" in r)
        for key in ("scram_sha256", "scram_sha1"):
            assert record.pop(key), record
        record["password"] = "{SSHA256}" + b64(
            hashlib.sha256(PASSWORD.encode() + b"salt").digest() + b"salt")
        text = json.dumps(record).replace("alice@", "imported@")
        s.adminctl("account", "import", stdin=text + "\n")
        with s.session() as c:
            code, text, _ = scram(c, "imported", PASSWORD)
            assert code == 535, (code, text)
        s.wait_log("login imported@example.test: SCRAM-SHA-256 cannot work: .* missing")
        code, text = s.auth("PLAIN " + b64("\0imported\0" + PASSWORD))
        assert code == 235, (code, text)
        s.wait_log("user imported@example.test: SCRAM verifiers were made")
        for digest, mechanism in (("sha256", "SCRAM-SHA-256"), ("sha1", "SCRAM-SHA-1")):
            with s.session() as c:
                code, text, _ = scram(c, "imported", PASSWORD, digest, mechanism)
                assert code == 235, (mechanism, code, text)
        code, text = s.auth("PLAIN " + b64("\0imported\0" + PASSWORD))
        assert code == 235, (code, text)


def test_A15_a_recorded_login_is_of_no_use():
    with SaslSuite() as s:
        with s.session() as c:
            code, text, said = scram(c, "sam", PASSWORD)
            assert code == 235, (code, text)
        code, text = s.auth("SCRAM-SHA-256 " + b64(said[0]), *said[1:])
        assert code == 535, (code, text)


def test_A15_downgrade_from_channel_binding_is_seen():
    with SaslSuite() as s:
        # "I can bind, you cannot": somebody took -PLUS out of the list.
        with s.session() as c:
            assert "SCRAM-SHA-256-PLUS" in c.mechanisms
            code, text, _ = scram(c, "sam", PASSWORD, gs2="y,,")
            assert code == 535, (code, text)
        with s.session() as c:
            code, text, _ = scram(c, "sam", PASSWORD, gs2="p=tls-exporter,,")
            assert code == 535, (code, text)
        # Where it is not offered, the client is right: by the filter, by authd.

        def without():
            with s.session() as c:
                return not any("PLUS" in m for m in c.mechanisms) and c.mechanisms
        for change in ({"sub_smtpd_sasl_mechanism_filter": "!scram-sha-1-plus, "
                        "!scram-sha-256-plus, static:rest"},
                       {"sub_smtpd_sasl_mechanism_filter": "static:rest",
                        "auth_mechanisms": "plain scram-sha-256"}):
            s.write_conf(**change)
            s.postkeep("reload")
            wait_for("no -PLUS", without)
            with s.session() as c:
                code, text, _ = scram(c, "sam", PASSWORD, gs2="y,,")
                assert code == 235, (code, text)


def test_A15_unknown_users_have_the_same_salt_each_time():
    with SaslSuite() as s:
        salts = {}
        for user in ("nobody", "hash", "nobody", "hash", "other"):
            with s.session() as c:
                code, text = c.cmd("AUTH SCRAM-SHA-256 " + b64("n,,n=%s,r=abcdef" % user))
                assert code == 334, (code, text)
                f = base64.b64decode(text).decode().split(",", 1)[1]
                assert salts.setdefault(user, f) == f, (user, salts, f)
        assert len(set(salts.values())) == 3, salts


def test_external_by_certificate():
    with SaslSuite(start=False) as s:
        s.write_conf(sub_smtpd_tls_ask_ccert="yes", smtpd_tls_CAfile=s.ca.cert)
        s.start()
        right = tls.make_cert(["alice"], ca=s.ca)
        with s.session(right) as c:
            assert "EXTERNAL" in c.mechanisms, c.mechanisms
            code, text = c.cmd("AUTH EXTERNAL =")
            assert code == 235, (code, text)
        with s.session() as c:
            assert "EXTERNAL" not in c.mechanisms, c.mechanisms
            code, text = c.cmd("AUTH EXTERNAL =")
            assert code == 504, (code, text)
        # Somebody else's name.
        code, text = s.auth("EXTERNAL " + b64("sam@example.test"), cert=right)
        assert code == 535, (code, text)
        stranger = tls.make_cert(["nobody"], ca=s.ca)
        code, text = s.auth("EXTERNAL =", cert=stranger)
        assert code == 535, (code, text)


def test_A15_garbage_at_each_step():
    with SaslSuite() as s:
        for messages in (("PLAIN", b"\0\0\0"), ("PLAIN", b"\xff" * 500), ("PLAIN", b""),
                         ("LOGIN", b"\0", b"x"), ("LOGIN", b"alice", b"\0" * 2000),
                         ("SCRAM-SHA-256", b"n,,n=alice"), ("SCRAM-SHA-256", b"\0" * 4000),
                         ("SCRAM-SHA-256", b"n,,n=sam,r=x", b"c=biws,r=x,p=AAAA"),
                         ("CRAM-MD5", b"alice"), ("CRAM-MD5", b"\xff\xff")):
            code, text = s.auth(*messages)
            assert code in (501, 535), (messages, code, text)
        code, text = s.auth("PLAIN " + b64("\0alice\0" + PASSWORD))
        assert code == 235, (code, text)
        assert len(s.pid_of("authd")) >= 1


# ---- tokens ----

class TokenSuite(SaslSuite):
    """With a token service; tokens are JWTs unless introspect."""

    def __init__(self, introspect=False, conf=None, start=True, **kw):
        super().__init__(start=False, **kw)
        self.service = tokens.TokenService(self.pki, self.ca)
        secret = self.write("secret", "s:cret\n")
        self.write_conf(**{
            "auth_mechanisms": "plain oauthbearer xoauth2",
            "oauth2_issuer": tokens.ISSUER, "oauth2_audience": tokens.AUDIENCE,
            "oauth2_scope": "mail.send", "oauth2_CAfile": self.ca.cert,
            "oauth2_openid_configuration": tokens.ISSUER + "/.well-known/openid-configuration",
            "auth_source_timeout": "2s",
            **({"oauth2_introspection_url": self.service.url("introspect"),
                "oauth2_client_id": "postkeep", "oauth2_client_secret_file": secret}
               if introspect else {"oauth2_jwks": self.service.url("keys")}),
            **(conf or {})})
        if start:
            self.start()

    def clean(self):
        try:
            self.service.stop()
        finally:
            super().clean()

    def oauthbearer(self, token, user=""):
        """(code, error object or None) of the whole exchange."""
        text = "n,%s,\1host=%s\1port=587\1auth=Bearer %s\1\1" % (user and "a=" + user, NAME, token)
        return self.bearer("OAUTHBEARER", text, "\1")

    def xoauth2(self, token, user):
        return self.bearer("XOAUTH2", "user=%s\1auth=Bearer %s\1\1" % (user, token), "")

    def bearer(self, mechanism, text, dummy):
        with self.session() as c:
            code, said = c.cmd("AUTH %s" % mechanism)
            assert code == 334 and said == "", (code, said)
            code, said = c.cmd(b64(text))
            if code != 334:
                return code, None
            error = json.loads(base64.b64decode(said))
            code, said = c.cmd(b64(dummy))
            return code, error


def test_jwt_by_keys_from_a_url():
    with TokenSuite() as s:
        good = s.service.token(email="alice@example.test")
        assert s.oauthbearer(good) == (235, None)
        assert s.oauthbearer(good, "alice@example.test") == (235, None)
        assert s.xoauth2(good, "alice") == (235, None)
        code, error = s.oauthbearer(good, "sam@example.test")
        assert code == 535 and error["status"] == "invalid_token", (code, error)
        assert error["openid-configuration"].startswith(tokens.ISSUER), error
        assert error["scope"] == "mail.send", error
        code, error = s.xoauth2(good, "sam@example.test")
        assert code == 535 and error["status"] == "401", (code, error)
        # One look at the keys for all of these.
        assert len(s.service.seen) == 1, s.service.seen


def test_A15_hostile_tokens():
    with TokenSuite() as s:
        other = os.path.join(s.pki, "other.key")
        tls.make_key(other, "rsa")
        make = s.service.token
        now = int(time.time())
        good = make(email="alice@example.test")
        head, body, sig = good.split(".")
        none = tokens.b64url({"alg": "none"})
        for what, token in (
                ("expired", make(email="alice@example.test", exp=now - 100)),
                ("not yet", make(email="alice@example.test", nbf=now + 100)),
                ("another audience", make(email="alice@example.test", aud="web")),
                ("another issuer", make(email="alice@example.test", iss="https://evil.test")),
                ("another key", make(key_file=other, email="alice@example.test")),
                ("unknown kid", make(header={"kid": "second"}, email="alice@example.test")),
                ("kid a path", make(header={"kid": "/etc/passwd"}, email="alice@example.test")),
                ("alg HS256", make(header={"alg": "HS256"}, email="alice@example.test")),
                ("alg none", "%s.%s." % (none, body)),
                ("alg none, signed", "%s.%s.%s" % (none, body, sig)),
                ("no signature", "%s.%s" % (head, body)),
                ("unknown user", make(email="nobody@example.test")),
                ("no user", make()),
                ("not verified", make(email="alice@example.test", email_verified=False)),
                ("large", "A" * 8000)):
            code, error = s.oauthbearer(token)
            assert code == 535, (what, code, error)
        code, error = s.oauthbearer(make(email="alice@example.test", scope="web"))
        assert code == 535 and error["status"] == "insufficient_scope", (code, error)
        assert s.oauthbearer(good) == (235, None)
        # A kid that is not there is asked for once a minute at most.
        assert len(s.service.seen) <= 2, s.service.seen


def test_jwt_by_keys_in_a_file():
    with TokenSuite(start=False) as s:
        keys = s.write("keys.json", json.dumps(s.service.keys()))
        s.write_conf(oauth2_jwks=keys)
        s.start()
        assert s.oauthbearer(s.service.token(email="alice@example.test")) == (235, None)
        assert s.service.seen == []
        # Rolled over: the old key's tokens end with a reload.
        before = s.service.token(email="alice@example.test")
        s.service.new_key("second")
        s.write("keys.json", json.dumps(s.service.keys()))
        s.postkeep("reload")
        after = s.service.token(email="alice@example.test")
        wait_for("the new key", lambda: s.oauthbearer(after) == (235, None))
        assert s.oauthbearer(before)[0] == 535


def test_introspection():
    with TokenSuite(introspect=True) as s:
        good = {"email": "alice@example.test", "aud": "mail", "scope": "mail.send"}
        s.service.active["abc.DEF-1"] = good
        s.service.active["expired"] = {**good, "exp": 1}
        s.service.active["elsewhere"] = {**good, "aud": "web"}
        assert s.oauthbearer("abc.DEF-1") == (235, None)
        assert s.xoauth2("abc.DEF-1", "alice@example.test") == (235, None)
        # The second one was remembered.
        assert [f["token"] for _, _, f in s.service.seen] == ["abc.DEF-1"], s.service.seen
        for token in ("unknown", "expired", "elsewhere"):
            code, error = s.oauthbearer(token)
            assert code == 535 and error["status"] == "invalid_token", (token, code, error)


def test_F8_token_service_that_fails():
    with TokenSuite(introspect=True) as s:
        s.service.active["good"] = {"email": "alice@example.test", "aud": "mail",
                                    "scope": "mail.send"}
        for mode in ("lying", "half", "error", "huge", "redirect"):
            s.service.mode = mode
            start = time.monotonic()
            code, error = s.oauthbearer("good")
            assert code == 454 and error is None, (mode, code, error)
            assert time.monotonic() - start < 5, (mode, time.monotonic() - start)
        s.wait_log("failed 5 times")
        # Open: it is not even asked, and who has a password does not notice.
        before = len(s.service.seen)
        s.service.mode = "good"
        start = time.monotonic()
        code, _ = s.oauthbearer("good")
        assert code == 454 and time.monotonic() - start < 2, (code, time.monotonic() - start)
        assert len(s.service.seen) == before
        assert s.auth("PLAIN " + b64("\0alice\0" + PASSWORD))[0] == 235


def test_F8_slow_token_service():
    with TokenSuite(introspect=True) as s:
        s.service.active["good"] = {"email": "alice@example.test", "aud": "mail",
                                    "scope": "mail.send"}
        for mode in ("slow", "trickle"):
            s.service.mode = mode
            start = time.monotonic()
            code, _ = s.oauthbearer("good")
            took = time.monotonic() - start
            assert code == 454 and 1.5 < took < 6, (mode, code, took)
            start = time.monotonic()
            assert s.auth("PLAIN " + b64("\0alice\0" + PASSWORD))[0] == 235
            assert time.monotonic() - start < 2
        s.service.mode = "good"
        assert s.oauthbearer("good") == (235, None)


def test_A20_token_service_with_a_foreign_certificate():
    with TokenSuite(introspect=True, start=False) as s:
        s.service.stop()
        s.service = tokens.TokenService(s.pki, tls.make_ca(s.pki, "Other CA"))
        s.service.active["good"] = {"email": "alice@example.test", "aud": "mail",
                                    "scope": "mail.send"}
        s.write_conf(oauth2_introspection_url=s.service.url("introspect"))
        s.start()
        assert s.oauthbearer("good")[0] == 454
        assert s.service.seen == []
        s.wait_log("certificate")


def test_curl_with_tokens():
    need("curl")
    with TokenSuite() as s:
        good = s.service.token(email="alice@example.test")
        mail = s.write("mail", "Subject: hello\r\n\r\nhello\r\n")
        for mechanism in ("OAUTHBEARER", "XOAUTH2"):
            for token, right in ((good, True), (good[:-8] + "AAAAAAAA", False)):
                done = subprocess.run(
                    ["curl", "-sv", "--ssl-reqd", "--cacert", s.ca.cert,
                     "--resolve", "%s:%d:127.0.0.1" % (NAME, s.submission),
                     "smtp://%s:%d" % (NAME, s.submission), "--user", "alice@example.test",
                     "--oauth2-bearer", token, "--login-options", "AUTH=" + mechanism,
                     "--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test",
                     "-T", mail], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    timeout=60)
                assert (done.returncode == 0) == right, (mechanism, right, done.stdout)
                assert ("< 235 2.7.0" in done.stdout) == right, (mechanism, done.stdout)
        s.wait_mail("bob", 2)


def test_mechanisms_that_cannot_be_are_refused():
    for conf, words in (({"auth_mechanisms": "plain digest-md5"}, 'there is no "digest-md5"'),
                        ({"auth_mechanisms": "plain xoauth2"}, "oauth2_jwks"),
                        ({"auth_mechanisms": "oauthbearer", "oauth2_jwks": "http://x.test/"},
                         "oauth2_issuer"),
                        ({"auth_mechanisms": "oauthbearer", "oauth2_jwks": "http://x.test/",
                          "oauth2_issuer": "x", "oauth2_audience": "y"}, "https:")):
        with SaslSuite(conf=conf, start=False) as s:
            s.start(wait=False)
            s.wait_log(words)
