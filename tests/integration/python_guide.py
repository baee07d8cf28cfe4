# SPDX-License-Identifier: ISC
"""A worker script with the constructs of the integration guide: what a user
of the classic SDK has. test_python.py and test_examples_real.py run it, changed
in nothing."""
import asyncio
import dataclasses
import logging
import os
import signal

from avtomatika_worker import Worker

logging.basicConfig(
    level=logging.INFO,
    format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
logger = logging.getLogger(__name__)

worker = Worker(
    orchestrator_url="http://localhost:8000",
    worker_id="from-the-script",
    worker_token="not-the-token",
    worker_type="guide",
    heartbeat_interval=30,
    poll_interval=1,
    max_concurrent_tasks=10,
    task_type_limits={"heavy": 2, "light": 10},
    resources={"cpu": 4, "memory_gb": 16, "gpu": True, "gpu_memory_gb": 8},
)
opened = None


@dataclasses.dataclass
class Picture:
    width: int
    height: int = 1


@worker.task("upper")
async def upper(params: dict) -> dict:
    return {"status": "success",
            "data": {"result": params.get("input").upper()}}


@worker.task("about", task_type="light")
async def about(params: dict, task_id: str = None, job_id: str = None) -> dict:
    logger.info("task %s of job %s", task_id, job_id)
    return {"status": "success", "data": {
        "task_id": task_id, "job_id": job_id, "opened": opened,
        "token": os.environ.get("WORKER_TOKEN"), "pid": os.getpid()}}


@worker.task("picture", task_type="heavy")
def picture(params: Picture, **kwargs):
    print("plain function for", kwargs["task_id"])
    return {"data": {"pixels": params.width * params.height}}


@worker.task("clean")
async def clean(params: dict) -> dict:
    try:
        return {"status": "success", "data": {"number": int(params["text"])}}
    except ValueError as e:
        return {"status": "failure", "error": {"code": "INVALID_INPUT_ERROR",
                                               "message": str(e)}}


@worker.task("retry")
async def retry(params: dict) -> dict:
    with open(params["count"], "a", encoding="utf-8") as f:
        f.write("x")
    if os.path.getsize(params["count"]) < 3:
        return {"status": "retry", "error": {"code": "CONNECTION_ERROR",
                                             "message": "not there yet"}}
    return {"status": "success", "data": {"tries": 3}}


@worker.task("raises")
async def raises(params: dict) -> dict:
    if not params.get("required_field"):
        raise ValueError("required_field is missing")


@worker.task("slow")
async def slow(params: dict) -> dict:
    try:
        await asyncio.wait_for(asyncio.sleep(60), timeout=0.01)
    except asyncio.TimeoutError:
        return {"status": "failure", "error": {
            "code": "PERMANENT_ERROR", "message": "Operation timed out"}}


@worker.task("sleeps", task_type="heavy")
async def sleeps(params: dict) -> dict:
    open(params["begun"], "w", encoding="utf-8").close()
    while not os.path.exists(params["gate"]):
        await asyncio.sleep(0.01)
    return {"status": "success", "data": {"slept": True}}


async def shutdown():
    print("a signal handler of the script was called")
    await worker.stop()


async def main():
    global opened
    opened = f"once in {os.getpid()}"
    loop = asyncio.get_event_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(
            sig, lambda: asyncio.create_task(shutdown()))
    await worker.main()
    print("after main of", os.getpid())


if __name__ == "__main__":
    asyncio.run(main())
