#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A configuration that chance has broken: a check
says what is wrong, or finds it good without a word; a worker that is to read
what a check has refused stays as it was."""
import os
import random
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (CHILD, SEED, SOURCE, WORKER, case, check,  # noqa: E402
                     eventually, has_sanitizers, main, same)

EXAMPLE = os.path.join(SOURCE, os.pardir, os.pardir, "etc", "avtoworker.conf")
FILES = 60 if has_sanitizers() else 200
PIECES = (b"{", b"}", b'"', b"'", b"=", b"+=", b"#", b"/*", b"\\", b"\n",
          b"\0", b"\xff", b"\xef\xbb\xbf", b"${HOME}", b"-1", b"0x10", b"1e9",
          b"99999999999999999999", b"yes", b"10s", b"64M", b"category x {",
          b"include(\"*.none\")", b"include(", b"x" * 5000)


def examples():
    """Blocks of the example that any worker may have besides its own, with all
    their keys."""
    with open(EXAMPLE, encoding="utf-8") as f:
        text = f.read()
    found = re.findall(r"^#((?:resources|category \w+) \{\n(?:#.*\n)+?)#\}",
                       text, re.M)
    check(len(found) >= 2, "the example has no such blocks")
    text = "".join(re.sub("^#( +[a-z])", r"\1", block, flags=re.M) + "}\n"
                   for block in found)
    return re.sub(r"^category ", "category other_", text, flags=re.M)


def broken(rng, good):
    """A copy of it with a few changes, which need not make it wrong."""
    lines = good.splitlines(keepends=True)
    for _ in range(rng.randrange(1, 4)):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:  # another's value
            key, _, _ = lines[at].partition(b"=")
            lines[at] = key + b"=" + lines[other].rpartition(b"=")[2]
        elif kind == 4:  # another's key
            _, _, value = lines[at].partition(b"=")
            lines[at] = lines[other].partition(b"=")[0] + b"=" + value
        elif kind == 5:
            lines = b"".join(lines)[:rng.randrange(len(good))].splitlines(
                keepends=True) or [b"\n"]
        else:
            line = lines[at]
            where = rng.randrange(len(line))
            lines[at] = line[:where] + rng.choice(PIECES) + \
                line[where + rng.randrange(2):]
    return b"".join(lines)


def check_file(t, path, env):
    """Whether avtoworkerd -t refuses it."""
    done = subprocess.run([WORKER, "-t", "-c", path], env=env, cwd=t.path("cwd"),
                          capture_output=True, check=False, timeout=60)
    said = done.stderr.decode("utf-8", "replace")
    with open(path, "rb") as f:
        told = f"{path}: {f.read()!r}: {done.returncode}: {said}"
    check(done.returncode in (0, 78), told)
    # What is wrong with the file, or with what it names.
    wrong = re.findall("^avtoworkerd: .*|^.* - avtoworkerd - ERROR - .*", said,
                       re.M)
    check(bool(wrong) == (done.returncode == 78), told)
    return bool(wrong), any(re.search(r"\.conf:\d+: ", x) for x in wrong)


@case("{} files that chance has broken, checked and read again", FILES,
      limit=300)
def chance(t, count):
    print(f"# AVTOWORKER_SEED={SEED}", flush=True)
    rng = random.Random(SEED)
    fake = Fake()
    worker = t.worker(fake.url, light=2, heavy=1, more=examples())
    fake.wait_requests("register", 1)
    path = t.path("worker.conf")
    with open(path, "rb") as f:
        good = f.read()
    for n in range(count):
        with open(t.path(f"{n}.conf"), "wb") as f:
            f.write(broken(rng, good))
    env = {"PATH": os.environ["PATH"], "HOME": t.path("home"),
           "AVTOWORKER_CHILD": CHILD,
           "STATE_DIRECTORY": t.path("other-state")}
    names = [t.path(f"{n}.conf") for n in range(count)]
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda p: check_file(t, p, env), names))
    refused = [p for p, (is_wrong, _) in zip(names, verdicts) if is_wrong]
    print(f"# {len(refused)} refused, "
          f"{sum(with_line for _, with_line in verdicts)} with a line")
    check(len(refused) > count / 3, "hardly one of them is wrong")
    children = worker.wait_serving(2 + 1 + 1)
    for n, name in enumerate(refused, 1):
        os.replace(name, path)
        worker.signal(signal.SIGHUP)
        worker.wait_log("reload: .*nothing has changed", count=n)
    fake.put(task("t-1"))
    same(fake.wait_result("t-1")["status"], "success", "status")
    eventually(lambda: set(worker.children()) == children,
               "the children are the old ones alone")
    with open(path, "wb") as f:
        f.write(good)
    worker.signal(signal.SIGHUP)
    worker.wait_log("reload: done, generation 2 serves")
    worker.drain()


main()
