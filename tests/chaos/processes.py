# SPDX-License-Identifier: ISC
"""What can be seen of the worker from outside; and signals."""
import collections
import http.client
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import time

from harness import parents, proc_read


def descriptors(pid):
    """{kind: how many} of a process; none of one that hides them, as the
    worker does from anybody but root."""
    kinds = collections.Counter()
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except PermissionError:
        return kinds
    for name in names:
        try:
            kinds[os.readlink(f"{directory}/{name}").partition(":[")[0]] += 1
        except OSError:
            continue
    return kinds


def journalled(state):
    """Ids of the tasks that the journal of a worker that was killed holds; it
    is read from a copy, for reading mends it."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("journal.db", "journal.db-wal"):
            try:
                shutil.copy(os.path.join(state, name), copy)
            except FileNotFoundError:
                continue
        try:
            db = sqlite3.connect(os.path.join(copy, "journal.db"))
            ids = {row[0] for row in db.execute("SELECT task_id FROM lease")}
            db.close()
        except sqlite3.OperationalError:  # killed before it was made
            return set()
    return ids


def send(pid, number):
    """A signal; false when there is nobody to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def resident_kb(pid):
    for line in proc_read(pid, "status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def children_of(pid):
    return [p for p, (parent, state) in parents().items()
            if parent == pid and state != "Z"]


def born(pid):
    """When it was started, in ticks since the boot; 0 when it is dead."""
    fields = proc_read(pid, "stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) >= 20 and fields[0] != "Z" else 0


def age(pid):
    """Seconds since it was started; 0 when it is dead."""
    ticks = born(pid)
    if ticks == 0:
        return 0
    with open("/proc/uptime", encoding="ascii") as f:
        up = float(f.read().split()[0])
    return up - ticks / os.sysconf("SC_CLK_TCK")


class Books:
    """What the worker counts, in the lives that it has had: at each look it
    has to add up, and no counter may have gone back."""
    LEAST = ("_total", "_count", "_bucket", "_sum")

    def __init__(self):
        self.looks = 0
        self.last = {}  # {name{labels}: value} of the last look
        self.wrong = []

    def total(self, name):
        return sum(v for k, v in self.last.items() if k.startswith(name + "{"))

    def look(self, text):
        before = self.last
        self.last = {k: float(v) for k, v in re.findall(
            r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.M)}
        self.looks += 1
        received = self.total("worker_received_tasks_total")
        ended = self.total("worker_results_total")
        here = self.total("worker_leases")
        if received != ended + here:
            self.wrong.append(f"{received:.0f} tasks received, {ended:.0f} "
                              f"done with, {here:.0f} here")
        born = "worker_start_time_seconds"
        if before.get(born) != self.last[born]:
            return
        for name, value in before.items():
            if name.partition("{")[0].endswith(self.LEAST) and \
                    self.last.get(name, 0) < value:
                self.wrong.append(f"{name} was {value:g}, is "
                                  f"{self.last.get(name)}")


class Pulse(threading.Thread):
    """Asks for /health all the time: the longest answer is the longest time
    that the worker's loop stood still, and a little more. And looks at its
    books, now and then."""
    EACH = 4  # times

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.answers = 0
        self.longest = 0.0
        self.delays = collections.deque()  # (when, how long): no answer
        self.books = Books()
        self.on = True

    def ask(self, path):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            conn.request("GET", path)
            return conn.getresponse().read().decode()
        finally:
            conn.close()

    def run(self):
        while self.on:
            begun = time.monotonic()
            try:
                self.ask("/health")
                self.longest = max(self.longest, time.monotonic() - begun)
                self.answers += 1
                if self.answers % self.EACH == 0:
                    self.books.look(self.ask("/metrics"))
            except (OSError, http.client.HTTPException):
                pass
            self.delays.append((begun, time.monotonic() - begun))
            time.sleep(0.05)
