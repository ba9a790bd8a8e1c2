"""What expires when: entries by the time at which they do, so that they can be removed in small steps."""

from heapq import heappop, heappush
from typing import Any

from souk_cache.policy import Node

SLOT_SECONDS = 4.0
"""Entries whose times are closer than this are not told apart: one is due up to so much later than it expired."""


class Timed(Node):
    """A node that expires."""

    __slots__ = ("expires", "later", "sooner")

    sooner: "Timed"
    """Its neighbour in the slot. Not set while it is in none."""
    later: "Timed"

    def __init__(self, key: Any, weight: int, expires: float) -> None:
        super().__init__(key, weight)
        self.expires = expires


class Expiry:
    """Entries in slots of time. Adding, removing, and finding what is due cost the same, however many there are."""

    def __init__(self) -> None:
        self._slots: dict[int, Timed] = {}
        self._order: list[int] = []

    def add(self, entry: Timed) -> None:
        """Put an entry where its time says."""
        slot = int(entry.expires // SLOT_SECONDS)
        root = self._slots.get(slot)
        if root is None:
            root = self._slots[slot] = Timed(None, 0, 0.0)
            root.sooner = root.later = root
            heappush(self._order, slot)
        last = root.sooner
        entry.sooner, entry.later = last, root
        last.later = root.sooner = entry

    def remove(self, entry: Timed) -> None:
        """Take an entry out."""
        entry.sooner.later = entry.later
        entry.later.sooner = entry.sooner
        del entry.sooner, entry.later

    def due(self, now: float) -> Any:
        """An entry that is expired; None where there is none, give or take a slot."""
        while self._order and (self._order[0] + 1) * SLOT_SECONDS <= now:
            root = self._slots[self._order[0]]
            if root.later is not root:
                return root.later
            del self._slots[heappop(self._order)]
            del root.sooner, root.later
        return None
