"""Says whether a read was stale. Knows times and keys, and nothing of how a cache works."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StaleRead:
    """A read that broke the promise."""

    key: str
    read_started: float
    load_began: float
    invalidation_called: float
    invalidation_returned: float


class Oracle:
    """After an invalidation has returned, no read that starts later returns what was loaded from before it was called."""

    def __init__(self) -> None:
        self._returned: dict[str, list[tuple[float, float]]] = {}
        self.stale: list[StaleRead] = []
        self.reads = 0
        self.invalidations = 0

    def invalidated(self, keys: tuple[str, ...], *, called: float, returned: float) -> None:
        """An invalidation of these keys has returned."""
        self.invalidations += 1
        for key in keys:
            self._returned.setdefault(key, []).append((returned, called))

    def read(self, key: str, *, started: float, load_began: float) -> None:
        """A read has returned a value that was not flagged."""
        self.reads += 1
        for returned, called in self._returned.get(key, ()):
            if returned <= started and load_began < called:
                self.stale.append(StaleRead(key, started, load_began, called, returned))
                return
