#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Local mode: tasks from a file or stdin, results on stdout."""
import json
import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

from harness import (CHILD, SOON, WORKER, ZOO, Failed, Worker,  # noqa: E402
                     case, check, descendants, eventually, main, module,
                     same)

SUCCESS, SOME_FAILED, USAGE, CONFIG = 0, 1, 64, 78


class Run:
    """One run of avtoworkerd --local, to its end."""

    def __init__(self, t, lines, args=(), limit=60):
        text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n"
                       for x in lines)
        path = t.write(t.unused("tasks.jsonl"), text)
        worker = Worker(t, argv=["--local", path, *args, ZOO])
        self.status = worker.wait(limit)
        self.log = worker.log()
        self.results = parse(worker.output())
        t.no_strays()

    def of(self, task_id):
        found = [r for r in self.results if r.get("task_id") == task_id]
        check(len(found) == 1, f"{len(found)} results of {task_id}")
        return found[0]


def parse(output):
    """Every line of standard output must be one JSON object."""
    results = []
    for line in output.splitlines():
        try:
            results.append(json.loads(line))
        except ValueError:
            raise Failed(f"not JSON on standard output: {line}") from None
        check(isinstance(results[-1], dict), f"no object: {line}")
    return results


def one(t, *args, status=0, limit=60):
    """The result of --task, and the log."""
    worker = Worker(t, argv=[*args, ZOO])
    same(worker.wait(limit), status, "exit status")
    return parse(worker.output()), worker.log()


@case("--task runs one task")
def one_task(t):
    results, _log = one(t, "--task", "echo", "--params",
                        '{"text":\n "\u0451\u0436", "big": 1%s}' % ("0" * 30))
    same(len(results), 1, "results")
    same((results[0]["status"], results[0]["data"]["echo"]),
         ("success", {"text": "\u0451\u0436", "big": 10 ** 30}), "result")
    same(one(t, "--task", "echo")[0][0]["data"]["echo"], {}, "no params")
    same(one(t, "--task", "fail", status=SOME_FAILED)[0][0]["status"],
         "failure", "failure")
    result = one(t, "--task", "no such", status=SOME_FAILED)[0][0]
    same(result["error"]["code"], "INVALID_INPUT_ERROR", "malformed type")
    for args, part in ((["--task", "echo", "--params", "{"], "--params: "),
                       (["--params", "{}"], "goes with --task"),
                       (["--task", "echo", "--local", "-"], "not with --local"),
                       (["-d", "--task", "echo"], "-d: ")):
        results, log = one(t, *args, status=USAGE)
        check(part in log and not results, log)


def task(task_id, kind="echo", **params):
    return {"task_id": task_id, "type": kind, "params": params}


@case("a result is one line, whatever an executable prints")
def one_line(t):
    path = t.write("pretty.sh", """#!/bin/sh
printf '{\\r\\n  "a": "x\\\\ny",\\n  "b": 1\\n}\\n'
""")
    os.chmod(path, 0o755)
    results, _log = one(t, "--task", "pretty", path)
    same(results[0]["data"], {"a": "x\ny", "b": 1}, "data")


@case("runs a file of tasks and writes a result for each")
def file_of_tasks(t):
    run = Run(t, [
        task("a", text="ёж", big=2 ** 70, none=None),
        dict(task("b", "upper", text="loud"), job_id="job-7"),
        {"type": "upper", "params": {"text": "no id"}},
        {"type": "echo"},
        "",
        "   ",
    ])
    same(run.status, SUCCESS, "exit status")
    same(len(run.results), 4, "results")
    a = run.of("a")
    same(a["status"], "success", "status")
    same(a["type"], "echo", "type")
    same(a["data"]["echo"], {"text": "ёж", "big": 2 ** 70, "none": None},
         "params given back")
    same(run.of("b")["data"], {"text": "LOUD"}, "data")
    same(run.of("b")["job_id"], "job-7", "job id")
    ids = [r["task_id"] for r in run.results]
    same(len(set(ids)), 4, "different task ids")


@case("exits with 1 when one task failed, and reports why")
def one_failed(t):
    run = Run(t, [
        task("good"),
        task("bad", "fail", code="OUT_OF_PAPER", message="tray 2"),
        task("worse", "upper", text=1),
        task("forgot", "no_result"),
        task("again", "retry_me"),
    ])
    same(run.status, SOME_FAILED, "exit status")
    same(run.of("good")["status"], "success", "status of good")
    bad = run.of("bad")
    same(bad["status"], "failure", "status of bad")
    same(bad["error"]["code"], "OUT_OF_PAPER", "code")
    same(bad["error"]["message"], "tray 2", "message")
    same(run.of("worse")["error"]["code"], "INVALID_INPUT_ERROR", "code")
    same(run.of("forgot")["error"]["code"], "TRANSIENT_ERROR", "code")
    check(run.of("again")["status"] in ("retry", "failure"),
          f"retry: {run.of('again')}")
    check("NOT_YET" in json.dumps(run.of("again")),
          f"retry: {run.of('again')}")


@case("answers a line that is no task with its number, and goes on: {}",
      ("not JSON", "not json at all"),
      ("half an object", '{"type": "echo"'),
      ("no type", '{"task_id": "x", "params": {}}'),
      ("type not a string", '{"type": 7, "params": {}}'),
      ("params not an object", '{"type": "echo", "params": [1]}'),
      ("a list", '["echo"]'),
      ("duplicate keys", '{"type": "echo", "params": {"a": 1, "a": 2}}'),
      ("trailing bytes", '{"type": "echo"} {"type": "echo"}'),
      ("bad UTF-8 escape", '{"type": "echo", "params": {"a": "\\ud800"}}'),
      ("task id with a slash", '{"task_id": "../x", "type": "echo"}'),
      ("a type too long", '{"type": "%s"}' % ("x" * 5000)),
      ("very deep", '{"type": "echo", "params": {"a": %s1%s}}'
       % ("[" * 5000, "]" * 5000)))
def bad_line(t, _name, line):
    run = Run(t, [task("first"), "", line, task("last")])
    same(run.status, SOME_FAILED, "exit status")
    same(run.of("first")["status"], "success", "the line before")
    same(run.of("last")["status"], "success", "the line after")
    failures = [r for r in run.results if r["status"] != "success"]
    lines = [x for x in run.log.splitlines()
             if "ERROR" in x or "WARNING" in x]
    same(len(run.results), 2 + len(failures), "results")
    check(len(failures) == 1 or lines, "nothing is said")
    said = json.dumps(failures) + "\n".join(lines)
    check(re.search(r"(line |:)3\b", said), f"no line number: {said}")


@case("a type that no handler has fails, and those that there are are named")
def unknown_type(t):
    run = Run(t, [task("x", "no_such_type"), task("y")])
    same(run.status, SOME_FAILED, "exit status")
    x = run.of("x")
    same(x["status"], "failure", "status")
    same(x["type"], "no_such_type", "type")
    check(re.search(r'no handler of type "no_such_type"; there are: .*, echo,',
                    x["error"]["message"]), f"message: {x}")
    same(run.of("y")["status"], "success", "the other one")


@case("a duplicate task id does not disturb")
def same_id(t):
    run = Run(t, [task("x", n=1), task("x", n=2), task("y")])
    same(run.of("y")["status"], "success", "the other one")
    check(1 <= len([r for r in run.results if r["task_id"] == "x"]) <= 2,
          f"results: {run.results}")


@case("a crash is the result of its task alone, with what is known: {}",
      ("signal", "crash", {"signal": int(signal.SIGSEGV)},
       signal.SIGSEGV, None),
      ("kill", "crash", {"signal": int(signal.SIGKILL)},
       signal.SIGKILL, None),
      ("exit", "exit_now", {"status": 3}, None, 3),
      ("exit 0", "exit_now", {"status": 0}, None, 0))
def crash(t, _name, kind, params, number, status):
    after = [task(f"after-{i}", "slow", name=str(i)) for i in range(5)]
    run = Run(t, [task("dead", kind, **params), *after])
    same(run.status, SOME_FAILED, "exit status")
    dead = run.of("dead")
    same(dead["status"], "failure", "status")
    same(dead["error"]["code"], "TRANSIENT_ERROR", "code")
    details = dead["error"]["details"]
    same(details["signal"], number, "signal")
    same(details["exit_status"], status, "exit status of the child")
    same(details["core"], False, "core")
    check(details["max_rss_kb"] > 0, f"max_rss_kb: {details}")
    check(details["child_pid"] > 1, f"child_pid: {details}")
    for i in range(5):
        same(run.of(f"after-{i}")["status"], "success", "a task after it")


@case("a child that closes its channel is ended, and its task answered")
def hang_up(t):
    run = Run(t, [task("dead", "hang_up"), task("other"),
                  task("after", "slow", name="x")])
    dead = run.of("dead")
    same(dead["error"]["code"], "TRANSIENT_ERROR", "code")
    check("closed its channel" in dead["error"]["message"],
          f"message: {dead['error']['message']}")
    for name in ("other", "after"):
        same(run.of(name)["status"], "success", name)


@case("tasks of a category that never starts fail, and the run ends")
def never_starts(t):
    path = t.write("tasks.jsonl",
                   json.dumps(task("a", "sad")) + "\n" +
                   json.dumps(task("b", "sad")) + "\n")
    worker = Worker(t, argv=["--local", path, module("bad_init")])
    same(worker.wait(), SOME_FAILED, "exit status")
    for result in parse(worker.output()):
        same(result["error"]["code"], "TRANSIENT_ERROR", "code")
    same(len(parse(worker.output())), 2, "results")


@case("a category of {} children runs as many tasks at once, and no more",
      1, 4)
def at_once(t, children):
    gate = t.gate()
    tasks = [task(f"t{i}", "slow", gate=gate.path) for i in range(8)]
    path = t.write("tasks", "".join(json.dumps(x) + "\n" for x in tasks))
    worker = Worker(t, argv=[
        "--local", path, "-o", f"category/heavy.children={children}", ZOO])
    there = gate.wait(children)
    same(len({pid for _, pid in there}), children, "processes at the gate")
    # Every child is at the gate and none is left for the other tasks.
    heavy = {pid for pid in descendants(worker.pid)
             if pid in {p for _, p in there}}
    same(len(heavy), children, "children of the worker at the gate")
    same(len(gate.arrived), children, "tasks that were begun")
    gate.open()
    same(worker.wait(60), SUCCESS, "exit status")
    same(len(parse(worker.output())), 8, "results")
    same({pid for _, pid in gate.arrived}, heavy, "children that did it")


@case("categories do not wait for one another")
def categories_apart(t):
    gate = t.gate()
    tasks = [task(f"s{i}", "slow", gate=gate.path) for i in range(4)]
    tasks += [task(f"e{i}") for i in range(4)]
    path = t.write("tasks", "".join(json.dumps(x) + "\n" for x in tasks))
    worker = Worker(t, argv=[
        "--local", path, "-o", "category/heavy.children=1", ZOO])
    gate.wait(1)
    eventually(lambda: worker.output().count('"success"') == 4,
               lambda: f"4 echoes while slow is held: {worker.output()}")
    gate.open()
    same(worker.wait(60), SUCCESS, "exit status")


@case("10,000 tasks through stdin")
def many(t):
    count = 10000
    worker = Worker(t, argv=["--local", "-", ZOO], stdin=subprocess.PIPE)
    pipe = worker.process.stdin
    for i in range(count):
        pipe.write(json.dumps(task(f"n{i}", n=i)).encode() + b"\n")
    pipe.close()
    same(worker.wait(100), SUCCESS, "exit status")
    results = parse(worker.output())
    same(len(results), count, "results")
    for r in results:
        same(r["task_id"], f"n{r['data']['echo']['n']}", "whose data it is")
    same(len({r["task_id"] for r in results}), count, "different tasks")
    same(worker.lines("WARNING|ERROR"), [], "complaints")


@case("results come while stdin is still open")
def interactive(t):
    worker = Worker(t, argv=["--local", "-", ZOO], stdin=subprocess.PIPE)
    pipe = worker.process.stdin
    for i in range(3):
        pipe.write(json.dumps(task(f"n{i}")).encode() + b"\n")
        pipe.flush()
        eventually(lambda n=i: len(worker.output().splitlines()) == n + 1,
                   f"result {i}")
    pipe.write(json.dumps(task("tail")).encode())  # no newline at the end
    pipe.close()
    same(worker.wait(), SUCCESS, "exit status")
    same(len(parse(worker.output())), 4, "results")


@case("no tasks at all are a success")
def nothing(t):
    run = Run(t, [])
    same(run.status, SUCCESS, "exit status")
    same(run.results, [], "results")


@case("what handlers print goes to the log, with their task")
def printed(t):
    run = Run(t, [task("talker", "print", out="to stdout\n",
                       err="to stderr\nwithout end")])
    same(run.status, SUCCESS, "exit status")
    for text in ("to stdout", "to stderr", "without end"):
        lines = [x for x in run.log.splitlines() if text in x]
        same(len(lines), 1, f"lines with {text!r}")
        check("talker" in lines[0], f"no task id: {lines[0]}")


@case("a result near the limit passes, one above it fails alone")
def large(t):
    run = Run(t, [task("fits", "big_result", size=1000 * 1000),
                  task("not", "big_result", size=2 * 1024 * 1024),
                  task("after", "big_result", size=10)])
    same(run.status, SOME_FAILED, "exit status")
    same(len(run.of("fits")["data"]["big"]), 1000 * 1000, "size")
    same(run.of("not")["error"]["code"], "PERMANENT_ERROR", "code")
    same(run.of("after")["status"], "success", "the next one")


@case("params of 7 MB reach the handler")
def large_params(t):
    run = Run(t, [task("fat", "upper", text="x", pad="y" * (7 << 20))])
    same(run.status, SUCCESS, "exit status")
    same(run.of("fat")["data"], {"text": "X"}, "data")


@case("params of 9 MB are refused")
def too_large_params(t):
    run = Run(t, [task("fat", "upper", text="x", pad="y" * (9 << 20)),
                  task("thin")])
    same(run.status, SOME_FAILED, "exit status")
    same(run.of("thin")["status"], "success", "the next one")


@case("a file of tasks that is not there is told")
def no_file(t):
    worker = Worker(t, argv=["--local", t.path("nothing"), ZOO])
    check(worker.wait() in (66, CONFIG, USAGE),
          f"exit status {worker.wait()}")
    check("nothing" in worker.log() and "No such file" in worker.log(),
          f"log: {worker.log()}")


@case("a FIFO without a writer holds up nothing: {}",
      ("one comes", True), ("none comes", False))
def fifo(t, _name, comes):
    path = t.path("fifo")
    os.mkfifo(path)
    worker = Worker(t, argv=["--local", path, ZOO])
    worker.wait_log("category")
    if comes:
        with open(path, "w", encoding="utf-8") as f:
            f.write(json.dumps(task("late")) + "\n")
        same(worker.wait(), SUCCESS, "exit status")
        same(parse(worker.output())[0]["status"], "success", "status")
    else:
        worker.signal(signal.SIGTERM)
        same(worker.wait(), SUCCESS, "exit status")
    t.no_strays()


@case("SIGTERM finishes what runs and reports it")
def stopped(t):
    gate = t.gate()
    worker = Worker(t, argv=["--local", "-", ZOO], stdin=subprocess.PIPE)
    pipe = worker.process.stdin
    pipe.write(json.dumps(task("held", "slow", gate=gate.path)).encode())
    pipe.write(b"\n")
    pipe.flush()
    gate.wait(1)
    worker.signal(signal.SIGTERM)
    gate.open()
    worker.wait()
    same(parse(worker.output())[0]["status"], "success", "status")
    t.no_strays()
    pipe.close()


@case("kill -9 of the supervisor ends its children")
def killed(t):
    gate = t.gate()
    worker = Worker(t, argv=["--local", "-", ZOO], stdin=subprocess.PIPE)
    pipe = worker.process.stdin
    pipe.write(json.dumps(task("held", "slow", gate=gate.path)).encode())
    pipe.write(b"\n")
    pipe.flush()
    gate.wait(1)
    worker.signal(signal.SIGKILL)
    same(worker.wait(), -signal.SIGKILL, "exit status")
    t.no_strays(SOON)
    pipe.close()


@case("a reader that closes stdout does not leave children behind")
def no_reader(t):
    path = t.write("tasks", "".join(
        json.dumps(task(f"n{i}", pad="x" * 1000)) + "\n"
        for i in range(2000)))
    with subprocess.Popen(
            [WORKER, "--local", path, ZOO], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd=t.dir, start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": t.dir,
                 "AVTOWORKER_CHILD": CHILD}) as process:
        process.stdout.readline()
        process.stdout.close()
        process.stderr.read()
        check(process.wait(60) != 0, "exit status 0")
    t.no_strays()


main()
