# SPDX-License-Identifier: ISC
"""Keys and certificates: loading, renewal, refusal, warnings (adminctl's and the log's view)."""
import os
import signal
import time

from harness import tls
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
