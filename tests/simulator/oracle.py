"""Says whether a read was stale. Knows times, keys, and whom an invalidation promises what; nothing of how a cache works."""

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
    """After an invalidation has returned, no read that starts later returns what was loaded from before it was called: no read at a
    node, and, where it was promised for clients too, none from a near cache."""

    def __init__(self) -> None:
        self._returned: dict[str, list[tuple[float, float]]] = {}
        self._returned_for_clients: dict[str, list[tuple[float, float]]] = {}
        self.stale: list[StaleRead] = []
        self.reads = 0
        self.near_reads = 0
        self.invalidations = 0

    def invalidated(self, keys: tuple[str, ...], *, called: float, returned: float, for_clients: bool) -> None:
        """An invalidation of these keys has returned."""
        self.invalidations += 1
        for key in keys:
            self._returned.setdefault(key, []).append((returned, called))
            if for_clients:
                self._returned_for_clients.setdefault(key, []).append((returned, called))

    def read(self, key: str, *, started: float, load_began: float, near: bool = False) -> None:
        """A read has returned a value that was not flagged; near: from a near cache."""
        self.reads += 1
        self.near_reads += near
        for returned, called in (self._returned_for_clients if near else self._returned).get(key, ()):
            if returned <= started and load_began < called:
                self.stale.append(StaleRead(key, started, load_began, called, returned))
                return
