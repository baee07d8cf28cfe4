#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What outlives the supervisor: leases and results, whatever ends it."""
import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, replying, silent, task  # noqa: E402
from harness import (BUILD, SOON, case, check, eventually,  # noqa: E402
                     main, parents, same)

DIALECTS = ("classic",), ("rxon",)
BROKEN = replying(503, b'{"error": "not now"}')


class Scene:
    """One orchestrator of straw, and one worker after another."""

    def __init__(self, t, dialect="rxon", **more):
        self.t = t
        self.dialect = dialect
        self.fake = Fake(classic=dialect == "classic")
        self.worker = self.start(**more)

    def start(self, worker="", **more):
        more = {"light": 2, "heavy": 1, **more}
        self.worker = self.t.worker(
            self.fake.url, worker=worker,
            orchestrator=f"protocol = {self.dialect}\n"
            "request_timeout = 10s", **more)
        return self.worker

    def kill(self):
        self.worker.signal(signal.SIGKILL)
        self.worker.wait()
        self.t.no_strays(SOON)

    def rows(self, sql):
        """What a stopped worker's journal holds."""
        db = sqlite3.connect(self.t.path("state/journal.db"))
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def results(self, task_id):
        return self.fake.results.get(task_id, [])

    def undelivered(self, task_id="one", durable=True):
        """Its result is offered and not taken, until fake.repair()."""
        before = len(self.fake.of_kind("result"))
        self.fake.break_kind("result", BROKEN)
        self.fake.put(task(task_id, "echo", {"text": task_id}))
        self.fake.wait_requests("result", before + 2)
        if durable:
            self.t.wait_journal(f'"echo":{{"text": "{task_id}"}}')

    def after_registration(self, task_id):
        """Seconds from the latest one to that task's result."""
        result = [r for r in self.fake.of_kind("result")
                  if r.json()["task_id"] == task_id][-1]
        return result.at - self.fake.of_kind("register")[-1].at


@case("a result that was not taken is delivered after kill -9 ({})",
      *DIALECTS)
def result_survives(t, dialect):
    scene = Scene(t, dialect)
    names = [f"t-{n}" for n in range(4)]
    late = []
    for name in names:
        scene.undelivered(name)
        scene.kill()
        scene.fake.repair()
        scene.start()
        scene.worker.wait_log("1 result to be delivered")
        scene.worker.wait_log("registered")
        result = scene.fake.wait_result(name)
        same(result["status"], "success", "status")
        same(result["data"]["echo"], {"text": name}, "data")
        late.append(scene.after_registration(name))
    # A busy machine may be late at times. A timer is every time.
    check(min(late) < 0.5, f"delivered after {late} s")
    scene.worker.drain()
    same([len(scene.results(n)) for n in names], [1] * len(names), "copies")
    same(scene.rows("SELECT * FROM lease"), [], "leases left")
    same(scene.rows("SELECT task_id, outcome FROM ended"),
         [(n, "accepted") for n in names], "ended")


@case("tasks that ran or waited at kill -9 are handed back at once ({})",
      *DIALECTS)
def interrupted(t, dialect):
    scene = Scene(t, dialect, light=1)
    gate = t.gate()
    for name in ("runs", "waits"):
        scene.fake.put(task(name, "slow", {"gate": gate.path, "name": name}))
    gate.wait(1)
    for name in ("runs", "waits"):
        t.wait_journal("job-" + name)
    scene.kill()
    same([s for s, in scene.rows("SELECT status FROM lease")],
         [None, None], "results in the journal")
    worker = scene.start()
    worker.wait_log("registered")
    for name in ("runs", "waits"):
        result = scene.fake.wait_result(name)
        check(scene.after_registration(name) < SOON + t.late(), "it was late")
        same(result["error"]["code"], "TRANSIENT_ERROR", "code")
        check("interrupted" in result["error"]["message"],
              result["error"]["message"])
    worker.drain()
    same([len(scene.results(n)) for n in ("runs", "waits")], [1, 1],
         "copies")


@case("children that outlive a kill -9 for a while harm nothing ({})",
      *DIALECTS)
def still_there(t, dialect):
    scene = Scene(t, dialect, more="""
category trees {
    children = 1
    launcher = yes
}
handler slow {
    category = trees
}
""")
    gate = t.gate()
    scene.fake.put(task("runs", "slow", {"gate": gate.path, "name": "runs"}))
    gate.wait(1)
    t.wait_journal("job-runs")
    # Deaf to what would have them end, as one is that waits for its disk.
    left = scene.worker.serving("trees")
    for pid in left:
        os.kill(pid, signal.SIGSTOP)
    scene.worker.signal(signal.SIGKILL)
    scene.worker.wait()
    scene.start()
    result = scene.fake.wait_result("runs")
    same(result["error"]["code"], "TRANSIENT_ERROR", "code")
    scene.fake.put(task("next"))
    same(scene.fake.wait_result("next")["status"], "success", "status")
    there = parents()
    check(any(there.get(p, (0, "Z"))[1] == "T" for p in left),
          "none of them was there meanwhile")
    for pid in left:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    t.no_strays(SOON)
    scene.worker.drain()
    same(len(gate.arrived), 1, "times that it was run")
    same([len(scene.results(n)) for n in ("runs", "next")], [1, 1], "copies")


@case("a task that comes again is answered from the journal ({})", *DIALECTS)
def held(t, dialect):
    scene = Scene(t, dialect)
    scene.undelivered()
    scene.kill()
    worker = scene.start()
    scene.fake.put(task("one", "fail", {}))
    worker.wait_log("a task comes again: it is finished already")
    scene.fake.repair()
    same(scene.fake.wait_result("one")["status"], "success", "status")
    worker.drain()
    same(len(scene.results("one")), 1, "copies")


@case("a task whose result was taken is not run again, nor after a restart")
def taken_before(t):
    scene = Scene(t)
    scene.fake.put(task("one"))
    scene.fake.wait_result("one")
    for _ in range(2):
        scene.fake.put(task("one"))
        scene.worker.wait_log("whose result it has had|comes again")
        scene.worker.drain()
        same(len(scene.results("one")), 1, "copies")
        scene.start()
        scene.worker.wait_log("registered")
    scene.worker.drain()


@case("classic: a result is in the journal, and marked, before it is sent")
def marked(t):
    scene = Scene(t, "classic")
    scene.fake.break_kind("result", silent)
    scene.fake.put(task("one", "echo", {"text": "one"}))
    scene.fake.wait_requests("result", 1)
    scene.kill()
    (status, data, sending), = scene.rows(
        "SELECT status, data, sending_at FROM lease")
    same(status, "success", "status")
    check('"one"' in data, data)
    check(abs(sending / 1000 - time.time()) < 60, f"sending_at {sending}")
    scene.fake.repair()
    scene.start()
    same(scene.fake.wait_result("one")["status"], "success", "status")
    scene.worker.drain()
    same(len(scene.results("one")), 1, "copies")


@case("classic: a mark is taken back when nothing can have been sent")
def unmarked(t):
    scene = Scene(t, "classic")
    scene.undelivered()
    scene.fake.server.shutdown()
    scene.fake.server.server_close()
    scene.worker.wait_log("cannot deliver results.*connect")
    scene.worker.signal(signal.SIGTERM)
    eventually(lambda: scene.worker.lines("draining"), "drains")
    scene.worker.signal(signal.SIGINT)
    same(scene.worker.wait(), 0, "exit status")
    same(scene.rows("SELECT sending_at FROM lease"), [(None,)], "marks")


@case("classic: so is that of a result whose connection is not there yet")
def unconnected(t):
    scene = Scene(t, "classic")
    scene.undelivered()
    address = scene.fake.server.server_address
    scene.fake.server.shutdown()
    scene.fake.server.server_close()
    scene.worker.wait_log("cannot deliver results.*connect")
    with contextlib.ExitStack() as stack:
        # Room for one that is not accepted, and for no other.
        deaf = stack.enter_context(socket.socket())
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deaf.bind(address)
        deaf.listen(0)
        stack.enter_context(socket.create_connection(address))
        scene.worker.signal(signal.SIGTERM)
        eventually(lambda: scene.worker.lines("draining"), "drains")
        scene.worker.signal(signal.SIGINT)
        same(scene.worker.wait(), 0, "exit status")
    scene.worker.wait_log("1 result could not be delivered in time")
    same(scene.rows("SELECT sending_at FROM lease"), [(None,)], "marks")


@case("classic: nothing looks as if it had been sent that only was to be")
def got_ready(t):
    scene = Scene(t, "classic", light=4)
    scene.fake.break_kind("result", silent)
    names = [f"t-{n}" for n in range(50)]
    done = t.path("done")
    for name in names:
        scene.fake.put(task(name, params={"count": done}))
    scene.fake.wait_requests("result", 32)  # no more are out at once
    eventually(lambda: os.path.getsize(done) == len(names), "all are run")
    scene.fake.stop()  # what comes on a connection now is not answered either
    scene.worker.wait_log("cannot deliver results.*connect")
    scene.worker.signal(signal.SIGTERM)
    eventually(lambda: scene.worker.lines("draining"), "drains")
    scene.worker.signal(signal.SIGINT)
    same(scene.worker.wait(), 0, "exit status")
    rows = dict(scene.rows("SELECT task_id, sending_at FROM lease"))
    sent = {r.json()["task_id"] for r in scene.fake.of_kind("result")}
    same(set(rows), set(names), "leases")
    same({n for n, at in rows.items() if at is not None}, sent, "marks")


def in_doubt(t, change):
    """A classic worker that was killed when a result was sent and not answered,
    and what is then changed in its journal."""
    scene = Scene(t, "classic")
    scene.fake.break_kind("result", silent)
    scene.fake.put(task("one"))
    scene.fake.wait_requests("result", 1)
    scene.kill()
    db = sqlite3.connect(t.path("state/journal.db"))
    db.execute(change)
    db.commit()
    db.close()
    scene.fake.repair()
    return scene


@case("classic: a result that may have been taken is given up in time")
def too_old(t):
    scene = in_doubt(t, "UPDATE lease SET sending_at = sending_at - 301000")
    worker = scene.start()
    worker.wait_log("may have been taken.*kept as dead letter 1.*=one")
    worker.wait_log("registered")
    worker.drain()
    same(scene.results("one"), [], "copies")
    same(scene.rows("SELECT task_id, status FROM dead_letter"),
         [("one", "success")], "dead letters")


@case("classic: what may have been taken and is lost is followed by no other")
def lost_in_doubt(t):
    scene = in_doubt(t, "UPDATE lease SET data = '{'")
    worker = scene.start()
    worker.wait_log("cannot be read from the journal.*given up")
    worker.wait_log("taken, and its content is lost; .*dead letter 1.*=one")
    scene.fake.put(task("two"))
    scene.fake.wait_result("two")
    worker.drain()
    same(scene.results("one"), [], "copies")


@case("results are given up after result_retention")
def retention(t):
    scene = Scene(t)
    scene.undelivered()
    scene.kill()
    db = sqlite3.connect(t.path("state/journal.db"))
    db.execute("UPDATE lease SET finished_at = finished_at - 86401000")
    db.commit()
    db.close()
    worker = scene.start()
    worker.wait_log("within result_retention; .*dead letter 1.*=one")
    worker.wait_log("registered")
    scene.fake.repair()
    worker.drain()
    same(scene.results("one"), [], "copies")


@case("results that are too many for memory wait on disk alone")
def many(t):
    scene = Scene(t, worker="max_queued = 4")
    scene.fake.break_kind("result", BROKEN)
    size, count = 300000, 150
    for n in range(count):
        scene.fake.put(task(f"t-{n}", "echo", {"text": f"{n} " + "x" * size}))
    eventually(lambda: not scene.fake.tasks, "all were taken")
    socket = t.path("state/control.sock")

    def all_finished():
        done = subprocess.run(
            [os.path.join(BUILD, "avtoworkerctl"), "-s", socket, "-j",
             "results"], capture_output=True, check=True, timeout=60)
        found = json.loads(done.stdout)["results"]
        return len(found) == count and found

    def held():
        return sum(not r["on_disk"] for r in all_finished()) * size
    eventually(all_finished, "all have results")
    eventually(lambda: held() <= 16 << 20,
               lambda: f"16 MiB are in memory; there are {held()} bytes")
    scene.fake.repair()
    for n in range(count):
        same(scene.fake.wait_result(f"t-{n}", 60)["data"]["echo"]["text"][:5],
             (f"{n} " + "x" * 5)[:5], f"data of t-{n}")
    scene.worker.drain()
    check(all(len(r) == 1 for r in scene.fake.results.values()), "copies")


@case("a row is never sent to another orchestrator, nor under another id")
def owners(t):
    scene = Scene(t)
    scene.undelivered()
    scene.kill()
    scene.fake.repair()
    other = Fake(classic=False)
    first = t.worker(other.url, orchestrator="protocol = rxon")
    first.wait_log("1 lease of other orchestrators or worker ids stays")
    first.wait_log("registered")
    first.drain()
    second = scene.start(worker_id="w-2")
    second.wait_log("1 lease of other orchestrators or worker ids stays")
    second.wait_log("registered")
    second.drain()
    same((scene.results("one"), other.results), ([], {}), "results")
    scene.start()
    scene.fake.wait_result("one")
    scene.worker.drain()


@case("results left at a stop are delivered at the next start; it exits 0")
def stopped(t):
    scene = Scene(t)
    scene.undelivered()
    scene.worker.signal(signal.SIGINT)
    scene.worker.wait_log("draining")
    scene.worker.signal(signal.SIGINT)
    scene.worker.wait_log("1 result could not be delivered in time and waits")
    same(scene.worker.wait(), 0, "exit status")
    check(not os.path.exists(t.path("state/journal.db-wal")),
          "the log was not merged into the file")
    scene.fake.repair()
    scene.start()
    scene.fake.wait_result("one")
    scene.worker.drain()


@case("a stop does not wait for an orchestrator that is gone ({})",
      *DIALECTS)
def gone(t, dialect):
    scene = Scene(t, dialect, worker="shutdown_timeout = 60s")
    scene.undelivered()
    scene.fake.server.shutdown()
    scene.fake.server.server_close()
    scene.worker.wait_log("cannot deliver results.*connect")
    scene.worker.signal(signal.SIGTERM)
    same(scene.worker.wait(30), 0, "exit status")
    line, = scene.worker.lines("1 result .*waits in the journal")
    check("next start" in line, line)
    check(not scene.worker.lines("handing back"), "it waited for the deadline")
    scene.fake.repair()
    scene.fake.start()
    scene.start()
    same(scene.fake.wait_result("one")["status"], "success", "status")
    scene.worker.drain()
    same(len(scene.results("one")), 1, "copies")


@case("a stop waits for an orchestrator that comes back")
def comes_back(t):
    scene = Scene(t)
    scene.undelivered()
    scene.fake.server.shutdown()
    scene.fake.server.server_close()
    scene.worker.wait_log("cannot deliver results.*connect")
    scene.worker.signal(signal.SIGTERM)
    scene.worker.wait_log("draining")
    scene.fake.repair()
    scene.fake.start()
    scene.worker.wait_log("stopped: every result is delivered")
    same(scene.worker.wait(), 0, "exit status")
    same(len(scene.results("one")), 1, "copies")


@case("a stop offers what is answered with errors again, and soon")
def answered_with_errors(t):
    fake = Fake(classic=False)
    worker = t.worker(
        fake.url, worker="shutdown_timeout = 60s",
        orchestrator="protocol = rxon\n    result_backoff_initial = 30s")
    fake.break_kind("result", BROKEN)
    fake.put(task("one"))
    worker.wait_log("cannot deliver results")  # and not again for long
    worker.signal(signal.SIGTERM)
    fake.wait_requests("result", 4)
    fake.repair()
    worker.wait_log("stopped: every result is delivered")
    same(worker.wait(), 0, "exit status")
    check(not worker.lines("handing back"), "it waited for the deadline")
    same(len(fake.results["one"]), 1, "copies")


@case("durability = off keeps nothing, and says what a stop has lost")
def off(t):
    scene = Scene(t, worker="durability = off")
    scene.undelivered(durable=False)
    check(not os.path.exists(t.path("state/journal.db")), "there is one")
    scene.worker.signal(signal.SIGINT)
    scene.worker.wait_log("draining")
    scene.worker.signal(signal.SIGINT)
    scene.worker.wait_log("1 result could not be delivered.*lost")
    same(scene.worker.wait(), 75, "exit status")


@case("durability = power works as well")
def power(t):
    scene = Scene(t, "classic", worker="durability = power")
    scene.undelivered()
    scene.kill()
    scene.fake.repair()
    scene.start(worker="durability = power")
    scene.fake.wait_result("one")
    scene.worker.drain()


@case("the journal is for its user alone")
def private(t):
    scene = Scene(t)
    scene.fake.put(task("one"))
    scene.fake.wait_result("one")
    for name in ("journal.db", "journal.db-wal"):
        same(stat.S_IMODE(os.stat(t.path("state/" + name)).st_mode), 0o600,
             name)
    check(not os.path.exists(t.path("state/journal.db-shm")), "a -shm file")
    scene.worker.drain()


def refused(t, status, words):
    worker = t.worker("http://127.0.0.1:1")
    same(worker.wait(), status, "exit status")
    check(worker.lines(words), f"no line like {words}: {worker.log()}")


@case("a journal of a newer version is refused, and left alone")
def newer(t):
    os.mkdir(t.path("state"), 0o700)
    db = sqlite3.connect(t.path("state/journal.db"))
    db.execute("PRAGMA application_id = 1096177483")
    db.execute("PRAGMA user_version = 99")
    db.execute("CREATE TABLE lease (x)")
    db.commit()
    db.close()
    before = open(t.path("state/journal.db"), "rb").read()
    refused(t, 78, "version 99 of its schema")
    check(before[100:] == open(t.path("state/journal.db"), "rb").read()[100:],
          "the file has changed")


@case("a database of somebody else is refused")
def foreign(t):
    os.mkdir(t.path("state"), 0o700)
    db = sqlite3.connect(t.path("state/journal.db"))
    db.execute("PRAGMA user_version = 3")
    db.execute("CREATE TABLE photos (x)")
    db.commit()
    db.close()
    refused(t, 78, "no journal of ours")


if os.geteuid() == 0:
    @case("a journal that belongs to another user is refused, and left alone")
    def another_users(t):
        scene = Scene(t)
        scene.worker.wait_log("registered")
        scene.worker.drain()
        path = t.path("state/journal.db")
        os.chown(path, 12345, -1)
        before = open(path, "rb").read()
        refused(t, 78, "belongs to user 12345, and we are user 0")
        check(before == open(path, "rb").read(), "the file has changed")

else:
    @case("a journal of another user # SKIP only root can make one")
    def no_other_user(_t):
        pass


@case("a symbolic link in the journal's place is refused")
def link(t):
    os.mkdir(t.path("state"), 0o700)
    t.write("elsewhere", "")
    os.symlink(t.path("elsewhere"), t.path("state/journal.db"))
    refused(t, 78, "cannot open the journal")
    same(os.path.getsize(t.path("elsewhere")), 0, "size of what it names")


@case("a journal that somebody looks at is worth trying again")
def busy(t):
    scene = Scene(t)
    scene.worker.wait_log("registered")
    scene.worker.drain()
    db = sqlite3.connect(t.path("state/journal.db"))
    db.execute("BEGIN IMMEDIATE")
    refused(t, 75, "locked")
    db.close()


@case("a damaged journal is kept aside, and work goes on")
def damaged(t):
    os.mkdir(t.path("state"), 0o700)
    t.write("state/journal.db", "this is no database at all\n" * 500)
    scene = Scene(t)
    scene.worker.wait_log("the journal is damaged .*kept as .*damaged-")
    scene.fake.put(task("one"))
    scene.fake.wait_result("one")
    scene.worker.drain()
    kept, = [n for n in os.listdir(t.path("state")) if "damaged" in n]
    check("no database" in open(t.path("state/" + kept),
                                encoding="utf-8").read(), "what was kept")


@case("a row that cannot be right is left where it is")
def bad_row(t):
    scene = Scene(t)
    scene.undelivered()
    scene.kill()
    db = sqlite3.connect(t.path("state/journal.db"))
    db.execute("INSERT INTO lease (id, leased_at, url, worker_id, task_id, "
               "job_id) SELECT 77, 1, url, worker_id, 'a/../b', 'j' "
               "FROM lease")
    db.execute("UPDATE lease SET data = '{\"a\": 1' WHERE id = 1")
    db.commit()
    db.close()
    scene.fake.repair()
    worker = scene.start()
    worker.wait_log("lease 77 of the journal is left where it is")
    result = scene.fake.wait_result("one")
    same(result["error"]["code"], "TRANSIENT_ERROR", "code")
    worker.wait_log("cannot be read from the journal")
    worker.drain()
    same(scene.rows("SELECT id FROM lease"), [(77,)], "leases left")


main()
