"""Envelopes that are read while they come: what is not kept of them, as attachments are, is never here as a whole."""

import asyncio
from dataclasses import dataclass

from souk_monitor.decoding.envelopes import Envelope, EnvelopeReader
from souk_monitor.exceptions import TooLargeError
from souk_monitor.web.bodies import Decompression

_SLICE = 256 * 1024
"""Bytes that are read at once, beside the event loop."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a body may have, in bytes."""

    whole: int
    """Once it is decompressed."""
    kept: int
    """What may be errors of it."""


def read_envelope(body: bytes, encoding: str, sizes: Sizes) -> Envelope:
    """The envelope of a body. MalformedError, TooLargeError."""
    reading = _Reading(encoding, sizes)
    reading.feed(body)
    return reading.end()


class StreamedEnvelope:
    """An envelope on its way in. All that takes bytes raises MalformedError or TooLargeError.

    begun: what has come of it, which is not read before there is more.
    most_bytes: as it is sent.
    turns: as many are decompressed at once as these let through, each for a slice of it.
    """

    def __init__(self, begun: bytes, encoding: str, sizes: Sizes, *, most_bytes: int, turns: asyncio.Semaphore) -> None:
        self._reading = _Reading(encoding, sizes)
        self._most_bytes = most_bytes
        self._turns = turns
        self._sent = len(begun)
        self._slice = bytearray(begun)

    @property
    def held(self) -> int:
        """Bytes of it that are here, and those that its decompression may hold."""
        return len(self._slice) + self._reading.held

    async def take(self, data: bytes) -> None:
        """The next bytes."""
        self._sent += len(data)
        if self._sent > self._most_bytes:
            raise TooLargeError(self._most_bytes)
        self._slice += data
        if len(self._slice) >= _SLICE:
            await self._read()

    async def end(self) -> Envelope:
        """There are no more."""
        await self._read()
        return self._reading.end()

    async def _read(self) -> None:
        data = bytes(self._slice)
        self._slice.clear()
        async with self._turns:
            await asyncio.to_thread(self._reading.feed, data)


class _Reading:
    def __init__(self, encoding: str, sizes: Sizes) -> None:
        self._decompression = Decompression(encoding, sizes.whole)
        self._reader = EnvelopeReader(sizes.kept)

    @property
    def held(self) -> int:
        return self._decompression.window + self._reader.held

    def feed(self, data: bytes) -> None:
        for step in self._decompression.feed(data):
            self._reader.feed(step)

    def end(self) -> Envelope:
        self._decompression.end()
        return self._reader.end()
