# SPDX-License-Identifier: ISC
"""The SDK's way of a handler to ask the orchestrator for another task."""
from __future__ import annotations

from typing import Any, Dict


class OrchestratorClient:
    def __init__(self, client: Any = None, worker: Any = None) -> None:
        pass

    async def call_skill(self, skill_name: str,
                         params: Dict[str, Any]) -> Dict[str, Any]:
        """Always raises: the orchestrators that there are answer this request
        with 404, and a child has no token to send it with."""
        raise RuntimeError(
            f"call_skill({skill_name!r:.80}): orchestrators have no such "
            "request; let the blueprint dispatch the task")
