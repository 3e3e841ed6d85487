# SPDX-License-Identifier: ISC
"""Real servers from the distribution's packages, in a directory of the test's own, on loopback."""
import os
import pwd
import shutil
import subprocess
import time

from .suite import Skip, free_port, wait_for


def need(*programs):
    """Paths of programs, or Skip with the way to get them."""
    found = []
    for p in programs:
        path = shutil.which(p) or next((os.path.join(d, p) for d in
                                        ("/usr/sbin", "/usr/lib/dovecot", "/usr/bin")
                                        if os.path.exists(os.path.join(d, p))), None)
        if not path:
            raise Skip("%s is not installed: scripts/packages --install peers" % p)
        found.append(path)
    if os.geteuid() != 0:
        raise Skip("this peer starts as root")
    return found if len(found) > 1 else found[0]


class Postfix:
    """conf: parameters on top of a Postfix that takes mail for peer.test into a Maildir."""

    def __init__(self, directory, **conf):
        self.program = need("postfix")
        self.dir = os.path.join(directory, "postfix")
        etc, queue = os.path.join(self.dir, "etc"), os.path.join(self.dir, "spool")
        self.etc, self.mail = etc, os.path.join(self.dir, "mail")
        self.port = free_port()
        os.makedirs(etc)
        os.makedirs(queue)
        os.makedirs(os.path.join(self.dir, "data"))
        os.makedirs(self.mail)
        user = pwd.getpwnam("nobody")
        os.chown(self.mail, user.pw_uid, user.pw_gid)
        shutil.chown(os.path.join(self.dir, "data"), "postfix")
        settings = {
            "compatibility_level": "3.6", "queue_directory": queue,
            "data_directory": os.path.join(self.dir, "data"),
            "myhostname": "postfix.peer.test", "mydestination": "", "alias_maps": "",
            "mynetworks": "127.0.0.0/8", "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4", "smtp_dns_support_level": "disabled",
            "smtpd_peername_lookup": "no", "maillog_file": os.path.join(self.dir, "log"),
            "maillog_file_prefixes": self.dir, "virtual_mailbox_domains": "peer.test",
            "virtual_mailbox_base": self.mail,
            "virtual_mailbox_maps": "inline:{known@peer.test=known/}",
            "virtual_minimum_uid": "1", "virtual_uid_maps": "static:%d" % user.pw_uid,
            "virtual_gid_maps": "static:%d" % user.pw_gid,
            "smtpd_relay_restrictions": "permit_mynetworks, reject", **conf}
        with open(os.path.join(etc, "main.cf"), "w") as f:
            f.write("".join("%s = %s\n" % kv for kv in settings.items()))
        self.master_cf(etc)
        self.run("start")
        wait_for("Postfix's port", self.up, 20)

    def master_cf(self, etc):
        with open("/usr/share/postfix/master.cf.dist") as f:
            lines = f.read().split("\n")
        out = []
        for line in lines:
            words = line.split()
            if line[:1] not in ("#", " ", "\t", "") and len(words) >= 8:
                if words[:2] == ["smtp", "inet"]:
                    words[0] = "127.0.0.1:%d" % self.port
                words[4] = "n"
                line = " ".join(words)
            out.append(line)
        with open(os.path.join(etc, "master.cf"), "w") as f:
            f.write("\n".join(out) + "\npostlog unix-dgram n - n - 1 postlogd\n")

    def run(self, what):
        subprocess.run([self.program, "-c", self.etc, what], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def up(self):
        import socket
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def log(self):
        try:
            with open(os.path.join(self.dir, "log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return "no log"

    def mailbox(self, user):
        new = os.path.join(self.mail, user, "new")
        return [open(os.path.join(new, n), "rb").read()
                for n in sorted(os.listdir(new))] if os.path.isdir(new) else []

    def __enter__(self):
        return self

    def __exit__(self, kind, *a):
        if kind is not None:
            print("--- Postfix's log ---\n" + self.log()[-3000:])
        self.run("stop")


class Dovecot:
    """LMTP on a Unix socket; users known and full."""

    def __init__(self, directory):
        self.program = need("dovecot", "lmtp")[0]
        self.dir = os.path.join(directory, "dovecot")
        self.mail = os.path.join(self.dir, "mail")
        os.makedirs(self.mail)
        user = pwd.getpwnam("nobody")
        os.chown(self.mail, user.pw_uid, user.pw_gid)
        self.socket = os.path.join(self.dir, "run", "lmtp")
        passwd = os.path.join(self.dir, "passwd")
        with open(passwd, "w") as f:
            f.write("known@peer.test:{PLAIN}x\n")
        conf = os.path.join(self.dir, "dovecot.conf")
        with open(conf, "w") as f:
            f.write("""
protocols = lmtp
ssl = no
base_dir = %(d)s/run
state_dir = %(d)s/state
log_path = %(d)s/log
mail_location = maildir:%(d)s/mail/%%u
first_valid_uid = 1
default_internal_user = nobody
default_internal_group = %(g)s
default_login_user = nobody
passdb {
  driver = passwd-file
  args = %(d)s/passwd
}
userdb {
  driver = static
  args = uid=%(u)d gid=%(gid)d home=%(d)s/mail/%%u
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
""" % {"d": self.dir, "g": "nogroup", "u": user.pw_uid, "gid": user.pw_gid})
        os.makedirs(os.path.join(self.dir, "state"))
        self.process = subprocess.Popen([self.program, "-F", "-c", conf],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 15
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Skip("this Dovecot does not start with such a configuration: " + self.log())
            time.sleep(0.1)

    def log(self):
        try:
            with open(os.path.join(self.dir, "log"), errors="replace") as f:
                return f.read()[-500:].replace("\n", " | ")
        except FileNotFoundError:
            return "no log"

    def mailbox(self, user):
        new = os.path.join(self.mail, user, "new")
        return [open(os.path.join(new, n), "rb").read()
                for n in sorted(os.listdir(new))] if os.path.isdir(new) else []

    def __enter__(self):
        return self

    def __exit__(self, kind, *a):
        if kind is not None:
            print("--- Dovecot's log ---\n" + self.log())
        self.process.terminate()
        self.process.wait(10)
