# SPDX-License-Identifier: ISC
"""The SDK's WorkerConfig: settings from the environment, and in code.

The supervisor reads the same variables by itself. What counts here is what a
script changes: that is told to the supervisor, whose file, environment and
command line come before it.
"""
from __future__ import annotations

import json
import logging
import os
import socket
import uuid
from typing import Any, Callable, Dict, List, Optional

from .validators import validate_identifier

logger = logging.getLogger(__name__)
DEFAULT_TOKEN = "your-secret-worker-token"

_PLAIN: Dict[str, Any] = {  # NAME: default, whose type is the setting's
    "WORKER_TYPE": "generic-cpu-worker", "WORKER_PORT": 8083,
    "MAX_CONCURRENT_TASKS": 10, "HEARTBEAT_INTERVAL": 15.0,
    "POLL_INTERVAL": 1.0, "RESULT_MAX_RETRIES": 5,
    "RESULT_RETRY_INITIAL_DELAY": 1.0, "TASK_POLL_TIMEOUT": 30.0,
    "TASK_POLL_ERROR_DELAY": 5.0, "IDLE_POLL_DELAY": 0.5,
    "POLL_BACKOFF_INITIAL": 1.0, "POLL_BACKOFF_MAX": 60.0,
    "POLL_BACKOFF_FACTOR": 2.0, "REGISTRATION_RETRY_INITIAL_DELAY": 1.0,
    "REGISTRATION_RETRY_MAX_DELAY": 60.0, "RATE_LIMIT_BACKOFF_FLOOR": 30.0,
    "MULTI_ORCHESTRATOR_MODE": "WATERFALL", "TASK_FILES_DIR": "/tmp/payloads",
    "WORKER_SKILLS_DIR": "skills", "S3_DEFAULT_BUCKET": "avtomatika-payloads",
    "S3_REGION": "us-east-1", "WORKER_ENABLE_METRICS": False,
    "WORKER_BLOB_CACHE_DIR": "/tmp/avtomatika_cache",
    "WORKER_TELEMETRY_DEADBAND": 5.0, "WORKER_TELEMETRY_FORCE_INTERVAL": 60.0,
    "STRICT_EVENT_VALIDATION": True, "REQUIRE_TASK_SIGNATURE": True,
}
_RENAMED: Dict[str, str] = {  # attribute: variable
    "SHUTDOWN_TIMEOUT": "WORKER_SHUTDOWN_TIMEOUT",
    "HEARTBEAT_COOLDOWN": "WORKER_HEARTBEAT_COOLDOWN",
    "HEARTBEAT_DEBOUNCE_DELAY": "WORKER_HEARTBEAT_DEBOUNCE_DELAY",
    "ENABLE_WEBSOCKETS": "WORKER_ENABLE_WEBSOCKETS",
    "WORKER_PAYLOAD_DIR": "TASK_FILES_DIR",
}
_RENAMED_DEFAULTS: Dict[str, Any] = {
    "SHUTDOWN_TIMEOUT": 25.0, "HEARTBEAT_COOLDOWN": 2.0,
    "HEARTBEAT_DEBOUNCE_DELAY": 0.1, "ENABLE_WEBSOCKETS": False,
    "WORKER_PAYLOAD_DIR": "/tmp/payloads",
}
_MAY_BE_NONE = ("TLS_CA_PATH", "TLS_CERT_PATH", "TLS_KEY_PATH",
                "S3_ENDPOINT_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY")
_JSON: Dict[str, Callable[[], Any]] = {
    "COST_PER_SKILL": dict, "INSTALLED_SOFTWARE": dict,
    "INSTALLED_MODELS": list, "INSTALLED_ARTIFACTS": list,
}

# What the supervisor is told when the script has changed it: the name in the
# ready frame, and how the value is said there.
_MILLISECONDS = 1000
_TOLD = {
    "WORKER_ID": "worker_id", "WORKER_TOKEN": "worker_token",
    "WORKER_TYPE": "worker_type", "MAX_CONCURRENT_TASKS":
    "max_concurrent_tasks", "RESOURCES": "resources",
    "HEARTBEAT_INTERVAL": "heartbeat_interval_ms",
    "POLL_INTERVAL": "poll_interval_ms",
}
_OURS = ("TASK_FILES_DIR", "WORKER_PAYLOAD_DIR", "WORKER_SKILLS_DIR",
         "STRICT_EVENT_VALIDATION", "WORKER_ENABLE_METRICS", "ORCHESTRATORS")


class WorkerConfig:
    def __init__(self) -> None:
        self.WORKER_ID = os.environ.get("WORKER_ID", f"worker-{uuid.uuid4()}")
        self.HOSTNAME = socket.gethostname()
        self.IP_ADDRESS = "127.0.0.1"
        self.WORKER_TOKEN = os.environ.get(
            "WORKER_INDIVIDUAL_TOKEN",
            os.environ.get("WORKER_TOKEN", DEFAULT_TOKEN))
        self.SECRET_KEY = os.environ.get("ORCHESTRATOR_SECRET_KEY", "")
        for name, default in _PLAIN.items():
            setattr(self, name, _variable(name, default))
        for name, variable in _RENAMED.items():
            setattr(self, name, _variable(variable, _RENAMED_DEFAULTS[name]))
        for name in _MAY_BE_NONE:
            setattr(self, name, os.environ.get(name))
        for name, make in _JSON.items():
            setattr(self, name, _json(name, make()))
        self.ORCHESTRATORS = _orchestrators()
        self.RESOURCES: Dict[str, Any] = {
            "cpu_cores": _variable("CPU_CORES", os.cpu_count() or 1)}
        self.EXTRA_CAPABILITIES = {
            name[len("WORKER_EXTRA_"):].lower(): value
            for name, value in os.environ.items()
            if name.startswith("WORKER_EXTRA_")}
        self._as_read = json.dumps(self._members(), sort_keys=True,
                                   default=str)

    def _members(self) -> Dict[str, Any]:
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def validate(self) -> None:
        """ValueError when the worker's id is none, or no orchestrator is
        named."""
        validate_identifier(self.WORKER_ID, "WORKER_ID")
        if not self.ORCHESTRATORS or \
                not all(o.get("url") for o in self.ORCHESTRATORS):
            raise ValueError("WorkerConfig: no orchestrator, or one without "
                             "its url")

    def changed(self) -> Dict[str, Any]:
        """What the script has set."""
        before = json.loads(self._as_read)
        now = json.loads(json.dumps(self._members(), sort_keys=True,
                                    default=str))
        return {name: getattr(self, name) for name in now
                if name not in before or now[name] != before[name]}

    def told(self) -> Dict[str, Any]:
        """Of that what the supervisor is told, as the ready frame has it;
        what has no counterpart there is named in the log."""
        said: Dict[str, Any] = {}
        changed = self.changed()
        for name, value in changed.items():
            if name in _TOLD:
                key = _TOLD[name]
                said[key] = milliseconds(value) if key.endswith("_ms") \
                    else value
        if "ORCHESTRATORS" in changed:
            said.update(_one_orchestrator(self.ORCHESTRATORS))
        if "ORCHESTRATOR_URL" in changed:  # as the SDK's README sets it
            said["orchestrator_url"] = changed["ORCHESTRATOR_URL"]
        unheard = sorted(set(changed) - set(_TOLD) - set(_OURS) -
                         {"ORCHESTRATOR_URL"})
        if unheard:
            logger.warning("WorkerConfig: %s set in code: no effect here; see "
                           "avtoworker.conf(5)", ", ".join(unheard))
        return said


def milliseconds(seconds: Any) -> int:
    return max(1, round(float(seconds) * _MILLISECONDS))


def _variable(name: str, default: Any) -> Any:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        if isinstance(default, bool):
            return text.lower() == "true"
        return type(default)(text)
    except ValueError:
        logger.warning("%s=%s in the environment is no %s; %s counts", name,
                       text, type(default).__name__, default)
        return default


def _json(name: str, default: Any) -> Any:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        return json.loads(text)
    except ValueError:
        logger.warning("%s in the environment is not JSON", name)
        return default


def _orchestrators() -> List[Dict[str, Any]]:
    several = _json("ORCHESTRATORS_CONFIG", None) \
        if os.environ.get("ORCHESTRATORS_CONFIG", "")[:1] == "[" else None
    if isinstance(several, list) and several:
        return several
    return [{"url": os.environ.get("ORCHESTRATOR_URL",
                                   "http://localhost:8080"),
             "priority": 1, "weight": 1}]


def _one_orchestrator(orchestrators: Any) -> Dict[str, Any]:
    if not isinstance(orchestrators, list) or len(orchestrators) != 1 or \
            not isinstance(orchestrators[0], dict):
        raise ValueError(
            "WorkerConfig.ORCHESTRATORS set in code: one orchestrator can be "
            "set so; several go into ORCHESTRATORS_CONFIG or the "
            "configuration file")
    said: Dict[str, Any] = {}
    url: Optional[str] = orchestrators[0].get("url")
    token: Optional[str] = orchestrators[0].get("token")
    if url:
        said["orchestrator_url"] = url
    if token:
        said["worker_token"] = token
    return said
