#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The examples that talk to something, run as the supervisor runs them: users
against a PostgreSQL of our own, weather against a recorded server; and
outcomes, which ends in every way there is.
"""
import json
import os
import sys

sys.dont_write_bytecode = True
from child_driver import (BUILD, CANCEL, STARTED, Skip, case, contains,
                          describe, equal, main, serve)
import example_servers

DIRECTORY = os.environ.get("AVTOWORKER_EXAMPLES",
                           BUILD + "/handlers/examples/.libs")
INVALID = "INVALID_INPUT_ERROR"
KEY = "a-very-secret-key"
PUBLIC_KEY = os.environ.pop("WEATHER_API_KEY", None)  # ours has none of it


def file(name):
    path = "%s/%s.so" % (DIRECTORY, name)
    if not os.path.exists(path):
        raise Skip("%s was not built: a library is missing" % name)
    return path


def start(module, *types, **environment):
    child = serve(*("%s=%s" % (t, file(module)) for t in types),
                  environment=environment)
    equal(child.ready().get("error"), None, "ready")
    return child


def weather(url, key=KEY):
    environment = {"WEATHER_URL": url}
    if key:
        environment["WEATHER_API_KEY"] = key
    return start("weather", "fetch_weather", **environment)


@case("the examples describe themselves")
def _():
    for module, types in (("outcomes", ["my_task"]),
                          ("users", ["save_user", "get_user"]),
                          ("weather", ["fetch_weather"])):
        equal([h["type"] for h in describe(file(module))[0]["handlers"]],
              types, module)


@case("my_task ends as it is asked to")
def _():
    child = start("outcomes", "my_task")
    for outcome, status, code in (
            ("success", "success", None),
            ("failure", "failure", "VALIDATION_ERROR"),
            ("retry", "retry", "CONNECTION_ERROR"),
            ("invalid", "failure", INVALID),
            ("permanent", "failure", "PERMANENT_ERROR"),
            ("nothing", "failure", "TRANSIENT_ERROR"),
            ("no such", "failure", INVALID)):
        result = child.run("my_task", {"outcome": outcome})
        equal((result["status"], result.get("error", {}).get("code")),
              (status, code), outcome)
        if outcome == "success":
            equal(result["data"], {"task_id": "t-1", "job_id": "j-1"},
                  "the task's names")
    contains(child.stop(), "Processing task t-1 for job j-1: retry")


@case("my_task works until it is asked to stop")
def _():
    child = start("outcomes", "my_task")
    child.task("my_task", {"outcome": "wait"}, 5)
    equal(child.frame(), (STARTED, 5, {}), "started")
    child.send(CANCEL, {"reason": "time_limit", "grace_ms": 5000}, 5)
    equal(child.frame()[2]["error"], {
        "code": "TIMEOUT", "message": "Operation stopped: time_limit"},
          "result")
    child.stop()


@case("fetch_weather asks with city and key, and tells what it heard")
def _():
    server = example_servers.Recorded(
        {"/v1": (200, json.dumps({"temp": -4.5, "conditions": "snow"}))})
    child = weather(server.url + "/v1")
    city = "Нижний & Новгород"
    equal(child.data("fetch_weather", {"city": city}),
          {"city": city, "temperature": -4.5, "conditions": "snow"}, "data")
    child.data("fetch_weather", {"city": "Oslo", "api_key": "other"})
    equal(server.asked, [("/v1", {"city": [city], "key": [KEY]}),
                         ("/v1", {"city": ["Oslo"], "key": ["other"]})],
          "requests")
    child.stop()
    server.stop()


@case("fetch_weather asks for a retry when the service does not answer well")
def _():
    answers = {"/500": (500, "no"), "/403": (403, "{}"), "/text": (200, "no"),
               "/half": (200, '{"temp": 1}'), "/big": (200, 2**21 * "x")}
    server = example_servers.Recorded(answers)
    for path, message in (
            ("/500", "Weather API returned 500"),
            ("/403", "Weather API returned 403"),
            ("/text", "answer cannot be read"),
            ("/half", "answer cannot be read"), ("/big", "cannot ask")):
        child = weather(server.url + path)
        result = child.run("fetch_weather", {"city": "Oslo"})
        equal((result["status"], result["error"]["code"]),
              ("retry", "API_ERROR"), path)
        contains(result["error"]["message"], message)
        child.stop()
    server.stop()


@case("fetch_weather never shows its key")
def _():
    with example_servers.silent_port() as silent:
        child = weather("http://127.0.0.1:%d/" % silent.getsockname()[1])
        result = child.run("fetch_weather", {"city": "Oslo"})
    equal(result["status"], "retry", "status")
    equal(KEY in json.dumps(result) + child.stop(), False, "the key is shown")


@case("fetch_weather needs a city and a key")
def _():
    child = weather("http://127.0.0.1:1/", key=None)
    for params in ({}, {"city": 5}, {"city": "Oslo"},
                   {"city": "Oslo", "api_key": 5}):
        equal(child.error("fetch_weather", params)[0], INVALID, repr(params))
    child.stop()


@case("fetch_weather asks a real service")
def _():
    city = os.environ.get("TEST_WEATHER_CITY")
    if not city or not PUBLIC_KEY:
        raise Skip("TEST_WEATHER_CITY or WEATHER_API_KEY is not set")
    child = start("weather", "fetch_weather", WEATHER_API_KEY=PUBLIC_KEY)
    data = child.data("fetch_weather", {"city": city})
    equal(data["city"], city, "city")
    equal(isinstance(data["temperature"], (int, float)) and
          isinstance(data["conditions"], str), True, repr(data))
    child.stop()


def postgres():
    try:
        return example_servers.Postgres()
    except example_servers.Missing as e:
        raise Skip(str(e)) from None


@case("users: saved, found, not found, taken, and after the server restarts")
def _():
    file("users")
    server = postgres()
    try:
        child = start("users", "save_user", "get_user",
                      DATABASE_URL=server.url)
        ann = {"name": "Ann O'Neil", "email": "ann@example.org"}
        equal(child.data("save_user", ann), {"user_id": 1}, "saved")
        equal(child.data("get_user", {"user_id": 1}),
              {"id": 1, **ann, "score": None, "active": True}, "found")
        server.sql("UPDATE users SET score = 1.5, active = false")
        equal(child.data("get_user", {"user_id": 1}),
              {"id": 1, **ann, "score": 1.5, "active": False}, "changed")
        equal(child.error("get_user", {"user_id": 7}),
              ("NOT_FOUND", "User not found"), "not found")
        code, message = child.error("save_user", ann)
        equal(code, "ALREADY_EXISTS", "taken")
        contains(message, "users_email_key")
        for params in ({}, {"user_id": "1"}, {"user_id": 1.5}):
            equal(child.error("get_user", params)[0], INVALID, repr(params))
        for params in ({}, {"name": "x"}, {"name": "x", "email": 5}):
            equal(child.error("save_user", params)[0], INVALID, repr(params))

        server.stop()
        result = child.run("get_user", {"user_id": 1})
        equal((result["status"], result["error"]["code"]),
              ("retry", "DATABASE_ERROR"), "while it is down")
        server.start()
        equal(child.data("get_user", {"user_id": 1})["name"], ann["name"],
              "after it came back")
        server.stop()  # between two tasks
        server.start()
        equal(child.data("save_user", {**ann, "email": "b@example.org"})
              ["user_id"] > 1, True, "nobody noticed")
        child.stop()
    finally:
        server.remove()


@case("users: a child without a database says why it cannot start")
def _():
    child = serve("get_user=" + file("users"), environment={
        "DATABASE_URL": "postgresql:///x?host=/nonexistent"})
    contains(child.ready()["error"], "cannot reach the database: ")
    child.wait()


main()
