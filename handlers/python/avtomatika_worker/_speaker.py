# SPDX-License-Identifier: ISC
"""What one child does for all of its script: it asks the script's checkers now
and then, and runs its handlers of commands.

Which child that is the supervisor says. Each checker has a clock of its own, so
one that hangs holds up nothing else; what was said last is forgotten by the
supervisor when it is not said again.
"""
from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any, Callable, Dict, List, Optional

from . import _channel
from ._plain import Converter
from ._threads import Threads
from .models import WorkerCommand

logger = logging.getLogger("avtomatika_worker.worker")
CAPACITY_EVERY = 1.0  # seconds
USAGE_EVERY = 10.0
AGAIN = 10.0  # what has not changed is said again; it counts for 30 s
COMMANDS_MAX = 100  # that wait for the one before
_NOTHING = object()  # a checker has not answered


class Speaker:
    def __init__(self, worker: Any, channel: _channel.Channel,
                 threads: Threads) -> None:
        self._worker = worker
        self._channel = channel
        self._threads = threads
        self._tasks: List[asyncio.Task] = []
        self._commands: asyncio.Queue = asyncio.Queue(COMMANDS_MAX)
        self._runner: Optional[asyncio.Task] = None
        self._complaints: Dict[str, str] = {}

    # In the loop -------------------------------------------------------------

    def begin(self) -> None:
        """From now on this child speaks."""
        if self._tasks:
            return
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(check()) for check in (
            self._watch_capacity, self._watch_usage)]

    def end(self) -> None:
        for task in [*self._tasks, self._runner]:
            if task is not None:
                task.cancel()

    def take_command(self, payload: Dict[str, Any]) -> None:
        """Commands are run one after the other, in their order."""
        if self._runner is None:
            self._runner = asyncio.get_running_loop().create_task(
                self._run_commands())
        try:
            self._commands.put_nowait(payload)
        except asyncio.QueueFull:
            logger.warning("command \"%s\" is left out: %d wait already",
                           payload.get("name"), COMMANDS_MAX)

    # Commands ----------------------------------------------------------------

    async def _run_commands(self) -> None:
        while True:
            payload = await self._commands.get()
            name = str(payload.get("name"))
            handler = self._worker.command_handlers.get(name)
            if handler is None:
                logger.warning("command \"%s\" is not known here", name)
                continue
            try:
                await self._threads.call(handler, _command(name, payload))
            except asyncio.CancelledError:
                raise
            except BaseException as e:
                logger.error("the handler of command \"%s\" failed: %s: %s",
                             name, type(e).__name__, e)

    # Checkers ----------------------------------------------------------------

    async def _ask(self, what: str, function: Callable,
                   *arguments: Any) -> Any:
        """What it returns; _NOTHING when it raises, which is told once."""
        try:
            value = await self._threads.call(function, *arguments)
        except asyncio.CancelledError:
            raise
        except BaseException as e:
            self._complain(what, f"{type(e).__name__}: {e}")
            return _NOTHING
        self._complaints.pop(what, None)
        return value

    def _complain(self, what: str, text: str) -> None:
        if self._complaints.get(what) != text:
            self._complaints[what] = text
            logger.error("the %s failed: %s", what, text)

    async def _watch_capacity(self) -> None:
        checker = self._worker.capacity_checker
        told: Optional[List[str]] = None
        told_at = 0.0
        while checker is not None:
            full = []
            for name in sorted(self._worker.handlers):
                # Without an answer nothing is held back.
                if not await self._ask(f"capacity_checker(\"{name}\")",
                                       checker, name):
                    full.append(name)
            now = asyncio.get_running_loop().time()
            if full != told or now - told_at >= AGAIN:
                self._channel.send(_channel.STATE, {"full": full})
                told, told_at = full, now
            await asyncio.sleep(CAPACITY_EVERY)

    async def _watch_usage(self) -> None:
        while True:
            checker = self._worker.usage_checker
            if checker is not None:
                self._say_usage(await self._ask("usage checker", checker))
            await asyncio.sleep(USAGE_EVERY)

    def _say_usage(self, usage: Any) -> None:
        if usage is None or usage is _NOTHING:
            return
        try:
            text = _channel.encode({"usage": _usage(usage)})
            if len(text) > _channel.FROM_CHILD_MAX:
                raise ValueError(f"{len(text)} bytes are too much")
        except Exception as e:
            self._complain("usage checker's value", str(e))
        else:
            self._complaints.pop("usage checker's value", None)
            self._channel.send_text(_channel.STATE, text)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else \
        getattr(value, name, None)


def _number(value: Any, name: str) -> float:
    """A load or an amount; what is none, and NaN, is 0."""
    number = _member(value, name)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return 0.0
    return min(max(float(number), 0.0), 1e12) if number == number else 0.0


def _usage(value: Any) -> Dict[str, Any]:
    """A ResourcesUsage, whoever's class it is, or a dict that looks like
    one."""
    if _member(value, "cpu_load_percent") is None and \
            _member(value, "devices_usage") is None:
        raise ValueError(f"{type(value).__name__} is no ResourcesUsage")
    devices = []
    for device in _member(value, "devices_usage") or []:
        one = {"unit_id": str(_member(device, "unit_id")),
               "load_percent": _number(device, "load_percent")}
        metrics = _member(device, "metrics")
        if metrics:
            one["metrics"] = Converter().plain(dict(metrics))
        devices.append(one)
    return {"cpu_load_percent": _number(value, "cpu_load_percent"),
            "ram_used_gb": _number(value, "ram_used_gb"),
            "devices": devices}


def _command(name: str, payload: Dict[str, Any]) -> WorkerCommand:
    """As the SDK's class has it; members of another type are left out."""
    message = payload.get("command")
    message = message if isinstance(message, dict) else {}
    kinds = {"task_id": str, "job_id": str, "params": dict, "metadata": dict}
    return dataclasses.replace(WorkerCommand(command=name), **{
        member: message[member] for member, kind in kinds.items()
        if isinstance(message.get(member), kind)})
