#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What handlers tell while they run: before the result or not at all, at a
pace that the orchestrator bears, and never in the way of anything."""
import itertools
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, replying, silent, task  # noqa: E402
from harness import case, check, eventually, main, same  # noqa: E402


def scene(t, classic=False):
    fake = Fake(classic=classic)
    return fake, t.worker(fake.url, light=2, heavy=2,
                          orchestrator=f"protocol = "
                          f"{'classic' if classic else 'rxon'}")


def told(fake):
    return [r.json() for r in fake.of_kind("event")]


@case("progress and an event reach the orchestrator before the result")
def order(t):
    fake, worker = scene(t)
    fake.put(task("t-1", "tell", {"times": 3, "type": "half.done",
                                  "payload": '{"n": 1}'}))
    same(fake.wait_result("t-1")["status"], "success", "status")
    kinds = [r.kind for r in fake.requests if r.kind in ("event", "result")]
    same(kinds[-1], "result", "the last request")
    events = told(fake)
    same(events[0]["event_type"], "progress", "the first")
    same(events[0]["payload"]["message"], "on the way", "message")
    same(events[-1]["event_type"], "half.done", "the last")
    same(events[-1]["payload"], {"n": 1}, "payload")
    for event in events:
        same((event["target_job_id"], event["origin_task_id"],
              event["worker_id"]), ("job-t-1", "t-1", "w-1"), "ids")
        check(event["security"]["signature"], "no signature")
    same(len({e["event_id"] for e in events}), len(events), "ids of events")
    worker.drain()


@case("the trace context of a task comes back with its events")
def traced(t):
    fake, worker = scene(t)
    fake.put({**task("t-1", "tell", {"times": 1}),
              "tracing_context": {"traceparent": "00-abc-def-01"}})
    fake.wait_result("t-1")
    for event in told(fake):
        same(event["trace_context"], {"traceparent": "00-abc-def-01"},
             "trace context")
    worker.drain()


@case("a job that is another worker's by now silences nobody else")
def not_ours(t):
    fake, worker = scene(t)
    error = b"Forbidden: Worker 'w-1' is not assigned to job 'job-lost'"

    def refuse_one(handler, request):
        if request.json()["target_job_id"] == "job-lost":
            replying(403, b'{"error": "%s"}' % error)(handler, request)
        else:
            handler.reply(*fake.answer(request))
    fake.break_kind("event", refuse_one)
    for name in "lost", "mine":
        fake.put(task(name, "tell", {"times": 1, "type": "half.done",
                                     "payload": "{}"}))
        fake.wait_result(name)
    same([(e["target_task_id"], e["event_type"]) for e in told(fake)
          if e["event_type"] != "progress"],
         [("lost", "half.done"), ("mine", "half.done")], "events")
    check(worker.wait_log("an event was refused: HTTP 403"), "no line")
    worker.drain()


@case("a task that tells much is heard seldom")
def seldom(t):
    fake, worker = scene(t)
    began = time.monotonic()
    fake.put(task("t-1", "tell", {"times": 100000}))
    fake.wait_result("t-1")
    took = time.monotonic() - began
    check(len(told(fake)) <= 3 + took, f"{len(told(fake))} events")
    worker.drain()


@case("the result does not wait for events that are {}",
      ("answered with 500", replying(500)),
      ("answered with 403", replying(403, b'{"error": "no"}')),
      ("never answered", silent))
def broken(t, _name, fault):
    fake, worker = scene(t)
    fake.break_kind("event", fault)
    for i in range(5):
        fake.put(task(f"t-{i}", "tell", {"times": 2}))
    for i in range(5):
        same(fake.wait_result(f"t-{i}")["status"], "success", "status")
    fake.repair()
    worker.drain()


@case("an event that is refused with a 200 is told, and not sent again")
def refused(t):
    fake, worker = scene(t)
    fake.break_kind("event", replying(
        200, b'{"status": "error", "message": "no such payload"}'))
    fake.put(task("t-1", "tell", {"times": 1, "type": "odd",
                                  "payload": "{}"}))
    same(fake.wait_result("t-1")["status"], "success", "status")
    worker.wait_log("WARNING.*an event was refused: no such payload")
    same(sum(e["event_type"] == "odd" for e in told(fake)), 1, "events")
    worker.drain()


@case("events that are refused are told once a second, with their number")
def many_refused(t):
    fake, worker = scene(t)
    fake.break_kind("event", replying(
        200, b'{"status": "error", "message": "no such payload"}'))
    began = time.monotonic()
    fake.put(task("t-1", "tell", {"times": 60, "type": "odd",
                                  "payload": "{}"}))
    fake.wait_result("t-1")
    lines = worker.lines("an event was refused")
    took = time.monotonic() - began
    check(1 <= len(lines) <= 1 + took, f"{len(lines)} lines in {took:.1f} s")
    names = (f"again-{i}" for i in itertools.count())

    def counted():
        fake.put(task(next(names), "tell", {"times": 1, "type": "odd",
                                            "payload": "{}"}))
        return worker.lines(r"refused.*\(and \d+ before it")

    eventually(counted, "their number is told")
    worker.drain()


@case("classic is told nothing without a WebSocket")
def classic(t):
    fake, worker = scene(t, classic=True)
    fake.put(task("t-1", "tell", {"times": 3}))
    same(fake.wait_result("t-1")["status"], "success", "status")
    same(told(fake), [], "events")
    worker.drain()


main()
