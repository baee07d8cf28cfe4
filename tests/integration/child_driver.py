# SPDX-License-Identifier: ISC
"""Drives avtoworker-child as the supervisor does, for tests that print TAP.

Every wait has a limit, and is a wait for an event: readable, closed, exited.
"""
import json
import os
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import traceback

LIMIT_S = 60
SRC = os.environ.get("top_srcdir", ".")
BUILD = os.environ.get("top_builddir", ".")
CHILD = os.environ.get("AVTOWORKER_CHILD", BUILD + "/avtoworker-child")

TASK, CANCEL, STOP = 1, 2, 3
READY, STARTED, RESULT = 16, 17, 18
PROGRESS, EVENT = 20, 21


class Child:
    """One avtoworker-child with our end of its channel and of its output."""

    def __init__(self, *arguments, environment=None):
        self.sock, theirs = socket.socketpair()
        self.output, output = os.pipe()
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        dup2 = os.POSIX_SPAWN_DUP2
        self.pid = os.posix_spawn(
            CHILD, [CHILD, *arguments],
            {**os.environ, **(environment or {})},
            file_actions=[(dup2, null, 0), (dup2, output, 1),
                          (dup2, output, 2), (dup2, theirs.fileno(), 3)],
            setsigdef=[signal.SIGPIPE])
        os.close(null)
        os.close(output)
        theirs.close()
        self.sock.settimeout(LIMIT_S)

    def send(self, kind, payload=b"{}", lease=0, flags=0, length=None):
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        if length is None:
            length = len(payload)
        self.send_raw(struct.pack("<IHHQ", length, kind, flags, lease) +
                      payload)

    def send_raw(self, data):
        self.sock.sendall(data)

    def task(self, kind, params, lease=1):
        self.send(TASK, {"task_id": "t-1", "job_id": "j-1", "type": kind,
                         "params": params}, lease)

    def read_exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                return data
            data += part
        return data

    def frame(self):
        """(type, lease, payload), or None at the end."""
        head = self.read_exactly(16)
        if not head:
            return None
        length, kind, flags, lease = struct.unpack("<IHHQ", head)
        equal(flags, 0, "flags")
        return kind, lease, json.loads(self.read_exactly(length))

    def ready(self):
        kind, lease, payload = self.frame()
        equal((kind, lease), (READY, 0), "the first frame")
        equal(payload["version"], 1, "version")
        return payload

    def result(self, lease=1):
        equal(self.frame(), (STARTED, lease, {}), "started")
        kind, got, payload = self.frame()
        equal((kind, got), (RESULT, lease), "result frame")
        return payload

    def run(self, kind, params, lease=1):
        self.task(kind, params, lease)
        return self.result(lease)

    def data(self, kind, params):
        payload = self.run(kind, params)
        equal(payload["status"], "success", repr(payload))
        return payload["data"]

    def error(self, kind, params):
        payload = self.run(kind, params)
        equal(payload["status"], "failure", repr(payload))
        return payload["error"]["code"], payload["error"]["message"]

    def wait(self):
        """The exit status (negative: signal) and everything printed."""
        text = b""
        while wait_readable(self.output):
            part = os.read(self.output, 65536)
            if not part:
                break
            text += part
        wait_gone(self.pid)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.output)
        self.sock.close()
        return status, text.decode()

    def stop(self):
        self.send(STOP)
        equal(self.frame(), None, "the end of the channel")
        status, text = self.wait()
        equal(status, 0, "exit status; it printed: " + text)
        return text


def serve(*assignments, category="test", environment=None):
    return Child("--parent", str(os.getpid()), "--category", category,
                 *assignments, environment=environment)


def describe(file):
    """The ready payload, the exit status, and what was printed."""
    child = Child("--describe", file)
    frame = child.frame()
    return (frame and frame[2], *child.wait())


def wait_readable(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(LIMIT_S * 1000):
        raise AssertionError("nothing came in %d s" % LIMIT_S)
    return True


def wait_gone(pid):
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        wait_readable(fd)
    finally:
        os.close(fd)


def compile_module(source, target, *flags):
    """Builds a handler module against this tree's header."""
    include = os.path.join(os.path.dirname(target), "include")
    os.makedirs(include + "/avtoworker", exist_ok=True)
    link = include + "/avtoworker/handler.h"
    if not os.path.lexists(link):
        os.symlink(os.path.abspath(SRC + "/child/handler.h"), link)
    subprocess.run([*shlex.split(os.environ.get("CC") or "cc"), "-shared",
                    "-fPIC", "-Wall", "-Wextra", "-Werror", "-I" + include,
                    *flags, "-o", target, source], check=True)
    return target


def equal(got, want, what):
    if got != want:
        raise AssertionError("%s: got %.2000r, expected %.2000r" %
                             (what, got, want))


def contains(text, part, what="text"):
    if part not in text:
        raise AssertionError("%s: %.2000r does not contain %r" %
                             (what, text, part))


class Skip(Exception):
    """A case that cannot be run here; says why."""


CASES = []


def case(name):
    """Registers a test; its name is a claim."""
    def register(function):
        CASES.append((name, function))
        return function
    return register


def main():
    failed = 0
    for number, (name, function) in enumerate(CASES, 1):
        try:
            function()
            print("ok %d - %s" % (number, name), flush=True)
        except Skip as reason:
            print("ok %d - %s # SKIP %s" % (number, name, reason), flush=True)
        except Exception:
            failed += 1
            print("not ok %d - %s" % (number, name))
            for line in traceback.format_exc().splitlines():
                print("# " + line, flush=True)
    print("1..%d" % len(CASES))
    sys.exit(1 if failed else 0)
