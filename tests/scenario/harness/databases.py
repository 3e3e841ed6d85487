# SPDX-License-Identifier: ISC
"""Real databases and directories for accounts, each in a directory of its own on loopback."""
import glob
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

from .suite import Skip, free_port, wait_for


def program(name, *places):
    path = shutil.which(name)
    for place in places:
        path = path or next(iter(sorted(glob.glob(place + "/" + name), reverse=True)), None)
    if not path:
        raise Skip("%s is not installed" % name)
    return path


def run(*args, **kw):
    r = subprocess.run(args, capture_output=True, text=True, timeout=60, **kw)
    if r.returncode != 0:
        raise AssertionError("%s: %s%s" % (args[0], r.stdout[-2000:], r.stderr[-2000:]))
    return r.stdout


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Server:
    """Common life: self.dir, self.port, a process that ends with the case."""

    user = None

    def __init__(self):
        if os.geteuid() != 0:
            raise Skip("a database server of its own user needs root")
        self.dir = tempfile.mkdtemp(prefix="postkeep-db-")
        self.port = free_port()
        self.process = None
        if self.user:
            shutil.chown(self.dir, self.user)
            os.chmod(self.dir, 0o755)

    def spawn(self, *args, **kw):
        self.out = open(os.path.join(self.dir, "server.out"), "ab")
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.out, **kw)
        try:
            wait_for("%s on port %d" % (args[0], self.port), self.is_up, 40)
        except AssertionError:
            with open(os.path.join(self.dir, "server.out"), errors="replace") as f:
                print(f.read()[-3000:])
            raise

    def is_up(self):
        return answers(self.port)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT if self.user == "postgres" else
                                     signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Postgres(Server):
    user = "postgres"

    def __init__(self, tls=None):
        where = "/usr/lib/postgresql/*/bin"
        initdb, self.server = program("initdb", where), program("postgres", where)
        self.psql = program("psql")
        super().__init__()
        self.data = os.path.join(self.dir, "data")
        secret = os.path.join(self.dir, "secret")
        with open(secret, "w") as f:
            f.write("root-secret\n")
        run(initdb, "-D", self.data, "-A", "scram-sha-256", "--pwfile=" + secret, "-E", "UTF8",
            "--locale=C", "--no-sync", user="postgres", cwd=self.dir)
        with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
            f.write("listen_addresses = '127.0.0.1'\nport = %d\nfsync = off\n"
                    "unix_socket_directories = '%s'\n" % (self.port, self.dir))
            if tls:
                f.write("ssl = on\n")
                for name, source in (("ssl_cert_file", tls[0]), ("ssl_key_file", tls[1])):
                    copy = os.path.join(self.dir, name)
                    shutil.copy(source, copy)
                    shutil.chown(copy, "postgres")
                    os.chmod(copy, 0o600)
                    f.write("%s = '%s'\n" % (name, copy))
        self.start()

    def start(self):
        self.spawn(self.server, "-D", self.data, user="postgres", group="postgres",
                   cwd=self.dir)

    def is_up(self):
        return answers(self.port) and subprocess.run(
            [self.psql, "-h", self.dir, "-p", str(self.port), "-U", "postgres", "-c", ""],
            capture_output=True, env=dict(os.environ, PGPASSWORD="root-secret"),
            timeout=10).returncode == 0

    def sql(self, text):
        return run(self.psql, "-h", self.dir, "-p", str(self.port), "-U", "postgres", "-Atq",
                   "-v", "ON_ERROR_STOP=1", "-f", "-", input=text,
                   env=dict(os.environ, PGPASSWORD="root-secret"))

    settings = {"user": "mail", "password": "db secret", "dbname": "postgres"}

    def grants(self):
        # It may change the table: what an injection would do is not for want of a right.
        self.sql("CREATE ROLE mail LOGIN PASSWORD 'db secret';"
                 "GRANT ALL ON ALL TABLES IN SCHEMA public TO mail;")


class MariaDB(Server):
    user = "mysql"

    def __init__(self, tls=None):
        self.server = program("mariadbd", "/usr/sbin")
        install, self.client = program("mariadb-install-db"), program("mariadb")
        super().__init__()
        self.socket = os.path.join(self.dir, "socket")
        data = os.path.join(self.dir, "data")
        run(install, "--no-defaults", "--user=mysql", "--datadir=" + data, "--skip-test-db",
            "--auth-root-authentication-method=normal")
        self.args = [self.server, "--no-defaults", "--user=mysql", "--datadir=" + data,
                     "--port=%d" % self.port, "--bind-address=127.0.0.1",
                     "--socket=" + self.socket, "--pid-file=" + os.path.join(self.dir, "pid"),
                     "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"]
        for option, source in zip(("--ssl-cert=", "--ssl-key="), tls or ()):
            copy = os.path.join(self.dir, os.path.basename(source))
            shutil.copy(source, copy)
            shutil.chown(copy, "mysql")
            self.args.append(option + copy)
        self.start()

    def start(self):
        self.spawn(*self.args)

    def sql(self, text):
        return run(self.client, "--no-defaults", "-u", "root", "--socket=" + self.socket, "-N",
                   "-B", "mail", input=text)

    settings = {"user": "mail", "password": "db secret", "dbname": "mail"}

    def create(self):
        run(self.client, "--no-defaults", "-u", "root", "--socket=" + self.socket, "-e",
            "CREATE DATABASE mail CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;")

    def grants(self):
        self.sql("CREATE USER mail@'127.0.0.1' IDENTIFIED BY 'db secret';"
                 "GRANT ALL ON mail.* TO mail@'127.0.0.1';")


class SQLite:
    """A file; the server is a library."""

    port = 0
    settings = {}

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="postkeep-db-")
        os.chmod(self.dir, 0o755)
        self.path = os.path.join(self.dir, "mail.db")
        self.settings = {"dbname": self.path}

    def sql(self, text):
        db = sqlite3.connect(self.path)
        rows = []
        for statement in filter(str.strip, text.split(";\n")):
            rows += db.execute(statement).fetchall()
        db.commit()
        db.close()
        os.chmod(self.path, 0o644)
        return "\n".join("|".join(map(str, r)) for r in rows) + "\n"

    def grants(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *why):
        shutil.rmtree(self.dir, ignore_errors=True)


class Slapd(Server):
    def __init__(self, tls=None):
        self.server = program("slapd", "/usr/sbin")
        self.add, self.search = program("ldapadd"), program("ldapsearch")
        super().__init__()
        os.mkdir(os.path.join(self.dir, "db"))
        conf = os.path.join(self.dir, "slapd.conf")
        with open(conf, "w") as f:
            for name in ("core", "cosine", "inetorgperson"):
                f.write("include /etc/ldap/schema/%s.schema\n" % name)
            if tls:
                f.write("TLSCertificateFile %s\nTLSCertificateKeyFile %s\n" % tls[:2])
            f.write("modulepath /usr/lib/ldap\nmoduleload back_mdb\n"
                    "pidfile %s/pid\ndatabase mdb\nsuffix dc=test\nrootdn cn=admin,dc=test\n"
                    "rootpw secret\ndirectory %s/db\n" % (self.dir, self.dir))
        self.conf = conf
        self.start()
        self.ldif("dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\no: test\n"
                  "dc: test\n\n")

    def start(self):
        self.spawn(self.server, "-f", self.conf, "-h", "ldap://127.0.0.1:%d/" % self.port,
                   "-d", "0")

    def ldif(self, text):
        run(self.add, "-x", "-H", "ldap://127.0.0.1:%d" % self.port, "-D", "cn=admin,dc=test",
            "-w", "secret", input=text)

    settings = {"bind_dn": "cn=admin,dc=test", "bind_pw": "secret", "search_base": "dc=test"}


class Redis(Server):
    def __init__(self):
        server = program("redis-server")
        super().__init__()
        self.args = (server, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir,
                     "--save", "", "--requirepass", "redis secret")
        self.start()

    def start(self):
        self.spawn(*self.args)


class Proxy:
    """
    TCP in front of a server, honest until told otherwise: mode is pass, down,
    silent (accepts and says nothing), slow (a byte a second), cut (closes after
    the first bytes), half (ends its sending side at once), garbage.
    """

    def __init__(self, port):
        self.to = port
        self.mode = "pass"
        self.accepted = 0
        self.sockets = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(200)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def set(self, mode):
        """Connections that are open are cut, but with `slow` and `silent`: these go on lying."""
        self.mode = mode
        if mode not in ("slow", "silent"):
            for s in self.sockets:
                self.end(s)
            self.sockets = []

    @staticmethod
    def end(s):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        self.sockets.append(c)
        try:
            if self.mode == "down":
                self.end(c)
                return
            if self.mode == "half":
                c.shutdown(socket.SHUT_WR)
                time.sleep(30)
                return
            if self.mode == "garbage":
                c.sendall(b"\xff\xfe\x00\x30HTTP/1.1 200 OK\r\n\r\n" * 1000)
                time.sleep(2)
                self.end(c)
                return
            if self.mode == "silent":
                time.sleep(60)
                return
            up = socket.create_connection(("127.0.0.1", self.to), 5)
            self.sockets.append(up)
            threading.Thread(target=self.pump, args=(c, up, False), daemon=True).start()
            self.pump(up, c, True)
        except OSError:
            self.end(c)

    def pump(self, a, b, answer):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                if answer and self.mode == "slow":
                    for i in range(len(data)):
                        b.sendall(data[i:i + 1])
                        time.sleep(1)
                elif answer and self.mode == "silent":
                    continue
                elif answer and self.mode == "cut":
                    b.sendall(data[:3])
                    break
                else:
                    b.sendall(data)
        except OSError:
            pass
        self.end(a)
        self.end(b)

    def close(self):
        self.listener.close()
        self.set("down")
