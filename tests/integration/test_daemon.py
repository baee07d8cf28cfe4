#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The manners of a daemon and of a service: -d and its starting process, pid
file, names and locks, and what a service manager is told."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (BUILD, LIMIT, WORKER, ZOO, Failed, Worker, case,  # noqa: E402
                     check, descendants, eventually, kill, main, parents,
                     proc_read, read, same)

OK, USAGE, SOFTWARE, TEMPFAIL, CONFIG = 0, 64, 70, 75, 78


class Daemon:
    """A worker that was started with -d, and its starting process."""

    def __init__(self, t, config, args=(), **more):
        self.t = t
        self.state = t.path("state")
        self.pid = 0
        # No metrics: their usual port may be taken, of which we would hear.
        self.starter = Worker(
            t, config, ["-d", "-o", "metrics.enabled=no", *args], **more)

    def wait(self, status=OK):
        """Until the starting process has ended."""
        same(self.starter.wait(), status,
             f"exit status ({self.starter.log()})")
        return self.starter.log()

    def started(self, pid_file=None):
        """Until the daemon is ready. Returns itself."""
        self.wait()
        self.pid = int(read(pid_file or self.t.path("state/avtoworkerd.pid")))
        check(os.path.exists(f"/proc/{self.pid}"), "the daemon lives")
        return self

    def stop(self, number=signal.SIGTERM):
        """Until it is gone. It is our child: we adopt orphans."""
        os.kill(self.pid, number)
        end = time.monotonic() + LIMIT
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            check(time.monotonic() < end, "the daemon has not ended")
            time.sleep(0.01)
        self.t.no_strays()


# -d ------------------------------------------------------------------------

@case("-d returns when the worker is ready, which then lives by itself")
def daemonizes(t):
    fake = Fake()
    daemon = Daemon(t, t.config(fake.url)).started()
    same(len(fake.of_kind("register")), 1, "registrations")
    same(daemon.starter.log() + daemon.starter.output(), "", "what it said")
    same(os.getsid(daemon.pid), daemon.pid, "session")
    for fd in range(3):
        same(os.readlink(f"/proc/{daemon.pid}/fd/{fd}"), "/dev/null",
             f"descriptor {fd}")
    same(os.readlink(f"/proc/{daemon.pid}/cwd"), "/", "working directory")
    fake.put(task("t-1"))
    same(fake.wait_result("t-1")["status"], "success", "status")
    daemon.stop()
    check(not os.path.exists(t.path("state/avtoworkerd.pid")),
          "the pid file is left")


@case("-d finds its files again after a reload, {}",
      ("with a configuration beside us", True),
      ("with a handler of the command line", False))
def relative(t, _name, beside):
    fake = Fake()
    cwd = t.path("cwd")
    os.makedirs(cwd, exist_ok=True)
    os.symlink(ZOO, os.path.join(cwd, "zoo.so"))
    log = t.path("log.file")
    options = ["-o", f"log.destination={log}"]
    if beside:
        with open(os.path.join(cwd, "w.conf"), "w", encoding="utf-8") as f:
            f.write(t.config(fake.url, modules=())
                    + 'module zoo { file = "./zoo.so" }\n')
        argv = ["-d", "-c", "w.conf", *options]
    else:
        with open(t.path("w.conf"), "w", encoding="utf-8") as f:
            f.write(t.config(fake.url, modules=()))
        argv = ["-d", "-c", t.path("w.conf"), *options, "./zoo.so"]
    daemon = Daemon(t, "", argv=argv).started()
    os.kill(daemon.pid, signal.SIGHUP)
    eventually(lambda: re.search("reload: done|HUP: this version", read(log)),
               lambda: "the reload is done: " + read(log))
    check("ERROR" not in read(log), read(log))
    fake.put(task("t-1"))
    same(fake.wait_result("t-1")["status"], "success", "status")
    daemon.stop()


@case("errors of the start come to the caller, with their status: {}",
      ("configuration", "worker { idd = x }\n", "idd"),
      ("handlers", 'module broken { file = "/nonexistent/x.so" }\n',
       "/nonexistent/x.so"),
      ("state directory", None, "state"))
def fails(t, _name, more, word):
    config = t.config(Fake().url, more=more or "")
    if more is None:
        t.write("state", "a file stands in its place")
    log = Daemon(t, config).wait(CONFIG)
    check(word in log, f"no {word} in {log}")
    t.no_strays()


@case("the status comes to a caller that ignores SIGCHLD, too")
def ignores_children(t):
    config = t.config(Fake().url, more='module m { file = "/no/x.so" }\n')
    argv = ["-d", "-o", "metrics.enabled=no", "-c", t.write("w.conf", config)]
    worker = Worker(t, argv=argv, before=[
        sys.executable, "-c", "import os, signal, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.execv(sys.argv[1], sys.argv[1:])"])
    same(worker.wait(), CONFIG, f"exit status ({worker.log()})")
    t.no_strays()


@case("a log that would have to wait for its reader is refused")
def log_fifo(t):
    fifo = t.path("fifo")
    os.mkfifo(fifo)
    worker = Worker(t, t.config(Fake().url),
                    ["-o", f"log.destination={fifo}"])
    same(worker.wait(), CONFIG, "exit status")
    check(f"cannot open log file {fifo}" in worker.log(), worker.log())


@case("a service manager is asked for as long as a start may take")
def extends_start(t):
    manager = Manager(t)
    worker = Worker(t, t.config(Fake().url, more="""
category slow {
    start_timeout = 20m
}
handler echo {
    category = slow
}
"""), env={"NOTIFY_SOCKET": manager.name})
    asked = []
    while not asked or asked[-1] < 1200e6:
        line = manager.wait(r"EXTEND_TIMEOUT_USEC=\d+")
        manager.heard.remove(line)
        asked.append(int(line.partition("=")[2]))
    manager.wait("READY=1")
    worker.drain()


class Stuck(Daemon):
    """A daemon that never gets ready: its child program just sits there."""

    def __init__(self, t):
        child = t.write("child", "#!/bin/sh\nexec sleep 1000\n", 0o700)
        super().__init__(t, t.config(Fake().url),
                         env={"AVTOWORKER_CHILD": child})
        below = eventually(
            lambda: [descendants(self.starter.pid)]
            if len(descendants(self.starter.pid)) >= 2 else None,
            "the daemon and a child")[0]
        table = parents()
        self.pid, = [p for p in below if table[p][0] == self.starter.pid]


@case("a daemon that is killed while it starts is told as such")
def killed(t):
    daemon = Stuck(t)
    os.kill(daemon.pid, signal.SIGKILL)
    check("signal 9" in daemon.wait(SOFTWARE), "it is not told")
    for pid in t.strays():  # the real child program would see to that
        kill(pid)


@case("Ctrl-C at the starting process stops the daemon")
def interrupted(t):
    daemon = Stuck(t)
    daemon.starter.signal(signal.SIGINT)
    check("before it was ready" in daemon.wait(TEMPFAIL), "it is not told")
    t.no_strays()


@case("a second daemon is refused with the PID of the first")
def second(t):
    fake = Fake()
    daemon = Daemon(t, t.config(fake.url)).started()
    log = Daemon(t, t.config(fake.url)).wait(TEMPFAIL)
    check(f"already running as PID {daemon.pid}" in log, f"it says {log}")
    same(len(log.splitlines()), 1, f"lines ({log})")
    # Of another state directory, but with the same pid file.
    pid_file = t.path("state/avtoworkerd.pid")
    log = Daemon(t, t.config(fake.url), [
        "-o", f"worker.state_dir={t.path('other')}",
        "-o", f"worker.pid_file={pid_file}"]).wait(TEMPFAIL)
    check(f"already running as PID {daemon.pid}" in log, f"it says {log}")
    same(int(read(pid_file)), daemon.pid, "the pid file is as it was")
    daemon.stop(signal.SIGINT)


@case("a configured pid file is written in the foreground, too")
def pid_file(t):
    path = t.path("worker.pid")
    worker = t.worker(Fake().url, worker=f'pid_file = "{path}"')
    worker.wait_log("registered")
    same(read(path), str(worker.pid), "pid file")
    worker.drain()
    check(not os.path.exists(path), "the pid file is left")


@case("nothing of the caller is held open by a daemon")
def lets_go(t):
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    path = t.write("w.conf", t.config(Fake().url))
    env = {k: os.environ[k] for k in os.environ
           if k in ("PATH",) or k.endswith("SAN_OPTIONS")}
    env["AVTOWORKER_CHILD"] = os.path.join(BUILD, "avtoworker-child")
    for closed in ("", "<&- >&- 2>&-"):
        done = subprocess.run(
            ["/bin/sh", "-c", 'exec "$0" -d -o metrics.enabled=no -c "$1" '
             + closed, WORKER, path],
            env=env, close_fds=False, timeout=LIMIT, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)  # until nobody has its output open
        same((done.returncode, done.stdout), (OK, b""), "status and output")
        daemon = Daemon.__new__(Daemon)
        daemon.t, daemon.pid = t, int(read(t.path("state/avtoworkerd.pid")))
        if not closed:
            os.close(writing)
            same(os.read(reading, 1), b"", "the pipe is at its end")
        daemon.stop()


@case("-d with --local, and a name that is a path, are wrong usage")
def wrong_usage(t):
    for argv, word in ((["-d", "--local", "/dev/null", ZOO], "--local"),
                       (["-n", "../x", ZOO], "-n"),
                       (["-n", "", ZOO], "-n")):
        worker = Worker(t, argv=argv)
        same(worker.wait(), USAGE, f"exit status of {argv}")
        check(word in worker.log(), f"it says {worker.log()}")


# Names and locks -----------------------------------------------------------

@case("workers with names live side by side in directories of their own")
def names(t):
    fake = Fake()
    config = re.sub("(id|state_dir) = .*", "", t.config(fake.url))
    base = t.path("elsewhere")
    os.mkdir(base)
    os.chmod(base, 0o777)
    workers = []
    for name in ("a", "b"):
        # As a service manager gives them; root's own place is the system's.
        worker = Worker(t, config, ["-n", name], env={
            "STATE_DIRECTORY": f"{base}/{name}"})
        worker.wait_log("registered")
        workers.append(worker)
        same(os.stat(f"{base}/{name}").st_mode & 0o777, 0o700, "mode")
        same(int(read(f"{base}/{name}/lock")), worker.pid, "holder")
    third = Worker(t, config, ["-n", "b"],
                   env={"STATE_DIRECTORY": f"{base}/b"})
    same(third.wait(), TEMPFAIL, "exit status")
    check(f"already running as PID {workers[1].pid}" in third.log(),
          f"it says {third.log()}")
    ids = {r.json()["worker_id"] for r in fake.of_kind("register")}
    same(len(ids), 2, "worker ids")
    for worker in workers:
        worker.drain()


@case("a lock goes with its holder, however that ends")
def lock_is_free(t):
    fake = Fake()
    for _ in range(3):
        worker = t.worker(fake.url)
        worker.wait_log("registered")
        worker.kill()
        t.no_strays()
    worker = t.worker(fake.url)
    worker.wait_log("registered")
    # Looking and local mode need no lock.
    config = t.path("worker.conf")
    for argv in (["-t", "-c", config], ["-T", "-c", config],
                 ["--local", "/dev/null", "-c", config]):
        same(Worker(t, argv=argv).wait(), OK, f"exit status of {argv}")
    worker.drain()
    same(read(t.path("state/lock")), "", "nobody has it")


# The environment and the title ---------------------------------------------

@case("titles tell what the worker and its children do")
def titles(t):
    fake = Fake()
    gate = t.gate()
    worker = Worker(t, t.config(fake.url), ["-n", "parser"])
    worker.wait_serving(4 + 2 + 1)

    def shows(pid, pattern):
        eventually(lambda: re.fullmatch(
            pattern, proc_read(pid, "cmdline").rstrip("\0")),
            lambda: f"{pattern}; it is {proc_read(pid, 'cmdline')}")
    shows(worker.pid, r"avtoworkerd: parser: running, 0 of \d+ busy, 0 queued")
    for i in range(3):
        fake.put(task(f"t-{i}", "slow", {"gate": gate.path}))
    (name, pid), *_ = gate.wait(2)
    shows(pid, rf"avtoworker: \[heavy\] slow {name} since \d\d:\d\d:\d\d")
    shows(worker.pid, r"avtoworkerd: parser: running, 2 of \d+ busy, 1 queued")
    worker.signal(signal.SIGTERM)
    shows(worker.pid,
          r"avtoworkerd: parser: draining, 2 of \d+ busy, 1 queued")
    gate.open()
    worker.gone()


@case("secrets are gone from where /proc shows the environment")
def wiped(t):
    fake = Fake()
    fake.token = "secret-" + os.urandom(8).hex()
    config = re.sub("token_file = .*", "", t.config(fake.url))
    worker = Worker(t, config, env={"WORKER_TOKEN": fake.token,
                                    "S3_SECRET_KEY": fake.token})
    worker.wait_log("registered")
    for name in ("environ", "cmdline"):
        check(fake.token not in proc_read(worker.pid, name), name)
    title = eventually(lambda: re.match(
        r"avtoworkerd: .*", proc_read(worker.pid, "cmdline")), "a title")
    check("worker.conf" not in title.group(0), f"title {title.group(0)}")
    worker.drain()


# The service manager -------------------------------------------------------

class Manager:
    """The socket of a service manager."""

    def __init__(self, t, abstract=False):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = "\0aw-" + os.urandom(8).hex() if abstract \
            else t.path("notify")
        self.socket.bind(path)
        self.name = path.replace("\0", "@")
        self.heard = []

    def wait(self, pattern, limit=LIMIT):
        """Until a line has come, from now on or before."""
        end = time.monotonic() + limit
        while True:
            for line in self.heard:
                if re.fullmatch(pattern, line):
                    return line
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                text = self.socket.recv(4096).decode()
            except TimeoutError:
                raise Failed(f"no {pattern} within {limit} s; there was "
                             f"{self.heard}") from None
            self.heard += text.splitlines()


@case("a service manager is told of start and stop, over {}",
      ("a path", False), ("an abstract socket", True))
def notifies(t, _name, abstract):
    fake = Fake()
    manager = Manager(t, abstract)
    worker = Worker(t, t.config(fake.url), env={
        "NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"})
    manager.wait("READY=1")
    check(fake.of_kind("register"), "ready before it has tried to register")
    manager.wait("STATUS=.*")
    check(not [x for x in manager.heard if x.startswith("MAINPID")],
          f"in the foreground: {manager.heard}")
    manager.heard.clear()
    for _ in range(3):
        manager.wait("WATCHDOG=1")
        manager.heard.remove("WATCHDOG=1")
    for pid in worker.wait_serving(4 + 2 + 1):
        env = proc_read(pid, "environ")
        check("PATH=" in env, f"no environment: {env}")
        check("NOTIFY_SOCKET" not in env and "WATCHDOG" not in env, env)
    gate = t.gate()
    fake.put(task("held", "slow", {"gate": gate.path}))
    gate.wait(1)
    manager.wait(r"STATUS=running, 1 of \d+ busy, 0 queued.*")
    worker.signal(signal.SIGTERM)
    manager.wait("STOPPING=1")
    for _ in range(2):  # again and again, while it drains
        left = manager.wait(r"EXTEND_TIMEOUT_USEC=\d+")
        manager.heard.remove(left)
        check(15e6 < int(left.partition("=")[2]) < 60e6, left)
    manager.wait(r"STATUS=draining, 1 of \d+ busy, 0 queued.*")
    manager.heard.clear()
    manager.wait("WATCHDOG=1")
    gate.open()
    worker.gone()


@case("a service manager is told of a reload, also of one that fails")
def tells_reload(t):
    manager = Manager(t)
    config = t.config(Fake().url)
    worker = Worker(t, config, env={"NOTIFY_SOCKET": manager.name})
    manager.wait("READY=1")
    path = t.path("worker.conf")
    for text in (config, config + "worker {\n"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        manager.heard.clear()
        worker.signal(signal.SIGHUP)
        manager.wait("RELOADING=1")
        stamp = manager.wait(r"MONOTONIC_USEC=\d+").partition("=")[2]
        check(abs(int(stamp) / 1e6 - time.monotonic()) < LIMIT, stamp)
        manager.wait("READY=1")
    worker.drain()


@case("a watchdog of another process is not fed")
def others_watchdog(t):
    manager = Manager(t)
    worker = Worker(t, t.config(Fake().url), env={
        "NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "1000",
        "WATCHDOG_PID": "1"})
    manager.wait("READY=1")
    worker.signal(signal.SIGTERM)
    manager.wait("STOPPING=1")
    check("WATCHDOG=1" not in manager.heard, f"{manager.heard}")
    worker.gone()


@case("a manager of a daemon is told which process it is")
def main_pid(t):
    manager = Manager(t)
    daemon = Daemon(t, t.config(Fake().url), env={
        "NOTIFY_SOCKET": manager.name}).started()
    manager.wait(f"MAINPID={daemon.pid}")
    daemon.stop()


@case("a manager that does not listen is warned of, and no more")
def no_manager(t):
    worker = Worker(t, t.config(Fake().url),
                    env={"NOTIFY_SOCKET": t.path("nothing")})
    worker.wait_log("cannot tell the service manager")
    worker.wait_log("registered")
    worker.drain()


@case("lines for the journal carry their priority")
def journal(t):
    log = t.path("worker.log")
    with open(log, "w", encoding="utf-8"):
        pass
    st = os.stat(log)
    worker = Worker(t, t.config(Fake().url), env={
        "JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"})
    worker.wait_log("registered")
    worker.drain()
    for line in worker.log().splitlines():
        check(re.match(r"<[3467]>\d{4}-", line), line)
    check(worker.lines("^<6>.* - INFO - "), "INFO is 6")
    # Somebody else's standard error.
    worker = Worker(t, t.config(Fake().url),
                    env={"JOURNAL_STREAM": f"{st.st_dev}:1"})
    worker.wait_log("registered")
    worker.drain()
    check(not worker.lines("^<"), worker.log())


@case("the units are what systemd understands")
def units(t):
    if shutil.which("systemd-analyze") is None:
        return
    for name, as_name in (("avtoworkerd.service", "avtoworkerd.service"),
                          ("avtoworkerd@.service", "avtoworkerd@x.service")):
        text = read(os.path.join(BUILD, "etc", "systemd", name))
        check("@sbindir" not in text and "@sysconf" not in text, text)
        text = re.sub(r"(?m)^(ExecStart)=\S+", rf"\1={WORKER}", text)
        path = t.path(as_name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
            check=False)
        about_us = [x for x in done.stdout.decode().splitlines()
                    if "avtoworkerd" in x]
        same(about_us, [], "complaints")


main()
