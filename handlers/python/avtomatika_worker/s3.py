# SPDX-License-Identifier: ISC
"""The SDK moves files to and from S3 by itself; this worker does not."""
from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from .config import WorkerConfig
from .models import FileMetadata
from .observability import ObservabilityManager

__all__ = ["S3Manager", "WorkerConfig", "FileMetadata",
           "ObservabilityManager"]
REFUSED = ("S3 is not spoken by avtoworker: \"s3://\" addresses in params "
           "come as they are, and files stay where the handler puts them")


class S3Manager:
    """Here for scripts that name it, and for middlewares, which are given
    one. What needs no S3 is done as where none is configured; the rest
    raises."""

    def __init__(self, config: Optional[WorkerConfig] = None,
                 observability: Optional[ObservabilityManager] = None) -> None:
        pass

    async def process_params(
            self, params: Dict[str, Any], task_id: str = "",
            metadata: Optional[Dict[str, FileMetadata]] = None
    ) -> Dict[str, Any]:
        """The params; RuntimeError when there is a file to be fetched."""
        if names_s3(params):
            raise RuntimeError(REFUSED)
        return params

    async def process_result(
            self, result: Dict[str, Any], s3_prefix: str = ""
    ) -> Tuple[Dict[str, Any], Dict[str, FileMetadata]]:
        """The result as it is, and nothing known of its files."""
        return result, {}

    async def cleanup(self, task_id: str) -> None:
        """Nothing: the supervisor removes the folder of a task."""

    async def wait_all_done(self, timeout: float = 30.0) -> None:
        """Nothing: no transfer is ever under way."""


def names_s3(value: Any) -> bool:
    """True when some text in it is the address of a file."""
    if isinstance(value, str):
        return value.startswith("s3://")
    if isinstance(value, dict):
        return any(map(names_s3, value.values()))
    return isinstance(value, list) and any(map(names_s3, value))
