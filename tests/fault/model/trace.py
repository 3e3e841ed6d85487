# SPDX-License-Identifier: ISC
"""
What strace saw, as a list of events in their global order.

A write counts from the line on which its call returned; a sync covers what
had returned before the line on which the sync was called. Both are on the
safe side: the kernel may have done more, never less.
"""
import re

CALLS = ("open,openat,creat,write,writev,pwrite64,pwritev,pwritev2,lseek,ftruncate,"
         "truncate,fallocate,fsync,fdatasync,syncfs,sync,rename,renameat,renameat2,unlink,"
         "unlinkat,link,linkat,symlink,symlinkat,mkdir,mkdirat,rmdir,chroot,chdir,fchdir,"
         "clone,clone3,fork,vfork,read,readv,recvfrom,recvmsg,sendto,sendmsg,"
         "copy_file_range,splice,sendfile,mmap")

LINE = re.compile(r"^(\d+) +(.*)$", re.S)
UNFINISHED = re.compile(r"^(\w+)\((.*) <unfinished \.\.\.>$", re.S)
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.S)
WHOLE = re.compile(r"^(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)(.*)$", re.S)
FD = re.compile(r"^(-?\d+|AT_FDCWD)(?:<(.*)>(?:\(deleted\))?)?$", re.S)
BASE = re.compile(r'iov_base="((?:\\x[0-9a-f]{2})*)"')


class Call:
    """One system call: where it began and ended in the trace, its words, its result."""
    __slots__ = ("begin", "end", "tid", "name", "args", "result", "note")

    def __init__(self, begin, end, tid, name, args, result, note):
        self.begin, self.end, self.tid = begin, end, tid
        self.name, self.args, self.result, self.note = name, args, result, note


def split(text):
    """Arguments at the commas of the outermost level; strings hold only \\x escapes."""
    out, depth, start, quoted = [], 0, 0, False
    for m in re.finditer(r'["()\[\]{}<>,]', text):
        c, i = m.group(), m.start()
        if c == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif c in "([{<":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == ">":
            if text[i - 1:i] != "-":        # the arrow in <TCP:[a->b]>
                depth -= 1
        elif depth == 0:
            out.append(text[start:i].strip())
            start = i + 1
    out.append(text[start:].strip())
    return out


def unhex(text):
    return bytes.fromhex(text.replace("\\x", ""))


def string(arg):
    m = re.match(r'^"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?$', arg)
    if not m:
        return None
    assert not m.group(2), "strace cut a string short: give it a larger -s"
    return unhex(m.group(1))


def vector(arg):
    assert '"...' not in arg, "strace cut a vector short"
    return b"".join(unhex(m) for m in BASE.findall(arg))


def fd(arg):
    """(number or None for AT_FDCWD, what it is open on)."""
    m = FD.match(arg)
    if not m:
        return None, ""
    path = plain(m.group(2) or "")
    return (None if m.group(1) == "AT_FDCWD" else int(m.group(1))), path


def calls(path):
    """Every finished call of a trace, in the order of their ends."""
    pending, out = {}, []
    with open(path, encoding="ascii", errors="replace") as f:
        for number, line in enumerate(f):
            m = LINE.match(line.rstrip("\n"))
            if not m:
                continue
            tid, text = int(m.group(1)), m.group(2)
            u = UNFINISHED.match(text)
            if u:
                pending[tid] = (number, u.group(1) + "(" + u.group(2))
                continue
            begin = number
            r = RESUMED.match(text)
            if r:
                if tid not in pending:
                    continue
                begin, head = pending.pop(tid)
                text = head + r.group(2)
            w = WHOLE.match(text)
            if not w or w.group(3) == "?":
                continue
            result = int(w.group(3), 0)
            out.append(Call(begin, number, tid, w.group(1), split(w.group(2)), result,
                            w.group(4)))
    return out


def plain(text):
    """The path of an annotation; what strace adds for devices is left out."""
    m = re.match(r"(?:\\x[0-9a-f]{2})+", text)
    return unhex(m.group()).decode("utf-8", "surrogateescape") if m else text


def opened_path(call):
    """The path of what openat() returned: from the annotation behind the result."""
    m = re.match(r"^<(.*)>", call.note, re.S)
    return plain(m.group(1)) if m else None
