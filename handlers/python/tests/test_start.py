#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""How a program starts: its forms, what it says of itself, what is refused."""
import ast
import os
import subprocess
import sys

sys.dont_write_bytecode = True

from peer import LIMIT, PYTHON, RUN, case, check, main, same  # noqa: E402

HANDLER = """
    @worker.task("it")
    async def it(params):
        return {"data": {"name": __name__, "main": it.__module__}}
"""
PRELUDE = """
    import asyncio, sys
    from avtomatika_worker import Worker
    worker = Worker(worker_type="svc")
""" + HANDLER
ENDINGS = (
    ("asyncio.run", "asyncio.run(worker.main())"),
    ("guarded", "if __name__ == '__main__':\n        "
     "asyncio.run(worker.main())"),
    ("run()", "worker.run()"),
    ("run_with_health_check()", "worker.run_with_health_check()"),
    ("nothing", ""),
    ("a loop of its own", "loop = asyncio.new_event_loop()\n    "
     "loop.run_until_complete(worker.main())"),
    ("gather", """
    async def main():
        beat = asyncio.ensure_future(asyncio.sleep(1000))
        done, pending = await asyncio.wait(
            [beat, asyncio.ensure_future(worker.main())],
            return_when=asyncio.FIRST_COMPLETED)
        beat.cancel()
    asyncio.run(main())"""),
    ("Runner", """
    if sys.version_info >= (3, 11):
        with asyncio.Runner() as runner:
            runner.run(worker.main())"""),
    ("uvloop", """
    try:
        import uvloop
    except ImportError:
        uvloop = asyncio
    uvloop.run(worker.main()) if hasattr(uvloop, "run") else worker.run()"""),
    ("a thread", """
    import threading
    t = threading.Thread(target=worker.run)
    t.start()
    t.join()"""),
)


@case("the Worker runs, however the script ends")
def endings(t):
    for name, ending in ENDINGS:
        s = t.script(PRELUDE + "\n    " + ending)
        same(s.ready(), {"version": 1, "handlers": [{"type": "it"}],
                         "worker": {"worker_type": "svc"}}, name)
        same(s.run("it")["data"], {"name": "__main__", "main": "__main__"},
             name)
        same(s.stop(), 0, f"{name}: exit status")


@case("a Worker made inside main() works")
def inside_main(t):
    s = t.script("""
        import asyncio
        from avtomatika_worker import Worker

        async def main():
            worker = Worker()

            @worker.task("it")
            async def it(params):
                return {}

            await worker.main()

        asyncio.run(main())
    """)
    s.ready()
    same(s.run("it")["status"], "success", "status")
    same(s.stop(), 0, "exit status")


@case("a Worker in a thread of its own outlives the program's last line")
def in_a_thread(t):
    t.write("skills/slow.py", """
        import threading
        threading.main_thread().join(0.5)  # which is not its end
    """)
    s = t.script("""
        import threading
        from avtomatika_worker import Worker
        worker = Worker()

        @worker.task("it")
        async def it(params):
            return {}

        threading.Thread(target=worker.run).start()
    """)
    s.ready()
    same(s.run("it")["status"], "success", "status")
    same(s.stop(), 0, "exit status")


SURROUNDINGS = """
    import os, sys
    first = sys.path[0]
    import beside
    from avtomatika_worker import Worker
    import avtomatika_worker
    worker = Worker()

    @worker.task("it")
    async def it(params):
        return {"data": {
            "argv": sys.argv, "file": __file__, "name": __name__,
            "spec": __spec__ and __spec__.name, "package": __package__,
            "cwd": os.getcwd(), "path": first,
            "beside": beside.__file__,
            "ours": os.path.dirname(avtomatika_worker.__file__),
            "main": sys.modules["__main__"].__dict__ is globals(),
            "channel": os.environ.get("AVTOWORKER_CHANNEL")}}

    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "shadow"))
    from avtomatika_worker.config import WorkerConfig
    worker.run()
"""


@case("a script finds what it finds under python")
def surroundings(t):
    t.write("beside.py", "")
    t.write("shadow/avtomatika_worker/__init__.py", "1 / 0")
    s = t.script(SURROUNDINGS, "--verbose", "x")
    s.ready()
    ours = os.path.join(PYTHON, "avtomatika_worker")
    same(s.run("it")["data"], {
        "argv": [s.path, "--verbose", "x"], "file": s.path,
        "name": "__main__", "spec": None, "package": None, "cwd": t.folder,
        "path": t.folder, "beside": t.folder + "/beside.py", "ours": ours,
        "main": True, "channel": None}, "a file")
    same(s.stop(), 0, "exit status")
    t.write("pack/__init__.py", "")
    t.write("pack/part.py", "answer = 42")
    path = t.write("pack/worker.py", SURROUNDINGS +
                   "    from .part import answer\n")
    t.write("pack/__main__.py", "from . import worker\n")
    s = t.script(None, "y", target=["-m", "pack.worker"])
    s.ready()
    got = s.run("it")["data"]
    same((got["argv"], got["file"], got["name"], got["spec"],
          got["package"], got["main"]),
         ([path, "y"], path, "__main__", "pack.worker", "pack", True),
         "a module")
    same(s.stop(), 0, "exit status")
    s = t.script(None, target=["-m", "pack"])
    s.ready()
    same(s.run("it")["data"]["name"], "pack.worker", "a package")
    same(s.stop(), 0, "exit status")
    t.write("app.py", PRELUDE + """
    second = Worker(worker_type="second")
    second.task("other")(it)
    if __name__ == "__main__":
        worker.run()
    """)
    for target, want in ((["app:worker"], ["it"]), (["app:second"], ["other"]),
                         (["--app", "second", "app.py"], ["other"]),
                         (["--app", "worker", "-m", "app"], ["it"])):
        s = t.script(None, target=target)
        same([h["type"] for h in s.ready()["handlers"]], want, f"{target}")
        same(s.run(want[0])["status"], "success", f"{target}")
        same(s.stop(), 0, f"{target}: exit status")


REFUSED = (  # name, script, words of the sentence
    ("an import that fails", "import no_such_thing",
     ("worker.py", "line 1", "no_such_thing")),
    ("an error in another file", "import other",
     ("other.py:2", "ZeroDivisionError")),
    ("a syntax error", "def f(:", ("worker.py", "SyntaxError", "line 1")),
    ("no Worker", "x = 1", ("worker.py makes no Worker",)),
    ("no tasks", "from avtomatika_worker import Worker\nWorker().run()",
     ("line 2: ", "has no tasks")),
    ("no tasks, and nobody runs it", "from avtomatika_worker import Worker\n"
     "w = Worker()\n", ("worker.py: RuntimeError: the Worker has no tasks",)),
    ("two Workers", "from avtomatika_worker import Worker\n\na = Worker()\n"
     "b = Worker()\n", ("worker.py:4 makes a second Worker", "worker.py:3",
                        "app")),
    ("sys.exit()", "import sys\nsys.exit(3)", ("worker.py", "sys.exit(3)")),
    ("an unknown keyword", "from avtomatika_worker import Worker\n"
     "Worker(worker_kind='x')", ("line 2", "'worker_kind'")),
    ("clients", "from avtomatika_worker import Worker\n"
     "Worker(clients=[1])", ("clients", "supervisor")),
    ("a limit that is none", "from avtomatika_worker import Worker\n"
     "Worker(task_type_limits={'heavy': 0})", ("heavy", "0")),
    ("a name that is none", "from avtomatika_worker import Worker\n"
     "w = Worker()\n@w.task('two words')\ndef f(p): pass\n",
     ("task name", "two words")),
    ("several orchestrators in code",
     "from avtomatika_worker import Worker, WorkerConfig\nc = WorkerConfig()\n"
     "c.ORCHESTRATORS = [{'url': 'a'}, {'url': 'b'}]\nw = Worker(config=c)\n"
     "w.task('x')(lambda p: None)\nw.run()", ("ORCHESTRATORS", "several")),
    ("a stop before main()", "import asyncio\n"
     "from avtomatika_worker import Worker\nw = Worker()\n"
     "w.task('x')(lambda p: None)\nasyncio.run(w.stop())\nw.run()",
     ("ended before its Worker was ready",)),
    ("main() twice", "import asyncio\nfrom avtomatika_worker import Worker\n"
     "w = Worker()\nw.task('x')(lambda p: None)\n"
     "async def main():\n    a = asyncio.ensure_future(w.main())\n"
     "    await asyncio.sleep(0)\n    await asyncio.sleep(0)\n"
     "    await w.main()\nasyncio.run(main())", None),
)


@case("what cannot run is refused in one sentence")
def refused(t):
    t.write("other.py", "\n1 / 0\n")
    for name, text, words in REFUSED:
        s = t.script(text)
        if words is None:
            s.ready()
        else:
            said = s.fails()
            check("\n" not in said and all(w in said for w in words),
                  f"{name}: {said}")
        status = s.wait()
        check(status != 0, f"{name}: exit status {status}")
    for target, words in (
            (["nothing.py"], ("nothing.py", "No such file")),
            (["-m", "no_such"], ("no module no_such",)),
            (["-m", "no_such.part"], ("no module no_such",)),
            (["other:worker"], ("other.py:2",)),
            (["xml.none:worker"], ("xml.none:worker: ModuleNotFoundError",)),
            (["sys:worker"], ('no Worker "worker"',))):
        s = t.script(None, target=target)
        said = s.fails()
        check(all(w in said for w in words), f"{target}: {said}")
        check(s.wait() != 0, f"{target}: exit status")


@case("without a supervisor one line says what to do")
def no_supervisor(t):
    path = t.write("worker.py", PRELUDE + "\n    worker.run()\n")
    env = {**os.environ, "PYTHONPATH": PYTHON, "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("AVTOWORKER_CHANNEL", None)
    for command, said in (
            ([path], "avtoworkerd worker.py"),
            ([RUN, path], "avtoworkerd worker.py"),
            ([RUN, "-m", "worker"], "avtoworkerd -m worker"),
            (["-m", "avtomatika_worker", "run", "--app", "a:b"],
             "avtoworkerd a:b")):
        done = subprocess.run([t.python, *command], env=env, timeout=LIMIT,
                              stdout=subprocess.PIPE, check=False,
                              stderr=subprocess.STDOUT, text=True)
        same(done.stdout, "there is no supervisor here; run this as: "
             f"{said}\n", f"{command}")
        check(done.returncode != 0, "exit status")


SETTINGS = (  # the call, and what the ready frame says
    ("Worker(...)", {}),
    ("Worker(..., task_type_limits={'heavy': 2, 'light': 10})",
     {"limits": {"heavy": 2, "light": 10}}),
    ("Worker('svc', 5)", {"worker": {"worker_type": "svc",
                                     "max_concurrent_tasks": 5}}),
    ("Worker(orchestrator_url='http://localhost:8000', worker_id='w-1',"
     " worker_token='secret', worker_type='my-service',"
     " heartbeat_interval=30, poll_interval=0.5, max_concurrent_tasks=10,"
     " resources={'cpu': 4, 'memory_gb': 16, 'gpu': True})",
     {"worker": {
         "orchestrator_url": "http://localhost:8000", "worker_id": "w-1",
         "worker_token": "secret", "worker_type": "my-service",
         "heartbeat_interval_ms": 30000, "poll_interval_ms": 500,
         "max_concurrent_tasks": 10,
         "resources": {"cpu": 4, "memory_gb": 16, "gpu": True}}}),
    ("Worker(worker_type='ai', skill_type_limits={'gpu': 1},"
     " skills_dir='none', capacity_checker=None, http_session=None)",
     {"worker": {"worker_type": "ai"}, "limits": {"gpu": 1}}),
    ("Worker(config=config())", {"worker": {
        "worker_id": "from-code", "worker_token": "token",
        "max_concurrent_tasks": 3, "heartbeat_interval_ms": 5000,
        "orchestrator_url": "http://other"}}),
    ("Worker(worker_type='t', config=config(), max_concurrent_tasks=4)",
     {"worker": {
         "worker_id": "from-code", "worker_token": "token",
         "max_concurrent_tasks": 4, "heartbeat_interval_ms": 5000,
         "orchestrator_url": "http://other", "worker_type": "t"}}),
)


@case("settings in code are told, those of the environment are not")
def settings(t):
    for call, want in SETTINGS:
        s = t.script(f"""
    from avtomatika_worker import Worker
    from avtomatika_worker.config import WorkerConfig

    def config():
        c = WorkerConfig()
        c.WORKER_ID = "from-code"
        c.WORKER_TOKEN = "token"
        c.MAX_CONCURRENT_TASKS = 3
        c.HEARTBEAT_INTERVAL = 5
        c.TASK_POLL_TIMEOUT = 7
        c.ORCHESTRATOR_URL = "http://other"
        return c

    worker = {call}
    worker.task("it", task_type="heavy")(lambda params: None)
    worker.run()
""", environment={"WORKER_ID": "from-env", "WORKER_TYPE": "env",
                  "WORKER_TOKEN": "withheld", "HEARTBEAT_INTERVAL": "9",
                  "ORCHESTRATORS_CONFIG": "withheld", "WORKER_PORT": "x",
                  "ORCHESTRATOR_URL": "http://from-env"})
        same(s.ready(), {"version": 1, "handlers": [
            {"type": "it", "category": "heavy"}], **want}, call)
        if "config" in call:
            check(any("TASK_POLL_TIMEOUT" in m for m in s.messages()),
                  s.logs)
        same(s.stop(), 0, "exit status")


@case("what scripts import is there")
def names(t):
    s = t.script("""
        import asyncio
        import avtomatika_worker
        from avtomatika_worker import (
            DeviceUsage, ObservabilityManager, OrchestratorClient,
            ResourcesUsage, SkillBlueprint, SkillInfo, TaskFiles, Worker,
            WorkerConfig, is_valid_identifier, setup_logging,
            validate_identifier)
        from avtomatika_worker.config import WorkerConfig as C
        from avtomatika_worker.logging import clear_context, set_context
        from avtomatika_worker.observability import ObservabilityManager as O
        from avtomatika_worker.s3 import S3Manager
        from avtomatika_worker.task_files import TaskFiles as T
        from avtomatika_worker.types import (
            CONTRACT_VIOLATION_ERROR, DEPENDENCY_ERROR,
            DEPENDENCY_MISSING_ERROR, INTERNAL_ERROR, INVALID_INPUT_ERROR,
            PERMANENT_ERROR, RESOURCE_EXHAUSTED_ERROR, SECURITY_ERROR,
            TIMEOUT_ERROR, TRANSIENT_ERROR, CapacityChecker, Middleware,
            ParamValidationError)
        from avtomatika_worker.typing import TRANSIENT_ERROR as TE
        from avtomatika_worker.worker import (
            FileMetadata, SkillBlueprint as B, TaskPayload, Worker as W)

        assert C is WorkerConfig and W is Worker
        assert avtomatika_worker.__version__
        assert TE == "TRANSIENT_ERROR" and is_valid_identifier("a-b")
        assert not is_valid_identifier("a b") and not is_valid_identifier("")
        try:
            validate_identifier("a/b", "name")
        except ValueError as e:
            assert "name" in str(e)
        set_context(request=1)
        clear_context()
        ResourcesUsage(1.0, 2.0, [DeviceUsage("0", 5.0)])
        assert FileMetadata("s3://b/c").size == 0
        needs = SkillInfo("it", input_schema={"required": ["a"]})
        assert TaskPayload("j", "t", "it", {"a": 1}).validate_params(
            needs) == (True, None)
        assert '"a"' in TaskPayload("j", "t", "it", {}).validate_params(
            needs)[1]

        async def without_s3(s3):
            assert await s3.process_params({"a": [1]}, "t") == {"a": [1]}
            assert await s3.process_result({"a": 1}) == ({"a": 1}, {})
            await s3.cleanup("t")
            await s3.wait_all_done()
            try:
                await s3.process_params({"a": [{"b": "s3://b/c"}]}, "t")
            except RuntimeError as e:
                assert "S3 is not spoken" in str(e)
            else:
                raise AssertionError("no S3 was missed")
        asyncio.run(without_s3(S3Manager()))
        worker = Worker()

        @worker.on_command("reboot")
        async def reboot(command):
            pass

        worker.set_usage_checker(lambda: ResourcesUsage())
        worker.task("it")(lambda params: None)
        worker.run()
    """)
    same(s.ready()["commands"], ["reboot"], "commands")
    same(s.stop(), 0, "exit status")


@case("the module keeps to the grammar of Python 3.9", everywhere=False)
def grammar(t):
    for folder, _, names in os.walk(PYTHON):
        for name in names:
            if name.endswith(".py"):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    ast.parse(f.read(), name, feature_version=(3, 9))


main()
