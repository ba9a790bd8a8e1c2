"""A body on its way in: kept as it comes while it is small; one that is larger is read while it comes, or refused."""

from collections.abc import Awaitable, Callable

from souk_monitor.decoding.envelopes import Envelope
from souk_monitor.exceptions import TooLargeError
from souk_monitor.web.streamed import StreamedEnvelope

Opening = Callable[[bytes], Awaitable[StreamedEnvelope]]
"""What reads a body on of which these bytes have come."""


class Arriving:
    """A body that is kept as it comes up to `most_bytes`. One with more is read as `opens` has it, or TooLargeError."""

    def __init__(self, most_bytes: int, opens: Opening | None = None) -> None:
        self._most_bytes = most_bytes
        self._opens = opens
        self._body = bytearray()
        self._streamed: StreamedEnvelope | None = None
        self._envelope: Envelope | None = None
        self.is_streamed = False
        """Whether it is read while it comes."""
        self.held = 0
        """Bytes of it that are here."""

    async def take(self, data: bytes) -> None:
        """The next bytes."""
        if self._streamed is not None:
            await self._streamed.take(data)
            self.held = self._streamed.held
        elif self.held + len(data) <= self._most_bytes:
            self._body += data
            self.held += len(data)
        elif self._opens is not None:
            self._streamed = await self._opens(bytes(self._body) + data)
            self._body.clear()
            self.is_streamed, self.held = True, self._streamed.held
        else:
            raise TooLargeError(self._most_bytes)

    async def end(self) -> None:
        """There are no more."""
        if self._streamed is not None:
            self._envelope = await self._streamed.end()

    @property
    def body(self) -> bytes | Envelope:
        """The whole as it was sent, or what was read of it."""
        return bytes(self._body) if self._envelope is None else self._envelope
