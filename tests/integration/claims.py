# SPDX-License-Identifier: ISC
"""What a test claims, and how it waits for that."""
import time

LIMIT = 20  # seconds for one event


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
    text, or a function that makes it."""
    end = time.monotonic() + limit
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise Failed(f"not within {limit} s: {text}")
        time.sleep(0.01)
