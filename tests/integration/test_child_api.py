#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The handler API beyond params and results: what comes with a task, what goes
with its result, what a handler tells of itself, lines of the log, settings."""
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
from child_driver import (RESULT, SRC, STARTED, TASK, case, compile_module,
                          contains, describe, equal, main, serve)

LOG = 19
MESSAGE_MAX = 4096
TMP = tempfile.TemporaryDirectory()
SOURCE = SRC + "/tests/integration/child_modules.c"
GOOD = compile_module(SOURCE, TMP.name + "/good.so", "-DMODULE_GOOD")


def start(kind, environment=None):
    child = serve(kind + "=" + GOOD, environment=environment)
    child.ready()
    return child


def send(child, kind, params=None, **more):
    child.send(TASK, {"task_id": "t", "job_id": "j", "type": kind,
                      "params": params or {}, **more}, 1)
    return child.result()


# The task


@case("what comes with a task can be read, and its workspace is made")
def _():
    child = start("context")
    came = {"metadata": {"a": [1]}, "params_metadata": {"f": {"size": 2**60}},
            "tracing_context": {"traceparent": "00-1"}, "priority": 2.5,
            "deadline_ms": 1700000000123, "workspace": TMP.name + "/w"}
    equal(send(child, "context", **came)["data"], {**came, "made": True}, "all")
    equal(os.stat(came["workspace"]).st_mode & 0o777, 0o700, "mode")
    equal(send(child, "context", **came)["data"]["made"], True, "there already")
    equal(send(child, "context")["data"],
          {"metadata": {}, "params_metadata": {}, "tracing_context": {},
           "priority": 0, "deadline_ms": 0, "workspace": None, "made": False},
          "none")
    equal(send(child, "context", metadata=[1], priority="x", workspace=7)
          ["data"]["workspace"], None, "of the wrong types")
    equal(send(child, "context", workspace="/nonexistent/w")["data"]["made"],
          False, "cannot be made")
    child.stop()


# The result


def outcome(**params):
    child = start("with")
    result = send(child, "with", params)
    child.stop()
    return result


@case("a success may have a status of its own, a failure has its own already")
def _():
    equal(outcome(status="needs_review")["status"], "needs_review", "word")
    for bad in ("", "a b", "x" * 129, "\u00e9"):
        result = outcome(status=bad)
        equal((result["status"], result["data"]["status"]),
              ("success", False), bad)
    equal(outcome(status="x" * 128)["status"], "x" * 128, "longest")
    equal(outcome(status="odd", fails=True), {
        "status": "failure",
        "error": {"code": "NOT_FOUND", "message": "as asked"}}, "failure")


@case("metadata goes with results of either kind, and the last one counts")
def _():
    result = outcome(metadata='{"m": 1}', data_metadata='{"f": {}}',
                     status="fine")
    equal((result["metadata"], result["data_metadata"], result["status"]),
          ({"m": 1}, {"f": {}}, "fine"), "success")
    result = outcome(metadata='{"m": 1}', fails=True)
    equal((result["metadata"], result["error"]["code"]),
          ({"m": 1}, "NOT_FOUND"), "failure")


@case("metadata that is no object of a sane size is refused")
def _():
    for bad in ("", "1", "[]", "{", '{"a":1,"a":2}', '"x"',
                json.dumps({"x": "y" * 65536}),
                json.dumps({"x": [0] * 3000})):
        result = outcome(data_metadata=bad)
        equal((result["data"]["data_metadata"], "data_metadata" in result),
              (False, False), bad[:20])
    result = outcome(metadata="[]")
    equal(result["metadata"], {"old": 1}, "a good one before it stays")


# The log


@case("lines for the log are frames with level, name and lease")
def _():
    child = start("log")
    child.task("log", {}, 7)
    equal(child.frame(), (STARTED, 7, {}), "started")
    frames = [child.frame() for _ in range(4)]
    for kind, lease, payload in frames:
        equal((kind, lease, payload["name"]), (LOG, 7, "log"), "frame")
    equal([(p["level"], p["message"][:10]) for _k, _l, p in frames],
          [("debug", "1"), ("info", "\ufffd\n"), ("warning", "three"),
           ("error", "0" * 10)], "lines")
    equal(len(frames[3][2]["message"]), MESSAGE_MAX, "cut")
    equal(child.frame()[0], RESULT, "result")
    equal(child.stop(), "warning: of no task\n", "without a task")


# Settings


@case("a setting is a variable, or the content of a file")
def _():
    secret = TMP.name + "/secret"
    with open(secret, "w") as out:
        out.write("two\nlines\n")
    large = TMP.name + "/large"
    with open(large, "w") as out:
        out.write("x" * (1024 * 1024 + 1))
    child = start("setting", {
        "PLAIN": "a b", "EMPTY": "", "SECRET_FILE": secret,
        "GONE_FILE": TMP.name + "/gone", "LARGE_FILE": large,
        "BOTH": "here", "BOTH_FILE": secret})
    for key, value in (("PLAIN", "a b"), ("EMPTY", ""), ("BOTH", "here"),
                       ("SECRET", "two\nlines")):
        equal(child.data("setting", {"key": key}),
              {"value": value, "same": True}, key)
    equal(child.data("setting", {"key": "NO_SUCH"}),
          {"value": None, "same": True}, "none")
    equal(child.data("setting", {"key": "x" * 300})["value"], None, "long")
    equal(child.error("setting", {"key": "GONE"})[1],
          "No such file or directory", "no file")
    equal(child.error("setting", {"key": "LARGE"})[1], "File too large", "big")
    child.stop()


# What a handler tells of itself

TOLD = {
    "version": ("1.2.3", "1.2.3", ["a b", "x" * 129]),
    "kind": ("image", "image", ["\u00e9"]),
    "description": ("\u0451\u0436", "\u0451\u0436", ["x" * 1025]),
    "input_schema": ('{"type": "object"}', {"type": "object"},
                     ["[]", "{", "{} {}", '{"a":1,"a":2}']),
    "output_schema": ("{}", {}, ["1"]),
    "events_schema": ('{"done": {}}', {"done": {}}, ["null"]),
    "output_statuses": ('["success", "odd"]', ["success", "odd"],
                        ["{}", "[1]", '["a b"]', "["]),
}


def told(name, value):
    """A module whose handler has that member."""
    told.count += 1
    return compile_module(
        SOURCE, "%s/told%d.so" % (TMP.name, told.count),
        "-DMODULE_TOLD", "-DTOLD=%s=%s" % (name, json.dumps(
            value, ensure_ascii=False)))


told.count = 0


@case("describe tells schemas, statuses, version, kind and description")
def _():
    for name, (text, want, _bad) in TOLD.items():
        payload, status, printed = describe(told(name, text))
        equal((payload.get("handlers"), status, printed),
              ([{"type": "odd", name: want}], 0, ""), name)


@case("what cannot be told is refused, naming the file, member and handler")
def _():
    for name, (_text, _want, bad) in TOLD.items():
        for text in bad:
            file = told(name, text)
            contains(describe(file)[0]["error"],
                     '%s: the %s of handler "odd" is malformed' % (file, name))


main()
