#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A channel program: it takes as many tasks as it is given, each in a thread.

usage: speaker.py [OFFER]: the members of its ready frame, in JSON. What a task
does, its params say: "gate" (a socket to wait at), "say" (frames before the
result), "die" (an exit status), "env" (names of variables to tell), "litter" (names of
files in its workspace), "result".
"""
import json
import os
import socket
import struct
import sys
import threading

TASK, CANCEL, STOP = 1, 2, 3
READY, STARTED, RESULT, LOG, PROGRESS, EVENT, STATE = range(16, 23)
CHANNEL = 3
LOCK = threading.Lock()


def send(kind, value, lease=0):
    payload = json.dumps(value).encode()
    data = struct.pack("<IHHQ", len(payload), kind, 0, lease) + payload
    with LOCK:
        while data:
            data = data[os.write(CHANNEL, data):]


def receive(size):
    data = bytearray()
    while len(data) < size:
        part = os.read(CHANNEL, min(size - len(data), 1 << 20))
        if not part:
            os._exit(0)
        data += part
    return bytes(data)


def run(lease, task):
    params = task["params"]
    if params.get("mute"):
        return
    send(STARTED, {}, lease)
    for kind, value in params.get("say", []):
        send(kind, value, lease)
    if "gate" in params:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(params["gate"])
            s.sendall(f"{task['task_id']} {os.getpid()}".encode())
            s.recv(1)
    if "litter" in params:
        os.mkdir(task["workspace"], 0o700)
        for name in params["litter"]:
            open(os.path.join(task["workspace"], name), "w").close()
    if "die" in params:
        os._exit(params["die"])
    send(RESULT, params.get("result", {"status": "success", "data": {
        "type": task["type"], "pid": os.getpid(),
        "argv": sys.argv[1:], "workspace": task.get("workspace"),
        "env": [os.environ.get(n) for n in params.get("env", [])]}}), lease)


def main():
    offer = {"version": 1, "handlers": [{"type": "speak"}]}
    offer.update(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
    if os.environ.get("AVTOWORKER_CHANNEL") != str(CHANNEL):
        sys.exit("no supervisor")
    send(READY, offer)
    while True:
        length, kind, _, lease = struct.unpack("<IHHQ", receive(16))
        payload = json.loads(receive(length))
        if kind == STOP:
            os._exit(0)
        if kind == TASK:
            threading.Thread(target=run, args=(lease, payload),
                             daemon=True).start()


main()
