#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Rate limits of real orchestrators, as they are by default: a window begins
anew with each request, so a worker that goes on in its way is never served
again. Only the orchestrator's long poll is shortened, and most of the 60 polls
of current ones are made at once, as if by a worker that ran before, so that the
count is full after seconds instead of half an hour. The minute of silence is
real."""
import http.client
import sys
import threading
import time

sys.dont_write_bytecode = True

import peers  # noqa: E402
from harness import TOKEN, Orchestrator, case, check, main, \
    same  # noqa: E402
from recording_proxy import RecordingProxy  # noqa: E402

PEERS = ("1.0b5", "1.0b30")
BEFORE = {"1.0b5": 0, "1.0b30": 56}  # polls of those that were here before
POLLS = 5  # that are then let through
SILENCE = 60


def poll(port):
    conn = http.client.HTTPConnection("127.0.0.1", port)
    conn.request("GET", "/_worker/workers/w-1/tasks/next",
                 headers={"X-Worker-Token": TOKEN, "X-Worker-ID": "w-1"})
    conn.getresponse().read()
    conn.close()


def refused(proxy):
    return [e for e in proxy.exchanges if e.status == 429]


@case("{}: an idle worker at the published limits is refused at most once, and "
      "served after it", ("1.0b5, as by default", "1.0b5", "auto", 1),
      ("1.0b30, as by default", "1.0b30", "auto", 1),
      ("1.0b5, rate_budget = always", "1.0b5", "always", 0), limit=200)
def idle(t, _text, version, budget, most):
    orch = Orchestrator(t, version, poll_timeout=1,
                        more_env={"RATE_LIMITING_ENABLED": "true"})
    others = [threading.Thread(target=poll, args=(orch.port,))
              for _ in range(BEFORE[version])]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join()
    proxy = RecordingProxy(orch.port)
    worker = t.worker(proxy.url, orchestrator=f"rate_budget = {budget}")
    orch.wait_worker()
    worker.wait_log("WARNING.*the rate limit of .* kind poll", 60)
    check(len(proxy.of_kind("poll")) <= POLLS + 1, "polls went on")
    since = time.monotonic()
    job, = orch.submit("echo")
    orch.wait(job, "finished", 100)
    took = time.monotonic() - since
    check(took > SILENCE / 2, f"there was no silence: {took:.1f} s")
    polls = [e.at for e in proxy.of_kind("poll")]
    gap = max(b - a for a, b in zip(polls, polls[1:]))
    check(gap >= SILENCE, f"gap of {gap:.1f} s")
    same([e.kind for e in refused(proxy)], ["poll"] * most,
         "what was refused")
    worker.kill()


main(lambda: [peers.python_of(v) for v in PEERS])
