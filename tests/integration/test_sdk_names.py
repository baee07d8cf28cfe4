#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The public names of both generations of the real SDK, ours, and the table of
them in docs/python.md: each says the same as the others."""
import functools
import json
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True

import peers  # noqa: E402
from harness import SOURCE, case, check, main, same  # noqa: E402

TOP = os.path.dirname(os.path.dirname(SOURCE))
SDKS = ("1.0b1", "1.0b20")
WORDS = ("same", "differs", "refused", "absent")
VARIABLE = ("VAR_POSITIONAL", "VAR_KEYWORD")


@functools.lru_cache(None)
def walk(sdk, path=None):
    """What sdk_names.py finds; with a path, of the package there."""
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    if path:
        env["PYTHONPATH"] = path
    done = subprocess.run(
        [peers.python_of(f"sdk-{sdk}"), "-B",
         os.path.join(SOURCE, "sdk_names.py")], env=env, check=False,
        capture_output=True, text=True)
    check(done.returncode == 0, done.stderr)
    found = json.loads(done.stdout)
    for name, _, _ in found["Worker"]["what"][1]:
        found[f"Worker({name}=)"] = {"in": [], "what": ["parameter"]}
    return found


def ours():
    return walk("1.0b20", os.path.join(TOP, "handlers", "python"))


def rows():
    """[(names, of SDK, here)] of the table."""
    with open(os.path.join(TOP, "docs", "python.md"), encoding="utf-8") as f:
        part = f.read().split("\n| name | of SDK | here |\n")[1]
    found = []
    for line in part.split("\n\n")[0].splitlines()[1:]:
        names, sdk, here = line.strip("| ").split(" | ")
        found.append((re.findall(r"`([^`]+)`", names), sdk, here))
    return found


def said():
    """{name: (of SDK, here)}."""
    table = {}
    for names, sdk, here in rows():
        for name in names:
            check(name not in table, f"twice in the table: {name}")
            table[name] = (sdk, here)
    return table


def row_of(name, table):
    """Its own, or else that of its class."""
    return table.get(name) or table.get(name.split(".")[0])


def holders(name):
    """How the table calls those that have it."""
    having = [v for v in SDKS if name in walk(v)]
    return {0: "the guide", 1: having[0] if having else "",
            2: "both"}[len(having)]


def misfit(theirs, mine):
    """Why a call that theirs takes is none for mine, or None."""
    if theirs[0] == "constant":
        return None if theirs == mine else f"{mine} is not {theirs}"
    if len(theirs) < 2 or theirs[1] is None:
        return None
    if theirs[2:] != mine[2:]:
        return "one is awaited, the other is not"
    if not mine[1:] or mine[1] is None:
        return "its parameters cannot be told"
    by_name = {name: (kind, left) for name, kind, left in mine[1]}
    for i, (name, kind, left) in enumerate(theirs[1]):
        if kind in VARIABLE:
            if kind not in [k for _, k, _ in mine[1]]:
                return f"no {kind}"
            continue
        if name not in by_name:
            return f"no parameter {name}"
        if left and not by_name[name][1]:
            return f"{name} must be given"
        place = mine[1][i] if i < len(mine[1]) else ("", "", True)
        if kind == "POSITIONAL_OR_KEYWORD" and place[0] != name and \
                place[1] != kind:
            return f"{name} cannot be given by its place"
    known = {name for name, _, _ in theirs[1]}
    needed = [name for name, kind, left in mine[1]
              if name not in known and not left and kind not in VARIABLE]
    return f"{needed} must be given" if needed else None


@case("every public name of SDK {} is in the table", *SDKS)
def complete(t, sdk):
    table = said()
    missing = [name for name in walk(sdk) if not row_of(name, table)]
    same(missing, [], "names without a row")


@case("the table names what there is, and who has it")
def true(t):
    known = {**walk(SDKS[0]), **walk(SDKS[1]), **ours()}
    for name, (sdk, here) in said().items():
        check(name in known, f"nobody has {name}")
        same(sdk, holders(name), f"who has {name}")
        word = re.match(r"\w+", here)[0]
        check(word in WORDS, f"{name}: {here}")
        check(word == "same" or ": " in here, f"no reason: {name}: {here}")


@case("names of SDK {} are here as the table says", *SDKS)
def present(t, sdk):
    table, mine = said(), ours()
    for name, theirs in walk(sdk).items():
        is_absent = row_of(name, table)[1].startswith("absent")
        same(name not in mine, is_absent, f"{name} is absent")
        if is_absent:
            continue
        wrong = misfit(theirs["what"], mine[name]["what"])
        check(wrong is None, f"{name}: {wrong}")
        same(sorted({*theirs["in"]} - {*mine[name]["in"]}), [],
             f"modules without {name}")


main(lambda: [peers.python_of(f"sdk-{v}") for v in SDKS])
