#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Nothing that handlers have started outlives avtoworkerd or a child, whoever
of them is killed."""
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

from harness import (LIMIT, SOON, Worker, can_trace, case,  # noqa: E402
                     check, descendants, eventually, has_sanitizers, kill,
                     lock_is_free, main, module, parents, proc_read, same)

# Processes that are always about to run; each takes long to die when it has a
# sanitizer in it.
BOMB = 20 if has_sanitizers() else 100
KINDS = ("plain", "session", "daemon", "chain")
FORMS = ("launcher = no", "launcher = yes")
PTRACE_SEIZE = 0x4206


def traced(name):
    """A case that traces, or that says why it does not."""
    if can_trace():
        return case(name)
    return lambda _function: case(
        name + " # SKIP nothing can be traced here")(lambda t: None)


def trace(pid):
    """From now on nobody but we can see that it is dead."""
    same(ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, None, None), 0,
         "to trace")


class Forest:
    """A worker in local mode that is kept running by its standard input."""

    def __init__(self, t, category="", before=(), env=None):
        self.t = t
        read_fd, self.feed = os.pipe()
        self.path = t.write(t.unused("forest") + ".conf", f"""
module forest {{
    file = "{module("forest")}"
}}
category forest {{
    children = 1
    {category}
}}
""")
        self.worker = Worker(
            t, argv=["-c", self.path, "--local", "-"], stdin=read_fd,
            env=env, before=before)
        os.close(read_fd)
        self.count = 0
        self.planter = 0  # the process that runs the handlers

    def submit(self, handler, **params):
        self.count += 1
        task = {"task_id": f"t-{self.count}", "type": handler, "params": params}
        os.write(self.feed, json.dumps(task).encode() + b"\n")
        return task["task_id"]

    def result(self, task_id):
        def there():
            check(self.worker.is_alive(), "the worker ended")
            return next((x for x in self.worker.results()
                         if x["task_id"] == task_id), None)

        return eventually(there, f"a result of {task_id}")

    def run(self, handler, **params):
        return self.result(self.submit(handler, **params))

    def child(self):
        """The process that the supervisor has started."""
        return eventually(
            lambda: next((p for p, (parent, _) in parents().items()
                          if parent == self.worker.pid), None), "a child")

    def plant_all(self, kinds=KINDS, size=3):
        """One task that stays, with processes of each kind. Returns locks."""
        locks = []
        for kind in kinds[:-1]:
            locks.append(self.t.path(self.t.unused("lock")))
            self.planter = self.run("plant", kind=kind, lock=locks[-1],
                                    size=size)["data"]["pid"]
        locks.append(self.t.path(self.t.unused("lock")))
        hold = self.t.path(self.t.unused("hold"))
        self.submit("plant", kind=kinds[-1], lock=locks[-1], size=size,
                    hold=hold)
        eventually(lambda: os.path.exists(hold), "the last is planted")
        return locks

    def end(self):
        os.close(self.feed)
        return self.worker.wait()


def wait_free(locks, limit=SOON):
    for lock in locks:
        eventually(lambda: lock_is_free(lock), f"all holders of {lock} are dead",
                   limit)


@case("a child that is killed leaves nothing: {}", *FORMS)
def kill_child(t, category):
    f = Forest(t, category + "\n sweep = exit")
    locks = f.plant_all()
    same([lock_is_free(x) for x in locks], [False] * len(locks), "free at first")
    os.kill(f.child(), signal.SIGKILL)
    wait_free(locks)
    same(f.run("wait_for")["status"], "success", "a later task")
    same(f.end(), 1, "exit status: one task has failed")
    t.no_strays()


@case("a host that is killed under its launcher leaves nothing")
def kill_host(t):
    f = Forest(t, "launcher = yes\n sweep = exit")
    locks = f.plant_all()
    # Not the first child of the launcher: what is planted may be that, when
    # the numbers of processes have begun anew.
    os.kill(f.planter, signal.SIGKILL)
    wait_free(locks)
    result = f.result(f"t-{f.count}")
    same(result["status"], "failure", "status")
    check("signal 9" in json.dumps(result), f"the death is told: {result}")
    f.end()
    t.no_strays()


@traced("how a host has died is told when its launcher has done what it can")
def kill_host_of_undying(t):
    f = Forest(t, "launcher = yes\n sweep = exit")
    f.plant_all(kinds=("plain", "session"))
    planted = next(p for p, (parent, _) in parents().items()
                   if parent == f.planter)
    trace(planted)
    os.kill(f.planter, signal.SIGKILL)
    result = f.result(f"t-{f.count}")
    f.worker.wait_log("cannot end every process")  # after 10 s
    check("signal 9" in json.dumps(result), f"the death is told: {result}")
    os.waitpid(planted, 0)
    f.end()
    t.no_strays()


@case("kill -9 of the supervisor: launchers end everything within a second")
def kill_supervisor(t):
    f = Forest(t, "launcher = yes\n sweep = exit")
    locks = f.plant_all()
    f.worker.signal(signal.SIGKILL)
    f.worker.wait()
    wait_free(locks)
    os.close(f.feed)
    t.no_strays(SOON)


@case("kill -9 of the supervisor without launchers: the children end")
def kill_supervisor_plain(t):
    f = Forest(t, "sweep = exit")
    f.plant_all()
    child = f.child()
    f.worker.signal(signal.SIGKILL)
    f.worker.wait()
    eventually(lambda: parents().get(child, (0, "Z"))[1] == "Z",
               "the child is dead", SOON)
    os.close(f.feed)
    for pid in t.strays():  # daemons live on, as the manual says
        kill(pid)


@case("a fork bomb is ended after its task: {}",
      *FORMS)
def bomb_after_task(t, category):
    f = Forest(t, category)
    lock = t.path(t.unused("lock"))
    # It lasts for a while; if nobody ended it, there would still be numbers
    # left for the processes of others.
    f.run("plant", kind="bomb", lock=lock, size=BOMB, hops=8000)
    wait_free([lock], LIMIT)  # by whom it may be
    same(f.run("wait_for")["status"], "success", "a later task")
    f.end()
    t.no_strays()


def undying(t, category, leaves):
    stay = t.path("stay")
    f = Forest(t, category + "\n environment = inherit",
               env={"FOREST_STAY": stay})
    if not leaves:
        t.write("stay", "")
    lock, hold = t.path("lock"), t.path("hold")
    first = f.submit("plant", kind="plain", lock=lock, hold=hold)
    second = f.submit("wait_for")
    eventually(lambda: os.path.exists(hold), "it is planted")
    planted, = (p for p in descendants(f.worker.pid) if not descendants(p))
    trace(planted)
    os.remove(hold)
    same(f.result(first)["status"], "success", "the task")
    same(f.result(second)["status"], "success", "the one behind it")
    f.worker.wait_log("before the handler began; queued again")
    os.waitpid(planted, 0)
    f.end()
    t.no_strays()


for _category, _leaves in ((FORMS[0], True), (FORMS[1], True),
                           (FORMS[0], False)):
    traced("what a task leaves behind and does not die costs no other task: " +
           _category +
           ("" if _leaves else ", its handler does not end either"))(
               lambda t, row=(_category, _leaves): undying(t, *row))


@case("a fork bomb is ended with its child: {}", *FORMS)
def bomb_with_child(t, category):
    f = Forest(t, category)
    locks = f.plant_all(kinds=("bomb",), size=BOMB)
    os.kill(f.child(), signal.SIGKILL)
    wait_free(locks, LIMIT)  # it takes many rounds
    same(f.run("wait_for")["status"], "success", "a later task")
    f.end()
    t.no_strays()


@case("a worker that ends takes everything along: {}", *FORMS)
def worker_ends(t, category):
    f = Forest(t, category + "\n sweep = exit")
    locks = f.plant_all(kinds=("daemon", "session", "chain", "bomb"))
    f.worker.signal(signal.SIGINT)
    f.worker.wait_log("drain|stop")
    f.worker.signal(signal.SIGINT)
    f.worker.wait()
    wait_free(locks)
    os.close(f.feed)
    t.no_strays()


@case("settings, env_file and the category's name reach the handlers")
def settings(t):
    env_file = t.write("env", "# ours\n\nMODEL=a=b c\nPATH=/nowhere\n")
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    core = 0 if 0 <= hard < 2 ** 21 else 2 ** 21
    f = Forest(t, f"""launcher = yes
    umask = 027
    nice = 2
    working_directory = "/usr"
    max_open_files = 64
    max_file_size = 1M
    core_size = {core}
    env_file = "{env_file}"
""")
    data = f.run("settings", variable="MODEL")["data"]
    same(data["value"], "a=b c", "MODEL")
    same(data["umask"], 0o27, "umask")
    same(data["directory"], "/usr", "directory")
    same(data["nofile"], [64, 64], "open files")
    same(data["fsize"], [2 ** 20, 2 ** 20], "file size")
    same(data["core"], [core, core], "core size")
    same(data["nice"], os.nice(0) + 2, "nice")
    same(f.run("settings", variable="PATH")["data"]["value"], "/nowhere",
         "PATH")
    same(f.run("settings", variable="AVTOWORKER_CATEGORY")["data"]["value"],
         "forest", "the category")
    same(f.end(), 0, "exit status")


@case("environment = {}: what handlers see of the worker's own",
      ("inherit", "harmless-1", "withheld"), ("clear", None, None))
def environment(t, word, harmless, secret):
    f = Forest(t, f"environment = {word}", env={
        "HARMLESS": "harmless-1", "WORKER_TOKEN": "s3cret"})

    def value(name):
        return f.run("settings", variable=name)["data"].get("value")
    same(value("HARMLESS"), harmless, "HARMLESS")
    same(value("WORKER_TOKEN"), secret, "WORKER_TOKEN")
    check(value("PATH"), "no PATH")
    same(f.end(), 0, "exit status")


@case("a task that takes too much processor time is ended, and told as that: "
      "{}", *FORMS)
def processor_time(t, category):
    f = Forest(t, category + "\n cpu_time_limit = 1s")
    same(f.run("settings")["data"]["core"], [0, 0], "core size")
    same(f.run("burn", ms=100)["status"], "success", "a short task")
    error = f.run("burn", ms=60000)["error"]
    same(error["code"], "RESOURCE_EXHAUSTED_ERROR", "code")
    check("cpu_time_limit (1 s)" in error["message"], error["message"])
    same(error["details"]["cause"], "cpu_time_limit", "cause")
    same(f.run("burn", ms=100)["status"], "success", "a later task")
    f.end()


@case("an env_file is refused: {}", "which line is at fault")
def bad_env_file(t, _):
    env_file = t.write("env", "A=1\n\nWORKER_TOKEN=secret\n")
    f = Forest(t, f'env_file = "{env_file}"')
    f.worker.wait()
    check(env_file + ":3: this variable is the worker's own secret"
          in f.worker.log(), "the line is named")
    check("=secret" not in f.worker.log(), "no value is logged")
    os.close(f.feed)


@case("children that are older than the worker are left alone")
def older(t):
    pid_file = t.path("pid")
    f = Forest(t, "sweep = exit", before=(
        "/bin/sh", "-c", 'AVTOWORKER_CATEGORY=another sleep 1000 & '
        'echo $! > "$0"; exec "$@"', pid_file))
    locks = f.plant_all(kinds=("session", "daemon"))
    with open(pid_file, encoding="utf-8") as file:
        pid = int(file.read())
    child = next(p for p, (parent, _) in parents().items()
                 if parent == f.worker.pid and p != pid)
    os.kill(child, signal.SIGKILL)
    wait_free(locks)
    f.end()
    check("sleep" in proc_read(pid, "cmdline"), "the older child lives")
    os.kill(pid, signal.SIGKILL)


NAMESPACE = ("unshare", "--pid", "--fork", "--mount", "/bin/sh", "-c",
             'mount -t proc proc /proc && exec "$@"', "sh")


def has_namespaces():
    try:
        return subprocess.run(
            [*NAMESPACE, "true"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def process_1(t):
    f = Forest(t, "sweep = exit", before=NAMESPACE)
    locks = f.plant_all(kinds=("session", "daemon"))
    supervisor = f.child()  # of unshare's
    child = next(p for p, (parent, _) in parents().items()
                 if parent == supervisor)
    subprocess.run(["nsenter", "-t", str(supervisor), "-p", "-m", "/bin/sh",
                    "-c", "(sleep 1000 &)"], check=True)
    stranger = eventually(  # once it is what it is to be
        lambda: next((p for p in descendants(supervisor)
                      if proc_read(p, "cmdline").startswith("sleep")), None),
        "a stranger")
    same(parents()[stranger][0], supervisor, "the stranger's parent")
    os.kill(child, signal.SIGKILL)
    wait_free(locks)
    check("sleep" in proc_read(stranger, "cmdline"), "the stranger lives")
    os.kill(stranger, signal.SIGKILL)
    eventually(lambda: stranger not in parents(), "the stranger is reaped")
    same(f.run("wait_for")["status"], "success", "a later task")
    f.end()


AS_PROCESS_1 = "as process 1 it reaps strangers and ends only its own"
if has_namespaces():
    case(AS_PROCESS_1)(process_1)
else:
    case(AS_PROCESS_1 + " # SKIP no PID namespaces here")(lambda t: None)


main()
