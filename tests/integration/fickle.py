# SPDX-License-Identifier: ISC
"""A child that fails at a step of its life. Run in place of avtoworker-child;
which start fails how is a plan: a list of step names, one for each start in
the category, None for the real program; further starts are real ones.

What it comes to is told to the test by lines in a file: "start STEP PID" at
the start, "at STEP PID" where it now waits to be ended.
"""
import fcntl
import json
import os
import random
import signal
import socket
import struct
import sys

TASK = 1
READY, STARTED, RESULT, LOG = 16, 17, 18, 19
CHANNEL = 3
LOG_STORM = 200000  # frames


def frame(kind, value, lease=0):
    payload = json.dumps(value).encode()
    return struct.pack("<IHHQ", len(payload), kind, 0, lease) + payload


def send(data):
    while data:
        data = data[os.write(CHANNEL, data):]


def receive(size):
    data = bytearray()
    while len(data) < size:
        part = os.read(CHANNEL, min(size - len(data), 1 << 20))
        if not part:
            os._exit(0)
        data += part
    return data


class Child:
    """What a step can do."""

    def __init__(self, step, log, arguments):
        self.step = step
        self.log = log
        self.arguments = arguments
        self.lease = 0
        self.task = None

    def note(self, word):
        fd = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, f"{word} {self.step} {os.getpid()}\n".encode())
        os.close(fd)

    def stay(self):
        self.note("at")
        while True:
            signal.pause()

    def offer(self):
        category = self.arguments[self.arguments.index("--category") + 1]
        types = [a.partition("=")[0] for a in self.arguments if "=/" in a]
        return frame(READY, {"version": 1, "handlers": [
            {"type": t, "category": category} for t in types]})

    def take(self):
        """Says ready and waits for a task."""
        send(self.offer())
        length, _, _, self.lease = struct.unpack("<IHHQ", receive(16))
        self.task = json.loads(receive(length))

    def begin(self):
        self.take()
        send(frame(STARTED, {}, self.lease))

    def result(self):
        return frame(RESULT, {"status": "success", "data": {
            "from": self.step, "task_id": self.task["task_id"]}}, self.lease)


# The steps, by name. One that returns exits 0.

def exit_1(_c):
    os._exit(1)


def exit_0(_c):
    pass


def crash(_c):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(c):
    c.stay()


def close_channel(c):
    os.close(CHANNEL)
    c.stay()


def half_ready(c):
    data = c.offer()
    send(data[:len(data) // 2])


def half_ready_stay(c):
    half_ready(c)
    c.stay()


def garbage(c):
    send(bytes(range(64)))
    c.stay()


def huge_frame(c):
    send(struct.pack("<IHHQ", 0xffffffff, READY, 0, 0))
    c.stay()


def other_offer(c):
    send(frame(READY, {"version": 1, "handlers": [{"type": "other"}]}))
    c.stay()


def noise(_c):
    os.write(1, b"no line end " * 10000)


def ready_exit(c):
    send(c.offer())


def ready_idle(c):
    send(c.offer())
    c.stay()


def take_exit(c):
    c.take()


def take_part_exit(c):
    """Dies with most of a long task still in the pipe."""
    send(c.offer())
    receive(1000)


def take_none_stop(c):
    """Stopped before it has read a byte."""
    send(c.offer())
    c.note("at")
    os.kill(os.getpid(), signal.SIGSTOP)


def take_part_stop(c):
    """Stopped in the middle of reading a long task."""
    send(c.offer())
    receive(100000)
    c.note("at")
    os.kill(os.getpid(), signal.SIGSTOP)


def take_stay(c):
    c.take()
    c.stay()


def started_exit(c):
    c.begin()


def started_stop(c):
    c.begin()
    c.note("at")
    os.kill(os.getpid(), signal.SIGSTOP)


def spin(c):
    """Never waits for anything."""
    c.begin()
    c.note("at")
    while True:
        pass


def announce_60m(c):
    """The length of a result that nobody would take."""
    c.begin()
    c.note("at")
    send(struct.pack("<IHHQ", 60 << 20, RESULT, 0, c.lease) + b"{" * 4096)
    signal.pause()


def started_close(c):
    c.begin()
    os.close(CHANNEL)
    c.stay()


def started_shut(c):
    """It can still hear, but not be heard."""
    c.begin()
    with socket.socket(fileno=os.dup(CHANNEL)) as s:
        s.shutdown(socket.SHUT_WR)
    c.stay()


def started_dup_over(c):
    """Something else is where the channel was."""
    c.begin()
    with open("/dev/null", "rb") as f:
        os.dup2(f.fileno(), CHANNEL)
    c.stay()


def started_dup_onto(c):
    """What is printed goes into the channel."""
    c.begin()
    os.dup2(CHANNEL, 1)
    os.write(1, b"this is no frame, but a line\n")
    c.stay()


def result_shut(c):
    """It is heard, but will never hear again."""
    c.begin()
    with socket.socket(fileno=os.dup(CHANNEL)) as s:
        s.shutdown(socket.SHUT_RD)
    send(c.result())
    c.stay()


def mutant(c):
    """All that it says is as wrong as chance will have it."""
    c.begin()
    rng = random.Random(c.task["task_id"])
    data = bytearray(frame(LOG, {"message": "hello"}, c.lease) + c.result())
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(data))
        change = rng.choice(("flip", "set", "cut", "repeat", "insert"))
        if change == "flip":
            data[at] ^= 1 << rng.randrange(8)
        elif change == "set":
            data[at] = rng.choice((0, 1, 16, 127, 128, 255))
        elif change == "cut":
            del data[at:at + rng.randrange(1, 20)]
        elif change == "repeat":
            data[at:at] = data[at:at + rng.randrange(1, 40)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 40))
        if not data:
            break
    send(bytes(data))


def gifts(c):
    """With each frame come as many descriptors as the kernel lets through."""
    c.begin()
    with socket.socket(fileno=os.dup(CHANNEL)) as s:
        for _ in range(50):
            socket.send_fds(s, [frame(LOG, {"message": "take"}, c.lease)],
                            [0] * 250)
    send(c.result())


def half_result(c):
    c.begin()
    data = c.result()
    send(data[:len(data) // 2])


def half_header(c):
    c.begin()
    send(c.result()[:7])


def half_result_stay(c):
    half_result(c)
    c.stay()


def half_result_garbage(c):
    half_result(c)
    send(b"\xff" * 4096)
    c.stay()


def result_exit(c):
    c.begin()
    send(c.result())


def result_crash(c):
    c.begin()
    send(c.result())
    crash(c)


def result_twice(c):
    c.begin()
    send(c.result() * 2)
    c.stay()


def result_other_lease(c):
    c.begin()
    c.lease += 1
    send(c.result())
    c.stay()


def result_after_wrong_ones(c):
    """All at once, as far as the pipe takes them."""
    c.begin()
    wrong = frame(RESULT, {"status": "success"}, c.lease + 1)
    send(wrong * 2000 + c.result())
    c.stay()


def log_storm(c):
    c.begin()
    data = frame(LOG, {"message": "so much to say " + "x" * 100}) * 500
    for _ in range(LOG_STORM // 500):
        send(data)
    send(c.result())


def log_flood(c):
    c.begin()
    send(frame(LOG, {"message": "so much to say " + "x" * 100}) * 5000)
    send(c.result())


def copy_holds(c):
    """Dies, while a copy of it in a session of its own keeps all it has."""
    c.begin()
    leave_copy(c)


def result_copy_holds(c):
    c.begin()
    send(c.result())
    leave_copy(c)


def leave_copy(c):
    here, there = os.pipe()
    if os.fork() == 0:
        os.setsid()
        c.note("at")
        os.close(there)
        signal.pause()
    os.close(there)
    os.read(here, 1)


def main(plan, category, log, program):
    """Does what the plan has for this start."""
    arguments = sys.argv[1:]
    step = None
    if "--category" in arguments and \
            arguments[arguments.index("--category") + 1] == category:
        # Others of the category may start in this moment.
        with open(log, "a+", encoding="ascii") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            f.seek(0)
            number = sum(x.startswith("start ") for x in f)
            step = plan[number] if number < len(plan) else None
            Child(step, log, arguments).note("start")
    if step is None:
        os.execv(program, [program, *arguments])
    globals()[step](Child(step, log, arguments))
    os._exit(0)
