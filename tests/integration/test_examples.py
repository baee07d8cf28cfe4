#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The example handlers, run as the supervisor runs them."""
import json
import os
import sys
import tempfile

sys.dont_write_bytecode = True
from child_driver import (BUILD, case, contains, describe, equal, main, serve)

DIRECTORY = os.environ.get("AVTOWORKER_EXAMPLES",
                           BUILD + "/handlers/examples/.libs")
INVALID = "INVALID_INPUT_ERROR"


def file(name):
    return "%s/%s.so" % (DIRECTORY, name)


def start(name, **environment):
    child = serve("%s=%s" % (name, file(name)), environment=environment)
    equal(child.ready().get("error"), None, "ready")
    return child


@case("each example describes itself")
def _():
    for name, category in (("process_data", None), ("process_image", "heavy"),
                           ("send_notification", "light")):
        want = {"type": name}
        if category:
            want["category"] = category
        equal(describe(file(name)),
              ({"version": 1, "handlers": [want]}, 0, ""), name)


@case("process_data upper-cases ASCII and keeps the rest")
def _():
    child = start("process_data")
    for text, want in (("hello, World 1", "HELLO, WORLD 1"), ("", ""),
                       ("naïve привет \U0001f600", "NAïVE привет \U0001f600"),
                       ("a\0\n\"\\z", "A\0\n\"\\Z")):
        equal(child.data("process_data", {"input": text}), {"result": want},
              repr(text))
    for params in ({}, {"input": None}, {"input": 5}, {"input": ["a"]}):
        code, message = child.error("process_data", params)
        equal(code, INVALID, repr(params))
        contains(message, "\"input\"")
    child.stop()


def blurred(rows, radius):
    """The slow way: clipped means of rows, then of columns."""
    def line(values):
        out = []
        for i in range(len(values)):
            part = values[max(0, i - radius):i + radius + 1]
            out.append(sum(part) // len(part))
        return out
    columns = [line(column) for column in zip(*map(line, rows))]
    return [list(row) for row in zip(*columns)]


def checksum(rows):
    value = 0xcbf29ce484222325
    for row in rows:
        for grey in row:
            value = (value ^ grey) * 0x100000001b3 % 2**64
    return "%016x" % value


@case("process_image blurs a PGM picture and describes it")
def _():
    child = start("process_image")
    rows = [[(x * 37 + y * 91) % 256 for x in range(9)] for y in range(7)]
    text = "P2 # by hand\n9 7\n# more\n255\n" + "\n".join(
        " ".join(map(str, row)) for row in rows)
    flat = sum(rows, [])
    for radius in (0, 1, 3, 64):
        data = child.data("process_image", {"image": text, "radius": radius})
        equal(data.pop("checksum"), checksum(blurred(rows, radius)),
              "checksum for radius %d" % radius)
        equal(data, {
            "width": 9, "height": 7, "mean": sum(flat) / len(flat),
            "histogram": [sum(1 for g in flat if g // 16 == i)
                          for i in range(16)]}, "data")
    child.stop()


@case("process_image draws a picture of the size asked for")
def _():
    child = start("process_image")
    data = child.data("process_image", {"width": 64, "height": 3})
    equal(sum(data["histogram"]), 192, "pixels")
    equal(len(data["checksum"]), 16, "checksum")
    equal(child.data("process_image", {"width": 64, "height": 3}), data,
          "the same again")
    child.stop()


@case("process_image refuses what it cannot take")
def _():
    child = start("process_image")
    for params in ({}, {"width": 10}, {"width": 10, "height": "10"},
                   {"width": 0, "height": 1}, {"width": -5, "height": -5},
                   {"width": 8193, "height": 1},
                   {"width": 8192, "height": 8192},
                   {"image": 1}, {"image": "P5 1 1 255 0"}, {"image": "P2"},
                   {"image": "P2 1 1 255"}, {"image": "P2 1 1 256 0"},
                   {"image": "P2 1 1 0 0"}, {"image": "P2 1 1 7 8"},
                   {"image": "P2 99999999999999999999 1 1 1"},
                   {"image": "P2 4294967296 4294967296 1 1"},
                   {"image": "P2 -1 1 1 1"},
                   {"image": "P2 1 1 1 1", "radius": 65},
                   {"image": "P2 1 1 1 1", "radius": "1"},
                   {"image": "P2 1 1 1 1", "radius": -1}):
        equal(child.error("process_image", params)[0], INVALID, repr(params))
    equal(child.data("process_image", {"image": "P2 1 1 1 1"})["mean"], 255,
          "one pixel")
    child.stop()


@case("send_notification appends a line and names the message")
def _():
    with tempfile.TemporaryDirectory() as directory:
        outbox = directory + "/outbox"
        child = start("send_notification", NOTIFICATION_OUTBOX=outbox)
        for text in ("the disk is \"full\"", "two\nlines", "привет"):
            equal(child.data("send_notification",
                             {"to": "ops", "message": text}),
                  {"message_id": "ntf-t-1"}, "data")
        equal(child.stop(), "", "output")
        with open(outbox) as lines:
            equal([json.loads(line) for line in lines],
                  [{"id": "ntf-t-1", "to": "ops", "message": text} for text in
                   ("the disk is \"full\"", "two\nlines", "привет")],
                  "outbox")


@case("send_notification prints without an outbox")
def _():
    child = start("send_notification", NOTIFICATION_OUTBOX="")
    child.data("send_notification", {"to": "ops", "message": "hello"})
    equal(child.stop(),
          "{\"id\":\"ntf-t-1\",\"to\":\"ops\",\"message\":\"hello\"}\n",
          "output")


@case("send_notification refuses bad params and a bad outbox")
def _():
    child = start("send_notification", NOTIFICATION_OUTBOX="")
    for params in ({}, {"to": "ops"}, {"to": 1, "message": "x"},
                   {"to": "", "message": "x"}, {"to": "a", "message": ""},
                   {"to": 300 * "x", "message": "x"},
                   {"to": "ops", "message": 16384 * "x"}):
        equal(child.error("send_notification", params)[0], INVALID,
              repr(params)[:80])
    equal(child.stop(), "", "output")
    child = serve("send_notification=" + file("send_notification"),
                  environment={"NOTIFICATION_OUTBOX": "/nonexistent/x"})
    contains(child.ready()["error"],
             "cannot open NOTIFICATION_OUTBOX /nonexistent/x: No such file")
    child.wait()


@case("send_notification asks for a retry when the outbox is full")
def _():
    child = start("send_notification", NOTIFICATION_OUTBOX="/dev/full")
    payload = child.run("send_notification", {"to": "a", "message": "b"})
    equal(payload, {"status": "retry", "error": {
        "code": "OUTBOX_ERROR",
        "message": "cannot write the outbox: No space left on device"}},
        "result")
    child.stop()


main()
