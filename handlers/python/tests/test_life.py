#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The life of a child: set-up, the end, signals, processes of its own."""
import os
import signal
import sys

sys.dont_write_bytecode = True

from peer import (LIMIT, PROGRESS, RESULT, STATE, STOP, case,  # noqa: E402
                  check, main, same)

WHOLE = """
    import asyncio, atexit, os
    from avtomatika_worker import Worker
    worker = Worker()
    ticks = 0
    print("set up once in", os.getpid(), flush=True)
    atexit.register(print, "atexit")

    @worker.task("ticks")
    async def count(params):
        seen = ticks
        while ticks < seen + 2:
            await asyncio.sleep(0)
        return {"data": {"pid": os.getpid()}}

    @worker.task("wait")
    async def wait(params, send_progress):
        await send_progress(0.1)
        while not os.path.exists("go"):
            await asyncio.sleep(0.001)
        return {"data": {"done": True}}

    @worker.task("leave")
    async def leave(params):
        await worker.stop()
        return {"data": {"left": True}}

    async def tick():
        global ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def main():
        background = asyncio.ensure_future(tick())
        try:
            await worker.main()
            print("after main")
        finally:
            background.cancel()
            print("finally")

    if __name__ == "__main__":
        asyncio.run(main())
        print("after run")
"""
END = "after main\nfinally\nafter run\natexit\n"


@case("set-up is done once, and what comes after main() is run")
def whole(t):
    s = t.script(WHOLE)
    s.ready()
    pids = {s.run("ticks")["data"]["pid"] for _ in range(3)}
    same(len(pids), 1, "processes")
    lease = s.begin("wait")
    s.until(PROGRESS, lease)
    s.send(STOP)
    late = s.begin("ticks")
    t.write("go", "")
    same(s.until(RESULT, lease)["data"], {"done": True}, "the one at hand")
    same(s.wait(), 0, "exit status")
    check(not [x for x in s.seen if x[1] == late], "a late task was begun")
    same(s.output(), f"set up once in {pids.pop()}\n" + END, "output")


@case("worker.stop() ends this child after its task")
def stop(t):
    s = t.script(WHOLE)
    s.ready()
    other = s.begin("wait")
    s.until(PROGRESS, other)
    lease = s.begin("leave")
    same(s.until(STATE), {"leaving": True}, "what it asks for")
    crossed = s.begin("ticks")  # what is on its way is run
    t.write("go", "")
    results = {}
    while len(results) < 3:
        kind, number, payload = s.frame()
        if kind == RESULT:
            results[number] = payload["data"]
    same((results[lease], results[other], "pid" in results[crossed]),
         ({"left": True}, {"done": True}, True), "results")
    same(s.stop(), 0, "exit status")
    check(s.output().endswith(END), s.output())


@case("a stop during set-up is obeyed")
def early(t):
    s = t.script("""
        import asyncio
        from avtomatika_worker import Worker, _program
        worker = Worker()
        worker.task("it")(lambda params: None)

        async def main():
            while not _program.current().stopping:
                await asyncio.sleep(0.001)
            await worker.main()
            print("left")

        asyncio.run(main())
    """)
    s.send(STOP)
    same(s.wait(), 0, "exit status")
    same(s.output(), "left\n", "output")


@case("without a supervisor a child goes at once")
def abandoned(t):
    s = t.script(WHOLE)
    s.ready()
    s.until(PROGRESS, s.begin("wait"))
    s.sock.shutdown(2)
    same(s.process.wait(LIMIT), os.EX_PROTOCOL, "exit status")


@case("signals to everybody end nothing, and reach the script's handlers")
def signals(t):
    s = t.script("""
        import asyncio, signal, subprocess, sys
        from avtomatika_worker import Worker
        worker = Worker()
        got = []

        @worker.task("it")
        async def it(params):
            return {"data": {"got": got}}

        @worker.task("terminate")
        def terminate(params):
            code = "import signal; signal.pause()"
            child = subprocess.Popen([sys.executable, "-c", code])
            child.terminate()
            return {"data": {"status": child.wait()}}

        async def main():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, got.append, "usr1")
            await worker.main()

        asyncio.run(main())
    """)
    s.ready()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        s.process.send_signal(number)
    same(s.run("it")["data"], {"got": []}, "none of the script's")
    s.process.send_signal(signal.SIGUSR1)
    while s.run("it")["data"] != {"got": ["usr1"]}:
        pass
    same(s.run("terminate")["data"], {"status": -signal.SIGTERM},
         "a process that a handler terminates")
    same(s.stop(), 0, "exit status")


@case("a process that is ended as soon as it is forked does end")
def ended_early(t):
    s = t.script("""
        import os, select, signal
        from avtomatika_worker import Worker
        worker = Worker()

        def ended():
            pid = os.fork()
            if pid == 0:
                select.select([], [], [], 10)
                os._exit(1)
            os.kill(pid, signal.SIGTERM)
            return os.WTERMSIG(os.waitpid(pid, 0)[1])

        @worker.task("it")
        def it(params):
            return {"data": {
                "ends": all(ended() == signal.SIGTERM for _ in range(200)),
                "blocked": len(signal.pthread_sigmask(0, []))}}

        worker.run()
    """)
    s.ready()
    same(s.run("it")["data"], {"ends": True, "blocked": 0}, "the end")
    same(s.stop(), 0, "exit status")


PROCESSES = """
    import asyncio, concurrent.futures, logging, multiprocessing, os, sys
    import subprocess
    from avtomatika_worker import Worker
    worker = Worker()
    setup = None

    def square(n):
        logging.getLogger("pool").warning("in the pool")
        return n * n, os.getpid()

    def descriptors(_n):
        found = []
        for name in os.listdir("/proc/self/fd"):
            try:
                found.append(os.readlink("/proc/self/fd/" + name))
            except OSError:
                pass
        return found

    def same_socket(links):
        return [x for x in links if x in channel]

    channel = [x for x in descriptors(0) if x.startswith("socket:")][:1]

    def pool(method):
        return concurrent.futures.ProcessPoolExecutor(
            2, mp_context=multiprocessing.get_context(method))

    async def answers(executor):
        loop = asyncio.get_running_loop()
        n, pid = await loop.run_in_executor(executor, square, 7)
        links = await loop.run_in_executor(executor, descriptors, 0)
        return {"data": {"n": n, "other": pid != os.getpid(),
                         "held": same_socket(links)}}

    @worker.task("inside")
    async def inside(params):
        with pool(params["method"]) as executor:
            return await answers(executor)

    @worker.task("setup")
    async def from_setup(params):
        return await answers(setup)

    @worker.task("program")
    async def program(params):
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", "ls -l /proc/self/fd; echo $AVTOWORKER_CHANNEL",
            stdout=subprocess.PIPE)
        text = (await process.communicate())[0].decode()
        return {"data": {"held": [x for x in channel if x in text],
                         "channel": text.splitlines()[-1]}}

    @worker.task("pool")
    def threads_of_processes(params):
        with multiprocessing.get_context("fork").Pool(2) as old:
            return {"data": {"n": old.map(square, [3])[0][0]}}

    @worker.task("fork")
    def fork(params):
        pid = os.fork()
        if pid == 0:
            logging.getLogger("forked").error("from the fork")
            os._exit(0 if not same_socket(descriptors(0)) else 1)
        return {"data": {"status": os.waitpid(pid, 0)[1]}}

    async def main():
        global setup
        with pool("fork") as setup:
            await worker.main()

    if __name__ == "__main__":
        asyncio.run(main())
"""


@case("processes that a script starts have no channel, and pools work")
def processes(t):
    s = t.script(PROCESSES)
    s.ready()
    answer = {"n": 49, "other": True, "held": []}
    same(s.run("setup").get("data"), answer, f"in set-up: {s.logs}")
    for method in ("fork", "spawn", "forkserver"):
        same(s.run("inside", {"method": method}).get("data"), answer,
             f"{method}: {s.logs}")
    same(s.run("pool").get("data"), {"n": 9}, "multiprocessing.Pool")
    same(s.run("program")["data"], {"held": [], "channel": ""}, "a program")
    same(s.run("fork")["data"], {"status": 0}, "os.fork()")
    check("from the fork" in s.output() and "in the pool" in s.output(),
          s.output())
    same(s.stop(), 0, "exit status")


@case("a program that has ended before its Worker keeps its names")
def pickled_late(t):
    text = PROCESSES.replace("asyncio.run(main())", "pass")
    t.write("pack/__init__.py", "")
    t.write("pack/late.py", text)
    for target in (None, ["-m", "pack.late"]):
        s = t.script(text if target is None else None, target=target)
        s.ready()
        for method in ("fork", "spawn"):
            same(s.run("inside", {"method": method}).get("data"),
                 {"n": 49, "other": True, "held": []},
                 f"{target} {method}: {s.logs}")
        same(s.stop(), 0, "exit status")


@case("main() that the script cancels takes its tasks with it")
def cancelled_main(t):
    s = t.script("""
        import asyncio, os
        from avtomatika_worker import Worker
        worker = Worker()

        @worker.task("wait")
        async def wait(params, send_progress):
            await send_progress(0.1)
            await asyncio.sleep(1000)

        async def main():
            running = asyncio.ensure_future(worker.main())
            while not os.path.exists("go"):
                await asyncio.sleep(0.001)
            running.cancel()
            try:
                await running
            except asyncio.CancelledError:
                print("cancelled")

        asyncio.run(main())
    """)
    s.ready()
    lease = s.begin("wait")
    s.until(PROGRESS, lease)
    t.write("go", "")
    result = s.until(RESULT, lease)
    same((result["status"], result["error"]["code"]),
         ("failure", "TRANSIENT_ERROR"), "result")
    same(s.wait(), 0, "exit status")
    same(s.output(), "cancelled\n", "output")


LINGERS = """
    import asyncio, logging, os, threading, time
    from avtomatika_worker import Worker
    worker = Worker()

    @worker.task("it")
    async def it(params):
        return {}

    async def main():
        running = asyncio.ensure_future(worker.main())
        while not os.path.exists("go"):
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait([running])
        try:
            await worker.main()
        except RuntimeError as e:
            logging.warning("%s", e)

    def wait():
        while not os.path.exists("end"):
            time.sleep(0.001)
        logging.warning("ends")

"""


@case("a script that goes on behind main() takes no more tasks")
def lingers(t):
    for name, ending in (
            ("a thread", "threading.Thread(target=wait).start()\n"
                         "    asyncio.run(main())"),
            ("code", "asyncio.run(main())\n    wait()")):
        s = t.script(LINGERS + "    " + ending)
        s.ready()
        same(s.run("it")["status"], "success", name)
        t.write("go", "")
        while s.frame() is not None:
            pass
        check(s.process.poll() is None, f"{name}: it has ended")
        said = [x[2]["message"] for x in s.seen if x[0] == "log"]
        check(any("cannot begin again" in m for m in said), said)
        check("takes no more tasks" in said[-1], said)
        t.write("end", "")
        same(s.process.wait(LIMIT), 0, f"{name}: exit status")
        check("ends" in s.output(), f"{name}: {s.output()}")
        for file in ("go", "end"):
            os.unlink(os.path.join(t.folder, file))


@case("a crash leaves a traceback, and a broken frame ends the child")
def crashes(t):
    s = t.script("""
        import ctypes, os
        from avtomatika_worker import Worker
        worker = Worker()

        @worker.task("crash")
        def crash(params):
            ctypes.string_at(0)

        worker.run()
    """)
    s.ready()
    s.begin("crash")
    same(s.wait(), -signal.SIGSEGV, "exit status")
    check("Fatal Python error: Segmentation fault" in s.output() and
          "in crash" in s.output(), s.output())
    for broken, words in ((b"\xff" * 16, "header"),
                          (b"\3\0\0\0\1\0\0\0" + b"\0" * 8 + b"{]}", "JSON"),
                          (b"\2\0\0\0\x63\0\0\0" + b"\0" * 8 + b"{}", "99")):
        s = t.script(WHOLE)
        s.ready()
        s.sock.sendall(broken)
        same(s.wait(), os.EX_PROTOCOL, f"exit status: {words}")
        check(words in s.output(), s.output())


METRICS = """
    import os
    from avtomatika_worker import Worker
    from prometheus_client import Counter, start_http_server
    import prometheus_client
    start_http_server(9999)
    prometheus_client.start_http_server(port=9999)
    worker = Worker()
    worker.task("it")(lambda params: None)
    worker.run()
"""


@case("a child's prometheus_client binds no port")
def metrics(t):
    t.write("prometheus_client/__init__.py", """
        from .exposition import start_http_server
        def Counter(*_a):
            pass
    """)
    t.write("prometheus_client/exposition.py", """
        def start_http_server(*_a, **_n):
            raise OSError("a port")
    """)
    t.write("prometheus_client/multiprocess.py", """
        def mark_process_dead(pid):
            print("gone")
    """)
    s = t.script(METRICS, environment={"PROMETHEUS_MULTIPROC_DIR": t.folder})
    s.ready()
    check(any("/metrics" in m for m in s.messages("info")), s.logs)
    same(s.run("it")["status"], "success", "status")
    same(s.stop(), 0, "exit status")
    check("gone" in s.output(), s.output())


main()
