# SPDX-License-Identifier: ISC
"""F3, F4: the disk is full, or a call fails, once or for good. 4xx, never a 250 without a record."""
import os
import subprocess
import tempfile
import time

import common
from common import LONG, QUICK, Inject, Load, arrived, check_arrived, check_queue, drained, \
    letter, one_pid, role_pids
from harness.smtp import Sink
from harness.suite import Skip, Suite, alive, wait_for

RCPTS = ("x%d@far.test", "alice@example.test", "y%d@near.test", "bob@example.test")


def relaying(sink, **more):
    return {**QUICK, "relayhost": "[127.0.0.1]:%d" % sink.port, "queue_segment_size": "1m",
            "smtpd_workers": "1", **more}


def faults(role, table, folder=None):
    """
    Each fault of the table strikes a process of that role under load. In the
    end everything acknowledged is there.
    """
    common.need_strace()
    with Sink() as sink, Suite(relaying(sink)) as s:
        load = Load(s, sessions=3, rcpts=RCPTS, pause=0.01)
        struck = 0
        for number, fault in enumerate(table):
            before = len(load.acked)
            pid = wait_for(role, lambda: role_pids(s, role), 20)[0]
            hits = strike(s, pid, fault, folder)
            struck += hits > 0
            wait_for("mail again after " + fault, lambda: len(load.acked) > before + 3, 25)
            print("  %s %s: %d hits%s" % (role, fault, hits, "" if alive(pid) else
                                          ", ended and was started again"))
            if number % 3 == 2:             # master's patience begins anew
                s.kill()
                s.start()
        load.stop()
        drained(s, 60)
        doubles = check_arrived(load, arrived(s, sink))
        check_queue(s)
        print("  %s: %d of %d faults struck, %d acknowledged, %d refused, %d duplicates" % (
            role, struck, len(table), len(load.acked), load.refused, doubles))
        assert struck >= len(table) * 2 // 3, "hardly any fault struck"


def strike(s, pid, fault, folder):
    path = None
    if folder:
        top = os.path.join(s.dir, folder)
        path = [top] + [os.path.join(w, n) for w, d, f in os.walk(top) for n in d + f]
    with Inject(pid, fault, path) as i:
        end = time.monotonic() + (1.0 if not LONG else 3.0)
        while time.monotonic() < end and alive(pid):
            time.sleep(0.05)
        return i.hits()


def test_F3_F4_faults_in_smtpd():
    faults("smtpd", ("fdatasync:error=EIO:when=2", "fdatasync:error=EIO:when=1+3",
                     "fdatasync:error=ENOSPC:when=2", "writev:error=ENOSPC:when=2",
                     "writev:error=EIO:when=1+2", "writev:error=EDQUOT:when=3",
                     "writev:retval=40:when=2", "writev:retval=8:when=1+4"), "spool/seg")


def test_F3_F4_faults_in_qmgr():
    faults("qmgr", ("fdatasync:error=EIO:when=3", "fsync:error=EIO:when=1",
                    "openat:error=EMFILE:when=1+2", "openat:error=ENOSPC:when=1",
                    "unlinkat:error=EIO:when=1+2", "pwrite64:error=EIO:when=1", "pwrite64:error=EIO:when=1..4",
                    "pwrite64:error=ENOSPC:when=1+2", "writev:error=ENOSPC:when=2",
                    "fallocate:error=ENOSPC:when=1", "pread64:error=EIO:when=2",
                    "pread64:error=EIO:when=1+3", "memfd_create:error=EMFILE:when=1+2"))


def test_F3_F4_faults_in_mailbox():
    faults("mailbox", ("syncfs:error=EIO:when=1", "syncfs:error=EIO:when=2",
                       "syncfs:error=EIO:when=1+3", "writev:error=ENOSPC:when=1+2",
                       "writev:error=EIO:when=2", "renameat:error=EIO:when=1+2",
                       "openat:error=EMFILE:when=2", "openat:error=ENOSPC:when=1+2"))


def test_F3_F4_faults_in_bounce():
    common.need_strace()
    with Sink({"rcpt": lambda session, line: "550 5.1.1 no such user"
               if "<bad" in line else None}) as sink, Suite(relaying(sink)) as s:
        s.send("bad@far.test", letter("TKwarm"))
        wanted = ["TKwarm"]
        for fault in ("fdatasync:error=EIO:when=1", "writev:error=ENOSPC:when=1",
                      "writev:retval=16:when=1"):
            with Inject(one_pid(s, "bounce"), fault,
                        [os.path.join(s.dir, "spool/seg", n)
                         for n in os.listdir(os.path.join(s.dir, "spool/seg"))]) as i:
                for n in range(3):
                    token = "TK%d%s" % (n, fault.split(":")[0] + str(len(wanted)))
                    s.send("bad@far.test", letter(token))
                    wanted.append(token)
                time.sleep(1)
                print("  bounce %s: %d hits" % (fault, i.hits()))
        drained(s)
        for token in wanted:
            n = sum(1 for m in sink.messages if m.sender == "" and
                    b"Subject: %s\r" % token.encode() in m.data)
            assert n == 1, "%d reports about %s" % (n, token)


def test_F4_sync_fails_once_is_written_anew():
    """The answer 250 behind a failed sync means another file, and it has the message."""
    common.need_strace()
    with Sink({"data": "451 4.3.0 later"}) as sink, Suite(relaying(sink)) as s:
        s.send("x@far.test", letter("TKwarm"))
        seg = os.path.join(s.dir, "spool/seg")
        with Inject(one_pid(s, "smtpd"), "fdatasync:error=EIO:when=1",
                    [os.path.join(seg, n) for n in os.listdir(seg)]) as i:
            with s.client() as c:
                c.ehlo()
                c.envelope("a@src.test", ["x@far.test"])
                code, text = c.data(letter("TKonce"))
            hits = i.hits()
        assert hits == 1, "the sync was never asked for"
        assert code == 250 or 400 <= code < 500, (code, text)
        if code != 250:
            return
        where = [n for n in os.listdir(seg)
                 if b"TKonce" in open(os.path.join(seg, n), "rb").read()]
        message = [m for m in s.queue() if m["size"] > 0 and
                   m["id"] == text.rsplit(" ", 1)[1]][0]
        assert len(where) == 2, "written to %s only" % where
        name = "%016d.seg" % message["segment"]
        assert name in where and name == max(where), (name, where)


def small_disk(size):
    path = tempfile.mkdtemp(prefix="postkeep-small-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=" + size, "none",
                       path]).returncode != 0:
        os.rmdir(path)
        raise Skip("no tmpfs can be mounted here")
    return path


def drop_disk(path):
    subprocess.run(["umount", "-l", path], check=False)
    os.rmdir(path)


def test_F3_queue_disk_full():
    """A queue on a small file system: 452 before the reserve is touched, deliveries go on."""
    common.need_root()
    spool = small_disk("16m")
    try:
        full(spool, "4m", False)
    finally:
        drop_disk(spool)


def test_F3_queue_disk_full_to_the_last_block():
    """Without a reserve the queue waits for room, and has everything when there is some."""
    common.need_root()
    spool = small_disk("12m")
    try:
        full(spool, "0", True)
    finally:
        drop_disk(spool)


def full(spool, minfree, grow):
    with Sink({"data": "451 4.3.0 later"}) as sink, Suite(relaying(
            sink, queue_directory=os.path.join(spool, "q"), queue_minfree=minfree,
            initial_destination_concurrency="1", destination_concurrency_limit="1")) as s:
        load = Load(s, sessions=3, rcpts=("x%d@far.test",), sizes=(20000, 40000), large=grow)
        wait_for("the disk is full", lambda: load.refused > 5 or len(load.problems) > 5, 60)
        time.sleep(1)
        load.stopping = True
        # With the disk still full: a crash.
        s.kill()
        load.stop()
        assert all(" 4" in p for p in load.problems), load.problems[:3]
        load.problems.clear()
        held = len(load.acked)
        if grow:
            subprocess.run(["mount", "-o", "remount,size=64m", spool], check=True)
        s.start()
        sink.script.pop("data")
        drained(s, 60)
        doubles = check_arrived(load, arrived(s, sink))
        s.send("x@far.test", letter("TKafter"))
        wait_for("mail afterwards", lambda: arrived(s, sink).get("TKafter"))
        check_queue(s)
        print("  minfree %s: %d acknowledged before the disk was full, %d refused, "
              "%d duplicates" % (minfree, held, load.refused, doubles))


def test_F3_store_disk_full():
    """A mail store without room: deferred, and delivered whole when there is some."""
    common.need_root()
    mail = small_disk("2m")
    try:
        with Sink() as sink, Suite(relaying(sink, virtual_mailbox_base=mail), start=False) as s:
            s.mail = mail
            import pwd
            try:
                owner = pwd.getpwnam("pk-vmail")
                os.chown(mail, owner.pw_uid, owner.pw_gid)
                os.chmod(mail, 0o700)
            except KeyError:
                pass
            s.start()
            load = Load(s, sessions=2, rcpts=RCPTS[1::2], sizes=(30000, 40000), pause=0.02)
            s.wait_log("status=deferred", 30)
            time.sleep(0.5)
            load.stop()
            subprocess.run(["mount", "-o", "remount,size=200m", mail], check=True)
            drained(s, 60)
            doubles = check_arrived(load, arrived(s, sink))
            for user in ("alice", "bob"):
                assert os.listdir(os.path.join(mail, user, "tmp")) == []
            print("  %d acknowledged, %d duplicates" % (len(load.acked), doubles))
    finally:
        drop_disk(mail)
