# SPDX-License-Identifier: ISC
"""Skills: what is told of a handler, and collections of them."""
from __future__ import annotations

import dataclasses
import inspect
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple, Type, Union

from . import _schema


@dataclasses.dataclass(frozen=True)
class SkillInfo:
    """What an orchestrator may know of a skill. A subclass becomes a dataclass
    of its own, so that it only has to name its fields."""
    name: str = ""
    type: Optional[str] = None
    description: Optional[str] = None
    version: Optional[str] = None
    input_schema: Optional[Dict[str, Any]] = None
    output_schema: Optional[Dict[str, Any]] = None
    events_schema: Optional[Dict[str, Dict[str, Any]]] = None
    output_statuses: Optional[List[str]] = None
    schema_dialect: str = "json-schema"
    properties: Optional[Dict[str, Any]] = None
    cost: Optional[float] = None

    def __init_subclass__(cls, **_options: Any) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True)(cls)

    def matches(self, req: "SkillInfo") -> bool:
        """Whether this skill is the one that is asked for."""
        return self.name == req.name and \
            req.type in (None, self.type) and \
            req.version in (None, self.version)


# Told to orchestrators by the supervisor; what else a class has, is not.
TOLD = frozenset((
    "name", "type", "description", "version", "input_schema", "output_schema",
    "events_schema", "output_statuses", "schema_dialect", "cost"))

Given = Union[None, str, SkillInfo, Type[SkillInfo]]


class Described:
    """What a decorator was given: a SkillInfo in the making, and the names of
    what is in it beyond what is told."""

    def __init__(self, given: Given, base: Type[SkillInfo],
                 members: Dict[str, Any]) -> None:
        members = dict(members)
        if isinstance(given, type) and issubclass(given, SkillInfo):
            base = given
        elif isinstance(given, SkillInfo):
            base = type(given)
            members.update({f.name: getattr(given, f.name)
                            for f in dataclasses.fields(given)})
        elif isinstance(given, str):
            members["name"] = given
            members.setdefault("type", given)
        elif given is not None:
            raise TypeError("skill() takes a name, a SkillInfo or a class of "
                            f"it, not {given!r:.80}; write @worker.skill()")
        known = {f.name for f in dataclasses.fields(base)}
        self.untold = sorted(
            name for name, value in members.items()
            if name not in TOLD and value is not None)
        for name in ("input_schema", "output_schema"):
            if name in members:
                members[name] = _schema.of_type(members[name])
        events = members.get("events_schema")
        if isinstance(events, dict):
            members["events_schema"] = {
                name: _schema.of_type(kind) for name, kind in events.items()}
        self.info = base(**{k: v for k, v in members.items() if k in known})

    def complete(self, function: Callable) -> SkillInfo:
        """With what the function itself says."""
        info, found = self.info, {}
        module = sys.modules.get(getattr(function, "__module__", None) or "")
        if not info.name:
            found["name"] = function.__name__
        if info.description is None and function.__doc__:
            found["description"] = inspect.cleandoc(function.__doc__)
        if info.version is None and hasattr(module, "__version__"):
            found["version"] = str(module.__version__)
        if info.input_schema is None:
            found["input_schema"] = _schema.of_parameter(function, "params")
        if info.output_schema is None:
            found["output_schema"] = _schema.of_return(function)
        return dataclasses.replace(info, **found)


class SkillBlueprint:
    """Skills that are written down before there is a Worker."""

    def __init__(self, skill_info_class: Type[SkillInfo] = SkillInfo) -> None:
        self._class = skill_info_class
        self.skills: List[Tuple[SkillInfo, Callable, List[str]]] = []

    def skill(self, info: Given = None, **members: Any) -> Callable:
        described = Described(info, self._class, members)

        def decorate(function: Callable) -> Callable:
            self.skills.append((described.complete(function), function,
                                described.untold))
            return function
        return decorate


def worker_extract_json_schema(schema_type: Any) -> Optional[Dict[str, Any]]:
    """The schema that is told of a type."""
    return _schema.of_type(schema_type)


def worker_extract_schema_from_func(
        func: Callable, arg_name: str) -> Optional[Dict[str, Any]]:
    """The same of a handler's parameter."""
    return _schema.of_parameter(func, arg_name)


def worker_extract_output_schema_from_func(
        func: Callable) -> Optional[Dict[str, Any]]:
    """The same of what a handler returns."""
    return _schema.of_return(func)
