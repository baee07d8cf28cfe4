# SPDX-License-Identifier: ISC
"""Plain data that scripts name: what they say of a machine, of files, of
events and of commands, and the parts of tasks and results."""
from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional, Tuple

from . import _schema


@dataclasses.dataclass(frozen=True)
class DeviceUsage:
    unit_id: str
    load_percent: float
    metrics: Optional[Dict[str, Any]] = None


@dataclasses.dataclass(frozen=True)
class ResourcesUsage:
    cpu_load_percent: float = 0.0
    ram_used_gb: float = 0.0
    devices_usage: Optional[List[DeviceUsage]] = None


@dataclasses.dataclass(frozen=True)
class WorkerCommand:
    """What a handler of on_command() is given."""
    command: str
    task_id: Optional[str] = None
    job_id: Optional[str] = None
    params: Optional[Dict[str, Any]] = None
    metadata: Optional[Dict[str, Any]] = None


@dataclasses.dataclass(frozen=True)
class FileMetadata:
    """What is known of a file in the data of a result."""
    uri: str
    size: int = 0
    etag: Optional[str] = None
    metadata: Optional[Dict[str, Any]] = None


@dataclasses.dataclass(frozen=True)
class SecurityContext:
    """Of a message between worker and orchestrator: the supervisor signs and
    checks those, so handlers are given none."""
    signature: Optional[str] = None
    signer_id: Optional[str] = None
    identity_chain: Optional[List[str]] = None
    metadata: Optional[Dict[str, Any]] = None


@dataclasses.dataclass(frozen=True)
class WorkerEventPayload:
    """For emit_event(), which sends its type and its payload for the task
    that it names; the supervisor fills in the rest."""
    event_id: str
    worker_id: str
    origin_worker_id: str
    event_type: str
    payload: Dict[str, Any]
    origin_task_id: Optional[str] = None
    bubbling_chain: Optional[List[str]] = None
    target_job_id: Optional[str] = None
    target_task_id: Optional[str] = None
    trace_context: Optional[Dict[str, str]] = None
    priority: float = 0.0
    timestamp: Optional[int] = None
    security: Optional[SecurityContext] = None
    metadata: Optional[Dict[str, Any]] = None


@dataclasses.dataclass(frozen=True)
class TaskPayload:
    """A task as it goes over the wire; handlers get its parts by name."""
    job_id: str
    task_id: str
    type: str
    params: Optional[Dict[str, Any]] = None
    tracing_context: Optional[Dict[str, str]] = None
    params_metadata: Optional[Dict[str, FileMetadata]] = None
    priority: float = 0.0
    deadline: Optional[int] = None
    security: Optional[SecurityContext] = None
    metadata: Optional[Dict[str, Any]] = None
    timestamp: Optional[int] = None
    policy: Optional[Dict[str, Any]] = None
    sig: Optional[str] = None
    step: int = 0
    depth: int = 0
    parent_hash: Optional[str] = None

    def validate_params(self, skill: Any) -> Tuple[bool, Optional[str]]:
        """Whether the params are what that SkillInfo takes, and what is
        wrong with them."""
        wrong = _schema.problem(self.params, skill.input_schema)
        return wrong is None, wrong


@dataclasses.dataclass(frozen=True)
class TaskError:
    """May stand for the dict that is the error of a result."""
    code: str
    message: str
    details: Optional[Dict[str, Any]] = None


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """A result as it goes over the wire; handlers return a dict."""
    job_id: str
    task_id: str
    worker_id: Optional[str] = None
    origin_worker_id: Optional[str] = None
    status: str = "success"
    data: Optional[Dict[str, Any]] = None
    error: Optional[TaskError] = None
    data_metadata: Optional[Dict[str, FileMetadata]] = None
    security: Optional[SecurityContext] = None
    metadata: Optional[Dict[str, Any]] = None
    timestamp: Optional[int] = None
    costs: Optional[Dict[str, Any]] = None
