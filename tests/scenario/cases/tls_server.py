# SPDX-License-Identifier: ISC
"""TLS of clients that come to us: STARTTLS, implicit TLS, certificates, tickets (A3, A4, A20)."""
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import time

from harness import tls
from harness.smtp import Client
from harness.suite import Skip, Suite, free_port, wait_for

HELLO = b"Subject: hello\r\n\r\nhello\r\n"
NAME = "mx.example.test"


def context(least=ssl.TLSVersion.TLSv1_2, most=ssl.TLSVersion.TLSv1_3, ca=None, cert=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.minimum_version, c.maximum_version = least, most
    c.check_hostname = ca is not None
    c.verify_mode = ssl.CERT_REQUIRED if ca is not None else ssl.CERT_NONE
    if ca is not None:
        c.load_verify_locations(ca.cert)
    if cert is not None:
        c.load_cert_chain(cert.chain, cert.key)
    return c


TLS12 = {"least": ssl.TLSVersion.TLSv1_2, "most": ssl.TLSVersion.TLSv1_2}
TLS13 = {"least": ssl.TLSVersion.TLSv1_3, "most": ssl.TLSVersion.TLSv1_3}


class TlsSuite(Suite):
    """A suite with an EC certificate for mx.example.test, and a port with implicit TLS."""

    def __init__(self, conf=None, kinds=("ec",), start=True, **kw):
        super().__init__(start=False, **kw)
        self.pki = os.path.join(self.dir, "pki")
        self.ca = tls.make_ca(self.pki)
        self.certs = [tls.make_cert([NAME], kind=k, ca=self.ca) for k in kinds]
        self.tls_port = free_port()
        self.write_conf(**{
            "listeners": "smtp:inet:127.0.0.1:%d, smtps:inet:127.0.0.1:%d" %
                         (self.port, self.tls_port),
            "smtps_listener_class": "submission",
            "smtps_smtpd_tls_wrappermode": "yes",
            "smtpd_tls_chain_files": ", ".join(c.pem for c in self.certs),
            "smtpd_client_connection_count_limit": "0",
            **(conf or {})})
        if start:
            self.start()

    def wait_up(self, seconds=30):
        super().wait_up(seconds)
        if self.conf.get("smtpd_tls_security_level") == "none":
            return

        def offered():
            with Client(self.port) as c:
                return "STARTTLS" in c.ehlo().split("\n")
        wait_for("STARTTLS offered", offered, seconds)

    def secure(self, ctx=None, **kw):
        """A client behind STARTTLS and EHLO."""
        c = self.client()
        c.ehlo()
        c.starttls(ctx or context(), name=kw.pop("name", NAME), **kw)
        c.ehlo()
        return c


def header_of(mail):
    return re.sub(rb"\r?\n[ \t]+", b" ", mail.replace(b"\r\n", b"\n").split(b"\n\n")[0]).decode()


def test_starttls_in_both_versions():
    for versions, word in ((TLS12, "TLSv1.2"), (TLS13, "TLSv1.3")):
        with TlsSuite() as s:
            with s.client() as c:
                assert "STARTTLS" in c.ehlo().split("\n")
                c.starttls(context(ca=s.ca, **versions), NAME)
                assert c.s.version() == word
                words = c.ehlo().split("\n")
                assert "STARTTLS" not in words and "REQUIRETLS" in words, words
                assert c.cmd("STARTTLS") == (554, "5.5.1 Error: TLS already active")
                queue_id = c.send("sender@src.test", ["alice@example.test"], HELLO)
                c.expect(221, "QUIT")
                assert c.s.unwrap() is not None     # close_notify came
            header = header_of(s.wait_mail("alice")[0])
            assert re.search(r"Received: from client\.test \(localhost \[127\.0\.0\.1\]\) "
                             r"\(using " + word + r" with cipher \S+ \(\d+/\d+ bits\)" +
                             (r" key-exchange \S+ server-signature .*\) " if word == "TLSv1.3"
                              else r"\) ") + r"\(No client certificate requested\) "
                             r"by mx\.example\.test \(Postkeep\) with ESMTPS id", header), header
            s.wait_log(r"Anonymous TLS connection established from localhost\[127\.0\.0\.1\]"
                       r" to mx\.example\.test: " + word + r" with cipher \S+ \(\d+/\d+ bits\)")
            s.wait_log(r"disconnect from localhost\[127\.0\.0\.1\] ehlo=2 starttls=1/2 mail=1 "
                       r"rcpt=1 data=1 quit=1 commands=7/8")
            assert word + " with " in s.adminctl("trace", queue_id).stdout


def test_implicit_tls():
    with TlsSuite() as s:
        for versions in (TLS12, TLS13):
            with Client(s.tls_port, tls=context(ca=s.ca, **versions), name=NAME) as c:
                assert "STARTTLS" not in c.ehlo().split("\n")
                c.send("sender@src.test", ["alice@example.test"], HELLO)
                c.expect(221, "QUIT")
        for mail in s.wait_mail("alice", 2):
            assert "with ESMTPS id" in header_of(mail)


def test_level_encrypt_demands_it():
    with TlsSuite({"smtpd_tls_security_level": "encrypt"}) as s:
        with s.client() as c:
            for command in ("HELO x", "MAIL FROM:<a@b.test>", "RCPT TO:<alice@example.test>",
                            "DATA", "RSET", "VRFY alice", "AUTH PLAIN AGEAYg=="):
                assert c.cmd(command) == (530, "5.7.0 Must issue a STARTTLS command first"), \
                    command
            c.ehlo()
            c.raw(b"BDAT 6 LAST\r\nQUIT\r\n")
            assert c.reply()[0] == 530
            assert c.cmd("NOOP")[0] == 250          # the chunk was no command
            assert c.cmd("HELP")[0] == 214
            c.ehlo()
            c.starttls(context(), NAME)
            c.ehlo()
            c.send("sender@src.test", ["alice@example.test"], HELLO)
        with s.client() as c:
            c.expect(221, "QUIT")
        s.wait_mail("alice")


def test_level_none_offers_nothing():
    with TlsSuite({"smtpd_tls_security_level": "none"}) as s:
        with s.client() as c:
            assert "STARTTLS" not in c.ehlo()
            assert c.cmd("STARTTLS")[0] == 502


def test_without_certificate():
    with TlsSuite({"smtpd_tls_chain_files": "", "smtpd_tls_security_level": "none"}) as s:
        s.write_conf(smtpd_tls_security_level="encrypt")
        s.postkeep("reload")

        def temporary():
            with s.client() as c:
                return c.cmd("STARTTLS") == (454, "4.7.0 TLS not available due to local problem")
        wait_for("454", temporary)
        with s.client() as c:
            assert "STARTTLS" not in c.ehlo()
            assert c.cmd("MAIL FROM:<a@b.test>")[0] == 530
        with Client(s.tls_port, greet=False) as c:
            assert c.closed() and c.buf == b""
        s.wait_log("listener smtps: TLS not available due to local problem")


def test_pipelining_and_bdat_over_tls():
    body = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n"
    body += (b"0123456789" * 7 + b"\r\n") * 60000      # 4.3 MB
    lines = body.replace(b"\r\n", b"\n")
    with TlsSuite({"smtpd_content_memory": "65536"}) as s:
        for versions in (TLS12, TLS13):
            with s.secure(context(**versions)) as c:
                c.raw(b"MAIL FROM:<a@src.test> SIZE=%d\r\nRCPT TO:<alice@example.test>\r\n"
                      b"DATA\r\n" % len(body))
                assert [c.reply()[0] for _ in range(3)] == [250, 250, 354]
                c.raw(body + b".\r\nNOOP\r\nMAIL FROM:<b@src.test>\r\n"
                      b"RCPT TO:<bob@example.test>\r\nBDAT %d\r\n" % len(body))
                c.raw(body + b"BDAT 6 LAST\r\nlast\r\nQUIT\r\n")
                codes = [c.reply()[0] for _ in range(7)]
                assert codes == [250] * 6 + [221], codes
        for mail in s.wait_mail("alice", 2, 30):
            assert mail.replace(b"\r\n", b"\n").endswith(lines), len(mail)
        for mail in s.wait_mail("bob", 2, 30):
            assert mail.replace(b"\r\n", b"\n").endswith(lines + b"last\n"), len(mail)


def test_a_packet_of_commands_in_tiny_records():
    """Each byte in a record of its own: what TLS has decrypted is served without a packet more."""
    with TlsSuite() as s:
        with s.secure() as c:
            for byte in b"NOOP\r\nMAIL FROM:<a@src.test>\r\nRCPT TO:<alice@example.test>\r\n":
                c.s.sendall(bytes([byte]))
            assert [c.reply()[0] for _ in range(3)] == [250, 250, 250]
            code, text = c.data(HELLO)
            assert code == 250, text
        s.wait_mail("alice")


# ---- certificates and names ----

def leaf_of(client):
    return ssl.DER_cert_to_PEM_cert(client.s.getpeercert(binary_form=True)).strip()


def test_names_and_kinds_of_keys():
    """SNI chooses the certificate, the client's signature algorithms its kind."""
    with TlsSuite(kinds=("ec", "rsa", "ed25519"), start=False) as s:
        other = tls.make_cert(["other.test", "*.wild.test"], kind="rsa", ca=s.ca)
        s.write_conf(tls_server_sni_maps="inline:{ other.test=%s, .wild.test=%s }" %
                                         (other.pem, other.pem))
        s.start()
        ec, rsa, _ = [tls.read(c.cert).decode().strip() for c in s.certs]
        theirs = tls.read(other.cert).decode().strip()
        for versions in (TLS12, TLS13):
            for name, want in (("other.test", theirs), ("a.wild.test", theirs), (NAME, ec),
                               ("nobody.test", ec)):
                with s.secure(context(**versions), name=name) as c:
                    assert leaf_of(c) == want, (versions, name)
        ctx = context(**TLS12)
        ctx.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        with s.secure(ctx) as c:
            assert leaf_of(c) == rsa
        for kind, word in (("ed25519", "ed25519"), ("ecdsa_secp256r1_sha256", "ecdsa"),
                           ("rsa_pss_rsae_sha256", "RSA-PSS")):
            out = s_client(s, "-tls1_3", "-sigalgs", kind)
            assert re.search("Peer signature type: .*" + word, out, re.I), (kind, out)


def s_client(s, *args, lines=("QUIT",), port=None):
    """What openssl s_client says of a connection (STARTTLS, or to the port with implicit TLS)."""
    how = ["-starttls", "smtp"] if port is None else []
    p = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % (port or s.port),
                          *how, "-crlf", *args], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for line in lines:
            time.sleep(0.3)
            p.stdin.write(line.encode() + b"\n")
            p.stdin.flush()
    except BrokenPipeError:
        pass
    return p.communicate(timeout=20)[0].decode("utf-8", "replace")


def test_a_bad_value_at_reload_changes_nothing():
    with TlsSuite({"smtpd_tls_ask_ccert": "yes"}) as s:
        before = set(s.pid_of("smtpd"))
        s.write_conf(smtpd_tls_CAfile=s.ca.cert)
        s.postkeep("reload")
        wait_for("new workers", lambda: s.pid_of("smtpd") and not before & set(s.pid_of("smtpd")))
        s.write_conf(smtpd_tls_protocols=">=TLSv7")
        s.postkeep("reload")
        s.wait_log("listener smtp: .*smtpd_tls_protocols.*what was configured before stays")
        with s.secure(context(**TLS12)) as c:
            c.expect(250, "NOOP")
        s.write_conf(smtpd_tls_protocols=">=TLSv1.3")
        s.postkeep("reload")

        def refused():
            try:
                s.secure(context(**TLS12)).close()
                return False
            except ssl.SSLError:
                return True
        wait_for("TLS 1.2 refused", refused)
        s.secure(context(**TLS13)).close()


def test_a_broken_value_at_the_start_never_means_clear_text():
    with TlsSuite({"smtpd_tls_security_level": "encrypt", "smtpd_tls_ciphers": "medium",
                   "smtpd_tls_mandatory_protocols": "TLSv1.7"}, start=False) as s:
        Suite.start(s, wait=False)
        Suite.wait_up(s)
        with s.client() as c:
            assert "STARTTLS" not in c.ehlo()
            assert c.cmd("MAIL FROM:<a@b.test>")[0] == 530
            assert c.cmd("STARTTLS")[0] == 454
        s.wait_log("listener smtp: .*smtpd_tls_mandatory_protocols")


# ---- sessions that are resumed ----

def resumable(s, ctx, port=None):
    """A session as a client keeps it: with the ticket that came behind the handshake."""
    if port is not None:
        c = Client(port, tls=ctx, name=NAME)
        c.ehlo()
    else:
        c = s.secure(ctx)
    c.expect(250, "NOOP")
    session = c.s.session
    c.expect(221, "QUIT")
    c.close()
    assert session is not None and session.has_ticket
    return session


def is_resumed(s, ctx, session, port=None):
    if port is not None:
        c = Client(port, tls=ctx, name=NAME, session=session)
        c.ehlo()
    else:
        c = s.secure(ctx, session=session)
    c.expect(250, "NOOP")
    resumed = c.s.session_reused
    c.expect(221, "QUIT")
    c.close()
    return resumed


class Stopped:
    """A process that does nothing for a while."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *a):
        os.kill(self.pid, signal.SIGCONT)


def test_tickets_work_across_workers_and_restarts():
    with TlsSuite({"smtpd_workers": "2"}) as s:
        one, two = s.pid_of("smtpd")
        for versions in (TLS12, TLS13):
            ctx = context(**versions)
            with Stopped(one):
                assert is_resumed(s, ctx, resumable(s, ctx))
                session = resumable(s, ctx)
            with Stopped(two):
                assert is_resumed(s, ctx, session), "another worker does not know the ticket"
                session = resumable(s, ctx)
            for pid in (one, two):
                os.kill(pid, signal.SIGKILL)
            wait_for("new workers", lambda: len(set(s.pid_of("smtpd")) - {one, two}) == 2)
            one, two = s.pid_of("smtpd")
            wait_for("STARTTLS offered", lambda: "STARTTLS" in s.client().ehlo())
            assert is_resumed(s, ctx, session), "not after a restart"
        assert len(set(re.findall(r"smtpd\[(\d+)\]: Anonymous TLS", s.log()))) >= 4
        assert s.admin("stats")["counters"]["smtpd_tls_resumed"] >= 1


def test_A20_ticket_of_another_service_opens_nothing():
    with TlsSuite() as s:
        other = free_port()
        s.write_conf(listeners=s.conf["listeners"] + ", second:inet:127.0.0.1:%d" % other)
        s.postkeep("reload")
        wait_for("second listener", lambda: can_connect(other))
        for versions in (TLS12, TLS13):
            ctx = context(**versions)
            mx = resumable(s, ctx)
            assert is_resumed(s, ctx, mx)
            mx, users = resumable(s, ctx), resumable(s, ctx, s.tls_port)
            assert not is_resumed(s, ctx, mx, s.tls_port), "port 25's ticket on 465"
            assert not is_resumed(s, ctx, users), "465's ticket on port 25"
            assert is_resumed(s, ctx, resumable(s, ctx, s.tls_port), s.tls_port)
            mx = resumable(s, ctx)
            with Client(other) as c:
                c.ehlo()
                c.starttls(ctx, NAME, mx)
                c.ehlo()
                assert not c.s.session_reused, "ticket of listener smtp on listener second"


def can_connect(port):
    try:
        Client(port, timeout=2).close()
        return True
    except (OSError, AssertionError):
        return False


def test_tickets_can_be_turned_off():
    with TlsSuite({"smtpd_tls_session_cache_timeout": "0"}) as s:
        for versions in (TLS12, TLS13):
            with s.secure(context(**versions)) as c:
                c.expect(250, "NOOP")
                assert not (c.s.session and c.s.session.has_ticket), versions


# ---- nothing of what came before the handshake counts (A3) ----

def test_A3_commands_behind_starttls_in_every_split():
    evil = (b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@src.test>\r\n"
            b"RCPT TO:<bob@example.test>\r\nDATA\r\nSubject: injected\r\n\r\n.\r\n")
    handshakes = cut_off = 0
    with TlsSuite({"smtpd_helo_required": "yes", "smtpd_soft_error_limit": "1000"}) as s:
        ctx = context()
        for at in range(1, len(evil)):
            with s.client() as c:
                c.ehlo()
                c.raw(evil[:at])
                if at >= 10:
                    assert c.reply()[0] == 220
                else:
                    time.sleep(0.005)
                try:
                    c.raw(evil[at:])
                    if at < 10:
                        assert c.reply()[0] == 220
                    time.sleep(0.005)
                    c.secure(ctx, NAME)
                except (OSError, ssl.SSLError):
                    cut_off += 1            # the rest came as the handshake's first bytes
                    continue
                handshakes += 1
                assert c.cmd("MAIL FROM:<a@src.test>")[0] == 503, "EHLO of before counts"
                c.ehlo()
                assert c.cmd("RCPT TO:<bob@example.test>")[0] == 503, "MAIL of before counts"
        s.wait_log(r"improper command pipelining after STARTTLS from localhost.*EHLO evil\.test")
        s.wait_log(r"SSL_accept error from localhost\[127\.0\.0\.1\]: no TLS handshake but: ")
        assert "from=<evil@src.test>" not in s.log() and s.mailbox("bob") == []
    assert handshakes >= 9 and cut_off > 0 and handshakes + cut_off == len(evil) - 1
    print("  %d went on, %d cut off" % (handshakes, cut_off))


def test_A3_state_is_forgotten():
    with TlsSuite({"smtpd_helo_required": "yes", "smtpd_tls_auth_only": "no"}) as s:
        for before in (["MAIL FROM:<evil@src.test>"],
                       ["MAIL FROM:<evil@src.test>", "RCPT TO:<bob@example.test>"],
                       ["MAIL FROM:<evil@src.test> BODY=8BITMIME SMTPUTF8",
                        "RCPT TO:<bob@example.test>", "BDAT 0"]):
            with s.client() as c:
                c.ehlo("evil.test")
                for command in before:
                    c.expect(250, command)
                c.starttls(context(), NAME)
                assert c.cmd("BDAT 0 LAST")[0] in (502, 503)
                assert c.cmd("DATA")[0] == 503
                assert c.cmd("RCPT TO:<bob@example.test>")[0] == 503
                assert c.cmd("MAIL FROM:<a@src.test> SIZE=1")[0] in (503, 555), \
                    "extensions of before"
                c.expect(250, "HELO after.test")
                assert c.cmd("MAIL FROM:<a@src.test> REQUIRETLS")[0] == 555
                c.send("a@src.test", ["alice@example.test"], HELLO)
        for mail in s.wait_mail("alice", 3):
            header = header_of(mail)
            assert "from after.test" in header and "evil" not in header
            assert "with SMTP id" in header     # HELO has no letters for TLS (RFC 3848)
        assert s.mailbox("bob") == []


# ---- other protocols (A4) ----

def silent_end(port, data):
    """Nothing at all is answered, and the connection ends at once."""
    began = time.monotonic()
    with Client(port, greet=False) as c:
        c.raw(data)
        assert c.closed(5), data
        assert c.buf == b"", (data, c.buf)
    assert time.monotonic() - began < 3


def test_A4_clear_text_into_the_port_with_tls():
    with TlsSuite() as s:
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\n", b"EHLO x\r\n",
                     b"G", b"\r\n", b"\x80\x2e\x01\x03\x01", b"SSH-2.0-x\r\n", b"\0" * 300):
            silent_end(s.tls_port, data)
        s.wait_log(r"SSL_accept error from localhost\[127\.0\.0\.1\]: "
                   r"no TLS handshake but: GET / HTTP/1\.1")
        s.wait_log(r"lost connection after CONNECT from localhost")
        with s.client() as c:
            c.ehlo()
            c.expect(220, "STARTTLS")
            c.raw(b"GET / HTTP/1.1\r\n\r\n")
            assert c.closed() and c.buf == b""
        s.wait_log(r"lost connection after STARTTLS from localhost")
        s.wait_log(r"starttls=0/1 commands=1/2")


def test_A4_http_over_tls():
    with TlsSuite() as s:
        for verb in ("GET / HTTP/1.1", "POST /x HTTP/1.1", "CONNECT x:25 HTTP/1.1"):
            with Client(s.tls_port, tls=context(), name=NAME) as c:
                c.raw(verb.encode() + b"\r\nHost: x\r\n\r\nEHLO x\r\n")
                try:
                    assert c.reply()[0] == 221
                except (EOFError, OSError):
                    pass                        # the end overtook it
                assert c.closed()
                assert b"250" not in c.buf
        s.wait_log("non-SMTP command from localhost.*: POST /x")


def test_A4_alpn():
    with TlsSuite() as s:
        for protocols, fine in ((["http/1.1"], False), (["h2", "http/1.1"], False),
                                (["imap"], False), (["smtp"], True), (["h2", "smtp"], True)):
            ctx = context()
            ctx.set_alpn_protocols(protocols)
            for port in (None, s.tls_port):
                try:
                    if port is None:
                        s.secure(ctx).close()
                    else:
                        Client(port, tls=ctx, name=NAME).close()
                    assert fine, protocols
                except ssl.SSLError:
                    assert not fine, protocols
        s.wait_log("SSL_accept error from localhost.*ALPN")


def test_renegotiation_and_early_data_are_refused():
    with TlsSuite() as s:
        out = s_client(s, "-tls1_2", port=s.tls_port, lines=["R", "NOOP", "QUIT"])
        assert "RENEGOTIATING" in out and "no renegotiation" in out, out
        assert s.log().count("TLS connection established") == 1
        # TLS 1.3: a ticket that promises early data is never given.
        saved = os.path.join(s.dir, "session")
        early = os.path.join(s.dir, "early")
        with open(early, "w") as f:
            f.write("EHLO early.test\r\n")
        s_client(s, "-tls1_3", "-sess_out", saved, port=s.tls_port, lines=["EHLO x", "QUIT"])
        assert os.path.exists(saved)
        out = s_client(s, "-tls1_3", "-sess_in", saved, "-early_data", early, port=s.tls_port)
        assert re.search("Early data was (not sent|rejected)", out), out
        assert "early.test" not in s.log()


# ---- client certificates ----

def test_client_certificates():
    with TlsSuite(start=False) as s:
        friend = tls.make_cert(["friend.test"], ca=s.ca)
        keyed = tls.make_cert(["keyed.test"], kind="rsa", ca=s.ca)
        strange_ca = tls.make_ca(s.pki, "Strange CA")
        strange = tls.make_cert(["odd.test"], ca=strange_ca)
        key_print = public_key_print(keyed)
        cidr = s.write("prints", "%s friend\n" % key_print)
        s.write_conf(mynetworks="192.0.2.0/24", smtpd_tls_ask_ccert="yes",
                     smtpd_tls_CAfile=s.ca.cert, default_transport="discard:",
                     relay_clientcerts="%s, texthash:%s" % (friend.fingerprint, cidr),
                     smtpd_relay_restrictions="permit_tls_clientcerts, reject_unauth_destination")
        s.start()
        for cert, code, trust in ((friend, 250, "Trusted"), (keyed, 250, "Trusted"),
                                  (strange, 554, "Untrusted"), (None, 554, "Anonymous")):
            for versions in (TLS12, TLS13):
                with s.secure(context(cert=cert, **versions)) as c:
                    c.expect(250, "MAIL FROM:<a@src.test>")
                    assert c.cmd("RCPT TO:<x@elsewhere.test>")[0] == code, (trust, versions)
                    s.wait_log(trust + " TLS connection established from")
        # What it proved is known again when the session is resumed.
        ctx = context(cert=friend)
        session = resumable(s, ctx)
        with s.secure(ctx, session=session) as c:
            assert c.s.session_reused
            c.send("a@src.test", ["alice@example.test", "x@elsewhere.test"], HELLO)
        with s.secure(context(cert=strange)) as c:
            c.send("a@src.test", ["bob@example.test"], HELLO)
        assert re.search(r'\(Client CN "friend\.test", Issuer "Test CA" \(verified OK\)\)',
                         header_of(s.wait_mail("alice")[0]))
        assert re.search(r'\(Client CN ".*", Issuer "Strange CA" \(not verified\)\)',
                         header_of(s.wait_mail("bob")[0]))


def public_key_print(cert):
    """The fingerprint of its public key, as Postfix counts it: SHA-256 of the DER form."""
    pem = tls.openssl("x509", "-in", cert.cert, "-noout", "-pubkey")
    der = tls.openssl("pkey", "-pubin", "-outform", "DER", stdin=pem)
    hexed = tls.openssl("dgst", "-sha256", "-r", stdin=der).decode().split()[0]
    return ":".join(hexed[i:i + 2] for i in range(0, len(hexed), 2)).upper()


def test_words_about_tls():
    with TlsSuite(start=False) as s:
        friend = tls.make_cert(["friend.test"], ca=s.ca)
        enemy = tls.make_cert(["enemy.test"], ca=s.ca)
        table = s.write("certs", "%s REJECT go away\n%s OK\n" %
                        (enemy.fingerprint, friend.fingerprint))
        s.write_conf(mynetworks="192.0.2.0/24", smtpd_tls_ask_ccert="yes",
                     smtpd_tls_CAfile=s.ca.cert, default_transport="discard:",
                     smtpd_client_restrictions="reject_plaintext_session, "
                                               "check_ccert_access texthash:%s" % table,
                     smtpd_relay_restrictions="permit_tls_all_clientcerts, "
                                              "reject_unauth_destination")
        s.start()
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<a@src.test>")
            assert c.cmd("RCPT TO:<alice@example.test>") == \
                (450, "4.7.1 Session encryption is required")
        for cert, ours, others in ((friend, 250, 250), (enemy, 554, 554), (None, 250, 554)):
            with s.secure(context(cert=cert)) as c:
                c.expect(250, "MAIL FROM:<a@src.test>")
                code, text = c.cmd("RCPT TO:<alice@example.test>")
                assert code == ours, (cert, code, text)
                assert code == 250 or "Client certificate rejected: go away" in text, text
                assert c.cmd("RCPT TO:<x@elsewhere.test>")[0] == others


# ---- REQUIRETLS ----

def test_requiretls():
    optional = b"TLS-Required: No\r\n" + HELLO
    with TlsSuite({"default_transport": "error:no"}) as s:
        with s.client() as c:
            assert "REQUIRETLS" not in c.ehlo()
            assert c.cmd("MAIL FROM:<a@src.test> REQUIRETLS")[0] == 555
        with s.secure() as c:
            assert c.cmd("MAIL FROM:<a@src.test> REQUIRETLS=yes")[0] == 501
            c.send("a@src.test", ["alice@example.test"], HELLO, "REQUIRETLS")
            c.send("a@src.test", ["alice@example.test"], optional, "REQUIRETLS")
            c.send("a@src.test", ["alice@example.test"], optional)
        s.wait_mail("alice", 3)


# ---- limits ----

def test_rate_of_full_handshakes():
    with TlsSuite({"smtpd_client_new_tls_session_rate_limit": "3", "mynetworks": "192.0.2.0/24",
                   "smtpd_client_event_limit_exceptions": ""}) as s:
        ctx = context(**TLS12)
        session = resumable(s, ctx)
        for _ in range(5):
            assert is_resumed(s, ctx, session)      # these are not counted
        s.secure(ctx).close()
        s.secure(ctx).close()
        with s.client() as c:
            c.ehlo()
            assert c.cmd("STARTTLS") == \
                (454, "4.7.0 Error: too many new TLS sessions from 127.0.0.1")
        silent_end(s.tls_port, b"")
        s.wait_log(r"New TLS session rate limit exceeded: 4 from localhost\[127\.0\.0\.1\] "
                   r"for service smtp")


def test_rate_counts_handshakes_that_fail():
    """Each costs a signature of certd's: who breaks them off is no better off than who ends them."""
    with TlsSuite({"smtpd_client_new_tls_session_rate_limit": "3", "mynetworks": "192.0.2.0/24",
                   "smtpd_client_event_limit_exceptions": ""}) as s:
        for _ in range(3):
            with s.client() as c:
                c.ehlo()
                c.expect(220, "STARTTLS")
                ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = context(**TLS13).wrap_bio(theirs, ours)
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                c.raw(ours.read())
                assert c.s.recv(5)[0] == 22     # ServerHello: the signature is on its way
        s.wait_log(r"SSL_accept error from localhost", 3)
        with s.client() as c:
            c.ehlo()
            assert c.cmd("STARTTLS") == \
                (454, "4.7.0 Error: too many new TLS sessions from 127.0.0.1")


def test_slow_handshakes_end():
    with TlsSuite({"smtpd_starttls_timeout": "2s"}) as s:
        clients = []
        for begin in (b"", b"\x16", b"\x16\x03\x01\x40\x00", b"\x16\x03\x01\x00\x05\x01"):
            c = s.client()
            c.ehlo()
            c.expect(220, "STARTTLS")
            c.raw(begin)
            clients.append(c)
        began = time.monotonic()
        while any(not c.closed(0.2) for c in clients):
            assert time.monotonic() - began < 10
            for c in clients:
                try:
                    c.raw(b"\0" if time.monotonic() - began > 0.5 else b"")
                except OSError:
                    pass
        s.wait_log("SSL_accept error from .*: Connection timed out")


def test_pregreet():
    far = {"mynetworks": "192.0.2.0/24", "postscreen_greet_wait": "2s"}
    with TlsSuite({**far, "postscreen_greet_action": "enforce"}, start=False) as s:
        Suite.start(s, wait=False)
        s.wait_log("listener smtp open")
        wait_for("the port", lambda: can_connect(s.port) or True)
        began = time.monotonic()
        with s.client() as c:
            assert 2 <= time.monotonic() - began < 5
            c.ehlo()
            c.send("a@src.test", ["alice@example.test"], HELLO)
        with Client(s.port, greet=False) as c:
            time.sleep(0.2)
            c.raw(b"EHLO hasty.test\r\n")
            assert c.reply()[0] == 220
            assert c.reply() == (550, "5.5.1 Protocol error")
            assert c.cmd("MAIL FROM:<a@b.test>") == (550, "5.5.1 Protocol error")
            c.raw(b"BDAT 6 LAST\r\n")
            time.sleep(0.05)
            assert c.cmd("QUIT")[0] == 550          # the chunk's bytes
            assert c.cmd("NOOP")[0] == 550
            assert c.cmd("QUIT")[0] == 221
        s.wait_log(r"PREGREET 17 after [0-2]\.\d\d from \[127\.0\.0\.1\]:\d+: "
                   r"EHLO hasty\.test\\r\\n")
        # A port with TLS has no greeting to speak before.
        began = time.monotonic()
        Client(s.tls_port, tls=context(), name=NAME).close()
        assert time.monotonic() - began < 1.5
        s.write_conf(postscreen_greet_action="drop")
        s.adminctl("system", "reload")
        with Client(s.port, greet=False) as c:
            c.raw(b"HELO hasty.test\r\n")
            assert c.reply() == (521, "5.5.1 Protocol error")
            assert c.closed()
        s.write_conf(mynetworks="127.0.0.0/8")
        s.adminctl("system", "reload")

        def at_once():
            began = time.monotonic()
            s.client().close()
            return time.monotonic() - began < 1
        wait_for("our own are not kept waiting", at_once)


# ---- what scanners say ----

def test_testssl_finds_nothing_weak():
    """
    Of what it calls low, CBC stays: clients that know no AEAD cipher would send
    in clear text instead (OpenSSL's CBC takes the same time for any padding).
    """
    if not shutil.which("testssl"):
        raise Skip("no testssl.sh")
    with TlsSuite(kinds=("ec", "rsa")) as s:
        for how in (["-t", "smtp", "127.0.0.1:%d" % s.port], ["127.0.0.1:%d" % s.tls_port]):
            found = os.path.join(s.dir, "testssl.json")
            if os.path.exists(found):
                os.unlink(found)
            subprocess.run(["timeout", "100", "testssl", "--fast", "--warnings", "off", "--color",
                            "0", "--ip", "one", "--jsonfile", found, "-p", "-s", "-U", *how],
                           capture_output=True, stdin=subprocess.DEVNULL)
            with open(found, encoding="utf-8") as f:
                rows = json.load(f)
            ids = {r["id"] for r in rows}
            assert {"TLS1_3", "heartbleed", "cipherlist_NULL", "secure_client_renego"} <= ids, ids
            bad = {r["id"] for r in rows
                   if r["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL")}
            assert bad <= {"cipherlist_AVERAGE", "cipherlist_OBSOLETED", "LUCKY13"}, bad


def test_sslscan_finds_nothing_weak():
    if not shutil.which("sslscan"):
        raise Skip("no sslscan")
    with TlsSuite(kinds=("ec", "rsa")) as s:
        out = subprocess.run(["sslscan", "--no-colour", "--starttls-smtp",
                              "127.0.0.1:%d" % s.port], capture_output=True, text=True,
                             timeout=100).stdout
        assert re.search(r"TLSv1\.3\s+enabled", out), out
        for version in ("SSLv2", "SSLv3", r"TLSv1\.0", r"TLSv1\.1"):
            assert re.search(version + r"\s+disabled", out), out
        assert "Session renegotiation not supported" in out
        accepted = re.findall(r"(?:Accepted|Preferred)\s+\S+\s+(\d+) bits\s+(\S+)", out)
        assert len(accepted) > 5
        for bits, cipher in accepted:
            assert int(bits) >= 128 and not re.search("RC4|DES|NULL|EXP|ADH|AECDH|MD5", cipher)
            assert cipher.startswith(("TLS_", "ECDHE-")), "no forward secrecy: " + cipher


# ---- replacing workers ----

def quietly(function, *args):
    """None while master is being replaced and does not answer."""
    try:
        return function(*args)
    except AssertionError:
        return None


def test_drain_and_upgrade_with_open_sessions():
    with TlsSuite() as s:
        before = s.pid_of("smtpd")
        idle, busy = s.secure(), s.secure(context(**TLS12))
        busy.expect(250, "MAIL FROM:<a@src.test>")
        busy.expect(250, "RCPT TO:<alice@example.test>")
        half = s.client()
        half.ehlo()
        half.expect(220, "STARTTLS")
        s.adminctl("system", "upgrade")
        s.wait_log(r"upgrade: .* has taken over")
        wait_for("new workers", lambda: set(quietly(s.pid_of, "smtpd") or ()) - set(before))
        s.secure().close()                          # nobody is refused meanwhile
        half.secure(context(), NAME)                # the handshake goes on where it began
        half.ehlo()
        code, text = busy.data(HELLO)
        assert code == 250, text
        idle.expect(250, "NOOP")
        half.expect(250, "NOOP")
        s.wait_mail("alice")
        busy.expect(221, "QUIT")
        s.stop()
        assert idle.closed()
