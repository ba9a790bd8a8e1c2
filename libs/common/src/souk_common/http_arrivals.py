"""Requests over HTTP that are on their way in: their heads have a time, and of too many bodies the oldest gives way."""

import asyncio
import sys
from typing import Any

import httptools
from starlette.types import Message, Receive
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_FRAMING = (b"content-length", b"transfer-encoding")
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


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


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, but a connection is closed on which the head of a request does not come in time, or is too long, and a
    request for another protocol is answered in this one, with its body.

    uvicorn itself has a time-out only between an answer and the first byte after it, and no limit of a head. httptools takes what
    comes after a head with Upgrade for the other protocol's, and Java's HttpClient has that in every first request.
    """

    head_timeout = 10.0
    """Seconds."""
    head_bytes = 64 * 1024
    """That have come of a head without its end, at the most."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._is_in_head = self._is_in_body = False
        self._begun = 0
        """Heads, ever."""
        self._bytes = 0
        """Of the last of them, but for what came with the end of another request; or around the bytes of a body."""
        self._goes_on = False
        """A body, or its end, was in what came."""
        self._data = self._rest = b""
        self._is_upgrade = False
        self._begins_anew = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is waited for."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is."""
        super().connection_lost(exc)
        self._wait_no_more()

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        if self._begins_anew:
            return
        super().on_message_begin()
        self._is_in_head = True
        self._begun += 1

    def on_headers_complete(self) -> None:
        """It is here."""
        if self._begins_anew:
            return
        self._is_in_head, self._is_in_body = False, True
        self._wait_no_more()
        if self.parser.get_http_version() == "1.1" and [name for name, _ in self.headers].count(b"host") != 1:
            raise ValueError("a request of HTTP/1.1 has one Host (RFC 9112, 3.2)")  # it becomes a 400
        super().on_headers_complete()
        self._is_upgrade = self.parser.should_upgrade()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of a head: what is behind a body is left out, as it would be taken for a part of it."""
        if self._is_in_head:
            super().on_header(name, value.rstrip(b" \t"))

    def on_body(self, body: bytes) -> None:
        """Bytes of it."""
        self._bytes = 0
        self._goes_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is, but for one that was not looked at."""
        if not self._is_upgrade:
            self._is_in_body = False
            self._goes_on = True
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Heads, bodies, or parts of them."""
        first = None if self._is_in_body else self._begun + (not self._is_in_head)  # the head that the first byte is of
        self._rest, self._goes_on = data, False
        while self._rest and not self.transport.is_closing():
            self._data, self._rest = self._rest, b""
            super().data_received(self._data)
        self._data = b""
        if self.transport.is_closing():
            return
        if self._answered():  # so that what has come has no whole head
            self._wait_for_head()
        if self._is_in_head:
            self._bytes = self._bytes + len(data) if self._begun == first else 0
        elif self._is_in_body and first is None and not self._goes_on:  # sizes of chunks, and what is behind the last
            self._bytes += len(data)
        else:
            self._bytes = 0
        if self._bytes > self.head_bytes:
            self._refuse()

    def _unsupported_upgrade_warning(self) -> None:
        """Go on, where uvicorn has caught that the parser stops after a head with Upgrade (RFC 9110, 7.8: it may be ignored).

        Another parser reads on, after a head that says how long the body is.
        """
        stopped = sys.exception()
        self._rest = self._data[stopped.args[0] :] if isinstance(stopped, httptools.HttpParserUpgrade) else b""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        framing = [b"%s: %s\r\n" % header for header in self.headers if header[0] in _FRAMING]
        self._is_upgrade, self._begins_anew = False, True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(framing))
        except httptools.HttpParserError:  # not looked at before
            self._rest = b""
            self.send_400_response("Invalid HTTP request received.")
        self._begins_anew = False

    def send_400_response(self, msg: str) -> None:
        """Where it is no part of another answer."""
        is_first = self.cycle is not None and self._is_in_body and not (self.cycle.response_started or self.pipeline)
        if self._answered() or is_first:
            super().send_400_response(msg)
        else:
            self._close()

    def _answered(self) -> bool:
        """Whether no request waits for its answer: the head of another has no time until then."""
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_timeout, self._close)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self) -> None:
        if self._answered():
            self.transport.write(_TOO_LONG)
        self._close()

    def _close(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
