"""Bodies that are on their way in: how long, how many and how much at once, and who gives way where it is too much."""

import asyncio
from collections.abc import AsyncIterable, Hashable
from dataclasses import dataclass
from typing import Protocol


class Sink(Protocol):
    """What takes a body."""

    @property
    def held(self) -> int:
        """Bytes of it that are here."""

    @property
    def is_streamed(self) -> bool:
        """Whether it is read while it comes, so that it may be long: then it has a time for each part of it, and none passes while
        it is taken."""

    async def take(self, data: bytes, /) -> None:
        """The next bytes."""

    async def end(self) -> None:
        """There are no more."""


class TooSlowError(Exception):
    """A body was not there in time."""


class GaveWayError(Exception):
    """A body was given up for others."""


@dataclass(slots=True, eq=False)
class _Body:
    holder: Hashable
    deadline: asyncio.Timeout
    held: int = 0
    """Bytes that are here."""
    read: int = 0
    """Bytes that have come in the time there is."""
    gives_way: bool = False


class Reading:
    """Reads bodies, each within a time, and all of them within a number and within bytes.

    Where it is one too many, or a byte, the oldest body gives way of whoever holds most (longest queue drop: Suter et al., Buffer
    management schemes for supporting TCP in gigabit routers with per-flow queueing, 1999). So who sends slowly, or not at all,
    keeps nobody out: a body that comes at once is read before as many others have come as there may be.

    seconds: that a body may take, or each `part_bytes` of one that is streamed.
    """

    def __init__(self, *, seconds: float, part_bytes: int, most: int, most_bytes: int) -> None:
        self._seconds = seconds
        self._part_bytes = part_bytes
        self._most = most
        self._most_bytes = most_bytes
        self._bodies: dict[Hashable, dict[_Body, None]] = {}
        """By holder, the oldest first; none is without."""
        self._bytes: dict[Hashable, int] = {}
        self.count = 0
        """Bodies that are read."""
        self.bytes = 0
        """Of them that are here."""

    async def read(self, chunks: AsyncIterable[bytes], into: Sink, holder: Hashable) -> None:
        """Read the whole of a body. TooSlowError, GaveWayError, and what `into` raises."""
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                body = _Body(holder, deadline)
                self._enter(body)
                try:
                    async for chunk in chunks:
                        if into.is_streamed:
                            await self._take_streamed(body, chunk, into)
                        else:
                            await into.take(chunk)
                        self._make_room(body, into.held)
                    if into.is_streamed:
                        deadline.reschedule(None)
                    await into.end()
                finally:
                    self._leave(body)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise GaveWayError if body.gives_way else TooSlowError from None

    async def _take_streamed(self, body: _Body, chunk: bytes, into: Sink) -> None:
        left = self._left(body, len(chunk))
        body.deadline.reschedule(None)
        await into.take(chunk)
        if not body.gives_way:
            body.deadline.reschedule(asyncio.get_running_loop().time() + left)

    def _make_room(self, body: _Body, held: int) -> None:
        """A body has so many bytes now. GaveWayError, where it is the one that gives way, or was before."""
        if not body.gives_way:
            self._holds(body, held)
        while self.bytes > self._most_bytes and not body.gives_way:
            self._give_way(max(self._bytes, key=self._bytes.__getitem__))
        if body.gives_way:
            raise GaveWayError

    def _left(self, body: _Body, size: int) -> float:
        """Seconds that a body has for what comes behind so many bytes."""
        body.read += size
        if body.read >= self._part_bytes:
            body.read = 0
            return self._seconds
        return (body.deadline.when() or 0.0) - asyncio.get_running_loop().time()

    def _holds(self, body: _Body, held: int) -> None:
        self.bytes += held - body.held
        self._bytes[body.holder] += held - body.held
        body.held = held

    def _enter(self, body: _Body) -> None:
        self._bodies.setdefault(body.holder, {})[body] = None
        self._bytes.setdefault(body.holder, 0)
        self.count += 1
        if self.count > self._most:
            self._give_way(max(self._bodies, key=lambda holder: len(self._bodies[holder])))

    def _give_way(self, holder: Hashable) -> None:
        """End the oldest body of a holder, which is out at once."""
        body = next(iter(self._bodies[holder]))
        body.gives_way = True
        self._leave(body)
        if not body.deadline.expired():
            body.deadline.reschedule(0)

    def _leave(self, body: _Body) -> None:
        bodies = self._bodies.get(body.holder, {})
        if body not in bodies:
            return
        self._holds(body, 0)
        del bodies[body]
        self.count -= 1
        if not bodies:
            del self._bodies[body.holder], self._bytes[body.holder]
