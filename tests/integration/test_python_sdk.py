#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The same script under the real SDK and under avtoworkerd, with the same
tasks: the results are the same, but for what is listed here with its reason."""
import glob
import os
import re
import sys

sys.dont_write_bytecode = True

import peers  # noqa: E402
from fake_orchestrator import Fake, task  # noqa: E402
from harness import (SOURCE, TOKEN, Program, case, check, eventually,  # noqa: E402
                     main, same)
from python_results import (GUIDE, LOST, MORE, NEW, OLD,  # noqa: E402
                            ROWS)

TOP = os.path.dirname(os.path.dirname(SOURCE))
LONG = 60  # seconds; interpreters start, and import much
METADATA = {"of": "the task"}  # of each task
# "translate" has loaded what it depends on; a skill is called "model", too.
HOT = ["model", "plain", "translate"]
VARIES = ("pid", "opened", "token")  # what the guide's "about" tells
FOLDER = {"in_folder.py": """
from dataclasses import dataclass
from avtomatika_worker import SkillBlueprint

skills = SkillBlueprint()

@dataclass
class Who:
    name: str

@skills.skill("in_folder")
async def in_folder(params: Who):
    return {"data": {"hello": params.name}}
""", "of_setup.py": """
def setup(worker):
    @worker.skill("of_setup")
    async def of_setup(params):
        return {"data": {"of": "setup"}}
""", "broken.py": "import no_such_module\n", "_not.py": "raise SystemExit\n"}


def without_nulls(value):
    """The SDK for RXON leaves out members that are null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items()
                if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) \
        else value


def essence(result):
    """What a result says, in one form: success is what is meant by no status,
    and what the worker adds by itself is left out."""
    said = {"status": result.get("status") or "success",
            "data": without_nulls(result.get("data") or {})}
    error = without_nulls(result.get("error") or {})
    details = error.pop("details", {})
    for name in ("exception", "value_error"):
        details.pop(name, None)
    said.update(error, **({"details": details} if details else {}))
    if isinstance(said["data"], dict):
        for name in VARIES:
            said["data"].pop(name, None)
    for name in ("metadata", "costs"):
        part = dict(result.get(name) or {})
        part.pop("execution_time_seconds", None)
        if part and part != METADATA:  # whose own goes back in any case
            said[name] = part
    return said


def events(fake, task_id):
    """What was told of that task meanwhile, by RXON's events or over the
    WebSocket of classic orchestrators."""
    found = []
    for kind, x in fake.told:
        if kind == "event" and x.get("target_task_id") == task_id:
            found.append((x["event_type"], without_nulls(x["payload"]),
                          x.get("target_job_id"), x.get("origin_task_id")))
        elif kind == "message" and x.get("task_id") == task_id:
            found.append(x)
    return found


def ask(fake, rows):
    """{name: essence} of their results, with their events."""
    ids = {}
    for name, kind, params, _ in rows:
        if kind == "waits":
            # What it tells would keep others' progress back until their end.
            for task_id in ids.values():
                fake.wait_result(task_id, LONG)
        ids[name] = re.sub(r"\W+", "-", name)
        fake.put(task(ids[name], kind, params, metadata=METADATA))
        if kind == "waits":
            eventually(lambda: events(fake, ids[name]), f"{name} has begun",
                       LONG)
            fake.cancels.add(ids[name])
    found = {}
    for name, task_id in ids.items():
        found[name] = essence(fake.wait_result(task_id, LONG))
        if name == "progress" and (fake.sockets or not fake.classic):
            # By another connection than the result.
            eventually(lambda: events(fake, task_id), "progress", LONG)
        if events(fake, task_id):
            found[name]["events"] = events(fake, task_id)
    return found


class CancelsOnce(Fake):
    """Each task: the SDK loses the result of one that it cancels twice, as
    when two of its heartbeats are out at once."""

    def answer_heartbeat(self, request):
        with self.changed:
            status, reply = super().answer_heartbeat(request)
            self.cancels -= set((reply or {}).get("cancel_task_ids", ()))
        return status, reply


class Pair:
    """A script under an SDK, then under avtoworkerd; an orchestrator each."""

    def __init__(self, t, version, script, env, argv=()):
        self.t = t
        self.version = version
        self.python = peers.python_of(f"sdk-{version}")
        self.script = os.path.join(SOURCE, script)
        self.argv = argv  # what runs the script under the SDK
        self.cwd = t.path("sdk")
        os.mkdir(self.cwd)
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "HEARTBEAT_INTERVAL": "1",
                    "WORKER_ENABLE_WEBSOCKETS": str(version == OLD), **env}

    def fake(self):
        """One with a WebSocket, if progress has no other way."""
        return CancelsOnce(classic=self.version == OLD,
                           websocket=self.version == OLD)

    def sdk(self, rows, look):
        fake = self.fake()
        sdk = Program(self.t, "sdk", [self.python, *self.argv, self.script], {
            **self.env, "ORCHESTRATOR_URL": fake.url, "WORKER_TOKEN": TOKEN,
            "WORKER_ID": "w-1", "TASK_FILES_DIR": self.t.path("files")},
            cwd=self.cwd)
        found = ask(fake, rows), look(fake)
        sdk.kill()
        return found

    def ours(self, rows, look):
        fake = self.fake()
        worker = self.t.worker(fake.url, modules=(), env=self.env, more=f"""
python api {{ script = "{self.script}" python = "{self.python}" }}
""")
        if fake.websocket:
            fake.wait_socket(1, LONG)
        found = ask(fake, rows), look(fake)
        worker.drain()
        return found

    def compare(self, rows, look=lambda fake: None):
        """What was looked at, under the SDK and under avtoworkerd."""
        kept = [r for r in rows if r[3].get(self.version) != LOST]
        theirs, seen = self.sdk(kept, look)
        ours, looked = self.ours(rows, look)
        for name, _, _, why in rows:
            if why.get(self.version) == LOST:
                check(ours[name]["status"] == "success" or
                      ours[name]["code"], f"{name}: {ours[name]}")
            elif self.version in why:
                check(ours[name] != theirs[name],
                      f"{name} does not differ: {ours[name]}")
            else:
                same(ours[name], theirs[name], name)
        return seen, looked


def wait_hot(fake, **wanted):
    """Until a heartbeat tells that."""
    eventually(lambda: any(
        r.body and all(sorted(r.json().get(k, ())) == v
                       for k, v in wanted.items())
        for r in fake.of_kind("heartbeat")),
        lambda: f"a heartbeat with {wanted}; the last is "
        f"{fake.of_kind('heartbeat')[-1].body}", LONG)


def hot(fake):
    """What "tells" has loaded, and what is ready by it."""
    wait_hot(fake, hot_skills=["tells"],
             **({"hot_cache": ["llama"]} if fake.classic else {}))


@case("a script gives the results that it gives under SDK {}", OLD, NEW,
      limit=180)
def results(t, version):
    Pair(t, version, "python_api.py", {
        "REGISTER_BY": "task" if version == OLD else "skill"}).compare(ROWS, hot)


def offer(fake):
    """{skill: what was told of it}, once those are hot that the script has
    made so in the meantime."""
    wait_hot(fake, hot_skills=HOT)
    told = fake.of_kind("register")[0].json()["supported_skills"]
    return {x["name"]: x for x in told}


@case("skills give the results, the events and the offer of the SDK",
      limit=180)
def skills(t):
    os.mkdir(t.path("skills"))
    for name, text in FOLDER.items():
        t.write(f"skills/{name}", text)
    packages = glob.glob(os.path.join(os.path.dirname(os.path.dirname(
        peers.python_of("examples"))), "lib", "python3*", "site-packages"))
    pair = Pair(t, NEW, "python_more.py", {
        "WORKER_SKILLS_DIR": t.path("skills"), "PYTHONPATH": packages[0]})
    theirs, ours = pair.compare(MORE, offer)
    same(sorted(ours), sorted(theirs), "skills")
    for name, skill in ours.items():
        check("version" in theirs[name] or skill.pop("version") == "1.0.0",
              f"version of {name}")
        same(skill, theirs[name], name)


@case("the guide's script gives the results that it gives under the SDK",
      limit=180)
def guide(t):
    Pair(t, NEW, "python_guide.py", {}, [
        os.path.join(SOURCE, "sdk_guide.py")]).compare(GUIDE)


def differences():
    """[(what, under which SDK, why)], as the table of docs/python.md."""
    found = {}
    for name, _, _, why in (*ROWS, *MORE, *GUIDE):
        reasons = list(why.items())
        if len(why) == 2 and why[OLD] == why[NEW]:
            reasons = [("both", why[OLD])]
        for sdk, reason in reasons:
            found.setdefault((sdk, reason), []).append(name)
    return [(", ".join(names), sdk, reason)
            for (sdk, reason), names in found.items()]


@case("what differs is what docs/python.md says")
def documented(t):
    with open(os.path.join(TOP, "docs", "python.md"), encoding="utf-8") as f:
        part = f.read().split("\n| what | under SDK | why |\n")[1]
    said = [tuple(line.strip("| ").split(" | "))
            for line in part.split("\n\n")[0].splitlines()[1:]]
    same(said, differences(), "the table")


main(lambda: [peers.python_of(x)
              for x in (f"sdk-{OLD}", f"sdk-{NEW}", "examples")])
