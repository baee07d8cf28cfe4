#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The child that speaks for its script: what it says of the machine, and the
commands that it takes."""
import json
import os
import signal
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (SOURCE, TOKEN, Orchestrator, case, check,  # noqa: E402
                     eventually, main, same)

SCRIPT = """
import os
from avtomatika_worker import DeviceUsage, ResourcesUsage, Worker

here = os.path.dirname(os.path.abspath(__file__))
worker = Worker(capacity_checker=lambda name: not os.path.exists(
    os.path.join(here, "closed")))


def usage():
    with open(os.path.join(here, "asked"), "a") as f:
        f.write(f"{os.getpid()}\\n")
    return ResourcesUsage(0, 0, [DeviceUsage(
        "gpu-0", 37.5, {"memory_used_gb": 2.5})])


worker.set_usage_checker(usage)


@worker.on_command("reload")
async def reload(command):
    print("reload", command.job_id, command.params, "in", os.getpid())


@worker.on_command("fail")
def fail(command):
    raise ValueError("not this one")


@worker.task("echo")
async def echo(params):
    return {"status": "success", "data": {"pid": os.getpid()}}


worker.run()
"""


class Scene:
    """A script with two children, and its WebSocket."""

    def __init__(self, t, classic=False, more="", heartbeat="1s"):
        self.t = t
        self.fake = Fake(classic=classic, websocket=True)
        self.worker = t.worker(
            self.fake.url, modules=(), worker=f"heartbeat_interval = {heartbeat}",
            orchestrator=f"protocol = {'classic' if classic else 'rxon'}",
            env={"PYTHONDONTWRITEBYTECODE": "1", "WORKER_TOKEN": TOKEN},
            more=f'''
python p {{ script = "{t.write("own.py", SCRIPT)}" category = both }}
category both {{ children = 2 }}
''' + more)
        self.socket = self.fake.wait_socket()

    def asked(self):
        """Those whose usage checker was called, in their order."""
        try:
            with open(self.t.path("asked"), encoding="utf-8") as f:
                return f.read().split()
        except FileNotFoundError:
            return []

    def speaker(self, but=None):
        """The child that speaks, once it does."""
        return int(eventually(
            lambda: [p for p in self.asked() if p != str(but)][-1:],
            "some child speaks")[0])

    def command(self, name, **more):
        self.socket.send({"command": name, **more})

    def works(self, name):
        self.fake.put(task(name, "echo"))
        same(self.fake.wait_result(name)["status"], "success", "status")


@case("{}: commands come to one child of the script, and to another when that "
      "has died", "classic", "rxon")
def commands(t, dialect):
    scene = Scene(t, dialect == "classic")
    first = scene.speaker()
    scene.command("reload", job_id="j-9", params={"n": 1})
    line, = scene.worker.wait_log("reload j-9")
    check(f"{{'n': 1}} in {first}" in line, line)
    scene.command("fail")
    line, = scene.worker.wait_log("not this one")
    check("handler of command \"fail\" failed: ValueError" in line, line)
    scene.command("dance")
    line, = scene.worker.wait_log("dance")
    check("no script has an on_command() for it" in line, line)
    os.kill(first, signal.SIGKILL)
    second = scene.speaker(first)
    scene.command("reload", job_id="j-10")
    line, = scene.worker.wait_log("reload j-10")
    check(f"None in {second} " in line, line)
    same(len(set(scene.asked())), 2, f"speakers: {scene.asked()}")
    scene.works("after")
    scene.worker.drain()


@case("devices of a usage checker are told in heartbeats")
def devices(t):
    scene = Scene(t)

    def told():
        return [b["usage"] for b in (
            r.json() for r in scene.fake.of_kind("heartbeat") if r.body)
            if "devices_usage" in b.get("usage", {})]
    usage, = eventually(lambda: told()[:1], "they are told")
    same(usage["devices_usage"], [{
        "unit_id": "gpu-0", "load_percent": 37.5,
        "metrics": {"memory_used_gb": 2.5}}], "devices")
    check(usage["ram_used_gb"] > 0, f"what we measure is lost: {usage}")
    scene.worker.drain()


@case("no task is asked for while a capacity checker says no")
def capacity(t):
    scene = Scene(t)
    fake = scene.fake
    scene.works("open")
    t.write("closed", "")

    def is_silent():
        """A poll takes as long as one heartbeat to another."""
        polls = len(fake.of_kind("poll"))
        beats = len(fake.of_kind("heartbeat"))
        fake.wait_requests("heartbeat", beats + 4)
        return len(fake.of_kind("poll")) == polls
    eventually(is_silent, "polls cease")
    polls = len(fake.of_kind("poll"))
    fake.put(task("waits", "echo"))
    beats = len(fake.of_kind("heartbeat"))
    fake.wait_requests("heartbeat", beats + 3)
    same(len(fake.of_kind("poll")), polls, "polls")
    os.unlink(t.path("closed"))
    same(fake.wait_result("waits")["status"], "success", "status")
    scene.worker.drain()


@case("a speaker that reads nothing loses its commands, and holds up nobody")
def deaf(t):
    offer = json.dumps({"handlers": [{"type": "deaf"}],
                        "commands": ["large"]}).replace('"', '\\"')
    scene = Scene(t, more=f"""
channel deaf {{
    exec = {{ "{sys.executable}", "{os.path.join(SOURCE, "speaker.py")}",
             "{offer}" }}
    category = deaf
}}
category deaf {{ children = 1 }}
""")
    scene.fake.put(task("d-1", "deaf"))
    pid = scene.fake.wait_result("d-1")["data"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(60):
            scene.command("large", params={"text": "x" * 50000})
        line = scene.worker.wait_log("command \"large\" is lost")[0]
        check("does not read what it is told" in line, line)
        scene.works("beside")
        scene.command("reload", job_id="beside")
        scene.worker.wait_log("reload beside")
    finally:
        os.kill(pid, signal.SIGCONT)
    scene.worker.drain()


@case("real orchestrators send commands and take what is told of devices, {}",
      "1.0b5", "1.0b30")
def real(t, version):
    orch = Orchestrator(t, version)
    worker = t.worker(
        orch.url, modules=(), worker="heartbeat_interval = 1s",
        env={"PYTHONDONTWRITEBYTECODE": "1", "WORKER_TOKEN": TOKEN},
        more=f'python p {{ script = "{t.write("own.py", SCRIPT)}" }}\n')
    orch.wait_worker()

    def sent():
        return orch.command("w-1", {
            "command": "reload", "job_id": "j-1", "params": {"a": [1]}})["sent"]
    eventually(sent, "the WebSocket is open")
    line = worker.wait_log("reload j-1")[0]
    check("{'a': [1]} in " in line, line)
    if not orch.classic:
        usage = eventually(
            lambda: [u for u in [orch.workers()["w-1"].get("usage") or {}]
                     if u.get("devices_usage")],
            lambda: f"devices are told: {orch.workers()}")[0]
        same(usage["devices_usage"][0]["unit_id"], "gpu-0", "device")
    jobs = orch.submit("echo", {}, 5)
    orch.wait(jobs, "finished")
    worker.drain()


main()
