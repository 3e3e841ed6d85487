# SPDX-License-Identifier: ISC
"""An SMTP client that sends exactly the bytes it is told, and a server that misbehaves to order."""
import re
import select
import socket
import threading


class Client:
    """Blocking client. Every command returns (code, text)."""

    def __init__(self, port, host="127.0.0.1", timeout=20, greet=True, family=None, source=None,
                 tls=None, name=None, session=None):
        """tls: an ssl.SSLContext for implicit TLS, with server name and session to resume."""
        if isinstance(port, str):
            self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.s.settimeout(timeout)
            self.s.connect(port)
        else:
            self.s = socket.create_connection((host, port), timeout,
                                              (source, 0) if source else None)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) \
            if not isinstance(port, str) else None
        self.buf = b""
        if tls is not None:
            self.secure(tls, name, session)
        if greet:
            code, text = self.reply()
            assert code == 220, (code, text)

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()

    def close(self):
        self.s.close()

    def raw(self, data):
        self.s.sendall(data)

    def line(self):
        while b"\n" not in self.buf:
            more = self.s.recv(65536)
            if not more:
                raise EOFError("server closed the connection")
            self.buf += more
        line, self.buf = self.buf.split(b"\n", 1)
        assert line.endswith(b"\r"), "reply without CR: %r" % line
        return line[:-1].decode("utf-8", "surrogateescape")

    def reply(self):
        lines = []
        while True:
            line = self.line()
            assert re.match(r"^\d{3}[ -]", line), "no reply: %r" % line
            lines.append(line[4:])
            if line[3] == " ":
                return int(line[:3]), "\n".join(lines)

    def cmd(self, text):
        self.raw(text.encode("utf-8", "surrogateescape") + b"\r\n")
        return self.reply()

    def expect(self, code, text):
        got = self.cmd(text)
        assert got[0] == code, "%s: wanted %d, got %d %s" % (text, code, *got)
        return got[1]

    def secure(self, context, name=None, session=None):
        """The handshake, on the connection as it is."""
        assert self.buf == b"", "clear text before the handshake: %r" % self.buf
        self.s = context.wrap_socket(self.s, server_hostname=name, session=session)

    def starttls(self, context, name=None, session=None):
        self.expect(220, "STARTTLS")
        self.secure(context, name, session)

    def ehlo(self, name="client.test"):
        return self.expect(250, "EHLO " + name)

    def envelope(self, sender, rcpts, params=""):
        self.expect(250, "MAIL FROM:<%s>%s" % (sender, " " + params if params else ""))
        for r in rcpts:
            self.expect(250, r if r.startswith("RCPT") else "RCPT TO:<%s>" % r)

    def data(self, body):
        """Sends content (CRLF) with stuffing; returns the reply to the final dot."""
        self.expect(354, "DATA")
        if not body.endswith(b"\r\n"):
            body += b"\r\n"
        self.raw(re.sub(rb"(^|\r\n)\.", rb"\1..", body) + b".\r\n")
        return self.reply()

    def send(self, sender, rcpts, body, params=""):
        self.envelope(sender, rcpts, params)
        code, text = self.data(body)
        assert code == 250, (code, text)
        return queue_id(text)

    def closed(self, seconds=5):
        """True if the server closes within that time; what it says first is kept in buf."""
        self.s.settimeout(seconds)
        try:
            while True:
                more = self.s.recv(65536)
                if not more:
                    return True
                self.buf += more
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False


def queue_id(text):
    return re.search(r"queued as ([0-9A-F]+)", text).group(1)


class Message:
    def __init__(self, sender, rcpts, data, lines):
        self.sender, self.rcpts, self.data, self.lines = sender, rcpts, data, lines


class Sink:
    """
    SMTP (or LMTP) server on a port of its own. `script` maps a step to what
    is done there: a reply string, "hang", "drop", or a function(session, arg)
    that returns one of these. Steps: greeting ehlo mail rcpt data dot quit.
    """

    def __init__(self, script=None, ehlo=("PIPELINING", "8BITMIME"), lmtp=False,
                 address=("127.0.0.1", 0), unix=None, family=socket.AF_INET):
        self.script = dict(script or {})
        self.keywords, self.lmtp = ehlo, lmtp
        self.messages, self.commands, self.sessions = [], [], 0
        self.raw = bytearray()               # every byte that came in
        self.open_now = self.most_open = 0
        self.hanging = 0                     # sessions that came to a "hang"
        self.lock = threading.Lock()
        if unix:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(unix)
        else:
            self.listener = socket.socket(family, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(address)
            self.port = self.listener.getsockname()[1]
        self.listener.listen(4096)
        self.stopping = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.stopping = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()

    def _accept(self):
        while not self.stopping:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._session, args=(s,), daemon=True).start()

    def _session(self, s):
        with self.lock:
            self.sessions += 1
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            SinkSession(self, s).run()
        except (OSError, EOFError):
            pass
        finally:
            s.close()
            with self.lock:
                self.open_now -= 1


class SinkSession:
    def __init__(self, sink, s):
        self.sink, self.s, self.buf = sink, s, b""
        self.sender, self.rcpts = None, []
        self.mail_line = ""

    def act(self, step, arg, default):
        what = self.sink.script.get(step, default)
        if callable(what):
            what = what(self, arg)
            if what is None:
                what = default
        if what == "hang":
            self.sink.hanging += 1
            select.select([self.s], [], [], 3600) if step == "never" else _hang(self)
            raise EOFError
        if what == "drop":
            raise EOFError
        self.s.sendall(what.encode() + b"\r\n")
        return what

    def line(self):
        while b"\r\n" not in self.buf:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            with self.sink.lock:
                self.sink.raw += more
            self.buf += more
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line

    def exactly(self, n):
        while len(self.buf) < n:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            with self.sink.lock:
                self.sink.raw += more
            self.buf += more
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def run(self):
        self.act("greeting", None, "220 sink.test ESMTP")
        chunks = b""
        while True:
            line = self.line().decode("utf-8", "surrogateescape")
            self.sink.commands.append(line)
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                words = ["sink.test", *self.sink.keywords]
                text = "\r\n".join("250%s%s" % ("-" if i < len(words) - 1 else " ", w)
                                   for i, w in enumerate(words))
                self.act("ehlo", line, text)
            elif verb == "HELO":
                self.act("helo", line, "250 sink.test")
            elif verb == "MAIL":
                self.rcpts, self.mail_line = [], line
                self.sender = re.search(r"<(.*?)>", line).group(1)
                self.act("mail", line, "250 2.1.0 Ok")
            elif verb == "RCPT":
                if self.act("rcpt", line, "250 2.1.5 Ok").startswith("2"):
                    self.rcpts.append(re.search(r"<(.*?)>", line).group(1))
            elif verb == "DATA":
                ok = "354 go" if self.rcpts else "554 5.5.1 no valid recipients"
                if self.act("data", line, ok).startswith("3"):
                    self.content(self.dotted())
            elif verb == "BDAT":
                words = line.split()
                chunks += self.exactly(int(words[1]))
                if len(words) > 2:
                    self.content(chunks)
                    chunks = b""
                else:
                    self.act("bdat", line, "250 2.0.0 chunk")
            elif verb == "RSET":
                self.act("rset", line, "250 2.0.0 Ok")
                self.rcpts, self.sender, chunks = [], None, b""
            elif verb == "NOOP":
                self.act("noop", line, "250 2.0.0 Ok")
            elif verb == "QUIT":
                self.act("quit", line, "221 2.0.0 Bye")
                return
            else:
                self.s.sendall(b"502 5.5.2 what?\r\n")

    def dotted(self):
        out = []
        while True:
            line = self.line()
            if line == b".":
                return b"".join(out)
            out.append((line[1:] if line.startswith(b".") else line) + b"\r\n")

    def content(self, data):
        m = Message(self.sender, list(self.rcpts), data, [self.mail_line])
        for i in range(len(self.rcpts) if self.sink.lmtp else 1):
            arg = self.rcpts[i] if self.sink.lmtp else m
            reply = self.act("dot", arg, "250 2.0.0 Ok: taken")
            if i == 0 and reply.startswith("2"):
                with self.sink.lock:
                    self.sink.messages.append(m)


def _hang(session):
    while not session.sink.stopping:
        r, _, _ = select.select([session.s], [], [], 0.2)
        if r and not session.s.recv(65536):
            return
