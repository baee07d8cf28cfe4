# SPDX-License-Identifier: ISC
"""What is done to the worker and to all that it stands on, and when: it follows
from the seed."""
import collections
import heapq
import os
import signal
import time

from harness import descendants, proc_read

from processes import age, born, journalled, send
from stage import START_LIMIT, Trouble

DRAIN_LIMIT = 240
QUIET = 60  # looks, in 3 s; a machine that stands still takes none
YOUNG_LEAST = 0.5  # seconds that a worker lives before it is killed
SLOW = 0.1  # seconds by which somebody is late that are worth a note
HANGS = 1  # seconds after which requests may be given up, and sent again


class Blows:
    def __init__(self, stage, fail):
        self.stage = stage
        self.args = stage.args
        self.random = stage.random
        self.fail = fail  # tells what is wrong
        self.counts = collections.Counter()
        self.actions = []  # heap of (when, number, function)
        self.number = 0
        self.lag = 0.0  # how late we ourselves were, at worst
        self.pulse = None  # of the worker
        self.left = set()  # processes that outlived their tasks
        self.orphans = []  # (when to look, {pid: when it was started})

    def later(self, seconds, function):
        self.number += 1
        heapq.heappush(self.actions, (time.monotonic() + seconds,
                                      self.number, function))

    # ---- the worker's processes

    def victim(self):
        if self.stage.worker is None:
            return None
        below = sorted(descendants(self.stage.worker.pid))
        return self.random.choice(below) if below else None

    def kill_one(self, number=signal.SIGKILL):
        pid = self.victim()
        if pid and send(pid, number):
            self.counts["killed"] += 1

    def crash_one(self):
        self.kill_one(signal.SIGSEGV)

    def burst(self):
        for _ in range(self.random.randrange(2, 8)):
            self.kill_one()

    def stop_one(self):
        pid = self.victim()
        if pid and send(pid, signal.SIGSTOP):
            self.counts["stopped"] += 1
            self.later(self.random.uniform(0.01, 0.6),
                       lambda: send(pid, signal.SIGCONT))

    def term_one(self):
        """As a terminal or a platform does; children do not mind."""
        pid = self.victim()
        if pid:
            send(pid, self.random.choice((signal.SIGTERM, signal.SIGINT)))

    def reload(self):
        broken = self.random.random() < 0.3
        if not self.stage.has_begun():
            return
        self.stage.write_config(broken)
        send(self.stage.worker.pid, signal.SIGHUP)
        self.counts["reloads"] += 1
        if broken:
            self.later(0.5, self.stage.write_config)

    def pause(self):
        if not self.stage.has_begun():
            return
        pid = self.stage.worker.pid
        send(pid, signal.SIGTSTP)
        self.counts["pauses"] += 1
        self.later(self.random.uniform(0.05, 0.5),
                   lambda: send(pid, signal.SIGCONT))

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

    # ---- the worker itself, and all that it stands on

    def blow(self):
        """Somebody does not get what was on its way to him."""
        self.stage.ledger.blows.append(int(time.monotonic() * 1e6))

    def kill_worker(self):
        """As by the kernel: without a word. It comes back on the same state
        directory; what it has left behind must be gone by then or soon."""
        self.later(self.random.expovariate(1 / self.args.worker_kills),
                   self.kill_worker)
        if self.stage.worker is None or \
                time.monotonic() - self.stage.started < YOUNG_LEAST:
            return
        below = {pid: born(pid) for pid in descendants(self.stage.worker.pid)}
        self.blow()
        self.stage.worker.kill()
        self.stage.worker.wait()
        self.stage.ledger.kills.append(self.stage.ledger.blows[-1])
        self.blow()
        self.stage.worker = None
        self.counts["worker kills"] += 1
        self.stage.ledger.on_disk |= journalled(self.stage.path("state"))
        self.orphans.append((time.monotonic() + self.args.left_limit +
                             self.lag, below))
        self.later(self.random.uniform(0, 1), self.stage.start_worker)

    def put_off(self):
        """One that finds no room on its disk says so, and is tried again, as
        by a service manager."""
        status = self.stage.worker.returncode
        if status != os.EX_TEMPFAIL or \
                not self.stage.disk.was_full(START_LIMIT * 1000000):
            raise Trouble(f"the worker ended with {status}:\n"
                          f"{self.stage.tail()}")
        self.counts["starts put off"] += 1
        self.stage.worker = None
        self.later(0.5, self.stage.start_worker)

    def kill_orchestrator(self):
        self.later(self.random.expovariate(1 / self.args.orchestrator_kills),
                   self.kill_orchestrator)
        if self.stage.devorch is None:
            return
        self.blow()
        self.stage.devorch.kill()
        self.stage.devorch.wait()
        self.blow()
        self.stage.devorch = None
        self.counts["orchestrator kills"] += 1
        self.later(self.random.uniform(0, 3), self.stage.start_devorch)

    def trouble_wire(self):
        """What nets do: a connection is reset, or all, or nothing moves."""
        self.later(self.random.expovariate(1 / self.args.wire_troubles),
                   self.trouble_wire)
        word, most = self.random.choice(
            (("cut", 0.3), ("cut", 1), ("stall", 1), ("stall", 4),
             ("down", 2)))
        number = self.random.uniform(0, most)
        self.blow()
        self.stage.wire.stdin.write(f"{word} {number}\n")
        self.counts["wire troubles"] += 1
        if word != "cut":
            now_us = int(time.monotonic() * 1e6)
            self.stage.ledger.stalls.append(
                (now_us, now_us + int(number * 1e6)))
        # What a stall holds up, times out; what is down, comes up again.
        self.later(number if word != "cut" else 0.05, self.blow)

    def fill_disk(self):
        self.later(self.random.expovariate(1 / self.args.disk_faults),
                   self.fill_disk)
        if self.stage.disk.full_since is None:
            self.stage.disk.fill()
            self.counts["full disks"] += 1
            self.later(self.random.uniform(0.5, 4), self.free_disk)

    def free_disk(self):
        self.stage.disk.free()
        self.stage.ledger.full = self.stage.disk.times

    # ---- what may not be left of it

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
                send(pid, signal.SIGKILL)

    def look_for_leftovers(self):
        """Processes that handlers have left and that still live. Tasks that
        leave any are over at once, so their age tells."""
        if self.stage.worker is None:
            return
        for pid in descendants(self.stage.worker.pid):
            if proc_read(pid, "comm").strip() == "chaos-left" and \
                    age(pid) > self.args.left_limit + self.lag:
                self.left.add(pid)

    def watch(self):
        self.look_for_leftovers()
        self.look_for_orphans()
        self.later(1, self.watch)

    # ---- what the machine does to all of us

    def note_delay(self, begun, took):
        """Somebody was held up: what was under way then, waited, and may have
        been given up."""
        if took > SLOW:
            self.stage.ledger.delays.append(
                (int(begun * 1e6), int((begun + took) * 1e6)))
        if took > HANGS:
            self.blow()

    def note_delays(self):
        """Those of the worker that its pulse has seen; whether one is too long
        is judged at the end."""
        while self.pulse.delays:
            self.note_delay(*self.pulse.delays.popleft())

    # ---- the whole

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
        if self.args.disk_faults and self.stage.disk.mounted:
            self.later(2, self.fill_disk)
        while (now := time.monotonic()) < end:
            if self.stage.is_dead():
                self.put_off()
            if self.actions and self.actions[0][0] <= now:
                heapq.heappop(self.actions)[2]()
                continue
            self.stage.ledger.read()
            wait = min(self.actions[0][0] - now if self.actions else 1, 0.1)
            time.sleep(max(wait, 0))
            late = time.monotonic() - now - max(wait, 0)
            self.lag = max(self.lag, late)
            self.note_delay(now + max(wait, 0), late)
            self.note_delays()

    def settle(self):
        """No new jobs; all that were begun come to their end."""
        ledger = self.stage.ledger
        again = (self.strike, self.watch, self.kill_worker,
                 self.kill_orchestrator, self.trouble_wire, self.fill_disk)
        self.free_disk()
        while self.actions:  # what was stopped goes on, what is down returns
            function = heapq.heappop(self.actions)[2]
            if function not in again:
                function()
        self.stage.devorch.send_signal(signal.SIGUSR2)
        end = time.monotonic() + DRAIN_LIMIT
        quiet = 0  # looks at which nothing was under way
        while time.monotonic() < end and quiet < QUIET:
            if self.stage.is_dead():
                self.put_off()
                self.stage.start_worker()
            tasks = ledger.tasks
            self.note_delays()
            ledger.read()
            self.look_for_orphans()
            quiet += 1
            if self.orphans or ledger.lost() or ledger.tasks != tasks:
                quiet = 0
            time.sleep(0.05)
