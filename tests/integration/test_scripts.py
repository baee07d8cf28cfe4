#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Python scripts: which interpreter runs them, by what command, and in which
environment. The module that they import has tests of its own; here a program
stands in for what starts it."""
import json
import os
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (SOURCE, TOKEN, Worker, case, check, main,  # noqa: E402
                     same)

RUNNER = f"""
import os, sys
sys.argv[1:] = ["{{}}", *sys.argv[1:], sys.executable,
                os.environ.get("WORKER_TOKEN", ""),
                os.environ.get("SOME_VARIABLE", "")]
exec(open({os.path.join(SOURCE, "speaker.py")!r}).read())
"""


class Run:
    """One task of a script in local mode, to its end."""

    def __init__(self, t, blocks="", args=(), env=None):
        tasks = t.write(t.unused("tasks"), '{"type": "speak", "params": {}}\n')
        argv = ["--local", tasks, *args]
        if blocks:
            argv += ["-c", t.write(t.unused("conf"), blocks)]
        self.worker = Worker(t, argv=argv,
                             env=dict(environment(t), **(env or {})))
        same(self.worker.wait(), 0, f"exit status; {self.worker.log()}")
        *self.argv, self.python, self.token, self.variable = json.loads(
            self.worker.output())["data"]["argv"][1:]

    def found(self, python, by):
        same(self.python, python, "interpreter")
        check(f"runs under {python}, found by {by}" in self.worker.log(),
              f"{by} is not in: {self.worker.log()}")


def environment(t):
    folder = t.path("python")
    os.makedirs(folder, exist_ok=True)
    t.write("python/avtoworker_run.py", RUNNER)
    return {"AVTOWORKER_PYTHON": folder}


def write_script(t, name="worker.py", first=""):
    os.makedirs(os.path.dirname(t.path(name)), exist_ok=True)
    return t.write(name, first + "\n")


def link_python(t, path):
    """Another name of our interpreter."""
    os.makedirs(os.path.dirname(t.path(path)), exist_ok=True)
    os.symlink(sys.executable, t.path(path))
    return t.path(path)


@case("a script, an address and a token are all that is needed")
def bare(t):
    fake = Fake()
    script = write_script(t, "cwd/worker.py")
    worker = Worker(t, argv=["worker.py"], env=dict(
        environment(t), ORCHESTRATOR_URL=fake.url, WORKER_TOKEN=TOKEN,
        WORKER_ENABLE_METRICS="no", SOME_VARIABLE="it"))
    fake.put(task("t-1", "speak"))
    result = fake.wait_result("t-1")
    same(result["status"], "success", "status")
    same(result["data"]["argv"][1:],
         [script, sys.executable, "withheld", "it"], "what it sees")
    os.remove(script)  # nothing else of ours is to be left there
    worker.drain()


def says(t, **offer):
    """A script whose ready frame has these members."""
    runner = RUNNER.replace("{}", json.dumps(offer).replace('"', '\\"')) \
        .replace("true", "true")
    os.makedirs(t.path("python"), exist_ok=True)
    t.write("python/avtoworker_run.py", runner)
    return write_script(t), {"AVTOWORKER_PYTHON": t.path("python"),
                             "WORKER_ENABLE_METRICS": "no"}


@case("a script alone may say where its orchestrator is")
def all_by_itself(t):
    fake = Fake()
    script, env = says(t, worker={
        "orchestrator_url": fake.url, "worker_token": TOKEN,
        "worker_id": "from-script", "worker_type": "parser",
        "max_concurrent_tasks": 3, "poll_interval_ms": 500,
        "resources": {"cpu": 7}})
    worker = Worker(t, argv=[script], env=env)
    request = fake.wait_requests("register", 1)[-1]
    same(request.headers.get("X-Worker-Token"), TOKEN, "token")
    said = request.json()
    same(said["worker_id"], "from-script", "id")
    same(said["worker_type"], "parser", "type")
    same(said["max_concurrent_tasks"], 3, "tasks")
    same(said["resources"]["cpu_cores"], 7, "cores")
    fake.put(task("t-1", "speak"))
    same(fake.wait_result("t-1")["status"], "success", "status")
    worker.drain()


PROPERTIES = {"zone": "b", "slots": 3, "fast": True, "note": "a, b=c",
              "city": "Москва", "tags": {"x": [1, {"y": 2}]}}


@case("{}: resources of a script are told, its own keys as properties",
      ("classic", True), ("rxon", False))
def resources(t, _name, classic):
    fake = Fake(classic)
    script, env = says(t, worker={
        "orchestrator_url": fake.url, "worker_token": TOKEN, "resources": {
            "cpu": 7.0, "memory_gb": 3.4, "gpu": True, "gpu_memory_gb": 24,
            "devices": [{"type": "npu"}], "bad": {"empty": {}}, "none": None,
            **PROPERTIES}})
    worker = Worker(t, argv=[script], env=env)
    said = fake.wait_requests("register", 1)[-1].json()["resources"]
    if classic:
        same(said, {"cpu_cores": 7, "ram_gb": 3, "gpu_info": {"vram_gb": 24},
                    "properties": PROPERTIES}, "resources")
    else:
        same(said, {"devices": [
            {"type": "gpu", "id": "gpu-0", "properties": {"vram_gb": 24}},
            {"type": "npu"}],
            "properties": {"cpu_cores": 7, "ram_gb": 3, **PROPERTIES}},
            "resources")
    same(len(worker.lines('its resource "bad" is not told')), 1, "lines")
    same(len(worker.lines("is not told")), 1, "lines of others")
    worker.drain()


@case("what a script says counts less than anything else, and it is told")
def overruled(t):
    fake = Fake()
    script, env = says(t, limits={"default": 2}, worker={
        "orchestrator_url": "http://127.0.0.1:1", "worker_token": "other",
        "worker_id": "from-script", "worker_type": "parser"})
    worker = Worker(t, f"""
worker {{ id = from-file }}
python p {{ script = "{script}" }}
""", ["-o", "category/default.max_tasks=5"], env=dict(
        env, ORCHESTRATOR_URL=fake.url, WORKER_TOKEN=TOKEN))
    request = fake.wait_requests("register", 1)[-1]
    same(request.headers.get("X-Worker-Token"), TOKEN, "token")
    same(request.json()["worker_id"], "from-file", "id")
    same(request.json()["worker_type"], "parser", "type")
    for text in ("python p: its orchestrator.url is overruled (environment)",
                 "python p: its orchestrator.token is overruled "
                 "(environment)", "python p: its worker.id is overruled (",
                 "python p: its limit of category default, 2, is overruled "
                 "by the configuration's, 5"):
        check(text in worker.log(), f"{text!r} is not in: {worker.log()}")
    check("other" not in worker.log(), "no token is logged")
    worker.drain()


@case("the address of a script goes with the token of the environment")
def shared(t):
    fake = Fake()
    script, env = says(t, worker={"orchestrator_url": fake.url})
    worker = Worker(t, argv=[script], env=dict(env, WORKER_TOKEN=TOKEN))
    request = fake.wait_requests("register", 1)[-1]
    same(request.headers.get("X-Worker-Token"), TOKEN, "token")
    worker.drain()


@case("limits of a script hold, and its categories need no block")
def limits(t):
    fake = Fake()
    script, env = says(t, limits={"heavy": 2, "none": 1}, handlers=[
        {"type": "speak", "category": "heavy"}, {"type": "light"}])
    Worker(t, argv=[script], env=dict(
        env, ORCHESTRATOR_URL=fake.url, WORKER_TOKEN=TOKEN))
    gate = t.gate()
    for i in range(3):
        fake.put(task(f"h-{i}", "speak", {"gate": gate.path}))
    for i in range(3):
        fake.put(task(f"l-{i}", "light", {"gate": gate.path}))
    same(sorted(name[0] for name, _ in gate.wait(5)),
         ["h", "h", "l", "l", "l"], "what runs at once")
    gate.open()


@case("a script that says nonsense of its worker ends the start: {0}",
      ("url", {"orchestrator_url": "ftp://x"}, "url is not usable"),
      ("id", {"orchestrator_url": "http://x", "worker_id": "a b",
              "worker_token": "t"}, 'python worker: id is "a b"; expected'),
      ("number", {"orchestrator_url": "http://x", "worker_token": "t",
                  "max_concurrent_tasks": 0},
       'max_concurrent_tasks is "0"; expected'),
      ("nothing", {}, "there is no orchestrator; set ORCHESTRATOR_URL"),
      ("no token", {"orchestrator_url": "http://x"}, "has no token"))
def nonsense(t, _name, said, text):
    script, env = says(t, worker=said)
    worker = Worker(t, argv=[script], env=env)
    same(worker.wait(), 78, f"exit status; {worker.log()}")
    check(text in worker.log(), f"{text!r} is not in: {worker.log()}")


@case("the command of a script: {0}",
      ("a file", 'script = "{file}"', ["{file}"]),
      ("with arguments", 'script = {{ "{file}", "-x", "a b" }}',
       ["{file}", "-x", "a b"]),
      ("a module", 'script = "-m pkg.mod"', ["-m", "pkg.mod"]),
      ("a module and arguments", 'script = {{ -m, pkg.mod, -x }}',
       ["-m", "pkg.mod", "-x"]),
      ("an attribute", 'script = "pkg.mod:worker"', ["pkg.mod:worker"]),
      ("of several workers", 'script = "{file}" app = pkg.worker',
       ["--app", "pkg.worker", "{file}"]))
def commands(t, _name, keys, want):
    file = write_script(t)
    run = Run(t, "python p { " + keys.format(file=file) + " }")
    same(run.argv, [w.format(file=file) for w in want], "its arguments")
    same(run.token, "", "a token that there is none of")


@case("the Worker of a module is a handler of the command line")
def attribute(t):
    same(Run(t, args=["pkg.mod:worker"]).argv, ["pkg.mod:worker"],
         "its arguments")


@case("its own first line names the interpreter")
def shebang(t):
    python = link_python(t, "bin/python3.x")
    script = write_script(t, first=f"#!{python}")
    Run(t, args=[script]).found(python, "its #!")
    script = write_script(t, first="#!/usr/bin/env -S python3.x -u")
    path = t.path("bin") + ":" + os.environ["PATH"]
    Run(t, args=[script], env={"PATH": path}).found(python, "its #!")


@case("an environment that is active, one beside the script, python3")
def environments(t):
    script = write_script(t, "a/worker.py", "#!/bin/sh")
    Run(t, args=[script], env={"PATH": os.path.dirname(
        link_python(t, "bin/python3")) + ":/usr/bin:/bin"}).found(
            t.path("bin/python3"), "$PATH")
    beside = link_python(t, "a/.venv/bin/python")
    Run(t, args=[script]).found(beside, ".venv beside it")
    active = link_python(t, "venv/bin/python")
    Run(t, args=[script], env={"VIRTUAL_ENV": t.path("venv")}).found(
        active, "$VIRTUAL_ENV")
    asked = link_python(t, "asked")
    Run(t, f'python p {{ script = "{script}" python = "{asked}" }}').found(
        asked, "python =")


@case("the environment of a script may be a clean one")
def clean(t):
    script = write_script(t)
    blocks = f'python p {{ script = "{script}" }}\n'
    same(Run(t, blocks, env={"SOME_VARIABLE": "it"}).variable, "it", "one")
    blocks += "category default { environment = clear }\n"
    same(Run(t, blocks, env={"SOME_VARIABLE": "it"}).variable, "", "another")


@case("what cannot be run is a problem of the configuration")
def problems(t):
    worker = Worker(t, f"""
python a {{ script = /nonexistent.py }}
python b {{ script = "{write_script(t)}" python = /nonexistent/python }}
python c {{ script = "-m" }}
python d {{ script = "{t.dir}" }}
python e {{ script = "{write_script(t, "x")}" category = none }}
""", ["-t", "--local", "-"], env=environment(t))
    same(worker.wait(), 78, "exit status")
    check('there is no category "none"' in worker.log(), worker.log())
    worker = Worker(t, f"""
python a {{ script = /nonexistent.py }}
python b {{ script = "{write_script(t)}" python = /nonexistent/python }}
python c {{ script = "-m" }}
python d {{ script = "{t.dir}" }}
""", ["-t", "--local", "-"], env=environment(t))
    same(worker.wait(), 78, "exit status")
    for text in ("python a: /nonexistent.py: No such file",
                 "python b: python /nonexistent/python: no such executable",
                 "python c: script -m: expected -m MODULE",
                 f"python d: {t.dir}: not a file"):
        check(text in worker.log(), f"{text!r} is not in: {worker.log()}")


main()
