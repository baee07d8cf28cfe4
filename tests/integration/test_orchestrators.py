#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""One worker for several orchestrators: each has its own token, its own tasks
and its own troubles."""
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True

import harness  # noqa: E402
import peers  # noqa: E402
from fake_orchestrator import Fake, replying, silent, task  # noqa: E402
from harness import (TOKEN, Worker, case, check,  # noqa: E402
                     eventually, main, proc_read, same)

SOON_AGAIN = """
    registration_backoff_initial = 100ms
    registration_backoff_max = 1s"""


class Peer(Fake):
    """May have a token of its own, and much to do."""

    def __init__(self, token=TOKEN, **more):
        super().__init__(**more)
        self.token = token

    def put_many(self, name, count, kind="slow", **params):
        for i in range(count):
            self.put(task(f"{name}-{i}", kind, {"name": f"{name}-{i}",
                                                **params}))

    def wait_all(self, name, count):
        for i in range(count):
            self.wait_result(f"{name}-{i}")


def block(t, name, peer, more=""):
    path = t.write(f"token-{name}", peer.token + "\n")
    return f"""
orchestrator {name} {{
    url = "{peer.url}"
    token_file = "{path}"
    {more}
}}"""


def config(t, first, second, worker="", first_more="", second_more="",
           **more):
    """The first is called main, the second is called other."""
    return t.config(first.url, worker=worker, token=first.token,
                    orchestrator=first_more,
                    more=block(t, "other", second, second_more), **more)


def order(*fakes):
    """Task ids in the order of their results."""
    results = [(r.at, r.json()["task_id"])
               for fake in fakes for r in fake.of_kind("result")]
    return [name for _, name in sorted(results)]


@case("results go back to where their tasks came from, with its token ({})",
      ("classic", True), ("rxon", False))
def apart(t, _dialect, classic):
    a, b = Peer("first-token", classic=classic), Peer("other-token",
                                                      classic=not classic)
    worker = Worker(t, config(t, a, b))
    a.put_many("a", 20, ms=1)
    b.put_many("b", 20, ms=1)
    a.wait_all("a", 20)
    b.wait_all("b", 20)
    for fake, name in ((a, "a"), (b, "b")):
        check(all(k.startswith(name + "-") for k in fake.results),
              f"results at {name}: {list(fake.results)}")
        same({r.headers["X-Worker-Token"] for r in fake.requests},
             {fake.token}, "tokens")
        same({len(v) for v in fake.results.values()}, {1}, "results")
    worker.drain()


@case("one that is down is said once in a while and costs the other nothing")
def down(t):
    a = Peer()
    b = Peer(start=False)
    worker = Worker(t, config(t, b, a, worker="heartbeat_interval = 1s"))
    worker.wait_log("cannot register at http")
    began = time.monotonic()
    a.put_many("a", 50, ms=1)
    a.wait_all("a", 50)
    took = time.monotonic() - began
    check(took < 15 + t.late(), f"50 tasks took {took:.1f} s")
    b.start()
    b.wait_requests("poll", 1)
    b.put_many("b", 5, ms=1)
    b.wait_all("b", 5)
    worker.drain()


@case("one that never answers delays no heartbeat to the other, and no task")
def mute(t):
    a, b = Peer(), Peer()
    for kind in ("register", "heartbeat", "poll", "result"):
        b.break_kind(kind, silent)
    worker = Worker(t, config(
        t, b, a, worker="heartbeat_interval = 1s",
        first_more="protocol = classic\n    request_timeout = 5s"))
    a.wait_requests("heartbeat", 2)
    a.put_many("a", 20, ms=1)
    a.wait_all("a", 20)
    a.wait_requests("heartbeat", 8)
    times = [r.at for r in a.of_kind("heartbeat")]
    worst = max(y - x for x, y in zip(times, times[1:]))
    check(worst < 4 + t.late(),
          f"{worst:.2f} s between two heartbeats, not 1 s")
    b.repair()
    worker.drain()


def busy_pair(t, worker, a_more="", b_more=""):
    """A worker that runs one task at a time, and much work at both, which it
    hears of in the same moment."""
    a, b = Peer(), Peer()
    config_text = config(
        t, a, b, heavy=1, first_more=a_more, second_more=b_more,
        worker="max_concurrent_tasks = 1\n    max_queued = 1\n    " + worker)
    started = Worker(t, config_text)
    a.wait_requests("poll", 1)
    b.wait_requests("poll", 1)
    with a.changed, b.changed:
        a.put_many("a", 60, ms=1)
        b.put_many("b", 60, ms=1)
    return a, b, started


def share(names, count):
    """How many are of the first, from when both have given one."""
    both = max(names.index("a-0"), names.index("b-0"))
    return sum(n.startswith("a-") for n in names[both:both + count])


@case("{}: the first is served first",
      ("waterfall",), ("failover",))
def in_order(t, mode):
    a, b, worker = busy_pair(t, f"orchestrator_mode = {mode}",
                             "priority = 1", "priority = 2")
    a.wait_all("a", 60)
    b.wait_all("b", 60)
    got = share(order(a, b), 40)
    check(got >= 36, f"{got} of the first 40 tasks are of the first")
    worker.drain()


@case("priority decides who is first, not the place in the file")
def priority(t):
    a, b, worker = busy_pair(t, "", "priority = 20", "priority = 3")
    b.wait_all("b", 60)
    got = share(order(a, b), 40)
    check(got <= 4, f"{got} of the first 40 tasks are of the second")
    a.wait_all("a", 60)
    worker.drain()


@case("round_robin: shares follow the weights")
def weights(t):
    a, b, worker = busy_pair(t, "orchestrator_mode = round_robin",
                             "weight = 3", "weight = 1")
    a.wait_all("a", 60)
    b.wait_all("b", 60)
    got = share(order(a, b), 40)
    check(26 <= got <= 34, f"{got} of the first 40 tasks, not 30, are of the "
          f"one with weight 3")
    worker.drain()


@case("round_robin: who has nothing costs the other nothing")
def round_robin_idle(t):
    a, b = Peer(), Peer()
    worker = Worker(t, config(
        t, a, b, heavy=1, first_more="weight = 100",
        worker="orchestrator_mode = round_robin\n"
               "    max_concurrent_tasks = 1"))
    a.wait_requests("poll", 1)
    b.wait_requests("poll", 1)
    b.put_many("b", 60, ms=1)
    b.wait_all("b", 60)
    a.put_many("a", 1, ms=1)
    a.wait_all("a", 1)
    worker.drain()


@case("failover: a single poll is parked at the second while the first answers")
def single_poll(t):
    a, b = Peer(poll_timeout=5), Peer()
    worker = Worker(t, config(
        t, a, b, heavy=8, worker="orchestrator_mode = failover"))
    a.wait_requests("poll", 1)
    b.put_many("b", 40, ms=20)
    b.wait_all("b", 40)
    same(b.most_parked, 1, "most polls parked at the second")
    a.stop()
    worker.wait_log("poll failed at " + a.url)
    b.put_many("c", 200, ms=20)
    eventually(lambda: b.most_parked > 1,
               "more polls at the second when the first is gone")
    b.wait_all("c", 200)
    worker.signal(15)
    worker.gone(60)


@case("ORCHESTRATORS_CONFIG names them all, is a secret, and survives a reload")
def listed(t):
    a, b = Peer("first-token"), Peer()
    value = json.dumps([
        {"url": a.url, "priority": 20, "token": "first-token"},
        {"url": b.url + "/", "priority": 5, "weight": 2}])
    text = t.config("http://unused", heavy=1)
    start = text.index("orchestrator main")
    text = text[:start] + text[text.index("category light"):]
    worker = Worker(t, text, env={
        "ORCHESTRATORS_CONFIG": value, "WORKER_TOKEN": TOKEN,
        "ORCHESTRATOR_URL": "http://127.0.0.1:1"})
    a.put_many("a", 5, ms=1)
    b.put_many("b", 5, ms=1)
    a.wait_all("a", 5)
    b.wait_all("b", 5)
    check("first-token" not in proc_read(worker.pid, "environ"),
          "the token is in the environment block")
    worker.signal(1)
    worker.wait_log("reload: done")
    a.put_many("c", 5, ms=1)
    a.wait_all("c", 5)
    check("first-token" not in worker.log(), "the token is in the log")
    worker.drain()


@case("one registration for each category: a full one leaves the others alone")
def categories(t):
    a = Peer()
    gate = t.gate()
    worker = Worker(t, t.config(
        a.url, light=1, heavy=1, orchestrator="registration = category"))
    a.wait_requests("register", 3)
    offers = {r.json()["worker_id"]: r.json()["supported_tasks"]
              for r in a.of_kind("register")}
    same(sorted(offers), ["w-1-default", "w-1-heavy", "w-1-light"], "ids")
    check("slow" in offers["w-1-heavy"] and "echo" not in offers["w-1-heavy"],
          f"offers {offers}")
    check("echo" in offers["w-1-light"] and "slow" not in offers["w-1-light"],
          f"offers {offers}")

    def polls_of(name):
        return [r.at for r in a.of_kind("poll") if f"/{name}/" in r.path]

    eventually(lambda: all(polls_of(name) for name in offers),
               "each is polled")
    a.put(task("full", "slow", {"gate": gate.path, "name": "full"}))
    gate.wait(1)
    a.put_many("light", 20, "echo")
    a.wait_all("light", 20)

    def more_polls(count):
        had = len(polls_of("w-1-light"))
        eventually(lambda: len(polls_of("w-1-light")) >= had + count,
                   "light is polled")
        return len(polls_of("w-1-heavy"))
    # The poll that was out may end, but no other one is begun.
    same(more_polls(2), more_polls(3), "polls of the full category")
    gate.open()
    ids = {r.json()["task_id"]: r.json()["worker_id"]
           for r in a.of_kind("result")}
    a.wait_result("full")
    check(ids["light-0"].startswith("w-1-"), f"{ids}")
    worker.drain()


@case("a category that goes while its orchestrator is down is not offered later")
def category_goes(t):
    a = Peer(start=False)
    text = t.config(a.url, light=1, heavy=1,
                    orchestrator="registration = category" + SOON_AGAIN)
    worker = Worker(t, text + """
handler passing {
    exec = /bin/cat
    category = passing
}
category passing {
    children = 1
}""")
    worker.wait_log("cannot register", count=4)
    t.write("worker.conf", text)
    worker.signal(1)
    worker.wait_log("reload: done")
    a.start()
    eventually(lambda: len({r.json()["worker_id"]
                            for r in a.of_kind("register")}) == 4,
               "all are registered")
    check(not any("passing" in r.json()["supported_tasks"]
                  for r in a.of_kind("register")), "it is offered")
    worker.drain()


@case("what nothing can run any more is not offered to one that comes later")
def nothing_to_run(t):
    a = Peer(start=False)
    broken = t.path("broken")
    child = t.write("child", f"""#!/bin/sh
[ -e {broken} ] && exit 1
exec {harness.CHILD} "$@"
""", 0o700)
    worker = t.worker(a.url, orchestrator=SOON_AGAIN, light=1, heavy=1,
                      env={"AVTOWORKER_CHILD": child},
                      args=[x for name in ("light", "heavy", "default")
                            for x in ("-o", f"category/{name}."
                                            "withdraw_after=1s")])
    worker.wait_log("cannot register")
    children = worker.wait_serving(1 + 1 + 1)
    t.write("broken", "")
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    worker.wait_log("taking back what was offered")
    a.start()
    a.wait_requests("register", 1)
    same(a.of_kind("register")[0].json()["supported_tasks"], [], "offer")
    os.unlink(broken)
    eventually(lambda: "echo" in a.of_kind("register")[-1].json()[
        "supported_tasks"], "echo is offered", 60)
    worker.drain()


@case("a worker at two real ones of both dialects at once")
def real_pair(t):
    classic = harness.Orchestrator(t, "1.0b5")
    rxon = harness.Orchestrator(t, "1.0b30")
    worker = Worker(t, t.config(classic.url, more=f"""
orchestrator other {{
    url = "{rxon.url}"
    token_file = "{t.write("token2", TOKEN)}"
}}"""))
    for orch in (classic, rxon):
        orch.wait_worker()
    jobs = {orch: orch.submit("echo", {"text": "{i}"}, 30)
            for orch in (classic, rxon)}
    for orch, ids in jobs.items():
        orch.wait(ids, "finished")
    rxon.kill()
    classic.wait(classic.submit("echo", {"text": "{i}"}, 30), "finished")
    worker.signal(15)
    worker.gone(60)


@case("none cancels what has come from another")
def cancels(t):
    a, b = Peer(), Peer(websocket=True)
    gate = t.gate()
    worker = Worker(t, config(t, a, b), env={"LOG_LEVEL": "DEBUG"})
    a.put(task("held", "slow", {"gate": gate.path, "name": "held"}))
    gate.wait(1)
    b.wait_socket().send({"command": "cancel_task", "task_id": "held",
                          "job_id": "job-held"})
    worker.wait_log("cancels held")
    gate.open()
    same(a.wait_result("held")["status"], "success", "status")
    worker.drain()


@case("a stop waits for the results and the polls of each of them")
def stop(t):
    a, b = Peer(), Peer(poll_timeout=30)
    worker = Worker(t, config(
        t, a, b, worker="shutdown_timeout = 60s\n    heartbeat_interval = 1s"))
    eventually(lambda: b.parked > 0, "a poll is parked")
    worker.signal(signal.SIGTERM)
    worker.wait_log("draining")

    def two_more():
        """Heartbeats; what nobody waits for would have ended by then."""
        a.wait_requests("heartbeat", len(a.of_kind("heartbeat")) + 2)
    two_more()
    late = [f"late-{i}" for i in range(b.parked)]
    b.break_kind("result", replying(503, b"{}"))
    for name in late:
        b.put(task(name))
    eventually(lambda: b.parked == 0, "no poll is parked")
    b.wait_requests("result", 1)
    two_more()
    b.repair()
    for name in late:
        same(b.wait_result(name)["status"], "success", name)
    worker.gone()


@case("status shows each of them")
def status(t):
    a, b = Peer(), Peer(start=False)
    worker = Worker(t, config(t, a, b))
    worker.wait_log("registered at " + a.url)
    ctl = os.path.join(harness.BUILD, "avtoworkerctl")
    shown = harness.Program(
        t, "ctl", [ctl, "-s", t.path("state/control.sock"),
                   "status"], {"PATH": "/usr/bin"})
    shown.wait()
    lines = [x.split() for x in shown.output().splitlines()]
    rows = {x[0]: x for x in lines if x and x[0] in ("main", "other")}
    same(rows["main"][-1], "registered", "main")
    same(rows["other"][-2:], ["not", "registered"], "other")
    worker.drain()


main(prepare=lambda: [peers.python_of(v) for v in ("1.0b5", "1.0b30")])
