"""A node at work: carries the protocol's operations out on asyncio, beats, and listens for invalidations."""

import asyncio
import contextlib
from typing import TypeVar

import structlog

from souk_cache.backends import Backend
from souk_cache.exceptions import StoreUnavailableError
from souk_cache.protocol import Coherence, Join, Operation, Sleep
from souk_cache.scripts import Call

T = TypeVar("T")
log = structlog.get_logger(__name__)
PAUSE = 0.05
"""Seconds before a Redis that does not answer is asked again."""


class Node:
    """One member of the partition. Open it as a context manager; leaving it takes it out of the partition."""

    def __init__(self, coherence: Coherence, backend: Backend, *, interval: float) -> None:
        self.coherence = coherence
        self._backend = backend
        self._interval = interval
        self.lost = False
        """Redis did not answer the last beat."""
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Node":
        with contextlib.suppress(StoreUnavailableError):
            while not self.coherence.fresh:
                await self.carry_out(self.coherence.beat())
        self._tasks = [
            asyncio.create_task(self._beat(), name="cache-beat"),
            asyncio.create_task(self._listen(), name="cache-listen"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(StoreUnavailableError):
            await self.carry_out(self.coherence.beat(leaves=True))

    async def check(self) -> None:
        """Raise where this node does not know of every invalidation."""
        if not self.coherence.fresh:
            raise StoreUnavailableError("this node does not know of every invalidation", dependency="redis")

    async def carry_out(self, operation: Operation[T]) -> T:
        """Do what an operation yields, until it returns."""
        try:
            step = next(operation)
            while True:
                match step:
                    case Call():
                        try:
                            reply = await self._backend.run(step)
                        except StoreUnavailableError as error:
                            step = operation.throw(error)
                        else:
                            step = operation.send(reply)
                    case Sleep():
                        await asyncio.sleep(step.seconds)
                        step = next(operation)
                    case Join():
                        await _landed(step)
                        step = next(operation)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            operation.close()

    def beat_soon(self) -> None:
        """There is something to acknowledge."""
        self._due.set()

    async def history(self, after: int) -> list[tuple[int, tuple[str, ...]]]:
        """What was invalidated after seq `after`, as far as this node has applied it and it is still known."""
        return await self._backend.history(self.coherence.keys.stream, after, self.coherence.applied)

    async def _beat(self) -> None:
        """Beat every interval, and at once when there is something to acknowledge."""
        while True:
            try:
                came = await self.carry_out(self.coherence.beat())
                self.lost = False
                if came.status != "ok" or came.events:
                    continue  # what was applied is to be acknowledged
            except StoreUnavailableError as error:
                if not self.lost:
                    log.warning("the shared state does not answer", detail=error.message)
                self.lost = True
                await asyncio.sleep(PAUSE)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._due.wait()
            self._due.clear()

    async def _listen(self) -> None:
        while True:
            coherence = self.coherence
            try:
                async for seq, names in self._backend.invalidations(coherence.keys.stream, coherence.applied):
                    coherence.push(coherence.epoch, seq, names)
                    self._due.set()
            except StoreUnavailableError:
                await asyncio.sleep(PAUSE)


async def _landed(step: Join) -> None:
    if step.flight.done:
        return
    landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not landed.done():
            landed.set_result(None)

    step.flight.waiters.append(wake)
    try:
        await landed
    finally:
        with contextlib.suppress(ValueError):
            step.flight.waiters.remove(wake)
