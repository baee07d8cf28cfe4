#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The smallest channel program: what avtoworker-channel(7) asks of one. Who
writes Python needs none of it (docs/python.md); it is here for other languages
to be written after.
"""
import json
import signal
import socket
import struct

TASK, STOP = 1, 3
READY, STARTED, RESULT = 16, 17, 18
HEADER = struct.Struct("<IHHQ")  # length, type, flags, lease


def send(kind, value, lease=0):
    payload = json.dumps(value).encode()
    channel.write(HEADER.pack(len(payload), kind, 0, lease) + payload)
    channel.flush()


# The supervisor says when it is time to end, not whoever signals everybody.
signal.signal(signal.SIGINT, lambda *_: None)
signal.signal(signal.SIGTERM, lambda *_: None)
end = socket.socket(fileno=3)
end.set_inheritable(False)  # not for programs that a task starts
channel = end.makefile("rwb")
send(READY, {"version": 1, "handlers": [{"type": "double"}]})
while header := channel.read(HEADER.size):
    length, kind, _flags, lease = HEADER.unpack(header)
    payload = json.loads(channel.read(length))
    if kind == STOP:
        break
    if kind == TASK:  # a cancel may be ignored: its grace ends with a kill
        send(STARTED, {}, lease)
        n = payload["params"].get("n")
        if isinstance(n, (int, float)):
            send(RESULT, {"status": "success", "data": {"n": 2 * n}}, lease)
        else:
            send(RESULT, {"status": "failure", "error": {
                "code": "INVALID_INPUT_ERROR",
                "message": '"n" is not a number'}}, lease)
