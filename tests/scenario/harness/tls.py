# SPDX-License-Identifier: ISC
"""
Keys and certificates for cases, made by the openssl command.

    ca = tls.make_ca(directory)
    c = tls.make_cert(["mail.example.test", "*.example.test"], kind="rsa", days=90, ca=ca)
    c.key, c.cert, c.chain, c.pem       files: key; leaf; leaf and CAs; key, leaf and CAs
    c.fingerprint                       sha256 of the leaf, "AA:BB:..." as openssl prints it

Kinds are rsa (2048), rsa1024, rsa3072, rsa4096, ec (P-256), ec384, ed25519. Days may be
below zero: a certificate whose time is over. Files are 0600, as administrators
keep keys.
"""
import os
import subprocess
import time

KINDS = {
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "rsa3072": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    "rsa4096": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ec384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "ec521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "ed25519": ["-algorithm", "ED25519"],
}

count = 0


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise AssertionError("openssl %s: %s" % (" ".join(args),
                                                 done.stderr.decode("utf-8", "replace")))
    return done.stdout


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data, mode=0o600):
    """As an ACME client does: a new file under the old name."""
    tmp = "%s.new" % path
    fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as f:
        f.write(data)
    os.chmod(tmp, mode)
    os.rename(tmp, path)


class Cert:
    """A key and its certificate; `issuer` is the Cert of the CA, None for a self-signed one."""

    def __init__(self, base, names, kind, issuer):
        self.base = base
        self.names = names
        self.kind = kind
        self.issuer = issuer
        self.key = base + ".key"
        self.cert = base + ".crt"
        self.chain = base + ".chain"
        self.pem = base + ".pem"

    def above(self):
        """The intermediate CAs, lowest first; a root is not sent."""
        out = b""
        ca = self.issuer
        while ca is not None and ca.issuer is not None:
            out += read(ca.cert)
            ca = ca.issuer
        return out

    def finish(self):
        write(self.chain, read(self.cert) + self.above(), 0o644)
        write(self.pem, read(self.key) + read(self.chain))
        text = openssl("x509", "-in", self.cert, "-noout", "-fingerprint", "-sha256")
        self.fingerprint = text.decode().strip().split("=", 1)[1]
        return self


def _stamp(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


def _new_base(directory, name):
    global count
    count += 1
    os.makedirs(directory, exist_ok=True)
    return os.path.join(directory, "%s-%d" % (name.strip("*.").replace("/", "_") or "cert", count))


def make_key(path, kind="ec"):
    write(path, openssl("genpkey", *KINDS[kind]))


def _sign(c, extensions, days, serial=None):
    """
    `openssl ca`, not `x509 -req`: the only command of OpenSSL 3.0 that takes
    dates, and so the only one that makes a certificate whose time is over.
    """
    work = c.base + ".ca.d"
    os.makedirs(work, exist_ok=True)
    with open(work + "/index", "w"):
        pass
    with open(work + "/serial", "w") as f:
        f.write("%s\n" % (serial or "7" + os.urandom(8).hex()[1:]))
    issuer = c.issuer or c
    with open(work + "/cnf", "w") as f:
        f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/serial\n"
                "new_certs_dir=%s\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
                "email_in_dn=no\nrand_serial=no\n[p]\ncommonName=optional\n"
                "[req]\ndistinguished_name=n\nprompt=no\n[n]\nCN=%s\n[x]\n%s\n"
                % (work, work, work, c.names[0][:60], "\n".join(extensions)))
    csr = work + "/csr"
    openssl("req", "-new", "-key", c.key, "-out", csr, "-config", work + "/cnf")
    now = time.time()
    start = now - 86400 if days > 0 else now + (days - 30) * 86400
    args = ["ca", "-batch", "-notext", "-config", work + "/cnf", "-in", csr,
            "-out", c.cert + ".tmp", "-extensions", "x", "-keyfile", issuer.key,
            "-startdate", _stamp(start), "-enddate", _stamp(now + days * 86400)]
    args += ["-selfsign"] if c.issuer is None else ["-cert", issuer.cert]
    if issuer.kind == "ed25519":
        args += ["-md", "null"]
    openssl(*args)
    write(c.cert, read(c.cert + ".tmp"), 0o644)


def make_ca(directory, name="Test CA", kind="ec", days=3650, ca=None):
    """A root, or below `ca` an intermediate CA."""
    c = Cert(_new_base(directory, name.replace(" ", "-")), [name], kind, ca)
    make_key(c.key, kind)
    _sign(c, ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",
              "subjectKeyIdentifier=hash"], days)
    return c.finish()


def make_cert(names, kind="ec", days=90, ca=None, directory=None, usage="serverAuth,clientAuth",
              extensions=(), key=None, serial=None):
    """
    names: DNS names, the first is also the common name. ca None: self-signed,
    then a directory must be given. usage: extendedKeyUsage, None for none.
    key: file of a key that is there already.
    """
    if isinstance(names, str):
        names = [names]
    directory = directory or os.path.dirname(ca.base)
    c = Cert(_new_base(directory, names[0]), list(names), kind, ca)
    if key is not None:
        write(c.key, read(key))
    else:
        make_key(c.key, kind)
    lines = ["basicConstraints=critical,CA:FALSE", "subjectKeyIdentifier=hash",
             "subjectAltName=%s" % ",".join("DNS:" + n for n in names)]
    if usage:
        lines.append("extendedKeyUsage=" + usage)
    _sign(c, lines + list(extensions), days, serial)
    return c.finish()
