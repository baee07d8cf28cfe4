# SPDX-License-Identifier: ISC
"""The working day of a worker, and the rules about what it said."""
import json
import re
import signal

from conform import (CLASSIC, RXON, answered, ended, full_heartbeats, inner,
                     now, of_kind, recorded, results_of, rule, scene,
                     wait_unparked)
from harness import SOON, TOKEN, check, same

RETRIES = 3  # how often an orchestrator repeats a task
PLACES = 2
PARAMS = {"text": "ёж \u2028", "whole": 3, "part": 2.5, "none": None,
          "deep": [{"n": [None, {"a": ""}]}]}
CONFIG = """
resources {
    cpu = 6
    memory_gb = 48
    gpu = yes
    gpu_model = "RTX 4090"
    gpu_memory_gb = 24
}
handler echo { cost = 0.25 }
"""

# Code of a failure: what becomes of the job, attempts; per dialect where they
# differ.
TRANSIENT = ("quarantined", 1 + RETRIES)
CODES = {
    "TRANSIENT_ERROR": (TRANSIENT, TRANSIENT),
    "A_CODE_OF_ITS_OWN": (TRANSIENT, TRANSIENT),
    "TIMEOUT_ERROR": (TRANSIENT, TRANSIENT),
    "RESOURCE_EXHAUSTED_ERROR": (TRANSIENT, TRANSIENT),
    "LIMIT_EXCEEDED_ERROR": (TRANSIENT, TRANSIENT),
    "DEPENDENCY_MISSING_ERROR": (TRANSIENT, TRANSIENT),
    "INTERNAL_ERROR": (TRANSIENT, TRANSIENT),
    "LATE_RESULT": (TRANSIENT, TRANSIENT),
    "PERMANENT_ERROR": (("quarantined", 1), ("quarantined", 1)),
    "INVALID_INPUT_ERROR": (("failed", 1), ("failed", 1)),
    "INTEGRITY_MISMATCH_ERROR": (TRANSIENT, ("failed", 1)),
    "SECURITY_ERROR": (TRANSIENT, ("quarantined", 1)),
    "DEPENDENCY_ERROR": (TRANSIENT, ("quarantined", 1)),
    "CONTRACT_VIOLATION_ERROR": (TRANSIENT, ("quarantined", 1)),
}


@scene("the scene: a working day, from the registration to the drain")
def day(t):
    orch, proxy = recorded(t, poll_timeout=1)
    gate = t.gate()
    worker = t.worker(proxy.url, heavy=PLACES, more=CONFIG, worker=f"""
    heartbeat_interval = 1s
    max_concurrent_tasks = {PLACES}""")
    orch.wait_worker()
    jobs = {}

    def put(label, task, params=None, **more):
        jobs[label], = orch.submit(task, params, **more)

    def put_and_wait(label, task, params=None, **more):
        put(label, task, params, **more)
        ended(orch, jobs[label])

    # Nothing to do.
    idle = [now()]
    proxy.wait(lambda all_: sum(e.status == 204 for e in all_) >= 3,
               "three polls that bring nothing")
    idle.append(now())

    put_and_wait("echo", "echo", PARAMS)
    if not t.classic:
        put_and_wait("with a deadline", "echo", PARAMS,
                     result_timeout_seconds=60)
    for code in CODES:
        put(code, "fail", {"code": code, "message": "as asked"})
    for code in CODES:
        ended(orch, jobs[code])
    put_and_wait("retry", "retry_me")
    put_and_wait("crash", "crash", {"signal": int(signal.SIGSEGV)})
    put_and_wait("too big", "big_result", {"size": 2 << 20})
    put_and_wait("in parallel", None, parallel=[
        {"type": "echo", "params": {"n": 1}},
        {"type": "upper", "params": {"text": "b"}}])
    put_and_wait("half in parallel", None, parallel=[
        {"type": "echo", "params": {"n": 1}},
        {"type": "fail", "params": {"code": "TRANSIENT_ERROR"}}])

    # Every place is taken, and one more job waits.
    for i in range(PLACES):
        put(f"held {i}", "slow", {"gate": gate.path, "name": "held"})
    gate.wait(PLACES)
    wait_unparked(proxy)
    full = [now()]
    put("queued", "echo", {"n": 1})
    proxy.wait(lambda all_: sum(
        e.kind == "heartbeat" and e.at > full[0]
        for e in answered(all_)) >= 4, "four heartbeats", 30)
    workers = orch.workers()
    queued = orch.job(jobs["queued"])["outcome"]
    full.append(now())
    gate.open()
    for label in ("held 0", "held 1", "queued"):
        ended(orch, jobs[label])

    # It cannot end yet.
    last = t.gate()
    put("at the stop", "slow", {"gate": last.path, "name": "last"})
    last.wait(1)
    stopped = now()
    worker.signal(signal.SIGTERM)
    proxy.wait(lambda all_: sum(e.kind == "heartbeat" and
                                e.at > stopped + SOON for e in all_) >= 2,
               "heartbeats go on")
    last.open()
    worker.gone()
    ended(orch, jobs["at the stop"])
    return {
        **proxy.to_json(), "workers": workers, "idle": idle, "full": full,
        "queued": queued, "stopped": stopped,
        "jobs": {label: {"id": job_id, **orch.job(job_id)}
                 for label, job_id in jobs.items()}}


# Requests ------------------------------------------------------------------

@rule("nothing that is sent is refused", scene=day)
def nothing_refused(r):
    # What the worker does not know yet: whether it is known.
    bad = [(e.method, e.path, e.status, e.reply[:200])
           for e in answered(r.exchanges) if e.status not in (101, 200, 204)]
    if r.classic:
        same([x[2] for x in bad], [404], "the answer to the first heartbeat")
        bad = bad[1:]
    same(bad, [], "refused requests")


@rule("each request carries the token, the worker's id and the version",
      scene=day)
def headers(r):
    for e in r.exchanges:
        same(e.header("X-Worker-Token"), TOKEN, f"token of {e.path}")
        same(e.header("X-Worker-ID"), "w-1", f"worker's id of {e.path}")
        check(re.fullmatch(r"1\.0b\d+", e.header("X-RXON-Version")),
              f"version of {e.path}")


@rule("compression is not asked for", scene=day)
def compression(r):
    check(any(len(e.reply) >= 500 for e in r.exchanges) or not r.classic,
          "no reply was large enough to be compressed")
    for e in r.exchanges:
        same(e.header("Accept-Encoding"), None, "Accept-Encoding")
        check("Content-Encoding" not in dict(e.reply_headers), "compressed")


@rule("connections are used again", scene=day)
def keep_alive(r):
    check(r.connections < len(r.exchanges) / 4,
          f"{r.connections} connections for {len(r.exchanges)} requests")


@rule("nothing is asked at addresses that a worker needs not (S20)",
      scene=day)
def addresses(r):
    strange = [e.path for e in r.exchanges if e.kind == "other" and
               not e.path.startswith("/_worker/ws/")]
    same(strange, [], "other requests")


@rule("every message with a body is UTF-8 JSON without nulls or empty objects",
      of=RXON, scene=day)
def no_nulls(r):
    def look(where, value):
        check(value is not None and value != {}, f"{value} in {where}")
        for part in value.values() if isinstance(value, dict) else \
                value if isinstance(value, list) else ():
            look(where, part)

    for e in r.exchanges:
        if e.body and e.kind in ("register", "heartbeat"):
            look(e.path, json.loads(e.body.decode("utf-8")))


# The envelope --------------------------------------------------------------

def signed(r):
    return [e for e in r.exchanges if e.body]


@rule("timestamps are whole seconds of now", of=RXON, scene=day)
def timestamps(r):
    for e in signed(r):
        stamp = e.json()["timestamp"]
        check(isinstance(stamp, int), f"timestamp {stamp}")
        check(abs(stamp - e.at) < 2 + SOON, f"timestamp {stamp} at {e.at}")


@rule("each message has a nonce that was never used", of=RXON, scene=day)
def nonces(r):
    used = [e.json()["nonce"] for e in signed(r)]
    same(len(set(used)), len(used), "different nonces")


@rule("signatures are 64 lower-case hexadecimal digits, by the worker (S19)",
      of=RXON, scene=day)
def signatures(r):
    for e in signed(r):
        security = e.json()["security"]
        check(re.fullmatch("[0-9a-f]{64}", security["signature"]),
              f"signature {security}")
        same(security["signer_id"], "w-1", "signer")


@rule("polls and empty heartbeats have no body and no signature", scene=day)
def bare(r):
    polls = of_kind(r, "poll")
    check(polls and not any(e.body for e in polls), "polls with a body")
    empty = [e for e in of_kind(r, "heartbeat") if not e.body]
    check(empty, "no empty heartbeats")


@rule("messages carry neither signature nor nonce", of=CLASSIC, scene=day)
def unsigned(r):
    for e in signed(r):
        for name in ("security", "nonce", "timestamp"):
            check(name not in e.json(), f"{name} in {e.path}")


# Registration --------------------------------------------------------------

@rule("the dialect is found by an empty heartbeat, then comes a registration",
      scene=day)
def first_words(r):
    first, second = r.exchanges[:2]
    same((first.kind, first.body), ("heartbeat", b""), "first request")
    same(second.kind, "register", "second request")
    same(second.replied()["status"], "registered", "reply")
    # A later one may remark that it speaks a later version, too.
    check("mismatch" in second.replied().get("warning", "mismatch"),
          f"{second.replied()}")


@rule("a registration has what dispatchers look at: tasks, resources, costs",
      of=CLASSIC, scene=day)
def classic_registration(r):
    body = of_kind(r, "register")[0].json()
    same(sorted(body), sorted((
        "worker_id", "worker_type", "supported_tasks",
        "max_concurrent_tasks", "cost_per_skill", "installed_models",
        "hostname", "ip_address", "resources")), "members")
    check({"echo", "slow"} <= set(body["supported_tasks"]), f"{body}")
    same(body["max_concurrent_tasks"], PLACES, "places")
    same(body["cost_per_skill"], {"echo": 0.25}, "costs")
    same(body["resources"]["gpu_info"],
         {"model": "RTX 4090", "vram_gb": 24}, "gpu_info")
    same(body["resources"]["cpu_cores"], 6, "cores")


@rule("a registration has what dispatchers look at: skills, resources, costs",
      of=RXON, scene=day)
def rxon_registration(r):
    body = of_kind(r, "register")[0].json()
    skills = {s["name"]: s for s in body["supported_skills"]}
    check({"echo", "slow"} <= set(skills), f"{body}")
    same(body["resources"]["properties"], {"cpu_cores": 6, "ram_gb": 48},
         "properties")
    same(body["resources"]["devices"][0]["properties"], {"vram_gb": 24},
         "device")
    same(body["capabilities"]["cost_per_skill"], {"echo": 0.25}, "costs")
    for name in ("hostname", "ip_address"):
        check(body["capabilities"][name], name)
    check(re.fullmatch("[0-9a-f]{64}", body["skills_hash"]), "skills_hash")


@rule("every skill has version 1.0.0 unless another is configured (S15)",
      of=RXON, scene=day)
def versions(r):
    skills = of_kind(r, "register")[0].json()["supported_skills"]
    same({s["version"] for s in skills}, {"1.0.0"}, "versions")


# Heartbeats ----------------------------------------------------------------

@rule("heartbeats come each interval, empty and full in turn", scene=day)
def alternate(r):
    times = [e.at for e in of_kind(r, "heartbeat")]
    gaps = [b - a for a, b in zip(times, times[1:])]
    check(max(gaps) < 1 + SOON, f"gaps of {gaps}")
    empty = sum(not e.body for e in of_kind(r, "heartbeat"))
    check(empty >= 3 and len(full_heartbeats(r)) >= 3,
          f"{empty} empty ones of {len(times)}")


@rule("an empty heartbeat is answered with ttl_refreshed", scene=day)
def refreshed(r):
    replies = [e.replied() for e in answered(of_kind(r, "heartbeat")[1:])
               if not e.body]
    check(all(x == {"status": "ttl_refreshed"} for x in replies),
          f"replies: {replies}")


@rule("a full heartbeat is merged into the record, and answered with it",
      of=CLASSIC, scene=day)
def merged(r):
    e = answered(full_heartbeats(r))[-1]
    same(sorted(e.json()), sorted((
        "load", "status", "supported_tasks", "hot_cache", "hot_skills")),
        "members")
    for name, value in e.json().items():
        same(e.replied()[name], value, f"{name} of the record")
    same(r.workers["w-1"]["load"], PLACES, "load while it is full")


@rule("a full heartbeat is answered with ok, and its members are in the record",
      of=RXON, scene=day)
def accepted(r):
    for e in answered(full_heartbeats(r)):
        same(e.replied()["status"], "ok", "reply")
    record = r.workers["w-1"]
    for name in ("status", "current_tasks", "hot_skills", "skills_hash"):
        check(name in record, f"{name} is not in {record}")
    check("slow" in record["hot_skills"], f"hot: {record}")


@rule("current_tasks has the ids of tasks and of their jobs (S12)", of=RXON,
      scene=day)
def current_tasks(r):
    told = r.workers["w-1"]["current_tasks"]
    for label in ("held 0", "held 1"):
        check(r.jobs[label]["id"] in told, f"no job id in {told}")
        task_id = results_of(r, label)[0].json()["task_id"]
        check(task_id in told, f"no task id in {told}")


@rule("the hash of the skills stays while the skills do", of=RXON, scene=day)
def steady_hash(r):
    hashes = {e.json()["skills_hash"] for e in full_heartbeats(r)}
    hashes.add(of_kind(r, "register")[0].json()["skills_hash"])
    same(len(hashes), 1, "hashes")


@rule("the status is idle all day, so a job waits for a full worker (S6)",
      scene=day)
def always_idle(r):
    same({e.json()["status"] for e in full_heartbeats(r)}, {"idle"},
         "statuses")
    same(r.queued, "waiting", "job while every place was taken")
    same(r.jobs["queued"]["outcome"], "finished", "the same job later")
    same(r.workers["w-1"]["status"], "idle", "status in the record")


# Polls ---------------------------------------------------------------------

@rule("one poll is out while there is nothing to do, and asks for nothing",
      scene=day)
def one_poll(r):
    polls = [e for e in of_kind(r, "poll")
             if r.idle[0] <= e.at <= r.idle[1]]
    check(polls, "no polls")
    for a, b in zip(polls, polls[1:]):
        check(a.answered_at <= b.at, "two polls at once")
    for e in of_kind(r, "poll"):
        same(e.path, "/_worker/workers/w-1/tasks/next", "path")


@rule("there is no poll without a free place", scene=day)
def no_place(r):
    # The first moment belongs to the poll whose end began it.
    polls = [e for e in of_kind(r, "poll")
             if r.full[0] + 0.1 <= e.at <= r.full[1]]
    same(len(polls), 0, "polls while every place was taken")


@rule("a poll is never dropped, not even at a stop (S7)", scene=day)
def never_dropped(r):
    for e in of_kind(r, "poll"):
        check(not e.dropped and e.status in (200, 204),
              f"poll at {e.at}: {e.status}")


@rule("times of a task may be fractions (S2)", of=RXON, scene=day)
def float_times(r):
    job = r.jobs["with a deadline"]
    task, = [e.replied() for e in of_kind(r, "poll")
             if job["id"].encode() in e.reply]
    check(isinstance(task["deadline"], float), f"deadline of {task}")
    same(job["outcome"], "finished", "job")


@rule("params arrive as they were sent, and data goes back whole", scene=day)
def whole(r):
    echoed = r.jobs["echo"]["state"]["state_history"]["echo"]
    want = dict(PARAMS)
    if not r.classic:
        # Nulls of objects do not travel in that dialect.
        del want["none"]
    same(echoed, want, "params in the data")


# Results -------------------------------------------------------------------

@rule("a result is nested in the classic way (S3)", of=CLASSIC, scene=day)
def nested(r):
    body = results_of(r, "echo")[0].json()
    same(sorted(body), ["job_id", "result", "task_id", "worker_id"],
         "members")
    same(sorted(body["result"]), ["data", "status"], "members of the result")


@rule("a result is flat, and names who sends it", of=RXON, scene=day)
def flat(r):
    body = results_of(r, "echo")[0].json()
    for name in ("worker_id", "origin_worker_id"):
        same(body[name], "w-1", name)
    same(body["status"], "success", "status")
    check("result" not in body, f"{body}")


@rule("success is taken, and its data is in the job's history", scene=day)
def success(r):
    e, = results_of(r, "echo")
    same(e.replied()["status"], "result_accepted_success" if r.classic
         else "accepted", "reply")
    job = r.jobs["echo"]["state"]
    check("echo" in job["state_history"], f"{job}")
    if not r.classic:
        same(e.replied()["transition"], "success_transition", "transition")


@rule("a failure with {} ends as that code does", *CODES, scene=day)
def failure(r, code):
    outcome, attempts = CODES[code][0 if r.classic else 1]
    sent = results_of(r, code)
    same((r.jobs[code]["outcome"], len(sent)), (outcome, attempts),
         "the job, and the results")
    for e in sent:
        body = inner(r, e)
        same(body["status"], "failure", "status")
        same((body["error"]["code"], body["error"]["message"]),
             (code, "as asked"), "error")
        same(e.replied()["status"], "result_accepted_failure" if r.classic
             else "accepted", "reply")
        if not r.classic:
            same(e.replied()["transition"], "failure_handled", "transition")


@rule("a task that is repeated has a new id, and each is answered once",
      scene=day)
def new_ids(r):
    sent = results_of(r, "TRANSIENT_ERROR")
    ids = {e.json()["task_id"] for e in sent}
    same(len(ids), 1 + RETRIES, "task ids")
    everything = [e.json()["task_id"] for e in of_kind(r, "result")]
    same(len(set(everything)), len(everything), "results of tasks")


@rule("a handler's retry goes out as TRANSIENT_ERROR, and is repeated",
      scene=day)
def retry(r):
    sent = results_of(r, "retry")
    same((r.jobs["retry"]["outcome"], len(sent)), TRANSIENT, "retry")
    for e in sent:
        same(inner(r, e)["error"]["code"], "TRANSIENT_ERROR", "code")


@rule("a crash is answered for the child that is dead", scene=day)
def crash(r):
    sent = results_of(r, "crash")
    check(sent, "no results")
    check("signal 11" in inner(r, sent[0])["error"]["message"],
          f"message: {inner(r, sent[0])}")
    same(r.jobs["crash"]["outcome"], "quarantined", "job")


@rule("a result beyond 1 MiB is not sent, but said to be too large",
      scene=day)
def too_big(r):
    e, = results_of(r, "too big")
    check(len(e.body) < 1 << 20, f"{len(e.body)} bytes")
    same(inner(r, e)["error"]["code"], "PERMANENT_ERROR", "code")
    same(r.jobs["too big"]["outcome"], "quarantined", "job")


@rule("branches of a parallel dispatch are answered each (S15, S18)",
      scene=day)
def parallel(r):
    sent = results_of(r, "in parallel")
    same(len(sent), 2, "results")
    for e in sent:
        reply = e.replied()
        same(reply["status"] if r.classic else reply["transition"],
             "parallel_branch_result_accepted" if r.classic
             else "parallel_branch_accepted", "reply")
    same(r.jobs["in parallel"]["outcome"], "finished", "job")


@rule("a branch that fails is its outcome, and is not repeated", scene=day)
def parallel_failure(r):
    same(len(results_of(r, "half in parallel")), 2, "results")
    same(r.jobs["half in parallel"]["outcome"], "finished", "job")


@rule("a result has metadata only if its task had it (S11)", scene=day)
def no_metadata(r):
    for e in of_kind(r, "result"):
        check("metadata" not in e.json(), f"{e.json()}")
        check(e.status == 200, f"{e.status}")


# The end -------------------------------------------------------------------

@rule("after SIGTERM no poll begins, and the one that is out may end",
      scene=day)
def last_polls(r):
    late = [e for e in of_kind(r, "poll") if e.at > r.stopped + SOON]
    same(len(late), 0, "polls after the signal")
    check(all(e.answered_at for e in of_kind(r, "poll")), "one was dropped")


@rule("a stop says nothing, so that jobs wait for the next start", scene=day)
def silent_stop(r):
    late = [e for e in full_heartbeats(r) if e.at > r.stopped]
    check(late, "no heartbeats after the signal")
    same({e.json()["status"] for e in late}, {"idle"}, "statuses")


@rule("what runs at a stop is finished, and its result is taken", scene=day)
def finished_at_stop(r):
    e, = results_of(r, "at the stop")
    check(e.at > r.stopped, "it was over before")
    same(r.jobs["at the stop"]["outcome"], "finished", "job")
