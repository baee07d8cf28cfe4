#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The cases of test_real.py against avtomatika 1.0b30."""
import sys

sys.dont_write_bytecode = True

import test_real  # noqa: E402
from harness import case, check, same  # noqa: E402

KEY = {"ORCHESTRATOR_SECRET_KEY": "the orchestrator's own key"}


@case("tasks that it signs are run, and no others once there is a key")
def signatures(t):
    orch = t.orchestrator(more_env=KEY)
    worker = t.worker(orch.url, env=KEY)
    orch.wait_worker()
    jobs = orch.submit("echo", {"text": "ёж {i}", "n": [1.5, 2.0, None]}, 5)
    orch.wait(jobs, "finished")
    worker.drain()
    worker = t.worker(orch.url, env={"ORCHESTRATOR_SECRET_KEY": "another"})
    forged = orch.submit("echo")
    orch.wait(forged, "quarantined")
    check("SECURITY_ERROR" in worker.log(), "no word in the log")
    same(len(worker.lines("SECURITY_ERROR")), 1, "lines in the log")
    worker.drain()


test_real.main("1.0b30")
