#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""avtoworkerctl, and the control socket that it asks."""
import json
import os
import re
import socket
import subprocess
import sys

sys.dont_write_bytecode = True

from fake_orchestrator import Fake, task  # noqa: E402
from harness import (BUILD, LIMIT, case, check, eventually,  # noqa: E402
                     main, same)

CTL = os.path.join(BUILD, "avtoworkerctl")
NOBODY = 65534


class Scene:
    """A worker that is registered, and its socket."""

    def __init__(self, t, **more):
        self.t = t
        self.fake = Fake()
        self.socket = t.path("state/control.sock")
        self.worker = t.worker(
            self.fake.url, orchestrator="protocol = classic", **more)
        self.worker.wait_log("registered at")

    def ctl(self, *args, status=0, **more):
        """Its output, or what it complains of."""
        return ctl("-s", self.socket, *args, status=status, **more)

    def json(self, command):
        return json.loads(self.ctl(command, "-j"))

    def category(self, name):
        return [c for c in self.json("status")["categories"]
                if c["name"] == name and not c["retiring"]][0]

    def raw(self, data, end=True):
        """Bytes to the socket, and what comes back."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(LIMIT)
            s.connect(self.socket)
            try:
                s.sendall(data)
                if end:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it need not take everything
            got = b""
            while True:
                try:
                    more = s.recv(65536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    return got
                got += more


def ctl(*args, status=0, env=None, user=None):
    done = subprocess.run([CTL, *args], capture_output=True, text=True,
                          env=env, user=user, timeout=60, check=False)
    same(done.returncode, status, f"exit status of {args}; {done.stderr}")
    if status != 0:
        same(done.stdout, "", "output")
        check(done.stderr.startswith("avtoworkerctl: ") or status == 64,
              done.stderr)
    return done.stdout if status == 0 else done.stderr


@case("status shows the worker and its categories")
def status(t):
    scene = Scene(t, light=4, heavy=2)
    eventually(lambda: scene.category("light")["idle"] == 4,
               "four children are idle")
    text = scene.ctl("status")
    check(re.search(r"^worker +w-1$", text, re.M), text)
    check(re.search(r"^state +running$", text, re.M), text)
    check(re.search(rf"^up +\d+s, PID {scene.worker.pid}, configuration 1$",
                    text, re.M), text)
    check(re.search(r"^light +4 +0 +4 +0 +0 +0 +offered$", text, re.M), text)
    answer = scene.json("status")
    same(answer["worker_id"], "w-1", "worker_id")
    same(answer["registered"], True, "registered")
    same(answer["pid"], scene.worker.pid, "pid")
    scene.worker.drain()


@case("ps shows children and what they run")
def ps(t):
    scene = Scene(t, light=1, heavy=2)
    gate = t.gate()
    scene.fake.put(task("long-task", "slow",
                        {"gate": gate.path, "name": "n"}))
    child = gate.wait(1)[0][1]
    lines = scene.ctl("ps").splitlines()
    same(lines[0].split(),
         ["CHILD", "CATEGORY", "STATE", "TASK", "TYPE", "SINCE"], "title")
    check(any(re.fullmatch(r"\d+ +heavy +busy +long-task +slow +\d+s", x)
              for x in lines), lines)
    check(any(re.fullmatch(r"\d+ +light +\w+ +- +- +\d+s", x)
              for x in lines), lines)
    column = lines[0].index("SINCE")
    check(all(x[column - 1] == " " and x[column] != " " for x in lines),
          "columns are aligned")
    rows = scene.json("ps")["children"]
    busy = [r for r in rows if r["state"] == "busy"]
    same([r["task_id"] for r in busy], ["long-task"], "busy children")
    same(busy[0]["job_id"], "job-long-task", "job")
    check(child == busy[0]["pid"] or busy[0]["pid"] in
          scene.worker.children(), f"pid {busy[0]['pid']} of {child}")
    gate.open()
    scene.fake.wait_result("long-task")
    scene.worker.drain()


@case("pause and resume, of everything")
def pause(t):
    scene = Scene(t)
    same(scene.ctl("pause"), "", "output")
    same(scene.json("status")["paused"], True, "paused")
    eventually(lambda: scene.json("status")["polls"] == 0, "no polls")
    scene.fake.put(task("e", "echo"))
    same(scene.json("status")["polls"], 0, "polls")
    same(scene.ctl("resume"), "", "output")
    same(scene.fake.wait_result("e")["status"], "success", "status")
    same(scene.json("status")["paused"], False, "paused")
    scene.worker.drain()


@case("pause and resume, of a category")
def pause_category(t):
    scene = Scene(t)
    scene.ctl("pause", "heavy")
    same(scene.category("heavy")["paused"], True, "heavy is paused")
    same(scene.category("light")["paused"], False, "light is paused")
    check("paused" in scene.ctl("status"), "status does not say it")
    scene.fake.put(task("s", "slow"))
    eventually(lambda: scene.category("heavy")["queued"] == 1, "it waits")
    for i in range(3):
        scene.fake.put(task(f"e{i}", "echo"))
        scene.fake.wait_result(f"e{i}")
    row = scene.category("heavy")
    same((row["queued"], row["busy"]), (1, 0), "heavy while it is paused")
    scene.ctl("resume", "heavy")
    same(scene.category("heavy")["paused"], False, "heavy is paused")
    same(scene.fake.wait_result("s")["status"], "success", "status")
    said = scene.ctl("pause", "no-such", status=1)
    check("no category no-such" in said and "heavy" in said, said)
    scene.worker.drain()


@case("what waits in a paused category takes no place from the others")
def pause_places(t):
    scene = Scene(t, light=2, heavy=1,
                  worker="max_concurrent_tasks = 2\n    max_queued = 10")
    scene.ctl("pause", "heavy")
    for i in range(2):
        scene.fake.put(task(f"s{i}", "slow"))
    eventually(lambda: scene.category("heavy")["queued"] == 2, "they wait")
    for i in range(3):
        scene.fake.put(task(f"e{i}", "echo"))
        same(scene.fake.wait_result(f"e{i}")["status"], "success", "status")
    scene.ctl("resume", "heavy")
    for i in range(2):
        same(scene.fake.wait_result(f"s{i}")["status"], "success", "status")
    scene.worker.drain()


@case("a stop hands back what waits in a paused category, at once")
def pause_drain(t):
    scene = Scene(t, worker="shutdown_timeout = 10m")
    scene.ctl("pause", "heavy")
    scene.fake.put(task("s", "slow"))
    eventually(lambda: scene.category("heavy")["queued"] == 1, "it waits")
    scene.ctl("drain")
    result = scene.fake.wait_result("s")
    same(result["error"]["code"], "TRANSIENT_ERROR", "code")
    scene.worker.gone()


@case("drain ends the worker in good order")
def drain(t):
    scene = Scene(t)
    gate = t.gate()
    scene.fake.put(task("s", "slow", {"gate": gate.path, "name": "s"}))
    gate.wait(1)
    check("drain" in scene.ctl("drain"), "it does not say what it does")
    scene.worker.wait_log("draining")
    same(scene.json("status")["state"], "draining", "state")
    gate.open()
    same(scene.fake.wait_result("s")["status"], "success", "status")
    scene.worker.gone()
    said = scene.ctl("status", status=69)
    check("no worker answers at " + scene.socket in said, said)


@case("reload makes another generation")
def reload(t):
    scene = Scene(t)
    check("reload" in scene.ctl("reload"), "it does not say what it does")
    eventually(lambda: scene.json("status")["generation"] == 2,
               "the second generation")
    scene.worker.drain()


@case("what is wrong with the command line is said")
def usage(t):
    for args in ([], ["frob"], ["-x"], ["status", "more"],
                 ["drain", "heavy"], ["pause", "a", "b"], ["-j", "drain"],
                 ["-n", "../etc", "status"], ["-n"]):
        ctl(*args, status=64)
    check("usage:" in ctl("-h"), "no help")
    check(ctl("--version").startswith("avtoworker "), "no version")
    said = ctl("-s", t.path("nothing"), "status", status=69)
    check("no worker answers at" in said, said)
    ctl("-s", "/" + "x" * 200, "status", status=69)


@case("the socket is found as the worker has made it")
def found(t):
    fake = Fake()
    folder = t.path("given")
    env = {"STATE_DIRECTORY": folder}
    config = re.sub("state_dir = .*", "", t.config(fake.url))
    path = t.write("named.conf", config)
    worker = t.worker(fake.url)  # only for its environment
    worker.kill()
    environ = {**os.environ, **env, "HOME": t.path("home"),
               "AVTOWORKER_CHILD": os.path.join(BUILD, "avtoworker-child")}
    named = type(worker)(t, argv=["-c", path], env=environ)
    named.wait_log("registered at")
    answer = json.loads(ctl("status", "-j", env=environ))
    same(answer["pid"], named.pid, "pid")
    same(json.loads(ctl("-n", "named", "-j", "status", env=environ))["pid"],
         named.pid, "pid")
    said = ctl("status", status=69, env={**environ, "STATE_DIRECTORY": t.dir})
    check("these answer: given\n" in said, said)
    named.signal(15)
    same(named.wait(), 0, "exit status")


@case("another user is refused")
def stranger(t):
    scene = Scene(t)
    if os.geteuid() != 0:
        return  # it cannot be tried
    # However wide somebody opens the way to it.
    os.chmod(t.dir, 0o755)
    os.chmod(t.path("state"), 0o755)
    os.chmod(scene.socket, 0o666)
    reachable = subprocess.run(["test", "-x", CTL], user=NOBODY,
                               check=False).returncode == 0
    if reachable:
        scene.ctl("drain", status=69, user=NOBODY)
        scene.worker.wait_log(f"user {NOBODY} may not use the control socket")
    same(scene.json("status")["state"], "running", "state")
    scene.worker.drain()


@case("garbage is answered and changes nothing")
def garbage(t):
    scene = Scene(t)
    for data in (b"\n", b"hello\n", b"{}\n", b'{"command":"drain"}',
                 b'{"command":"dr', b"\0\xff\n", b" " * 1000000,
                 b"[" * 60000 + b"\n"):
        got = scene.raw(data)
        check(b'"error"' in got, f"{data[:20]}: {got[:200]}")
    same(scene.raw(b""), b"", "nothing for nothing")
    same(json.loads(scene.raw(b'{"command":"status"}\nmore', False))["ok"],
         True, "ok")
    same(scene.json("status")["state"], "running", "state")
    scene.worker.drain()


if __name__ == "__main__":
    main()
