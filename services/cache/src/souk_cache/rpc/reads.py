"""The GetStream rpc: reads as they come, answers as they are there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from souk.cache.v1 import cache_pb2 as pb

from souk_cache.rpc import validate
from souk_cache.rpc.failures import failure

MAX_WAITING = 1000
"""Reads of one stream that are under way at once, and answers that it has not taken yet; then no more is read from it."""
Item = pb.GetStreamResponse.Item


class Reads:
    """One stream."""

    def __init__(
        self, at_once: Callable[[pb.GetRequest], bytes | None], fetch: Callable[[pb.GetRequest], Awaitable[pb.Result]]
    ) -> None:
        """at_once: what memory has, as the field of an item; fetch: what there is elsewhere."""
        self._at_once = at_once
        self._fetch = fetch
        self._free = asyncio.Semaphore(MAX_WAITING)
        self._slow: set[asyncio.Task[None]] = set()
        self._ready: list[Item] = []
        self._due = asyncio.Event()
        self._taken = asyncio.Event()

    async def serve(self, requests: AsyncIterator[pb.GetStreamRequest]) -> AsyncIterator[pb.GetStreamResponse]:
        """Answers, until the last read is answered."""
        reading = asyncio.create_task(self._read(requests), name="get-stream")
        reading.add_done_callback(lambda _: self._due.set())
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                if self._ready:
                    ready, self._ready = self._ready, []
                    self._taken.set()
                    yield pb.GetStreamResponse(items=ready)
                elif reading.done():
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
                except Exception as error:  # noqa: BLE001 — told in its place
                    self._ready.append(Item(id=item.id, error=failure(error)))
                    continue
                if found is not None:
                    ready = Item.FromString(found)
                    ready.id = item.id
                    self._ready.append(ready)
                    continue
                await self._free.acquire()
                task = asyncio.create_task(self._look_up(item))
                self._slow.add(task)
                task.add_done_callback(self._slow.discard)
            if self._ready:
                self._due.set()
            while len(self._ready) > MAX_WAITING:
                self._taken.clear()
                await self._taken.wait()
        await asyncio.gather(*self._slow)

    async def _look_up(self, item: pb.GetStreamRequest.Item) -> None:
        try:
            answer = Item(id=item.id, result=await self._fetch(item.get))
        except Exception as error:  # noqa: BLE001 — told in its place
            answer = Item(id=item.id, error=failure(error))
        finally:
            self._free.release()
        self._ready.append(answer)
        self._due.set()
