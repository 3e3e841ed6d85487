# SPDX-License-Identifier: ISC
"""
How cases are run: each in a process of its own, several at once.

A case that failed among others runs once more alone, when the machine is
quiet; that verdict counts, and a note says what happened the first time.
"""
import argparse
import concurrent.futures
import contextlib
import glob
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import time
import traceback

from . import suite


def install(build):
    root = tempfile.mkdtemp(prefix="postkeep-root-")
    os.chmod(root, 0o755)
    subprocess.run(["make", "-s", "-C", build, "install", "DESTDIR=" + root],
                   check=True, stdout=subprocess.DEVNULL)
    return root


def load(path, prefix):
    """[(name, function)] of a file; prefix: the file's name stands before the case's."""
    name = os.path.basename(path)[:-3]
    spec = importlib.util.spec_from_file_location("case_" + name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [((name + "." if prefix else "") + n[5:], f) for n, f in vars(module).items()
            if n.startswith("test_") and callable(f)]


def one(name, function):
    """Runs a case here: its verdict and what it printed."""
    out = io.StringIO()
    began = time.monotonic()
    try:
        with contextlib.redirect_stdout(out):
            function()
        verdict = "ok %s" % name
    except suite.Skip as e:
        verdict = "skip %s: %s" % (name, e)
    except Exception as e:                      # a case may fail in any way
        why = str(e).split("\n")[0] or type(e).__name__
        verdict = "FAIL %s: %s: %s" % (name, type(e).__name__, why[:400])
        print(traceback.format_exc(), file=out)
    print("  %.1f s" % (time.monotonic() - began), file=out)
    return verdict, out.getvalue()


def in_child(script, name, path, seconds):
    """The same in a process: threads and files of a case end with it."""
    try:
        r = subprocess.run([sys.executable, script, "--one", name, "--installed",
                            suite.Suite.installed, path],
                           capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as e:
        return "FAIL %s: not done after %d s" % (name, seconds), str(e.stdout)[-3000:]
    lines = r.stdout.strip("\n").split("\n")
    verdict = lines[-1] if lines[-1].startswith(("ok ", "FAIL ", "skip ")) else \
        "FAIL %s: case ended without a verdict (exit %d)" % (name, r.returncode)
    return verdict, "\n".join(lines[:-1]) + r.stderr


def arguments(jobs):
    p = argparse.ArgumentParser()
    p.add_argument("--long", action="store_true", help="the big counts")
    p.add_argument("-k", default="", help="cases with this word in the name")
    p.add_argument("--installed", help="root of `make install DESTDIR=`")
    p.add_argument("--jobs", type=int, default=jobs)
    p.add_argument("--one")
    p.add_argument("files", nargs="*")
    return p.parse_args()


def say(verdict, out, figures):
    """The verdict; what a failed case printed, and of others the lines of figures."""
    bad = verdict.startswith("FAIL")
    print("".join(line + "\n" for line in out.split("\n")
                  if bad or (figures and line.startswith("  "))), end="")
    print(verdict, flush=True)


def main(script, a, prefix=True, figures=False, seconds=600, programs=()):
    """The whole of a `run` script; its exit status."""
    here = os.path.dirname(os.path.abspath(script))
    build = os.environ["BUILD"] = os.path.abspath(os.environ.get("BUILD", "build"))
    suite.Suite.installed = a.installed or install(build)
    files = a.files or sorted(glob.glob(os.path.join(here, "cases", "*.py")))
    cases = [(n, f, path) for path in files for n, f in load(path, prefix)]
    if a.one:
        verdict, out = next(one(n, f) for n, f, _ in cases if n == a.one)
        print(out)
        print(verdict)
        return 0
    if os.geteuid() == 0:
        subprocess.run([suite.Suite.path("libexec/postkeep/create-users")], check=True,
                       stdout=subprocess.DEVNULL)
    if programs:
        subprocess.run(["make", "-s", "-C", build, *programs], check=True,
                       stdout=subprocess.DEVNULL)
    wanted = [(n, path) for n, _, path in cases if a.k in n]
    again, failed = [], 0
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        for (n, path), (verdict, out) in zip(wanted, pool.map(
                lambda w: in_child(script, *w, seconds), wanted)):
            if verdict.startswith("FAIL"):
                again.append((n, path))
                print(out)
                print("note: " + verdict[5:] + " (tried again alone below)", flush=True)
            else:
                say(verdict, out, figures)
    for n, path in again:
        verdict, out = in_child(script, n, path, seconds)
        failed += verdict.startswith("FAIL")
        say(verdict, out, figures)
    return 1 if failed or not wanted else 0
