# SPDX-License-Identifier: ISC
"""A worker script with what the SDK for RXON has beyond python_api.py: skills
and their schemas, blueprints, a folder of skills, middlewares, files, events.
test_python_sdk.py runs it under the SDK and under avtoworkerd."""
import asyncio
import time
import typing
from dataclasses import dataclass

from pydantic import BaseModel

from avtomatika_worker import (DeviceUsage, ObservabilityManager,
                               OrchestratorClient, SkillBlueprint, SkillInfo,
                               TaskFiles, Worker)
from avtomatika_worker.types import ParamValidationError
from avtomatika_worker.worker import WorkerEventPayload

worker = Worker(worker_type="more", skill_type_limits={"words": 4},
                skill_dependencies={"translate": ["model", "dictionary"]})
blueprint = SkillBlueprint()
NUMBER = {"type": "object", "required": ["n"], "additionalProperties": False,
          "properties": {"n": {"type": "integer", "minimum": 1}}}


@dataclass
class Text:
    text: str
    times: int = 1


@dataclass
class Words:
    words: typing.List[str]


class Person(BaseModel):
    name: str
    age: int = 7


class Known(SkillInfo):
    pass


@worker.skill("count", type="words", version="1.2.3", output_statuses=[
    "success", "empty"])
async def count(params: Text) -> Words:
    """Counts words."""
    words = params.text.split() * params.times
    return {"status": "success" if words else "empty",
            "data": {"words": words}}


@worker.skill("number", input_schema=NUMBER, output_schema=NUMBER)
async def number(params):
    return {"data": {"n": params["n"] - params.get("less", 1)}}


@worker.skill("person")
async def person(params: Person):
    return {"data": {"name": params.name, "age": params.age}}


@worker.skill("model")
async def model(params):
    return {"data": Person(name=params["name"])}


@worker.skill(SkillInfo(name="info", type="words", description="a SkillInfo"))
async def info(params):
    return {"data": {"info": True}}


@worker.skill(Known, name="known", description="of a class")
async def known(params):
    return {"data": {"known": True}}


@worker.skill()
async def named_by_itself(params):
    """The first line.

    And the rest of it."""
    return {"data": {"named": True}}


@worker.skill("plain")
def plain(params, task_id):
    time.sleep(0.01)
    return {"data": {"plain": True, "task_id": task_id}}


@worker.skill("no_params")
async def no_params(job_id):
    return {"data": {"job_id": job_id}}


@worker.skill("context")
async def context(params, **kwargs):
    return {"data": {
        "names": sorted(kwargs), "priority": kwargs["priority"],
        "deadline": kwargs["deadline"], "metadata": kwargs["metadata"],
        "tracing": kwargs["tracing_context"]}}


@worker.skill("typed_context")
async def typed_context(params: dict, where: TaskFiles,
                        seen: ObservabilityManager,
                        ask: typing.Optional[OrchestratorClient] = None):
    return {"data": {"kinds": [type(x).__name__ for x in (where, seen, ask)]}}


@worker.skill("wants")
async def wants(params, database):
    return {"data": {"database": database}}


@worker.skill("wants_or_not")
async def wants_or_not(params, database=None):
    return {"data": {"database": database}}


@worker.skill("lacks")
async def lacks(params, nobody_has_it):
    return {}


@worker.skill("files")
async def files(params, where: TaskFiles):
    await where.write("a.txt", "text")
    await where.write("b.bin", b"\x01\x02", "wb")
    async with where.open("sub/c.txt", "w") as f:
        await f.write("one\ntwo\n")
    async with where.open("sub/c.txt") as f:
        lines = [line async for line in f]
    await where.write("d.json", '{"n": [1, null]}')
    try:
        await where.path_to("../outside")
        outside = None
    except PermissionError:
        outside = "refused"
    return {"data": {
        "list": sorted(await where.list()), "text": await where.read("a.txt"),
        "bytes": list(await where.read("b.bin", "rb")), "lines": lines,
        "json": await where.read_json("d.json"), "outside": outside,
        "exists": [await where.exists(x) for x in ("a.txt", "no.txt")]}}


@worker.skill("write_json")
async def write_json(params, where: TaskFiles):
    await where.write_json("e.json", {"n": 1})
    return {"data": await where.read_json("e.json")}


@worker.skill("upload")
async def upload(params, where: TaskFiles):
    await where.write("a.txt", "text")
    await where.upload_file("a.txt")
    return {}


@worker.skill("events", events_schema={"counted": NUMBER, "any": None})
async def events(params, send_event, send_progress, task_id, job_id):
    await send_progress(task_id, job_id, 0.5, "half")
    await send_event("counted", {"n": 3})
    await send_event("counted", {"n": "three"})
    await send_event("undeclared", {})
    return {"data": {"sent": True}}


@worker.skill("free_events")
async def free_events(params, send_event):
    await send_event("whatever", {"deep": [{"a": None}], "text": "ж"})
    return {}


@worker.skill("emits")
async def emits(params, task_id, job_id):
    await worker.emit_event(WorkerEventPayload(
        event_id="1", worker_id="w-1", origin_worker_id="w-1",
        event_type="emitted", payload={"by": "the worker"},
        origin_task_id=task_id, target_job_id=job_id,
        target_task_id=task_id))
    return {}


@worker.skill("calls")
async def calls(params, ask: OrchestratorClient):
    return {"data": await ask.call_skill("other", params)}


@worker.skill("translate")
async def translate(params, add_to_hot_skills, remove_from_hot_skills):
    for item in ("model", "dictionary", "mistake", "plain"):
        add_to_hot_skills(item)
    remove_from_hot_skills("mistake")
    return {"data": {"hot": sorted(worker.get_hot_skills_state())}}


@worker.skill("waits")
async def waits(params, send_progress):
    try:  # the cancel may come as soon as that is told
        await send_progress("", "", 0.1, "waiting")
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        if "answer" not in params:
            raise
        return {"data": {"answer": params["answer"]}}


@worker.skill("more_than_data")
async def more_than_data(params):
    return {"status": "success", "data": {"a": 1}, "metadata": {"m": [1]},
            "costs": {"tokens": 7}}


@worker.skill("details")
async def details(params):
    return {"status": "failure", "error": {
        "code": "DEPENDENCY_ERROR", "message": "no", "details": {"d": [1]},
        "unknown": 1}}


@worker.skill("unit")
async def unit(params):
    return {"data": {"unit": DeviceUsage("0", 5.0, {"a": 1})}}


@blueprint.skill("from_blueprint", type="words")
async def from_blueprint(params: Text):
    """Of a blueprint."""
    return {"data": {"text": params.text}}


async def outer(about, inner):
    if about["skill_name"].startswith("wants"):
        about["handler_kwargs"]["database"] = "injected"
    result = await inner()
    if isinstance(result, dict) and about["params"] == {"wrap": True}:
        result = {"data": {"inner": result["data"]["trace"], "outer": sorted(
            k for k in about if k != "task_name")}}
    return result


async def rescue(about, inner):
    if about["skill_name"] == "never_called":
        return {"data": {"instead": True}}
    try:
        return await inner()
    except LookupError as e:
        return {"status": "failure", "error": {
            "code": "PERMANENT_ERROR", "message": f"rescued: {e.args[0]}"}}


@worker.skill("wrapped")
async def wrapped(params):
    return {"data": {"trace": "the handler"}}


@worker.skill("never_called")
async def never_called(params):
    raise RuntimeError("a middleware answers")


@worker.skill("rescued")
async def rescued(params):
    raise KeyError("lost")


@worker.skill("refuses")
async def refuses(params):
    raise ParamValidationError("never good enough")


worker.include_blueprint(blueprint)
worker.add_middleware(outer)
worker.add_middleware(rescue)

if __name__ == "__main__":
    worker.run()
