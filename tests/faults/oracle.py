"""Says whether a read was stale. Knows names, times, and whom an invalidation promises what; nothing of how a cache works."""

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StaleRead:
    """A read that broke the promise. Times are of one monotonic clock."""

    name: str
    read_started: float
    load_began: float
    invalidation_called: float
    where: str


@dataclass(slots=True)
class _Promises:
    """Of one name: when invalidations returned, and the latest call of those that had returned by then."""

    returned: list[float] = field(default_factory=list)
    called: list[float] = field(default_factory=list)

    def add(self, called: float, returned: float) -> None:
        self.called.append(max(called, self.called[-1] if self.called else called))
        self.returned.append(returned)

    def latest(self, started: float) -> float:
        """What a read that starts at `started` must be as new as."""
        known = bisect_right(self.returned, started)
        return self.called[known - 1] if known else float("-inf")


class Oracle:
    """After an invalidation has returned, no read that starts later returns what was loaded from before it was called: no read of a
    node, and, where it was promised for clients too, none of a near cache."""

    def __init__(self) -> None:
        self.stale: list[StaleRead] = []
        self.reads = 0
        self.near_reads = 0
        self._nodes: dict[str, _Promises] = {}
        self._clients: dict[str, _Promises] = {}

    def invalidated(self, names: list[str], *, called: float, returned: float, for_clients: bool) -> None:
        """An invalidation of these names has returned, just now."""
        for promises in (self._nodes, self._clients) if for_clients else (self._nodes,):
            for name in names:
                promises.setdefault(name, _Promises()).add(called, returned)

    def read(self, name: str, *, started: float, load_began: float, near: bool, where: str) -> None:
        """A read has returned a value that was not flagged. near: a near cache had it."""
        self.reads += 1
        self.near_reads += near
        promises = (self._clients if near else self._nodes).get(name)
        if promises is not None and load_began < (called := promises.latest(started)):
            self.stale.append(StaleRead(name, started, load_began, called, where))
