# SPDX-License-Identifier: ISC
"""The names of avtomatika_worker.types, where the SDK's README has them."""
from .types import (CONTRACT_VIOLATION_ERROR, DEPENDENCY_ERROR,
                    DEPENDENCY_MISSING_ERROR, INTEGRITY_MISMATCH_ERROR,
                    INTERNAL_ERROR, INVALID_INPUT_ERROR, PERMANENT_ERROR,
                    RESOURCE_EXHAUSTED_ERROR, SECURITY_ERROR, TIMEOUT_ERROR,
                    TRANSIENT_ERROR, CapacityChecker, Middleware,
                    ParamValidationError)

__all__ = [
    "CONTRACT_VIOLATION_ERROR", "DEPENDENCY_ERROR",
    "DEPENDENCY_MISSING_ERROR", "INTEGRITY_MISMATCH_ERROR", "INTERNAL_ERROR",
    "INVALID_INPUT_ERROR", "PERMANENT_ERROR", "RESOURCE_EXHAUSTED_ERROR",
    "SECURITY_ERROR", "TIMEOUT_ERROR", "TRANSIENT_ERROR", "CapacityChecker",
    "Middleware", "ParamValidationError",
]
