# SPDX-License-Identifier: ISC
"""An SMTP client that sends exactly the bytes it is told, and a server that misbehaves to order."""
import re
import select
import socket
import ssl
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
    """tls: the connection's SSLSocket facts (see SinkSession.facts), None when it came in clear."""

    def __init__(self, sender, rcpts, data, lines, tls=None):
        self.sender, self.rcpts, self.data, self.lines = sender, rcpts, data, lines
        self.tls = tls


def server_context(cert, client_ca=None, demand=False, least=None, most=None):
    """An ssl context of a server with a harness.tls certificate; client_ca: ask clients for one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert.chain, cert.key)
    if least:
        context.minimum_version = least
    if most:
        context.maximum_version = most
    if client_ca:
        context.load_verify_locations(client_ca.cert)
        context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_OPTIONAL
    return context


class Sink:
    """
    SMTP (or LMTP) server on a port of its own. `script` maps a step to what
    is done there: a reply string, "hang", "drop", or a function(session, arg)
    that returns one of these. Steps: greeting ehlo starttls mail rcpt data dot quit.

    tls: a context (server_context()): STARTTLS is offered, or with wrapper
    spoken from the first byte. Further steps are then `inject` (bytes sent in
    one packet with the go-ahead) and `handshake` ("hang", "drop", or bytes
    that answer its first message). tls_ehlo: what EHLO says inside.
    """

    def __init__(self, script=None, ehlo=("PIPELINING", "8BITMIME"), lmtp=False,
                 address=("127.0.0.1", 0), unix=None, family=socket.AF_INET,
                 tls=None, tls_ehlo=None, wrapper=False):
        self.tls, self.wrapper = tls, wrapper
        self.tls_ehlo = ehlo if tls_ehlo is None else tls_ehlo
        self.handshakes, self.resumed = [], 0    # facts of those that were done
        self.snis = []
        self.clear = []                          # commands that came in clear
        if tls:
            tls.sni_callback = lambda s, name, c: self.snis.append(name)
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
        session = SinkSession(self, s)
        try:
            session.run()
        except (OSError, EOFError):
            pass
        finally:
            session.s.close()
            with self.lock:
                self.open_now -= 1


class SinkSession:
    def __init__(self, sink, s):
        self.sink, self.s, self.buf = sink, s, b""
        self.sender, self.rcpts = None, []
        self.mail_line = ""
        self.facts = None

    def handshake(self):
        what = self.sink.script.get("handshake")
        if callable(what):
            what = what(self, None)
        if what == "hang":
            self.sink.hanging += 1
            _hang(self)
            raise EOFError
        if what == "drop":
            raise EOFError
        if what is not None:
            self.s.recv(65536)
            self.s.sendall(what)
            raise EOFError
        self.s = self.sink.tls.wrap_socket(self.s, server_side=True)
        self.buf = b""
        cert = self.s.getpeercert(True)
        self.facts = {"version": self.s.version(), "cipher": self.s.cipher()[0],
                      "cert": cert, "resumed": self.s.session_reused}
        with self.sink.lock:
            self.sink.handshakes.append(self.facts)
            self.sink.resumed += self.s.session_reused

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
        if self.sink.wrapper:
            self.handshake()
        self.act("greeting", None, "220 sink.test ESMTP")
        chunks = b""
        while True:
            line = self.line().decode("utf-8", "surrogateescape")
            self.sink.commands.append(line)
            if self.facts is None:
                self.sink.clear.append(line)
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                words = ["sink.test", *(self.sink.keywords if self.facts is None
                                        else self.sink.tls_ehlo)]
                if self.sink.tls and self.facts is None:
                    words.append("STARTTLS")
                text = "\r\n".join("250%s%s" % ("-" if i < len(words) - 1 else " ", w)
                                   for i, w in enumerate(words))
                self.act("ehlo", line, text)
            elif verb == "HELO":
                self.act("helo", line, "250 sink.test")
            elif verb == "STARTTLS" and self.sink.tls:
                go = self.sink.script.get("inject", b"")
                if go:
                    self.s.sendall(b"220 2.0.0 go\r\n" + go)
                elif not self.act("starttls", line, "220 2.0.0 go").startswith("2"):
                    continue
                self.handshake()
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
        m = Message(self.sender, list(self.rcpts), data, [self.mail_line], self.facts)
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
