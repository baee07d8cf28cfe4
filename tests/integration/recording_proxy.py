# SPDX-License-Identifier: ISC
"""A proxy between a worker and its orchestrator that writes down what both of
them say, and changes nothing. Standard library only.

Each connection of the worker gets one to the orchestrator and a thread. What
is forwarded are the bytes that came; they are parsed beside that, as far as
is needed to tell where messages end.
"""
import json
import selectors
import socket
import struct
import threading
import time

from fake_orchestrator import kind_of
from harness import LIMIT, Failed, free_port

NO_BODY = (204, 304)


class Gone(Exception):
    """The other side has closed the connection, or never opened it."""


class Message:
    """What can be asked of a request and its reply."""

    def json(self):
        return json.loads(self.body)

    def replied(self):
        return json.loads(self.reply)

    def header(self, name):
        return value(self.headers, name)


class Exchange(Message):
    """A request and its reply, if there was one."""

    def __init__(self, number, method, path, headers, body):
        self.number = number  # of the connection
        self.method = method
        self.path = path
        self.kind = kind_of(method, path)
        self.headers = headers  # [(name, value)] as they came
        self.body = body
        self.at = time.time()
        self.status = None
        self.reply_headers = []
        self.reply = b""
        self.answered_at = None
        self.dropped = False  # the worker went away before the reply

    def to_json(self):
        return {**self.__dict__, "body": self.body.decode("latin-1"),
                "reply": self.reply.decode("latin-1")}


class Stream:
    """A socket that is read to the ends of messages."""

    def __init__(self, sock):
        self.sock = sock
        self.have = b""

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self.have += data

    def take(self, size):
        while len(self.have) < size:
            self.more()
        data, self.have = self.have[:size], self.have[size:]
        return data

    def until(self, end):
        while end not in self.have:
            self.more()
        data, _, self.have = self.have.partition(end)
        return data + end

    def head(self):
        """The bytes of the head of a message, its first line, its headers."""
        data = self.until(b"\r\n\r\n")
        first, *lines = data.decode("latin-1").rstrip().split("\r\n")
        headers = [tuple(x.split(": ", 1)) if ": " in x
                   else (x.rstrip(":"), "") for x in lines]
        return data, first, headers

    def chunks(self):
        """A chunked body: its bytes as they came, and what they mean."""
        came, body = b"", b""
        while True:
            line = self.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            data = self.take(size + 2)
            came += line + data
            body += data[:size]
            if size == 0:
                return came, body

    def body(self, headers, otherwise=0):
        """Its bytes as they came, and what they mean."""
        if (value(headers, "Transfer-Encoding") or "").lower() == "chunked":
            return self.chunks()
        data = self.take(int(value(headers, "Content-Length") or otherwise))
        return data, data


def value(headers, name):
    """The header's value, or None."""
    for key, text in headers:
        if key.lower() == name.lower():
            return text
    return None


class RecordingProxy:
    """Listens at .url; .exchanges is what has been said."""

    def __init__(self, target):
        self.target = target  # port of the orchestrator
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.exchanges = []
        self.frames = []  # [(from, text)] of WebSockets
        self.connections = 0
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", self.port),
                                             backlog=200)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threading.Thread(target=self.serve, daemon=True,
                             args=(conn, self.connections)).start()

    def serve(self, conn, number):
        """One connection, to its end."""
        near, far = Stream(conn), None
        try:
            while True:
                data, exchange = self.hear(near, number)
                with self.changed:
                    self.exchanges.append(exchange)
                    self.changed.notify_all()
                if self.intercept(conn, exchange):
                    break
                if far is None:
                    far = Stream(self.connect())
                far.sock.sendall(data)
                self.wait_reply(near, far, exchange)
                if not self.answer(near, far, exchange):
                    break
        except (Gone, OSError, ValueError):
            pass
        finally:
            conn.close()
            if far is not None:
                far.sock.close()

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.target))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def intercept(self, _conn, _exchange):
        """Returns true when it has answered itself; for those derived."""
        return False

    def hear(self, near, number):
        """A request: its bytes, and what they mean."""
        data, first, headers = near.head()
        method, path, _ = first.split(" ", 2)
        if (value(headers, "Expect") or "").lower() == "100-continue":
            near.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            data = b"".join(x for x in data.splitlines(True)
                            if not x.lower().startswith(b"expect:"))
        raw, body = near.body(headers)
        return data + raw, Exchange(number, method, path, headers, body)

    @staticmethod
    def wait_reply(near, far, exchange):
        """Until the orchestrator answers, or the worker does not wait."""
        with selectors.DefaultSelector() as ready:
            ready.register(near.sock, selectors.EVENT_READ)
            ready.register(far.sock, selectors.EVENT_READ)
            events = [key.fileobj for key, _ in ready.select()]
        if far.sock not in events:
            # It sends nothing before it has the reply.
            exchange.dropped = True
            raise Gone

    def answer(self, near, far, exchange):
        """Hands the reply on. Returns false when the connection ends."""
        data, first, headers = far.head()
        status = int(first.split(" ")[1])
        raw, body = b"", b""
        if status not in NO_BODY and status != 101:
            raw, body = far.body(headers)
        with self.changed:
            exchange.status, exchange.reply = status, body
            exchange.reply_headers = headers
            exchange.answered_at = time.time()
            self.changed.notify_all()
        near.sock.sendall(data + raw)
        if status == 101:
            self.tunnel(near, far)
            return False
        return (value(headers, "Connection") or "").lower() != "close"

    def tunnel(self, near, far):
        """A WebSocket from here on."""
        back = threading.Thread(target=self.pump, daemon=True,
                                args=(far, near, "orchestrator"))
        back.start()
        self.pump(near, far, "worker")
        back.join()

    def pump(self, source, sink, who):
        """Hands frames on until one side ends."""
        try:
            while True:
                head = source.take(2)
                size, masked = head[1] & 0x7f, head[1] & 0x80
                more = source.take({126: 2, 127: 8}.get(size, 0))
                if more:
                    size = int.from_bytes(more, "big")
                mask = source.take(4) if masked else b"\0\0\0\0"
                payload = source.take(size)
                if head[0] & 0x0f == 1:
                    text = bytes(b ^ mask[i % 4]
                                 for i, b in enumerate(payload))
                    with self.changed:
                        self.frames.append((who, text.decode()))
                        self.changed.notify_all()
                sink.sock.sendall(head + more + (mask if masked else b"") +
                                  payload)
        except (Gone, OSError, struct.error):
            for stream in (source, sink):
                try:
                    stream.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    # What a test asks.

    def of_kind(self, kind):
        with self.changed:
            return [e for e in self.exchanges if e.kind == kind]

    def wait(self, claim, what, limit=LIMIT):
        """Until claim(exchanges) is true. Returns what it returned."""
        with self.changed:
            if not self.changed.wait_for(lambda: claim(self.exchanges),
                                         limit):
                raise Failed(f"not within {limit} s: {what}")
            return claim(self.exchanges)

    def to_json(self):
        with self.changed:
            return json.loads(json.dumps({
                "connections": self.connections, "frames": self.frames,
                "exchanges": [e.to_json() for e in self.exchanges]}))
