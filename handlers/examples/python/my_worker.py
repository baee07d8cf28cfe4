# SPDX-License-Identifier: ISC
"""The smallest worker: one task type, settings from the environment.

    params  {"input": "some text"}
    data    {"result": "SOME TEXT"}

    avtoworkerd my_worker.py
"""
import asyncio

from avtomatika_worker import Worker

worker = Worker(worker_type="my-service")


@worker.task("process_data")
async def process_data(params: dict) -> dict:
    """A missing or wrong "input" raises, and so fails this task alone."""
    return {"status": "success", "data": {"result": params["input"].upper()}}


if __name__ == "__main__":
    asyncio.run(worker.main())
