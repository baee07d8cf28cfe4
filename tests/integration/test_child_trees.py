#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""avtoworker-child by itself: how its process is set up, what it ends after a
task and with itself, and its launcher."""
import ctypes
import fcntl
import os
import re
import select
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from child_driver import (BUILD, RESULT, STARTED, Skip, case, contains,
                          equal, main, serve, wait_gone)

LIMIT_S = 60
EX_OSERR = 71
PTRACE_SEIZE = 0x4206
FOREST = BUILD + "/tests/integration/.libs/forest.so"
TMP = tempfile.TemporaryDirectory()
TYPES = ("plant", "wait_for", "settings", "burn", "end")
FORMS = ((), ("--launcher",))  # a child without and with one


def forest(*options, environment=None):
    child = serve(*options, *["%s=%s" % (t, FOREST) for t in TYPES],
                  category="forest", environment=environment)
    child.ready()
    return child


def unused(name, number=[0]):
    number[0] += 1
    return "%s/%s-%d" % (TMP.name, name, number[0])


def is_free(lock):
    """True when every process that held the lock is dead."""
    with open(lock, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def wait_until(claim, what):
    end = time.monotonic() + LIMIT_S
    while not claim():
        if time.monotonic() > end:
            raise AssertionError("not within %d s: %s" % (LIMIT_S, what))
        time.sleep(0.005)


def wait_free(lock):
    """What is planted would stay for ever."""
    wait_until(lambda: is_free(lock), "all that was planted is dead")


def cmdline(pid):
    with open("/proc/%d/cmdline" % pid, "rb") as file:
        return file.read().rstrip(b"\0").decode()


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return [int(p) for p in file.read().split()]


def host_of(child):
    return children(child.pid)[0]


def plant(child, kind, size=1):
    lock = unused("lock")
    data = child.data("plant", {"kind": kind, "lock": lock, "size": size})
    return lock, data["pid"]


# What is left behind


@case("after a task nothing that it started is left, however it hides")
def _():
    for form in FORMS:
        child = forest(*form)
        for kind in ("plain", "session", "daemon"):
            lock, _pid = plant(child, kind)
            wait_free(lock)
        lock, _pid = plant(child, "chain", 50)
        wait_free(lock)
        equal(child.data("wait_for", {}), {"status": 7}, "a later task")
        child.stop()


@case("a fork bomb is ended after its task")
def _():
    for form in FORMS:
        child = forest(*form)
        lock, _pid = plant(child, "bomb", 20)
        wait_free(lock)
        equal(child.data("wait_for", {}), {"status": 7}, "a later task")
        child.stop()


@case("a child leaves when what its task has left behind does not die")
def _():
    stay = unused("stay")
    with open(stay, "w"):
        pass
    child = forest(environment={"FOREST_STAY": stay})
    lock, hold = unused("lock"), unused("hold")
    child.task("plant", {"kind": "plain", "lock": lock, "hold": hold})
    equal(child.frame(), (STARTED, 1, {}), "started")
    wait_until(lambda: os.path.exists(hold), "it is planted")
    planted, = children(child.pid)
    # Of one that is traced nobody but its tracer can see that it is dead.
    if ctypes.CDLL(None).ptrace(PTRACE_SEIZE, planted, None, None) == -1:
        raise Skip("it cannot be traced here")
    os.unlink(hold)
    kind, _lease, payload = child.frame()
    equal((kind, payload["status"]), (RESULT, "success"), "the result")
    # From now on it can only be ended, however long its handlers take to end.
    equal(child.frame(), None, "the end of the channel")
    os.unlink(stay)
    status, text = child.wait()
    equal(status, EX_OSERR, "exit status")
    contains(text, "left behind: some do not die; leaving them to others")
    equal(text.count("\n"), 1, "lines")
    os.waitpid(planted, 0)


@case("sweep = exit leaves processes between tasks, and none at the end")
def _():
    for form in FORMS:
        child = forest("--sweep", "exit", *form)
        locks = [plant(child, kind)[0]
                 for kind in ("plain", "session", "daemon")]
        equal(child.data("wait_for", {}), {"status": 7}, "a later task")
        equal([is_free(lock) for lock in locks], [False] * 3, "free")
        child.stop()
        for lock in locks:
            wait_free(lock)


@case("what init has started lives on between tasks, and ends with the child")
def _():
    for form in FORMS:
        pool = unused("pool")
        child = forest(*form, environment={"FOREST_POOL": pool})
        host = host_of(child) if form else child.pid
        before = children(host)
        equal(len(before), 2, "processes of the pool")
        for kind in ("daemon", "plain"):
            lock, pid = plant(child, kind)
            equal(pid, host, "the process that runs handlers")
            wait_free(lock)
        wait_until(lambda: children(host) == before,
                   "only the pool is left, and all of it")
        child.stop()
        wait_free(pool)


# The launcher


@case("a launcher ends as its host did")
def _():
    for params, want in (({"status": 0}, 0), ({"status": 9}, 9),
                         ({"signal": signal.SIGSEGV}, -signal.SIGSEGV),
                         ({"signal": signal.SIGKILL}, -signal.SIGKILL),
                         ({"signal": signal.SIGXCPU}, -signal.SIGXCPU)):
        child = forest("--launcher")
        child.task("end", params)
        equal(child.wait()[0], want, repr(params))


@case("a launcher ends what a killed host has left")
def _():
    for kind in ("session", "daemon", "bomb"):
        child = forest("--launcher", "--sweep", "exit")
        lock, host = plant(child, kind, 20)
        equal(is_free(lock), False, kind + " is dead")
        os.kill(host, signal.SIGKILL)
        equal(child.wait()[0], -signal.SIGKILL, "status")
        equal(is_free(lock), True, kind + " is dead")


@case("the host dies with its launcher")
def _():
    child = forest("--launcher")
    host = host_of(child)
    os.kill(child.pid, signal.SIGKILL)
    wait_gone(host)
    equal(child.frame(), None, "the end")
    child.wait()


@case("signals sent to everybody do not end a launcher")
def _():
    child = forest("--launcher")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP,
                   signal.SIGPIPE, signal.SIGUSR1, signal.SIGTSTP):
        os.kill(child.pid, number)
    equal(child.data("wait_for", {}), {"status": 7}, "a later task")
    child.stop()


@case("a host has a process group of its own, and the channel to itself")
def _():
    child = forest("--launcher")
    host = child.data("plant", {"kind": "none", "lock": unused("lock")})
    host = host["pid"]
    equal(os.getpgid(host), host, "its group")
    wait_until(lambda: not os.path.exists("/proc/%d/fd/3" % child.pid),
               "the launcher has no descriptor 3")
    child.stop()


# Settings


@case("every setting of the command line is there before the first handler")
def _():
    for form in FORMS:
        group = unused("group")
        os.mkdir(group)
        with open(group + "/cgroup.procs", "w"):
            pass
        with open("/proc/self/oom_score_adj") as file:
            oom = int(file.read())
        child = forest("--umask", "027", "--nice", "3", "--directory", "/usr",
                       "--limit", "nofile=100:200", "--limit",
                       "fsize=1048576", "--limit", "core=0",
                       "--oom-score-adj", "500", "--cgroup", group, *form)
        data = child.data("settings", {})
        data.pop("cpu")
        equal(data, {
            "umask": 0o27, "nice": os.nice(0) + 3, "directory": "/usr",
            "nofile": [100, 200], "fsize": [1048576, 1048576],
            "core": [0, 0], "oom_score_adj": min(oom + 500, 1000),
            "group": 1 if form else data["group"]}, "settings")
        with open(group + "/cgroup.procs") as file:
            equal(file.read(), "0", "the group joined")
        child.stop()


@case("a step that fails is said with its name and the key behind it")
def _():
    if os.geteuid() != 0:
        raise Skip("the limits differ for others")
    for option, value, step, key in (
            ("--directory", "/nowhere", "directory", "working_directory"),
            ("--cgroup", "/nowhere", "cgroup", "memory_limit"),
            ("--limit", "nofile=99999999999", "open files",
             "max_open_files")):
        for form in FORMS:
            child = serve(option, value, *form, "plant=" + FOREST)
            contains(child.ready()["error"],
                     'cannot start, at step "%s" (key %s): ' % (step, key))
            equal(child.wait(), (EX_OSERR, ""), "the end")


@case("malformed options are refused")
def _():
    for option, value in (
            ("--umask", "8"), ("--umask", "1000"), ("--nice", "20"),
            ("--limit", "nofile"), ("--limit", "nofile="),
            ("--limit", "nofile=1x"), ("--limit", "nofile=2:1"),
            ("--limit", "other=1"), ("--task-cpu", "0"),
            ("--task-cpu", "-1"), ("--sweep", "never"),
            ("--oom-score-adj", "1001")):
        child = serve(option, value, "plant=" + FOREST)
        status, text = child.wait()
        equal((status, text.count("\n")), (64, 1), option + " " + value)
        contains(text, "started by avtoworkerd, and by hand as")


@case("a task that takes too much processor time is ended, its child's sum "
      "does not count")
def _():
    for form in FORMS:
        child = forest("--task-cpu", "1", *form)
        for _again in range(4):
            equal(child.run("burn", {"ms": 500})["status"], "success", "burn")
        limit = child.data("settings", {})["cpu"][0]
        # One second after those that it has used, its start among them.
        equal(3 <= limit <= 10, True, "limit of %d s" % limit)
        child.task("burn", {"ms": 60000})
        equal(child.wait()[0], -signal.SIGXCPU, "status")


# Titles


def shows_task(child, host):
    """Runs one. True when the title was seen to tell of it."""
    child.task("burn", {"ms": 200})
    equal(child.frame(), (STARTED, 1, {}), "started")
    seen = False
    while not select.select([child.sock], [], [], 0.005)[0]:
        seen = seen or re.fullmatch(
            r"avtoworker: \[forest\] burn t-1 since \d\d:\d\d:\d\d",
            cmdline(host))
    equal(child.frame()[0], RESULT, "its result")
    return seen


@case("ps shows what a child does")
def _():
    for form in FORMS:
        child = forest(*form)
        host = host_of(child) if form else child.pid
        if form:
            equal(cmdline(child.pid), "avtoworker: [forest] launcher", "title")
        wait_until(lambda: cmdline(host) == "avtoworker: [forest] idle",
                   "an idle title: " + cmdline(host))
        wait_until(lambda: shows_task(child, host), "a busy title")
        wait_until(lambda: cmdline(host) == "avtoworker: [forest] idle",
                   "an idle title again")
        child.stop()


main()
