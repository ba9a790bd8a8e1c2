"""The cache as its callers see it: namespaces, keys, freshness, leases."""

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from souk_cache import values
from souk_cache.exceptions import StoreUnavailableError, ValueTooLargeError
from souk_cache.memory import Entry, Memory
from souk_cache.namespaces import Consistency, Namespace, Namespaces
from souk_cache.node import Node
from souk_cache.protocol import FIRST_POLL, Busy, Found, Leased, Missing, Token
from souk_cache.values import Value

VERSION_DIGITS = 20
"""Versions and source tokens are compared as texts of so many digits: every number of 64 bits fits."""
LONGEST_POLL = 0.05


class Level(Enum):
    """Where a value came from."""

    MEMORY = "memory"
    REDIS = "redis"


class Freshness(Enum):
    """What is known of a value."""

    FRESH = "fresh"
    STALE = "stale"
    """Past its TTL. Only for callers who allow it."""
    UNVERIFIED = "unverified"
    """From memory, while this node cannot know of invalidations."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A value."""

    data: bytes | None
    """None: it is known that there is nothing."""
    level: Level
    freshness: Freshness
    age: float
    version: int | None


@dataclass(frozen=True, slots=True)
class Lease:
    """There is no fresh value, and the caller is the one who may load it."""

    token: str
    source: int | None
    """What the load must see at least: the highest source token of an invalidation of the namespace."""
    stale: Hit | None
    """What there was, for a caller who allows it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """There is no fresh value, and another loads it."""

    seconds: float
    """Until that lease is over at the latest."""


@dataclass(frozen=True, slots=True)
class Miss:
    """There is no value."""


Result = Hit | Lease | Wait | Miss


class FillStatus(Enum):
    """What came of a fill or a put."""

    STORED = "stored"
    LEASE_LOST = "lease"
    """The lease is over, was another's, or never was."""
    INVALIDATED = "tainted"
    """What was loaded is older than an invalidation: it may be shown to who waits for it, and is not cached."""
    OLDER = "older"
    """There is a newer version."""
    RELEASED = "released"
    """The lease was given back."""


@dataclass(slots=True)
class Counts:
    """What happened in one namespace since the start."""

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


@dataclass(frozen=True, slots=True)
class Read:
    """How a caller wants to read."""

    wait: float = 0.0
    """Seconds to wait for a value that another loads."""
    lease: bool = True
    """Take the right to load where nobody has it."""
    allow_stale: bool = False
    after: Token | None = None
    """See at least this mutation."""


@dataclass(slots=True)
class Cache:
    """Reads, fills and invalidations on one node."""

    node: Node
    memory: Memory
    namespaces: Namespaces
    clock: Callable[[], float]
    chance: Callable[[], float] = random.random
    counts: dict[str, Counts] = field(default_factory=dict)

    async def get(self, namespace: str, key: str, read: Read) -> Result:
        """Read one key.

        Raises NamespaceUnknownError, or StoreUnavailableError where a strict namespace cannot know what is right.
        """
        space = self.namespaces.get(namespace)
        hit = self.peek(space, key, read)
        return hit if hit is not None else await self._fetch(space, key, read)

    def peek(self, space: Namespace, key: str, read: Read) -> Hit | None:
        """What memory holds, where it is fresh and known to be right: the whole way of a hit, without a task or a wait."""
        now = self.clock()
        coherence = self.node.coherence
        after = read.after
        if after is not None and (after.epoch != coherence.epoch or coherence.applied < after.seq):
            return None
        entry = coherence.lookup(f"{space.name}:{key}", now)
        if not isinstance(entry, Entry) or now >= entry.fresh_until:
            return None
        counts = self.of(space.name)
        counts.hits_memory += 1
        if entry.data is None:
            counts.negatives += 1
        return _hit(entry, now, Freshness.FRESH)

    async def fill(
        self,
        namespace: str,
        key: str,
        lease: str,
        data: bytes | None,
        *,
        tags: Sequence[str] = (),
        ttl: float | None = None,
        version: int | None = None,
    ) -> FillStatus:
        """Store what was loaded with a lease. data None: there is nothing."""
        space = self.namespaces.get(namespace)
        value = self._value(space, data, ttl)
        full = f"{namespace}:{key}"
        came = await self.node.carry_out(
            self.node.coherence.fill(
                full,
                Leased(lease, "", ""),
                values.encode(value, compress=space.compress),
                _names(namespace, key, tags),
                keep=value.fresh_for + space.stale_for,
                version=_padded(version),
            )
        )
        return self._filled(space, FillStatus(came.status))

    async def abandon(self, namespace: str, key: str, lease: str) -> FillStatus:
        """Give a lease back without a value, so that the next caller gets it at once."""
        self.namespaces.get(namespace)
        released = await self.node.carry_out(self.node.coherence.release(f"{namespace}:{key}", lease))
        return FillStatus.RELEASED if released else FillStatus.LEASE_LOST

    async def put(
        self,
        namespace: str,
        key: str,
        data: bytes | None,
        *,
        tags: Sequence[str] = (),
        ttl: float | None = None,
        version: int | None = None,
        level: int,
    ) -> tuple[FillStatus, Token]:
        """Store what a writer knows to be the newest; no node serves an older value when this has returned."""
        space = self.namespaces.get(namespace)
        value = self._value(space, data, ttl)
        came = await self.node.carry_out(
            self.node.coherence.put(
                f"{namespace}:{key}",
                values.encode(value, compress=space.compress),
                _names(namespace, key, tags),
                name=f"#{namespace}:{key}",
                keep=value.fresh_for + space.stale_for,
                version=_padded(version),
                level=level,
            )
        )
        return self._filled(space, FillStatus(came.status)), Token(came.epoch, came.seq)

    async def invalidate(
        self, *, keys: Sequence[tuple[str, str]], tags: Sequence[str], namespaces: Sequence[str], level: int, source: int | None
    ) -> Token:
        """Invalidate (namespace, key)s, tags and whole namespaces; no node serves what was there when this has returned.

        source: a position of the database at which the write can be seen. Kept for every namespace that is named.
        """
        named = dict.fromkeys([*(namespace for namespace, _ in keys), *namespaces])
        for namespace in named:
            self.of(self.namespaces.get(namespace).name).invalidations += 1
        full = tuple(f"{namespace}:{key}" for namespace, key in keys)
        names = (*(f"#{each}" for each in full), *(f"+{tag}" for tag in tags), *(f"={namespace}" for namespace in namespaces))
        token = Token("", 0)
        holders = list(named) or [space.name for space in self.namespaces.all()]
        for namespace in holders if source is not None else [""]:
            token = await self.node.carry_out(
                self.node.coherence.invalidate(names, full, level=level, namespace=namespace, source=_padded(source))
            )
        return token

    def of(self, namespace: str) -> Counts:
        """The counts of a namespace."""
        counts = self.counts.get(namespace)
        if counts is None:
            counts = self.counts[namespace] = Counts()
        return counts

    # Inside

    async def _fetch(self, space: Namespace, key: str, read: Read) -> Result:
        full = f"{space.name}:{key}"
        try:
            if self.node.lost:
                raise StoreUnavailableError("Redis does not answer", dependency="redis")
            return await self._ask(space, full, read)
        except StoreUnavailableError:
            entry = self.memory.get(full, self.clock()) if space.consistency is Consistency.AVAILABLE else None
            if entry is None or self.clock() >= self.node.coherence.lease_until + space.unverified_ttl:
                if space.consistency is Consistency.AVAILABLE:
                    self.of(space.name).misses += 1
                    return Miss()
                raise
            self.of(space.name).unverified_served += 1
            return _hit(entry, self.clock(), Freshness.UNVERIFIED)

    async def _ask(self, space: Namespace, full: str, read: Read) -> Result:
        counts = self.of(space.name)
        until = self.clock() + read.wait
        poll = FIRST_POLL
        mode = "load" if read.lease else "read"
        while True:
            outcome = await self.node.carry_out(
                self.node.coherence.get(full, namespace=space.name, mode=mode, until=until, joins=read.after is None)
            )
            match outcome:
                case Leased():
                    counts.leases += 1
                    return Lease(outcome.token, _number(outcome.source), None)
                case Busy():
                    counts.waits += 1
                    return Wait(outcome.left)
                case Missing():
                    counts.misses += 1
                    return Miss()
            hit = self._found(space, outcome)
            if hit is not None and hit.freshness is Freshness.FRESH:
                counts.hits_redis += 1
                counts.negatives += hit.data is None
                return hit
            stale = hit if read.allow_stale else None
            if outcome.leased is not None:
                counts.leases += 1
                return Lease(outcome.leased.token, _number(outcome.leased.source), stale)
            if not read.lease or mode == "refresh":
                if stale is not None:
                    counts.stale_served += 1
                    return stale
                if not read.lease:
                    counts.misses += 1
                    return Miss()
                if self.clock() >= until:
                    counts.waits += 1
                    return Wait(space.load_lease)
                await asyncio.sleep(min(poll, max(0.0, until - self.clock())))
                poll = min(2 * poll, LONGEST_POLL)
            mode = "refresh"  # there is something, and it is past its time

    def _found(self, space: Namespace, found: Found) -> Hit | None:
        """What Redis holds; None where that is not a value."""
        acquired = found.acquired
        value = values.decode(acquired.data, max_bytes=space.max_value_bytes)
        if value is None:
            return None
        freshness = Freshness.FRESH if acquired.age < value.fresh_for else Freshness.STALE
        return Hit(value.data, Level.REDIS, freshness, acquired.age, _number(acquired.version))

    def _value(self, space: Namespace, data: bytes | None, ttl: float | None) -> Value:
        if data is not None and len(data) > space.max_value_bytes:
            raise ValueTooLargeError(
                f"a value of {space.name} may have at most {space.max_value_bytes:,} bytes",
                limit_bytes=space.max_value_bytes,
                size_bytes=len(data),
            )
        return Value(data, space.fresh_for(negative=data is None, asked=ttl, chance=self.chance()))

    def _filled(self, space: Namespace, status: FillStatus) -> FillStatus:
        counts = self.of(space.name)
        if status is FillStatus.STORED:
            counts.fills += 1
        else:
            counts.fills_refused += 1
        return status


def _hit(entry: Entry, now: float, freshness: Freshness) -> Hit:
    return Hit(entry.data, Level.MEMORY, freshness, max(0.0, now - entry.stored), _number(entry.version))


def _names(namespace: str, key: str, tags: Sequence[str]) -> tuple[str, ...]:
    return (f"={namespace}", f"#{namespace}:{key}", *(f"+{tag}" for tag in dict.fromkeys(tags)))


def _padded(number: int | None) -> str:
    return "" if number is None else f"{number:0{VERSION_DIGITS}}"


def _number(padded: str) -> int | None:
    return int(padded) if re.fullmatch(r"[0-9]{20}", padded) else None
