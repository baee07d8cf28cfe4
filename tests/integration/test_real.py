# SPDX-License-Identifier: ISC
"""A whole worker against a real orchestrator. The thin files test_real_*.py
run these cases, each for one version."""
import collections
import json
import os
import signal
import time

import harness
import peers
from harness import TOKEN, case, check, same

RETRIES = 3  # how often an orchestrator repeats a task


def history(orch, job_id):
    """What the results of a job left in it."""
    return orch.job(job_id)["state"]["state_history"]


def types_of(record):
    """What a worker has said it can run."""
    return record.get("supported_tasks") or record["supported_skills"]


def attempts(path):
    """How often the zoo counted a task that names this file."""
    return os.path.getsize(path) if os.path.exists(path) else 0


@case("finds the dialect; 200 jobs of two categories finish with their data")
def mixed_jobs(t):
    orch = t.orchestrator()
    worker = t.worker(orch.url)
    record = orch.wait_worker()
    if orch.classic:
        check("echo" in record["supported_tasks"], f"record {record}")
        check("supported_skills" not in record, f"record {record}")
    else:
        skills = [s["name"] for s in record["supported_skills"]]
        check("echo" in skills, f"record {record}")
    echo = orch.submit("echo", {"text": "ёж {i}", "deep": [{"n": "{i}"}]}, 80)
    upper = orch.submit("upper", {"text": "small {i}"}, 80)
    slow = orch.submit("slow", {"ms": 20, "name": "n{i}"}, 40)
    orch.wait(echo + upper + slow, "finished")
    pids = collections.defaultdict(set)
    for i, job_id in enumerate(echo):
        data = history(orch, job_id)
        same(data["echo"], {"text": f"ёж {i}", "deep": [{"n": str(i)}]},
             f"data of echo {i}")
        same(data["job_id"], job_id, "job id that the handler saw")
        pids["light"].add(data["pid"])
    for i, job_id in enumerate(upper):
        same(history(orch, job_id)["text"], f"SMALL {i}", f"upper {i}")
    for i, job_id in enumerate(slow):
        data = history(orch, job_id)
        same(data["slow"], f"n{i}", f"slow {i}")
        pids["heavy"].add(data["pid"])
    check(not pids["light"] & pids["heavy"], f"shared children: {pids}")
    check(len(pids["heavy"]) <= 2, f"more than 2 heavy children: {pids}")
    check(len(pids["light"]) <= 4, f"more than 4 light children: {pids}")
    for job_id in echo + upper + slow:
        same(orch.job(job_id)["state"]["retry_count"], 0, "retries")
    worker.drain()


@case("what is configured is in the orchestrator's record, and what is at work; "
      "offline is the last word when that is wanted")
def record_of_us(t):
    orch = t.orchestrator()
    gate = t.gate()
    worker = t.worker(orch.url, worker="heartbeat_interval = 1s",
                      orchestrator="stop_status = offline", more="""
resources {
    cpu = 6
    memory_gb = 48
    gpu = yes
    gpu_model = "RTX 4090"
    gpu_memory_gb = 24
    properties = "zone=eu"
    models = "whisper=2"
}
handler echo { cost = 0.25 }
""")
    record = orch.wait_worker()
    if orch.classic:
        same(record["resources"]["gpu_info"],
             {"model": "RTX 4090", "vram_gb": 24}, "gpu_info")
        same(record["resources"]["cpu_cores"], 6, "cores")
        same(record["cost_per_skill"], {"echo": 0.25}, "costs")
    else:
        same(record["resources"]["properties"],
             {"cpu_cores": 6, "ram_gb": 48, "zone": "eu"}, "properties")
        device, = record["resources"]["devices"]
        same((device["type"], device["model"], device["properties"]),
             ("gpu", "RTX 4090", {"vram_gb": 24}), "device")
        same(record["capabilities"]["cost_per_skill"], {"echo": 0.25},
             "costs")
        check("whisper" in json.dumps(record["installed_artifacts"]),
              f"artifacts: {record}")
    jobs = orch.submit("slow", {"gate": gate.path, "name": "a"})
    gate.wait(1)

    def is_told():
        told = orch.workers()["w-1"]
        return told.get("load") == 1 if orch.classic else \
            jobs[0] in told.get("current_tasks", [])
    harness.eventually(is_told, lambda: f"it is told: {orch.workers()}")
    check("slow" in orch.workers()["w-1"]["hot_skills"], "it is not hot")
    same(orch.workers()["w-1"]["status"], "idle", "status")
    gate.open()
    orch.wait(jobs, "finished")
    worker.drain()
    same(orch.workers()["w-1"]["status"], "offline", "last word")


@case("the WebSocket brings cancels, of a task that waits and of one that runs, "
      "and takes progress")
def websocket(t):
    orch = t.orchestrator()
    gate = t.gate()
    worker = t.worker(orch.url, heavy=1, env={"LOG_LEVEL": "DEBUG"}, worker="""
    heartbeat_interval = 5m
    heartbeat_cooldown = 0""")
    orch.wait_worker()
    harness.eventually(
        lambda: (orch.workers()["w-1"].get("capabilities") or {})
        .get("websockets"), lambda: f"it is told: {orch.workers()}")
    running, = orch.submit("heed", {"gate": gate.path, "name": "running"})
    gate.wait(1)
    waiting, = orch.submit("slow", {"gate": gate.path, "name": "waiting"})
    worker.wait_log("leased a task", count=2)
    if not orch.classic:
        # The heartbeat that a new task brings is over before it is cancelled.
        harness.eventually(
            lambda: {running, waiting} <=
            set(orch.workers()["w-1"].get("current_tasks", ())),
            lambda: f"both are told: {orch.workers()}")
    orch.cancel(waiting)
    worker.wait_log("cancelled by the orchestrator")
    orch.wait(waiting, "cancelled")
    gate.open()
    orch.cancel(running)
    worker.wait_log("cancelled by the orchestrator", count=2)
    orch.wait(running, "cancelled")
    same([name for name, _ in gate.arrived], [gate.arrived[0][0]], "started")
    # Heartbeats would have named the jobs.
    same(worker.lines(f"cancels ({waiting}|{running})$"), [], "other cancels")
    told, = orch.submit("tell", {"times": 3})
    orch.wait(told, "finished")
    if orch.classic:
        messages = orch.ask("GET", "/messages")
        same({(m["event"], m["job_id"], m["message"]) for m in messages},
             {("progress_update", told, "on the way")}, "messages")
    else:
        same(orch.job(told)["state"]["progress_message"], "on the way",
             "progress")
    worker.drain()


@case("failures end as their code says")
def failures(t):
    orch = t.orchestrator()
    worker = t.worker(orch.url)
    orch.wait_worker()
    want = {
        "INVALID_INPUT_ERROR": ("failed", 1),
        "PERMANENT_ERROR": ("quarantined", 1),
        "TRANSIENT_ERROR": ("quarantined", 1 + RETRIES),
        "NOT_FOUND": ("quarantined", 1 + RETRIES),
    }
    jobs = {code: orch.submit("fail", {
        "code": code, "message": "the disk is on fire",
        "count": t.path(code)})[0] for code in want}
    for code, (outcome, count) in want.items():
        orch.wait(jobs[code], outcome)
        same(attempts(t.path(code)), count, f"attempts of {code}")
        check("the disk is on fire" in json.dumps(orch.job(jobs[code])),
              f"the message of {code} is lost")
    bad_type = orch.submit("upper", {"text": 7})
    orch.wait(bad_type, "failed")
    forgot = orch.submit("no_result")
    orch.wait(forgot, "quarantined")
    worker.drain()


@case("a retry is run again, and quarantined when it never ends")
def retries(t):
    orch = t.orchestrator()
    worker = t.worker(orch.url)
    orch.wait_worker()
    once = orch.submit("retry_me", {"succeed_at": 2, "count": t.path("a")})
    ever = orch.submit("retry_me", {"count": t.path("b")})
    orch.wait(once, "finished")
    same(history(orch, once[0])["attempt"], 2, "attempt that succeeded")
    orch.wait(ever, "quarantined")
    same(attempts(t.path("b")), 1 + RETRIES, "attempts")
    worker.drain()


@case("a crash costs its own task alone, which is run again")
def crashes(t):
    orch = t.orchestrator()
    gate = t.gate()
    worker = t.worker(orch.url, heavy=3)
    orch.wait_worker()
    held = orch.submit("slow", {"gate": gate.path, "name": "held",
                                "count": t.path("held")})
    (_, holder), = gate.wait(1)
    for number in (signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT):
        path = t.path(f"signal-{int(number)}")
        job_id, = orch.submit("crash", {
            "signal": int(number), "crashes": 1, "count": path})
        orch.wait(job_id, "finished")
        same(history(orch, job_id)["attempt"], 2, "attempt that succeeded")
    exits = orch.submit("exit_now", {"status": 0, "count": t.path("exit")})
    orch.wait(exits, "quarantined")
    for_ever = orch.submit("crash", {"count": t.path("ever")})
    orch.wait(for_ever, "quarantined")
    check(3 <= attempts(t.path("ever")) <= 1 + RETRIES,
          f"attempts of a task that always crashes: "
          f"{attempts(t.path('ever'))}")
    check("signal 11" in json.dumps(orch.job(for_ever[0])).lower() or
          "sigsegv" in json.dumps(orch.job(for_ever[0])).lower(),
          f"the cause is lost: {orch.job(for_ever[0])}")
    same(gate.wait(1)[0][1], holder, "process of the task beside them")
    gate.open()
    orch.wait(held, "finished")
    same(attempts(t.path("held")), 1, "attempts of the task beside them")
    same(history(orch, held[0])["pid"], holder, "process that finished it")
    worker.wait_children(3 + 4 + 1)
    worker.drain()


@case("an unknown type is quarantined, whether it comes here or not")
def unknown_type(t):
    orch = t.orchestrator()
    worker = t.worker(orch.url, worker="heartbeat_interval = 5m")
    orch.wait_worker()
    nobody = orch.submit("no_such_type")
    orch.wait(nobody, "quarantined")
    # Now one that the orchestrator believes in: our worker has to answer. It
    # tells of itself once more when its children are ready.
    harness.eventually(
        lambda: len(orch.workers()["w-1"].get("hot_skills") or ()) ==
        len(types_of(orch.workers()["w-1"])),
        lambda: f"all types are hot: {orch.workers()}")
    orch.register("w-1", ["echo", "foreign"])
    foreign = orch.submit("foreign")
    orch.wait(foreign, "quarantined")
    same(orch.job(foreign[0])["state"]["retry_count"], RETRIES, "retries")
    rows = orch.job(foreign[0])["timeline"]
    tasks = {r["current_task_id"] for r in rows if "current_task_id" in r}
    same(len(tasks), 1 + RETRIES, "dispatches")
    check("foreign" in worker.log(), "the log does not name the type")
    good = orch.submit("echo")
    orch.wait(good, "finished")
    worker.drain()


@case("a job submitted while the only worker restarts is run after it")
def restart(t):
    orch = t.orchestrator()
    first = t.worker(orch.url)
    orch.wait_worker()
    orch.wait(orch.submit("echo"), "finished")
    first.drain()
    waiting = orch.submit("echo", {"n": "{i}"}, 3)
    second = t.worker(orch.url)
    orch.wait(waiting, "finished")
    for i, job_id in enumerate(waiting):
        same(history(orch, job_id)["echo"], {"n": str(i)}, "data")
        same(orch.job(job_id)["state"]["retry_count"], 0, "retries")
    second.drain()


@case("SIGTERM in the middle of 50 slow tasks loses none of them")
def drain(t):
    running = 10
    orch = t.orchestrator()
    gate = t.gate()
    config = {"heavy": running, "light": 1,
              "worker": f"max_concurrent_tasks = {running}"}
    worker = t.worker(orch.url, **config)
    orch.wait_worker()
    jobs = orch.submit("slow", {"gate": gate.path, "name": "n{i}",
                                "count": t.path("count-{i}")}, 50)
    gate.wait(running)
    worker.signal(signal.SIGTERM)
    worker.wait_log("(?i)drain|stopp|wait")
    gate.open()
    worker.gone()
    ran = [i for i in range(50) if attempts(t.path(f"count-{i}"))]
    check(len(ran) >= running, f"only {len(ran)} tasks were run")
    orch.wait([jobs[i] for i in ran], "finished")
    for i in ran:
        same(history(orch, jobs[i])["slow"], f"n{i}", f"data of job {i}")
    # Nothing that was queued is lost either.
    other = t.worker(orch.url, **config)
    orch.wait(jobs, "finished")
    for i in range(50):
        same(attempts(t.path(f"count-{i}")), 1, f"attempts of job {i}")
    other.drain()


@case("a wrong token is told, tried again in peace, and mended by its file")
def wrong_token(t):
    orch = t.orchestrator()
    wrong = "not-the-token-at-all"
    worker = t.worker(orch.url, token=wrong)
    started = time.monotonic()
    lines = worker.wait_log(r"WARNING|ERROR", 30, count=2)
    check(any("token" in x for x in lines), f"no word of the token: {lines}")
    check(any(("401" if orch.classic else "403") in x for x in lines),
          f"no word of the refusal: {lines}")
    took = time.monotonic() - started
    told = len(worker.lines(r"WARNING|ERROR"))
    check(told <= 3 + 2 * took, f"{told} lines in {took:.1f} s")
    same(orch.workers(), {}, "workers")
    check(wrong not in worker.log(), "the token is in the log")
    t.write("token", TOKEN + "\n")
    orch.wait_worker("w-1", 60)
    orch.wait(orch.submit("echo"), "finished")
    check(TOKEN not in worker.log(), "the token is in the log")
    worker.drain()


@case("a wrong token does not hold the stop back")
def wrong_token_stop(t):
    orch = t.orchestrator()
    worker = t.worker(orch.url, token="not-the-token-at-all")
    worker.wait_log(r"WARNING|ERROR")
    worker.drain(10)


@case("the worker registers again by itself when the orchestrator restarts")
def orchestrator_restart(t):
    orch = t.orchestrator()
    worker = t.worker(orch.url, worker="heartbeat_interval = 1s")
    orch.wait_worker()
    orch.kill()
    worker.wait_log(r"WARNING|ERROR")
    again = t.orchestrator(port=orch.port)
    again.wait_worker("w-1", 60)
    job = again.submit("echo", {"n": 1})
    again.wait(job, "finished")
    worker.drain()


@case("a quick restart of the orchestrator is noticed by the heartbeat")
def forgotten(t):
    orch = t.orchestrator()
    worker = t.worker(orch.url, worker="heartbeat_interval = 1s")
    orch.wait_worker()
    orch.kill()
    again = t.orchestrator(port=orch.port)
    again.wait_worker("w-1", 60)
    # And it stays registered.
    job = again.submit("echo", {"n": 1})
    again.wait(job, "finished")
    worker.drain()


@case("a result that finds the orchestrator gone is kept until it is back")
def result_kept(t):
    orch = t.orchestrator()
    gate = t.gate()
    worker = t.worker(orch.url, worker="heartbeat_interval = 1s")
    orch.wait_worker()
    orch.submit("slow", {"gate": gate.path, "name": "orphan"})
    gate.wait(1)
    orch.kill()
    gate.open()
    worker.wait_log(r"WARNING|ERROR")
    again = t.orchestrator(port=orch.port)
    again.wait_worker("w-1", 60)
    # The new one does not know the job: the result is refused for good, and
    # told, and the work goes on.
    worker.wait_log(r"(?i)job.not.found", 60)
    again.wait(again.submit("echo"), "finished")
    worker.drain()


def main(version):
    harness.main(lambda: peers.python_of(version), version=version)
