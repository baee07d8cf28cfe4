#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Runs avtoworkerd with handlers that misbehave, kills and stops its children
at random, disturbs its orchestrator, kills either and starts it again, fills
its disk up, and then compares what was handed out with what came back: lost,
wrong, unexpected and accepted twice must be empty, what the worker counts has
to add up whenever it is asked, and nothing of it may be left, in processes,
descriptors or memory.

The orchestrator is avtoworker-devorch; its ledger is the truth. What is done
to the worker follows from the seed; when it meets which task does not.

Counted apart: tasks that met a kill on their way from the orchestrator to the
worker's disk (window; none that its journal was seen to hold), and copies of
results of which the worker could not know that they had arrived, at most one
for each blow or withheld answer.
"""
import argparse
import collections
import ctypes
import heapq
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "integration"))

from harness import descendants, free_port, parents, proc_read  # noqa: E402

from disk import Disk  # noqa: E402
from ledger import DEATHS, Ledger  # noqa: E402
from load import CONFIG, shuffled  # noqa: E402
from processes import (Pulse, age, born, children_of, descriptors,  # noqa: E402
                       journalled, resident_kb)

TOKEN = "the-chaos-token"
TASKS = 100000000
START_LIMIT = 30
DRAIN_LIMIT = 120
YOUNG_LEAST = 0.5  # seconds that a worker lives before it is killed
HAS_READ = 5  # seconds after which it has read its configuration, surely
PLACES = 12  # tasks at once, and so polls
CONNECTIONS = 50  # polls, 32 results at once, a heartbeat; they are kept
PR_SET_CHILD_SUBREAPER = 36


class Trouble(Exception):
    """What makes the run itself impossible."""


def wait_for(claim, what, limit):
    end = time.monotonic() + limit
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > end:
            raise Trouble(f"not within {limit} s: {what}")
        time.sleep(0.02)


class Run:
    """One run, from the start of the two programs to the verdict."""

    def __init__(self, args, directory):
        self.args = args
        self.dir = directory
        self.random = random.Random(args.seed)
        self.metrics = free_port()
        self.log_path = os.path.join(directory, "worker.log")
        self.conf_path = os.path.join(directory, "worker.conf")
        self.counts = collections.Counter()
        self.actions = []  # heap of (when, number, function)
        self.number = 0
        self.lag = 0.0  # how late we ourselves were, at worst
        self.broken = []
        self.left = set()
        self.port = 0  # any, at first
        self.specs = shuffled(args.only, self.random)
        # None while they are down, by us.
        self.devorch = self.worker = self.ledger = None
        self.wire = None  # the net between them
        self.entry = 0  # the port where it begins
        self.orphans = []  # (when to look, {pid: when it was started})
        self.started = 0.0  # when the worker was, the last time
        self.disk = None  # under its state directory

    def path(self, name):
        return os.path.join(self.dir, name)

    # ---- start

    def faults(self):
        """Often enough to matter, seldom enough to get work done."""
        rows = (("result:500", 97), ("result:drop", 131),
                ("result:drop-after", 211), ("result:slow", 701),
                ("result:html", 307), ("poll:500", 151), ("poll:drop", 211),
                ("poll:garbage", 401), ("result:close-after", 61))
        for kind, every in rows:
            first = self.random.randrange(20, 20 + every)
            yield f"--fault={kind}:{first}-/{every}"

    def start_devorch(self):
        """The first time, or again on the same port with the same memory."""
        again = self.ledger is not None
        faults = [] if "faults" in self.args.without else list(self.faults())
        verify = ["--verify-signatures"] if self.args.dialect == "rxon" \
            else []
        with open(self.path("devorch.out"), "wb") as out:
            self.devorch = subprocess.Popen(
                [os.path.join(self.args.build, "avtoworker-devorch"),
                 f"--listen=127.0.0.1:{self.port}", f"--token={TOKEN}",
                 f"--dialect={self.args.dialect}", *verify, "--json",
                 f"--rate={self.args.rate}", "--retries=3",
                 "--poll-timeout=2", f"--ledger={self.path('ledger')}",
                 "--resume" if again else "--hold", *faults,
                 *(s.option(TASKS // 1000) for s in self.specs)],
                stdout=out)
        wait_for(lambda: os.path.getsize(self.path("devorch.out")) > 0 or
                 self.devorch.poll() is not None,
                 "the orchestrator listens", START_LIMIT)
        with open(self.path("devorch.out"), encoding="ascii") as f:
            ready = f.readline()
        if not ready:
            raise Trouble(f"the orchestrator ended with "
                          f"{self.devorch.returncode}")
        self.port = int(ready.partition("=")[2])
        if again:
            self.ledger.restarted()
        else:
            self.ledger = Ledger(self.path("ledger"), self.specs)

    def start_wire(self):
        self.wire = subprocess.Popen(
            [sys.executable, "-B", os.path.join(HERE, "wire.py"),
             str(self.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, bufsize=1)
        self.entry = int(self.wire.stdout.readline())

    def write_config(self, broken=False):
        pick = self.random.choice
        text = CONFIG.format(
            places=PLACES,
            dir=self.dir, deaths=DEATHS, metrics=self.metrics,
            port=self.entry, dialect=self.args.dialect,
            steady=pick((2, 3)), dynamic=pick((2, 3)), recycle=pick((5, 20)),
            module=os.path.join(self.args.build, "tests", "chaos", ".libs",
                                "chaos_module.so"))
        if broken:
            text += "category broken {\n    chidren = 1\n}\n"
        with open(self.conf_path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(self.conf_path + ".new", self.conf_path)

    def prepare_worker(self):
        for name in ("home", "tmp", "state"):
            os.mkdir(self.path(name))
        self.disk = Disk(self.path("state"))
        with open(os.open(self.path("token"), os.O_WRONLY | os.O_CREAT,
                          0o600), "w", encoding="ascii") as f:
            f.write(TOKEN + "\n")
        self.write_config()

    def start_worker(self):
        self.write_config()  # a reload may have left a broken one
        environment = {k: v for k, v in os.environ.items()
                       if k.endswith("SAN_OPTIONS")}
        environment.update(
            PATH=os.environ.get("PATH", "/usr/bin:/bin"),
            HOME=self.path("home"), TMPDIR=self.path("tmp"),
            AVTOWORKER_CHILD=os.path.join(self.args.build,
                                          "avtoworker-child"))
        with open(self.log_path, "ab") as log:
            self.worker = subprocess.Popen(
                [os.path.join(self.args.build, "avtoworkerd"), "-c",
                 self.conf_path], env=environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True)
        self.started = time.monotonic()

    def wait_worker(self):
        """It is there, and so are children of each handler, before anything
        happens to them."""
        wait_for(lambda: b"registered at" in self.log() or self.is_dead(),
                 "the worker registers", START_LIMIT)
        if self.is_dead():
            raise Trouble("the worker ended at its start:\n" + self.tail())
        wait_for(lambda: len(children_of(self.worker.pid)) >= 4,
                 "children", START_LIMIT)

    def put_off(self):
        """One that finds no room on its disk says so, and is tried again, as
        by a service manager."""
        if self.worker.returncode != os.EX_TEMPFAIL or \
                not self.disk.was_full(START_LIMIT * 1000000):
            raise Trouble(f"the worker ended with {self.worker.returncode}:"
                          f"\n{self.tail()}")
        self.counts["starts put off"] += 1
        self.worker = None
        self.later(0.5, self.start_worker)

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read()

    def tail(self):
        return self.log()[-4000:].decode("utf-8", "replace")

    def is_dead(self):
        """It has ended, and we did not do it."""
        return self.worker is not None and self.worker.poll() is not None

    # ---- what is done to it

    def later(self, seconds, function):
        self.number += 1
        heapq.heappush(self.actions, (time.monotonic() + seconds,
                                      self.number, function))

    def send(self, pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def blow(self):
        """Somebody does not get what was on its way to him."""
        self.ledger.blows.append(int(time.monotonic() * 1e6))

    def victim(self):
        below = sorted(descendants(self.worker.pid)) if self.worker else []
        return self.random.choice(below) if below else None

    def kill_one(self, number=signal.SIGKILL):
        pid = self.victim()
        if pid and self.send(pid, number):
            self.counts["killed"] += 1

    def crash_one(self):
        self.kill_one(signal.SIGSEGV)

    def burst(self):
        for _ in range(self.random.randrange(2, 8)):
            self.kill_one()

    def stop_one(self):
        pid = self.victim()
        if pid and self.send(pid, signal.SIGSTOP):
            self.counts["stopped"] += 1
            self.later(self.random.uniform(0.01, 0.6),
                       lambda: self.send(pid, signal.SIGCONT))

    def term_one(self):
        """As a terminal or a platform does; children do not mind."""
        pid = self.victim()
        if pid:
            self.send(pid, self.random.choice((signal.SIGTERM,
                                               signal.SIGINT)))

    def kill_worker(self):
        """As by the kernel: without a word. It comes back on the same state
        directory; what it has left behind must be gone by then or soon."""
        self.later(self.random.expovariate(1 / self.args.worker_kills),
                   self.kill_worker)
        if self.worker is None or \
                time.monotonic() - self.started < YOUNG_LEAST:
            return
        below = {pid: born(pid) for pid in descendants(self.worker.pid)}
        self.blow()
        self.worker.kill()
        self.worker.wait()
        self.ledger.kills.append(self.ledger.blows[-1])
        self.blow()
        self.worker = None
        self.counts["worker kills"] += 1
        self.ledger.on_disk |= journalled(self.path("state"))
        self.orphans.append((time.monotonic() + self.args.left_limit, below))
        self.later(self.random.uniform(0, 1), self.start_worker)

    def look_for_orphans(self):
        """Of workers that were killed long enough ago."""
        while self.orphans and self.orphans[0][0] <= time.monotonic():
            for pid, when in self.orphans.pop(0)[1].items():
                if when == 0 or born(pid) != when:
                    continue
                # Without a launcher, what a handler has started may live on.
                if proc_read(pid, "comm").strip() != "chaos-left":
                    self.fail(f"process {pid} outlived a worker that was "
                              f"killed: {proc_read(pid, 'cmdline')[:200]!r}")
                self.send(pid, signal.SIGKILL)

    def kill_orchestrator(self):
        self.later(self.random.expovariate(1 / self.args.orchestrator_kills),
                   self.kill_orchestrator)
        if self.devorch is None:
            return
        self.blow()
        self.devorch.kill()
        self.devorch.wait()
        self.blow()
        self.devorch = None
        self.counts["orchestrator kills"] += 1
        self.later(self.random.uniform(0, 3), self.start_devorch)

    def trouble_wire(self):
        """What nets do: a connection is reset, or all, or nothing moves."""
        self.later(self.random.expovariate(1 / self.args.wire_troubles),
                   self.trouble_wire)
        word, most = self.random.choice(
            (("cut", 0.3), ("cut", 1), ("stall", 1), ("stall", 4),
             ("down", 2)))
        number = self.random.uniform(0, most)
        self.blow()
        self.wire.stdin.write(f"{word} {number}\n")
        self.counts["wire troubles"] += 1
        if word != "cut":
            now_us = int(time.monotonic() * 1e6)
            self.ledger.stalls.append((now_us, now_us + int(number * 1e6)))
        # What a stall holds up, times out; what is down, comes up again.
        self.later(number if word != "cut" else 0.05, self.blow)

    def fill_disk(self):
        self.later(self.random.expovariate(1 / self.args.disk_faults),
                   self.fill_disk)
        if self.disk.full_since is None:
            self.disk.fill()
            self.counts["full disks"] += 1
            self.later(self.random.uniform(0.5, 4), self.free_disk)

    def free_disk(self):
        self.disk.free()
        self.ledger.full = self.disk.times

    def reload(self):
        if self.worker is None:
            return
        broken = self.random.random() < 0.3 and \
            time.monotonic() - self.started > HAS_READ
        self.write_config(broken)
        self.send(self.worker.pid, signal.SIGHUP)
        self.counts["reloads"] += 1
        if broken:
            self.later(0.5, self.write_config)

    def pause(self):
        if self.worker is None:
            return
        pid = self.worker.pid
        self.send(pid, signal.SIGTSTP)
        self.counts["pauses"] += 1
        self.later(self.random.uniform(0.05, 0.5),
                   lambda: self.send(pid, signal.SIGCONT))

    ACTIONS = ((50, "kill", kill_one), (10, "kill", crash_one),
               (10, "kill", burst), (15, "stop", stop_one),
               (5, "kill", term_one), (3, "hup", reload),
               (3, "tstp", pause))

    def strike(self):
        """One blow, and when the next one falls."""
        rows = [r for r in self.ACTIONS if r[1] not in self.args.without]
        if rows:
            self.random.choices(rows, [r[0] for r in rows])[0][2](self)
        self.later(self.random.expovariate(self.args.kills), self.strike)

    def look_for_leftovers(self):
        """Processes that handlers have left and that still live. Tasks that
        leave any are over at once, so their age tells."""
        for pid in descendants(self.worker.pid) if self.worker else ():
            if proc_read(pid, "comm").strip() == "chaos-left" and \
                    age(pid) > self.args.left_limit:
                self.left.add(pid)

    def watch(self):
        self.look_for_leftovers()
        self.look_for_orphans()
        self.later(1, self.watch)

    def disturb(self):
        """Until the time is over."""
        end = time.monotonic() + self.args.seconds
        self.later(0.5, self.strike)
        self.later(1, self.watch)
        if self.args.worker_kills:
            self.later(2, self.kill_worker)
        if self.args.orchestrator_kills:
            self.later(3, self.kill_orchestrator)
        if self.args.wire_troubles:
            self.later(1, self.trouble_wire)
        if self.args.disk_faults and self.disk.mounted:
            self.later(2, self.fill_disk)
        while (now := time.monotonic()) < end:
            if self.is_dead():
                self.put_off()
            if self.actions and self.actions[0][0] <= now:
                heapq.heappop(self.actions)[2]()
                continue
            self.ledger.read()
            wait = min(self.actions[0][0] - now if self.actions else 1, 0.1)
            time.sleep(max(wait, 0))
            self.lag = max(self.lag, time.monotonic() - now - max(wait, 0))

    def settle(self):
        """No new jobs; all that were begun come to their end."""
        again = (self.strike, self.watch, self.kill_worker,
                 self.kill_orchestrator, self.trouble_wire, self.fill_disk)
        self.free_disk()
        while self.actions:  # what was stopped goes on, what is down returns
            function = heapq.heappop(self.actions)[2]
            if function not in again:
                function()
        self.devorch.send_signal(signal.SIGUSR2)
        end = time.monotonic() + DRAIN_LIMIT
        quiet = time.monotonic()
        while time.monotonic() < end and time.monotonic() - quiet < 3:
            if self.is_dead():
                self.put_off()
                self.start_worker()
            tasks = self.ledger.tasks
            self.ledger.read()
            self.look_for_orphans()
            if self.orphans or self.ledger.lost() or self.ledger.tasks != tasks:
                quiet = time.monotonic()
            time.sleep(0.05)

    # ---- what is left of it

    def fail(self, text):
        self.broken.append(text)

    def check_descriptors(self, before):
        """A process descriptor for each child, and for the rest about what
        there was; connections come and go."""
        pid = self.worker.pid

        def excess():
            now = descriptors(pid)
            count = len(children_of(pid))
            found = []
            if now["anon_inode:[pidfd]"] > count:
                found.append(f"{now['anon_inode:[pidfd]']} pidfds for "
                             f"{count} children")
            for kind, spare in (("pipe", 4), ("socket", CONNECTIONS)):
                grown = now[kind] - before[kind]
                if grown > count + spare:
                    found.append(f"{grown} more of kind {kind}")
            return found
        end = time.monotonic() + 10
        while excess() and time.monotonic() < end:
            time.sleep(0.1)
        for text in excess():
            self.fail("descriptors leak: " + text)

    def check_stalls(self, pulse):
        """What the machine did to us it may have done to the worker."""
        limit = self.args.stall / 1000 + self.lag
        if pulse.answers == 0:
            self.fail("/health never answered")
        elif pulse.longest > limit:
            self.fail(f"/health took {pulse.longest * 1000:.0f} ms")
        gap = self.ledger.heartbeat_gap()
        # A request that gets no answer holds the next one up for 2 s.
        if gap > 3 + limit:
            self.fail(f"no heartbeat for {gap:.1f} s")

    def check_books(self, books):
        """They were right at every look, and nothing is left in hand."""
        if books.looks == 0:
            self.fail("/metrics never answered")
        for text in books.wrong[:10]:
            self.fail("the books are wrong: " + text)
        if books.total("worker_leases"):
            self.fail(f"{books.total('worker_leases'):.0f} tasks are left "
                      "in hand")

    def check_end(self):
        number = signal.SIGKILL if self.args.end == "kill" \
            else signal.SIGTERM
        self.worker.send_signal(number)
        try:
            status = self.worker.wait(40)
        except subprocess.TimeoutExpired:
            self.fail("SIGTERM does not end it within 40 s")
            return
        if status != (-number if self.args.end == "kill" else 0):
            self.fail(f"it ended with {status}")
        try:
            wait_for(lambda: not self.strays(), "", 3)
        except Trouble:
            for pid in self.strays():
                self.fail(f"left behind: {pid} "
                          f"{proc_read(pid, 'cmdline')[:200]!r}")
        # A sanitizer takes the SIGSEGV that we have sent for a fault, at an
        # address made of who we are.
        ours = os.getuid() << 32 | os.getpid()
        for found in ("runtime error:", "ERROR: AddressSanitizer",
                      "ERROR: LeakSanitizer"):
            for line in self.log().decode("utf-8", "replace").splitlines():
                if found in line and f"address {ours:#014x} " not in line:
                    self.fail("sanitizer: " + line)

    def strays(self):
        mine = {p.pid for p in (self.worker, self.devorch, self.wire)
                if p is not None}
        for pid, (parent, state) in parents().items():
            if parent == os.getpid() and state == "Z" and pid not in mine:
                os.waitpid(pid, os.WNOHANG)
        return [p for p in descendants(os.getpid()) if p not in mine]

    def run(self):
        self.start_devorch()
        self.start_wire()
        self.prepare_worker()
        self.start_worker()
        self.wait_worker()
        pulse = Pulse(self.metrics)
        pulse.start()
        before = descriptors(self.worker.pid)
        self.devorch.send_signal(signal.SIGUSR1)
        self.disturb()
        self.settle()
        looks = pulse.books.looks
        wait_for(lambda: pulse.books.looks > looks + 1, "the last look at "
                 "the books", START_LIMIT)
        pulse.on = False
        self.check_books(pulse.books)
        self.check_descriptors(before)
        self.counts["kb"] = resident_kb(self.worker.pid)
        if self.counts["kb"] > self.args.memory * 1024:
            self.fail(f"it has grown to {self.counts['kb']} KB")
        self.check_end()
        self.ledger.read()
        self.check_stalls(pulse)
        for pid in self.left:
            self.fail(f"process {pid} outlived its task")
        # A blow ends every poll that is out.
        if self.ledger.window() > PLACES * len(self.ledger.blows):
            self.fail("more tasks than blows can have met never got there")
        self.counts["looks"] = pulse.books.looks
        self.counts["refusals"] = self.log().count(b"no more tasks are taken")
        self.counts["stall_us"] = int(pulse.longest * 1e6)

    def stop_all(self, keep):
        for process in (self.worker, self.wire, self.devorch):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for _ in range(5):
            for pid in self.strays():
                self.send(pid, signal.SIGKILL)
        if self.disk:
            self.disk.close(keep)

    def report(self):
        """Prints it. True when all is well."""
        book, c = self.ledger, self.counts
        sets = (("lost", book.lost()), ("wrong", book.wrong),
                ("unexpected", book.unexpected),
                ("accepted twice", book.accepted_twice()))
        print(f"seed {self.args.seed}, {self.args.dialect}: {book.tasks} "
              f"tasks, {c['killed']} processes killed, {book.deaths} tasks "
              f"ended by a death, {c['stopped']} stopped for a while, "
              f"{c['reloads']} reloads, {c['pauses']} pauses, "
              f"{c['worker kills']} kills of the worker, "
              f"{c['orchestrator kills']} of the orchestrator, "
              f"{c['wire troubles']} troubles of the net, "
              f"{c['full disks']} full disks"
              f"{'' if self.disk.mounted else ' (none may be mounted)'}, "
              f"{book.faults} requests answered wrongly, "
              f"{book.result_faults} of them results")
        print(", ".join(f"{name} {len(found)}" for name, found in sets) +
              f"; apart from that: window {book.window()}, "
              f"copies {sum(book.copies.values())}")
        print(f"longest /health {c['stall_us'] / 1000:.0f} ms, heartbeat "
              f"gap {book.heartbeat_gap():.1f} s, memory {c['kb']} KB; books "
              f"right {c['looks']} times")
        print(f"no tasks were taken for want of room {c['refusals']} times, "
              f"{c['starts put off']} starts were put off")
        if self.args.verbose:
            for (mode, outcome), n in sorted(book.outcomes.items()):
                print(f"  {mode:14} {outcome:26} {n}")
        for name, found in sets:
            for text in found[:10]:
                print(f"{name}: {text}")
        for text in self.broken[:20]:
            print(f"broken: {text}")
        return not self.broken and not any(found for _, found in sets)


def read_arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=".", help="the build directory")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--seed", type=int, default=None)
    p.add_argument("--dialect", choices=("classic", "rxon"),
                   default="classic")
    p.add_argument("--rate", type=float, default=80, help="tasks a second")
    p.add_argument("--kills", type=float, default=4, help="blows a second")
    p.add_argument("--worker-kills", type=float, default=6,
                   metavar="SECONDS",
                   help="mean time between two kill -9 of the worker itself; "
                   "0: none")
    p.add_argument("--orchestrator-kills", type=float, default=12,
                   metavar="SECONDS", help="the same for its orchestrator")
    p.add_argument("--wire-troubles", type=float, default=4,
                   metavar="SECONDS", help="the same for the net between them")
    p.add_argument("--disk-faults", type=float, default=10,
                   metavar="SECONDS", help="the same for the disk under the "
                   "journal, which is full then for some time")
    p.add_argument("--stall", type=float, default=1000, metavar="MS",
                   help="how long the worker's loop may stand still")
    p.add_argument("--memory", type=float, default=128, metavar="MB",
                   help="what it may need at the end")
    p.add_argument("--left-limit", type=float, default=3, metavar="SECONDS",
                   help="how long a process may outlive its task")
    p.add_argument("--end", choices=("term", "kill"), default="term",
                   help="how the worker is ended when all is done")
    p.add_argument("--only", action="append", metavar="CATEGORY",
                   help="these categories alone")
    p.add_argument("--without", action="append", default=[],
                   choices=("kill", "stop", "hup", "tstp", "faults"))
    p.add_argument("--keep", action="store_true",
                   help="keep the directory with logs and ledger")
    p.add_argument("--verbose", action="store_true")
    args = p.parse_args(argv)
    args.build = os.path.abspath(args.build)
    if args.seed is None:
        args.seed = int.from_bytes(os.urandom(4), "little")
    return args


def chaos(args):
    """Runs it; true when all is well."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    directory = tempfile.mkdtemp(prefix="avtoworker-chaos")
    print(f"seed {args.seed}", flush=True)
    run = Run(args, directory)
    well = False
    try:
        run.run()
        well = run.report()
    except Trouble as e:
        print(f"broken: {e}")
        if run.ledger:
            run.ledger.read()
            run.report()
    finally:
        run.stop_all(args.keep or not well)
        if args.keep or not well:
            print(f"logs and ledger are kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return well


if __name__ == "__main__":
    sys.exit(0 if chaos(read_arguments()) else 1)
