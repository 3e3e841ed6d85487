# SPDX-License-Identifier: ISC
"""
A disk as strict as POSIX allows: bytes are durable after fsync or fdatasync of
their file, names after fsync of their directory, both after syncfs. Whatever
else was written may be there after a power cut, or not, or in part (sectors
of 512 bytes), in any combination. One mercy: a rename is atomic.
"""
import os

SECTOR = 512


class File:
    """durable: bytes that survive; now: bytes as programs see them; pending: in between."""

    def __init__(self):
        self.durable, self.now, self.pending = bytearray(), bytearray(), []

    def write(self, seq, offset, data):
        end = offset + len(data)
        if end > len(self.now):
            self.now.extend(bytes(end - len(self.now)))
        self.now[offset:end] = data
        self.pending.append((seq, "write", offset, data))

    def truncate(self, seq, size):
        if size == len(self.now):
            return
        resize(self.now, size)
        self.pending.append((seq, "size", size, None))

    def sync(self, before):
        """Everything whose seq is below `before` becomes durable."""
        rest = []
        for op in self.pending:
            if op[0] < before:
                apply(self.durable, op)
            else:
                rest.append(op)
        self.pending = rest


def resize(data, size):
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def apply(data, op):
    _, kind, at, what = op
    if kind == "size":
        resize(data, at)
        return
    if at + len(what) > len(data):
        resize(data, at + len(what))
    data[at:at + len(what)] = what


class Name:
    """A change of a directory: name appears (node) or goes (node None)."""

    def __init__(self, seq, name, node, needs=None):
        self.seq, self.name, self.node = seq, name, node
        self.needs = needs              # a rename's other half: old name goes only with it
        self.durable = self.chosen = False


class Folder:
    def __init__(self):
        self.durable, self.now, self.pending = {}, {}, []

    def change(self, op):
        put(self.now, op)
        self.pending.append(op)

    def sync(self, before):
        rest = []
        for op in self.pending:
            if op.seq < before and (op.needs is None or op.needs.durable):
                put(self.durable, op)
                op.durable = True
            else:
                rest.append(op)
        self.pending = rest


def put(names, op):
    if op.node is None:
        names.pop(op.name, None)
    else:
        names[op.name] = op.node


class Disk:
    """One file system below `root`, which itself is there for certain."""

    def __init__(self, root):
        self.root_path = os.path.normpath(root)
        self.root = Folder()

    def has(self, path):
        return path == self.root_path or path.startswith(self.root_path + "/")

    def find(self, path):
        node = self.root
        for part in path[len(self.root_path):].split("/"):
            if part == "":
                continue
            if not isinstance(node, Folder) or part not in node.now:
                return None
            node = node.now[part]
        return node

    def parent(self, path):
        return self.find(os.path.dirname(path)), os.path.basename(path)

    def add(self, seq, path, node):
        folder, name = self.parent(path)
        assert isinstance(folder, Folder), "no folder for " + path
        folder.change(Name(seq, name, node))

    def remove(self, seq, path):
        folder, name = self.parent(path)
        if isinstance(folder, Folder) and name in folder.now:
            folder.change(Name(seq, name, None))

    def link(self, seq, old, new):
        node = self.find(old)
        assert node is not None, "link of " + old
        self.add(seq, new, node)

    def rename(self, seq, old, new):
        node = self.find(old)
        assert node is not None, "rename of " + old
        to, name = self.parent(new)
        came = Name(seq, name, node)
        to.change(came)
        source, name = self.parent(old)
        source.change(Name(seq, name, None, came))

    def walk(self, node=None):
        node = node or self.root
        yield node
        if isinstance(node, Folder):
            for child in list(node.now.values()):
                yield from self.walk(child)

    def sync_all(self, before):
        for node in self.walk():
            node.sync(before)

    def pending(self):
        return sum(len(n.pending) for n in self.walk())

    # ---- what a power cut leaves ----

    def state(self, rng, keep):
        """
        The tree after a cut: {name: bytes or dict}. keep: chance of each
        unsynced operation to be there (0: none, 1: all, whole and in order).
        """
        for node in self.walk():
            if isinstance(node, Folder):
                for op in node.pending:
                    op.chosen = keep >= 1 or (keep > 0 and rng.random() < keep)
        return self._folder(self.root, rng, keep)

    def _folder(self, folder, rng, keep):
        names = dict(folder.durable)
        for op in folder.pending:
            half = op.needs
            if (half.durable or half.chosen) if half is not None else op.chosen:
                put(names, op)
        return {n: (self._folder(v, rng, keep) if isinstance(v, Folder)
                    else self._file(v, rng, keep)) for n, v in names.items()}

    @staticmethod
    def _file(f, rng, keep):
        if not f.pending or keep <= 0:
            return bytes(f.durable)
        if keep >= 1:
            return bytes(f.now)
        data = bytearray(f.durable)
        for op in f.pending:
            if rng.random() >= keep:
                continue
            if op[1] == "write" and rng.random() < 0.4:
                torn(data, op, rng)
            else:
                apply(data, op)
        return bytes(data)


def torn(data, op, rng):
    """Some of its sectors only: the first few, any of them, or the size alone."""
    _, _, at, what = op
    kind = rng.randrange(3)
    end = at + len(what)
    if kind == 0:
        apply(data, (0, "write", at, what[:rng.randrange(len(what) + 1)]))
        return
    if end > len(data):
        resize(data, end)
    if kind == 2:
        return
    first = at - at % SECTOR
    for s in range(first, end, SECTOR):
        lo, hi = max(s, at), min(s + SECTOR, end)
        if rng.random() < 0.5:
            data[lo:hi] = what[lo - at:hi - at]


def materialise(tree, path):
    """Makes the tree below path, which is there."""
    for name, node in tree.items():
        p = os.path.join(path, name)
        if isinstance(node, dict):
            os.mkdir(p, 0o700)
            materialise(node, p)
        else:
            with open(p, "wb") as f:
                f.write(node)
