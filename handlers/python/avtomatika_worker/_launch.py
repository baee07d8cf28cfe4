# SPDX-License-Identifier: ISC
"""Runs the program that avtoworkerd was given, as python would run it.

The program becomes the real __main__ and stays it, so that what it defines can
be pickled as long as its Worker lives. (runpy puts the former __main__ back
when the program ends, and a program may end before its Worker is run.)
"""
from __future__ import annotations

import asyncio
import builtins
import faulthandler
import importlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import traceback
from types import CodeType, ModuleType
from typing import Any, List, Optional

from . import _channel, _output, _program, _prometheus
from .worker import Worker

USAGE = 64
SOFTWARE = 70


class CannotRun(Exception):
    """What is wrong with the program, in one sentence."""


class Target:
    """What the command line names: exactly one of them is set."""

    def __init__(self, arguments: List[str]) -> None:
        self.file = self.module = self.attribute = self.app = None
        rest = list(arguments)
        self.compiles = rest[:1] == ["--compile"]
        if self.compiles:
            del rest[0]
        if rest[:1] == ["--app"] and len(rest) > 1:
            self.app, rest = rest[1], rest[2:]
        if rest[:1] == ["-m"] and len(rest) > 1:
            self.module, self.arguments = rest[1], rest[2:]
        elif rest:
            self.arguments = rest[1:]
            module, colon, name = rest[0].partition(":")
            if colon and not os.path.exists(rest[0]) and name.isidentifier():
                self.module, self.attribute = module, name
            else:
                self.file = rest[0]
        else:
            raise CannotRun("no program is named")

    @property
    def name(self) -> str:
        if self.attribute:
            return f"{self.module}:{self.attribute}"
        return self.file or f"-m {self.module}"


def main(arguments: List[str], ours: str) -> int:
    try:
        target = Target(arguments)
    except CannotRun as e:
        print(e, file=sys.stderr)
        return USAGE
    program = _program.start()
    if program is None:
        name = target.name if target.name.startswith("-m") else \
            os.path.basename(target.name)
        print(f"there is no supervisor here; run this as: avtoworkerd {name}",
              file=sys.stderr)
        return USAGE
    _output.start()
    _prometheus.start()
    faulthandler.enable()
    program.selects = bool(target.attribute or target.app)
    program.start_reading()
    status = _run(program, target, ours)
    _output.flush()
    return status


def _run(program: _program.Program, target: Target, ours: str) -> int:
    """Exit status. What keeps the program from being a worker is told to the
    supervisor; what it is in full, is on stderr."""
    try:
        if target.compiles:
            _compile(target)
            program.say_ready({"version": _channel.VERSION, "handlers": []})
            return 0
        module = _load(target, ours)
        worker = _worker_left(program, target, module)
        if worker is not None:
            worker.run()
        program.wait_for_worker()
        if not program.is_ready and not program.stopping:
            raise CannotRun(f"{target.name} ended before its Worker was ready")
        return 0
    except CannotRun as e:
        program.say_failed(str(e))
    except SystemExit as e:
        if program.ran:
            raise
        program.say_failed(f"{target.name} called sys.exit({e.code!r}) before "
                           "its Worker ran")
    except BaseException as e:
        # First the traceback: what has failed is ended when it has said so.
        trace = _program.trace_outside(e)
        try:
            if sys.excepthook is sys.__excepthook__:
                program.log("error", "", _output.shortened("".join(
                    traceback.format_exception(type(e), e, trace))))
            else:
                sys.excepthook(type(e), e.with_traceback(trace), trace)
        finally:
            program.say_failed(f"{target.name}: {_where(e)}"
                               f"{type(e).__name__}: {e}")
    return SOFTWARE


def _worker_left(program: _program.Program, target: Target,
                 module: ModuleType) -> Optional[Worker]:
    """The Worker that is still to be run when the program has ended."""
    name = target.attribute or target.app
    if name:
        worker = getattr(module, name, None)
        if not isinstance(worker, Worker):
            raise CannotRun(f"{target.name} has no Worker \"{name}\"")
        program.selected = worker
        return worker
    if program.ran:
        return None
    if not program.workers:
        raise CannotRun(f"{target.name} makes no Worker")
    return program.workers[0][0]


def _load(target: Target, ours: str) -> ModuleType:
    """Runs it, and returns its module."""
    if target.attribute or (target.module and target.app):
        _search_first(os.getcwd(), ours)
        sys.argv = [target.name, *target.arguments]
        return importlib.import_module(target.module)
    if target.module:
        _search_first(os.getcwd(), ours)
        return _run_module(target.module, target.arguments)
    path = os.path.realpath(target.file)
    _search_first(os.path.dirname(path), ours)
    sys.argv = [target.file, *target.arguments]
    code = _read(target.file)
    name = "__main__"
    if target.app:  # its Worker is selected, so its own start is not wanted
        name = os.path.splitext(os.path.basename(target.file))[0]
    module = _new_module(name)
    module.__file__ = os.path.abspath(target.file)
    return _execute(module, code)


def _compile(target: Target) -> None:
    """What is there is Python. Packages are looked into, and not imported."""
    if target.file:
        _read(target.file)
        return
    places: Any = [os.getcwd(), *sys.path]
    name = ""
    spec: Any = None
    for part in target.module.split("."):
        name = f"{name}.{part}" if name else part
        spec = importlib.machinery.PathFinder.find_spec(name, places)
        if spec is None:
            raise CannotRun(f"there is no module {name}")
        places = spec.submodule_search_locations or []
    if places and not target.attribute:
        spec = importlib.machinery.PathFinder.find_spec(
            f"{name}.__main__", places) or spec
    if spec.origin and spec.origin.endswith(".py"):
        _read(spec.origin)


def _read(path: str) -> CodeType:
    try:
        with io.open_code(os.path.abspath(path)) as file:
            text = file.read()
    except OSError as e:
        raise CannotRun(f"cannot read {path}: {e.strerror}") from e
    return compile(text, os.path.abspath(path), "exec", dont_inherit=True)


def _search_first(folder: str, ours: str) -> None:
    """As python has it: the folder of the program first, then ours, so that
    processes which the program spawns find us, too."""
    sys.path[:] = [p for p in sys.path if p != ours]
    sys.path.insert(0, ours)
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, folder)


def _run_module(name: str, arguments: List[str]) -> ModuleType:
    """python -m NAME; of a package its __main__."""
    sys.argv = ["-m", *arguments]
    spec = _find(name)
    if spec.submodule_search_locations is not None:
        spec = _find(f"{name}.__main__")
    get_code: Any = getattr(spec.loader, "get_code", None)
    code = get_code(spec.name) if get_code else None
    if code is None:
        raise CannotRun(f"-m {name} has no code to run")
    sys.argv[0] = spec.origin or name
    module = _new_module("__main__")
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__package__ = spec.parent
    module.__file__ = spec.origin
    module.__cached__ = spec.cached
    return _execute(module, code)


def _find(name: str) -> Any:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as e:
        if isinstance(e, ModuleNotFoundError) and name.startswith(
                (e.name or " ") + "."):
            raise CannotRun(f"there is no module {e.name}") from e
        raise
    if spec is None:
        raise CannotRun(f"there is no module {name}")
    return spec


def _new_module(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__dict__["__builtins__"] = builtins
    sys.modules[name] = module
    return module


def _execute(module: ModuleType, code: CodeType) -> ModuleType:
    exec(code, module.__dict__)
    return module


def _where(error: BaseException) -> str:
    """FILE:LINE where the program itself was, as far as it is known."""
    if isinstance(error, SyntaxError):
        return ""  # its text says it
    inner = (_program.HERE, os.path.dirname(asyncio.__file__))
    entries = [e for e in traceback.extract_tb(error.__traceback__)
               if os.path.dirname(e.filename) not in inner and
               not e.filename.startswith("<")]
    if not entries or os.path.dirname(entries[-1].filename) == \
            os.path.dirname(importlib.__file__):
        return ""
    return f"line {entries[0].lineno}: " if len(entries) == 1 else \
        f"{os.path.basename(entries[-1].filename)}:{entries[-1].lineno}: "
