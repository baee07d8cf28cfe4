#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""An orchestrator that answers everything that it must not. After each fault
the worker must be the same process, have said what was wrong without spinning
or shouting, and go on when the fault is over."""
import json
import re
import signal
import sys
import time

sys.dont_write_bytecode = True

from fake_orchestrator import (Fake, huge, raw, replying, silent,  # noqa: E402
                               task)
from harness import (TOKEN, case, check, eventually,  # noqa: E402
                     has_sanitizers, main, same)

KINDS = ("register", "heartbeat", "poll", "result")
COMPLAINT = r" - (WARNING|ERROR) - "
MOST_PER_SECOND = 4  # requests of one kind while nothing works

HTML = (b"<!DOCTYPE html><html><head><title>Gateway</title></head>"
        b"<body>It works!</body></html>")
TOO_DEEP = b'{"error": "Maximum recursion depth (30) exceeded in to_dict"}'
LONG = b'{"error": "' + b"x" * 100000 + b'"}'

# Name, fault, and what the log must say about it (any case).
FAULTS = {
    "HTML with 200": (replying(200, HTML, "text/html"),
                      "json|html|not an orchestrator"),
    "an empty body": (replying(200), "empty|not an orchestrator|no json"),
    "a body that is no object": (replying(200, b"[1, 2]"),
                                 "object|not an orchestrator|no job_id"),
    "a truncated body": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b'Content-Length: 500\r\n\r\n{"status": "regis'),
        "transfer|closed|partial|bytes"),
    "bytes that are no HTTP": (raw(b"\x00\x01\x02 SSH-2.0-OpenSSH\r\n"),
                               "http"),
    "a closed connection": (raw(b""), "nothing|closed|reset|sending"),
    "headers without end": (raw(b"HTTP/1.1 200 OK\r\n" +
                                b"X-Long: y\r\n" * 200000),
                            "header|large|closed|transfer|http"),
    "400": (replying(400, b'{"error": "Bad request"}'), "400"),
    "403": (replying(403, b'{"error": "Unauthorized"}'), "403"),
    "404 as text": (replying(404, b"404: Not Found", "text/plain"), "404"),
    "429": (replying(429, b'{"error": "Too Many Requests"}'), "429"),
    "500 as text": (replying(500, b"500 Internal Server Error",
                             "text/plain"), "500"),
    "503 with Retry-After": (replying(503, HTML, "text/html",
                                      Retry_After="1"), "503"),
    "a long error": (replying(502, LONG), "502"),
}


class Scene:
    """A worker whose orchestrator misbehaves in one kind of request."""

    def __init__(self, t, broken=None, classic=True, **more):
        self.t = t
        self.fake = Fake(classic, **more)
        if broken:
            self.fake.break_kind(*broken)
        self.worker = t.worker(
            self.fake.url, light=1, heavy=1, worker="""
    heartbeat_interval = 1s
    shutdown_timeout = 20s""", orchestrator=f"""
    protocol = {"classic" if classic else "rxon"}""")
        self.started = time.monotonic()

    def works(self, name):
        """A task goes all the way."""
        self.fake.put(task(name))
        same(self.fake.wait_result(name, 60)["status"], "success", "status")

    def watch(self, kind, count):
        """Until so many requests of the kind have been spoilt; neither they
        nor the lines about them may be too many."""
        since = time.monotonic()
        sent = len(self.fake.of_kind(kind))
        before = len(self.worker.lines(COMPLAINT))
        self.fake.wait_requests(kind, sent + count)
        # In this order: more may come while we look.
        said = len(self.worker.lines(COMPLAINT)) - before
        came = len(self.fake.of_kind(kind)) - sent
        took = time.monotonic() - since
        check(came <= count + MOST_PER_SECOND * took,
              f"{came} requests in {took:.1f} s")
        check(said <= came + 2, f"{said} lines about {came} requests")

    def said(self, words):
        """One clear line."""
        found = eventually(
            lambda: self.worker.lines(f"(?i){COMPLAINT}.*({words})"),
            lambda: f"a line with {words}: "
            f"{self.worker.lines(COMPLAINT) or self.worker.log()}")
        check(len(found[0]) < 600, f"a line of {len(found[0])} bytes")
        return found[0]

    def end(self):
        check(self.worker.is_alive(), "it ended")
        self.worker.drain()
        check(TOKEN not in self.worker.log(), "the token is in the log")


def provoke(scene, kind):
    """Makes requests of that kind happen."""
    if kind == "result":
        scene.fake.put(task("provoked"))


# After a 429 nothing comes for a minute; that has a case of its own.
@case("register is answered with {}", *(x for x in FAULTS if x != "429"))
def bad_register(t, name):
    fault, words = FAULTS[name]
    scene = Scene(t, ("register", fault))
    scene.watch("register", 2)
    scene.said(words)
    scene.fake.repair()
    scene.works("after")
    scene.end()


@case("a registration that is nested too deeply is sent again without what "
      "handlers declare")
def deep_register(t):
    scene = Scene(t, ("register", replying(500, TOO_DEEP)), classic=False)
    scene.fake.wait_requests("register", 2)
    scene.fake.repair()
    scene.works("after")
    same(len(scene.worker.lines("what handlers declare cannot be told to "
                                r".*depth \(30\).*; it is left out")), 1,
         "lines about it")
    scene.end()


@case("a failure that has nothing in it to be too deep is sent again as it is")
def deep_failure(t):
    scene = Scene(t, classic=False)
    scene.works("before")
    scene.fake.break_kind("result", replying(500, TOO_DEEP))
    scene.fake.put(task("odd", "no_such_type"))
    scene.fake.wait_requests("result", 3)
    scene.fake.repair()
    result = scene.fake.wait_result("odd")
    same(result["error"]["code"], "TRANSIENT_ERROR", "code")
    same(scene.worker.lines("cannot be sent"), [], "results made anew")
    scene.end()


# A 404 to a heartbeat means something; a final refusal of a result too.
@case("heartbeat is answered with {}",
      *(x for x in FAULTS if x not in ("404 as text", "429")))
def bad_heartbeat(t, name):
    fault, words = FAULTS[name]
    scene = Scene(t)
    scene.works("before")
    scene.fake.break_kind("heartbeat", fault)
    scene.watch("heartbeat", 2)
    scene.said(words)
    scene.works("meanwhile")
    scene.fake.repair()
    scene.works("after")
    scene.end()


@case("poll is answered with {}", *(x for x in FAULTS if x != "429"))
def bad_poll(t, name):
    fault, words = FAULTS[name]
    scene = Scene(t)
    scene.works("before")
    scene.fake.break_kind("poll", fault)
    scene.watch("poll", 2)
    scene.said(words)
    scene.fake.repair()
    scene.works("after")
    scene.end()


@case("a result is answered with {}, and is sent again",
      *(x for x in FAULTS if x not in ("400", "429")))
def bad_result(t, name):
    fault, words = FAULTS[name]
    scene = Scene(t, ("result", fault))
    scene.fake.put(task("kept", params={"n": 1}))
    scene.watch("result", 2)
    scene.said(words)
    scene.fake.repair()
    result = scene.fake.wait_result("kept", 60)
    same(result["data"]["echo"], {"n": 1}, "data")
    scene.works("after")
    scene.end()


@case("RXON: {} is answered with HTML", *KINDS)
def bad_rxon(t, kind):
    scene = Scene(t, (kind, FAULTS["HTML with 200"][0]), classic=False)
    if kind == "result":
        scene.fake.put(task("kept"))
    scene.watch(kind, 2)
    scene.said(FAULTS["HTML with 200"][1])
    scene.fake.repair()
    scene.works("after")
    scene.end()


@case("a result refused for good is told, once, and not sent again")
def refused(t):
    scene = Scene(t, ("result", replying(400, b'{"error": "no job_id"}')))
    scene.fake.put(task("refused"))
    scene.fake.wait_requests("result", 1)
    scene.said("400|no job_id")
    scene.fake.repair()
    scene.works("after")
    mine = [r for r in scene.fake.of_kind("result") if b"refused" in r.body]
    same(len(mine), 1, "times it was sent")
    scene.end()


@case("429 is answered with silence")
def too_many(t):
    fake = Fake()
    fake.break_kind("register", FAULTS["429"][0])
    worker = t.worker(fake.url, orchestrator="protocol = classic")
    worker.wait_log(f"{COMPLAINT}.*429")
    came = len(fake.of_kind("register"))
    check(came <= 2, f"{came} registrations")
    worker.drain(15)


@case("a 429 to a {} silences that kind alone, whatever else succeeds",
      ("heartbeat", "poll"), ("poll", "heartbeat"))
def silence(t, kind, other):
    # Classic's limits are so low that the others would follow soon.
    scene = Scene(t, classic=False)
    scene.works("before")
    scene.fake.break_kind(kind, FAULTS["429"][0])
    scene.said("429")
    scene.fake.repair()
    came = len(scene.fake.of_kind(kind))
    scene.fake.wait_requests(other, len(scene.fake.of_kind(other)) + 6)
    # One that was on its way when the first was answered may still come.
    check(len(scene.fake.of_kind(kind)) <= came + 1,
          f"{len(scene.fake.of_kind(kind)) - came} requests in the silence")
    scene.worker.signal(signal.SIGINT)
    scene.worker.wait_log("draining")
    scene.worker.signal(signal.SIGINT)
    scene.worker.wait(30)


@case("a reply that shows the token is not shown, wherever it is cut")
def token_in_reply(t):
    for at in range(100, 260, 8):
        body = b"x" * at + TOKEN.encode() + b"y" * 200
        scene = Scene(t, ("register", replying(400, body, "text/plain")))
        scene.said("400")
        scene.worker.kill()
        log = scene.worker.log()
        check(TOKEN[:6] not in log, f"a part of the token is in the log, "
                                    f"after {at} bytes: {log}")


@case("nor is one that is escaped, as JSON may be")
def escaped_token(t):
    token = "a/b/c/d/e/f/g/h/i"
    for status, at, form in (
            (403, 0, '{"error": "%s"}'), (403, 140, '{"error": "%s"}'),
            (403, 150, '{"error": "%s"}'), (500, 150, '{"error": "%s"}'),
            (403, 0, '{"error": {"message": "%s"}}'), (500, 0, '["%s"]'),
            (500, 140, '["%s"]')):
        for slash in "\\/", "\\u002F":
            body = form % ("x" * at + token.replace("/", slash))
            fake = Fake()
            fake.break_kind("register", replying(status, body.encode()))
            worker = t.worker(fake.url, token=token,
                              orchestrator="protocol = classic")
            worker.wait_log(f"{COMPLAINT}.*{status}")
            worker.kill()
            log = worker.log().replace(slash, "/")
            check(token[:6] not in log, "a part of the token is in the log, "
                                        f"{slash} after {at} bytes: {log}")


@case("a body of 100 MB in answer to {} is cut off", *KINDS)
def huge_body(t, kind):
    scene = Scene(t)
    scene.works("before")
    before = scene.worker.peak_kb()
    scene.fake.break_kind(kind, huge(100 << 20))
    if kind == "register":
        scene.fake.known.clear()
    if kind == "result":
        scene.fake.put(task("kept"))
    scene.watch(kind, 2)
    scene.said("large|limit|MiB|bytes")
    grown = scene.worker.peak_kb() - before
    limit = (128 if has_sanitizers() else 24) << 10
    check(grown < limit, f"it grew by {grown} kB")
    scene.fake.repair()
    scene.works("after")
    scene.end()


@case("an orchestrator that is not there is looked for in peace")
def unreachable(t):
    scene = Scene(t, start=False)
    scene.said("refused|connect")
    scene.worker.wait_log(COMPLAINT, count=2)
    said = len(scene.worker.lines(COMPLAINT))
    took = time.monotonic() - scene.started
    check(said <= 3 + MOST_PER_SECOND * took, f"{said} lines in {took:.1f} s")
    scene.fake.start()
    scene.works("after")
    scene.end()


@case("a name that does not resolve is told, and does not hold the stop back")
def no_such_host(t):
    worker = t.worker("http://no-such-host.invalid:8000")
    worker.wait_log(COMPLAINT + ".*no-such-host.invalid", 60)
    worker.drain(20)


@case("an orchestrator that never answers runs into the time limit: {}",
      "register", "heartbeat", "result")
def slow(t, kind):
    fake = Fake()
    fake.break_kind(kind, silent)
    worker = t.worker(fake.url, worker="heartbeat_interval = 1s",
                      orchestrator="""
    protocol = classic
    request_timeout = 1s""")
    fake.put(task("kept"))
    fake.wait_requests(kind, 2)
    worker.wait_log(f"(?i){COMPLAINT}.*(timed out|timeout|in time)")
    fake.repair()
    same(fake.wait_result("kept", 60)["status"], "success", "status")
    worker.drain()


@case("a poll that never ends is given up after its own limit")
def slow_poll(t):
    # Shorter than the limit: a poll that is given up when its answer comes
    # takes the task with it.
    fake = Fake(poll_timeout=0.2)
    fake.break_kind("poll", silent)
    worker = t.worker(fake.url, orchestrator="""
    protocol = classic
    poll_timeout = 1s""")
    fake.wait_requests("poll", 2)
    fake.repair()
    fake.put(task("after"))
    fake.wait_result("after", 60)
    worker.drain()


@case("the heartbeat does not wait for handlers or for a parked poll")
def heartbeat_goes_on(t):
    fake = Fake(poll_timeout=30)
    gate = t.gate()
    worker = t.worker(fake.url, light=1, heavy=1,
                      worker="heartbeat_interval = 1s")
    fake.put(task("held", "slow", {"gate": gate.path}))
    gate.wait(1)
    had = len(fake.of_kind("heartbeat"))
    fake.wait_requests("heartbeat", had + 3)
    gate.open()
    fake.wait_result("held")
    worker.kill()


@case("a redirect of {} is not followed, and the token stays here", *KINDS)
def redirect(t, kind):
    other = Fake()
    scene = Scene(t, (kind, replying(
        307, b"", Location=f"{other.url}/_worker/workers/register")))
    if kind == "result":
        scene.fake.put(task("kept"))
    scene.watch(kind, 2)
    scene.said("307|redirect")
    same(other.requests, [], "requests at the other place")
    scene.fake.repair()
    scene.works("after")
    same(other.requests, [], "requests at the other place")
    scene.end()


# Tasks that are wrong ------------------------------------------------------

IDS = '"job_id": "job-bad", "task_id": "bad"'
DEEP = "[" * 1000 + "1" + "]" * 1000

# What comes, and whether its ids can be told, so that it must be answered.
BAD_TASKS = {
    "without task_id": ('{"job_id": "j", "type": "echo", "params": {}}',
                        False),
    "without job_id": ('{"task_id": "bad", "type": "echo", "params": {}}',
                       False),
    "without type": ("{%s, \"params\": {}}" % IDS, True),
    "with a type that is no string": (
        '{%s, "type": 7, "params": {}}' % IDS, True),
    "with a list for params": (
        '{%s, "type": "upper", "params": [1]}' % IDS, True),
    "with text for params": (
        '{%s, "type": "upper", "params": "x"}' % IDS, True),
    "with duplicate keys in params": (
        '{%s, "type": "echo", "params": {"a": 1, "a": 2}}' % IDS, True),
    "with very deep params": (
        '{%s, "type": "echo", "params": {"a": %s}}' % (IDS, DEEP), True),
    "with a lone surrogate": (
        '{%s, "type": "echo", "params": {"a": "\\ud800"}}' % IDS, True),
    "with an id for a path": (
        '{"job_id": "../../x", "task_id": "../y", "type": "echo", '
        '"params": {}}', False),
    "with an id of control characters": (
        '{"job_id": "a\\u0000b", "task_id": "c\\r\\nd", "type": "echo", '
        '"params": {}}', False),
    "with a huge id": ('{"job_id": "%s", "task_id": "t", "type": "echo", '
                       '"params": {}}' % ("x" * 100000), False),
    "with numbers for ids": (
        '{"job_id": 1, "task_id": 2, "type": "echo", "params": {}}', False),
    "that is null": ("null", False),
    "that is an empty object": ("{}", False),
    "with trailing bytes": (
        '{%s, "type": "echo", "params": {}} {}' % IDS, False),
    "that is cut off": ('{%s, "type": "echo", "par' % IDS, False),
    "that is not UTF-8": (b'{%s, "type": "echo", "params": {"a": "\xff"}}'
                          % IDS.encode(), False),
    "of 9 MB": ('{%s, "type": "upper", "params": {"text": "%s"}}'
                % (IDS, "x" * (9 << 20)), False),
}


@case("a task {} is answered or told, and hurts nobody", *BAD_TASKS)
def bad_task(t, name):
    text, answered = BAD_TASKS[name]
    scene = Scene(t)
    scene.fake.put(text if isinstance(text, bytes) else text.encode())
    scene.works("after")
    if answered:
        result = scene.fake.wait_result("bad")
        same(result["status"], "failure", "status")
        same(result["error"]["code"], "INVALID_INPUT_ERROR", "code")
    else:
        eventually(lambda: "bad" in scene.fake.results or
                   scene.worker.lines(f"(?i){COMPLAINT}.*(task|poll)"),
                   "the task answered or told")
    for line in scene.worker.log().splitlines():
        check(len(line) < 5000, f"a line of {len(line)} bytes")
    scene.works("and-after-that")
    scene.end()


@case("a task that comes twice is run once")
def twice(t):
    scene = Scene(t)
    gate = t.gate()
    held = task("same", "slow", {"gate": gate.path})
    scene.fake.put(held)
    gate.wait(1)
    scene.fake.put(held)
    scene.works("beside")
    gate.open()
    scene.fake.wait_result("same")
    same(len(gate.arrived), 1, "runs")
    scene.end()


@case("a poll that always brings {} is made less and less often",
      ("a task that runs", task("same", "slow"), 2),
      ("a task that has ended", task("same"), 2), ("no task", b"{}", 0))
def no_use(t, _name, brought, first):
    """As a cache on the way would. first: of no use, and the last that is made
    at once; a new task makes us ask for two more."""
    scene = Scene(t)
    gate = t.gate()
    if isinstance(brought, dict) and brought["type"] == "slow":
        brought["params"] = {"gate": gate.path}
    scene.fake.answer_poll = lambda _request: (200, brought)
    first += len(scene.fake.of_kind("poll"))
    polls = scene.fake.wait_requests("poll", first + 4)[first:]
    took = polls[3].at - polls[0].at
    check(took > 3.3, f"three more polls within {took:.1f} s")
    del scene.fake.answer_poll
    gate.open()
    scene.works("after")
    same(len(scene.fake.results.get("same", [0])), 1, "results")
    scene.end()


@case("unknown members, floats and numbers beyond 64 bits do no harm")
def strange_task(t):
    for classic in (True, False):
        scene = Scene(t, classic=classic)
        # A signed message cannot carry a number beyond 64 bits.
        big = 2 ** 80 if classic else 2 ** 64 - 1
        scene.fake.put(task(
            "odd", params={"big": big, "text": "ёж \u2028", "n": None},
            timestamp=1790000000.25, deadline=time.time() + 1000.5,
            priority=2.5, step=1, sig="x", policy={"a": [None]},
            security={"signer_id": "client"}, whatever=[[[]]]))
        result = scene.fake.wait_result("odd")
        same(result["data"]["echo"]["text"], "ёж \u2028", "text")
        same(result["data"]["echo"]["big"], big, "number")
        scene.end()


@case("RXON: a result that cannot be signed is reported as a failure")
def unsignable(t):
    scene = Scene(t, classic=False)
    scene.fake.put(task("huge", params={"n": 2 ** 80}))
    result = scene.fake.wait_result("huge")
    same(result["status"], "failure", "status")
    scene.works("after")
    scene.end()


@case("a result says what is known of a crash: {}",
      ("classic", True), ("RXON", False))
def crash_details(t, _name, classic):
    scene = Scene(t, classic=classic)
    scene.fake.put(task("dead", "crash", {"signal": int(signal.SIGSEGV)}))
    result = scene.fake.wait_result("dead")
    same(result["status"], "failure", "status")
    same(result["error"]["code"], "TRANSIENT_ERROR", "code")
    check("signal 11" in result["error"]["message"],
          f"message: {result['error']['message']}")
    details = result["error"]["details"]
    same(details["signal"], signal.SIGSEGV, "signal")
    for key in ("exit_status", "core", "max_rss_kb", "child_pid"):
        check(key in details or not classic and key == "exit_status",
              f"no {key}: {details}")
    scene.worker.wait_children(3)
    scene.works("after")
    scene.end()


@case("retry is sent as the orchestrator's block says: {}",
      "failure", "passthrough")
def retry_status(t, how):
    fake = Fake()
    worker = t.worker(fake.url, orchestrator=f"""
    protocol = classic
    retry_status = {how}""")
    fake.put(task("again", "retry_me"))
    result = fake.wait_result("again")
    if how == "failure":
        same(result["status"], "failure", "status")
        same(result["error"]["code"], "TRANSIENT_ERROR", "code")
        check("NOT_YET" in json.dumps(result["error"]), f"{result}")
    else:
        same(result["status"], "retry", "status")
        same(result["error"]["code"], "NOT_YET", "code")
    worker.drain()


@case("a signal while nothing answers stops it at once: {}",
      ("SIGTERM",), ("SIGINT",))
def stop_unregistered(t, name):
    fake = Fake()
    fake.break_kind("register", silent)
    worker = t.worker(fake.url)
    fake.wait_requests("register", 1)
    worker.signal(getattr(signal, name))
    worker.gone(20)


@case("a result that is always {} does not hold back the others",
      ("answered with 500", replying(500, b"broken", "text/plain"), True),
      ("answered with 403 by a firewall", replying(403, HTML, "text/html"),
       True), ("cut off", raw(b""), False))
def stuck_result(t, _name, fault, classic):
    scene = Scene(t, classic=classic)

    def refuse_one(handler, request):
        if request.json()["task_id"] == "bad":
            fault(handler, request)
        else:
            handler.reply(*scene.fake.answer(request))
    scene.fake.break_kind("result", refuse_one)
    scene.fake.put(task("bad"))
    # By the second it is known to be alone, after an answered heartbeat.
    scene.fake.wait_requests("result", 2)
    for i in range(20):
        scene.fake.put(task(f"good-{i}"))
    for i in range(20):
        scene.fake.wait_result(f"good-{i}", 60)
    check("bad" not in scene.fake.results, "it was taken")
    scene.fake.repair()
    scene.fake.wait_result("bad", 60)
    scene.end()


@case("no copy of a result goes out unseen when a connection breaks")
def unseen_copy(t):
    scene = Scene(t)
    scene.works("before")  # the connection is kept from now on
    sent = len(scene.fake.of_kind("result"))
    scene.fake.break_kind("result", raw(b""))
    scene.fake.put(task("copied"))
    scene.fake.wait_requests("result", sent + 3)

    def copies():
        return len(scene.fake.of_kind("result")) - sent

    # Between two attempts there is a line for every copy that came.
    eventually(lambda: copies() == len(scene.worker.lines("cannot deliver")),
               lambda: f"{copies()} copies, as many lines")
    scene.fake.repair()
    scene.fake.wait_result("copied", 60)
    scene.end()


@case("TERM delivers at once what an outage has held back")
def hurry(t):
    scene = Scene(t)
    scene.fake.break_kind("result", replying(503, HTML, "text/html",
                                             Retry_After="3000"))
    scene.fake.put(task("held"))
    scene.worker.wait_log("cannot deliver")
    scene.fake.repair()
    check("held" not in scene.fake.results, "it was sent before")
    scene.worker.signal(signal.SIGTERM)
    scene.fake.wait_result("held")
    same(scene.worker.wait(), 0, "exit status")


@case("requests carry what the dialect asks for: {}",
      ("classic", True), ("RXON", False))
def requests(t, _name, classic):
    scene = Scene(t, classic=classic)
    scene.works("one")
    for r in scene.fake.requests:
        same(r.headers["X-Worker-Token"], TOKEN, "token")
        if not classic:
            check(re.match(r"1\.0b\d+", r.headers["X-RXON-Version"]),
                  "version")
            same(r.headers["X-Worker-ID"], "w-1", "worker id")
    nonces = []
    for r in scene.fake.requests:
        if not classic and r.body not in (b"", b"{}"):
            body = r.json()
            check(isinstance(body["timestamp"], int), "timestamp")
            check(re.fullmatch("[0-9a-f]{64}",
                               body["security"]["signature"]), "signature")
            nonces.append(body["nonce"])
    same(len(set(nonces)), len(nonces), "different nonces")
    scene.end()


main()
