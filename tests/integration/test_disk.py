#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A journal on a disk that is full, broken, slow or not to be written, and a
worker that is killed at every step of a result's way. The environment variable
AVTOWORKER_EVERY_STEP has it killed at each of them, not at a few."""
import glob
import http.client
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (SOON, can_trace, case, check, eventually,  # noqa: E402
                     free_port, main, same)

STEPS = (1, 2, 3, 5, 7, 10, 14, 19, 26)


def can_mount():
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"],
        stderr=subprocess.DEVNULL, check=False).returncode == 0


def traced(*faults):
    """A command that runs the worker with faults, as strace(1) has them. It is
    the worker's own process that is ours. Signals are lost with a filter."""
    quick = [] if any(":signal=" in f for f in faults) else ["--seccomp-bpf"]
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", *quick,
            "-e", "trace=" + ",".join(f.split(":")[0] for f in faults),
            *(x for f in faults for x in ("-e", "inject=" + f))]


class Scene:
    """A worker on such a disk."""

    def __init__(self, t, before=(), dialect="rxon", worker="", args=()):
        self.t = t
        self.fake = Fake(classic=dialect == "classic")
        self.port = free_port()
        self.dialect = dialect
        self.start(before, worker, args)

    def start(self, before=(), worker="", args=()):
        env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") +
               ":detect_leaks=0"} if before else {}
        self.worker = self.t.worker(
            self.fake.url, args, light=2, heavy=1, before=before, env=env,
            worker=f"heartbeat_interval = 1s\n    {worker}",
            orchestrator=f"protocol = {self.dialect}",
            metrics=f"port = {self.port}\n    address = 127.0.0.1")
        return self.worker

    def page(self, path):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            conn.request("GET", path)
            return conn.getresponse().read().decode()
        finally:
            conn.close()

    def run(self, *names):
        for name in names:
            self.fake.put(task(name))
        for name in names:
            same(self.fake.wait_result(name)["status"], "success", name)

    def fill(self):
        """Gives it tasks until it has no room for their results. Returns their
        names. What is in the journal's log already may be overwritten."""
        names = []

        def is_full():
            if self.worker.lines("no more tasks are taken"):
                return True
            if not self.fake.tasks:
                names.append(f"t-{len(names)}")
                self.fake.put(task(names[-1], "echo", {"text": "x" * 9000}))
            return False
        eventually(is_full, "there is no more room", 60)
        return names

    def refuses_tasks(self, words):
        """Until it takes none, and says why."""
        self.worker.wait_log(f"journal: .*{words}.*no more tasks are taken")
        check("worker_journal_failing 1\n" in self.page("/metrics"), "metrics")
        check("the journal cannot be written" in self.page("/ready"), "ready")
        check('"status":"ok"' in self.page("/health"), "health")

    def recovers(self):
        self.worker.wait_log("journal: it can be written again")
        eventually(lambda: "worker_journal_failing 0\n" in
                   self.page("/metrics"), "it takes tasks again")
        self.run("after-1", "after-2")
        self.worker.drain()
        rows = self.rows("SELECT task_id FROM ended")
        check({("after-1",), ("after-2",)} <= set(rows), f"ended: {rows}")
        same(self.rows("SELECT * FROM lease"), [], "leases left")
        check(all(len(r) == 1 for r in self.fake.results.values()), "copies")

    def rows(self, sql, path=None):
        db = sqlite3.connect(path or self.t.path("state/journal.db"))
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()


def on_a_small_disk(t, size, then="true"):
    os.mkdir(t.path("state"), 0o700)
    return ["unshare", "-m", "sh", "-c",
            f'mount -t tmpfs -o size={size},mode=700 tmpfs "$0" && {then} && '
            'exec "$@"', t.path("state")]


if can_mount():
    @case("a full disk: no more tasks, nothing is lost, work goes on with room")
    def full(t):
        scene = Scene(t, on_a_small_disk(t, "2m"))
        scene.run("one", "two")
        there = f"/proc/{scene.worker.pid}/root{t.path('state')}"
        with open(there + "/filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        names = scene.fill()
        scene.refuses_tasks("full")
        os.unlink(there + "/filler")
        # It is tried once a second, whoever else keeps the machine busy.
        scene.worker.wait_log("journal: it can be written again", SOON)
        for name in names:
            scene.fake.wait_result(name)
        scene.run("after")
        scene.worker.signal(signal.SIGTERM)
        same(scene.worker.wait(), 0, "exit status")
        check(all(len(r) == 1 for r in scene.fake.results.values()), "copies")

    @case("a state directory that cannot be written is refused at the start")
    def read_only(t):
        before = on_a_small_disk(
            t, "2m", 'mount -o remount,ro "$0"')
        worker = t.worker("http://127.0.0.1:1", before=before)
        same(worker.wait(), 78, "exit status")
        check(worker.lines("Read-only file system"), worker.log())

    @case("a disk that is full at the start is worth trying again")
    def full_at_start(t):
        before = on_a_small_disk(
            t, "16k", 'head -c 12000 /dev/zero > "$0/filler"')
        worker = t.worker("http://127.0.0.1:1", before=before)
        same(worker.wait(), 75, "exit status")
        check(worker.lines("full"), worker.log())

else:
    @case("full and read-only disks # SKIP no mounts are allowed here")
    def no_mounts(_t):
        pass


@case("a limit of the size of files: no more tasks until it is lifted")
def limited(t):
    scene = Scene(t)
    scene.run("one")
    limit = resource.prlimit(scene.worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(scene.worker.pid, resource.RLIMIT_FSIZE,
                     (400000, limit[1]))  # the log needs less
    names = scene.fill()
    scene.refuses_tasks("")
    resource.prlimit(scene.worker.pid, resource.RLIMIT_FSIZE, limit)
    for name in names:
        scene.fake.wait_result(name)
    scene.recovers()


if can_trace():
    @case("the journal cannot be written for a while: {} of {} ({})",
          ("ENOSPC", "pwrite64", "rxon"), ("EROFS", "pwrite64", "classic"),
          ("EIO", "fdatasync", "rxon"), ("EIO", "fdatasync", "classic"))
    def broken(t, error, call, dialect):
        when = "12..15" if call == "fdatasync" else "70..73"
        scene = Scene(t, traced(f"{call}:error={error}:when={when}"), dialect,
                      "durability = power")
        n = 0
        while not scene.worker.lines("no more tasks are taken"):
            scene.run(f"before-{n}")
            n += 1
        scene.recovers()

    @case("a disk that fails again and again: {} every {} calls of {} ({})",
          ("ENOSPC", 13, "pwrite64", "rxon"), ("EIO", 7, "fdatasync", "rxon"),
          ("EIO", 11, "pwrite64", "classic"), ("EROFS", 2, "ftruncate", "rxon"))
    def broken_often(t, error, every, call, dialect):
        first = {"fdatasync": 15, "ftruncate": 3}.get(call, 40)
        # Those of what comes after a failure may come at the very end, where
        # each costs one of the few attempts that there are then.
        count = 4 if call == "ftruncate" else 16
        faults = [f"{call}:error={error}:"
                  f"when={first}..{first + count * every}+{every}"]
        if call == "ftruncate":
            faults.append("pwrite64:error=EIO:when=60..300+40")
        scene = Scene(t, traced(*faults), dialect, "durability = power")
        times = 1 if call == "ftruncate" else 2
        n = 0
        # A slow disk is asked less often, for more at once.
        while n < 40 or \
                len(scene.worker.lines("no more tasks are taken")) < times:
            scene.run(f"t-{n}")
            n += 1
        scene.worker.wait_log("it can be written again")
        scene.run("after-1", "after-2")
        scene.worker.drain()
        same(scene.rows("SELECT * FROM lease"), [], "leases left")
        same(len(scene.rows("SELECT task_id FROM ended")), n + 2, "ended")
        check(all(len(r) == 1 for r in scene.fake.results.values()), "copies")

    @case("a disk that hangs holds no heartbeat and no result ({})",
          ("classic",), ("rxon",))
    def hangs(t, dialect):
        scene = Scene(t, traced("fdatasync:delay_enter=15000000:when=9"),
                      dialect, "durability = power")
        fake, lines = scene.fake, scene.worker.lines
        names = []
        while not lines("no more tasks are taken"):
            names.append(f"before-{len(names)}")
            fake.put(task(names[-1]))
            eventually(lambda: names[-1] in fake.results or
                       lines("no more tasks are taken"), "it goes on")
        told_at = time.monotonic()  # 5 s after it began, 10 s before its end
        scene.refuses_tasks("does not answer")
        with fake.changed:
            given = [n for n in names if task(n) not in fake.tasks]
        for name in given:
            fake.wait_result(name)
        check(not lines("it can be written again"), "results have waited")
        if dialect == "rxon":
            check(any(told_at - 4 - t.late() < r.at < told_at
                      for r in fake.of_kind("result")), "results have waited")
        scene.worker.wait_log("it can be written again")
        beats = len(fake.of_kind("heartbeat"))
        at = [r.at for r in fake.wait_requests("heartbeat", beats + 1)]
        longest = max(b - a for a, b in zip(at, at[1:]))
        check(longest < 4 + t.late(), f"no heartbeat for {longest:.1f} s")
        scene.recovers()

    @case("killed at the steps of a result's way: {}, {}, durability = {}",
          ("classic", "pwrite64", "process"), ("classic", "sendto", "process"),
          ("classic", "write", "process"), ("rxon", "pwrite64", "process"),
          ("rxon", "sendto", "process"), ("rxon", "write", "process"),
          ("classic", "fdatasync", "power"), ("rxon", "fdatasync", "power"),
          ("classic", "unlink", "process"), ("rxon", "ftruncate", "process"))
    def every_step(t, dialect, call, durability):
        every = "AVTOWORKER_EVERY_STEP" in os.environ
        others = [n for n in range(1, STEPS[-1]) if n not in STEPS]
        # Of some calls there are a few, at the beginning and at the end.
        few = call in ("unlink", "ftruncate")
        scene = None
        killed = []
        between = 0  # of them: the journal had a lease that was not over
        for step in range(1, 200) if every else (*STEPS, *others):
            # The others are for a machine that does things in another order.
            if not every and step in others and (few or between > 0):
                break
            before = traced(f"{call}:signal=KILL:when={step}")
            # The log is what is written most.
            args = ["-o", "log.level=debug"] if call == "write" else []
            if scene is None:
                scene = Scene(t, before, dialect, f"durability = {durability}",
                              args)
            else:
                scene.start(before, f"durability = {durability}", args)
            names = [f"{step}-{n}" for n in range(3)]
            if is_killed(scene, names):
                killed.append(step)
                t.no_strays(SOON)
                between += goes_on(scene, names)
            elif every or few or between > 0:
                break
        else:
            check(not every, "there are more steps than were tried")
        if few:
            check(killed, "it was not killed")
        else:
            check(len(killed) >= 4, f"killed at the steps {killed} only")
            check(between > 0, "never while it had a task")
        for name, results in scene.fake.results.items():
            check(len(results) <= 2, f"copies of {name}: {len(results)}")
            # RXON ignores the second. Classic acts on it.
            check(dialect == "rxon" or results[1:] in ([], results[:1]),
                  f"{name} has had {results}")

    def work(name):
        """One of them runs for so long that the journal knows it meanwhile."""
        if name.endswith("-0"):
            return task(name, "slow", {"ms": 500})
        return task(name)

    def is_killed(scene, names):
        """False when that step is beyond the last: it has delivered all, and
        has ended."""
        for name in names:
            scene.fake.put(work(name))
        eventually(lambda: not scene.worker.is_alive() or
                   all(n in scene.fake.results for n in names),
                   "it is killed, or has delivered all")
        if scene.worker.is_alive():
            scene.worker.signal(signal.SIGTERM)
        status = scene.worker.wait()
        check(status in (0, -signal.SIGKILL), f"it has ended with {status}")
        return status != 0

    def goes_on(scene, names):
        """After the kill: whatever happened to a task, it gets its result.
        True when it happened between its lease and its end."""
        leases, ended = read_copy(scene.t)
        with scene.fake.changed:
            sent = {n for n in names if n in scene.fake.results}
            waiting = {x["task_id"] for x in scene.fake.tasks}
        finished = {n for n, at in leases.items() if at is not None} | ended
        # Classic: no byte of a result before the journal has it.
        check(scene.dialect == "rxon" or sent <= finished,
              f"sent {sent}, in the journal {finished}")
        scene.start()
        # Taken, but not in the journal yet: the orchestrator's time-out.
        for name in set(names) - sent - waiting - set(leases) - ended:
            scene.fake.put(work(name))
        for name in names:
            result = scene.fake.wait_result(name)
            check(result["status"] == "success" or name not in finished and
                  result["error"]["code"] == "TRANSIENT_ERROR",
                  f"{name} (finished: {finished}) has the result {result}")
        scene.worker.wait_log("registered at")
        scene.worker.drain()
        same(scene.rows("SELECT task_id FROM lease"), [], "leases left")
        return bool(leases)

    def read_copy(t):
        """Leases in a journal, with when they were finished, and tasks that
        are over. It is left as it is: what opens it next is to be the
        worker."""
        path = t.path("copy")
        shutil.rmtree(path, ignore_errors=True)
        os.mkdir(path)
        for name in glob.glob(t.path("state/journal.db*")):
            shutil.copy(name, path)
        if not os.path.exists(path + "/journal.db"):
            return {}, set()
        db = sqlite3.connect(path + "/journal.db")
        try:
            return (dict(db.execute("SELECT task_id, finished_at FROM lease")),
                    {x for x, in db.execute("SELECT task_id FROM ended")})
        except sqlite3.OperationalError:
            return {}, set()  # killed before it had a schema
        finally:
            db.close()

else:
    @case("broken disks and kills at each step # SKIP no strace, or not allowed")
    def no_traces(_t):
        pass


main()
