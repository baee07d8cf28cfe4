#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What handlers are given, what they may tell, and how they are cancelled."""
import os
import sys

sys.dont_write_bytecode = True

from peer import (EVENT, PROGRESS, RESULT, STARTED, case, check,  # noqa: E402
                  main, same)

FORMS = """
    import functools
    from dataclasses import dataclass, field
    from typing import Any, Dict, Optional
    from avtomatika_worker import (ObservabilityManager, OrchestratorClient,
                                   TaskFiles, Worker)

    worker = Worker()

    @dataclass
    class Size:
        width: int
        height: int = 7
        tags: list = field(default_factory=list)

        def __post_init__(self):
            if self.width < 0:
                raise ValueError("width is negative")

    class Model:  # as pydantic 2 has it
        def __init__(self, given):
            self.given = given

        @classmethod
        def model_validate(cls, given):
            if "bad" in given:
                raise ValueError("1 validation error for Model")
            return cls(given)

    class OldModel(Model):
        __fields__ = {}
        model_validate = None

        @classmethod
        def parse_obj(cls, given):
            return cls(given)

    def data(**members):
        return {"data": members}

    @worker.task("dict")
    async def f1(params: dict) -> dict:
        return data(p=params)

    @worker.task("first")
    async def f2(payload, task_id=None):
        return data(p=payload, t=task_id)

    @worker.task("positional")
    async def f3(a, /, job_id):
        return data(p=a, j=job_id)

    @worker.task("all")
    async def f4(params, **kwargs):
        return data(p=params, names=sorted(kwargs))

    @worker.task("none")
    async def f5():
        return data(p="none")

    @worker.task("meta")
    async def f6(params: dict, task_id: str = None, job_id: str = None,
                 priority=None, deadline=None, metadata=None,
                 tracing_context=None, other="default"):
        return data(task_id=task_id, job_id=job_id, priority=priority,
                    deadline=deadline, metadata=metadata,
                    tracing_context=tracing_context, other=other)

    @worker.task("dataclass")
    async def f7(params: Size):
        return data(p=params)

    @worker.task("text")
    async def f8(params: "Size"):
        return data(p=params)

    @worker.task("model")
    async def f9(params: Model):
        return data(p=params.given, model=type(params).__name__)

    @worker.task("oldmodel")
    def f10(params: OldModel):
        return data(p=params.given, model=type(params).__name__)

    @worker.task("plain")
    def f11(params: Dict[str, Any], job_id):
        return data(p=params, j=job_id)

    @worker.task("typed")
    async def f12(files: TaskFiles, p, obs: ObservabilityManager,
                  client: Optional[OrchestratorClient] = None):
        with obs.start_s3_span("get", "s3://x"):
            pass
        return data(p=p, files=type(files).__name__,
                    client=type(client).__name__)

    @worker.task("missing")
    async def f13(params, database):
        return data()

    class Callable:
        async def __call__(self, params):
            return data(p=params)

        def method(self, params):
            return data(p=params, method=True)

    worker.task("object")(Callable())
    worker.task("method")(Callable().method)
    worker.task("lambda")(lambda params: data(p=params))
    worker.task("partial")(functools.partial(lambda n, params:
                                             data(n=n, p=params), 5))

    def logged(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)
        return wrapper

    @worker.task("wrapped")
    @logged
    async def f14(params):
        return data(p=params)

    @worker.task("call_skill")
    async def f15(params, client: OrchestratorClient):
        return await client.call_skill("other", {})

    worker.run()
"""
P = {"a": 1}
CALLS = (  # type, params, data
    ("dict", P, {"p": P}),
    ("first", P, {"p": P, "t": "TASK"}),
    ("positional", P, {"p": P, "j": "j-1"}),
    ("all", P, {"p": P, "names": sorted((
        "task_id", "job_id", "priority", "deadline", "metadata", "security",
        "tracing_context", "send_progress", "send_event", "add_to_hot_cache",
        "remove_from_hot_cache", "add_to_hot_skills",
        "remove_from_hot_skills"))}),
    ("none", P, {"p": "none"}),
    ("dataclass", {"width": 3, "more": 1},
     {"p": {"width": 3, "height": 7, "tags": []}}),
    ("text", {"width": 3}, {"p": {"width": 3, "height": 7, "tags": []}}),
    ("model", P, {"p": P, "model": "Model"}),
    ("oldmodel", P, {"p": P, "model": "OldModel"}),
    ("plain", P, {"p": P, "j": "j-1"}),
    ("typed", P, {"p": P, "files": "TaskFiles",
                  "client": "OrchestratorClient"}),
    ("object", P, {"p": P}), ("method", P, {"p": P, "method": True}),
    ("lambda", P, {"p": P}), ("partial", P, {"n": 5, "p": P}),
    ("wrapped", P, {"p": P}),
)
INVALID = (  # type, params, words of the message
    ("dataclass", {"height": 1}, "\"width\""),
    ("dataclass", {"width": -1}, "width is negative"),
    ("model", {"bad": 1}, "1 validation error"),
    ("missing", {}, "\"database\""),
)


@case("handlers of every form get what they ask for")
def forms(t):
    s = t.script(FORMS)
    s.ready()
    for kind, params, want in CALLS:
        result = s.run(kind, params)
        if "t" in want:
            want = {**want, "t": f"t-{s.lease}"}
        same(result, {"status": "success", "data": want}, kind)
    for kind, params, words in INVALID:
        error = s.run(kind, params).get("error", {})
        same(error.get("code"), "INVALID_INPUT_ERROR", f"{kind} {params}")
        check(words in error["message"], error)
    result = s.run("meta", {})["data"]
    same(result, {"task_id": f"t-{s.lease}", "job_id": "j-1", "priority": 0,
                  "deadline": None, "metadata": None, "tracing_context": {},
                  "other": "default"}, "what is missing")
    result = s.run("meta", {}, priority=2.5, deadline_ms=1500,
                   metadata={"m": 1}, tracing_context={"traceparent": "x"})
    same(result["data"], {
        "task_id": f"t-{s.lease}", "job_id": "j-1", "priority": 2.5,
        "deadline": 1.5, "metadata": {"m": 1},
        "tracing_context": {"traceparent": "x"}, "other": "default"}, "meta")
    error = s.run("call_skill")["error"]
    check("orchestrators have no such request" in error["message"], error)
    error = s.run("unknown")["error"]
    same(error["code"], "TRANSIENT_ERROR", "code for an unknown type")
    same(s.stop(), 0, "exit status")


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
                         "long", "priced", "setup", "simple"], "handlers")
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
    same(s.run("loaded")["data"], {"from": "folder"}, "skills folder")
    same(s.stop(), 0, "exit status")


TELLING = """
    import asyncio, threading
    from avtomatika_worker import Worker, TaskFiles

    worker = Worker(skill_dependencies={"hot": ["m1", "m2"]})

    @worker.task("progress")
    async def progress(params, task_id, job_id, send_progress):
        await send_progress(0.25, "a quarter")
        await send_progress(task_id, job_id, 0.5, "half")
        await send_progress(progress=0.75)
        await send_progress(7)
        await send_progress(float("nan"))
        await worker.send_progress(task_id, job_id, 1.0)

    @worker.task("plain")
    def plain(params, send_progress, send_event):
        send_progress(0.5, "from a thread")
        send_event("page", {"n": {1}})

    @worker.task("flood")
    async def flood(params, send_progress):
        for i in range(10000):
            await send_progress(i / 10000)

    @worker.task("events")
    async def events(params, send_event):
        await send_event("page.done", {"n": 1}, priority=1.0)
        await send_event("bad type", {})
        await send_event("list", [1])
        await send_event("large", {"v": "x" * 70000})
        await worker.emit_event("emitted", {"n": 2})
        await worker.emit_event({"event_type": "as dict", "payload": {}})

    @worker.task("after")
    async def after(params, send_event, send_progress):
        async def later():
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            send_progress(0.9)
            await send_event("late", {})
            worker.late = True
        worker.later = asyncio.ensure_future(later())
        return {}

    @worker.task("was_late")
    async def was_late(params):
        await worker.later
        return {"data": {"late": worker.late}}

    @worker.task("hot")
    async def hot(params, add_to_hot_cache, remove_from_hot_cache):
        add_to_hot_cache("m1")
        worker.add_to_hot_skills("m2")
        worker.add_to_hot_skills("m2")
        remove_from_hot_cache("m1")
        return {"data": {"hot": worker.get_hot_cache()}}

    @worker.task("files")
    async def files(params, files: TaskFiles):
        await files.write("a/b.txt", "text")
        await files.write("c.bin", b"bytes")
        await files.write_json("d.json", {"k": "ж"})
        async with files.open("a/b.txt", "a") as f:
            await f.write("\\nmore")
        async with files.open("a/b.txt") as f:
            lines = [line async for line in f]
        outside = []
        for name in ("../x", "/etc/passwd"):
            try:
                await files.path_to(name)
            except PermissionError:
                outside.append(name)
        return {"data": {
            "root": await files.get_root(), "lines": lines,
            "c": await files.read("c.bin", "rb"),
            "d": await files.read_json("d.json"),
            "list": sorted(await files.list()), "outside": outside,
            "there": await files.exists("c.bin"),
            "path": files.path_to_sync("s3://bucket/e.txt")}}

    @worker.task("s3")
    async def s3(params, files: TaskFiles):
        await files.upload_file("x")

    worker.run()
"""


@case("progress, events and what is hot go to the supervisor")
def telling(t):
    s = t.script(TELLING)
    same([h for h in s.ready()["handlers"] if "dependencies" in h],
         [{"type": "hot", "dependencies": ["m1", "m2"]}], "dependencies")
    s.run("progress")
    told = [x[2] for x in s.seen if x[0] == "progress"]
    same(told, [{"progress": 0.25, "message": "a quarter"},
                {"progress": 0.5, "message": "half"}, {"progress": 0.75},
                {"progress": 1.0}, {"progress": 1.0}], "progress")
    lease = s.begin("plain")
    same(s.until(PROGRESS, lease)["message"], "from a thread", "progress")
    same(s.until(EVENT, lease), {"type": "page", "payload": {"n": [1]}},
         "event")
    s.until(RESULT, lease)
    s.seen.clear()
    s.run("flood")
    told = [x for x in s.seen if x[0] == "progress"]
    check(10 <= len(told) <= 60, f"{len(told)} of a flood of 10000")
    s.seen.clear()
    s.run("events")
    same([x[2] for x in s.seen if x[0] == "event"],
         [{"type": "page.done", "payload": {"n": 1}},
          {"type": "emitted", "payload": {"n": 2}}], "events")
    same(len([m for m in s.messages("error") if "is not sent" in m]), 4,
         "events refused")
    s.seen.clear()
    s.run("after")
    same(s.run("was_late")["data"], {"late": True}, "late")
    check(not [x for x in s.seen if x[0] in ("progress", "event")],
          f"told after the result: {s.seen}")
    s.seen.clear()
    same(s.run("hot")["data"], {"hot": ["m2"]}, "hot cache")
    same([x[2] for x in s.seen if x[0] == "state"],
         [{"hot_cache": ["m1"], "hot_skills": []},
          {"hot_cache": ["m1", "m2"], "hot_skills": ["hot"]},
          {"hot_cache": ["m2"], "hot_skills": []}], "states")
    same(s.stop(), 0, "exit status")


@case("a task has a folder of its own")
def task_files(t):
    s = t.script(TELLING, environment={"TASK_FILES_DIR": t.folder + "/own"})
    s.ready()
    given = t.folder + "/given"
    for more, root in ((dict(workspace=given), given),
                       ({}, f"{t.folder}/own/t-2")):
        got = s.run("files", **more)["data"]
        same(got, {"root": root, "lines": ["text\n", "more"], "c": "Ynl0ZXM=",
                   "d": {"k": "ж"}, "list": ["a", "c.bin", "d.json"],
                   "outside": ["../x", "/etc/passwd"], "there": True,
                   "path": root + "/e.txt"}, root)
    check(os.path.isdir(given), "the supervisor's folder is gone")
    check(not os.path.exists(t.folder + "/own/t-2"), "ours is still there")
    error = s.run("s3")["error"]
    check("S3 is not spoken" in error["message"], error)
    same(s.stop(), 0, "exit status")


MIDDLEWARE = """
    from avtomatika_worker import Worker
    worker = Worker()
    seen = []

    async def outer(context, next_handler):
        seen.append(("outer", context["task_name"], context["task_id"]))
        result = await next_handler()
        result["data"]["outer"] = True
        return result

    async def inject(context, next_handler):
        assert context["skill_name"] == context["task_name"]
        context["handler_kwargs"]["model"] = "m"
        context["handler_kwargs"]["params"] = {**context["params"], "b": 2}
        return await next_handler()

    async def guard(context, next_handler):
        if "refused" in context["params"]:
            return {"status": "failure", "error": {"code": "NO",
                                                   "message": "no"}}
        return await next_handler()

    for one in (guard, outer, inject):
        worker.add_middleware(one)

    @worker.task("with")
    def handler(params, model, **kwargs):
        return {"data": {"params": params, "model": model,
                         "job": kwargs["job_id"]}}

    @worker.task("without")
    async def without(p):
        return {"data": {"params": p}}

    worker.run()
"""


@case("middlewares wrap, inject and refuse")
def middlewares(t):
    s = t.script(MIDDLEWARE)
    s.ready()
    same(s.run("with", P)["data"],
         {"params": {"a": 1, "b": 2}, "model": "m", "job": "j-1",
          "outer": True}, "with")
    same(s.run("without", P)["data"],
         {"params": {"a": 1, "b": 2}, "outer": True}, "without")
    same(s.run("with", {"refused": 1})["error"]["code"], "NO", "refused")
    same(s.stop(), 0, "exit status")


CANCEL = """
    import asyncio, threading, time
    from avtomatika_worker import Worker
    worker = Worker()
    closed = []

    @worker.task("async")
    async def waits(params, send_progress):
        await send_progress(0.5)
        try:
            await asyncio.sleep(1000)
        finally:
            closed.append("async")

    @worker.task("plain")
    def spins(params, send_progress):
        send_progress(0.5)
        try:
            while True:
                time.sleep(0.001)
        finally:
            closed.append("plain")

    @worker.task("answers")
    async def answers(params, send_progress):
        await send_progress(0.5)
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return {"data": {"pages": 7}}

    @worker.task("plain_answers")
    def plain_answers(params, send_progress):
        send_progress(0.5)
        try:
            while True:
                time.sleep(0.001)
        except asyncio.CancelledError:
            return {"data": {"pages": 8}}

    @worker.task("thread")
    def thread(params):
        return {"data": {"thread": threading.get_ident(),
                         "count": threading.active_count()}}

    @worker.task("closed")
    async def what(params):
        return {"data": {"closed": closed}}

    worker.run()
"""


@case("a cancel arrives as CancelledError")
def cancel(t):
    s = t.script(CANCEL)
    s.ready()
    for kind in ("async", "plain"):
        for reason, status, code in (
                ("cancel", "cancelled", None),
                ("time_limit", "failure", "TIMEOUT_ERROR"),
                ("drain", "failure", "TRANSIENT_ERROR"),
                ("unheard_of", "failure", "TRANSIENT_ERROR")):
            lease = s.begin(kind)
            s.until(PROGRESS, lease)
            s.cancel(lease, reason)
            result = s.until(RESULT, lease)
            same((result["status"], result.get("error", {}).get("code")),
                 (status, code), f"{kind}, {reason}")
            s.cancel(lease, reason)  # crossed with the result
    for kind, pages in (("answers", 7), ("plain_answers", 8)):
        lease = s.begin(kind)
        s.until(PROGRESS, lease)
        s.cancel(lease)
        same(s.until(RESULT, lease), {"status": "success",
                                      "data": {"pages": pages}}, kind)
    same(s.run("closed")["data"]["closed"], ["async"] * 4 + ["plain"] * 4,
         "finally")
    first = s.run("thread")["data"]
    again = [s.run("thread")["data"] for _ in range(20)]
    check(all(x["count"] <= first["count"] + 1 for x in again),
          f"threads pile up: {first} {again}")
    same(s.stop(), 0, "exit status")


MANY = """
    import asyncio, time
    from avtomatika_worker import Worker
    worker = Worker()
    inside = 0

    @worker.task("meet")
    async def meet(params):
        global inside
        inside += 1
        while inside < params["of"]:
            await asyncio.sleep(0.001)
        return {"data": {"met": inside}}

    @worker.task("meet_plain")
    def meet_plain(params, task_id):
        global inside
        inside += 1
        while inside < params["of"]:
            time.sleep(0.001)
        print("line of", task_id)
        return {"data": {"met": inside}}

    @worker.task("wait")
    async def wait(params):
        await asyncio.sleep(1000)

    worker.run()
"""


@case("several tasks at once are told apart by their leases")
def many(t):
    s = t.script(MANY)
    s.ready()
    waiting = s.begin("wait")
    leases = [s.begin("meet", {"of": 10}) for _ in range(5)] + \
        [s.begin("meet_plain", {"of": 10}) for _ in range(5)]
    results = {}
    while len(results) < 10:
        kind, lease, payload = s.frame()
        if kind == RESULT:
            results[lease] = payload["data"]
    same(results, {lease: {"met": 10} for lease in leases}, "results")
    s.cancel(waiting)
    same(s.until(RESULT, waiting), {"status": "cancelled"}, "the waiting")
    same(s.output().count("line of"), 5, "lines printed")
    same(s.stop(), 0, "exit status")


@case("a task waits for its capacity_checker")
def capacity(t):
    s = t.script("""
        import os
        from avtomatika_worker import Worker
        worker = Worker(capacity_checker=lambda name:
                        name == "other" or os.path.exists("room"))

        @worker.task("it")
        async def it(params):
            return {}

        @worker.task("other")
        async def other(params):
            return {}

        worker.run()
    """)
    s.ready()
    lease = s.begin("it")
    s.run("other")
    check(("started", lease, {}) not in s.seen, "it has begun")
    t.write("room", "")
    s.until(STARTED, lease)
    same(s.until(RESULT, lease)["status"], "success", "status")
    same(s.stop(), 0, "exit status")


LOGS = """
    import logging, sys
    from avtomatika_worker import Worker
    {setup}
    worker = Worker()
    log = logging.getLogger("script.part")

    @worker.task("it")
    async def it(params):
        log.debug("at debug")
        log.info("at %s", "info")
        log.warning("at warning\\nin two lines", extra={{"who": "me"}})
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("at error")
        print("printed", end="")

    worker.run()
"""
BASIC = """logging.basicConfig(level=logging.INFO,
        format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")"""
OWN = """logging.basicConfig(level=logging.INFO, stream=sys.stdout,
        format="%(levelname)s by %(who)s: %(message)s")
    logging.getLogger().handlers[0].addFilter(
        lambda r: setattr(r, "who", getattr(r, "who", "nobody")) or True)"""
BOTH = BASIC + """
    logging.getLogger("script").addHandler(logging.StreamHandler())
    logging.getLogger("script").addHandler(logging.FileHandler("own.log"))"""
SDK = """from avtomatika_worker import setup_logging
    setup_logging()"""


@case("records become frames, once, however logging is set up")
def logs(t):
    for name, setup in (("nothing", ""), ("basicConfig", BASIC),
                        ("setup_logging", SDK), ("two handlers", BOTH),
                        ("own layout", OWN)):
        s = t.script(LOGS.format(setup=setup))
        s.ready()
        s.logs.clear()
        lease = s.begin("it")
        s.until(RESULT, lease)
        own = name == "own layout"
        said = [(x["level"], x["name"], x["message"]) for x in s.logs]
        same([x[:2] for x in said], [
            ("info", "script.part"), ("warning", "script.part"),
            ("error", "script.part")], name)
        same(said[0][2], "INFO by nobody: at info" if own else "at info",
             name)
        same(said[1][2], ("WARNING by me: " if own else "") +
             "at warning\nin two lines", name)
        check("ZeroDivisionError" in said[2][2], said)
        check(all(x[1] == lease for x in s.seen if x[0] == "log" and
                  x[2]["name"] == "script.part"), "leases of records")
        same(s.output(), "printed", f"{name}: what was printed")
        if setup is BOTH:
            with open(t.folder + "/own.log", encoding="utf-8") as f:
                same(f.read().count("at info"), 1, "in the script's file")
        same(s.stop(), 0, "exit status")
    s = t.script(LOGS.format(setup=""), environment={"LOG_LEVEL": "DEBUG"})
    s.ready()
    s.run("it")
    check("at debug" in s.messages("debug"), s.logs)
    same(s.stop(), 0, "exit status")


@case("what is printed is out before the result")
def printed(t):
    s = t.script("""
        import ctypes, os, sys
        from avtomatika_worker import Worker
        worker = Worker()

        @worker.task("it")
        async def it(params):
            sys.stdout.write("out")
            sys.stderr.write("err")
            ctypes.CDLL(None).printf(b"libc")
            return {}

        @worker.task("closes")
        async def closes(params):
            os.closerange(0, 3)
            return {"data": {"closed": True}}

        worker.run()
    """)
    s.ready()
    s.run("it")
    text = s.output()
    check(all(word in text for word in ("out", "err", "libc")), text)
    same(s.run("closes")["data"], {"closed": True}, "closes descriptors")
    s.run("it")
    same(s.stop(), 120, "exit status, as python has it")


main()
