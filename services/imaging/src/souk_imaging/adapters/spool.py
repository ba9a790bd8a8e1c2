"""Local files of uploads and jobs, written off the event loop."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from souk_imaging.adapters.lives import hold, read_free

BATCH_BYTES = 1024 * 1024
"""An upload hands this much to its thread at a time, and keeps at most twice as much in memory."""
BATCH_PIECES = 256
"""Nor more pieces than this, however small they are. Linux writes up to 1,024 at once."""


class SpoolFile:
    """One file that is written in batches by a thread."""

    def __init__(self, path: Path, executor: Executor) -> None:
        self.path = path
        self._executor = executor
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._writing: asyncio.Future[None] | None = None
        self._descriptor = -1

    async def write(self, data: bytes) -> None:
        """Take the next piece; waits only while the batch before is still being written."""
        self._batch.append(data)
        self._batch_bytes += len(data)
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_PIECES:
            await self._flush()

    async def finish(self) -> None:
        """Write what is left and close."""
        await self._flush()
        if self._writing:
            await self._writing
        self._close()

    async def sha256(self) -> str:
        """The SHA-256 of a finished file in hexadecimal."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, _sha256, self.path)

    async def remove(self) -> None:
        """Delete the file; nothing happens when it is gone."""
        if self._writing:
            with contextlib.suppress(OSError):
                await self._writing
        self._close()
        await asyncio.get_running_loop().run_in_executor(self._executor, lambda: self.path.unlink(missing_ok=True))

    async def _flush(self) -> None:
        if self._writing:
            await self._writing
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._writing = asyncio.get_running_loop().run_in_executor(self._executor, self._write_batch, batch)

    def _write_batch(self, batch: list[bytes]) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        unwritten = [memoryview(data) for data in batch]
        while unwritten:
            written = os.writev(self._descriptor, unwritten)
            while unwritten and written >= len(unwritten[0]):
                written -= len(unwritten.pop(0))
            if written:
                unwritten[0] = unwritten[0][written:]

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Spool:
    """A folder of local files that live no longer than the service. Files that a crash left there are removed at the start."""

    def __init__(self, folder: Path, *, threads: int = 4) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder / secrets.token_hex(8)
        self._lock = _lock_of(self._folder)
        self._descriptor = hold(self._lock)
        self._folder.mkdir(mode=0o700)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="imaging-spool")
        _remove_left(folder)

    def new_source(self) -> SpoolFile:
        """A file of its own for one photo."""
        return SpoolFile(self._folder / f"photo-{secrets.token_hex(8)}", self._executor)

    @contextlib.asynccontextmanager
    async def output(self) -> AsyncIterator[Path]:
        """An empty folder for the variants of one job; gone at the end."""
        folder = self._folder / f"variants-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            remove = asyncio.get_running_loop().run_in_executor(self._executor, shutil.rmtree, folder, True)
            await asyncio.shield(remove)

    def close(self) -> None:
        """Remove every file."""
        self._executor.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.unlink(missing_ok=True)
        os.close(self._descriptor)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove_left(folder: Path) -> None:
    """Remove what no living service holds the lock of."""
    for left in {path.with_name(path.name.removesuffix(".lock")) for path in folder.glob("[!.]*")}:
        lock = _lock_of(left)
        if read_free(lock) is not None or not lock.exists():
            shutil.rmtree(left, ignore_errors=True)
            lock.unlink(missing_ok=True)
