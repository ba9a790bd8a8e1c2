"""What happened in each namespace since the start."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """What happened in one namespace."""

    hits_memory: int = 0
    hits_redis: int = 0
    negatives: int = 0
    stale_served: int = 0
    unverified_served: int = 0
    misses: int = 0
    leases: int = 0
    waits: int = 0
    fills: int = 0
    fills_refused: int = 0
    invalidations: int = 0
    loads: int = 0
    loads_failed: int = 0
    refreshes: int = 0


class CountsByNamespace:
    """The counts of each namespace, from the first time that it is asked for."""

    def __init__(self) -> None:
        self.by_name: dict[str, Counts] = {}

    def of(self, namespace: str) -> Counts:
        """Those of a namespace, to be added to."""
        counts = self.by_name.get(namespace)
        if counts is None:
            counts = self.by_name[namespace] = Counts()
        return counts
