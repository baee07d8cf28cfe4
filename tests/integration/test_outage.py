#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""An orchestrator that is gone, for long or again and again. The worker's clock
goes faster here (fast_clock.c), so minutes of it are seconds of the test."""
import os
import re
import signal
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, replying, task  # noqa: E402
from harness import FAST_CLOCK, TOKEN, case, check, eventually, figure, \
    free_port, has_sanitizers, main, proc_read, same  # noqa: E402

SPEED = 60
DIALECTS = (("classic", True), ("RXON", False))
AT_ONCE = 32  # results under way, at most
BIG = 900_000  # bytes of a result; an orchestrator takes 1 MiB
# What the worker holds of results: more is on disk alone; without a disk no
# more is taken.
HELD_STOP_MB = 64


class Counting(Fake):
    """Looks whether the first result that comes is alone, how many come in a
    second, and how many connections there are."""

    def __init__(self, classic, **more):
        self.alone = None
        self.most_open = 0
        self.taken_at = []
        super().__init__(classic, poll_timeout=0.5, **more)

    def answer_result(self, request):
        if self.alone is None:
            self.alone = True
            had = len(self.of_kind("result"))
            with self.changed:
                self.alone = not self.changed.wait_for(
                    lambda: sum(x.kind == "result"
                                for x in self.requests) > had, 0.3)
        answer = super().answer_result(request)
        with self.changed:
            self.taken_at.append(time.monotonic())
            self.most_open = max(self.most_open, len(self.server.open))
        return answer

    def best_second(self):
        """How many results came in the busiest one."""
        best = first = 0
        for last, at in enumerate(self.taken_at):
            while at - self.taken_at[first] > 1:
                first += 1
            best = max(best, last - first + 1)
        return best


def start(t, fake, worker="", port=None, speed=SPEED, more=""):
    """One whose time limits are none, by its clock."""
    arguments = [x for c in ("light", "heavy", "default")
                 for x in ("-o", f"category/{c}.start_timeout=1h")]
    return t.worker(
        fake.url, arguments, light=4, heavy=4, worker=f"""
    heartbeat_interval = 10s
    max_concurrent_tasks = 4
    {worker}""", orchestrator=f"""
    protocol = {"classic" if fake.classic else "rxon"}
    request_timeout = 10m
    poll_timeout = 10m
    {more}""", env={"LD_PRELOAD": FAST_CLOCK, "FAST_CLOCK": str(speed)},
        metrics=f"port = {port}" if port else "enabled = no")


def run_all(t, fake, count):
    """So many tasks are run, and none of their results is taken."""
    done = t.path("done")
    fake.break_kind("result", replying(503, b"{}"))
    for i in range(count):
        fake.put(task(f"t{i:05}", params={"count": done}))
    eventually(lambda: os.path.exists(done) and
               os.path.getsize(done) >= count, "all are run", 120)


def waits(worker, what):
    """Seconds that it says it waits after each failure."""
    return [float(re.search(r"again in ([\d.]+) s", x).group(1))
            for x in worker.lines(f"WARNING - {what}")]


def displacement(ids):
    """How far they are away from their places, on the average."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return sum(abs(at - want) for want, at in enumerate(order)) / len(ids)


def all_come(fake, worker, count, limit):
    """A result whose request was cut by the end of the orchestrator is given up
    five minutes of the worker's time later, by the classic dialect alone."""
    def have_come():
        cut = len(worker.lines("the result may have been taken"))
        check(cut <= fake.classic, f"{cut} results were given up")
        return len(fake.results) + cut == count
    eventually(have_come, lambda: f"{len(fake.results)} results", limit)


def cpu_seconds(worker):
    fields = proc_read(worker.pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end(worker):
    worker.drain()
    check(TOKEN not in worker.log(), "the token is in the log")


@case("{}: an orchestrator that is gone for ten minutes is asked for tasks once "
      "a minute at most, at odd times, while nothing grows", *DIALECTS)
def gone(t, _name, classic):
    fake = Counting(classic)
    worker = start(t, fake)
    run_all(t, fake, 200)
    before = worker.peak_kb()
    fake.stop()
    since = time.monotonic()
    eventually(lambda: sum(waits(worker, "poll failed")) > 600,
               "ten minutes of its time", 60)
    polls = waits(worker, "poll failed")
    minutes = (time.monotonic() - since) * SPEED / 60
    late = [x for x in polls if x >= 60]
    # 1 s, doubled six times, comes to a minute; then they are a minute apart.
    check(len(polls) <= 7 + minutes, f"{len(polls)} polls in {minutes} minutes")
    same(polls[7:], late[len(late) - len(polls[7:]):], "late polls")
    check(max(late) <= 120 and len(set(late)) > len(late) / 2,
          f"waits of {late}")
    grown = worker.peak_kb() - before
    check(grown < (64 if has_sanitizers() else 4) << 10,
          f"it grew by {grown} kB")
    same(fake.results, {}, "results that were taken")
    fake.repair()
    fake.start()
    all_come(fake, worker, 200, 60)
    end(worker)


@case("{}: 990 results that an outage has held back are delivered at once after "
      "it, 500 a second, the oldest first, no more than 32 at once", *DIALECTS)
def backlog(t, _name, classic):
    count = 990  # with a thousand no task is asked for
    fake = Counting(classic)
    worker = start(t, fake, more="result_backoff_max = 10m")
    run_all(t, fake, count)
    # These have a clock of their own: they were answered.
    tried = {x.json()["task_id"] for x in fake.of_kind("result")}
    known = set(fake.known)
    fake.stop()
    eventually(lambda: max(waits(worker, "poll failed"), default=0) > 60 and
               max(waits(worker, "cannot deliver.*connect"),
                   default=0) > 120,
               "a long silence", 60)
    fake.repair()
    if not classic:  # only a heartbeat gets through first, then
        fake.known |= known
    tried |= {x.json()["task_id"] for x in fake.of_kind("result")}
    had = len(fake.requests)
    spent, ours = cpu_seconds(worker), time.process_time()
    fake.start()
    all_come(fake, worker, count, 200)
    spent = cpu_seconds(worker) - spent
    ours = time.process_time() - ours

    # What is heard first ends the silence of the others.
    kinds = [x.kind for x in fake.requests[had:]]
    for kind in ("poll", "result"):
        beats = kinds[:kinds.index(kind)].count("heartbeat")
        check(beats <= 3, f"{beats} heartbeats before the first {kind}")
    check(fake.alone, "the first result was not alone")
    # Those of polls and heartbeats, and what is just being closed.
    check(fake.most_open <= AT_ONCE + 12, f"{fake.most_open} connections")
    ids = [x for x in fake.results if x not in tried]
    check(sorted(ids).index(ids[0]) < AT_ONCE, f"{ids[0]} was the first")
    far = displacement(ids)
    check(far < 2 * AT_ONCE, f"they are {far} from their places")
    # It may not be alone on this machine, or that may be slow: then it takes
    # about as little of a processor as this orchestrator of straw.
    best = fake.best_second()
    print(f"# {best} in a second; all took {spent:.1f} s of a processor, and "
          f"{ours:.1f} s of this test")
    check(best >= 500 or spent < 2 * ours * (3 if has_sanitizers() else 1),
          f"{best} in a second; {spent} s of a processor for all, {ours} s here")
    same([k for k, v in fake.results.items() if len(v) > 1], [],
         "delivered more than once")
    end(worker)


def undelivered(port):
    return figure(port, "worker_undelivered_results")


@case("{}: large results wait on disk, not in memory, also for the next worker",
      *DIALECTS)
def large(t, _name, classic):
    count, port = 160, free_port()  # 144 MB
    fake = Counting(classic)
    # Neither disk nor stop need be faster than they are.
    settings = {"worker": "shutdown_timeout = 1s", "speed": 1}
    worker = start(t, fake, port=port, **settings)
    same(undelivered(port), 0, "results")
    before = worker.peak_kb()
    fake.break_kind("result", replying(503, b"{}"))
    for i in range(count):
        fake.put(task(f"t{i:05}", "big_result", {"size": BIG}))
    eventually(lambda: undelivered(port) == count, "all are run", 120)
    fake.stop()
    fake.repair()
    grown = (worker.peak_kb() - before) >> 10
    # What a slow disk has still to write, at which no more is taken, as much in
    # the hands of who writes it, and what children are saying.
    check(grown < 2 * HELD_STOP_MB + 40 or has_sanitizers(),
          f"it grew by {grown} MB")
    worker.signal(signal.SIGTERM)
    same(worker.wait(120), 0, "exit status")
    worker = start(t, fake, **settings)
    worker.wait_log("cannot register", 60)
    fake.start()
    eventually(lambda: len(fake.results) == count,
               lambda: f"{len(fake.results)} results", 200)
    for result, in fake.results.values():
        same(len(result["data"]["big"]), BIG, "size")
    end(worker)


def fills(fake, worker, port, count, most):
    """Of so many tasks no more are taken when so many results wait; and all
    when these have been delivered."""
    eventually(lambda: undelivered(port) >= most, "it is full", 60)

    def quiet():
        polls, left = len(fake.of_kind("poll")), len(fake.tasks)
        fake.wait_requests("heartbeat", len(fake.of_kind("heartbeat")) + 5)
        return len(fake.of_kind("poll")) == polls and \
            len(fake.tasks) == left == count - undelivered(port)
    # One that was sent before it was full may still be answered.
    eventually(quiet, "polls end, and nothing is under way")
    held = undelivered(port)
    # What ran, waited or was asked for by then.
    check(held <= most + 16, f"{held} results, of {most}")
    fake.repair()
    eventually(lambda: len(fake.results) == count,
               lambda: f"{len(fake.results)} results", 200)
    end(worker)


@case("{}: without a disk nothing more is taken when results of 64 MiB wait",
      *DIALECTS)
def full(t, _name, classic):
    count, most = 100, (HELD_STOP_MB << 20) // BIG + 1
    fake = Counting(classic)
    port = free_port()
    worker = start(t, fake, "durability = off", port)
    fake.break_kind("result", replying(503, b"{}"))
    for i in range(count):
        fake.put(task(f"t{i:05}", "big_result", {"size": BIG}))
    fills(fake, worker, port, count, most)


@case("nothing more is taken when a thousand results wait")
def thousand(t):
    fake = Counting(False)
    port = free_port()
    worker = start(t, fake, port=port)
    fake.break_kind("result", replying(503, b"{}"))
    for i in range(1100):
        fake.put(task(f"t{i:05}"))
    fills(fake, worker, port, 1100, 1000)


@case("one that wants the next heartbeat in years gets it after a minute more")
def years(t):
    fake = Fake(classic=False)
    worker = start(t, fake)
    fake.break_kind("heartbeat", replying(
        200, b'{"status": "ok", "next_heartbeat_jitter_ms": 99999999999}'))
    seen = len(fake.of_kind("heartbeat"))
    fake.wait_requests("heartbeat", seen + 4)
    end(worker)


@case("{}: an orchestrator that is killed and restarted 20 times is registered "
      "at each time, and gets every result", *DIALECTS)
def restarts(t, _name, classic):
    times, each = 20, 5
    fake = Counting(classic)
    worker = start(t, fake)
    done = t.path("done")
    for n in range(times):
        for i in range(each):
            fake.put(task(f"t{n}-{i}", params={"count": done}))
        # Some of the results are on their way then, or answered just now.
        eventually(lambda: os.path.exists(done) and
                   os.path.getsize(done) == (n + 1) * each,
                   lambda: f"{n}: all are run", 120)
        fake.stop()
        fake.start()
        worker.wait_log("registered at", 60, n + 2)
    eventually(lambda: len(fake.results) == times * each,
               lambda: f"{len(fake.results)} results", 60)
    same(len(worker.lines("registered at")), times + 1, "registrations")
    end(worker)


main()
