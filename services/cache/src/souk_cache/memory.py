"""The node's own memory: values that were decoded once, bounded by bytes and entries."""

import gc
from collections import deque
from collections.abc import Callable

from souk_cache.cells import Cell
from souk_cache.counts import Counts
from souk_cache.expiry import Expiry, Timed
from souk_cache.policy import RULES, Contest, Policy
from souk_cache.untracked import untrack
from souk_cache.values import Value, decode

OVERHEAD_BYTES = 720
"""What an entry takes beside its key and its value, with the cells of its namespace and its key."""
TAG_BYTES = 270
"""What each further name takes, where no other entry carries it."""
SHARD_ENTRIES = 16_384
"""A dict of a million entries that grows stops the process for 30 ms; one of these for less than one."""
MAX_NOTES = 4096
"""Hits that the policy has not been told of yet; with more, it is not told of the oldest."""
TOLD = 512
"""Hits that the policy is told of at once."""
SMALL = 4096
"""So many entries are forgotten at once."""
FREEZE_FROM = 16_384
"""With so many entries, what holds them is put where the collector does not look (gc.freeze)."""
RELEASED = 8
"""Cleared entries that each new one frees, so that what is cleared and what is new together stay within the bounds."""


class Entry(Timed):
    """One value in memory."""

    __slots__ = ("counts", "data", "fresh_until", "refresh_at", "seq", "stored", "tags", "version")

    def __init__(
        self,
        key: str,
        value: Value,
        *,
        seq: int,
        tags: tuple[Cell, ...],
        stored: float,
        expires: float,
        version: str,
        refresh_at: float,
        counts: Counts,
    ) -> None:
        weight = len(key) + value.weight + OVERHEAD_BYTES + TAG_BYTES * max(0, len(tags) - 2)
        super().__init__(key, weight, expires)
        self.data = value.data
        """None: negative."""
        self.seq = seq
        self.tags = tags
        self.stored = stored
        """When it was stored in Redis, by this node's clock."""
        self.fresh_until = stored + value.fresh_for
        self.refresh_at = refresh_at
        """From then on a read has it loaded anew; never after fresh_until."""
        self.version = version
        self.counts = counts
        """Of its namespace."""

    @property
    def is_invalidated(self) -> bool:
        """A name of it was invalidated, as far as this node knows."""
        return any(cell.seq > self.seq for cell in self.tags)


class Memory:
    """Values by key. What stays when it is full is decided by souk_cache.policy; what is expired goes bit by bit, by `expire`.

    For one thread: the event loop's.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entries: int,
        max_value_bytes: int,
        clock: Callable[[], float],
        stale_for: Callable[[str], float],
        refresh_after: Callable[[str, Value], float],
        counts: Callable[[str], Counts],
        within: Callable[[str, Value, float], Value] = lambda key, value, age: value,
    ) -> None:
        """refresh_after: seconds since a value was stored after which it is loaded anew. counts: those of a key's namespace.
        within: a value of an age, fresh no longer than its key allows."""
        self._max_value_bytes = max_value_bytes
        self._clock = clock
        self._stale_for = stale_for
        self._refresh_after = refresh_after
        self._counts = counts
        self._within = within
        self.served_until = float("-inf")
        """`hit` serves until then; set by the protocol."""
        self.latest_tag = 0
        """`hit` serves entries of at least this seq: no invalidated tag or namespace can concern them. Set by the protocol."""
        self.bytes = 0
        """Of keys, values and what they take beside."""
        self.evicted = 0
        self.expired = 0
        self.rejected = 0
        """Values that were not worth the place they would have taken."""
        most = min(max_entries, max_bytes // OVERHEAD_BYTES)
        self._mask = (1 << (most // SHARD_ENTRIES).bit_length()) - 1
        self._shards = self._new_shards()
        self._policy = Policy(RULES[0], max_bytes=max_bytes, max_entries=max_entries, evicted=self._evict)
        self._contest = Contest(max_bytes=max_bytes, max_entries=max_entries)
        self._expiry = Expiry()
        self._notes: deque[Entry] = deque(maxlen=MAX_NOTES)
        self._note = self._notes.append
        self._cleared: list[dict[str, Entry]] = []
        self._frozen = False

    def __len__(self) -> int:
        return self._policy.entries

    def hit(self, key: str, now: float) -> Entry | None:
        """A value that may be served without a further look, counted as a hit; None where there is none, or its tags must be looked
        at first. The hot path: no Python function is called from here."""
        entry = self._shards[hash(key) & self._mask].get(key)
        if entry is None or now >= entry.refresh_at or now >= self.served_until or entry.seq < self.latest_tag:
            return None
        counts = entry.counts
        counts.hits_memory += 1
        if entry.data is None:
            counts.negatives += 1
        self._note(entry)
        return entry

    def get(self, key: str, now: float) -> Entry | None:
        """The entry of a key, unless it is expired; also where it may not be served."""
        entry = self._shards[hash(key) & self._mask].get(key)
        if entry is None:
            return None
        if now >= entry.expires:
            self._forget(entry)
            self.expired += 1
            return None
        self._note(entry)
        return entry

    def remember(self, key: str, data: bytes, seq: int, tags: tuple[Cell, ...], age: float, version: str) -> None:
        """Keep a value as Redis holds it, if it is worth its place. age: seconds since it was stored there.

        What is not a value is left out.
        """
        value = decode(data, max_bytes=self._max_value_bytes)
        if value is None:
            return
        value = self._within(key, value, age)
        self._tell_policy()
        stored = self._clock() - age
        entry = Entry(
            key,
            value,
            seq=seq,
            tags=tags,
            stored=stored,
            expires=stored + value.fresh_for + self._stale_for(key),
            version=version,
            refresh_at=stored + self._refresh_after(key, value),
            counts=self._counts(key),
        )
        untrack(entry)
        untrack(tags)
        self._place(entry)
        self._release(RELEASED)

    def hottest(self, count: int) -> list[str]:
        """Keys that are read most, the one that was read last first."""
        self._tell_policy()
        return [node.key for node in self._policy.hottest(count)]

    def version(self, key: str) -> str:
        """The version of what is kept for a key; '' where there is none."""
        entry = self._shards[hash(key) & self._mask].get(key)
        return entry.version if entry is not None else ""

    def remove(self, key: str) -> bool:
        """Forget a key."""
        entry = self._shards[hash(key) & self._mask].get(key)
        if entry is None:
            return False
        self._forget(entry)
        return True

    def clear(self) -> None:
        """Forget everything, at once; what many entries took is freed bit by bit, by `expire` and by what is remembered next."""
        entries = self._policy.entries
        self._notes.clear()
        self._policy.clear()
        self._expiry = Expiry()
        self.bytes = 0
        if entries == 0:
            return
        self._cleared += self._shards
        self._shards = self._new_shards()
        self._frozen = False
        if entries <= SMALL:
            self._release(SMALL)

    def expire(self, now: float, budget: int) -> bool:
        """Remove up to `budget` entries that are expired or were cleared. True where there is more to do."""
        self._tell_policy()
        left = budget
        while left > 0:
            entry = self._expiry.due(now)
            if entry is None:
                break
            self._forget(entry)
            self.expired += 1
            left -= 1
        self._release(left)
        return left == 0 or bool(self._cleared) or bool(self._notes)

    # Inside

    def _new_shards(self) -> list[dict[str, Entry]]:
        return [{} for _ in range(self._mask + 1)]

    def _place(self, entry: Entry) -> None:
        key, policy = entry.key, self._policy
        shard = self._shards[hash(key) & self._mask]
        old = shard.get(key)
        if old is not None:
            policy.remove(old)
        filling = policy.filling
        placed = policy.add(entry, old)
        if old is not None:
            self._unlink(old)
        if placed:
            shard[key] = entry
            self._expiry.add(entry)
            self.bytes += entry.weight
        else:
            self.rejected += 1
        if policy.entries >= FREEZE_FROM and not self._frozen:
            self._frozen = True
            gc.freeze()
        if filling and not policy.filling:
            self._contest.full(policy.entries)
        self._compare(entry)

    def _compare(self, entry: Entry) -> None:
        if self._contest.use(entry.key, entry.weight):
            self._policy.rule = self._contest.rule

    def _tell_policy(self) -> None:
        """What was hit since the last time."""
        for _ in range(min(TOLD, len(self._notes))):
            entry = self._notes.popleft()
            if entry.last >= 0:
                self._policy.use(entry)
                self._compare(entry)

    def _evict(self, entry: Entry) -> None:
        self._unlink(entry)
        self.evicted += 1

    def _forget(self, entry: Entry) -> None:
        self._policy.remove(entry)
        self._unlink(entry)

    def _unlink(self, entry: Entry) -> None:
        """All but its place in the policy."""
        entry.last = -1
        del self._shards[hash(entry.key) & self._mask][entry.key]
        self._expiry.remove(entry)
        self.bytes -= entry.weight

    def _release(self, budget: int) -> None:
        """Break the cycles of cleared entries, which frees them."""
        while self._cleared and budget > 0:
            shard = self._cleared[-1]
            if not shard:
                self._cleared.pop()
                continue
            _, entry = shard.popitem()
            del entry.before, entry.after, entry.sooner, entry.later
            budget -= 1
