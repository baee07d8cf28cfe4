#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The development orchestrator, asked over HTTP as a worker would ask it."""
import hashlib
import hmac
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("top_builddir", ".")
PROGRAM = os.path.join(BUILD, "avtoworker-devorch")
LIMIT = 20  # seconds that anything may take


class Devorch:
    """A running server; its options as to the program."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [PROGRAM, "--listen", "127.0.0.1:0", "--json", *options],
            stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        assert ready.startswith("READY port="), ready
        self.port = int(ready.split("=")[1])
        self.conn = self.connect()

    def connect(self):
        return http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=LIMIT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.close()
        self.process.kill()
        self.process.communicate()

    def ask(self, method, path, body=None, token="secret", conn=None):
        """Status and body, decoded when it is JSON."""
        conn = conn or self.conn
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        conn.request(method, "/_worker" + path, body,
                     {"X-Worker-Token": token} if token else {})
        answer = conn.getresponse()
        self.headers = answer.headers
        text = answer.read()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def poll(self, **kw):
        return self.ask("GET", "/workers/w-1/tasks/next", **kw)

    def result(self, task, status="success", worker="w-1", **more):
        """A result in either form, flat and nested."""
        body = {"job_id": task["job_id"], "task_id": task["task_id"],
                "worker_id": worker, "status": status, **more,
                "result": {"status": status, **more}}
        return self.ask("POST", "/tasks/result", body)

    def summary(self):
        """Ends the server and returns its summary and what came before."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.finished()

    def finished(self):
        lines = self.process.communicate(timeout=LIMIT)[0].splitlines()
        assert self.process.returncode == 0, self.process.returncode
        self.lines = [json.loads(line) for line in lines[:-1]]
        return json.loads(lines[-1])


def same(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def sign(message, secret):
    """A signature for messages of strings, integers and objects."""
    text = json.dumps(message, sort_keys=True, separators=(",", ":"),
                      ensure_ascii=False)
    return {**message, "security": {"signature": hmac.new(
        secret.encode(), text.encode(), hashlib.sha256).hexdigest()}}


CLASSIC = ("--dialect", "classic")
RXON = ("--dialect", "rxon")
TESTS = []


def test(claim):
    def keep(function):
        TESTS.append((claim, function))
        return function
    return keep


@test("classic: registers a worker and knows it in heartbeats")
def _():
    with Devorch(*CLASSIC) as d:
        same(d.ask("PATCH", "/workers/w-1"),
             (404, {"error": "Worker not found"}))
        same(d.ask("POST", "/workers/register", {"worker_id": "w-1"}),
             (200, {"status": "registered"}))
        same(d.ask("PATCH", "/workers/w-1"),
             (200, {"status": "ttl_refreshed"}))
        same(d.ask("PATCH", "/workers/w-1", {"status": "idle"})[0], 200)
        s = d.summary()
        same((s["registers"], s["heartbeats"]), (1, 3))


@test("rxon: only a bare heartbeat tells that a worker is unknown")
def _():
    with Devorch(*RXON) as d:
        same(d.ask("PATCH", "/workers/w-1", {"status": "idle"}),
             (200, {"status": "ok"}))
        same(d.headers["X-RXON-Version"], "1.0b15")
        same(d.ask("PATCH", "/workers/w-1"), (200, None))
        d.ask("POST", "/workers/register", {"worker_id": "w-1"})
        same(d.ask("PATCH", "/workers/w-1"),
             (200, {"status": "ttl_refreshed"}))


@test("asks for the token in the words of each dialect")
def _():
    for dialect, status in ((CLASSIC, 401), (RXON, 403)):
        with Devorch(*dialect, "--token", "secret", "--tasks", "a") as d:
            for token in (None, "wrong"):
                same(d.poll(token=token)[0], status)
            same(d.poll()[0], 200)
            same(d.summary()["refused"], 2)


@test("hands out tasks by turns, numbered, and takes their results")
def _():
    for dialect in (CLASSIC, RXON):
        with Devorch(*dialect, "--exit-when-done", "--tasks",
                     'a=2:{"n":{i},"s":"{i}!"}', "--tasks", "b") as d:
            tasks = [d.poll()[1] for _ in range(3)]
            same([t["type"] for t in tasks], ["a", "b", "a"])
            same(tasks[2]["params"], {"n": 2, "s": "2!"})
            same("timestamp" in tasks[0], dialect == RXON)
            for task in tasks:
                status, answer = d.result(task, data={})
                same(status, 200)
            same(answer["status"], "accepted" if dialect == RXON else
                 "result_accepted_success")
            s = d.finished()
            same((s["tasks"], s["results"], s["lost"], s["jobs"]["finished"]),
                 (3, {"success": 3}, 0, 3))
            assert 0 < s["latency_us"]["p50"] <= s["latency_us"]["max"]
            assert s["tasks_per_second"] > 0


@test("reads tasks from a file and prints results as they come")
def _():
    path = f"devorch-tasks-{os.getpid()}.jsonl"
    with open(path, "w") as f:
        f.write('{"type": "x", "params": {"keep": "{i}"}}\n\n{"type":"y"}\n')
    try:
        with Devorch(*CLASSIC, "--task-file", path, "--print", "results",
                     "--exit-when-done") as d:
            x, y = d.poll()[1], d.poll()[1]
            same((x["type"], x["params"]), ("x", {"keep": "{i}"}))
            d.result(x, data={"answer": 42})
            d.result(y, "failure", error={"code": "INVALID_INPUT_ERROR",
                                          "message": "no"})
            s = d.finished()
            same([(r["type"], r["status"], r.get("data")) for r in d.lines],
                 [("x", "success", {"answer": 42}), ("y", "failure", None)])
            same(s["codes"], {"INVALID_INPUT_ERROR": 1})
    finally:
        os.unlink(path)


@test("an empty poll waits for its time, then is 204")
def _():
    with Devorch(*RXON, "--poll-timeout", "0.3") as d:
        began = time.monotonic()
        same(d.poll(), (204, b""))
        assert 0.25 < time.monotonic() - began < LIMIT / 2
        same(d.poll(), (204, b""))
        same(d.summary()["empty_polls"], 2)


@test("a window holds tasks back until a result makes room")
def _():
    with Devorch(*RXON, "--window", "1", "--tasks", "a=2") as d:
        first = d.poll()[1]
        waiting = d.connect()
        waiting.request("GET", "/_worker/workers/w-2/tasks/next")
        same(d.result(first)[0], 200)
        second = json.loads(waiting.getresponse().read())
        assert second["job_id"] != first["job_id"]
        waiting.close()
        s = d.summary()
        same((s["tasks"], s["lost"]), (2, 1))


@test("holds everything back until it is told to begin")
def _():
    with Devorch(*RXON, "--hold", "--tasks", "a") as d:
        waiting = d.connect()
        waiting.request("GET", "/_worker/workers/w-2/tasks/next")
        same(d.process.stdout.readline(), "POLLING\n")
        d.process.send_signal(signal.SIGUSR1)
        same(waiting.getresponse().status, 200)
        waiting.close()


@test("keeps to a rate")
def _():
    with Devorch(*RXON, "--rate", "100/s", "--tasks", "a=20",
                 "--exit-when-done") as d:
        for _ in range(20):
            d.result(d.poll()[1])
        assert 0.15 < d.finished()["seconds"] < LIMIT


@test("tries transient failures again, then quarantines")
def _():
    with Devorch(*RXON, "--retries", "1", "--exit-when-done", "--tasks",
                 "a") as d:
        error = {"code": "TRANSIENT_ERROR", "message": "again"}
        first = d.poll()[1]
        same(d.result(first, "failure", error=error)[1]["transition"],
             "failure_handled")
        second = d.poll()[1]
        same(second["job_id"], first["job_id"])
        assert second["task_id"] != first["task_id"]
        same(d.result(first)[1]["reason"], "stale_task")
        d.result(second, "failure", error=error)
        s = d.finished()
        same((s["jobs"]["quarantined"], s["duplicates"], s["tasks"]),
             (1, 1, 2))


@test("makes of each status what real orchestrators make of it")
def _():
    outcomes = {"success": "finished", "cancelled": "cancelled",
                "needs_review": "failed", "PERMANENT_ERROR": "quarantined",
                "INVALID_INPUT_ERROR": "failed"}
    with Devorch(*RXON, "--tasks", f"a={len(outcomes)}",
                 "--exit-when-done") as d:
        for word in outcomes:
            task = d.poll()[1]
            if word.isupper():
                d.result(task, "failure",
                         error={"code": word, "message": ""})
            else:
                d.result(task, word)
        jobs = d.finished()["jobs"]
        for state in set(outcomes.values()):
            same(jobs[state], list(outcomes.values()).count(state))


@test("counts results that nobody asked for")
def _():
    nobody = {"job_id": "no-such-job", "task_id": "t"}
    for dialect, status in ((CLASSIC, 404), (RXON, 200)):
        with Devorch(*dialect, "--tasks", "a") as d:
            same(d.result(nobody)[0], status)
            task = d.poll()[1]
            d.result(task)
            d.result(task)
            same(d.result({**task, "task_id": "x"})[0], 200)
            s = d.summary()
            same((s["unknown"], s["duplicates"]), (2, 1))


@test("refuses bodies that are no JSON, or too large")
def _():
    with Devorch(*RXON, "--tasks", "a") as d:
        same(d.ask("POST", "/tasks/result", "{nope")[0], 400)
        same(d.ask("POST", "/tasks/result", '{"a":1,"a":2}')[0], 400)
        same(d.ask("POST", "/tasks/result", b"x" * (1024 * 1024 + 1))[0], 413)
        same(d.ask("POST", "/nothing", "{}"), (404, b"404: Not Found"))
        same(d.ask("PUT", "/tasks/result", "{}")[0], 405)
        same(d.summary()["malformed"], 2)


@test("checks signatures and timestamps when told to")
def _():
    def register(message):
        return d.ask("POST", "/workers/register", message)
    with Devorch(*RXON, "--verify-signatures", "--token", "secret") as d:
        now = int(time.time())
        message = {"worker_id": "w-1", "timestamp": now, "x": {"b": 1}}
        same(register(sign(message, "secret"))[0], 200)
        same(register(sign(message, "other")),
             (403, {"error": "Invalid cryptographic signature"}))
        same(register(message)[0], 403)
        same(register(sign({**message, "timestamp": now - 100},
                           "secret"))[0], 403)
        same(register({"worker_id": "w-1"})[0], 403)
        same(d.ask("PATCH", "/workers/w-1"),
             (200, {"status": "ttl_refreshed"}))
        same(d.summary()["refused"], 4)


@test("gives faults to the requests they are meant for")
def _():
    with Devorch(*RXON, "--tasks", "a=9", "--fault", "poll:500:2-3",
                 "--fault", "poll:html:4", "--fault", "poll:garbage:5",
                 "--fault", "poll:empty:6", "--fault", "poll:redirect:7",
                 "--fault", "poll:retry-after=7:8",
                 "--fault", "heartbeat:429") as d:
        same([d.poll()[0] for _ in range(4)], [200, 500, 500, 502])
        same(d.headers["Content-Type"], "text/html")
        status, body = d.poll()
        same((status, isinstance(body, bytes)), (200, True))
        same(d.poll(), (200, b""))
        same(d.poll()[0], 302)
        assert d.headers["Location"].endswith("/redirected")
        same(d.poll()[0], 429)
        same(d.headers["Retry-After"], "7")
        same(d.poll()[0], 200)
        same(d.ask("PATCH", "/workers/w-1")[0], 429)
        s = d.summary()
        same((s["faults"], s["tasks"]), (8, 2))


@test("closes, hangs, cuts and floods when told to")
def _():
    with Devorch(*RXON, "--tasks", "a=9", "--fault", "poll:drop:1",
                 "--fault", "poll:truncated:2", "--fault", "poll:slow:3",
                 "--fault", "poll:huge=3:4", "--fault",
                 "poll:close-after:5", "--fault", "poll:drop-after:6") as d:
        for error in (http.client.RemoteDisconnected,
                      http.client.IncompleteRead, socket.timeout, None):
            conn = d.connect()
            conn.timeout = LIMIT if error != socket.timeout else 0.3
            try:
                same((d.poll(conn=conn)[0], error), (200, None))
                same(d.headers["Content-Length"], str(3 * 1024 * 1024))
            except (http.client.HTTPException, OSError) as e:
                same(type(e), error)
            conn.close()
        same(d.poll()[0], 200)
        same(d.headers["Connection"], "close")
        try:
            d.poll()
            assert False, "an answer after drop-after"
        except http.client.RemoteDisconnected:
            d.conn.close()
        same(d.poll()[0], 200)
        same(d.summary()["tasks"], 3)


@test("forgets workers when told to")
def _():
    with Devorch(*CLASSIC, "--fault", "heartbeat:forget:2") as d:
        d.ask("POST", "/workers/register", {"worker_id": "w-1"})
        same([d.ask("PATCH", "/workers/w-1")[0] for _ in range(2)],
             [200, 404])


@test("hands out broken tasks of every kind")
def _():
    text = subprocess.run([PROGRAM, "--help"], capture_output=True,
                          text=True, check=True).stdout
    kinds = [line.split()[0] for line in
             text.split("KIND of a bad task:\n")[1].splitlines()]
    assert len(kinds) > 20
    options = [o for kind in kinds for o in ("--bad-task", kind)]
    with Devorch(*RXON, *options) as d:
        got = {kind: d.poll() for kind in kinds}
        assert all(status == 200 for status, _ in got.values())
        assert "task_id" not in got["no-task-id"][1]
        same(got["params-array"][1]["params"], [1, 2])
        assert isinstance(got["trailing"][1], bytes)
        same(len(got["big-params"][1]["params"]["text"]), 9 * 1024 * 1024)
        same(d.summary()["tasks"], len(kinds))


@test("keeps or loses what an abandoned poll would have got")
def _():
    for options, lost in (((), 0), (("--lose-abandoned",), 1)):
        with Devorch(*RXON, "--window", "1", "--tasks", "a=2",
                     *options) as d:
            first = d.poll()[1]
            leaving = d.connect()
            leaving.request("GET", "/_worker/workers/w-2/tasks/next")
            # Two turns of the server's loop take a connection and read from
            # it; a request that is answered is one turn at least.
            for _ in range(3):
                d.ask("PATCH", "/workers/w-1")
            leaving.close()
            for _ in range(3):
                d.ask("PATCH", "/workers/w-1")
            d.result(first)
            same(d.summary()["lost_polls"], lost)


@test("survives clients that stop in the middle, and speaks pipelined")
def _():
    with Devorch(*RXON, "--tasks", "a=3") as d:
        for text in (b"", b"GET /_wor", b"POST /_worker/tasks/result HTTP/1.1"
                     b"\r\nContent-Length: 100\r\n\r\n{", b"\0\xff\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", d.port)) as s:
                s.sendall(text)
        get = b"GET /_worker/workers/w/tasks/next HTTP/1.1\r\n\r\n"
        with socket.create_connection(("127.0.0.1", d.port), LIMIT) as s:
            s.sendall(get + b"PATCH /_worker/workers/w HTTP/1.1\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
                      + get + get[:-2] + b"Connection: close\r\n\r\n")
            got = b""
            while data := s.recv(65536):
                got += data
        same((got.count(b"HTTP/1.1 200 OK"), got.count(b'"job_id"')), (4, 3))
        same(d.ask("PATCH", "/workers/w-1")[0], 200)


@test("gives a fault to each so manieth request")
def _():
    with Devorch("--fault", "heartbeat:500:2-6/2") as d:
        d.ask("POST", "/workers/register", {"worker_id": "w-1"})
        same([d.ask("PATCH", "/workers/w-1")[0] for _ in range(8)],
             [200, 500, 200, 500, 200, 500, 200, 200])
        same(d.summary()["faults"], 3)


@test("fills params with so many letters")
def _():
    with Devorch("--tasks", 'a=1:{"pad":"{fill=70}","n":{i},"o":{}}') as d:
        same(d.poll()[1]["params"], {
            "pad": ("abcdefghijklmnopqrstuvwxyz012345" * 3)[:70], "n": 1,
            "o": {}})


@test("begins no new jobs once it is told so, and ends when all are over")
def _():
    with Devorch("--tasks", "a=10", "--exit-when-done", "--poll-timeout",
                 "0") as d:
        first, second = d.poll()[1], d.poll()[1]
        d.process.send_signal(signal.SIGUSR2)
        end = time.monotonic() + LIMIT
        # The signal may come behind a poll or two.
        while (task := d.poll()[1]) != b"" and time.monotonic() < end:
            d.result(task)
        d.result(first, "failure", error={"code": "TRANSIENT_ERROR"})
        again = d.poll()[1]
        same(again["job_id"], first["job_id"])
        d.result(again)
        d.result(second)
        summary = d.finished()
        same((summary["lost"], summary["jobs"]["waiting"]), (0, 0))


@test("writes down what was handed out and what came")
def _():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "ledger")
        with Devorch("--tasks", "a=2", "--ledger", path, "--fault",
                     "result:500:3") as d:
            d.ask("POST", "/workers/register", {"worker_id": "w-1"})
            d.ask("PATCH", "/workers/w-1")
            task = d.poll()[1]
            for _ in range(3):
                d.result(task, data={"x": 1})
            d.result({"job_id": "none", "task_id": "none"})
            d.summary()
        with open(path, encoding="ascii") as f:
            lines = [json.loads(line) for line in f]
        same([(x["event"], x.get("verdict"), x.get("fault"))
              for x in lines],
             [("register", None, False), ("heartbeat", None, False),
              ("task", None, None), ("result", "accepted", None),
              ("result", "duplicate", None), ("result", None, True),
              ("result", "unknown", None)])
        same((lines[2]["task_id"], lines[2]["spec"], lines[2]["number"],
              lines[2]["attempt"]), (task["task_id"], 0, 1, 1))
        same((lines[3]["task_id"], lines[3]["data"]),
             (task["task_id"], {"x": 1}))


def resumed(dialect):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "ledger")
        options = ("--tasks", "a=3", "--tasks", "b=2", "--ledger", path,
                   "--resume", "--dialect", dialect)
        with Devorch(*options) as d:
            d.ask("POST", "/workers/register", {"worker_id": "w-1"})
            first, second, third = (d.poll()[1] for _ in range(3))
            d.result(first, data={"text": "x" * 5000})
            d.result(second, "failure", error={"code": "TRANSIENT_ERROR"})
        with open(path, encoding="ascii") as f:
            lines = [json.loads(line) for line in f]
        same((lines[4]["data_bytes"], lines[4]["data_sha256"]),
             (5012, hashlib.sha256(
                 b'{"text": "%s"}' % (b"x" * 5000)).hexdigest()))
        with open(path, "a", encoding="ascii") as f:
            f.write('{"event":"result","verdict":"acc')  # cut by its end
        with Devorch(*options) as d:
            d.ask("POST", "/workers/register", {"worker_id": "w-1"})
            again = d.poll()[1]
            same((again["job_id"], again["task_id"] == second["task_id"]),
                 (second["job_id"], False))
            for task in (again, third, d.poll()[1], d.poll()[1]):
                d.result(task)
            d.result(first)
            summary = d.summary()
            same((summary["lost"], summary["jobs"]["finished"],
                  summary["duplicates"]), (0, 5, 1))
        with open(path, encoding="ascii") as f:
            lines = [json.loads(line) for line in f]
        same(len({x["task_id"] for x in lines if x["event"] == "task"}), 6)
        # Other tasks than those of the ledger.
        p = subprocess.run([PROGRAM, *options[2:]], capture_output=True,
                           text=True, timeout=LIMIT)
        same((p.returncode, p.stdout), (71, ""))
        assert "this is not what" in p.stderr, p.stderr


@test("classic: goes on where a run that was killed has ended")
def _():
    resumed("classic")


@test("RXON: goes on where a run that was killed has ended")
def _():
    resumed("rxon")


@test("says what is wrong with its options")
def _():
    for options in (["--tasks", "a=0"], ["--tasks", "a=1:[]"],
                    ["--tasks", "=1"], ["--fault", "poll"],
                    ["--fault", "poll:500:3-2"],
                    ["--fault", "poll:500:3/0"], ["--fault", "x:500"],
                    ["--fault", "poll:html=3"], ["--bad-task", "none"],
                    ["--exit-when-done"], ["--dialect", "x"], ["extra"],
                    ["--rate", "fast"], ["--resume"], ["--verify-signatures"],
                    ["--task-file", "/nonexistent"]):
        p = subprocess.run([PROGRAM, *options], capture_output=True,
                           text=True, timeout=LIMIT)
        same((p.returncode, p.stdout), (64, ""))
        assert p.stderr.strip(), options


def main():
    print(f"1..{len(TESTS)}")
    failed = False
    for number, (claim, run) in enumerate(TESTS, 1):
        try:
            run()
            print(f"ok {number} - {claim}", flush=True)
        except Exception as error:
            failed = True
            where = error.__traceback__
            while where.tb_next:
                where = where.tb_next
            print(f"not ok {number} - {claim}\n# {type(error).__name__} in "
                  f"line {where.tb_lineno}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
