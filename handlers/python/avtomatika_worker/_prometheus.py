# SPDX-License-Identifier: ISC
"""prometheus_client in children: figures go into files that the supervisor's
/metrics adds up, and no child opens a port.

The package is not imported unless the script does it.
"""
from __future__ import annotations

import atexit
import importlib.abc
import importlib.util
import logging
import os
import sys
from typing import Any, Optional

from . import _program

logger = logging.getLogger("avtomatika_worker.metrics")
_NAME = "prometheus_client"


def _serve_nothing(*_arguments: Any, **_named: Any) -> Any:
    """In place of start_http_server(): one child alone could have its port."""
    program = _program.current()
    if program is not None:  # said even before the script sets up logging
        program.log("info", logger.name, "start_http_server(): the figures of "
                    "this script are in the supervisor's /metrics")
    return None, None


def _patch(module: Any) -> None:
    for name in ("start_http_server", "start_wsgi_server"):
        if hasattr(module, name):
            setattr(module, name, _serve_nothing)
            exposition = getattr(module, "exposition", None)
            if hasattr(exposition, name):
                setattr(exposition, name, _serve_nothing)


def _mark_dead() -> None:
    """So that gauges of children that are gone are not counted."""
    if _NAME not in sys.modules:
        return
    try:
        from prometheus_client import multiprocess  # type: ignore[import]
        multiprocess.mark_process_dead(os.getpid())
    except Exception:
        logger.debug("cannot mark this process as gone", exc_info=True)


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        _patch(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Finder(importlib.abc.MetaPathFinder):
    """Sees the import of the package, once."""

    def find_spec(self, name: str, _path: Any,
                  _target: Any = None) -> Optional[Any]:
        if name != _NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def start() -> None:
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        sys.meta_path.insert(0, _Finder())
        atexit.register(_mark_dead)
