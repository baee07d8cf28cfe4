#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""How soon a killed child is replaced, beside gunicorn, php-fpm and Celery,
and what a thousand children cost.

Each contestant has one child. In a round the child sleeps in a task, a second
task waits behind it, and the child is killed with SIGKILL. Measured are the
times until its parent has another child, and until the second task has been
served. The contestants take turns; figures are medians.
"""
import argparse
import fcntl
import json
import os
import re
import resource
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from bench import TICK, memory_kb, tail  # noqa: E402

LIMIT = 30  # seconds for anything that is waited for
PACKAGES = ("gunicorn==27.0.1", "celery==5.7.0")
NAP_MS = 20000


class Broken(Exception):
    """A contestant that does not do what it should."""


def children(pid):
    """Of that process, by all its threads; the kernel's own lists, read in
    microseconds."""
    found = set()
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as f:
                found.update(int(p) for p in f.read().split())
    except OSError:
        pass
    return found


def wait_for(claim, what, limit=LIMIT):
    end = time.monotonic() + limit
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > end:
            raise Broken(f"not within {limit} s: {what}")
        time.sleep(0.005)


class Contestant:
    """A pool of one child. served is readable when the second task is."""
    name = ""
    missing = None

    def __init__(self, args, directory):
        self.args = args
        self.dir = directory
        self.process = None
        self.log_path = self.path("log")
        # Where tasks tell that they have begun.
        self.begun = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.begun.bind(self.path("begun"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def spawn(self, argv, **more):
        with open(self.log_path, "ab") as log:
            more.setdefault("stdout", log)
            more.setdefault("stdin", subprocess.DEVNULL)
            self.process = subprocess.Popen(
                argv, stderr=log, cwd=self.dir, start_new_session=True,
                **more)

    def wait_begun(self):
        if not select.select([self.begun], [], [], LIMIT)[0]:
            raise Broken(f"{self.name}: the task does not begin\n" +
                         tail(self.log_path))
        self.begun.recv(100)

    def round(self):
        """Seconds to the next child's pid, and to the second task's end."""
        self.nap()
        self.wait_begun()
        before = children(self.process.pid)
        if len(before) != 1:
            raise Broken(f"{self.name} has {len(before)} children")
        served = self.second()
        poll = select.poll()
        poll.register(served, select.POLLIN)
        pid_at = None
        begun = time.monotonic()
        os.kill(next(iter(before)), signal.SIGKILL)
        while True:
            if pid_at is None and children(self.process.pid) - before:
                pid_at = time.monotonic()
            if poll.poll(0) and self.is_served():
                break
            if time.monotonic() - begun > LIMIT:
                raise Broken(f"{self.name}: no answer after the kill\n" +
                             tail(self.log_path))
        ready_at = time.monotonic()
        if pid_at is None:
            if not children(self.process.pid) - before:
                raise Broken(f"{self.name}: served without another child")
            pid_at = ready_at  # the machine has kept us from looking
        self.calm()
        return pid_at - begun, ready_at - begun

    def is_served(self):
        return True

    def calm(self):
        """Before the next round."""

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Avtoworkerd(Contestant):
    name = "avtoworkerd"

    def __init__(self, args, directory, count=1):
        super().__init__(args, directory)
        module = os.path.join(args.build, "tests/bench/.libs/bench_nap.so")
        self.number = 0
        self.count = count
        self.wanted = None
        self.text = b""
        self.conf = self.write("conf", f"""
worker {{ max_concurrent_tasks = {max(count, 4)} }}
log {{ level = warn }}
metrics {{ enabled = no }}
category light {{ children = {count} }}
module nap {{ file = "{module}" }}
""")

    def start(self):
        self.spawn([os.path.join(self.args.build, "avtoworkerd"), "-c",
                    self.conf, "--local", "-"], stdin=subprocess.PIPE,
                   stdout=subprocess.PIPE,
                   env={**os.environ, "AVTOWORKER_CHILD": os.path.join(
                       self.args.build, "avtoworker-child")})
        out = self.process.stdout.fileno()
        fcntl.fcntl(out, fcntl.F_SETFL, os.O_NONBLOCK)

    def put(self, **params):
        self.number += 1
        line = json.dumps({"type": "nap", "params": params,
                           "task_id": f"t-{self.number}"})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return f'"t-{self.number}"'.encode()

    def wait_task(self, **params):
        self.wanted = self.put(**params)
        end = time.monotonic() + LIMIT
        while not self.is_served():
            select.select([self.process.stdout], [], [], 1)
            if time.monotonic() > end or self.process.poll() is not None:
                raise Broken(f"{self.name}: no result\n" +
                             tail(self.log_path))

    def nap(self):
        self.put(tell=self.path("begun"), ms=NAP_MS)

    def second(self):
        self.wanted = self.put(ms=0)
        return self.process.stdout.fileno()

    def is_served(self):
        """The lines of other tasks are passed over."""
        part = self.process.stdout.read(1 << 16)
        if part == b"":
            raise Broken(f"{self.name} ended\n" + tail(self.log_path))
        self.text += part or b""
        *lines, self.text = self.text.split(b"\n")
        return any(self.wanted in line for line in lines)


class Gunicorn(Contestant):
    name = "gunicorn"

    def start(self):
        self.write("app.py", f"""
import os, socket, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/nap":
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.sendto(b"x", {self.path("begun")!r})
        time.sleep({NAP_MS / 1000})
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
""")
        self.spawn([os.path.join(self.args.venv, "gunicorn"), "-w", "1",
                    "-t", "300", "-b", "unix:" + self.path("sock"),
                    "app:app"])
        wait_for(lambda: os.path.exists(self.path("sock")), "gunicorn")
        self.ask("/nap")
        self.wait_begun()
        # From here on as in any round.
        os.kill(next(iter(children(self.process.pid))), signal.SIGKILL)
        wait_for(lambda: select.select([self.ask("/")], [], [], LIMIT)[0],
                 "gunicorn serves")

    def ask(self, path):
        self.conn = socket.socket(socket.AF_UNIX)
        self.conn.connect(self.path("sock"))
        self.conn.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return self.conn

    def nap(self):
        self.napping = self.ask("/nap")

    def second(self):
        return self.ask("/")


class PhpFpm(Contestant):
    name = "php-fpm"

    @staticmethod
    def program():
        for directory in ("/usr/sbin", "/usr/local/sbin", "/usr/bin"):
            for name in sorted(os.listdir(directory)) \
                    if os.path.isdir(directory) else ():
                if re.fullmatch(r"php-fpm[\d.]*", name):
                    return os.path.join(directory, name)
        return None

    def start(self):
        self.write("nap.php", f"""<?php
$s = socket_create(AF_UNIX, SOCK_DGRAM, 0);
socket_sendto($s, "x", 1, 0, "{self.path("begun")}");
usleep({NAP_MS * 1000});
""")
        self.write("echo.php", "<?php echo 'ok';")
        user = "user = root\ngroup = root\n" if os.getuid() == 0 else ""
        conf = self.write("fpm.conf", f"""
[global]
error_log = {self.log_path}
log_level = error
daemonize = no
[www]
{user}listen = {self.path("sock")}
pm = static
pm.max_children = 1
""")
        root = ["-R"] if os.getuid() == 0 else []
        self.spawn([self.program(), *root, "-n", "-d",
                    "extension=sockets", "-y", conf])
        wait_for(lambda: os.path.exists(self.path("sock")) and
                 children(self.process.pid), "php-fpm")

    def ask(self, script):
        """A FastCGI request in three records."""
        def record(kind, body):
            return struct.pack(">BBHHBB", 1, kind, 1, len(body), 0, 0) + body
        params = b""
        for k, v in (("SCRIPT_FILENAME", self.path(script)),
                     ("REQUEST_METHOD", "GET")):
            params += bytes([len(k)]) + struct.pack(">I", len(v) | 1 << 31) \
                + k.encode() + v.encode()
        conn = socket.socket(socket.AF_UNIX)
        conn.connect(self.path("sock"))
        conn.sendall(record(1, struct.pack(">HBxxxxx", 1, 0)) +
                     record(4, params) + record(4, b"") + record(5, b""))
        return conn

    def nap(self):
        self.napping = self.ask("nap.php")

    def second(self):
        self.waiting = self.ask("echo.php")
        return self.waiting

    def calm(self):
        """It waits for its client to hang up."""
        self.waiting.close()


class Celery(Contestant):
    name = "Celery prefork"

    def start(self):
        for name in ("queue", "done"):
            os.mkdir(self.path(name))
        self.served = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.served.bind(self.path("served"))
        self.write("bench_app.py", f"""
import socket, time
from celery import Celery
app = Celery(broker="filesystem://", broker_transport_options=dict(
    data_folder_in={self.path("queue")!r},
    data_folder_out={self.path("queue")!r},
    processed_folder={self.path("done")!r}, polling_interval=0.05))
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 4
@app.task
def tell(path, seconds):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(b"x", path)
    time.sleep(seconds)
""")
        sys.path.insert(0, self.dir)
        self.spawn([os.path.join(self.args.venv, "celery"), "-A",
                    "bench_app", "worker", "-P", "prefork", "-c", "1",
                    "--without-gossip", "--without-mingle",
                    "--without-heartbeat", "-l", "ERROR"],
                   env={**os.environ, "C_FORCE_ROOT": "1"})
        # Its own client, so that nothing of Celery is loaded here.
        self.client = subprocess.Popen(
            [os.path.join(self.args.venv, "python"), "-c",
             "import sys, bench_app\n"
             "for line in sys.stdin:\n"
             "    path, seconds = line.split()\n"
             "    bench_app.tell.delay(path, float(seconds))\n"],
            cwd=self.dir, stdin=subprocess.PIPE, text=True)
        self.ask("served", 0)
        if not select.select([self.served], [], [], LIMIT)[0]:
            raise Broken("Celery does not serve\n" + tail(self.log_path))
        self.served.recv(100)

    def ask(self, where, seconds):
        self.client.stdin.write(f"{self.path(where)} {seconds}\n")
        self.client.stdin.flush()

    def nap(self):
        self.ask("begun", NAP_MS / 1000)

    def second(self):
        self.ask("served", 0)
        # It is to be in the worker before the kill, as with the others.
        time.sleep(1.2)
        return self.served

    def calm(self):
        self.served.recv(100)

    def stop(self):
        if self.process is not None:
            self.client.kill()
            self.client.wait()
        super().stop()


def install(args):
    """The peers, once, under the build directory. Why not, or None."""
    args.venv = os.path.join(args.build, "bench-peers", "bin")
    if all(os.path.exists(os.path.join(args.venv, p))
           for p in ("gunicorn", "celery")):
        return None
    venv = os.path.dirname(args.venv)
    try:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([os.path.join(args.venv, "pip"), "install", "-q",
                        *PACKAGES], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"cannot be installed: {error}"
    return None


def contestants(args, directory):
    missing = install(args)
    kinds = [(Avtoworkerd, None), (Gunicorn, missing),
             (PhpFpm, None if PhpFpm.program() else
              "is not installed (Debian: apt-get install php-fpm)"),
             (Celery, missing)]
    for kind, why in kinds:
        if why:
            print(f"without {kind.name}: {why}", file=sys.stderr)
            continue
        place = os.path.join(directory, kind.name.split()[0])
        os.mkdir(place)
        yield kind(args, place)


def replacement(args, directory):
    """{name: ([to the pid], [to served])} in milliseconds."""
    field = list(contestants(args, directory))
    times = {c.name: ([], []) for c in field}
    try:
        for c in list(field):
            c.start()
        if isinstance(field[0], Avtoworkerd):
            field[0].wait_task(ms=0)
        for number in range(args.rounds):
            for c in field:
                for each, seconds in zip(times[c.name], c.round()):
                    each.append(seconds * 1000)
            print(f"\rround {number + 1} of {args.rounds}", end="",
                  file=sys.stderr)
        print(file=sys.stderr)
    finally:
        for c in field:
            c.stop()
    return times


def print_replacement(times):
    print("\nfrom kill -9 of a busy child, ms (median, least, most)")
    print(f"{'':18}{'to the new pid':>26}{'to the next task served':>28}"
          f"{'ratio':>8}")
    ours = statistics.median(times[Avtoworkerd.name][1])
    for name, columns in times.items():
        cells = [f"{statistics.median(c):.2f} ({min(c):.2f}, {max(c):.2f})"
                 for c in columns]
        print(f"{name:18}{cells[0]:>26}{cells[1]:>28}"
              f"{statistics.median(columns[1]) / ours:8.1f}")


# ---- a thousand children ----

def waits_for_task(pid):
    """It is in read(2) of its channel."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as f:
            fields = f.read().split()
    except OSError:
        return False
    return len(fields) > 1 and int(fields[1], 0) == 3


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def latency_ms(worker):
    times = []
    for _ in range(300):
        begun = time.monotonic()
        worker.wait_task(ms=0)
        times.append((time.monotonic() - begun) * 1000)
    return statistics.median(times)


def many(args, directory, count):
    """Figures of that many children in one category."""
    os.mkdir(directory)
    worker = Avtoworkerd(args, directory, count)
    try:
        begun = time.monotonic()
        worker.start()
        wait_for(lambda: len(children(worker.process.pid)) == count,
                 f"{count} children", 120)
        started = time.monotonic() - begun
        late = children(worker.process.pid)

        def all_ready():
            for pid in list(late):
                if waits_for_task(pid):
                    late.discard(pid)
            return not late
        wait_for(all_ready, f"{count} children are ready", 120)
        ready = time.monotonic() - begun
        pids = sorted(children(worker.process.pid))
        one = latency_ms(worker)
        before = cpu(worker.process.pid)
        time.sleep(10)
        idle = (cpu(worker.process.pid) - before) / 10
        sample = [memory_kb(p) for p in pids[::max(1, count // 50)]]
        own = memory_kb(worker.process.pid)
    finally:
        worker.stop()
    return {"processes": started, "ready": ready, "latency": one,
            "idle": idle * 100, "pss": statistics.mean(
                m[0] for m in sample), "private": statistics.mean(
                m[1] for m in sample), "own": own[0]}


ROWS = (("until all processes are there, s", "processes", "{:.2f}"),
        ("until all are ready, s", "ready", "{:.2f}"),
        ("one task, there and back, ms", "latency", "{:.2f}"),
        ("supervisor, idle, % of a CPU", "idle", "{:.2f}"),
        ("memory of a child, PSS, KB", "pss", "{:,.0f}"),
        ("memory of a child, private dirty, KB", "private", "{:,.0f}"),
        ("memory of the supervisor, PSS, KB", "own", "{:,.0f}"))


def print_many(figures):
    print(f"\n{'children in one category':40}" +
          "".join(f"{n:>10}" for n in figures))
    for title, key, form in ROWS:
        print(f"{title:40}" + "".join(
            f"{form.format(f[key]):>10}" for f in figures.values()))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=".", help="the build directory")
    p.add_argument("--rounds", type=int, default=30,
                   help="kills of each (30); 0: none")
    p.add_argument("--children", type=int, default=1000,
                   help="of the second part (1000); 0: without it")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with tempfile.TemporaryDirectory(prefix="avtoworker-bench") as d:
            if args.rounds:
                print_replacement(replacement(args, d))
            if args.children:
                print_many({n: many(args, os.path.join(d, str(n)), n)
                            for n in (1, args.children)})
    except Broken as error:
        print(f"bench-children: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
