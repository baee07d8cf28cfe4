#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What skills tell of themselves, and how they are held to it."""
import sys

sys.dont_write_bytecode = True

from peer import EVENT, RESULT, case, check, main, same  # noqa: E402

SKILLS = """
    from dataclasses import dataclass
    from typing import List, Optional
    from avtomatika_worker import SkillBlueprint, SkillInfo, Worker

    __version__ = "2.1"

    @dataclass
    class Request:
        text: str
        times: int = 1
        note: Optional[str] = None

    @dataclass
    class Reply:
        words: List[str]

    worker = Worker(skill_type_limits={"heavy": 2}, skills_dir="skills")
    more = SkillBlueprint()

    class Priced(SkillInfo):
        gpu: bool = False

    @worker.skill("simple")
    async def simple(params: dict):
        "Says little."
        return {"data": params}

    @worker.skill(type="heavy", output_statuses=["success", "maybe"],
                  cost=0.5, events_schema={"tick": {
                      "type": "object", "required": ["n"]}})
    async def described(params: Request, send_event) -> Reply:
        await send_event("tick", {"n": 1})
        await send_event("tick", {})
        await send_event("other", {})
        return {"data": Reply([params.text] * params.times)}

    @worker.skill("given", input_schema={"type": "object",
                                         "required": ["a"]},
                  output_schema={"type": "object", "required": ["b"]})
    async def given(params):
        return {"data": params}

    @worker.skill("long", description="x" * 5000, version="of a kind")
    def long(params):
        return None

    @worker.skill("other_name")
    async def other_name(request: Request):
        return {"data": {"text": request.text}}

    @worker.skill(Priced(name="priced", gpu=True, version="3"))
    def priced(params):
        return None

    @more.skill("blueprint")
    async def blueprint(params):
        return {"data": {"from": "blueprint"}}

    worker.include_blueprint(more)
    worker.run()
"""


@case("skills tell of themselves, and are held to it")
def skills(t):
    t.write("skills/one.py", """
        from avtomatika_worker import SkillBlueprint
        parts = SkillBlueprint()

        @parts.skill("loaded")
        async def loaded(params):
            return {"data": {"from": "folder"}}

        def setup(worker):
            worker.skill("setup")(loaded)
    """)
    t.write("skills/broken.py", "1 / 0\n")
    t.write("skills/_hidden.py", "1 / 0\n")
    s = t.script(SKILLS)
    offer = {h["type"]: h for h in s.ready()["handlers"]}
    same(sorted(offer), ["blueprint", "described", "given", "loaded",
                         "long", "other_name", "priced", "setup", "simple"],
         "handlers")
    same(offer["simple"], {
        "type": "simple", "kind": "simple", "version": "2.1",
        "description": "Says little.", "input_schema": {"type": "object"}},
        "simple")
    same(offer["described"], {
        "type": "described", "kind": "heavy", "category": "heavy",
        "version": "2.1", "output_statuses": ["success", "maybe"],
        "cost": 0.5,
        "input_schema": {
            "type": "object", "required": ["text"],
            "additionalProperties": False, "properties": {
                "text": {"type": "string"}, "times": {"type": "integer"},
                "note": {"anyOf": [{"type": "string"},
                                   {"type": "null"}]}}},
        "output_schema": {
            "type": "object", "required": ["words"],
            "additionalProperties": False, "properties": {
                "words": {"type": "array", "items": {"type": "string"}}}},
        "events_schema": {"tick": {"type": "object", "required": ["n"]}}},
        "described")
    same(offer["other_name"]["input_schema"],
         offer["described"]["input_schema"], "params of another name")
    same(offer["priced"]["version"], "3", "version")
    same((len(offer["long"]["description"]), offer["long"].get("version")),
         (1024, None), "what is too long")
    check(any("gpu" in m for m in s.messages("warning")), s.logs)
    check(any("broken.py" in m for m in s.messages("error")), s.logs)
    lease = s.begin("described", {"text": "x", "times": 2})
    same(s.until(EVENT), {"type": "tick", "payload": {"n": 1}}, "event")
    same(s.until(RESULT, lease)["data"], {"words": ["x", "x"]}, "data")
    same(len([x for x in s.seen if x[0] == "event"]), 1, "events")
    error = s.run("described", {"text": 5})["error"]
    same((error["code"], "text is not of type string" in error["message"]),
         ("INVALID_INPUT_ERROR", True), f"{error}")
    error = s.run("given", {"a": 1})["error"]
    same((error["code"], "\"b\" is missing" in error["message"]),
         ("CONTRACT_VIOLATION_ERROR", True), f"{error}")
    same(s.run("given", {"a": 1, "b": 2})["status"], "success", "status")
    same(s.run("other_name", {"text": 5})["error"]["message"],
         "text is not of type string", "params of another name")
    same(s.run("loaded")["data"], {"from": "folder"}, "skills folder")
    same(s.stop(), 0, "exit status")


main()
