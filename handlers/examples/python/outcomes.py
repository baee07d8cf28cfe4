# SPDX-License-Identifier: ISC
"""Every way in which a task can end, logging, figures and time limits.

    my_task  params  {"outcome": "success" | "failure" | "retry" | "raise" |
                      "crash" | "slow"}
             data    {"task_id": "...", "job_id": "..."}

Needs prometheus_client for its own figures, which then are at the
supervisor's /metrics, summed up over all children.
"""
import asyncio
import logging
import os

from avtomatika_worker import Worker
from prometheus_client import Counter, Histogram

logging.basicConfig(
    level=logging.INFO,
    format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
logger = logging.getLogger("outcomes")

answers_total = Counter("outcomes_total", "What was answered", ["outcome"])
# The worker counts its tasks under that name by itself, and better.
tasks_total = Counter("worker_tasks_total", "Total tasks",
                      ["task_type", "status"])
duration = Histogram("outcomes_seconds", "How long it took")

worker = Worker(worker_type="outcomes")


async def slow_operation() -> None:
    """Never ends by itself."""
    await asyncio.Event().wait()


@worker.task("my_task")
async def my_task(params: dict, task_id: str = "", job_id: str = "") -> dict:
    """Answers as it is asked to."""
    outcome = params.get("outcome")
    logger.info("Processing task %s for job %s: %s", task_id, job_id, outcome)
    answers_total.labels(outcome=outcome).inc()
    with duration.time():
        if outcome == "failure":
            return {"status": "failure",
                    "error": {"code": "VALIDATION_ERROR",
                              "message": "the value is not valid"}}
        if outcome == "retry":
            return {"status": "retry",
                    "error": {"code": "CONNECTION_ERROR",
                              "message": "no connection to the service"}}
        if outcome == "raise":
            raise RuntimeError("required_field is missing")
        if outcome == "crash":
            os.abort()
        if outcome == "slow":
            try:
                await asyncio.wait_for(slow_operation(), timeout=0.1)
            except asyncio.TimeoutError:
                return {"status": "failure",
                        "error": {"code": "TIMEOUT",
                                  "message": "Operation timed out"}}
    tasks_total.labels(task_type="my_task", status="success").inc()
    logger.info("Task completed successfully")
    return {"status": "success", "data": {"task_id": task_id,
                                          "job_id": job_id}}


if __name__ == "__main__":
    asyncio.run(worker.main())
