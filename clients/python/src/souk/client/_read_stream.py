"""Reads of many callers over one stream: those of one turn of the event loop go out as one message."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk.client._errors import SoukError, UnavailableError, from_failure, from_rpc_error

MAX_ITEMS = 1000
"""Reads in one message, at the most."""


class StreamEndedError(UnavailableError):
    """The stream has ended without an answer to a read, which may be made again."""


class ReadStream:
    """One GetStream that is opened when it is needed, and anew when it has ended."""

    def __init__(self, open_stream: Callable[[], Any]) -> None:
        self._open_stream = open_stream
        self._stream: Any = None
        self._ids = itertools.count(1)
        self._unsent: list[pb.GetStreamRequest.Item] = []
        self._waiting: dict[int, asyncio.Future[pb.Result]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_due = False
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self, request: pb.GetRequest) -> pb.Result:
        """The result of one read, or its typed error. StreamEndedError where nothing has answered it: read again."""
        if self._closed:
            raise RuntimeError("the client is closed")
        loop = asyncio.get_running_loop()
        number = next(self._ids)
        answer: asyncio.Future[pb.Result] = loop.create_future()
        self._waiting[number] = answer
        self._unsent.append(pb.GetStreamRequest.Item(id=number, get=request))
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._send_soon)
        try:
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the stream; who waits gets UnavailableError."""
        self._closed = True
        if self._stream is not None:
            self._stream.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail(UnavailableError("the client is closed", code=grpc.StatusCode.UNAVAILABLE))

    def _send_soon(self) -> None:
        self._is_due = False
        if self._closed or self._sending is not None or not self._unsent:
            return
        if self._stream is None or self._stream.done():
            self._stream = self._open_stream()
            self._start(self._receive(self._stream))
        self._sending = self._start(self._send(self._stream))

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, stream: Any) -> None:
        """Send what there is, one message after the other: a stream takes one at a time."""
        items: list[pb.GetStreamRequest.Item] = []
        try:
            while self._unsent:
                items, self._unsent = self._unsent[:MAX_ITEMS], self._unsent[MAX_ITEMS:]
                await stream.write(pb.GetStreamRequest(items=items))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for item in items:
                self._settle(item.id, error=_ended())
        finally:
            self._sending = None
            if self._unsent:
                self._send_soon()

    async def _receive(self, stream: Any) -> None:
        error: SoukError = _ended()
        try:
            async for response in stream:
                for item in response.items:
                    if item.HasField("error"):
                        self._settle(item.id, error=from_failure(item.error))
                    else:
                        self._settle(item.id, result=item.result)
        except grpc.aio.AioRpcError as failed:
            told = from_rpc_error(failed)
            if not isinstance(told, UnavailableError):
                error = told
        finally:
            if self._stream is stream:
                self._stream = None
                self._fail(error)

    def _settle(self, number: int, *, result: pb.Result | None = None, error: SoukError | None = None) -> None:
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        elif result is not None:
            answer.set_result(result)

    def _fail(self, error: SoukError) -> None:
        for number in list(self._waiting):
            self._settle(number, error=error)


def _ended() -> StreamEndedError:
    return StreamEndedError("the stream of reads has ended", code=grpc.StatusCode.UNAVAILABLE)
