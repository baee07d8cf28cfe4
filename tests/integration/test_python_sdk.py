#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""One script under the real SDK and under avtoworkerd, with the same tasks:
the results are the same, but for what is listed here with its reason."""
import os
import sys

sys.dont_write_bytecode = True

import peers  # noqa: E402
from fake_orchestrator import Fake, task  # noqa: E402
from harness import (SOURCE, TOKEN, Program, case, check, main,  # noqa: E402
                     same)
from python_results import LOST, OLD, ROWS, NEW  # noqa: E402

SCRIPT = os.path.join(SOURCE, "python_api.py")


def without_nulls(value):
    """The SDK for RXON leaves out members that are null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items()
                if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) \
        else value


def essence(result):
    """What a result says; success is what is meant by no status."""
    error = result.get("error") or {}
    return (result.get("status") or "success",
            without_nulls(result.get("data") or {}),
            error.get("code"), error.get("message"))


def ask(fake, rows):
    """{name: essence} of their results."""
    for row in rows:
        fake.put(task(f"t-{ROWS.index(row)}", row[1], row[2]))
    return {row[0]: essence(fake.wait_result(f"t-{ROWS.index(row)}"))
            for row in rows}


@case("a script gives the results that it gives under SDK {}", OLD, NEW)
def compare(t, version):
    python = peers.python_of(f"sdk-{version}")
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"),
           "PYTHONDONTWRITEBYTECODE": "1",
           "REGISTER_BY": "task" if version == OLD else "skill"}
    fake = Fake(classic=version == OLD)
    sdk = Program(t, "sdk", [python, SCRIPT], {
        **env, "ORCHESTRATOR_URL": fake.url, "WORKER_TOKEN": TOKEN,
        "WORKER_ID": "w-1", "TASK_FILES_DIR": t.path("files")}, cwd=t.dir)
    kept = [row for row in ROWS if row[3].get(version) != LOST]
    theirs = ask(fake, kept)
    sdk.kill()
    fake = Fake(classic=version == OLD)
    worker = t.worker(fake.url, modules=(), env=env, more=f"""
python api {{ script = "{SCRIPT}" python = "{python}" }}
""")
    ours = ask(fake, ROWS)
    worker.drain()
    for name, _, _, why in kept:
        if version not in why:
            same(ours[name], theirs[name], name)
        else:
            check(ours[name] != theirs[name],
                  f"{name} does not differ: {ours[name]}")
    for name, _, _, why in ROWS:  # what is lost there is sent here
        if why.get(version) == LOST:
            check(ours[name][0] == "success" or ours[name][2],
                  f"{name}: {ours[name]}")


main()
