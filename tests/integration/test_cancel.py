#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What the orchestrator cancels: a task that waits is never started, one that
runs is told and then ended with all it has started, one that is over stays as
it is. Its result is `cancelled`, whatever the handler makes of it."""
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (Worker, case, check, eventually,  # noqa: E402
                     main, same)


class Scene:
    """A worker with one child for each category."""

    def __init__(self, t, more=""):
        self.fake = Fake(classic=False)
        self.gate = t.gate()
        config = t.config(self.fake.url, light=1, heavy=1, worker="""
    max_concurrent_tasks = 5
    heartbeat_interval = 1s""", orchestrator="protocol = rxon")
        self.worker = Worker(t, config.replace(
            "category heavy {", "category heavy {\n" + more))

    def put(self, name, kind="slow", **params):
        self.fake.put(task(name, kind, {"gate": self.gate.path,
                                        "name": name, **params}))

    def cancelled(self, name):
        result = self.fake.wait_result(name)
        same(result["status"], "cancelled", "status")
        check("error" not in result, f"{result}")

    def end(self):
        self.gate.open()
        self.worker.drain()


@case("a task that waits is never started")
def queued(t):
    scene = Scene(t)
    scene.put("running")
    scene.gate.wait(1)
    scene.put("waiting")
    eventually(lambda: any("waiting" in r.json().get("current_tasks", [])
                           for r in scene.fake.of_kind("heartbeat")
                           if r.body), "it waits")
    scene.fake.cancels.add("job-waiting")
    scene.cancelled("waiting")
    scene.gate.open()
    same(scene.fake.wait_result("running")["status"], "success", "status")
    same([name for name, _ in scene.gate.arrived], ["running"], "started")
    scene.end()


@case("a handler that listens ends by itself, by the id of the {}",
      ("task", "listens"), ("job", "job-listens"))
def listening(t, _what, name):
    scene = Scene(t)
    scene.put("listens", "heed")
    scene.gate.wait(1)
    child = scene.gate.arrived[0][1]
    scene.gate.open()
    scene.fake.cancels.add(name)
    scene.cancelled("listens")
    scene.put("after", "echo")
    same(scene.fake.wait_result("after")["status"], "success", "status")
    check(child in scene.worker.children(), "its child was ended")
    scene.end()


@case("a handler that does not listen is ended after the grace")
def deaf(t):
    scene = Scene(t, "    cancel_grace = 200ms\n")
    scene.put("deaf")
    scene.gate.wait(1)
    child = scene.gate.arrived[0][1]
    scene.fake.cancels.add("deaf")
    scene.cancelled("deaf")
    eventually(lambda: child not in scene.worker.children(), "it is gone")
    scene.end()


@case("a task that is over stays as it is")
def over(t):
    scene = Scene(t)
    scene.gate.open()
    scene.put("over", "echo")
    same(scene.fake.wait_result("over")["status"], "success", "status")
    scene.fake.cancels.add("over")
    scene.fake.wait_requests("heartbeat",
                             len(scene.fake.of_kind("heartbeat")) + 3)
    same(len(scene.fake.results["over"]), 1, "results")
    scene.end()


main()
