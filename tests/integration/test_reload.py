#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""SIGHUP: a new generation is tried beside the one that serves, and takes over
when it works. What is the same stays, what runs is finished, and what is wrong
changes nothing."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (BUILD, ZOO, Worker, can_trace, case, check,  # noqa: E402
                     eventually, main, module, read, same)

CTL = os.path.join(BUILD, "avtoworkerctl")
DONE = "reload: done"
UNCHANGED = "reload: .*nothing has changed"


class Scene:
    """A worker whose configuration can be written anew."""

    def __init__(self, t, env=None, heavy=1, **more):
        self.t = t
        self.fake = Fake()
        self.worker = t.worker(self.fake.url, env=env, light=2, heavy=heavy,
                               orchestrator="protocol = classic", **more)
        self.path = t.path("worker.conf")
        with open(self.path, encoding="utf-8") as f:
            self.text = f.read()
        self.fake.wait_requests("register", 1)
        self.worker.wait_serving(2 + heavy + 1)

    def edit(self, old, new):
        check(re.search(old, self.text), f"no {old!r} in the configuration")
        self.write(re.sub(old, new, self.text))

    def write(self, text):
        self.text = text
        self.t.write("worker.conf", text)

    def wait_children(self, category, claim, what):
        def there():
            return claim(self.worker.serving(category))

        return eventually(
            there, lambda: f"{what}: {self.worker.serving(category)}")

    def reload(self, outcome=DONE, count=1):
        self.worker.signal(signal.SIGHUP)
        self.worker.wait_log(outcome, count=count)

    def works(self, name, kind="echo"):
        self.fake.put(task(name, kind))
        same(self.fake.wait_result(name)["status"], "success", "status")

    def offered(self):
        return self.fake.of_kind("register")[-1].json()["supported_tasks"]

    def wait_offered(self, kind, is_offered):
        eventually(lambda: (kind in self.offered()) == is_offered,
                   lambda: f"{kind} offered: {is_offered}; {self.offered()}")

    def end(self):
        check(self.worker.is_alive(), "it ended")
        self.worker.drain()


@case("a category that has changed gets new children, the others keep theirs")
def one_category(t):
    scene = Scene(t)
    light, heavy = scene.worker.serving("light"), scene.worker.serving("heavy")
    scene.edit(r"category light \{\n    children = 2",
               "category light {\n    children = 3")
    scene.reload()
    scene.wait_children("light", lambda now: len(now) == 3 and
                        not now & light, "three new ones")
    same(scene.worker.serving("heavy"), heavy, "children of heavy")
    scene.works("after")
    scene.end()


@case("a reload that changes nothing keeps every child")
def nothing_new(t):
    scene = Scene(t)
    before = set(scene.worker.children())
    scene.reload()
    scene.works("after")
    eventually(lambda: set(scene.worker.children()) == before,
               "the children are the old ones alone")
    scene.end()


@case("children of a category that stays are still called by its name")
def same_name(t):
    scene = Scene(t)
    gate = t.gate()
    scene.fake.put(task("held", "slow", {"gate": gate.path, "name": "held"}))
    gate.wait(1)
    scene.edit(r"category light \{", "category light {\n    nice = 1")
    scene.reload()
    scene.worker.wait_log("generation 1 is gone")
    pid = next(iter(scene.worker.serving("heavy")))
    os.kill(pid, signal.SIGKILL)
    scene.worker.wait_log(f"killed by signal 9 .*category=heavy pid={pid}")
    gate.open()
    scene.end()


@case("what an old child has in hand is finished, and delivered")
def busy_child(t):
    scene = Scene(t)
    gate = t.gate()
    scene.fake.put(task("held", "slow", {"gate": gate.path, "name": "held"}))
    gate.wait(1)
    old = scene.worker.serving("heavy")
    scene.edit(r"category heavy \{", "category heavy {\n    nice = 1")
    scene.reload()
    scene.wait_children("heavy", lambda now: now - old and old <= now,
                        "the old one beside a new one")
    scene.fake.put(task("new", "slow", {"name": "new"}))
    same(scene.fake.wait_result("new")["status"], "success", "status")
    gate.open()
    same(scene.fake.wait_result("held")["status"], "success", "status")
    scene.wait_children("heavy", lambda now: not now & old, "the old gone")
    scene.worker.wait_log("generation 1 is gone")
    scene.end()


@case("tasks that wait are run by the new children")
def queue(t):
    scene = Scene(t, worker="max_queued = 10")
    gate = t.gate()
    for i in range(3):
        scene.fake.put(task(f"t-{i}", "slow",
                            {"gate": gate.path, "name": f"t-{i}"}))
    gate.wait(1)
    scene.edit(r"category heavy \{\n    children = 1",
               "category heavy {\n    children = 2")
    scene.reload()
    gate.wait(3)
    gate.open()
    for i in range(3):
        same(scene.fake.wait_result(f"t-{i}")["status"], "success", "status")
    scene.end()


@case("a stop waits for the children of every generation")
def drain_old(t):
    scene = Scene(t, env={"LOG_LEVEL": "DEBUG"},
                  args=["-o", "category/light.stop_timeout=60s"],
                  worker="heartbeat_interval = 1s")
    gate = t.gate()
    scene.fake.put(task("held", "slow", {"gate": gate.path, "name": "held"}))
    gate.wait(1)
    # They are to leave, and do not get to that.
    late = scene.worker.serving("light")
    for pid in late:
        os.kill(pid, signal.SIGSTOP)
    scene.edit(r"category (light|heavy) \{", r"category \1 {\n    nice = 1")
    scene.reload()
    scene.worker.signal(signal.SIGTERM)
    scene.worker.wait_log("draining: 1 task")
    gate.open()
    same(scene.fake.wait_result("held")["status"], "success", "status")
    scene.fake.wait_requests("heartbeat",
                             len(scene.fake.of_kind("heartbeat")) + 2)
    for pid in late:
        os.kill(pid, signal.SIGCONT)
    scene.worker.gone()
    for pid in late:
        check(scene.worker.lines(f"child exited with status 0 .*pid={pid}"),
              f"{pid} was not let go")


# What is wrong with it, and what the log must say.
BAD = {
    "a syntax error": ("worker {", "worker {{", r"worker\.conf:\d+"),
    "an unknown key": ("worker {", "worker {\n    idd = x", "idd"),
    "a value out of range": (r"children = 2", "children = 0", "children"),
    "a module that is not there": ("zoo.so", "zo.so", r"zo\.so"),
    "a module that is none": ("zoo.so", "bad_nothing.so", "bad_nothing"),
}


@case("a reload with {} changes nothing and says why", *BAD)
def bad(t, name):
    old, new, said = BAD[name]
    scene = Scene(t)
    before = set(scene.worker.children())
    good = scene.text
    scene.write(good.replace(old, new))
    check(scene.text != good, "the configuration is the same")
    scene.reload(UNCHANGED)
    scene.worker.wait_log("reload: .*" + said)
    scene.works("meanwhile")
    eventually(lambda: set(scene.worker.children()) == before,
               "the children are the old ones alone")
    scene.write(good)
    scene.reload()
    scene.works("after")
    scene.end()


@case("handlers that do not start change nothing")
def bad_init(t):
    scene = Scene(t)
    before = set(scene.worker.children())
    scene.write(scene.text + f'module bad {{ file = "'
                f'{module("bad_init")}" }}\n')
    scene.reload(UNCHANGED)
    scene.worker.wait_log("cannot start")
    eventually(lambda: set(scene.worker.children()) == before,
               "the children are the old ones alone")
    scene.works("after")
    scene.end()


@case("a handler that is new is offered, one that is gone is not")
def offers(t):
    scene = Scene(t)
    check("rival" not in scene.offered(), "rival is offered")
    good = scene.text
    scene.write(good + f'module rival {{ file = "{module("rival")}" }}\n'
                'handler echo { module = "' + ZOO + '" }\n')
    scene.reload()
    scene.works("one")
    scene.write(good.replace(
        f'module zoo {{\n    file = "{ZOO}"\n}}',
        f'handler upper {{ module = "{ZOO}" }}'))
    scene.reload(count=2)
    scene.wait_offered("echo", False)
    scene.wait_offered("upper", True)
    scene.fake.put(task("late", "echo"))
    same(scene.fake.wait_result("late")["error"]["code"], "TRANSIENT_ERROR",
         "code")
    scene.end()


@case("a module that is replaced is the old one until SIGHUP, which is said")
def replaced(t):
    scene = Scene(t)
    path = t.path("mine.so")
    shutil.copy(ZOO, path)
    scene.write(scene.text.replace(ZOO, path))
    scene.reload()
    light = scene.wait_children("light", lambda now: len(now) == 2 and now,
                                "two")
    shutil.copy(module("bad_nothing"), path + ".new")
    os.rename(path + ".new", path)
    for pid in light:
        os.kill(pid, signal.SIGKILL)
    scene.worker.wait_log("mine.so is not the file any more.*SIGHUP")
    scene.wait_children("light", lambda now: len(now) == 2 and
                        not now & light, "two new ones")
    scene.works("with-the-old-one")
    same(len(scene.worker.lines("is not the file any more.*category=light")),
         1, "lines about it")
    scene.reload(UNCHANGED)
    scene.works("still")
    shutil.copy(ZOO, path + ".new")
    os.rename(path + ".new", path)
    before = set(scene.worker.children())
    scene.reload(count=2)
    eventually(lambda: not before & set(scene.worker.children()),
               "every child is new")
    scene.works("after")
    scene.end()


@case("a file of settings that has changed is a change of what names it")
def set_file(t):
    scene = Scene(t)
    secret = t.write("secret", "the-old-one\n")
    scene.edit(r"category light \{",
               f'category light {{\n    set_file = "PASSWORD={secret}"')
    scene.reload()
    light = scene.wait_children("light", lambda now: len(now) == 2 and now,
                                "two")
    heavy = scene.worker.serving("heavy")
    scene.reload(count=2)
    same(scene.worker.serving("light"), light, "children of light")
    os.rename(t.write("secret.new", "the-new-one\n"), secret)
    scene.reload(count=3)
    scene.wait_children("light", lambda now: len(now) == 2 and
                        not now & light, "two new ones")
    same(scene.worker.serving("heavy"), heavy, "children of heavy")
    scene.end()


@case("what only a restart can change is named")
def restart_keys(t):
    scene = Scene(t)
    scene.edit("id = w-1", "id = w-2")
    scene.reload()
    scene.worker.wait_log(r"worker\.id has changed.*started again")
    scene.works("after")
    check(all(r.json()["worker_id"] == "w-1"
              for r in scene.fake.of_kind("register")), "another id")
    scene.end()


@case("the number of tasks at once can change, and nothing else")
def concurrency(t):
    scene = Scene(t, worker="max_concurrent_tasks = 1", heavy=2)
    gate = t.gate()
    for i in range(2):
        scene.fake.put(task(f"t-{i}", "slow",
                            {"gate": gate.path, "name": f"t-{i}"}))
    gate.wait(1)
    before = set(scene.worker.children())
    scene.edit("max_concurrent_tasks = 1", "max_concurrent_tasks = 5")
    scene.reload()
    eventually(lambda: scene.fake.of_kind("register")[-1].json()
               ["max_concurrent_tasks"] == 5, "registered with 5")
    gate.wait(2)
    gate.open()
    scene.fake.wait_result("t-1")
    same(set(scene.worker.children()), before, "children")
    scene.end()


@case("how many children a task may cost can change")
def deaths(t):
    scene = Scene(t)
    t.expects_fault = True

    def code(name):
        scene.fake.put(task(name, "exit_now"))
        return scene.fake.wait_result(name)["error"]["code"]
    same(code("before"), "TRANSIENT_ERROR", "code")
    scene.edit("state_dir", "max_deaths_per_task = 1\n    state_dir")
    scene.reload()
    same(code("after"), "PERMANENT_ERROR", "code")
    scene.end()


@case("the level of the log can change")
def log_level(t):
    scene = Scene(t)
    check(not scene.worker.lines(" - DEBUG - "), "it debugs already")
    scene.write(scene.text + "log { level = debug }\n")
    scene.reload()
    scene.works("after")
    scene.worker.wait_log(" - DEBUG - ")
    scene.end()


@case("a token from the environment outlives a reload")
def token(t):
    scene = Scene(t, env={"WORKER_TOKEN": "the-worker-token"})
    scene.edit(r"    token_file = .*\n", "")
    scene.reload()
    scene.edit(r"category light \{", "category light {\n    nice = 1")
    scene.reload(count=2)
    scene.works("after")
    scene.end()


@case("reloads that come all at once end in the last configuration")
def storm(t):
    scene = Scene(t)
    for n in range(2, 12):
        scene.edit(r"category light \{\n    children = \d+",
                   f"category light {{\n    children = {n}")
        scene.worker.signal(signal.SIGHUP)
    scene.wait_children("light", lambda now: len(now) == 11, "eleven")
    scene.works("after")
    scene.end()


@case("a hundred reloads with tasks in hand lose none of these")
def storm_at_work(t):
    scene = Scene(t)
    names = [f"t-{n}" for n in range(100)]
    for n, name in enumerate(names):
        scene.fake.put(task(name, "slow" if n % 2 else "echo", {"ms": 20}))
    for n in range(100):
        if n % 10 == 0:  # the others find nothing new
            for category in ("light", "heavy"):
                scene.edit(rf"category {category} \{{\n    children = \d+",
                           f"category {category} {{\n    children = "
                           f"{2 + n // 10 % 2}")
        scene.worker.signal(signal.SIGHUP)
        eventually(lambda: len(scene.fake.results) >= n or
                   not scene.fake.tasks, "it goes on")
    for name in names:
        same(scene.fake.wait_result(name)["status"], "success", name)
    scene.worker.wait_log(DONE)  # the last at least, whatever came of others
    scene.works("after")
    scene.end()
    check(all(len(r) == 1 for r in scene.fake.results.values()), "copies")


@case("a stop in the middle of a reload is a stop")
def stop_meanwhile(t):
    scene = Scene(t)
    scene.edit(r"category light \{", "category light {\n    nice = 1")
    scene.worker.signal(signal.SIGHUP)
    scene.worker.drain()


def descriptors(pid):
    """How many are open, but for connections, which come and go."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass  # closed meanwhile
    connections = {f"socket:[{line.split()[9]}]"
                   for line in read("/proc/net/tcp").splitlines()[1:]}
    return len([x for x in links if x not in connections])


@case("many reloads leave nothing behind")
def no_leak(t):
    scene = Scene(t)
    first = 0
    for i in range(20):
        scene.edit(r"category light \{(\n    nice = \d+)?",
                   f"category light {{\n    nice = {i % 2 + 1}")
        scene.reload(count=i + 1)
        scene.wait_children("light", lambda now: len(now) == 2, "two")
        scene.worker.wait_log(f"generation {i + 1} is gone")
        first = first or descriptors(scene.worker.pid)
    eventually(lambda: descriptors(scene.worker.pid) <= first,
               lambda: f"{first} descriptors are open, as after the first; "
                       f"there are {descriptors(scene.worker.pid)}")
    scene.end()


@case("children that stay can be replaced when the old generation is gone")
def same_then_dead(t):
    scene = Scene(t)
    scene.edit(r"category light \{", "category light {\n    nice = 1")
    scene.reload()
    scene.worker.wait_log("generation 1 is gone")
    heavy = scene.worker.serving("heavy")
    for pid in heavy:
        os.kill(pid, signal.SIGKILL)
    scene.wait_children("heavy", lambda now: len(now) == 1 and
                        not now & heavy, "a new one")
    scene.fake.put(task("after", "slow", {"name": "after"}))
    same(scene.fake.wait_result("after")["status"], "success", "status")
    check(not scene.worker.lines("cannot start"), "it could not start")
    scene.end()


@case("a category that is paused stays so, also when it has changed")
def paused(t):
    scene = Scene(t)
    socket = t.path("state/control.sock")
    subprocess.run([CTL, "-s", socket, "pause", "heavy"], check=True)
    scene.edit(r"category heavy \{", "category heavy {\n    nice = 1")
    scene.reload()
    status = json.loads(subprocess.run(
        [CTL, "-s", socket, "status", "-j"], check=True,
        capture_output=True).stdout)
    same([c["paused"] for c in status["categories"]
          if c["name"] == "heavy" and not c["retiring"]], [True], "paused")
    scene.end()


def hang(scene):
    """A reload that neither works nor fails: a child that does not start."""
    t = scene.t
    scene.write(scene.text + f"""
module hang {{ file = "{module("bad_hang")}" }}
category hang {{
    env_file = "{t.write("hang.env", "HANG=load" + chr(10))}"
    start_timeout = 24h
}}
handler patient {{ category = hang }}
""")
    scene.worker.signal(signal.SIGHUP)
    eventually(lambda: len(scene.worker.children()) == 5,
               "a child of the new category")


@case("a reload that hangs gives way to the next one")
def next_one(t):
    scene = Scene(t)
    good = scene.text
    before = set(scene.worker.children())
    hang(scene)
    scene.write(good)
    scene.reload()
    eventually(lambda: set(scene.worker.children()) == before,
               "the children are the old ones alone")
    scene.works("after")
    scene.end()


@case("a reload that hangs does not hold up a stop")
def stop_hanging(t):
    scene = Scene(t, worker="shutdown_timeout = 60s")
    hang(scene)
    scene.worker.drain(30)


@case("a log file that cannot be opened leaves the log where it was")
def log_file(t):
    scene = Scene(t)
    text, log = scene.text, t.path("log.file")
    scene.write(text + f'log {{ destination = "{log}" }}\n')
    scene.reload("reload: reading")
    eventually(lambda: os.path.exists(log) and
               "reload: done" in read(log), "the new log")
    for n in (2, 3):
        scene.write(text + 'log { destination = "/nonexistent/log" }\n')
        scene.worker.signal(signal.SIGHUP)
        eventually(lambda: read(log).count("the log stays") == n - 1 and
                   f"generation {n} is gone" in read(log),
                   lambda: "it stays: " + read(log))
    os.rename(log, log + ".old")
    scene.worker.signal(signal.SIGUSR1)
    eventually(lambda: os.path.exists(log), "a new file")
    scene.works("after")
    scene.end()


@case("a SIGHUP while the worker starts is not forgotten")
def while_starting(t):
    fake = Fake()
    slow = t.write("slow.env", "HANG=load\n")
    config = t.config(fake.url, orchestrator="protocol = classic", more=f"""
module hang {{ file = "{module("bad_hang")}" }}
category hang {{ env_file = "{slow}" start_timeout = 1s }}
handler patient {{ category = hang }}
""".replace('" start', '"\n    start'))
    worker = Worker(t, config)
    worker.wait_children(4 + 2 + 1 + 1)
    t.write("slow.env", "")
    worker.signal(signal.SIGHUP)
    worker.wait_log(DONE)
    eventually(lambda: any("patient" in r.json()["supported_tasks"]
                           for r in fake.of_kind("register")[-1:]),
               "it is offered")
    worker.drain()


if can_trace():
    @case("a SIGHUP before the worker has read anything waits, too")
    def first_of_all(t):
        fake = Fake()
        # prctl() is what main() begins with.
        worker = t.worker(fake.url, orchestrator="protocol = classic", before=[
            "strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=prctl", "-e",
            "inject=prctl:signal=SIGHUP:when=1"],
            env={"ASAN_OPTIONS": "detect_leaks=0"})  # nor under ptrace
        worker.wait_log("reload: reading")
        worker.wait_log(DONE)
        worker.drain()
else:
    @case("a SIGHUP before the worker has read anything # SKIP no strace, or not "
          "allowed")
    def first_of_all(_t):
        pass


@case("reloads that are refused are not counted as configurations")
def numbers(t):
    scene = Scene(t)
    good = scene.text
    scene.write(good.replace("zoo.so", "zo.so"))
    scene.reload(UNCHANGED)
    scene.write(good)
    scene.reload()
    scene.worker.wait_log("done, generation 2 serves")
    scene.end()


@case("a token from the environment outlives one from a file in between")
def token_back(t):
    scene = Scene(t, env={"WORKER_TOKEN": "the-worker-token"})
    text = scene.text
    scene.reload()
    check(not scene.worker.lines("token has changed"), "it has not")
    scene.edit(r"    token_file = .*\n", "")
    scene.reload(count=2)
    scene.write(text)
    scene.reload(count=3)
    scene.edit(r"    token_file = .*\n", "")
    scene.reload(count=4)
    scene.end()


main()
