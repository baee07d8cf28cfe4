# SPDX-License-Identifier: ISC
"""What has come of it: whatever is wrong is told, and with it the run has
failed."""
import os
import signal
import subprocess
import time

from harness import proc_read

from processes import children_of, descriptors, resident_kb
from stage import PLACES, START_LIMIT, Trouble, wait_for

CONNECTIONS = 50  # polls, 32 results at once, a heartbeat; they are kept


class Verdict:
    def __init__(self, stage):
        self.stage = stage
        self.args = stage.args
        self.broken = []
        self.longest = 0.0  # seconds that /health took
        self.looks = 0  # at the books
        self.kb = 0  # of memory, at the end

    def fail(self, text):
        self.broken.append(text)

    def check_descriptors(self, before):
        """A process descriptor for each child, and for the rest about what
        there was; connections come and go."""
        pid = self.stage.worker.pid

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
        end = time.monotonic() + START_LIMIT
        while excess() and time.monotonic() < end:
            time.sleep(0.1)
        for text in excess():
            self.fail("descriptors leak: " + text)

    def check_stalls(self, pulse, lag):
        """What the machine did to us it may have done to the worker."""
        limit = self.args.stall / 1000 + lag
        self.longest = pulse.longest
        if pulse.answers == 0:
            self.fail("/health never answered")
        elif pulse.longest > limit:
            self.fail(f"/health took {pulse.longest * 1000:.0f} ms")
        gap = self.stage.ledger.heartbeat_gap()
        # A request that gets no answer holds the next one up for 2 s.
        if gap > 3 + limit:
            self.fail(f"no heartbeat for {gap:.1f} s")

    def check_books(self, books):
        """They were right at every look, and nothing is left in hand."""
        self.looks = books.looks
        if books.looks == 0:
            self.fail("/metrics never answered")
        for text in books.wrong[:10]:
            self.fail("the books are wrong: " + text)
        if books.total("worker_leases"):
            self.fail(f"{books.total('worker_leases'):.0f} tasks are left "
                      "in hand")

    def check_memory(self):
        self.kb = resident_kb(self.stage.worker.pid)
        if self.kb > self.args.memory * 1024:
            self.fail(f"it has grown to {self.kb} KB")

    def check_left(self, left):
        for pid in left:
            self.fail(f"process {pid} outlived its task")

    def check_window(self):
        """A blow ends every poll that is out."""
        book = self.stage.ledger
        if book.window() > PLACES * len(book.blows):
            self.fail("more tasks than blows can have met never got there")

    def check_end(self, lag):
        number = signal.SIGKILL if self.args.end == "kill" \
            else signal.SIGTERM
        self.stage.worker.send_signal(number)
        try:
            status = self.stage.worker.wait(START_LIMIT)
        except subprocess.TimeoutExpired:
            self.fail(f"SIGTERM does not end it within {START_LIMIT} s")
            return
        if status != (-number if self.args.end == "kill" else 0):
            self.fail(f"it ended with {status}")
        try:
            wait_for(lambda: not self.stage.strays(), "",
                     self.args.left_limit + lag)
        except Trouble:
            for pid in self.stage.strays():
                self.fail(f"left behind: {pid} "
                          f"{proc_read(pid, 'cmdline')[:200]!r}")
        # A sanitizer takes the SIGSEGV that we have sent for a fault, at an
        # address made of who we are.
        ours = os.getuid() << 32 | os.getpid()
        text = self.stage.log().decode("utf-8", "replace")
        for found in ("runtime error:", "ERROR: AddressSanitizer",
                      "ERROR: LeakSanitizer"):
            for line in text.splitlines():
                if found in line and f"address {ours:#014x} " not in line:
                    self.fail("sanitizer: " + line)

    def report(self, blows):
        """Prints it. True when all is well."""
        book, c = self.stage.ledger, blows.counts
        mounted = self.stage.disk.mounted
        refusals = self.stage.log().count(b"no more tasks are taken")
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
              f"{'' if mounted else ' (none may be mounted)'}, "
              f"{book.faults} requests answered wrongly, "
              f"{book.result_faults} of them results")
        print(", ".join(f"{name} {len(found)}" for name, found in sets) +
              f"; apart from that: window {book.window()}, "
              f"copies {sum(book.copies.values())}")
        print(f"longest /health {self.longest * 1000:.0f} ms, heartbeat "
              f"gap {book.heartbeat_gap():.1f} s, memory {self.kb} KB; books "
              f"right {self.looks} times")
        print(f"no tasks were taken for want of room {refusals} times, "
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
