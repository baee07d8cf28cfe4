# SPDX-License-Identifier: ISC
"""A worker of the Python SDK, old or new, whose one task does nothing."""
import logging

from avtomatika_worker import Worker

logging.basicConfig(level=logging.WARNING)
if hasattr(Worker, "skill"):
    worker = Worker(worker_type="bench", skill_type_limits={"light": 10})
    echo_task = worker.skill("echo", type="light")
else:
    worker = Worker(worker_type="bench", task_type_limits={"light": 10})
    echo_task = worker.task("echo", task_type="light")


@echo_task
async def echo(params: dict, **_) -> dict:
    return {"status": "success", "data": {"echo": params}}


worker.run()
