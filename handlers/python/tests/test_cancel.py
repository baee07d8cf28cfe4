#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""How tasks are cancelled, and told apart when there are several."""
import sys

sys.dont_write_bytecode = True

from peer import PROGRESS, RESULT, case, check, main, same  # noqa: E402

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
    # One that has done its work may take a moment to end.
    check(min(x["count"] for x in again[-5:]) <= first["count"] + 1,
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


HELD_UP = """
    import asyncio, os, time
    from avtomatika_worker import Worker
    from avtomatika_worker._threads import Call, Threads
    worker = Worker()

    @worker.task("lets_go")
    def lets_go(params, send_progress):
        send_progress(0.5)
        try:
            while True:
                time.sleep(0.001)
        finally:
            open("go", "w").close()

    @worker.task("holds")
    async def holds(params, send_progress):
        await send_progress(0.5)
        while not os.path.exists("go"):
            time.sleep(0.001)

    @worker.task("waits")
    async def waits(params):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return {"data": {"heard": True}}

    @worker.task("plain")
    def plain(params):
        return {"data": {"called": True}}

    @worker.task("call")
    async def call(params):
        called = []
        one = Call(lambda: called.append(1), asyncio.get_running_loop())
        one.interrupt()
        try:
            await Threads().wait(one)
        except asyncio.CancelledError:
            return {"data": {"called": called}}

    worker.run()
"""


@case("a cancel that overtakes the beginning of its task is not lost")
def overtakes(t):
    s = t.script(HELD_UP)
    s.ready()
    first = s.begin("lets_go")
    s.until(PROGRESS, first)
    s.until(PROGRESS, s.begin("holds"))
    waits, plain = s.begin("waits"), s.begin("plain")
    for lease in (waits, plain, first):  # the last one frees the loop
        s.cancel(lease)
    results = {}
    while len(results) < 4:
        kind, lease, payload = s.frame()
        if kind == RESULT:
            results[lease] = payload
    same(results[waits], {"status": "success", "data": {"heard": True}},
         "what an async handler hears")
    same(results[plain], {"status": "cancelled"}, "a plain one")
    same(s.run("call")["data"], {"called": []}, "a thread yet to begin")
    same(s.stop(), 0, "exit status")


main()
