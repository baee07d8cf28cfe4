#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""One allocation fails, whoever makes it: each time another one, in the start,
the registration, a task, the drain. It costs the start, a request, or a task
that is to be run again, and is said; never a crash, a hang, or silence.

All places of the local mode are tried, of the rest a sample that chance takes:
NO_MEMORY_SAMPLE sets its size, 0 for all.
libConfuse is spared: it ends the process by itself, and is called with plenty of
memory only.
"""
import json
import os
import random
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (BUILD, SEED, TOKEN, Failed, Worker, case, check,  # noqa: E402
                     eventually, has_sanitizers, main, module)

SHIM = os.path.join(BUILD, "tests", "integration", ".libs", "fail_alloc.so")
SAMPLE = int(os.environ.get("NO_MEMORY_SAMPLE", "40"))
AT_ONCE = 3
TASKS = ("one", "two")
WORDS = re.compile("^avtoworkerd: | - (WARNING|ERROR) - ")


def environment(t, **more):
    return {"LD_PRELOAD": SHIM, "FAIL_ALLOC_BUT": "libconfuse",
            "STATE_DIRECTORY": t.path(t.unused("state")),
            "WORKER_TOKEN": TOKEN, **more}


def complaint(worker):
    """True when its log tells of trouble."""
    return any(WORDS.search(x) for x in worker.log().splitlines())


def judge(worker, status, results):
    """What is wrong with that end, or None."""
    if status < 0:
        return f"signal {-status}"
    if status != 0 and not complaint(worker):
        return f"status {status}, and not a word"
    for name in TASKS if status == 0 else ():
        result = results.get(name)
        if result is None and not complaint(worker):
            return f"task {name} is lost without a word"
        code = ((result or {}).get("error") or {}).get("code")
        if code not in (None, "TRANSIENT_ERROR"):
            return f"task {name} is {code}"
    if status == 0 and not results:
        return "no task got through"
    return None


def run_local(t, env):
    path = t.path("local.conf")
    tasks = t.path("tasks")
    worker = Worker(t, argv=["-c", path, "--local", tasks], env=env)
    status = worker.wait()
    results = {}
    for line in worker.output().splitlines():
        result = json.loads(line)
        results[result["task_id"]] = result
    return judge(worker, 0 if results and status > 0 else status, results)


def prepare_local(t):
    t.write("local.conf", f"""
module zoo {{
    file = "{module("zoo")}"
}}
""")
    t.write("tasks", "".join(json.dumps(
        {"task_id": x, "type": "echo", "params": {"n": 1}}) + "\n"
        for x in TASKS))


def run_served(t, env):
    fake = Fake(classic=False, poll_timeout=0.2)
    for name in TASKS:
        fake.put(task(name, "echo", {"n": 1}))
    config = t.config(fake.url, orchestrator="request_timeout = 2s", light=1,
                      heavy=1)
    worker = Worker(t, config.replace(
        t.path("state"), env["STATE_DIRECTORY"]), env=env)

    def over():
        # The last one may be what is lost, and said to be.
        return TASKS[-1] in fake.results or not worker.is_alive() or \
            (fake.results and not fake.tasks and complaint(worker))

    try:
        eventually(over, "the last task")
        if worker.is_alive():
            worker.signal(signal.SIGTERM)
        status = worker.wait()
    except Failed as e:
        return str(e)
    finally:
        fake.server.shutdown()
        fake.server.server_close()
    return judge(worker, status, {k: v[0] for k, v in fake.results.items()})


def explore(t, run, sample):
    """Runs it once to see where allocations come from, then once for each."""
    seen = t.path("stacks")
    trouble = run(t, environment(t, FAIL_ALLOC_LOG=seen))
    check(trouble is None, f"without a failure: {trouble}")
    with open(seen, encoding="ascii") as f:
        stacks = sorted(f.read().split())  # as the seed wants it
    check(len(stacks) > 100, f"{len(stacks)} stacks")
    if sample:
        stacks = random.Random(SEED).sample(stacks, min(sample, len(stacks)))
    print(f"# {len(stacks)} places, AVTOWORKER_SEED={SEED}")

    def one(stack):
        return stack, run(t, environment(t, FAIL_ALLOC_AT=stack))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = [f"{stack}: {text}"
                 for stack, text in threads.map(one, stacks) if text]
    check(not found, "; ".join(found))


@case("local mode survives it, or says that it does not", limit=1000)
def local(t):
    prepare_local(t)
    explore(t, run_local, 0)


@case("so does a worker of an orchestrator", limit=3000)
def served(t):
    explore(t, run_served, SAMPLE)


if has_sanitizers():
    print("1..0 # SKIP sanitizers have an allocator of their own")
else:
    main()
