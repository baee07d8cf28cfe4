#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Hundreds of replies that are none, over real connections, in one life of a
worker; every other reply is a good one. Its clock goes faster (fast_clock.c)."""
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from garbage import corpus  # noqa: E402
from harness import FAST_CLOCK, SEED, TOKEN, case, check, eventually, \
    has_sanitizers, main, same  # noqa: E402

COUNT = 600
TASKS_AT_ONCE = 3
KINDS = ("register", "heartbeat", "poll", "result")
LONGEST = 5  # seconds without a heartbeat, of which ten are due in one


class Garbler(Fake):
    """Answers every other request of a kind with garbage."""

    def __init__(self, classic, replies):
        self.left = list(replies)
        self.garbled = dict.fromkeys(KINDS, 0)
        self.turn = dict.fromkeys(KINDS, 0)
        self.put_count = 0
        super().__init__(classic, poll_timeout=0.05)
        for kind in KINDS:
            self.break_kind(kind, self.garble)

    def next_garbage(self, kind):
        """The next one, if it is its turn; there are real tasks as long as
        there is garbage."""
        with self.changed:
            if kind == "poll" and self.left and \
                    len(self.tasks) < TASKS_AT_ONCE:
                self.tasks.append(task(f"real-{self.put_count}"))
                self.put_count += 1
            self.turn[kind] += 1
            if kind == "heartbeat" and self.turn[kind] % 8 == 0:
                self.known.clear()
            if self.turn[kind] % 2 == 0 or not self.left:
                return None
            self.garbled[kind] += 1
            return self.left.pop()

    def garble(self, handler, request):
        garbage = self.next_garbage(request.kind)
        if garbage is None:
            handler.close_connection = False
            handler.reply(*self.answer(request))
            return
        handler.close_connection = not garbage.kept
        handler.wfile.write(garbage.data)


@case("{}: 600 replies that are none hurt nobody: heartbeats go on, every real "
      "task has its result, and nothing is run that is not whole",
      ("classic", True), ("RXON", False), limit=600)
def garbage(t, _name, classic):
    print(f"# AVTOWORKER_SEED={SEED}", flush=True)
    fake = Garbler(classic, corpus(SEED, COUNT))
    arguments = [x for c in ("light", "heavy", "default")
                 for x in ("-o", f"category/{c}.start_timeout=1h")]
    worker = t.worker(
        fake.url, arguments, light=2, heavy=1, worker="""
    heartbeat_interval = 5s
    shutdown_timeout = 10m""", orchestrator=f"""
    protocol = {"classic" if classic else "rxon"}
    request_timeout = 10m
    poll_timeout = 10m""", env={"LD_PRELOAD": FAST_CLOCK, "FAST_CLOCK": "50"})
    fake.wait_requests("poll", 2, 60)
    before = worker.peak_kb()
    eventually(lambda: not fake.left or not worker.is_alive(),
               lambda: f"{len(fake.left)} are left", 300)
    check(worker.is_alive(), "it ended")
    for kind, count in fake.garbled.items():
        check(count >= 2, f"{count} of kind {kind}")
    fake.repair()
    for i in range(fake.put_count):
        result = fake.wait_result(f"real-{i}", 60)
        same(result["status"], "success", f"real-{i}")
    fake.wait_requests("heartbeat", len(fake.of_kind("heartbeat")) + 3)

    never = [x for x in fake.results if not x.startswith("real-")]
    same(never, [], "results of tasks that never came whole")
    beats = [x.at for x in fake.of_kind("heartbeat")]
    gap = max(b - a for a, b in zip(beats, beats[1:]))
    check(gap < LONGEST + t.late(), f"no heartbeat for {gap:.1f} s")
    grown = worker.peak_kb() - before
    check(grown < (256 if has_sanitizers() else 16) << 10,
          f"it grew by {grown} kB")
    for line in worker.log().splitlines():
        check(len(line) < 600, f"a line of {len(line)} bytes")
        check(line.isprintable(), f"a line with control characters: {line!r}")
    worker.drain()
    check(TOKEN not in worker.log(), "the token is in the log")


main()
