#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""No descriptors, no processes, a clock that jumps: nothing spins, nothing is
lost, and all is well again when the trouble is over."""
import http.client
import os
import resource
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (BUILD, LIMIT, case, check, cpu_s,  # noqa: E402
                     eventually, free_port, has_sanitizers, main, proc_read, same)

SPAWN = os.path.join(BUILD, "tests", "integration", ".libs", "fail_spawn.so")
WALL = os.path.join(BUILD, "tests", "integration", ".libs", "fake_wall.so")
TROUBLE_S = 3  # that each trouble lasts


class Quiet:
    """That a trouble costs neither processor time nor lines without end."""

    def __init__(self, worker):
        self.worker = worker
        self.cpu = cpu_s(worker.pid)
        self.lines = len(worker.log().splitlines())
        self.begun = time.monotonic()

    def check(self):
        """Returns how long it was."""
        eventually(lambda: time.monotonic() > self.begun + TROUBLE_S,
                   "the time is over")
        cpu = cpu_s(self.worker.pid) - self.cpu
        lines = len(self.worker.log().splitlines()) - self.lines
        took = time.monotonic() - self.begun
        # A loop that spins takes all of it.
        check(cpu < took * (0.8 if has_sanitizers() else 0.4),
              f"{cpu:.1f} s of processor time in {took} s")
        check(lines < took * 20, f"{lines} lines in {took} s")
        return took


def succeeds(fake, name, limit=60):
    """A task that is put in now."""
    fake.put(task(name))
    same(fake.wait_result(name, limit)["status"], "success", name)


@case("no descriptors: accepting, starting and asking wait for better times")
def descriptors(t):
    fake = Fake(poll_timeout=0.5)
    port = free_port()
    worker = t.worker(
        fake.url, light=2, metrics=f"port = {port}\naddress = 127.0.0.1",
        worker="heartbeat_interval = 1s",
        orchestrator="protocol = classic\n    request_timeout = 2s")
    succeeds(fake, "before")
    limit = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    count = len(os.listdir(f"/proc/{worker.pid}/fd"))
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (count, limit[1]))
    quiet = Quiet(worker)
    clients = []
    for _ in range(20):  # more than were closed since
        clients.append(socket.create_connection(("127.0.0.1", port)))
    for pid in worker.serving("light"):
        os.kill(pid, signal.SIGKILL)
    quiet.check()
    check(worker.is_alive(), "it lives")
    for client in clients:
        client.close()
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, limit)
    succeeds(fake, "after")
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    conn.request("GET", "/health")
    same(conn.getresponse().status, 200, "health")
    conn.close()
    worker.drain()


def memory(t):
    fake = Fake(poll_timeout=0.5)
    worker = t.worker(fake.url)
    succeeds(fake, "before")
    limit = resource.prlimit(worker.pid, resource.RLIMIT_AS)
    size = int(proc_read(worker.pid, "statm").split()[0]) * \
        resource.getpagesize()
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (size, limit[1]))
    worker.signal(signal.SIGHUP)
    worker.wait_log("reload: configuration: out of memory")
    worker.wait_log("reload: .*nothing has changed")
    resource.prlimit(worker.pid, resource.RLIMIT_AS, limit)
    succeeds(fake, "after")
    worker.signal(signal.SIGHUP)
    worker.wait_log("reload: done, generation 2 serves")
    worker.drain()


def processes(t):
    fake = Fake(poll_timeout=0.5)
    trouble = t.path("no-spawn")
    worker = t.worker(
        fake.url, light=4, worker="heartbeat_interval = 1s",
        orchestrator="protocol = classic",
        env={"FAIL_SPAWN": trouble, "LD_PRELOAD": SPAWN})
    succeeds(fake, "before")
    t.write("no-spawn", "")
    quiet = Quiet(worker)
    fake.put(task("meanwhile"))
    for pid in worker.serving("light"):
        os.kill(pid, signal.SIGKILL)
    took = quiet.check()
    tries = os.path.getsize(trouble)
    check(0 < tries <= 4 * took, f"{tries} tries in {took} s")
    os.unlink(trouble)
    fake.wait_result("meanwhile", 60)
    succeeds(fake, "after")
    seen = len(fake.of_kind("heartbeat"))
    fake.wait_requests("heartbeat", seen + 1)
    for name, results in fake.results.items():
        same(len(results), 1, f"results of {name}")
    worker.drain()


def jumps(t):
    fake = Fake(poll_timeout=0.5)
    t.write("clock", "0\n")
    worker = t.worker(
        fake.url, ["-o", "category/heavy.time_limit=30m"],
        worker="heartbeat_interval = 1s",
        orchestrator="protocol = classic",
        env={"LD_PRELOAD": WALL, "FAKE_WALL": t.path("clock")})
    gate = t.gate()
    fake.put(task("runs", "slow", {"gate": gate.path}))
    gate.wait(1)
    for n, (clock, words) in enumerate((
            (3600, "behind"), (86400, "behind"), (-3600, "ahead of"),
            (-86400, "ahead of"), (f"= {int(time.time()) + 7200}", "behind"))):
        t.write("clock", f"{clock}\n")
        seen = len(fake.of_kind("heartbeat"))
        beats = [r.at for r in
                 fake.wait_requests("heartbeat", seen + 4)[seen + 1:]]
        gaps = [b - a for a, b in zip(beats, beats[1:])]
        check(sum(gaps) > 0.6 * len(gaps) - t.late() and
              max(gaps) < 4 + t.late(), f"heartbeats: {gaps}")
        worker.wait_log(f"the clock of .* s {words} ours")
        succeeds(fake, f"after-{n}")
    check("runs" not in fake.results, "the one that runs is not ended")
    gate.open()
    same(fake.wait_result("runs")["status"], "success", "it")
    t.write("clock", "0\n")
    worker.wait_log("agrees with ours again")
    worker.drain()


PLAIN = (
    ("no memory: a reload is refused, and done when there is some", memory),
    ("no processes: starts are tried ever more seldom, and again at last",
     processes),
    ("the wall clock jumps, and stands still: no deadline moves, it is said",
     jumps))
for text, function in PLAIN:
    if has_sanitizers():
        case(text + " # SKIP with sanitizers it is another program")(lambda t: None)
    else:
        case(text)(function)

main()
