# SPDX-License-Identifier: ISC
"""F1, F4, F5: the power goes at any instant; what was answered 250 is there."""
import os
import re
import shutil
import subprocess
import tempfile
import time

import common
from common import LONG, Load, TracedSuite, drained, tokens_taken
from harness.smtp import Sink
from harness.suite import Suite, wait_for
from model import cut, trace


def workload_letter(n):
    """What tests/fault/workload.c sends as message n."""
    size = 150000 if n % 17 == 16 else 200 + n * 7919 % 3000
    body = b"Subject: TK%d\r\n\r\n" % n
    while len(body) < size:
        body += b"line at %d of message %d\r\n" % (len(body), n)
    return body


def verdict(cutter):
    try:
        assert not cutter.problems, cutter.problems[0]
        # Both faults at once may repeat what was in a segment under removal: its
        # notes were not worth a file.
        assert cutter.without_index or not cutter.resurrected, "%d messages whose end was logged were back: %X" % (
            len(cutter.resurrected), min(cutter.resurrected))
    finally:
        cutter.close()


def say(text):
    print("  " + text)


def test_F1_F5_power_cut_of_writer_and_store():
    """The writer, the journal, the checkpoints alone: many cuts in little time."""
    workload_cuts(range(20 if LONG else 2), 700, False)


def workload_cuts(seeds, most, without_index):
    common.need_strace()
    for seed in seeds:
        queue = tempfile.mkdtemp(prefix="postkeep-cut-")
        trace_file = queue + ".trace"
        try:
            r = subprocess.run(
                ["strace", "-f", "--seccomp-bpf", "-yy", "-xx", "-v", "-s", "1000000", "-e",
                 "trace=" + trace.CALLS, "-o", trace_file, common.program("workload"), queue,
                 "400", str(seed)], capture_output=True, timeout=120, check=True)
            tokens = {int(a, 16): b for a, b in
                      re.findall(rb"queued as ([0-9A-F]+) for (TK\d+)", r.stdout)}
            contents = {b"TK%d" % i: workload_letter(i) for i in range(400)}
            cutter = cut.Cutter(common.program("recover"), contents, (), seed=seed)
            cutter.without_index = without_index
            cut.cut_everywhere(trace_file, [queue], tokens, cutter,
                               most=5000 if LONG else most, report=say)
            verdict(cutter)
        finally:
            shutil.rmtree(queue, ignore_errors=True)
            if os.path.exists(trace_file):
                os.unlink(trace_file)


def test_F12_power_cut_and_index_lost():
    """Segments, notes and journal alone: nothing is lost."""
    workload_cuts(range(100, 110 if LONG else 101), 300, True)


def record(conf, rcpts, count):
    """A suite under load until `count` were acknowledged; then the switch."""
    s = TracedSuite({**common.QUICK, "queue_segment_size": "1m", **conf})
    try:
        load = Load(s, sessions=3, rcpts=rcpts, sizes=(400, 2500), pause=0.03)
        wait_for("%d messages" % count, lambda: len(load.acked) >= count, 60)
        time.sleep(1.2)                 # a checkpoint or two under load
        load.stop()
        time.sleep(2.5)                 # removals, with nothing new coming in
    finally:
        s.finish()
    return s, load


def stored(contents):
    """For a mail store: the tokens whose file in new/ is whole."""
    def look(trees):
        out = set()
        for user in trees[0].get("mail", {}).values():
            for data in user.get("new", {}).values():
                wire = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                m = re.search(rb"Subject: (TK\w+)\r\n", wire)
                if m and contents.get(m.group(1), b"\0") in wire:
                    out.add(m.group(1))
        return out
    return look


def power_cut(rcpts, with_store, count, conf=None, wanted=None):
    """`wanted`: a line the log must have, else the recording does not show what it is for."""
    common.need_strace()
    with tokens_taken(Sink({"rcpt": common.refuse_slow})) as sink:
        s, load = record({"relayhost": "[127.0.0.1]:%d" % sink.port, **(conf or {})}, rcpts,
                         count)
        try:
            found = re.findall(wanted or "queue", s.log())
            assert found or not wanted, "no \"%s\" in the log" % wanted
            if wanted:
                say("%d times \"%s\"" % (len(found), wanted))
            tokens = {i: t.encode() for i, t in load.ids.items()}
            contents = {t.encode(): b for t, b in {**load.acked, **load.unsure}.items()}
            cutter = cut.Cutter(common.program("recover"), contents, ("spool",),
                                stored(contents) if with_store else None)
            cut.cut_everywhere(s.trace, [s.dir], tokens, cutter, most=6000 if LONG else 700,
                               report=say)
            verdict(cutter)
        finally:
            s.clean()


def test_F1_F5_power_cut_of_the_suite():
    power_cut(("x%d@far.test", "y%d@far.test", "bad%d@far.test"), False, 2000 if LONG else 150)


def test_F1_F5_power_cut_of_the_mail_store():
    power_cut(("alice@example.test", "bob@example.test"), True, 2000 if LONG else 120)


def test_F1_F5_power_cut_while_segments_are_compacted():
    """Q15: what is left of a segment is in one place or the other, whole, and only once."""
    power_cut(("x%d@far.test", "slow%d@far.test", "y%d@far.test"), False,
              3000 if LONG else 400, common.COMPACTING, "segment [0-9]+ compacted")


def test_F1_suite_starts_after_power_cut():
    """A few of the states with the suite started on them: everything is delivered."""
    common.need_strace()
    with tokens_taken(Sink({"data": "451 4.3.0 later"})) as sink:
        s, load = record({"relayhost": "[127.0.0.1]:%d" % sink.port},
                         ("x%d@far.test", "y%d@far.test"), 100)
        try:
            sink.script.pop("data")
            states(s, load, sink)
        finally:
            s.clean()


def states(s, load, sink):
    scout = cut.Replay(s.trace, [s.dir])
    total = sum(1 for _ in scout.run())
    replay = cut.Replay(s.trace, [s.dir], scout.calls)
    rng = cut.random.Random(4)
    at = {total * k // 8 for k in ((3, 5, 8) if not LONG else range(1, 9))}
    for position, (call, _) in enumerate(replay.run(), 1):
        if position not in at:
            continue
        tree = replay.disks[0].state(rng, rng.choice((0, 0.5)))["spool"]
        promised = {t: load.acked[t] for i, t in load.ids.items()
                    if scout.acked.get(i, call.end + 1) <= call.end}
        start_on(tree, promised, s, sink)


def start_on(tree, promised, recorded, sink):
    sink.messages.clear()
    conf = {k: v for k, v in recorded.conf.items()
            if k in ("relayhost", "queue_segment_size") or k in common.QUICK}
    with Suite(conf) as t:
        t.stop()
        spool = os.path.join(t.dir, "spool")
        top, owner = os.stat(spool), os.stat(os.path.join(spool, "seg"))
        shutil.rmtree(spool)
        os.mkdir(spool)
        os.chown(spool, top.st_uid, top.st_gid)
        os.chmod(spool, top.st_mode & 0o7777)
        cut.materialise(tree, spool)
        for where, folders, files in os.walk(spool):
            for name in folders + files:
                os.chown(os.path.join(where, name), owner.st_uid, owner.st_gid)
        t.start()
        drained(t)
        got = common.arrived(t, sink)
        lost = [x for x in promised if x not in got]
        assert not lost, "%d of %d acknowledged are lost: %s" % (
            len(lost), len(promised), lost[:5])
        common.check_queue(t)
        say("%d acknowledged before the cut, %d arrived" % (len(promised), len(got)))
