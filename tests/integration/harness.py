# SPDX-License-Identifier: ISC
"""What the integration tests stand on; standard library only.

A test file marks its cases with @case and ends with main(). Every case runs
in a process of its own, a few of them at a time, with a directory, a time
limit and the list of what it has started; whatever it leaves is killed and
counts against it. The output is TAP, with the logs of a failed case.

Nothing here sleeps for a while and hopes: eventually() looks again and again
until the limit. Limits are generous, since they only matter to failures.
"""
import ctypes
import fcntl
import hashlib
import hmac
import http.client
import inspect
import json
import os
import random
import re
import resource
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

import peers
from claims import (LIMIT, Failed, OutOfTime, check,  # noqa: F401
                    eventually, same)
from gate import Gate

TOKEN = "the-worker-token"
SOURCE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
WORKER = os.path.join(BUILD, "avtoworkerd")
CHILD = os.path.join(BUILD, "avtoworker-child")
AT_ONCE = 6  # cases; they mostly wait
# Seconds for what is promised within one. A machine that has other things to
# do needs more for it, but never as many as any timer of the product has.
SOON = 3
PR_SET_CHILD_SUBREAPER = 36
# Of what a test leaves to chance, which it says; AVTOWORKER_SEED sets it.
SEED = int(os.environ.get("AVTOWORKER_SEED") or random.randrange(1 << 32))


def module(name):
    """A module that was built for these tests."""
    return os.path.join(BUILD, "tests", "integration", ".libs", name + ".so")


ZOO = module("zoo")
# Preloaded into a worker, makes its clock go FAST_CLOCK times faster.
FAST_CLOCK = module("fast_clock")


# Processes -----------------------------------------------------------------

def parents():
    """{pid: (parent, state)} of the whole machine."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8",
                      errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        table[int(name)] = (int(fields[1]), fields[0])
    return table


def lock_is_free(path):
    """True when every process that held the lock is dead."""
    with open(path, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def descendants(pid):
    """Living processes below that one."""
    table = parents()
    found, level = [], [pid]
    while level:
        level = [p for p, (parent, _) in table.items() if parent in level]
        found += level
    return [p for p in found if table[p][1] != "Z"]


def proc_read(pid, name):
    """A file of /proc/PID as text; "" when it cannot be read."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read().decode("utf-8", "replace")
    except OSError:
        return ""


def cpu_s(pid):
    """Processor time that it has used, in seconds."""
    fields = proc_read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def adopt_orphans():
    """What a killed worker leaves behind comes to us, and is seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


GUARDS = []  # sockets whose names say which ports are taken


def free_port():
    """A port nobody listens on, below those that the kernel hands out, and no
    other test is going to."""
    while True:
        port = 10000 + int.from_bytes(os.urandom(2), "little") % 20000
        guard = socket.socket(socket.AF_UNIX)
        try:
            guard.bind(f"\0avtoworker-test-port-{port}")
        except OSError:
            guard.close()
            continue
        GUARDS.append(guard)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


# The two sides -------------------------------------------------------------

class Program:
    """A process in a session of its own, its output in files."""

    def __init__(self, t, name, argv, env, cwd=None, stdin=None):
        self.t = t
        self.name = name
        self.log_path = os.path.join(t.dir, name + ".log")
        self.out_path = os.path.join(t.dir, name + ".out")
        with open(self.log_path, "ab") as log, \
                open(self.out_path, "ab") as out:
            self.process = subprocess.Popen(
                argv, env=env, cwd=cwd or t.dir, stdout=out, stderr=log,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                start_new_session=True)
        self.pid = self.process.pid
        t.programs.append(self)

    def log(self):
        return read(self.log_path)

    def output(self):
        return read(self.out_path)

    def is_alive(self):
        return self.process.poll() is None

    def wait(self, limit=LIMIT):
        """Its exit status; negative when a signal ended it."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} has not ended within {limit} s") \
                from None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """At once, and everything in its process group."""
        if self.is_alive():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()


class Orchestrator(Program):
    """A real one; its jobs are driven over the control port."""

    def __init__(self, t, version, poll_timeout=2, port=None, arguments=(),
                 more_env=None):
        self.port = port or free_port()
        self.control = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.version = version
        self.classic = version in ("1.0b1", "1.0b5")
        name = t.unused("orchestrator")
        directory = os.path.join(t.dir, name)
        os.mkdir(directory)
        env = {k: v for k, v in os.environ.items()
               if k in ("PATH", "LANG", "LC_ALL")}
        env.update(more_env or {})
        super().__init__(
            t, name,
            [peers.python_of(version), "-B",
             os.path.join(SOURCE, "peer_orchestrator.py"),
             "--port", str(self.port), "--control-port", str(self.control),
             "--directory", directory, "--worker-token", TOKEN,
             "--poll-timeout", str(poll_timeout), *arguments], env,
            cwd=directory)
        eventually(lambda: "READY" in self.output() or not self.is_alive(),
                   "the orchestrator is ready", 60)
        check(self.is_alive(), "the orchestrator ended at its start")

    def ask(self, method, path, body=None, port=None, headers=None):
        conn = http.client.HTTPConnection("127.0.0.1", port or self.control,
                                          timeout=60)
        try:
            conn.request(method, path, headers=headers or {},
                         body=None if body is None else json.dumps(body))
            reply = conn.getresponse()
            text = reply.read().decode()
        finally:
            conn.close()
        check(reply.status == 200, f"{method} {path}: {reply.status} {text}")
        return json.loads(text)

    def submit(self, task, params=None, count=1, **more):
        """Job ids. more: see peer_orchestrator.py."""
        return self.ask("POST", "/submit", {
            "task": task, "params": params or {}, "count": count,
            **more})["job_ids"]

    def register(self, worker_id, types):
        """Says that there is a worker who offers these types."""
        body = {"worker_id": worker_id, "worker_type": "test"}
        if self.classic:
            body.update(supported_tasks=types, resources={})
        else:
            body.update(
                supported_skills=[{"name": x, "version": "1.0.0"}
                                  for x in types],
                timestamp=int(time.time()), nonce=os.urandom(8).hex())
            text = json.dumps(body, sort_keys=True, separators=(",", ":"))
            body["security"] = {
                "signer_id": worker_id,
                "signature": hmac.new(TOKEN.encode(), text.encode(),
                                      hashlib.sha256).hexdigest()}
        self.ask("POST", "/_worker/workers/register", body, port=self.port,
                 headers={"X-Worker-Token": TOKEN, "X-Worker-ID": worker_id})

    def cancel(self, job_id):
        return self.ask("POST", f"/jobs/{job_id}/cancel")

    def command(self, worker_id, message):
        return self.ask("POST", f"/workers/{worker_id}/command", message)

    def jobs(self):
        """{job id: outcome}"""
        return self.ask("GET", "/jobs")

    def job(self, job_id):
        return self.ask("GET", f"/jobs/{job_id}")

    def workers(self):
        """{worker id: record}"""
        return {w["worker_id"]: w for w in self.ask("GET", "/workers")}

    def wait(self, job_ids, outcome, limit=60):
        """Until every one of the jobs has come to that outcome."""
        ids = [job_ids] if isinstance(job_ids, str) else job_ids
        over = ("finished", "bad", "other", "cancelled", "failed",
                "quarantined")

        def all_over():
            jobs = self.jobs()
            return all(jobs[i] in over for i in ids)

        def told():
            jobs = self.jobs()
            late = [i for i in ids if jobs[i] not in over]
            return f"{len(late)} of {len(ids)} jobs over; one is " \
                   f"{self.job(late[0]) if late else None}"

        eventually(all_over, told, limit)
        jobs = self.jobs()
        for i in ids:
            if jobs[i] != outcome:
                raise Failed(f"job {i} is {jobs[i]}, not {outcome}: "
                             f"{self.job(i)}")

    def wait_worker(self, worker_id="w-1", limit=LIMIT):
        """Until it is registered. Returns its record."""
        return eventually(lambda: self.workers().get(worker_id),
                          f"{worker_id} is registered", limit)


class Worker(Program):
    """avtoworkerd, with a configuration file, in places of its own."""

    def __init__(self, t, config="", args=(), env=None, stdin=None,
                 argv=None, before=()):
        """before: a command that runs it, such as env(1)."""
        name = t.unused("worker")
        places = {k: os.path.join(t.dir, k) for k in ("home", "tmp", "cwd")}
        for path in places.values():
            os.makedirs(path, exist_ok=True)
        if argv is None:
            path = os.path.join(t.dir, name + ".conf")
            with open(path, "w", encoding="utf-8") as f:
                f.write(config)
            argv = ["-c", path, *args]
        environ = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": places["home"], "TMPDIR": places["tmp"],
            "AVTOWORKER_CHILD": CHILD,
            # Root's own would be the system's.
            "STATE_DIRECTORY": t.path("state"),
        }
        for key in ("ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"):
            if key in os.environ:
                environ[key] = os.environ[key]
        environ.update(env or {})
        super().__init__(t, name, [*before, WORKER, *argv], environ,
                         cwd=places["cwd"], stdin=stdin)

    def wait_log(self, pattern, limit=LIMIT, count=1):
        """Until so many lines match. Returns them."""
        def there():
            alive = self.is_alive()
            found = self.lines(pattern, count)
            check(found or alive, f"{self.name} ended without a line like "
                                  f"{pattern!r}")
            return found

        return eventually(
            there, f"{count} line(s) like {pattern!r} of {self.name}", limit)

    def lines(self, pattern, count=0):
        """Lines of the log that match, or nothing if fewer than count."""
        found = [x for x in self.log().splitlines()
                 if re.search(pattern, x)]
        return found if len(found) >= count else []

    def children(self):
        return descendants(self.pid)

    def serving(self, category=None):
        """Children that have begun their program, of one category or of all:
        before it has, one looks like the supervisor."""
        title = "avtoworker: [" + (f"{category}]" if category else "")
        return {p for p in self.children()
                if proc_read(p, "cmdline").startswith(title)}

    def wait_serving(self, count, category=None, limit=LIMIT):
        """Until that many children do, and there are no others."""
        def there():
            serving = self.serving(category)
            return len(serving) == count and serving

        if category is None:
            self.wait_children(count, limit)
        return eventually(
            there, lambda: f"{count} children of {category or 'all'} serve; "
                           f"there are {self.serving(category)}", limit)

    def wait_children(self, count, limit=LIMIT):
        return eventually(
            lambda: len(self.children()) == count and self.children(),
            lambda: f"{count} children; there are {len(self.children())}",
            limit)

    def peak_kb(self):
        """The most memory it has used so far, resident."""
        found = re.search(r"VmHWM:\s+(\d+)", proc_read(self.pid, "status"))
        check(found, "no VmHWM in /proc")
        return int(found.group(1))

    def drain(self, limit=40):
        """SIGTERM; everything must be in order after it."""
        self.signal(signal.SIGTERM)
        self.gone(limit)

    def gone(self, limit=40):
        """It ends with 0 and leaves no process, no socket, no file."""
        same(self.wait(limit), 0, "exit status")
        self.t.no_strays()
        for place in ("tmp", "cwd", "home"):
            left = []
            for base, _, files in os.walk(os.path.join(self.t.dir, place)):
                left += [os.path.join(base, f) for f in files]
            same(left, [], f"files left in {place}")
        state = os.path.join(self.t.dir, "state")
        for base, _, files in os.walk(state):
            for f in files:
                mode = os.lstat(os.path.join(base, f)).st_mode
                check(stat.S_ISREG(mode) and not f.endswith((".pid", ".tmp")),
                      f"{f} is left in the state directory")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def figure(port, name):
    """A figure of /metrics, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics",
                                    timeout=10) as reply:
            text = reply.read().decode()
    except OSError:
        return None
    found = re.search(f"^{re.escape(name)} (.*)$", text, re.M)
    return float(found.group(1)) if found else None


def can_trace():
    """True when strace(1) is here and is let do its work."""
    return shutil.which("strace") is not None and subprocess.run(
        ["strace", "-D", "-f", "-o", "/dev/null", "true"],
        stderr=subprocess.DEVNULL, check=False).returncode == 0


def has_sanitizers():
    """They take memory that is not the product's."""
    with open(WORKER, "rb") as f:
        return b"__asan_init" in f.read()


# Cases ---------------------------------------------------------------------

class Test:
    """What a case is given."""

    def __init__(self, attributes):
        self.dir = tempfile.mkdtemp(prefix="aw-")
        self.programs = []
        self.names = {}
        self.expects_fault = False  # of memory, on purpose
        self.__dict__.update(attributes)

    def unused(self, name):
        """name, name-2, name-3 ..."""
        self.names[name] = self.names.get(name, 0) + 1
        count = self.names[name]
        return name if count == 1 else f"{name}-{count}"

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
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
            os.kill(pid, signal.SIGKILL)
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


def case(text, *rows, limit=120):
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
    except BaseException:  # pylint: disable=broad-except
        wrong += traceback.format_exc().splitlines()
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
        os.kill(pid, signal.SIGKILL)
    sys.exit(1 if failed else 0)
