#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What the orchestrator cancels: a task that waits is never started, one that
runs is told and then ended with all it has started, one that is over stays as
it is. Its result is `cancelled`, whatever the handler makes of it."""
import os
import signal
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (Worker, case, check, eventually,  # noqa: E402
                     lock_is_free, main, read, same)


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


PLANT = """
import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

STAND = "trap '' TERM HUP; while :; do sleep 100; done"


def plant(lock, hold):
    fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    for session in False, True:
        subprocess.Popen(["/bin/sh", "-c", STAND], pass_fds=[fd],
                         start_new_session=session)
    os.close(fd)
    open(hold, "w").close()
"""

PROGRAM = f"""#!/usr/bin/env python3
{PLANT}
signal.signal(signal.SIGTERM, signal.SIG_IGN)
plant(**json.load(sys.stdin))
while True:
    signal.pause()
"""

SCRIPT = f"""{PLANT}
from avtomatika_worker import Worker
worker = Worker()


@worker.task("deaf")
def deaf(params, **_):
    plant(**params)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


@worker.task("heeds")
async def heeds(params, **_):
    plant(**params)
    await asyncio.sleep(3600)
"""


def all_gone(t, kind, blocks="", later=False, modules=(), each=({},)):
    """A process of the task's, and one in a session of its own."""
    fake = Fake(classic=False)
    locks = [t.path(x) for x in ("lock", "other")]
    worker = t.worker(
        fake.url, modules=modules, worker="heartbeat_interval = 1s",
        orchestrator="protocol = rxon", more=f"""
category forest {{
    children = 2
    cancel_grace = {"1m" if later else "200ms"}
}}
{blocks}""")
    for lock, more in zip(locks, each):
        name = os.path.basename(lock)
        hold = t.path(f"{name}.hold")
        fake.put(task(name, kind, {"lock": lock, "hold": hold, **more}))
        eventually(lambda hold=hold: os.path.exists(hold), "it runs")
        check(not lock_is_free(lock), "nothing is planted")
        fake.cancels.add(name)
        same(fake.wait_result(name)["status"], "cancelled", "status")
        if later:
            check(not lock_is_free(lock), "they are dead already")
            worker.drain()
        eventually(lambda lock=lock: lock_is_free(lock), "all are dead")
    if not later:
        worker.drain()


@case("all that a module's handler has started ends with it")
def module_tree(t):
    all_gone(t, "plant", modules=("forest",),
             each=({"kind": "plain"}, {"kind": "session"}))


@case("all that an executable has started ends with it")
def executable_tree(t):
    path = t.write("program", PROGRAM)
    os.chmod(path, 0o755)
    all_gone(t, "program", f"""
handler program {{
    exec = "{path}"
    category = forest
}}""")


@case("all that a script's handler has started ends with it: one that {}",
      ("does not listen", "deaf", False),
      ("listens leaves it to the end of its child", "heeds", True))
def script_tree(t, _name, kind, later):
    path = t.write("script.py", SCRIPT)
    all_gone(t, kind, f"""
python script {{
    script = "{path}"
    category = forest
}}""", later)


@case("one that runs in a child of before a reload is ended as well")
def reloaded(t):
    scene = Scene(t, "    cancel_grace = 200ms\n")
    scene.put("old")
    scene.gate.wait(1)
    t.write("worker.conf", read(t.path("worker.conf")).replace(
        "cancel_grace = 200ms", "cancel_grace = 100ms"))
    scene.worker.signal(signal.SIGHUP)
    scene.worker.wait_log("reload: done, generation 2")
    scene.fake.cancels.add("old")
    scene.cancelled("old")
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
