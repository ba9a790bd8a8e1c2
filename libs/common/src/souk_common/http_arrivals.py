"""Requests over HTTP that are on their way in: their heads have a time, and of too many bodies the oldest gives way."""

import asyncio
from typing import Any

from starlette.types import Message, Receive
from uvicorn.protocols.http.h11_impl import H11Protocol


class Arrivals:
    """Requests whose bodies are not here yet, the oldest first."""

    def __init__(self) -> None:
        self._requests: dict[Arrival, None] = {}

    def begin(self, arrival: "Arrival") -> None:
        """Its body is waited for."""
        self._requests.setdefault(arrival)

    def end(self, arrival: "Arrival") -> None:
        """It is here, or waited for no more."""
        self._requests.pop(arrival, None)

    def give_way(self) -> bool:
        """Give up the oldest for a request that comes; False where none waits for its body."""
        oldest = next(iter(self._requests), None)
        if oldest is None:
            return False
        self.end(oldest)
        oldest.give_way()
        return True


class Arrival:
    """`receive` of one request: to the application one that gives way is one whose client has gone."""

    def __init__(self, receive: Receive, arrivals: Arrivals) -> None:
        self._receive = receive
        self._arrivals = arrivals
        self._waiting: asyncio.Timeout | None = None
        self._is_here = False
        self.gave_way = False

    async def __call__(self) -> Message:
        """The next message."""
        if self._is_here:
            return await self._receive()
        if self.gave_way:
            return {"type": "http.disconnect"}
        self._arrivals.begin(self)
        waiting = self._waiting = asyncio.timeout(None)
        try:
            async with waiting:
                message = await self._receive()
        except TimeoutError:
            if not waiting.expired():
                raise
            return {"type": "http.disconnect"}
        finally:
            self._waiting = None
        if message["type"] != "http.request" or not message.get("more_body"):
            self._is_here = True
            self._arrivals.end(self)
        return message

    def give_way(self) -> None:
        """Wait no more."""
        self.gave_way = True
        if self._waiting is not None:
            self._waiting.reschedule(0)


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, but a connection is closed on which the head of a request does not come in time.

    uvicorn itself has a time-out only between an answer and the first byte after it.
    """

    head_timeout = 10.0
    """Seconds."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is waited for."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is."""
        super().connection_lost(exc)
        self._head_came()

    def data_received(self, data: bytes) -> None:
        """A head, a part of one, or of a body."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._head_came()
        elif self._head is None and (before is None or before.response_complete):
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(self.head_timeout, self._close)

    def _head_came(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _close(self) -> None:
        self._head = None
        if not self.transport.is_closing():
            self.transport.close()
