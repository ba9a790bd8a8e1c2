"""What a photo can be uploaded from, cut into chunks: bytes, a path, an open file, an asynchronous stream."""

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

PhotoSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO | AsyncIterable[bytes]
"""A str is the path of a file. What an asynchronous stream yields may be of any size."""

READ_AHEAD_BYTES = 2 * 1024 * 1024
"""How much one hop to a thread reads, or one chunk if that is more. Two such batches are in memory at the most."""


class Source(Protocol):
    """A photo that is being sent."""

    repeatable: bool
    """It can be read again from the start."""

    async def size(self) -> int | None:
        """Bytes, where that is known before it is read. OSError where it cannot be read."""

    def batches(self, chunk_bytes: int) -> AsyncGenerator[list[bytes], None]:
        """Read from the start: every chunk but the last has `chunk_bytes`. OSError where it cannot be read."""


def source_of(photo: PhotoSource) -> Source:
    """The source for what a caller gave; TypeError where it is none."""
    if isinstance(photo, (str, os.PathLike)):
        return FileSource(Path(photo))
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return BytesSource(bytes(photo))
    if isinstance(photo, AsyncIterable):
        return StreamSource(photo)
    if hasattr(photo, "read"):
        return OpenFileSource(photo)
    raise TypeError(f"a photo is bytes, a path, a binary file or an asynchronous iterable of bytes, not {type(photo).__name__}")


class BytesSource:
    """A photo in memory."""

    repeatable = True

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def size(self) -> int | None:
        """See Source."""
        return len(self._data)

    async def batches(self, chunk_bytes: int) -> AsyncGenerator[list[bytes], None]:
        """See Source."""
        for start in range(0, len(self._data), chunk_bytes):
            yield [self._data[start : start + chunk_bytes]]


class FileSource:
    """A photo on disk."""

    repeatable = True

    def __init__(self, path: Path) -> None:
        self._path = path

    async def size(self) -> int | None:
        """See Source."""
        return (await asyncio.to_thread(self._path.stat)).st_size

    async def batches(self, chunk_bytes: int) -> AsyncGenerator[list[bytes], None]:
        """See Source."""
        files = contextlib.ExitStack()
        opened: list[BinaryIO | io.RawIOBase] = []

        def read() -> list[bytes]:
            if not opened:  # in the thread that reads: one that is opened for a caller who has left would stay open
                opened.append(files.enter_context(self._path.open("rb", buffering=0)))
            return _read_batch(opened[0], chunk_bytes)

        async with contextlib.aclosing(_read_ahead(read, leave=files.close)) as batches:
            async for batch in batches:
                yield batch


class OpenFileSource:
    """A photo in an open binary file, from where it stands. It stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.repeatable = file.seekable()
        self._start = file.tell() if self.repeatable else 0

    async def size(self) -> int | None:
        """See Source."""
        if not self.repeatable:
            return None
        return await asyncio.to_thread(self._file.seek, 0, io.SEEK_END) - self._start

    async def batches(self, chunk_bytes: int) -> AsyncGenerator[list[bytes], None]:
        """See Source."""
        if self.repeatable:
            await asyncio.to_thread(self._file.seek, self._start)
        reading = _read_ahead(lambda: _read_batch(self._file, chunk_bytes), wait=self.repeatable)
        async with contextlib.aclosing(reading) as batches:
            async for batch in batches:
                yield batch


class StreamSource:
    """A photo that arrives piece by piece, once."""

    repeatable = False

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces

    async def size(self) -> int | None:
        """See Source."""
        return None

    async def batches(self, chunk_bytes: int) -> AsyncGenerator[list[bytes], None]:
        """See Source."""
        left = bytearray()
        try:
            async for piece in self._pieces:
                left += piece
                full = len(left) - len(left) % chunk_bytes
                if full:
                    yield [bytes(left[start : start + chunk_bytes]) for start in range(0, full, chunk_bytes)]
                    del left[:full]
        finally:
            if isinstance(self._pieces, AsyncGenerator):
                await self._pieces.aclose()
        if left:
            yield [bytes(left)]


async def _read_ahead(
    read: Callable[[], list[bytes]], *, wait: bool = True, leave: Callable[[], None] = lambda: None
) -> AsyncGenerator[list[bytes], None]:
    """Read off the event loop, one batch ahead of what is being sent.

    A thread cannot be cancelled, and nobody may close or rewind a file under it: `leave` is called when the last read is over, and
    with `wait` this ends no sooner, unless it is cancelled a second time.
    """
    loop = asyncio.get_running_loop()
    reading = loop.run_in_executor(None, read)
    try:
        while batch := await asyncio.shield(reading):
            reading = loop.run_in_executor(None, read)
            yield batch
    finally:
        reading.add_done_callback(lambda done: _leave(done, leave))
        if wait:
            await asyncio.wait([reading])


def _leave(done: asyncio.Future[list[bytes]], leave: Callable[[], None]) -> None:
    done.exception()  # it was raised already, or nobody is there to raise it to
    leave()


def _read_batch(file: BinaryIO | io.RawIOBase, chunk_bytes: int) -> list[bytes]:
    return list(_chunks(file, chunk_bytes))


def _chunks(file: BinaryIO | io.RawIOBase, chunk_bytes: int) -> Iterator[bytes]:
    for _ in range(max(1, READ_AHEAD_BYTES // chunk_bytes)):
        chunk = file.read(chunk_bytes) or b""
        while chunk and len(chunk) < chunk_bytes and (more := file.read(chunk_bytes - len(chunk))):
            chunk += more  # a pipe gives what it has
        if chunk:
            yield chunk
        if len(chunk) < chunk_bytes:
            return
