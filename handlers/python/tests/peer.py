# SPDX-License-Identifier: ISC
"""Plays the supervisor for one script, and prints TAP.

A test is a function marked with @case. It runs once for each interpreter that
is found, unless it says otherwise. Every wait has a limit, and is a wait for
an event: a frame, an exit.
"""
import concurrent.futures
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback

LIMIT = 120  # seconds for one event
AT_ONCE = 4  # cases; they mostly wait
HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.path.dirname(HERE)  # where the module is
RUN = os.path.join(PYTHON, "avtoworker_run.py")

TASK, CANCEL, STOP, SPEAK, COMMAND = 1, 2, 3, 4, 5
READY, STARTED, RESULT, LOG = 16, 17, 18, 19
PROGRESS, EVENT, STATE = 20, 21, 22
NAMES = {READY: "ready", STARTED: "started", RESULT: "result", LOG: "log",
         PROGRESS: "progress", EVENT: "event", STATE: "state"}


class Failed(Exception):
    """What a case found wrong."""


def check(claim, text):
    if not claim:
        raise Failed(text)


def same(got, want, what):
    check(got == want, f"{what}: got {got!r}, want {want!r}")


def interpreters():
    """Each Python from 3.9 on that works here: python3, and all python3.X."""
    found = {}
    candidates = [sys.executable, "/usr/bin/python3"]
    for minor in range(9, 14):
        path = shutil.which(f"python3.{minor}")
        if path:
            candidates.append(path)
    root = os.path.expanduser("~/.pyenv/versions")
    if os.path.isdir(root):
        candidates += [os.path.join(root, name, "bin", "python3")
                       for name in sorted(os.listdir(root))]
    for path in candidates:
        try:
            out = subprocess.run(
                [path, "-c", "import sys; print(*sys.version_info[:2])"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                timeout=LIMIT, check=True).stdout.split()
        except (OSError, subprocess.SubprocessError):
            continue
        version = tuple(int(n) for n in out)
        if (3, 9) <= version < (3, 14):
            found.setdefault(version, path)
    return [(f"{a}.{b}", path) for (a, b), path in sorted(found.items())]


class Script:
    """A script under avtoworker_run.py, with our end of its channel."""

    def __init__(self, case, text, *arguments, target=None, environment=None,
                 name="worker.py"):
        self.case = case
        path = os.path.join(case.folder, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as f:
                f.write(textwrap.dedent(text))
        self.path = path
        self.sock, theirs = socket.socketpair()
        self.out_path = os.path.join(case.folder,
                                     f"output-{len(case.scripts)}")
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("PYTHON", "AVTOWORKER_"))}
        env.update(AVTOWORKER_CHANNEL="3", PYTHONDONTWRITEBYTECODE="1",
                   **(environment or {}))
        command = [case.python, RUN, *(target or [path]), *arguments]
        with open(self.out_path, "wb") as out:
            number = theirs.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-c", CHANNEL_AT_3, str(number), *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=case.folder, env=env, pass_fds=[number])
        theirs.close()
        self.lease = 0
        self.logs = []
        self.seen = []
        case.scripts.append(self)

    # Frames -----------------------------------------------------------------

    def send(self, kind, payload=None, lease=0):
        text = json.dumps(payload or {}).encode()
        self.sock.sendall(struct.pack("<IHHQ", len(text), kind, 0, lease) +
                          text)

    def frame(self, limit=LIMIT):
        """(type, lease, payload), or None at the end."""
        head = self._read(16, limit)
        if len(head) < 16:
            return None
        length, kind, flags, lease = struct.unpack("<IHHQ", head)
        check(flags == 0 and length <= 1 << 20, f"header {head!r}")
        text = self._read(length, limit)
        payload = json.loads(text.decode("utf-8", "strict"),
                             parse_constant=self._no_constant,
                             object_pairs_hook=self._no_duplicates)
        self.seen.append((NAMES.get(kind), lease, payload))
        return kind, lease, payload

    @staticmethod
    def _no_constant(name):
        raise Failed(f"{name} in a payload")

    @staticmethod
    def _no_duplicates(pairs):
        check(len(dict(pairs)) == len(pairs), f"a key twice: {pairs!r:.200}")
        return dict(pairs)

    def _read(self, size, limit):
        data, end = b"", time.monotonic() + limit
        while len(data) < size:
            left = end - time.monotonic()
            ready = left > 0 and select.select([self.sock], [], [], left)[0]
            check(ready, f"no frame within {limit} s; {self.tell()}")
            try:
                part = self.sock.recv(min(size - len(data), 1 << 16))
            except ConnectionError:
                part = b""
            if not part:
                break
            data += part
        return data

    def until(self, kind, lease=None):
        """The next frame of that type (of that lease); logs are kept."""
        while True:
            frame = self.frame()
            check(frame is not None,
                  f"the script ended before {NAMES[kind]}; {self.tell()}")
            if frame[0] == LOG:
                self.logs.append(frame[2])
            if frame[0] == kind and lease in (None, frame[1]):
                return frame[2]

    def ready(self):
        payload = self.until(READY)
        check("error" not in payload, f"not ready: {payload}; {self.tell()}")
        return payload

    def fails(self):
        """The sentence in place of an offer."""
        payload = self.until(READY)
        check("error" in payload, f"ready: {payload}")
        return payload["error"]

    def begin(self, kind, params=None, **more):
        self.lease += 1
        self.send(TASK, {"task_id": f"t-{self.lease}", "job_id": "j-1",
                         "type": kind, "params": params or {}, **more},
                  self.lease)
        return self.lease

    def run(self, kind, params=None, **more):
        """The result of one task."""
        return self.until(RESULT, self.begin(kind, params, **more))

    def cancel(self, lease, reason="cancel"):
        self.send(CANCEL, {"reason": reason, "grace_ms": 5000}, lease)

    def stop(self):
        """Tells it to leave; its exit status."""
        self.send(STOP)
        return self.wait()

    def wait(self):
        while self.process.poll() is None:  # whoever writes must not wait
            if self.frame() is None:
                break
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired as e:
            raise Failed(f"does not exit; {self.tell()}") from e

    def output(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def messages(self, level=None):
        return [log["message"] for log in self.logs
                if level in (None, log["level"])]

    def tell(self):
        return f"frames {self.seen[-8:]}, output {self.output()[-2000:]!r}"

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.sock.close()


# Runs a command with one of its descriptors as number 3, close-on-exec left
# to the command.
CHANNEL_AT_3 = """
import os, sys
fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3)
    os.close(fd)
os.set_inheritable(3, True)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Case:
    def __init__(self, python):
        self.python = python
        self.folder = tempfile.mkdtemp(prefix="avtoworker-python-")
        self.scripts = []

    def script(self, text, *arguments, **named):
        return Script(self, text, *arguments, **named)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(textwrap.dedent(text))
        return path

    def end(self):
        for script in self.scripts:
            script.end()
        shutil.rmtree(self.folder, ignore_errors=True)


CASES = []


def case(name, everywhere=True):
    """Marks a test; everywhere: with each interpreter, not only the first."""
    def mark(function):
        CASES.append((name, function, everywhere))
        return function
    return mark


def complaint(function, python):
    """What is wrong, as text; "" when nothing is."""
    t = Case(python)
    try:
        function(t)
        return ""
    except Exception:
        return traceback.format_exc()
    finally:
        t.end()


def main():
    wanted = sys.argv[1:]
    pythons = interpreters()
    runs = [(name, function, version, path)
            for name, function, everywhere in CASES
            for i, (version, path) in enumerate(pythons)
            if everywhere or i == len(pythons) - 1]
    if wanted:
        runs = [r for r in runs if any(w in r[0] for w in wanted)]
    print(f"1..{len(runs)}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        complaints = pool.map(lambda r: complaint(r[1], r[3]), runs)
        for n, (text, run) in enumerate(zip(complaints, runs), 1):
            failed += bool(text)
            for line in text.splitlines():
                print(f"# {line}")
            print(f"{'not ok' if text else 'ok'} {n} - {run[0]} "
                  f"(python {run[2]})", flush=True)
    sys.exit(failed != 0)
