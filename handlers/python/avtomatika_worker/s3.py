# SPDX-License-Identifier: ISC
"""The SDK moves files to and from S3 by itself; this worker does not."""
from __future__ import annotations

from typing import Any

REFUSED = ("S3 is not spoken by avtoworker: \"s3://\" addresses in params "
           "come as they are, and files stay where the handler puts them")


class S3Manager:
    """Here so that scripts can name it; whatever is asked of it raises."""

    def __init__(self, config: Any = None, observability: Any = None) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise RuntimeError(REFUSED)
