#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What scripts use beside the standard library, as it is published: models of
pydantic, loops of uvloop, rows of asyncpg."""
import json
import sys

sys.dont_write_bytecode = True

import example_servers  # noqa: E402
import peers  # noqa: E402
from harness import Failed, Worker, case, check, main, same  # noqa: E402

MODELS = """
import datetime, decimal, enum, typing, uuid
import pydantic
from avtomatika_worker import Worker

worker = Worker()

class Kind(enum.Enum):
    BIG = "big"

class Size(pydantic.BaseModel):
    width: int = pydantic.Field(gt=0)
    height: int = 2

class Picture(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str
    size: Size
    kind: Kind = Kind.BIG
    taken: typing.Optional[datetime.date] = None

    @pydantic.field_validator("name")
    @classmethod
    def known(cls, value):
        if value == "unknown":
            raise ValueError("nobody knows it")
        return value

class Result(pydantic.BaseModel):
    id: uuid.UUID
    price: decimal.Decimal
    picture: Picture
    pixels: int
    secret: str = pydantic.Field(default="no", exclude=True)

def result(picture):
    return Result(id=uuid.UUID(int=1), price="1.10", picture=picture,
                  pixels=picture.size.width * picture.size.height)

@worker.task("whole")
async def whole(params: Picture):
    return result(params)

@worker.task("inside")
def inside(params: Picture, **kwargs):
    return {"status": "success", "data": {"result": result(params)}}

@worker.skill("skill")
async def skill(params: Picture) -> Result:
    return result(params)
"""
PARAMS = {"name": "a", "size": {"width": "3"}, "taken": "2026-01-02"}
RESULT = {"id": "00000000-0000-0000-0000-000000000001", "price": "1.10",
          "picture": {"name": "a", "size": {"width": 3, "height": 2},
                      "kind": "big", "taken": "2026-01-02"}, "pixels": 6}

LOOPS = {
    "uvloop.run()": "uvloop.run(main())",
    "uvloop.install()": "uvloop.install()\nasyncio.run(main())",
    "uvloop's policy and worker.run()": "asyncio.set_event_loop_policy("
                                        "uvloop.EventLoopPolicy())\n"
                                        "worker.run()",
    "asyncio.Runner": "with asyncio.Runner() as runner:\n"
                      "    runner.run(main())",
    "asyncio.Runner with uvloop": "with asyncio.Runner(loop_factory="
                                  "uvloop.new_event_loop) as runner:\n"
                                  "    runner.run(main())",
}
LOOP = """
import asyncio, subprocess, time
import uvloop
from avtomatika_worker import Worker

worker = Worker()

@worker.task("loop")
async def loop(params):
    running = asyncio.get_running_loop()
    process = await asyncio.create_subprocess_exec(
        "echo", "child", stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    thread = await asyncio.to_thread(lambda: "thread")
    return {"data": {"loop": type(running).__module__, "thread": thread,
                     "child": out.decode()}}

@worker.task("waits")
async def waits(params):
    await asyncio.sleep(600)

@worker.task("plain")
def plain(params):
    while True:
        time.sleep(0.01)

async def main():
    await worker.main()
    print("after main()")

"""

ROWS = """
import asyncio, os
import asyncpg
from avtomatika_worker import Worker

worker = Worker()

@worker.task("row")
async def row(params):
    return await connection.fetchrow(params["sql"])

@worker.task("rows")
async def rows(params):
    return {"data": {"rows": await connection.fetch(params["sql"])}}

async def main():
    global connection
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await worker.main()
    await connection.close()

asyncio.run(main())
"""


def run(t, text, tasks, conf="", env=None):
    """A script on a list of tasks. Returns its worker, at its end, and the
    results."""
    script = t.write("worker.py", text)
    lines = t.write("tasks", "".join(
        json.dumps({"task_id": str(i), "type": kind, "params": params}) + "\n"
        for i, (kind, params) in enumerate(tasks)))
    worker = Worker(t, f"""{conf}
python p {{
    script = "{script}"
    python = "{peers.python_of("examples")}"
}}
""", ["--local", lines], {"PYTHONDONTWRITEBYTECODE": "1", **(env or {})})
    worker.wait(60)
    results = map(json.loads, worker.output().splitlines())
    return worker, sorted(results, key=lambda r: int(r["task_id"]))


@case("models of pydantic are params and results")
def models(t):
    wrong = ({**PARAMS, "size": {"width": 0}}, {**PARAMS, "name": "unknown"},
             {**PARAMS, "more": 1}, {})
    kinds = ("whole", "inside", "skill")
    # A skill's params are held against its schema first, as under the SDK.
    whole = {**PARAMS, "size": {"width": 3}}
    _, results = run(t, MODELS, [
        ("whole", PARAMS), ("inside", PARAMS), ("skill", whole),
        *(("whole", p) for p in wrong), ("skill", PARAMS)])
    for kind, result in zip(kinds, results):
        same(result["status"], "success", f"{kind}: {result}")
        found = result["data"]
        same(found["result"] if kind == "inside" else found, RESULT, kind)
    for result, text in zip(results[len(kinds):], (
            "greater than 0", "nobody knows it", "not permitted", "name",
            "size.width is not of type integer")):
        error = result["error"]
        same(error["code"], "INVALID_INPUT_ERROR", text)
        check(text in error["message"], f"{text!r} is not in {error}")


@case("a script runs in a loop of its own choice: {}", *LOOPS)
def loops(t, how):
    worker, results = run(
        t, LOOP + LOOPS[how], [(k, {}) for k in ("loop", "waits", "plain")],
        "category default { children = 1 }\n" + "".join(
            f"handler {kind} {{ soft_time_limit = 300ms }}\n"
            for kind in ("waits", "plain")))
    same(results[0]["data"], {
        "loop": "uvloop" if "uvloop" in how else "asyncio.unix_events",
        "thread": "thread", "child": "child\n"}, "what was done in the loop")
    for result in results[1:]:
        same(result["error"]["code"], "TIMEOUT_ERROR", result["type"])
    if "worker.run()" not in how:
        check(worker.lines("after main()"), "code after main()")


@case("a row of asyncpg is an object")
def rows(t):
    try:
        server = example_servers.Postgres()
    except example_servers.Missing as e:
        raise Failed(str(e)) from None
    sql = {"sql": "SELECT 1 AS id, 1.5::numeric AS price, "
                  "'2026-01-02'::date AS day, '{1,2}'::int[] AS list"}
    row = {"id": 1, "price": "1.5", "day": "2026-01-02", "list": [1, 2]}
    try:
        _, results = run(t, ROWS, [("row", sql), ("rows", sql)],
                         env={"DATABASE_URL": server.url})
    finally:
        server.remove()
    same([r.get("data") for r in results], [row, {"rows": [row]}], "data")


main(lambda: peers.python_of("examples"))
