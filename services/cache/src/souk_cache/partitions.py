"""Partitions: each is one order of mutations, with a node's part in it and the memory for it."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from souk_cache.memory import Memory
from souk_cache.namespaces import Namespace
from souk_cache.node import Node


@dataclass(frozen=True, slots=True)
class Partition:
    """One of them."""

    index: int
    node: Node
    memory: Memory


class Partitions:
    """All of them. A key's partition is the same on every node that has as many."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._all = tuple(partitions)
        self.only = partitions[0] if len(partitions) == 1 else None
        """The one that there is; None where there are more."""

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._all)

    def of(self, space: Namespace, key: str) -> Partition:
        """Where a key is. A namespace with aliases is in one, so that a value and its aliases change together."""
        if self.only is not None:
            return self.only
        place = space.name if space.aliases else f"{space.name}:{key}"
        return self._all[zlib.crc32(place.encode()) % len(self._all)]

    @property
    def fresh(self) -> bool:
        """Whether this node knows of every invalidation."""
        return all(partition.node.coherence.fresh for partition in self._all)
