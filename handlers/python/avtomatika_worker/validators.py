# SPDX-License-Identifier: ISC
"""What may be the name of a worker, a task or a skill."""
from __future__ import annotations

import re

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}")


def is_valid_identifier(value: str) -> bool:
    return isinstance(value, str) and bool(_IDENTIFIER.fullmatch(value))


def validate_identifier(value: str, name: str = "identifier") -> None:
    """ValueError when it is none."""
    if not is_valid_identifier(value):
        raise ValueError(f"{name} {value!r:.200} is not 1 to 128 letters, "
                         "digits, \"_\" or \"-\"")
