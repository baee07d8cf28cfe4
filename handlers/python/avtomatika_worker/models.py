# SPDX-License-Identifier: ISC
"""What scripts say of a machine."""
from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional


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
