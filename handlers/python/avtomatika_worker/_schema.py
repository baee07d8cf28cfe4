# SPDX-License-Identifier: ISC
"""JSON Schema: made from type hints, and data held against it.

The part of JSON Schema that type hints, pydantic and people write; keywords
that are not known here do not restrict. No schema is made for a type that
says nothing about JSON.
"""
from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import inspect
import json
import re
import typing
import uuid
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

Schema = Dict[str, Any]
try:
    from types import UnionType  # type: ignore[attr-defined]
except ImportError:  # before Python 3.10
    UnionType = None  # type: ignore[assignment,misc]

_SIMPLE: Dict[Any, str] = {
    str: "string", int: "integer", float: "number", bool: "boolean",
    type(None): "null", uuid.UUID: "string", datetime.datetime: "string",
    datetime.date: "string", datetime.time: "string", Decimal: "string",
    dict: "object", list: "array", tuple: "array", set: "array",
    frozenset: "array",
}


# Made from types -------------------------------------------------------------

def of_type(kind: Any) -> Optional[Schema]:
    """The schema of a type, or of what stands for one in a decorator: a
    schema is its own. None when there is nothing to say."""
    if kind is None or isinstance(kind, dict):
        return kind
    try:
        return _of(kind, ()) or None
    except Exception:  # a model that cannot describe itself
        return None


def of_parameter(function: Callable, name: str) -> Optional[Schema]:
    return of_type(hints_of(function).get(name))


def of_return(function: Callable) -> Optional[Schema]:
    """A handler that returns a dict returns a result, which has no schema."""
    kind = hints_of(function).get("return")
    if kind in (None, type(None), dict) or typing.get_origin(kind) in (
            dict, collections.abc.Mapping, collections.abc.MutableMapping):
        return None
    schema = of_type(kind)
    return schema if schema and schema.get("type") == "object" else None


def hints_of(function: Any) -> Dict[str, Any]:
    """Type hints, those written as text included; what cannot be resolved is
    left out."""
    function = getattr(function, "func", function)  # functools.partial
    if not (inspect.isroutine(function) or isinstance(function, type) or
            hasattr(function, "__wrapped__")):
        function = getattr(function, "__call__", function)
    try:
        return typing.get_type_hints(function)
    except Exception:
        hints = getattr(function, "__annotations__", {})
        return {k: v for k, v in hints.items() if not isinstance(v, str)}


def _of(kind: Any, inside: Tuple[Any, ...]) -> Schema:
    if kind is Any or kind in inside:
        return {}
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union or (UnionType and isinstance(kind, UnionType)):
        return {"anyOf": [_of(one, inside) for one in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin in (list, set, frozenset, tuple, collections.abc.Sequence):
        item = _of(args[0], inside) if args else {}
        if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
            item = {}
        return {"type": "array", "items": item} if item else {"type": "array"}
    if origin in (dict, collections.abc.Mapping,
                  collections.abc.MutableMapping):
        return {"type": "object"}
    if hasattr(kind, "__metadata__") and args:  # Annotated
        return _of(args[0], inside)
    if isinstance(kind, type):
        return _of_class(kind, inside + (kind,))
    return {}


def _of_class(kind: type, inside: Tuple[Any, ...]) -> Schema:
    for name in ("model_json_schema", "schema"):  # pydantic, pydantic 1
        call = getattr(kind, name, None)
        if callable(call) and (name != "schema" or
                               hasattr(kind, "__fields__")):
            return call()
    if issubclass(kind, enum.Enum):
        return {"enum": [one.value for one in kind]}
    if issubclass(kind, PurePath):
        return {"type": "string"}
    if dataclasses.is_dataclass(kind):
        hints = hints_of(kind)
        needed = [f.name for f in dataclasses.fields(kind)
                  if f.init and f.default is dataclasses.MISSING and
                  f.default_factory is dataclasses.MISSING and
                  not _takes_none(hints.get(f.name, Any))]
        return _object({f.name: hints.get(f.name, Any)
                        for f in dataclasses.fields(kind)
                        if not f.name.startswith("_")}, needed, inside)
    if hasattr(kind, "__struct_fields__"):  # msgspec
        hints = hints_of(kind)
        names = kind.__struct_fields__
        optional = len(getattr(kind, "__struct_defaults__", ()))
        needed = [n for n in names[:len(names) - optional]
                  if not _takes_none(hints.get(n, Any))]
        return _object({n: hints.get(n, Any) for n in names
                        if not n.startswith("_")}, needed, inside)
    if hasattr(kind, "__total__"):  # TypedDict
        return _object(hints_of(kind),
                       sorted(getattr(kind, "__required_keys__", ())), inside,
                       True)
    return {}


def _object(members: Dict[str, Any], needed: List[str],
            inside: Tuple[Any, ...], more: bool = False) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {k: _of(v, inside) for k, v in members.items()},
        "required": [name for name in needed if name in members],
    }
    if not more:
        schema["additionalProperties"] = False
    return schema


def _takes_none(kind: Any) -> bool:
    return kind is Any or type(None) in typing.get_args(kind)


# Data held against it --------------------------------------------------------

def problem(data: Any, schema: Optional[Schema]) -> Optional[str]:
    """What is wrong with the data, in one sentence; None when nothing is."""
    if not schema:
        return None
    try:
        return _Check(schema).value(data, schema, "")
    except RecursionError:
        return "it is nested too deeply"


_TYPES: Dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, (int, float)) and
    not isinstance(v, bool),
    "integer": lambda v: not isinstance(v, bool) and
    (isinstance(v, int) or isinstance(v, float) and v.is_integer()),
}


class _Check:
    def __init__(self, root: Schema) -> None:
        self.root = root

    def value(self, v: Any, schema: Any, at: str) -> Optional[str]:
        if schema is True or schema is None:
            return None
        if schema is False:
            return f"{at or 'the value'} may not be there"
        if "$ref" in schema:
            return self.value(v, self._find(schema["$ref"]), at)
        wrong = self._type(v, schema, at) or self._choice(v, schema, at) or \
            self._several(v, schema, at)
        if wrong:
            return wrong
        if isinstance(v, dict):
            return self._members(v, schema, at)
        if isinstance(v, list):
            return self._elements(v, schema, at)
        if isinstance(v, str):
            return self._text(v, schema, at)
        if isinstance(v, (int, float)) and not isinstance(v, bool):
            return self._number(v, schema, at)
        return None

    def _find(self, reference: str) -> Any:
        found: Any = self.root
        if not reference.startswith("#"):
            return None
        for step in reference[1:].strip("/").split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            if step and isinstance(found, dict):
                found = found.get(step)
        return found

    def _type(self, v: Any, schema: Schema, at: str) -> Optional[str]:
        wanted = schema.get("type")
        if wanted is None:
            return None
        names = wanted if isinstance(wanted, list) else [wanted]
        if any(_TYPES.get(name, lambda _v: True)(v) for name in names):
            return None
        return f"{at or 'the value'} is not of type {' or '.join(names)}"

    def _choice(self, v: Any, schema: Schema, at: str) -> Optional[str]:
        if "enum" in schema and not any(_equal(v, one)
                                        for one in schema["enum"]):
            return f"{at or 'the value'} is none of {schema['enum']!r:.200}"
        if "const" in schema and not _equal(v, schema["const"]):
            return f"{at or 'the value'} is not {schema['const']!r:.200}"
        return None

    def _several(self, v: Any, schema: Schema, at: str) -> Optional[str]:
        for one in schema.get("allOf", ()):
            wrong = self.value(v, one, at)
            if wrong:
                return wrong
        if schema.get("anyOf"):
            wrongs = [self.value(v, one, at) for one in schema["anyOf"]]
            if all(wrongs):
                return wrongs[0] if len(wrongs) == 1 else \
                    f"{at or 'the value'} matches none of what is allowed"
        if schema.get("oneOf"):
            matching = [one for one in schema["oneOf"]
                        if self.value(v, one, at) is None]
            if len(matching) != 1:
                return f"{at or 'the value'} matches {len(matching)} of " \
                    "what is allowed, not one"
        if "not" in schema and self.value(v, schema["not"], at) is None:
            return f"{at or 'the value'} is what is not allowed"
        return None

    def _members(self, v: dict, schema: Schema, at: str) -> Optional[str]:
        for name in schema.get("required", ()):
            if name not in v:
                return f"\"{_join(at, name)}\" is missing"
        known = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        others = schema.get("additionalProperties", True)
        for name, member in v.items():
            where = _join(at, name)
            schemas = [s for p, s in patterns.items() if re.search(p, name)]
            if name in known:
                schemas.append(known[name])
            elif not schemas:
                if others is False:
                    return f"\"{where}\" is not known"
                schemas.append(others)
            for one in schemas:
                wrong = self.value(member, one, where)
                if wrong:
                    return wrong
        return _count(len(v), schema, "Properties", at)

    def _elements(self, v: list, schema: Schema, at: str) -> Optional[str]:
        first = schema.get("prefixItems", ())
        items = schema.get("items", True)
        if isinstance(items, list):  # before draft 2020
            first, items = items, schema.get("additionalItems", True)
        for i, element in enumerate(v):
            wrong = self.value(element, first[i] if i < len(first) else items,
                               f"{at}[{i}]")
            if wrong:
                return wrong
        if schema.get("uniqueItems") and len(v) != len(
                {json.dumps(element, sort_keys=True) for element in v}):
            return f"{at or 'the value'} has an element twice"
        return _count(len(v), schema, "Items", at)

    def _text(self, v: str, schema: Schema, at: str) -> Optional[str]:
        if "pattern" in schema and not re.search(schema["pattern"], v):
            return f"{at or 'the value'} does not match " \
                f"{schema['pattern']!r}"
        return _count(len(v), schema, "Length", at)

    def _number(self, v: float, schema: Schema, at: str) -> Optional[str]:
        at = at or "the value"
        for name, ok, text in (
                ("minimum", lambda a, b: a >= b, "less than"),
                ("maximum", lambda a, b: a <= b, "more than"),
                ("exclusiveMinimum", lambda a, b: a > b, "not more than"),
                ("exclusiveMaximum", lambda a, b: a < b, "not less than")):
            limit = schema.get(name)
            if isinstance(limit, (int, float)) and \
                    not isinstance(limit, bool) and not ok(v, limit):
                return f"{at} is {text} {limit}"
        step = schema.get("multipleOf")
        if step and abs(v / step - round(v / step)) > 1e-9:
            return f"{at} is not a multiple of {step}"
        return None


def _count(n: int, schema: Schema, what: str, at: str) -> Optional[str]:
    if n < schema.get("min" + what, 0):
        return f"{at or 'the value'} is shorter than {schema['min' + what]}"
    if n > schema.get("max" + what, n):
        return f"{at or 'the value'} is longer than {schema['max' + what]}"
    return None


def _equal(a: Any, b: Any) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
