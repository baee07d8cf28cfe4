#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Programs of every kind in one worker: what their handlers are, and what
limits them together."""
import json
import os
import signal
import sys
import urllib.request

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (SOURCE, TOKEN, ZOO, Worker, case, check,  # noqa: E402
                     eventually, free_port, main, module, same)

SPEAKER = os.path.join(SOURCE, "speaker.py")

HEAD = """
worker {{
    id = w-1
    state_dir = "{state}"
    {worker}
}}
orchestrator main {{
    url = "{url}"
    token_file = "{token}"
    protocol = classic
}}
metrics {{
    {metrics}
}}
"""


class Scene:
    """A worker with the blocks that the case wants."""

    def __init__(self, t, blocks, worker="", metrics="enabled = no"):
        self.t = t
        self.fake = Fake()
        self.blocks = blocks
        self.head = HEAD.format(state=t.path("state"), url=self.fake.url,
                                token=t.write("token", TOKEN + "\n"),
                                worker=worker, metrics=metrics)
        self.worker = Worker(t, self.head + blocks)
        self.fake.wait_requests("register", 1)

    def reload(self, blocks):
        with open(self.t.path("worker.conf"), "w", encoding="utf-8") as f:
            f.write(self.head + blocks)
        self.worker.signal(signal.SIGHUP)
        self.worker.wait_log("reload: done")

    def offered(self):
        return self.fake.of_kind("register")[-1].json()["supported_tasks"]

    def put(self, name, kind, params=None):
        self.fake.put(task(name, kind, params))
        return name

    def result(self, name):
        return self.fake.wait_result(name)

    def success(self, name, kind, params=None):
        result = self.result(self.put(name, kind, params))
        same(result["status"], "success", f"status of {name}: {result}")
        return result.get("data", {})


def executable(t, name, text):
    return t.write(name, text, 0o755)


def sh(t, name, text):
    return executable(t, name, "#!/bin/sh\n" + text)


GATED = f"""#!{sys.executable}
import json, os, socket, sys
params = json.load(sys.stdin)
with socket.socket(socket.AF_UNIX) as s:
    s.connect(params["gate"])
    s.sendall(f"{{os.environ['AVTOWORKER_TASK_ID']}} {{os.getpid()}}".encode())
    s.recv(1)
print(json.dumps({{"kind": "exec"}}))
"""


SCRIPT = """
import os, socket
from avtomatika_worker import Worker
worker = Worker()

@worker.task("scripted")
def scripted(params, task_id):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(params["gate"])
        s.sendall(f"{task_id} {os.getpid()}".encode())
        s.recv(1)
    return {"data": {"kind": "script"}}

@worker.task("sees")
async def sees(params):
    return {"data": {name: os.environ.get(name) for name in params["names"]}}
"""


@case("executables: a path, a list, none of it for a shell")
def executables(t):
    send = sh(t, "send it", 'printf \'{"args": "%s|%s"}\' "$1" "$2"\n')
    s = Scene(t, f"""
module zoo {{ file = "{ZOO}" }}
handler send {{ exec = {{ "{send}", "$HOME; a b", '' }} }}
handler plain {{ exec = "{sh(t, "plain", "cat")}" category = light }}
category light {{ max_children = 2 }}
""")
    check({"send", "plain", "echo"} <= set(s.offered()), s.offered())
    same(s.success("t-1", "send"), {"args": "$HOME; a b|"}, "arguments")
    same(s.success("t-2", "plain", {"x": [1.50, "y"]}), {"x": [1.5, "y"]},
         "echo")
    same(s.success("t-3", "echo", {"x": 1})["echo"], {"x": 1}, "of a module")
    check("category light: 1 to 2 children of plain" in s.worker.log(),
          "how many children there are is in the log")


@case("a category's limit holds over programs of every kind together")
def together(t):
    gated = executable(t, "gated", GATED)
    s = Scene(t, f"""
category default {{ max_tasks = 4 }}
category light {{ }}
module zoo {{ file = "{ZOO}" }}
handler gated {{ exec = "{gated}" }}
python gated {{ script = "{t.write("gated.py", SCRIPT)}" }}
handler slow {{ category = default }}
handler echo {{ category = light }}
""" + speaker("talk", "speak"), "max_concurrent_tasks = 20")
    gate = t.gate()
    kinds = ("gated", "slow", "scripted", "speak")
    for i in range(3):
        for kind in kinds:
            s.put(f"{kind}-{i}", kind, {"gate": gate.path})
        same({name for name, _ in gate.wait(4)}, {f"{k}-0" for k in kinds},
             "what runs at once")
    eventually(lambda: not s.fake.tasks, "all are here")
    same(s.success("other", "echo", {})["echo"], {}, "of another category")
    same(len(gate.wait(4)), 4, "tasks that run at once")
    gate.open()
    for i in range(3):
        for kind in kinds:
            same(s.result(f"{kind}-{i}")["status"], "success", f"{kind}-{i}")


def example_of(name):
    return os.path.join(SOURCE, "..", "..", "handlers", "examples",
                        "channel", name)


@case("the example of a channel program")
def example(t):
    s = Scene(t, f"""
channel doubler {{ exec = {{ "{sys.executable}", "{example_of('double.py')}" }} }}
""")
    same(s.success("t-1", "double", {"n": 21}), {"n": 42}, "data")
    same(s.result(s.put("t-2", "double", {"n": "x"}))["error"]["code"],
         "INVALID_INPUT_ERROR", "code")
    s.worker.drain()


@case("the example in Perl, which listens while it counts")
def listens(t):
    s = Scene(t, f"""
channel counter {{ exec = "{example_of('count.pl')}" }}
category default {{ children = 1 soft_time_limit = 3s }}
""")
    same(s.success("t-1", "count", {"to": 3}), {"counted": 3}, "data")
    long = {"to": 999999, "ms": 20}
    counted = s.success("t-2", "count", long)["counted"]
    check(0 < counted < 999999, f"counted to {counted}")
    check(f"asked to end at {counted}: time_limit" in s.worker.log(), "log")
    same(s.result(s.put("t-3", "count", {"to": "x"}))["error"]["code"],
         "INVALID_INPUT_ERROR", "code")
    same(s.success("t-4", "count", {"to": 2}), {"counted": 2}, "data")
    s.worker.drain()
    check("killed" not in s.worker.log(), s.worker.log())


LIMITS = ["AVTOWORKER_TIME_LIMIT_MS", "AVTOWORKER_SOFT_TIME_LIMIT_MS",
          "AVTOWORKER_CPU_TIME_LIMIT_MS", "AVTOWORKER_MEMORY_LIMIT_BYTES"]


@case("settings go to every kind, the nearest first, and so do limits")
def settings(t):
    show = sh(t, "show",
              'printf \'{"s": "%s %s %s"}\' "$A" "$B" "$(cat "$C_FILE")"')
    tell = sh(t, "tell", "printf '{\"s\": \"%s %s %s %s\"}' " + " ".join(
        f'"${{{name}-none}}"' for name in LIMITS))
    secret = t.write("secret", "hush")
    s = Scene(t, f"""
category default {{
    set = {{ "A=1", "B=2" }}
    set_file = "C={secret}"
    soft_time_limit = 50s
    time_limit = 60s
    memory_limit = 8G
}}
category forest {{ set = "A=5" set_file = "C={secret}" cpu_time_limit = 9s }}
handler show {{ exec = "{show}" set = "B=3" }}
handler tell {{ exec = "{tell}" time_limit = 70s }}
channel talk {{
    exec = {{ "{SPEAKER}", {{}} }}
    set = "SPEAKS=yes"
}}
python script {{
    script = "{t.write("sees.py", SCRIPT)}"
    set = "A=6"
}}
module forest {{ file = "{module("forest")}" }}
module zoo {{ file = "{ZOO}" }}
handler echo {{ set = "D=4" }}
handler upper {{ set = "D=4" }}
""".replace("{}", '"{}"'))
    same(s.success("t-1", "show"), {"s": "1 3 hush"}, "of an executable")
    same(s.success("t-2", "speak", {"env": ["A", "SPEAKS", "C_FILE"]})["env"],
         ["1", "yes", secret], "of a channel program")
    same(s.success("t-3", "sees", {"names": ["A", "B", "C_FILE", "C"]}),
         {"A": "6", "B": "2", "C_FILE": secret, "C": None}, "of a script")
    for i, (name, value) in enumerate((
            ("A", "5"), ("C_FILE", secret), (LIMITS[2], "9000"),
            (LIMITS[0], None))):
        same(s.success(f"m-{i}", "settings", {"variable": name}).get("value"),
             value, f"{name} of a module")
    memory = str(8 << 30)
    same(s.success("t-4", "tell"), {"s": f"70000 50000 none {memory}"},
         "limits of an executable")
    same(s.success("t-5", "speak", {"env": LIMITS})["env"],
         ["60000", "50000", None, memory], "limits of a channel program")
    same(list(s.success("t-6", "sees", {"names": LIMITS}).values()),
         ["60000", "50000", None, memory], "limits of a script")


@case("settings that cannot be are problems of the configuration: {0}",
      ("a name", 'set = "1=2"', 'set is "1=2"; expected KEY=VALUE'),
      ("ours", 'set = "WORKER_TOKEN=2"', "expected KEY=VALUE"),
      ("a file", 'set_file = "A=/nonexistent"',
       "set_file A=/nonexistent: No such file"))
def bad_settings(t, _name, keys, text):
    ends(t, f"""
module zoo {{ file = "{ZOO}" }}
category default {{ {keys} }}
""", 78, text, args=("-t", "--local", "-"))


@case("handlers that share children cannot have two values of a setting")
def two_values(t):
    ends(t, f"""
python script {{ script = "{t.write("sees.py", SCRIPT)}" }}
module zoo {{ file = "{ZOO}" }}
handler echo {{ set = "D=4" }}
handler upper {{ set = "D=5" }}
""", 78, "handlers echo and upper share children, which cannot have two values "
         "of D", args=("-t", "--local", "-"))


@case("what children hold ready is told to the orchestrator")
def hot(t):
    s = Scene(t, speaker("talk", "speak", "other"),
              "heartbeat_interval = 1s")
    s.success("t-1", "speak", {"say": [[22, {
        "hot_cache": ["llama"], "hot_skills": ["other"]}]]})

    def told():
        beats = [r.json() for r in s.fake.of_kind("heartbeat") if r.body]
        return any(b.get("hot_cache") == ["llama"] and
                   b.get("hot_skills") == ["other"] for b in beats)

    eventually(told, "a heartbeat with what is hot")
    s.success("t-2", "speak", {"say": [[22, {"hot_cache": 1}]]})
    s.worker.wait_log("a state frame is left out: its hot_cache")


@case("codes of a handler's own may end the job at once")
def final_codes(t):
    fails = sh(t, "fails", """echo '{"error": {"code": "NOT_FOUND",
        "message": "no such user"}}'; exit 1""")
    s = Scene(t, f"""
handler fails {{ exec = "{fails}" final_codes = {{ GONE, NOT_FOUND }} }}
""")
    error = s.result(s.put("t-1", "fails"))["error"]
    same((error["code"], error["message"]),
         ("INVALID_INPUT_ERROR", "no such user"), "code and message")
    same(error["details"]["code"], "NOT_FOUND", "its own")


@case("an executable that dies costs its task alone")
def dies(t):
    s = Scene(t, f"""
handler dies {{ exec = "{sh(t, "dies", "kill -9 $$")}" }}
handler lives {{ exec = "{sh(t, "lives", "cat")}" }}
""")
    result = s.result(s.put("t-1", "dies"))
    same(result["status"], "failure", "status")
    check("signal 9" in result["error"]["message"], result)
    same(s.success("t-2", "lives", {"a": 1}), {"a": 1}, "the other")


@case("what cannot be executed is a problem of the configuration")
def no_executables(t):
    plain = t.write("plain", "#!/bin/sh\n")
    worker = Worker(t, f"""
handler a {{ exec = /nonexistent/a }}
handler b {{ exec = "{plain}" }}
handler c {{ exec = "{t.dir}" }}
""", ["-t", "--local", "-"])
    same(worker.wait(), 78, "exit status")
    for text in ("handler a: exec /nonexistent/a: No such file",
                 f"handler b: exec cannot be executed: {plain}: "
                 "not an executable file",
                 f"handler c: exec cannot be executed: {t.dir}: "
                 "not an executable file"):
        check(text in worker.log(), f"{text!r} is not in: {worker.log()}")


@case("HANDLER may be an executable; its base name is the task type")
def argument(t):
    tasks = t.write("tasks", '{"type": "greet", "params": {}}\n')
    os.makedirs(t.path("cwd"))
    sh(t, "cwd/greet.sh", 'echo "{\\"greeting\\": \\"hello, $WHO\\"}"\n')
    worker = Worker(t, argv=["--local", tasks, "greet.sh"],
                    env={"WHO": "world"})
    same(worker.wait(), 0, "exit status")
    same(json.loads(worker.output())["data"], {"greeting": "hello, world"},
         "data; it has the caller's environment")


@case("a reload replaces an executable and leaves the others alone")
def reload(t):
    one = sh(t, "one", 'echo \'{"v": 1}\'')
    two = sh(t, "two", 'echo \'{"v": 2}\'')
    s = Scene(t, f"""
handler a {{ exec = "{one}" }}
handler b {{ exec = "{one}" }}
""")
    before = s.worker.wait_serving(2)
    s.reload(f"""
handler a {{ exec = "{two}" }}
handler b {{ exec = "{one}" }}
""")
    same(s.success("t-1", "a"), {"v": 2}, "the new one")
    same(s.success("t-2", "b"), {"v": 1}, "the same")
    after = s.worker.wait_serving(2)
    same(len(before & after), 1, "children that stay")


def speaker(name, *handlers, more="", **offer):
    """A block of a channel program with such handlers: TYPE or
    TYPE=CATEGORY."""
    offer["handlers"] = []
    for handler in handlers:
        kind, _, category = handler.partition("=")
        offer["handlers"].append({"type": kind})
        if category:
            offer["handlers"][-1]["category"] = category
    return f"""
channel {name} {{
    exec = {{ "{SPEAKER}", {json.dumps(json.dumps(offer))} }}
    {more}
}}
"""


@case("a channel program is described by its first child, which then serves")
def first_child(t):
    s = Scene(t, speaker("talk", "speak", "other=light") + """
category default { max_children = 2 }
category light { max_tasks = 1 }
handler other { time_limit = 1m }
""")
    same(s.offered(), ["other", "speak"], "what is offered")
    first = s.worker.wait_log("category default: 1 to 2 children of talk; "
                              "each is a copy of its set-up")
    check(first, "it is said")
    pid = s.success("t-1", "speak")["pid"]
    same(s.success("t-2", "other")["pid"], pid, "the child")
    same(len(s.worker.serving()), 1, "launchers")


@case("tasks of one program are limited by their own categories")
def categories_of_one(t):
    s = Scene(t, speaker("talk", "speak", "other=light") + """
category default { max_children = 4 max_tasks = 2 }
category light { max_tasks = 1 }
""")
    gate = t.gate()
    for i in range(2):
        s.put(f"o-{i}", "other", {"gate": gate.path})
        s.put(f"s-{i}", "speak", {"gate": gate.path})
    same({name for name, _ in gate.wait(3)}, {"o-0", "s-0", "s-1"},
         "what runs at once")
    gate.open()
    for name in ("o-0", "o-1", "s-0", "s-1"):
        same(s.result(name)["status"], "success", "status")


def ends(t, blocks, status, *texts, args=("--local", "-"), env=None):
    worker = Worker(t, blocks, list(args), env=env)
    same(worker.wait(), status, f"exit status; {worker.log()}")
    for text in texts:
        check(text in worker.log(), f"{text!r} is not in: {worker.log()}")
    return worker


@case("what does not start is a problem of the start that may pass: {0}",
      ("error", {"error": "no module named x"},
       "channel talk: no module named x"),
      ("version", {"version": 9}, "it speaks channel version 9"),
      ("nothing", {"handlers": []}, "channel talk: it offers no handlers"),
      ("twice", {"handlers": [{"type": "a"}, {"type": "a"}]},
       'channel talk: it offers task type "a" twice'))
def no_start(t, name, offer, text):
    ends(t, f"""
channel talk {{ exec = {{ "{SPEAKER}", {json.dumps(json.dumps(offer))} }} }}
""", 75 if name in ("error", "version") else 78, text)


@case("a program that ends, or never says ready, is told of as such")
def never_ready(t):
    ends(t, """
channel ends { exec = { "/bin/sh", "-c", "exit 3" } }
channel hangs { exec = { "/bin/sleep", "1000" } }
category default { start_timeout = 3s }
""", 75, "channel ends: while it started, its child exited with status 3",
         "channel hangs: was not ready within start_timeout")


LATE = """#!/bin/sh
[ -e {flag} ] || {{ echo not yet >&2; exit 3; }}
exec {speaker} '{offer}'
"""


def late(t, **offer):
    """A program that does not start before its flag is there."""
    flag = t.path("flag")
    return executable(t, "late", LATE.format(
        flag=flag, speaker=SPEAKER, offer=json.dumps(offer))), flag


@case("what does not start is tried again beside the others, and joins them")
def joins_later(t):
    path, flag = late(t, limits={"light": 1}, handlers=[
        {"type": "late", "category": "light"}, {"type": "other"}])
    port = free_port()
    s = Scene(t, f"""
module zoo {{ file = "{ZOO}" }}
channel late {{ exec = "{path}" }}
handler late {{ time_limit = 7s }}
category light {{ }}
""", metrics=f"enabled = yes\n    port = {port}")

    def page(name):
        url = f"http://127.0.0.1:{port}{name}"
        with urllib.request.urlopen(url, timeout=60) as reply:
            return reply.read().decode()

    same(s.success("t-1", "echo", {"x": 1})["echo"], {"x": 1}, "another")
    check("late" not in s.offered(), "it is offered")
    why = "while it started, its child exited with status 3"
    line, = s.worker.lines("ERROR.*channel late does not start: ")
    check(why in line and "trying again in" in line, line)
    error = s.result(s.put("t-2", "late"))["error"]
    same(error["code"], "TRANSIENT_ERROR", "code")
    check('"late"' in error["message"] and f"channel late, which may have "
          f"it, does not start: {why}" in error["message"], error)
    ready = json.loads(page("/ready"))
    same(ready["failing"][0]["name"], "channel late", "/ready")
    check(ready["status"] == "ready" and why in ready["failing"][0]["failure"],
          ready)
    figure = 'worker_program_failing{program="channel late"} 1'
    check(figure in page("/metrics"), "no figure")
    open(flag, "w", encoding="utf-8").close()
    eventually(lambda: "late" in s.offered(), "it is offered")
    same(s.success("t-3", "late")["type"], "late", "type")
    check(figure not in page("/metrics"), "the figure stays")
    same(json.loads(page("/ready"))["failing"], [], "/ready")
    same(len(s.worker.lines("channel late does not start")), 1, "lines")
    s.reload(s.blocks + "category more { }\n")
    s.success("t-4", "other")
    s.worker.drain()


@case("what joins later must not have what others have")
def joins_in_vain(t):
    path, flag = late(t, handlers=[{"type": "speak"}, {"type": "late"}])
    s = Scene(t, speaker("talk", "speak") + f"""
channel late {{ exec = "{path}" }}
""")
    open(flag, "w", encoding="utf-8").close()
    s.worker.wait_log('channel late does not start: channel late: task type '
                      '"speak" is in talk too')
    s.success("t-1", "speak")
    same(s.offered(), ["speak"], "offer")
    error = s.result(s.put("t-2", "late"))["error"]
    check("is in talk too" in error["message"], error)
    s.worker.drain()


@case("what joins later may be of no use at all")
def joins_for_nothing(t):
    path, flag = late(t, handlers=[{"type": "speak"}])
    s = Scene(t, f"""
channel late {{ exec = "{path}" }}
handler speak {{ exec = "{sh(t, "cat", "cat")}" }}
""")
    open(flag, "w", encoding="utf-8").close()
    s.worker.wait_log("channel late starts now")
    same(s.success("t-1", "speak", {"x": 1}), {"x": 1}, "whose it is")
    s.worker.drain()


@case("a stop while something does not start leaves nothing of it")
def stops_meanwhile(t):
    path = sh(t, "hangs", f"""
[ -e {t.path("once")} ] || {{ touch {t.path("once")}; exit 3; }}
touch {t.path("again")}
sleep 1000
""")
    s = Scene(t, speaker("talk", "speak") + f"""
channel hangs {{ exec = "{path}" }}
""")
    eventually(lambda: os.path.exists(t.path("again")), "it is tried again")
    s.success("t-1", "speak")
    s.worker.drain()


@case("only what does not start could say where the orchestrator is")
def nobody_says(t):
    path, _ = late(t, worker={"orchestrator_url": "http://127.0.0.1:1"})
    worker = Worker(t, speaker("talk", "speak") + f"""
channel late {{ exec = "{path}" }}
""")
    same(worker.wait(), 75, f"exit status; {worker.log()}")
    check(worker.lines("channel late does not start: "), worker.log())


@case("-t looks whether programs are there, -tt starts each once")
def checked(t):
    blocks = f"""
channel talk {{ exec = {{ "{SPEAKER}", "no JSON" }} }}
handler speak {{ time_limit = 1s }}
"""
    ends(t, blocks, 0, args=("-t", "--local", "-"))
    ends(t, blocks, 75, "while it started, its child exited with status 1",
         args=("-tt", "--local", "-"))
    ends(t, "channel x { exec = /nonexistent/x }", 78,
         "channel x: /nonexistent/x: No such file",
         args=("-t", "--local", "-"))


@case("a task type that two offer is a problem, unless a handler says whose")
def rivals(t):
    both = speaker("one", "speak") + speaker("two", "speak")
    ends(t, both, 78, 'channel two: task type "speak" is in one too')
    cat = sh(t, "cat", "cat")
    tasks = t.write("tasks", '{"type": "speak", "params": {"x": 1}}\n')
    worker = ends(t, both + f"""
handler speak {{ exec = "{cat}" }}
""", 0, args=("--local", tasks))
    same(json.loads(worker.output())["data"], {"x": 1}, "data")


@case("a later child that offers something else is ended")
def other_offer(t):
    fickle = executable(t, "fickle", f"""#!/bin/sh
if [ -e {t.path("again")} ]; then
    exec {SPEAKER} '{{"handlers": [{{"type": "changed"}}]}}'
fi
touch {t.path("again")}
exec {SPEAKER}
""")
    s = Scene(t, f"""
channel talk {{ exec = "{fickle}" }}
category default {{ children = 2 }}
""")
    s.worker.wait_log("offers other task types than the first child did")
    s.success("t-1", "speak")


@case("a program that dies costs its task, and is started again")
def dies_in_task(t):
    s = Scene(t, speaker("talk", "speak"))
    pid = s.success("t-0", "speak")["pid"]
    result = s.result(s.put("t-1", "speak", {"die": 7}))
    same(result["status"], "failure", "status")
    check("exited with status 7" in result["error"]["message"], result)
    check(s.success("t-2", "speak")["pid"] != pid, "another child")


@case("a reload starts programs that stay anew, whatever has changed")
def reload_residents(t):
    blocks = speaker("talk", "speak")
    s = Scene(t, blocks)
    pid = s.success("t-1", "speak")["pid"]
    s.reload(blocks)
    check(s.success("t-2", "speak")["pid"] != pid, "another child")
    s.worker.signal(signal.SIGHUP)
    s.worker.wait_log("reload: done", count=2)
    with open(t.path("worker.conf"), "a", encoding="utf-8") as f:
        f.write(speaker("broken", "x", error="it is broken"))
    s.worker.signal(signal.SIGHUP)
    s.worker.wait_log("reload: channel broken: it is broken")
    s.worker.wait_log("nothing has changed")
    s.success("t-3", "speak")


main()
