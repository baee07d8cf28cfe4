# SPDX-License-Identifier: ISC
"""Rules that need an orchestrator in a special mood, or a story of their own."""
import os
import signal

from conform import (CLASSIC, RXON, ended, peer, recorded, rule,
                     wait_unparked)
from harness import TOKEN, check, eventually, same
from recording_proxy import RecordingProxy

RETRIES = 3
BEAT = "heartbeat_interval = 1s"
WORKER_TTL = {"WORKER_HEALTH_CHECK_INTERVAL_SECONDS": "2"}  # expires after 4 s


def results(proxy, job_id):
    return [e for e in proxy.of_kind("result")
            if e.json()["job_id"] == job_id]


def wait_answered(proxy, job_id, count=1):
    """Until so many results of the job have been answered. Returns them."""
    return proxy.wait(
        lambda _all: len(of := [e for e in results(proxy, job_id)
                                if e.status]) >= count and of,
        f"the answers to {count} results", 30)


def wait_beats(proxy, count):
    """Until so many more heartbeats have been heard."""
    had = len(proxy.of_kind("heartbeat"))
    proxy.wait(lambda all_: sum(e.kind == "heartbeat" for e in all_) >=
               had + count, "heartbeats go on")


class Swallower(RecordingProxy):
    """Loses the reply to the first result: it arrives, and ends the job, but
    the worker does not hear of it."""
    left = 1

    def __init__(self, orch):
        self.orch = orch
        super().__init__(orch.port)

    def answer(self, near, far, exchange):
        if exchange.kind == "result" and self.left > 0:
            self.left -= 1
            data, _, headers = far.head()
            check(data, "no reply")
            far.body(headers)
            ended(self.orch, exchange.json()["job_id"])
            # Where a kept connection ends without a word, libcurl itself sends
            # the same message again in RXON.
            near.sock.sendall(data.removesuffix(b"\r\n"))
            near.sock.close()
            return False
        return super().answer(near, far, exchange)


# Being forgotten -----------------------------------------------------------

@rule("a worker whose record has expired registers again (S5)")
def expired(t):
    orch, proxy = recorded(t, poll_timeout=1, more_env=WORKER_TTL)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    worker.signal(signal.SIGSTOP)
    eventually(lambda: not orch.workers(), "the record expires")
    had = len(proxy.of_kind("register"))
    worker.signal(signal.SIGCONT)
    orch.wait_worker()
    if not orch.classic:
        # There only a registration brings it back; classic ones keep the
        # record, and any heartbeat does.
        check(len(proxy.of_kind("register")) > had, "no registration")
    orch.wait(orch.submit("echo"), "finished")
    worker.drain()


@rule("null is what an RXON heartbeat has for strangers, and is understood "
      "(S5)", of=RXON)
def null(t):
    orch, proxy = recorded(t, poll_timeout=1, more_env=WORKER_TTL)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    worker.signal(signal.SIGSTOP)
    eventually(lambda: not orch.workers(), "the record expires")
    worker.signal(signal.SIGCONT)

    def stranger(all_):
        return [e for e in all_ if e.kind == "heartbeat" and not e.body and
                e.reply == b"null" and e.number > 0]

    # The very first heartbeat was such a one, too.
    proxy.wait(lambda all_: len(stranger(all_)) >= 2, "null")
    at = stranger(proxy.exchanges)[1].at
    proxy.wait(lambda all_: [e for e in all_ if e.kind == "register" and
                             e.at >= at], "a registration after it")
    worker.drain()


# Work that belongs to others -----------------------------------------------

@rule("a task of a type that is not offered here goes back as TRANSIENT_ERROR "
      "(S13)", of=RXON)
def stolen(t):
    orch, proxy = recorded(t, poll_timeout=1)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    # It takes from the queues of those that share a type with us.
    orch.register("w-2", ["print", "foreign"])
    job_id, = orch.submit("foreign")
    proxy.wait(lambda _all: results(proxy, job_id), "the answer", 30)
    e = results(proxy, job_id)[0]
    body = e.json()
    same((body["status"], body["error"]["code"]),
         ("failure", "TRANSIENT_ERROR"), "answer")
    same(worker.is_alive(), True, "it lives")
    worker.drain()


# Cancel --------------------------------------------------------------------

@rule("a job that is cancelled while it runs: the handler is told, the result "
      "is `cancelled`, and the job stays so (S12)", of=RXON)
def cancelled(t):
    orch, proxy = recorded(t, poll_timeout=1)
    gate = t.gate()
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    job_id, = orch.submit("heed", {"gate": gate.path})
    gate.wait(1)
    gate.open()
    orch.wait_dispatched(job_id)
    orch.cancel(job_id)
    proxy.wait(lambda _all: results(proxy, job_id), "the result", 30)
    e, = results(proxy, job_id)
    same(e.json()["status"], "cancelled", "status")
    check("error" not in e.json() and "data" not in e.json(), f"{e.json()}")
    asked = [x for x in proxy.of_kind("heartbeat")
             if b"cancel_task_ids" in x.reply]
    check(asked or proxy.frames, "nobody has said it")
    same(ended(orch, job_id)["outcome"], "cancelled", "job")
    worker.drain()


@rule("a queued task of a cancelled job is handed out all the same, and does "
      "not revive it (S12)", of=RXON)
def cancelled_in_queue(t):
    orch, proxy = recorded(t, poll_timeout=1)
    gate = t.gate()
    worker = t.worker(proxy.url, heavy=1, worker=f"""
    {BEAT}
    max_concurrent_tasks = 1""")
    orch.wait_worker()
    held, = orch.submit("slow", {"gate": gate.path, "name": "held"})
    gate.wait(1)
    wait_unparked(proxy)
    queued, = orch.submit("heed")
    orch.wait_dispatched(queued)
    orch.cancel(queued)
    gate.open()
    orch.wait(held, "finished")
    proxy.wait(lambda _all: results(proxy, queued), "an answer", 30)
    same(results(proxy, queued)[0].json()["status"], "cancelled", "status")
    same(ended(orch, queued)["outcome"], "cancelled", "job")
    worker.drain()


# Events --------------------------------------------------------------------

@rule("progress of a handler is in the job, before its result", of=RXON)
def progress(t):
    orch, proxy = recorded(t, poll_timeout=1)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    job_id, = orch.submit("tell", {"times": 1})
    orch.wait(job_id, "finished")
    told = orch.job(job_id)["state"]
    same((told["progress"], told["progress_message"]), (1, "on the way"),
         f"progress of {told}")
    worker.drain()


@rule("an event for which the blueprint has a transition moves the job on; the "
      "result after it is stale, and that is final", of=RXON)
def event(t):
    orch, proxy = recorded(t, poll_timeout=1)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    job_id, = orch.submit("tell", {"type": "done_early"},
                          event_transitions={"done_early": "other"})
    same(ended(orch, job_id)["outcome"], "other", "job")
    wait_answered(proxy, job_id)
    worker.wait_log("stale_task|job_already_terminated|worker_mismatch")
    orch.wait(orch.submit("echo"), "finished")
    same(len(results(proxy, job_id)), 1, "results")
    worker.drain()


# Results -------------------------------------------------------------------

@rule("a result whose reply is lost is sent again, as another message")
def lost_reply(t):
    orch = peer(t, poll_timeout=1)
    proxy = Swallower(orch)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    job_id, = orch.submit("echo", {"n": 1})
    wait_answered(proxy, job_id)  # the second copy; the first is not heard
    first, *more = results(proxy, job_id)
    same(len(more), 1, "further copies")
    same(more[0].status, 200, "status")
    reply = more[0].replied()
    if orch.classic:
        # It takes every copy; ours are the same.
        same(more[0].json(), first.json(), "the second copy")
    else:
        same((reply["status"], reply["reason"]),
             ("ignored", "job_already_terminated"), "reply")
        check(more[0].json()["nonce"] != first.json()["nonce"], "nonce")
    same(ended(orch, job_id)["outcome"], "finished", "job")
    orch.wait(orch.submit("echo"), "finished")
    worker.drain()


@rule("a failure of a task without timeout_seconds is answered with 500 until "
      "its retries are used up; the result is kept that long (S16)",
      of=CLASSIC)
def no_timeout(t):
    orch, proxy = recorded(t, poll_timeout=1)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    job_id, = orch.submit("fail", {}, no_timeout=True)
    orch.wait(job_id, "quarantined")
    proxy.wait(lambda _all: any(e.status == 200
                                for e in results(proxy, job_id)), "it is taken")
    same([e.status for e in results(proxy, job_id)], [500, 500, 500, 200],
         "answers")
    worker.drain()


@rule("a token of the worker's own is what is sent and signed with")
def own_token(t):
    token = "a-token-for-w-1-alone"
    path = t.write("workers.toml", f'["w-1"]\ntoken = "{token}"\n')
    orch = peer(t, poll_timeout=1, more_env={"WORKERS_CONFIG_PATH": path})
    worker = t.worker(orch.url, worker=BEAT, token=token)
    orch.wait_worker()
    orch.wait(orch.submit("echo"), "finished")
    worker.drain()
    # The token of all others is then none for this one.
    other = t.worker(orch.url, worker=BEAT, token=TOKEN)
    other.wait_log("(WARNING|ERROR).*" + ("401" if orch.classic else "403"))
    other.drain()


# What scripts may say ------------------------------------------------------

WORDS = """
from avtomatika_worker import Worker
worker = Worker()


@worker.task("word")
async def word(params, **_):
    return {"status": params["word"], "data": {"said": True}}
"""

TYPED = """
from avtomatika_worker import Worker
worker = Worker()
NUMBER = {"type": "object", "required": ["n"],
          "properties": {"n": {"type": "integer"}}}


@worker.skill("typed", input_schema=NUMBER, output_schema=NUMBER)
async def typed(params, **_):
    return {"data": {"n": params["n"] if params["n"] > 0 else "none"}}
"""


def scripted(t, proxy, text):
    path = t.write("script.py", text)
    return t.worker(proxy.url, modules=(), worker=BEAT,
                    env={"PYTHONDONTWRITEBYTECODE": "1"},
                    more=f'python script {{ script = "{path}" }}')


@rule("a status of the handler's own takes the transition of that name; without "
      "one the job has failed")
def words(t):
    orch, proxy = recorded(t, poll_timeout=1)
    worker = scripted(t, proxy, WORDS)
    orch.wait_worker()
    review, = orch.submit("word", {"word": "needs_review"}, transitions={
        "success": "finished", "needs_review": "other"})
    job = ended(orch, review)
    same(job["outcome"], "other", "job with the transition")
    same(job["state"]["state_history"], {"said": True}, "data")
    unheard, = orch.submit("word", {"word": "needs_review"})
    same(ended(orch, unheard)["outcome"], "failed", "job without it")
    reply = wait_answered(proxy, unheard)[0].replied()
    same(reply.get("transition", reply["status"]),
         "result_accepted_success" if orch.classic
         else "unhandled_status_failure", "reply")
    worker.drain()


@rule("params that a skill's input_schema refuses are not dispatched; data that "
      "its output_schema refuses quarantines the job", of=RXON)
def typed(t):
    orch, proxy = recorded(t, poll_timeout=1)
    worker = scripted(t, proxy, TYPED)
    skill, = orch.wait_worker()["supported_skills"]
    same(skill["input_schema"]["required"], ["n"], "schema in the record")
    good, = orch.submit("typed", {"n": 1})
    wrong, = orch.submit("typed", {"n": "x"})
    bad, = orch.submit("typed", {"n": -1})
    same([ended(orch, x)["outcome"] for x in (good, wrong, bad)],
         ["finished", "quarantined", "quarantined"], "jobs")
    same(results(proxy, wrong), [], "results of what was not dispatched")
    worker.drain()


# Classic ones without repairs ----------------------------------------------

@rule("a classic orchestrator as published refuses every result; that is told, "
      "and after three no task is asked for during a minute (S1)", of=CLASSIC)
def as_published(t):
    orch, proxy = recorded(t, poll_timeout=1, arguments=["--as-published"])
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    orch.submit("echo", {"n": 1})
    proxy.wait(lambda all_: any(e.kind == "result" and e.status == 400
                                for e in all_), "the refusal")
    worker.wait_log("ERROR.*400")
    for i in range(2):
        orch.submit("echo", {"n": 2 + i})
        proxy.wait(lambda all_, i=i: sum(e.kind == "result" and e.status == 400
                                         for e in all_) == 2 + i,
                   "another refusal")
    # Until then it may have asked once more.
    worker.wait_log("asking for no more tasks")
    wait_beats(proxy, 1)
    wait_unparked(proxy)
    had = len(proxy.of_kind("poll"))
    wait_beats(proxy, 3)
    same(len(proxy.of_kind("poll")), had, "polls")
    worker.drain()


@rule("a poll that is answered with 500 for two equal tasks in the queue is "
      "tried again (S4)", of=CLASSIC)
def equal_tasks(t):
    orch, proxy = recorded(t, poll_timeout=1, arguments=["--as-published"])
    gate = t.gate()
    worker = t.worker(proxy.url, heavy=1, worker=f"""
    {BEAT}
    max_concurrent_tasks = 1""")
    orch.wait_worker()
    orch.submit("slow", {"gate": gate.path, "name": "held"})
    gate.wait(1)
    wait_unparked(proxy)
    orch.submit("echo", {"n": "{i}"}, 3)
    eventually(lambda: "pending" not in orch.jobs().values(),
               "all have come to the queue")
    gate.open()
    proxy.wait(lambda all_: any(e.kind == "poll" and e.status == 500
                                for e in all_), "a poll with 500", 30)
    failed = [e for e in proxy.of_kind("poll") if e.status == 500][0]
    proxy.wait(lambda all_: [e for e in all_ if e.kind == "poll" and
                             e.at > failed.at], "the next poll")
    check(worker.is_alive(), "it ended")
    worker.drain()


# Redis ---------------------------------------------------------------------

@rule("jobs after the first are dispatched, for a registration has no empty "
      "object in it (S10)", of=("1.0b28",))
def redis_maps(t):
    orch, proxy = recorded(t, storage="redis", poll_timeout=1)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    for i in range(3):
        orch.wait(orch.submit("echo", {"n": i}), "finished")
    worker.drain()


@rule("a task that waited in a queue in Redis is dispatched again and again; "
      "each copy is answered once, and `stale_task` is final (S9)",
      of=("1.0b28",))
def redis_requeued(t):
    orch, proxy = recorded(t, storage="redis", poll_timeout=1,
                           more_env={"WATCHER_INTERVAL_SECONDS": "1"})
    gate = t.gate()
    worker = t.worker(proxy.url, heavy=1, light=1, worker=f"""
    {BEAT}
    max_concurrent_tasks = 1""")
    orch.wait_worker()
    first, = orch.submit("slow", {"gate": gate.path, "name": "first"})
    gate.wait(1)
    wait_unparked(proxy)
    copies = t.gate()
    job_id, = orch.submit("slow", {"gate": copies.path, "name": "copied"})
    gate.open()
    (task_id, _), = copies.wait(1)
    eventually(lambda: orch.job(job_id)["state"]["current_task_id"] != task_id,
               "it is dispatched again")
    copies.open()
    ended(orch, job_id, 60)
    ended(orch, first, 60)
    answered = wait_answered(proxy, job_id, 2)
    replies = {e.json()["task_id"]: e.replied() for e in answered}
    same(len(replies), len(answered), "each copy is answered once")
    same(replies[task_id]["reason"], "stale_task", "reply to the first")
    check(worker.is_alive(), "it ended")
    worker.drain()


@rule("a result that is nested too deeply for the orchestrator becomes a "
      "failure that says so", of=("1.0b30", "1.0b30-redis"))
def too_deep(t):
    orch, proxy = recorded(t, poll_timeout=1)
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    orch.wait(orch.submit("big_result", {"size": 1, "depth": 28}), "finished")
    job_id, = orch.submit("big_result", {"size": 1, "depth": 29})
    same(ended(orch, job_id)["outcome"], "quarantined", "job")
    proxy.wait(lambda _: [e.status for e in results(proxy, job_id)] ==
               [500, 200], "its two results")
    error = results(proxy, job_id)[1].json()["error"]
    same(error["code"], "CONTRACT_VIOLATION_ERROR", "code")
    check("nested" in error["message"] and "30" in error["message"],
          f"{error}")
    worker.drain()


@rule("a result that outlives a kill -9 of the orchestrator is taken by the "
      "next one, which has the job in Redis", of=("1.0b30-redis",))
def redis_restart(t):
    orch, proxy = recorded(t, poll_timeout=1)
    gate = t.gate()
    worker = t.worker(proxy.url, worker=BEAT)
    orch.wait_worker()
    # Without a deadline it has timed out for the next one's watcher (S9).
    job_id, = orch.submit("slow", {"gate": gate.path, "name": "kept"},
                          result_timeout_seconds=600)
    (task_id, _), = gate.wait(1)
    orch.wait_dispatched(job_id)
    orch.kill()
    gate.open()
    worker.wait_log("WARNING")
    again = peer(t, poll_timeout=1, port=orch.port)
    again.wait_worker("w-1", 60)
    same(ended(again, job_id)["outcome"], "finished", "job")
    answered, = wait_answered(proxy, job_id)
    same((answered.json()["task_id"], answered.replied()["status"]),
         (task_id, "accepted"), "what is answered")
    check(os.path.exists(t.path("redis.sock")), "the storage is gone")
    worker.drain()
