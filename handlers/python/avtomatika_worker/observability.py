# SPDX-License-Identifier: ISC
"""OpenTelemetry for handlers, where the script has set it up.

The SDK configures exporters of its own; here the script does (or the
opentelemetry-instrument command), and what it configured is used. Without
the package everything does nothing.
"""
from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, Optional

try:
    from opentelemetry import propagate, trace  # type: ignore[import]
except ImportError:
    propagate = trace = None


class ObservabilityManager:
    def __init__(self, enabled: bool = True,
                 service_name: str = "avtomatika-worker",
                 worker_id: Optional[str] = None,
                 worker_type: Optional[str] = None,
                 version: Optional[str] = None) -> None:
        self.enabled = enabled and trace is not None
        self.tracer = trace.get_tracer(service_name) if self.enabled else None
        self.meter = None

    @property
    def has_otel(self) -> bool:
        return self.enabled

    @contextlib.contextmanager
    def _span(self, name: str, attributes: Dict[str, Any],
              context: Any = None) -> Iterator[Any]:
        if self.tracer is None:
            yield None
            return
        with self.tracer.start_as_current_span(
                name, context=context, attributes=attributes) as span:
            yield span

    def start_task_span(self, task_type: str, task_id: str, job_id: str,
                        parent_context: Optional[Dict[str, Any]] = None,
                        step: int = 0, depth: int = 0,
                        parent_hash: Optional[str] = None) -> Any:
        """The span of a task, below the one that its tracing_context names."""
        context = propagate.extract(parent_context) \
            if self.enabled and parent_context else None
        return self._span(f"task.{task_type}", {
            "task.id": task_id, "job.id": job_id, "task.type": task_type},
            context)

    def start_s3_span(self, op: str, uri: str) -> Any:
        return self._span(f"s3.{op}", {"s3.operation": op, "s3.uri": uri})

    def record_task_finished(self, task_type: str, status: str,
                             duration: float) -> None:
        """Nothing: the supervisor counts tasks, over all children."""

    def record_s3_op(self, op: str, status: str) -> None:
        """Nothing: there are no such operations here."""

    def set_span_status_error(self, span: Any, message: str) -> None:
        if self.enabled and span is not None:
            span.set_status(trace.Status(trace.StatusCode.ERROR, message))

    async def shutdown(self) -> None:
        """Nothing: providers are the script's to shut down."""
