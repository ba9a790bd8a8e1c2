"""One attempt at an upload: its messages as they go over the wire, and how the writing and the call end together."""

import asyncio
import contextlib
import functools
import hashlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import google_crc32c
import grpc
from souk.client._crc32c import appending
from souk.client._sources import Source
from souk.imaging.v1 import imaging_pb2 as pb

T = TypeVar("T")
METHOD = "/souk.imaging.v1.ImagingService/UploadImage"
Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes that gRPC has taken so far, and the size of the photo where it is known."""
HEADER_BYTES = 64 * 1024
"""The first chunk has no more, for the service looks at a photo's header by then, and refuses it before the rest is sent."""
HEAP_KEPT_BYTES = 16 * 1024 * 1024
UploadMethod: TypeAlias = "grpc.aio.StreamUnaryMultiCallable[bytes, pb.UploadImageResponse]"
UploadCall: TypeAlias = "grpc.aio.StreamUnaryCall[bytes, pb.UploadImageResponse]"


def upload_method(channel: grpc.aio.Channel) -> UploadMethod:
    """UploadImage for requests that are bytes already."""
    method: UploadMethod = channel.stream_unary(METHOD, response_deserializer=pb.UploadImageResponse.FromString)
    return method


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What is to be uploaded, and how."""

    spec: pb.UploadSpec
    source: Source
    chunk_bytes: int
    with_sha256: bool = False
    on_progress: Progress | None = None

    async def attempt(self, method: UploadMethod, *, timeout: float | None, metadata: tuple[tuple[str, str], ...]) -> pb.Image:
        """Send everything once. Raises what the server said as grpc.aio.AioRpcError, or what reading the source raised.

        A server that has heard enough ends the call while it is still being written to: what it said then counts, and not that
        writing failed.
        """
        call: UploadCall = method(timeout=timeout, metadata=metadata)
        said = _ServerStatus(call)
        writing = asyncio.create_task(self._write(call), name="upload")
        writing.add_done_callback(lambda task: _cancel_if_failed(task, call))
        try:
            return (await call).image
        except grpc.aio.AioRpcError as error:
            raise (said.error or error) from None
        except asyncio.CancelledError:
            if writing.done() and not writing.cancelled() and (failure := writing.exception()):
                raise failure from None
            raise
        finally:
            writing.cancel()
            await asyncio.wait([writing])

    async def _write(self, call: UploadCall) -> None:
        async with contextlib.aclosing(self._messages()) as messages:
            async for message, sent in messages:
                try:
                    await call.write(message)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    return  # the call is over, and says itself why
                if self.on_progress:
                    self.on_progress(sent, self.spec.size_bytes or None)
        await call.done_writing()

    async def _messages(self) -> AsyncGenerator[tuple[bytes, int], None]:
        """Every message, and how many bytes of the photo are sent with it."""
        keep_heap()
        size = crc32c = 0
        append = appending(self.chunk_bytes)
        sha256 = hashlib.sha256() if self.with_sha256 else None
        yield pb.UploadImageRequest(spec=self.spec).SerializeToString(), 0
        async with contextlib.aclosing(self.source.batches(self.chunk_bytes)) as batches:
            async for batch in batches:
                if size == 0 and len(batch[0]) > HEADER_BYTES:
                    batch[:1] = batch[0][:HEADER_BYTES], batch[0][HEADER_BYTES:]
                for data in batch:
                    of_chunk = google_crc32c.value(data)
                    is_full = len(data) == self.chunk_bytes
                    crc32c = append(crc32c, of_chunk) if is_full else google_crc32c.extend(crc32c, data)
                    if sha256:
                        sha256.update(data)
                    message = encode_chunk(size, data, of_chunk)
                    size += len(data)
                    yield message, size
        finish = pb.UploadFinish(size_bytes=size, crc32c=crc32c, sha256=sha256.digest() if sha256 else b"")
        yield pb.UploadImageRequest(finish=finish).SerializeToString(), size


class _ServerStatus:
    """Keeps what the server said of a call, as an error.

    A write that fails because the call is over sets its status to a bare INTERNAL (_write in grpc.aio's _call.py), some µs before
    or after the true one comes. Both are there when awaiting the call returns, and one time in twenty the wrong one is seen.
    """

    def __init__(self, call: UploadCall) -> None:
        self.error: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._keep)

    def _keep(self, call: UploadCall) -> None:
        status = grpc.aio.AioRpcError(
            _value(call.code()), _value(call.initial_metadata()), _value(call.trailing_metadata()), _value(call.details())
        )
        of_a_write = status.code() is grpc.StatusCode.INTERNAL and not status.trailing_metadata()
        if self.error is None or not of_a_write:
            self.error = status


def _value(known: Coroutine[None, None, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        known.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise RuntimeError("the status of a finished call must be known")


@functools.cache
def keep_heap() -> None:
    """Keep glibc from giving the memory of every chunk back and faulting it in again, which costs as much as sending it.

    Freeing a block that was mapped raises the sizes above which it maps blocks and trims its heap, for good (mallopt(3),
    M_MMAP_THRESHOLD). Elsewhere this does nothing.
    """
    bytes(HEAP_KEPT_BYTES)


def encode_chunk(write_offset: int, data: bytes, crc32c: int) -> bytes:
    """UploadImageRequest{chunk{write_offset, data, crc32c}} in protobuf's wire format.

    By hand, for it is the hot path of an upload: the generated classes copy the data twice and reach a third of the throughput
    (bench/upload_stream.py). https://protobuf.dev/programming-guides/encoding
    """
    head = b"\x08" + _varint(write_offset) + b"\x12" + _varint(len(data))
    tail = b"\x1d" + crc32c.to_bytes(4, "little")
    return b"".join((b"\x12", _varint(len(head) + len(data) + len(tail)), head, data, tail))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _cancel_if_failed(task: asyncio.Task[None], call: UploadCall) -> None:
    if not task.cancelled() and task.exception():
        call.cancel()
