#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A network that spoils what a real orchestrator says: the worker says so in a
line, goes on with everything else, tries again, and what comes of that is taken
by the orchestrator. (test_bad_orchestrator.py has what needs no real one.) The
worker's clock goes faster here (fast_clock.c), so that it soon tries again."""
import itertools
import socket
import sys
import time

sys.dont_write_bytecode = True

import peers  # noqa: E402
from fake_orchestrator import Fake, task  # noqa: E402
from fault_proxy import (OK, BlackHole, FaultProxy, Link, bomb,  # noqa: E402
                         dripping, endless, hanging, in_turn, reset, sending,
                         status, with_length)
from harness import (FAST_CLOCK, TOKEN, Failed, Orchestrator,  # noqa: E402
                     case, check, eventually, free_port, has_sanitizers,
                     main, same)

COMPLAINT = r" - (WARNING|ERROR) - "
KINDS = ("heartbeat", "poll", "result", "register")
RXON, CLASSIC = VERSIONS = ("1.0b30", "1.0b5")
NAMES = {RXON: "rxon", CLASSIC: "classic"}
GOOD = b'{"status": "ok"}'

FAULTS = {
    "silence after the request": hanging(),
    "headers, and then silence":
        hanging(OK + b"Content-Length: 100\r\n\r\n"),
    "one byte at a time": dripping(OK + b"X-Long: " + b"y" * 10000),
    "1xx without end": endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "HTTP/0.9": sending(GOOD),
    "two lengths": sending(OK + b"Content-Length: 900\r\n"
                           b"Content-Length: 16\r\n\r\n" + GOOD),
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


def each(*rows):
    """Each of them in each dialect."""
    return [(NAMES[v], *((x,) if isinstance(x, str) else x), v)
            for x in rows for v in VERSIONS]


class Scene:
    """A real orchestrator, a worker, and what is between them."""

    def __init__(self, t, version):
        self.t = t
        self.orch = Orchestrator(t, version, poll_timeout=1)
        self.proxy = FaultProxy(self.orch.port)
        arguments = [x for c in ("light", "heavy", "default")
                     for x in ("-o", f"category/{c}.start_timeout=10m")]
        self.worker = t.worker(
            self.proxy.url, arguments, light=2, heavy=1, worker="""
    heartbeat_interval = 10s
    shutdown_timeout = 5m""", orchestrator=f"""
    protocol = {NAMES[version]}
    request_timeout = 20s
    poll_timeout = 40s""", env={"LD_PRELOAD": FAST_CLOCK, "FAST_CLOCK": "10"})
        self.orch.wait_worker()

    def complaints(self):
        """Lines about what was said; a disk may be slow for that clock."""
        return [x for x in self.worker.lines(COMPLAINT)
                if "journal: " not in x]

    def provoke(self, kind):
        """Makes requests of that kind happen. Returns a job, if it is a
        result."""
        if kind == "result":
            return self.orch.submit("echo", {"n": 1})[0]
        if kind == "register":
            # As an orchestrator that has forgotten us answers.
            self.proxy.break_kind("heartbeat", with_length(b"null"))
        return None

    def in_spite_of_delays(self, attempt):
        """Does it again if the machine was held up: then a poll may have been
        given up when its task was on the way, which is lost with it."""
        for left in (2, 1, 0):
            try:
                return attempt()
            except Failed:
                if left == 0 or self.t.late() < 1:
                    raise

    def works(self):
        self.in_spite_of_delays(lambda: self.orch.wait(
            self.orch.submit("echo", {"n": 2}), "finished", 60))

    def meet(self, kind, count):
        """Requests of that kind happen, and meet the fault. Returns a job, if
        they are results."""
        job = self.provoke(kind)
        self.proxy.wait_spoilt(kind, count, 60)
        return job

    def spoil(self, kind, spoiler, count, words=""):
        """Requests of that kind meet the fault; what is said about it, in
        lines. Everything is in order afterwards."""
        before = len(self.complaints())
        self.proxy.break_kind(kind, spoiler)
        job = self.in_spite_of_delays(lambda: self.meet(kind, count))
        eventually(lambda: [x for x in self.complaints()[before:]
                            if words in x], "a line about it")
        lines = self.complaints()[before:]
        self.proxy.repair()
        if job:
            self.orch.wait(job, "finished")
            same(self.orch.job(job)["state"].get("retry_count", 0), 0,
                 "retries")
        self.works()
        check(self.worker.is_alive(), "it ended")
        return lines

    def end(self):
        self.worker.drain()
        check(TOKEN not in self.worker.log(), "the token is in the log")


@case("{}: {}: it is said, tried again, and the work goes on", *each(*FAULTS),
      limit=400)
def fault(t, _dialect, name, version):
    scene = Scene(t, version)
    before = scene.worker.peak_kb()
    for kind in KINDS:
        lines = scene.spoil(kind, FAULTS[name], 2 if kind == "result" else 1)
        # Of what goes on meanwhile there are some as well.
        check(len(lines) <= 20, f"{len(lines)} lines about {kind}: {lines}")
        for line in lines:
            check(len(line) < 600, f"a line of {len(line)} bytes")
    grown = scene.worker.peak_kb() - before
    limit = (128 if has_sanitizers() else 16) << 10
    check(grown < limit, f"it grew by {grown} kB")
    scene.end()


# After a 429 nothing comes for a minute: test_rate_windows.py. A 404 to a
# heartbeat means something: test_real.py.
@case("{}: a {} that is answered with any error is tried again",
      *each("heartbeat", "poll", "register"), limit=400)
def other_status(t, _dialect, kind, version):
    scene = Scene(t, version)
    for code in STATUSES:
        if code != 429 and (kind, code) != ("heartbeat", 404):
            scene.spoil(kind, status(code), 1, f"HTTP {code}")
    scene.end()


@case("{}: a result that is answered with 401, 403, 409, 422, 429 or 5xx is "
      "kept and sent again", *each(()), limit=400)
def kept(t, _dialect, version):
    scene = Scene(t, version)
    for code, final in STATUSES.items():
        if not final:
            more = {"Retry_After": "1"} if code == 429 else {}
            scene.spoil("result", status(code, **more), 1, f"HTTP {code}")
    scene.end()


@case("{}: a result that is answered with 400, 404 or 413 is dropped, with an "
      "error in the log; not so if it is a proxy's page", *each(()), limit=400)
def dropped(t, _dialect, version):
    scene = Scene(t, version)
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


@case("{}: a Retry-After that makes no sense does no harm to a {}",
      *each("result", "poll"), limit=400)
def odd_retry_after(t, _dialect, kind, version):
    scene = Scene(t, version)
    for text in ("-5", "soon", "", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT"):
        scene.spoil(kind, status(503, Retry_After=text), 1, "HTTP 503")
    scene.end()


@case("{}: redirects to the same host, another one, a file, itself and nowhere "
      "are not followed, whatever is asked", *each(()), limit=400)
def redirects(t, _dialect, version):
    other = Fake()
    scene = Scene(t, version)
    places = itertools.cycle(
        ("/_worker/workers/w-1", other.url + "/_worker/tasks/result",
         "file:///etc/passwd", scene.proxy.url + "/", ""))
    for kind in KINDS:
        for code in (301, 302, 303, 307, 308):
            two = [status(code, b"", Location=next(places)) for _ in range(2)]
            scene.spoil(kind, in_turn(*two), 2)
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
    try:
        old = Link("::1", fake.port)
    except OSError:
        return  # it is a name only
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
    new = Link("127.0.0.1", listening)
    new.to(fake.port)
    fake.put(task("after"))
    fake.wait_result("after", 60)
    worker.drain()
    new.close()


# Links that are bad -----------------------------------------------------------

def over_link(t, classic, request_timeout="1s"):
    """An orchestrator of straw, the link to it, and a worker."""
    fake = Fake(classic, poll_timeout=0.5)
    link = Link("127.0.0.1", free_port())
    link.to(fake.port)
    worker = t.worker(f"http://127.0.0.1:{link.port}", worker="""
    heartbeat_interval = 1s""", orchestrator=f"""
    protocol = {"classic" if classic else "rxon"}
    request_timeout = {request_timeout}
    poll_timeout = 3s""")
    return fake, link, worker


def check_beats(t, fake, since):
    """They came each second since then, more or less."""
    beats = [x.at for x in fake.of_kind("heartbeat") if x.at >= since]
    gap = max(b - a for a, b in zip(beats, beats[1:]))
    check(gap < 4 + t.late(), f"no heartbeat for {gap:.1f} s")


@case("{}: {} vanish: it is said, heartbeats are tried on, and the result is "
      "delivered when they come through again",
      *((name, lost, classic) for lost in (Link.REQUESTS, Link.REPLIES)
        for name, classic in (("rxon", False), ("classic", True))))
def one_way(t, _dialect, lost, classic):
    fake, link, worker = over_link(t, classic)
    gate = t.gate()
    fake.put(task("held", params={"gate": gate.path}))
    gate.wait(1)
    link.lost = lost
    since = time.monotonic()
    gate.open()
    worker.wait_log("heartbeat failed.*Timeout", count=5)
    worker.wait_log("cannot deliver.*Timeout")
    worker.wait_log("poll failed.*Timeout")
    if lost == Link.REPLIES:
        fake.wait_result("held")
        check_beats(t, fake, since)
    else:
        check("held" not in fake.results, "it came")
    link.lost = None
    fake.wait_result("held", 60)
    fake.put(task("after"))
    fake.wait_result("after", 60)
    worker.drain()


@case("{}: a large result goes through 64 kbit/s at the first try, and no "
      "heartbeat is late meanwhile", ("rxon", False), ("classic", True))
def slow_link(t, _dialect, classic):
    size = 120_000  # 15 s, which is more than the limit
    fake, link, worker = over_link(t, classic, "14s")
    fake.wait_requests("poll", 1)
    link.rate = 64000 // 8
    fake.put(task("large", "big_result", {"size": size}))
    since = time.monotonic()
    result = fake.wait_result("large", 60)
    took = time.monotonic() - since
    same(len(result["data"]["big"]), size, "size")
    check(took > size / link.rate * 0.9, f"it took {took:.1f} s only")
    same(len(fake.of_kind("result")), 1, "times that it was sent")
    check_beats(t, fake, since)
    worker.drain()


# An orchestrator that goes away ----------------------------------------------

@case("{}: kill -9 and restart of the orchestrator, {} times: registered again "
      "each time, the backlog is delivered", *each((3,)))
def restarts(t, _dialect, times, version):
    orch = Orchestrator(t, version, poll_timeout=1)
    worker = t.worker(orch.url, worker="heartbeat_interval = 1s")
    for _ in range(times):
        orch.wait_worker("w-1", 60)
        orch.wait(orch.submit("echo", {"n": "{i}"}, 10), "finished")
        orch.kill()
        orch = Orchestrator(t, version, poll_timeout=1, port=orch.port)
    orch.wait_worker("w-1", 60)
    orch.wait(orch.submit("echo", {"n": "{i}"}, 10), "finished")
    same(len(worker.lines("registered at")), times + 1, "registrations told")
    worker.drain()


main(lambda: [peers.python_of(x) for x in VERSIONS])
