"""What keeps the shared state of a partition: Redis, or, for one node alone, this process."""

from collections.abc import AsyncIterator
from typing import Protocol

from souk_cache.scripts import Call, Reply


class Backend(Protocol):
    """Runs the scripts of one partition."""

    async def run(self, call: Call) -> Reply:
        """Run a script; StoreUnavailableError where there is no answer in time. It may have run all the same."""

    def invalidations(self, stream: str, after: int) -> AsyncIterator[tuple[int, tuple[str, ...]]]:
        """What is invalidated after seq `after`, as it happens; ends from time to time, or with StoreUnavailableError."""

    async def history(self, stream: str, after: int, last: int) -> list[tuple[int, tuple[str, ...]]]:
        """What was invalidated after seq `after` up to `last`, as far as it is still known."""

    async def check(self) -> None:
        """Raise where it does not answer."""

    async def check_eviction(self) -> None:
        """Raise where it may forget what invalidations stand on."""

    async def close(self) -> None:
        """Let go of it."""
