#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What registrations and heartbeats say, when they come, and what a worker
makes of the replies."""
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, replying, silent, task  # noqa: E402
from harness import (CHILD, case, check, eventually, main, same)  # noqa: E402

SECOND = "heartbeat_interval = 1s"
NEVER = "heartbeat_interval = 5m"
RESOURCES = """
resources {
    cpu = 6
    memory_gb = 48
    gpu = yes
    gpu_model = "RTX 4090"
    gpu_memory_gb = 24
    properties = "zone = eu, slots=3, ssd=true"
    models = "llama, whisper=2"
}
handler echo {
    version = 1.2.0
    cost = 0.25
}
"""


class Scene:
    """A worker of one dialect, with a gate for its slow tasks."""

    def __init__(self, t, classic=False, worker=SECOND, orchestrator="",
                 **more):
        self.fake = Fake(classic)
        self.gate = t.gate()
        self.worker = t.worker(
            self.fake.url, worker=worker, orchestrator=f"""
    protocol = {"classic" if classic else "rxon"}
    {orchestrator}""", **more)
        self.fake.wait_requests("register", 1)

    def put(self, name):
        self.fake.put(task(name, "slow", {"gate": self.gate.path,
                                          "name": name}))

    def beats(self):
        """The heartbeats that say something, in order."""
        return [r.json() for r in self.fake.of_kind("heartbeat") if r.body]

    def wait_beat(self, claim, what):
        """The first that the claim is true of."""
        return eventually(
            lambda: next((b for b in self.beats() if claim(b)), None),
            lambda: f"a heartbeat with {what}; the last: {self.beats()[-1:]}")

    def gaps(self):
        at = [r.at for r in self.fake.of_kind("heartbeat")]
        return [b - a for a, b in zip(at, at[1:])]

    def wait_usage(self, count):
        """When usage was told, and what, so many times."""
        def told():
            return [(r.at, r.json()["usage"]) for r in
                    self.fake.of_kind("heartbeat")
                    if r.body and "usage" in r.json()]
        return eventually(lambda: told() if len(told()) >= count else None,
                          lambda: f"usage told: {told()}", 60)

    def end(self):
        self.gate.open()
        self.worker.drain()


def has_empty_object(value):
    if isinstance(value, dict):
        return not value or any(map(has_empty_object, value.values()))
    return isinstance(value, list) and any(map(has_empty_object, value))


@case("classic: a registration says all that is configured")
def classic_registration(t):
    scene = Scene(t, classic=True, more=RESOURCES)
    said = scene.fake.of_kind("register")[0].json()
    same(said["resources"], {
        "cpu_cores": 6, "ram_gb": 48,
        "gpu_info": {"model": "RTX 4090", "vram_gb": 24},
        "properties": {"zone": "eu", "slots": 3, "ssd": True}}, "resources")
    same(said["installed_models"],
         [{"name": "llama"}, {"name": "whisper", "version": "2"}], "models")
    same(said["cost_per_skill"], {"echo": 0.25}, "costs")
    same(said["hostname"], os.uname().nodename, "host name")
    check(said["ip_address"], "no address")
    scene.end()


@case("rxon: devices and capabilities of the environment are told")
def devices(t):
    scene = Scene(t, env={
        "GPU_MODEL": "RTX 4090", "GPU_ID": "1", "GPU_VRAM_GB": "24",
        "WORKER_DEVICES": json.dumps([{"type": "npu", "properties": {"a": 1}},
                                      {"type": "fpga"}], indent=1),
        "WORKER_EXTRA_RACK": "7", "WORKER_EXTRA_ZONES": '["a", {"b": 1}]'})
    said = scene.fake.of_kind("register")[0].json()
    same(said["resources"]["devices"], [
        {"type": "gpu", "id": "1", "model": "RTX 4090",
         "properties": {"vram_gb": 24}},
        {"type": "npu", "properties": {"a": 1}}, {"type": "fpga"}], "devices")
    same(said["capabilities"]["extra"],
         {"rack": "7", "zones": ["a", {"b": 1}]}, "capabilities")
    scene.end()


@case("rxon: a registration says all that is configured")
def rxon_registration(t):
    scene = Scene(t, more=RESOURCES)
    said = scene.fake.of_kind("register")[0].json()
    same(said["resources"], {
        "devices": [{"type": "gpu", "id": "gpu-0", "model": "RTX 4090",
                     "properties": {"vram_gb": 24}}],
        "properties": {"cpu_cores": 6, "ram_gb": 48, "zone": "eu",
                       "slots": 3, "ssd": True}}, "resources")
    same(said["installed_artifacts"],
         [{"name": "llama", "type": "model"},
          {"name": "whisper", "version": "2", "type": "model"}], "artifacts")
    same(said["capabilities"]["cost_per_skill"], {"echo": 0.25}, "costs")
    check("websockets" not in json.dumps(said), "it says websockets")
    skills = {s["name"]: s for s in said["supported_skills"]}
    same(skills["echo"]["version"], "1.2.0", "version of echo")
    same(skills["slow"], {"name": "slow", "version": "1.0.0",
                          "type": "heavy"}, "slow")
    check(list(said["installed_software"]) == ["avtoworker"], "software")
    check(not has_empty_object(said), f"an empty object in {said}")
    scene.end()


@case("without a block the machine's cores and memory are told")
def defaults(t):
    scene = Scene(t)
    said = scene.fake.of_kind("register")[0].json()
    told = said["resources"]["properties"]
    check(1 <= told["cpu_cores"] <= os.cpu_count(), f"{told}")
    check(0 <= told["ram_gb"] <= 1 << 20, f"{told}")
    check("devices" not in said["resources"], f"{said['resources']}")
    check("cost_per_skill" not in said["capabilities"], "costs")
    scene.end()


@case("every other regular heartbeat is empty ({})", "classic", "rxon")
def alternate(t, dialect):
    scene = Scene(t, classic=dialect == "classic")

    def kinds():
        return "".join("f" if r.body else "e"
                       for r in scene.fake.of_kind("heartbeat"))
    # Those that tell early of children that have become ready come first.
    eventually(lambda: kinds()[-6:] in ("efefef", "fefefe"),
               lambda: f"they alternate: {kinds()}")
    check(all(b["status"] == "idle" for b in scene.beats()), "not idle")
    if dialect == "classic":
        same(scene.beats()[-1]["hot_cache"], [], "hot cache")
        check("echo" in scene.beats()[-1]["supported_tasks"], "tasks")
    scene.end()


@case("classic: the load is told soon after it has become another")
def classic_load(t):
    scene = Scene(t, classic=True, worker=NEVER)
    scene.put("a")
    scene.gate.wait(1)
    scene.wait_beat(lambda b: b["load"] == 1, "load 1")
    scene.gate.open()
    eventually(lambda: scene.beats()[-1]["load"] == 0, "load 0")
    scene.end()


@case("offer = free: what is full is not offered, and all of it is busy ({})",
      ("classic", True), ("rxon", False))
def offer_free(t, _name, classic):
    scene = Scene(t, classic=classic, orchestrator="offer = free", heavy=1,
                  worker="heartbeat_interval = 1s\nmax_concurrent_tasks = 2")
    names = "supported_tasks" if classic else "available_skills"
    scene.wait_beat(lambda b: {"slow", "echo"} <= set(b[names]), "both")
    scene.put("a")
    scene.gate.wait(1)
    one = scene.wait_beat(lambda b: "slow" not in b[names], "slow full")
    same((one["status"], "echo" in one[names]), ("idle", True), "heartbeat")
    scene.gate.open()
    eventually(lambda: "slow" in scene.beats()[-1][names], "slow again")
    scene.end()


@case("offer = free: busy when nothing more could be run at once")
def offer_free_busy(t):
    scene = Scene(t, classic=True, orchestrator="offer = free", heavy=1,
                  worker="heartbeat_interval = 1s\nmax_concurrent_tasks = 1")
    scene.put("a")
    scene.gate.wait(1)
    busy = scene.wait_beat(lambda b: b["status"] == "busy", "busy")
    same(busy["supported_tasks"], [], "offered")
    scene.gate.open()
    eventually(lambda: scene.beats()[-1]["status"] == "idle", "idle")
    scene.end()


@case("rxon: tasks and jobs at work are told soon, queued ones too, and no "
      "heartbeat within 2 s of another")
def rxon_tasks(t):
    scene = Scene(t, worker=NEVER, heavy=1)
    scene.put("a")
    scene.put("b")
    want = {"a", "job-a", "b", "job-b"}
    scene.wait_beat(lambda b: set(b["current_tasks"]) == want, want)
    for i in range(5):
        scene.fake.put(task(f"echo-{i}"))
        scene.fake.wait_result(f"echo-{i}")
    gaps = scene.gaps()
    check(all(gap > 1.5 - t.late() for gap in gaps), f"gaps {gaps}")
    scene.end()


@case("early heartbeats do not go on for ever: they have a budget")
def early_budget(t):
    scene = Scene(t, worker=NEVER)
    begun = time.monotonic()
    n = 0
    while time.monotonic() < begun + 10:
        scene.fake.put(task(f"t{n}"))
        scene.fake.wait_result(f"t{n}")
        n += 1
    came = len(scene.fake.of_kind("heartbeat"))
    took = time.monotonic() - begun
    check(came <= 2 + took / 2, f"{came} heartbeats in {took} s, {n} tasks")
    scene.end()


@case("rxon: a skill is hot while a child of its category is ready")
def hot(t):
    fake = Fake(classic=False)
    config = t.config(fake.url, worker=NEVER, orchestrator="protocol = rxon")
    config = config.replace("category heavy {\n    children = 2", """
category heavy {
    min_children = 0
    max_children = 1
    idle_timeout = 5s""")
    worker = t.worker(fake.url, args=["-c", t.write("hot.conf", config)])
    fake.wait_requests("register", 1)
    said = fake.of_kind("register")[0].json()
    check("echo" in said["hot_skills"], f"{said['hot_skills']}")
    check("slow" not in said["hot_skills"], f"{said['hot_skills']}")
    check("slow" in said["available_skills"], "slow is not offered")

    def told():
        """Whether it was hot, in each heartbeat that says so."""
        return ["slow" in r.json()["hot_skills"]
                for r in fake.of_kind("heartbeat") if r.body]
    fake.put(task("a", "slow", {"ms": 1, "name": "a"}))
    fake.wait_result("a")
    eventually(lambda: any(told()), "it is told as hot")
    eventually(lambda: not told()[-1], "it is told as cold")
    worker.drain()


@case("rxon: usage is told first, then only when it has changed or is old")
def usage(t):
    scene = Scene(t, env={"WORKER_TELEMETRY_FORCE_INTERVAL": "3"})
    first = scene.wait_beat(lambda b: True, "something")
    check(0 <= first["usage"]["cpu_load_percent"] <= 100, f"{first['usage']}")
    check(first["usage"]["ram_used_gb"] > 0, f"{first['usage']}")
    told = scene.wait_usage(4)
    for (i, old), (j, new) in zip(told, told[1:]):
        check(abs(old["cpu_load_percent"] - new["cpu_load_percent"]) > 4.8 or
              abs(old["ram_used_gb"] - new["ram_used_gb"]) > 0 or
              j - i >= 2.5 - t.late(), f"{old} {new}, {j - i} s later")
    scene.end()


@case("rxon: the dead band of usage is as wide as the environment says")
def dead_band(t):
    wide = Scene(t, env={"WORKER_TELEMETRY_DEADBAND": "100.0",
                         "WORKER_TELEMETRY_FORCE_INTERVAL": "5"})
    at = [at for at, _ in wide.wait_usage(2)]
    check(at[1] - at[0] >= 4.5 - t.late(), f"told at {at}")
    wide.wait_beat(lambda b: "usage" not in b, "nothing about usage")
    wide.end()
    none = Scene(t, env={"WORKER_TELEMETRY_DEADBAND": "0"})
    none.wait_usage(3)
    none.end()


@case("rxon: a full sync sends the skills under another hash; asked again, it "
      "registers again")
def full_sync(t):
    scene = Scene(t)
    scene.fake.break_kind("heartbeat", replying(
        200, b'{"status": "ok", "require_full_sync": true}'))
    before = scene.fake.of_kind("register")[0].json()["skills_hash"]
    beat = scene.wait_beat(lambda b: "supported_skills" in b, "skills")
    check(beat["skills_hash"] != before, "the hash is the same")
    scene.fake.wait_requests("register", 2)
    scene.fake.repair()
    seen = len(scene.beats())
    eventually(lambda: len(scene.beats()) > seen + 1, "more heartbeats")
    check("supported_skills" not in scene.beats()[-1], "still sent whole")
    scene.end()


@case("rxon: next_heartbeat_jitter_ms puts the next one off")
def jitter(t):
    scene = Scene(t)
    scene.fake.break_kind("heartbeat", replying(
        200, b'{"status": "ok", "next_heartbeat_jitter_ms": 1500}'))
    seen = len(scene.gaps())  # some may have been answered before
    eventually(lambda: len(scene.gaps()) >= seen + 4, "4 more heartbeats")
    gaps = scene.gaps()[-3:]
    check(all(gap > 2 - t.late() for gap in gaps), f"gaps {gaps}")
    check(min(gaps) < 3.5 + t.late(), f"gaps {gaps}")
    scene.end()


@case("rxon: what a heartbeat's reply cancels is cancelled, by task or job",
      "a", "job-a")
def cancels(t, cancelled):
    scene = Scene(t)
    scene.put("a")
    scene.gate.wait(1)
    scene.fake.break_kind("heartbeat", replying(200, json.dumps(
        {"status": "ok", "cancel_task_ids": ["other", 7, cancelled]})
        .encode()))
    same(scene.fake.wait_result("a", 30)["status"], "cancelled", "status")
    scene.fake.repair()
    scene.end()


@case("rxon: early ones wait as long as the environment says")
def early_delays(t):
    scene = Scene(t, worker=NEVER, env={
        "WORKER_HEARTBEAT_DEBOUNCE_DELAY": "1.5",
        "WORKER_HEARTBEAT_COOLDOWN": "4.0"})
    at = [scene.fake.of_kind("register")[0].at]
    for name in ("a", "b"):
        scene.put(name)
        scene.wait_beat(lambda b: name in b["current_tasks"], name)
        at.append(scene.fake.of_kind("heartbeat")[-1].at)
    check(at[1] - at[0] >= 1.1 - t.late(), f"the first at {at}")
    check(at[2] - at[1] >= 3.5 - t.late(), f"the second at {at}")
    scene.end()


@case("heartbeats keep their time and do not drift")
def on_time(t):
    scene = Scene(t, classic=True)
    eventually(lambda: len(scene.gaps()) >= 12, "13 heartbeats")
    gaps = scene.gaps()[-10:]
    check(max(gaps) < 3 + t.late(), f"gaps {gaps}")
    # A drift is in each of them.
    check(abs(sorted(gaps)[5] - 1) < 0.1, f"gaps {gaps}")
    scene.end()


@case("a heartbeat that is not answered holds back no other")
def unanswered(t):
    scene = Scene(t)
    seen = len(scene.fake.wait_requests("heartbeat", 2))
    scene.fake.break_kind("heartbeat", silent)
    requests = scene.fake.wait_requests("heartbeat", seen + 3)
    check(requests[-1].at - requests[-3].at < 8 + t.late(),
          "they wait for each other")
    scene.fake.repair()
    scene.end()


# How a worker is told that nobody knows it.
UNKNOWN = {"classic": replying(404, b'{"error": "Worker not found"}'),
           "rxon": replying(200, b"null")}


def normal(handler, request):
    """In a fault: what would be answered without it."""
    handler.close_connection = False
    handler.reply(*handler.server.fake.answer(request))


def registered_once_more(scene, met, told):
    """However many heartbeats have been told that we are unknown."""
    eventually(lambda: len(told) == 2 and len(met) >= told[1] + 2,
               "heartbeats after both answers")
    scene.worker.wait_log("does not know w-1 any more")
    same(len(scene.fake.of_kind("register")), 2, "registrations")
    same(len(scene.worker.lines("does not know w-1 any more")), 1, "lines")
    scene.end()


@case("an answer to a heartbeat of before does not undo a registration ({})",
      "classic", "rxon")
def old_answer(t, dialect):
    scene = Scene(t, classic=dialect == "classic")
    fake = scene.fake
    met, told = [], []

    def fault(handler, request):
        """Two are out when the first is told that we are unknown; the second
        hears of it when we have been registered since."""
        met.append(request)
        number = len(met)
        if number == 1:
            eventually(lambda: len(met) >= 2, "another heartbeat")
        elif number == 2:
            fake.wait_requests("register", 2)
            eventually(lambda: len(met) >= 3, "a heartbeat after it")
        else:
            normal(handler, request)
            return
        UNKNOWN[dialect](handler, request)
        told.append(len(met))

    fake.break_kind("heartbeat", fault)
    registered_once_more(scene, met, told)


@case("two heartbeats that hear that we are unknown bring one registration "
      "({})", "classic", "rxon")
def unknown_twice(t, dialect):
    scene = Scene(t, classic=dialect == "classic")
    fake = scene.fake
    met, told = [], []

    def fault(handler, request):
        met.append(request)
        if request not in met[:2]:
            normal(handler, request)
            return
        eventually(lambda: len(met) >= 2, "another heartbeat")
        if request is met[1]:
            fake.wait_requests("register", 2)
        UNKNOWN[dialect](handler, request)
        told.append(len(met))

    def after_both(handler, request):
        eventually(lambda: len(told) == 2, "two answers")
        normal(handler, request)

    fake.break_kind("register", after_both)
    fake.break_kind("heartbeat", fault)
    registered_once_more(scene, met, told)


@case("failures are tried again sooner than the interval, with a back-off")
def back_off(t):
    scene = Scene(t, worker="heartbeat_interval = 8s")
    scene.fake.wait_requests("heartbeat", 1)
    scene.fake.break_kind("heartbeat", replying(500, b"oops", "text/plain"))
    requests = scene.fake.wait_requests("heartbeat", 5)
    gaps = [b.at - a.at for a, b in zip(requests[-4:], requests[-3:])]
    check(gaps[0] < 4 + t.late(), f"gaps {gaps}")
    check(gaps[0] - t.late() < gaps[-1] < 9 + t.late(), f"gaps {gaps}")
    scene.fake.repair()
    scene.end()


@case("stop_status = offline: draining first, offline last of all ({})",
      "classic", "rxon")
def offline(t, dialect):
    scene = Scene(t, classic=dialect == "classic", worker=NEVER,
                  orchestrator="stop_status = offline")
    scene.put("a")
    scene.gate.wait(1)
    # One that is on its way yet may be overtaken, on another connection.
    scene.wait_beat(lambda b: b.get("load") == 1 or
                    "a" in b.get("current_tasks", ()), "a at work")
    scene.worker.signal(signal.SIGTERM)
    scene.wait_beat(lambda b: b["status"] == "draining", "draining")
    scene.gate.open()
    scene.worker.gone()
    same(scene.fake.results["a"][0]["status"], "success", "status")
    last = scene.fake.requests[-1]
    same((last.kind, last.json()["status"]), ("heartbeat", "offline"), "last")
    words = [b["status"] for b in scene.beats()]
    same(words.count("offline"), 1, "times")
    check("idle" not in words[words.index("draining"):], f"{words}")


@case("stop_status = keep, the default, says nothing of the stop")
def keep(t):
    scene = Scene(t)
    scene.put("a")
    scene.gate.wait(1)
    scene.worker.signal(signal.SIGTERM)
    scene.worker.wait_log("draining")
    seen = len(scene.beats())
    eventually(lambda: len(scene.beats()) > seen + 1, "more heartbeats")
    scene.gate.open()
    scene.worker.gone()
    same({b["status"] for b in scene.beats()}, {"idle"}, "words")


@case("a goodbye that nobody answers holds the end up for 2 s at most")
def goodbye_unanswered(t):
    scene = Scene(t, orchestrator="stop_status = offline")
    scene.fake.wait_requests("heartbeat", 1)
    scene.fake.break_kind("heartbeat", silent)
    scene.worker.signal(signal.SIGTERM)
    scene.wait_beat(lambda b: b["status"] == "offline", "offline")
    at = scene.fake.requests[-1].at
    scene.worker.gone()
    check(time.monotonic() - at < 10 + t.late(), "it took too long")
    check(scene.worker.lines("cannot tell .* that the worker stops"),
          "nothing is said about it")


@case("when nothing can run any more nothing is offered, still as idle; and "
      "all again with the first child that starts ({})", "classic", "rxon")
def nothing_runs(t, dialect):
    broken = t.path("broken")
    child = t.write("child", f"""#!/bin/sh
[ -e {broken} ] && exit 1
exec {CHILD} "$@"
""", 0o700)
    classic = dialect == "classic"
    scene = Scene(t, classic=classic, env={"AVTOWORKER_CHILD": child},
                  args=[x for name in ("light", "heavy", "default")
                        for x in ("-o", f"category/{name}."
                                        "withdraw_after=1s")])
    key = "supported_tasks" if classic else "supported_skills"
    children = scene.worker.wait_serving(4 + 2 + 1)
    t.write("broken", "")
    for pid in children:
        os.kill(pid, signal.SIGKILL)

    def last():
        return scene.fake.of_kind("register")[-1].json()[key]
    eventually(lambda: last() == [], "nothing is offered")
    scene.worker.wait_log("taking back what was offered")
    if not classic:
        scene.fake.break_kind("heartbeat", replying(
            200, b'{"status": "ok", "require_full_sync": true}'))
    seen = len(scene.beats())
    eventually(lambda: len(scene.beats()) >= seen + 2, "heartbeats")
    same(scene.beats()[-1]["status"], "idle", "status")
    same(last(), [], "offer")
    scene.fake.repair()
    os.unlink(broken)
    eventually(lambda: '"echo"' in json.dumps(last()), "echo is offered", 60)
    scene.fake.put(task("after"))
    same(scene.fake.wait_result("after")["status"], "success", "status")
    scene.end()


main()
