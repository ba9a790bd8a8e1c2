"""Local files of uploads and jobs, written off the event loop."""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

BATCH_BYTES = 1024 * 1024
"""An upload hands this much to its thread at a time, and keeps at most twice as much in memory."""


class SpoolFile:
    """One file that is written in batches by a thread, with its SHA-256 made on the way."""

    def __init__(self, path: Path, executor: Executor) -> None:
        self.path = path
        self._executor = executor
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._writing: asyncio.Future[None] | None = None
        self._sha256 = hashlib.sha256()
        self._descriptor = -1

    async def write(self, data: bytes) -> None:
        """Take the next piece; waits only while the batch before is still being written."""
        self._batch.append(data)
        self._batch_bytes += len(data)
        if self._batch_bytes >= BATCH_BYTES:
            await self._flush()

    async def finish(self) -> str:
        """Write what is left and close; return the SHA-256 of the whole in hexadecimal."""
        await self._flush()
        if self._writing:
            await self._writing
        self._close()
        return self._sha256.hexdigest()

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
        for data in batch:
            self._sha256.update(data)
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Spool:
    """A folder of local files that live no longer than the service. Files that a crash left there are removed at the start."""

    def __init__(self, folder: Path, *, threads: int = 4) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=folder))
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="imaging-spool")
        for left in folder.iterdir():
            owner = left.name.partition("-")[0]
            if owner.isdigit() and not Path("/proc", owner).exists():
                shutil.rmtree(left, ignore_errors=True)

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
