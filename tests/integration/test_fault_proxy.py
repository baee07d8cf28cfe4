#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A network that spoils what a real orchestrator says: the worker says so in a
line, goes on with everything else, tries again, and what comes of that is taken
by the orchestrator. (test_bad_orchestrator.py has what needs no real one.)"""
import os
import re
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True

import peers  # noqa: E402
from fake_orchestrator import Fake, replying, task  # noqa: E402
from fault_proxy import (OK, BlackHole, FaultProxy, bomb, dripping,  # noqa: E402
                         endless, hanging, reset, sending, status,
                         with_length)
from harness import (TOKEN, Orchestrator, case, check,  # noqa: E402
                     eventually, free_port, has_sanitizers, main, same)

COMPLAINT = r" - (WARNING|ERROR) - "
KINDS = ("heartbeat", "poll", "result", "register")
CURRENT = "1.0b30"
GOOD = b'{"status": "ok"}'

FAULTS = {
    "silence after the request": hanging(),
    "headers, and then silence":
        hanging(OK + b"Content-Length: 100\r\n\r\n"),
    "one byte at a time": dripping(OK + b"X-Long: " + b"y" * 10000),
    "1xx without end": endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "HTTP/0.9": sending(GOOD),
    "two lengths": sending(OK + b"Content-Length: 16\r\n"
                           b"Content-Length: 900\r\n\r\n" + GOOD),
    "a bad chunk": sending(OK + b"Transfer-Encoding: chunked\r\n\r\n"
                           b"zz\r\n" + GOOD + b"\r\n0\r\n\r\n"),
    "chunks without end": endless(b"1\r\n \r\n" * 1000),
    "a body that is cut": with_length(GOOD, 500),
    "a byte order mark": with_length(b"\xef\xbb\xbf" + GOOD),
    "a gzip bomb": bomb(300 << 20),
    "a reset in the body": reset(OK + b"Content-Length: 500\r\n\r\n" + GOOD),
    "a reset": reset(),
}

# What a proxy may say, and whether the end of a result is told by it.
STATUSES = {400: True, 401: False, 403: False, 404: True, 409: False,
            413: True, 422: False, 429: False, 500: False, 502: False,
            503: False, 504: False}


class Scene:
    """A real orchestrator, a worker, and what is between them."""

    def __init__(self, t, orchestrator=""):
        self.orch = Orchestrator(t, CURRENT, poll_timeout=1)
        self.proxy = FaultProxy(self.orch.port)
        self.worker = t.worker(self.proxy.url, light=2, heavy=1, worker="""
    heartbeat_interval = 1s""", orchestrator=f"""
    protocol = rxon
    request_timeout = 1s
    poll_timeout = 2s
    {orchestrator}""")
        self.orch.wait_worker()

    def provoke(self, kind):
        """Makes requests of that kind happen. Returns a job, if it is a
        result."""
        if kind == "result":
            return self.orch.submit("echo", {"n": 1})[0]
        if kind == "register":
            # As an orchestrator that has forgotten us answers.
            self.proxy.break_kind("heartbeat", with_length(b"null"))
        return None

    def works(self):
        job, = self.orch.submit("echo", {"n": 2})
        self.orch.wait(job, "finished")

    def spoil(self, kind, spoiler, count, words=""):
        """Requests of that kind meet the fault; what is said about it, in
        lines. Everything is in order afterwards."""
        before = len(self.worker.lines(COMPLAINT))
        self.proxy.break_kind(kind, spoiler)
        job = self.provoke(kind)
        self.proxy.wait_spoilt(kind, count)
        eventually(lambda: [x for x in self.worker.lines(COMPLAINT)[before:]
                            if words in x], "a line about it")
        lines = self.worker.lines(COMPLAINT)[before:]
        self.proxy.repair()
        if job:
            self.orch.wait(job, "finished")
            same(self.orch.job(job)["state"]["retry_count"], 0, "retries")
        self.works()
        check(self.worker.is_alive(), "it ended")
        return lines

    def end(self):
        self.worker.drain()
        check(TOKEN not in self.worker.log(), "the token is in the log")


@case("{}: it is said, tried again, and the work goes on", *FAULTS, limit=200)
def fault(t, name):
    scene = Scene(t)
    before = scene.worker.peak_kb()
    for kind in KINDS:
        lines = scene.spoil(kind, FAULTS[name], 2 if kind == "result" else 1)
        check(len(lines) <= 8, f"{len(lines)} lines about {kind}: {lines}")
        for line in lines:
            check(len(line) < 600, f"a line of {len(line)} bytes")
    grown = scene.worker.peak_kb() - before
    limit = (128 if has_sanitizers() else 16) << 10
    check(grown < limit, f"it grew by {grown} kB")
    scene.end()


# After a 429 nothing comes for a minute: test_rate_windows.py. A 404 to a
# heartbeat means something: test_real.py.
@case("a {} that is answered with any error is tried again", "heartbeat",
      "poll", "register", limit=200)
def other_status(t, kind):
    scene = Scene(t)
    for code in STATUSES:
        if code != 429 and (kind, code) != ("heartbeat", 404):
            scene.spoil(kind, status(code), 1, f"HTTP {code}")
    scene.end()


@case("a result that is answered with 401, 403, 409, 422, 429 or 5xx is kept "
      "and sent again", limit=200)
def kept(t):
    scene = Scene(t)
    for code, final in STATUSES.items():
        if not final:
            more = {"Retry_After": "1"} if code == 429 else {}
            scene.spoil("result", status(code, **more), 1, f"HTTP {code}")
    scene.end()


@case("a result that is answered with 400, 404 or 413 is dropped, with an error "
      "in the log; not so if it is a proxy's page", limit=200)
def dropped(t):
    scene = Scene(t)
    for code, final in STATUSES.items():
        if not final:
            continue
        scene.spoil("result", status(code, b"<html>no such thing</html>"), 1,
                    f"HTTP {code}")
        scene.proxy.break_kind("result", status(code))
        scene.orch.submit("echo", {"n": 1})
        scene.worker.wait_log(f"ERROR.*HTTP {code}")
        scene.proxy.repair()
        scene.works()
        same(scene.proxy.spoilt["result"], 1, "times that it was sent")
    scene.end()


@case("a Retry-After that makes no sense does no harm to a {}", "result",
      "poll", limit=200)
def odd_retry_after(t, kind):
    scene = Scene(t)
    for text in ("-5", "soon", "", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT"):
        scene.spoil(kind, status(503, Retry_After=text), 1, "HTTP 503")
    scene.end()


@case("{} to the same host, another one, a file and itself are not followed",
      301, 302, 307, 308)
def redirects(t, code):
    other = Fake()
    scene = Scene(t)
    for place in ("/_worker/workers/w-1", other.url + "/_worker/tasks/result",
                  "file:///etc/passwd", scene.proxy.url + "/"):
        for kind in ("heartbeat", "result"):
            scene.spoil(kind, status(code, b"", Location=place), 1)
    same(other.requests, [], "requests at the other place")
    strange = [e.path for e in scene.proxy.exchanges if e.kind == "other" and
               not e.path.startswith("/_worker/ws/")]
    same(strange, [], "requests at other addresses")
    scene.end()


# Connections that are not there ----------------------------------------------

@case("a port that swallows connections runs into the time limit, and is tried "
      "again")
def black_hole(t):
    fake = Fake(start=False)
    hole = BlackHole(fake.port)
    worker = t.worker(fake.url, orchestrator="""
    protocol = classic
    request_timeout = 1s""")
    worker.wait_log(f"(?i){COMPLAINT}.*(timed out|timeout|in time)")
    hole.close()
    fake.start()
    fake.put(task("after"))
    fake.wait_result("after", 60)
    worker.drain()


@case("a name whose orchestrator moves to another of its addresses is found "
      "there")
def moves(t):
    addresses = {x[4][0] for x in socket.getaddrinfo("localhost", 80)}
    if addresses != {"127.0.0.1", "::1"}:
        return  # this machine's localhost has one address alone
    fake = Fake(start=False, poll_timeout=0.5)
    old = Relay("::1", fake.port)
    fake.port, listening = free_port(), fake.port
    fake.start()
    old.to(fake.port)
    worker = t.worker(f"http://localhost:{listening}", worker="""
    heartbeat_interval = 1s""", orchestrator="""
    protocol = classic
    request_timeout = 2s""")
    fake.put(task("before"))
    fake.wait_result("before")
    old.close()
    worker.wait_log(COMPLAINT)
    new = Relay("127.0.0.1", listening)
    new.to(fake.port)
    fake.put(task("after"))
    fake.wait_result("after", 60)
    worker.drain()
    new.close()


class Relay:
    """Hands bytes on from an address to a port."""

    def __init__(self, host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6,
                                     socket.IPV6_V6ONLY, 1)
        self.listener.bind((host, port))
        self.listener.listen(100)
        self.open = []

    def to(self, port):
        threading.Thread(target=self.accept, args=(port,),
                         daemon=True).start()

    def accept(self, port):
        while True:
            try:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", port))
            except OSError:
                return
            self.open += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=pair,
                                 daemon=True).start()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


# An orchestrator that goes away ----------------------------------------------

@case("kill -9 and restart of the orchestrator, {} times: registered again each "
      "time, the backlog is delivered", 3)
def restarts(t, times):
    orch = Orchestrator(t, CURRENT, poll_timeout=1)
    worker = t.worker(orch.url, worker="heartbeat_interval = 1s")
    for _ in range(times):
        orch.wait_worker("w-1", 60)
        orch.wait(orch.submit("echo", {"n": "{i}"}, 10), "finished")
        orch.kill()
        orch = Orchestrator(t, CURRENT, poll_timeout=1, port=orch.port)
    orch.wait_worker("w-1", 60)
    orch.wait(orch.submit("echo", {"n": "{i}"}, 10), "finished")
    same(len(worker.lines("registered at")), times + 1, "registrations told")
    worker.drain()


@case("500 results that an outage has held back are delivered within 2 s of "
      "its end, each once")
def backlog(t):
    count = 500
    fake = Fake(poll_timeout=0.5)
    fake.break_kind("result", replying(503, b"{}"))
    worker = t.worker(fake.url, light=4, worker="heartbeat_interval = 1s",
                      orchestrator="protocol = classic")
    done = t.path("done")
    for i in range(count):
        fake.put(task(f"t{i}", params={"count": done}))
    eventually(lambda: os.path.exists(done) and
               os.path.getsize(done) >= count, "all are run", 60)
    tried = len(fake.of_kind("result"))
    check(tried < 200, f"{tried} attempts for {count} results")
    fake.repair()
    eventually(lambda: fake.results, "the first one", 70)
    since = time.monotonic()
    eventually(lambda: len(fake.results) == count,
               lambda: f"{len(fake.results)} results", 60)
    took = time.monotonic() - since
    check(took < (10 if has_sanitizers() else 2), f"it took {took:.1f} s")
    twice = [k for k, v in fake.results.items() if len(v) > 1]
    same(twice, [], "delivered more than once")
    check(re.search("cannot deliver", worker.log()), "nothing was said")
    worker.drain()


main(lambda: peers.python_of(CURRENT))
