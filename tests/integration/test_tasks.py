#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What comes with tasks besides their params, what is made of it, and what
goes back with their results."""
import hashlib
import hmac
import json
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import case, check, main, proc_read, same  # noqa: E402

EVERYTHING = {
    "priority": 2.5, "step": 1, "depth": 3, "parent_hash": "ab",
    "skill_version": "1.0.0", "skill_type": "light",
    "timestamp": 1790000000.5776, "security": {"signer_id": "client"},
    "metadata": {"m": [1, None]}, "policy": {"allowed_skills": ["echo"]},
    "params_metadata": {"f": {"uri": "s3://b/k", "size": 3, "etag": "e"}},
    "tracing_context": {"traceparent": "00-abc-def-01"},
    "something_new": {"deep": [[{}]]},
}


def scene(t, classic=False, **more):
    fake = Fake(classic=classic)
    return fake, t.worker(fake.url, light=2, heavy=2, **more)


DIALECTS = ("rxon", False), ("classic", True)


@case("{}: float timestamps and unknown members harm nobody", *DIALECTS)
def harmless(t, _name, classic):
    fake, worker = scene(t, classic)
    fake.put(task("t-1", "echo", {"a": 1}, **EVERYTHING))
    result = fake.wait_result("t-1")
    same((result["status"], result["data"]["echo"]), ("success", {"a": 1}),
         "result")
    worker.drain()


@case("{}: a type that policy.allowed_skills does not hold is SECURITY_ERROR",
      *DIALECTS)
def forbidden(t, _name, classic):
    fake, worker = scene(t, classic)
    fake.put(task("t-1", policy={"allowed_skills": ["other"]}))
    fake.put(task("t-2", policy={"allowed_skills": ["other", "echo"]}))
    result = fake.wait_result("t-1")
    same(result["error"]["code"], "SECURITY_ERROR", "code")
    check("allowed_skills" in result["error"]["message"], f"{result}")
    worker.wait_log("SECURITY_ERROR: .*allowed_skills")
    same(fake.wait_result("t-2")["status"], "success", "status")
    worker.drain()


@case("rxon: a result tells what it cost, and metadata if the task had some")
def costs(t):
    fake, worker = scene(t)
    fake.put(task("t-1", "slow", {"ms": 250, "name": "n"}, metadata={"m": 1}))
    result = fake.wait_result("t-1")
    took = result["costs"]["execution_time_seconds"]
    check(0.2 <= took <= 60, f"it took {took} s")
    same(result["metadata"], {"m": 1}, "metadata")
    fake.put(task("t-2", "no_such_type"))
    result = fake.wait_result("t-2")
    check("costs" not in result and "metadata" not in result, f"{result}")
    worker.drain()


@case("classic: a result has none of that")
def classic_result(t):
    fake, worker = scene(t, classic=True)
    fake.put(task("t-1", "echo", {}, metadata={"m": 1}))
    same(set(fake.wait_result("t-1")), {"status", "data"}, "members")
    worker.drain()


KEY = "the orchestrator's own key"


def signed(body, key=KEY):
    """The task, with the signature of an orchestrator 1.0b30. Nothing in it
    may need the canonical form of numbers, or be null."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"),
                      ensure_ascii=False)
    return {**body, "sig": hmac.new(key.encode(), text.encode(),
                                    hashlib.sha256).hexdigest(),
            "security": {"signer_id": "client"}}


def refused(fake, worker, task_id):
    result = fake.wait_result(task_id)
    same((result["status"], result["error"]["code"]),
         ("failure", "SECURITY_ERROR"), "result")
    check("sign" in result["error"]["message"], f"{result}")
    same(len(worker.lines("SECURITY_ERROR")), 1, "lines in the log")


@case("with a key, tasks that the orchestrator has signed are run")
def signature_right(t):
    fake, worker = scene(t, env={"ORCHESTRATOR_SECRET_KEY": KEY})
    fake.put(signed(task("t-1", "echo", {"ё": [1, "\n"]})))
    same(fake.wait_result("t-1")["status"], "success", "status")
    check(KEY not in worker.log(), "the key is in the log")
    check(KEY not in proc_read(worker.pid, "environ"),
          "the key is in the environment")
    worker.drain()


@case("with a key, a task {} is SECURITY_ERROR, and one line in the log",
      ("with a wrong signature", signed(task("t-1"), "another key")),
      ("changed after it was signed",
       {**signed(task("t-1")), "params": {"rm": "-rf"}}),
      ("without a signature", task("t-1")))
def signature_wrong(t, _name, forged):
    fake, worker = scene(t, env={"ORCHESTRATOR_SECRET_KEY": KEY})
    fake.put(forged)
    refused(fake, worker, "t-1")
    worker.drain()


@case("require_signature = no: a task without one is run, a wrong one is not")
def signature_optional(t):
    fake, worker = scene(t, env={"SECRET_KEY": KEY,
                                 "REQUIRE_TASK_SIGNATURE": "false"})
    worker.wait_log("SECRET_KEY is taken for the key")
    fake.put(task("t-1"))
    same(fake.wait_result("t-1")["status"], "success", "status")
    fake.put(signed(task("t-2"), "another key"))
    refused(fake, worker, "t-2")
    check(KEY not in proc_read(worker.pid, "environ"),
          "the key is in the environment")
    worker.drain()


@case("the key is read from task_key_file, and again when it has changed")
def signature_file(t):
    path = t.write("key", KEY + "\n")
    fake, worker = scene(t, orchestrator=f"task_key_file = {path}")
    fake.put(signed(task("t-1")))
    same(fake.wait_result("t-1")["status"], "success", "status")
    t.write("key", "a new one\n")
    fake.put(signed(task("t-2"), "a new one"))
    same(fake.wait_result("t-2")["status"], "success", "status")
    fake.put(signed(task("t-3")))
    refused(fake, worker, "t-3")
    worker.drain()


main()
