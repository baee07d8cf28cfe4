#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""SIGTSTP and SIGCONT: no more tasks are taken, and then they are again."""
import signal
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (case, check, eventually, main,  # noqa: E402
                     module, same)


class Scene:
    """A worker that has done a task."""

    def __init__(self, t):
        self.fake = Fake()
        self.worker = t.worker(self.fake.url, light=1, heavy=1,
                               worker="heartbeat_interval = 1s",
                               orchestrator="protocol = classic")
        self.works("before")

    def works(self, name):
        self.fake.put(task(name))
        same(self.fake.wait_result(name)["status"], "success", "status")

    def pause(self):
        self.worker.signal(signal.SIGTSTP)
        self.worker.wait_log("paused, no more tasks")

    def silence(self):
        """Until nothing is asked for any more: two heartbeats on there has
        been no other poll, and none is parked."""
        def quiet():
            polls = len(self.fake.of_kind("poll"))
            beats = len(self.fake.of_kind("heartbeat"))
            self.fake.wait_requests("heartbeat", beats + 2)
            return len(self.fake.of_kind("poll")) == polls and \
                self.fake.parked == 0
        eventually(quiet, "polls end")


@case("a pause ends the polls, not the heartbeats; a task goes when it ends")
def pause(t):
    scene = Scene(t)
    scene.pause()
    scene.silence()
    scene.fake.put(task("waiting"))
    scene.silence()
    check("waiting" not in scene.fake.results, "it was run")
    scene.worker.signal(signal.SIGCONT)
    same(scene.fake.wait_result("waiting")["status"], "success", "status")
    scene.worker.drain()


@case("a pause can begin while the worker starts")
def early(t):
    env = t.write("hang.env", "HANG=load\n")
    fake = Fake()
    worker = t.worker(fake.url, orchestrator="protocol = classic",
                      worker="heartbeat_interval = 1s", more=f"""
module hang {{ file = "{module("bad_hang")}" }}
category hang {{
    env_file = "{env}"
    start_timeout = 5s
}}
handler patient {{ category = hang }}
""")
    worker.wait_children(4 + 2 + 1 + 1)
    worker.signal(signal.SIGTSTP)
    worker.wait_log("paused, no more tasks")
    worker.wait_log("registered at")
    fake.put(task("waiting"))
    beats = len(fake.of_kind("heartbeat"))
    fake.wait_requests("heartbeat", beats + 1)
    same(len(fake.of_kind("poll")), 0, "polls")
    worker.signal(signal.SIGCONT)
    same(fake.wait_result("waiting")["status"], "success", "status")
    worker.drain()


@case("SIGCONT alone changes nothing")
def cont(t):
    scene = Scene(t)
    scene.worker.signal(signal.SIGCONT)
    scene.works("after")
    check(not scene.worker.lines("resumed|paused"), "it says otherwise")
    scene.worker.drain()


@case("what runs is finished in a pause")
def running(t):
    scene = Scene(t)
    gate = t.gate()
    scene.fake.put(task("held", "slow", {"gate": gate.path, "name": "held"}))
    gate.wait(1)
    scene.pause()
    gate.open()
    same(scene.fake.wait_result("held")["status"], "success", "status")
    scene.worker.drain()


@case("a paused worker can be stopped; a SIGCONT with the stop is harmless")
def stop(t):
    scene = Scene(t)
    scene.pause()
    scene.worker.signal(signal.SIGTERM)
    scene.worker.signal(signal.SIGCONT)
    scene.worker.gone()


main()
