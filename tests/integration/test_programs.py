#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Programs of every kind in one worker: what their handlers are, and what
limits them together."""
import json
import os
import signal
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (TOKEN, ZOO, Worker, case, check, main,  # noqa: E402
                     same)

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
    enabled = no
}}
"""


class Scene:
    """A worker with the blocks that the case wants."""

    def __init__(self, t, blocks, worker=""):
        self.t = t
        self.fake = Fake()
        self.head = HEAD.format(state=t.path("state"), url=self.fake.url,
                                token=t.write("token", TOKEN + "\n"),
                                worker=worker)
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


@case("a category's limit holds over modules and executables together")
def together(t):
    gated = executable(t, "gated", GATED)
    s = Scene(t, f"""
category default {{ max_tasks = 2 }}
category light {{ }}
module zoo {{ file = "{ZOO}" }}
handler gated {{ exec = "{gated}" }}
handler echo {{ category = light }}
""", "max_concurrent_tasks = 6")
    gate = t.gate()
    for i in range(3):
        s.put(f"e-{i}", "gated", {"gate": gate.path})
        s.put(f"m-{i}", "slow", {"gate": gate.path})
    gate.wait(2)
    same(s.success("other", "echo", {})["echo"], {}, "of another category")
    same(len(gate.wait(2)), 2, "tasks that run at once")
    gate.open()
    for i in range(3):
        same(s.result(f"e-{i}")["status"], "success", "of an executable")
        same(s.result(f"m-{i}")["status"], "success", "of a module")


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


main()
