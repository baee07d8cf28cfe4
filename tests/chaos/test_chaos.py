#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A minute of chaos, from a seed that is printed: half of it in each
dialect. Everybody is killed and comes back, the net between them fails, and the
disk is full."""
import contextlib
import io
import os
import sys

sys.dont_write_bytecode = True

import chaos  # noqa: E402

SECONDS = os.environ.get("CHAOS_SECONDS", "25")  # of each
# A machine that has other tests to run stands still for a second now and then;
# memory and time that sanitizers take are theirs.
LIMITS = ["--stall=4000", "--left-limit=10"]
if os.environ.get("SANITIZERS"):
    LIMITS += ["--rate=30", "--kills=2", "--memory=900"]


def main():
    failed = False
    print("1..2", flush=True)
    for number, (dialect, end) in enumerate(
            (("classic", "term"), ("rxon", "kill")), 1):
        args = chaos.read_arguments(
            ["--build", os.environ.get("top_builddir", "."), "--seconds",
             SECONDS, "--dialect", dialect, "--end", end, "--verbose",
             *LIMITS])
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            well = chaos.chaos(args)
        failed |= not well
        for line in text.getvalue().splitlines():
            print(f"# {line}")
        print(f"{'ok' if well else 'not ok'} {number} - {SECONDS} s of "
              f"chaos, {dialect}: nothing lost, wrong, unexpected or "
              f"accepted twice", flush=True)
    sys.exit(1 if failed else 0)


main()
