"""Bodies that are on their way in: how long, how many and how much at once, and who gives way where it is too much."""

import asyncio
from collections.abc import AsyncIterable, Hashable
from dataclasses import dataclass, field

from souk_monitor.exceptions import TooLargeError


class TooSlowError(Exception):
    """A body was not there in time."""


class GaveWayError(Exception):
    """A body was given up for others."""


@dataclass(slots=True, eq=False)
class _Body:
    holder: Hashable
    deadline: asyncio.Timeout
    read: bytearray = field(default_factory=bytearray)
    gives_way: bool = False


class Reading:
    """Reads bodies, each within a time, and all of them within a number and within bytes.

    Where it is one too many, or a byte, the oldest body gives way of whoever holds most (longest queue drop: Suter et al., Buffer
    management schemes for supporting TCP in gigabit routers with per-flow queueing, 1999). So who sends slowly, or not at all,
    keeps nobody out: a body that comes at once is read before as many others have come as there may be.
    """

    def __init__(self, *, seconds: float, most: int, most_bytes: int) -> None:
        self._seconds = seconds
        self._most = most
        self._most_bytes = most_bytes
        self._bodies: dict[Hashable, dict[_Body, None]] = {}
        """By holder, the oldest first; none is without."""
        self._bytes: dict[Hashable, int] = {}
        self.count = 0
        """Bodies that are read."""
        self.bytes = 0
        """Of them that are here."""

    async def read(self, chunks: AsyncIterable[bytes], limit: int, holder: Hashable) -> bytes:
        """The whole of a body. TooLargeError as soon as it has more than `limit` bytes, TooSlowError, GaveWayError."""
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                body = _Body(holder, deadline)
                self._enter(body)
                try:
                    await self._collect(body, chunks, limit)
                finally:
                    self._leave(body)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise GaveWayError if body.gives_way else TooSlowError from None
        return bytes(body.read)

    async def _collect(self, body: _Body, chunks: AsyncIterable[bytes], limit: int) -> None:
        async for chunk in chunks:
            if len(body.read) + len(chunk) > limit:
                raise TooLargeError(limit)
            if body.gives_way:
                raise GaveWayError
            body.read += chunk
            self.bytes += len(chunk)
            self._bytes[body.holder] += len(chunk)
            while self.bytes > self._most_bytes:
                self._give_way(max(self._bytes, key=self._bytes.__getitem__))
                if body.gives_way:
                    raise GaveWayError

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
        del bodies[body]
        self.count -= 1
        self.bytes -= len(body.read)
        self._bytes[body.holder] -= len(body.read)
        if not bodies:
            del self._bodies[body.holder], self._bytes[body.holder]
