#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""How the worker treats its orchestrator: never more requests than are of use,
silence where silence is wanted, and heartbeats that are never late."""
import hashlib
import hmac
import json
import os
import re
import signal
import sys
import time
from email.utils import formatdate

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, Handler, Server, replying, \
    silent, task  # noqa: E402
from harness import BUILD, CHILD, LIMIT, SOURCE, TOKEN, case, check, \
    eventually, figure, free_port, main, read, same  # noqa: E402

RESOLVER = os.path.join(BUILD, "tests", "integration", ".libs",
                        "silent_resolver.so")
COMPLAINT = r" - (WARNING|ERROR) - "
SILENCE = 60  # seconds after which a real one forgets
KINDS = ("register", "heartbeat", "poll", "result")
ERROR = b'{"error": "not now"}'


class ClockHandler(Handler):
    """Its clock may be wrong."""

    def date_time_string(self, timestamp=None):
        return super().date_time_string(
            timestamp or time.time() + self.server.fake.skew)


class CountingServer(Server):
    """Knows how many connections there were."""

    def __init__(self, *args):
        self.opened = 0
        super().__init__(*args)

    def process_request(self, request, client_address):
        self.opened += 1
        super().process_request(request, client_address)


class Peer(Fake):
    """Counts what is too much."""

    def __init__(self, limits=None, result_delay=0, **more):
        self.skew = 0
        self.limits = limits or {}  # kind: requests between two silences
        self.windows = {}  # kind: [requests, when the last one came]
        self.refused = []  # kinds
        self.result_delay = result_delay
        super().__init__(**more)

    def listen(self):
        return CountingServer(("127.0.0.1", self.port), ClockHandler)

    def is_too_much(self, kind):
        """As real ones count: every request begins the minute anew."""
        with self.changed:
            window = self.windows.setdefault(kind, [0, 0])
            now = time.monotonic()
            if now - window[1] >= SILENCE:
                window[0] = 0
            window[0] += 1
            window[1] = now
            if window[0] <= self.limits.get(kind, 1 << 30):
                return False
            self.refused.append(kind)
            return True

    def answer(self, request):
        if self.is_too_much(request.kind):
            return 429, {"error": "Too Many Requests"}
        return super().answer(request)

    def answer_result(self, request):
        time.sleep(self.result_delay)  # it is a slow one
        return super().answer_result(request)

    def times(self, kind):
        return [r.at for r in self.of_kind(kind)]

    def gaps(self, kind, since=0.0):
        times = [x for x in self.times(kind) if x >= since]
        return [b - a for a, b in zip(times, times[1:])]


def start(t, fake, more="", interval="1s", classic=True, **others):
    others.setdefault("light", 2)
    others.setdefault("heavy", 1)
    worker = others.pop("worker", "")
    return t.worker(fake.url, worker=f"""
    heartbeat_interval = {interval}
    {worker}""", orchestrator=f"""
    protocol = {"classic" if classic else "rxon"}
    {more}""", **others)


def works(fake, name, limit=LIMIT):
    fake.put(task(name))
    same(fake.wait_result(name, limit)["status"], "success", name)


def end(worker):
    worker.drain()
    check(TOKEN not in worker.log(), "the token is in the log")


# Rate limits (S8) ----------------------------------------------------------

@case("with rate_budget = always no limit is ever met",
      limit=400)
def always(t):
    published = {k: 5 for k in KINDS}
    fake = Peer(published, poll_timeout=0.1)
    port = free_port()
    worker = start(t, fake, "rate_budget = always", metrics=f"port = {port}",
                   worker="poll_interval = 100ms")
    for i in range(7):
        fake.put(task(f"t{i}"))
    for i in range(7):
        fake.wait_result(f"t{i}", 150)
    fake.wait_requests("heartbeat", 7, 150)
    same(fake.refused, [], "refused requests")
    for kind in ("heartbeat", "poll"):
        times = fake.times(kind)
        gap = times[5] - times[4]
        check(SILENCE <= gap < SILENCE + 10 + t.late(),
              f"{kind}: {gap:.1f} s of silence")
        name = f'worker_rate_pause_seconds_total{{endpoint="{kind}"}}'
        spent = figure(port, name)
        check(spent > 50, f"{name} is {spent}")
        lines = worker.lines(f"{COMPLAINT}.*rate limit.*kind {kind} .*"
                             "RATE_LIMITING_ENABLED")
        same(len(lines), 1, f"lines about {kind}")
    worker.kill()


@case("after one 429 a limit is not met again", limit=500)
def learned(t):
    fake = Peer({"poll": 6}, poll_timeout=0.1, classic=False)
    worker = start(t, fake, classic=False, worker="poll_interval = 100ms")
    worker.wait_log(f"{COMPLAINT}.*429")
    worker.wait_log(f"{COMPLAINT}.*rate limit.*change RATE_LIMIT_POLL_LIMIT")
    refused_at = fake.times("poll")[-1]
    fake.wait_requests("heartbeat", len(fake.of_kind("heartbeat")) + 3)
    works(fake, "after", 100)
    check(fake.times("poll")[7] - refused_at >= SILENCE, "too soon")
    # The first count was not known from its beginning; the second one is.
    eventually(lambda: len(fake.refused) == 2, "the second 429", 100)
    works(fake, "again", 100)
    fake.put(task("third"))
    fake.wait_result("third", 100)
    same(fake.refused, ["poll", "poll"], "refused requests")
    worker.kill()


@case("results that a limit holds back are delivered after it")
def held_back(t):
    fake = Peer({"result": 3})
    worker = start(t, fake)
    for i in range(8):
        fake.put(task(f"t{i}"))
    worker.wait_log(f"{COMPLAINT}cannot deliver.*429")
    fake.wait_requests("heartbeat", count_of(fake, "heartbeat") + 3)
    sent = count_of(fake, "result")
    check(sent <= 8, f"{sent} results were sent")
    eventually(lambda: len(fake.results) >= 6,
               lambda: f"results: {list(fake.results)}", 100)
    gap = max(fake.gaps("result"))
    check(gap >= SILENCE, f"{gap:.1f} s of silence")
    worker.kill()


# Retry-After and back-off --------------------------------------------------

def provoke(fake, kind):
    """Makes requests of that kind happen."""
    if kind == "result":
        fake.put(task("provoked"))
    elif kind == "register":
        fake.known.clear()


def count_of(fake, kind):
    return len(fake.of_kind(kind))


def header_seconds():
    return {"Retry_After": "4"}


def header_date():
    return {"Retry_After": formatdate(time.time() + 5, usegmt=True)}


def header_date_of_other_clock():
    """Only both together make sense."""
    then = time.time() - 7200
    return {"Date": formatdate(then, usegmt=True),
            "Retry_After": formatdate(then + 4, usegmt=True)}


HEADERS = {"seconds": header_seconds, "a date": header_date,
           "a date by a clock of its own": header_date_of_other_clock}


@case("Retry-After of a {} is obeyed as {}",
      *((k, h) for k in KINDS for h in HEADERS))
def retry_after(t, kind, header):
    fake = Peer()
    worker = start(t, fake)
    works(fake, "before")
    other = "poll" if kind == "heartbeat" else "heartbeat"

    def fault(handler, request):
        replying(503, ERROR, **HEADERS[header]())(handler, request)

    fake.break_kind(kind, fault)
    had = count_of(fake, kind)  # the last of them may have met it already
    provoke(fake, kind)
    fake.wait_requests(kind, had + 1)
    fake.repair()
    if kind != "register":
        fake.wait_requests(other, count_of(fake, other) + 2)
    # Others of the kind may have been on their way. By itself it would come
    # again within 1 s.
    eventually(lambda: [g for g in fake.gaps(kind)[had - 1:] if g >= 2.5],
               lambda: f"a silence; gaps: {fake.gaps(kind)[had - 1:]}", 30)
    if kind == "result":
        fake.wait_result("provoked")
    works(fake, "after")
    end(worker)


@case("Retry-After is bounded to an hour")
def bounded(t):
    fake = Peer()
    fake.break_kind("poll", replying(503, ERROR, Retry_After="999999999999"))
    worker = start(t, fake)
    worker.wait_log(f"{COMPLAINT}poll failed.*again in 3600.0 s")
    end(worker)


@case("each kind has a back-off of its own: {}",
      ("register", 1), ("heartbeat", 1), ("poll", 1), ("result", 0.5))
def back_off(t, kind, first):
    fake = Peer()
    worker = start(t, fake, interval="20s" if kind == "heartbeat" else "1s")
    works(fake, "before")
    if kind == "poll":
        # After a task there may be two, and a good answer to one begins anew.
        fake.wait_requests("poll", len(fake.of_kind("poll")) + 3)
    fake.break_kind(kind, replying(500, ERROR))
    since = time.monotonic()
    provoke(fake, kind)

    def spoilt():
        return [r for r in fake.of_kind(kind) if r.at >= since]

    eventually(lambda: len(spoilt()) >= 5, lambda: f"{len(spoilt())} of them")
    gaps = fake.gaps(kind, since)[:4]
    for i, gap in enumerate(gaps):
        check(gap >= first * 2 ** i / 2 * 0.9 - t.late(), f"gaps of {gaps}")
    if kind not in ("heartbeat", "register"):
        beats = fake.gaps("heartbeat", since)
        check(beats and max(beats) < 4 + t.late(), f"heartbeats: {beats}")
    if kind in ("heartbeat", "result"):
        check(fake.times("poll")[-1] > since, "no polls")
    worker.kill()


BACK_OFFS = {
    "register": {"REGISTRATION_RETRY_INITIAL_DELAY": "0.05",
                 "REGISTRATION_RETRY_MAX_DELAY": "0.1"},
    "poll": {"POLL_BACKOFF_INITIAL": "0.05", "POLL_BACKOFF_MAX": "0.1",
             "POLL_BACKOFF_FACTOR": "1.5"},
    "result": {"RESULT_RETRY_INITIAL_DELAY": "0.05"},
}


@case("the environment sets each back-off: {}", *BACK_OFFS)
def back_off_set(t, kind):
    fake = Peer()
    worker = start(t, fake, "result_backoff_max = 100ms", env=BACK_OFFS[kind])
    works(fake, "before")
    since = time.monotonic()
    fake.break_kind(kind, replying(500, ERROR))
    provoke(fake, kind)
    # By the usual one that many would take more than a minute.
    eventually(lambda: len(fake.gaps(kind, since)) >= 12,
               lambda: f"{len(fake.gaps(kind, since))} of them", 30)
    worker.kill()


# Polls ---------------------------------------------------------------------

@case("one poll is parked when there is nothing to do")
def one_poll(t):
    fake = Peer(poll_timeout=1)
    worker = start(t, fake, light=4)
    fake.wait_requests("poll", 5)
    same(fake.most_parked, 1, "polls at once")
    end(worker)


@case("as many polls as bring tasks, up to the places, and back to one")
def adaptive(t):
    fake = Peer(poll_timeout=0.5)
    worker = start(t, fake, light=3, worker="max_concurrent_tasks = 3")
    for i in range(300):
        fake.put(task(f"t{i}"))
    for i in range(300):
        fake.wait_result(f"t{i}", 60)
    check(2 <= fake.most_parked <= 3, f"{fake.most_parked} polls at once")
    fake.wait_requests("poll", count_of(fake, "poll") + 6)
    fake.most_parked = 0
    fake.wait_requests("poll", count_of(fake, "poll") + 4)
    same(fake.most_parked, 1, "polls at once, after all")
    end(worker)


@case("without a place there is no poll")
def no_place(t):
    fake = Peer(poll_timeout=0.5)
    gate = t.gate()
    worker = start(t, fake, worker="max_concurrent_tasks = 1")
    fake.put(task("held", "slow", {"gate": gate.path}))
    gate.wait(1)
    eventually(lambda: fake.parked == 0, "the polls that were out end")
    had = count_of(fake, "poll")
    fake.wait_requests("heartbeat", count_of(fake, "heartbeat") + 3)
    same(count_of(fake, "poll"), had, "polls")
    gate.open()
    fake.wait_result("held")
    works(fake, "after")
    end(worker)


# Connections ---------------------------------------------------------------

@case("connections are used again, and closed when they are idle")
def connections(t):
    fake = Peer(poll_timeout=2)
    worker = start(t, fake, light=4)
    for i in range(200):
        fake.put(task(f"t{i}"))
    for i in range(200):
        fake.wait_result(f"t{i}", 60)
    # Up to 32 results are under way at once, and 6 polls.
    few = fake.server.opened
    check(few <= 40, f"{few} connections for 200 tasks")
    fake.result_delay = 0.5
    for i in range(200):
        fake.put(task(f"s{i}"))
    for i in range(200):
        fake.wait_result(f"s{i}", 60)
    many = fake.server.opened
    check(many <= 50, f"{many} connections for 400 tasks")
    eventually(lambda: len(fake.server.open) <= 4,
               lambda: f"{len(fake.server.open)} connections of {many} are "
                       "open", 120)
    # What is held up for a second needs one beside it.
    check(fake.server.opened - many <= t.late(),
          f"{fake.server.opened - many} connections without any need")
    end(worker)


# The clock -----------------------------------------------------------------

@case("a clock that is far from ours is told, once: {} s", 45, -3600)
def skew(t, seconds):
    fake = Peer(poll_timeout=0.3)
    port = free_port()
    worker = start(t, fake, metrics=f"port = {port}")
    name = 'worker_clock_skew_seconds{orchestrator="main"}'
    check(abs(figure(port, name)) < 5, f"skew of {figure(port, name)}")
    check(not worker.lines("clock of"), "a line without a reason")
    fake.skew = seconds
    side = "ahead of" if seconds > 0 else "behind"
    line = worker.wait_log(f"{COMPLAINT}the clock of .* s {side} ours")[0]
    told = int(re.search(r"is (\d+) s", line).group(1))
    check(abs(told - abs(seconds)) <= 2 + t.late(), line)
    check("60 s" in line and "RXON" in line, line)
    eventually(lambda: abs(figure(port, name) - seconds) < 5, "the figure")
    fake.wait_requests("heartbeat", count_of(fake, "heartbeat") + 3)
    same(len(worker.lines(COMPLAINT + "the clock of")), 1, "lines")
    fake.skew = 0
    worker.wait_log("the clock of .* agrees with ours again")
    worker.kill()


# The token -----------------------------------------------------------------

def number(text):
    """A fraction that is integral is signed as an integer."""
    value = float(text)
    return int(value) if value.is_integer() else value


def signature(request, token):
    """Of a message without nulls, and without fractions below 0.0001."""
    body = json.loads(request.body, parse_float=number)
    del body["security"]
    text = json.dumps(body, sort_keys=True, separators=(",", ":"),
                      ensure_ascii=False)
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()


@case("a token file that is replaced is read again, and messages are signed "
      "anew: {}", ("classic", True), ("RXON", False))
def new_token(t, _name, classic):
    fake = Peer(classic=classic, poll_timeout=0.5)
    worker = start(t, fake, classic=classic)
    works(fake, "before")
    token = "another-token-of-today"
    fake.token = token
    fake.put(task("between"))
    eventually(lambda: worker.lines(f"{COMPLAINT}.*40[13]"), "a refusal")
    t.write("token", token + "\n")
    works(fake, "after")
    result = [r for r in fake.of_kind("result")
              if b'"after"' in r.body and r.headers["X-Worker-Token"] == token]
    same(len(result), 1, "results with the new token")
    if not classic:
        same(result[0].json()["security"]["signature"],
             signature(result[0], token), "signature")
    worker.drain()
    for secret in (token, TOKEN):
        check(secret not in worker.log(), "a token is in the log")


# Never late ----------------------------------------------------------------

PROGRAM = """#!{python} -ESs
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {source!r})
import fickle
fickle.main({plan!r}, "light", {log!r}, {child!r})
"""


def bad_company(t):
    """Two more orchestrators: the resolver never answers who asks for the one,
    and the other accepts whatever comes and never answers."""
    mute = Peer()
    for kind in ("register", "heartbeat", "poll", "result"):
        mute.break_kind(kind, silent)
    token = t.write("token-others", TOKEN + "\n")
    return "".join(f"""
orchestrator {name} {{
    url = "{url}"
    token_file = "{token}"
    protocol = classic
}}""" for name, url in (("nowhere", "http://nowhere.silent.test"),
                        ("mute", mute.url)))


def longest_gap(fake, worker):
    """Between heartbeats, of which there are eight more."""
    fake.wait_requests("heartbeat", count_of(fake, "heartbeat") + 8)
    check(worker.is_alive(), "it died")
    worker.wait_log("silent_resolver: asked")
    return max(fake.gaps("heartbeat"))


@case("{}: a heartbeat is never late: ten children spin, one is stopped, one "
      "announces 60 MB, a resolver and an orchestrator never answer",
      ("classic", True), ("RXON", False))
def never_late(t, _name, classic):
    fake = Peer(classic=classic)
    steps = t.path("steps")
    plan = ["spin"] * 10 + ["started_stop", "announce_60m"]
    program = t.write("fickle-child", PROGRAM.format(
        python=sys.executable, source=SOURCE, plan=plan, log=steps,
        child=CHILD), 0o700)
    worker = t.worker(
        fake.url, light=12, more=bad_company(t), orchestrator=f"""
    protocol = {"classic" if classic else "rxon"}""", worker="""
    heartbeat_interval = 1s
    max_concurrent_tasks = 20""",
        env={"AVTOWORKER_CHILD": program, "LD_PRELOAD": RESOLVER})
    # One more: the child that announces too much is replaced at once, by one
    # that may have a task before the last of the others begins.
    gate = t.gate()
    for i in range(13):
        fake.put(task(f"t{i}", params={"gate": gate.path}))

    def at_work():
        lines = read(steps).splitlines() if os.path.exists(steps) else []
        return [x for x in lines if x.startswith("at ")]

    eventually(lambda: len(at_work()) >= 12,
               lambda: f"{len(at_work())} at work")
    worker.wait_log("60 MB|62914560|frame")
    gap = longest_gap(fake, worker)
    # The spinning ones take all of the machine; nobody ever ends to wait for.
    check(gap < 4 + t.late(), f"no heartbeat for {gap:.1f} s")
    worker.signal(signal.SIGINT)
    worker.wait_log("draining")
    worker.signal(signal.SIGINT)
    worker.wait(30)


@case("a resolver that never answers holds back no task, and no stop")
def silent_resolver(t):
    fake = Peer()
    worker = t.worker(fake.url, more=bad_company(t), orchestrator="""
    protocol = classic""", env={"LD_PRELOAD": RESOLVER})
    worker.wait_log("silent_resolver: asked")
    for i in range(20):
        works(fake, f"t{i}")
    began = time.monotonic()
    worker.drain()
    took = time.monotonic() - began
    check(took < 15 + t.late(), f"the stop took {took:.1f} s")


# The environment -----------------------------------------------------------

WITHOUT_USE = (
    "RATE_LIMIT_BACKOFF_FLOOR", "STRICT_EVENT_VALIDATION",
    "WORKER_SKILLS_DIR", "S3_SECRET_KEY", "S3_REGION",
    "WORKER_BLOB_CACHE_DIR", "OTEL_EXPORTER_OTLP_ENDPOINT")


@case("a variable of the Python SDK without use here is told, not its value")
def variables(t):
    fake = Peer()
    secret = "value-that-nobody-may-see"
    worker = start(t, fake, env={
        **dict.fromkeys(WITHOUT_USE, secret), "RESULT_MAX_RETRIES": "",
        "WORKER_EXTRA_RACK": secret, "POLL_BACKOFF_MAX": "30"})
    works(fake, "one")
    for name in WITHOUT_USE:
        same(len(worker.lines(f"environment: {name} is not used here: ")), 1,
             f"lines about {name}")
    same(len(worker.lines("environment: ")), len(WITHOUT_USE), "lines")
    check(secret not in worker.log(), "the value is in the log")
    end(worker)


main()
