# SPDX-License-Identifier: ISC
"""An orchestrator of straw, inside the test's process, for what a real one
never does: every kind of wrong answer, at the very request that the test
wants. It speaks just enough of both dialects for a worker to register, take
tasks and deliver results, and remembers every request.
"""
import base64
import hashlib
import json
import os
import re
import select
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import LIMIT, TOKEN, Failed, free_port

KINDS = (
    ("register", "POST", re.compile(r"/_worker/workers/register$")),
    ("heartbeat", "PATCH", re.compile(r"/_worker/workers/[\w-]+$")),
    ("poll", "GET", re.compile(r"/_worker/workers/[\w-]+/tasks/next(\?|$)")),
    ("result", "POST", re.compile(r"/_worker/tasks/result$")),
    ("event", "POST", re.compile(r"/_worker/events$")),
    ("websocket", "GET", re.compile(r"/_worker/ws/[\w-]+$")),
)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def kind_of(method, path):
    """Which kind of request that is; "other" when it is none of ours."""
    for name, its, pattern in KINDS:
        if method == its and pattern.match(path):
            return name
    return "other"


class Request:
    """What came, and when."""

    def __init__(self, kind, method, path, headers, body):
        self.kind = kind
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.at = time.monotonic()
        self.connection = None
        self.faults = None  # those that there were when it came

    def is_gone(self):
        """Nobody waits for the answer any more."""
        if self.connection is None:
            return False
        poll = select.poll()
        poll.register(self.connection, select.POLLRDHUP)
        return bool(poll.poll(0))

    def json(self):
        return json.loads(self.body)


# Faults: functions of (handler, request) that answer in a normal answer's
# place. The connection is closed after them.

def replying(status, body=b"", content_type="application/json", **headers):
    """A well-formed reply, whatever is in it."""
    def fault(handler, _request):
        lines = [f"HTTP/1.1 {status} Whatever",
                 f"Content-Type: {content_type}",
                 f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
        head = "\r\n".join(lines) + "\r\n\r\n"
        handler.wfile.write(head.encode() + body)
    return fault


def raw(data):
    """Bytes that need not be HTTP."""
    def fault(handler, _request):
        handler.wfile.write(data)
    return fault


def huge(size):
    """A body of that size, as fast as it is read."""
    def fault(handler, _request):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: "
                            b"application/json\r\nTransfer-Encoding: "
                            b"chunked\r\n\r\n")
        block = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"
        for _ in range(size // 0x10000):
            handler.wfile.write(block)
        handler.wfile.write(b"0\r\n\r\n")
    return fault


def silent(handler, request):
    """No answer, until the client gives up or the fault is over."""
    handler.connection.settimeout(0.05)
    while handler.server.fake.faults is request.faults:
        try:
            if handler.connection.recv(1) == b"":
                return
        except TimeoutError:
            pass


def accept_key(request):
    """What the client wants to see in a reply to its upgrade."""
    text = request.headers["Sec-WebSocket-Key"] + \
        "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


def frame(opcode, payload=b"", fin=True, masked=False):
    """One frame, as a server sends it; or not."""
    head = bytes([opcode | (0x80 if fin else 0)])
    size = len(payload)
    mask = 0x80 if masked else 0
    if size < 126:
        head += bytes([size | mask])
    elif size < 1 << 16:
        head += struct.pack(">BH", 126 | mask, size)
    else:
        head += struct.pack(">BQ", 127 | mask, size)
    return head + (bytes(4) if masked else b"") + payload


class Socket:
    """The server's end of a WebSocket."""

    def __init__(self, handler, request):
        self.fake = handler.server.fake
        self.handler = handler
        self.request = request
        self.messages = []  # objects that came
        self.code = None  # with which the worker has closed it
        self.over = False
        self.at = time.monotonic()
        self.lock = threading.Lock()  # the test sends, and so do we

    def send(self, value):
        """An object as text; bytes go as they are."""
        with self.lock:
            self.handler.wfile.write(
                value if isinstance(value, bytes)
                else frame(TEXT, json.dumps(value).encode()))

    def close(self, code, reason=b""):
        self.send(frame(CLOSE, struct.pack(">H", code) + reason))

    def cut(self):
        """The connection ends without a word."""
        self.handler.connection.shutdown(2)

    def wait_end(self, limit=LIMIT):
        """Until all that the worker said is read. Returns its code."""
        with self.fake.changed:
            if not self.fake.changed.wait_for(lambda: self.over, limit):
                raise Failed(f"the WebSocket is open after {limit} s")
            return self.code

    def read(self):
        """(opcode, payload) of the next frame; None at the end."""
        head = self.handler.rfile.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7f
        if size == 126:
            size, = struct.unpack(">H", self.handler.rfile.read(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.handler.rfile.read(8))
        if not head[1] & 0x80 or not head[0] & 0x80:
            raise Failed("a frame of the worker has no mask, or is a part")
        mask = self.handler.rfile.read(4)
        data = self.handler.rfile.read(size)
        return head[0] & 0x0f, bytes(
            b ^ mask[i % 4] for i, b in enumerate(data))

    def serve(self):
        """Until the connection ends."""
        try:
            while True:
                got = self.read()
                if got is None:
                    break
                self.take(*got)
        except OSError:
            pass
        finally:
            with self.fake.changed:
                self.over = True
                self.fake.changed.notify_all()

    def take(self, opcode, payload):
        with self.fake.changed:
            if opcode == TEXT:
                self.messages.append(json.loads(payload))
                self.fake.told.append(("message", self.messages[-1]))
            elif opcode == CLOSE:
                self.code = struct.unpack(">H", payload[:2])[0]
            self.fake.changed.notify_all()
        if opcode == PING and self.fake.answers_pings:
            self.send(frame(PONG, payload))
        elif opcode == CLOSE and self.fake.answers_pings:
            self.send(frame(CLOSE, payload))
            self.cut()


class Handler(BaseHTTPRequestHandler):
    """One connection."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    def take(self):
        fake = self.server.fake
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        kind = kind_of(self.command, self.path)
        request = Request(kind, self.command, self.path, self.headers, body)
        request.connection = self.connection
        fault = fake.note(request)
        if fault:
            self.close_connection = True
            fault(self, request)
        elif kind == "websocket" and fake.allows(request):
            self.close_connection = True
            self.upgrade(request)
        else:
            status, value = fake.answer(request)
            self.reply(status, value)

    do_GET = do_POST = do_PATCH = take

    def upgrade(self, request):
        fake = self.server.fake
        self.wfile.write((
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            "Connection: upgrade\r\nSec-WebSocket-Accept: "
            f"{accept_key(request)}\r\n\r\n").encode())
        sock = Socket(self, request)
        with fake.changed:
            fake.sockets.append(sock)
            fake.changed.notify_all()
        sock.serve()

    def reply(self, status, value):
        body = b"" if status == 204 else \
            value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        if not self.server.fake.classic:
            self.send_header("X-RXON-Version", "1.0b15")
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Quiet about clients that go away in the middle."""
    daemon_threads = True
    request_queue_size = 200

    def __init__(self, *args):
        self.open = set()  # connections
        super().__init__(*args)

    def process_request(self, request, client_address):
        self.open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request):
        self.open.discard(request)
        super().close_request(request)

    def handle_error(self, request, client_address):
        pass


class Fake:
    """Settings and memory."""

    def __init__(self, classic=True, port=None, start=True, poll_timeout=1,
                 websocket=False):
        self.classic = classic
        self.websocket = websocket  # whether there is one
        self.answers_pings = True
        self.sockets = []  # that were opened
        self.told = []  # ("message" | kind, object), in the order of arrival
        self.poll_timeout = poll_timeout
        self.token = TOKEN
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests = []
        self.results = {}  # task id: [result], in one form for both dialects
        self.tasks = []
        self.known = set()
        self.cancels = set()  # ids of tasks or jobs, told to heartbeats
        self.parked = self.most_parked = 0  # polls
        self.faults = {}  # kind: fault; another one after a repair
        self.changed = threading.Condition()
        self.server = None
        if start:
            self.start()

    def listen(self):
        return Server(("127.0.0.1", self.port), Handler)

    def start(self):
        self.server = self.listen()
        self.server.fake = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def stop(self):
        """As if its process had been killed: nobody listens any more, and all
        connections are cut; it forgets who was registered."""
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.server.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.changed:
            self.known.clear()

    def break_kind(self, kind, fault):
        with self.changed:
            self.faults[kind] = fault

    def repair(self):
        with self.changed:
            self.faults = {}
            self.changed.notify_all()

    def note(self, request):
        with self.changed:
            self.requests.append(request)
            if request.kind in ("event", "result"):
                self.told.append((request.kind, request.json()))
            self.changed.notify_all()
            request.faults = self.faults
            return self.faults.get(request.kind)

    def put(self, task):
        """Queues a task: an object, or bytes to be sent as they are."""
        with self.changed:
            self.tasks.append(task)
            self.changed.notify_all()

    def of_kind(self, kind):
        with self.changed:
            return [r for r in self.requests if r.kind == kind]

    def wait_requests(self, kind, count, limit=LIMIT):
        """Until so many have come."""
        with self.changed:
            if not self.changed.wait_for(
                    lambda: sum(r.kind == kind for r in self.requests)
                    >= count, limit):
                raise Failed(f"no {count} requests of kind {kind} within "
                             f"{limit} s")
        return self.of_kind(kind)

    def wait_socket(self, count=1, limit=LIMIT):
        """Until so many WebSockets have been opened. Returns the last."""
        with self.changed:
            if not self.changed.wait_for(
                    lambda: len(self.sockets) >= count, limit):
                raise Failed(f"no {count} WebSockets within {limit} s")
            return self.sockets[count - 1]

    def wait_result(self, task_id, limit=LIMIT):
        """Until that task's result has been accepted. Returns it."""
        with self.changed:
            if not self.changed.wait_for(
                    lambda: task_id in self.results, limit):
                raise Failed(f"no result of task {task_id} within {limit} s; "
                             f"results: {list(self.results)}")
            return self.results[task_id][0]

    # The normal answers: (status, value).

    def is_known(self, request):
        return request.headers.get("X-Worker-Token") == self.token

    def allows(self, request):
        return self.websocket and self.is_known(request)

    def answer_websocket(self, _request):
        return 404, b"404: Not Found"

    def answer(self, request):
        if not self.is_known(request):
            return 401 if self.classic else 403, {"error": "Unauthorized"}
        return getattr(self, "answer_" + request.kind)(request)

    def answer_other(self, _request):
        return 404, {"error": "Not found"}

    def answer_register(self, request):
        self.known.add(request.json()["worker_id"])
        if self.classic:
            return 200, {"status": "registered"}
        return 200, {"status": "registered", "version": "1.0b15"}

    def answer_heartbeat(self, request):
        known = request.path.rpartition("/")[2] in self.known
        if self.classic and not known:
            return 404, {"error": "Worker not found"}
        if request.body in (b"", b"{}", b"null"):
            return 200, {"status": "ttl_refreshed"} if known else None
        body = request.json()
        if self.classic:
            return 200, body
        wanted = [i for i in body.get("current_tasks", [])
                  if i in self.cancels]
        return 200, {"status": "ok",
                     **({"cancel_task_ids": wanted} if wanted else {})}

    def answer_event(self, _request):
        return 200, {"status": "event_accepted"}

    def answer_poll(self, request):
        with self.changed:
            self.parked += 1
            self.most_parked = max(self.most_parked, self.parked)
            came = self.changed.wait_for(lambda: self.tasks, self.poll_timeout)
            self.parked -= 1
            if not came or request.is_gone():
                return 204, None
            return 200, self.tasks.pop(0)

    def answer_result(self, request):
        body = request.json()
        result = body["result"] if self.classic else body
        with self.changed:
            copies = self.results.setdefault(body["task_id"], [])
            copies.append(result)
            self.changed.notify_all()
            is_first = len(copies) == 1
        if self.classic:
            return 200, {"status": "result_accepted_success"}
        if not is_first:
            return 200, {"status": "ignored", "reason": "stale_task"}
        return 200, {"status": "accepted", "transition": "success_transition"}


def task(task_id, kind="echo", params=None, **more):
    """As a poll brings it."""
    return {"job_id": "job-" + task_id, "task_id": task_id, "type": kind,
            "params": params or {}, "tracing_context": {}, **more}
