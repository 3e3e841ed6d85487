# SPDX-License-Identifier: ISC
"""What the fault cases share: a traced suite, a load that counts, faults put into calls."""
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

from harness import smtp
from harness.suite import Skip, Suite, wait_for
from model import trace

LONG = bool(os.environ.get("FAULT_LONG"))
PROGRAMS = ("tests/fault/recover", "tests/fault/workload", "tests/fault/clock")
TOKEN = re.compile(rb"TK\w+")
# Retries of a second: what a fault deferred is tried again soon.
QUICK = {"retry_schedule": "1s", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
         "smtpd_client_connection_count_limit": "0"}

# Each segment is compacted as soon as it is sealed and something of it is gone; what the
# next hop put off ("slow") stays for longer than the case lasts.
COMPACTING = {"queue_compact_age": "0s", "queue_compact_share": "100", "smtpd_workers": "1",
              "retry_schedule": "1h", "minimal_backoff_time": "1h",
              "maximal_backoff_time": "1h"}


def refuse_slow(session, line):
    """A sink's RCPT: "slow" is put off, "bad" is nobody."""
    if "<slow" in line:
        return "451 4.2.1 later"
    return "550 5.1.1 no such user" if "<bad" in line else None


def program(name):
    return os.path.join(os.environ["BUILD"], "tests/fault", name)


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def need_strace():
    need_root()
    if not shutil.which("strace"):
        raise Skip("strace is not installed")


def letter(token, size=600):
    """Content with the token in its subject and a filler that is its own."""
    rng = random.Random(token)
    head = "From: a@src.test\r\nSubject: %s\r\nMessage-ID: <%s@src.test>\r\n\r\n" % (token, token)
    lines, n = [], len(head)
    while n < size:
        line = "%032x%032x\r\n" % (rng.getrandbits(128), rng.getrandbits(128))
        lines.append(line)
        n += len(line)
    return (head + "".join(lines)).encode()


class TracedSuite(Suite):
    """All of the suite's calls that matter to a disk or a peer go to self.trace."""

    def start(self, wait=True):
        self.trace = os.path.join(self.dir, "trace")
        self.stderr = open(os.path.join(self.dir, "stderr"), "ab")
        self.process = subprocess.Popen(
            ["strace", "-D", "-f", "--seccomp-bpf", "-yy", "-xx", "-v", "-s", "33554432",
             "-e", "trace=" + trace.CALLS, "-e", "signal=none", "-o", self.trace,
             self.path("sbin/postkeep"), "start", "-f", "-c", self.etc],
            stdin=subprocess.DEVNULL, stdout=self.stderr, stderr=self.stderr,
            start_new_session=True)
        if wait:
            self.wait_up(60)

    def finish(self):
        """Power off; the trace is complete when this returns."""
        self.kill()
        size = -1
        while size != os.path.getsize(self.trace):
            size = os.path.getsize(self.trace)
            time.sleep(0.3)


def tokens_taken(sink):
    """A dot handler: the reply names the tokens of what was taken."""
    def dot(session, m):
        found = sorted(set(TOKEN.findall(m.data)))
        return "250 2.0.0 Ok: taken " + b" ".join(found).decode() if found else None
    sink.script["dot"] = dot
    return sink


class Load:
    """
    Sessions that send one message after the other and keep count: acked
    {token: body} got 250, unsure got no answer behind the final dot, refused
    got 4xx. Every other answer is a problem.
    """

    def __init__(self, suite, sessions=4, rcpts=("x%d@far.test",), prefix="TK", pause=0.0,
                 sizes=(600, 3000), large=True):
        self.suite, self.rcpts, self.prefix, self.pause = suite, rcpts, prefix, pause
        self.sizes, self.large = sizes, large
        self.acked, self.unsure, self.ids = {}, {}, {}
        self.refused, self.problems = 0, []
        self.lock, self.stopping, self.number = threading.Lock(), False, 0
        self.threads = [threading.Thread(target=self._session, daemon=True)
                        for _ in range(sessions)]
        for t in self.threads:
            t.start()

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join(30)
        return self

    def _next(self):
        with self.lock:
            self.number += 1
            n = self.number
        token = "%s%d" % (self.prefix, n)
        rcpt = self.rcpts[n % len(self.rcpts)]
        size = self.sizes[1] * 30 if self.large and n % 23 == 22 else random.Random(n).randint(*self.sizes)
        return token, rcpt % n if "%" in rcpt else rcpt, letter(token, size)

    def _session(self):
        while not self.stopping:
            try:
                with smtp.Client(self.suite.port, timeout=20) as c:
                    c.ehlo()
                    while not self.stopping:
                        self._one(c)
                        time.sleep(self.pause)
            except (OSError, EOFError):
                time.sleep(0.05)
            except AssertionError as e:
                # A greeting or reply of 4xx while something is away.
                if re.search(r"\b4\d\d\b", str(e)):
                    self.refused += 1
                else:
                    self.problems.append(str(e))
                time.sleep(0.05)

    def _one(self, c):
        token, rcpt, body = self._next()
        c.envelope("sender@src.test", [rcpt])
        c.expect(354, "DATA")
        with self.lock:
            self.unsure[token] = body
        c.raw(body + b".\r\n")
        code, text = c.reply()
        with self.lock:
            del self.unsure[token]
            if code == 250:
                self.acked[token] = body
                self.ids[int(smtp.queue_id(text), 16)] = token
            elif 400 <= code < 500:
                self.refused += 1
            else:
                self.problems.append("%d %s" % (code, text))


def arrived(suite, sink, users=("alice", "bob")):
    """{token: [contents]} of everything at the next hop and in the mailboxes."""
    out = {}
    with sink.lock:
        contents = [m.data for m in sink.messages]
    for u in users:
        contents += [m.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                     for m in suite.mailbox(u)]
    for data in contents:
        m = re.search(rb"Subject: (TK\w+)\r\n", data)
        if m:
            out.setdefault(m.group(1).decode(), []).append(data)
    return out


def check_arrived(load, got, what=""):
    """Everything acknowledged is there, byte for byte; returns the number of duplicates."""
    assert not load.problems, load.problems[:3]
    lost = [t for t in load.acked if t not in got]
    assert not lost, "%d of %d acknowledged are lost%s: %s" % (
        len(lost), len(load.acked), what, lost[:5])
    for token, body in load.acked.items():
        for data in got[token]:
            # A report returns as much of it as bounce_size_limit allows.
            assert body in data or b"multipart/report" in data[:2000], \
                "%s has other bytes" % token
    return sum(len(v) - 1 for v in got.values())


def drained(suite, seconds=40):
    """Waits for an empty queue, pushing; says what is left if it is never empty."""
    end = time.monotonic() + seconds
    while True:
        try:
            left = suite.queue()
            if not left:
                return
            suite.adminctl("queue", "flush", check=False)
        except AssertionError:
            left = ["adminctl does not answer"]
        if time.monotonic() > end:
            raise AssertionError("the queue is never empty: %d left: %.600s" %
                                 (len(left), left[:2]))
        time.sleep(0.3)


def check_queue(suite):
    report = suite.admin("queue", "check")
    assert not report["problems"], report["problems"][:3]


def role_pids(suite, role):
    try:
        return suite.pid_of(role)
    except (AssertionError, ValueError, KeyError):
        return []


def one_pid(suite, role):
    return wait_for("a process " + role, lambda: role_pids(suite, role))[0]


class Inject:
    """A fault in the calls of one running process: strace's inject, with a path filter."""

    def __init__(self, pid, fault, path=None):
        need_strace()
        self.out = "/tmp/postkeep-inject-%d-%d" % (os.getpid(), pid)
        call = fault.split(":")[0]
        args = ["strace", "-f", "-y", "-p", str(pid), "-o", self.out, "-e", "trace=" + call,
                "-e", "inject=" + fault]
        for p in ([path] if isinstance(path, str) else path or []):
            args += ["-P", p]
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        assert "attached" in line, "strace: " + line

    def hits(self):
        with open(self.out, errors="replace") as f:
            return f.read().count("INJECTED")

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.unlink(self.out)
