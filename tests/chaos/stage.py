# SPDX-License-Identifier: ISC
"""What a run is played on: an orchestrator, the net before it, a worker, and the
disk under that. All but the disk are processes; one that is None is down, and we
did it."""
import os
import random
import signal
import subprocess
import sys
import time

from harness import descendants, free_port, parents

from disk import Disk
from ledger import DEATHS, Ledger
from load import CONFIG, shuffled
from processes import children_of, send

HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = "the-chaos-token"
TASKS = 100000000
START_LIMIT = 60
PLACES = 12  # tasks at once, and so polls


class Trouble(Exception):
    """What makes the run itself impossible."""


def wait_for(claim, what, limit):
    end = time.monotonic() + limit
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > end:
            raise Trouble(f"not within {limit} s: {what}")
        time.sleep(0.02)


class Stage:
    def __init__(self, args, directory):
        self.args = args
        self.dir = directory
        self.random = random.Random(args.seed)
        self.metrics = free_port()
        self.log_path = os.path.join(directory, "worker.log")
        self.conf_path = os.path.join(directory, "worker.conf")
        self.port = free_port()  # nobody else gets it while it is down
        self.specs = shuffled(args.only, self.random)
        self.devorch = self.worker = None
        self.ledger = None  # of the orchestrator
        self.wire = None  # the net between them
        self.entry = 0  # the port where it begins
        self.started = 0.0  # when the worker was, the last time
        self.log_before = 0  # bytes of its log, of its former lives
        self.disk = None  # under its state directory

    def path(self, name):
        return os.path.join(self.dir, name)

    def faults(self):
        """Often enough to matter, seldom enough to get work done."""
        rows = (("result:500", 97), ("result:drop", 131),
                ("result:drop-after", 211), ("result:slow", 701),
                ("result:html", 307), ("poll:500", 151), ("poll:drop", 211),
                ("poll:garbage", 401), ("result:close-after", 61))
        for kind, every in rows:
            first = self.random.randrange(20, 20 + every)
            yield f"--fault={kind}:{first}-/{every}"

    def start_devorch(self):
        """The first time, or again on the same port with the same memory."""
        again = self.ledger is not None
        faults = [] if "faults" in self.args.without else list(self.faults())
        verify = ["--verify-signatures"] if self.args.dialect == "rxon" \
            else []
        with open(self.path("devorch.out"), "wb") as out:
            self.devorch = subprocess.Popen(
                [os.path.join(self.args.build, "avtoworker-devorch"),
                 f"--listen=127.0.0.1:{self.port}", f"--token={TOKEN}",
                 f"--dialect={self.args.dialect}", *verify, "--json",
                 f"--rate={self.args.rate}", "--retries=3",
                 "--poll-timeout=2", f"--ledger={self.path('ledger')}",
                 "--resume" if again else "--hold", *faults,
                 *(s.option(TASKS // 1000) for s in self.specs)],
                stdout=out)
        wait_for(lambda: os.path.getsize(self.path("devorch.out")) > 0 or
                 self.devorch.poll() is not None,
                 "the orchestrator listens", START_LIMIT)
        with open(self.path("devorch.out"), encoding="ascii") as f:
            ready = f.readline()
        if not ready:
            raise Trouble(f"the orchestrator ended with "
                          f"{self.devorch.returncode}")
        if not again:
            self.ledger = Ledger(self.path("ledger"), self.specs)

    def start_wire(self):
        self.wire = subprocess.Popen(
            [sys.executable, "-B", os.path.join(HERE, "wire.py"),
             str(self.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, bufsize=1)
        self.entry = int(self.wire.stdout.readline())

    def write_config(self, broken=False):
        pick = self.random.choice
        text = CONFIG.format(
            places=PLACES,
            dir=self.dir, deaths=DEATHS, metrics=self.metrics,
            port=self.entry, dialect=self.args.dialect,
            steady=pick((2, 3)), dynamic=pick((2, 3)), recycle=pick((5, 20)),
            module=os.path.join(self.args.build, "tests", "chaos", ".libs",
                                "chaos_module.so"))
        if broken:
            text += "category broken {\n    chidren = 1\n}\n"
        with open(self.conf_path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(self.conf_path + ".new", self.conf_path)

    def prepare_worker(self):
        for name in ("home", "tmp", "state"):
            os.mkdir(self.path(name))
        self.disk = Disk(self.path("state"))
        with open(os.open(self.path("token"), os.O_WRONLY | os.O_CREAT,
                          0o600), "w", encoding="ascii") as f:
            f.write(TOKEN + "\n")
        self.write_config()

    def start_worker(self):
        self.write_config()  # a reload may have left a broken one
        environment = {k: v for k, v in os.environ.items()
                       if k.endswith("SAN_OPTIONS")}
        environment.update(
            PATH=os.environ.get("PATH", "/usr/bin:/bin"),
            HOME=self.path("home"), TMPDIR=self.path("tmp"),
            AVTOWORKER_CHILD=os.path.join(self.args.build,
                                          "avtoworker-child"))
        with open(self.log_path, "ab") as log:
            self.log_before = log.tell()
            self.worker = subprocess.Popen(
                [os.path.join(self.args.build, "avtoworkerd"), "-c",
                 self.conf_path], env=environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True)
        self.started = time.monotonic()

    def wait_worker(self):
        """It is there, and so are children of each handler, before anything
        happens to them."""
        wait_for(lambda: b"registered at" in self.log() or self.is_dead(),
                 "the worker registers", START_LIMIT)
        if self.is_dead():
            raise Trouble("the worker ended at its start:\n" + self.tail())
        wait_for(lambda: len(children_of(self.worker.pid)) >= 4,
                 "children", START_LIMIT)

    def start(self):
        self.start_devorch()
        self.start_wire()
        self.prepare_worker()
        self.start_worker()
        self.wait_worker()

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read()

    def tail(self):
        return self.log()[-4000:].decode("utf-8", "replace")

    def has_begun(self):
        """The worker hears signals, and has read its configuration."""
        if self.worker is None:
            return False
        with open(self.log_path, "rb") as f:
            f.seek(self.log_before)
            return b"registered at" in f.read()

    def is_dead(self):
        """It has ended, and we did not do it."""
        return self.worker is not None and self.worker.poll() is not None

    def strays(self):
        mine = {p.pid for p in (self.worker, self.devorch, self.wire)
                if p is not None}
        for pid, (parent, state) in parents().items():
            if parent == os.getpid() and state == "Z" and pid not in mine:
                os.waitpid(pid, os.WNOHANG)
        return [p for p in descendants(os.getpid()) if p not in mine]

    def stop_all(self, keep):
        for process in (self.worker, self.wire, self.devorch):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for _ in range(5):
            for pid in self.strays():
                send(pid, signal.SIGKILL)
        if self.disk:
            self.disk.close(keep)
