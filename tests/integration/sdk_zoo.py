# SPDX-License-Identifier: ISC
"""zoo.c for the Python SDK, as far as test_differential.py goes: the same types,
which it is told ($ZOO: {type: category}), of which some do the same. Runs under
an environment that peers.py made."""
import asyncio
import json
import logging
import os

from avtomatika_worker import Worker

logging.basicConfig(level=logging.INFO)
NEW = hasattr(Worker, "skill")
LIMITS = {"light": 10, "heavy": 10, "default": 10}
worker = Worker(worker_type="differential",
                **{"skill_type_limits" if NEW else "task_type_limits": LIMITS})


async def echo(params, task_id="", job_id="", **_):
    return {"status": "success", "data": {
        "echo": params, "task_id": task_id, "job_id": job_id,
        "pid": os.getpid()}}


async def upper(params, **_):
    return {"status": "success", "data": {"text": params["text"].upper()}}


async def fail(params, **_):
    return {"status": "failure", "error": {
        "code": params["code"], "message": params["message"]}}


async def slow(params, **_):
    while not os.path.exists(params["file"]):
        await asyncio.sleep(0.02)
    return {"status": "success", "data": {
        "slow": params["name"], "pid": os.getpid()}}


async def tell(params, task_id="", job_id="", send_progress=None, **_):
    if send_progress is not None:
        await send_progress(task_id, job_id, 1.0, "on the way")
    return {"status": "success", "data": {}}


def skill(name, kind):
    handler = globals().get(name, tell)
    if NEW:
        worker.skill(name, type=kind, version="1.0.0")(handler)
    else:
        worker.task(name, task_type=kind)(handler)


for name_, kind_ in json.loads(os.environ["ZOO"]).items():
    skill(name_, kind_)
worker.run()
