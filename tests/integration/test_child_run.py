#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""avtoworker-child --run: one task of a handler, in this process, for whoever
writes it: by itself, under gdb and valgrind, and with AddressSanitizer."""
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from child_driver import (CHILD, LIMIT_S, SRC, Skip, case, compile_module,
                          contains, equal, main)

TMP = tempfile.TemporaryDirectory()
SOURCE = SRC + "/tests/integration/child_modules.c"
GOOD = compile_module(SOURCE, TMP.name + "/good.so", "-DMODULE_GOOD", "-g")
PYTHON = os.path.abspath(SRC + "/handlers/python")
USAGE = 64


def write(name, text, mode=0o755):
    path = TMP.name + "/" + name
    with open(path, "w") as out:
        out.write(text)
    os.chmod(path, mode)
    return path


def command(kind, params, *words):
    if params is not None:
        words = ("--params", params if isinstance(params, str)
                 else json.dumps(params), *words)
    return [CHILD, "--run", kind, *words]


def run(argv, status=0, **environment):
    """Standard output and standard error."""
    tmp = TMP.name + "/tmp"
    os.makedirs(tmp, exist_ok=True)
    done = subprocess.run(
        argv, env={**os.environ, "TMPDIR": tmp, **environment}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=4 * LIMIT_S)
    equal(done.returncode, status, "status of %s: %s" % (argv, done.stderr))
    equal(os.listdir(tmp), [], "left in TMPDIR")
    return done.stdout, done.stderr


def sanitized():
    """True when the child itself has a sanitizer in it."""
    with open(CHILD, "rb") as program:
        return b"__asan_init" in program.read()


@case("a module: the result is all of stdout, what it prints is on stderr")
def _():
    out, err = run(command("echo", {"a": 2**70}, GOOD))
    equal(json.loads(out), {"status": "success", "data": {
        "task_id": "run", "job_id": "run", "type": "echo",
        "params": {"a": 2**70}}}, "result")
    equal((out.count("\n"), err), (1, ""), "output")
    out, err = run(command("count", None, GOOD))
    equal(json.loads(out)["data"], {"count": 1}, "without params")
    equal(err, "init count\nfini count 1\n", "init and fini")


@case("an error is exit status 1, and told as ever")
def _():
    out, _err = run(command("fail", {}, GOOD), 1)
    equal(json.loads(out)["status"], "failure", "failure")
    out, _err = run(command("silent", {}, GOOD), 1)
    contains(json.loads(out)["error"]["message"], "without a result")


@case("what cannot be run is said in one line")
def _():
    for words, sentence in (
            (("echo", "{", GOOD), "--params must be a JSON object"),
            (("echo", "{} {}", GOOD), "--params must be a JSON object"),
            (("echo", '{},"priority":1', GOOD),
             "--params must be a JSON object: more text behind the value"),
            (("none", {}, GOOD), 'has no handler of type "none"'),
            (("echo", {}, TMP.name + "/no.so"), "cannot load "),
            (("echo", {}, TMP.name + "/no"), "cannot execute "),
            (("echo", {}, "--kind", "channel", TMP.name + "/no"),
             "cannot execute ")):
        out, err = run(command(*words), 1)
        equal(out, "", "result")
        contains(err, sentence)
    out, _err = run(command("echo", "[1]", GOOD), 1)
    equal(json.loads(out)["error"]["code"], "INVALID_INPUT_ERROR", "no object")
    for words in (("--run", "a b", GOOD), ("--run", "echo"),
                  ("--params", "{}", GOOD),
                  ("--run", "echo", "--category", "x", GOOD)):
        contains(run([CHILD, *words], USAGE)[1], "avtoworker-child: ")


@case("a workspace is made when it is wanted, and removed")
def _():
    out, _err = run(command("context", {}, GOOD))
    data = json.loads(out)["data"]
    equal(data["made"], True, "made")
    equal(os.path.exists(data["workspace"]), False, "gone")
    odd = TMP.name + '/a "b\\c'
    os.mkdir(odd)
    data = json.loads(run(command("context", {}, GOOD), TMPDIR=odd)[0])["data"]
    equal((data["made"], os.path.dirname(os.path.dirname(data["workspace"]))),
          (True, odd), "in a directory with an odd name")
    equal(os.listdir(odd), [], "left in it")
    _out, err = run(command("context", {}, GOOD), 1, TMPDIR=TMP.name + "/none")
    contains(err, "cannot make a directory in TMPDIR")


@case("an executable, with arguments, under the rules of a worker")
def _():
    path = write("program", "#!/bin/sh\necho \"$1 in $AVTOWORKER_TYPE\" >&2\n"
                 "[ \"$PWD\" = \"$TASK_FILES_DIR\" ] && cat\n")
    out, err = run(command("job", {"a": 1}, path, "-x"))
    equal(json.loads(out), {"status": "success", "data": {"a": 1}}, "result")
    equal(err, "-x in job\n", "stderr")
    out, _err = run(command("job", {}, write("bad", "#!/bin/sh\nexit 3\n")), 1)
    contains(json.loads(out)["error"]["message"], "exit status 3")


@case("a channel program, played the supervisor to")
def _():
    path = write("channel", """#!%s
import json, os, socket, struct, sys
channel = socket.socket(fileno=3)
def send(kind, payload, lease=0):
    text = json.dumps(payload).encode()
    channel.sendall(struct.pack("<IHHQ", len(text), kind, 0, lease) + text)
send(16, {"version": 1, "handlers": [{"type": "look"}]})
while True:
    head = channel.recv(16, socket.MSG_WAITALL)
    if len(head) < 16:
        break
    length, kind, flags, lease = struct.unpack("<IHHQ", head)
    payload = json.loads(channel.recv(length, socket.MSG_WAITALL))
    if kind == 3:
        print("leaving", flush=True)
        break
    if payload["params"].get("die"):
        sys.exit(3)
    send(19, {"level": "info", "message": "hello"}, lease)
    send(17, {}, lease)
    send(18, {"status": "success", "data": payload["params"]}, lease)
""" % sys.executable)
    out, err = run(command("look", {"a": 1}, "--kind", "channel", path))
    equal(json.loads(out), {"status": "success", "data": {"a": 1}}, "result")
    contains(err, "log: ")
    contains(err, "leaving\n")
    out, _err = run(command("look", {"die": True}, "--kind", "channel", path),
                    1)
    contains(json.loads(out)["error"]["message"], "has ended")


@case("a Python script runs through the module that comes with us")
def _():
    path = write("script.py", """
from avtomatika_worker import Worker

worker = Worker(worker_type="test")


@worker.task("greet")
async def greet(params, **kwargs):
    print("greeting")
    return {"status": "success", "data": {"hello": params["name"]}}


if __name__ == "__main__":
    worker.run()
""", 0o644)
    out, err = run(command("greet", {"name": "x"}, path),
                   AVTOWORKER_PYTHON=PYTHON)
    equal(json.loads(out)["data"], {"hello": "x"}, "data")
    contains(err, "greeting")


# Tools


def need(tool):
    if shutil.which(tool) is None:
        raise Skip(tool + " is not installed")
    if sanitized():
        raise Skip("a program with sanitizers does not run under " + tool)


@case("under valgrind: no error and no leak, and a handler's own are found")
def _():
    need("valgrind")
    valgrind = ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full",
                "--errors-for-leak-kinds=definite"]
    out, err = run([*valgrind, *command("context", {"a": [1]}, GOOD)])
    equal(json.loads(out)["status"], "success", "status")
    equal(err, "", "what valgrind says")
    faulty = compile_module(write("faulty.c", """
#include <avtoworker/handler.h>
#include <stdlib.h>
static void
run(struct aw_task *task, void *state)
{
	volatile char *p = malloc(4);

	(void)state;
	p[5] = 1;
	aw_success_data(task);
}
static const struct aw_handler faulty = {
	.size = sizeof(struct aw_handler), .type = "faulty", .run = run,
};
AW_MODULE(&faulty);
""", 0o644), TMP.name + "/faulty.so", "-g")
    _out, err = run([*valgrind, *command("faulty", {}, faulty)], 9)
    contains(err, "Invalid write of size 1")
    contains(err, "faulty.c:10")


@case("under gdb a breakpoint in a handler is hit")
def _():
    need("gdb")
    done = subprocess.run(
        ["gdb", "-batch", "-nx", "-ex", "set breakpoint pending on",
         "-ex", "break run_echo", "-ex", "run", "-ex", "backtrace 2", "-ex", "continue", "--args",
         *command("echo", {}, GOOD)], text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=4 * LIMIT_S)
    if "ptrace" in done.stdout and "not permitted" in done.stdout:
        raise Skip("processes may not be traced here")
    contains(done.stdout, "run_echo (task=")
    contains(done.stdout, "exited normally")


@case("a module with AddressSanitizer runs, its library loaded first")
def _():
    if sanitized():
        raise Skip("the program has sanitizers itself")
    compiler = shlex.split(os.environ.get("CC") or "cc")
    found = subprocess.run([*compiler, "-print-file-name=libasan.so"],
                           text=True, stdout=subprocess.PIPE).stdout.strip()
    if not os.path.isabs(found):
        raise Skip("this compiler has no libasan.so")
    file = compile_module(SOURCE, TMP.name + "/asan.so", "-DMODULE_GOOD",
                          "-fsanitize=address", "-g")
    out, _err = run(command("echo", {"a": 1}, file),
                    LD_PRELOAD=os.path.realpath(found),
                    ASAN_OPTIONS="detect_leaks=0")
    equal(json.loads(out)["data"]["params"], {"a": 1}, "params")


main()
