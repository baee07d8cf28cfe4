# SPDX-License-Identifier: ISC
"""The two sides, a worker and a real orchestrator, as processes of a case."""
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
import urllib.request

import peers
from claims import LIMIT, Failed, check, eventually, same
from proc import descendants, free_port, proc_read

TOKEN = "the-worker-token"
SOURCE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("top_builddir", "."))
WORKER = os.path.join(BUILD, "avtoworkerd")
CHILD = os.path.join(BUILD, "avtoworker-child")


def module(name):
    """A module that was built for these tests."""
    return os.path.join(BUILD, "tests", "integration", ".libs", name + ".so")


ZOO = module("zoo")
# Preloaded into a worker, makes its clock go FAST_CLOCK times faster.
FAST_CLOCK = module("fast_clock")


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
                   "the orchestrator is ready", 120)
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

    def wait_dispatched(self, job_id):
        """Until it has written down to whom it gives the job's task: what has
        been changed in the job before is not seen, or is lost."""
        eventually(lambda: self.job(job_id)["state"].get("current_task_id"),
                   lambda: f"a dispatch is written down: {self.job(job_id)}")

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

    def wait(self, job_ids, outcome, limit=120):
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
        alive = self.is_alive()
        lines = self.log().splitlines(keepends=True)
        # The last one may be half written.
        found = [x.rstrip("\n") for x in lines
                 if re.search(pattern, x) and (x.endswith("\n") or not alive)]
        return found if len(found) >= count else []

    def results(self):
        """Those of local mode, as far as they are whole lines."""
        text = self.output()
        return [json.loads(line)
                for line in text[:text.rfind("\n") + 1].splitlines()]

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
        def there():
            children = self.children()
            return len(children) == count and children

        return eventually(
            there, lambda: f"{count} children; there are "
                           f"{len(self.children())}", limit)

    def peak_kb(self):
        """The most memory it has used so far, resident."""
        found = re.search(r"VmHWM:\s+(\d+)", proc_read(self.pid, "status"))
        check(found, "no VmHWM in /proc")
        return int(found.group(1))

    def drain(self, limit=80):
        """SIGTERM; everything must be in order after it."""
        self.signal(signal.SIGTERM)
        self.gone(limit)

    def gone(self, limit=80):
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
    """A figure of /metrics, once it is there. A worker with a fast clock may
    lose its patience with who asks."""
    def told():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics",
                                        timeout=10) as reply:
                text = reply.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        found = re.search(f"^{re.escape(name)} (.*)$", text, re.M)
        return found and found.group(1)

    return float(eventually(told, f"{name} in /metrics"))


def can_trace():
    """True when strace(1) is here and is let do its work."""
    return shutil.which("strace") is not None and subprocess.run(
        ["strace", "-D", "-f", "-o", "/dev/null", "true"],
        stderr=subprocess.DEVNULL, check=False).returncode == 0


def has_sanitizers():
    """They take memory that is not the product's."""
    with open(WORKER, "rb") as f:
        return b"__asan_init" in f.read()
