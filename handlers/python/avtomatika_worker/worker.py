# SPDX-License-Identifier: ISC
"""The Worker: what scripts make, fill with handlers, and run.

Registration, polls, heartbeats and delivery belong to the supervisor. What a
script sets here is told to it when main() begins.
"""
from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
import sys
from typing import Any, Callable, Dict, List, Optional, Set, Type

from . import _channel, _program
from ._handler import Handler
from ._session import Session
from .config import WorkerConfig, milliseconds
from .logging import clear_context, set_context, set_level, setup_logging
from .models import (DeviceUsage, FileMetadata, ResourcesUsage,
                     SecurityContext, TaskError, TaskPayload, TaskResult,
                     WorkerEventPayload)
from .observability import ObservabilityManager
from .orchestrator_client import OrchestratorClient
from .s3 import S3Manager
from .skills import (Described, Given, SkillBlueprint, SkillInfo,
                     worker_extract_json_schema,
                     worker_extract_output_schema_from_func,
                     worker_extract_schema_from_func)
from .task_files import TaskFiles
from .types import (INVALID_INPUT_ERROR, PERMANENT_ERROR, TRANSIENT_ERROR,
                    CapacityChecker, Middleware, ParamValidationError)
from .validators import is_valid_identifier, validate_identifier

__all__ = [  # what scripts have found here under one SDK or the other
    "Worker", "WorkerConfig", "SkillBlueprint", "SkillInfo", "TaskFiles",
    "OrchestratorClient", "ObservabilityManager", "S3Manager",
    "ResourcesUsage", "DeviceUsage", "FileMetadata", "SecurityContext",
    "TaskPayload", "TaskError", "TaskResult", "WorkerEventPayload",
    "CapacityChecker", "Middleware", "ParamValidationError",
    "INVALID_INPUT_ERROR", "PERMANENT_ERROR", "TRANSIENT_ERROR",
    "is_valid_identifier", "validate_identifier", "setup_logging",
    "set_context", "clear_context", "worker_extract_json_schema",
    "worker_extract_output_schema_from_func",
    "worker_extract_schema_from_func",
]

logger = logging.getLogger(__name__)
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,128}")
_WORDS = ("orchestrator_url", "worker_id", "worker_token", "worker_type")


class Worker:
    def __init__(self, worker_type: Any = None,
                 max_concurrent_tasks: Any = None,
                 task_type_limits: Any = None, http_session: Any = None,
                 skill_dependencies: Any = None, config: Any = None,
                 capacity_checker: Any = None, clients: Any = None,
                 skills_dir: Any = None, skill_info_class: Any = None, *,
                 skill_type_limits: Any = None, orchestrator_url: Any = None,
                 worker_id: Any = None, worker_token: Any = None,
                 heartbeat_interval: Any = None, poll_interval: Any = None,
                 resources: Any = None) -> None:
        """The SDK's parameters in the SDK's order, and those of the guide. An
        Ellipsis, as in the guide's Worker(...), is nothing given."""
        given = dict(locals())  # a debugger may write to locals() itself
        given = {name: value for name, value in given.items()
                 if name != "self" and value is not None and
                 value is not Ellipsis}
        if given.pop("clients", None):
            raise TypeError("Worker(clients=...) cannot be supported: the "
                            "supervisor talks to the orchestrator; for tests "
                            "there is avtoworkerd --local")
        self.config: WorkerConfig = given.get("config") or WorkerConfig()
        self._settings = _settings(given)
        self._limits = _limits(given)
        self._dependencies: Dict[str, List[str]] = dict(
            given.get("skill_dependencies") or {})
        self.capacity_checker = given.get("capacity_checker")
        self._skills_dir: str = given.get("skills_dir") or \
            self.config.WORKER_SKILLS_DIR
        self._skill_info_class: Type[SkillInfo] = \
            given.get("skill_info_class") or SkillInfo
        self.usage_checker: Optional[Callable[[], Any]] = None
        self.command_handlers: Dict[str, Callable] = {}
        self.handlers: Dict[str, Handler] = {}
        self.middlewares: List[Middleware] = []
        # Whoever has set up OpenTelemetry wants it, with metrics or without.
        self.observability = ObservabilityManager()
        self._hot: Set[str] = set()
        self._names_skills = False
        self._session: Optional[Session] = None
        self._is_stopped = False
        self._remarks: Set[str] = set()
        if not logging.getLogger().handlers:
            set_level()
        if given.get("http_session") is not None:
            logger.info("http_session is the script's own: the supervisor "
                        "talks to the orchestrator")
        program = _program.current()
        if program is not None:
            program.add_worker(self)

    # Handlers ----------------------------------------------------------------

    def task(self, name: str, task_type: Optional[str] = None) -> Callable:
        """Registers the decorated function for tasks of that type. task_type
        is the category whose limit holds for it."""
        _check_name(name, "task name")
        if task_type is not None:
            _check_name(task_type, "task_type")

        def decorate(function: Callable) -> Callable:
            self._add(Handler(SkillInfo(name=name), function, task_type,
                              False), [])
            return function
        return decorate

    def skill(self, info: Given = None, **members: Any) -> Callable:
        """Registers the decorated function as a skill: a name, a SkillInfo, a
        class of it, or nothing but keywords."""
        described = Described(info, self._skill_info_class, members)

        def decorate(function: Callable) -> Callable:
            self._add_skill(described.complete(function), function,
                            described.untold)
            return function
        return decorate

    def include_blueprint(self, blueprint: SkillBlueprint) -> None:
        for info, function, untold in blueprint.skills:
            self._add_skill(info, function, untold)

    def _add_skill(self, info: SkillInfo, function: Callable,
                   untold: List[str]) -> None:
        _check_name(info.name, "skill name")
        if info.type:
            _check_name(info.type, "skill type")
        category = info.type if info.type != info.name or \
            info.type in self._limits else None
        self._add(Handler(info, function, category, True), untold)

    def _add(self, handler: Handler, untold: List[str]) -> None:
        if not callable(handler.function):
            raise TypeError(f"the handler of \"{handler.info.name}\" is "
                            "no function")
        if untold:
            logger.warning("skill \"%s\": %s: not told to orchestrators",
                           handler.info.name, ", ".join(untold))
        self.handlers[handler.info.name] = handler

    async def load_skills(self, skills_dir: Optional[str] = None) -> None:
        """Includes the blueprints of the modules in a folder, and calls their
        setup(worker). A module that fails is left out, and named."""
        folder = skills_dir or self._skills_dir
        if not os.path.isdir(folder):
            return
        for entry in sorted(os.listdir(folder)):
            if entry.endswith(".py") and not entry.startswith("_"):
                try:
                    self._load(os.path.join(folder, entry))
                except Exception:
                    logger.exception("skills of %s are left out", entry)

    def _load(self, path: str) -> None:
        name = os.path.splitext(os.path.basename(path))[0]
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            return
        module = importlib.util.module_from_spec(spec)
        # Where there is no module of that name, so that what is defined in it
        # can be pickled.
        sys.modules.setdefault(name, module)
        spec.loader.exec_module(module)
        for value in list(vars(module).values()):
            if isinstance(value, SkillBlueprint):
                self.include_blueprint(value)
        setup = getattr(module, "setup", None)
        if callable(setup):
            setup(self)

    def add_middleware(self, middleware: Middleware) -> None:
        """The first added is the outermost."""
        self.middlewares.append(middleware)

    def on_command(self, command_name: str) -> Callable:
        """Registers the decorated function for commands of the orchestrator
        of that name. One child of the script takes them, as a
        WorkerCommand."""
        if not isinstance(command_name, str) or not command_name or \
                len(command_name.encode("utf-8", "replace")) > 128:
            raise ValueError(f"command name {command_name!r:.200} is no text "
                             "of 1 to 128 bytes")

        def decorate(function: Callable) -> Callable:
            self._refuse_late(f"on_command(\"{command_name}\")")
            if command_name == "cancel_task":
                logger.warning("on_command(\"cancel_task\") is never called: "
                               "the supervisor cancels tasks itself")
            self.command_handlers[command_name] = function
            return function
        return decorate

    def set_usage_checker(self, checker: Callable[[], Any]) -> None:
        """The function says what of the machine is in use, as a
        ResourcesUsage. It is asked in one child of the script."""
        self._refuse_late("set_usage_checker()")
        self.usage_checker = checker

    def _refuse_late(self, what: str) -> None:
        """Which child speaks for the script is settled by what is there when
        main() begins."""
        if self._session is not None:
            logger.warning("%s comes too late: it is to be called before "
                           "main()", what)

    # What is at hand in this child -------------------------------------------

    def add_to_hot_skills(self, item: str) -> None:
        """Says that a model, or a skill, is loaded in this child."""
        self._hot.add(str(item))
        self._say_state()

    def remove_from_hot_skills(self, item: str) -> None:
        self._hot.discard(str(item))
        self._say_state()

    def get_hot_skills_state(self) -> Set[str]:
        return self._hot

    # What these were called in the first SDK.
    def add_to_hot_cache(self, model_name: str) -> None:
        self.add_to_hot_skills(model_name)

    def remove_from_hot_cache(self, model_name: str) -> None:
        self.remove_from_hot_skills(model_name)

    def get_hot_cache(self) -> Set[str]:
        return self._hot

    def state(self) -> Dict[str, List[str]]:
        """The state frame: a skill is hot when all that it depends on is, or
        when it is named itself."""
        hot = sorted(
            name for name in self.handlers
            if (self._hot.issuperset(self._dependencies[name])
                if self._dependencies.get(name) else name in self._hot))
        state = {"hot_cache": sorted(self._hot)}
        # A script that only ever names models says nothing of its skills.
        self._names_skills = self._names_skills or bool(hot) or \
            bool(self._dependencies)
        if self._names_skills:
            state["hot_skills"] = hot
        return state

    def _say_state(self) -> None:
        if self._session is not None:
            self._session.say_state()

    # Telling -----------------------------------------------------------------

    async def send_progress(self, task_id: str, job_id: str, progress: float,
                            message: str = "") -> None:
        session = self._session
        running = session.running_task(task_id) if session else None
        if running is not None:
            running.progress(progress, message)

    async def emit_event(self, event: Any, payload: Any = None) -> None:
        """An event of the task at hand: its type and its payload, or a
        WorkerEventPayload. RuntimeError outside of a task."""
        members = event if isinstance(event, dict) else {
            "event_type": event, "payload": payload} if \
            isinstance(event, str) else {
            name: getattr(event, name, None) for name in (
                "event_type", "payload", "origin_task_id", "target_task_id")}
        session = self._session
        running = None
        if session is not None:
            running = session.running_task(
                members.get("origin_task_id") or
                members.get("target_task_id")) or session.running_now()
        if running is None:
            raise RuntimeError("emit_event(): no task is running that the "
                               "event could belong to")
        running.event(members.get("event_type", ""), members.get("payload"))

    def remark(self, handler: str, text: str) -> None:
        """Warns about a handler, once for each thing."""
        line = f"handler \"{handler}\" {text}"
        if line not in self._remarks and len(self._remarks) < 1000:
            self._remarks.add(line)
            logger.warning("%s", line)

    # Life --------------------------------------------------------------------

    async def main(self) -> None:
        """Runs tasks until the supervisor, or stop(), says that it is enough;
        then what is under way is finished first."""
        program = _program.required()
        program.claim(self)
        await self.load_skills()
        if not self.handlers:
            raise RuntimeError("the Worker has no tasks; register some with "
                               "@worker.task before main()")
        for handler in self.handlers.values():
            handler.prepare()
        if self._is_stopped:
            return
        self._session = Session(self, program)
        try:
            await self._session.serve()
        finally:
            self._session = None
            self._is_stopped = True

    async def stop(self) -> None:
        """Ends main() of this child, after the tasks at hand; waits for them,
        but for the one whose handler calls it."""
        self._is_stopped = True
        session = self._session
        if session is None:
            return
        session.ask_to_leave()
        waited = [r.coroutine for r in session.others
                  if r.coroutine is not None]
        if waited:
            await asyncio.wait(waited)

    @property
    def is_ending(self) -> bool:
        return self._is_stopped

    def run(self) -> None:
        try:
            asyncio.run(self.main())
        except KeyboardInterrupt:
            pass

    def run_with_health_check(self) -> None:
        """run(); health is asked of the supervisor."""
        logger.info("/health is served by the supervisor, at the address of "
                    "its \"metrics\" setting, and not by the script")
        self.run()

    # For the session ---------------------------------------------------------

    def handler(self, name: str) -> Optional[Handler]:
        return self.handlers.get(name)

    def offer(self) -> Dict[str, Any]:
        """The ready frame."""
        said: Dict[str, Any] = {
            "version": _channel.VERSION,
            "handlers": [h.offer() for h in self.handlers.values()],
        }
        for handler in said["handlers"]:
            depends = self._dependencies.get(handler["type"])
            if depends:
                handler["dependencies"] = [str(one) for one in depends]
        if self.command_handlers or self.usage_checker is not None or \
                self.capacity_checker is not None:
            said["commands"] = sorted(self.command_handlers)
        if self._limits:
            said["limits"] = self._limits
        settings = {**self.config.told(), **self._settings}
        if settings:
            said["worker"] = settings
        return said


def _settings(given: Dict[str, Any]) -> Dict[str, Any]:
    """What the ready frame says of the worker."""
    said: Dict[str, Any] = {}
    for name in _WORDS:
        if name in given:
            if not isinstance(given[name], str):
                raise TypeError(f"Worker({name}=...) is no text")
            said[name] = given[name]
    if "max_concurrent_tasks" in given:
        said["max_concurrent_tasks"] = int(given["max_concurrent_tasks"])
    for name in ("heartbeat_interval", "poll_interval"):
        if name in given:
            said[f"{name}_ms"] = milliseconds(given[name])
    if "resources" in given:
        if not isinstance(given["resources"], dict):
            raise TypeError("Worker(resources=...) is no dict")
        said["resources"] = given["resources"]
    return said


def _limits(given: Dict[str, Any]) -> Dict[str, int]:
    limits = {**given.get("task_type_limits", {}),
              **given.get("skill_type_limits", {})}
    for name, limit in limits.items():
        _check_name(name, "task_type")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"the limit of \"{name}\" is {limit!r}, not a "
                             "number of tasks")
    return limits


def _check_name(value: Any, what: str) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{what} {value!r:.200} is not 1 to 128 letters, "
                         "digits, \".\", \"_\", \":\" or \"-\"")
