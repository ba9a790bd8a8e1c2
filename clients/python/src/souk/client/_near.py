"""A near cache: what a client keeps of the values it has read, and when it may serve it. Without I/O: it is given what Watch says,
and says what Watch is to be told.

It serves only until the time it sent its last answered ping + the lease it was lent, so a client that is cut off stops by itself. A
value is kept only if nothing of it was invalidated after the place at which the service read it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from souk.cache.v1 import cache_pb2 as pb

OVERHEAD_BYTES = 500
"""What an entry takes beside its key and its value."""
MAX_SPELLINGS = 16
"""Of the aliases of one value that are kept, beside those that the service lists."""
RECENT = 10_000
"""Names of past invalidations that are known, for values that are still on their way."""


class NearEntry:
    """What is kept of one key."""

    __slots__ = ("aliases", "fresh_until", "key", "names", "namespace", "partition", "rest", "seq", "used", "value", "weight")

    def __init__(
        self,
        namespace: str,
        key: str,
        result: pb.Result,
        names: tuple[str, ...],
        partition: "_Partition",
        until: float,
    ) -> None:
        self.namespace = namespace
        self.key = key
        self.value: bytes | None = result.hit.value if result.HasField("hit") else None
        """None: negative."""
        self.rest = pb.Result()
        """The result, without its value, and without the right to load anew, which its reader has."""
        self.rest.CopyFrom(result)
        if self.value is not None:
            self.rest.hit.ClearField("value")
            self.rest.hit.ClearField("refresh")
        self.names = names
        self.partition = partition
        found = self.rest.hit if self.value is not None else self.rest.negative
        self.seq: int = found.description.position.sequence
        self.aliases = frozenset(found.description.aliases)
        """By which it is found: as they are kept, and as they were spelled by those who found it."""
        self.fresh_until = until
        self.used = False
        """Since it was last looked at whether it may go."""
        self.weight = len(key) + len(self.value or b"") + OVERHEAD_BYTES

    def result(self) -> pb.Result:
        """As the service gave it; the caller's own."""
        built = pb.Result()
        built.CopyFrom(self.rest)
        if self.value is not None:
            built.hit.value = self.value
        return built


@dataclass(slots=True)
class _Partition:
    """What is known of one order of invalidations."""

    epoch: str = ""
    applied: int = 0
    lease_until: float = float("-inf")
    recent: dict[str, int] = field(default_factory=dict)
    """Name -> place of its last invalidation, the oldest first."""
    floor: int = 0
    """Before this place, names are not known any more."""


class NearCache:
    """Values by namespace and key, of which those that were not used of late go first."""

    def __init__(self, namespaces: Iterable[str], *, max_bytes: int, max_entries: int, clock: Callable[[], float]) -> None:
        self.namespaces = frozenset(namespaces)
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._clock = clock
        self._entries: dict[str, dict[str, NearEntry]] = {name: {} for name in self.namespaces}
        """By namespace and key."""
        self._queue: OrderedDict[NearEntry, None] = OrderedDict()
        """In the order in which it is looked at whether they may go."""
        self._by_name: dict[str, set[NearEntry]] = {}
        self._finders = {name: self._finder(name) for name in self.namespaces}
        self._partitions: dict[int, _Partition] = {}
        self._pings: dict[int, float] = {}
        self._last_ping = 0
        self.lease = 0.0
        """Seconds of the last lease; 0 before the first."""
        self.bytes = 0
        self.hits = 0
        self.discontinuities = 0
        """How often everything of a partition had to go."""

    def __len__(self) -> int:
        return len(self._queue)

    # Reads

    def finder(self, namespace: str) -> Callable[[str], NearEntry | None] | None:
        """What finds what is kept of a key of this namespace, if it may be served, and counts that as a hit. None: it is not kept
        here. This is the hot path: a look-up, a look at the clock, and nothing built."""
        return self._finders.get(namespace)

    def find(self, namespace: str, key: str = "", *, alias: str = "") -> NearEntry | None:
        """What is kept of a key, or of the key that has an alias, if it may be served."""
        find = self._finders.get(namespace)
        if find is None:
            return None
        if not alias:
            return find(key)
        for known in list(self._by_name.get(f"~{namespace}:{alias.casefold()}", ())):
            if known.value is not None and alias in known.aliases and find(known.key) is known:
                return known
        return None

    def remember(self, namespace: str, key: str, result: pb.Result, *, sent: float, alias: str = "") -> bool:
        """Keep what was read with `describe`, if it may be kept. sent: when the read was sent, by this clock.

        alias: by which it was found, as the caller spelled it: the service says in which namespaces case makes no difference.
        """
        kind = result.WhichOneof("result")
        if kind not in ("hit", "negative") or namespace not in self.namespaces:
            return False
        found = result.hit if kind == "hit" else result.negative
        description = found.description
        place = description.position
        partition = self._partitions.get(place.partition)
        if found.freshness != pb.FRESHNESS_FRESH or partition is None or place.epoch != partition.epoch:
            return False
        names = (
            f"#{namespace}:{key}",
            f"={namespace}",
            *(f"+{tag}" for tag in description.tags),
            *(f"~{namespace}:{alias.casefold()}" for alias in description.aliases),
        )
        if place.sequence < partition.floor or any(partition.recent.get(name, 0) > place.sequence for name in names):
            return False
        remaining = description.remaining.seconds + description.remaining.nanos / 1e9
        entry = NearEntry(namespace, key, result, names, partition, sent + remaining)
        before = self._entries[namespace].get(key)
        spelled = {alias}
        if before is not None:
            if before.partition is partition and before.seq > entry.seq:
                return False
            spelled |= before.aliases
            self._remove(before)
        found_by = [each for each in spelled if f"~{namespace}:{each.casefold()}" in names]
        entry.aliases |= frozenset(found_by[:MAX_SPELLINGS])
        if entry.weight > self._max_bytes:
            return False
        self._entries[namespace][key] = entry
        self._queue[entry] = None
        self.bytes += entry.weight
        for name in names:
            self._by_name.setdefault(name, set()).add(entry)
        while self.bytes > self._max_bytes or len(self._queue) > self._max_entries:
            self._evict()
        return True

    # What Watch says, and is told

    def interest(self) -> pb.WatchRequest:
        """The first request of a stream. Nothing is served before one of its heartbeats."""
        self.stop_serving()
        positions = [
            pb.Position(partition=index, epoch=partition.epoch, sequence=partition.applied)
            for index, partition in self._partitions.items()
        ]
        resume = pb.ConsistencyToken(positions=positions) if positions else None
        return pb.WatchRequest(interest=pb.WatchInterest(namespaces=sorted(self.namespaces), resume=resume))

    def ping(self) -> pb.WatchRequest:
        """A wish for a lease, to be sent now."""
        self._last_ping += 1
        self._pings[self._last_ping] = self._clock()
        return pb.WatchRequest(ping=pb.WatchPing(id=self._last_ping))

    def apply(self, response: pb.WatchResponse) -> pb.WatchRequest | None:
        """Do what a response says; the acknowledgement to send, where there is one."""
        match response.WhichOneof("message"):
            case "invalidation":
                return self._invalidated(response.invalidation)
            case "discontinuity":
                return self._discontinued(response.discontinuity.position)
            case "heartbeat":
                self._lent(response.heartbeat)
            case "leaving":
                self.stop_serving()
        return None

    def invalidated(self, invalidation: pb.InvalidateRequest, token: pb.ConsistencyToken) -> None:
        """This client has invalidated something itself, and it is done: it reads its own write from now on."""
        names = _names(invalidation.keys, invalidation.aliases, invalidation.tags, invalidation.namespaces)
        for position in token.positions:
            self._own(position, names)

    def written(self, namespace: str, key: str, aliases: Iterable[str], token: pb.ConsistencyToken) -> None:
        """This client has put a value itself, and it is done."""
        names = (f"#{namespace}:{key}", *(f"~{namespace}:{alias.casefold()}" for alias in aliases))
        for position in token.positions:
            self._own(position, names)

    def stop_serving(self) -> None:
        """Serve nothing until the next heartbeat. What is kept stays."""
        self._pings.clear()
        for partition in self._partitions.values():
            partition.lease_until = float("-inf")

    def clear(self) -> None:
        """Drop everything."""
        for entries in self._entries.values():
            entries.clear()
        self._queue.clear()
        self._by_name.clear()
        self.bytes = 0

    # Inside

    def _finder(self, namespace: str) -> Callable[[str], NearEntry | None]:
        get, clock = self._entries[namespace].get, self._clock

        def find(key: str) -> NearEntry | None:
            entry = get(key)
            if entry is None:
                return None
            now = clock()
            if now < entry.fresh_until:
                if now < entry.partition.lease_until:
                    entry.used = True
                    self.hits += 1
                    return entry
            else:
                self._remove(entry)
            return None

        return find

    def _invalidated(self, told: pb.Invalidation) -> pb.WatchRequest | None:
        place = told.position
        partition = self._partitions.get(place.partition)
        if partition is None or place.epoch != partition.epoch:
            return None
        self._drop(partition, place.sequence, _names(told.keys, told.aliases, told.tags, told.namespaces))
        partition.applied = max(partition.applied, place.sequence)
        return _acknowledgement(place)

    def _discontinued(self, place: pb.Position) -> pb.WatchRequest:
        partition = self._partitions.setdefault(place.partition, _Partition())
        self.discontinuities += 1
        for entry in [entry for entry in self._queue if entry.partition is partition]:
            self._remove(entry)
        partition.epoch, partition.applied = place.epoch, place.sequence
        partition.lease_until = float("-inf")
        partition.recent.clear()
        partition.floor = place.sequence
        return _acknowledgement(place)

    def _lent(self, heartbeat: pb.WatchHeartbeat) -> None:
        sent = self._pings.pop(heartbeat.ping, None)
        if sent is None:
            return
        for earlier in [ping for ping in self._pings if ping < heartbeat.ping]:
            del self._pings[earlier]
        self.lease = heartbeat.lease.seconds + heartbeat.lease.nanos / 1e9
        for place in heartbeat.positions:
            partition = self._partitions.get(place.partition)
            if partition is not None and place.epoch == partition.epoch:
                partition.applied = max(partition.applied, place.sequence)
                partition.lease_until = max(partition.lease_until, sent + self.lease)

    def _own(self, place: pb.Position, names: Iterable[str]) -> None:
        partition = self._partitions.get(place.partition)
        if partition is not None and place.epoch == partition.epoch:
            self._drop(partition, place.sequence, names)
        else:  # it happened in an order that this near cache does not know
            for name in names:
                for entry in list(self._by_name.get(name, ())):
                    self._remove(entry)

    def _drop(self, partition: _Partition, seq: int, names: Iterable[str]) -> None:
        recent = partition.recent
        for name in names:
            recent[name] = max(seq, recent.pop(name, 0))
            for entry in list(self._by_name.get(name, ())):
                if entry.partition is partition and entry.seq < seq:
                    self._remove(entry)
        while len(recent) > RECENT:
            oldest = next(iter(recent))
            partition.floor = max(partition.floor, recent.pop(oldest))

    def _evict(self) -> None:
        """Remove the oldest that was not used since it was last looked at (second chance: Corbató, 1968)."""
        while True:
            entry = next(iter(self._queue))
            if not entry.used:
                self._remove(entry)
                return
            entry.used = False
            self._queue.move_to_end(entry)

    def _remove(self, entry: NearEntry) -> None:
        del self._entries[entry.namespace][entry.key]
        del self._queue[entry]
        self.bytes -= entry.weight
        for name in entry.names:
            named = self._by_name[name]
            named.discard(entry)
            if not named:
                del self._by_name[name]


def _names(
    keys: Iterable[pb.NamespacedKey], aliases: Iterable[pb.NamespacedAlias], tags: Iterable[str], namespaces: Iterable[str]
) -> tuple[str, ...]:
    return (
        *(f"#{each.namespace}:{each.key}" for each in keys),
        *(f"~{each.namespace}:{each.alias.casefold()}" for each in aliases),  # in some namespaces, case makes no difference
        *(f"+{tag}" for tag in tags),
        *(f"={namespace}" for namespace in namespaces),
    )


def _acknowledgement(place: pb.Position) -> pb.WatchRequest:
    return pb.WatchRequest(acknowledgement=pb.WatchAcknowledgement(position=place))
