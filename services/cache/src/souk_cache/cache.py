"""The cache as its callers see it: namespaces, keys and their aliases, freshness, leases."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from souk_cache import values
from souk_cache.counts import CountsByNamespace
from souk_cache.exceptions import LoaderFailedError, StoreUnavailableError, ValueTooLargeError
from souk_cache.loading import Loaded, Loads, Wanted, policy_of
from souk_cache.memory import Entry
from souk_cache.namespaces import Consistency, Namespace, Namespaces
from souk_cache.numbers import number, padded
from souk_cache.partitions import Partition, Partitions
from souk_cache.protocol import NO_ALIASES, Aliases, Busy, Coherence, Found, Leased, Missing, Token
from souk_cache.results import (
    Content,
    FillStatus,
    Freshness,
    Hit,
    Lease,
    Level,
    Miss,
    Position,
    Read,
    Result,
    Wait,
)
from souk_cache.targets import Named, Target, alias_key, alias_names, description, has_name, loaded_hit, names_of
from souk_cache.values import Value

LONGEST_POLL = 0.05
SHORTEST_KEEP = 0.001
"""Seconds that Redis keeps a value whose time was over when it came."""


@dataclass(slots=True)
class Cache:
    """Reads, fills and invalidations on one node."""

    partitions: Partitions
    namespaces: Namespaces
    clock: Callable[[], float]
    counts: CountsByNamespace
    loads: Loads
    chance: Callable[[], float] = field(default=random.random)
    wall: Callable[[], float] = field(default=time.time)
    """Seconds of the Unix epoch: time buckets end by it."""

    # Reads

    async def get(self, namespace: str, key: str, read: Read) -> Result:
        """Read one key.

        Raises NamespaceUnknownError, TimeBucketUnreadableError, or StoreUnavailableError where a strict namespace cannot know what
        is right.
        """
        space = self.namespaces.get(namespace)
        entry = self.peek(space, key, read.after)
        if entry is not None:
            return self.found_in_memory(space, key, entry)
        space.check_key(key)
        target = self._target(space, key)
        entry = self._fresh(target) if self._has_seen(target.partition, read.after) else None
        if entry is not None:
            return await self._hit_that_is_due(target, entry, read)
        return await self._fetch(target, read)

    async def get_by_alias(self, namespace: str, alias: str, read: Read) -> Result:
        """Read the value that has an alias. Errors as `get`, and AliasKindUnknownError."""
        space = self.namespaces.get(namespace)
        target = self._alias_target(space, space.alias(alias))
        hit = self._in_memory(target, read)
        return hit if hit is not None else await self._fetch(target, read)

    def peek(self, space: Namespace, key: str, after: tuple[Position, ...] = ()) -> Entry | None:
        """What memory holds, where it is fresh, known to be right and not due to be loaded anew: the whole way of a hit, without a
        task or a wait."""
        partition = self.partitions.of(space, key)
        if after and not self._has_seen(partition, after):
            return None
        full, now = f"{space.name}:{key}", self.clock()
        hit = partition.memory.hit(full, now)
        if hit is not None:
            return hit
        entry = partition.node.coherence.lookup(full, now)
        if not isinstance(entry, Entry) or now >= entry.refresh_at:
            return None
        entry.counts.hits_memory += 1
        entry.counts.negatives += entry.data is None
        return entry

    def peek_all(self, space: Namespace, keys: Sequence[str], after: tuple[Position, ...] = ()) -> list[Entry | None]:
        """`peek` of many keys."""
        if after or self.partitions.only is None:
            return [self.peek(space, key, after) for key in keys]
        hit, prefix, now = self.partitions.only.memory.hit, f"{space.name}:", self.clock()
        entries = [hit(prefix + key, now) for key in keys]
        if None in entries:
            return [entry or self.peek(space, key) for key, entry in zip(keys, entries, strict=True)]
        return entries

    def found_in_memory(self, space: Namespace, key: str, entry: Entry) -> Hit:
        """A hit of `peek`, as a result."""
        return self._hit(self._target(space, key), entry, Freshness.FRESH)

    # Writes

    async def fill(self, namespace: str, key: str, lease: str, content: Content, *, alias: str = "") -> FillStatus:
        """Store what was loaded with a lease. alias: the alias that the lease is of; without a key, nothing has it."""
        space = self.namespaces.get(namespace)
        leased = self._alias_target(space, space.alias(alias)) if alias else self._target(space, key)
        target = self._target(space, key) if key else leased
        value = self._value(target, content, loading=content.load_seconds or space.lease_seconds)
        came = await target.partition.node.carry_out(
            target.partition.node.coherence.fill(
                target.full,
                Leased(lease, "", ""),
                values.encode(value, compress=space.compress),
                names_of(target, content),
                keep=max(SHORTEST_KEEP, value.fresh_for + space.stale_for),
                version=padded(content.version),
                aliases=self._aliases(space, key, value, content.aliases),
                leased_key=leased.full,
            )
        )
        return self._filled(space, FillStatus(came.status))

    async def abandon(self, namespace: str, key: str, lease: str, *, alias: str = "") -> FillStatus:
        """Give a lease back without a value, so that the next caller gets it at once."""
        space = self.namespaces.get(namespace)
        target = self._alias_target(space, space.alias(alias)) if alias else self._target(space, key)
        released = await target.partition.node.carry_out(target.partition.node.coherence.release(target.full, lease))
        return FillStatus.RELEASED if released else FillStatus.LEASE_LOST

    async def keep(self, wanted: Wanted, lease: str, loaded: Loaded) -> Hit:
        """See Store. What an invalidation has passed goes to who asked for it before that, and is not kept."""
        space, key = wanted.space, loaded.key or wanted.key
        target = self._target(space, key) if key else self._alias_target(space, wanted.alias)
        hit = loaded_hit(target, loaded, Freshness.FRESH)
        try:
            status = await self.fill(space.name, key, lease, loaded.content, alias=wanted.alias)
        except StoreUnavailableError:
            return hit
        if status is FillStatus.OLDER:
            problem = "a version older than the one that is kept"
            raise LoaderFailedError(f"the loader of {space.name} answered {problem}", problem=problem)
        entry = self._fresh(target) if status is FillStatus.STORED else None
        return hit if entry is None else replace(hit, description=self._hit(target, entry, Freshness.FRESH).description)

    async def give_back(self, wanted: Wanted, lease: str) -> None:
        """See Store."""
        await self.abandon(wanted.space.name, wanted.key, lease, alias=wanted.alias)

    async def put(self, namespace: str, key: str, content: Content, *, level: int) -> tuple[FillStatus, tuple[Position, ...]]:
        """Store what a writer knows to be the newest; no node serves an older value when this has returned."""
        space = self.namespaces.get(namespace)
        target = self._target(space, key)
        value = self._value(target, content, loading=0.0)
        aliases = self._aliases(space, key, value, content.aliases)
        came = await target.partition.node.carry_out(
            target.partition.node.coherence.put(
                target.full,
                values.encode(value, compress=space.compress),
                names_of(target, content),
                replaces=(f"#{target.full}", *alias_names(space, content.aliases)),
                keep=max(SHORTEST_KEEP, value.fresh_for + space.stale_for),
                version=padded(content.version),
                level=level,
                aliases=aliases,
            )
        )
        position = Position(target.partition.index, came.epoch, came.seq)
        return self._filled(space, FillStatus(came.status)), (position,)

    async def invalidate(self, named: Named, *, level: int, source: int | None) -> tuple[Position, ...]:
        """Invalidate; no node serves what was there when this has returned.

        source: a position of the database at which the write can be seen. Kept for every namespace that is named, and for all where
        only tags are.
        """
        spaces = dict.fromkeys([*(name for name, _ in (*named.keys, *named.aliases)), *named.namespaces])
        for name in spaces:
            self.counts.of(self.namespaces.get(name).name).invalidations += 1
        targets = [self._target(self.namespaces.get(name), key) for name, key in named.keys]
        targets += [self._alias_target(space := self.namespaces.get(name), space.alias(alias)) for name, alias in named.aliases]
        everywhere = (*(f"+{tag}" for tag in named.tags), *(f"={name}" for name in named.namespaces))
        holders = tuple(spaces) or tuple(space.name for space in self.namespaces.all())

        async def tell(partition: Partition) -> Position | None:
            here = [target for target in targets if target.partition is partition]
            names = (*(target.alias_name or f"#{target.full}" for target in here), *everywhere)
            if not names:
                return None
            token: Token = await partition.node.carry_out(
                partition.node.coherence.invalidate(
                    names,
                    tuple(target.full for target in here),
                    level=level,
                    namespaces=holders,
                    source=padded(source),
                )
            )
            return Position(partition.index, token.epoch, token.seq)

        told = await asyncio.gather(*(tell(partition) for partition in self.partitions))
        return tuple(position for position in told if position is not None)

    # Targets

    def _target(self, space: Namespace, key: str) -> Target:
        return Target(space, self.partitions.of(space, key), f"{space.name}:{key}")

    def _alias_target(self, space: Namespace, alias: str) -> Target:
        return Target(space, self.partitions.of(space, ""), alias_key(space, alias), f"~{space.name}:{alias}")

    def _aliases(self, space: Namespace, key: str, value: Value, aliases: Iterable[str]) -> Aliases:
        named = tuple(dict.fromkeys(map(space.alias, aliases)))
        if not named:
            return NO_ALIASES
        return Aliases(
            tuple(alias_key(space, alias) for alias in named),
            tuple((f"={space.name}", name) for name in alias_names(space, named)),
            values.encode(Value(key.encode(), value.fresh_for), compress=False),
        )

    # Inside

    async def _fetch(self, target: Target, read: Read) -> Result:
        if read.load:
            return await self._read_through(target, read)
        node = target.partition.node
        try:
            if node.lost:
                raise StoreUnavailableError("Redis does not answer", dependency="redis")
            return await self._ask(target, read)
        except StoreUnavailableError:
            space, counts = target.space, self.counts.of(target.space.name)
            if space.consistency is not Consistency.AVAILABLE:
                raise
            trusted = self.clock() < node.coherence.lease_until + space.unverified_ttl
            known = trusted and self._has_seen(target.partition, read.after)
            entry = self._unverified(target, allow_stale=read.allow_stale) if known else None
            if entry is None:
                counts.misses += 1
                return Miss()
            counts.unverified_served += 1
            return self._hit(target, entry, Freshness.UNVERIFIED)

    async def _read_through(self, target: Target, read: Read) -> Result:
        wait = policy_of(target.space).hard_timeout if read.wait is None else read.wait
        result = await self._fetch(target, replace(read, load=False, lease=True, wait=wait))
        match result:
            case Lease():
                return await self.loads.read(self, target.wanted, result)
            case Miss():  # Redis is gone, and the namespace goes on
                loaded = await self.loads.read_unshared(target.wanted, joins=not read.after)
                return loaded_hit(target, loaded, Freshness.UNVERIFIED)
        return result

    async def _hit_that_is_due(self, target: Target, entry: Entry, read: Read) -> Hit:
        """A hit near the end of its TTL. Whoever is chosen of all callers and nodes loads it anew."""
        counts = self.counts.of(target.space.name)
        counts.hits_memory += 1
        counts.negatives += entry.data is None
        hit = self._hit(target, entry, Freshness.FRESH)
        if target.space.loader is not None:
            self._refresh_soon(target, entry)
        elif read.lease and entry.data is not None:
            entry.refresh_at = entry.fresh_until
            return replace(hit, refresh=await self._lease_to_refresh(target))
        return hit

    def _refresh_soon(self, target: Target, entry: Entry) -> None:
        """Load a value anew in the background."""
        entry.refresh_at = entry.fresh_until  # one try at a time

        async def refresh() -> None:
            lease = await self._lease_to_refresh(target)
            if lease is not None:
                await self.loads.load(self, target.wanted, lease)

        self.loads.in_background(refresh())

    async def _lease_to_refresh(self, target: Target) -> Lease | None:
        """The right to load anew what there is; None where another has it. After that, this node does not ask for a while."""
        space, node = target.space, target.partition.node
        try:
            outcome = await node.carry_out(
                node.coherence.get(
                    target.full, namespace=space.name, mode="refresh", lease=space.lease_seconds, until=0.0, joins=False
                )
            )
        except StoreUnavailableError:
            return None
        entry = self._fresh(target)
        if entry is not None:
            entry.refresh_at = max(entry.refresh_at, min(entry.fresh_until, self.clock() + space.lease_seconds))
        leased = outcome.leased if isinstance(outcome, Found) else outcome if isinstance(outcome, Leased) else None
        if leased is None:
            return None
        self.counts.of(space.name).refreshes += 1
        return Lease(leased.token, number(leased.source))

    async def _ask(self, target: Target, read: Read) -> Result:
        space, coherence = target.space, target.partition.node.coherence
        counts = self.counts.of(space.name)
        until = self.clock() + (read.wait or 0.0)
        poll = Coherence.first_poll
        mode = "load" if read.lease else "read"
        joins = not read.after
        while True:
            outcome = await target.partition.node.carry_out(
                coherence.get(target.full, namespace=space.name, mode=mode, lease=space.lease_seconds, until=until, joins=joins)
            )
            match outcome:
                case Leased():
                    counts.leases += 1
                    return Lease(outcome.token, number(outcome.source))
                case Busy():
                    counts.waits += 1
                    return Wait(outcome.left)
                case Missing():
                    counts.misses += 1
                    return Miss()
            hit = await self._found(target, outcome, read)
            if hit is not None and hit.freshness is Freshness.FRESH:
                counts.hits_redis += 1
                counts.negatives += hit.data is None
                return hit
            stale = hit if read.allow_stale else None
            if outcome.leased is not None:
                counts.leases += 1
                return Lease(outcome.leased.token, number(outcome.leased.source), stale)
            if not read.lease or mode == "refresh":
                if stale is not None:
                    counts.stale_served += 1
                    return stale
                if not read.lease:
                    counts.misses += 1
                    return Miss()
                if self.clock() >= until:
                    counts.waits += 1
                    return Wait(space.lease_seconds)
                await asyncio.sleep(min(poll, max(0.0, until - self.clock())))
                poll = min(2 * poll, LONGEST_POLL)
            mode = "refresh"  # there is something, and it cannot be used

    async def _found(self, target: Target, found: Found, read: Read) -> Hit | None:
        """What Redis holds; None where that is not a value, or an alias of something that does not have it any more."""
        acquired, space = found.acquired, target.space
        value = values.decode(acquired.data, max_bytes=space.max_value_bytes)
        if value is None:
            return None
        if target.alias_name and value.data is not None:
            return await self._of_alias(target, value.data.decode(errors="replace"), read)
        value = space.within_bucket(target.full, value, stored=self.wall() - acquired.age)
        remaining = value.fresh_for - acquired.age
        return Hit(
            value.data,
            Level.REDIS,
            Freshness.FRESH if remaining > 0 else Freshness.STALE,
            acquired.age,
            number(acquired.version),
            description(target, acquired.epoch, acquired.seq, remaining, acquired.names),
        )

    async def _of_alias(self, alias: Target, key: str, read: Read) -> Hit | None:
        """The value of a key that an alias stands for, if it still has that alias."""
        target = self._target(alias.space, key)
        entry = None if read.after else self._fresh(target)
        if entry is not None:
            return self._hit(target, entry, Freshness.FRESH, key) if has_name(entry, alias.alias_name) else None
        node = target.partition.node
        outcome = await node.carry_out(
            node.coherence.get(target.full, namespace=target.space.name, mode="read", lease=0.0, until=0.0, joins=False)
        )
        if not isinstance(outcome, Found) or alias.alias_name not in outcome.acquired.names:
            return None
        hit = await self._found(target, outcome, read)
        if hit is None or hit.data is None:
            return None
        return Hit(hit.data, hit.level, hit.freshness, hit.age, hit.version, hit.description, key)

    def _in_memory(self, alias: Target, read: Read) -> Hit | None:
        """What memory holds of an alias, by way of the key."""
        if read.after and not self._has_seen(alias.partition, read.after):
            return None
        entry = self._fresh(alias)
        if entry is None:
            return None
        counts = self.counts.of(alias.space.name)
        if entry.data is None:
            counts.hits_memory += 1
            counts.negatives += 1
            return self._hit(alias, entry, Freshness.FRESH)
        key = entry.data.decode(errors="replace")
        target = self._target(alias.space, key)
        found = self._fresh(target)
        if found is None or not has_name(found, alias.alias_name):
            return None
        counts.hits_memory += 1
        if self.clock() >= found.refresh_at and alias.space.loader is not None:
            self._refresh_soon(target, found)
        return self._hit(target, found, Freshness.FRESH, key)

    def _fresh(self, target: Target) -> Entry | None:
        now = self.clock()
        entry = target.partition.node.coherence.lookup(target.full, now)
        return entry if isinstance(entry, Entry) and now < entry.fresh_until else None

    def _unverified(self, target: Target, *, allow_stale: bool) -> Entry | None:
        """What memory holds where this node may not know of every invalidation, but of none that concerns it; of an alias, what its
        key has."""
        now = self.clock()
        entry = target.partition.memory.get(target.full, now)
        if entry is None or entry.is_invalidated or not (allow_stale or now < entry.fresh_until):
            return None
        if not target.alias_name or entry.data is None:
            return entry
        key = entry.data.decode(errors="replace")
        found = self._unverified(self._target(target.space, key), allow_stale=allow_stale)
        return found if found is not None and has_name(found, target.alias_name) else None

    def _hit(self, target: Target, entry: Entry, freshness: Freshness, key: str = "") -> Hit:
        now, coherence = self.clock(), target.partition.node.coherence
        names = tuple(cell.name for cell in entry.tags)
        seq = max(entry.seq, coherence.applied)
        return Hit(
            entry.data,
            Level.MEMORY,
            freshness,
            max(0.0, now - entry.stored),
            number(entry.version),
            description(target, coherence.epoch, seq, entry.fresh_until - now, names),
            key,
        )

    def _has_seen(self, partition: Partition, after: tuple[Position, ...]) -> bool:
        coherence = partition.node.coherence
        return all(
            position.epoch == coherence.epoch and coherence.applied >= position.seq
            for position in after
            if position.partition == partition.index
        )

    def _value(self, target: Target, content: Content, *, loading: float) -> Value:
        """loading: seconds since its source was read, at the most."""
        space, data = target.space, content.data
        space.check_key(target.wanted.key)
        if data is not None and len(data) > space.max_value_bytes:
            raise ValueTooLargeError(
                f"a value of {space.name} may have at most {space.max_value_bytes:,} bytes",
                limit_bytes=space.max_value_bytes,
                size_bytes=len(data),
            )
        fresh_for = space.fresh_for(negative=data is None, asked=content.ttl, chance=self.chance())
        now = self.wall()
        allowed = space.within_bucket(target.full, Value(data, fresh_for, loading), stored=now)
        return Value(data, allowed.fresh_for, content.load_seconds)

    def _filled(self, space: Namespace, status: FillStatus) -> FillStatus:
        counts = self.counts.of(space.name)
        if status is FillStatus.STORED:
            counts.fills += 1
        else:
            counts.fills_refused += 1
        return status
