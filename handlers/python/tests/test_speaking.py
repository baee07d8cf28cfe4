#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What one child says and does for all: checkers and commands."""
import sys
import time

sys.dont_write_bytecode = True

from peer import (COMMAND, LOG, SPEAK, STATE, Failed, case,  # noqa: E402
                  check, main, same)

CHECKS = """
    import threading, time
    from avtomatika_worker import DeviceUsage, ResourcesUsage, Worker

    here = threading.get_ident()
    asked = {"usage": 0}
    closed = set()

    def has_capacity(name):
        assert threading.get_ident() != here, "in the loop"
        if name == "shaky":
            raise RuntimeError("no sensor")
        return name not in closed

    worker = Worker(capacity_checker=has_capacity)

    def usage():
        asked["usage"] += 1
        return ResourcesUsage(12.5, 3.0, [
            DeviceUsage("gpu-0", 40.0, {"memory_used_gb": 2.5, "fan": None}),
            DeviceUsage("gpu-1", float("nan"))])

    worker.set_usage_checker(usage)

    @worker.task("echo")
    async def echo(params):
        return {"data": {"asked": asked["usage"]}}

    @worker.task("shaky")
    async def shaky(params):
        return {}

    @worker.task("close")
    async def close(params):
        closed.update(params["names"])
        return {}

    worker.run()
"""

COMMANDS = """
    import asyncio, threading
    from avtomatika_worker import Worker

    worker = Worker()
    seen = []
    here = threading.get_ident()

    @worker.on_command("reload")
    async def reload(command):
        seen.append(["reload", command.command, command.task_id,
                     command.job_id, command.params, command.metadata])

    @worker.on_command("plain")
    def plain(command):
        seen.append(["plain", threading.get_ident() != here, command.params])

    @worker.on_command("breaks")
    def breaks(command):
        raise ValueError("not today")

    @worker.on_command("hangs")
    async def hangs(command):
        await asyncio.sleep(3600)

    @worker.task("seen")
    async def tell(params):
        for _ in range(1000):
            if len(seen) >= params["count"]:
                break
            await asyncio.sleep(0.01)
        return {"data": {"seen": seen}}

    worker.run()
"""


def state(script, member):
    """The next state frame that has it."""
    while True:
        payload = script.until(STATE)
        if member in payload:
            return payload[member]


def full(script, names):
    """Waits until those are the types that it has no capacity for."""
    for _ in range(5):
        if state(script, "full") == names:
            return
    raise Failed(f"full is not {names}: {script.seen}")


def logged(script, text):
    """Waits for a line with that in it."""
    while not any(text in m for m in script.messages()):
        frame = script.frame()
        if frame is None:
            raise Failed(f"the script ended before {text!r}")
        if frame[0] == LOG:
            script.logs.append(frame[2])


@case("a child that speaks says what its checkers do, and no other child")
def checks(t):
    quiet = t.script(CHECKS)
    s = t.script(CHECKS)
    same([x.ready()["commands"] for x in (s, quiet)], [[], []], "commands")
    same(s.run("echo")["data"], {"asked": 0}, "asked before it speaks")
    s.send(SPEAK)
    same(state(s, "usage"), {
        "cpu_load_percent": 12.5, "ram_used_gb": 3.0, "devices": [
            {"unit_id": "gpu-0", "load_percent": 40.0,
             "metrics": {"memory_used_gb": 2.5, "fan": None}},
            {"unit_id": "gpu-1", "load_percent": 0.0}]}, "usage")
    s.run("close", {"names": ["echo"]})
    full(s, ["echo"])
    s.run("close", {"names": ["close"]})
    full(s, ["close", "echo"])
    s.send(SPEAK)  # once more changes nothing
    logged(s, "capacity_checker(\"shaky\") failed: RuntimeError: no sensor")
    same(len([m for m in s.messages() if "no sensor" in m]), 1, "complaints")
    same(s.stop(), 0, "exit status")
    same(quiet.run("echo")["data"], {"asked": 0}, "the other one was asked")
    same([x for x in quiet.seen if x[0] == "state"], [], "it speaks")
    same(quiet.stop(), 0, "exit status")


@case("a checker that hangs holds up neither the other one, nor tasks, nor the "
      "end")
def hangs(t):
    s = t.script("""
        import threading
        from avtomatika_worker import Worker

        worker = Worker(capacity_checker=lambda name: False)
        worker.set_usage_checker(lambda: threading.Event().wait())

        @worker.task("wait")
        async def wait(params):
            return {}

        worker.run()
    """)
    s.ready()
    s.send(SPEAK)
    full(s, ["wait"])
    same(s.stop(), 0, "exit status")


@case("what a usage checker should not return is one line")
def bad_usage(t):
    for value, text in (("7", "int is no ResourcesUsage"),
                        ("{'devices_usage': 7}", "usage checker's value"),
                        ("1 / 0", "usage checker failed: ZeroDivisionError")):
        s = t.script(f"""
            from avtomatika_worker import Worker
            worker = Worker()
            worker.set_usage_checker(lambda: {value})

            @worker.task("x")
            async def x(params):
                return {{}}

            worker.run()
        """)
        same(s.ready()["commands"], [], "commands")
        s.send(SPEAK)
        logged(s, text)
        same(s.run("x")["status"], "success", "status")
        same(s.stop(), 0, "exit status")


@case("commands come to their handlers, as the SDK has them")
def commands(t):
    s = t.script(COMMANDS)
    same(s.ready()["commands"], ["breaks", "hangs", "plain", "reload"],
         "commands")
    s.send(SPEAK)
    message = {"command": "reload", "task_id": "t-9", "job_id": 7,
               "params": {"a": [1]}, "metadata": {"m": 1}, "other": 1}
    s.send(COMMAND, {"name": "breaks", "command": {}})
    s.send(COMMAND, {"name": "nobody", "command": {}})
    s.send(COMMAND, {"name": "reload", "command": message})
    s.send(COMMAND, {"name": "plain", "command": {"params": "text"}})
    same(s.run("seen", {"count": 2})["data"]["seen"], [
        ["reload", "reload", "t-9", None, {"a": [1]}, {"m": 1}],
        ["plain", True, None]], "what they were given")
    logged(s, "command \"breaks\" failed: ValueError: not today")
    logged(s, "command \"nobody\" is not known here")
    s.send(COMMAND, {"name": "hangs", "command": {}})
    for _ in range(110):
        s.send(COMMAND, {"name": "reload", "command": {}})
    logged(s, "100 wait already")
    same(s.run("seen", {"count": 2})["status"], "success", "status")
    began = time.monotonic()
    same(s.stop(), 0, "exit status")
    check(time.monotonic() - began < 20, "a hanging handler holds the end up")


@case("what comes too late, or is never called, is told", everywhere=False)
def late(t):
    s = t.script("""
        from avtomatika_worker import Worker
        worker = Worker()

        @worker.on_command("cancel_task")
        def cancel(command):
            pass

        @worker.task("late")
        async def late(params):
            worker.set_usage_checker(lambda: None)
            worker.on_command("more")(lambda command: None)
            return {}

        worker.run()
    """)
    s.ready()
    same(s.run("late")["status"], "success", "status")
    for text in ("set_usage_checker() comes too late",
                 "on_command(\"more\") comes too late",
                 "on_command(\"cancel_task\") is never called"):
        logged(s, text)
    same(s.stop(), 0, "exit status")


main()
