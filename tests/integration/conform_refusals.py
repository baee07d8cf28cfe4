# SPDX-License-Identifier: ISC
"""Rules about what real orchestrators refuse, each with its own reason."""
from conform import RXON, ended, peer, recorded, rule
from conform_lives import results, wait_answered
from certificates import Shop
from harness import TOKEN, check, same
from recording_proxy import RecordingProxy

# What is in the job's record when its result comes.
IGNORED = {
    "worker_mismatch": {"assigned_worker_id": "w-2"},
    "stale_task": {"current_task_id": "task-of-later"},
    "deadline_exceeded": {"status": "failed",
                          "error_message": "Dispatch timeout exceeded."},
    "job_already_terminated": {"status": "failed"},
    "middleware_error": None,  # by a middleware, as its users have them
}


class Changing(RecordingProxy):
    """Replaces a text in the first results, which the signature does not
    cover."""

    def __init__(self, target, old, new, times):
        self.old, self.new, self.left = old, new, times
        super().__init__(target)

    def hear(self, near, number):
        data, exchange = super().hear(near, number)
        if exchange.kind == "result" and self.left > 0:
            check(self.old in data, f"no {self.old} in {data}")
            self.left -= 1
            data = data.replace(self.old, self.new)
        return data, exchange


@rule("a result that is ignored as {} is told, and not sent again",
      *IGNORED, of=RXON)
def ignored(t, reason):
    change = IGNORED[reason]
    orch, proxy = recorded(t, poll_timeout=1,
                           arguments=() if change else ["--refusing"])
    gate = t.gate()
    worker = t.worker(proxy.url)
    orch.wait_worker()
    job_id, = orch.submit("slow", {"gate": gate.path})
    gate.wait(1)
    if change:
        orch.wait_dispatched(job_id)
        orch.ask("POST", f"/jobs/{job_id}/state", change)
    gate.open()
    answered, = wait_answered(proxy, job_id)
    reply = answered.replied()
    same((reply["status"], reply["reason"]), ("ignored", reason), "reply")
    worker.wait_log(f"ignores the result: {reason}")
    wait_answered(proxy, *orch.submit("echo"))
    same(len(results(proxy, job_id)), 1, "results")
    worker.drain()


@rule("a result whose {} is not the worker's is refused with 403, kept, and "
      "taken when it is", ("header", b"X-Worker-ID: w-1", b"X-Worker-ID: w-9"),
      ("signer", b'"signer_id":"w-1"', b'"signer_id":"w-9"'), of=RXON)
def mismatch(t, _name, old, new):
    orch = peer(t, poll_timeout=1)
    proxy = Changing(orch.port, old, new, 2)
    worker = t.worker(proxy.url)
    orch.wait_worker()
    job_id, = orch.submit("echo")
    same(ended(orch, job_id)["outcome"], "finished", "job")
    answered = wait_answered(proxy, job_id, 3)
    same([e.status for e in answered], [403, 403, 200], "answers")
    same(len({e.json()["nonce"] for e in answered}), 3, "nonces")
    worker.wait_log("WARNING.*cannot deliver results.*403.*w-9")
    worker.drain()


def secure(t, **more):
    """An orchestrator that lets in who has a certificate of its CA."""
    ca = Shop(t)
    key, cert = ca.sign("server")
    return ca, peer(t, poll_timeout=1, more_env={
        "TLS_ENABLED": "true", "TLS_REQUIRE_CLIENT_CERT": "true",
        "TLS_CA_PATH": ca.cert, "TLS_CERT_PATH": cert, "TLS_KEY_PATH": key,
        **more})


def certified(t, ca, orch, name, **more):
    key, cert = ca.sign("of-" + name, name)
    return t.worker(f"https://127.0.0.1:{orch.port}", **more, orchestrator=f"""
    tls_ca_file = "{ca.cert}"
    tls_cert = "{cert}"
    tls_key = "{key}" """)


@rule("a client certificate in the worker's name is what lets it in; the token "
      "signs", of=RXON)
def certificate(t):
    ca, orch = secure(t, WORKER_AUTH_MODE="mtls-only")
    worker = certified(t, ca, orch, "w-1")
    orch.wait_worker()
    orch.wait(orch.submit("echo", {"n": "{i}"}, 3), "finished")
    check(TOKEN not in worker.log(), "the token is in the log")
    worker.drain()


@rule("a client certificate in another name is refused with 403, and told",
      of=RXON)
def other_certificate(t):
    ca, orch = secure(t)
    worker = certified(t, ca, orch, "somebody")
    worker.wait_log("WARNING.*cannot register.*403.*somebody")
    same(orch.workers(), {}, "workers")
    worker.kill()
