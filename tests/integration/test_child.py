#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""avtoworker-child over its channel: describe, serve, and everything that
can go wrong on either side."""
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from child_driver import (CANCEL, CHILD, EVENT, PROGRESS, RESULT, SRC,
                          STARTED, STOP, TASK, Child, Skip, case,
                          compile_module, contains, describe, equal, main,
                          serve, wait_gone)

TO_CHILD_MAX = 8 * 1024 * 1024
FROM_CHILD_MAX = 1024 * 1024
EX_USAGE, EX_UNAVAILABLE, EX_OSERR, EX_PROTOCOL = 64, 69, 71, 76

TMP = tempfile.TemporaryDirectory()
SOURCE = SRC + "/tests/integration/child_modules.c"
MODULES = {}


def module(name, *flags):
    """Compiles a variant of child_modules.c, once."""
    if name not in MODULES:
        MODULES[name] = compile_module(
            SOURCE, "%s/%s.so" % (TMP.name, name.lower()),
            "-DMODULE_" + name, *flags)
    return MODULES[name]


def serve_good(*types, **more):
    file = module("GOOD")
    child = serve(*["%s=%s" % (t, file) for t in types], **more)
    child.offer = child.ready()
    return child


# Describe


@case("describe lists the handlers and their categories, running no init")
def _():
    payload, status, text = describe(module("GOOD"))
    equal(status, 0, "exit status")
    equal(payload["version"], 1, "version")
    equal(payload["handlers"][:2],
          [{"type": "echo", "category": "first"}, {"type": "silent"}],
          "handlers")
    equal(len(payload["handlers"]), 22, "number of handlers")
    equal(text, "", "output")


@case("describe takes a module built against a later header of this ABI")
def _():
    equal(describe(module("LATER"))[0],
          {"version": 1, "handlers": [{"type": "later"}]}, "ready")


REFUSED = [
    ("NO_SYMBOL", [], "has no symbol avtoworker_module"),
    ("NO_HANDLERS", [], "has no handlers"),
    ("OTHER_ABI", [], "its handler ABI is 2, this one's is 1); rebuild it"),
    ("INTERNALS", [], "undefined symbol: jscan_check"),
    ("BAD_TYPE", ['-DTYPE="a b"'], "the type of handler 1 must be"),
    ("NO_TYPE", ["-DTYPE=NULL"], "the type of handler 1 must be"),
    ("LONG_TYPE", ['-DTYPE="' + 129 * "x" + '"'], "must be 1 to 128"),
    ("BAD_CATEGORY", ['-DCATEGORY=""'], "the category of handler \"odd\""),
    ("NO_RUN", ["-DRUN=NULL"], "handler \"odd\" has no run function"),
    ("NO_SIZE", ["-DSIZE=0"], "set .size to sizeof(struct aw_handler)"),
    ("TWICE_TYPE", ["-DTWICE"], "has two handlers of type \"odd\""),
]


@case("describe refuses what is no usable module, naming file and reason")
def _():
    for name, flags, sentence in REFUSED:
        file = module(name, *flags)
        payload, status, text = describe(file)
        equal(sorted(payload), ["error", "version"], name)
        contains(payload["error"], file, name)
        contains(payload["error"], sentence, name)
        equal((status, text), (0, ""), name)


@case("describe says that a file is missing or no shared object")
def _():
    error = describe("/nonexistent/x.so")[0]["error"]
    equal(error, "cannot load /nonexistent/x.so: cannot open shared object "
          "file: No such file or directory", "missing")
    file = TMP.name + "/text.so"
    with open(file, "w") as out:
        out.write("no ELF")
    contains(describe(file)[0]["error"], "cannot load " + file, "text")


@case("a constructor that crashes is a death without a frame")
def _():
    payload, status, _text = describe(module("CONSTRUCTOR"))
    equal((payload, status), (None, -signal.SIGABRT), "describe")


# Starting to serve


@case("ready offers the handlers asked for, in that order")
def _():
    child = serve_good("count", "echo")
    equal(child.offer["handlers"],
          [{"type": "count"}, {"type": "echo", "category": "first"}],
          "handlers")
    child.stop()


@case("init runs once, its state is run's, and stop runs fini")
def _():
    child = serve_good("count", "echo")
    equal(child.data("count", {}), {"count": 1}, "first")
    equal(child.data("count", {}), {"count": 2}, "second")
    equal(child.stop(), "init count\nfini count 2\n", "output")


@case("a module that cannot be used is said in ready, and the child exits")
def _():
    file = module("OTHER_ABI")
    child = serve("odd=" + file)
    contains(child.ready()["error"], file)
    equal(child.frame(), None, "the end")
    equal(child.wait()[0], EX_UNAVAILABLE, "exit status")


@case("a type that the file does not have is said in ready")
def _():
    child = serve("nothing=" + module("GOOD"))
    contains(child.ready()["error"], "has no handler of type \"nothing\"")
    equal(child.wait()[0], EX_UNAVAILABLE, "exit status")


@case("an init that fails is said in ready; what was started is ended")
def _():
    file = module("INIT_FAILS", "-DINIT=init_fails")
    child = serve("count=" + module("GOOD"), "odd=" + file)
    equal(child.ready()["error"], "handler \"odd\" of %s cannot start: "
          "no database here" % file, "error")
    equal(child.wait(), (EX_UNAVAILABLE, "init count\nfini count 0\n"), "end")
    child = serve("odd=" + module("INIT_MUTE", "-DINIT=init_mute"))
    contains(child.ready()["error"], "failed without a reason")
    child.wait()


# Command line


def usage(*arguments):
    child = Child(*arguments)
    status, text = child.wait()
    equal(status, EX_USAGE, repr(arguments))
    equal(text.count("\n"), 1, "lines of " + text)
    contains(text, "started by avtoworkerd, and by hand as")
    return text


@case("a command line that is not the supervisor's exits 64 with one line")
def _():
    me = str(os.getpid())
    usage()
    usage("--help")
    usage("--describe")
    usage("--describe", "a", "b")
    usage("--parent", me, "--category", "x")
    usage("--parent", me, "--kategory", "x", "a=b")
    contains(usage("--parent", "0", "--category", "x", "a=b"), "process id")
    contains(usage("--parent", "1x", "--category", "x", "a=b"), "process id")
    contains(usage("--parent", me, "--category", "a b", "a=b"), "category")
    contains(usage("--parent", me, "--category", "x", "ab"), "TYPE=FILE")
    contains(usage("--parent", me, "--category", "x", "a="), "TYPE=FILE")
    contains(usage("--parent", me, "--category", "x", "=b"), "type")
    contains(usage("--parent", me, "--category", "x", "a=b", "a=c"), "twice")


@case("without descriptor 3 it exits 64 with one line")
def _():
    done = subprocess.run([CHILD, "--describe", "x.so"], close_fds=True,
                          stderr=subprocess.PIPE, text=True)
    equal(done.returncode, EX_USAGE, "exit status")
    contains(done.stderr, "descriptor 3 is not open")


# Tasks


@case("a task is started, run and answered under its lease")
def _():
    child = serve_good("echo")
    params = {"a": [1, 2.5, None, True], "text": "naïve \u0000 \U0001f600"}
    for lease in (1, 7, 2**64 - 1):
        payload = child.run("echo", params, lease)
        equal(payload, {"status": "success", "data": {
            "task_id": "t-1", "job_id": "j-1", "type": "echo",
            "params": params}}, "result")
    child.stop()


@case("frames may come byte by byte or several at once")
def _():
    child = serve_good("echo")
    payload = b'{"task_id":"t","job_id":"j","type":"echo","params":{}}'
    frame = struct.pack("<IHHQ", len(payload), TASK, 0, 5) + payload
    for byte in frame:
        child.send_raw(bytes([byte]))
    equal(child.result(5)["status"], "success", "byte by byte")
    cancel = struct.pack("<IHHQ", 2, CANCEL, 0, 5) + b"{}"
    stop = struct.pack("<IHHQ", 2, STOP, 0, 0) + b"{}"
    child.send_raw(cancel + frame + cancel + frame + stop)
    equal(child.result(5)["status"], "success", "first of two")
    equal(child.result(5)["status"], "success", "second of two")
    equal(child.frame(), None, "the end")
    equal(child.wait(), (0, ""), "exit")


@case("failure, retry and a second result come out as they were set")
def _():
    child = serve_good("fail", "retry", "twice")
    equal(child.error("fail", {"code": "MY_CODE", "message": "a \"b\"\n"}),
          ("MY_CODE", "a \"b\"\n"), "failure")
    equal(child.run("retry", {}), {"status": "retry", "error": {
        "code": "BUSY", "message": "try 2"}}, "retry")
    equal(child.data("twice", {}), {"second": True}, "twice")
    child.stop()


@case("a malformed error code is replaced and said, a long message cut")
def _():
    child = serve_good("fail")
    for code in ("", "not found", 65 * "X"):
        got, message = child.error("fail", {"code": code, "message": "why"})
        equal(got, "TRANSIENT_ERROR", "code")
        contains(message, "why (the handler gave the malformed error code \"")
    equal(child.error("fail", {"message": "why"})[0], "TRANSIENT_ERROR", "")
    message = child.error("fail", {"code": "X", "message": 4095 * "x" + "é"})
    equal(message[1], 4095 * "x", "cut before a character")
    message = child.error("fail", {"message": 5000 * "é"})[1]
    equal(len(message.encode()) <= 4096, True, "length with the note")
    contains(message, "malformed error code")
    child.stop()


@case("a handler that asks is told to stop, and why; its result counts")
def _():
    child = serve_good("heed", "echo")
    params = {"text": 3000 * "é"}
    for reason, want in (("time_limit", "time_limit"), ("drain", "drain"),
                         ("cancel", "cancel"), ("word of tomorrow", "cancel")):
        child.task("heed", params, 7)
        # Of the task before this one; then what is meant.
        child.send(CANCEL, {"reason": "drain", "grace_ms": 1}, 6)
        child.send(CANCEL, {"reason": reason, "grace_ms": 5000}, 7)
        # That one comes too late, in front of the next task.
        child.send(CANCEL, {"reason": "drain", "grace_ms": 1}, 7)
        equal(child.result(7), {"status": "success", "data": {
            "still": True, "reason": want, "params": params}}, reason)
    child.send(CANCEL, {"reason": "cancel", "grace_ms": 1}, 7)
    equal(child.data("echo", {})["type"], "echo", "a task after a late cancel")
    # A task behind the one at hand stays where it is.
    child.task("heed", {}, 8)
    child.send(CANCEL, b"{nonsense", 8)
    child.task("echo", {}, 9)
    equal(child.result(8)["data"]["reason"], "cancel", "malformed")
    equal(child.result(9)["status"], "success", "the task behind it")
    child.stop()


@case("to ask whether to stop costs little")
def _():
    child = serve_good("cost")
    ns = child.data("cost", {})["ns"]
    print("# aw_cancelled: %d ns" % ns)
    equal(ns < 20000, True, "%d ns" % ns)
    child.stop()


def told(child, lease=1):
    """What comes between started and the result: [(kind, payload)]."""
    equal(child.frame(), (STARTED, lease, {}), "started")
    frames = []
    while True:
        kind, got, payload = child.frame()
        equal(got, lease, "lease")
        if kind == RESULT:
            return frames, payload
        frames.append((kind, payload))


@case("progress and events come before the result")
def _():
    child = serve_good("tell")
    child.task("tell", {"times": 2, "type": "half.done",
                        "payload": '{"n": [1, null]}'})
    frames, result = told(child)
    equal(frames, [
        (PROGRESS, {"progress": 0.5, "message": "on the way"}),
        (PROGRESS, {"progress": 1.0, "message": "on the way"}),
        (EVENT, {"type": "half.done", "payload": {"n": [1, None]}}),
    ], "frames")
    equal(result["data"]["sent"], True, "sent")
    for params in ({"type": "no good"}, {"payload": "[1]"},
                   {"payload": "{"}):
        child.task("tell", {"times": 0, **params})
        equal(told(child)[1]["data"]["sent"], False, repr(params))
    # The message, which wraps it, has to be within the limit of 128 levels.
    for levels, sent in ((127, True), (128, False)):
        child.task("tell", {"times": 0, "payload":
                            '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)})
        equal(told(child)[1]["data"]["sent"], sent, f"{levels} levels")
    child.stop()


@case("a handler that tells too much is not listened to, and never waits")
def _():
    child = serve_good("tell")
    child.task("tell", {"times": 1000000})
    frames, result = told(child)
    equal(10 <= len(frames) < 300, True, f"{len(frames)} frames")
    equal(result["status"], "success", "status")
    child.stop()


@case("a fork that comes back out of its handler is ended, and says nothing")
def _():
    child = serve_good("stray")
    for _ in range(2):
        equal(child.data("stray", {}), {"status": 70}, "data")
    contains(child.stop(), 'a process that handler "stray" has forked came '
             "back out of it; ending it\n")


@case("a handler that sets no result has failed for now")
def _():
    child = serve_good("silent")
    equal(child.error("silent", {}), ("TRANSIENT_ERROR", "handler \"silent\" "
          "returned without a result"), "error")
    child.stop()


@case("data that is no JSON object violates the contract")
def _():
    child = serve_good("text")
    equal(child.data("text", {"text": " {\"a\": 1} "}), {"a": 1}, "fine")
    for text in ("", "[1]", "{", "{\"a\":1}}", "{\"a\":1,\"a\":2}", "nope"):
        code, message = child.error("text", {"text": text})
        equal(code, "CONTRACT_VIOLATION_ERROR", text)
        contains(message, "handler \"text\" returned data that is not")
    contains(child.error("text", {})[1], "a null pointer")
    child.stop()


@case("params that are no object, and unknown types, are answered")
def _():
    child = serve_good("echo")
    for params in (None, [], "x"):
        equal(child.error("echo", params)[0], "INVALID_INPUT_ERROR", "params")
    code, message = child.error("other", {})
    equal(code, "TRANSIENT_ERROR", "unknown type")
    contains(message, "category \"test\" has no handler of type \"other\"")
    child.stop()


@case("a result up to the limit is sent; a larger one is refused by size")
def _():
    child = serve_good("large")
    around = len('{"status":"success","data":{"x":""}}')
    data = child.data("large", {"size": FROM_CHILD_MAX - around})
    equal(len(data["x"]), FROM_CHILD_MAX - around, "at the limit")
    code, message = child.error("large", {"size": FROM_CHILD_MAX - around + 1})
    equal(code, "PERMANENT_ERROR", "above the limit")
    contains(message, "is 1048577 bytes, the limit is 1048576")
    child.stop()


@case("a task up to the limit is taken")
def _():
    child = serve_good("length")
    head = (b'{"task_id":"t","job_id":"j","type":"length",'
            b'"params":{"text":"')
    size = TO_CHILD_MAX - len(head) - 3
    for _again in range(2):
        child.send(TASK, head + size * b"x" + b'"}}', 9)
        equal(child.result(9)["data"], {"length": size}, "length")
        equal(child.data("length", {"text": "é"}), {"length": 2}, "small")
    child.stop()


@case("what a handler printed is in the pipe before its result is sent")
def _():
    child = serve_good("print")
    child.data("print", {})
    equal(os.read(child.output, 100), b"no newline", "output")
    child.stop()


@case("what a handler starts does not hold the channel")
def _():
    child = serve_good("inherit")
    equal(child.data("inherit", {}), {"status": 1}, "test -e of descriptor 3")
    child.stop()


@case("TERM, INT, HUP and broken pipes do not end a child")
def _():
    child = serve_good("signals")
    child.data("signals", {})
    child.stop()


@case("a crash ends the channel after started; what was printed is there")
def _():
    for kind, want, printed in (("crash", -signal.SIGSEGV, "about to crash"),
                                ("leave", 3, "")):
        child = serve_good(kind)
        child.task(kind, {}, 3)
        equal(child.frame(), (STARTED, 3, {}), "started")
        equal(child.frame(), None, "the end")
        status, text = child.wait()
        if "AddressSanitizer" in text:
            want = status
        equal(status, want, "status")
        contains(text, printed)


# The supervisor's side goes wrong


GOOD_TASK = b'{"task_id":"t","job_id":"j","type":"echo","params":{}}'
MALFORMED = [
    ("unknown type", dict(kind=99), "unknown type"),
    ("type 0", dict(kind=0), "unknown type"),
    ("flags", dict(kind=STOP, flags=1), "flags"),
    ("too long", dict(kind=TASK, lease=1, payload=b"",
                      length=TO_CHILD_MAX + 1), "payload above the limit"),
    ("a child's frame", dict(kind=RESULT, lease=1), "a result frame"),
    ("no lease", dict(kind=TASK, payload=GOOD_TASK), "without a lease"),
    ("no JSON", dict(kind=TASK, lease=1, payload=b"{nope}"), "at byte"),
    ("no payload", dict(kind=TASK, lease=1, payload=b""), "at byte"),
    ("no object", dict(kind=TASK, lease=1, payload=b"[]"), "task_id"),
    ("no task_id", dict(kind=TASK, lease=1,
                        payload={"job_id": "j", "type": "echo"}), "task_id"),
    ("no job_id", dict(kind=TASK, lease=1,
                       payload={"task_id": "j", "type": "echo"}), "job_id"),
    ("odd type", dict(kind=TASK, lease=1, payload={
        "task_id": "j", "job_id": "j", "type": "a\0b"}), "type is missing"),
]


@case("malformed frames end the child with one line and no answer")
def _():
    for name, frame, sentence in MALFORMED:
        child = serve_good("echo")
        child.send(**frame)
        equal(child.frame(), None, name)
        status, text = child.wait()
        equal(status, EX_PROTOCOL, name)
        equal(text.count("\n"), 1, name + ": " + text)
        contains(text, sentence, name)
        contains(text, "avtoworker-child [test]: ", name)


@case("the channel's end between frames ends the child quietly")
def _():
    child = serve_good("echo")
    child.sock.shutdown(socket.SHUT_WR)
    equal(child.frame(), None, "the end")
    equal(child.wait(), (0, ""), "exit")


@case("the channel's end inside a frame is said")
def _():
    for part in (b"\x02\0\0", struct.pack("<IHHQ", 2, STOP, 0, 0) + b"{"):
        child = serve_good("echo")
        child.send_raw(part)
        child.sock.shutdown(socket.SHUT_WR)
        status, text = child.wait()
        equal(status, EX_PROTOCOL, "exit status")
        contains(text, "ended inside a frame")


@case("a child whose parent is another process does not start")
def _():
    child = Child("--parent", "1", "--category", "x",
                  "echo=" + module("GOOD"))
    if os.getpid() == 1:
        raise Skip("this test is process 1")
    equal(child.ready()["error"],
          "cannot start, at step \"parent\": No such process", "error")
    equal(child.frame(), None, "the end")
    equal(child.wait(), (EX_OSERR, ""), "exit")


@case("a child dies with its supervisor even while its channel is open")
def _():
    module("GOOD")
    ours, theirs = socket.socketpair()
    supervisor = os.fork()
    if supervisor == 0:
        child = serve_good("echo")
        socket.send_fds(theirs, [b"%d" % child.pid], [child.sock.fileno()])
        signal.pause()
        os._exit(0)
    ours.settimeout(30)
    pid, kept, _flags, _address = socket.recv_fds(ours, 32, 1)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    wait_gone(int(pid))
    equal(len(kept), 1, "our copy of the channel")
    os.close(kept[0])


# Promises about cost, and the documentation


@case("an idle child has less than 1.5 MB of its own")
def _():
    child = serve_good("echo")
    child.data("echo", {})
    with open("/proc/%d/status" % child.pid) as status:
        if int(re.search(r"VmSize:\s+(\d+)", status.read())[1]) > 2**30:
            child.stop()
            raise Skip("sanitizers have memory of their own")
    with open("/proc/%d/smaps_rollup" % child.pid) as rollup:
        dirty_kb = int(re.search(r"Private_Dirty:\s+(\d+)", rollup.read())[1])
    print("# private dirty: %d kB" % dirty_kb)
    equal(dirty_kb < 1536, True, "private dirty of %d kB" % dirty_kb)
    child.stop()


@case("avtoworker-channel(7) lists every frame type of channel.h")
def _():
    with open(SRC + "/child/channel.h") as header:
        types = re.findall(r"^\tFRAME_(\w+) = (\d+),", header.read(), re.M)
    with open(SRC + "/child/avtoworker-channel.7") as page:
        rows = re.findall(r"^\.It Sy (\w+) Ta (\d+) Ta", page.read(), re.M)
    equal(rows, [(name.lower(), number) for name, number in types], "rows")


main()
