# SPDX-License-Identifier: ISC
"""setup_logging() of the SDK: records go to the supervisor's log."""
from __future__ import annotations

import logging
import os
from typing import Any, Dict, Optional

from . import _output, _program

_context: Dict[str, Any] = {}


class ContextFilter(logging.Filter):
    """Gives every record what set_context() was given."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _context.items():
            setattr(record, name, value)
        return True


def set_context(**values: Any) -> None:
    _context.update(values)


def clear_context(*names: str) -> None:
    for name in names or tuple(_context):
        _context.pop(name, None)


def set_level() -> None:
    """The root logger's level: LOG_LEVEL, else INFO."""
    level = os.environ.get("LOG_LEVEL", "INFO").upper()
    if not isinstance(logging.getLevelName(level), int):
        level = "INFO"
    logging.getLogger().setLevel(level)


def setup_logging(worker_id: Optional[str] = None) -> None:
    """Sends what the root logger gets to the supervisor, or to stdout where
    there is none; handlers that wrote to the output are replaced."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) in (logging.StreamHandler, _output.ChannelHandler):
            root.removeHandler(handler)
    handler = _output.ChannelHandler() if _program.current() else \
        logging.StreamHandler()
    handler.addFilter(ContextFilter())
    root.addHandler(handler)
    set_level()
    if worker_id:
        set_context(worker_id=worker_id)
