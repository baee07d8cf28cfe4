#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Limits of memory: sampled, and kept by the kernel where this machine lets
us make a control group."""
import json
import os
import re
import signal
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task as fake_task  # noqa: E402
from harness import (ZOO, Worker, case, check, descendants, eventually,  # noqa: E402
                     has_sanitizers, main, proc_read, read, same)

LIMIT_MB = 160 if has_sanitizers() else 64
OVER_MB = LIMIT_MB + 64
GROUPS = "/sys/fs/cgroup"


def worker(t, lines, heavy=f"memory_limit = {LIMIT_MB}M", more="", before=()):
    """avtoworkerd --local over those tasks."""
    tasks = t.write("tasks.jsonl",
                    "".join(json.dumps(x) + "\n" for x in lines))
    config = f"""
worker {{
    max_concurrent_tasks = 10
    {more}
}}
category heavy {{
    children = 3
    {heavy}
}}
module zoo {{
    file = "{ZOO}"
}}
"""
    return Worker(t, config, ["--local", tasks], before=before)


def task(task_id, kind, **params):
    return {"task_id": task_id, "type": kind, "params": params}


def results(w):
    return {r["task_id"]: r for r in map(json.loads, w.output().splitlines())}


def exhausted(result):
    same(result["status"], "failure", "status")
    same(result["error"]["code"], "RESOURCE_EXHAUSTED_ERROR", "code")
    return result["error"]["message"]


@case("a handler that eats too much is ended, {}, and nobody else",
      "by itself", "by what it has started")
def sampled(t, how):
    forked = how != "by itself"
    w = worker(t, [
        task("small", "eat", mb=1, ms=1500),
        task("big", "eat", mb=OVER_MB, forked=forked),
        task("slow", "slow", ms=1500),
        task("light", "echo"),
    ])
    same(w.wait(), 1, "exit status")
    got = results(w)
    same(len(got), 4, "results")
    text = exhausted(got["big"])
    check(re.search(rf"used more than memory_limit \({LIMIT_MB}M\): "
                    r"[\d.]+[MG]; sampled", text), text)
    same(got["big"]["error"]["details"]["cause"], "memory_limit", "cause")
    for name in ("small", "slow", "light"):
        same(got[name]["status"], "success", name)
    check(w.lines("memory_limit: sampled, best effort, because .*Delegate=") or
          w.lines("memory_limit: kept by the kernel"),
          "how limits are kept is not logged")
    t.no_strays()


@case("one that stays within its limit is left alone")
def within(t):
    w = worker(t, [task("some", "eat", mb=LIMIT_MB // 4, ms=1200)])
    same(w.wait(), 0, "exit status")
    same(results(w)["some"]["status"], "success", "status")


@case("without a limit nothing is said and nobody is looked at")
def unlimited(t):
    w = worker(t, [task("big", "eat", mb=OVER_MB, ms=700)], heavy="")
    same(w.wait(), 0, "exit status")
    same(results(w)["big"]["status"], "success", "status")
    same(w.lines("memory_limit"), [], "lines about it")


@case("children come before the supervisor when the machine runs out")
def score(t):
    gate = t.gate()
    w = worker(t, [task("a", "slow", gate=gate.path)])
    (_, pid), = gate.wait(1)
    own = int(proc_read(w.pid, "oom_score_adj"))
    same(int(proc_read(pid, "oom_score_adj")), min(own + 500, 1000),
         "oom_score_adj")
    gate.open()
    same(w.wait(), 0, "exit status")


@case("the supervisor has all the descriptors it may, its children what it "
      "was started with")
def descriptors(t):
    gate = t.gate()
    w = worker(t, [task("a", "slow", gate=gate.path)],
               before=["prlimit", "--nofile=300:2000"])
    (_, pid), = gate.wait(1)

    def limits(of):
        return re.search(r"Max open files +(\d+) +(\d+)",
                         proc_read(of, "limits")).groups()

    same(limits(w.pid), ("2000", "2000"), "limits of the supervisor")
    same(limits(pid), ("300", "2000"), "limits of a child")
    gate.open()
    same(w.wait(), 0, "exit status")


@case("no task is taken while memory is short, and the log says so")
def short(t):
    w = worker(t, [task("a", "echo")], more="min_free_memory = 1023G")
    w.wait_log(r"of memory are free, less than min_free_memory \(1023G\)")
    same(results(w), {}, "results")
    w.kill()


@case("while memory is short a worker is there, and asks for nothing")
def short_of_memory(t):
    fake = Fake()
    w = t.worker(fake.url, worker="min_free_memory = 1023G\n"
                 "    heartbeat_interval = 1s",
                 orchestrator="protocol = classic")
    fake.put(fake_task("a"))
    fake.wait_requests("heartbeat", 3)
    same(fake.of_kind("poll"), [], "polls")
    eventually(lambda: "short of memory" in proc_read(w.pid, "cmdline"),
               "the title tells it")
    path = t.path("worker.conf")
    text = read(path).replace("1023G", "1M")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    w.signal(signal.SIGHUP)
    same(fake.wait_result("a")["status"], "success", "status")
    w.drain()


# The kernel's own limit ----------------------------------------------------

def own_group():
    """A new control group of ours with a memory controller, and a reason why
    there is none."""
    lines = read("/proc/self/cgroup").splitlines()
    if len(lines) != 1 or not lines[0].startswith("0::/"):
        return None, "this machine uses control groups of version 1"
    above = GROUPS + lines[0][3:].rstrip("/")
    try:
        words = read(f"{above}/cgroup.subtree_control").split()
        if "memory" not in words:
            # Where we are cannot have limited groups below; beside it can.
            above = os.path.dirname(above)
            words = read(f"{above}/cgroup.subtree_control").split()
        if "memory" not in words or not above.startswith(GROUPS):
            return None, "the memory controller is not enabled for us"
        path = f"{above}/avtoworker-test-{os.getpid()}"
        os.mkdir(path)
    except OSError as e:
        return None, f"no control group can be made: {e}"
    return path, None


def can_have_a_group():
    path, reason = own_group()
    if path is not None:
        os.rmdir(path)
    return reason


def groups_below(path):
    return [x for x in os.listdir(path)
            if os.path.isdir(os.path.join(path, x))]


def in_group(t, function):
    """Runs function(path) with a group that is removed afterwards."""
    path, reason = own_group()
    check(path is not None, reason)
    try:
        function(path)
    finally:
        for p in t.programs:
            p.kill()
        for name in groups_below(path):
            eventually(lambda p=os.path.join(path, name): removed(p),
                       f"{name} can be removed")
        eventually(lambda: removed(path), "our group can be removed")


def removed(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def joining(path):
    return ["sh", "-c", f'echo 0 > "{path}/cgroup.procs" && exec "$@"', "sh"]


def kernel_kills(t):
    """The kernel ends a child that is over its limit, with all it started."""
    def run(path):
        os.mkdir(f"{path}/child-9")  # of an earlier run
        w = worker(t, [
            task("big", "eat", mb=OVER_MB, forked=True),
            task("slow", "slow", ms=1000),
        ], before=joining(path))
        same(w.wait(), 1, "exit status")
        got = results(w)
        text = exhausted(got["big"])
        check(re.search("was killed by the kernel for lack of memory "
                        rf"\(memory_limit {LIMIT_MB}M", text), text)
        same(got["big"]["error"]["details"]["cause"], "oom", "cause")
        same(got["slow"]["status"], "success", "the other")
        check(w.lines("memory_limit: kept by the kernel"), "it is not logged")
        same(groups_below(path), ["supervisor"], "groups that are left")

    in_group(t, run)


def each_in_its_own(t):
    """Each child is in a group of its own, and the supervisor in none of
    them."""
    def run(path):
        gate = t.gate()
        w = worker(t, [task("a", "slow", gate=gate.path)],
                   before=joining(path))
        (_, pid), = gate.wait(1)
        check("/supervisor" in proc_read(w.pid, "cgroup"), "of the supervisor")
        check("/child-" in proc_read(pid, "cgroup"), "of a child")
        limit = read(f"{GROUPS}{proc_read(pid, 'cgroup')[3:].strip()}"
                     "/memory.max")
        same(int(limit), LIMIT_MB << 20, "memory.max")
        gate.open()
        same(w.wait(), 0, "exit status")
        same(descendants(w.pid), [], "processes that are left")

    in_group(t, run)


REASON = can_have_a_group()
if REASON is None:
    case("the kernel ends what is over its limit, and it is proved")(
        kernel_kills)
    case("each child is in a control group of its own")(each_in_its_own)
else:
    @case(f"the kernel keeps the limit # SKIP {REASON}")
    def skipped(_t):
        pass


main()
