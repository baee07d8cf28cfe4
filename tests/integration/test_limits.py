#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Limits of a task while it runs, and the truth about how it ended."""
import errno
import os
import re
import signal
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import case, check, main, same  # noqa: E402


class Scene:
    """A worker with one heavy child; settings are of its category."""

    def __init__(self, t, more="", orchestrator="", **settings):
        self.fake = Fake()
        self.gate = t.gate()
        args = []
        for key, value in settings.items():
            args += ["-o", f"category/heavy.{key}={value}"]
        self.worker = t.worker(
            self.fake.url, args=args, light=1, heavy=1, more=more,
            orchestrator="protocol = classic\n" + orchestrator)

    def put(self, name, kind, deadline=None, **params):
        more = {} if deadline is None else {"deadline": deadline}
        self.fake.put(task(name, kind, params, **more))

    def run(self, name, kind, **params):
        self.put(name, kind, **params)
        return self.fake.wait_result(name)

    def arrive(self, count=1):
        """Process ids of those at the gate."""
        return [pid for _, pid in self.gate.wait(count)]

    def works_on(self):
        """It is as if nothing had been."""
        same(self.run("afterwards", "slow")["status"], "success",
             "status of a task afterwards")
        self.worker.drain()


def failed(result, code, text, **details):
    same(result["status"], "failure", f"status of {result}")
    same(result["error"]["code"], code, "code")
    check(text in result["error"]["message"],
          f"message: {result['error']['message']}")
    for key, want in details.items():
        same(result["error"]["details"][key], want, key)


def told(text, name):
    """A pattern of a line of the log about that task."""
    return f"{text}.* task_id={name} "


@case("a soft limit is heard by a handler that asks; its result is taken")
def soft(t):
    scene = Scene(t, soft_time_limit="1s", cancel_grace="20s")
    result = scene.run("listens", "heed")
    same(result["status"], "success", "status")
    same(result["data"], {"cancelled": True, "reason": "time_limit"}, "data")
    failed(scene.run("gives-up", "heed", fail=True), "GAVE_UP",
           "asked to stop: time_limit")
    line, = scene.worker.wait_log(told("asking it to stop within [12][0-9].* s;", "listens"))
    check(re.search(r"; state [RSD] \(", line), line)  # it naps and looks
    same(scene.run("quick", "heed", ms=1)["data"]["cancelled"], False,
         "cancelled")
    scene.works_on()
    check(not scene.worker.lines("killed|starting another"),
          "a child was ended")


@case("a hard limit ends {}",
      ("a handler that ignores it", "slow", {"ms": 1000000}),
      ("a handler that blocks every signal", "deaf", {}),
      ("a handler that has stopped itself", "deaf", {"stop": True}))
def hard(t, _what, kind, params):
    # Where the worker is too late to ask it within the grace, it is put off.
    scene = Scene(t, time_limit="4s", cancel_grace="2s")
    result = scene.run("long", kind, **params)
    failed(result, "TIMEOUT_ERROR", "ran longer than time_limit (4 s)",
           cause="time_limit", signal=9, exit_status=None, core=False,
           stage="in the handler")
    wall = result["error"]["details"]["wall_ms"]
    state = r"state T \(stopped\)" if params.get("stop") else "state S"
    line, = scene.worker.wait_log(
        told(f"asking it to stop within .*{state}", "long"))
    asked, grace = map(float, re.search(
        r"run for ([0-9.]+) s, asking it to stop within ([0-9.]+) s", line)
        .groups())
    check(asked >= 2, line)
    check(4000 <= wall < (asked + grace + 4 + t.late()) * 1000,
          f"wall time: {wall} ms")
    scene.worker.wait_log(told(f"ending it: it ran longer.*{state}.* kB "
                               "resident", "long"))
    scene.worker.wait_log(told(f'task "{kind}": its child ran longer.*; in the '
                               "handler, cause time_limit, wall ", "long"))
    scene.works_on()


@case("a handler that cannot be stopped delays nobody else")
def deaf_alone(t):
    scene = Scene(t, time_limit="3s", cancel_grace="1s")

    def times(name, over):
        taken = []
        while not taken or not over():
            begun = time.monotonic()
            scene.run(f"{name}-{len(taken)}", "echo")
            taken.append(time.monotonic() - begun)
        return sorted(taken)
    start = time.monotonic()
    quiet = times("quiet", lambda: time.monotonic() > start + 1)
    scene.put("deaf", "deaf")
    busy = times("busy", lambda: "deaf" in scene.fake.results)
    failed(scene.fake.wait_result("deaf"), "TIMEOUT_ERROR", "time_limit")
    for name, taken in (("before", quiet), ("meanwhile", busy)):
        print(f"# {len(taken)} tasks {name}, median "
              f"{taken[len(taken) // 2] * 1000:.1f} ms, at worst "
              f"{taken[-1] * 1000:.1f} ms")
    check(busy[len(busy) // 2] < quiet[len(quiet) // 2] * 3 + 0.1 and
          busy[-1] < 2 + t.late(), "the others were delayed")
    scene.works_on()


@case("a soft limit alone ends what does not stop within the grace")
def soft_alone(t):
    scene = Scene(t, soft_time_limit="1s", cancel_grace="200ms")
    failed(scene.run("long", "heed", after=1000000), "TIMEOUT_ERROR",
           "soft_time_limit (1 s) and did not stop within cancel_grace "
           "(0.2 s)", cause="time_limit")
    scene.works_on()


@case("a handler's limit goes before its category's")
def per_handler(t):
    scene = Scene(t, time_limit="200ms", more="""
handler slow {
    time_limit = 1m
}
handler heed {
    time_limit = 1m
    soft_time_limit = 20ms
}
""")
    same(scene.run("allowed", "slow", ms=400)["status"], "success", "slow")
    same(scene.run("asked", "heed")["data"]["cancelled"], True, "heed")
    failed(scene.run("other", "deaf"), "TIMEOUT_ERROR", "time_limit (0.2 s)")
    scene.works_on()


@case("the time of a task begins when a child gets it, not in the queue")
def from_start(t):
    scene = Scene(t, time_limit="4s")
    names = [f"t-{i}" for i in range(9)]  # all of them take longer
    for name in names:
        scene.put(name, "slow", ms=500)
    for name in names:
        same(scene.fake.wait_result(name)["status"], "success", name)
    scene.works_on()


@case("a task is ended at its deadline")
def deadline(t):
    scene = Scene(t, time_limit="1h", cancel_grace="100ms")
    scene.run("first", "slow")  # a child is there
    scene.put("late", "slow", deadline=time.time() + 5, ms=1000000)
    failed(scene.fake.wait_result("late"), "TIMEOUT_ERROR",
           "ran until the task's deadline", cause="deadline")
    scene.works_on()


@case("a slow task is told of once, with what its child is doing")
def slow_after(t):
    scene = Scene(t, slow_after="1s")
    scene.put("slow-1", "slow", gate=scene.gate.path)
    scene.worker.wait_log("longer than slow_after")
    scene.gate.open()
    same(scene.fake.wait_result("slow-1")["status"], "success", "status")
    same(scene.run("fast-1", "slow", ms=1)["status"], "success", "status")
    line, = scene.worker.lines("longer than slow_after")
    check("slow-1" in line and 'task "slow"' in line, line)
    check(re.search(r"state S \(sleeping\).*cpu \d+ ms user and \d+ ms "
                    r"system, \d+ kB resident, \d+ thread", line), line)
    scene.works_on()


@case("10 MB of output are read, and {} of it logged", ("lines", False),
      ("one endless line", True))
def output_limit(t, _what, endless):
    scene = Scene(t, output_limit="100K")
    same(scene.run("babbles", "babble", count=10000, size=1000,
                   endless=endless)["status"], "success", "status")
    scene.worker.wait_log(told("output beyond 102400 bytes is dropped",
                               "babbles"))
    line, = scene.worker.wait_log(told("[0-9]+ bytes of output were dropped",
                                      "babbles"))
    dropped = int(re.search(r"(\d+) bytes of output", line).group(1))
    check(10000000 + 8 - 102400 <= dropped <= 10000008 - 100000,
          f"dropped: {dropped}")
    size = len(scene.worker.log())
    check(100000 < size < 250000, f"{size} bytes of log")
    # Each task has all of it.
    scene.run("quiet", "babble", count=1)
    scene.worker.wait_log(told("the end", "quiet"))
    same(len(scene.worker.lines("is dropped")), 1, "lines about dropping")
    scene.works_on()


@case("a child that is killed from outside: who it was is not made up")
def kill_9(t):
    scene = Scene(t)
    scene.put("killed", "slow", gate=scene.gate.path)
    pid, = scene.arrive()
    os.kill(pid, signal.SIGKILL)
    failed(scene.fake.wait_result("killed"), "TRANSIENT_ERROR",
           "was killed by signal 9 (Killed), not by us; perhaps for lack of "
           "memory", cause="crash", signal=9, child_pid=pid,
           stage="in the handler")
    scene.works_on()


@case("exit(0) in a handler is a death like another")
def exit_0(t):
    scene = Scene(t)
    failed(scene.run("left", "exit_now"), "TRANSIENT_ERROR",
           "exited with status 0", cause="crash", signal=None, exit_status=0)
    scene.works_on()


@case("a file that is longer than max_file_size costs its own task")
def long_file(t):
    scene = Scene(t, max_file_size="64K")
    scene.put("beside", "echo")
    failed(scene.run("writes", "write_file", size=65000 + 1000,
                     path=t.path("long")), "TRANSIENT_ERROR",
           "was killed by signal 25 (File size limit exceeded)",
           cause="crash", signal=signal.SIGXFSZ, stage="in the handler")
    same(os.path.getsize(t.path("long")), 65536, "its size")
    same(scene.run("fits", "write_file", size=65000,
                   path=t.path("short"))["status"], "success", "a shorter one")
    same(scene.fake.wait_result("beside")["status"], "success", "another's")
    scene.works_on()


@case("a handler that opens all files that it may is alone with that")
def all_files(t):
    scene = Scene(t, max_open_files="40")
    for name in ("first", "second"):  # one child, which keeps them
        data = scene.run(name, "hoard")["data"]
        same(data["error"], os.strerror(errno.EMFILE), "error")
        check(data["opened"] < 40, f"opened: {data}")
    same(scene.run("same", "slow")["status"], "success", "in the same child")
    same(scene.run("other", "echo")["status"], "success", "in another")
    same(scene.worker.lines("WARNING|ERROR"), [], "complaints")
    scene.works_on()


@case("a result that is too large with what goes with it is said to be that")
def envelope(t):
    scene = Scene(t)
    # A child may say so much; an orchestrator does not take any more.
    failed(scene.run("full", "big_result", size=2 ** 20 - 100),
           "PERMANENT_ERROR", "bytes are more than an orchestrator takes")
    scene.works_on()


@case("abort() in a handler leaves no core file unless they are allowed")
def abort(t):
    scene = Scene(t)
    failed(scene.run("aborts", "babble", crash=True), "TRANSIENT_ERROR",
           "signal 6 (Aborted)", signal=signal.SIGABRT, core=False)
    scene.works_on()


@case("the last output goes to the orchestrator only when it is asked for: {}",
      (0,), (500,))
def report_stderr(t, size):
    scene = Scene(t, orchestrator=f"report_stderr = {size}",
                  output_limit="1K")
    details = scene.run("dies", "babble", count=100,
                        crash=True)["error"]["details"]
    tail = details.get("stderr", "")
    if size:
        check(tail.endswith("x\nthe end") and 300 < len(tail) <= size,
              f"{len(tail)} characters: {tail}")
    else:
        same(tail, "", "what is sent")
    scene.works_on()


main()
