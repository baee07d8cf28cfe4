#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The same work through a worker of the real Python SDK and through
avtoworkerd, each before a real orchestrator of its own: what they say must be
the same, but for what differences.py lists, each with its reason."""
import json
import os
import signal
import sys
from fnmatch import fnmatch

sys.dont_write_bytecode = True

import peers  # noqa: E402
from conform import ended  # noqa: E402
from differences import DIFFERENCES  # noqa: E402
from harness import (SOURCE, TOKEN, Orchestrator, Program,  # noqa: E402
                     case, check, main, same)
from recording_proxy import RecordingProxy, value  # noqa: E402

PAIRS = {"classic": ("1.0b1", "sdk-1.0b1"), "rxon": ("1.0b30", "sdk-1.0b20")}
HEADERS = ("X-Worker-Token", "X-Worker-ID", "X-RXON-Version", "Content-Type",
           "Accept-Encoding", "Expect")
# What is different each time, or on each machine, and told by its name alone.
VARIES = ("timestamp", "nonce", "signature", "skills_hash", "pid", "event_id",
          "execution_time_seconds", "ip_address", "hostname",
          "X-Worker-Token")
LEFT_OUT = ("usage",)  # both send it only when it has changed

WORK = (
    ("echo", {"text": "ёж", "whole": 3, "part": 2.5, "deep": [{"n": [1]}]}),
    ("upper", {"text": "small"}),
    ("fail", {"code": "PERMANENT_ERROR", "message": "as asked"}),
    ("fail", {"code": "INVALID_INPUT_ERROR", "message": "as asked"}),
    ("fail", {"code": "TRANSIENT_ERROR", "message": "as asked"}),
    ("tell", {}),
)


class Names:
    """Ids by the order in which they come."""

    def __init__(self):
        self.known = {}

    def of(self, kind, text):
        if text not in self.known:
            count = sum(x.startswith(f"<{kind} ")
                        for x in self.known.values())
            self.known[text] = f"<{kind} {count + 1}>"

    def put(self, text):
        return self.known.get(text, text)


def flat(where, what, names):
    """{path: value} of a message."""
    key = where.rpartition(".")[2]
    if key in VARIES and what not in ("", None):
        return {where: f"<{key}>"}
    if isinstance(what, dict) and what:
        found = {}
        for name, part in what.items():
            if name not in LEFT_OUT:
                found.update(flat(f"{where}.{name}", part, names))
        return found
    if isinstance(what, list) and what and isinstance(what[0], dict):
        # One line for what is equal in all of them.
        found = {}
        for part in what:
            for path, text in flat(where, part, names).items():
                found.setdefault(path, set()).add(repr(text))
        return {path: sorted(texts) for path, texts in found.items()}
    if isinstance(what, list) and what:
        return {where: sorted(names.put(x) for x in what)}
    return {where: names.put(what) if isinstance(what, str) else what}


def message(exchange, names):
    """One request as {path: value}."""
    found = {f"header.{name}": value(exchange.headers, name)
             for name in HEADERS if value(exchange.headers, name) is not None}
    found = {k: f"<{k}>" if k.endswith("Token") else v
             for k, v in found.items()}
    found["request"] = f"{exchange.method} {exchange.path.split('?')[0]}"
    if "?" in exchange.path:
        for part in exchange.path.split("?")[1].split("&"):
            name, _, text = part.partition("=")
            found[f"query.{name}"] = text
    if exchange.body:
        found.update(flat("body", exchange.json(), names))
    return found


def types_of(proxy):
    """{type: category} of what has been registered."""
    body = proxy.of_kind("register")[0].json()
    skills = body.get("supported_skills") or \
        [{"name": name} for name in body["supported_tasks"]]
    return {x["name"]: x.get("type", "default") for x in skills}


def play(t, dialect, start, zoo=None):
    """Works through the script. Returns {stream: [message]}, what became of
    the jobs, and what was offered."""
    version, _ = PAIRS[dialect]
    orch = Orchestrator(t, version, poll_timeout=1)
    proxy = RecordingProxy(orch.port)
    worker = start(t, proxy.url, dialect, zoo)
    orch.wait_worker()
    proxy.wait(lambda all_: any(map(is_idle, all_)), "an idle heartbeat")
    jobs = []
    for task, params in WORK:
        jobs += orch.submit(task, params)
        ended(orch, jobs[-1])
    stop = t.path(t.unused("stop"))
    gate = t.gate()
    params = {"name": "held", "file": stop, "gate": gate.path}
    since = len(proxy.exchanges)
    held, = orch.submit("slow", params)
    proxy.wait(lambda all_: any(map(is_at_work, all_[since:])),
               "a heartbeat with a task")
    t.write(os.path.basename(stop), "")
    gate.open()
    ended(orch, held)
    since = len(proxy.exchanges)
    proxy.wait(lambda all_: any(map(is_idle, all_[since:])),
               "an idle heartbeat")
    worker.signal(signal.SIGTERM)
    worker.wait(40)
    check("Traceback" not in worker.log(), worker.log()[-2000:])
    outcomes = [orch.job(x)["outcome"] for x in [*jobs, held]]
    return streams(proxy), outcomes, types_of(proxy)


def is_full(e):
    return e.kind == "heartbeat" and e.body


def is_at_work(e):
    return is_full(e) and bool(e.json().get("load") or
                               e.json().get("current_tasks"))


def is_idle(e):
    return is_full(e) and not is_at_work(e)


def streams(proxy):
    """What was said, by what it is about; of what is said again and again,
    what is worth it."""
    names = Names()
    tasks = sorted((e for e in proxy.of_kind("poll") if e.status == 200),
                   key=lambda e: e.answered_at)
    for e in tasks:
        names.of("job", e.replied()["job_id"])
        names.of("task", e.replied()["task_id"])
    chosen = {
        "register": proxy.of_kind("register")[:1],
        "heartbeat, idle": list(filter(is_idle, proxy.exchanges))[:1],
        "heartbeat, at work": list(filter(is_at_work, proxy.exchanges))[-1:],
        "heartbeat, last": list(filter(is_full, proxy.exchanges))[-1:],
        "poll": proxy.of_kind("poll")[:1],
        "result": proxy.of_kind("result"),
        "event": proxy.of_kind("event"),
    }
    found = {k: [message(e, names) for e in v] for k, v in chosen.items()}
    # What follows what, without what goes on beside it.
    order = [(e.answered_at, "task") for e in tasks]
    order += [(e.at, e.kind) for e in proxy.exchanges
              if e.kind in ("register", "result", "event")]
    found["order"] = [{"kind": kind} for _, kind in sorted(order)]
    return found


def sdk(t, url, dialect, zoo):
    _, environment = PAIRS[dialect]
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG")}
    env.update(ORCHESTRATOR_URL=url, WORKER_TOKEN=TOKEN, WORKER_ID="w-1",
               HEARTBEAT_INTERVAL="1", MAX_CONCURRENT_TASKS="3",
               CPU_CORES="6", RAM_GB="48", TASK_FILES_DIR=t.path("files"),
               WORKER_PAYLOAD_DIR=t.path("files"), PYTHONUNBUFFERED="1",
               WORKER_BLOB_CACHE_DIR=t.path("cache"), ZOO=json.dumps(zoo))
    return Program(t, "sdk", [peers.python_of(environment), "-B",
                              os.path.join(SOURCE, "sdk_zoo.py")], env)


def ours(t, url, _dialect, _zoo):
    return t.worker(url, worker="""
    type = differential
    heartbeat_interval = 1s
    max_concurrent_tasks = 3""", orchestrator="websocket = no", more="""
resources {
    cpu = 6
    memory_gb = 48
}
""")


def differ(theirs, mine):
    """{(stream, path): (what the SDK says, what we say)}, None for nothing.
    Messages of a stream are compared in their order; what is about headers and
    queries belongs to every stream."""
    found = {}
    for stream in theirs:
        a, b = theirs[stream], mine[stream]
        if len(a) != len(b):
            found[(stream, "how many")] = (len(a), len(b))
        for one, other in zip(a, b):
            for path in {**one, **other}:
                if one.get(path) != other.get(path):
                    where = "every" if path.startswith("header") else stream
                    found.setdefault((where, path),
                                     (one.get(path), other.get(path)))
    return found


def row_of(dialect, stream, path, who):
    """What is listed about that, or None."""
    for row in DIFFERENCES[dialect]:
        if fnmatch(stream, row[0]) and fnmatch(path, row[1]) and \
                row[2] in (who, "both"):
            return row
    return None


@case("{}: the SDK and avtoworkerd say the same, but for what is listed",
      *PAIRS, limit=180)
def differential(t, dialect):
    mine, our_ends, zoo = play(t, dialect, ours)
    theirs, ends, _ = play(t, dialect, sdk, zoo)
    same(our_ends, ends, "what became of the jobs")
    used = set()
    for (stream, path), (a, b) in differ(theirs, mine).items():
        row = row_of(dialect, stream, path, "SDK" if b is None else
                     "avtoworkerd" if a is None else "both")
        check(row, f"not listed: {path} of {stream}: the SDK says {a!r}, "
              f"avtoworkerd {b!r}")
        used.add(row)
    for row in DIFFERENCES[dialect]:
        check(row in used, f"listed, but there is none: {row}")


main(lambda: [peers.python_of(v) for pair in PAIRS.values() for v in pair])
