# SPDX-License-Identifier: ISC
"""
A role of the suite in an attacker's hands: see agent.c.

AttackedSuite listens where the agents connect; taken(role) is a process of
that role, stopped in the agent, whose rights and descriptors the case uses:

    t = s.taken("smtpd")
    assert t.call("openat", AT_FDCWD, b"/etc/passwd", os.O_RDONLY) in REFUSED

Arguments are integers or bytes (put into its memory, a NUL behind them); Out(n)
is room for an answer, found in its .data afterwards. The result is that of the
system call, or -errno.
"""
import errno
import os
import re
import socket
import struct
import subprocess

from harness.suite import Skip, Suite, wait_for

AT_FDCWD = -100 & 0xffffffffffffffff
# What "the kernel refused it" looks like. A path that is not there is refused too.
REFUSED = {-errno.EPERM, -errno.EACCES, -errno.ENOSYS, -errno.ENOENT, -errno.EBADF,
           -errno.EXDEV, -errno.ESRCH, -errno.ENOTDIR, -errno.EOPNOTSUPP}
TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")

ROLES = ("logd", "smtpd", "submission", "localsmtp", "qmgr", "smtp", "lmtp", "mailbox",
         "bounce", "dnsd", "lookupd", "certd", "authd")


class Out:
    """Room for what a system call writes."""

    def __init__(self, size):
        self.size, self.data = size, b""


class Taken:
    def __init__(self, role, s):
        self.role, self.s = role, s
        s.settimeout(30)
        self.pid, self.arena = struct.unpack("<QQ", self._read(16))
        self.numbers = {}

    def _read(self, n):
        data = b""
        while len(data) < n:
            more = self.s.recv(n - len(data))
            assert more, "%s is gone" % self.role
            data += more
        return data

    def _request(self, op, length=0, off=0, nr=0, args=(), behind=b""):
        args = [a & 0xffffffffffffffff for a in args]
        self.s.sendall(struct.pack("<cxxxIQq6Q", op, length, off, nr,
                                   *(args + [0] * (6 - len(args)))) + behind)

    def poke(self, off, data):
        self._request(b"W", len(data), off, behind=data)

    def peek(self, off, n):
        self._request(b"R", n, off)
        return self._read(n)

    def memory(self, address, n):
        self._request(b"M", n, address)
        return self._read(n)

    def number(self, name):
        if name not in self.numbers:
            self.poke(0, name.encode() + b"\0")
            self._request(b"N", off=0)
            self.numbers[name] = struct.unpack("<q", self._read(8))[0]
        return self.numbers[name]

    def call(self, name, *args):
        nr = self.number(name)
        at, plain, outs = 4096, [], []
        for a in args:
            if isinstance(a, bytes):
                self.poke(at, a + b"\0")
                plain.append(self.arena + at)
                at += len(a) + 64 & ~63
            elif isinstance(a, Out):
                plain.append(self.arena + at)
                outs.append((a, at))
                at += a.size + 64 & ~63
            else:
                plain.append(a)
        self._request(b"C", nr=nr, args=plain)
        r = struct.unpack("<q", self._read(8))[0]
        for a, off in outs:
            a.data = self.peek(off, a.size)
        return r

    def go_on(self):
        """Its own work again; the next call takes it over once more."""
        self._request(b"G")
        self._read(8)

    # ---- what it holds ----

    def descriptors(self):
        """{number: what /proc says it is}, but for the attacker's own."""
        mine = set()
        out = {}
        for fd in os.listdir("/proc/%d/fd" % self.pid):
            try:
                out[int(fd)] = os.readlink("/proc/%d/fd/%s" % (self.pid, fd))
            except OSError:
                pass
        return {n: t for n, t in out.items() if n not in mine}

    def channels(self):
        """{role of the sibling: [descriptor, ...]} of its channels."""
        said = subprocess.run(["ss", "-xpnH"], capture_output=True, text=True,
                              check=True).stdout
        ends = {}
        for line in said.split("\n"):
            f = line.split()
            if len(f) < 8 or f[0] != "u_seq":
                continue
            for pid, fd in re.findall(r"pid=(\d+),fd=(\d+)", line):
                ends.setdefault(f[5], []).append((int(pid), int(fd), f[7]))
        out = {}
        for holders in ends.values():
            for pid, fd, peer in holders:
                if pid != self.pid:
                    continue
                for other, _, _ in ends.get(peer, []):
                    if other != self.pid:
                        out.setdefault(self.role_of(other), []).append(fd)
        return out

    @staticmethod
    def role_of(pid):
        if os.readlink("/proc/%d/exe" % pid).endswith("/master"):
            return "master"
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read().split(b"\0")[1].decode()


class AttackedSuite(Suite):
    def __init__(self, conf=None, roles=(), port=None, start=True, **kw):
        if os.geteuid() != 0:
            raise Skip("an ordinary user runs in development mode: there is little to break out of")
        self.doors = {}
        super().__init__(conf, start=False, **kw)
        self.port = port or self.port
        place = os.path.join(self.conf["runtime_directory"], "attack")
        os.makedirs(place, mode=0o755)
        for role in roles:
            s = socket.socket(socket.AF_UNIX)
            s.bind(os.path.join(place, role))
            s.listen(16)
            s.settimeout(20)
            self.doors[role] = s
        if start:
            self.start()

    def taken(self, role):
        s, _ = self.doors[role].accept()
        t = Taken(role, s)
        wait_for("%s %d confined" % (role, t.pid), lambda: self.is_confined(t.pid))
        return t

    @staticmethod
    def is_confined(pid):
        with open("/proc/%d/status" % pid) as f:
            return "Seccomp:\t2" in f.read()

    def clean(self):
        for s in self.doors.values():
            s.close()
        super().clean()
