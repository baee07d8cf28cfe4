# SPDX-License-Identifier: ISC
"""Plain functions of handlers, in threads that can be told to stop.

As in the SDK a plain function runs beside the loop and not in it. Threads are
kept, for what functions keep in them (threading.local); but a thread that was
interrupted ends with its call, so that an exception that comes late meets
nobody else's.
"""
from __future__ import annotations

import asyncio
import contextvars
import ctypes
import inspect
import queue
import threading
from typing import Any, Callable, List, Optional

from . import _program

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)


def _descriptors(loop: Any) -> List[int]:
    """What it is woken by, as far as it is asyncio's own."""
    parts = [getattr(loop, name, None) for name in ("_csock", "_selector")]
    return [part.fileno() for part in parts if part is not None]


class Call:
    """One call of a plain function."""

    def __init__(self, function: Callable[[], Any],
                 loop: asyncio.AbstractEventLoop) -> None:
        self.interrupted = False
        self._function = function
        self._context = contextvars.copy_context()
        self._loop = loop
        self._lock = threading.Lock()
        self._thread = 0  # its ident while the function runs
        self._value: Any = None
        self._error: Optional[BaseException] = None
        self.future: asyncio.Future = loop.create_future()

    def interrupt(self) -> None:
        """Raises CancelledError in the function, from any thread. What the
        function does in C code has to end first."""
        with self._lock:
            if self._thread and not self.interrupted:
                _set_async_exc(self._thread,
                               ctypes.py_object(asyncio.CancelledError))
            self.interrupted = True

    def run(self) -> None:
        try:
            with self._lock:
                self._thread = threading.get_ident()
                too_early = self.interrupted
            try:
                if too_early:
                    raise asyncio.CancelledError
                self._value = self._context.run(self._function)
            except BaseException as e:
                self._error = e
            self._end()
        except asyncio.CancelledError as e:  # it came between two lines
            self._error = self._error or e
            self._end()

    def _end(self) -> None:
        with self._lock:
            ident, self._thread = self._thread, 0
        if ident and self.interrupted:
            # What was raised may still be on its way; it comes no more.
            _set_async_exc(ident, ctypes.py_object())

    def deliver(self) -> None:
        program = _program.current()
        if program is not None:
            program.channel.check(*_descriptors(self._loop))
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            pass  # the loop was closed: nobody waits any more

    def _deliver(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def outcome(self) -> Any:
        """What the function returned; raises what it raised. (A future does
        not take every exception.)"""
        if self._error is not None:
            raise self._error
        return self._value


class Threads:
    """Those of one loop; as many as there are calls at once."""

    def __init__(self) -> None:
        self._idle: List[queue.SimpleQueue] = []

    async def wait(self, call: Call) -> Any:
        """Runs it and returns what it returned."""
        if self._idle:
            self._idle.pop().put(call)
        else:
            inbox: queue.SimpleQueue = queue.SimpleQueue()
            inbox.put(call)
            threading.Thread(target=self._work, args=(inbox,),
                             name="handler", daemon=True).start()
        await call.future
        return call.outcome()

    async def call(self, function: Callable, *arguments: Any) -> Any:
        """What a function of either kind returns; a plain one runs in a
        thread."""
        if inspect.iscoroutinefunction(function):
            return await function(*arguments)
        value = await self.wait(
            Call(lambda: function(*arguments), asyncio.get_running_loop()))
        return await value if inspect.isawaitable(value) else value

    def _work(self, inbox: queue.SimpleQueue) -> None:
        while True:
            call = inbox.get()
            if call is None:
                return
            call.run()
            if call.interrupted:
                call.deliver()
                return
            self._idle.append(inbox)  # first, so that the next call finds it
            call.deliver()
            del call

    def end(self) -> None:
        """Lets idle threads go."""
        while self._idle:
            self._idle.pop().put(None)
