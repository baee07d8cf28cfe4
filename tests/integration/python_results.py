# SPDX-License-Identifier: ISC
"""What scripts are asked that run under an SDK and under avtoworkerd, and where
the results are others, with the reason: the table of docs/python.md."""

OLD, NEW = "1.0b1", "1.0b20"
LOST = "it sends nothing: the value is none that json takes"
COMPLETED = "an error without a code or a message is completed"
OWN_WORDS = "the same verdict in other words"
NOT_HERE = "another worker may have it, so the task goes back (S13)"
NO_OBJECT = "orchestrators take only an object"
NO_NAN = "NaN is no JSON; null is"
NO_SOCKET = "it asks for a WebSocket where no orchestrator has one"
NO_PLAIN = "it takes async functions alone"
NO_BREACH = "data that does not match is not sent"
BOTH = "those of both generations"
INJECTED = "what a middleware injects counts"
NO_UPLOAD = "the SDK uploads the file as well, and fails without S3"
NO_COSTS = "`costs` are not sent: no orchestrator reads them"
REVIVED = "a success would revive the cancelled job (S12)"
AGAIN = "run again here, as handlers.md says; orchestrators do not know it"

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
    ("progress", "tells", {}, {OLD: NO_SOCKET}),
    ("a plain function", "plain", {}, {OLD: NO_PLAIN}),
    ("an unknown type", "unknown", {}, {OLD: NOT_HERE, NEW: NOT_HERE}),
)

# python_more.py under the SDK for RXON.
MORE = (
    ("dataclass", "count", {"text": "a b", "times": 2}, {}),
    ("a declared status", "count", {"text": ""}, {}),
    ("schema of a dataclass", "count", {"times": 2}, {NEW: OWN_WORDS}),
    ("schema: another type", "count", {"text": 5}, {NEW: OWN_WORDS}),
    ("schema: unknown member", "count", {"text": "a", "x": 1}, {NEW: OWN_WORDS}),
    ("schema", "number", {"n": 3}, {}),
    ("schema: too small", "number", {"n": 0}, {NEW: OWN_WORDS}),
    ("schema: a text", "number", {"n": "3"}, {NEW: OWN_WORDS}),
    ("schema of the output", "number", {"n": 1}, {NEW: NO_BREACH}),
    ("pydantic", "person", {"name": "Ann"}, {}),
    ("pydantic: missing", "person", {"age": 1}, {NEW: OWN_WORDS}),
    ("pydantic: refused", "person", {"name": "Ann", "age": "x"}, {NEW: OWN_WORDS}),
    ("pydantic model as data", "model", {"name": "Ann"}, {NEW: LOST}),
    ("SkillInfo", "info", {}, {}),
    ("class of SkillInfo", "known", {}, {}),
    ("name of the function", "named_by_itself", {}, {}),
    ("plain function", "plain", {}, {}),
    ("no params", "no_params", {}, {}),
    ("keywords", "context", {}, {NEW: BOTH}),
    ("parameters by type", "typed_context", {}, {}),
    ("injected by a middleware", "wants_or_not", {}, {}),
    ("injected without a default", "wants", {}, {NEW: INJECTED}),
    ("a parameter nobody has", "lacks", {}, {NEW: OWN_WORDS}),
    ("TaskFiles", "files", {}, {}),
    ("TaskFiles.write_json", "write_json", {}, {NEW: NO_UPLOAD}),
    ("upload without S3", "upload", {}, {NEW: OWN_WORDS}),
    ("events", "events", {}, {}),
    ("events without a schema", "free_events", {}, {}),
    ("emit_event", "emits", {}, {}),
    ("call_skill", "calls", {}, {NEW: OWN_WORDS}),
    ("hot skills", "translate", {}, {}),
    ("metadata and costs", "more_than_data", {}, {NEW: NO_COSTS}),
    ("details of an error", "details", {}, {}),
    ("a model of the SDK", "unit", {}, {}),
    ("blueprint", "from_blueprint", {"text": "a"}, {}),
    ("folder of skills", "in_folder", {"name": "Ann"}, {}),
    ("setup() in the folder", "of_setup", {}, {}),
    ("order of middlewares", "wrapped", {"wrap": True}, {}),
    ("a middleware that answers", "never_called", {}, {}),
    ("a middleware that catches", "rescued", {}, {}),
    ("ParamValidationError", "refuses", {}, {}),
    ("unknown skill", "unknown", {}, {NEW: NOT_HERE}),
    ("cancelled", "waits", {}, {}),
    ("cancelled but answers", "waits", {"answer": 42}, {NEW: REVIVED}),
)

# python_guide.py under the same.
GUIDE = (
    ("guide: data", "upper", {"input": "small"}, {}),
    ("guide: metadata", "about", {}, {}),
    ("guide: plain function", "picture", {"width": 3, "height": 2}, {}),
    ("guide: checked params", "clean", {"text": "5"}, {}),
    ("guide: refused params", "clean", {"text": "five"}, {}),
    ("guide: retry", "retry", {"count": "../count"}, {NEW: AGAIN}),
    ("guide: no failure", "raises", {"required_field": 1}, {}),
    ("guide: uncaught error", "raises", {}, {}),
    ("guide: timeout", "slow", {}, {}),
)
