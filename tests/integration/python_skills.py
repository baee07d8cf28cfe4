# SPDX-License-Identifier: ISC
"""A worker script with the constructs of the SDK for RXON, as its README has
them. test_python.py and test_examples_real.py run it, changed in nothing."""
import asyncio
from dataclasses import dataclass

from avtomatika_worker import (ObservabilityManager, OrchestratorClient,
                               SkillBlueprint, TaskFiles, Worker)
from avtomatika_worker.types import ParamValidationError

worker = Worker(worker_type="skills", skill_type_limits={"words": 4},
                skill_dependencies={"translate": ["model"]})
more = SkillBlueprint()


@dataclass
class Text:
    text: str
    times: int = 1


@dataclass
class Words:
    words: list


@worker.skill("count", type="words", events_schema={"counted": {
    "type": "object", "required": ["n"]}})
async def count(params: Text, send_event, send_progress) -> Words:
    """Counts words."""
    words = params.text.split() * params.times
    await send_progress("", "", 0.5, "half")
    await send_event("counted", {"n": len(words)})
    return {"data": {"words": words}}


@worker.skill("report")
async def report(params: dict, files: TaskFiles, obs: ObservabilityManager):
    await files.write("report.txt", params["text"])
    return {"data": {"files": await files.list(),
                     "text": await files.read("report.txt")}}


@worker.skill("delegate")
async def delegate(params: dict, orchestrator_client: OrchestratorClient):
    result = await orchestrator_client.call_skill("other", params)
    return {"data": result}


@worker.skill("translate")
async def translate(params, add_to_hot_skills):
    add_to_hot_skills("model")
    return {"data": {"text": params["text"]}}


@worker.skill("refuses")
def refuses(params):
    raise ParamValidationError("never good enough")


@worker.skill("waits")
async def waits(params, send_progress):
    await send_progress(0.1, "waiting")
    await asyncio.sleep(600)


@more.skill("blueprint")
async def blueprint(params):
    return {"data": {"from": "a blueprint"}}


@worker.on_command("reboot")
async def reboot(command):
    print("never")


async def loud(context, next_handler):
    print("a middleware saw", context["skill_name"])
    return await next_handler()

worker.include_blueprint(more)
worker.add_middleware(loud)

if __name__ == "__main__":
    worker.run_with_health_check()
