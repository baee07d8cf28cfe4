#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Executables as handlers: avtoworker-child --kind exec, over its channel."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from child_driver import (CANCEL, LIMIT_S, RESULT, STARTED, TASK, Child, Skip,
                          case, contains, equal, main, wait_gone)

FROM_CHILD_MAX = 1024 * 1024
EX_UNAVAILABLE = 69

TMP = tempfile.TemporaryDirectory()


def write(name, text, mode=0o755):
    path = TMP.name + "/" + name
    with open(path, "w") as out:
        out.write(text)
    os.chmod(path, mode)
    return path


def shell(text):
    """A script of sh with that text, as a new file."""
    shell.count += 1
    return write("script%d" % shell.count, "#!/bin/sh\n" + text + "\n")


shell.count = 0


def serve_exec(path, *arguments, options=(), environment=None):
    return Child("--parent", str(os.getpid()), "--category", "test",
                 "--kind", "exec", *options, "--", "job", path, *arguments,
                 environment=environment)


def start(text, **more):
    child = serve_exec(shell(text), **more)
    equal(child.ready(), {"version": 1, "handlers": [{"type": "job"}]},
          "ready")
    return child


def run(text, params={}, **more):
    """The result of one task of that script, and what was printed."""
    child = start(text, **more)
    result = child.run("job", params)
    return result, child.stop()


def error(text, params={}, **more):
    result, _printed = run(text, params, **more)
    equal(result["status"], "failure", repr(result))
    return result["error"]["code"], result["error"]["message"]


def until(predicate, what):
    """Looks again and again: for what nothing tells us of."""
    end = time.monotonic() + LIMIT_S
    while not predicate():
        if time.monotonic() > end:
            raise AssertionError("never: " + what)
        time.sleep(0.005)


def read_pid(path):
    until(lambda: os.path.exists(path) and open(path).read().endswith("\n"),
          path)
    with open(path) as text:
        return int(text.read())


# What a run is


@case("params come on stdin, and the object on stdout is the data")
def _():
    params = {"a": [1, 2.50, "\u00e9\0"], "big": 2**70}
    equal(run("cat", params)[0], {"status": "success", "data": params}, "cat")


@case("an empty stdout with exit 0 is a success")
def _():
    for text in ("exit 0", "echo; echo '  '"):
        equal(run(text)[0], {"status": "success", "data": {}}, text)


@case("arguments are passed as they are, without a shell")
def _():
    path = shell('printf \'{"argv": "%s|%s|%s"}\' "$#" "$1" "$2"')
    child = serve_exec(path, "$HOME; a b", "--parent")
    child.ready()
    equal(child.data("job", {}), {"argv": "2|$HOME; a b|--parent"}, "argv")
    child.stop()


@case("every task is a new process, in a session of its own")
def _():
    child = start('read -r pid name state ppid pgid sid rest < /proc/self/stat'
                  '\nprintf \'{"pid":%s,"pgid":%s,"sid":%s}\' $$ $pgid $sid')
    first, second = child.data("job", {}), child.data("job", {})
    equal(first["pid"] != second["pid"], True, "new process")
    for one in first, second:
        equal((one["pgid"], one["sid"]), (one["pid"], one["pid"]), "session")
    child.stop()


@case("it holds three descriptors and no others, and signals are default")
def _():
    path = write("look.py", """#!%s
import json, os, signal
fds = []
for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
    try:
        os.fstat(fd)
        fds.append(fd)
    except OSError:
        pass
status = open("/proc/self/status").read().splitlines()
print(json.dumps({"fds": fds, "signals": [
    line for line in status if line.startswith(("SigBlk", "SigIgn"))]}))
""" % sys.executable)
    child = serve_exec(path)
    child.ready()
    data = child.data("job", {})
    equal(data["fds"], [0, 1, 2], "descriptors")
    ours = sum(1 << (number - 1) for number in
               (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))
    for line in data["signals"]:
        equal(int(line.split()[1], 16) & ours, 0, line)
    child.stop()


@case("ids, deadline, priority, metadata and workspace are in the environment")
def _():
    work = TMP.name + "/workspace"
    child = start("unset AVTOWORKER_PEERS AVTOWORKER_SEED\n"  # the tests' own
                  "env | grep -e ^AVTOWORKER -e ^TASK_FILES_DIR | sort >&2\n"
                  "pwd >&2", environment={"AVTOWORKER_PRIORITY": "old"})
    child.send(TASK, {
        "task_id": "t-9", "job_id": "j-9", "type": "job", "params": {},
        "deadline_ms": 1700000000123, "priority": 2.5, "workspace": work,
        "metadata": {"user": "\u00e9"}, "tracing_context": {"a": "b"},
        "params_metadata": {"x": {}}}, 7)
    equal(child.result(7), {"status": "success", "data": {}}, "result")
    equal(child.run("job", {})["status"], "success", "second")
    printed = child.stop().splitlines()
    cut = printed.index(work)
    equal(printed[:cut], [
        "AVTOWORKER_DEADLINE_MS=1700000000123", "AVTOWORKER_JOB_ID=j-9",
        'AVTOWORKER_METADATA={"user": "\\u00e9"}',
        'AVTOWORKER_PARAMS_METADATA={"x": {}}', "AVTOWORKER_PRIORITY=2.5",
        "AVTOWORKER_TASK_ID=t-9", 'AVTOWORKER_TRACING_CONTEXT={"a": "b"}',
        "AVTOWORKER_TYPE=job", "TASK_FILES_DIR=" + work], "all")
    equal(printed[cut + 1:-1], ["AVTOWORKER_JOB_ID=j-1",
                                "AVTOWORKER_TASK_ID=t-1",
                                "AVTOWORKER_TYPE=job"], "none")


@case("a working_directory that was asked for wins over the workspace")
def _():
    work = tempfile.mkdtemp(dir=TMP.name)
    child = start("pwd >&2", options=["--directory", "/"])
    child.send(TASK, {"task_id": "t", "job_id": "j", "type": "job",
                      "params": {}, "workspace": work}, 1)
    child.result()
    equal(child.stop(), "/\n", "directory")


@case("a workspace that cannot be made is one failure")
def _():
    child = start("pwd >&2")
    child.send(TASK, {"task_id": "t", "job_id": "j", "type": "job",
                      "params": {}, "workspace": "/nonexistent/x"}, 1)
    message = child.result()["error"]["message"]
    contains(message, "cannot make the task's workspace /nonexistent/x: No ")
    equal(child.run("job", {})["status"], "success", "the next")
    child.stop()


# Exit statuses and results


@case("another exit status is a failure with the last line of stderr")
def _():
    code, message = error("echo first >&2; printf '\\nno such\\n\\n' >&2;exit 3")
    equal(code, "TRANSIENT_ERROR", "code")
    contains(message, "handler \"job\" (" + TMP.name)
    contains(message, "): exit status 3; its last line on stderr: no such")
    equal(error("exit 1")[1].endswith("): exit status 1"), True, "no line")


@case("exit 75 asks for another run")
def _():
    result = run("echo later >&2; exit 75")[0]
    equal((result["status"], result["error"]["code"]),
          ("retry", "TRANSIENT_ERROR"), "result")
    contains(result["error"]["message"], "exit status 75")
    result = run("echo '{\"error\": {\"code\": \"BUSY\"}}'; exit 75")[0]
    equal((result["status"], result["error"]["code"]), ("retry", "BUSY"),
          "with a code")


@case("a death by a signal is a failure that names it")
def _():
    for name, number in ("KILL", 9), ("SEGV", 11), ("TERM", 15):
        code, message = error("kill -%s $$" % name)
        equal(code, "TRANSIENT_ERROR", name)
        contains(message, "killed by signal %d (" % number)


@case("a failure may name its code, message and details on stdout")
def _():
    result = run("""echo '{"error": {"code": "NOT_FOUND", "message": "\\u00e9",
        "details": {"id": 1}}}'; exit 1""")[0]
    equal(result, {"status": "failure", "error": {
        "code": "NOT_FOUND", "message": "\u00e9", "details": {"id": 1}}},
        "whole")
    equal(error("echo '{\"error\": \"gone\"}'; exit 2"),
          ("TRANSIENT_ERROR", "gone"), "text only")
    code, message = error("echo '{\"error\": {\"code\": \"x y\"}}'; exit 2")
    equal(code, "TRANSIENT_ERROR", "malformed code")
    contains(message, 'malformed error code "x y"')
    contains(error("echo 'half {'; exit 4")[1], "exit status 4")
    contains(error('echo \'{"status": "success"}\'; exit 5')[1],
             "exit status 5")


@case("a whole result on stdout counts as it is")
def _():
    equal(run("""echo '{"status": "needs_review", "data": {"a": 1},
        "metadata": {"m": 2}, "data_metadata": {"a": {}}}'""")[0],
          {"status": "needs_review", "data": {"a": 1}, "metadata": {"m": 2},
           "data_metadata": {"a": {}}}, "own status")
    equal(run('echo \'{"status": "success", "data": {"a": 1}}\'')[0],
          {"status": "success", "data": {"a": 1}}, "success")
    equal(run('echo \'{"status": "success"}\'')[0],
          {"status": "success", "data": {}}, "without data")
    equal(error('echo \'{"status": "failure"}\'')[0], "TRANSIENT_ERROR",
          "failure without error")
    equal(error('echo \'{"status": "success", "error": "no"}\''),
          ("TRANSIENT_ERROR", "no"), "an error is no success")
    data = {"status": "open", "total": 3}
    equal(run("cat", data)[0], {"status": "success", "data": data},
          "data that has a status of its own")


# Bad output


@case("what is no JSON object is one CONTRACT_VIOLATION_ERROR each")
def _():
    bad = [('printf \'{"a": \'', "handler \"job\" returned data"),
           ("printf '{\"a\": \"\\377\"}'", "UTF-8"),
           ('echo \'{"a": 1, "a": 2}\'', "twice"),
           ("echo '[1]'", "another type"), ("echo 42", "another type"),
           ("echo '{}{}'", "byte"), ("printf 'a\\0b'", "byte"),
           ('echo \'{"status": "a b", "data": {}}\'', "not a word")]
    for text, part in bad:
        code, message = error(text)
        equal(code, "CONTRACT_VIOLATION_ERROR", text)
        contains(message, part, text)


@case("a gigabyte on stdout is cut off, and the child goes on")
def _():
    child = start("[ -z \"$(cat | grep big)\" ] || exec cat /dev/zero")
    for _ in range(2):
        code, message = child.error("job", {"big": True})
        equal(code, "PERMANENT_ERROR", "code")
        contains(message, "more than %d bytes" % FROM_CHILD_MAX)
        equal(child.data("job", {}), {}, "the next")
    child.stop()


@case("data as long as a frame can take passes, and a byte more does not")
def _():
    head = len('{"status":"success","data":}')
    path = write("fill.py", "#!%s -E\nimport json, sys\n"
                 "n = json.load(sys.stdin)['n']\n"
                 "sys.stdout.write(json.dumps({'x': 'y' * (n - 9)}))\n"
                 % sys.executable)
    child = serve_exec(path)
    child.ready()
    room = FROM_CHILD_MAX - head
    equal(len(child.data("job", {"n": room})["x"]), room - 9, "fits")
    equal(child.error("job", {"n": room + 1})[0], "PERMANENT_ERROR", "more")
    child.stop()


@case("an error whose details fit no frame is told as too large")
def _():
    path = write("details.py", "#!%s -E\nimport json, sys\n"
                 "n = json.load(sys.stdin)['n']\n"
                 "json.dump({'error': {'details': {'x': 'y' * n}}}, sys.stdout)"
                 "\nsys.exit(1)\n" % sys.executable)
    child = serve_exec(path)
    child.ready()
    equal(child.error("job", {"n": 1000})[0], "TRANSIENT_ERROR", "fits")
    code, message = child.error("job", {"n": FROM_CHILD_MAX - 50})
    equal(code, "PERMANENT_ERROR", "code")
    contains(message, "the limit is %d" % FROM_CHILD_MAX)
    child.stop()


@case("one that never reads its params does as well as any")
def _():
    child = start("exec 0<&-; echo '{\"ok\": true}'")
    equal(child.data("job", {"x": "y" * 4000000}), {"ok": True}, "large")
    equal(child.data("job", {}), {"ok": True}, "small")
    child.stop()


@case("one that closes everything is judged by its exit status")
def _():
    equal(run("exec 0<&- 1>&- 2>&-; exit 0")[0],
          {"status": "success", "data": {}}, "0")
    contains(error("exec 0<&- 1>&- 2>&-; exit 9")[1], "exit status 9")


@case("params and output of megabytes pass at the same time")
def _():
    data = {"x": "y" * 1000000}
    equal(run("cat", data)[0]["data"], data, "data")


# Processes


@case("what a task leaves behind holds nobody up, and ends")
def _():
    pids = TMP.name + "/left"
    child = start("sleep 1000 & echo $! > %s\n"
                  "setsid sleep 1000 &\n echo '{\"a\": 1}'" % pids)
    equal(child.data("job", {}), {"a": 1}, "data")
    wait_gone(read_pid(pids))
    equal(child.data("job", {}), {"a": 1}, "the next")
    child.stop()


@case("with --sweep exit what is left behind lives until the child ends")
def _():
    pids = TMP.name + "/kept"
    child = start("sleep 1000 & echo $! > %s; echo '{\"a\": 1}'" % pids,
                  options=["--sweep", "exit"])
    equal(child.data("job", {}), {"a": 1}, "data")
    pid = read_pid(pids)
    os.kill(pid, 0)
    child.stop()
    wait_gone(pid)


@case("one that stops itself is killed, and the child goes on")
def _():
    child = start("[ -z \"$(cat | grep stop)\" ] || kill -STOP $$")
    code, message = child.error("job", {"stop": True})
    equal(code, "TRANSIENT_ERROR", "code")
    contains(message, "was stopped by a signal")
    equal(child.data("job", {}), {}, "the next")
    child.stop()


@case("a cancel frame is a SIGTERM to its group, and its answer counts")
def _():
    go = TMP.name + "/go"
    child = start("trap 'echo \"{\\\"told\\\": true}\"; exit 0' TERM\n"
                  "echo $$ > %s\nwhile :; do sleep 1000 & wait; done" % go)
    child.task("job", {}, 5)
    equal(child.frame(), (STARTED, 5, {}), "started")
    read_pid(go)
    child.send(CANCEL, {"reason": "drain", "grace_ms": 5000}, 5)
    kind, _lease, payload = child.frame()
    equal((kind, payload), (RESULT, {"status": "success",
                                     "data": {"told": True}}), "result")
    child.stop()


@case("one that a soft time limit ends is a TIMEOUT_ERROR")
def _():
    for reason, code in (("time_limit", "TIMEOUT_ERROR"),
                         ("drain", "TRANSIENT_ERROR")):
        child = start("exec sleep 1000")
        child.task("job", {}, 5)
        child.send(CANCEL, {"reason": reason, "grace_ms": 5000}, 5)
        result = child.result(5)
        equal(result["error"]["code"], code, reason)
        contains(result["error"]["message"], "asked to stop (%s)" % reason)
        child.stop()


@case("a cancel for another lease stops nothing")
def _():
    child = start("read -r line; echo '{\"a\": 1}'")
    child.send(CANCEL, {"reason": "cancel", "grace_ms": 1}, 4)
    equal(child.data("job", {}), {"a": 1}, "data")
    child.stop()


@case("the end of the channel ends the child and all of its task's processes")
def _():
    pids = TMP.name + "/end"
    child = start("setsid sh -c 'echo $$ > %s; exec sleep 1000' &\n"
                  "exec sleep 1000" % pids)
    child.task("job", {})
    pid = read_pid(pids)
    equal(child.frame(), (STARTED, 1, {}), "started")
    child.sock.close()
    wait_gone(child.pid)
    wait_gone(pid)
    os.waitpid(child.pid, 0)
    os.close(child.output)


@case("the supervisor's death ends it all, even while the channel is open")
def _():
    pids = TMP.name + "/orphan"
    ours, theirs = socket.socketpair()
    supervisor = os.fork()
    if supervisor == 0:
        signal.alarm(2 * LIMIT_S)
        child = start("setsid sh -c 'echo $$ > %s; exec sleep 1000' &\n"
                      "exec sleep 1000" % pids)
        child.task("job", {})
        read_pid(pids)
        socket.send_fds(theirs, [b"%d" % child.pid], [child.sock.fileno()])
        signal.pause()
        os._exit(0)
    ours.settimeout(LIMIT_S)
    pid, kept, _flags, _address = socket.recv_fds(ours, 32, 1)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    wait_gone(int(pid))
    wait_gone(read_pid(pids))
    for fd in kept:
        os.close(fd)


@case("details that the message has no room for are left out")
def _():
    def details(values):
        # The object, the key and the array, and those of the error around it.
        path = write("values", json.dumps(
            {"error": {"details": {"a": [1] * (values - 7)}}}))
        return run("cat %s; exit 1" % path)[0]["error"].get("details")

    equal(len(details(100000 - 16)["a"]), 100000 - 16 - 7, "what has room")
    equal(details(100000), None, "what has none")


# Limits


@case("limits are the executable's: descriptors, file size, processor time")
def _():
    child = start("ulimit -n >&2; ulimit -f >&2; ulimit -c >&2",
                  options=["--limit", "nofile=32", "--limit", "fsize=1024",
                           "--limit", "core=0"])
    equal(child.data("job", {}), {}, "data")
    equal(child.stop(), "32\n2\n0\n", "limits")
    code, message = error("while :; do :; done", options=["--task-cpu", "1"])
    equal(code, "RESOURCE_EXHAUSTED_ERROR", "code")
    contains(message, "has used its 1 s of processor time")


@case("one that does not heed the limit of processor time is killed for it")
def _():
    code, message = error("trap '' XCPU; ulimit -H -t 2; while :; do :; done",
                          options=["--task-cpu", "1"])
    equal(code, "RESOURCE_EXHAUSTED_ERROR", "code")
    contains(message, "has used its 1 s of processor time")
    code, message = error("kill -KILL $$", options=["--task-cpu", "1"])
    equal(code, "TRANSIENT_ERROR", "code of one that was killed before")


# Starting


@case("an executable that cannot be one is said in ready")
def _():
    bad = [("/nonexistent/x", "No such file or directory"),
           (TMP.name, "Permission denied"),
           (write("plain", "#!/bin/sh\n", 0o644), "Permission denied")]
    for path, reason in bad:
        child = serve_exec(path)
        equal(child.ready(), {"version": 1, "error": "handler \"job\": cannot "
              "execute %s: %s" % (path, reason)}, path)
        equal(child.frame(), None, "the end")
        equal(child.wait()[0], EX_UNAVAILABLE, "exit status")


@case("one that vanishes, or is no program, is a failure of each task")
def _():
    path = shell("exit 0")
    child = serve_exec(path)
    child.ready()
    os.rename(path, path + ".new")
    code, message = child.error("job", {})
    equal(code, "TRANSIENT_ERROR", "code")
    contains(message, "cannot execute %s: No such file" % path)
    os.rename(path + ".new", path)
    equal(child.data("job", {}), {}, "it is back")
    child.stop()
    child = serve_exec(write("noshebang", "echo\n"))
    child.ready()
    contains(child.error("job", {})[1], "a script begins with #!")
    child.stop()


@case("a command line that has no TYPE PATH exits 64 with one line")
def _():
    for rest in (["job"], ["a b", "/bin/true"], ["job", ""]):
        child = Child("--parent", str(os.getpid()), "--category", "x",
                      "--kind", "exec", "--", *rest)
        status, text = child.wait()
        equal((status, text.count("\n")), (64, 1), repr(rest))
    child = Child("--parent", str(os.getpid()), "--category", "x",
                  "--kind", "else", "--", "job", "/bin/true")
    contains(child.wait()[1], "--kind must be module, exec or channel")


@case("a relative path is found wherever tasks run")
def _():
    work = tempfile.mkdtemp(dir=TMP.name)
    name = os.path.basename(shell("pwd >&2"))
    child = Child("--parent", str(os.getpid()), "--category", "x",
                  "--kind", "exec", "--directory", TMP.name, "--", "job",
                  "./" + name)
    child.ready()
    child.send(TASK, {"task_id": "t", "job_id": "j", "type": "job",
                      "params": {}, "workspace": work}, 1)
    equal(child.result()["status"], "success", "result")
    child.stop()


@case("stderr goes on line by line, an unfinished one is ended")
def _():
    result, printed = run("printf 'one\\ntwo' >&2")
    equal((result["status"], printed), ("success", "one\ntwo\n"), "printed")


# Languages


@case("a Node script is a handler")
def _():
    if shutil.which("node") is None:
        raise Skip("node is not installed")
    path = write("handler.mjs", """#!/usr/bin/env node
import { readFileSync } from "node:fs";
const params = JSON.parse(readFileSync(0, "utf8"));
if (!params.name) {
	console.log(JSON.stringify({ error: {
		code: "INVALID_INPUT_ERROR", message: '"name" is missing' } }));
	process.exit(1);
}
console.error(`greeting ${params.name}`);
console.log(JSON.stringify({ greeting: `hello, ${params.name}` }));
""")
    child = serve_exec(path)
    child.ready()
    equal(child.data("job", {"name": "node"}), {"greeting": "hello, node"},
          "data")
    equal(child.error("job", {}),
          ("INVALID_INPUT_ERROR", '"name" is missing'), "error")
    equal(child.stop(), "greeting node\n", "log")


def build_go(source, program):
    """By either of the compilers that there are."""
    for compiler in (["go", "build"], ["gccgo"]):
        if shutil.which(compiler[0]) is not None:
            break
    else:
        raise Skip("neither go nor gccgo is installed")
    done = subprocess.run([*compiler, "-o", program, source],
                          stderr=subprocess.STDOUT, stdout=subprocess.PIPE,
                          text=True, env={**os.environ, "GO111MODULE": "off"})
    if done.returncode != 0:
        raise Skip(f"{compiler[0]} cannot build here: "
                   f"{done.stdout.strip()[-200:]}")


@case("a Go program is a handler")
def _():
    source = write("handler.go", """package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var params struct{ N int }
	if err := json.NewDecoder(os.Stdin).Decode(&params); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(75)
	}
	fmt.Fprintln(os.Stderr, "squaring", params.N)
	json.NewEncoder(os.Stdout).Encode(map[string]int{"square": params.N * params.N})
}
""", 0o644)
    build_go(source, TMP.name + "/square")
    child = serve_exec(TMP.name + "/square")
    child.ready()
    equal(child.data("job", {"n": 12}), {"square": 144}, "data")
    result = child.run("job", {"n": "x"})
    equal(result["status"], "retry", "status")
    contains(result["error"]["message"], "cannot unmarshal")
    child.stop()


main()
