# SPDX-License-Identifier: ISC
"""A real authoritative server (nsd) on a loopback port, with zones of the test's own."""
import os
import shutil
import subprocess
import time

from .suite import Skip, free_port


def _run(directory, *args):
    done = subprocess.run(args, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, "%s: %s" % (" ".join(args), done.stderr.decode())
    return done.stdout.decode()


class Nsd:
    """
    zones: {name: [record lines without the SOA]}. Those in `signed` are signed
    with a key each (ldnsutils); conf() makes the suite trust it. forge: {zone:
    function(text of the signed zone) -> text}: what is served in its place.
    """

    def __init__(self, directory, zones, signed=(), forge=None):
        self.program = shutil.which("nsd") or (
            "/usr/sbin/nsd" if os.path.exists("/usr/sbin/nsd") else None)
        if not self.program:
            raise Skip("nsd is not installed")
        self.dir = os.path.join(directory, "nsd")
        os.makedirs(self.dir, exist_ok=True)
        self.port = free_port()
        self.zones = zones
        self.signed = signed
        self.forge = forge or {}
        self.anchors = []
        if signed and not shutil.which("ldns-signzone"):
            raise Skip("ldnsutils is not installed")
        self.process = None
        self.start()

    def start(self):
        conf = ["server:", "  ip-address: 127.0.0.1", "  port: %d" % self.port,
                '  username: ""', '  chroot: ""', '  zonesdir: "%s"' % self.dir,
                '  pidfile: ""', '  database: ""', '  zonelistfile: "%s/zone.list"' % self.dir,
                '  xfrdfile: "%s/xfrd.state"' % self.dir, '  xfrdir: "%s"' % self.dir,
                '  logfile: "%s/log"' % self.dir, "  server-count: 1",
                "remote-control:", "  control-enable: no"]
        for name, records in self.zones.items():
            with open(os.path.join(self.dir, name + ".zone"), "w") as f:
                f.write("$ORIGIN %s.\n$TTL 60\n@ IN SOA ns hostmaster 1 60 60 600 5\n"
                        "@ IN NS ns\nns IN A 127.0.0.1\n" % name)
                f.write("\n".join(records) + "\n")
            conf += ["zone:", '  name: "%s"' % name, '  zonefile: "%s.zone"' % name]
            if name in self.signed:
                self.sign(name)
        path = os.path.join(self.dir, "nsd.conf")
        with open(path, "w") as f:
            f.write("\n".join(conf) + "\n")
        self.process = subprocess.Popen([self.program, "-d", "-c", path],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        assert self.process.poll() is None, open(os.path.join(self.dir, "log")).read()

    def sign(self, name):
        key = _run(self.dir, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name).strip()
        _run(self.dir, "ldns-signzone", "-f", name + ".signed", name + ".zone", key)
        with open(os.path.join(self.dir, key + ".key")) as f:
            self.anchors.append(f.read().split(";")[0].strip())
        with open(os.path.join(self.dir, name + ".signed")) as f:
            text = f.read()
        with open(os.path.join(self.dir, name + ".zone"), "w") as f:
            f.write(self.forge.get(name, lambda t: t)(text))

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.stop()

    def conf(self):
        """Parameters that make a suite ask this server for the zones, and nobody else."""
        conf = {"dns_stub_zones": ", ".join("%s=127.0.0.1@%d" % (z, self.port)
                                            for z in self.zones)}
        if self.signed:
            path = os.path.join(self.dir, "anchors")
            with open(path, "w") as f:
                f.write("\n".join(self.anchors) + "\n")
            conf["dns_trust_anchor"] = path
        return conf
