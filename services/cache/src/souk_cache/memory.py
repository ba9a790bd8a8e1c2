"""The node's own memory: values that were decoded once, bounded by bytes and entries."""

from collections import OrderedDict
from collections.abc import Callable

from souk_cache.protocol import Cell
from souk_cache.values import Value, decode

OVERHEAD_BYTES = 400
"""What an entry takes beside its key and its value."""


class Entry:
    """One value in memory."""

    __slots__ = ("data", "expires", "fresh_until", "key", "seq", "stored", "tags", "version", "weight")

    def __init__(
        self, key: str, value: Value, *, seq: int, tags: tuple[Cell, ...], stored: float, expires: float, version: str
    ) -> None:
        self.key = key
        self.data = value.data
        """None: negative."""
        self.seq = seq
        self.tags = tags
        self.stored = stored
        """When it was stored in Redis, by this node's clock."""
        self.fresh_until = stored + value.fresh_for
        self.expires = expires
        self.version = version
        self.weight = len(key) + value.weight + OVERHEAD_BYTES


class Memory:
    """Values by key, the least recently used of which go first."""

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entries: int,
        max_value_bytes: int,
        clock: Callable[[], float],
        stale_for: Callable[[str], float],
    ) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._max_value_bytes = max_value_bytes
        self._clock = clock
        self._stale_for = stale_for
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.bytes = 0
        """Of keys, values and what they take beside."""
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float) -> Entry | None:
        """The entry of a key, unless it is expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.expires:
            self.remove(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def remember(self, key: str, data: bytes, seq: int, tags: tuple[Cell, ...], age: float, version: str) -> None:
        """Keep a value as Redis holds it. What is not one is left out."""
        value = decode(data, max_bytes=self._max_value_bytes)
        if value is None:
            return
        stored = self._clock() - age
        expires = stored + value.fresh_for + self._stale_for(key)
        self.remove(key)
        entry = Entry(key, value, seq=seq, tags=tags, stored=stored, expires=expires, version=version)
        if entry.weight > self._max_bytes:
            return
        self._entries[key] = entry
        self.bytes += entry.weight
        while self.bytes > self._max_bytes or len(self._entries) > self._max_entries:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= oldest.weight
            self.evicted += 1

    def version(self, key: str) -> str:
        """The version of what is kept for a key; '' where there is none."""
        entry = self._entries.get(key)
        return entry.version if entry is not None else ""

    def remove(self, key: str) -> bool:
        """Forget a key."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.bytes -= entry.weight
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.bytes = 0
