# SPDX-License-Identifier: ISC
"""
From a trace to a disk: applies each call below the watched folders, tells
when something was promised to a peer, and stops wherever it is asked to.
"""
import os
import re

from . import trace
from .disk import Disk, File, Folder

ACK = re.compile(rb"^250 [^\r\n]*queued as ([0-9A-F]+)")
TAKEN = re.compile(rb"^250 [^\r\n]*taken ((?:TK\w+ ?)+)")
WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
SENDS = ("write", "writev", "sendto", "sendmsg")
READS = ("read", "readv", "recvfrom", "recvmsg")


class Replay:
    """
    acked: {queue id: line of the trace at which 250 began to leave};
    taken: {token: line at which we knew that the next hop has it};
    removed: {queue id: line at which a log line said it is finished}.
    """

    def __init__(self, path, roots, calls=None):
        self.calls = calls if calls is not None else trace.calls(path)
        self.disks = [Disk(r) for r in roots]
        self.acked, self.taken, self.removed = {}, {}, {}
        self.flags, self.place = {}, {}     # (path, fd): open flags, file position
        self.chroot, self.cwd = {}, {}      # by thread
        self.syncs = 0
        self.changes = 0

    def disk(self, path):
        for d in self.disks:
            if d.has(path):
                return d
        return None

    # ---- walking ----

    def run(self):
        """Yields (call, kind) behind each call that changed or synced a disk."""
        for c in self.calls:
            kind = self.step(c)
            if kind:
                yield c, kind

    def step(self, c):
        if c.result < 0:
            return None
        f = getattr(self, "do_" + c.name, None)
        if f:
            return f(c)
        if c.name in WRITES:
            return self.write(c)
        if c.name in ("fsync", "fdatasync"):
            return self.sync(c)
        if c.name in ("sendto", "sendmsg"):
            self.sent(c, self.payload(c))
        elif c.name in READS:
            self.received(c)
        elif c.name in ("copy_file_range", "splice", "sendfile", "truncate", "pwritev2",
                        "symlink", "symlinkat", "creat", "link"):
            for a in c.args:
                assert self.disk(trace.fd(a)[1]) is None, "the model lacks " + c.name
        return None

    def payload(self, c):
        if c.name in ("write", "sendto", "pwrite64"):
            return trace.string(c.args[1])
        return trace.vector(c.args[1])

    # ---- promises ----

    def sent(self, c, data):
        if not data:
            return
        for line in data.split(b"\r\n"):
            m = ACK.match(line)
            if m:
                self.acked.setdefault(int(m.group(1), 16), c.begin)
            self.took(c.begin, line)

    def received(self, c):
        name, peer = trace.fd(c.args[0])
        if not peer.startswith(("TCP", "UNIX-STREAM")) or b"taken" not in self.raw(c):
            return
        for line in self.raw(c).split(b"\r\n"):
            self.took(c.end, line)

    def took(self, when, line):
        m = TAKEN.match(line)
        if m:
            for token in m.group(1).split():
                self.taken.setdefault(token, when)

    @staticmethod
    def raw(c):
        m = re.search(r'"((?:\\x[0-9a-f]{2})+)"', c.args[1])
        return trace.unhex(m.group(1)) if m else b""

    def logged(self, c, data):
        for m in re.finditer(rb"\b([0-9A-F]{10,}): removed", data):
            self.removed.setdefault(int(m.group(1), 16), c.begin)

    # ---- names ----

    def path(self, c, dirarg, patharg):
        name = trace.string(patharg).rstrip(b"\0").decode("utf-8", "surrogateescape")
        root = self.chroot.get(c.tid, "")
        if name.startswith("/"):
            return os.path.normpath(root + "/" + name.lstrip("/"))
        base = trace.fd(dirarg)[1] if dirarg is not None else self.cwd.get(c.tid, root or "/")
        return os.path.normpath(os.path.join(base, name))

    def do_chroot(self, c):
        name = trace.string(c.args[0]).decode()
        self.chroot[c.tid] = os.path.normpath(
            os.path.join(self.cwd.get(c.tid, "/"), name))

    def do_chdir(self, c):
        self.cwd[c.tid] = self.path(c, None, c.args[0])

    def do_fchdir(self, c):
        self.cwd[c.tid] = trace.fd(c.args[0])[1]

    def do_clone(self, c):
        for table in (self.chroot, self.cwd):
            if c.tid in table:
                table[c.result] = table[c.tid]

    do_clone3 = do_fork = do_vfork = do_clone

    # ---- files ----

    def do_openat(self, c):
        path = trace.opened_path(c)
        disk = path and self.disk(path)
        if not disk:
            return None
        self.flags[path, c.result] = c.args[2]
        self.place[path, c.result] = 0
        node = disk.find(path)
        if node is None:
            if "O_CREAT" not in c.args[2] or disk.parent(path)[0] is None:
                return None
            disk.add(c.end, path, File())
            self.changes += 1
            return "change"
        if "O_TRUNC" in c.args[2] and node.now:
            node.truncate(c.end, 0)
            return "change"
        return None

    def write(self, c):
        number, path = trace.fd(c.args[0])
        disk = self.disk(path)
        if not disk:
            data = self.payload(c)
            self.sent(c, data)
            if b": removed" in (data or b""):
                self.logged(c, data)
            return None
        node = disk.find(path)
        if node is None:
            return None
        data = self.payload(c)[:c.result]
        if b": removed" in data and path.endswith(".log"):
            self.logged(c, data)
        flags = self.flags.get((path, number), "")
        if c.name == "pwrite64":
            offset = int(c.args[3])
        elif c.name == "pwritev":
            offset = int(c.args[3])
        elif "O_APPEND" in flags or (path, number) not in self.place:
            # A descriptor that was handed over: its opener asked for O_APPEND.
            offset = len(node.now)
        else:
            offset = self.place[path, number]
            self.place[path, number] = offset + len(data)
        node.write(c.end, offset, data)
        self.changes += 1
        if "SYNC" in flags:
            node.sync(c.end + 1)
            self.syncs += 1
            return "sync"
        return "change"

    def do_lseek(self, c):
        number, path = trace.fd(c.args[0])
        if self.disk(path):
            self.place[path, number] = c.result

    def do_ftruncate(self, c):
        _, path = trace.fd(c.args[0])
        disk = self.disk(path)
        node = disk and disk.find(path)
        if isinstance(node, File):
            node.truncate(c.end, int(c.args[1]))
            return "change"
        return None

    def do_fallocate(self, c):
        _, path = trace.fd(c.args[0])
        disk = self.disk(path)
        node = disk and disk.find(path)
        if isinstance(node, File) and "KEEP_SIZE" not in c.args[1]:
            end = int(c.args[2]) + int(c.args[3])
            if end > len(node.now):
                node.truncate(c.end, end)
                return "change"
        return None

    def do_mmap(self, c):
        _, path = trace.fd(c.args[4])
        if self.disk(path) and not path.endswith("lock.mdb"):
            assert not ("MAP_SHARED" in c.args[3] and "PROT_WRITE" in c.args[2]), \
                "written through a mapping, which no trace shows: " + path

    def sync(self, c):
        _, path = trace.fd(c.args[0])
        disk = self.disk(path)
        node = disk and disk.find(path)
        if node is None:
            return None
        node.sync(c.begin)
        self.syncs += 1
        return "sync"

    def do_syncfs(self, c):
        disk = self.disk(trace.fd(c.args[0])[1])
        if not disk:
            return None
        disk.sync_all(c.begin)
        self.syncs += 1
        return "sync"

    # ---- folders ----

    def changed(self, path, do):
        disk = self.disk(path)
        if not disk or path == disk.root_path:
            return None
        do(disk)
        self.changes += 1
        return "change"

    def do_mkdir(self, c):
        path = self.path(c, None, c.args[0])
        return self.changed(path, lambda d: d.add(c.end, path, Folder()))

    def do_mkdirat(self, c):
        path = self.path(c, c.args[0], c.args[1])
        return self.changed(path, lambda d: d.add(c.end, path, Folder()))

    def do_unlink(self, c):
        path = self.path(c, None, c.args[0])
        return self.changed(path, lambda d: d.remove(c.end, path))

    do_rmdir = do_unlink

    def do_unlinkat(self, c):
        path = self.path(c, c.args[0], c.args[1])
        return self.changed(path, lambda d: d.remove(c.end, path))

    def move(self, c, old, new):
        return self.changed(new, lambda d: d.rename(c.end, old, new))

    def do_rename(self, c):
        return self.move(c, self.path(c, None, c.args[0]), self.path(c, None, c.args[1]))

    def do_renameat(self, c):
        return self.move(c, self.path(c, c.args[0], c.args[1]),
                         self.path(c, c.args[2], c.args[3]))

    do_renameat2 = do_renameat

    def do_linkat(self, c):
        old, new = (self.path(c, c.args[0], c.args[1]), self.path(c, c.args[2], c.args[3]))
        return self.changed(new, lambda d: d.link(c.end, old, new))
