#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What handlers tell while they run, and the folders of their tasks."""
import os
import sys

sys.dont_write_bytecode = True

from peer import EVENT, PROGRESS, RESULT, case, check, main, same  # noqa: E402

TELLING = """
    import asyncio, datetime, os, threading
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
        await files.write_json("d.json", {
            "k": "ж", "when": datetime.date(2026, 1, 2), "nan": float("nan")})
        async with files.open("a/b.txt", "a") as f:
            await f.write("\\nmore")
            await f.flush()
            os.fsync(f.fileno())
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

    @worker.task("addresses")
    async def addresses(params, files: TaskFiles):
        root = await files.get_root()
        return {"data": {"got": params["from"], "made": f"{root}/out.bin",
                         "keys": {1: "a", "1": "b"}}}

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
    same([x[2] for x in s.seen if x[0] == "state"],
         [{"hot_cache": [], "hot_skills": []}], "state at the start")
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
                   "d": {"k": "ж", "when": "2026-01-02", "nan": None},
                    "list": ["a", "c.bin", "d.json"],
                   "outside": ["../x", "/etc/passwd"], "there": True,
                   "path": root + "/e.txt"}, root)
    check(os.path.isdir(given), "the supervisor's folder is gone")
    check(not os.path.exists(t.folder + "/own/t-2"), "ours is still there")
    error = s.run("s3")["error"]
    check("S3 is not spoken" in error["message"], error)
    for _ in range(2):
        data = s.run("addresses", {"from": "s3://bucket/in"})["data"]
        same((data["got"], data["keys"]), ("s3://bucket/in", {"1": "b"}),
             "what is left as it is")
    for words in ("has got an \"s3://\" address in its params",
                  "returned the path of a file of its task",
                  "returned 1 keys that are the same text"):
        same(len([m for m in s.messages("warning") if words in m and
                  "\"addresses\"" in m]), 1, words)
    same(s.stop(), 0, "exit status")


main()
