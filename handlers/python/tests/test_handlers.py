#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What handlers are called with, and what stands around them."""
import sys

sys.dont_write_bytecode = True

from peer import RESULT, STARTED, case, check, main, same  # noqa: E402

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

    @worker.task("names")
    async def f16(**kwargs):
        return data(p=kwargs["params"], t=kwargs["task_id"])

    def bare(function):
        async def wrapper(*args, **kwargs):
            return await function(*args, **kwargs)
        return wrapper

    @worker.task("bare")
    @bare
    async def f17(params, job_id, **_):
        return data(p=params, j=job_id)

    class Sized:
        def __call__(self, params: Size):
            return data(p=params.width)

    worker.task("sized")(Sized())

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
    ("wrapped", P, {"p": P}), ("names", P, {"p": P, "t": "TASK"}),
    ("bare", P, {"p": P, "j": "j-1"}), ("sized", {"width": 3}, {"p": 3}),
)
INVALID = (  # type, params, words of the message
    ("dataclass", {"height": 1}, "\"width\""),
    ("dataclass", {"width": -1}, "width is negative"),
    ("sized", {}, "\"width\""),
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


@case("a capacity_checker that fails holds no task back")
def failing_checker(t):
    for kind in ("def", "async def"):
        s = t.script(f"""
            from avtomatika_worker import Worker

            {kind} checker(name):
                return 1 / 0

            worker = Worker(capacity_checker=checker)

            @worker.task("it")
            async def it(params):
                return {{}}

            worker.run()
        """)
        s.ready()
        same(s.run("it")["status"], "success", kind)
        same(s.stop(), 0, "exit status")
        check("never awaited" not in s.output(), s.output())


@case("handlers see the context variables that main() was called with")
def context_variables(t):
    s = t.script("""
        import asyncio, contextvars
        from avtomatika_worker import Worker
        worker = Worker()
        pool = contextvars.ContextVar("pool")
        own = contextvars.ContextVar("own", default=0)

        @worker.task("coroutine")
        async def coroutine(params):
            own.set(own.get() + 1)
            return {"data": {"pool": pool.get(), "own": own.get()}}

        @worker.task("plain")
        def plain(params):
            own.set(own.get() + 1)
            return {"data": {"pool": pool.get(), "own": own.get()}}

        async def main():
            pool.set("open")
            await worker.main()

        asyncio.run(main())
    """)
    s.ready()
    for kind in ("coroutine", "plain") * 2:
        same(s.run(kind)["data"], {"pool": "open", "own": 1}, kind)
    same(s.stop(), 0, "exit status")


main()
