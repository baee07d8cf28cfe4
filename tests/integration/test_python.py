#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Worker scripts as users have them, under avtoworkerd, against the fake
orchestrator; test_examples_real.py has real ones."""
import json
import os
import re
import signal
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (SOURCE, TOKEN, Worker, case, check,  # noqa: E402
                     eventually, main, proc_read, read, same)

GUIDE = os.path.join(SOURCE, "python_guide.py")
SKILLS = os.path.join(SOURCE, "python_skills.py")
QUICK = {"PYTHONDONTWRITEBYTECODE": "1"}


def start(t, url, script, more="", **config):
    return t.worker(url, modules=(), env={**QUICK, "WORKER_TOKEN": TOKEN},
                    more=more +
                    f'python script {{ script = "{script}" }}\n', **config)


def local(t, text, tasks, conf="", name="worker.py"):
    """A script of our own on a list of tasks. Returns its worker, at its end,
    and the results by task type."""
    script = t.write(t.unused("script") + "-" + name, text)
    lines = t.write(t.unused("tasks"), "".join(
        json.dumps({"type": kind, "params": params}) + "\n"
        for kind, params in tasks))
    worker = Worker(t, conf + f'python p {{ script = "{script}" }}\n',
                    ["--local", lines], env=QUICK)
    worker.wait(200)
    results = [json.loads(line) for line in worker.output().splitlines()]
    return worker, {r["type"]: r for r in results}


PRELUDE = """
import asyncio, os, sys, time
from avtomatika_worker import Worker
worker = Worker()
"""


# The fake orchestrator -------------------------------------------------------

@case("every construct of the guide does what the guide says, {}",
      "classic", "rxon")
def guide(t, dialect):
    fake = Fake(classic=dialect == "classic")
    worker = start(t, fake.url, GUIDE)
    fake.put(task("upper", "upper", {"input": "abc"}))
    fake.put(task("about", "about"))
    fake.put(task("picture", "picture", {"width": 6, "height": 7, "x": 1}))
    fake.put(task("invalid", "picture", {"height": 7}))
    fake.put(task("clean", "clean", {"text": "12"}))
    fake.put(task("unclean", "clean", {"text": "x"}))
    fake.put(task("raises", "raises"))
    fake.put(task("slow", "slow"))
    result = fake.wait_result
    same(result("upper")["data"], {"result": "ABC"}, "upper")
    about = result("about")["data"]
    same({k: about[k] for k in ("task_id", "job_id", "token")},
         {"task_id": "about", "job_id": "job-about", "token": "withheld"},
         "about")
    same(about["opened"], f"once in {about['pid']}", "what set-up left")
    same(result("picture")["data"], {"pixels": 42}, "picture")
    same(result("invalid")["error"]["code"], "INVALID_INPUT_ERROR", "code")
    same(result("clean")["data"], {"number": 12}, "clean")
    same(result("unclean")["error"]["code"], "INVALID_INPUT_ERROR", "code")
    error = result("raises")["error"]
    same((error["code"], error["message"]), (
        "TRANSIENT_ERROR" if dialect == "classic" else
        "INTEGRITY_MISMATCH_ERROR", "required_field is missing"), "raises")
    same(result("slow")["error"]["message"], "Operation timed out", "slow")
    log = worker.log()
    line, = worker.lines("task about of job job-about")
    check(" - INFO - " in line and "task_id=about" in line, line)
    check("plain function for picture" in log, "what was printed is lost")
    line, = worker.lines("Traceback")
    check("ValueError: required_field is missing" in line, line)
    check(TOKEN not in log and "not-the-token" not in log,
          "a token is in the log")
    worker.drain()
    pids = worker.lines("after main of")
    check(pids, "what comes after main() was not run")
    check(not worker.lines("signal handler of the script"),
          "a signal handler of the script was called")


@case("a script alone is a whole worker, with its limits and resources")
def alone(t):
    fake = Fake()
    script = t.write("alone.py", PRELUDE.replace("Worker()", f"""Worker(
    orchestrator_url={fake.url!r}, worker_id="from-code",
    worker_token={TOKEN!r}, worker_type="svc", poll_interval=1,
    heartbeat_interval=30, task_type_limits={{"heavy": 2, "light": 10}},
    resources={{"cpu": 4, "memory_gb": 16, "gpu": True,
               "gpu_memory_gb": 8}})""") + """
running = 0
last = os.path.join(os.path.dirname(__file__), "running-")

@worker.task("heavy_one", task_type="heavy")
async def heavy_one(params):
    open(last + params["name"], "w").close()
    while not os.path.exists(params["gate"]):
        await asyncio.sleep(0.01)
    return {}

@worker.task("light_one", task_type="light")
async def light_one(params):
    return {"data": {"light": True}}
""")
    worker = Worker(t, argv=[script], env={**QUICK, "WORKER_TYPE": "env",
                                           "WORKER_ENABLE_METRICS": "no"})
    record = fake.wait_requests("register", 1)[0].json()
    same((record["worker_id"], record["worker_type"]), ("from-code", "env"),
         "who it is")
    same((record["resources"]["cpu_cores"],
          sorted(record["supported_tasks"])),
         (4, ["heavy_one", "light_one"]), "what it has")
    gate = t.path("gate")
    for i in range(4):
        fake.put(task(f"h-{i}", "heavy_one", {"gate": gate, "name": str(i)}))
    fake.put(task("l", "light_one"))
    same(fake.wait_result("l")["data"], {"light": True}, "light")
    begun = eventually(lambda: len([x for x in os.listdir(t.dir)
                                    if x.startswith("running-")]) >= 2,
                       "two heavy ones have begun")
    check(begun and len([x for x in os.listdir(t.dir)
                         if x.startswith("running-")]) == 2,
          "more than two heavy ones run")
    open(gate, "w", encoding="utf-8").close()
    for i in range(4):
        same(fake.wait_result(f"h-{i}")["status"], "success", f"h-{i}")
    check(TOKEN not in worker.log(), "the token is in the log")
    worker.wait_log("worker_type|WORKER_TYPE|type")
    worker.drain()


@case("every construct of the SDK's README works, with RXON")
def skills(t):
    fake = Fake(classic=False)
    worker = start(t, fake.url, SKILLS, worker="heartbeat_interval = 1s")
    fake.put(task("count", "count", {"text": "a b", "times": 2}))
    fake.put(task("bad", "count", {"times": 2}))
    fake.put(task("report", "report", {"text": "ёж"}))
    fake.put(task("delegate", "delegate", {}))
    fake.put(task("refuses", "refuses", {}))
    fake.put(task("blueprint", "blueprint", {}))
    result = fake.wait_result
    same(result("count")["data"], {"words": ["a", "b"] * 2}, "count")
    check("a middleware saw count" in worker.log(), "no middleware")
    error = result("bad")["error"]
    same((error["code"], '"text"' in error["message"]),
         ("INVALID_INPUT_ERROR", True), f"{error}")
    same(result("report")["data"]["text"], "ёж", "report")
    check("no such request" in result("delegate")["error"]["message"],
          "call_skill does not say why")
    same(result("refuses")["error"]["message"], "never good enough", "text")
    same(result("blueprint")["data"]["from"], "a blueprint", "blueprint")
    events = [r.json() for r in fake.wait_requests("event", 2)]
    same({e["event_type"]: e["payload"] for e in events},
         {"progress": {"progress": 0.5, "message": "half"},
          "counted": {"n": 4}}, "events")
    offer = {s["name"]: s for r in fake.of_kind("register")
             for s in r.json()["supported_skills"]}
    same(offer["count"]["input_schema"]["required"], ["text"], "schema")
    same(offer["count"]["description"], "Counts words.", "description")
    fake.put(task("waits", "waits"))
    eventually(lambda: len(fake.of_kind("event")) > 2, "waits has begun")
    fake.cancels.add("waits")
    same(result("waits")["status"], "cancelled", "status")
    worker.drain()


@case("what comes behind main() has stop_timeout, and is ended then")
def stop_timeout(t):
    text = PRELUDE + """
@worker.task("it")
def it(params):
    return {}

try:
    worker.run()
finally:
    time.sleep(SECONDS)
    print("all is put away")
"""
    for limit, seconds, done in (("60s", 0.5, True), ("200ms", 600, False)):
        worker, results = local(
            t, text.replace("SECONDS", str(seconds)), [("it", {})],
            f"category default {{ stop_timeout = {limit} }}\n")
        same(results["it"]["status"], "success", "status")
        same(bool(worker.lines("all is put away")), done, "the end")
        same(bool(worker.lines("did not leave within stop_timeout")),
             not done, f"killed with {limit}")


@case("a reload names the settings of a script that count after a restart")
def reload_settings(t):
    fake = Fake()
    text = PRELUDE.replace("Worker()", "Worker(TOLD)") + """
@worker.task("it")
def it(params):
    return {}

worker.run()
"""
    path = t.write("settings.py", text.replace(
        "TOLD", "max_concurrent_tasks=3, worker_type='a'"))
    worker = start(t, fake.url, path)
    fake.wait_requests("register", 1)
    worker.signal(signal.SIGHUP)
    worker.wait_log("reload: done")
    same(worker.lines("than at the start"), [], "lines without a change")
    t.write("settings.py", text.replace(
        "TOLD", "max_concurrent_tasks=4, worker_token='secret-one'"))
    worker.signal(signal.SIGHUP)
    worker.wait_log("reload: done", count=2)
    said = worker.lines("says something else of .* than at the start")
    same(sorted(re.search("of ([a-z._]+) than", x).group(1) for x in said),
         ["orchestrator.token", "worker.max_concurrent_tasks", "worker.type"],
         "settings")
    check("secret-one" not in worker.log(), "a token is in the log")
    worker.drain()


# What goes wrong -------------------------------------------------------------

@case("a script that cannot start is named, with its reason: {}",
      ("an import", "import no_such_module\n", "no_such_module"),
      ("no Worker", "x = 1\n", "makes no Worker"),
      ("two", PRELUDE + "Worker()\n", "makes a second Worker"),
      ("syntax", "def f(:\n", "SyntaxError"))
def cannot_start(t, _name, text, words):
    worker, results = local(t, text, [("it", {})])
    check(worker.process.returncode != 0, "exit status 0")
    same(results, {}, "results")
    check([x for x in worker.lines("avtoworkerd - ") if words in x],
          f"{words!r} is not in: {worker.log()}")
    check("_launch.py" not in worker.log(), "our own code is in the traceback")


@case("a script that does not import is no loss to the others, and is told of")
def broken_beside(t):
    broken = t.write("broken.py", "import no_such_module\n")
    tasks = t.write("tasks", "".join(json.dumps(
        {"type": k, "params": {}}) + "\n" for k in ("it", "lost")))
    worker = Worker(t, argv=["--local", tasks, broken, t.write(
        "good.py", PRELUDE + """
@worker.task("it")
async def it(params):
    return {"data": {"good": True}}
""")])
    same(worker.wait(), 1, "exit status")
    results = {r["type"]: r for r in
               map(json.loads, worker.output().splitlines())}
    same(results["it"]["data"], {"good": True}, "the other's")
    check(re.search(r'"lost".*python broken.*line 1: ModuleNotFoundError: No '
                    "module named 'no_such_module'",
                    results["lost"]["error"]["message"]), results["lost"])


@case("-t compiles scripts and runs nothing of them: {}",
      ("good", "raise SystemExit(7)\n", 0, "configuration OK"),
      ("bad", "x = 1\ndef f(:\n", 78, "SyntaxError: .*line 2"))
def compiles(t, name, text, status, words):
    os.makedirs(t.path("cwd/pack"))
    t.write("cwd/pack/__init__.py", "raise SystemExit(8)\n")
    for target in (t.write(f"{name}.py", text),
                   t.write(f"cwd/pack/{name}.py", text) and f"-m pack.{name}"):
        worker = Worker(t, f'python p {{ script = "{target}" }}\n',
                        ["-t", "--local", "-"])
        same(worker.wait(), status, f"exit status; {worker.log()}")
        check(re.search(words, worker.output() + worker.log()), worker.log())


@case("bad handlers cost their own task, and say what they did")
def bad_handlers(t):
    worker, results = local(t, PRELUDE + """
@worker.task("large")
def large(params):
    return {"data": {"v": "x" * 200_000_000}}

@worker.task("prints")
def prints(params):
    for _ in range(64):
        print("x" * (1 << 20))
    return {"data": {"printed": True}}

@worker.task("scalar")
def scalar(params):
    return 5

@worker.task("nan")
async def nan(params):
    return {"data": {"v": float("nan"), 1: "one", None: "none"}}

@worker.task("closes")
async def closes(params):
    os.closerange(3, 64)
    return {}

@worker.task("exits")
async def exits(params):
    sys.exit(3)

@worker.task("dies")
async def dies(params):
    os._exit(3)

@worker.task("crashes")
async def crashes(params):
    import ctypes
    ctypes.string_at(0)

@worker.task("good")
async def good(params):
    return {"data": {"good": True}}
""", [(k, {}) for k in ("large", "prints", "scalar", "nan", "closes", "exits",
                        "dies", "crashes", "good")],
                            "category default { children = 1 }\n")
    error = results["large"]["error"]
    check(error["code"] == "PERMANENT_ERROR" and
          re.search(r'"large".*2000000\d\d', error["message"]), error)
    same(results["prints"]["data"], {"printed": True}, "prints")
    error = results["scalar"]["error"]
    check(error["code"] == "CONTRACT_VIOLATION_ERROR" and
          '"scalar"' in error["message"], error)
    same(results["nan"]["data"], {"v": None, "1": "one", "null": "none"},
         "nan")
    same(results["closes"]["error"]["code"], "TRANSIENT_ERROR", "closes")
    check("sys.exit(3)" in results["exits"]["error"]["message"], "exits")
    check("exit" in results["dies"]["error"]["message"], results["dies"])
    line, = worker.lines("Fatal Python error")
    check("in crashes" in line, f"its traceback is one line: {line}")
    same(results["good"]["data"], {"good": True}, "good")
    check(len(worker.log()) < 20 << 20, "the log has all of it")


@case("the soft limit is CancelledError, the hard one is the end")
def limits(t):
    _, results = local(t, PRELUDE + """
@worker.task("async")
async def waits(params):
    await asyncio.sleep(600)

@worker.task("plain")
def spins(params):
    while True:
        time.sleep(0.001)

@worker.task("answers")
async def answers(params):
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        return {"data": {"so_far": 7}}

@worker.task("stuck")
async def stuck(params):
    while True:
        pass
""", [(k, {}) for k in ("async", "plain", "answers", "stuck")], """
category default {
    children = 4
    soft_time_limit = 500ms
    time_limit = 8s
}
""")
    for kind in ("async", "plain", "stuck"):
        same(results[kind]["error"]["code"], "TIMEOUT_ERROR", kind)
    same(results["async"]["error"]["message"], "stopped at its time limit",
         "what the handler let pass")
    check("stopped at" not in results["stuck"]["error"]["message"],
          results["stuck"])
    same(results["answers"]["data"], {"so_far": 7}, "answers")


@case("children that stop themselves cost no task, and are replaced")
def stops_itself(t):
    fake = Fake()
    script = t.write("stops.py", PRELUDE + """
@worker.task("it")
async def it(params):
    await worker.stop()
    return {"data": {"pid": os.getpid()}}
""")
    worker = start(t, fake.url, script,
                   args=["-o", "category/default.stop_timeout=60s"])
    for i in range(20):
        fake.put(task(f"t-{i}", "it"))
    pids = [fake.wait_result(f"t-{i}")["data"]["pid"] for i in range(20)]
    same(len(set(pids)), 20, "children")
    same(worker.lines("WARNING"), [], "warnings")
    worker.drain()


SEVERAL = PRELUDE + """
import logging
inside = 0

@worker.task("meet")
async def meet(params, task_id):
    global inside
    inside += 1
    if "begun" in params:
        open(params["begun"], "w").close()
    while inside < params["of"]:
        await asyncio.sleep(0.1)
    logging.getLogger("several").info("%s has met the others", task_id)
    return {"data": {"pid": os.getpid()}}

worker.run()
"""


def several(t, fake):
    """A worker whose one child has ten tasks at once."""
    script = t.write("several.py", SEVERAL)
    return t.worker(fake.url, modules=(), env=QUICK, more=f"""
category side {{
    children = 1
    tasks_per_child = 10
}}
python script {{
    script = "{script}"
    category = side
}}
""")


@case("ten tasks at once in one child")
def side_by_side(t):
    fake = Fake()
    worker = several(t, fake)
    names = [f"t-{i}" for i in range(10)]
    for name in names:
        fake.put(task(name, "meet", {"of": 10}))
    results = [fake.wait_result(name)["data"]["pid"] for name in names]
    same(len(set(results)), 1, "children")
    for name in names:
        line, = worker.lines(f"{name} has met the others")
        check(f"task_id={name} " in line + " ", line)
    worker.drain()


@case("a child that is killed loses all its tasks, and is replaced")
def loses_several(t):
    fake = Fake()
    worker = several(t, fake)
    fake.put(task("first", "meet", {"of": 1}))
    pid = fake.wait_result("first")["data"]["pid"]
    for name in ("a", "b", "c"):
        fake.put(task(name, "meet", {"of": 100, "begun": t.path(name)}))
    eventually(lambda: all(os.path.exists(t.path(name)) for name in "abc"),
               "all have begun")
    os.kill(pid, signal.SIGKILL)
    for name in ("a", "b", "c"):
        same(fake.wait_result(name)["error"]["code"], "TRANSIENT_ERROR", name)
    fake.put(task("next", "meet", {"of": 1}))
    check(fake.wait_result("next")["data"]["pid"] != pid, "the same child")
    worker.drain()


@case("processes that a handler starts end with its child")
def processes(t):
    fake = Fake()
    script = t.write("pools.py", PRELUDE + """
import concurrent.futures, multiprocessing, subprocess

def square(n):
    return n * n

@worker.task("pool")
async def pool(params):
    global executor, sleeper
    executor = concurrent.futures.ProcessPoolExecutor(
        2, mp_context=multiprocessing.get_context(params["method"]))
    sleeper = subprocess.Popen(["sleep", "1000"])
    loop = asyncio.get_running_loop()
    n = await loop.run_in_executor(executor, square, 7)
    return {"data": {"n": n}}

if __name__ == "__main__":
    worker.run()
""")
    worker = start(t, fake.url, script)
    for method in ("fork", "spawn"):
        fake.put(task(method, "pool", {"method": method}))
        same(fake.wait_result(method).get("data"), {"n": 49}, method)
    check([p for p in worker.children()
           if "sleep" in proc_read(p, "cmdline")], "nothing was started")
    worker.drain()


@case("a supervisor that is killed takes its scripts along")
def killed(t):
    fake = Fake()
    worker = start(t, fake.url, GUIDE)
    begun = t.path("begun")
    fake.put(task("sleeps", "sleeps", {"begun": begun,
                                       "gate": t.path("gate")}))
    eventually(lambda: os.path.exists(begun), "sleeps has begun")
    worker.signal(signal.SIGKILL)
    worker.wait()
    t.no_strays()
    check(read(begun) == "", "begun twice")


main()
