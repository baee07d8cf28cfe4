# SPDX-License-Identifier: ISC
"""One task at work: from its frame to its result.

Whatever happens in it, one result frame is sent, and after it nothing about
this task.
"""
from __future__ import annotations

import asyncio
import collections.abc
import inspect
import logging
import math
import os
import shutil
import threading
import time
from typing import Any, Dict, List, Optional

from . import _channel, _output, _program, _result, _schema, types
from ._channel import Channel
from ._handler import Handler
from ._plain import CannotSend, Converter
from ._threads import Call, Threads
from .observability import ObservabilityManager
from .orchestrator_client import OrchestratorClient
from .s3 import S3Manager, names_s3
from .task_files import TaskFiles

logger = logging.getLogger("avtomatika_worker.worker")
EVENT_MAX = 64 * 1024  # bytes of one event
REPORTS_AT_ONCE = 10  # progress reports that may come in a burst
REPORT_EVERY = 0.1  # seconds, after that
CAPACITY_AGAIN = 0.25  # seconds between questions to a capacity_checker


class Sent(collections.abc.Coroutine):
    """What was done before it is awaited. A handler that is a plain function
    may call the same send_progress() and await nothing."""

    def send(self, _value: Any) -> None:
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> None:
        raise kind if value is None else value

    def close(self) -> None:
        pass

    def __await__(self) -> Any:
        return iter(())


class Running:
    """A task that this child has."""

    def __init__(self, worker: Any, channel: Channel, threads: Threads,
                 frame: _channel.Frame) -> None:
        self.lease = frame.lease
        self.task = frame.payload
        self.reason: Optional[str] = None  # of a cancel
        self.coroutine: Optional[asyncio.Task] = None
        self._worker = worker
        self._channel = channel
        self._threads = threads
        self._lock = threading.Lock()
        self._call: Optional[Call] = None  # of a plain function, while it runs
        self._has_begun = False
        self._is_done = False
        self._reports = float(REPORTS_AT_ONCE)
        self._reported = time.monotonic()
        self._warned: set = set()

    @property
    def task_id(self) -> str:
        return str(self.task.get("task_id", ""))

    @property
    def job_id(self) -> str:
        return str(self.task.get("job_id", ""))

    @property
    def type(self) -> str:
        return str(self.task.get("type", ""))

    # From any thread ---------------------------------------------------------

    def cancel(self, reason: str, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if self._is_done or self.reason is not None:
                return
            self.reason = reason
            call = self._call
        if call is not None:
            call.interrupt()
        else:
            loop.call_soon_threadsafe(self._cancel_coroutine, loop)

    def _cancel_coroutine(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the loop. One that is cancelled before its first step never takes
        it, and nobody would send a result."""
        if not self._has_begun:
            loop.call_soon(self._cancel_coroutine, loop)
        elif self.coroutine is not None:
            self.coroutine.cancel()

    def progress(self, *arguments: Any, **named: Any) -> Sent:
        """(progress, message) or (task_id, job_id, progress, message)."""
        names = ["progress", "message"]
        if len(arguments) > 2 or (arguments and isinstance(arguments[0], str)
                                  and len(arguments) > 1) or \
                "task_id" in named:
            names = ["task_id", "job_id", *names]
        given = {**dict(zip(names, arguments)), **named}
        value = given.get("progress")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or \
                not math.isfinite(value):
            self._warn("progress", "progress is a number from 0 to 1, not "
                       f"{value!r:.80}")
            return Sent()
        if not 0 <= value <= 1:
            self._warn("progress", "progress goes from 0 to 1; "
                       f"{value!r:.80} is taken as {min(max(value, 0), 1)}")
        payload = {"progress": min(max(float(value), 0.0), 1.0)}
        message = given.get("message")
        if message:
            payload["message"] = _result.fitting(message, 1024)
        with self._lock:
            now = time.monotonic()
            self._reports = min(
                self._reports + (now - self._reported) / REPORT_EVERY,
                REPORTS_AT_ONCE)
            self._reported = now
            if self._is_done or self._reports < 1:
                return Sent()
            self._reports -= 1
            self._channel.send(_channel.PROGRESS, payload, self.lease)
        return Sent()

    def event(self, event_type: str, payload: Any = None,
              priority: float = 0.0, security: Any = None,
              metadata: Any = None, origin_worker_id: Any = None) -> Sent:
        """Tells the orchestrator something of the handler's own."""
        if priority or security or metadata or origin_worker_id:
            self._warn("event", "of an event its type and payload are sent, "
                       "and nothing else")
        if event_type == "progress" and isinstance(payload, dict):
            return self.progress(payload.get("progress"),
                                 payload.get("message", ""))
        try:
            text = self._event_text(event_type, payload)
        except (CannotSend, ValueError, RecursionError) as e:
            logger.error("event %.100r is not sent: %s", event_type, e)
            return Sent()
        with self._lock:
            if not self._is_done:
                self._channel.send_text(_channel.EVENT, text, self.lease)
        return Sent()

    def _event_text(self, event_type: Any, payload: Any) -> bytes:
        if not isinstance(event_type, str) or \
                not _result._STATUS.fullmatch(event_type):
            raise CannotSend("its type is not a word")
        plain = Converter().plain({} if payload is None else payload)
        if not isinstance(plain, dict):
            raise CannotSend("its payload is not an object")
        handler = self._worker.handler(self.type)
        declared = handler.info.events_schema if handler else None
        if declared:
            if event_type in declared:
                wrong = _schema.problem(plain, declared[event_type])
                if wrong:
                    raise CannotSend(wrong)
            elif self._worker.config.STRICT_EVENT_VALIDATION:
                raise CannotSend("it is not in events_schema")
        text = _channel.encode({"type": event_type, "payload": plain})
        if len(text) > EVENT_MAX:
            raise CannotSend(f"it is {len(text)} bytes, the limit is "
                             f"{EVENT_MAX}")
        return text

    def _warn(self, about: str, text: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            logger.warning("%s", text)

    # In the loop -------------------------------------------------------------

    async def run(self) -> None:
        self._has_begun = True
        _output.lease.set(self.lease)
        handler = self._worker.handler(self.type)
        files = _Folder(self._worker.config.TASK_FILES_DIR, self.task)
        if handler is None:
            self._channel.send(_channel.STARTED, {}, self.lease)
            outcome = _result.Outcome(_result.failure(
                types.TRANSIENT_ERROR,
                f"this script has no handler \"{self.type}\""))
        else:
            outcome = await self._outcome(handler, files)
        for remark in outcome.remarks:
            self._worker.remark(self.type, remark)
        text = _result.to_text(self.type, outcome.payload)
        files.remove()
        _output.flush()
        with self._lock:
            self._is_done = True
            self._channel.send_text(_channel.RESULT, text, self.lease)

    async def _outcome(self, handler: Handler,
                       files: "_Folder") -> _result.Outcome:
        try:
            value = await self._value(handler, files)
        except asyncio.CancelledError as e:
            if self.reason is None and self._worker.is_ending:
                self.reason = "drain"
            logger.info("the handler ended by %s", type(e).__name__)
            return _result.Outcome(_result.cancelled(self.reason))
        except types.ParamValidationError as e:
            logger.error("%s", _result.text_of(e))
            return _result.Outcome(_result.from_exception(e))
        except BaseException as e:
            logger.error("handler \"%s\" failed: %s", self.type,
                         _result.text_of(e), exc_info=(
                             type(e), e, _program.trace_outside(e)))
            return _result.Outcome(_result.from_exception(e))
        schema = handler.info.output_schema if handler.is_skill else None
        return _result.from_value(
            self.type, value,
            (lambda data: _schema.problem(data, schema)) if schema else None,
            files.path)

    async def _value(self, handler: Handler, files: "_Folder") -> Any:
        """What the handler, in its middlewares, returns."""
        await self._wait_for_capacity()
        self._channel.send(_channel.STARTED, {}, self.lease)
        given = self.task.get("params") or {}
        if names_s3(given):
            self._worker.remark(
                self.type, "has got an \"s3://\" address in its params as it "
                "is: this worker does not speak S3, and fetches no files")
        if isinstance(given, dict):
            given = handler.params(given)
        observability = self._worker.observability
        context = self._context(given)
        by_type = {
            TaskFiles: files.helper(self.job_id, self.task_id),
            ObservabilityManager: observability,
            OrchestratorClient: OrchestratorClient(),
        }
        about = {
            "task_id": self.task_id, "job_id": self.job_id,
            "task_name": self.type, "skill_name": self.type,
            "params": given, "observability": observability,
            "s3_manager": S3Manager(),
            "handler_kwargs": handler.arguments(context, by_type),
        }

        async def innermost() -> Any:
            return await self._call_handler(
                handler, handler.call(context, about["handler_kwargs"]))

        chain = innermost
        for middleware in reversed(self._worker.middlewares):
            chain = _wrapped(middleware, about, chain)
        with observability.start_task_span(
                self.type, self.task_id, self.job_id,
                parent_context=self.task.get("tracing_context")):
            return await chain()

    async def _call_handler(self, handler: Handler, function: Any) -> Any:
        if handler.is_async:
            return await function()
        call = Call(function, asyncio.get_running_loop())
        with self._lock:
            if self.reason is not None:  # it came before the thread did
                raise asyncio.CancelledError
            self._call = call
        try:
            value = await self._threads.wait(call)
        finally:
            with self._lock:
                self._call = None
        # A decorator may have made a plain function of an async one.
        return await value if inspect.isawaitable(value) else value

    async def _wait_for_capacity(self) -> None:
        """A worker of the SDK does not ask for a task that its checker does
        not want. This one is here already, and waits."""
        checker = self._worker.capacity_checker
        while checker is not None:
            try:
                if await self._threads.call(checker, self.type):
                    return
            except asyncio.CancelledError:
                raise
            except BaseException:
                return  # the speaker tells of it; nothing is held back
            await asyncio.sleep(CAPACITY_AGAIN)

    def _context(self, params: Any) -> Dict[str, Any]:
        deadline_ms = self.task.get("deadline_ms")
        return {
            "params": params,
            "task_id": self.task_id,
            "job_id": self.job_id,
            "priority": self.task.get("priority", 0),
            "deadline": None if deadline_ms is None else deadline_ms / 1000,
            "metadata": self.task.get("metadata"),
            "security": self.task.get("security"),
            "tracing_context": self.task.get("tracing_context") or {},
            "send_progress": self.progress,
            "send_event": self.event,
            "add_to_hot_cache": self._worker.add_to_hot_cache,
            "remove_from_hot_cache": self._worker.remove_from_hot_cache,
            "add_to_hot_skills": self._worker.add_to_hot_skills,
            "remove_from_hot_skills": self._worker.remove_from_hot_skills,
        }


def _wrapped(middleware: Any, about: Dict[str, Any], inner: Any) -> Any:
    async def call() -> Any:
        value = middleware(about, inner)
        return await value if inspect.isawaitable(value) else value
    return call


class _Folder:
    """The folder of a task: the supervisor's, or one that we make when it is
    asked for and remove in the end."""

    def __init__(self, root: str, task: Dict[str, Any]) -> None:
        given = task.get("workspace")
        self._given = bool(given)
        name = os.path.basename(str(task.get("task_id") or "")) or "task"
        self.path = str(given) if given else os.path.join(root, name)
        self._helpers: List[TaskFiles] = []

    def helper(self, job_id: str, task_id: str) -> TaskFiles:
        helper = TaskFiles(self.path, job_id=job_id, task_id=task_id)
        self._helpers.append(helper)
        return helper

    def remove(self) -> None:
        if not self._given and self._helpers and os.path.isdir(self.path):
            shutil.rmtree(self.path, ignore_errors=True)
