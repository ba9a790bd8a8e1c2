"""Frees memory of what is expired, a little at a time."""

import asyncio
from collections.abc import Callable, Sequence

from souk_cache.memory import Memory

INTERVAL = 1.0
"""Seconds between two looks."""
BUDGET = 500
"""Entries that are removed before others have their turn on the event loop: less than a millisecond or two."""


class Sweep:
    """Open it as a context manager: it sweeps until it is left."""

    def __init__(self, memories: Sequence[Memory], clock: Callable[[], float]) -> None:
        self._memories = memories
        self._clock = clock
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Sweep":
        self._sweeping = asyncio.create_task(self._sweep_regularly(), name="cache-sweep")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _sweep_regularly(self) -> None:
        while True:
            for memory in self._memories:
                while memory.expire(self._clock(), BUDGET):
                    await asyncio.sleep(0)
            await asyncio.sleep(INTERVAL)
