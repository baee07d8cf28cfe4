#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The examples, and scripts with every construct of the guide and of the SDKs'
READMEs, at work for real orchestrators: one worker has all of them.

The examples in C and in Python have the same task types, so most of what is
claimed here is claimed of both.
"""
import json
import os
import signal
import sys
import urllib.request

sys.dont_write_bytecode = True

import example_servers  # noqa: E402
import peers  # noqa: E402
from fake_orchestrator import Fake, task  # noqa: E402
from harness import (BUILD, SOURCE, TOKEN, Orchestrator, Worker,  # noqa: E402
                     case, check, eventually, free_port, main, same)

EXAMPLES = os.path.join(SOURCE, "..", "..", "handlers", "examples", "python")
MODULES = os.environ.get("AVTOWORKER_EXAMPLES",
                         os.path.join(BUILD, "handlers", "examples", ".libs"))
C = ("process_data", "process_image", "send_notification", "outcomes",
     "users", "weather")
PYTHON = [os.path.join(EXAMPLES, f"{name}.py") for name in (
    "my_worker", "limits", "outcomes", "parsers", "shutdown", "users",
    "weather")] + [os.path.join(SOURCE, f"python_{name}.py") for name in (
        "guide", "readme", "skills")]
CODES = "final_codes = { NOT_FOUND, ALREADY_EXISTS }"
KEY = "a-very-secret-key"
PAGE = """<div class="tgme_widget_message" data-post="news/1">
<div class="tgme_widget_message_text">First</div></div>"""
WALL = {"response": {"items": [{"id": 7, "text": "привет", "date": 17}]}}
SKILL = """
from avtomatika_worker import SkillBlueprint
loaded = SkillBlueprint()

@loaded.skill("loaded")
async def from_folder(params):
    return {"data": {"from": "a folder"}}
"""


class Shop:
    """A worker with all the examples of one kind, what they talk to, and an
    orchestrator to give it jobs."""

    def __init__(self, t, handlers, url):
        self.t = t
        self.answers = {
            "/v1": (200, json.dumps({"temp": -4.5, "conditions": "snow"})),
            "/s/news": (200, PAGE),
            "/method/wall.get": (200, json.dumps(WALL))}
        self.recorded = example_servers.Recorded(self.answers)
        self.client = os.path.basename(t.dir)  # as the database knows us
        self.port = free_port()
        os.mkdir(t.path("skills"))
        t.write("skills/more.py", SKILL)
        self.worker = Worker(t, f"""
worker {{
    id = w-1
    state_dir = "{t.path("state")}"
    heartbeat_interval = 1s
    max_concurrent_tasks = 12
}}
metrics {{
    address = 127.0.0.1
    port = {self.port}
}}
orchestrator main {{ url = "{url}" }}
category default {{
    max_children = 3
    max_tasks = 10
    environment = inherit
}}
category light {{ environment = inherit }}
handler save_user {{ {CODES} }}
handler get_user {{ {CODES} }}
{handlers}""", env={
            "PYTHONDONTWRITEBYTECODE": "1", "WORKER_TOKEN": TOKEN,
            "DATABASE_URL":
            f"{t.database.url}&application_name={self.client}",
            "WEATHER_URL": self.recorded.url + "/v1", "WEATHER_API_KEY": KEY,
            "TELEGRAM_URL": self.recorded.url, "VK_URL": self.recorded.url,
            "VK_TOKEN": KEY, "README_SKILLS": t.path("skills")})

    def drop_connections(self):
        """Those to the database; there must be some. Waits until they are
        gone: a task that meets the end of one is run again."""
        sql = self.t.database.sql
        dropped = sql(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE application_name = '{self.client}'")
        pids = ", ".join(x.partition("|")[0] for x in dropped.split())
        check(pids, "there was no connection")
        eventually(lambda: not sql("SELECT pid FROM pg_stat_activity "
                                   f"WHERE pid IN ({pids})"),
                   "the connections are gone")

    def metrics(self):
        with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/metrics") as reply:
            return reply.read().decode()

    def no_secrets(self):
        log = self.worker.log()
        for secret in (KEY, TOKEN, "not-the-token"):
            check(secret not in log, f"{secret} is in the log")


class Real(Shop):
    """With a real orchestrator."""

    def __init__(self, t, handlers, version):
        self.orch = Orchestrator(t, version)
        super().__init__(t, handlers, self.orch.url)
        self.worker.wait_log("registered at", 60)

    def ends(self, job_id, outcome, tries=None):
        """The state of a job at its end."""
        self.orch.wait(job_id, outcome)
        state = self.orch.job(job_id)["state"]
        if tries is not None:
            same(state.get("retry_count", 0) + 1, tries, "tries")
        return state

    def data(self, kind, params=None, outcome="finished", **more):
        """What a job that ends so has got from the handler."""
        job_id, = self.orch.submit(kind, params, **more)
        return self.ends(job_id, outcome)["state_history"]

    def fails(self, kind, params, outcome, text, tries=None):
        """The job ends badly, and says why."""
        job_id, = self.orch.submit(kind, params)
        state = self.ends(job_id, outcome, tries)
        check(text in (state.get("error_message") or ""),
              f"{kind} {params}: {text!r} is not in {state}")


def modules():
    return "".join(f"""
module {name} {{ file = "{MODULES}/{name}.so" }}""" for name in C)


def scripts():
    return "".join(f"""
python p{i} {{
    script = "{path}"
    python = "{peers.python_of("examples")}"
}}""" for i, path in enumerate(PYTHON))


# What C and Python have in common --------------------------------------------

def limits(shop):
    """Heavy and light tasks at once."""
    heavy = shop.orch.submit("process_image", {"width": 32, "height": 3}, 6)
    light = shop.orch.submit("send_notification",
                             {"to": "ops", "message": "disk {i}"}, 10)
    for job in light:
        told = shop.ends(job, "finished")["state_history"]["message_id"]
        check(told.startswith("ntf-"), f"message id {told}")
    for job in heavy:
        shop.ends(job, "finished")
    shop.fails("process_image", {"width": 0, "height": 1}, "failed", "", 1)


def users(shop):
    ann = {"name": "Ann", "email": f"ann@{shop.client}"}
    number = shop.data("save_user", ann)["user_id"]
    row = {"id": number, **ann, "score": None, "active": True}

    def found():
        got = shop.data("get_user", {"user_id": number})
        same({k: got.get(k) for k in row}, row, "the row")

    found()
    shop.fails("get_user", {"user_id": 10 ** 9}, "failed", "User not found",
               1)
    shop.fails("save_user", ann, "failed", "users_email_key", 1)
    shop.drop_connections()
    found()
    shop.drop_connections()  # they are new ones
    other = shop.data("save_user", {**ann, "email": f"bob@{shop.client}"})
    check(other["user_id"] > number, "the other user")


def weather(shop):
    same(shop.data("fetch_weather", {"city": "Осло"}),
         {"city": "Осло", "temperature": -4.5, "conditions": "snow"}, "data")
    shop.data("fetch_weather", {"city": "Rome", "api_key": "other"})
    same([(q["city"], q["key"]) for path, q in shop.recorded.asked
          if path == "/v1"], [(["Осло"], [KEY]), (["Rome"], ["other"])],
         "what was asked")
    shop.answers["/v1"] = (503, "no")
    shop.fails("fetch_weather", {"city": "Rome"}, "quarantined",
               "Weather API returned 503", 4)


def stop(shop, kind, params, begun, finished):
    """A SIGTERM while a task runs, which may end."""
    gate = shop.t.path("the-gate")
    job_id, = shop.orch.submit(kind, {**params, "gate": gate, "file": gate})
    eventually(begun, f"{kind} has begun")
    shop.worker.signal(signal.SIGTERM)
    shop.worker.wait_log("draining")
    open(gate, "w", encoding="utf-8").close()
    shop.worker.gone()
    finished(shop.ends(job_id, "finished")["state_history"])


# C ---------------------------------------------------------------------------

OUTCOMES = (  # of my_task; what becomes of the job, after how many tries
    ("failure", "quarantined", 4, "the value is not valid"),
    ("retry", "quarantined", 4, "connect"),
    ("invalid", "failed", 1, "required_field is missing"),
    ("permanent", "quarantined", 1, "this will never work"),
    ("nothing", "quarantined", 4, "without a result"),
    ("crash", "quarantined", 3, "signal 6"))


@case("the C examples serve a real orchestrator, {}", "1.0b5", "1.0b30")
def c_examples(t, version):
    shop = Real(t, modules(), version)
    same(shop.data("process_data", {"input": "abc"}), {"result": "ABC"},
         "data")
    shop.fails("process_data", {}, "failed", '"input"', 1)
    about, = shop.orch.submit("my_task", {"outcome": "success"})
    same(shop.ends(about, "finished")["state_history"]["job_id"], about,
         "the id of the job")
    for outcome, end, tries, text in OUTCOMES:
        shop.fails("my_task", {"outcome": outcome}, end, text, tries)
    limits(shop)
    users(shop)
    weather(shop)
    shop.no_secrets()
    shop.worker.drain()


@case("what the C examples say of users and the weather is what is sent")
def c_results(t):
    fake = Fake(classic=False)
    shop = Shop(t, modules(), fake.url)

    def result(kind, **params):
        name = t.unused("t")
        fake.put(task(name, kind, params))
        return fake.wait_result(name)

    ann = {"name": "Ann", "email": f"ann@{shop.client}"}
    number = result("save_user", **ann)["data"]["user_id"]
    for kind, params, code in (
            ("get_user", {"user_id": 10 ** 9}, "NOT_FOUND"),
            ("save_user", ann, "ALREADY_EXISTS")):
        error = result(kind, **params)["error"]
        same((error["code"], error["details"]["code"]),
             ("INVALID_INPUT_ERROR", code), kind)
    shop.drop_connections()
    same(result("get_user", user_id=number)["data"]["email"], ann["email"],
         "over a new connection")
    shop.answers["/v1"] = (403, "no")
    error = result("fetch_weather", city="Oslo")["error"]
    same((error["code"], error["details"]["code"]),
         ("TRANSIENT_ERROR", "API_ERROR"), "not 200")
    shop.no_secrets()
    shop.worker.drain()


# Python ----------------------------------------------------------------------

def outcomes(shop):
    """outcomes.py, its log and its figures."""
    job_id, = shop.orch.submit("my_task", {"outcome": "success"})
    same(shop.ends(job_id, "finished")["state_history"]["job_id"], job_id,
         "the id of the job")
    for outcome, text in (
            ("failure", "the value is not valid"),
            ("retry", "no connection to the service"),
            ("raise", "required_field is missing"),
            ("slow", "Operation timed out")):
        shop.fails("my_task", {"outcome": outcome}, "quarantined", text, 4)
    shop.fails("my_task", {"outcome": "crash"}, "quarantined", "signal 6", 3)
    shop.worker.wait_log(f"Processing task .* for job {job_id}: success")
    shop.worker.wait_log("RuntimeError: required_field is missing")
    eventually(lambda: 'outcomes_total{outcome="raise"} 4.0' in shop.metrics(),
               "the sum of the children's figures")


def guide(shop):
    """The constructs of the guide that the examples have not."""
    same(shop.data("process_data", {"input": "привет"}),
         {"result": "ПРИВЕТ"}, "data")
    for i, job in enumerate(shop.orch.submit("upper", {"input": "n{i}"}, 20)):
        same(shop.ends(job, "finished")["state_history"]["result"], f"N{i}",
             "upper")
    shop.fails("process_data", {}, "quarantined", "input", 4)
    job_id, = shop.orch.submit("about")
    about = shop.ends(job_id, "finished")["state_history"]
    same((about["job_id"], about["opened"], about["token"]),
         (job_id, f"once in {about['pid']}", "withheld"), "about")
    shop.worker.wait_log(f"task {about['task_id']} of job {job_id}")
    same(shop.data("picture", {"width": 6, "height": 7})["pixels"], 42,
         "picture")
    shop.fails("picture", {"height": 7}, "failed", "width", 1)
    same(shop.data("clean", {"text": "12"})["number"], 12, "clean")
    shop.fails("clean", {"text": "x"}, "failed", "invalid literal", 1)
    shop.fails("raises", {}, *(
        ("quarantined", "required_field is missing", 4) if shop.orch.classic
        else ("failed", "required_field is missing", 1)))
    shop.fails("slow", {}, "quarantined", "Operation timed out", 1)
    count = shop.t.path("count")
    same(shop.data("retry", {"count": count})["tries"], 3, "retry")

    # Two of three heavy tasks run, and light ones meanwhile.
    gate = shop.t.path("gate")
    begun = [shop.t.path(f"begun-{i}") for i in range(3)]
    heavy = [shop.orch.submit("sleeps", {"begun": path, "gate": gate})[0]
             for path in begun]
    eventually(lambda: sum(map(os.path.exists, begun)) == 2, "two have begun")
    shop.data("about")
    same(sum(map(os.path.exists, begun)), 2, "heavy tasks at once")
    open(gate, "w", encoding="utf-8").close()
    shop.orch.wait(heavy, "finished")


def parsers(shop):
    same(shop.data("parse_telegram", {"channel": "news"})["messages"],
         [{"id": "news/1", "text": "First", "date": None}], "messages")
    same(shop.data("parse_vk", {"group": "vk"})["posts"],
         [{"id": 7, "text": "привет", "date": 17}], "posts")
    same(len(shop.worker.lines("parsers are set up")), 1, "set-ups")
    shop.fails("parse_telegram", {"channel": "none"}, "quarantined",
               "it answered 404", 4)


def readme(shop):
    """The constructs of the classic SDK's README."""
    same(shop.data("resize", {"width": 4, "height": 3, "source_url": "a"}),
         {"path": "resized_a", "pixels": 12}, "models of pydantic")
    shop.fails("resize", {"width": 0, "height": 3, "source_url": "a"},
               "failed", "greater than 0", 1)
    crop = shop.data("crop", {"width": 4, "height": 3})
    same((crop["pixels"], crop["loop"]), (12, "uvloop"), "crop")
    shop.fails("crop", {"width": 0, "height": 3}, "failed",
               "must be positive", 1)
    for kind in ("upscale", "transcribe"):
        shop.data(kind)
    same(shop.data("review", outcome="other", transitions={
        "success": "finished", "needs_manual_review": "other"})["reason"],
         "Low confidence score", "a status of its own")
    shop.fails("fails", {"how": "transient"}, "quarantined", "API timeout", 4)
    shop.fails("fails", {"how": "permanent"}, "quarantined", "API timeout", 1)
    shop.data("draw")

    eventually(lambda: is_hot(shop.orch.workers()["w-1"]),
               lambda: f"what is hot is told: {shop.orch.workers()}")
    same(shop.data("loaded")["from"], "a folder", "load_skills")


def skills(shop):
    """Those of the SDK's README for RXON."""
    same(shop.data("count", {"text": "a b", "times": 2})["words"],
         ["a", "b"] * 2, "count")
    check("a middleware saw count" in shop.worker.log(), "no middleware")
    report = shop.data("report", {"text": "ёж"})
    same((report["text"], report["files"]), ("ёж", ["report.txt"]),
         "TaskFiles")
    shop.fails("delegate", {}, "quarantined", "no such request")
    shop.fails("refuses", {}, "failed", "never good enough", 1)
    same(shop.data("blueprint")["from"], "a blueprint", "blueprint")
    shop.data("translate", {"text": "a"})
    if not shop.orch.classic:
        shop.data("count", {"text": "a"}, outcome="other",
                  event_transitions={"counted": "other"})
    waits, = shop.orch.submit("waits")
    eventually(lambda: told_of(shop.orch, waits), "its progress is told")
    shop.orch.cancel(waits)
    shop.orch.wait(waits, "cancelled")


def is_hot(record):
    """What draw needs, and nothing else of that script. RXON is told of skills
    alone."""
    named = record.get("hot_skills") or ()
    models = set(record.get("hot_cache", ("diffusion", "vae")))
    return "draw" in named and "enlarge" not in named and \
        models == {"diffusion", "vae"}


def told_of(orch, job_id):
    """How far a job is, as the orchestrator knows it."""
    if orch.classic:
        return [m for m in orch.ask("GET", "/messages")
                if "waiting" in json.dumps(m)]
    return orch.job(job_id)["state"].get("progress_message") == "waiting"


@case("the guide's and the READMEs' constructs serve a real orchestrator, {}",
      "1.0b1", "1.0b5", "1.0b28", "1.0b30", limit=240)
def python_examples(t, version):
    shop = Real(t, scripts(), version)
    for step in (guide, limits, outcomes, parsers, users, weather, readme,
                 skills):
        step(shop)
    begun = t.path("last")

    def finished(data):
        same(data["slept"], True, "data of the last one")

    stop(shop, "sleeps", {"begun": begun}, lambda: os.path.exists(begun),
         finished)
    for text in ("after main of", "closed"):
        check(shop.worker.lines(text), f"{text!r}: code after main()")
    check(not shop.worker.lines("signal handler|gracefully"),
          "a signal handler of a script was called")
    shop.no_secrets()



def prepare():
    for version in ("1.0b1", "1.0b5", "1.0b28", "1.0b30", "examples"):
        peers.python_of(version)


try:
    server = example_servers.Postgres()
except example_servers.Missing as e:
    print(f"1..0\nBail out! {e}")
    sys.exit(1)
try:
    main(prepare, database=server)
finally:
    server.remove()
