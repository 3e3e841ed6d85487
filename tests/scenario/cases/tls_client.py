# SPDX-License-Identifier: ISC
"""deliver smtp over TLS: levels, policies, DANE, fallback, reuse; hostile servers (A3, A18, A20)."""
import hashlib
import json
import os
import re
import shutil
import ssl
import tempfile
import time

from harness import tls
from harness.dns import Nsd
from harness.peers import Postfix
from harness.smtp import Sink, server_context
from harness.suite import Suite, free_port, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"
QUICK = {"retry_schedule": "1h", "minimal_backoff_time": "1h", "inet_protocols": "ipv4",
         "inet_interfaces": "127.0.0.1", "smtp_connect_timeout": "5s", "smtp_helo_timeout": "5s",
         "smtp_starttls_timeout": "5s", "smtp_quit_timeout": "1s", "dns_timeout": "3s",
         "destination_concurrency_limit": "5"}


class World:
    """A suite, an nsd with zones, a CA, and sinks on one port of several addresses."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="postkeep-tls-")
        os.chmod(self.dir, 0o755)
        self.ca = tls.make_ca(self.dir)
        os.chmod(self.ca.cert, 0o644)
        self.port = free_port()
        self.sinks, self.suite, self.nsd = [], None, None

    def cert(self, *names, **kw):
        return tls.make_cert(list(names), **{"ca": self.ca, "directory": self.dir, **kw})

    def sink(self, host, cert=None, context=None, script=None, **kw):
        """A server on 127.0.0.HOST."""
        context = context or (server_context(cert) if cert else None)
        sink = Sink(script, address=("127.0.0.%d" % host, self.port), tls=context, **kw)
        self.sinks.append(sink)
        return sink

    def start(self, zones, signed=(), forge=None, policy=None, **conf):
        self.suite = Suite(start=False)
        self.nsd = Nsd(self.suite.dir, zones, signed, forge)
        if policy is not None:
            self.suite.write("policy", "".join("%s %s\n" % kv for kv in policy.items()))
            conf["smtp_tls_policy_maps"] = "texthash:%s/policy" % self.suite.etc
        self.suite.write_conf(**{**QUICK, **self.nsd.conf(), "smtp_tcp_port": str(self.port),
                                 "smtp_tls_CAfile": self.ca.cert, **conf})
        self.suite.start()
        return self.suite

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for sink in self.sinks:
            sink.close()
        if self.nsd:
            self.nsd.stop()
        if self.suite:
            self.suite.__exit__(kind, value, trace)
        shutil.rmtree(self.dir, ignore_errors=True)

    def deferred(self, qid, reason):
        return self.suite.wait_log(qid + r": to=.*dsn=4\.\d\.\d+, status=deferred \(.*" + reason)


def host(name, number):
    return "%s IN A 127.0.0.%d" % (name, number)


def mx(name, *targets):
    return ["%s IN MX %d %s" % (name, 10 * (i + 1), t) for i, t in enumerate(targets)]


def stats(s):
    return s.admin("stats")["counters"]


LEVELS = ("none", "may", "encrypt", "fingerprint", "verify", "secure")


def test_levels_against_certificates():
    """Each level with a good, a wrong, an expired, a self-signed and a stranger's certificate."""
    with World() as w:
        other = tls.make_ca(w.dir, "Other CA")
        certs = {
            "good": w.cert("mx-good.far.test", "secure-good.far.test"),
            "wrong": w.cert("elsewhere.test"),
            "expired": w.cert("mx-expired.far.test", "secure-expired.far.test", days=-2),
            "self": w.cert("mx-self.far.test", "secure-self.far.test", ca=None),
            "other": w.cert("mx-other.far.test", "secure-other.far.test", ca=other),
        }
        sinks = {name: w.sink(10 + i, cert) for i, (name, cert) in enumerate(certs.items())}
        zone = [host("mx-" + name, 10 + i) for i, name in enumerate(certs)]
        policy = {}
        for level in LEVELS:
            for name in certs:
                zone += mx("%s-%s" % (level, name), "mx-" + name)
                row = level
                if level == "fingerprint":
                    row += " match=" + certs["good"].fingerprint
                policy["%s-%s.far.test" % (level, name)] = row
        s = w.start({"far.test": zone}, policy=policy)
        for level in LEVELS:
            for name in certs:
                rcpt = "x@%s-%s.far.test" % (level, name)
                qid = s.send(rcpt, HELLO)
                taken = level in ("none", "may", "encrypt") or name == "good"
                if not taken:
                    w.deferred(qid, r"Server certificate not (verified|trusted)\)")
                    assert not any(rcpt in c for c in sinks[name].commands), rcpt
                    continue
                m = wait_for("mail for " + rcpt, lambda: [m for m in sinks[name].messages
                                                          if m.rcpts == [rcpt]])[0]
                assert (m.tls is None) == (level == "none"), (level, name, m.tls)
        log = s.log()
        good = r"TLS connection established to mx-good\.far\.test\[127\.0\.0\.10\]:%d: " \
            r"TLSv1\.3 with cipher TLS_\S+ \(\d+/\d+ bits\)" % w.port
        assert re.search("Verified " + good, log), "no Verified"
        assert re.search("Trusted " + good, log), "no Trusted at level may"
        assert re.search(r"Untrusted TLS connection established to mx-self", log)
        assert re.search(r"certificate verification failed for mx-expired\.far\.test\[", log)
        for sink in sinks.values():
            for line in sink.clear:
                assert "none-" in line or not line.startswith(("MAIL", "RCPT")) \
                    or "MAIL" in line, line
        counted = stats(s)
        assert counted["deliver_tls_verified"] >= 3 and counted["deliver_tls_failed"] >= 12, counted


def in_clear(sink):
    return [c for c in sink.clear if c.startswith(("MAIL", "RCPT", "DATA", "BDAT"))]


def test_clear_text_only_at_may():
    """STARTTLS not offered, refused, and every way for a handshake to fail (F9)."""
    with World() as w:
        cert = w.cert("mx.far.test")
        sinks = {
            "absent": w.sink(10),
            "refused": w.sink(11, cert, script={"starttls": "454 4.7.0 not now"}),
            "never": w.sink(12, cert, script={"starttls": "554 5.7.3 no"}),
            "garbage": w.sink(13, cert, script={"handshake": b"250 mx\r\n" * 40}),
            "drop": w.sink(14, cert, script={"handshake": "drop"}),
            "hang": w.sink(15, cert, script={"handshake": "hang"}),
            "old": w.sink(16, context=server_context(cert, most=ssl.TLSVersion.TLSv1_2)),
        }
        zone = [host("mx-" + n, 10 + i) for i, n in enumerate(sinks)]
        policy = {}
        levels = ("may", "encrypt", "verify")
        for level in levels:
            for name in sinks:
                zone += mx("%s-%s" % (level, name), "mx-" + name)
                policy["%s-%s.far.test" % (level, name)] = level + (
                    " protocols=>=TLSv1.3" if name == "old" else "")
        s = w.start({"far.test": zone}, policy=policy, smtp_starttls_timeout="1s",
                    minimal_backoff_time="2s", retry_schedule="2s")
        for name, sink in sinks.items():
            for level in ("encrypt", "verify"):
                qid = s.send("x@%s-%s.far.test" % (level, name), HELLO)
                w.deferred(qid, {"absent": "TLS is required, but was not offered by host mx-absent",
                                 "refused": "TLS is required, but host mx-refused.* refused to start"
                                            " TLS: 454 4.7.0 not now",
                                 "never": "TLS is required, but host mx-never.* refused to start"
                                          " TLS: 554 5.7.3 no",
                                 }.get(name, "Cannot start TLS: handshake failure"))
            assert not in_clear(sink), (name, sink.clear)
            qid = s.send("x@may-%s.far.test" % name, HELLO)
            if name in ("garbage", "drop", "hang", "old"):
                # Not because of one broken handshake.
                w.deferred(qid, "Cannot start TLS: handshake failure")
                assert not sink.messages, name
            m = wait_for("mail in clear at " + name, lambda: sink.messages)[0]
            assert m.tls is None and len(sink.messages) == 1
        s.wait_log(r"SSL_connect error to mx-garbage\.far\.test\[127\.0\.0\.13\]:%d: " % w.port)
        assert "panic" not in s.log()


def test_A3_response_injection():
    """Replies in the packet with the go-ahead end the session; what they say counts nowhere."""
    with World() as w:
        cert = w.cert("mx.far.test")
        inject = b"250-mx\r\n250-AUTH PLAIN\r\n250 SIZE 1\r\n250 ok\r\n250 ok\r\n"
        sink = w.sink(10, cert, script={"inject": inject})
        s = w.start({"far.test": mx("@", "mx") + mx("enc", "mx") + [host("mx", 10)]},
                    policy={"enc.far.test": "encrypt"})
        for domain in ("far.test", "enc.far.test"):
            qid = s.send("x@" + domain, HELLO)
            w.deferred(qid, r"protocol error: host mx\.far\.test\[127\.0\.0\.10\] sent no valid"
                       r" reply while performing the TLS handshake")
        assert not sink.messages and not in_clear(sink), sink.clear
        # The same server without them gets it.
        sink.script = {}
        s.adminctl("queue", "flush")
        wait_for("mail over TLS", lambda: len([m for m in sink.messages if m.tls]) == 2)


def test_policy_maps():
    """Keys of the next hop, attributes, rows that make no sense, tables that are not there."""
    with World() as w:
        cert = w.cert("mx.far.test")
        sink = w.sink(10, cert)
        zone = [host("mx", 10)]
        for name in ("a.deep", "exact", "bad", "old", "named", "forms"):
            zone += mx(name, "mx")
        literal = "[mx.far.test]:%d" % w.port
        s = w.start({"far.test": zone}, policy={
            ".deep.far.test": "verify",
            "exact.far.test": "secure match=mx.far.test",
            "bad.far.test": "verify wibble=1",
            "old.far.test": "encrypt protocols=TLSv1.2 ciphers=high",
            "named.far.test": "verify match=other.test servername=sni.far.test",
            literal: "encrypt servername=hostname",
        }, smtp_tls_security_level="none", smtp_tls_note_starttls_offer="yes", transport_maps="inline:{lit.test=smtp:%s}" % literal)
        for domain in ("a.deep.far.test", "exact.far.test"):
            s.send("x@" + domain, HELLO)
        wait_for("two verified", lambda: len(sink.messages) == 2)
        assert all(m.tls and m.tls["version"] == "TLSv1.3" for m in sink.messages)
        s.wait_log("Verified TLS connection established")
        s.send("x@old.far.test", HELLO)
        wait_for("TLS 1.2", lambda: len(sink.messages) == 3)
        assert sink.messages[2].tls["version"] == "TLSv1.2"
        s.send("x@forms.far.test", HELLO)
        wait_for("in clear", lambda: len(sink.messages) == 4)
        assert sink.messages[3].tls is None
        s.wait_log(r"Host offered STARTTLS: \[mx\.far\.test\]")
        s.send("x@lit.test", HELLO)
        wait_for("by [host]:port", lambda: len(sink.messages) == 5)
        assert sink.messages[4].tls and "mx.far.test" in sink.snis
        w.deferred(s.send("x@named.far.test", HELLO), "Server certificate not verified")
        assert "sni.far.test" in sink.snis
        w.deferred(s.send("x@bad.far.test", HELLO), "client TLS configuration problem")
        # No table, no mail: rather than mail without its policy.
        s.write_conf(smtp_tls_policy_maps="texthash:%s/nowhere" % s.etc)
        s.adminctl("system", "reload")
        w.deferred(s.send("x@exact.far.test", HELLO), "client TLS configuration problem")
        assert len(sink.messages) == 5


def test_next_mx_when_a_certificate_does_not_fit():
    with World() as w:
        bad, good = w.sink(10, w.cert("wrong.test")), w.sink(11, w.cert("mx2.far.test"))
        s = w.start({"far.test": mx("@", "mx1", "mx2") + [host("mx1", 10), host("mx2", 11)]},
                    smtp_tls_security_level="verify", smtp_connection_cache_time_limit="0")
        qid = s.send("x@far.test", HELLO)
        wait_for("mail at the second MX", lambda: good.messages)
        assert not any(c.startswith("MAIL") for c in bad.commands)
        s.wait_log("Trusted TLS connection established to mx1")
        s.wait_log("Verified TLS connection established to mx2")
        s.wait_log(qid + ": tls=Verified, protocol=TLSv1.3, cipher=")
        assert "tls=Verified, protocol=TLSv1.3" in s.adminctl("trace", qid).stdout
        bad.tls, good.tls = None, None
        qid = s.send("x@far.test", HELLO)
        w.deferred(qid, "TLS is required, but was not offered by host mx2")
        assert "TLS is required, but was not offered" in \
            s.adminctl("queue", "why", "far.test").stdout


def test_reuse_and_resumption():
    with World() as w:
        sink = w.sink(10, w.cert("mx.far.test"))
        s = w.start({"far.test": mx("@", "mx") + [host("mx", 10)]},
                    smtp_tls_security_level="verify", destination_concurrency_limit="1",
                    smtp_workers="1", smtp_connection_cache_time_limit="10s")
        for i in range(10):
            s.send("x%d@far.test" % i, HELLO)
            wait_for("mail %d" % i, lambda: len(sink.messages) == i + 1)
        assert sink.sessions == 1 and len(sink.handshakes) == 1
        counted = stats(s)
        assert counted["deliver_tls"] == 1 and counted["deliver_reused"] == 9, counted
        # Connections end at once: sessions come back.
        s.write_conf(smtp_connection_cache_time_limit="0")
        s.adminctl("system", "reload")
        for i in range(6):
            s.send("y%d@far.test" % i, HELLO)
            wait_for("mail %d" % i, lambda: len(sink.messages) == 11 + i)
        assert sink.resumed >= 4, sink.handshakes
        assert stats(s)["deliver_tls_resumed"] == sink.resumed
        # A20: what was resumed for one policy is not for another.
        before = sink.resumed
        s.write_conf(smtp_tls_security_level="encrypt")
        s.adminctl("system", "reload")
        s.send("z@far.test", HELLO)
        wait_for("mail under another policy", lambda: len(sink.messages) == 17)
        assert sink.resumed == before


def test_a_changed_policy_counts_at_once():
    """Idle connections made in clear are not used when a reload asks for TLS."""
    with World() as w:
        sink = w.sink(10, w.cert("mx.far.test"))
        s = w.start({"far.test": mx("@", "mx") + [host("mx", 10)]},
                    smtp_tls_security_level="none", smtp_connection_cache_time_limit="60s")
        s.send("x@far.test", HELLO)
        wait_for("mail in clear", lambda: sink.messages)
        s.write_conf(smtp_tls_security_level="encrypt")
        s.adminctl("system", "reload")
        s.send("y@far.test", HELLO)
        wait_for("mail over TLS", lambda: len(sink.messages) == 2)
        assert sink.messages[0].tls is None and sink.messages[1].tls


def test_client_certificate():
    """The next hop demands one; its key is in certd alone."""
    with World() as w:
        ours = w.cert("client.example.test")
        context = server_context(w.cert("mx.far.test"), client_ca=w.ca, demand=True)
        sink = w.sink(10, context=context)
        s = w.start({"far.test": mx("@", "mx") + [host("mx", 10)]},
                    smtp_tls_security_level="verify", smtp_tls_chain_files=ours.pem)
        s.send("x@far.test", HELLO)
        m = wait_for("mail", lambda: sink.messages)[0]
        assert m.tls["cert"] == ssl.PEM_cert_to_DER_cert(tls.read(ours.cert).decode())


def test_wrapper_mode():
    with World() as w:
        sink = w.sink(10, w.cert("mx.far.test"), wrapper=True)
        s = w.start({"far.test": mx("@", "mx") + [host("mx", 10)]},
                    smtp_tls_security_level="encrypt", smtp_tls_wrappermode="yes")
        s.send("x@far.test", HELLO)
        m = wait_for("mail", lambda: sink.messages)[0]
        assert m.tls and not sink.clear and "STARTTLS" not in sink.commands


def test_lmtp():
    with World() as w:
        sink = w.sink(10, w.cert("mx.far.test"), lmtp=True)
        s = w.start({"far.test": [host("mx", 10)]}, smtp_tls_security_level="verify",
                    transport_maps="inline:{far.test=lmtp:inet:mx.far.test:%d}" % w.port)
        s.send(["x@far.test", "y@far.test"], HELLO)
        m = wait_for("mail", lambda: sink.messages)[0]
        assert m.tls and sorted(m.rcpts) == ["x@far.test", "y@far.test"]


def test_large_messages_over_tls():
    """Content as it is borrowed, dot-stuffed and in pieces, through records and back."""
    with World() as w:
        sink = w.sink(10, w.cert("mx.far.test"))
        s = w.start({"far.test": mx("@", "mx") + [host("mx", 10)]},
                    smtp_tls_security_level="verify")
        body = HELLO + b"".join(b".%06d %s\r\n" % (i, b"x" * (i % 900)) for i in range(8000))
        s.send("x@far.test", body)
        m = wait_for("mail", lambda: sink.messages, 30)[0]
        assert m.data.endswith(body), (len(m.data), len(body))


def test_real_postfix_with_tls():
    with World() as w:
        cert = w.cert("mx.far.test")
        w.suite = s = Suite(start=False)
        with Postfix(s.dir, smtpd_tls_security_level="encrypt", smtpd_tls_loglevel="1",
                     smtpd_tls_chain_files=cert.pem) as peer:
            w.suite = None
            w.port = peer.port
            s = w.start({"far.test": [host("mx", 1)]}, smtp_tls_security_level="verify",
                        inet_interfaces="127.0.0.2",
                        relayhost="[mx.far.test]:%d" % peer.port)
            qid = s.send("known@peer.test", HELLO)
            s.wait_log(qid + r": to=<known@peer\.test>.* status=sent \(250 2\.0\.0 Ok: .*queued as")
            s.wait_log(r"Verified TLS connection established to mx\.far\.test\[127\.0\.0\.1\]")
            mail = wait_for("the mail in Postfix's Maildir", lambda: peer.mailbox("known"))[0]
            assert b"with ESMTPS id" in mail, mail


# ---- DANE (RFC 7672) ----

def digest(cert, selector, matching, *, der=None):
    der = der or ssl.PEM_cert_to_DER_cert(tls.read(cert.cert).decode())
    if selector == 1:
        der = tls.openssl("x509", "-in", cert.cert, "-noout", "-pubkey")
        der = tls.openssl("pkey", "-pubin", "-outform", "DER", stdin=der)
    if matching:
        der = hashlib.new({1: "sha256", 2: "sha512"}[matching], der).digest()
    return der.hex()


def tlsa(w, name, usage, selector, matching, cert):
    return "_%d._tcp.%s IN TLSA %d %d %d %s" % (w.port, name, usage, selector, matching,
                                                 digest(cert, selector, matching))


def sends(w, sink, rcpt, word, level="dane"):
    """Mail for rcpt arrives at sink over TLS of that trust."""
    before = len(sink.messages)
    w.suite.send(rcpt, HELLO)
    m = wait_for("mail for " + rcpt, lambda: sink.messages[before:])[0]
    assert m.rcpts == [rcpt] and (m.tls is not None) == (word != "none"), (rcpt, m.tls)
    if word != "none":
        w.suite.wait_log("%s TLS connection established to .*" % word)


def test_dane_records():
    """Usages, selectors, matching types; records that match nothing or cannot be used."""
    with World() as w:
        cert = w.cert("mx.sec.test")
        selfmade = w.cert("whatever.test", ca=None, days=-3)
        sink, own = w.sink(10, cert), w.sink(11, selfmade)
        strange = w.cert("mx.sec.test")
        zone = [host("mx", 10)]
        good, bad = [], []
        for usage in (2, 3):
            for selector in (0, 1):
                for matching in (0, 1, 2):
                    name = "ok%d%d%d" % (usage, selector, matching)
                    zone += mx(name, "mx-" + name) + [host("mx-" + name, 11 if usage == 3 else 10)]
                    good.append((name, own if usage == 3 else sink))
                    zone.append(tlsa(w, "mx-" + name, usage, selector, matching,
                                     selfmade if usage == 3 else w.ca))
        for name, records in {
                "wrong": [(3, 1, 1, strange)], "wrongta": [(2, 0, 1, selfmade)],
                "mixed": [(3, 1, 1, strange), (1, 1, 1, cert)]}.items():
            zone += mx(name, "mx-" + name) + [host("mx-" + name, 10)]
            zone += [tlsa(w, "mx-" + name, *r) for r in records]
            bad.append(name)
        # One of two matches; a key roll-over.
        zone += mx("two", "mx-two") + [host("mx-two", 10), tlsa(w, "mx-two", 3, 1, 1, strange),
                                       tlsa(w, "mx-two", 3, 1, 1, cert)]
        # PKIX usages alone: unusable, so encrypted without knowing whom.
        zone += mx("pkix", "mx-pkix") + [host("mx-pkix", 11), tlsa(w, "mx-pkix", 1, 1, 1, cert),
                                         tlsa(w, "mx-pkix", 0, 0, 1, w.ca)]
        zone += mx("plain", "mx-plain") + [host("mx-plain", 12)]
        zone += mx("nothing", "mx-nothing") + [host("mx-nothing", 12),
                                               tlsa(w, "mx-nothing", 3, 1, 1, cert)]
        clear = w.sink(12)
        # For DANE-TA the names count, and the CA comes along.
        ta = w.cert(*["mx-%s.sec.test" % n for n, _ in good if n.startswith("ok2")],
                    "mx-two.sec.test")
        tls.write(ta.chain, tls.read(ta.cert) + tls.read(w.ca.cert), 0o644)
        sink.tls.load_cert_chain(ta.chain, ta.key)
        zone = [z.replace(digest(cert, 1, 1), digest(ta, 1, 1)) if z.startswith("_") and
                "mx-two" in z else z for z in zone]
        s = w.start({"sec.test": zone}, signed=["sec.test"], smtp_tls_security_level="dane",
                    smtp_tls_CAfile=None)
        for name, at in good:
            sends(w, at, "x@%s.sec.test" % name, "Verified")
        sends(w, sink, "x@two.sec.test", "Verified")
        sends(w, own, "x@pkix.sec.test", "Untrusted")
        sends(w, clear, "x@plain.sec.test", "none")
        for name in bad:
            w.deferred(s.send("x@%s.sec.test" % name, HELLO), "Server certificate not ")
        # TLSA records are there: a server without STARTTLS gets nothing.
        w.deferred(s.send("x@nothing.sec.test", HELLO), "TLS is required, but was not offered")
        for one in (sink, own):
            assert not in_clear(one), one.clear
        assert not [c for c in clear.commands if "nothing" in c]
        log = s.log()
        for name, at in good:
            assert re.search(r"Verified TLS connection established to mx-%s\.sec" % name, log), name


def test_dane_names_and_chains():
    """CNAMEs, unsigned MX, unsigned hosts, bogus and unanswered TLSA; dane-only."""
    with World() as w:
        real = w.cert("real.sec.test")
        sink = w.sink(10, real)
        clear = w.sink(11)
        zone = [host("real", 10), host("clear", 11), "alias IN CNAME real", "alias2 IN CNAME real2",
                host("real2", 10), "out IN CNAME host.plain.test.", host("bogus", 10),
                host("slow", 10), host("bogusc", 11), host("slowc", 11)]
        record = (3, 1, 1, real)
        zone += [tlsa(w, n, *record) for n in ("real", "alias2", "out", "bogus", "bogusc")]
        # Nobody answers for these names: a signed zone's unsigned, dead child.
        for n in ("slow", "slowc"):
            zone += ["_tcp.%s IN NS ns.dead.%s" % (n, n), "ns.dead.%s IN A 127.0.0.99" % n]
        for n in ("real", "alias", "alias2", "out", "bogus", "slow", "bogusc", "slowc", "clear"):
            zone += mx("d-" + n, n)
        zone += mx("d-both", "bogusc", "real")
        plain = [host("host", 10)]
        for n in ("real", "clear"):
            plain += ["m-%s IN MX 10 %s.sec.test." % (n, n)]

        def forge(text):
            wrong = digest(w.cert("x.test"), 1, 1)
            out = []
            for line in text.split("\n"):
                if re.match(r"_\d+\._tcp\.bogusc?\.sec\.test\.\s.*\sTLSA\s", line):
                    line = re.sub(r"[0-9a-fA-F]{64}", wrong, line)
                out.append(line)
            return "\n".join(out)

        s = w.start({"sec.test": zone, "plain.test": plain}, signed=["sec.test"],
                    forge={"sec.test": forge}, smtp_tls_security_level="dane",
                    smtp_tls_CAfile=None)
        sends(w, sink, "x@d-real.sec.test", "Verified")
        assert sink.snis[-1] == "real.sec.test"
        sends(w, sink, "x@d-alias.sec.test", "Verified")       # records at the alias' end
        assert sink.snis[-1] == "real.sec.test"
        sends(w, sink, "x@d-alias2.sec.test", "Verified")      # none there: at its beginning
        assert sink.snis[-1] == "alias2.sec.test"
        sends(w, sink, "x@d-out.sec.test", "Verified")         # signed alias to an unsigned host
        assert sink.snis[-1] == "out.sec.test"
        # An MX that is not signed: matched is only Trusted.
        sends(w, sink, "x@m-real.plain.test", "Trusted")
        sends(w, clear, "x@d-clear.sec.test", "none")
        sends(w, clear, "x@m-clear.plain.test", "none")
        before = len(clear.messages)
        for n in ("bogus", "slow", "bogusc", "slowc"):
            qid = s.send("x@d-%s.sec.test" % n, HELLO)
            s.wait_log(qid + r": to=.*dsn=4\.7\.5, status=deferred \(TLSA lookup error for %s\.sec"
                       r"\.test:%d\)" % (n, w.port), 40)
        # A25: such a host is passed over, the next one gets it; a worse one in clear may.
        sends(w, sink, "x@d-both.sec.test", "Verified")
        assert len(clear.messages) == before and not [
            c for c in clear.clear if "bogus" in c or "slow" in c], clear.clear
        assert not in_clear(sink), sink.clear


def test_dane_only_and_insecure_mx_policy():
    with World() as w:
        real = w.cert("real.sec.test")
        sink, clear = w.sink(10, real), w.sink(11)
        other = w.sink(12, w.cert("other.test"))
        zone = [host("real", 10), host("none", 11), host("pkix", 10), host("other", 12),
                tlsa(w, "real", 3, 1, 1, real), tlsa(w, "pkix", 1, 1, 1, real),
                tlsa(w, "other", 3, 1, 1, real)]
        for n in ("real", "none", "pkix", "other"):
            zone += mx("d-" + n, n)
        plain = mx("far", "real.sec.test.") + mx("near", "h") + [host("h", 11)] + \
            mx("forged", "other.sec.test.")
        s = w.start({"sec.test": zone, "plain.test": plain}, signed=["sec.test"],
                    smtp_tls_security_level="dane-only", smtp_tls_CAfile=None)
        sends(w, sink, "x@d-real.sec.test", "Verified")
        for rcpt, why in (("d-none.sec.test", "no TLSA records found for none"),
                          ("d-pkix.sec.test", "TLSA records for pkix.* are unusable"),
                          ("near.plain.test", "non DNSSEC destination"),
                          ("far.plain.test", "non DNSSEC destination"),
                          ("d-other.sec.test", "Server certificate not verified")):
            w.deferred(s.send("x@" + rcpt, HELLO), why)
        assert not clear.messages and not in_clear(clear)
        s.write_conf(smtp_tls_security_level="dane", smtp_tls_dane_insecure_mx_policy="encrypt")
        s.adminctl("system", "reload")
        sends(w, other, "x@forged.plain.test", "Untrusted")
        s.write_conf(smtp_tls_dane_insecure_mx_policy="may")
        s.adminctl("system", "reload")
        sends(w, other, "y@forged.plain.test", "Untrusted")
        s.write_conf(smtp_tls_dane_insecure_mx_policy="dane")
        s.adminctl("system", "reload")
        w.deferred(s.send("z@forged.plain.test", HELLO), "Server certificate not verified")


# ---- REQUIRETLS (RFC 8689) ----

def tls_client(s):
    """A session over TLS with the suite; its certificate is not looked at."""
    c = s.client()
    c.ehlo()
    c.expect(220, "STARTTLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    c.s = context.wrap_socket(c.s)
    c.buf = b""
    assert "REQUIRETLS" in c.ehlo()
    return c


def require(s, rcpt, sender="sender@src.test", body=HELLO):
    c = tls_client(s)
    try:
        return c.send(sender, [rcpt], body, "REQUIRETLS")
    finally:
        c.close()


def test_requiretls():
    with World() as w:
        mine = w.cert("mx.example.test")
        sinks = {
            "good": w.sink(10, w.cert("mx-good.far.test", "good.far.test"),
                           tls_ehlo=("PIPELINING", "REQUIRETLS")),
            "without": w.sink(11, w.cert("mx-without.far.test", "without.far.test")),
            "clear": w.sink(12, ehlo=("REQUIRETLS",)),
            "wrong": w.sink(13, w.cert("nobody.test"), tls_ehlo=("REQUIRETLS",)),
        }
        zone = [host("mx-" + n, 10 + i) for i, n in enumerate(sinks)] + [host("mx-down", 99)]
        for n in sinks:
            zone += mx(n, "mx-" + n)
        zone += mx("second", "mx-without", "mx-good2") + [host("mx-good2", 14)]
        zone += mx("half", "mx-without", "mx-down")
        sinks["good2"] = w.sink(14, w.cert("second.far.test"), tls_ehlo=("REQUIRETLS",))
        s = w.start({"far.test": zone, "src.test": ["x IN A 127.0.0.1"]},
                    smtpd_tls_chain_files=mine.pem, smtp_tls_security_level="may",
                    virtual_mailbox_domains="example.test src.test",
                    virtual_mailbox_maps="inline:{sender@src.test=sender/}")
        qid = require(s, "x@good.far.test")
        m = wait_for("mail", lambda: sinks["good"].messages)[0]
        assert m.tls and m.lines[0].endswith(" REQUIRETLS"), m.lines
        s.wait_log("Verified TLS connection established to mx-good")
        s.wait_log(qid + ": removed")
        # Others go by their own connection and do not say it.
        s.send("y@good.far.test", HELLO)
        m = wait_for("mail", lambda: sinks["good"].messages[1:])[0]
        assert "REQUIRETLS" not in m.lines[0]
        # The second MX can; the first cannot.
        require(s, "x@second.far.test")
        wait_for("mail at the second MX", lambda: sinks["good2"].messages)
        # Nobody can: it comes back, header only.
        for n in ("without", "clear"):
            qid = require(s, "x@%s.far.test" % n, body=HELLO + b"secret words\r\n")
            s.wait_log(qid + r": to=<x@%s.*dsn=5\.7\.30, status=bounced \(REQUIRETLS support "
                       r"required, but was not offered by host mx-%s" % (n, n))
        reports = s.wait_mail("sender", 2)
        for r in reports:
            assert b"5.7.30" in r and b"secret words" not in r, r
        # For the time being: it stays.
        w.deferred(require(s, "x@wrong.far.test"), "Server certificate not ")
        w.deferred(require(s, "x@half.far.test"), "(Connection refused|REQUIRETLS)")
        for n in ("without", "clear", "wrong"):
            assert not [c for c in sinks[n].commands if c.startswith("MAIL")], n


def test_tls_required_no():
    """The sender's word counts more than the recipient's DANE records, less than the table."""
    with World() as w:
        bad = w.sink(10, w.cert("x.test"))
        clear = w.sink(11)
        strange = w.cert("y.test")
        zone = [host("bad", 10), host("clear", 11), tlsa(w, "bad", 3, 1, 1, strange),
                tlsa(w, "clear", 3, 1, 1, strange)]
        for n in ("bad", "clear"):
            zone += mx("d-" + n, n) + mx("enc-" + n, n)
        s = w.start({"sec.test": zone}, signed=["sec.test"], smtp_tls_security_level="dane",
                    policy={"enc-clear.sec.test": "encrypt"})
        no = b"TLS-Required: No\r\n" + HELLO
        for n, sink in (("bad", bad), ("clear", clear)):
            w.deferred(s.send("x@d-%s.sec.test" % n, HELLO), "(not verified|was not offered)")
            s.send("y@d-%s.sec.test" % n, no)
            wait_for("mail at " + n, lambda: sink.messages)
        w.deferred(s.send("x@enc-clear.sec.test", no), "TLS is required")
        assert bad.messages[0].tls and clear.messages[0].tls is None


# ---- adminctl tls probe ----

def probe(w, target, *options, verdict=None):
    r = w.suite.adminctl("--json", "tls", "probe", target, *options, check=False)
    doc = json.loads(r.stdout)
    assert r.returncode == (1 if doc["verdict"] in ("deferred", "bounced") else 0), r.returncode
    if verdict:
        assert doc["verdict"] == verdict, doc
    return doc


def test_probe_says_what_a_delivery_would_do():
    """Verdicts by policy, certificate and DNS, each held against what mail then does."""
    with World() as w:
        real = w.cert("real.sec.test", "also.sec.test")
        sink = w.sink(10, real, tls_ehlo=("PIPELINING", "REQUIRETLS"))
        clear, wrong = w.sink(11), w.sink(12, w.cert("wrong.test", days=-2))
        broken = w.sink(13, real, script={"handshake": b"nothing of that kind\r\n"})
        zone = [host("real", 10), host("clear", 11), host("wrong", 12), host("broken", 13),
                host("gone", 14), host("forged", 10), tlsa(w, "real", 3, 1, 1, real),
                tlsa(w, "real", 1, 1, 1, real), tlsa(w, "wrong", 3, 1, 1, real),
                tlsa(w, "forged", 3, 1, 1, real)]
        names = ("real", "clear", "wrong", "broken", "gone", "forged")
        for n in names:
            zone += mx("d-" + n, n) + mx("v-" + n, n)
        zone += mx("two", "wrong", "real") + mx("null", ".")

        def forge(text):
            return re.sub(r"(?m)^(_\d+\._tcp\.forged\.\S+\s+\d+\s+IN\s+TLSA\s+\d \d \d )[0-9a-f]{8}",
                          r"\g<1>00000000", text)
        policy = {"v-%s.sec.test" % n: "verify" for n in names}
        policy["v-clear.sec.test"] = "encrypt"
        policy["bad.sec.test"] = "sure"
        s = w.start({"sec.test": zone + mx("bad", "real")}, signed=["sec.test"],
                    forge={"sec.test": forge}, policy=policy, smtp_tls_security_level="dane",
                    minimal_backoff_time="0s")
        want = {"d-real": "verified", "d-clear": "in clear", "d-wrong": "deferred",
                "d-broken": "in clear", "d-gone": "deferred", "d-forged": "deferred",
                "v-real": "verified", "v-clear": "deferred", "v-wrong": "deferred",
                "v-broken": "deferred", "bad": "deferred", "two": "verified"}
        for name, verdict in want.items():
            doc = probe(w, name + ".sec.test", verdict=verdict)
            qid = s.send("x@%s.sec.test" % name, HELLO)
            if verdict == "deferred":
                s.wait_log(qid + ": to=.*status=deferred", 30)
            else:
                s.wait_log(qid + ": to=.*status=sent")
                tls_used = re.search(qid + ": tls=Verified", s.log()) is not None
                assert tls_used == (verdict == "verified"), name
        doc = probe(w, "d-real.sec.test")
        h = doc["hosts"][0]
        assert doc["mx_security"] == "secure" and h["signed"] and h["level"] == "dane"
        assert [r["usable"] for r in h["tlsa"]].count(True) == 1 and h["tlsa_state"] == "present"
        assert h["protocol"] == "TLSv1.3" and h["requiretls"] and h["starttls"]
        leaf = h["certificates"][0]
        assert leaf["sha256"] == real.fingerprint and leaf["names"] == "real.sec.test also.sec.test"
        assert leaf["not_after_ms"] > time.time() * 1000 and "Test CA" in leaf["issuer"]
        assert "TLSA lookup error" in probe(w, "d-forged.sec.test")["reason"]
        assert "no security level" in probe(w, "bad.sec.test")["reason"]
        assert "nullMX" in probe(w, "null.sec.test", verdict="bounced")["reason"]
        # A host with its port, no MX; nobody asks for DANE under another name.
        doc = probe(w, "[real.sec.test]:%d" % w.port, verdict="verified")
        assert "mx_security" not in doc and len(doc["hosts"]) == 1
        text = s.adminctl("tls", "probe", "d-wrong.sec.test", check=False).stdout
        assert "mail would be deferred because: Server certificate not verified" in text, text
        assert "(expired)" in text and "CN=wrong.test" in text
        assert s.adminctl("tls", "probe", "a b", check=False).returncode == 2
        doc = probe(w, "[127.0.0.81]:465")
        assert "smtp_tls_wrappermode" in doc["reason"] + json.dumps(doc["hosts"]), doc
        assert s.adminctl("tls", "probe", "x.test", "--transport", "mailbox",
                          check=False).returncode == 2
        # Nothing was begun by any of these.
        for one in (sink, clear, wrong, broken):
            mails = [c for c in one.commands if c.startswith("MAIL")]
            assert len(mails) == len(one.messages), (mails, len(one.messages))
