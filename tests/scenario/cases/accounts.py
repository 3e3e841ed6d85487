# SPDX-License-Identifier: ISC
"""Accounts: what adminctl manages, and who logs in with it."""
import base64
import os
import socket
import time

from harness.suite import Skip, Suite, wait_for


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
        print(t.ehlo)
        code, text = t.plain("alice@example.test", "wrong")
        assert code == 535, (code, text)
        code, text = t.plain("alice@example.test", "secret")
        assert code == 235, (code, text)
