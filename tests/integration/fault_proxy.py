# SPDX-License-Identifier: ISC
"""A proxy that spoils answers: between a worker and any orchestrator, for one
kind of request at a time. Standard library only.

A fault is a function of the connection and the request, called in place of
what the orchestrator would have said; the connection is closed after it. Those
that wait end when the worker has gone, or when the fault is repaired.
"""
import gzip
import itertools
import select
import socket
import struct
import threading
import time

from recording_proxy import RecordingProxy

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Silence:
    """What a fault that waits waits for."""

    def __init__(self, proxy, conn, faults):
        self.proxy = proxy
        self.conn = conn
        self.faults = faults  # those that there were when it began

    def is_repaired(self):
        return self.proxy.faults is not self.faults

    def over(self, seconds):
        """After so long, or at once when there is no need to go on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.is_repaired():
                return True
            if select.select([self.conn], [], [], 0.05)[0]:
                try:
                    return not self.conn.recv(1)
                except OSError:
                    return True
        return False


def sending(data):
    """Exactly these bytes."""
    def fault(conn, _exchange, _silence):
        conn.sendall(data)
    return fault


def status(code, body=b'{"error": "as the test wants it"}', **headers):
    """A well-formed reply."""
    head = f"HTTP/1.1 {code} Whatever\r\nContent-Length: {len(body)}\r\n" \
           "Content-Type: application/json\r\nConnection: close\r\n"
    head += "".join(f"{k.replace('_', '-')}: {v}\r\n"
                    for k, v in headers.items())
    return sending(head.encode() + b"\r\n" + body)


def with_length(body, length=None):
    """A 200 with that body, and perhaps with another length."""
    size = len(body) if length is None else length
    return sending(OK + f"Content-Length: {size}\r\n\r\n".encode() + body)


def hanging(data=b""):
    """These bytes, and nothing more."""
    def fault(conn, _exchange, silence):
        conn.sendall(data)
        while not silence.over(60):
            pass
    return fault


def dripping(data, every=0.1):
    """One byte at a time."""
    def fault(conn, _exchange, silence):
        for i in range(len(data)):
            conn.sendall(data[i:i + 1])
            if silence.over(every):
                return
    return fault


def endless(data):
    """The same again and again, as fast as it is read."""
    def fault(conn, _exchange, silence):
        while not silence.over(0):
            conn.sendall(data)
            if silence.is_repaired():
                return
    return fault


def reset(data=b""):
    """These bytes, then RST."""
    def fault(conn, _exchange, _silence):
        conn.sendall(data)
        time.sleep(0.05)  # so that they are read before it
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
    return fault


def in_turn(*faults):
    """One after the other, and again."""
    left = itertools.cycle(faults)

    def fault(conn, exchange, silence):
        next(left)(conn, exchange, silence)
    return fault


def bomb(size):
    """So many bytes, in a thousandth of it; nobody has asked for gzip."""
    packed = gzip.compress(b"[" * size)
    return sending(OK + b"Content-Encoding: gzip\r\n"
                   b"Content-Length: %d\r\n\r\n" % len(packed) + packed)


class FaultProxy(RecordingProxy):
    """Hands on what is not to be spoilt."""

    def __init__(self, target):
        self.faults = {}  # kind: fault; another one after a repair
        self.spoilt = {}  # kind: how often
        super().__init__(target)

    def break_kind(self, kind, fault):
        with self.changed:
            self.faults[kind] = fault
            self.spoilt[kind] = 0

    def repair(self):
        with self.changed:
            self.faults = {}

    def intercept(self, conn, exchange):
        with self.changed:
            fault = self.faults.get(exchange.kind)
            if fault is None:
                return False
            self.spoilt[exchange.kind] += 1
            silence = Silence(self, conn, self.faults)
            self.changed.notify_all()
        fault(conn, exchange, silence)
        return True

    def wait_spoilt(self, kind, count, limit=30):
        """Until the fault has met so many."""
        self.wait(lambda _all: self.spoilt[kind] >= count,
                  f"{count} requests of kind {kind} meet the fault", limit)


class BlackHole:
    """A port whose connections are never made: the queue of its listener is
    full, so that the kernel answers nothing."""

    def __init__(self, port):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(0)
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            self.fillers.append(filler)

    def close(self):
        for sock in (*self.fillers, self.listener):
            sock.close()


class Link:
    """Hands bytes on from an address to a port of this machine."""
    REQUESTS, REPLIES = "requests", "replies"

    def __init__(self, host, port):
        self.port = port
        self.lost = None  # of these all bytes vanish
        self.rate = None  # bytes of requests a second, over all connections
        self.free_at = 0  # when the next of them may go
        self.lock = threading.Lock()
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
            for way in ((near, far, self.REQUESTS), (far, near, self.REPLIES)):
                threading.Thread(target=self.pump, args=way,
                                 daemon=True).start()

    def pump(self, source, sink, what):
        try:
            while data := source.recv(1024):
                if what == self.REQUESTS and self.rate:
                    self.pass_slowly(len(data))
                if self.lost != what:
                    sink.sendall(data)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def pass_slowly(self, size):
        """Takes the time that so many bytes need."""
        with self.lock:
            now = time.monotonic()
            self.free_at = max(now, self.free_at) + size / self.rate
            wait = self.free_at - now
        time.sleep(wait)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
