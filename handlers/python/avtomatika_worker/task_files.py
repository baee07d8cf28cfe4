# SPDX-License-Identifier: ISC
"""The folder of a task, and its files.

The supervisor makes one for each task and removes it after the result. File
operations run in threads, so that a slow disk does not hold up the loop.
"""
from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import sys
from pathlib import Path
from typing import Any, AsyncIterator, List, Optional, Union

from ._plain import Converter
from .models import FileMetadata
from .s3 import REFUSED

__all__ = ["TaskFiles", "FileMetadata"]


async def _in_thread(function: Any, *arguments: Any, **named: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(
        None, functools.partial(function, *arguments, **named))


class AsyncFile:
    """An open file whose methods are awaited, but for those that aiofiles,
    which the SDK uses, calls at once."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._file, name)
        if not callable(member) or name in ("fileno", "detach"):
            return member
        return functools.partial(_in_thread, member)

    def __aiter__(self) -> "AsyncFile":
        return self

    async def __anext__(self) -> Any:
        line = await _in_thread(self._file.readline)
        if not line:
            raise StopAsyncIteration
        return line


class TaskFiles:
    def __init__(self, task_dir: str, job_id: str = "", task_id: str = "",
                 s3_manager: Any = None, observability: Any = None) -> None:
        self._task_dir = str(task_dir)

    def get_root_sync(self) -> str:
        os.makedirs(self._task_dir, exist_ok=True)
        return self._task_dir

    async def get_root(self) -> str:
        return self.get_root_sync()

    def path_to_sync(self, filename: str) -> str:
        """The absolute path of a file of the task; PermissionError when it
        would be outside of the task's folder. Of an address the last part
        is the name."""
        root = Path(self.get_root_sync()).resolve()
        name = str(filename)
        if "://" in name:
            name = name.rpartition("/")[2]
        path = (root / name).resolve()
        if path != root and root not in path.parents:
            raise PermissionError(
                f"{filename!r} is outside of the task's folder")
        return str(path)

    async def path_to(self, filename: str) -> str:
        return self.path_to_sync(filename)

    @contextlib.asynccontextmanager
    async def open(self, filename: str,
                   mode: str = "r") -> AsyncIterator[AsyncFile]:
        """Opens it; folders on the way to it are made."""
        path = self.path_to_sync(filename)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        encoding = None if "b" in mode else "utf-8"
        file = await _in_thread(open, path, mode, encoding=encoding)
        try:
            yield AsyncFile(file)
        finally:
            await _in_thread(file.close)

    async def read(self, filename: str, mode: str = "r") -> Any:
        async with self.open(filename, mode) as file:
            return await file.read()

    async def write(self, filename: str, data: Union[str, bytes],
                    mode: str = "w") -> None:
        if isinstance(data, bytes) and "b" not in mode:
            mode += "b"
        async with self.open(filename, mode) as file:
            await file.write(data)

    async def read_json(self, filename: str) -> Any:
        return json.loads(await self.read(filename))

    async def write_json(self, filename: str, data: Any) -> None:
        """Values of Python are written as they are sent in results."""
        plain = Converter(values_max=sys.maxsize).plain(data)
        await self.write(filename, json.dumps(plain, indent=2,
                                              ensure_ascii=False))

    async def list(self) -> List[str]:
        return await _in_thread(os.listdir, self.get_root_sync())

    async def exists(self, filename: str) -> bool:
        return os.path.exists(self.path_to_sync(filename))

    async def upload_file(self, filename: str) -> FileMetadata:
        raise RuntimeError(REFUSED)

    async def upload_dir(self, dirname: str = "") -> FileMetadata:
        raise RuntimeError(REFUSED)

    async def download_file(
            self, uri: str, filename: str,
            verify_meta: Optional[FileMetadata] = None) -> str:
        raise RuntimeError(REFUSED)

    def __repr__(self) -> str:
        return f"<TaskFiles {self._task_dir!r}>"
