# SPDX-License-Identifier: ISC
"""One running suite: installed programs, a directory of its own, loopback ports."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import smtp


def free_port(family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    return port


def wait_for(what, predicate, seconds=15, every=0.03):
    """Polls until predicate() is true and returns its value; names what never came."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("never happened within %gs: %s" % (seconds, what))
        time.sleep(every)


def alive(pid):
    """False for a zombie too: where nobody reaps orphans they stay in /proc."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Skip(Exception):
    """This machine cannot run the case; the text says why."""


class Suite:
    """
    Starts `postkeep start -f` with a configuration of its own.

    conf: dict of parameters on top of the defaults here. mailboxes: users of
    example.test. Everything lives below self.dir; stop() removes it unless a
    case failed.
    """

    installed = None          # set by the runner: root of `make install DESTDIR`

    def __init__(self, conf=None, mailboxes=("alice", "bob"), start=True):
        self.dir = tempfile.mkdtemp(prefix="postkeep-test-")
        os.chmod(self.dir, 0o755)
        self.root = os.geteuid() == 0
        self.port = free_port()
        self.process = None
        self.etc = os.path.join(self.dir, "etc")
        os.mkdir(self.etc)
        self.mail = os.path.join(self.dir, "mail")
        self.log_file = os.path.join(self.dir, "log", "mail.log")
        self.conf = {
            "myhostname": "mx.example.test",
            "mydestination": "",
            "listeners": "smtp:inet:127.0.0.1:%d" % self.port,
            "queue_directory": os.path.join(self.dir, "spool"),
            "runtime_directory": os.path.join(self.dir, "rt"),
            "data_directory": os.path.join(self.dir, "data"),
            "program_directory": self.path("libexec/postkeep"),
            "virtual_mailbox_base": self.mail,
            "virtual_mailbox_domains": "example.test",
            "virtual_mailbox_maps": "texthash:" + os.path.join(self.etc, "mailboxes"),
            "maillog_file": self.log_file,
            "smtpd_peername_lookup": "no",
            "dns_resolvers": "127.0.0.1@%d" % free_port(),
            "queue_minfree": "1m",
        }
        self.write("mailboxes", "".join("%s@example.test %s/\n" % (u, u) for u in mailboxes))
        self.conf.update(conf or {})
        self.write_conf()
        if start:
            self.start()

    # ---- files ----

    @classmethod
    def path(cls, relative):
        """Where an installed file is: libexec/postkeep/master, sbin/postkeep, bin/adminctl."""
        for prefix in ("usr/local", "usr", ""):
            p = os.path.join(cls.installed, prefix, relative)
            if os.path.exists(p):
                return p
        raise AssertionError("not installed: " + relative)

    def write(self, name, text):
        p = os.path.join(self.etc, name)
        tmp = p + ".new"
        with open(tmp, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(tmp, 0o644)
        os.rename(tmp, p)
        return p

    def write_conf(self, **change):
        for k, v in change.items():
            if v is None:
                self.conf.pop(k, None)
            else:
                self.conf[k] = v
        self.write("main.cf", "".join("%s = %s\n" % kv for kv in self.conf.items()))

    # ---- life ----

    @classmethod
    def sanitized(cls):
        """True if the programs were built with sanitizers, which keep standard error."""
        with open(cls.path("libexec/postkeep/master"), "rb") as f:
            return b"__asan_init" in f.read()

    def environment(self):
        env = dict(os.environ)
        if self.sanitized():
            # Who is confined has no /proc to look for leaks with.
            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        return env

    def postkeep(self, *args, **kw):
        # Files and no pipes: what stays in the background may keep standard error.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            r = subprocess.run([self.path("sbin/postkeep"), args[0], "-c", self.etc, *args[1:]],
                               stdout=out, stderr=err, timeout=60, env=self.environment(), **kw)
            for f in (out, err):
                f.seek(0)
            r.stdout, r.stderr = out.read(), err.read()
        return r

    def start(self, wait=True):
        self.stderr = open(os.path.join(self.dir, "stderr"), "ab")
        self.process = subprocess.Popen(
            [self.path("sbin/postkeep"), "start", "-f", "-c", self.etc],
            stdin=subprocess.DEVNULL, stdout=self.stderr, stderr=self.stderr,
            start_new_session=True, env=self.environment())
        if wait:
            self.wait_up()

    def wait_up(self, seconds=30):
        def up():
            if self.process.poll() is not None:
                raise AssertionError("suite ended at start: " + self.errors())
            try:
                c = smtp.Client(self.port, timeout=2)
                c.close()
                return True
            except (OSError, AssertionError):
                return False
        wait_for("a greeting on port %d" % self.port, up, seconds)

    def errors(self):
        said = ""
        if os.path.exists(os.path.join(self.dir, "stderr")):
            with open(os.path.join(self.dir, "stderr"), errors="replace") as f:
                said = f.read()[-3000:]
        return said + "\n" + self.log()[-3000:]

    def stop(self, seconds=40):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("suite did not stop within %d s" % seconds)
        return self.process.returncode if self.process else None

    def kill(self):
        """As a power switch for processes: SIGKILL to master and all its children."""
        if self.process is None:
            return
        pids = [self.process.pid] + self.children()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        wait_for("children gone", lambda: not any(alive(p) for p in pids))

    def clean(self):
        try:
            if self.process and self.process.poll() is None:
                self.kill()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print("--- end of the log of the failed case ---")
            print(self.errors())
        self.clean()

    # ---- processes ----

    def children(self):
        out = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    stat = f.read()
                if int(stat.rsplit(")", 1)[1].split()[1]) == self.master_pid():
                    out.append(int(pid))
            except (OSError, ValueError):
                pass
        return out

    def master_pid(self):
        with open("/proc/%d/cmdline" % self.process.pid, "rb") as f:
            f.read()
        return self.process.pid

    def processes(self):
        """[{role, pid, instance, ...}] as adminctl sees them."""
        return self.admin("system", "processes")["processes"]

    def pid_of(self, role):
        return [p["pid"] for p in self.processes() if p["role"] == role and p["pid"] > 0]

    # ---- the administrator ----

    def adminctl(self, *args, stdin=None, check=True):
        r = subprocess.run([self.path("bin/adminctl"), "-c", self.etc, *args],
                           capture_output=True, text=True, timeout=60, input=stdin)
        if check and r.returncode != 0:
            raise AssertionError("adminctl %s: exit %d: %s%s" %
                                 (" ".join(args), r.returncode, r.stdout, r.stderr))
        return r

    def admin(self, *args):
        return json.loads(self.adminctl("--json", *args).stdout)

    def queue(self, *args):
        return self.admin("queue", "list", *args)["messages"]

    def queue_ids(self):
        return [m["id"] for m in self.queue()]

    def wait_empty(self, seconds=20):
        wait_for("an empty queue", lambda: self.queue() == [], seconds)

    # ---- what happened ----

    def log(self):
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, seconds=15):
        """Waits for a log line that matches; returns the match."""
        return wait_for("log line " + pattern,
                        lambda: re.search(pattern, self.log(), re.M), seconds)

    def mailbox(self, user):
        """The messages in a user's new/ as bytes, in the order of their names."""
        new = os.path.join(self.mail, user, "new")
        out = []
        for name in sorted(os.listdir(new) if os.path.isdir(new) else []):
            with open(os.path.join(new, name), "rb") as f:
                out.append(f.read())
        return out

    def wait_mail(self, user, count=1, seconds=15):
        return wait_for("%d messages for %s" % (count, user),
                        lambda: (lambda m: m if len(m) >= count else None)(self.mailbox(user)),
                        seconds)

    # ---- shortcuts ----

    def client(self, **kw):
        return smtp.Client(self.port, **kw)

    def send(self, rcpts, body=b"Subject: test\r\n\r\nhello\r\n", sender="sender@src.test"):
        """One message in a session of its own; returns its queue id."""
        if isinstance(rcpts, str):
            rcpts = [rcpts]
        with self.client() as c:
            c.ehlo()
            return c.send(sender, rcpts, body)
