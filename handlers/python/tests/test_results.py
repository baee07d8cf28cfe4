#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What becomes of what handlers return and raise."""
import sys

sys.dont_write_bytecode = True

from peer import RESULT, case, check, main, same  # noqa: E402

# The handler returns, or raises, whatever the expression in its params says.
SCRIPT = """
    import asyncio, collections, dataclasses, datetime, decimal, enum, pathlib
    import json, sqlite3, uuid
    from avtomatika_worker import Worker
    from avtomatika_worker.types import ParamValidationError

    class Colour(enum.Enum):
        RED = "red"

    class Grade(enum.IntEnum):
        TOP = 1

    @dataclasses.dataclass
    class Point:
        x: int
        y: list

    class Model:  # as pydantic 2 has it
        def model_dump(self):
            return {"when": datetime.date(2026, 1, 2)}

    class Odd:
        def __str__(self):
            return "odd"

    class Broken:
        def __str__(self):
            raise KeyError("no text")

    Pair = collections.namedtuple("Pair", "a b")

    def row():
        db = sqlite3.connect(":memory:")
        db.row_factory = sqlite3.Row
        return db.execute("select 1 as id, 'x' as name").fetchone()

    def loop():
        value = {}
        value["self"] = value
        return value

    def deep(levels):
        value = 1
        for _ in range(levels):
            value = [value]
        return value

    def throw(error):
        raise error

    worker = Worker()

    @worker.task("it")
    async def it(params):
        return eval(params["code"], globals())

    worker.run()
"""

VALUES = (  # an expression, and what stands in data["v"]
    ("None", None), ("True", True), ("-7", -7), ("1.5", 1.5), ("'ж'", "ж"),
    ("10 ** 30", 10 ** 30),
    ("'\\ud800'", "?"), ("'a\\0b'", "a\0b"),
    ("datetime.datetime(2026, 1, 2, 3, 4, 5)", "2026-01-02T03:04:05"),
    ("datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)",
     "2026-01-02T00:00:00+00:00"),
    ("datetime.date(2026, 1, 2)", "2026-01-02"),
    ("datetime.time(3, 4)", "03:04:00"),
    ("datetime.timedelta(seconds=90)", "0:01:30"),
    ("uuid.UUID(int=1)", "00000000-0000-0000-0000-000000000001"),
    ("decimal.Decimal('1.10')", "1.10"),
    ("Colour.RED", "red"), ("Grade.TOP", 1),
    ("Point(1, [Colour.RED])", {"x": 1, "y": ["red"]}),
    ("Model()", {"when": "2026-01-02"}),
    ("(1, (2, 3))", [1, [2, 3]]), ("{3, 1, 2}", [1, 2, 3]),
    ("{...}", {}),
    ("frozenset('a')", ["a"]), ("collections.deque([1])", [1]),
    ("range(3)", [0, 1, 2]), ("{'k': 1}.keys()", ["k"]),
    ("b'text'", "dGV4dA=="), ("b'\\xff\\x00'", "/wA="),
    ("bytearray(b'x')", "eA=="),
    ("pathlib.Path('/a/b')", "/a/b"),
    ("row()", {"id": 1, "name": "x"}),
    ("Pair(1, 2)", [1, 2]),
    ("collections.OrderedDict(a=1)", {"a": 1}),
    ("collections.Counter('aa')", {"a": 2}),
    ("{1: 'a', None: 'b', True: 'c'}", {"1": "c", "null": "b"}),
    ("{(1, 2): 'a', 1.5: 'b', Colour.RED: 'c', uuid.UUID(int=0): 'd'}",
     {"(1, 2)": "a", "1.5": "b", "red": "c",
      "00000000-0000-0000-0000-000000000000": "d"}),
    ("{'\\udcff': 1, '\\udcfe': 2, 'ж': 3}", {"?": 2, "ж": 3}),
    ("Odd()", "odd"), ("Odd", "<class '__main__.Odd'>"),
    ("1 + 2j", "(1+2j)"),
    ("float('nan')", None), ("[float('inf'), 1]", [None, 1]),
    ("deep(120)[0][0] and 'deep'", "deep"),
)

OK = {"status": "success", "data": {}}
RESULTS = (  # an expression, and the result frame
    ("None", OK), ("{}", OK), ("{'status': 'success'}", OK),
    ("{'data': None}", OK), ("{'status': None}", OK), ("{'data': {...}}", OK),
    ("{'message': 'hello'}", OK),
    ("{'data': {'a': 1}}", {"status": "success", "data": {"a": 1}}),
    ("Pair(1, 2)", {"status": "success", "data": {"a": 1, "b": 2}}),
    ("Point(1, [])", {"status": "success", "data": {"x": 1, "y": []}}),
    ("{'data': row()}", {"status": "success",
                         "data": {"id": 1, "name": "x"}}),
    ("{'status': 'needs_review', 'data': {'a': 1}}",
     {"status": "needs_review", "data": {"a": 1}}),
    ("{'status': Colour.RED}", {"status": "red", "data": {}}),
    ("{'data': {}, 'metadata': {'m': Decimal(1)}, 'data_metadata': {}}"
     .replace("Decimal", "decimal.Decimal"),
     {"status": "success", "data": {}, "metadata": {"m": "1"}}),
    ("{'status': 'failure', 'error': {'code': 'A', 'message': 'm',"
     " 'details': {'k': Colour.RED}}}",
     {"status": "failure", "data": {}, "error": {
         "code": "A", "message": "m", "details": {"k": "red"}}}),
    ("{'status': 'retry', 'error': {'code': 'A'}}",
     {"status": "retry", "data": {}, "error": {
         "code": "A", "message": "A"}}),
    ("{'status': 'failure', 'error': {'message': 'm', 'other': 1}}",
     {"status": "failure", "data": {}, "error": {
         "code": "TRANSIENT_ERROR", "message": "m"}}),
    ("{'status': 'failure', 'error': 'text'}",
     {"status": "failure", "data": {}, "error": {
         "code": "TRANSIENT_ERROR", "message": "text"}}),
    ("{'status': 'failure', 'error': 'a\\0b'}",
     {"status": "failure", "data": {}, "error": {
         "code": "TRANSIENT_ERROR", "message": "a\ufffdb"}}),
    ("{'status': 'failure'}",
     {"status": "failure", "data": {}, "error": {
         "code": "TRANSIENT_ERROR", "message": "no reason was given"}}),
)

BREACHES = (  # an expression, and words of the message
    ("5", "\"data\" of type int"), ("[1]", "\"data\" of type list"),
    ("'text'", "\"data\" of type str"), ("True", "type bool"),
    ("{'data': [1]}", "\"data\" of type list"),
    ("{'data': 'x'}", "\"data\" of type str"),
    ("{'data': {}, 'metadata': 3}", "\"metadata\" of type int"),
    ("{'status': 'two words'}", "'two words'"), ("{'status': 7}", "7"),
    ("{'status': '..'}", "'..'"),
    ("{'data': loop()}", "holds itself"),
    ("{'data': {'v': deep(140)}}", "nested too deeply"),
    ("{'data': {'v': [0] * 100_001}}", "100000"),
    ("{'data': {'v': Broken()}}", "no text"),
)

ERRORS = (  # an expression that raises, code, message, details
    ("throw(ValueError('bad'))", "TRANSIENT_ERROR", "bad",
     {"exception": "ValueError", "value_error": True}),
    ("json.loads('{')", "TRANSIENT_ERROR", None,
     {"exception": "JSONDecodeError", "value_error": True}),
    ("throw(RuntimeError())", "TRANSIENT_ERROR", "RuntimeError",
     {"exception": "RuntimeError"}),
    ("throw(KeyError('k'))", "TRANSIENT_ERROR", "'k'",
     {"exception": "KeyError"}),
    ("throw(SystemExit(3))", "TRANSIENT_ERROR",
     "the handler called sys.exit(3)", {"exception": "SystemExit"}),
    ("throw(SystemExit())", "TRANSIENT_ERROR",
     "the handler called sys.exit()", {"exception": "SystemExit"}),
    ("throw(KeyboardInterrupt())", "TRANSIENT_ERROR", "KeyboardInterrupt",
     {"exception": "KeyboardInterrupt"}),
    ("throw(asyncio.TimeoutError())", "TRANSIENT_ERROR", "TimeoutError",
     {"exception": "TimeoutError"}),
    ("throw(ParamValidationError('no \"x\"'))", "INVALID_INPUT_ERROR",
     "no \"x\"", None),
    ("throw(asyncio.CancelledError())", "TRANSIENT_ERROR",
     "the handler was cancelled, but not by the supervisor",
     {"exception": "CancelledError"}),
    ("1 / 0", "TRANSIENT_ERROR", "division by zero",
     {"exception": "ZeroDivisionError"}),
)


@case("every kind of value has its form in JSON")
def values(t):
    s = t.script(SCRIPT)
    s.ready()
    for code, want in VALUES:
        result = s.run("it", {"code": f"{{'data': {{'v': {code}}}}}"})
        same(result, {"status": "success", "data": {"v": want}}, code)
    check(any("NaN" in m for m in s.messages("warning")), s.logs)
    same(s.stop(), 0, "exit status")


@case("every form of result is taken")
def results(t):
    s = t.script(SCRIPT)
    s.ready()
    for code, want in RESULTS:
        same(s.run("it", {"code": code}), want, code)
    said = [m for m in s.messages("warning") if "not sent" in m]
    check(len(said) == 1 and "message" in said[0], s.logs)
    for code, words in BREACHES:
        result = s.run("it", {"code": code})
        error = result.get("error", {})
        same(error.get("code"), "CONTRACT_VIOLATION_ERROR", code)
        check(words in error["message"] and '"it"' in error["message"],
              f"{code}: {error}")
    for code, name, message, details in ERRORS:
        error = s.run("it", {"code": code}).get("error", {})
        same(error.get("code"), name, code)
        if message is not None:
            same(error["message"], message, code)
        same(error.get("details"), details, code)
    same(s.stop(), 0, "exit status")


@case("what is too large is refused with its size", everywhere=False)
def too_large(t):
    s = t.script(SCRIPT)
    s.ready()
    code = "{'data': {'v': 'x' * 200_000_000}}"
    error = s.run("it", {"code": code})["error"]
    same(error["code"], "PERMANENT_ERROR", "code")
    check("2000000" in error["message"] and "1048576" in error["message"] and
          '"it"' in error["message"], error)
    longest = "x" * (1 << 20)
    error = s.run("it", {"code": f"throw(RuntimeError('x' * {1 << 20}))"})
    message = error["error"]["message"]
    check(message.endswith("xxx ...") and len(message) <= 16384 and
          message.rstrip(" .") in longest, len(message))
    error = s.run("it", {"code": "{'error': 'ж' * 20000}"})["error"]
    check(len(error["message"].encode()) <= 16384, "message in bytes")
    same(s.run("it", {"code": "None"}), OK, "the next one")
    same(s.stop(), 0, "exit status")


@case("a traceback is one record, of the script's own lines")
def tracebacks(t):
    s = t.script(SCRIPT)
    s.ready()
    lease = s.begin("it", {"code": "throw(ValueError('bad'))"})
    s.until(RESULT, lease)
    said = s.messages("error")
    same(len(said), 1, "records")
    check("Traceback" in said[0] and "worker.py" in said[0] and
          said[0].endswith("ValueError: bad") and
          "_task.py" not in said[0], said)
    check([x for x in s.seen if x[0] == "log" and x[2]["level"] == "error" and
           x[1] == lease], "the record is not the task's")
    s.run("it", {"code": "throw(ValueError('y' * 5000 + 'end'))"})
    last = s.messages("error")[-1]
    check(len(last) <= 2000 and last.endswith("end"), last[-50:])


main()
