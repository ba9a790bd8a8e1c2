"""Keeps a near cache right: a Watch stream that is opened, pinged, and taken up again on another node when it ends."""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk.client._config import ClientConfig
from souk.client._errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    SoukError,
    UnauthenticatedError,
    UnimplementedError,
    from_rpc_error,
)
from souk.client._near import NearCache

FIRST_LEASE = 3.0
"""Seconds to take a lease for, until the first heartbeat has said."""
END_TIMEOUT = 1.0
_FINAL = (InvalidArgumentError, NotFoundError, PermissionDeniedError, UnauthenticatedError, UnimplementedError)


class Watching:
    """A task that follows Watch for as long as it is open. Whatever goes wrong, the near cache serves nothing beyond its lease."""

    def __init__(
        self,
        near: NearCache,
        open_stream: Callable[[], Any],
        config: ClientConfig,
        *,
        on_response: Callable[[pb.WatchResponse], None] = lambda _: None,
    ) -> None:
        """on_response: told of everything that comes, after it was applied."""
        self._near = near
        self._on_response = on_response
        self._open_stream = open_stream
        self._config = config
        self._task: asyncio.Task[None] | None = None
        self._stream: _Stream | None = None
        self._closing = False
        self.ready = asyncio.Event()
        """Set once the near cache may serve for the first time, or never will."""
        self.error: SoukError | None = None
        """Why it never will: what the service says would be the same the next time."""

    def start(self) -> None:
        """Begin, in the running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="near-cache-watch")

    async def close(self) -> None:
        """End the stream, and say so, that no invalidation waits for this near cache."""
        self._near.stop_serving()
        self._closing = True
        if self._task is None:
            return
        if self._stream is not None:
            self._stream.end()
            await asyncio.wait([self._task], timeout=END_TIMEOUT)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        delay = self._config.initial_backoff
        while not self._closing:
            stream = self._stream = _Stream(self._near, self._open_stream(), self._heard)
            try:
                await stream.follow()
            except grpc.aio.AioRpcError as failed:
                error = from_rpc_error(failed)
                if isinstance(error, _FINAL):
                    self.error = error
                    self.ready.set()
                    return
            except asyncio.InvalidStateError:
                pass
            self._stream = None
            if stream.heard:
                delay = self._config.initial_backoff
            if not stream.ended and not self._closing:  # by itself; one that its node asked to end is taken up elsewhere at once
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 — a spread, not a secret
                delay = min(2 * delay, self._config.max_backoff)

    def _heard(self, response: pb.WatchResponse) -> None:
        if response.HasField("heartbeat"):
            self.ready.set()
        self._on_response(response)


class _Stream:
    """One stream. Reading and writing are never interrupted, which would cut it off, but to give it up."""

    def __init__(self, near: NearCache, call: Any, on_response: Callable[[pb.WatchResponse], None]) -> None:
        self._near = near
        self._call = call
        self._on_response = on_response
        self._unsent: deque[pb.WatchRequest] = deque()
        self._due = asyncio.Event()
        self.ended = False
        """This side has said that it serves nothing any more."""
        self.heard = False

    def end(self) -> None:
        """Say that nothing is served any more."""
        self.ended = True
        self._due.set()

    async def follow(self) -> None:
        """Do what it says, to its end, or until it is silent for two leases."""
        writing = asyncio.create_task(self._write(), name="near-cache-write")
        try:
            while True:
                async with asyncio.timeout(2 * (self._near.lease or FIRST_LEASE)):
                    response = await self._call.read()
                if response is grpc.aio.EOF:
                    return
                self.heard = True
                acknowledgement = self._near.apply(response)
                if acknowledgement is not None:
                    self._unsent.append(acknowledgement)
                    self._due.set()
                if response.HasField("leaving"):
                    self.end()
                self._on_response(response)
        except TimeoutError:
            return
        finally:
            self._call.cancel()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self) -> None:
        await self._call.write(self._near.interest())
        next_ping = 0.0
        while not self.ended:
            now = time.monotonic()
            if now >= next_ping:
                next_ping = now + (self._near.lease or FIRST_LEASE) / 3
                await self._call.write(self._near.ping())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, next_ping - time.monotonic())):
                    await self._due.wait()
            self._due.clear()
            while self._unsent:
                await self._call.write(self._unsent.popleft())
        await self._call.done_writing()
