"""How far a warming is."""

from dataclasses import dataclass

from souk.common.v1 import operations_pb2


@dataclass(frozen=True, slots=True)
class WarmProgress:
    """How far a warming is, in keys."""

    total: int
    """In all; grows while a loader lists them."""
    fetched: int
    """Brought into memory from Redis."""
    loaded: int
    """Loaded by the namespace's loader."""
    skipped: int
    """In memory before, or being loaded by another."""
    failed: int
    """In no place, where the namespace has no loader, or loading failed."""

    @property
    def done(self) -> int:
        """Those that are done with."""
        return self.fetched + self.loaded + self.skipped + self.failed


def warm_progress(operation: operations_pb2.Operation) -> WarmProgress:
    """What the operation of a warming says of its progress."""
    told = operation.progress
    numbers = {name: told.counts.get(name, 0) for name in ("fetched", "loaded", "skipped", "failed")}
    return WarmProgress(total=told.total, **numbers)
