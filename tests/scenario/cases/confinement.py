# SPDX-License-Identifier: ISC
"""What the kernel says about each process, against ARCHITECTURE.md."""
import os
import re

from harness.suite import Skip, Suite, free_port

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")


def documented():
    """Rows of the confinement table: {role: (user, root, landlock, seccomp)}."""
    rows = {}
    with open(os.path.join(TOP, "ARCHITECTURE.md"), encoding="utf-8") as f:
        text = f.read().split("<!-- confinement -->")[1]
    for line in text.split("\n"):
        cells = [c.strip().strip("`") for c in line.strip().strip("|").split("|")]
        if len(cells) >= 5 and not set(cells[0]) <= set("- ") and cells[0] != "process":
            rows[cells[0]] = cells[1:5]
    return rows


def test_A24_table_is_true():
    if os.geteuid() != 0:
        raise Skip("an ordinary user runs in development mode")
    table = documented()
    port = free_port()
    with Suite({"submission_listener_class": "submission", "local_listener_class": "local",
                "listeners": "smtp:inet:127.0.0.1:%d, submission:inet:127.0.0.1:%d, "
                "local:inet:127.0.0.1:%d" % (port, free_port(), free_port())},
               start=False) as s:
        s.port = port
        s.start()
        seen = set()
        for p in s.admin("system", "confinement")["processes"]:
            role = p["role"]
            assert role in table, "%s is not in ARCHITECTURE.md" % role
            user, root, seccomp, landlock = table[role]
            seen.add(role)
            assert p["user"] == user, (role, p["user"], user)
            if root == "empty directory":
                assert p["root"].endswith("/empty"), (role, p["root"])
            elif root == "queue":
                assert p["root"] == s.conf["queue_directory"], (role, p["root"])
            elif root == "accounts":
                assert p["root"] == s.conf["data_directory"] + "/accounts", (role, p["root"])
            elif root == "mail store":
                assert p["root"] == s.mail, (role, p["root"])
            else:
                assert p["root"] == "/", (role, p["root"])
            assert bool(p["seccomp"]) == (seccomp == "yes"), role
            if landlock == "yes":
                assert p["landlock"], role
            if role != "master":
                assert p["no_new_privs"], role
                assert int(p["caps"] or "0", 16) == 0 if re.fullmatch(
                    r"[0-9a-fx]+", str(p["caps"])) else p["caps"] in ("", "none", None), p
        assert seen == set(table), (seen, set(table))


def test_A24_the_kernel_agrees():
    """The same facts read from /proc by the test itself."""
    if os.geteuid() != 0:
        raise Skip("an ordinary user runs in development mode")
    with Suite() as s:
        for p in s.processes():
            if p["role"] == "master":
                continue
            with open("/proc/%d/status" % p["pid"]) as f:
                status = dict(line.split(":\t", 1) for line in f.read().split("\n") if ":\t" in line)
            assert status["Seccomp"].strip() == "2", p
            assert status["NoNewPrivs"].strip() == "1", p
            assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0, p
            assert "0" not in status["Uid"].split(), p


def test_smtpd_has_no_file_and_no_door():
    if os.geteuid() != 0:
        raise Skip("an ordinary user runs in development mode")
    if Suite.sanitized():
        raise Skip("sanitizers keep standard error")
    with Suite() as s:
        s.send("alice@example.test", b"Subject: x\r\n\r\nx\r\n")
        for pid in s.pid_of("smtpd"):
            for fd in os.listdir("/proc/%d/fd" % pid):
                target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
                assert target.startswith(("socket:", "pipe:", "anon_inode:", "/dev/null",
                                          "/memfd:")) or \
                    "/seg/" in target or target.endswith("/spool/lock"), (pid, fd, target)
