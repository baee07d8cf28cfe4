# SPDX-License-Identifier: ISC
"""Heavy and light tasks with limits of their own, at the same time; what the
machine has to offer.

    process_image      params  {"width": 640, "height": 480}
                       data    {"pixels": 307200, "mean": 127.5}
    send_notification  params  {"to": "ops", "message": "the disk is full"}
                       data    {"message_id": "ntf-<task id>"}

The limits are the numbers of tasks that run at once; under avtoworkerd each
runs in a process of its own, so two images keep two processors busy.
"""
import asyncio

from avtomatika_worker import Worker

worker = Worker(
    worker_type="media",
    max_concurrent_tasks=12,
    task_type_limits={"heavy": 2, "light": 10},
    resources={"cpu": 4, "memory_gb": 16, "gpu": True, "gpu_memory_gb": 8},
)


@worker.task("process_image", task_type="heavy")
def process_image(params: dict) -> dict:
    """Plain function: it computes, and waits for nothing."""
    width, height = params["width"], params["height"]
    if not 0 < width * height <= 2 ** 26:
        return {"status": "failure",
                "error": {"code": "INVALID_INPUT_ERROR",
                          "message": "the picture is empty or too large"}}
    total = sum((x ^ y) & 255 for y in range(height) for x in range(width))
    return {"status": "success",
            "data": {"pixels": width * height,
                     "mean": total / (width * height)}}


@worker.task("send_notification", task_type="light")
async def send_notification(params: dict, task_id: str) -> dict:
    """Coroutine: it mostly waits."""
    print(f"to {params['to']}: {params['message']}")
    await asyncio.sleep(0)  # the mail server's answer
    return {"status": "success", "data": {"message_id": f"ntf-{task_id}"}}


if __name__ == "__main__":
    asyncio.run(worker.main())
