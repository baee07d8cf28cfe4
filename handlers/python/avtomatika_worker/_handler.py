# SPDX-License-Identifier: ISC
"""A registered function: what it takes, and how it is called."""
from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from typing import Any, Callable, Dict, Optional, Set

from . import _schema
from ._plain import Converter
from ._result import fitting
from .observability import ObservabilityManager
from .orchestrator_client import OrchestratorClient
from .skills import SkillInfo
from .task_files import TaskFiles
from .types import ParamValidationError

# What a handler gets when it has a parameter of that name.
CONTEXT = frozenset((
    "params", "task_id", "job_id", "priority", "deadline", "metadata",
    "security", "tracing_context", "send_progress", "send_event",
    "add_to_hot_cache", "remove_from_hot_cache", "add_to_hot_skills",
    "remove_from_hot_skills"))
# And when it has one of that type, whatever its name.
TYPES = (TaskFiles, ObservabilityManager, OrchestratorClient)
DESCRIPTION_MAX = 1024  # bytes
_VERSION = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY,
               inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Handler:
    def __init__(self, info: SkillInfo, function: Callable,
                 category: Optional[str], is_skill: bool) -> None:
        self.info = info
        self.function = function
        self.category = category
        self.is_skill = is_skill
        self.is_async = is_async(function)
        self._parameters = inspect.signature(function).parameters
        self._hints: Dict[str, Any] = {}
        self._typed: Dict[str, type] = {}
        self.params_name: Optional[str] = None
        self._takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD
                              for p in self._parameters.values())

    def prepare(self) -> None:
        """Once all modules are loaded, so that types written as text can be
        found."""
        self._hints = _schema.hints_of(self.function)
        self._typed = {}
        for name in self._parameters:
            hint = self._hints.get(name)
            for kind in TYPES:
                if kind is hint or kind in typing.get_args(hint):
                    self._typed[name] = kind
        self.params_name = "params" if "params" in self._parameters else next(
            (name for name, p in self._parameters.items()
             if p.kind in _POSITIONAL and name not in CONTEXT and
             name not in self._typed), None)
        if self.is_skill and self.info.input_schema is None and \
                self.params_name is not None:
            self.info = dataclasses.replace(
                self.info, input_schema=_schema.of_parameter(
                    self.function, self.params_name))

    def offer(self) -> Dict[str, Any]:
        """What the ready frame says of it. The supervisor takes no child that
        declares what an orchestrator would refuse; the SDK's texts may be
        longer than it takes."""
        info = self.info
        said: Dict[str, Any] = {"type": info.name, "category": self.category}
        if self.is_skill:
            said.update(
                kind=info.type,
                description=fitting(info.description, DESCRIPTION_MAX)
                if info.description else None,
                input_schema=info.input_schema,
                output_schema=info.output_schema,
                output_statuses=info.output_statuses, cost=info.cost)
            if info.version and _VERSION.fullmatch(str(info.version)):
                said["version"] = str(info.version)
            # An empty schema would cost the others (S10), and says nothing.
            events = {name: schema for name, schema in
                      (info.events_schema or {}).items() if schema}
            if events:
                said["events_schema"] = events
        return Converter().plain(
            {k: v for k, v in said.items() if v is not None})

    @property
    def kinds_wanted(self) -> Set[type]:
        return set(self._typed.values())

    def params(self, given: Dict[str, Any]) -> Any:
        """The params as the handler wants them: as they came, or as the
        dataclass or pydantic model of the hint. ParamValidationError."""
        if self.is_skill:
            wrong = _schema.problem(given, self.info.input_schema)
            if wrong is not None:
                raise ParamValidationError(wrong)
        hint = self._hints.get(self.params_name or "")
        if not isinstance(hint, type):
            return given
        read = getattr(hint, "model_validate", None) or (
            getattr(hint, "parse_obj", None)
            if hasattr(hint, "__fields__") else None)
        try:
            if callable(read):
                return read(given)
            if dataclasses.is_dataclass(hint):
                return _make(hint, given)
        except ParamValidationError:
            raise
        except (TypeError, ValueError) as e:
            raise ParamValidationError(str(e) or type(e).__name__) from e
        return given

    def arguments(self, context: Dict[str, Any],
                  by_type: Dict[type, Any]) -> Dict[str, Any]:
        """Of all that there is, what the function has parameters for; the
        params always, as "params"."""
        chosen = {name: context[name] for name in self._parameters
                  if name in context and name not in self._typed}
        chosen["params"] = context["params"]
        chosen.update({name: by_type[kind]
                       for name, kind in self._typed.items()})
        return chosen

    def call(self, context: Dict[str, Any],
             arguments: Dict[str, Any]) -> Callable[[], Any]:
        """The function with its arguments, to be called.
        ParamValidationError when one is missing."""
        given = {**context, **arguments} if self._takes_all else \
            dict(arguments)
        params = given.pop("params")
        if self.params_name is not None or self._takes_all:
            given[self.params_name or "params"] = params
        first = []
        for name, p in self._parameters.items():
            if p.kind in _VARIABLE:
                continue
            if name not in given:
                if p.default is p.empty:
                    raise ParamValidationError(
                        f"handler \"{self.info.name}\" wants \"{name}\", "
                        "which nothing provides")
                if p.kind is p.POSITIONAL_ONLY:
                    first.append(p.default)
            elif p.kind is p.POSITIONAL_ONLY:
                first.append(given.pop(name))
        if not self._takes_all:
            given = {k: v for k, v in given.items() if k in self._parameters}
        return lambda: self.function(*first, **given)


def is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or \
        inspect.iscoroutinefunction(getattr(function, "__call__", None))


def _make(kind: type, given: Dict[str, Any]) -> Any:
    """A dataclass of the params; what it does not know is left out."""
    known = [f for f in dataclasses.fields(kind) if f.init]
    missing = [f.name for f in known if f.name not in given and
               f.default is dataclasses.MISSING and
               f.default_factory is dataclasses.MISSING]
    if missing:
        raise ParamValidationError(
            "params without " + ", ".join(f"\"{m}\"" for m in missing))
    return kind(**{f.name: given[f.name] for f in known if f.name in given})
