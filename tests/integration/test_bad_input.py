#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Handlers of every kind that do what no handler should: each costs its own
task one clear failure, which names it; its child, unless it has broken the
channel, and the worker go on."""
import json
import os
import re
import sys

sys.dont_write_bytecode = True

from harness import (Worker, case, check, main, module,  # noqa: E402
                     same)

MEGABYTES = 1024  # that are printed
LARGE = 200_000_000

SCRIPT = f"""
import os
from avtomatika_worker import Worker
worker = Worker()

@worker.task("py_good")
def good(params):
    return {{"data": {{"pid": os.getpid()}}}}

@worker.task("py_prints")
def prints(params):
    for _ in range(params["megabytes"]):
        print("x" * (1 << 20), end="")
    return good(params)

@worker.task("py_closes")
def closes(params):
    os.closerange(0, 1024)
    return good(params)

@worker.task("py_closes_few")  # those of the loop, and not the channel
def closes_few(params):
    os.closerange(0, 10)
    return good(params)

@worker.task("py_closes_async")
async def closes_async(params):
    os.closerange(0, 1024)
    return good(params)

@worker.task("py_large")
def large(params):
    return {{"data": {{"v": "x" * {LARGE}}}}}

@worker.task("py_half")
def half(params):
    for fd in range(3, 64):
        try:
            if os.readlink(f"/proc/self/fd/{{fd}}").startswith("socket:"):
                os.write(fd, b'{{"status": "success", ')
        except OSError:
            pass
    return good(params)

@worker.task("py_bytes")
def bytes_(params):
    return {{"data": {{"v": "\\udcff"}}}}

@worker.task("py_twice")
def twice(params):
    return {{"data": {{1: "a", "1": "b"}}}}

worker.run()
"""

EXECUTABLE = f"""#!{sys.executable}
import json, os, sys
kind = sys.argv[1]
if kind == "deaf":
    print(json.dumps({{"pid": os.getppid()}}))
    sys.exit(0)
params = json.load(sys.stdin)
if kind == "prints":
    for _ in range(params["megabytes"]):
        os.write(2, b"x" * (1 << 20))
elif kind == "closes":
    os.closerange(0, 1024)
    os._exit(9)
elif kind in ("large", "half", "bytes", "twice"):
    os.write(1, {{"half": b'{{"a": ', "bytes": b'{{"a": "\\xff"}}',
                 "twice": b'{{"a": 1, "a": 2}}'}}.get(kind, b""))
    while kind == "large":
        os.write(1, b"x" * (1 << 20))
    sys.exit(0)
print(json.dumps({{"pid": os.getppid()}}))
"""

CHANNEL = f"""#!{sys.executable}
import json, os, struct
KINDS = ("good", "prints", "closes", "large", "half", "bytes", "twice")

def send(kind, payload, lease=0):
    data = struct.pack("<IHHQ", len(payload), kind, 0, lease) + payload
    while data:
        data = data[os.write(3, data):]

def receive(size):
    data = b""
    while len(data) < size:
        part = os.read(3, size - len(data))
        if not part:
            os._exit(0)
        data += part
    return data

send(16, json.dumps({{"version": 1, "handlers": [
    {{"type": "ch_" + kind}} for kind in KINDS]}}).encode())
while True:
    length, kind, _, lease = struct.unpack("<IHHQ", receive(16))
    task = json.loads(receive(length) or b"{{}}")
    if kind == 2:
        continue
    if kind == 3:
        os._exit(0)
    send(17, b"{{}}", lease)
    what = task["type"][3:]
    if what == "prints":
        for _ in range(task["params"]["megabytes"]):
            os.write(1, b"x" * (1 << 20))
    elif what == "closes":
        os.closerange(0, 1024)
    good = json.dumps({{"status": "success",
                       "data": {{"pid": os.getpid()}}}}).encode()
    send(18, {{
        "large": b'{{"status": "success", "data": {{"v": "' +
                 b"x" * ({LARGE} if what == "large" else 0) + b'"}}}}',
        "half": b'{{"status": "success", ',
        "bytes": b'{{"status": "success", "data": {{"v": "\\xff"}}}}',
        "twice": b'{{"status": "success", "data": {{}}, "data": {{}}}}',
    }}.get(what, good), lease)
"""

KINDS = ("prints", "closes", "large", "half", "bytes", "twice")
CONTRACT, TRANSIENT = "CONTRACT_VIOLATION_ERROR", "TRANSIENT_ERROR"
PERMANENT = "PERMANENT_ERROR"

# What comes of it: None is a success, else a code and what the message has.
# lives: the child does.
TABLE = {
    "c": {
        "prints": None,
        "closes": (TRANSIENT, "child .* its channel was closed", "ends"),
        "large": (PERMANENT, "200000028 bytes, the limit", "lives"),
        "half": (CONTRACT, "byte 6", "lives"),
        "bytes": (CONTRACT, "UTF-8", "lives"),
        "twice": (CONTRACT, "twice", "lives"),
    },
    "ex": {
        "prints": None,
        "deaf": None,
        "closes": (TRANSIENT, "exit status 9", "lives"),
        "large": (PERMANENT, "more than", "lives"),
        "half": (CONTRACT, "byte 6", "lives"),
        "bytes": (CONTRACT, "UTF-8", "lives"),
        "twice": (CONTRACT, "twice", "lives"),
    },
    "py": {
        "prints": None,
        "closes": (TRANSIENT, "child .* its channel was closed", "ends"),
        "closes_few": (TRANSIENT, "child .* its channel was closed", "ends"),
        "closes_async": (TRANSIENT, "child .* its channel was closed", "ends"),
        "large": (PERMANENT, "200000036 bytes, the limit", "lives"),
        "half": (TRANSIENT, "child .* broke the channel", "ends"),
        "bytes": None,
        "twice": None,
    },
    "ch": {
        "prints": None,
        "closes": (TRANSIENT, "child .* exited with status", "ends"),
        "large": (TRANSIENT, "child .* broke the channel: .*limit", "ends"),
        "half": (TRANSIENT, "child .* result: .* at byte", "ends"),
        "bytes": (TRANSIENT, "child .* UTF-8", "ends"),
        "twice": (TRANSIENT, "child .* twice", "ends"),
    },
}


def blocks(t, kind):
    if kind == "c":
        return f'module bad {{ file = "{module("bad_handlers")}" }}\n'
    if kind == "py":
        return f'python bad {{ script = "{t.write("bad.py", SCRIPT)}" }}\n'
    if kind == "ch":
        path = t.write("bad", CHANNEL, 0o755)
        return f'channel bad {{ exec = "{path}" }}\n'
    path = t.write("bad", EXECUTABLE, 0o755)
    return "".join(f'handler ex_{x} {{ exec = {{ "{path}", "{x}" }} }}\n'
                   for x in (*KINDS, "deaf", "good"))


@case("what bad handlers do costs their own task, told in one result: {}",
      *TABLE, limit=400)
def bad(t, kind):
    rows = TABLE[kind]
    lines = []
    for what in rows:
        params = {"megabytes": MEGABYTES}
        if what == "deaf":
            params["x"] = "y" * 900_000
        lines += [(f"{kind}_{what}", params), (f"{kind}_good", {})]
    tasks = t.write("tasks", "".join(json.dumps(
        {"type": name, "params": params}) + "\n" for name, params in lines))
    worker = Worker(t, blocks(t, kind) + """
worker { max_concurrent_tasks = 1 }
category default { children = 1 output_limit = 64K }
""", ["--local", tasks])
    worker.wait(300)  # gigabytes are printed
    results = [json.loads(x) for x in worker.output().splitlines()]
    same([r["type"] for r in results], [name for name, _ in lines],
         "one result for each, in turn")
    pid = None
    for what, result, after in zip(rows, results[::2], results[1::2]):
        name = result["type"]
        same(after["status"], "success", f"{kind}_good after {name}: {after}")
        if rows[what] is None:
            same(result["status"], "success", f"{name}: {result}")
            lives = "lives"
        else:
            code, words, lives = rows[what]
            error = result["error"]
            same(error["code"], code, f"code of {name}: {error}")
            check(f'"{name}"' in error["message"] and
                  re.search(words, error["message"]), error)
        if pid is not None and kind != "ex":
            same(after["data"]["pid"] == pid, lives == "lives",
                 f"the same child after {name}")
        pid = after["data"]["pid"]
    check(f"output beyond {64 << 10} bytes is dropped" in worker.log() and
          os.path.getsize(worker.log_path) < 1 << 20, "the log is too long")
    check(kind != "py" or worker.lines(
        'handler "py_twice" returned 1 keys that are the same'), "no warning")


main()
