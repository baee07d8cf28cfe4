#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Channel programs: avtoworker-child --kind channel, which is their launcher,
and a program that speaks the channel in a few lines of Python."""
import os
import signal
import socket
import sys
import tempfile

sys.dont_write_bytecode = True
from child_driver import (CANCEL, LIMIT_S, STARTED, Child, case, contains,
                          equal, main, wait_gone)

EX_OSERR = 71

TMP = tempfile.TemporaryDirectory()

# All of avtoworker-channel(7) that a program needs.
PROGRAM = '''#!%s
import json, os, signal, socket, struct, subprocess, sys

assert os.environ["AVTOWORKER_CHANNEL"] == "3"
channel = socket.socket(fileno=3)
channel.set_inheritable(False)

def read(size):
    data = b""
    while len(data) < size:
        part = channel.recv(size - len(data))
        if not part:
            sys.exit(0)
        data += part
    return data

def send(kind, payload, lease=0):
    text = json.dumps(payload).encode()
    channel.sendall(struct.pack("<IHHQ", len(text), kind, 0, lease) + text)

send(16, {"version": 1, "handlers": [{"type": "look"}]})
while True:
    length, kind, flags, lease = struct.unpack("<IHHQ", read(16))
    payload = json.loads(read(length))
    if kind == 3:
        break
    if kind != 1:
        continue
    send(17, {}, lease)
    params = payload["params"]
    data = {"argv": sys.argv, "pid": os.getpid(), "ppid": os.getppid(),
            "sid": os.getsid(0), "cwd": os.getcwd(),
            "term": int(signal.getsignal(signal.SIGTERM))}
    if params.get("leave"):
        data["left"] = subprocess.Popen(
            ["sleep", "1000"], start_new_session=True).pid
    if params.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    send(18, {"status": "success", "data": data}, lease)
''' % sys.executable


def write(name, text, mode=0o755):
    path = TMP.name + "/" + name
    with open(path, "w") as out:
        out.write(text)
    os.chmod(path, mode)
    return path


def serve_program(*words, options=()):
    return Child("--parent", str(os.getpid()), "--category", "test",
                 "--kind", "channel", *options, "--", *words)


def start(*arguments, **more):
    child = serve_program(write("program", PROGRAM), *arguments, **more)
    equal(child.ready()["handlers"], [{"type": "look"}], "handlers")
    return child


@case("a program speaks the channel under a launcher, in a session of its own")
def _():
    child = start("a b", "--kind", options=["--directory", "/"])
    data = child.data("look", {})
    equal(data["argv"], [TMP.name + "/program", "a b", "--kind"], "argv")
    equal(data["ppid"], child.pid, "the launcher is its parent")
    equal(data["sid"], data["pid"], "session")
    equal(data["cwd"], "/", "directory")
    equal(data["term"], int(signal.SIG_DFL), "SIGTERM")
    equal(child.data("look", {})["pid"], data["pid"], "the same process")
    child.stop()
    wait_gone(data["pid"])


@case("what it has started ends with it")
def _():
    child = start()
    left = child.data("look", {"leave": True})["left"]
    os.kill(left, 0)
    child.stop()
    wait_gone(left)


@case("its death is the launcher's, with the same status")
def _():
    child = start()
    left = child.data("look", {"leave": True})["left"]
    child.task("look", {"die": True})
    equal(child.frame(), (STARTED, 1, {}), "started")
    equal(child.frame(), None, "the end of the channel")
    equal(child.wait()[0], -signal.SIGKILL, "status")
    wait_gone(left)


@case("it ends, with all it has started, when the supervisor is killed")
def _():
    ours, theirs = socket.socketpair()
    supervisor = os.fork()
    if supervisor == 0:
        signal.alarm(2 * LIMIT_S)
        child = start()
        data = child.data("look", {"leave": True})
        pids = "%d %d %d" % (child.pid, data["pid"], data["left"])
        socket.send_fds(theirs, [pids.encode()], [child.sock.fileno()])
        signal.pause()
        os._exit(0)
    ours.settimeout(LIMIT_S)
    pids, kept, _flags, _address = socket.recv_fds(ours, 64, 1)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    for pid in map(int, pids.split()):
        wait_gone(pid)
    for fd in kept:
        os.close(fd)


@case("limits are set before it starts")
def _():
    path = write("limits", "#!/bin/sh\nulimit -n; ulimit -f; umask\n")
    child = serve_program(path, options=[
        "--limit", "nofile=77", "--limit", "fsize=1024", "--umask", "027"])
    equal(child.frame(), None, "no frame")
    equal(child.wait(), (0, "77\n2\n0027\n"), "output")


@case("a program that cannot be executed is said in one ready frame")
def _():
    bad = [("/nonexistent/x", "No such file or directory"),
           (TMP.name, "Permission denied"),
           (write("plain", "#!/bin/sh\n", 0o644), "Permission denied"),
           (write("noshebang", "echo\n"), "Exec format error")]
    for path, reason in bad:
        child = serve_program(path)
        equal(child.ready(), {"version": 1, "error": "cannot execute %s: %s" %
                              (path, reason)}, path)
        equal(child.frame(), None, "the end")
        equal(child.wait(), (EX_OSERR, ""), "exit")


@case("a limit that cannot be set is said in one ready frame")
def _():
    child = serve_program("/bin/true", options=["--directory", "/nonexistent"])
    contains(child.ready()["error"], 'at step "directory" (key '
             'working_directory): No such file')
    equal(child.wait()[0], EX_OSERR, "exit status")


@case("a cancel frame reaches the program, and no signal comes with it")
def _():
    child = start()
    child.send(CANCEL, {"reason": "cancel", "grace_ms": 1}, 9)
    equal(child.run("look", {})["status"], "success", "result")
    child.stop()


main()
