# SPDX-License-Identifier: ISC
"""A worker script in the form that every SDK has run, one handler for each
construct. test_python_sdk.py runs it under the SDK and under avtoworkerd."""
import asyncio
import collections
import datetime
import decimal
import enum
import os
import uuid
from dataclasses import dataclass

from avtomatika_worker import Worker
from avtomatika_worker.types import ParamValidationError

worker = Worker(worker_type="api", skill_dependencies={"tells": ["llama"]})
handler = getattr(worker, os.environ["REGISTER_BY"])


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Size:
    width: int
    height: int = 7

    def __post_init__(self):
        if self.width < 0:
            raise ValueError("width is negative")


Pair = collections.namedtuple("Pair", "a b")
RESULTS = {
    "success": {"status": "success", "data": {"a": [1, {"b": None}, "ж"]}},
    "none": None,
    "empty": {},
    "only_status": {"status": "success"},
    "beside_data": {"data": {"a": 1}, "more": 2},
    "word": {"status": "needs_review", "data": {"score": 0.5}},
    "failure": {"status": "failure", "error": {"code": "PERMANENT_ERROR",
                                               "message": "no"}},
    "own_code": {"status": "failure", "error": {"code": "NOT_FOUND",
                                                "message": "no"}},
    "error_text": {"status": "failure", "error": "no"},
    "error_bare": {"status": "failure", "error": {}},
    "scalar": {"data": 5},
    "list": [1, 2],
    "datetime": {"data": {"v": datetime.datetime(2026, 1, 2, 3, 4)}},
    "date": {"data": {"v": datetime.date(2026, 1, 2)}},
    "uuid": {"data": {"v": uuid.UUID(int=1)}},
    "decimal": {"data": {"v": decimal.Decimal("1.10")}},
    "enum": {"data": {"v": Colour.RED}},
    "dataclass": {"data": {"v": Size(1, 2)}},
    "tuple": {"data": {"v": (1, 2)}},
    "set": {"data": {"v": {1}}},
    "bytes": {"data": {"v": b"text"}},
    "keys": {"data": {1: "a", None: "b", False: "c"}},
    "nan": {"data": {"v": float("nan")}},
    "row": {"data": {"v": Pair(1, 2)}},
}


@handler("returns")
async def returns(params, **kwargs):
    return RESULTS[params["what"]]


@handler("raises")
async def raises(params, **kwargs):
    kinds = {"value": ValueError, "runtime": RuntimeError, "key": KeyError,
             "params": ParamValidationError, "timeout": asyncio.TimeoutError}
    raise kinds[params["what"]]("the reason")


@handler("sizes")
async def sizes(params: Size, **kwargs):
    return {"data": {"area": params.width * params.height}}


@handler("context")
async def context(params, task_id, job_id, **kwargs):
    return {"data": {"task_id": task_id, "job_id": job_id,
                     "priority": kwargs["priority"],
                     "progress": callable(kwargs["send_progress"])}}


@handler("tells")
async def tells(params, task_id, job_id, send_progress, **kwargs):
    add = kwargs.get("add_to_hot_cache") or kwargs["add_to_hot_skills"]
    remove = kwargs.get("remove_from_hot_cache") or \
        kwargs["remove_from_hot_skills"]
    add("llama")
    add("mistake")
    remove("mistake")
    await send_progress(task_id, job_id, 0.5, "half")
    return {"data": {"told": True}}


@handler("plain")
def plain(params, **kwargs):
    return {"data": {"plain": True}}


if __name__ == "__main__":
    worker.run()
