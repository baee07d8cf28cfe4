# SPDX-License-Identifier: ISC
"""A worker script with the constructs of the classic SDK's README, models of
pydantic and a loop of uvloop. test_examples_real.py runs it."""
import asyncio
import logging
import os
from dataclasses import dataclass

import uvloop
from avtomatika_worker import Worker
from avtomatika_worker.config import WorkerConfig
from avtomatika_worker.typing import PERMANENT_ERROR, TRANSIENT_ERROR
from pydantic import BaseModel, Field

logging.basicConfig(level=logging.INFO)

config = WorkerConfig()
config.WORKER_ID = "from-the-config"
config.WORKER_TOKEN = "not-the-token"
config.MAX_CONCURRENT_TASKS = 10

worker = Worker(
    worker_type="media-processor",
    config=config,
    task_type_limits={"video_processing": 1, "audio_processing": 4},
    skill_dependencies={"draw": ["diffusion", "vae"], "enlarge": ["gan"]},
    skills_dir=os.environ["README_SKILLS"],
)


class ResizeParams(BaseModel):
    width: int = Field(gt=0, description="Width must be positive")
    height: int = Field(gt=0, description="Height must be positive")
    source_url: str


class Resized(BaseModel):
    path: str
    pixels: int


@dataclass
class CropParams:
    width: int
    height: int

    def __post_init__(self):
        if self.width <= 0 or self.height <= 0:
            raise ValueError("Width and height must be positive.")


@worker.task("resize")
async def resize(params: ResizeParams, **kwargs):
    logging.info("resizing %s", params.source_url)
    await asyncio.sleep(0)
    return {"status": "success", "data": Resized(
        path=f"resized_{params.source_url}",
        pixels=params.width * params.height)}


@worker.task("crop")
async def crop(params: CropParams, **kwargs):
    return {"status": "success", "data": {
        "pixels": params.width * params.height,
        "loop": type(asyncio.get_running_loop()).__module__,
        "ids": [kwargs.get("task_id"), kwargs.get("job_id")],
        "priority": kwargs.get("priority")}}


@worker.task("upscale", task_type="video_processing")
async def upscale(params: dict, **kwargs):
    return {"status": "success"}


@worker.task("transcribe", task_type="audio_processing")
async def transcribe(params: dict, **kwargs):
    return {"status": "success"}


@worker.task("review")
async def review(params: dict, **kwargs):
    return {"status": "needs_manual_review",
            "data": {"reason": "Low confidence score"}}


@worker.task("fails")
async def fails(params: dict, **kwargs):
    codes = {"transient": TRANSIENT_ERROR, "permanent": PERMANENT_ERROR}
    return {"status": "failure", "error": {
        "code": codes[params["how"]], "message": "External API timeout"}}


@worker.task("draw")
async def draw(params: dict, add_to_hot_cache, remove_from_hot_cache):
    add_to_hot_cache("old-model")
    add_to_hot_cache("diffusion")
    add_to_hot_cache("vae")
    remove_from_hot_cache("old-model")
    return {"status": "success", "data": {"drawn": True}}


@worker.task("enlarge")
async def enlarge(params: dict, **kwargs):
    return {"status": "success"}


if __name__ == "__main__":
    uvloop.run(worker.main())
