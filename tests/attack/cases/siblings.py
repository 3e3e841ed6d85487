# SPDX-License-Identifier: ISC
"""What a role that was taken over can say to its siblings, and what they believe."""
import os
import re
import smtplib
import ssl
import struct
import subprocess
import time

from harness import tls
from harness.suite import Skip, alive, free_port, wait_for
from packets import HEADER, REPLY, flood, malformed, packet, say
from taken import AttackedSuite, Out

# Who speaks to whom, as the attacker finds it: every role that has a channel to others.
LIARS = ("smtpd", "smtp", "mailbox", "bounce", "dnsd", "lookupd", "qmgr", "certd", "authd")


def pids(s):
    return {p["pid"]: p["role"] for p in s.processes() if p["pid"]}


def rss_kb(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def still_delivers(s, token):
    """Mail goes through, whatever was said before."""
    s.send("alice@example.test", b"Subject: x\r\n\r\n" + token + b"\r\n")
    wait_for("mail " + token.decode(),
             lambda: any(token in m for m in s.mailbox("alice")), 30)


def test_A24_a_lie_closes_its_own_channel():
    """Malformed, out of turn, in the wrong direction: nobody falls, and mail goes on."""
    with AttackedSuite(roles=LIARS) as s:
        still_delivers(s, b"TKbefore")
        held = {role: s.taken(role) for role in LIARS}
        before = pids(s)
        said = 0
        for role, t in held.items():
            for number, (peer, fds) in enumerate(sorted(t.channels().items())):
                if peer == "master":
                    continue
                for fd in fds:
                    lies = malformed("ACK")
                    what, data = lies[(number + said) % len(lies)]
                    say(t, fd, data)
                    said += 1
        assert said >= 12, "only %d channels found" % said
        for role, t in held.items():
            if alive(t.pid):        # writers that lied to qmgr have ended
                t.go_on()
        time.sleep(2)
        fallen = {r for p, r in before.items() if not alive(p)}
        assert fallen <= {"smtpd", "bounce"}, "%s fell" % fallen
        still_delivers(s, b"TKafter")
        assert "channel closed" in s.log(), "nobody complained"


def test_A24_every_lie_to_everybody():
    """
    Each malformed packet over a fresh channel to each sibling of smtpd. qmgr
    is the exception: a writer that it cut off is replaced, and that is all.
    """
    with AttackedSuite(roles=("smtpd",), conf={"smtpd_workers": "1"}) as s:
        t = s.taken("smtpd")
        before = {p: r for p, r in pids(s).items() if r != "smtpd"}
        for n, (what, data) in enumerate(malformed("ACK")):
            channels = {r: fds for r, fds in t.channels().items()
                        if r not in ("master", "qmgr")}
            for peer, fds in channels.items():
                for fd in fds:
                    say(t, fd, data)
            t.go_on()
            # master hands out new channels for those that were closed.
            wait_for("channels after %s" % what,
                     lambda: set(t.channels()) >= set(channels), 10)
            fallen = {p: r for p, r in before.items() if not alive(p)}
            assert not fallen, "%s: %s" % (what, fallen)
        for what, data in malformed("ACK")[::3]:
            fd = t.channels()["qmgr"][0]
            say(t, fd, data)
            wait_for("the end of who said " + what, lambda: not alive(t.pid), 10)
            t = s.taken("smtpd")
        assert all(alive(p) for p in before)
        t.go_on()
        still_delivers(s, b"TKafter")


def test_A24_anothers_segment_is_not_ours():
    """Durable, sealed: only of the segments that this worker was given."""
    with AttackedSuite(roles=("smtpd",), conf={"smtpd_workers": "2",
                                               "defer_transports": "smtp"}) as s:
        a = s.taken("smtpd")
        b = s.taken("smtpd")
        for n in range(12):
            s.send("x@far.test", b"Subject: s\r\n\r\nTK%d\r\n" % n)

        def segments(t):
            return {int(re.search(r"(\d+|[0-9A-Fa-f]+)\.seg$", w).group(1), 16)
                    for w in t.descriptors().values() if w.endswith(".seg")}

        theirs = segments(b) - segments(a)
        assert theirs, "workers share a segment?"
        queued = set(s.queue_ids())
        fd = a.channels()["qmgr"][0]
        for number in theirs:
            say(a, fd, packet("SEGMENT_DURABLE", ("SEGMENT", number), ("OFFSET", 1 << 20)))
            say(a, fd, packet("SEGMENT_SEAL", ("SEGMENT", number), ("OFFSET", 64)))
        wait_for("the end of the liar", lambda: not alive(a.pid))
        assert alive(b.pid)
        b.go_on()
        assert set(s.queue_ids()) >= queued, "mail of the other worker is gone"
        for n in range(6):
            s.send("x@far.test", b"Subject: s\r\n\r\nTKl%d\r\n" % n)
        wait_for("the new mail", lambda: len(s.queue_ids()) >= len(queued) + 6)
        assert s.admin("queue", "check")["problems"] == []


def test_A24_answers_to_nobodys_question():
    """lookupd answers what was not asked, or twice: the asker believes nothing of it."""
    with AttackedSuite(roles=("lookupd", "dnsd")) as s:
        still_delivers(s, b"TKbefore")
        t = s.taken("lookupd")
        for peer, fds in t.channels().items():
            if peer not in ("smtpd", "qmgr"):
                continue
            for fd in fds:
                for n in range(1, 2000, 37):
                    say(t, fd, packet("ROUTE_CHECK_ANSWER", ("CODE", 0), ("CLASS", 4),
                                      ("STATE", 0), ("DSN", b"2.0.0"), ("TEXT", b"ok"),
                                      id=n, flags=1))
        t.go_on()
        with s.client() as c:
            c.ehlo()
            code, text = c.cmd("MAIL FROM:<a@src.test>")
            code, text = c.cmd("RCPT TO:<nobody@example.test>")
            assert code in (550, 451), (code, text)
        still_delivers(s, b"TKafter")


def test_A24_a_flood_fills_nobodys_memory():
    """Requests without end, answers never read: bounded, and others are served meanwhile."""
    if AttackedSuite.sanitized():
        raise Skip("sanitizers hold what was freed")
    requests = {
        "lookupd": packet("ACCESS", ("TABLE", b"list:mynetworks"), ("QUERY", b"x" * 1000),
                          ("KIND", 3)),
        "dnsd": packet("DNS_LOOKUP", ("DOMAIN", b"x" * 60 + b".test"), ("RRTYPE", 1)),
        "qmgr": packet("SEGMENT_WANT", ("KIND", 1), ("SIZE", 1 << 20)),
        "logd": packet("LOG_LINES", ("PID", 1), ("LINES", b"\2" + struct.pack("<H", 900) +
                                                 b"y" * 900)),
        "authd": packet("AUTH_BEGIN", ("JOB", 1), ("MECHANISM", b"PLAIN"),
                        ("LISTENER", b"smtp"), ("ADDRESS", b"192.0.2.1"), ("FLAGS", 1),
                        ("DATA", b""), ("HOST", b""), ("DATA", b"\0u\0" + b"p" * 900)),
        "certd": packet("KEY_SIGN", ("KEY", 1), ("KIND", 0), ("SCHEME", 0x0403),
                        ("DATA", b"h" * 32)),
    }
    with AttackedSuite(roles=("smtpd",), conf={"smtpd_workers": "2",
                                               "maillog_rotate_size": "1m",
                                               "maillog_rotate_count": "1"}) as s:
        t = s.taken("smtpd")
        t.call("getpid")
        by_role = {r: p for p, r in pids(s).items()}
        for peer, data in requests.items():
            fds = t.channels().get(peer)
            if not fds:
                continue
            pid, before = by_role[peer], rss_kb(by_role[peer])
            sent = flood(t, fds[0], data, 120000)
            most = before
            for _ in range(10):
                assert alive(pid), "%s fell" % peer
                most = max(most, rss_kb(pid))
                time.sleep(0.05)
            print("  %s: %d requests, %d to %d KiB" % (peer, sent, before, most))
            assert most - before < 160 * 1024, "%s grew by %d KiB" % (peer, most - before)
            still_delivers(s, b"TK" + peer.encode())
            if alive(t.pid):
                t.go_on()
            else:           # qmgr cut it off
                t = s.taken("smtpd")
                t.call("getpid")
        assert len(os.listdir(os.path.join(s.conf["queue_directory"], "seg"))) < 200


def answers(t, fd, wait=1.0):
    """The replies that came over a channel: {id: (message number, body)}."""
    out, room = {}, Out(65536)
    end = time.monotonic() + wait
    while time.monotonic() < end:
        r = t.call("recvfrom", fd, room, 65536, 0x40, 0, 0)
        if r >= HEADER.size:
            number, flags, n, id_ = HEADER.unpack(room.data[:HEADER.size])
            if flags & REPLY:
                out[id_] = number, room.data[HEADER.size:HEADER.size + n]
        elif r == 0:
            break
        else:
            time.sleep(0.01)
    return out


def test_A24_a_key_signs_handshakes_and_nothing_else():
    """What certd signs for an acceptor is what a TLS server signs, with its own keys."""
    with AttackedSuite(roles=("smtpd", "smtp"), start=False, conf={"smtpd_workers": "1"}) as s:
        ca = tls.make_ca(os.path.join(s.dir, "pki"))
        s.write_conf(smtpd_tls_chain_files=tls.make_cert(["mx.example.test"], ca=ca).pem)
        s.start()
        t = s.taken("smtpd")
        fd = t.channels()["certd"][0]
        junk = b"no handshake, but a contract"
        said, id_ = {}, 100
        number = s.admin("tls", "certificates")["certificates"][0]["key_number"]
        for key in range(number - 2, number + 3):
            for scheme in (0x0403, 0x0804, 0x0401, 0x0807, 0x0201, 0):
                for kind, data, may in (
                        (0, b"h" * 32, True),           # a transcript's hash
                        (0, b"h" * 33, False), (0, b"", False), (0, junk * 40, False),
                        (2, junk, False), (2, b"\0" * 64 + junk, False),
                        (2, b"\0" * 64 + b"\3\0\x1d\x20" + b"k" * 33, False)):
                    id_ += 1
                    say(t, fd, packet("KEY_SIGN", ("KEY", key), ("KIND", kind),
                                      ("SCHEME", scheme), ("DATA", data), id=id_))
                    said[id_] = key, scheme, kind, may
        got = answers(t, fd)
        signed = {said[i] for i, (_, body) in got.items()
                  if i in said and struct.unpack("<Q", body[4:12])[0] == 0}
        assert len(got) == len(said), "%d of %d answered" % (len(got), len(said))
        assert all(s_[3] for s_ in signed), "signed: %s" % signed
        assert len(signed) == 1, "one key, one scheme: %s" % signed
        # A client's signature is none of an acceptor's business.
        say(t, fd, packet("KEY_SIGN", ("KEY", number), ("KIND", 1), ("SCHEME", 0x0403),
                          ("DATA", b"h" * 32), id=9))
        wait_for("certd's complaint", lambda: re.search(r"certd.*ipc: smtpd.*channel closed",
                                                        s.log()))
        # A deliverer has no certificate here, and so no signature.
        d = s.taken("smtp")
        fd = d.channels()["certd"][0]
        for key in range(number - 2, number + 3):
            say(d, fd, packet("KEY_SIGN", ("KEY", key), ("KIND", 1), ("SCHEME", 0x0403),
                              ("DATA", b"h" * 32), id=key & 0xffff))
        for _, body in answers(d, fd).values():
            assert struct.unpack("<Q", body[4:12])[0] != 0, "a server's key signed as a client"


def test_A24_a_ticket_is_good_for_one_worker():
    """alice logged in at one worker; another one that was taken over has her ticket, in vain."""
    with AttackedSuite(roles=("submission",), start=False, conf={
            "smtpd_workers": "2", "defer_transports": "smtp",
            "auth_default_domain": "example.test"}) as s:
        ca = tls.make_ca(os.path.join(s.dir, "pki"))
        port = free_port()
        users = s.write("users", "alice@example.test:{PLAIN}secret\n")
        s.write_conf(**{
            "listeners": "smtp:inet:127.0.0.1:%d, sub:inet:127.0.0.1:%d" % (s.port, port),
            "sub_listener_class": "submission", "mynetworks": "192.0.2.0/24",
            "smtpd_tls_chain_files": tls.make_cert(["mx.example.test"], ca=ca).pem,
            "auth_sources": "passwd-file:" + users})
        s.start()
        a, b = s.taken("submission"), s.taken("submission")
        b.call("getpid")            # it accepts nobody from here on
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = wait_for("a session with the other one", lambda: greeted(port), 20)
        client.starttls(context=context)
        client.login("alice@example.test", "secret")
        client.sendmail("alice@example.test", ["x@far.test"], "Subject: t\r\n\r\nTKhers\r\n")
        m = wait_for("her message", lambda: [m for m in s.queue() if m["size"]])[0]
        path = next(w for w in a.descriptors().values() if w.endswith(".seg"))
        with open(path, "rb") as f:
            record = f.read()
        at = record.index(struct.pack("<HH", 46, 34))
        ticket = record[at + 4:at + 38]
        append(b, s, ["alice@example.test", "y@far.test", "LOGIN=alice@example.test",
                      "TICKET=" + ticket.hex()])
        forged = wait_for("the forged message", lambda: [
            x for x in s.queue() if x["id"] != m["id"] and x["state"] == "hold"], 20)
        assert forged and "ticket" in s.log()
        assert [x["state"] for x in s.queue() if x["id"] == m["id"]] != ["hold"]
        client.quit()


def greeted(port):
    """A session that was greeted: those in the hands of a stopped worker are not."""
    try:
        return smtplib.SMTP("127.0.0.1", port, timeout=1)
    except OSError:
        return None


def append(t, s, args):
    """Forges a record behind what the worker's segment holds, and says that it is durable."""
    fd, path = next((n, w) for n, w in t.descriptors().items() if w.endswith(".seg"))
    offset = os.path.getsize(path)
    record = subprocess.run([os.path.join(os.environ["BUILD"], "tests/attack/forge"), path,
                             str(offset), *args], capture_output=True, check=True).stdout
    assert t.call("write", fd, record, len(record)) == len(record)
    assert t.call("fdatasync", fd) == 0
    number = int(os.path.basename(path).split(".")[0], 16)
    say(t, t.channels()["qmgr"][0], packet("SEGMENT_DURABLE", ("SEGMENT", number),
                                           ("OFFSET", offset + len(record))))


def test_A24_a_login_cannot_be_claimed():
    """An mx worker states a login, a ticket and another class: qmgr believes none of them."""
    with AttackedSuite(roles=("smtpd",), conf={"smtpd_workers": "1",
                                               "defer_transports": "smtp"}) as s:
        t = s.taken("smtpd")
        s.send("x@far.test", b"Subject: s\r\n\r\nTKfirst\r\n")
        append(t, s, ["alice@example.test", "y@far.test", "LOGIN=alice@example.test",
                      "TICKET=" + "74" * 34, "CLASS=2", "CLIENT_ADDR=127.0.0.1"])
        m = wait_for("the forged message", lambda: [
            m for m in s.queue() if m["sender"] == "alice@example.test"])[0]
        m = wait_for("its hold", lambda: [
            x for x in s.queue() if x["id"] == m["id"] and x["state"] == "hold"])[0]
        assert m["class"] == "mx", m
        assert "ticket" in s.log()
