# SPDX-License-Identifier: ISC
"""What python_api.py is asked, and where the results are others than under an
SDK, with the reason. docs/python.md has the same for users."""

OLD, NEW = "1.0b1", "1.0b20"
LOST = "it sends nothing: the value is none that json takes"
COMPLETED = "an error without a code or a message is completed"
OWN_WORDS = "the same verdict in other words"
NOT_HERE = "another worker may have it, so the task goes back (S13)"
NO_OBJECT = "orchestrators take only an object"
NO_NAN = "NaN is no JSON; null is"

ROWS = (  # name, task type, params, {SDK: why it differs}
    ("success", "returns", {"what": "success"}, {}),
    ("none", "returns", {"what": "none"}, {OLD: LOST}),
    ("empty", "returns", {"what": "empty"}, {}),
    ("only a status", "returns", {"what": "only_status"}, {}),
    ("beside the data", "returns", {"what": "beside_data"}, {}),
    ("a word", "returns", {"what": "word"}, {}),
    ("failure", "returns", {"what": "failure"}, {}),
    ("a code of its own", "returns", {"what": "own_code"}, {}),
    ("an error as text", "returns", {"what": "error_text"}, {OLD: LOST}),
    ("an empty error", "returns", {"what": "error_bare"},
     {OLD: COMPLETED, NEW: COMPLETED}),
    ("a number", "returns", {"what": "scalar"},
     {OLD: NO_OBJECT, NEW: NO_OBJECT}),
    ("a list", "returns", {"what": "list"}, {OLD: LOST, NEW: NO_OBJECT}),
    ("a time", "returns", {"what": "datetime"}, {OLD: LOST}),
    ("a date", "returns", {"what": "date"}, {OLD: LOST}),
    ("a UUID", "returns", {"what": "uuid"}, {OLD: LOST}),
    ("a Decimal", "returns", {"what": "decimal"}, {OLD: LOST}),
    ("an Enum", "returns", {"what": "enum"}, {OLD: LOST}),
    ("a dataclass", "returns", {"what": "dataclass"}, {OLD: LOST}),
    ("a tuple", "returns", {"what": "tuple"}, {}),
    ("a set", "returns", {"what": "set"}, {OLD: LOST}),
    ("bytes", "returns", {"what": "bytes"}, {OLD: LOST}),
    ("keys", "returns", {"what": "keys"}, {}),
    ("NaN", "returns", {"what": "nan"}, {OLD: NO_NAN}),
    ("a named tuple", "returns", {"what": "row"}, {}),
    ("ValueError", "raises", {"what": "value"}, {}),
    ("RuntimeError", "raises", {"what": "runtime"}, {}),
    ("KeyError", "raises", {"what": "key"}, {}),
    ("ParamValidationError", "raises", {"what": "params"}, {}),
    ("TimeoutError", "raises", {"what": "timeout"}, {}),
    ("params", "sizes", {"width": 3}, {}),
    ("params missing", "sizes", {}, {OLD: OWN_WORDS, NEW: OWN_WORDS}),
    ("params refused", "sizes", {"width": -1}, {}),
    ("params unknown", "sizes", {"width": 1, "x": 1}, {NEW: OWN_WORDS}),
    ("params of another type", "sizes", {"width": "3"}, {NEW: OWN_WORDS}),
    ("context", "context", {}, {}),
    ("a plain function", "plain", {}, {OLD: "it takes none"}),
    ("an unknown type", "unknown", {}, {OLD: NOT_HERE, NEW: NOT_HERE}),
)
