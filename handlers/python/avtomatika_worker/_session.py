# SPDX-License-Identifier: ISC
"""A Worker's main(), under a supervisor: tasks in, results out, until it is
told to leave.

Lives in the loop that runs main(). Frames come from the reader's thread.
"""
from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Any, Dict, List, Optional

from . import _channel, _output
from ._channel import Frame
from ._program import Program
from ._speaker import Speaker
from ._task import Running
from ._threads import Threads

logger = logging.getLogger("avtomatika_worker.worker")


class Session:
    def __init__(self, worker: Any, program: Program) -> None:
        # dictConfig() switches off what is there before it; nobody means us.
        logger.disabled = False
        self.worker = worker
        self._program = program
        self._loop = asyncio.get_running_loop()
        # What main() was called with, for handlers.
        self._context = contextvars.copy_context()
        self._threads = Threads()
        self._running: Dict[int, Running] = {}
        self._leave = asyncio.Event()
        self._speaker = Speaker(worker, program.channel, self._threads)
        self._told: Optional[Dict[str, List[str]]] = None

    # From the reader ---------------------------------------------------------

    def take(self, frame: Frame) -> None:
        if frame.kind == _channel.TASK:
            self._in_loop(self._begin, frame)
        elif frame.kind == _channel.CANCEL:
            self._cancel(frame)
        elif frame.kind == _channel.SPEAK:
            self._in_loop(self._speaker.begin)
        else:
            self._in_loop(self._speaker.take_command, frame.payload)

    def _cancel(self, frame: Frame) -> None:
        if frame.lease in self._running:
            self._cancel_running(frame)
        else:  # a loop that is held up has not begun it yet
            self._in_loop(self._cancel_running, frame)

    def _cancel_running(self, frame: Frame) -> None:
        running = self._running.get(frame.lease)
        if running is not None:
            running.cancel(str(frame.payload.get("reason", "cancel")),
                           self._loop)

    def stop(self) -> None:
        """The supervisor says so, in the reader's thread: leave when the
        tasks at hand are done."""
        self._in_loop(self._leave.set)

    def _in_loop(self, function: Any, *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments,
                                            context=self._context)
        except RuntimeError:
            pass  # the loop is closed: we have left

    # In the loop -------------------------------------------------------------

    def _begin(self, frame: Frame) -> None:
        if self._leave.is_set():
            return  # not started, so it goes to another child at no charge
        running = Running(self.worker, self._program.channel, self._threads,
                          frame)
        self._running[frame.lease] = running
        running.coroutine = self._loop.create_task(self._run(running))

    async def _run(self, running: Running) -> None:
        try:
            await running.run()
        finally:
            self._running.pop(running.lease, None)

    async def serve(self) -> None:
        """Until stop(); then until the tasks at hand are done."""
        if not self._program.attach(self):
            self._leave.set()
        try:
            if not self._leave.is_set():
                self._program.say_ready(self.worker.offer())
                self.say_state()
            await self._leave.wait()
            self._speaker.end()
            await self._finish()
        except BaseException:  # main() was cancelled, and so is all of it
            for running in list(self._running.values()):
                running.cancel("drain", self._loop)
            await self._finish()
            raise
        finally:
            self._leave.set()
            self._speaker.end()
            self._program.detach()
            self._threads.end()
            _output.flush()

    async def _finish(self) -> None:
        tasks = [r.coroutine for r in self._running.values()
                 if r.coroutine is not None]
        if tasks:
            logger.info("leaving when %d tasks are done", len(tasks))
            await asyncio.wait(tasks)

    @property
    def others(self) -> List[Running]:
        """The tasks at hand, but for the one whose handler asks."""
        mine = _output.lease.get()
        return [r for r in self._running.values() if r.lease != mine]

    def running_now(self) -> Optional[Running]:
        """The task whose handler asks."""
        return self._running.get(_output.lease.get())

    def running_task(self, task_id: Optional[str]) -> Optional[Running]:
        for running in list(self._running.values()):
            if task_id is not None and running.task_id == task_id:
                return running
        return None

    def say_state(self) -> None:
        """What this child has at hand, when that has changed."""
        state = self.worker.state()
        if self._program.is_ready and state != self._told:
            if self._told is not None or "hot_skills" in state or \
                    any(state.values()):
                self._program.channel.send(_channel.STATE, state)
                self._told = state

    def ask_to_leave(self) -> None:
        """The supervisor answers with a stop, when it has no task on its way
        to us any more."""
        self._program.channel.send(_channel.STATE, {"leaving": True})
