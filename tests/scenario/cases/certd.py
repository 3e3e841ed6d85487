# SPDX-License-Identifier: ISC
"""Keys and certificates: loading, renewal, refusal, warnings (adminctl's and the log's view)."""
import hashlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time

from harness import tls
from harness.smtp import Client
from harness.suite import Skip, Suite, wait_for


class CertSuite(Suite):
    """A suite whose default certificate is in self.pem; keys are root's alone."""

    def __init__(self, conf=None, kind="ec", days=90, start=True):
        super().__init__(conf, start=False)
        self.keys = os.path.join(self.dir, "keys")
        os.mkdir(self.keys, 0o700)
        self.ca = tls.make_ca(self.keys)
        self.pem = os.path.join(self.keys, "mail.pem")
        self.install(self.pem, ["mx.example.test"], kind=kind, days=days)
        self.conf.setdefault("smtpd_tls_chain_files", self.pem)
        self.write_conf()
        if start:
            self.start()

    def cert(self, names, **kw):
        return tls.make_cert(names, ca=self.ca, **kw)

    def install(self, path, names, **kw):
        c = self.cert(names, **kw)
        tls.write(path, tls.read(c.pem))
        return c

    def certificates(self):
        return self.admin("tls", "certificates")["certificates"]

    def fingerprint(self):
        return self.certificates()[0]["fingerprint_sha256"]

    def offered(self):
        """What a client is shown now, by default."""
        with Client(self.port) as c:
            c.ehlo()
            c.starttls(context(), "mx.example.test")
            return print_of(c.s.getpeercert(True))

    def handshake(self, *options, name="mx.example.test"):
        """`openssl s_client` with STARTTLS, verified; its words."""
        r = subprocess.run(
            ["openssl", "s_client", "-starttls", "smtp", "-connect", "127.0.0.1:%d" % self.port,
             "-CAfile", self.ca.cert, "-verify_return_error", "-servername", name, *options],
            input=b"QUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        text = r.stdout.decode("utf-8", "replace")
        assert "Verify return code: 0 (ok)" in text, text
        return text


def context():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c


def print_of(der):
    h = hashlib.sha256(der).hexdigest().upper()
    return ":".join(h[i:i + 2] for i in range(0, len(h), 2))


def test_default_is_listed():
    with CertSuite() as s:
        rows = s.certificates()
        assert len(rows) == 1, rows
        r = rows[0]
        assert r["use"] == "default" and r["kind"] == "EC P-256", r
        assert r["file"] == s.pem and r["days_left"] == 89, r
        assert "CN=Test CA" in r["issuer"] and r["subject"] == "CN=mx.example.test", r
        shown = s.admin("tls", "certificate", "show", "default")["certificates"][0]
        assert shown["alt_names"] == ["mx.example.test"], shown
        assert len(shown["chain"]) == 1, shown
        text = s.adminctl("tls", "certificate", "show", "default").stdout
        assert re.search(r"^ *not_after_ms: 20\d\d-\d\d-\d\d \d\d:", text, re.M), text


def test_postfix_forms_of_files():
    """The older parameters, RSA beside ECDSA, a certificate of the client's own."""
    with CertSuite(start=False) as s:
        rsa = s.cert(["mx.example.test"], kind="rsa")
        ec = s.cert(["mx.example.test"], kind="ec384")
        ed = s.cert(["client.example.test"], kind="ed25519")
        s.write_conf(smtpd_tls_chain_files=None, smtpd_tls_cert_file=rsa.chain,
                     smtpd_tls_key_file=rsa.key, smtpd_tls_eccert_file=ec.pem,
                     smtp_tls_chain_files=ed.pem)
        s.start()
        rows = {(r["use"], r["kind"]): r for r in s.certificates()}
        assert set(rows) == {("default", "RSA 2048"), ("default", "EC P-384"),
                             ("client", "Ed25519")}, rows
        assert rows["default", "RSA 2048"]["fingerprint_sha256"] == rsa.fingerprint
        assert rows["default", "EC P-384"]["fingerprint_sha256"] == ec.fingerprint
        assert rows["client", "Ed25519"]["fingerprint_sha256"] == ed.fingerprint


def test_renewal_is_noticed():
    """New files under the old name, as ACME clients make them: nobody says anything."""
    with CertSuite() as s:
        pid = s.pid_of("certd")
        new = s.install(s.pem, ["mx.example.test"])
        wait_for("the new certificate", lambda: s.fingerprint() == new.fingerprint, 20)
        assert s.pid_of("certd") == pid
        rsa = s.cert(["mx.example.test"], kind="rsa")
        tls.write(s.pem, tls.read(new.pem) + tls.read(rsa.pem))
        assert s.admin("tls", "reload") == {"version": 1, "certificates": 2, "new": 1,
                                            "unchanged": 1}


def test_lets_encrypt_folders():
    """live/NAME/*.pem are links into archive/NAME: both belong to root alone."""
    with CertSuite(start=False) as s:
        live, archive = (os.path.join(s.keys, d, "mx") for d in ("live", "archive"))
        os.makedirs(live, 0o700)
        os.makedirs(archive, 0o700)

        def issue(n):
            c = s.cert(["mx.example.test"])
            for name, source in (("privkey", c.key), ("fullchain", c.chain)):
                tls.write("%s/%s%d.pem" % (archive, name, n), tls.read(source))
                link = "%s/%s.pem" % (live, name)
                os.symlink("../../archive/mx/%s%d.pem" % (name, n), link + ".new")
                os.rename(link + ".new", link)
            return c

        first = issue(1)
        s.write_conf(smtpd_tls_chain_files=None, smtpd_tls_cert_file=live + "/fullchain.pem",
                     smtpd_tls_key_file=live + "/privkey.pem")
        s.start()
        assert s.fingerprint() == first.fingerprint
        second = issue(2)
        wait_for("the renewed one", lambda: s.fingerprint() == second.fingerprint, 20)


def test_F15_mismatched_pair_keeps_the_old_one():
    with CertSuite() as s:
        old = s.fingerprint()
        other = s.cert(["mx.example.test"])
        tls.write(s.pem, tls.read(other.key) + tls.read(s.cert(["mx.example.test"]).chain))
        s.wait_log("smtpd_tls_chain_files: %s: the private key is not that of the first" % s.pem)
        s.wait_log("the certificate of %s that was loaded before stays in use" % s.pem)
        assert s.fingerprint() == old
        r = s.adminctl("tls", "reload", check=False)
        assert r.returncode == 1 and "private key is not that of the first" in r.stderr, r
        assert s.fingerprint() == old
        tls.write(s.pem, b"-----BEGIN PRIVATE KEY-----\nMIG")
        r = s.adminctl("tls", "reload", check=False)
        assert r.returncode == 1 and "without its END" in r.stderr, r
        os.unlink(s.pem)
        r = s.adminctl("tls", "reload", check=False)
        assert r.returncode == 1 and "No such file" in r.stderr, r
        assert s.fingerprint() == old
        tls.write(s.pem, tls.read(other.pem))
        s.admin("tls", "reload")
        assert s.fingerprint() == other.fingerprint


def test_F15_a_reload_that_names_a_bad_pair_keeps_the_old_one():
    with CertSuite() as s:
        old = s.fingerprint()
        bad = os.path.join(s.keys, "bad.pem")
        tls.write(bad, tls.read(s.cert(["mx.example.test"], kind="rsa1024").pem))
        s.write_conf(smtpd_tls_chain_files=bad)
        s.postkeep("reload")
        s.wait_log("bad.pem: the RSA key has 1024 bits")
        assert s.fingerprint() == old


def test_a_reload_that_names_another_folder():
    """Confinement is for good: the next certd reads it."""
    with CertSuite() as s:
        pid = s.pid_of("certd")
        elsewhere = os.path.join(s.dir, "elsewhere")
        os.mkdir(elsewhere, 0o700)
        path = os.path.join(elsewhere, "mail.pem")
        new = s.install(path, ["mx.example.test"])
        s.write_conf(smtpd_tls_chain_files=path)
        s.postkeep("reload")
        wait_for("a new certd", lambda: s.pid_of("certd") not in ([], pid))
        wait_for("its certificate", lambda: s.adminctl(
            "tls", "certificates", check=False).returncode == 0 and
            s.fingerprint() == new.fingerprint)
        assert "error" not in "".join(l for l in s.log().split("\n") if "certd" in l)


def test_F15_expiry_is_announced():
    with CertSuite(days=6) as s:
        s.wait_log(r"certificate of %s .*ends on 20\d\d-\d\d-\d\d, in 5 days: renew it" % s.pem)
        assert s.admin("stats")["counters"]["tls_certificate_days"] == 5
        s.admin("tls", "reload")
        s.admin("tls", "reload")
        time.sleep(0.2)
        assert s.log().count("renew it") == 1, s.log()


def test_F15_an_expired_certificate_is_used_with_an_alarm():
    with CertSuite(days=-2) as s:
        s.wait_log("certificate of %s .*expired on" % s.pem)
        old = s.certificates()[0]
        assert old["days_left"] < 0, old
        assert s.admin("stats")["counters"]["tls_certificate_days"] < 0
        # A good one is not given up for one whose time is over.
        good = s.install(s.pem, ["mx.example.test"])
        s.admin("tls", "reload")
        s.install(s.pem, ["mx.example.test"], days=-2)
        r = s.adminctl("tls", "reload", check=False)
        assert r.returncode == 1 and "the one loaded before stays in use" in r.stderr, r
        assert s.fingerprint() == good.fingerprint


def test_permission_denied_is_said():
    """A file that the modes keep away, in development mode or from a user who is not root."""
    if os.geteuid() == 0:
        raise Skip("root and certd may read every file below the folders named")
    with CertSuite() as s:
        old = s.fingerprint()
        os.chmod(s.pem, 0)
        r = s.adminctl("tls", "reload", check=False)
        assert r.returncode == 1 and "Permission denied: certd cannot read it" in r.stderr, r
        assert s.fingerprint() == old


def test_keys_of_root_are_read_after_the_confinement():
    if os.geteuid() != 0:
        raise Skip("an ordinary user runs in development mode")
    with CertSuite() as s:
        pid = s.pid_of("certd")[0]
        with open("/proc/%d/status" % pid) as f:
            status = dict(line.split(":\t", 1) for line in f.read().split("\n") if ":\t" in line)
        # CAP_DAC_READ_SEARCH and nothing else; not to be had again once given up.
        assert int(status["CapEff"], 16) == 1 << 2 and int(status["CapBnd"], 16) == 0, status
        assert "0" not in status["Uid"].split() and status["Seccomp"].strip() == "2", status
        if "memory is not locked" not in s.log():
            assert int(status["VmLck"].split()[0]) > 0, status
        assert os.stat(s.pem).st_uid == 0 and os.stat(s.pem).st_mode & 0o777 == 0o600
        new = s.install(s.pem, ["mx.example.test"])
        s.admin("tls", "reload")
        assert s.fingerprint() == new.fingerprint and s.pid_of("certd") == [pid]


def test_a_folder_of_everything_is_complained_of():
    """certd may read whatever lies beside the keys."""
    with CertSuite(start=False) as s:
        path = "/tmp/postkeep-test-%d.pem" % os.getpid()
        shutil.copy(s.pem, path)
        try:
            s.write_conf(smtpd_tls_chain_files=path)
            s.start()
            s.wait_log("keys and certificates lie in /tmp itself, all of which certd may read")
        finally:
            os.unlink(path)
    with CertSuite() as s:
        assert "itself, all of which" not in s.log()


def test_server_names():
    with CertSuite(start=False) as s:
        one, wild = s.cert(["one.example.test"]), s.cert(["*.wild.test"], kind="rsa")
        both = s.cert(["one.example.test"], kind="rsa")
        table = s.write("sni", "One.Example.test %s, %s\n.wild.test %s\nno_such_file.test /x\n"
                        % (one.pem, both.pem, wild.pem))
        s.write_conf(tls_server_sni_maps="texthash:%s, inline:{ {two.example.test=%s},"
                     " one.example.test=/not/used }" % (table, one.pem))
        s.start()
        rows = {(r["kind"], *r["names"]): r for r in s.certificates() if r["use"] == "name"}
        assert set(rows) == {("EC P-256", "one.example.test"), ("EC P-256", "two.example.test"),
                             ("RSA 2048", "one.example.test"), ("RSA 2048", "*.wild.test")}, rows
        s.wait_log("tls_server_sni_maps: /x: No such file")
        s.wait_log("the certificate of %s is not for two.example.test" % one.pem)
        r = s.admin("tls", "certificate", "show", "*.wild.test")["certificates"]
        assert [x["fingerprint_sha256"] for x in r] == [wild.fingerprint], r
        # The table is watched too, and a broken one changes nothing.
        s.write("sni", "one.example.test %s\nthree.example.test %s\n" % (one.pem, wild.pem))
        wait_for("the new name", lambda: any("three.example.test" in r["names"]
                                             for r in s.certificates()), 20)
        s.write("sni", "three.example.test\n")
        s.wait_log("expected: key, blanks, value", 20)
        assert any("three.example.test" in r["names"] for r in s.certificates())


def test_ticket_keys_outlive_certd():
    with CertSuite() as s:
        path = os.path.join(s.conf["data_directory"], "certd", "ticket_keys")
        before = tls.read(path)
        assert os.stat(path).st_mode & 0o777 == 0o600 and len(before) > 48
        assert s.admin("tls", "ticket-keys", "rotate")["secrets"] == 2
        first, second = before[16:64], tls.read(path)[16:64]
        assert first != second and first in tls.read(path)
        pid = s.pid_of("certd")[0]
        os.kill(pid, signal.SIGKILL)
        wait_for("the next certd", lambda: s.pid_of("certd") not in ([], [pid]))
        wait_for("its answer", lambda: s.adminctl("tls", "certificates", check=False).returncode == 0)
        assert tls.read(path)[16:64] == second and first in tls.read(path)
        s.wait_log("audit: uid=%d tls ticket-keys rotate" % os.geteuid())


# ---- with clients ----

def test_a_reload_drops_no_session():
    with CertSuite() as s, s.client() as c:
        c.ehlo()
        c.starttls(context(), "mx.example.test")
        c.ehlo()
        new = s.install(s.pem, ["mx.example.test"], kind="rsa")
        s.admin("tls", "reload")
        wait_for("the new certificate at the port", lambda: s.offered() == new.fingerprint)
        c.send("sender@src.test", ["alice@example.test"], b"Subject: x\r\n\r\nx\r\n")
        s.wait_mail("alice")


def test_clients_are_shown_the_certificate_of_their_name():
    with CertSuite(start=False) as s:
        one = s.cert(["one.example.test"])
        wild = s.cert(["*.wild.test"], kind="rsa")
        s.write_conf(tls_server_sni_maps="inline:{one.example.test=%s, *.wild.test=%s}"
                     % (one.pem, wild.pem))
        s.start()
        wait_for("STARTTLS", lambda: s.admin("tls", "certificates")["certificates"][0]["in_use_by"])
        for name, subject in (("one.example.test", "one.example.test"),
                              ("ONE.example.test", "one.example.test"),
                              ("a.wild.test", "*.wild.test"), ("b.wild.test", "*.wild.test"),
                              ("a.b.wild.test", "mx.example.test"),
                              ("wild.test", "mx.example.test"),
                              ("other.test", "mx.example.test")):
            text = s.handshake(name=name)
            assert "subject=CN = %s\n" % subject in text, (name, text)


def test_every_kind_of_key_in_both_versions():
    with CertSuite(start=False) as s:
        pairs = {k: s.cert(["mx.example.test"], kind=k) for k in ("rsa", "ec384", "ed25519")}
        s.write_conf(smtpd_tls_chain_files=", ".join(c.pem for c in pairs.values()))
        s.start()
        wait_for("three certificates", lambda: len(s.certificates()) == 3)
        for version in ("-tls1_2", "-tls1_3"):
            for kind, algorithm, word in (("rsa", "rsa_pss_rsae_sha256", "rsa-pss"),
                                          ("rsa", "rsa_pss_rsae_sha512", "rsa-pss"),
                                          ("ec384", "ecdsa_secp384r1_sha384", "ecdsa"),
                                          ("ed25519", "ed25519", "ed25519")):
                text = s.handshake(version, "-sigalgs", algorithm)
                assert "peer signature type: " + word in text.lower(), (version, algorithm, text)
        text = s.handshake("-tls1_2", "-sigalgs", "RSA+SHA256")
        assert "Peer signature type: RSA\n" in text, text
        assert s.admin("stats")["counters"]["certd_signatures"] >= 9


def test_certd_killed_under_load():
    """Handshakes that were waiting for it fail; the suite goes on with the next one."""
    with CertSuite() as s:
        stop, good, bad = threading.Event(), [], []

        def shake():
            while not stop.is_set():
                try:
                    s.offered()
                    good.append(time.monotonic())
                except (OSError, AssertionError, EOFError) as e:
                    bad.append((time.monotonic(), repr(e)))
                    time.sleep(0.02)

        threads = [threading.Thread(target=shake) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            wait_for("handshakes", lambda: len(good) > 20)
            for _ in range(2):
                pid = s.pid_of("certd")[0]
                killed = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                wait_for("another certd", lambda: s.pid_of("certd") not in ([], [pid]))
                wait_for("handshakes again",
                         lambda: len([t for t in good if t > time.monotonic() - 0.5]) > 5 and
                         time.monotonic() > killed + 1)
            settled = time.monotonic()
            time.sleep(1)
        finally:
            stop.set()
            for t in threads:
                t.join()
        late = [b for b in bad if b[0] > settled]
        assert not late, late[:3]
        assert len(s.pid_of("smtpd")) > 0
        errors = [l for l in s.log().split("\n") if "smtpd" in l and "fatal" in l]
        assert not errors, errors


# ---- where keys are ----

def secrets_of(key):
    """{name: bytes} that only the holder of this key file has."""
    text = tls.openssl("pkey", "-in", key, "-noout", "-text").decode()
    out = {}
    for name in ("privateExponent", "prime1", "prime2", "exponent1", "exponent2",
                 "coefficient", "priv"):
        m = re.search(r"^%s:\n((?:    [0-9a-f:]+\n)+)" % name, text, re.M)
        if m:
            out[name] = bytes.fromhex(re.sub(r"[^0-9a-f]", "", m.group(1))).lstrip(b"\0")
    body = [l for l in tls.read(key).split(b"\n") if l and not l.startswith(b"-")]
    out["PEM"] = body[-2] if len(body) > 1 else body[0]
    return out


def needles(keys):
    """[(what, bytes)]: 16 bytes from either end and byte order, so that half a key is found too."""
    out = []
    for key in keys:
        for name, value in secrets_of(key).items():
            forms = [value] if name == "PEM" else [value, value[::-1]]
            for form in forms:
                out += [(os.path.basename(key) + " " + name, form[:16]),
                        (os.path.basename(key) + " " + name, form[-16:])]
    return out


def writable_memory(pid):
    with open("/proc/%d/maps" % pid) as f:
        maps = [l.split() for l in f]
    with open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for m in maps:
            if "w" not in m[1] or "r" not in m[1]:
                continue
            start, end = (int(x, 16) for x in m[0].split("-"))
            mem.seek(start)
            try:
                data = b""
                while len(data) < end - start:
                    part = mem.read(end - start - len(data))
                    if not part:
                        break
                    data += part
                yield data
            except OSError:
                continue        # a guard page


def found_in(pid, what):
    return {name for data in writable_memory(pid) for name, n in what if n in data}


def test_A24_no_key_outside_certd():
    """Known keys, real handshakes in both versions, then every process's memory and handles."""
    if os.geteuid() != 0:
        raise Skip("only root reads the memory of other users' processes")
    if Suite.sanitized():
        raise Skip("sanitizers map terabytes")
    with CertSuite(start=False) as s:
        pairs = {k: s.cert(["mx.example.test"], kind=k) for k in ("rsa", "ec", "ed25519")}
        own = s.cert(["client.example.test"], kind="ec384")
        s.write_conf(smtpd_tls_chain_files=", ".join(c.pem for c in pairs.values()),
                     smtp_tls_chain_files=own.pem)
        s.start()
        wait_for("certificates in use", lambda: all(r["in_use_by"] for r in s.certificates()))
        for _ in range(3):
            for version in ("-tls1_2", "-tls1_3"):
                for algorithm in ("rsa_pss_rsae_sha256", "ecdsa_secp256r1_sha256", "ed25519"):
                    s.handshake(version, "-sigalgs", algorithm)
        what = needles([c.key for c in pairs.values()] + [own.key])
        assert len(what) > 40, len(what)
        certd = s.pid_of("certd")[0]
        # The search finds what is there: each key, in certd.
        there = {w.split(" ")[0] for w in found_in(certd, what)}
        assert there == {os.path.basename(c.key) for c in (*pairs.values(), own)}, there
        looked = 0
        for p in s.processes():
            if p["pid"] == certd:
                continue
            found = found_in(p["pid"], what)
            assert not found, (p, found)
            for fd in os.listdir("/proc/%d/fd" % p["pid"]):
                target = os.readlink("/proc/%d/fd/%s" % (p["pid"], fd))
                assert not target.startswith(s.keys) and "ticket_keys" not in target, (p, target)
            looked += 1
        assert looked >= 10, looked
        # certd itself reads them once and keeps no handle.
        for fd in os.listdir("/proc/%d/fd" % certd):
            target = os.readlink("/proc/%d/fd/%s" % (certd, fd))
            assert not target.startswith(s.keys), target
