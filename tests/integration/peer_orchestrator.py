#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A real orchestrator as the other side of our tests.

Runs under the interpreter of an environment that peers.py made. The worker
API listens on --port; a second, tiny server on --control-port lets a test
drive it without knowing the client's dialect:

    POST /submit            {"task", "params", "count"} -> {"job_ids": [...]};
                            "{i}" in strings of params becomes 0 .. count - 1
    GET  /messages          what came over WebSockets (classic)
    GET  /jobs              {job id: outcome} of everything submitted here
    GET  /jobs/ID           {"outcome", "state", "timeline"}
    POST /jobs/ID/cancel    as a client does it
    POST /jobs/ID/state     changes members of the job's record
    POST /workers/ID/command    a command over its WebSocket
    GET  /workers           the worker records, as stored

A submit may also have what dispatching takes (DISPATCH below), "transitions",
"parallel" (a list of {"type", "params"} in place of a task), "no_timeout" and
"job", further members of what a client sends to current ones.

An outcome is pending, waiting, running, finished, bad, other, cancelled,
failed or quarantined. Prints READY when both servers listen, ends on SIGTERM.

The current releases run as they were published, but that a task leaves only
when its dispatch has been written down: with Redis a result that is quicker is
stale for them. The watcher, which looks when nobody expects it, sleeps unless
WATCHER_INTERVAL_SECONDS is given: with Redis whatever runs has timed out for it.

Classic ones are repaired from outside in three places, without which nobody
can work with them: their authentication eats the body of every result, two
queued tasks of equal priority raise TypeError, and so does the repetition of a
task that was dispatched without timeout_seconds. --as-published leaves them as
they are.

With --refusing a current one has a middleware, as its users may write them,
that refuses every result.
"""
import argparse
import asyncio
import importlib.metadata
import itertools
import json
import os
import signal
import ssl
import sys
import time

CLIENT_TOKEN = "client-token"
END_STATES = {"finished": "finished", "bad": "bad", "other": "other",
              "cancelled_state": "cancelled"}
DISPATCH = ("priority", "result_timeout_seconds", "dispatch_timeout_seconds",
            "skill_version", "skill_type", "event_transitions",
            "timeout_seconds")
OVER = {"finished", "failed", "error", "quarantined", "cancelled"}


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--control-port", type=int, required=True)
    p.add_argument("--directory", required=True, help="for its files")
    p.add_argument("--worker-token", required=True)
    p.add_argument("--poll-timeout", type=int, default=30)
    p.add_argument("--job-timeout", type=int, default=300)
    p.add_argument("--redis", help="socket of its storage; default: memory")
    p.add_argument("--as-published", action="store_true",
                   help="no repairs")
    p.add_argument("--refusing", action="store_true",
                   help="it has a middleware that refuses results")
    return p.parse_args()


def set_environment(args):
    """Orchestrators are configured by their environment alone."""
    clients = os.path.join(args.directory, "clients.toml")
    with open(clients, "w", encoding="utf-8") as f:
        f.write(f'[test]\ntoken = "{CLIENT_TOKEN}"\nplan = "test"\n'
                "monthly_attempts = 1000000000\n")
    os.environ.update(
        API_HOST="127.0.0.1", API_PORT=str(args.port),
        CLIENT_TOKEN=CLIENT_TOKEN, CLIENTS_CONFIG_PATH=clients,
        GLOBAL_WORKER_TOKEN=args.worker_token,
        WORKER_POLL_TIMEOUT_SECONDS=str(args.poll_timeout),
        WORKER_TIMEOUT_SECONDS=str(args.job_timeout),
        JOB_MAX_RETRIES="3", LOG_LEVEL="WARNING", LOG_FORMAT="text", TZ="UTC")
    os.environ.setdefault("RATE_LIMITING_ENABLED", "false")
    os.environ.setdefault("WATCHER_INTERVAL_SECONDS", "86400")


def read_bodies_early():
    """Repair 1: a middleware that reads the body before the authentication
    does, and requests that can be copied although their body was read."""
    from aiohttp import web
    from aiohttp.web_request import BaseRequest

    def copy_after_reading(method):
        def clone(self, *args, **kw):
            body, self._read_bytes = self._read_bytes, None
            try:
                new = method(self, *args, **kw)
            finally:
                self._read_bytes = body
            new._read_bytes = body
            return new
        return clone

    for cls in (BaseRequest, web.Request):
        cls.clone = copy_after_reading(cls.clone)

    @web.middleware
    async def read_first(request, handler):
        if request.path.endswith(("/tasks/result", "/register")):
            await request.read()
        return await handler(request)
    return read_first


class InOrder(dict):
    """Repair 2: a queued task that sorts by arrival, not as a dictionary."""
    count = itertools.count()

    def __init__(self, task):
        super().__init__(task)
        self.place = next(self.count)

    def __lt__(self, other):
        return self.place < other.place


def recording(base, in_order):
    """The storage class, keeping a time line of every job."""
    shown = ("status", "current_state", "retry_count", "error_message",
             "current_task_id", "task_worker_id")

    class Recorder(base):
        timeline = {}
        dispatches = {}  # task id: an event, once it is written down

        def note(self, job_id, state):
            if not isinstance(state, dict):
                return
            row = {k: state[k] for k in shown if state.get(k) is not None}
            rows = self.timeline.setdefault(job_id, [])
            if not rows or {**rows[-1], "t": 0} != {**row, "t": 0}:
                rows.append({**row, "t": round(time.monotonic(), 3)})

        async def save_job_state(self, job_id, state):
            await super().save_job_state(job_id, state)
            self.note(job_id, state)

        async def update_job_state(self, job_id, update_data):
            state = await super().update_job_state(job_id, update_data)
            self.note(job_id, state)
            return state

        if hasattr(base, "update_job_state_atomic"):
            async def update_job_state_atomic(self, job_id, callback):
                state = await super().update_job_state_atomic(
                    job_id, callback)
                self.note(job_id, state)
                if state.get("current_task_id") in self.dispatches:
                    self.dispatches[state["current_task_id"]].set()
                return state

            async def enqueue_task_for_worker(self, worker_id, task, prio):
                self.dispatches[task["task_id"]] = asyncio.Event()
                await super().enqueue_task_for_worker(worker_id, task, prio)

            async def dequeue_task_for_worker(self, worker_id, timeout):
                task = await super().dequeue_task_for_worker(
                    worker_id, timeout)
                if task and task["task_id"] in self.dispatches:
                    await self.dispatches[task["task_id"]].wait()
                    self.dispatches.pop(task["task_id"], None)
                return task

        if in_order:
            async def enqueue_task_for_worker(self, worker_id, task, prio):
                await super().enqueue_task_for_worker(
                    worker_id, InOrder(task), prio)

    return Recorder


def refusing():
    """The middleware."""
    from avtomatika.middleware.base import BaseMiddleware, MiddlewareError

    class Refusing(BaseMiddleware):
        async def process_inbound_result(self, context, result_payload):
            raise MiddlewareError("as asked")
    return Refusing()


class Peer:
    """The orchestrator and what the control port needs of it."""

    def __init__(self, args):
        import avtomatika
        from avtomatika.config import Config

        self.args = args
        version = importlib.metadata.version("avtomatika")
        self.classic = int(version.rpartition("b")[2]) <= 8
        self.repaired = self.classic and not args.as_published
        self.storage = self.make_storage()
        self.submitted = []
        self.messages = []
        self.http = None
        self.engine = avtomatika.OrchestratorEngine(self.storage, Config())
        self.engine.register_blueprint(self.blueprint(avtomatika))
        if self.repaired:
            self.engine.app.middlewares.append(read_bodies_early())
            self.record_messages()
        if args.refusing:
            self.engine.middleware_chain.add(refusing())

    def record_messages(self):
        """Classic writes them into its log and forgets them."""
        manager = self.engine.ws_manager
        handle = manager.handle_message

        async def record(worker_id, message):
            self.messages.append(message)
            await handle(worker_id, message)
        manager.handle_message = record

    def make_storage(self):
        if self.args.redis:
            from avtomatika.storage.redis import RedisStorage
            from redis.asyncio import Redis

            return recording(RedisStorage, False)(
                Redis(unix_socket_path=self.args.redis))
        from avtomatika.storage import MemoryStorage
        return recording(MemoryStorage, self.repaired)()

    def blueprint(self, avtomatika):
        """One task, whatever the submit asked for, then an end state."""
        cls = getattr(avtomatika, "Blueprint", None) or \
            avtomatika.StateMachineBlueprint
        bp = cls(name="peer", api_version="v1", api_endpoint="/jobs/peer")
        state = getattr(bp, "handler_for", None) or bp.handler
        state("start", is_start=True)(self.start_state())
        for name in END_STATES:
            state(name, is_end=True)(self.end_state(name))
        gather = getattr(bp, "aggregator_for", None) or bp.aggregator
        gather("gather")(self.gather_state())
        if hasattr(bp, "validate_integrity"):
            # It looks for transitions in the source text; ours are made.
            bp.validate_integrity = lambda: None
        return bp

    def start_state(self):
        async def start(context, actions):
            asked = context.initial_data or {}
            if "parallel" in asked:
                actions.dispatch_parallel(tasks=asked["parallel"],
                                          aggregate_into="gather")
                return
            more = {k: asked[k] for k in DISPATCH if k in asked}
            if self.repaired and not asked.get("no_timeout"):  # repair 3
                more.setdefault("timeout_seconds", self.args.job_timeout)
            actions.dispatch_task(
                task_type=asked["task"], params=asked["params"],
                transitions=asked.get("transitions") or
                {"success": "finished", "failure": "bad"}, **more)
        return start

    def gather_state(self):
        async def gather(context, actions):
            going = getattr(actions, "go_to", None) or actions.transition_to
            going("finished")
        return gather

    def end_state(self, name):
        async def end(context):
            if not self.classic:
                return
            # Classic jobs stay "running" in their end state; mark the end.
            state = await self.storage.get_job_state(context.job_id)
            if state is not None:
                state["ended"] = True
                await self.storage.save_job_state(context.job_id, state)
        end.__name__ = name
        return end

    def outcome(self, state):
        status = (state or {}).get("status", "pending")
        current = (state or {}).get("current_state")
        ended = status in ("finished", "failed") if not self.classic \
            else status == "running" and (
                state.get("ended") or "aggregation_target" in state and
                not state.get("active_branches"))
        if ended and current in END_STATES:
            return END_STATES[current]
        if status in OVER or status == "pending":
            return status
        if status.startswith(("waiting", "awaiting")):
            return "waiting"
        return "running"

    async def submit(self, request):
        asked = await request.json()
        members = asked.pop("job", {})
        ids = []
        for i in range(asked.pop("count", 1)):
            job = fill(asked, str(i))
            reply = await self.client(
                "peer", job if self.classic
                else {"initial_data": job, **members})
            if "job_id" not in reply:
                return answer(reply, 502)
            ids.append(reply["job_id"])
        self.submitted += ids
        return answer({"job_ids": ids})

    async def client(self, path, body):
        """What a client of the orchestrator posts below /jobs."""
        header = "X-Avtomatika-Token" if self.classic else "X-Client-Token"
        scheme = "https" if os.environ.get("TLS_ENABLED") else "http"
        url = f"{scheme}://127.0.0.1:{self.args.port}/api/v1/jobs/{path}"
        async with self.http.post(
                url, json=body, headers={header: CLIENT_TOKEN},
                ssl=own_context()) as r:
            return await r.json(content_type=None)

    async def cancel(self, request):
        return answer(await self.client(
            request.match_info["id"] + "/cancel", {}))

    async def change(self, request):
        return answer(await self.storage.update_job_state(
            request.match_info["id"], await request.json()))

    async def command(self, request):
        """Whatever the orchestrator's own code might send to a worker."""
        return answer({"sent": await self.engine.ws_manager.send_command(
            request.match_info["id"], await request.json())})

    async def told(self, _request):
        return answer(self.messages)

    async def jobs(self, _request):
        return answer({i: self.outcome(await self.storage.get_job_state(i))
                       for i in self.submitted})

    async def job(self, request):
        job_id = request.match_info["id"]
        state = await self.storage.get_job_state(job_id)
        return answer({"outcome": self.outcome(state), "state": state,
                       "timeline": self.storage.timeline.get(job_id, [])})

    async def workers(self, _request):
        return answer(await self.storage.get_available_workers())

    async def run(self, ready):
        from aiohttp import ClientSession, web

        await self.engine.start()
        self.http = ClientSession()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/submit", self.submit)
        app.router.add_get("/messages", self.told)
        app.router.add_get("/jobs", self.jobs)
        app.router.add_get("/jobs/{id}", self.job)
        app.router.add_post("/jobs/{id}/cancel", self.cancel)
        app.router.add_post("/jobs/{id}/state", self.change)
        app.router.add_get("/workers", self.workers)
        app.router.add_post("/workers/{id}/command", self.command)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.args.control_port).start()
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGTERM, stop.set)
        print("READY", file=ready, flush=True)
        await stop.wait()
        os._exit(0)  # a parked poll would hold an orderly stop back


def own_context():
    """With TLS: as what this side speaks to its own port."""
    if not os.environ.get("TLS_ENABLED"):
        return None
    context = ssl.create_default_context(cafile=os.environ["TLS_CA_PATH"])
    context.load_cert_chain(os.environ["TLS_CERT_PATH"],
                            os.environ["TLS_KEY_PATH"])
    return context


def fill(value, text):
    if isinstance(value, str):
        return value.replace("{i}", text)
    if isinstance(value, dict):
        return {k: fill(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, text) for v in value]
    return value


def answer(value, status=200):
    from aiohttp import web
    return web.Response(text=json.dumps(value, default=str), status=status,
                        content_type="application/json")


def main():
    args = parse_args()
    set_environment(args)
    # Its own prints belong into the log; only READY goes to the caller.
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(Peer(args).run(ready))
    sys.exit(0)


if __name__ == "__main__":
    main()
