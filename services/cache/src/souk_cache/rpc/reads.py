"""The GetStream rpc: reads as they come, answers as they are there."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from itertools import accumulate
from typing import Any

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk_common.admission import RETRY_SECONDS
from souk_common.errors import ServiceError

from souk_cache.results import Result
from souk_cache.rpc import encoding, mapping, validate
from souk_cache.rpc.failures import failure

MAX_LOOKUPS = 1000
"""Reads of one stream that are looked up at once, and answers that it has not taken yet; then it is read no further."""
MAX_WAITS = 1000
"""Reads of one stream that may wait for a load, beside those: they may take long, and stop nobody."""
MAX_SLOW = 10_000
"""All of them, with those by the namespace's loader whose turn has not come."""
MAX_READY_BYTES = 4 * 1024 * 1024
"""Bytes of answers that a stream has not taken yet; then it is read no further, and what is found is not encoded."""
ANSWER_BYTES = 1024 * 1024
"""Bytes of one message with more than one result."""


class Reads:
    """One stream."""

    def __init__(
        self,
        at_once: Callable[[pb.GetRequest], bytes | None],
        find: Callable[[pb.GetRequest], Awaitable[Result]],
        *,
        max_message_bytes: int,
    ) -> None:
        """at_once: what memory has, as the field of an item; find: what there is elsewhere."""
        self._at_once = at_once
        self._find = find
        self._answer_bytes = min(ANSWER_BYTES, max_message_bytes)
        self._lookups = asyncio.Semaphore(MAX_LOOKUPS)
        self._waits = asyncio.Semaphore(MAX_WAITS)
        self._slow: set[asyncio.Task[None]] = set()
        self._ready: deque[bytes] = deque()
        self._ready_bytes = 0
        self._due = asyncio.Event()
        self._taken = asyncio.Event()
        self._turn = asyncio.Lock()

    async def serve(self, requests: AsyncIterator[pb.GetStreamRequest]) -> AsyncIterator[bytes]:
        """Answers, each the bytes of a GetStreamResponse, until the last read is answered."""
        reading = asyncio.create_task(self._read(requests), name="get-stream")
        reading.add_done_callback(lambda _: self._due.set())
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                while self._ready:
                    yield self._answer()
                if reading.done():
                    reading.result()
                    return
        finally:
            for task in (reading, *self._slow):
                task.cancel()

    async def _read(self, requests: AsyncIterator[pb.GetStreamRequest]) -> None:
        async for request in requests:
            validate.get_stream(request)
            for item in request.items:
                try:
                    validate.get(item.get)
                    found = self._at_once(item.get)
                    if found is None:
                        await self._start(item)
                    else:
                        self._put(item.id, found)
                except Exception as error:  # noqa: BLE001 — told in its place
                    self._put_error(item.id, error)
                if self._is_full:
                    await self._room()
            if self._ready:
                self._due.set()
        await asyncio.gather(*self._slow)

    async def _start(self, item: pb.GetStreamRequest.Item) -> None:
        options = item.get.options
        if not (options.load or options.lease):
            await self._start_lookup(item)
        elif not self._waits.locked():
            await self._waits.acquire()
            self._run(self._look_up(item, self._waits))
        elif not options.load:
            options.ClearField("wait")
            await self._start_lookup(item)
        elif len(self._slow) < MAX_SLOW:
            self._run(self._in_turn(item))
        else:
            raise ServiceError(
                grpc.StatusCode.UNAVAILABLE,
                "OVERLOADED",
                f"{len(self._slow):,} reads of this stream are under way, and it takes no more that load",
                retry_delay=RETRY_SECONDS,
            )

    async def _start_lookup(self, item: pb.GetStreamRequest.Item) -> None:
        if self._lookups.locked():
            self._due.set()  # for what is ready
        await self._lookups.acquire()
        self._run(self._look_up(item, self._lookups))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._slow.add(task)
        task.add_done_callback(self._slow.discard)

    async def _in_turn(self, item: pb.GetStreamRequest.Item) -> None:
        await self._waits.acquire()
        await self._look_up(item, self._waits)

    async def _look_up(self, item: pb.GetStreamRequest.Item, place: asyncio.Semaphore) -> None:
        try:
            found = await self._find(item.get)
            if self._is_full:
                await self._room()
            result = mapping.result(found, describe=item.get.options.describe)
            self._put(item.id, encoding.field(encoding.ITEM_RESULT, result))
        except Exception as error:  # noqa: BLE001 — told in its place
            self._put_error(item.id, error)
        finally:
            place.release()
        self._due.set()

    def _put(self, number: int, outcome: bytes) -> None:
        item = encoding.item(number, outcome)
        self._ready.append(item)
        self._ready_bytes += len(item)

    def _put_error(self, number: int, error: Exception) -> None:
        self._put(number, encoding.field(encoding.ITEM_ERROR, failure(error)))

    def _answer(self) -> bytes:
        """Of what is ready, as much as goes into one message: one result at least."""
        ready = self._ready
        count = len(ready)
        if self._ready_bytes > self._answer_bytes:
            count = max(1, sum(size <= self._answer_bytes for size in accumulate(map(len, ready))))
        answer = b"".join([ready.popleft() for _ in range(count)])
        self._ready_bytes -= len(answer)
        self._taken.set()
        return answer

    @property
    def _is_full(self) -> bool:
        return self._ready_bytes > MAX_READY_BYTES or len(self._ready) > MAX_LOOKUPS

    async def _room(self) -> None:
        """Wait until the stream has taken some of what is ready. One waits for that at a time, the others for their turn."""
        async with self._turn:
            while self._is_full:
                self._due.set()
                self._taken.clear()
                await self._taken.wait()
