# SPDX-License-Identifier: ISC
"""What the conformance suite stands on. The suite runs avtoworkerd against
real orchestrators: each rule of docs/conformance.md is one case, run for each
version that the rule is about.

Most rules are about what was said in the course of one working day. That day
is a scene: it is played once for each version, through a proxy that writes
everything down, and the rules are claims about its record. What needs a day of
its own is a case like any other.
"""
import json
import os
import socket
import tempfile
import time
from types import SimpleNamespace

import harness
import peers
from harness import Failed, Program, case, check, eventually
from recording_proxy import Message, RecordingProxy

CLASSIC = ("1.0b1", "1.0b5")
RXON = ("1.0b28", "1.0b30", "1.0b30-redis")
EVERY = CLASSIC + RXON
OVER = ("finished", "bad", "other", "cancelled", "failed", "quarantined")

_rules = []  # (versions, what registers the case)


def rule(text, *rows, of=EVERY, scene=None, limit=300):
    """Marks a case, for those versions; with a scene it is given the record
    of it in place of the test."""
    def mark(function):
        def claim(t, *row):
            if scene is None:
                function(t, *row)
            else:
                function(record_of(t, scene), *row)
        _rules.append((of, lambda: case(text, *rows, limit=limit)(claim)))
        return function
    return mark


def scene(text):
    """Marks what is played before the rules about it are looked at. It
    returns its record, of what JSON can carry."""
    def mark(function):
        def play(t):
            path = record_path(t, function)
            try:
                record = function(t)
            except BaseException:
                write(path, {"failed": True})
                raise
            write(path, record)
        _rules.append((EVERY, lambda: case(text)(play)))
        return function
    return mark


def write(path, value_):
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(value_, f)
    os.rename(path + ".new", path)


def record_path(t, function):
    return os.path.join(t.records, function.__name__)


def record_of(t, function):
    """Its record, once it has been played: scenes come first."""
    path = record_path(t, function)
    eventually(lambda: os.path.exists(path), "the scene is over", 290)
    with open(path, encoding="utf-8") as f:
        record = json.load(f)
    check("failed" not in record, "the scene has failed")
    record["exchanges"] = [Said(e) for e in record["exchanges"]]
    return SimpleNamespace(classic=t.classic, version=t.version,
                           storage=t.storage, **record)


class Said(Message):
    """A request and its reply, as the proxy wrote them down."""

    def __init__(self, exchange):
        self.__dict__.update(exchange)
        self.body = exchange["body"].encode("latin-1")
        self.reply = exchange["reply"].encode("latin-1")


def of_kind(record, kind):
    return [e for e in record.exchanges if e.kind == kind]


def full_heartbeats(record):
    return [e for e in of_kind(record, "heartbeat") if e.body]


def answered(exchanges):
    """The worker does not wait for its last heartbeats when it ends."""
    return [e for e in exchanges if e.status]


def results_of(record, label):
    """The results that were sent for a job, as the dialect's own."""
    job_id = record.jobs[label]["id"]
    return [e for e in of_kind(record, "result")
            if e.json()["job_id"] == job_id]


def inner(record, exchange):
    """What a result says, whatever it is wrapped in."""
    body = exchange.json()
    return body["result"] if record.classic else body


def redis(t):
    """A server of the storage's kind. Returns its socket."""
    path = t.path("redis.sock")
    if not os.path.exists(path):
        try:
            Program(t, "redis", [
                "redis-server", "--port", "0", "--unixsocket", path, "--dir",
                t.dir, "--save", "", "--appendonly", "no"], dict(os.environ))
        except FileNotFoundError:
            raise Failed("redis-server is missing; on Debian: "
                         "apt-get install redis-server") from None
        eventually(lambda: listens(path), "redis listens")
    return path


def listens(path):
    """The socket is there a moment before anybody listens."""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


def peer(t, storage=None, arguments=(), **more):
    """A real orchestrator, with the storage that this run is about."""
    if (storage or t.storage) == "redis":
        arguments = (*arguments, "--redis", redis(t))
    return t.orchestrator(arguments=arguments, **more)


def recorded(t, **more):
    """The orchestrator, and the proxy that the worker is to talk to."""
    orch = peer(t, **more)
    return orch, RecordingProxy(orch.port)


def ended(orch, job_id, limit=60):
    """Waits for its end, whatever it is. Returns the job."""
    def over():
        job = orch.job(job_id)
        return job if job["outcome"] in OVER else None

    return eventually(over, lambda: f"the job ends: {orch.job(job_id)}",
                      limit)


def wait_unparked(proxy):
    """Until no poll is out."""
    proxy.wait(lambda all_: not any(e.kind == "poll" and
                                    e.answered_at is None for e in all_),
               "no poll is out")


def now():
    return time.time()


def main(version, storage="memory"):
    which = version if storage == "memory" else f"{version}-{storage}"
    for versions, register in _rules:
        if which in versions:
            register()
    with tempfile.TemporaryDirectory(prefix="aw-records-") as records:
        harness.main(lambda: peers.python_of(version), version=version,
                     storage=storage, records=records,
                     classic=version in CLASSIC)
