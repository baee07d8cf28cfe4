#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A directory for each task: private, and gone when the task is over, whoever
has been killed meanwhile."""
import json
import os
import sys

sys.dont_write_bytecode = True

from harness import (SOURCE, ZOO, Worker, case, check,  # noqa: E402
                     eventually, main, same)

CONFIG_EXIT = 78


def lines(*tasks):
    return "".join(json.dumps(dict(task, task_id="t%d" % i)) + "\n"
                   for i, task in enumerate(tasks))


def litter(**params):
    return {"type": "litter", "params": params}


def local(t, text, env=None, stay=False):
    """A worker that runs these tasks and, unless it is to stay, ends."""
    if stay:
        path = t.path("fifo")
        os.mkfifo(path)
        keep = os.open(path, os.O_RDWR)
        os.write(keep, text.encode())
    else:
        path = t.write(t.unused("tasks"), text)
    worker = Worker(t, argv=["--local", path, ZOO], env=env)
    if stay:
        worker.keep = keep
    return worker


def left(directory):
    return sorted(os.listdir(directory))


def will_be_left(directory, names):
    """After the end of a worker, which does not wait long for what removes."""
    eventually(lambda: left(directory) == sorted(names),
               lambda: f"left: {left(directory)}, want {sorted(names)}")


@case("each task has a directory of its own, and none is left")
def own(t):
    worker = local(t, lines(*[litter(files=3)] * 20, {"type": "echo"}))
    same(worker.wait(60), 0, "exit status")
    paths = [json.loads(line)["data"].get("workspace")
             for line in worker.output().splitlines()]
    paths = [path for path in paths if path is not None]
    same(len(set(paths)), 20, "paths")
    for path in paths:
        check(path.startswith(t.path("tmp") + "/avtoworker-tasks-"), path)
    will_be_left(t.path("tmp"), [])


@case("it is private, and there until the result")
def private(t):
    gate = t.gate()
    worker = local(t, lines(litter(gate=gate.path)), stay=True)
    gate.wait(1)
    (session,) = left(t.path("tmp"))
    session = os.path.join(t.path("tmp"), session)
    (task,) = left(session)
    path = os.path.join(session, task)
    same(left(path), ["0"], "files")
    for one in session, path:
        same(os.stat(one).st_mode & 0o777, 0o700, one)
    gate.open()
    eventually(lambda: not os.path.exists(path), "it is removed")
    check(os.path.exists(session), "the worker's own is there")
    worker.kill()
    os.close(worker.keep)


@case("a child that dies leaves nothing")
def death(t):
    worker = local(t, lines(litter(dies=True, files=100), litter()))
    check(worker.wait(60) == 1, "exit status")
    check("abort" in worker.log().lower() or "signal 6" in worker.log(),
          "no death")
    will_be_left(t.path("tmp"), [])


@case("what a killed worker has left, the next one removes, and no other's")
def killed(t):
    gate = t.gate()
    first = local(t, lines(litter(gate=gate.path, files=50)), stay=True)
    gate.wait(1)
    lives = left(t.path("tmp"))
    os.mkdir(t.path("tmp") + "/avtoworker-tasks-of-mine")
    same(local(t, lines(litter())).wait(60), 0, "a second beside it")
    # The living one keeps its own.
    will_be_left(t.path("tmp"), [*lives, "avtoworker-tasks-of-mine"])
    first.kill()
    os.close(first.keep)
    same(local(t, lines(litter())).wait(60), 0, "the third")
    will_be_left(t.path("tmp"), ["avtoworker-tasks-of-mine"])


@case("TASK_FILES_DIR says where, and one that cannot be made ends the start")
def places(t):
    where = t.path("some/where")
    worker = local(t, lines(litter()), env={"TASK_FILES_DIR": where})
    same(worker.wait(60), 0, "exit status")
    path = json.loads(worker.output())["data"]["workspace"]
    check(path.startswith(where + "/avtoworker-tasks-"), path)
    will_be_left(where, [])
    file = t.write("file", "")
    worker = local(t, lines(litter()), env={"TASK_FILES_DIR": file + "/x"})
    same(worker.wait(60), CONFIG_EXIT, "exit status")
    check(file in worker.log() and "worker.task_files_dir" in worker.log(),
          worker.log())


@case("a task whose workspace cannot be made fails by itself")
def full(t):
    gate = t.gate()
    worker = local(t, lines(litter(gate=gate.path)), stay=True)
    gate.wait(1)
    (session,) = left(t.path("tmp"))
    session = os.path.join(t.path("tmp"), session)
    os.rename(session, session + ".away")
    gate.open()
    os.write(worker.keep, json.dumps(dict(litter(), task_id="second"))
             .encode() + b"\n")
    eventually(lambda: worker.output().count("\n") == 2, "two results")
    (result,) = [json.loads(line) for line in worker.output().splitlines()
                 if '"second"' in line]
    same(result["error"]["message"], "no workspace: No such file or directory",
         "message")
    worker.kill()
    os.close(worker.keep)


@case("a channel program has one for each task, and need not remove it")
def channel(t):
    tasks = t.write("tasks", "".join(json.dumps(
        {"type": "speak", "params": params}) + "\n" for params in
        [{"litter": ["a", "b"]}, {}, {"litter": ["c"], "die": 3}] * 5))
    worker = Worker(t, f"""
channel talk {{ exec = "{os.path.join(SOURCE, "speaker.py")}" }}
""", ["--local", tasks])
    same(worker.wait(60), 1, "exit status")
    results = [json.loads(line) for line in worker.output().splitlines()]
    paths = {r["data"]["workspace"] for r in results if "data" in r}
    same((len(results), len(paths)), (15, 10), "results, and directories")
    will_be_left(t.path("tmp"), [])
    check("cannot remove" not in worker.log(), worker.log())


@case("an executable runs in it, and what it leaves there goes with it")
def executable(t):
    path = t.write("job", "#!/bin/sh\nmkdir -p a/b && cp \"$0\" a/b && ln -s / "
                   "root && chmod 0 a && echo \"{\\\"cwd\\\": \\\"$PWD\\\"}\"\n",
                   0o755)
    tasks = t.write("tasks", '{"type": "job"}\n' * 10)
    worker = Worker(t, argv=["--local", tasks, path])
    same(worker.wait(60), 0, "exit status")
    paths = {json.loads(line)["data"]["cwd"]
             for line in worker.output().splitlines()}
    same(len(paths), 10, "directories")
    will_be_left(t.path("tmp"), [])
    check("cannot remove" not in worker.log(), worker.log())


main()
