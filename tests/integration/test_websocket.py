#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The WebSocket: what is cancelled over it, what is told over it, and all that
may be wrong with it, none of which costs a task."""
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import (BINARY, PING, TEXT, Fake,  # noqa: E402
                               accept_key, frame, raw, replying, silent, task)
from harness import (TOKEN, Worker, case, check, eventually,  # noqa: E402
                     main, same)

DIALECTS = (("classic", True), ("rxon", False))


class Scene:
    """A worker with one child for each category, and its WebSocket."""

    def __init__(self, t, classic, more="", websocket=True):
        self.fake = Fake(classic=classic, websocket=websocket)
        self.gate = t.gate()
        config = t.config(
            self.fake.url, light=1, heavy=1, worker="""
    max_concurrent_tasks = 5
    heartbeat_interval = 30s""",
            orchestrator=f"protocol = {'classic' if classic else 'rxon'}")
        self.worker = Worker(t, config.replace(
            "category heavy {", "category heavy {\n" + more),
            env={"LOG_LEVEL": "DEBUG"})
        self.socket = self.fake.wait_socket() if websocket else None

    def put(self, name, kind="slow", **params):
        self.fake.put(task(name, kind, {"gate": self.gate.path,
                                        "name": name, **params}))

    def cancel(self, name, **more):
        self.socket.send({"command": "cancel_task", "task_id": name,
                          "job_id": "job-" + name, **more})

    def cancelled(self, name):
        result = self.fake.wait_result(name)
        same(result["status"], "cancelled", "status")
        check("error" not in result, f"{result}")

    def capabilities(self):
        """What heartbeats have said of them."""
        return [r.json()["capabilities"]
                for r in self.fake.of_kind("heartbeat")
                if r.body and "capabilities" in r.json()]

    def works(self, name):
        self.put(name, "echo")
        same(self.fake.wait_result(name)["status"], "success", "status")

    def end(self):
        self.gate.open()
        self.worker.drain()


@case("{}: it is opened with our names, told by a heartbeat, and closed at the "
      "end", *DIALECTS)
def lifetime(t, _name, classic):
    scene = Scene(t, classic)
    headers = scene.socket.request.headers
    same((headers["X-Worker-ID"], headers["Sec-WebSocket-Version"],
          headers["Upgrade"]), ("w-1", "13", "websocket"), "headers")
    check("Sec-WebSocket-Extensions" not in headers, "it wants an extension")
    kinds = [r.kind for r in scene.fake.requests]
    check(kinds.index("register") < kinds.index("websocket"), f"{kinds}")
    said = eventually(scene.capabilities, "it is told")[0]
    same(said["websockets"], True, "websockets")
    if not classic:
        check(said["hostname"] and said["ip_address"], f"{said}")
    scene.end()
    same(scene.socket.wait_end(), 1001, "code")
    same(len(scene.fake.sockets), 1, "WebSockets")


@case("{}: a task that waits is never started", *DIALECTS)
def queued(t, _name, classic):
    scene = Scene(t, classic)
    scene.put("running")
    scene.gate.wait(1)
    scene.put("waiting")
    scene.worker.wait_log("leased a task", count=2)
    scene.cancel("waiting")
    scene.cancelled("waiting")
    scene.gate.open()
    same(scene.fake.wait_result("running")["status"], "success", "status")
    same([name for name, _ in scene.gate.arrived], ["running"], "started")
    scene.end()


@case("{}: a task that was cancelled before it came is not run, its job's next "
      "one is", *DIALECTS)
def early(t, _name, classic):
    scene = Scene(t, classic)
    scene.gate.open()
    scene.cancel("early")
    scene.cancel("", task_id=None, job_id="job-of-all")
    scene.worker.wait_log("cancels (early|job-of-all)", count=2)
    scene.put("early", "echo")
    scene.cancelled("early")
    scene.worker.wait_log("cancelled by the orchestrator before it came")
    scene.fake.put(task("again", "echo", job_id="job-early"))
    same(scene.fake.wait_result("again")["status"], "success", "status")
    for name in ("one", "two"):
        scene.fake.put(task(name, "echo", job_id="job-of-all"))
        scene.cancelled(name)
    scene.end()


@case("{}: a handler that listens ends by itself", *DIALECTS)
def listening(t, _name, classic):
    scene = Scene(t, classic)
    scene.put("listens", "heed")
    scene.gate.wait(1)
    child = scene.gate.arrived[0][1]
    scene.gate.open()
    scene.cancel("listens", task_id=None)
    scene.cancelled("listens")
    scene.works("after")
    check(child in scene.worker.children(), "its child was ended")
    scene.end()


@case("{}: a handler that does not listen is ended after the grace, by a "
      "command during a stop", *DIALECTS)
def deaf(t, _name, classic):
    scene = Scene(t, classic, "    cancel_grace = 200ms\n")
    scene.put("deaf")
    scene.gate.wait(1)
    child = scene.gate.arrived[0][1]
    scene.worker.signal(15)
    scene.worker.wait_log("draining")
    scene.cancel("deaf")
    scene.cancelled("deaf")
    eventually(lambda: child not in scene.worker.children(), "it is gone")
    scene.worker.gone()
    same(scene.socket.wait_end(), 1001, "code")


@case("{}: what is over stays as it is, and what is unknown harms nobody",
      *DIALECTS)
def harmless(t, _name, classic):
    scene = Scene(t, classic)
    scene.gate.open()
    scene.works("over")
    scene.cancel("over")
    scene.cancel("never-heard-of")
    scene.socket.send({"command": "dance", "task_id": "over"})
    scene.socket.send(frame(TEXT, b"{"))
    scene.socket.send(frame(BINARY, b"\0" * 100))
    scene.socket.send({"command": "cancel_task", "task_id": "../x"})
    scene.socket.send(frame(PING, b"there?"))
    scene.works("after")
    same(len(scene.fake.results["over"]), 1, "results")
    check(not scene.socket.over, "it was closed")
    scene.worker.wait_log("command \"dance\": no script has an on_command")
    scene.end()


@case("{}: progress goes over it, before the result", *DIALECTS)
def progress(t, _name, classic):
    scene = Scene(t, classic)
    scene.put("t-1", "tell", times=3, type="half.done", payload='{"n": 1}')
    same(scene.fake.wait_result("t-1")["status"], "success", "status")
    kinds = [kind for kind, _ in scene.fake.told]
    same(kinds[-1], "result", "the last")
    same(set(kinds[:-1]), {"message"}, "the others")
    first, last = scene.fake.told[0][1], scene.fake.told[-2][1]
    if classic:
        same((first["event"], first["task_id"], first["job_id"],
              first["message"]),
             ("progress_update", "t-1", "job-t-1", "on the way"), "progress")
        check(0 <= first["progress"] <= 1, f"{first}")
        same((last["event"], last["payload"]), ("half.done", {"n": 1}),
             "the last one")
    else:
        same((first["event_type"], first["target_job_id"],
              first["payload"]["message"]),
             ("progress", "job-t-1", "on the way"), "progress")
        check(first["security"]["signature"], "no signature")
        same((last["event_type"], last["payload"]), ("half.done", {"n": 1}),
             "the last one")
    check(len(kinds) <= 5, f"{kinds}")
    scene.end()


@case("{}: the result does not wait for one that reads nothing", *DIALECTS)
def unread(t, _name, classic):
    scene = Scene(t, classic)
    scene.fake.answers_pings = False
    scene.put("t-1", "tell", times=2)
    same(scene.fake.wait_result("t-1")["status"], "success", "status")
    scene.end()


@case("without it RXON is told by requests, classic nothing, and none is "
      "missed")
def without(t):
    for classic in (True, False):
        scene = Scene(t, classic, websocket=False)
        scene.fake.wait_requests("websocket", 1)
        scene.put("t-1", "tell", times=3)
        same(scene.fake.wait_result("t-1")["status"], "success", "status")
        same(bool(scene.fake.of_kind("event")), not classic, "events")
        same(scene.capabilities(), [], "capabilities")
        same(len(scene.fake.of_kind("websocket")), 1, "attempts")
        same(scene.worker.lines("WARNING|ERROR"), [], "complaints")
        scene.end()


@case("off means that none is asked for")
def off(t):
    fake = Fake(classic=True, websocket=True)
    worker = t.worker(fake.url, light=1, heavy=1,
                      orchestrator="protocol = classic\n    websocket = off")
    fake.put(task("t-1"))
    fake.wait_result("t-1")
    worker.drain()
    same(fake.of_kind("websocket"), [], "attempts")


@case("it is made again after {}, and that is told",
      ("another one took its place", lambda s: s.close(1008, b"New one")),
      ("a reason that has the token", lambda s: s.close(1008, TOKEN.encode())),
      ("the server's end", lambda s: s.close(1001)),
      ("the connection's end", lambda s: s.cut()),
      ("a message that is too long",
       lambda s: s.send(frame(TEXT, b"x" * 70000))),
      ("fragments that are too long",
       lambda s: s.send(frame(TEXT, b"x" * 40000, fin=False) +
                        frame(0, b"x" * 40000))),
      ("a frame with a mask",
       lambda s: s.send(frame(TEXT, b"{}", masked=True))),
      ("bytes that are no frame", lambda s: s.send(b"\xff\xff\xff\xff")))
def again(t, _name, harm):
    scene = Scene(t, False)
    eventually(scene.capabilities, "it is told")
    harm(scene.socket)
    scene.socket = scene.fake.wait_socket(2)
    check(scene.socket.at - scene.fake.sockets[0].at >= 0.5, "it came at once")
    scene.put("running", "heed")
    scene.gate.wait(1)
    scene.gate.open()
    scene.cancel("running")
    scene.cancelled("running")
    scene.worker.wait_log("no WebSocket to")
    check(TOKEN not in scene.worker.log(), "the token is in the log")
    scene.end()


def bad_key(handler, request):
    handler.wfile.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept_key(request).swapcase().encode() + b"\r\n\r\n")


@case("nothing else is lost when it is answered with {}",
      ("500", replying(500)), ("429", replying(429, Retry_After="1")),
      ("a redirect", replying(302, Location="http://127.0.0.1:1/")),
      ("200", replying(200, b"{}")), ("a wrong key", bad_key),
      ("no HTTP", raw(b"SSH-2.0-x\r\n")),
      ("too much", raw(b"HTTP/1.1 101 x\r\nX: " + b"x" * 20000)),
      ("silence", silent))
def refused(t, _name, fault):
    fake = Fake(classic=False, websocket=True)
    fake.break_kind("websocket", fault)
    worker = t.worker(fake.url, light=1, heavy=1,
                      orchestrator="protocol = rxon")
    fake.wait_requests("websocket", 1)
    fake.put(task("t-1", "tell", {"times": 2}))
    same(fake.wait_result("t-1")["status"], "success", "status")
    same(fake.sockets, [], "WebSockets")
    worker.drain()


@case("a page that answers to any path is told as what it is: {}", (200,),
      (204,))
def page(t, status):
    fake = Fake(websocket=True)
    fake.break_kind("websocket", replying(status))
    worker = t.worker(fake.url, light=1, heavy=1, env={"LOG_LEVEL": "DEBUG"})
    worker.wait_log(f"no WebSocket to .*: HTTP {status} and no upgrade; ")
    worker.drain()


@case("Retry-After is respected, and then there is one")
def retry_after(t):
    fake = Fake(classic=True, websocket=True)
    fake.break_kind("websocket", replying(429, Retry_After="2"))
    worker = t.worker(fake.url, light=1, heavy=1,
                      orchestrator="protocol = classic")
    first, = fake.wait_requests("websocket", 1)
    fake.repair()
    sock = fake.wait_socket()
    check(sock.request.at - first.at >= 1.5 - t.late(), "it came too early")
    worker.drain()


main()
