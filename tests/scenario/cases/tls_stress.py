# SPDX-License-Identifier: ISC
"""Bytes over TLS in all sizes: nothing stalls, nothing is lost or doubled."""
import hashlib
import importlib.util
import os
import random
import select
import socket
import ssl
import threading
import time

spec = importlib.util.spec_from_file_location(
    "tls_server", os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls_server.py"))
tls_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tls_server)
TlsSuite, context, TLS12, TLS13, NAME = (tls_server.TlsSuite, tls_server.context,
                                         tls_server.TLS12, tls_server.TLS13, tls_server.NAME)
STALL = 20      # seconds without a byte either way


class Talker:
    """A client that sends and reads in pieces of its own, both at once."""

    def __init__(self, port, ctx, rng, small):
        self.rng, self.got = rng, b""
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if small:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        raw.settimeout(STALL)
        raw.connect(("127.0.0.1", port))
        raw.recv(1000)
        raw.sendall(b"EHLO x.test\r\n")
        while b"250 " not in raw.recv(4000):
            pass
        raw.sendall(b"STARTTLS\r\n")
        assert raw.recv(1000).startswith(b"220")
        self.s = ctx.wrap_socket(raw, server_hostname=NAME)
        self.s.settimeout(0)

    def take(self):
        """False when there is nothing to read now."""
        try:
            piece = self.s.recv(self.rng.choice((1, 7, 100, 5000, 20000)))
        except ssl.SSLWantReadError:
            return False
        assert piece, "closed behind %r" % self.got[-200:]
        self.got += piece
        return True

    def talk(self, data, replies, lazy):
        """Sends data and reads until so many replies are there; lazy: reads as little as it can."""
        sent, n, last = 0, 0, time.monotonic()
        self.got, piece = b"", 0
        while sent < len(data) or n < replies:
            assert time.monotonic() - last < STALL, "stalls: %d of %d bytes, %d of %d replies" % (
                sent, len(data), n, replies)
            moved = False
            if sent < len(data):
                # What was refused for want of room is offered again as it was.
                piece = piece or self.rng.choice((1, 2, 20, 500, 4000, 16384, 16385, 40000))
                try:
                    sent += self.s.send(data[sent:sent + piece])
                    moved, piece = True, 0
                except ssl.SSLWantWriteError:
                    pass
            if not lazy or not moved:
                moved = self.take() or moved
            n = sum(1 for line in self.got.split(b"\r\n")[:-1] if line[3:4] == b" ")
            if moved:
                last = time.monotonic()
            elif not self.s.pending():
                select.select([self.s], [self.s] if sent < len(data) else [], [], 1)
                if lazy:
                    time.sleep(0.002)
        codes = [line[:3] for line in self.got.split(b"\r\n")[:-1] if line[3:4] == b" "]
        assert len(codes) == replies, (codes, replies)
        return codes


def content(rng):
    """A message and its digest, lines of all lengths, dots at their beginnings."""
    lines, size = [], rng.choice((0, 10, 3000, 16384, 70000, 400000))
    while size > 0:
        line = rng.choice((b"", b".", b"..", b".x")) + b"y" * rng.choice((0, 1, 50, 700, 900))
        lines.append(line)
        size -= len(line) + 2
    body = b"".join(line + b"\r\n" for line in lines)
    return b"X-Digest: " + hashlib.sha256(body).hexdigest().encode() + b"\r\n\r\n" + body


def by_data(rng, message):
    stuffed = b"".join(b"." + line if line.startswith(b".") else line
                       for line in message.splitlines(keepends=True))
    return [(b"DATA\r\n", [b"354"]), (stuffed + b".\r\n", [b"250"])]


def by_bdat(rng, message):
    """Chunks behind one another: they need not wait."""
    out, codes = b"", []
    while True:
        n = min(len(message), rng.choice((1, 10, 900, 16384, 50000, 400000)))
        if len(codes) > 60:
            n = len(message)
        out += b"BDAT %d%s\r\n" % (n, b" LAST" if n == len(message) else b"") + message[:n]
        codes.append(b"250")
        message = message[n:]
        if not message:
            return [(out, codes)]


def session(port, seed, versions, sent, wrong):
    rng = random.Random(seed)
    try:
        t = Talker(port, context(**versions), rng, small=rng.random() < 0.5)
        t.talk(b"EHLO x.test\r\n", 1, False)
        for _ in range(3):
            lazy = rng.random() < 0.5
            noise = rng.choice((0, 3, 400, 3000))
            message = content(rng)
            parts = rng.choice((by_data, by_bdat))(rng, message)
            first = b"NOOP\r\n" * noise + b"MAIL FROM:<a@src.test>\r\n" \
                b"RCPT TO:<alice@example.test>\r\n"
            codes = [b"250"] * (noise + 2)
            if rng.random() < 0.5:      # all in one piece with what may stand behind it
                parts[0] = (first + parts[0][0], codes + parts[0][1])
            else:
                parts.insert(0, (first, codes))
            for data, codes in parts:
                assert t.talk(data, len(codes), lazy) == codes
            sent.append(hashlib.sha256(message.split(b"\r\n\r\n", 1)[1]).hexdigest())
        assert t.talk(b"QUIT\r\n", 1, False) == [b"221"]
        t.s.settimeout(STALL)
        assert t.s.recv(100) == b""     # close_notify, in order
        t.s.close()
    except Exception as e:              # pylint: disable=broad-except
        wrong.append("seed %d: %s: %s" % (seed, type(e).__name__, e))


def stress(versions, seeds):
    sent, wrong = [], []
    with TlsSuite({"smtpd_workers": "2", "smtpd_junk_command_limit": "100000",
                   "mynetworks": "192.0.2.0/24", "message_size_limit": "10000000"}) as s:
        pids = s.pid_of("smtpd")
        for turn in range(0, len(seeds), 8):
            threads = [threading.Thread(target=session,
                                        args=(s.port, seed, versions, sent, wrong))
                       for seed in seeds[turn:turn + 8]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not wrong, wrong
        assert s.pid_of("smtpd") == pids, "a worker died"
        got = []
        for mail in s.wait_mail("alice", len(sent), 60):
            head, body = mail.replace(b"\r\n", b"\n").split(b"\n\n", 1)
            digest = hashlib.sha256(body.replace(b"\n", b"\r\n")).hexdigest()
            assert b"X-Digest: " + digest.encode() in head
            got.append(digest)
        assert sorted(got) == sorted(sent)


def test_all_sizes_over_tls_1_2():
    stress(TLS12, range(100, 124))


def test_all_sizes_over_tls_1_3():
    stress(TLS13, range(200, 224))
