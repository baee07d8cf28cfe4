#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The Python examples, run by avtoworkerd on a file of tasks."""
import json
import os
import signal
import sys
import urllib.request

sys.dont_write_bytecode = True
import example_servers
import peers
from fake_orchestrator import Fake, task
from harness import (SOURCE, Worker, case, check, eventually, free_port, main,
                     same)

EXAMPLES = os.path.join(SOURCE, "..", "..", "handlers", "examples", "python")
KEY = "a-very-secret-key"
PAGE = """<div class="tgme_widget_message" data-post="news/1">
<div class="tgme_widget_message_text js-message_text" dir="auto">First<br/>line
&amp; <b>more</b><div>inner</div> end</div>
<a><time datetime="2026-01-01T00:00:00+00:00" class="time">00:00</time></a>
</div><div class="tgme_widget_message" data-post="news/2">
<div class="tgme_widget_message_text">Second</div>not this</div>"""
WALL = {"response": {"count": 1, "items": [
    {"id": 7, "text": "привет", "date": 1700000000, "likes": {}}]}}


QUICK = {"PYTHONDONTWRITEBYTECODE": "1"}


def python(name):
    """Its block of the configuration."""
    return f"""
python example {{
    script = "{os.path.join(EXAMPLES, name)}"
    python = "{peers.python_of("examples")}"
}}
"""


class Script:
    """One example, fed with tasks as the test goes."""

    def __init__(self, t, name, env=None, config=""):
        read_fd, self.feed = os.pipe()
        self.worker = Worker(t, config + python(name), ["--local", "-"],
                             {**QUICK, **(env or {})}, stdin=read_fd)
        os.close(read_fd)
        self.count = 0

    def submit(self, kind, **params):
        self.count += 1
        line = json.dumps({"task_id": f"t-{self.count}", "job_id": "j",
                           "type": kind, "params": params}) + "\n"
        os.write(self.feed, line.encode())
        return f"t-{self.count}"

    def results(self):
        return {r["task_id"]: r for r in self.worker.results()}

    def wait(self, task_id):
        return eventually(lambda: self.results().get(task_id),
                          f"the result of {task_id}")

    def run(self, kind, **params):
        return self.wait(self.submit(kind, **params))

    def end(self, status):
        os.close(self.feed)
        same(self.worker.wait(), status, "exit status")


def data(result):
    same(result["status"], "success", f"status of {result}")
    return result["data"]


def error(result):
    return result["status"], result["error"]["code"]


@case("my_worker.py does what the guide's first one does")
def my_worker(t):
    s = Script(t, "my_worker.py")
    same(data(s.run("process_data", input="привет a")),
         {"result": "ПРИВЕТ A"}, "data")
    same(error(s.run("process_data")), ("failure", "TRANSIENT_ERROR"),
         "without input")
    same(data(s.run("process_data", input="b")), {"result": "B"},
         "the worker goes on")
    s.end(1)


@case("limits.py: heavy and light tasks run at the same time")
def limits(t):
    s = Script(t, "limits.py")
    heavy = [s.submit("process_image", width=640, height=480)
             for _ in range(4)]
    light = [s.submit("send_notification", to="ops", message=str(i))
             for i in range(4)]
    for i in light:
        same(data(s.wait(i)), {"message_id": f"ntf-{i}"}, "light")
    for i in heavy:
        same(data(s.wait(i))["pixels"], 640 * 480, "heavy")
    same(error(s.run("process_image", width=0, height=1)),
         ("failure", "INVALID_INPUT_ERROR"), "an empty picture")
    s.end(1)


@case("outcomes.py ends in every way, and its figures are summed up")
def outcomes(t):
    fake, port = Fake(), free_port()
    worker = t.worker(fake.url, modules=(), env=QUICK, more=python(
        "outcomes.py"), metrics=f"address = 127.0.0.1\n    port = {port}",
        worker="max_concurrent_tasks = 4")
    for outcome, want in (
            ("success", ("success", None)),
            ("failure", ("failure", "VALIDATION_ERROR")),
            ("retry", ("failure", "TRANSIENT_ERROR")),
            ("slow", ("failure", "TIMEOUT")),
            ("raise", ("failure", "TRANSIENT_ERROR")),
            ("crash", ("failure", "TRANSIENT_ERROR"))):
        fake.put(task(f"t-{outcome}", "my_task", {"outcome": outcome}))
        result = fake.wait_result(f"t-{outcome}")
        same((result["status"], result.get("error", {}).get("code")), want,
             outcome)
    for i in range(20):
        fake.put(task(f"more-{i}", "my_task", {"outcome": "success"}))
    for i in range(20):
        fake.wait_result(f"more-{i}")
    worker.wait_log("Processing task t-success for job .*: success")
    worker.wait_log("RuntimeError: required_field is missing")

    def figures():
        with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/metrics") as reply:
            return reply.read().decode()

    eventually(lambda: 'outcomes_total{outcome="success"} 21.0' in figures(),
               lambda: f"the sum of the children's figures: {figures()}")
    text = figures()
    check('outcomes_total{outcome="crash"} 1.0' in text,
          "what a child that died has counted")
    check("outcomes_seconds_count 2" in text, "the histogram")
    check(text.count("# TYPE worker_tasks_total") == 1,
          "a name of ours is there once")
    worker.drain()


@case("shutdown.py closes what it opened, after its task has ended")
def shutdown(t):
    s = Script(t, "shutdown.py")
    gate = t.path("go")
    waiting = s.submit("wait_for", file=gate)
    s.worker.wait_log("opened")
    s.worker.wait_log("waiting for")
    s.worker.signal(signal.SIGTERM)
    s.worker.wait_log("drain|stop")
    t.write("go", "")
    same(data(s.wait(waiting)), {}, "data")
    s.end(0)
    check("closed" in s.worker.log(), "code after main() has run")
    check("gracefully" not in s.worker.log(),
          "the script's own signal handlers have not")


@case("parsers.py: set up once, reads a channel and a wall")
def parsers(t):
    server = example_servers.Recorded({
        "/s/news": (200, PAGE), "/method/wall.get": (200, json.dumps(WALL))})
    s = Script(t, "parsers.py", {
        "TELEGRAM_URL": server.url, "VK_URL": server.url, "VK_TOKEN": KEY},
        "category default { children = 1 }")
    same(data(s.run("parse_telegram", channel="news")), {
        "channel": "news", "count": 2, "messages": [
            {"id": "news/1", "text": "First\nline\n& moreinner end",
             "date": "2026-01-01T00:00:00+00:00"},
            {"id": "news/2", "text": "Second", "date": None}]}, "messages")
    same(data(s.run("parse_telegram", channel="news", limit=1))["count"], 1,
         "with a limit")
    same(data(s.run("parse_vk", group="vk", limit=3)), {
        "group": "vk", "count": 1, "posts": [
            {"id": 7, "text": "привет", "date": 1700000000}]}, "posts")
    same(server.asked[-1], ("/method/wall.get", {
        "domain": ["vk"], "count": ["3"], "v": ["5.199"],
        "access_token": [KEY]}), "the request")
    same(error(s.run("parse_telegram", channel="none")),
         ("retry", "API_ERROR"), "a channel that is not there")
    same(len(s.worker.lines("parsers are set up")), 1, "set-ups")
    s.end(1)
    check(KEY not in s.worker.log() + s.worker.output(), "the key is shown")


@case("users.py: saved, found, not found, taken, and after a restart")
def users(t):
    try:
        server = example_servers.Postgres()
    except example_servers.Missing as e:
        raise AssertionError(str(e)) from None
    try:
        s = Script(t, "users.py", {"DATABASE_URL": server.url})
        ann = {"name": "Ann", "email": "ann@example.org"}
        same(data(s.run("save_user", **ann)), {"user_id": 1}, "saved")
        same(data(s.run("get_user", user_id=1)),
             {"id": 1, **ann, "score": None, "active": True}, "found")
        same(error(s.run("get_user", user_id=7)), ("failure", "NOT_FOUND"),
             "not found")
        same(error(s.run("save_user", **ann)), ("failure", "ALREADY_EXISTS"),
             "taken")
        server.stop()
        same(error(s.run("get_user", user_id=1)), ("retry", "DATABASE_ERROR"),
             "while it is down")
        server.start()
        same(data(s.run("get_user", user_id=1))["name"], "Ann",
             "after it came back")
        s.end(1)
    finally:
        server.remove()


@case("weather.py tells what it heard, and never its key")
def weather(t):
    server = example_servers.Recorded({"/v1": (200, json.dumps(
        {"temp": 4.5, "conditions": "rain"}))})
    s = Script(t, "weather.py", {"WEATHER_URL": server.url + "/v1",
                                 "WEATHER_API_KEY": KEY})
    same(data(s.run("fetch_weather", city="Oslo")),
         {"city": "Oslo", "temperature": 4.5, "conditions": "rain"}, "data")
    same(server.asked, [("/v1", {"city": ["Oslo"], "key": [KEY]})], "asked")
    server.stop()
    same(error(s.run("fetch_weather", city="Oslo")), ("retry", "API_ERROR"),
         "nobody there")
    s.end(1)
    check(KEY not in s.worker.log() + s.worker.output(), "the key is shown")


# The real services ----------------------------------------------------------

def public(text, *variables):
    """Marks a case that asks a public service, if these say what to ask it;
    docs/handlers.md has them."""
    unset = [name for name in variables if not os.environ.get(name)]
    if not unset:
        return case(text)
    case(f"{text} # SKIP {' and '.join(unset)} not set")(lambda t: None)
    return lambda function: function


def ask_public(t, name, kind, *variables, **params):
    """What a task of an example gets from out there."""
    s = Script(t, name, {v: os.environ[v] for v in variables
                         if v in os.environ})
    found = data(s.run(kind, **params))
    s.end(0)
    return found


@public("parsers.py reads a real channel", "TEST_TELEGRAM_CHANNEL")
def real_channel(t):
    channel = os.environ["TEST_TELEGRAM_CHANNEL"]
    found = ask_public(t, "parsers.py", "parse_telegram", "TELEGRAM_URL",
                       channel=channel, limit=3)
    same(found["channel"], channel, "channel")
    check(found["count"] == len(found["messages"]) > 0 and
          all(m["id"] and m["date"] for m in found["messages"]), found)


@public("parsers.py reads a real wall", "TEST_VK_GROUP", "VK_TOKEN")
def real_wall(t):
    group = os.environ["TEST_VK_GROUP"]
    found = ask_public(t, "parsers.py", "parse_vk", "VK_URL", "VK_TOKEN",
                       group=group, limit=3)
    same(found["group"], group, "group")
    check(found["count"] == len(found["posts"]) > 0 and
          all(p["id"] and p["date"] for p in found["posts"]), found)


@public("weather.py asks a real service", "TEST_WEATHER_CITY",
        "WEATHER_API_KEY")
def real_weather(t):
    city = os.environ["TEST_WEATHER_CITY"]
    found = ask_public(t, "weather.py", "fetch_weather", "WEATHER_URL",
                       "WEATHER_API_KEY", city=city)
    same(found["city"], city, "city")
    check(isinstance(found["temperature"], (int, float)) and
          found["conditions"], found)


main(lambda: peers.python_of("examples"))
