#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""How many children there are, how long they stay, and what a task that costs
children comes to."""
import collections
import re
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (TOKEN, ZOO, Worker, case, check, eventually, main,  # noqa: E402
                     proc_read, same)


class Scene:
    """A worker with the zoo, and categories as the case wants them."""

    def __init__(self, t, categories, worker="", more=""):
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
module zoo {{ file = "{ZOO}" }}
{blocks}{more}""")
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


@case("a category whose starts fail leaves the others alone")
def failing(t):
    s = Scene(t, {"light": "children = 2",
                  "heavy": "min_children = 0\nstart_timeout = 10s\n"
                           'working_directory = "/nonexistent"'})
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
