# SPDX-License-Identifier: ISC
"""TLS of clients that come to us: STARTTLS, implicit TLS, certificates, tickets (A3, A4, A20)."""
import os
import re
import signal
import socket
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
