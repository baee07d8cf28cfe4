#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Figures and health of a running worker, over HTTP: read by a checker of the
format that takes nothing on trust."""
import http.client
import json
import os
import re
import signal
import socket
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, replying, task  # noqa: E402
from harness import (BUILD, LIMIT, case, check, eventually,  # noqa: E402
                     free_port, main, read, same)

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
                   r'(?:,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)$")


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        check(found, f"labels {text!r}")
        check(found[1] not in labels, f"label {found[1]} twice")
        labels[found[1]] = found[2]
        at = found.end()
    return labels


def family_of(name, types):
    """The metric that a sample belongs to."""
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and types.get(base) == "histogram":
            return base
    return name


def parse(text):
    """{name: [(labels, value)]}, after everything was checked."""
    check(text.endswith("\n"), "the last line does not end")
    helps, types, samples, seen, done = {}, {}, {}, set(), []
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, words = re.fullmatch(rf"# HELP ({NAME}) (.+)", line).groups()
            check(name not in helps, f"HELP of {name} twice")
            helps[name] = words
        elif line.startswith("# TYPE "):
            name, kind = re.fullmatch(
                rf"# TYPE ({NAME}) (counter|gauge|histogram)", line).groups()
            check(name in helps and name not in types, line)
            types[name] = kind
            done.append(name)
        else:
            found = SAMPLE.fullmatch(line)
            check(found, f"not a sample: {line!r}")
            name, labels = found[1], parse_labels(found[2] or "")
            same(family_of(name, types), done[-1], "family of " + line)
            key = (name, tuple(sorted(labels.items())))
            check(key not in seen, f"twice: {line}")
            seen.add(key)
            samples.setdefault(name, []).append((labels, float(found[3])))
    for name, kind in types.items():
        if kind == "histogram":
            check_histogram(name, samples)
        if kind == "counter":
            check(name.endswith("_total"), f"{name} is a counter")
    return samples


def check_histogram(name, samples):
    """Buckets rise to +Inf, which is the count."""
    series = {}
    for labels, value in samples.get(name + "_bucket", []):
        bound = float(labels.pop("le"))
        series.setdefault(tuple(sorted(labels.items())), []).append(
            (bound, value))
    for key, buckets in series.items():
        same(buckets, sorted(buckets), f"order of buckets of {name}{key}")
        values = [v for _, v in buckets]
        same(values, sorted(values), f"buckets of {name}{key}")
        same(buckets[-1][0], float("inf"), f"last bucket of {name}{key}")
        same(value_of(samples, name + "_count", **dict(key)), values[-1],
             f"count of {name}{key}")
        check(value_of(samples, name + "_sum", **dict(key)) >= 0, "sum")


def value_of(samples, name, **labels):
    """0 where there is none, as Prometheus has it."""
    for found, value in samples.get(name, []):
        if found == labels:
            return value
    return 0


class Scene:
    """A worker and its port."""

    def __init__(self, t, metrics="", fake=None, **more):
        self.t = t
        self.fake = fake or Fake()
        self.port = free_port()
        self.worker = t.worker(
            self.fake.url, orchestrator="protocol = classic",
            metrics=f"port = {self.port}\n    address = 127.0.0.1\n"
                    f"    {metrics}", **more)

    def get(self, path, method="GET"):
        """(status, body)"""
        conn = http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=LIMIT)
        try:
            conn.request(method, path)
            reply = conn.getresponse()
            return reply.status, reply.read().decode()
        finally:
            conn.close()

    def up(self):
        """Until it answers at all."""
        def answers():
            check(self.worker.is_alive(), "the worker has ended")
            try:
                return self.get("/health")
            except OSError:
                return None
        status, body = eventually(answers, "/health answers")
        same(status, 200, "status of /health")
        same(json.loads(body)["status"], "ok", "/health")
        return self

    def ready(self):
        eventually(lambda: self.get("/ready")[0] == 200, "/ready is 200")
        return self

    def missing(self):
        status, body = self.get("/ready")
        same(status, 503, "status of /ready")
        return json.loads(body)["missing"]

    def figures(self):
        status, body = self.get("/metrics")
        same(status, 200, "status of /metrics")
        return parse(body)

    def figure(self, name, **labels):
        return value_of(self.figures(), name, **labels)

    def until(self, want, name, **labels):
        eventually(lambda: self.figure(name, **labels) == want,
                   lambda: f"{name}{labels} is {want}; it is "
                           f"{self.figure(name, **labels)}")


@case("figures follow the tasks")
def tasks(t):
    scene = Scene(t).up().ready()
    for i in range(3):
        scene.fake.put(task(f"e{i}", "echo"))
    scene.fake.put(task("f", "fail"))
    scene.fake.put(task("c", "crash"))
    scene.fake.put(task("x", "no_such_type"))
    for name in ("e0", "e1", "e2", "f", "c", "x"):
        scene.fake.wait_result(name)
    scene.until(0, "worker_undelivered_results")
    f = scene.figures()
    same(value_of(f, "worker_tasks_total", task_type="echo",
                  status="success"), 3, "echoes")
    same(value_of(f, "worker_tasks_total", task_type="crash",
                  status="failure"), 1, "crashes")
    same(value_of(f, "worker_tasks_total", task_type="fail",
                  status="failure"), 1, "failures")
    same(value_of(f, "worker_task_duration_seconds_count",
                  task_type="echo"), 3, "durations of echoes")
    same(value_of(f, "worker_child_ends_total", category="heavy",
                  reason="crash"), 1, "ends of children")
    check(value_of(f, "worker_request_duration_seconds_count",
                   endpoint="result", outcome="ok") == 6, "results")
    same(value_of(f, "worker_request_duration_seconds_count",
                  endpoint="register", outcome="ok"), 1, "registrations")
    same(value_of(f, "worker_registered", orchestrator="main",
                  worker_id="w-1"), 1, "registered")
    same(value_of(f, "worker_leases", state="running"), 0, "running")
    same(len(f["worker_info"]), 1, "worker_info")
    same(f["worker_info"][0][0]["worker_id"], "w-1", "worker_id")
    check(1e5 < value_of(f, "process_resident_memory_bytes") < 1e9, "RSS")
    check(value_of(f, "process_open_fds") > 10, "descriptors")
    scene.worker.drain()


@case("children that are busy are counted, and hold nobody up")
def busy(t):
    scene = Scene(t, light=1, heavy=2).up().ready()
    gate = t.gate()
    for i in range(3):
        scene.fake.put(task(f"s{i}", "slow",
                            {"gate": gate.path, "name": f"s{i}"}))
    gate.wait(2)
    scene.until(2, "worker_children", category="heavy", state="busy")
    same(scene.figure("worker_leases", state="running"), 2, "running")
    gate.open()
    for i in range(3):
        scene.fake.wait_result(f"s{i}")
    scene.until(0, "worker_children", category="heavy", state="busy")
    scene.worker.drain()


@case("ends of children are counted by what they died of")
def deaths(t):
    settings = {"heavy.time_limit": "3s", "heavy.cancel_grace": "100ms",
                "light.max_tasks_per_child": "1"}
    scene = Scene(t, light=1, heavy=1, args=[
        x for k, v in settings.items() for x in ("-o", f"category/{k}={v}")])
    scene.up().ready()
    for name, kind in (("c", "crash"), ("x", "exit_now"), ("d", "deaf"),
                       ("e", "echo")):
        scene.fake.put(task(name, kind))
        scene.fake.wait_result(name)
    scene.until(1, "worker_children", category="default", state="idle")
    idle, = scene.worker.wait_serving(1, "default")
    os.kill(idle, signal.SIGKILL)
    for category, reason, count in (
            ("heavy", "crash", 2), ("heavy", "time_limit", 1),
            ("light", "recycled_tasks", 1), ("default", "crash", 1)):
        scene.until(count, "worker_child_ends_total", category=category,
                    reason=reason)
    for category in ("heavy", "light", "default"):
        scene.until(1, "worker_children", category=category, state="idle")
    same(sum(v for _, v in scene.figures()["worker_child_ends_total"]), 5,
         "ends of any kind")
    scene.worker.drain()


@case("/ready tells what is missing, from the start to the end")
def readiness(t):
    fake = Fake(start=False)
    scene = Scene(t, fake=fake).up()
    eventually(lambda: scene.missing() ==
               ["not registered at the orchestrator"],
               "only the registration is missing")
    fake.start()
    scene.ready()
    gate = t.gate()
    fake.put(task("s", "slow", {"gate": gate.path, "name": "s"}))
    gate.wait(1)
    scene.worker.signal(15)
    eventually(lambda: scene.get("/ready")[0] == 503, "not ready any more")
    check("the worker is draining" in scene.missing(), "draining")
    same(scene.get("/health")[0], 200, "/health")
    gate.open()
    scene.worker.gone()


@case("requests are counted by what became of them")
def requests(t):
    fake = Fake()
    scene = Scene(t, fake=fake).up().ready()
    fake.break_kind("result", replying(500, b'{"error": "no"}'))
    fake.put(task("e", "echo"))
    fake.wait_requests("result", 1)
    eventually(lambda: scene.figure(
        "worker_request_duration_seconds_count", endpoint="result",
        outcome="error") >= 1, "an error is counted")
    same(scene.figure("worker_undelivered_results"), 1, "undelivered")
    fake.repair()
    fake.wait_result("e")
    scene.until(1, "worker_request_duration_seconds_count",
                endpoint="result", outcome="ok")
    eventually(lambda: scene.figure(
        "worker_request_duration_seconds_count", endpoint="poll",
        outcome="empty") >= 1, "an empty poll is counted")
    scene.worker.drain()


@case("what is not served is refused")
def refused(t):
    scene = Scene(t).up()
    same(scene.get("/")[0], 404, "/")
    same(scene.get("/metrics", "POST")[0], 405, "POST")
    status, body = scene.get("/metrics", "HEAD")
    same((status, body), (200, ""), "HEAD")
    scene.worker.drain()


@case("everything answers while a program has still to say what it offers")
def early(t):
    scene = Scene(t, more="""
channel slow { exec = {"/bin/sleep", "1000"} }
""").up()
    same(scene.get("/ready")[0], 503, "/ready")
    samples = parse(scene.get("/metrics")[1])
    same(value_of(samples, "worker_polls"), 0, "polls")
    scene.worker.kill()


@case("clients that say nothing hold up neither tasks nor the end")
def silent(t):
    scene = Scene(t).up().ready()
    clients = []
    for _ in range(60):
        s = socket.create_connection(("127.0.0.1", scene.port))
        s.send(b"GET /metrics HTTP/1.1\r\n")
        clients.append(s)
    scene.fake.put(task("e", "echo"))
    scene.fake.wait_result("e")
    same(scene.get("/health")[0], 200, "/health")
    scene.worker.drain()
    for s in clients:
        s.close()


@case("a port that is set and taken is an error of the start")
def taken(t):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        scene = Scene(t)
        scene.worker.kill()
        worker = t.worker(
            scene.fake.url, metrics=f"port = {s.getsockname()[1]}\n"
                                    f"    address = 127.0.0.1")
        check(worker.wait() not in (0, -9), "it has started")
        check(worker.lines("Address already in use.*WORKER_PORT"),
              "it does not say what to do")


@case("a default port that is taken is a warning")
def taken_default(t):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        fake = Fake()
        warned = False
        while not warned:
            try:
                s.bind(("127.0.0.1", 8083))
                s.listen()
            except OSError:
                pass  # somebody else has it: as good, unless they let go now
            worker = t.worker(fake.url, metrics="")
            worker.wait_log("registered at")
            warned = worker.lines(
                "127.0.0.1:8083: Address already in use; going on without "
                "metrics.*metrics.port")
            if not warned:
                worker.drain()
        fake.put(task("e", "echo"))
        fake.wait_result("e")
        worker.drain()


@case("WORKER_PORT sets the port")
def variable(t):
    fake = Fake()
    scene = Scene.__new__(Scene)
    scene.port = free_port()
    scene.worker = t.worker(fake.url, metrics="",
                            env={"WORKER_PORT": str(scene.port)})
    scene.up()
    scene.worker.drain()


@case("disabled, nothing is served")
def disabled(t):
    scene = Scene(t, metrics="enabled = no")
    scene.worker.wait_log("registered at")
    with socket.socket() as s:
        check(s.connect_ex(("127.0.0.1", scene.port)) != 0,
              "somebody listens")
    scene.worker.drain()


@case("a worker named figures keeps its own, below the one without a name")
def named_figures(t):
    for folder in ("state", "state/figures"):
        os.mkdir(t.path(folder), 0o700)
    journal = t.write("state/figures/journal.db", "its own")
    scene = Scene(t).up()
    scene.worker.drain()
    same(read(journal), "its own", "what it keeps")


if __name__ == "__main__":
    check(BUILD, "no build")
    main()
