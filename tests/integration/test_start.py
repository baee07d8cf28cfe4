#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The start: what is refused and how, what is shown, and what is not."""
import os
import re
import signal
import sys

sys.dont_write_bytecode = True

import harness  # noqa: E402
from fake_orchestrator import Fake, task  # noqa: E402
from harness import (SOON, TOKEN, ZOO, Worker, case, check,  # noqa: E402
                     eventually, main, module, proc_read, same)

OK, USAGE, CONFIG = 0, 64, 78
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d")


def run(t, args, config=None, env=None):
    """Runs it to the end. Returns exit status, stdout, stderr."""
    argv = list(args)
    if config is not None:
        argv = ["-c", t.write("test.conf", config), *argv]
    worker = Worker(t, argv=argv, env=env)
    return worker.wait(), worker.output(), worker.log()


def one_line(text, *words):
    """Of the lines of text exactly one holds all the words."""
    lines = [x for x in text.splitlines() if all(w in x for w in words)]
    check(len(lines) == 1, f"{len(lines)} lines with {words}: {text}")
    return lines[0]


# Modules -------------------------------------------------------------------

@case("refuses a module that cannot be used: {}",
      ("without the symbol", "bad_nothing", "avtoworker_module"),
      ("without handlers", "bad_empty", "handler"),
      ("with the same type twice", "bad_twice", "twin"),
      ("of another interface", "bad_version", "version"))
def bad_module(t, _name, name, word):
    path = module(name)
    for args in (["--local", "/dev/null", path],
                 ["-t", "--local", "/dev/null", path]):
        status, out, log = run(t, args)
        same(status, CONFIG, f"exit status of {args}")
        same(out, "", "standard output")
        one_line(log, path, word)


@case("refuses a file that is no shared object: {}",
      ("text", "just text\n"), ("empty", ""), ("cut", None))
def not_elf(t, _name, text):
    path = t.write("broken.so", text or "")
    if text is None:
        t.expects_fault = True  # the dynamic linker trusts such a file
        with open(ZOO, "rb") as f, open(path, "wb") as out:
            out.write(f.read(3000))
    status, _, log = run(t, ["--local", "/dev/null", path])
    same(status, CONFIG, "exit status")
    one_line(log, path)


@case("refuses a module that is not there, and a directory")
def missing_module(t):
    for path in (t.path("nothing.so"), t.dir):
        status, _, log = run(t, ["--local", "/dev/null", path])
        same(status, CONFIG, "exit status")
        one_line(log, path)


@case("a type in two modules is refused, naming both files")
def rivals(t):
    status, _, log = run(t, ["--local", "/dev/null", ZOO, module("rival")])
    same(status, CONFIG, "exit status")
    one_line(log, "echo", ZOO, module("rival"))


@case("a handler block chooses between two modules that have its type")
def chosen(t):
    config = f"""
module zoo {{ file = "{ZOO}" }}
handler echo {{ module = "{module('rival')}" }}
"""
    path = t.write("tasks", '{"type": "echo"}\n{"type": "upper", '
                            '"params": {"text": "x"}}\n')
    status, out, log = run(t, ["--local", path], config)
    same(status, OK, f"exit status ({log})")
    check('"rival"' in out, f"the other module was run: {out}")


@case("a handler block for a type that its module has not is refused")
def handler_without(t):
    config = f"""
handler no_such_type {{ module = "{ZOO}" }}
"""
    status, _, log = run(t, ["-t", "--local", "/dev/null"], config)
    same(status, CONFIG, "exit status")
    one_line(log, "no_such_type", ZOO)


@case("a module whose init fails is told, and the others go on")
def init_fails(t):
    fake = Fake()
    config = t.config(fake.url, more=f"""
category sad {{
    children = 1
}}
handler sad {{
    module = "{module('bad_init')}"
    category = sad
}}
""")
    worker = Worker(t, config)
    worker.wait_log("the licence has run out")
    fake.put(task("t-1"))
    same(fake.wait_result("t-1")["status"], "success", "status")
    record = fake.of_kind("register")[-1].json()
    check("sad" not in str(record), f"it is offered: {record}")
    check(len(worker.lines("licence")) < 20, "told too often")
    worker.drain()


@case("a describing process that hangs does not outlive the worker")
def hangs_at_load(t):
    fake = Fake()
    worker = Worker(t, argv=["-o", f"worker.state_dir={t.path('state')}",
                             module("bad_hang")], env={
        "ORCHESTRATOR_URL": fake.url, "WORKER_TOKEN": TOKEN, "HANG": "load"})
    eventually(lambda: any("bad_hang" in proc_read(p, "maps")
                           for p in worker.children()), "it is being loaded")
    worker.signal(signal.SIGKILL)
    worker.wait()
    t.no_strays(SOON)


@case("a describing process that somebody kills is tried again, once")
def killed_at_load(t):
    worker = Worker(t, argv=["-t", "--local", "/dev/null",
                             module("bad_hang")], env={"HANG": "load"})
    seen = set()

    def loading():
        return [p for p in worker.children() if p not in seen and
                "bad_hang" in proc_read(p, "maps")]
    for _ in range(2):
        child, = eventually(loading, "it is being loaded")
        seen.add(child)
        os.kill(child, signal.SIGKILL)
    same(worker.wait(), CONFIG, "exit status")
    one_line(worker.log(), "not by us", "trying again")
    one_line(worker.log(), "not by us", "ERROR")


@case("a file that hangs when its describing process ends is described")
def hangs_at_exit(t):
    fake = Fake()
    worker = Worker(t, argv=["-o", f"worker.state_dir={t.path('state')}",
                             module("bad_hang")], env={
        "ORCHESTRATOR_URL": fake.url, "WORKER_TOKEN": TOKEN, "HANG": "exit"})
    fake.put(task("t-1", "patient"))
    same(fake.wait_result("t-1")["status"], "success", "status")
    worker.signal(signal.SIGTERM)
    same(worker.wait(), OK, "exit status")


@case("a reader of the log that has stopped reading holds nobody up")
def stuck_reader(t):
    fake = Fake()
    fifo = t.path("fifo")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    worker = t.worker(fake.url, args=["-o", "log.level=debug"],
                      before=["sh", "-c", 'exec "$@" 2> "$0"', fifo])
    for i in range(300):  # some lines each, and a pipe holds 64 KiB
        fake.put(task(f"t-{i}"))
    for i in range(300):
        same(fake.wait_result(f"t-{i}")["status"], "success", "status")
    seen = []

    def told():
        try:
            seen.append(os.read(reader, 1 << 20).decode())
        except BlockingIOError:
            fake.put(task(f"more-{len(seen)}"))
            seen.append("")
        return re.search(r"could not be written and (is|are) lost", "".join(seen))
    eventually(told, lambda: "the loss is told: " + "".join(seen)[-500:])
    worker.signal(signal.SIGTERM)
    same(worker.wait(), OK, "exit status")


@case("no handlers at all are refused")
def no_handlers(t):
    status, _, log = run(t, ["--local", "/dev/null"])
    same(status, CONFIG, "exit status")
    check("handler" in log, f"log: {log}")


# Configuration -------------------------------------------------------------

@case("refuses a configuration, with file and line: {}",
      ("unknown key", "worker {\n    idd = x\n}\n", 2, "id"),
      ("unknown block", "worker {\n}\n\nwroker {\n}\n", 4, "worker"),
      ("no number", "category a {\n    children = many\n}\n", 2, "number"),
      ("out of range", "category a {\n    children = 0\n}\n", 2, "1"),
      ("bad unit", "worker {\n    heartbeat_interval = 5x\n}\n", 2, "5x"),
      ("bad choice", "log {\n\n    level = loud\n}\n", 3, "debug"),
      ("key twice", "worker {\n    id = a\n    id = b\n}\n", 3, "2"),
      ("block twice", "category a {\n}\ncategory a {\n}\n", 3, "1"),
      ("block not ended", "worker {\n    id = a\n", 1, "}"),
      ("quote not ended", 'worker {\n    id = "a\n}\n', 2, '"'),
      ("reserved id", "worker {\n    id = ghost\n}\n", 2, "ghost"),
      ("id with a slash", 'worker {\n    id = "a/b"\n}\n', 2, "a/b"),
      ("not a URL", 'orchestrator a {\n    url = "example"\n}\n', 2, "http"),
      ("ftp", 'orchestrator a {\n    url = "ftp://x"\n}\n', 2, "http"),
      ("token in the file", "orchestrator a {\n    token = x\n}\n", 2,
       "token_file"),
      ("no file of a module", "module a {\n}\n", 1, "file"),
      ("after many comments", "# one\n# two\n/* three\n four */\nworker {\n"
       "    # six\n    idd = x\n}\n", 7, "id"))
def bad_config(t, _name, text, line, word):
    status, out, log = run(t, ["-t"], text, {"WORKER_TOKEN": TOKEN})
    same(status, CONFIG, f"exit status ({log})")
    same(out, "", "standard output")
    found = one_line(log, f"test.conf:{line}:")
    check(word in found.partition(f":{line}:")[2],
          f"no {word!r} in {found!r}")
    # The same without -t.
    status, _, log = run(t, [], text, {"WORKER_TOKEN": TOKEN})
    same(status, CONFIG, "exit status")
    one_line(log, f"test.conf:{line}:")


@case("lists all value errors together")
def all_errors(t):
    status, _, log = run(t, ["-t"], """worker {
    id = "a b"
    heartbeat_interval = soon
}
category x {
    children = -4
}
""", {"WORKER_TOKEN": TOKEN, "ORCHESTRATOR_URL": "http://127.0.0.1:1"})
    same(status, CONFIG, "exit status")
    for line in (2, 3, 6):
        one_line(log, f"test.conf:{line}:")


@case("errors of the environment and of -o are named as such")
def other_sources(t):
    status, _, log = run(t, ["-t", ZOO], env={
        "ORCHESTRATOR_URL": "nowhere", "WORKER_TOKEN": TOKEN})
    same(status, CONFIG, "exit status")
    one_line(log, "environment", "ORCHESTRATOR_URL", "http")
    status, _, log = run(t, ["-t", "-o", "category/a.children=x", ZOO],
                         env={"ORCHESTRATOR_URL": "http://127.0.0.1:1",
                              "WORKER_TOKEN": TOKEN})
    same(status, CONFIG, "exit status")
    one_line(log, "category/a.children")
    for option, word in (("worker.idd=x", "idd"), ("worker.id", "VALUE"),
                         ("id=x", "VALUE"), ("worker/b.id=x", "worker")):
        status, _, log = run(t, ["-t", "-o", option, ZOO])
        same(status, CONFIG, f"exit status of {option}")
        one_line(log, "-o", word)


@case("a worker without orchestrator or token is refused, with advice")
def nothing_to_do(t):
    status, _, log = run(t, [ZOO])
    same(status, CONFIG, "exit status")
    check("ORCHESTRATOR_URL" in log, f"no advice: {log}")
    status, _, log = run(t, [ZOO], env={
        "ORCHESTRATOR_URL": "http://127.0.0.1:1"})
    same(status, CONFIG, "exit status")
    check("WORKER_TOKEN" in log, f"no advice: {log}")


@case("a configuration file that is not there is refused")
def no_file(t):
    status, _, log = run(t, ["-c", t.path("none.conf"), "-t"])
    same(status, CONFIG, "exit status")
    one_line(log, t.path("none.conf"), "No such file")


@case("a missing child program is told at once")
def no_child(t):
    missing = t.path("not-installed")
    status, _, log = run(t, ["--local", "/dev/null", ZOO],
                         env={"AVTOWORKER_CHILD": missing})
    check(status not in (0, 1), f"exit status {status}")
    one_line(log, missing)


# What is shown -------------------------------------------------------------

FULL = """
worker {{
    id = parser-worker-1           # a comment
    type = parser
    max_concurrent_tasks = 7
    heartbeat_interval = 1500ms
    shutdown_timeout = 2m
    state_dir = /var/lib/avtoworker
}}
log {{
    format = json
}}
orchestrator main {{
    url = http://localhost:8000    # as in every example
    token_file = {token}
    protocol = classic
}}
category heavy {{
    children = 2
}}
category light {{ children = 10 }}
module zoo {{
    file = {zoo}
}}
handler upper {{
    category = heavy
}}
"""


def full(t):
    """Most of what there is to configure, unquoted where that is allowed."""
    return FULL.format(zoo=ZOO, token=t.write("token", TOKEN + "\n"))


@case("-t says that a good configuration is good")
def good(t):
    status, out, log = run(t, ["-t"], full(t))
    same(status, OK, f"exit status ({log})")
    check("ok" in (out + log).lower(), f"it says {out + log!r}")
    same([x for x in log.splitlines() if "ERROR" in x], [], "errors")


@case("-T writes what reads back as itself")
def fixed_point(t):
    status, first, log = run(t, ["-T"], full(t))
    same(status, OK, f"exit status ({log})")
    for text in ("parser-worker-1", "http://localhost:8000", "1500ms",
                 "children", ZOO, t.path("token")):
        check(text in first, f"no {text} in {first}")
    check(not TIMESTAMP.search(first), f"log lines in {first}")
    status, second, log = run(t, ["-T"], first)
    same(status, OK, f"exit status ({log})")
    same(second, first, "the second time")


@case("command line beats environment beats file beats default")
def precedence(t):
    env = {"WORKER_ID": "from-env", "WORKER_TYPE": "from-env",
           "MAX_CONCURRENT_TASKS": "3"}
    _, out, log = run(t, ["-T", "-o", "worker.id=from-argv"],
                      full(t), env)
    for pattern in (r"\bid\s*=\s*\"?from-argv", r"type\s*=\s*\"?from-env",
                    r"max_concurrent_tasks\s*=\s*\"?3",
                    r"poll_interval\s*=\s*\"?1s"):
        check(re.search(pattern, out), f"no {pattern} in {out} {log}")


@case("--help tells every key, --version the version, both on stdout")
def help_and_version(t):
    status, out, log = run(t, ["--help"])
    same((status, log), (OK, ""), "exit status and stderr")
    for word in ("Usage", "--local", "heartbeat_interval", "WORKER_TOKEN",
                 "token_file", "children", "state_dir"):
        check(word.lower() in out.lower(), f"no {word} in {out}")
    for option in ("--version", "-v"):
        status, out, log = run(t, [option])
        same((status, log), (OK, ""), f"exit status and stderr of {option}")
        check(re.search(r"avtoworker.*\d+\.\d+", out), f"it says {out!r}")


@case("wrong usage is told in short, with exit status 64: {}",
      ("unknown option", ["--no-such-option"]),
      ("unknown letter", ["-Z"]),
      ("-c without file", ["-c"]),
      ("-o without a value", ["-o"]),
      ("--local without file", ["--local"]))
def usage(t, _name, args):
    status, out, log = run(t, args)
    same(status, USAGE, f"exit status ({log})")
    same(out, "", "standard output")
    check(0 < len(log.splitlines()) <= 8, f"log: {log}")


# Secrets -------------------------------------------------------------------

def secret_shows(t, worker, secret):
    """Where the secret can be read."""
    places = {"log": worker.log(), "output": worker.output()}
    for pid in [worker.pid, *worker.children()]:
        for name in ("cmdline", "environ"):
            places[f"{name} of {pid}"] = proc_read(pid, name)
    for base, _, files in os.walk(t.path("state")):
        for f in files:
            if not f.endswith(".sock"):
                places[f] = harness.read(os.path.join(base, f))
    return [place for place, text in places.items() if secret in text]


@case("a token from the environment wins over the one from a file")
def token_wins(t):
    fake = Fake()
    config = t.config(fake.url, token="of-another")
    worker = Worker(t, config, env={"WORKER_TOKEN": fake.token})
    worker.wait_log("registered at")
    worker.drain()


@case("a check that is interrupted has not found everything in order")
def interrupted_check(t):
    config = t.config(Fake().url, more='module hang { file = "'
                      + module("bad_hang") + '" }\n')
    worker = Worker(t, argv=["-t", "-c", t.write("w.conf", config),
                             module("bad_hang")], env={"HANG": "load"})
    eventually(lambda: any("--describe" in proc_read(p, "cmdline")
                           for p in worker.children()), "it checks")
    worker.signal(signal.SIGINT)
    same(worker.wait(), 75, "exit status")
    same(worker.output(), "", "output")


@case("the token is nowhere to be seen, {}",
      ("from the environment",), ("from a file",))
def token_hidden(t, source):
    secret = "s3cret-" + os.urandom(8).hex()
    fake = Fake()
    fake.token = secret
    config, env = t.config(fake.url, token=secret,
                           worker="heartbeat_interval = 1s"), {}
    config += "log {\n    level = debug\n}\n"
    if "environment" in source:
        config = re.sub("token_file = .*", "", config)
        env = {"WORKER_TOKEN": secret}
    worker = Worker(t, config, env=env)
    fake.put(task("t-1", "print", {"out": "hello\n"}))
    fake.wait_result("t-1")
    fake.wait_requests("heartbeat", 2)
    worker.wait_serving(4 + 2 + 1)
    same(secret_shows(t, worker, secret), [], "places")
    # And when it goes wrong.
    fake.token = "another"
    worker.wait_log("40[13]")
    same(secret_shows(t, worker, secret), [], "places, after a refusal")
    path = t.path("worker.conf")
    status, out, log = run(t, ["-c", path, "-T"], env=env)
    same(status, OK, f"exit status of -T ({log})")
    check(secret not in out + log, "-T shows the token")
    status, out, log = run(t, ["-c", path, "-T", "-o", "worker.id=a/b"],
                           env=env)
    check(secret not in out + log, "an error shows the token")
    fake.token = secret
    worker.drain()


@case("children have an environment of their own, without our secrets")
def environment(t):
    fake = Fake()
    config = re.sub("token_file = .*", "", t.config(fake.url))
    worker = Worker(t, config, env={
        "WORKER_INDIVIDUAL_TOKEN": TOKEN + "-2", "S3_SECRET_KEY": "s3-key-1",
        "ORCHESTRATOR_SECRET_KEY": "orch-key-1", "HARMLESS": "harmless-1"})
    fake.token = TOKEN + "-2"
    for pid in worker.wait_serving(4 + 2 + 1):
        text = proc_read(pid, "environ")
        check("PATH=" in text, f"no PATH in {text}")
        for secret in (TOKEN, "s3-key-1", "orch-key-1"):
            check(secret not in text, f"{secret} in the environment")
        check("harmless-1" not in text, "not an allowlist")
    worker.kill()


@case("nothing of ours is open in a child, and signals are as at birth")
def descriptors(t):
    def fds(pid):
        return sorted(int(x) for x in os.listdir(f"/proc/{pid}/fd"))

    fake = Fake()
    worker = Worker(t, t.config(fake.url))
    for pid in worker.wait_serving(4 + 2 + 1):
        # While it starts it reads its files.
        eventually(lambda pid=pid: fds(pid) == [0, 1, 2, 3],
                   lambda pid=pid: f"descriptors: {fds(pid)}")
        same(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null", "stdin")
        blocked = re.search(r"SigBlk:\s+(\w+)", proc_read(pid, "status"))
        same(int(blocked.group(1), 16), 0, "blocked signals")
        same(os.getsid(pid), pid, "session")
    worker.drain()


@case("the worker makes an id at its first start, and keeps it")
def kept_id(t):
    fake = Fake()
    config = re.sub(r"\bid = .*", "", t.config(fake.url))
    ids = []
    for _ in range(2):
        count = len(fake.of_kind("register"))
        worker = Worker(t, config)
        ids.append(fake.wait_requests("register", count + 1)[-1]
                   .json()["worker_id"])
        fake.wait_requests("poll", 1)
        worker.drain()
    same(ids[0], ids[1], "worker id")
    check(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", ids[0]), f"id {ids[0]!r}")


@case("log lines are as in the guide, or JSON")
def log_lines(t):
    fake = Fake()
    for form in ("text", "json"):
        worker = Worker(t, t.config(fake.url), env={"LOG_FORMAT": form})
        fake.put(task(f"t-{form}", "print", {"out": "hello there\n"}))
        fake.wait_result(f"t-{form}")
        worker.drain()
        for line in worker.log().splitlines():
            if form == "text":
                check(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - \S+"
                               r" - (DEBUG|INFO|WARNING|ERROR) - .", line),
                      f"line: {line}")
            else:
                record = harness.json.loads(line)
                for key in ("timestamp", "name", "level", "message"):
                    check(key in record, f"no {key}: {line}")
        hello, = worker.lines("hello there")
        check(f"t-{form}" in hello and f"job-t-{form}" in hello,
              f"no ids: {hello}")


main()
