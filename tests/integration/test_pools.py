#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""How many children there are, how long they stay, and what a task that costs
children comes to."""
import collections
import os
import re
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (CHILD, TOKEN, ZOO, Worker, case, check,  # noqa: E402
                     eventually, has_sanitizers, main, proc_read, read, same)


class Scene:
    """A worker with the zoo, and categories as the case wants them."""

    def __init__(self, t, categories, worker="", more="", env=None):
        self.fake = Fake()
        token = t.write("token", TOKEN + "\n")
        blocks = "".join(f"category {name} {{\n{keys}\n}}\n"
                         for name, keys in categories.items())
        self.worker = Worker(t, f"""
worker {{
    id = w-1
    state_dir = "{t.path("state")}"
    {worker}
}}
orchestrator main {{
    url = "{self.fake.url}"
    token_file = "{token}"
    protocol = classic
}}
metrics {{
    enabled = no
}}
module zoo {{ file = "{ZOO}" }}
{blocks}{more}""", env=env)
        self.fake.wait_requests("register", 1)

    def children(self, category):
        """Pids, from the command lines, which soon turn into titles."""
        words = (f"--category\0{category}\0", f"[{category}]")

        def is_one(pid):
            text = proc_read(pid, "cmdline")
            return any(w in text for w in words)
        return {p for p in self.worker.children() if is_one(p)}

    def wait_children(self, category, count):
        eventually(lambda: len(self.children(category)) == count,
                   lambda: f"{count} children of {category}; there are "
                           f"{self.children(category)}")

    def put(self, name, count, kind, params=None):
        """Task ids."""
        ids = [f"{name}-{i}" for i in range(count)]
        for task_id in ids:
            self.fake.put(task(task_id, kind, params))
        return ids

    def results(self, ids):
        return [self.fake.wait_result(i) for i in ids]

    def all_well(self, ids):
        for result in self.results(ids):
            same(result["status"], "success", "status")


@case("a pool grows to its maximum under load, and shrinks to its minimum")
def grows(t):
    s = Scene(t, {"heavy": "min_children = 1\nmax_children = 4\n"
                           "idle_timeout = 1s"})
    s.wait_children("heavy", 1)
    gate = t.gate()
    ids = s.put("t", 6, "slow", {"gate": gate.path})
    gate.wait(4)
    same(len(s.children("heavy")), 4, "children under load")
    gate.open()
    s.all_well(ids)
    s.wait_children("heavy", 1)
    check(not s.worker.lines("starting another|cannot start"), "a quiet end")
    s.worker.drain()


@case("a pool on demand is offered, starts for a task, and ends when idle")
def on_demand(t):
    s = Scene(t, {"heavy": "min_children = 0\nmax_children = 3\n"
                           "idle_timeout = 1s"})
    record = str(s.fake.of_kind("register")[-1].json())
    check("slow" in record, f"not offered: {record}")
    same(s.children("heavy"), set(), "children before the first task")
    s.all_well(s.put("t", 2, "slow"))
    s.wait_children("heavy", 0)
    s.all_well(s.put("u", 1, "slow"))
    s.worker.drain()


@case("children are replaced after their tasks, each after its own number")
def tasks_per_child(t):
    s = Scene(t, {"light": "children = 2\nmax_tasks_per_child = 10"})
    results = s.results(s.put("t", 60, "echo"))
    done = collections.Counter(r["data"]["pid"] for r in results)
    check(len(done) >= 6, f"too few children for 60 tasks: {done}")
    check(max(done.values()) <= 10, f"too many tasks for a child: {done}")
    alive = s.children("light")
    for pid, count in done.items():
        check(count >= 9 or pid in alive, f"replaced too soon: {done}")
    check(not s.worker.lines("cannot start"), "no back-off")
    s.worker.drain()


@case("a child that has grown is replaced once its task has ended")
def memory_per_child(t):
    limit = 160 if has_sanitizers() else 64
    s = Scene(t, {"heavy": f"children = 1\nmax_memory_per_child = {limit}M"})

    def eat(name, mb):
        s.fake.put(task(name, "eat", {"mb": mb, "ms": 0, "keep": True}))
        result = s.fake.wait_result(name)
        same(result["status"], "success", name)
        return result["data"]["pid"]

    first = eat("a", 1)
    same(eat("b", 1), first, "the child while it is small")
    same(eat("c", limit), first, "the child that grows")
    second = eat("d", 1)
    check(second != first, "it is still there")
    same(eat("e", 1), second, "the child while it is small")
    check(not s.worker.lines("cannot start|starting another"), "no deaths")
    s.worker.drain()


@case("children are replaced when they are old, and no task suffers")
def child_age(t):
    s = Scene(t, {"light": "children = 4\nmax_child_age = 1s"})
    s.wait_children("light", 4)
    first = s.children("light")
    seen = []

    def all_replaced():
        ids = s.put(f"t{len(seen)}", 3, "echo")
        s.all_well(ids)
        seen.append(len(s.children("light") & first))
        return seen[-1] == 0
    eventually(all_replaced, lambda: f"first ones left: {seen}")
    check(not s.worker.lines("cannot start|starting another"), "no deaths")
    s.worker.drain()


@case("a job that costs three children is refused for good")
def poison(t):
    s = Scene(t, {"heavy": "children = 1"})
    t.expects_fault = True

    def attempt(task_id, job_id, **params):
        s.fake.put({**task(task_id, "crash", params), "job_id": job_id})
        result = s.fake.wait_result(task_id)
        return result.get("error", {}).get("code", result["status"]), result

    codes = [attempt(f"a-{i}", "bad")[0] for i in range(2)]
    # Another job of that type does not change what this one has cost.
    same(attempt("b", "good", crashes=-1)[0], "success", "another job")
    code, result = attempt("a-3", "bad")
    codes.append(code)
    same(codes, ["TRANSIENT_ERROR", "TRANSIENT_ERROR", "PERMANENT_ERROR"],
         "codes")
    check("3 children died over this task (crash 3)" in
          result["error"]["message"], f"message: {result['error']}")
    # A result in between clears the count.
    codes = [attempt(f"c-{i}", "mixed", crashes=c)[0]
             for i, c in enumerate((9, 9, -1, 9, 9))]
    same(codes, ["TRANSIENT_ERROR", "TRANSIENT_ERROR", "success",
                 "TRANSIENT_ERROR", "TRANSIENT_ERROR"], "codes")
    s.worker.drain()


@case("max_concurrent_tasks holds over all categories")
def concurrent(t):
    s = Scene(t, {"light": "children = 3", "heavy": "children = 3"},
              worker="max_concurrent_tasks = 2\n    max_queued = 10",
              more="log { level = debug }\n")
    ids = s.put("l", 20, "echo") + s.put("h", 20, "slow", {"ms": 5}) + \
        s.put("k", 20, "echo")
    s.all_well(ids)
    running = most = 0
    for line in s.worker.lines(r"lease \d+: \w+ -> "):
        before, after = re.search(r": (\w+) -> (\w+)", line).groups()
        running += (after == "running") - (before == "running")
        most = max(most, running)
    same(most, 2, "most tasks that ran at once")
    s.worker.drain()


@case("no more tasks are taken than may wait")
def queue_limit(t):
    s = Scene(t, {"heavy": "children = 1", "light": "children = 8"},
              worker="max_queued = 3\n    heartbeat_interval = 1s")
    gate = t.gate()
    s.put("held", 30, "slow", {"gate": gate.path})
    gate.wait(1)

    def quiet():
        """No poll between two heartbeats: nothing can be on its way."""
        polls = len(s.fake.of_kind("poll"))
        beats = len(s.fake.of_kind("heartbeat"))
        s.fake.wait_requests("heartbeat", beats + 2)
        return len(s.fake.of_kind("poll")) == polls
    eventually(quiet, "polls end")
    # Polls that were out when the queue got full may each have brought one.
    check(3 <= 30 - len(s.fake.tasks) - 1 <= 3 + 9,
          f"{len(s.fake.tasks)} of 30 are left")
    gate.open()
    s.all_well([f"held-{i}" for i in range(30)])
    s.worker.drain()


# Starts of any category but "light" fail: the first at once, and later ones
# hang until they are ended. Each says so in a file of its own.
FAILING = """#!/bin/sh
category=
for word; do
    [ "$category" = next ] && category=$word && break
    [ "$word" = --category ] && category=next
done
case $category in
broken-*)
    if [ -e "{dir}/$category" ]; then
        echo $$ >> "{dir}/$category"
        exec sleep 1000
    fi
    : > "{dir}/$category"
    exit 1 ;;
esac
exec "{child}" "$@"
"""


@case("of the categories that fail no more are tried at once than there are "
      "processors, each in its turn")
def trials(t):
    cores = os.sysconf("SC_NPROCESSORS_ONLN")
    names = [f"broken-{i}" for i in range(cores + 2)]
    starts = t.path("starts")
    os.mkdir(starts)
    program = t.write("child", FAILING.format(dir=starts, child=CHILD), 0o700)
    s = Scene(t, {"light": "children = 1", **{
        name: "children = 1\nstart_timeout = 1s" for name in names}},
        env={"AVTOWORKER_CHILD": program}, more="".join(
            f"handler of-{name} {{\n    exec = /bin/cat\n"
            f"    category = {name}\n}}\n" for name in names))
    most = 0

    def all_tried():
        nonlocal most
        hanging = [p for p in s.worker.children()
                   if proc_read(p, "cmdline").startswith("sleep\0")]
        most = max(most, len(hanging))
        return all(read(os.path.join(starts, n)).count("\n") >= 2
                   for n in names)
    eventually(lambda: len(os.listdir(starts)) == len(names),
               "each has failed once")
    eventually(all_tried, "each has been tried twice more", 240)
    # Of many they are seldom all at it at the same moment.
    check(min(cores, 2) <= most <= cores, f"{most} were tried at once")
    s.all_well(s.put("e", 20, "echo"))
    s.worker.drain()


@case("a category whose starts fail leaves the others alone")
def failing(t):
    place = t.path("place")
    os.mkdir(place)
    s = Scene(t, {"light": "children = 2",
                  "heavy": "min_children = 0\nstart_timeout = 10s\n"
                           f'working_directory = "{place}"'})
    s.fake.wait_requests("register", 1)
    os.rmdir(place)
    s.fake.put(task("t-1", "slow"))
    same(s.fake.wait_result("t-1")["error"]["code"], "TRANSIENT_ERROR",
         "code")
    s.worker.wait_log('cannot start child of "heavy"')
    s.all_well(s.put("e", 20, "echo"))
    eventually(lambda: "slow" not in
               str(s.fake.of_kind("register")[-1].json()),
               "it is not offered any more")
    s.worker.drain()


if __name__ == "__main__":
    main()
