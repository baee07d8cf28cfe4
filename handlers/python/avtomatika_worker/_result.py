# SPDX-License-Identifier: ISC
"""What a handler returned, or raised, as the payload of a result frame.

Whatever a handler does ends in one payload that the supervisor takes: this
module is where a wrong status, data that is no object, or a result that is too
large becomes a failure with a reason in it.
"""
from __future__ import annotations

import asyncio
import enum
import re
from typing import Any, Dict, NamedTuple, Optional, Tuple

from . import types
from ._channel import FROM_CHILD_MAX, encode
from ._plain import CannotSend, Converter, members_of

CODE_MAX = 128
MESSAGE_MAX = 16 * 1024  # bytes
_STATUS = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,128}")
KNOWN = ("status", "data", "error", "metadata", "data_metadata")


class Outcome(NamedTuple):
    payload: Dict[str, Any]
    remarks: Tuple[str, ...] = ()  # what the log should tell about it


class Breach(Exception):
    """The handler returned what is no result."""


def fitting(text: Any, limit: int = MESSAGE_MAX) -> str:
    """Text that stands in an error: of that many bytes, without NUL."""
    data = str(text).replace("\0", "\ufffd").encode("utf-8", "replace")
    if len(data) > limit:
        data = data[:limit - 4] + b" ..."
    return data.decode("utf-8", "ignore")


def failure(code: str, message: str,
            details: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    error: Dict[str, Any] = {"code": code, "message": fitting(message)}
    if details:
        error["details"] = details
    return {"status": "failure", "error": error}


def from_exception(error: BaseException) -> Dict[str, Any]:
    """The result of a handler that raised. Its text may be empty, its class
    is not. A ValueError is marked, since the dialects differ about it."""
    name = type(error).__name__
    if isinstance(error, types.ParamValidationError):
        return failure(types.INVALID_INPUT_ERROR, text_of(error))
    details: Dict[str, Any] = {"exception": fitting(name, CODE_MAX)}
    if isinstance(error, ValueError):
        details["value_error"] = True
    message = text_of(error)
    if isinstance(error, SystemExit):
        code = "" if error.code is None else message
        message = f"the handler called sys.exit({code})"
    return failure(types.TRANSIENT_ERROR, message, details)


def text_of(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:  # its __str__ may be as broken as it likes
        return type(error).__name__


def cancelled(reason: Optional[str]) -> Dict[str, Any]:
    """The result of a handler that ended by CancelledError."""
    if reason == "cancel":
        return {"status": "cancelled"}
    if reason == "time_limit":
        return failure(types.TIMEOUT_ERROR, "stopped at its time limit")
    if reason is not None:
        return failure(types.TRANSIENT_ERROR, f"interrupted ({reason})")
    return failure(types.TRANSIENT_ERROR,
                   "the handler was cancelled, but not by the supervisor",
                   {"exception": asyncio.CancelledError.__name__})


def from_value(handler: str, value: Any, check_data: Any = None,
               folder: str = "") -> Outcome:
    """The result for what a handler returned. check_data(data) returns what is
    wrong with the data, or None; folder is the task's."""
    try:
        payload, remarks = _read(value, folder)
        wrong = check_data(payload.get("data", {})) if check_data else None
    except Breach as e:
        return Outcome(_violation(handler, str(e)))
    except CannotSend as e:
        return Outcome(_violation(handler, f"data that cannot be sent: {e}"))
    except Exception as e:  # of an object of the handler's
        return Outcome(_violation(
            handler, "data that cannot be read: "
            f"{type(e).__name__}: {text_of(e)}"))
    if wrong is not None:
        return Outcome(_violation(
            handler, f"data that does not match its output schema: {wrong}"))
    return Outcome(payload, remarks)


def to_text(handler: str, payload: Dict[str, Any]) -> bytes:
    """The payload as it is sent."""
    try:
        text = encode(payload)
    except (ValueError, RecursionError) as e:  # a number of 5000 digits
        text = encode(_violation(handler, f"data that cannot be sent: {e}"))
    if len(text) > FROM_CHILD_MAX:
        text = encode(failure(
            types.PERMANENT_ERROR,
            f"the result of handler \"{handler}\" is {len(text)} bytes, "
            f"the limit is {FROM_CHILD_MAX}"))
    return text


def _violation(handler: str, what: str) -> Dict[str, Any]:
    return failure(types.CONTRACT_VIOLATION_ERROR,
                   f"handler \"{handler}\" returned {what}")


def _read(value: Any, folder: str) -> Tuple[Dict[str, Any], Tuple[str, ...]]:
    if value is None:
        return {"status": "success", "data": {}}, ()
    remarks = []
    if not isinstance(value, dict):
        value = {"data": value}
    unsent = [str(name) for name in value if name not in KNOWN]
    if unsent:
        remarks.append("returned what is not sent, since it stands beside "
                       f"\"data\": {', '.join(sorted(unsent))}"[:1000])
    converter = Converter(folder)
    status = _status(value.get("status", "success"))
    payload: Dict[str, Any] = {"status": status}
    data = value.get("data")
    payload["data"] = {} if data is None else _object(converter, "data", data)
    for name in ("metadata", "data_metadata"):
        if value.get(name):
            payload[name] = _object(converter, name, value[name])
    if value.get("error") is not None:
        payload["error"] = _error(converter, value["error"])
        if status == "success":
            remarks.append("returned an error with the status \"success\"")
    elif status in ("failure", "retry"):
        payload["error"] = {"code": types.TRANSIENT_ERROR,
                            "message": "no reason was given"}
    if converter.not_numbers:
        remarks.append(f"returned {converter.not_numbers} values that are NaN "
                       "or infinite; they are sent as null")
    if converter.doubles:
        remarks.append(f"returned {converter.doubles} keys that are the same "
                       "text as another of their object; the last counts")
    if converter.paths:
        remarks.append("returned the path of a file of its task; the path is "
                       "sent and the file removed, for this worker does not "
                       "speak S3")
    return payload, tuple(remarks)


def _status(value: Any) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None:
        return "success"
    if not isinstance(value, str) or not _STATUS.fullmatch(value):
        raise Breach(f"the status {value!r:.100}, which is not a word")
    return str.__str__(value)


def _object(converter: Converter, name: str, value: Any) -> Dict[str, Any]:
    found = converter.object(value)
    if found is not None:
        return found
    raise Breach(f"\"{name}\" of type {type(value).__name__}, "
                 "where only an object can be sent")


def _error(converter: Converter, value: Any) -> Dict[str, Any]:
    members = None if isinstance(value, str) else members_of(value)
    if members is None:
        return {"code": types.TRANSIENT_ERROR, "message": fitting(value)}
    given = dict(members)
    code = given.get("code")
    if isinstance(code, enum.Enum):
        code = code.value
    message = given.get("message")
    error: Dict[str, Any] = {
        "code": fitting(code, CODE_MAX) if code else types.TRANSIENT_ERROR}
    if message is None or message == "":
        message = code or "no reason was given"
    error["message"] = fitting(message)
    details = given.get("details")
    if details is not None:
        details = converter.plain(details)
        error["details"] = details if isinstance(details, dict) else {
            "value": details}
    return error
