# SPDX-License-Identifier: ISC
"""avtomatika_worker, as children of avtoworkerd have it.

Takes the place of the SDK of that name, so that a worker script runs
unchanged: its Worker takes tasks from the supervisor instead of an
orchestrator.
"""
from .config import WorkerConfig
from .logging import setup_logging
from .models import DeviceUsage, ResourcesUsage
from .observability import ObservabilityManager
from .orchestrator_client import OrchestratorClient
from .skills import SkillBlueprint, SkillInfo
from .task_files import TaskFiles
from .types import ParamValidationError
from .validators import is_valid_identifier, validate_identifier
from .worker import Worker

__version__ = "1.0b20+avtoworker"  # the SDK's, whose interface this is

__all__ = [
    "Worker",
    "WorkerConfig",
    "OrchestratorClient",
    "SkillBlueprint",
    "SkillInfo",
    "TaskFiles",
    "setup_logging",
    "ObservabilityManager",
    "ResourcesUsage",
    "DeviceUsage",
    "ParamValidationError",
    "is_valid_identifier",
    "validate_identifier",
]
