# SPDX-License-Identifier: ISC
"""F2: kill -9 at any instant. At least once what got 250; duplicates only of what was under way."""
import os
import random
import re
import signal
import time

import common
from common import (LONG, QUICK, Inject, Load, arrived, check_arrived, check_queue, drained,
                    letter, one_pid, role_pids)
from harness.smtp import Sink
from harness.suite import Suite, alive, wait_for

ROLES = ("smtpd", "qmgr", "smtp", "mailbox", "bounce", "lookupd", "dnsd", "logd")
RCPTS = ("x%d@far.test", "alice@example.test", "y%d@near.test", "bad%d@far.test",
         "bob@example.test")


def refuse_bad(session, line):
    return "550 5.1.1 no such user" if "<bad" in line else None


def relaying(sink, **more):
    return {**QUICK, "relayhost": "[127.0.0.1]:%d" % sink.port, **more}


def kill9(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def under_load(kill, seconds):
    """Load, kill(suite) again and again, then everything must come out."""
    kills = 0
    with Sink({"rcpt": refuse_bad}) as sink, Suite(relaying(sink)) as s:
        load = Load(s, sessions=4, rcpts=RCPTS, pause=0.01)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(random.uniform(0.05, 0.7))
            kills += kill(s)
        load.stop()
        drained(s, 60)
        got = arrived(s, sink)
        doubles = check_arrived(load, got, " after %d kills" % kills)
        check_queue(s)
        print("  %d kills, %d acknowledged, %d unanswered, %d refused, %d duplicates" % (
            kills, len(load.acked), len(load.unsure), load.refused, doubles))
        # What a process had in hand: a window of jobs a destination, and its reports.
        assert doubles <= kills * 60, "%d duplicates of %d kills" % (doubles, kills)
        assert len(load.acked) > 10 * seconds, "hardly anything went through"


def test_F2_kill_any_process_under_load():
    pids = {}

    def kill(s):
        role = random.choice(ROLES)
        pids[role] = role_pids(s, role) or pids.get(role, [])
        return sum(kill9(p) for p in pids[role][:1])
    under_load(kill, 600 if LONG else 20)


def test_F2_kill_master_under_load():
    def kill(s):
        kill9(s.process.pid)
        s.process.wait()
        s.start()
        return 1
    under_load(kill, 300 if LONG else 10)


def test_F2_new_master_while_old_children_live():
    """The session of an orphan must not get a 250 that nobody will ever look at."""
    with Sink() as sink, Suite(relaying(sink, smtpd_workers="1")) as s:
        s.send("x@far.test", letter("TKwarm"))
        with s.client() as c:
            c.ehlo()
            c.envelope("a@src.test", ["x@far.test"])
            kill9(s.process.pid)
            s.process.wait()
            s.start()
            try:
                code, _ = c.data(letter("TKlate"))
            except (OSError, EOFError, AssertionError):
                code = 0
        once(s, sink, "TKwarm")
        once(s, sink, "TKlate", 1 if code == 250 else 0)
        check_queue(s)


def test_F2_kill_all_at_once_under_load():
    def kill(s):
        s.kill()
        s.start()
        return 1
    under_load(kill, 300 if LONG else 10)


def at_calls(role, points, rounds):
    """The process dies in its n-th call of a kind, for each n."""
    common.need_strace()
    with Sink({"rcpt": refuse_bad}) as sink, Suite(relaying(
            sink, queue_segment_size="1m", smtpd_workers="1")) as s:
        load = Load(s, sessions=3, rcpts=RCPTS, pause=0.01)
        die_at_calls(s, sink, load, role, points, rounds)


def die_at_calls(s, sink, load, role, points, rounds):
    kills = 0
    for call in points:
        for n in rounds:
            # Not faster than master starts one that seems to be broken.
            pid = wait_for(role, lambda: role_pids(s, role), 20)[0]
            with Inject(pid, "%s:signal=KILL:when=%d" % (call, n)) as fault:
                try:
                    wait_for("death", lambda: not alive(pid) or
                             fault.process.poll() is not None, 2)
                    kills += 1
                    if kills % 3 == 0:      # master's patience begins anew
                        crash(s)
                except AssertionError:
                    pass            # it does not make that call so often
    load.stop()
    sink.script["rcpt"] = refuse_bad
    drained(s, 60)
    doubles = check_arrived(load, arrived(s, sink), " after %d kills of %s" % (kills, role))
    check_queue(s)
    print("  %s: %d kills, %d acknowledged, %d duplicates" % (
        role, kills, len(load.acked), doubles))
    assert kills > 0 and doubles <= kills * 60


N = range(1, 40, 3) if LONG else (1, 4)


def test_F2_kill_at_calls_of_smtpd():
    at_calls("smtpd", ("writev", "fdatasync", "sendmmsg", "recvmmsg"), N)


def test_F2_kill_at_calls_of_qmgr():
    at_calls("qmgr", ("fdatasync", "openat", "unlinkat", "write", "pwrite64", "fsync",
                      "sendmmsg"), N)


def test_F2_kill_at_calls_of_mailbox():
    at_calls("mailbox", ("syncfs", "renameat", "openat", "writev", "sendmmsg"), N)


def test_F2_kill_at_calls_of_bounce():
    at_calls("bounce", ("writev", "fdatasync", "sendmmsg"), N)


def test_F2_kill_qmgr_while_it_compacts():
    """Q15: half the mail waits while its segments are copied and given up under it."""
    common.need_strace()
    with Sink({"rcpt": common.refuse_slow}) as sink, Suite(relaying(
            sink, queue_segment_size="1m", **common.COMPACTING)) as s:
        load = Load(s, sessions=3, rcpts=("x%d@far.test", "slow%d@far.test"), pause=0.03,
                    sizes=(9000, 30000), large=False)
        s.wait_log("segment [0-9]+ compacted", 60)
        # It looks for a segment a second after its start: not earlier than that, mostly.
        die_at_calls(s, sink, load, "qmgr",
                     ("fdatasync", "fallocate", "write", "unlinkat", "openat"),
                     range(5, 150, 7) if LONG else (3, 50))
        times = len(set(re.findall(r"segment ([0-9]+) compacted", s.log())))
        print("  %d segments compacted" % times)
        assert times > 2


def test_F2_kill_all_during_thousands_of_messages():
    """The suite dies as a whole, ten times on the way to 5000 messages."""
    wanted, rounds = (5000, 10) if LONG else (300, 3)
    with Sink({"rcpt": refuse_bad}) as sink, Suite(relaying(sink)) as s:
        load = Load(s, sessions=8, rcpts=RCPTS)
        for n in range(1, rounds + 1):
            wait_for("%d messages" % (wanted * n // rounds),
                     lambda: len(load.acked) >= wanted * n // rounds, 300)
            crash(s)
        load.stop()
        drained(s, 240 if LONG else 60)
        doubles = check_arrived(load, arrived(s, sink), " after %d crashes" % rounds)
        check_queue(s)
        print("  %d crashes, %d acknowledged, %d unanswered, %d refused, %d duplicates" % (
            rounds, len(load.acked), len(load.unsure), load.refused, doubles))
        assert doubles <= rounds * 200, "%d duplicates of %d crashes" % (doubles, rounds)


def once(s, sink, token, least=1, most=1):
    drained(s)
    n = len(arrived(s, sink).get(token, []))
    assert least <= n <= most, "%s arrived %d times" % (token, n)


def crash(s):
    s.kill()
    s.start()


class Stopped:
    """A process that is held, so that a message stays in a state."""

    def __init__(self, s, role):
        self.pid = one_pid(s, role)

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        return self

    def __exit__(self, *a):
        try:
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def test_F2_states_Q0_to_Q3_not_answered():
    """Power off while content arrives, and while a sync is under way."""
    common.need_strace()
    with Sink() as sink, Suite(relaying(sink, smtpd_workers="1")) as s:
        c = s.client()
        c.ehlo()
        c.envelope("a@src.test", ["x@far.test"])
        c.expect(354, "DATA")
        c.raw(letter("TKq0")[:200])
        crash(s)
        s.send("x@far.test", letter("TKwarm"))
        c = s.client()
        c.ehlo()
        with Inject(one_pid(s, "smtpd"), "fdatasync:delay_enter=3000000:when=1"):
            c.envelope("a@src.test", ["x@far.test"])
            c.expect(354, "DATA")
            c.raw(letter("TKq2") + b".\r\n")
            time.sleep(0.7)
            s.kill()
        assert b"250" not in c.buf
        s.start()
        once(s, sink, "TKq0", 0, 0)
        once(s, sink, "TKq2", 0, 1)
        once(s, sink, "TKwarm")


def test_F2_states_Q4_Q5_durable_but_qmgr_does_not_know():
    with Sink() as sink, Suite(relaying(sink)) as s:
        s.send("x@far.test", letter("TKwarm"))
        with Stopped(s, "qmgr"):
            for n in range(5):
                s.send("x@far.test", letter("TKq5%d" % n))
            s.kill()
        s.start()
        for n in range(5):
            once(s, sink, "TKq5%d" % n)
        check_queue(s)


def test_F2_states_Q6_Q7_not_routed_yet():
    with Sink() as sink, Suite(relaying(sink)) as s:
        s.send("x@far.test", letter("TKwarm"))
        with s.client() as c:
            c.ehlo()
            # What smtpd asks of lookupd is asked before the stop.
            c.envelope("a@src.test", ["x@far.test"])
            with Stopped(s, "lookupd"):
                code, _ = c.data(letter("TKq6"))
                assert code == 250
                time.sleep(1.5)         # a checkpoint with the message in it
                s.kill()
        s.start()
        once(s, sink, "TKq6")
        with s.client() as c, Stopped(s, "lookupd"):
            c.ehlo()
            os.kill(one_pid(s, "qmgr"), signal.SIGKILL)
        s.send("x@far.test", letter("TKq7"))
        once(s, sink, "TKq7")


def test_F2_states_Q8_Q9_active_or_result_not_synced():
    """The one place for a duplicate: the next hop has it, we do not know for sure."""
    with Sink({"dot": "hang"}) as sink, Suite(relaying(sink)) as s:
        s.send("x@far.test", letter("TKq8"))
        wait_for("the dot", lambda: sink.hanging == 1)
        sink.script.pop("dot")
        for pid in role_pids(s, "smtp"):    # either of them may have it
            kill9(pid)
        once(s, sink, "TKq8")
        sink.script["dot"] = "hang"
        s.send("x@far.test", letter("TKq8b"))
        wait_for("the dot", lambda: sink.hanging == 2)
        sink.script.pop("dot")
        kill9(one_pid(s, "qmgr"))
        once(s, sink, "TKq8b", 1, 2)
        common.need_strace()
        with Inject(one_pid(s, "qmgr"), "fdatasync:delay_enter=3000000", None):
            s.send("x@far.test", letter("TKq9"))
            wait_for("delivery", lambda: arrived(s, sink).get("TKq9"))
            time.sleep(0.2)
            s.kill()
        s.start()
        once(s, sink, "TKq9", 1, 2)


def test_F2_states_Q10_Q13_finished_is_never_repeated():
    with Sink() as sink, Suite(relaying(sink)) as s:
        for n in range(20):
            s.send("x@far.test", letter("TKq10%d" % n))
        wait_for("deliveries", lambda: len(sink.messages) == 20)
        s.wait_log("removed(?s:.*removed){19}")
        crash(s)
        time.sleep(1.5)
        drained(s)
        for n in range(20):
            once(s, sink, "TKq10%d" % n)


def reports(sink, token):
    with sink.lock:
        return [m for m in sink.messages if m.sender == "" and token.encode() in m.data]


def test_F2_states_Q11_Q12_reported_once():
    with Sink({"rcpt": refuse_bad}) as sink, Suite(relaying(sink)) as s:
        with Stopped(s, "bounce") as held:
            s.send("bad@far.test", letter("TKq11"))
            s.wait_log("status=bounced")
            time.sleep(0.3)
            kill9(held.pid)
        wait_for("the report", lambda: reports(sink, "TKq11"))
        with Stopped(s, "bounce"):
            s.send("bad@far.test", letter("TKq12"))
            s.wait_log("status=bounced(?s:.*)status=bounced")
            time.sleep(0.3)
            s.kill()
        s.start()
        wait_for("the report", lambda: reports(sink, "TKq12"))
        drained(s)
        time.sleep(0.3)
        crash(s)
        drained(s)
        time.sleep(0.5)
        assert len(reports(sink, "TKq11")) == 1 and len(reports(sink, "TKq12")) == 1, \
            "%d and %d reports" % (len(reports(sink, "TKq11")), len(reports(sink, "TKq12")))


def test_F2_state_Q14_removal_of_a_segment():
    """Dies between the commit that gives a segment up and the unlink: nothing is sent twice."""
    common.need_strace()
    with Sink() as sink, Suite(relaying(sink)) as s:
        big = letter("TKbig", 200000)
        pid = one_pid(s, "qmgr")
        with Inject(pid, "unlinkat:signal=KILL:when=1", None):
            s.send("x@far.test", big)
            s.wait_log("removed")
            wait_for("death", lambda: not alive(pid))
        time.sleep(1)
        once(s, sink, "TKbig")
        crash(s)
        time.sleep(1)
        once(s, sink, "TKbig")
