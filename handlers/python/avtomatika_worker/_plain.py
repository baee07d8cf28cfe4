# SPDX-License-Identifier: ISC
"""Any value of Python as a value of JSON.

Dates, identifiers, models and rows have a form that readers expect, and
whatever has none is taken by its str(). What the supervisor would take for a
broken child is found here: depth, number of values, numbers that JSON lacks.
"""
from __future__ import annotations

import base64
import collections.abc
import dataclasses
import datetime
import enum
import math
import uuid
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Optional

from ._channel import DEPTH_MAX, TOKENS_MAX


class CannotSend(Exception):
    """A value that no frame can carry; the text says why."""


class Converter:
    """One conversion. Afterwards not_numbers says how many values have been
    replaced by null because they were NaN or infinite, doubles how many keys
    were the same text as another of their object, and paths how many texts
    were paths below the folder."""

    def __init__(self, folder: str = "",
                 values_max: int = TOKENS_MAX - 64) -> None:
        # By default some of a frame's belong to the frame itself.
        self._tokens_max = values_max
        self.not_numbers = self.doubles = self.paths = 0
        self._below = (folder + "/",) if folder else ()
        self._tokens = 0

    def plain(self, value: Any, depth: int = 1) -> Any:
        self._count()
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if kind is str:
            self.paths += value.startswith(self._below)
            return value
        if kind is int:
            return value
        if kind is float:
            return self._number(value)
        if kind is dict:
            return self._object(value.items(), depth)
        if kind is list or kind is tuple:
            return self._array(value, depth)
        return self._other(value, depth)

    def object(self, value: Any) -> Optional[dict]:
        """The same of what is an object at its top; None when it is none."""
        members = None if isinstance(value, enum.Enum) else members_of(value)
        return None if members is None else self._object(members, 1)

    def _count(self) -> None:
        self._tokens += 1
        if self._tokens > self._tokens_max:
            raise CannotSend(f"it has more than {TOKENS_MAX} values and keys")

    def _number(self, value: float) -> Optional[float]:
        if math.isfinite(value):
            return value
        self.not_numbers += 1
        return None

    def _nested(self, depth: int) -> int:
        if depth >= DEPTH_MAX - 3:  # the frame has levels of its own
            raise CannotSend("it is nested too deeply, or holds itself")
        return depth + 1

    def _object(self, items: Any, depth: int) -> dict:
        depth = self._nested(depth)
        out = {}
        for key, value in items:
            self._count()
            if type(key) is not str:
                key = key_text(key)
            if not key.isascii():  # two that are sent the same are doubles
                key = key.encode("utf-8", "replace").decode("utf-8")
            self.doubles += key in out
            out[key] = self.plain(value, depth)
        return out

    def _array(self, values: Any, depth: int) -> list:
        depth = self._nested(depth)
        return [self.plain(value, depth) for value in values]

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, enum.Enum):
            return self.plain(value.value, self._nested(depth))
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, bool):
            return bool(value)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return self._number(float(value))
        text = scalar_text(value)
        if text is not None:
            self.paths += text.startswith(self._below)
            return text
        if is_left_out(value):
            return {}
        if isinstance(value, (set, frozenset)):
            return self._array(in_order(value), depth)
        # Named tuples are lists, as the SDK has them, unless they are rows.
        if isinstance(value, (list, tuple, collections.deque,
                              collections.abc.KeysView,
                              collections.abc.ValuesView, range)) and \
                not hasattr(value, "_mapping"):
            return self._array(value, depth)
        members = members_of(value)
        if members is not None:
            return self._object(members, depth)
        number = number_of(value)
        if number is not None:
            return self.plain(number, self._nested(depth))
        return str(value)


def scalar_text(value: Any) -> Optional[str]:
    """The text of a value that has a usual one."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, Decimal, PurePath)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    return None


def members_of(value: Any) -> Any:
    """(name, value) of what is an object in JSON: mappings, models, rows."""
    if isinstance(value, type):
        return None
    if isinstance(value, collections.abc.Mapping):
        return value.items()
    if is_left_out(value):
        return ()
    if dataclasses.is_dataclass(value):
        return [(f.name, getattr(value, f.name))
                for f in dataclasses.fields(value)]
    for name in ("model_dump", "_asdict"):  # pydantic; rows, named tuples
        call = getattr(value, name, None)
        if callable(call):
            return call().items()
    if hasattr(value, "__struct_fields__"):  # msgspec
        return [(name, getattr(value, name))
                for name in value.__struct_fields__]
    if hasattr(value, "__fields__") and callable(getattr(value, "dict", None)):
        return value.dict().items()  # pydantic 1
    keys = getattr(value, "keys", None)
    if callable(keys) and hasattr(value, "__getitem__"):
        return [(key, value[key]) for key in keys()]  # database rows
    return None


def is_left_out(value: Any) -> bool:
    """{...}, which is a set to Python, and in the guide's examples an object
    whose members are left to the reader."""
    return isinstance(value, (set, frozenset)) and value == {...}


def number_of(value: Any) -> Any:
    """The Python number of a number of another library (numpy)."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return item()
    tolist = getattr(value, "tolist", None)
    if callable(tolist) and hasattr(value, "ndim"):
        return tolist()
    return None


def in_order(values: Any) -> list:
    """A set as a list that is the same each time, where it can be."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def key_text(key: Any) -> str:
    """The name in JSON of a key that is no text."""
    if isinstance(key, enum.Enum):
        return key_text(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    return scalar_text(key) or str(key)
