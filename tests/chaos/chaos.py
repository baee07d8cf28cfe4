#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Runs avtoworkerd with handlers that misbehave, kills and stops its children
at random, disturbs its orchestrator, kills either and starts it again, fills
its disk up, and then compares what was handed out with what came back: lost,
wrong, unexpected and accepted twice must be empty, what the worker counts has
to add up whenever it is asked, and nothing of it may be left, in processes,
descriptors or memory.

The orchestrator is avtoworker-devorch; its ledger is the truth. What is done
to the worker follows from the seed; when it meets which task does not.

Counted apart: tasks that met a kill on their way from the orchestrator to the
worker's disk (window; none that its journal was seen to hold), and copies of
results of which the worker could not know that they had arrived, at most one
for each blow or withheld answer.
"""
import argparse
import ctypes
import os
import shutil
import signal
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "integration"))

from harness import SEED  # noqa: E402

from blows import Blows  # noqa: E402
from processes import Pulse, descriptors  # noqa: E402
from stage import START_LIMIT, Stage, Trouble, wait_for  # noqa: E402
from verdict import Verdict  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36


def read_arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=".", help="the build directory")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--seed", type=int, default=None)
    p.add_argument("--dialect", choices=("classic", "rxon"),
                   default="classic")
    p.add_argument("--rate", type=float, default=80, help="tasks a second")
    p.add_argument("--kills", type=float, default=4, help="blows a second")
    p.add_argument("--worker-kills", type=float, default=6,
                   metavar="SECONDS",
                   help="mean time between two kill -9 of the worker itself; "
                   "0: none")
    p.add_argument("--orchestrator-kills", type=float, default=12,
                   metavar="SECONDS", help="the same for its orchestrator")
    p.add_argument("--wire-troubles", type=float, default=4,
                   metavar="SECONDS", help="the same for the net between them")
    p.add_argument("--disk-faults", type=float, default=10,
                   metavar="SECONDS", help="the same for the disk under the "
                   "journal, which is full then for some time")
    p.add_argument("--stall", type=float, default=1000, metavar="MS",
                   help="how long the worker's loop may stand still")
    p.add_argument("--memory", type=float, default=128, metavar="MB",
                   help="what it may need at the end")
    p.add_argument("--left-limit", type=float, default=3, metavar="SECONDS",
                   help="how long a process may outlive its task")
    p.add_argument("--end", choices=("term", "kill"), default="term",
                   help="how the worker is ended when all is done")
    p.add_argument("--only", action="append", metavar="CATEGORY",
                   help="these categories alone")
    p.add_argument("--without", action="append", default=[],
                   choices=("kill", "stop", "hup", "tstp", "faults"))
    p.add_argument("--keep", action="store_true",
                   help="keep the directory with logs and ledger")
    p.add_argument("--verbose", action="store_true")
    args = p.parse_args(argv)
    args.build = os.path.abspath(args.build)
    if args.seed is None:
        args.seed = SEED
    return args


def run(stage, blows, verdict):
    """All of it, from the start of the programs to their end."""
    stage.start()
    pulse = Pulse(stage.metrics)
    pulse.start()
    blows.pulse = pulse
    before = descriptors(stage.worker.pid)
    stage.devorch.send_signal(signal.SIGUSR1)
    blows.disturb()
    blows.settle()
    looks = pulse.books.looks
    wait_for(lambda: pulse.books.looks > looks + 1, "the last look at "
             "the books", START_LIMIT)
    pulse.on = False
    verdict.check_books(pulse.books)
    verdict.check_descriptors(before)
    verdict.check_memory()
    verdict.check_end(blows.lag)
    stage.ledger.read()
    verdict.check_stalls(pulse, blows.lag)
    verdict.check_left(blows.left)
    verdict.check_window()


def chaos(args):
    """Runs it; true when all is well."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    directory = tempfile.mkdtemp(prefix="avtoworker-chaos")
    print(f"seed {args.seed}", flush=True)
    stage = Stage(args, directory)
    verdict = Verdict(stage)
    blows = Blows(stage, verdict.fail)
    well = False
    try:
        run(stage, blows, verdict)
        well = verdict.report(blows)
    except Trouble as e:
        print(f"broken: {e}")
        if stage.ledger:
            stage.ledger.read()
            verdict.report(blows)
    finally:
        stage.stop_all(args.keep or not well)
        if args.keep or not well:
            print(f"logs and ledger are kept in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return well


if __name__ == "__main__":
    sys.exit(0 if chaos(read_arguments()) else 1)
