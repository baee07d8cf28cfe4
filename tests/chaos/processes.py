# SPDX-License-Identifier: ISC
"""What can be seen of the worker from outside."""
import collections
import http.client
import os
import shutil
import sqlite3
import tempfile
import threading
import time

from harness import parents, proc_read


def descriptors(pid):
    """{kind: how many} of a process."""
    kinds = collections.Counter()
    directory = f"/proc/{pid}/fd"
    for name in os.listdir(directory):
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


class Pulse(threading.Thread):
    """Asks for /health all the time: the longest answer is the longest time
    that the worker's loop stood still, and a little more."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.answers = 0
        self.longest = 0.0
        self.on = True

    def run(self):
        conn = None
        while self.on:
            begun = time.monotonic()
            try:
                if conn is None:
                    conn = http.client.HTTPConnection(
                        "127.0.0.1", self.port, timeout=30)
                conn.request("GET", "/health")
                conn.getresponse().read()
                self.longest = max(self.longest, time.monotonic() - begun)
                self.answers += 1
            except (OSError, http.client.HTTPException):
                conn = None
            time.sleep(0.05)
