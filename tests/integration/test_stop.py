#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Stopping, in every way there is: what runs is finished or handed back, and
nothing of the worker outlives it."""
import os
import re
import signal
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, silent, task  # noqa: E402
from harness import SOON, case, check, eventually, main, same  # noqa: E402


class Scene:
    """A worker with one slow task running behind a gate."""

    def __init__(self, t, timeout="20s", poll_timeout=1, more="", env=None):
        self.fake = Fake(poll_timeout=poll_timeout)
        self.gate = t.gate()
        self.worker = t.worker(
            self.fake.url, light=1, heavy=2,
            worker=f"shutdown_timeout = {timeout}\n    {more}",
            orchestrator="protocol = classic", env=env)
        self.t = t
        self.put("running")
        self.gate.wait(1)

    def put(self, name):
        self.fake.put(task(name, "slow", {"gate": self.gate.path,
                                          "name": name}))

    def handed_back(self, name):
        result = self.fake.wait_result(name)
        same(result["status"], "failure", "status")
        same(result["error"]["code"], "TRANSIENT_ERROR", "code")
        check("interrupted" in result["error"]["message"],
              f"message: {result['error']['message']}")
        eventually(lambda: name in self.gate.left, "it is killed")
        at, = [r.at for r in self.fake.of_kind("result")
               if r.json()["task_id"] == name]
        # It is given a second to be delivered.
        check(at < self.gate.left[name] or self.t.late() > 0.9,
              "it was killed before")

    def ended(self):
        same(self.worker.wait(), 0, "exit status")
        self.t.no_strays()


@case("a second SIGINT hands the running task back and ends at once")
def second_interrupt(t):
    scene = Scene(t)
    scene.worker.signal(signal.SIGINT)
    scene.worker.wait_log("draining")
    scene.worker.signal(signal.SIGINT)
    scene.handed_back("running")
    scene.ended()


@case("a duplicate SIGTERM is ignored: the task is finished")
def duplicate_term(t):
    scene = Scene(t)
    scene.worker.signal(signal.SIGTERM)
    scene.worker.wait_log("draining")
    scene.worker.signal(signal.SIGTERM)
    scene.gate.open()
    result = scene.fake.wait_result("running")
    scene.ended()
    # After 2 s it is another one, not a duplicate.
    if t.late() < 1:
        same(result["status"], "success", "status")
        check(not scene.worker.lines("handing back"), "it was handed back")


@case("a SIGTERM that comes again later stops at once")
def later_term(t):
    scene = Scene(t)

    def handing_back():
        scene.worker.signal(signal.SIGTERM)
        return scene.worker.lines("handing back")
    eventually(handing_back, "a fast stop")
    scene.handed_back("running")
    scene.ended()


@case("at shutdown_timeout the running task is handed back")
def deadline(t):
    scene = Scene(t, timeout="1s")
    scene.worker.signal(signal.SIGTERM)
    scene.handed_back("running")
    scene.ended()


@case("nobody who does not answer keeps children from being killed")
def handed_to_nobody(t):
    scene = Scene(t, env={"LOG_LEVEL": "DEBUG"})
    (_, child), = scene.gate.arrived
    scene.fake.break_kind("result", silent)
    scene.worker.signal(signal.SIGINT)
    scene.worker.wait_log("draining")
    scene.worker.signal(signal.SIGINT)
    scene.fake.wait_requests("result", 1)
    eventually(lambda: "running" in scene.gate.left, "it is killed")
    scene.ended()
    check(scene.worker.lines("1 result .*waits in the journal"),
          "what is left is not told")
    # It is waited for by then.
    check(scene.worker.lines(f"child was running when .* pid={child}") or
          t.late() > 1, "it was killed at the very end")


@case("tasks that parked polls bring while draining are run: they are waited "
      "for when nothing runs any more")
def during_drain(t):
    scene = Scene(t, "60s", 30, "heartbeat_interval = 1s")
    fake = scene.fake
    fake.wait_requests("poll", 2)
    scene.worker.signal(signal.SIGTERM)
    line, = scene.worker.wait_log("draining.*[1-9] polls? parked")
    scene.gate.open()
    same(fake.wait_result("running")["status"], "success", "status")
    # What lives on until then does not end for want of tasks.
    fake.wait_requests("heartbeat", len(fake.of_kind("heartbeat")) + 2)
    for i in range(int(re.search(r"(\d+) polls? parked", line).group(1))):
        scene.put(f"late-{i}")
        same(fake.wait_result(f"late-{i}")["status"], "success", "status")
    scene.ended()


@case("polls that are given up are named")
def abandoned(t):
    scene = Scene(t, timeout="1s", poll_timeout=30)
    scene.fake.wait_requests("poll", 2)
    scene.worker.signal(signal.SIGTERM)
    scene.worker.wait_log("giving up [1-9]")
    scene.handed_back("running")
    scene.ended()


@case("a handler that listens is told of the end, and ends well before it")
def farewell(t):
    scene = Scene(t, timeout="12s")
    gate = t.gate()
    scene.fake.put(task("listens", "heed", {"gate": gate.path,
                                            "name": "listens"}))
    gate.wait(1)
    gate.open()
    scene.worker.signal(signal.SIGTERM)
    result = scene.fake.wait_result("listens")
    same(result["status"], "success", "status")
    same(result["data"]["reason"], "drain", "reason")
    check(not scene.worker.lines("handing back"), "it was too late")
    scene.gate.open()
    scene.ended()


@case("after kill -9 of the supervisor no child is left")
def killed(t):
    scene = Scene(t)
    scene.worker.wait_serving(4)
    scene.worker.signal(signal.SIGKILL)
    scene.worker.wait()
    t.no_strays(SOON)


@case("an idle child that is killed is replaced, and nothing else notices")
def idle_killed(t):
    scene = Scene(t)
    scene.worker.wait_serving(4)
    light, = scene.worker.serving("light")
    scene.fake.put(task("first", "echo", {}))
    scene.fake.wait_result("first")
    os.kill(light, signal.SIGKILL)
    scene.worker.wait_log("killed by signal 9")
    scene.fake.put(task("second", "echo", {}))
    same(scene.fake.wait_result("second")["status"], "success", "status")
    scene.gate.open()
    same(scene.fake.wait_result("running")["status"], "success", "status")
    scene.worker.wait_serving(4)
    scene.worker.drain()


@case("SIGHUP ends nothing, SIGUSR1 reopens the log")
def other_signals(t):
    log = t.path("worker.log.file")
    fake = Fake(poll_timeout=1)
    worker = t.worker(fake.url, args=["-o", f"log.destination={log}"],
                      light=1, heavy=1, orchestrator="protocol = classic")

    def said(words):
        return lambda: os.path.exists(log) and words in open(
            log, encoding="utf-8").read()
    eventually(said("registered"), "registered in the log file")
    os.rename(log, log + ".1")
    worker.signal(signal.SIGUSR1)
    eventually(lambda: os.path.exists(log), "a new log file")
    worker.signal(signal.SIGHUP)
    eventually(said("reload: done"), "a line in the new log file")
    fake.put(task("after", "echo", {}))
    same(fake.wait_result("after")["status"], "success", "status")
    worker.drain()


main()
