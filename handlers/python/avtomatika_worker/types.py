# SPDX-License-Identifier: ISC
"""Error codes that orchestrators act on, and what else handlers name."""
from __future__ import annotations

from typing import Any, Awaitable, Callable, Dict

TRANSIENT_ERROR = "TRANSIENT_ERROR"
PERMANENT_ERROR = "PERMANENT_ERROR"
INVALID_INPUT_ERROR = "INVALID_INPUT_ERROR"
INTEGRITY_MISMATCH_ERROR = "INTEGRITY_MISMATCH_ERROR"
RESOURCE_EXHAUSTED_ERROR = "RESOURCE_EXHAUSTED_ERROR"
SECURITY_ERROR = "SECURITY_ERROR"
DEPENDENCY_ERROR = "DEPENDENCY_ERROR"
DEPENDENCY_MISSING_ERROR = "DEPENDENCY_MISSING_ERROR"
TIMEOUT_ERROR = "TIMEOUT_ERROR"
INTERNAL_ERROR = "INTERNAL_ERROR"
CONTRACT_VIOLATION_ERROR = "CONTRACT_VIOLATION_ERROR"

Middleware = Callable[[Dict[str, Any], Callable[[], Awaitable[Any]]],
                      Awaitable[Any]]
CapacityChecker = Callable[[str], bool]


class ParamValidationError(Exception):
    """The params of a task are not what its handler takes; the task fails
    with INVALID_INPUT_ERROR and this text."""


__all__ = [
    "TRANSIENT_ERROR",
    "PERMANENT_ERROR",
    "INVALID_INPUT_ERROR",
    "INTEGRITY_MISMATCH_ERROR",
    "RESOURCE_EXHAUSTED_ERROR",
    "SECURITY_ERROR",
    "DEPENDENCY_ERROR",
    "DEPENDENCY_MISSING_ERROR",
    "TIMEOUT_ERROR",
    "INTERNAL_ERROR",
    "CONTRACT_VIOLATION_ERROR",
    "Middleware",
    "CapacityChecker",
    "ParamValidationError",
]
