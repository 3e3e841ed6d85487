# SPDX-License-Identifier: ISC
"""
Cuts the power at many places of a recording and looks at what is recovered.

At each cut: every queue id that was answered 250 is in the recovered queue
with its content, unless the next hop is known to have it; recovery does not
fail; a second recovery, after a crash in the first, and a third, behind the
first one's checkpoint, find the same.
"""
import os
import random
import re
import shutil
import subprocess
import tempfile

from .disk import materialise
from .replay import Replay

TOKEN = re.compile(rb"TK\w+")
# Chance of an unsynced operation to be on the disk: none, all, and in between.
KEEPS = (0, 1, 0.5, 0.15, 0.85)


class Recovered:
    def __init__(self, stdout, stderr, status):
        self.status, self.stderr = status, stderr
        self.messages, self.bad, self.ended = {}, {}, False
        at = 0
        while at < len(stdout):
            end = stdout.index(b"\n", at)
            words = stdout[at:end].split(b" ")
            at = end + 1
            if words[0] == b"MSG":
                size = int(words[5])
                self.messages[int(words[1], 16)] = stdout[at:at + size]
                at += size
            elif words[0] == b"BAD":
                self.bad[int(words[1], 16)] = b" ".join(words[2:]).decode("ascii", "replace")
            elif words[0] == b"END":
                self.ended = True


class Cutter:
    """
    recover: path of the program. contents: {token: bytes}, what was sent.
    stored(trees): tokens that the mail store has after the cut, whole.
    """

    def __init__(self, recover, contents, queue, stored=None, seed=1):
        self.recover, self.contents, self.queue = recover, contents, queue
        self.stored = stored or (lambda trees: set())
        self.rng = random.Random(seed)
        self.states = self.cuts = self.torn = 0
        self.resurrected = set()
        self.without_index = False      # F12: each state has lost its index as well
        self.problems = []
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.dir = tempfile.mkdtemp(prefix="postkeep-cut-", dir=base)

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def run_recover(self, path, *args):
        r = subprocess.run([self.recover, path, *args], capture_output=True, timeout=60)
        return Recovered(r.stdout, r.stderr.decode("utf-8", "replace"), r.returncode)

    def cut(self, replay, when, keep):
        """One power cut behind line `when` of the trace."""
        self.states += 1
        trees = [d.state(self.rng, keep) for d in replay.disks]
        path = os.path.join(self.dir, "q")
        shutil.rmtree(path, ignore_errors=True)
        os.mkdir(path)
        node = trees[0]
        for part in self.queue:
            node = node.get(part, {})
        if self.without_index:
            node = {k: v for k, v in node.items() if k != "index"}
        materialise(node, path)
        problem = self.check(replay, when, path, trees)
        if problem:
            kept = os.path.join(tempfile.gettempdir(), "postkeep-cut-%d" % self.states)
            shutil.rmtree(kept, ignore_errors=True)
            os.mkdir(kept)
            materialise(node, kept)
            self.problems.append("cut behind line %d, keep %g: %s (state kept in %s)" %
                                 (when, keep, problem, kept))

    def check(self, replay, when, path, trees):
        found = self.run_recover(path)
        problem = self.judge(replay, when, found, trees)
        if problem:
            return problem
        again = self.run_recover(path, "checkpoint")
        if again.messages != found.messages:
            return "a second recovery finds something else: " + self.differ(found, again)
        third = self.run_recover(path)
        if third.messages != found.messages:
            return "behind a checkpoint there is something else: " + self.differ(found, third)
        return None

    @staticmethod
    def differ(a, b):
        gone, new = set(a.messages) - set(b.messages), set(b.messages) - set(a.messages)
        return "gone %s, new %s: %s" % (["%X" % i for i in sorted(gone)][:5],
                                        ["%X" % i for i in sorted(new)][:5],
                                        b.stderr[-600:])

    def judge(self, replay, when, found, trees):
        if found.status != 0 or not found.ended:
            return "recovery ended with %d: %s" % (found.status, found.stderr[-800:])
        self.torn += len(found.bad)
        for i, why in found.bad.items():
            if why.startswith("index"):
                return "message %X cannot be loaded: %s" % (i, found.stderr[-500:])
            if replay.acked.get(i, when + 1) <= when:
                return "message %X was answered 250 and is damaged: %s: %s" % (
                    i, why, found.stderr[-500:])
        here = set()
        for i, content in found.messages.items():
            tokens = set(TOKEN.findall(content))
            here |= tokens
            token = replay.tokens.get(i)
            if token and content != self.contents[token]:
                return "message %X (%s) has other bytes" % (i, token.decode())
            if i in replay.removed and replay.removed[i] <= when:
                self.resurrected.add(i)
        here |= self.stored(trees)
        for i, said in replay.acked.items():
            token = replay.tokens[i]
            if said > when or i in found.messages or token in here or \
                    replay.taken.get(token, when + 1) <= when:
                continue
            return "message %X (%s) was answered 250 and is lost: %s" % (
                i, token.decode(), found.stderr[-800:])
        return None


def cut_everywhere(trace_path, roots, tokens, cutter, per_cut=3, most=1500, report=print):
    """
    tokens: {queue id: token}. Cuts behind every sync, and before it, with
    every second state chosen at random; thins the cuts out to `most` states.
    """
    scout = Replay(trace_path, roots)
    total = sum(1 for _ in scout.run())
    step = max(1.0, total * per_cut / most)
    replay = Replay(trace_path, roots, scout.calls)
    replay.tokens = tokens
    replay.acked, replay.taken, replay.removed = scout.acked, scout.taken, scout.removed
    missing = [i for i in replay.acked if i not in tokens]
    assert not missing, "250 for ids that no client was told: %r" % missing[:3]
    position, threshold = 0, 0.0
    for call, kind in replay.run():
        position += 1
        if position < threshold and kind != "sync":
            continue
        if position < threshold and cutter.rng.random() > 1 / step:
            continue
        threshold = position + step
        cutter.cuts += 1
        keeps = list(KEEPS[:2]) + [cutter.rng.choice(KEEPS[2:]) for _ in range(per_cut - 2)]
        for keep in keeps:
            cutter.cut(replay, call.end, keep)
        if len(cutter.problems) >= 3:
            break
    report("%d changes, %d syncs, %d acknowledged, %d passed on; %d cuts, %d states; "
           "%d torn records never acknowledged, %d finished ones back" % (
               replay.changes, replay.syncs, len(replay.acked), len(replay.taken),
               cutter.cuts, cutter.states, cutter.torn, len(cutter.resurrected)))
    return replay
