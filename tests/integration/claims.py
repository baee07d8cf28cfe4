# SPDX-License-Identifier: ISC
"""What a test claims, how it waits for that, and what a slow machine is
granted."""
import threading
import time

LIMIT = 60  # seconds for one event
PATIENCE = 0.5  # seconds that one look may take of a limit
NAP = 0.02


class Failed(Exception):
    """What a case found wrong."""


class OutOfTime(BaseException):
    """The case's own limit; no ordinary handler may swallow it."""


def check(claim, text):
    if not claim:
        raise Failed(text)


def same(got, want, what):
    check(got == want, f"{what}: got {got!r}, want {want!r}")


def eventually(claim, what, limit=LIMIT):
    """Waits until claim() is true, and returns what it returned. what is
    text, or a function that makes it. A machine that stands still for a while
    takes little of the limit."""
    left, begun = limit, time.monotonic()
    while True:
        value = claim()
        if value:
            return value
        if left < 0:
            text = what() if callable(what) else what
            raise Failed(f"not within {limit} s: {text}")
        time.sleep(0.01)
        now = time.monotonic()
        left -= min(now - begun, PATIENCE)
        begun = now


class Lateness(threading.Thread):
    """Naps, again and again, and notes how much later than it wanted to it
    was let run. What is measured beside it may be late by as much, and tells
    nothing of the worker then."""

    def __init__(self):
        super().__init__(daemon=True)
        self.worst = 0.0
        self.begun = time.monotonic()
        self.start()

    def run(self):
        while True:
            self.worst = self.so_far()
            self.begun = time.monotonic()
            time.sleep(NAP)

    def so_far(self):
        """At worst, in seconds; also if that is just now."""
        return max(self.worst, time.monotonic() - self.begun - NAP)
