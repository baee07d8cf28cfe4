#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Results that wait and results that were given up, as an operator sees them;
and figures that add up."""
import http.client
import json
import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, replying, task  # noqa: E402
from harness import (BUILD, case, check, eventually,  # noqa: E402
                     free_port, main, same)

CTL = os.path.join(BUILD, "avtoworkerctl")
REFUSAL = replying(400, b'{"error": "no such job"}')
BUSY = replying(503, b'{"error": "not now"}')


def picky(handler, request):
    """Refuses every tenth, so that never three in a row are refused."""
    if request.json()["task_id"].endswith("5"):
        REFUSAL(handler, request)
    else:
        handler.reply(*handler.server.fake.answer(request))


class Scene:
    """A worker and what asks it."""

    def __init__(self, t, dialect="rxon"):
        self.t = t
        self.fake = Fake(classic=dialect == "classic")
        self.dialect = dialect
        self.port = free_port()
        self.start()

    def start(self):
        self.worker = self.t.worker(
            self.fake.url, light=4, heavy=1,
            worker="heartbeat_interval = 1s",
            orchestrator=f"protocol = {self.dialect}",
            metrics=f"port = {self.port}\n    address = 127.0.0.1")
        self.worker.wait_log("registered at")

    def ctl(self, *args, status=0):
        done = subprocess.run(
            [CTL, "-s", self.t.path("state/control.sock"), *args],
            capture_output=True, text=True, timeout=60, check=False)
        same(done.returncode, status, f"{args}: {done.stderr}")
        return done.stdout if status == 0 else done.stderr

    def refused(self, *names):
        """Their results become dead letters."""
        self.fake.break_kind("result", REFUSAL)
        for name in names:
            self.fake.put(task(name, "echo", {"text": name}))
            self.worker.wait_log(f"kept as dead letter .*task_id={name}")
        self.fake.repair()

    def figures(self):
        """{name{labels}: value}"""
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            conn.request("GET", "/metrics")
            text = conn.getresponse().read().decode()
        finally:
            conn.close()
        return {k: float(v) for k, v in re.findall(
            r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.M)}

    def adds_up(self):
        """The equation of every moment. Returns how many tasks have come."""
        got = self.figures()

        def total(name):
            return sum(v for k, v in got.items() if k.startswith(name + "{"))
        received = total("worker_received_tasks_total")
        same(received, total("worker_results_total") +
             total("worker_leases"), "tasks received")
        return received


@case("a result that is refused for good is a dead letter: shown, sent, "
      "dropped")
def letters(t):
    scene = Scene(t)
    scene.refused("one", "two", "three")
    table = scene.ctl("dead-letters", "list")
    rows = [line.split() for line in table.splitlines()]
    same([r[:6] for r in rows[1:]],
         [[str(n), name, "job-" + name, "echo", "success", rows[n][5]]
          for n, name in enumerate(("one", "two", "three"), 1)], "the list")
    check("refused for good: HTTP 400: no such job" in table, table)
    letter = json.loads(scene.ctl("dead-letters", "-j", "show", "2"))
    same(json.loads(letter["dead_letters"][0]["data"])["echo"],
         {"text": "two"}, "data")
    check(re.search(r'^data +\{"echo":\{"text": ?"two"\}',
                    scene.ctl("dead-letters", "show", "2"), re.M), "shown")
    same(scene.ctl("dead-letters", "resend", "2"), "1\n", "resent")
    same(scene.fake.wait_result("two")["data"]["echo"], {"text": "two"},
         "data")
    same(scene.ctl("dead-letters", "drop", "1"), "1\n", "dropped")
    check("no dead letter" in scene.ctl("dead-letters", "drop", "1",
                                        status=1), "dropped twice")
    check("no dead letter" in scene.ctl("dead-letters", "show", "2",
                                        status=1), "it is still one")
    same(scene.ctl("dead-letters", "resend", "all"), "1\n", "resent")
    scene.fake.wait_result("three")
    eventually(lambda: not json.loads(
        scene.ctl("results", "-j"))["results"], "all delivered")
    scene.adds_up()
    same(len(scene.ctl("dead-letters").splitlines()), 1, "lines left")
    scene.worker.drain()


@case("dead letters outlive the worker, and one for another id is not sent")
def letters_stay(t):
    scene = Scene(t, "classic")
    scene.refused("one")
    # Its result is sent when the journal has it, and all before.
    scene.fake.put(task("after"))
    scene.fake.wait_result("after")
    scene.worker.signal(signal.SIGKILL)
    scene.worker.wait()
    scene.start()
    same(scene.figures()["worker_dead_letters"], 1, "dead letters")
    scene.worker.drain()
    worker = t.worker(scene.fake.url, worker_id="w-2",
                      orchestrator="protocol = classic")
    worker.wait_log("registered at")
    check("which this one is not" in scene.ctl("dead-letters", "resend", "1",
                                               status=1), "it was sent")
    worker.drain()
    scene.start()
    same(scene.ctl("dead-letters", "resend", "1"), "1\n", "resent")
    scene.fake.wait_result("one")
    scene.worker.drain()


@case("three results refused in a row end the polls; fewer do not")
def refusals(t):
    scene = Scene(t)
    fake = scene.fake
    for n in range(2):
        scene.refused(f"a-{n}", f"b-{n}")
        fake.put(task(f"c-{n}"))
        fake.wait_result(f"c-{n}")
    check(not scene.worker.lines("in a row"), "two are three")
    scene.refused("one", "two", "three")
    scene.worker.wait_log("has refused 3 results in a row")

    def quiet():
        polls = len(fake.of_kind("poll"))
        fake.wait_requests("heartbeat", len(fake.of_kind("heartbeat")) + 2)
        return len(fake.of_kind("poll")) == polls and fake.parked == 0
    eventually(quiet, "polls end")
    fake.put(task("later"))
    fake.wait_requests("heartbeat", len(fake.of_kind("heartbeat")) + 3)
    check("later" not in fake.results, "it was asked for")
    scene.worker.drain()


@case("results that wait are listed")
def waiting(t):
    scene = Scene(t)
    scene.fake.break_kind("result", BUSY)
    scene.fake.put(task("one"))
    scene.fake.wait_requests("result", 1)
    lines = scene.ctl("results").splitlines()
    same(lines[1].split()[:4], ["one", "job-one", "echo", "success"], "row")
    check("1 not delivered, 0 dead letters" in scene.ctl("status"), "status")
    check(re.search("^journal +ok$", scene.ctl("status"), re.M), "journal")
    scene.fake.repair()
    scene.fake.wait_result("one")
    scene.worker.drain()


@case("orders that cannot be are refused")
def wrong(t):
    scene = Scene(t)
    for args in (("show",), ("show", "all"), ("drop",), ("resend", "x"),
                 ("drop", "0"), ("list", "1"), ("burn", "1"),
                 ("drop", "1", "2")):
        check("dead-letters" in scene.ctl("dead-letters", *args, status=64),
              str(args))
    scene.worker.drain()


@case("figures add up at every moment, also after kill -9 ({})",
      ("classic",), ("rxon",))
def accounting(t, dialect):
    scene = Scene(t, dialect)
    gate = t.gate()
    names = [f"t-{n}" for n in range(120)]
    scene.fake.break_kind("result", picky)
    for name in names:
        scene.fake.put(task(name))
    while not all(n in scene.fake.results for n in names[:5]) or \
            not scene.worker.lines("kept as dead letter"):
        scene.adds_up()
    with scene.fake.changed:
        scene.fake.break_kind("result", BUSY)
        sent = {r.json()["task_id"] for r in scene.fake.of_kind("result")}
    eventually(lambda: scene.adds_up() == len(names), "all have come")
    # What is being answered when the worker is killed is sent once more.
    eventually(lambda: sum(
        v for k, v in scene.figures().items()
        if k.startswith("worker_results_total{")) == len(sent),
        "what was sent is answered")
    scene.fake.put(task("held", "slow", {"gate": gate.path, "name": "held"}))
    gate.wait(1)
    t.wait_journal("job-held")  # and so are all before
    eventually(lambda: scene.figures()[
        'worker_leases{state="running"}'] == 1, "one is left running")
    scene.adds_up()
    scene.worker.signal(signal.SIGKILL)
    scene.worker.wait()
    scene.start()
    scene.adds_up()
    scene.fake.repair()
    scene.fake.wait_result("held")

    def all_there():
        scene.adds_up()
        got = scene.figures()
        return got['worker_leases{state="finished"}'] == 0
    eventually(all_there, "all delivered")
    dead = scene.figures()["worker_dead_letters"]
    same(len([n for n in names if n in scene.fake.results]) + dead,
         len(names), "results and dead letters")
    check(all(len(r) == 1 for r in scene.fake.results.values()), "copies")
    scene.worker.drain()


main()
