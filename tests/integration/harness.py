# SPDX-License-Identifier: ISC
"""What the integration tests stand on; standard library only.

A test file marks its cases with @case and ends with main(). Every case runs
in a process of its own, a few of them at a time, with a directory, a time
limit and the list of what it has started; whatever it leaves is killed and
counts against it. The output is TAP, with the logs of a failed case.

Nothing here sleeps for a while and hopes: eventually() looks again and again
until the limit. Limits are generous, since they only matter to failures.

Tests import all of it from here: what they claim is in claims.py, the programs
that they run in programs.py, what can be seen of any process in proc.py.
"""
import inspect
import json
import os
import random
import re
import resource
import selectors
import shutil
import signal
import sys
import tempfile
import threading
import traceback

import peers
from claims import (LIMIT, Failed, Lateness, OutOfTime,  # noqa: F401
                    check, eventually, same)
from gate import Gate
from proc import (adopt_orphans, cpu_s, descendants, free_port,  # noqa: F401
                  kill, lock_is_free, parents, proc_read)
from programs import (BUILD, CHILD, FAST_CLOCK, SOURCE, TOKEN,  # noqa: F401
                      WORKER, ZOO, Orchestrator, Program, Worker, can_trace,
                      figure, has_sanitizers, module, read)

AT_ONCE = 6  # cases; they mostly wait
# Seconds for what is promised within one. A machine that has other things to
# do needs more for it, but never as many as most timers of the product have.
SOON = 6
# Of what a test leaves to chance, which it says; AVTOWORKER_SEED sets it.
SEED = int(os.environ.get("AVTOWORKER_SEED") or random.randrange(1 << 32))


class Test:
    """What a case is given."""

    def __init__(self, attributes):
        self.dir = tempfile.mkdtemp(prefix="aw-")
        self.programs = []
        self.names = {}
        self.lock = threading.Lock()  # some cases have threads
        self.expects_fault = False  # of memory, on purpose
        self.late = Lateness().so_far  # how late it was let run, at worst
        self.__dict__.update(attributes)

    def unused(self, name):
        """name, name-2, name-3 ..."""
        with self.lock:
            count = self.names[name] = self.names.get(name, 0) + 1
        return name if count == 1 else f"{name}-{count}"

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=0o600):
        # Who reads it meanwhile finds the old one or the new one.
        path = self.path(name)
        fd, new = tempfile.mkstemp(dir=os.path.dirname(path))
        with open(fd, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(new, mode)
        os.replace(new, path)
        return path

    def gate(self):
        return Gate(self.path(self.unused("gate")))

    def orchestrator(self, **more):
        return Orchestrator(self, self.version, **more)

    def config(self, url, worker="", orchestrator="", light=4, heavy=2,
               token=TOKEN, worker_id="w-1", modules=("zoo",), more="",
               metrics="enabled = no"):
        """A whole configuration file."""
        token_file = self.write("token", token + "\n")
        blocks = "".join(f'module {m} {{\n    file = "{module(m)}"\n}}\n'
                         for m in modules)
        return f"""
worker {{
    id = {worker_id}
    state_dir = "{self.path("state")}"
    {worker}
}}
metrics {{
    {metrics}
}}
orchestrator main {{
    url = "{url}"
    token_file = "{token_file}"
    {orchestrator}
}}
category light {{
    children = {light}
}}
category heavy {{
    children = {heavy}
}}
category default {{
    children = 1
}}
{blocks}{more}"""

    def worker(self, url, args=(), env=None, before=(), **more):
        return Worker(self, self.config(url, **more), args, env,
                      before=before)

    def wait_journal(self, text):
        """Until a file of the worker's journal has it."""
        names = [self.path("state/" + n)
                 for n in ("journal.db", "journal.db-wal")]
        eventually(lambda: any(text.encode() in open(n, "rb").read()
                               for n in names), f"{text} is in the journal")

    def strays(self):
        """Living processes below us that we did not start ourselves."""
        mine = {p.pid for p in self.programs}
        for pid, (parent, state) in parents().items():
            if parent == os.getpid() and state == "Z" and pid not in mine:
                os.waitpid(pid, os.WNOHANG)
        below = set(descendants(os.getpid()))
        for p in self.programs:
            if p.is_alive():
                below -= set(descendants(p.pid)) | {p.pid}
        return sorted(below)

    def no_strays(self, limit=LIMIT):
        eventually(lambda: not self.strays(),
                   lambda: "no process is left behind: " + ", ".join(
                       f"{p} ({proc_read(p, 'cmdline')})"
                       for p in self.strays()), limit)

    def clean_up(self):
        """Ends everything. Says what should not have been there."""
        trouble = None
        for p in reversed(self.programs):
            p.kill()
        try:
            self.no_strays()
        except Failed as e:
            trouble = str(e)
        for pid in self.strays():
            kill(pid)
        return trouble

    def sanitizer_report(self):
        """What a sanitizer has found in anything that was run."""
        if self.expects_fault:
            return None
        for p in self.programs:
            found = re.search("runtime error: .*|ERROR: .*Sanitizer.*",
                              p.log())
            if found:
                return f"{p.name}: {found.group(0)}"
        return None

    def logs(self):
        """The ends of everything that was written."""
        text = []
        for p in self.programs:
            for path in (p.log_path, p.out_path):
                lines = read(path).splitlines()
                if lines:
                    text.append(f"--- {os.path.basename(path)}, "
                                f"{len(lines)} lines")
                    text += [x[:500] for x in lines[-40:]]
        return text


CASES = []


def case(text, *rows, limit=300):
    """Marks a test case, run once per row of arguments if there are any;
    text is a claim, with {} for them."""
    def mark(function):
        for row in rows or [()]:
            row = row if isinstance(row, tuple) else (row,)
            CASES.append((text.format(*row), function, row, limit))
        return function
    return mark


def run_case(function, row, limit, attributes):
    """In the case's own process. Returns the reasons of failure."""
    def too_late(_number, _frame):
        raise OutOfTime(f"the case has not ended within {limit} s")

    os.setsid()
    adopt_orphans()
    # Crashes are on purpose here; core files would count as litter.
    resource.setrlimit(resource.RLIMIT_CORE,
                       (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(limit)
    t = Test(attributes)
    wrong = []
    try:
        function(t, *row)
    except (Failed, OutOfTime) as e:
        frames = traceback.extract_tb(e.__traceback__)
        lines = [f.lineno for f in frames
                 if f.filename == inspect.getfile(function)]
        wrong.append(f"{e} (line {lines[-1] if lines else '?'})")
    except BaseException as e:  # pylint: disable=broad-except
        wrong += [repr(e), *traceback.format_exc().splitlines()]
    signal.alarm(0)
    trouble = t.clean_up() or t.sanitizer_report()
    if trouble and not wrong:
        wrong.append(trouble)
    if wrong:
        wrong += t.logs()
    shutil.rmtree(t.dir, ignore_errors=True)
    return wrong


def start_case(row, attributes):
    """Returns pid and the pipe that the reasons will come through."""
    _, function, arguments, limit = row
    reading, writing = os.pipe()
    pid = os.fork()
    if pid != 0:
        os.close(writing)
        return pid, reading
    wrong = ["the case's process failed"]
    try:
        os.close(reading)
        wrong = run_case(function, arguments, limit, attributes)
    finally:
        with os.fdopen(writing, "w", encoding="utf-8") as f:
            json.dump(wrong, f)
        os._exit(0)


def report(number, text, wrong):
    print(f"{'not ok' if wrong else 'ok'} {number} - {text}")
    for line in wrong:
        print(f"# {line}")
    sys.stdout.flush()


def run_all(cases, attributes):
    """Runs them, AT_ONCE at a time, and reports them in order. Returns how
    many failed."""
    todo = list(enumerate(cases, 1))
    running = {}  # pipe: number, pid, what came so far
    done = {}  # number: reasons of failure
    reported = 0
    ready = selectors.DefaultSelector()
    while todo or running:
        while todo and len(running) < AT_ONCE:
            number, row = todo.pop(0)
            pid, pipe = start_case(row, attributes)
            running[pipe] = (number, pid, bytearray())
            ready.register(pipe, selectors.EVENT_READ)
        for key, _ in ready.select():
            number, pid, came = running[key.fd]
            data = os.read(key.fd, 65536)
            came += data
            if data:
                continue
            ready.unregister(key.fd)
            os.close(key.fd)
            os.waitpid(pid, 0)
            del running[key.fd]
            done[number] = json.loads(came) if came else ["it was killed"]
        while reported + 1 in done:
            reported += 1
            report(reported, cases[reported - 1][0], done[reported])
    return sum(bool(wrong) for wrong in done.values())


def main(prepare=None, **attributes):
    """Runs the cases, or those whose text holds the first argument."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    cases = [c for c in CASES if wanted in c[0]]
    print(f"1..{len(cases)}", flush=True)
    try:
        for path in (WORKER, CHILD, ZOO):
            check(os.path.exists(path), f"{path} is missing; run make check")
        if prepare:
            prepare()
    except (Failed, peers.PeerError) as e:
        print(f"Bail out! {e}")
        sys.exit(1)
    # What a case leaves when it is killed itself comes to us.
    adopt_orphans()
    failed = run_all(cases, attributes)
    for pid in descendants(os.getpid()):
        kill(pid)
    sys.exit(1 if failed else 0)
