# SPDX-License-Identifier: ISC
"""What the kernel lets a role do when somebody else decides what it does."""
import errno
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile

from harness import tls
from harness.suite import Skip, free_port
from taken import AT_FDCWD, REFUSED, ROLES, AttackedSuite, Out

def plain():
    if AttackedSuite.sanitized():
        raise Skip("sanitizers need system calls that no role has")


def everywhere(tries):
    """tries(suite, taken) for a process of each role, in one suite."""
    plain()
    place = "/tmp/postkeep-attack-%d.sock" % os.getpid()
    ports = free_port(), free_port()
    keys = root_keys()
    conf = {
        "listeners": "smtp:inet:127.0.0.1:%d, submission:inet:127.0.0.1:%d, "
                     "local:unix:%s" % (*ports, place),
        "submission_listener_class": "submission", "local_listener_class": "local",
        "smtpd_tls_chain_files": os.path.join(keys, "tls", "key.pem"),
    }
    try:
        with AttackedSuite(conf, roles=ROLES, port=ports[0]) as s:
            s.send("alice@example.test", b"Subject: canary\r\n\r\nTKcanary\r\n")
            s.wait_mail("alice")
            for role in ROLES:
                tries(s, s.taken(role))
    finally:
        shutil.rmtree(keys)
        if os.path.exists(place):
            os.unlink(place)


def root_keys():
    """A folder with tls/key.pem, which main.cf names, and other/key.pem; all of it root's alone."""
    place = tempfile.mkdtemp(prefix="postkeep-keys-")
    pair = tls.make_cert(["mx.example.test"], ca=tls.make_ca(os.path.join(place, "pki")))
    for name in ("tls", "other"):
        os.mkdir(os.path.join(place, name), 0o700)
        shutil.copy(pair.pem, os.path.join(place, name, "key.pem"))
        os.chmod(os.path.join(place, name, "key.pem"), 0o600)
    return place


def refused(t, what, r):
    assert r in REFUSED, "%s: %s: %s" % (
        t.role, what, errno.errorcode.get(-r, r) if r < 0 else "it worked: %d" % r)


def secrets(s):
    """Files that somebody may want, and who may open them by his duty."""
    mail = os.path.join(s.mail, "alice", "new")
    return [
        ("/etc/shadow", ()), ("/etc/passwd", ()), (os.path.join(s.etc, "main.cf"), ()),
        (os.path.join(mail, os.listdir(mail)[0]), ("mailbox",)),
        (os.path.join(s.conf["queue_directory"], "index"), ("qmgr",)),
        (os.path.join(s.conf["data_directory"], "accounts", "data.mdb"), ("authd",)),
        (s.conf["smtpd_tls_chain_files"], ("certd",)), (other_key(s), ()),
        ("/proc/self/mem", ()), ("/proc/1/environ", ()), ("/root", ()), ("/dev/mem", ()),
        (s.log_file, ()),
    ]


def other_key(s):
    """Beside the folder of those that main.cf names."""
    return s.conf["smtpd_tls_chain_files"].replace("/tls/", "/other/")


def within_duty(s, t, fd):
    """A directory of its own, reached by way of one that it holds."""
    place = os.readlink("/proc/%d/fd/%d" % (t.pid, fd))
    return place.startswith({"qmgr": s.conf["queue_directory"], "mailbox": s.mail}.get(
        t.role, "nowhere"))


def test_A24_no_path_opens():
    def tries(s, t):
        for path, may in secrets(s):
            if t.role in may or (t.role == "lookupd" and path.startswith(s.etc)):
                continue
            for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND,
                          os.O_PATH | os.O_DIRECTORY):
                refused(t, "open %s" % path, t.call("openat", AT_FDCWD, path.encode(), flags))
        # Out of the chroot by a descriptor that is held.
        for fd in t.descriptors():
            for path in (b"../../../../../../etc/shadow", b"/etc/shadow", b"../.."):
                r = t.call("openat", fd, path, os.O_RDONLY)
                if r >= 0 and within_duty(s, t, r):
                    continue
                refused(t, "openat(%d, %s)" % (fd, path), r)
    everywhere(tries)


def test_A24_nothing_is_made_or_removed():
    def tries(s, t):
        for path in (b"/tmp/x", os.path.join(s.etc, "x").encode(),
                     os.path.join(s.conf["data_directory"], "x").encode()):
            refused(t, "create %s" % path, t.call(
                "openat", AT_FDCWD, path, os.O_CREAT | os.O_WRONLY, 0o644))
            refused(t, "mkdir", t.call("mkdir", path, 0o755))
            refused(t, "symlink", t.call("symlink", b"/etc/shadow", path))
            refused(t, "mknod", t.call("mknodat", AT_FDCWD, path, stat.S_IFIFO | 0o600, 0))
        main_cf = os.path.join(s.etc, "main.cf").encode()
        for name, args in (("unlink", (main_cf,)), ("rename", (main_cf, b"/tmp/y")),
                           ("link", (main_cf, b"/tmp/y")), ("chmod", (main_cf, 0o777)),
                           ("truncate", (main_cf, 0)), ("chown", (main_cf, 0, 0)),
                           ("setxattr", (main_cf, b"user.x", b"y", 1, 0))):
            refused(t, name, t.call(name, *args))
        assert os.path.exists(main_cf)
    everywhere(tries)


# Duties: who may open a connection of which family.
CONNECTS = {"smtp": {"inet"}, "lmtp": {"inet", "unix"}, "dnsd": {"inet"}, "authd": {"unix"},
            "logd": {"unix"}}


def test_A24_no_connection_goes_out():
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(5)
    door.settimeout(0.2)
    port = struct.pack(">H", door.getsockname()[1])

    def tries(s, t):
        may = CONNECTS.get(t.role, set())
        families = [(socket.AF_INET, "inet"), (socket.AF_INET6, "inet"),
                    (socket.AF_UNIX, "unix"), (socket.AF_NETLINK, ""), (socket.AF_PACKET, ""),
                    (socket.AF_VSOCK, ""), (socket.AF_ALG, "")]
        for family, name in families:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                fd = t.call("socket", family, kind, 0)
                if name in may and kind != socket.SOCK_RAW:
                    continue
                refused(t, "socket(%d, %d)" % (family, kind), fd)
        # A descriptor that is held becomes no listener and no other connection.
        address = struct.pack("<H", socket.AF_INET) + port + socket.inet_aton("127.0.0.1") + \
            b"\0" * 8
        for fd, what in t.descriptors().items():
            if not what.startswith("socket:") or "inet" in may or "unix" in may:
                continue
            refused(t, "connect", t.call("connect", fd, address, 16))
            refused(t, "bind", t.call("bind", fd, address, 16))
            refused(t, "listen", t.call("listen", fd, 5))
        try:
            door.accept()
            raise AssertionError("%s came out" % t.role)
        except socket.timeout:
            pass
    everywhere(tries)
    door.close()


def test_A24_no_program_starts():
    def tries(_s, t):
        argv = struct.pack("<QQ", 0, 0)
        refused(t, "execve", t.call("execve", b"/bin/sh", argv, argv))
        refused(t, "execveat", t.call("execveat", AT_FDCWD, b"/bin/sh", argv, argv, 0))
        refused(t, "fork", t.call("fork"))
        refused(t, "vfork", t.call("vfork"))
        refused(t, "clone", t.call("clone", signal.SIGCHLD, 0, 0, 0, 0))
        refused(t, "clone3", t.call("clone3", b"\0" * 64, 64))
        # No memory that was written becomes code.
        refused(t, "mmap exec", t.call("mmap", 0, 4096, 7, 0x22, -1, 0))
        refused(t, "mprotect exec", t.call("mprotect", t.arena, 4096, 5))
        refused(t, "memfd", t.call("memfd_create", b"x", 0)) if t.role != "qmgr" else None
        refused(t, "pkey_mprotect", t.call("pkey_mprotect", t.arena, 4096, 5, -1))
    everywhere(tries)


def test_A24_no_hand_on_others():
    """Signals, traces, memory and descriptors of other processes."""
    def tries(s, t):
        others = [p["pid"] for p in s.processes() if p["pid"] not in (t.pid, 0)]
        for pid in others + [1]:
            for name, args in (
                    ("kill", (pid, 0)), ("kill", (pid, signal.SIGKILL)),
                    ("tgkill", (pid, pid, signal.SIGKILL)),
                    ("rt_sigqueueinfo", (pid, signal.SIGTERM, b"\0" * 128)),
                    ("ptrace", (16, pid, 0, 0)), ("ptrace", (0x4206, pid, 0, 0)),
                    ("process_vm_readv", (pid, b"\0" * 16, 1, b"\0" * 16, 1, 0)),
                    ("process_vm_writev", (pid, b"\0" * 16, 1, b"\0" * 16, 1, 0)),
                    ("pidfd_open", (pid, 0)), ("kcmp", (t.pid, pid, 0, 0, 0)),
                    ("setpriority", (0, pid, 19)), ("sched_setaffinity", (pid, 8, b"\1" * 8)),
                    ("prlimit64", (pid, 7, b"\0" * 16, 0)), ("migrate_pages", (pid, 1, 0, 0)),
                    ("openat", (AT_FDCWD, b"/proc/%d/mem" % pid, os.O_RDWR)),
                    ("openat", (AT_FDCWD, b"/proc/%d/fd/3" % pid, os.O_RDWR))):
                refused(t, "%s of %d" % (name, pid), t.call(name, *args))
        refused(t, "kill all", t.call("kill", -1 & 0xffffffffffffffff, signal.SIGKILL))
    everywhere(tries)


def test_A24_no_right_comes_back():
    def tries(_s, t):
        for name, args in (
                ("setuid", (0,)), ("setgid", (0,)), ("setresuid", (0, 0, 0)),
                ("setresgid", (0, 0, 0)), ("setgroups", (0, 0)), ("setfsuid", (0,)),
                ("capset", (b"\0" * 8, b"\xff" * 24)), ("chroot", (b"/",)),
                ("pivot_root", (b"/", b"/")), ("unshare", (0x10000000,)),
                ("setns", (0, 0)), ("mount", (b"x", b"/", b"tmpfs", 0, 0)),
                ("personality", (0x0040000,)), ("seccomp", (1, 0, b"\0" * 16)),
                ("keyctl", (0, 0)), ("add_key", (b"user", b"x", b"y", 1, -3)),
                ("bpf", (0, b"\0" * 64, 64)), ("perf_event_open", (b"\0" * 112, 0, -1, -1, 0)),
                ("userfaultfd", (0,)), ("io_uring_setup", (4, b"\0" * 120)),
                ("io_setup", (4, b"\0" * 8)), ("open_by_handle_at", (0, b"\0" * 16, 0)),
                ("reboot", (0xfee1dead, 672274793, 0)), ("swapon", (b"/x", 0)),
                ("init_module", (b"", 0, b"")), ("kexec_load", (0, 0, 0, 0)),
                ("iopl", (3,)), ("settimeofday", (b"\0" * 16, 0)),
                ("clock_settime", (0, b"\0" * 16)), ("setrlimit", (7, b"\xff" * 16)),
                ("prctl", (38, 0, 0, 0, 0)), ("prctl", (4, 1, 0, 0, 0)),
                ("landlock_create_ruleset", (0, 0, 1)), ("memfd_secret", (0,))):
            refused(t, name, t.call(name, *args))
        # Nothing it can write becomes set-uid.
        for fd in t.descriptors():
            refused(t, "fchmod 4755 of %d" % fd, t.call("fchmod", fd, 0o4755))
        fd = t.call("openat", AT_FDCWD, b"x", os.O_CREAT | os.O_WRONLY, 0o4755)
        assert fd < 0, "%s made a set-uid file" % t.role
        with open("/proc/%d/status" % t.pid) as f:
            said = f.read()
        # certd's one: to read the keys of root that it is confined to.
        caps = "0000000000000004" if t.role == "certd" else "0000000000000000"
        assert "CapEff:\t%s\n" % caps in said and "CapPrm:\t%s\n" % caps in said, said
        for name in ("CapBnd", "CapInh", "CapAmb"):
            assert name + ":\t0000000000000000" in said, said
        assert "NoNewPrivs:\t1" in said
    everywhere(tries)


def test_A24_certd_reads_its_folders_only():
    """CAP_DAC_READ_SEARCH opens what Landlock allows; what else it shows are names and dates."""
    def tries(s, t):
        if t.role != "certd":
            return
        own, other = s.conf["smtpd_tls_chain_files"], other_key(s)
        top = os.path.dirname(os.path.dirname(own))
        fd = t.call("openat", AT_FDCWD, own.encode(), os.O_RDONLY)
        assert fd >= 0 and t.call("read", fd, Out(64), 64) == 64, fd
        assert t.call("openat", AT_FDCWD, os.path.dirname(own).encode(),
                      os.O_RDONLY | os.O_DIRECTORY) >= 0
        # For that a folder is confined to files of one purpose: all of it can be read.
        for flags in (os.O_RDWR, os.O_WRONLY, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
            refused(t, "write its key", t.call("openat", AT_FDCWD, own.encode(), flags))
        for path in (other, top, os.path.dirname(other), "/", "/root", "/etc", "/proc",
                     os.path.join(os.path.dirname(own), "..", "other", "key.pem"),
                     "/proc/self/root" + other, "/proc/%d/root%s" % (t.pid, other), "/proc/1/maps",
                     "/var/lib", s.mail, s.conf["queue_directory"]):
            for flags in (os.O_RDONLY, os.O_RDONLY | os.O_DIRECTORY):
                refused(t, "open %s" % path, t.call("openat", AT_FDCWD, path.encode(), flags))
        # A handle needs this capability and no path: nothing Landlock would see.
        handle = struct.pack("<II", 128, 0) + b"\0" * 128
        refused(t, "name_to_handle_at", t.call("name_to_handle_at", AT_FDCWD, other.encode(),
                                               handle, b"\0" * 8, 0))
        refused(t, "open_by_handle_at", t.call("open_by_handle_at", AT_FDCWD, handle, 0))
        # SECURITY.md says so: that a file is there, and of what size.
        assert t.call("newfstatat", AT_FDCWD, other.encode(), Out(144), 0) == 0
    everywhere(tries)


APPENDERS = ("smtpd", "bounce")


def test_A24_queued_mail_is_out_of_reach():
    """The handle of a segment appends; nothing that it has appended can be read or changed."""
    plain()
    with AttackedSuite(roles=APPENDERS, conf={"smtpd_workers": "1",
                                              "default_transport": "smtp",
                                              "defer_transports": "smtp"}) as s:
        t = s.taken("smtpd")
        s.send("x@far.test", b"Subject: q\r\n\r\nTKqueued\r\n", sender="a@src.test")
        segments = [fd for fd, what in t.descriptors().items() if what.endswith(".seg")]
        assert segments, t.descriptors()
        for fd in segments:
            path = os.readlink("/proc/%d/fd/%d" % (t.pid, fd))
            with open(path, "rb") as f:
                before = f.read()
            iov = struct.pack("<QQ", t.arena, 16)
            for name, args in (
                    ("pread64", (fd, Out(64), 64, 0)), ("read", (fd, Out(64), 64)),
                    ("preadv", (fd, iov, 1, 0, 0)),
                    ("pwrite64", (fd, b"x" * 64, 64, 0)), ("pwritev", (fd, iov, 1, 0, 0)),
                    ("pwritev2", (fd, iov, 1, 0, 0, 0x20)),
                    ("ftruncate", (fd, 0)), ("fallocate", (fd, 3, 0, 4096)),
                    ("fcntl", (fd, 4, os.O_WRONLY)), ("fcntl", (fd, 4, 0)),
                    ("mmap", (0, 4096, 3, 1, fd, 0)), ("mmap", (0, 4096, 1, 2, fd, 0)),
                    ("sendfile", (1, fd, 0, 64)), ("sendfile", (fd, fd, 0, 64)),
                    ("splice", (fd, 0, 1, 0, 64, 0)),
                    ("copy_file_range", (fd, 0, fd, b"\0" * 8, 64, 0)),
                    ("openat", (AT_FDCWD, b"/proc/self/fd/%d" % fd, os.O_RDWR)),
                    ("openat", (fd, b"", os.O_RDWR)),
                    ("linkat", (fd, b"", AT_FDCWD, b"/x", 0x1000)),
                    ("ioctl", (fd, 0x40086602, b"\0" * 8)),         # FS_IOC_SETFLAGS
                    ("ioctl", (fd, 0x40049409, fd)),                # FICLONE
                    ("flock", (fd, 2)), ("fcntl", (fd, 6, b"\0" * 32))):
                r = t.call(name, *args)
                assert r < 0, "%s on a segment: %d" % (name, r)
            with open(path, "rb") as f:
                assert f.read()[:len(before)] == before, "what was appended has changed"
            # lseek is there, and changes nothing: O_APPEND writes at the end.
            t.call("lseek", fd, 0, 0)
            t.call("write", fd, b"y" * 8, 8)
            with open(path, "rb") as f:
                assert f.read()[:len(before)] == before, "written over"


def test_an_attack_build_is_not_installed():
    """`make install` without DESTDIR stops."""
    r = subprocess.run(["make", "-C", os.environ["BUILD"], "-n", "install-exec-hook"],
                       capture_output=True, text=True)
    assert r.returncode == 0 and "exit 1" in r.stdout, r.stdout[-500:]
    assert sys.platform == "linux"
