# SPDX-License-Identifier: ISC
"""What bench_python.py has run: one script for the Python SDK and for
avtoworkerd, with a task that does nothing, one that computes, and one that
waits.
"""
import asyncio
import logging
import time

from avtomatika_worker import Worker

COMPUTE_S = 0.020  # of processor time
NAP_S = 0.100

logging.basicConfig(level=logging.WARNING)
if hasattr(Worker, "skill"):
    worker = Worker(worker_type="bench")
    task = worker.skill
else:
    worker = Worker(worker_type="bench")
    task = worker.task


@task("echo")
async def echo(params: dict, **_) -> dict:
    """Nothing."""
    return {"status": "success", "data": {"echo": params}}


@task("compute")
def compute(params: dict, **_) -> dict:
    """A plain function, which the SDK runs in a thread."""
    end = time.thread_time() + COMPUTE_S
    while time.thread_time() < end:
        pass
    return {"status": "success", "data": {}}


@task("nap")
async def nap(params: dict, **_) -> dict:
    """Waits, as for an answer from somewhere."""
    await asyncio.sleep(NAP_S)
    return {"status": "success", "data": {}}


if __name__ == "__main__":
    worker.run()
