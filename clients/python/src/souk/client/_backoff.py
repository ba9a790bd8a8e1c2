"""When to try again: attempts, deadline, jitter, and what the server asked for."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from souk.client._config import ClientConfig
from souk.client._errors import SoukError


class Backoff:
    """The attempts of one call. `timeout` is in seconds and spans all of them; None is no deadline."""

    def __init__(
        self,
        config: ClientConfig,
        timeout: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._config = config
        self._clock = clock
        self._sleep = sleep
        self._uniform = uniform
        self._deadline = None if timeout is None else clock() + timeout
        self.attempt = 1
        """The one under way, counted from the last progress."""

    def remaining(self) -> float | None:
        """Seconds to the deadline, at least 0; None where there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock())

    def progress(self) -> None:
        """Something arrived: the next failure counts as the first."""
        self.attempt = 1

    async def wait_after(self, error: SoukError) -> None:
        """Wait until the next attempt is due. Raises `error` where there is none, or where the deadline comes first."""
        if self.attempt >= self._config.attempts:
            raise error
        delay = min(self._config.initial_backoff * 2 ** (self.attempt - 1), self._config.max_backoff)
        delay = max(delay * self._uniform(0.8, 1.2), error.retry_delay or 0.0)
        remaining = self.remaining()
        if remaining is not None and delay >= remaining:
            raise error
        self.attempt += 1
        await self._sleep(delay)
