# SPDX-License-Identifier: ISC
"""The channel to the supervisor: frames in, frames out.

Frames are those of avtoworker-channel(7). Any thread may send; one thread, the
program's reader, receives. What the supervisor sends is taken as it is: what
is malformed means that it is not a supervisor, and ends the process.
"""
from __future__ import annotations

import collections
import contextlib
import fcntl
import json
import os
import socket
import struct
import threading
from typing import Any, NamedTuple, Optional

VERSION = 1
TO_CHILD_MAX = 8 * 1024 * 1024
FROM_CHILD_MAX = 1024 * 1024
DEPTH_MAX = 128
TOKENS_MAX = 100_000  # keys and values of one payload

TASK, CANCEL, STOP, SPEAK, COMMAND = 1, 2, 3, 4, 5
READY, STARTED, RESULT, LOG = 16, 17, 18, 19
PROGRESS, EVENT, STATE = 20, 21, 22

HEADER = struct.Struct("<IHHQ")
ABOVE = 10  # our descriptor is moved above those that scripts close by number


class ProtocolError(Exception):
    """The other side does not speak our protocol."""


class Frame(NamedTuple):
    kind: int
    lease: int
    payload: dict


def encode(payload: dict) -> bytes:
    """JSON text that the supervisor's scanner takes. Lone surrogates, which
    have no UTF-8, become question marks."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False,
                      separators=(",", ":")).encode("utf-8", "replace")


class Channel:
    def __init__(self, fd: int) -> None:
        parked = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, ABOVE)
        os.close(fd)
        self._socket = socket.socket(fileno=parked)
        self._forget_sending()

    def _forget_sending(self) -> None:
        # Reentrant, because a signal handler of the script may log while the
        # thread that it interrupts is in the midst of a frame.
        self._lock = threading.RLock()
        self._waiting: collections.deque = collections.deque()
        self._sending = False

    def send(self, kind: int, payload: dict, lease: int = 0) -> None:
        self.send_text(kind, encode(payload), lease)

    def send_text(self, kind: int, text: bytes, lease: int = 0) -> None:
        """Waits until the supervisor has taken it. When the supervisor is
        gone, so are we soon: the reader sees to it."""
        with self._lock:
            self._waiting.append(HEADER.pack(len(text), kind, 0, lease) + text)
            if self._sending:
                return  # the call that we have interrupted sends it
            self._sending = True
            try:
                while self._waiting:
                    self._socket.sendall(self._waiting.popleft())
            except OSError:
                self._waiting.clear()
                self.check()
            finally:
                self._sending = False

    def receive(self) -> Optional[Frame]:
        """The next frame; None when the supervisor has gone."""
        header = self._read(HEADER.size)
        if header is None:
            return None
        length, kind, flags, lease = HEADER.unpack(header)
        if flags != 0 or length > TO_CHILD_MAX:
            raise ProtocolError("a malformed frame header")
        text = self._read(length)
        if text is None:
            return None
        try:
            payload: Any = json.loads(text)
        except ValueError as e:
            raise ProtocolError(f"a payload that is not JSON: {e}") from e
        if not isinstance(payload, dict):
            raise ProtocolError("a payload that is not an object")
        return Frame(kind, lease, payload)

    def _read(self, size: int) -> Optional[bytearray]:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            try:
                count = self._socket.recv_into(view[got:])
            except OSError:
                return None
            if count == 0:
                return None
            got += count
        return data

    def end(self) -> None:
        """Nothing more is sent: the supervisor lets us go."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def check(self, *others: int) -> None:
        """Ends this process when a handler has closed the channel or one of
        the others: who waits would never be woken, and nobody would hear of
        the task."""
        if self._socket.fileno() == -1:
            return  # we have closed it, in a process that was forked
        try:
            for fd in (self._socket.fileno(), *others):
                os.fstat(fd)
        except OSError:
            os._exit(os.EX_PROTOCOL)

    def leave_to_parent(self) -> None:
        """In a process that was forked: the channel is the parent's."""
        self._forget_sending()
        self._socket.close()
