#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A trace that goes through a task: from the tracing_context that it came with
to the spans of its handler, by the real OpenTelemetry, and back with what the
task tells."""
import sys

sys.dont_write_bytecode = True

import peers  # noqa: E402
from fake_orchestrator import Fake, task  # noqa: E402
from harness import case, check, eventually, main, same  # noqa: E402

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}

SCRIPT = """
from avtomatika_worker import ObservabilityManager, Worker
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (ConsoleSpanExporter,
                                            SimpleSpanProcessor)

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(
    formatter=lambda span: f"span {span.name} of {span.context.trace_id:032x} "
                           f"{span.attributes.get('task.id')}\\n")))
trace.set_tracer_provider(provider)
worker = Worker()


def seen(observability):
    span = trace.get_current_span()
    sent = {}
    propagate.inject(sent)  # as a client would, into its headers
    return {"data": {
        "has_otel": observability.has_otel,
        "trace": f"{span.get_span_context().trace_id:032x}",
        "span": f"{span.get_span_context().span_id:016x}",
        "parent": span.parent and f"{span.parent.span_id:016x}",
        "sent": sent}}


@worker.task("waits")
async def waits(params, send_event, observability: ObservabilityManager, **_):
    await send_event("half", {"n": 1})
    return seen(observability)


@worker.task("works")
def works(params, send_event, observability: ObservabilityManager, **_):
    send_event("half", {"n": 1})
    return seen(observability)
"""


@case("the span of a {} is below the one that its task came with",
      ("coroutine", "waits"), ("plain function", "works"))
def below(t, _name, kind):
    fake = Fake(classic=False)
    path = t.write("script.py", SCRIPT)
    worker = t.worker(fake.url, modules=(), orchestrator="protocol = rxon",
                      more=f"""
python script {{
    script = "{path}"
    python = "{peers.python_of("tracing")}"
}}""")
    fake.put(task("t-1", kind, tracing_context=CONTEXT))
    result = fake.wait_result("t-1")
    same(result["status"], "success", f"status of {result}")
    data = result["data"]
    same(data["has_otel"], True, "OpenTelemetry is there")
    same((data["trace"], data["parent"]), (TRACE, PARENT), "the trace")
    same(data["sent"], {
        "traceparent": f"00-{TRACE}-{data['span']}-01",
        "tracestate": CONTEXT["tracestate"]}, "what others are told")
    event, = [r.json() for r in fake.of_kind("event")]
    same(event["trace_context"], CONTEXT, "of the event")
    check(not any("trac" in name for name in result), f"{result}")
    eventually(lambda: worker.lines(f"span task.{kind} of {TRACE} t-1"),
               "the span is exported")
    fake.put(task("t-2", kind))
    data = fake.wait_result("t-2")["data"]
    same(data["parent"], None, "parent of a span without a context")
    check(data["trace"] not in (TRACE, "0" * 32), f"trace {data['trace']}")
    worker.drain()


main(lambda: peers.python_of("tracing"))
