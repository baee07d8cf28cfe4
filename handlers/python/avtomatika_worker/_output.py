# SPDX-License-Identifier: ISC
"""What a script prints and logs.

Lines go down the pipe that the supervisor reads, at once. Log records go as
frames, with their level and the name of their logger. Where a script has
configured logging itself, the handlers that would write to our output send a
frame in place of the line; all others are left alone.
"""
from __future__ import annotations

import contextvars
import ctypes
import logging
import re
import sys
from typing import Any, Optional

from . import _program

# The task that runs here, for records and reports of its handler.
lease: contextvars.ContextVar = contextvars.ContextVar("lease", default=0)

MESSAGE_MAX = 2000  # bytes; the supervisor cuts longer ones
_HEAD = 500
_SENT = "_avtoworker_sent"  # set on a record that has been
_libc = ctypes.CDLL(None)
# A layout of nothing but these says nothing that a frame does not.
_COMMON = frozenset((
    "asctime", "created", "filename", "funcName", "levelname", "levelno",
    "lineno", "message", "module", "msecs", "name", "pathname", "process",
    "processName", "relativeCreated", "thread", "threadName"))
_FIELD = re.compile(r"%\((\w+)\)")


def flush() -> None:
    """All that has been printed, by Python and by libraries in C."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, or something else by now
            pass
    _libc.fflush(None)


def shortened(text: str, limit: int = MESSAGE_MAX) -> str:
    """A long text without its middle: the end of a traceback says what
    happened, and its beginning where."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    tail = limit - _HEAD - 40
    return (data[:_HEAD].decode("utf-8", "ignore") +
            f" [... {len(data) - _HEAD - tail} bytes ...] " +
            data[-tail:].decode("utf-8", "ignore"))


def level_word(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _message(record: logging.LogRecord,
             formatter: Optional[logging.Formatter]) -> str:
    layout = getattr(formatter, "_fmt", None)
    if formatter is not None and (
            type(formatter) is not logging.Formatter or
            not isinstance(layout, str) or
            not _COMMON.issuperset(_FIELD.findall(layout)) or
            "%(" not in layout):
        return formatter.format(record)  # it has something of its own to say
    return logging.Formatter("%(message)s").format(record)


def send_record(record: logging.LogRecord,
                formatter: Optional[logging.Formatter] = None) -> bool:
    """Once for a record, however many handlers it meets. False when there is
    no supervisor to send it to."""
    program = _program.current()
    if program is None:
        return False
    if not getattr(record, _SENT, False):
        setattr(record, _SENT, True)
        message = _message(record, formatter)
        program.log(level_word(record.levelno), record.name,
                    shortened(message).replace("\0", "?"), lease.get())
    return True


class ChannelHandler(logging.Handler):
    """Sends records to the supervisor."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if not send_record(record, self.formatter) and \
                    _plain_last_resort is not None:
                _plain_last_resort.handle(record)
        except Exception:
            self.handleError(record)


_plain_last_resort = logging.lastResort
_plain_emit = logging.StreamHandler.emit


def _emit(self: logging.StreamHandler, record: logging.LogRecord) -> None:
    """logging.StreamHandler.emit, for streams that end in our output."""
    if self.stream in _ours:
        try:
            if send_record(record, self.formatter):
                return
        except Exception:
            self.handleError(record)
            return
    _plain_emit(self, record)


_ours: Any = ()


def start() -> None:
    """In a process that has a supervisor, before the script begins."""
    global _ours
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    _ours = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    logging.StreamHandler.emit = _emit  # type: ignore[method-assign]
    logging.lastResort = ChannelHandler()  # used while there are no handlers
