"""A download that survives a broken connection, and a file that is there whole or not at all."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TypeAlias

import google_crc32c
import grpc
from souk.client._backoff import Backoff
from souk.client._errors import DataLossError, UnavailableError
from souk.imaging.v1 import imaging_pb2 as pb

Responses: TypeAlias = AsyncGenerator[pb.DownloadVariantResponse, None]
FLUSH_BYTES = 1024 * 1024
"""How much is kept in memory before one hop to a thread writes it."""


async def pieces_of(call: Callable[[int], Responses], backoff: Backoff) -> AsyncGenerator[bytes, None]:
    """The bytes of a variant to its end, each piece checked. `call` begins at an offset, and raises SoukError.

    UNAVAILABLE is followed by another call from where the last one stood. DataLossError where what arrives is not what was sent.
    """
    variant: pb.Variant | None = None
    offset = 0
    while True:
        try:
            async with contextlib.aclosing(call(offset)) as responses:
                async for response in responses:
                    if response.HasField("header"):
                        if variant is not None and response.header.name != variant.name:
                            raise _data_loss("the variant is another one than before the connection broke")
                        variant = response.header
                        continue
                    _check(response.chunk, offset)
                    offset += len(response.chunk.data)
                    backoff.progress()
                    yield response.chunk.data
        except UnavailableError as error:
            await backoff.wait_after(error)
            continue
        if variant is None or offset != variant.size_bytes:
            raise _data_loss(f"the stream ended after {offset} bytes")
        return


async def write_whole(pieces: AsyncGenerator[bytes, None], destination: Path) -> None:
    """Write a file beside its destination and put it in place when it is whole and on disk. OSError where that cannot be done."""
    partial = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.partial")
    try:
        with await asyncio.to_thread(partial.open, "xb") as file:
            waiting: list[bytes] = []
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    waiting.append(piece)
                    if sum(map(len, waiting)) >= FLUSH_BYTES:
                        await asyncio.to_thread(file.writelines, waiting)
                        waiting = []
            file.writelines(waiting)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        await asyncio.to_thread(partial.replace, destination)
    finally:
        partial.unlink(missing_ok=True)


def _check(chunk: pb.DownloadChunk, offset: int) -> None:
    if chunk.read_offset != offset:
        raise _data_loss(f"a piece of offset {chunk.read_offset} came where {offset} was due")
    if google_crc32c.value(chunk.data) != chunk.crc32c:
        raise _data_loss(f"the piece at {offset} is damaged")


def _data_loss(message: str) -> DataLossError:
    return DataLossError(message, code=grpc.StatusCode.DATA_LOSS)
