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
RECENT = 10_000
"""Names of past invalidations that are known, for values that are still on their way."""


class NearEntry:
    """What is kept of one key."""

    __slots__ = ("fresh_until", "hit", "key", "names", "partition", "result", "seq", "used", "weight")

    def __init__(
        self, key: str, result: pb.Result, names: tuple[str, ...], partition: "_Partition", seq: int, until: float
    ) -> None:
        self.key = key
        self.result = result
        self.hit = result.hit if result.HasField("hit") else None
        """None: negative."""
        self.used = False
        """Since it was last looked at whether it may go."""
        self.names = names
        self.partition = partition
        self.seq = seq
        self.fresh_until = until
        self.weight = len(key) + len(result.hit.value) + OVERHEAD_BYTES


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
        self._entries: OrderedDict[str, NearEntry] = OrderedDict()
        self._by_name: dict[str, set[str]] = {}
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
        return len(self._entries)

    # Reads

    def find(self, place: str) -> NearEntry | None:
        """What is kept of <namespace>:<key>, if it may be served, counted as a hit. The hot path: a look-up, and nothing built."""
        entry = self._entries.get(place)
        if entry is None:
            return None
        now = self._clock()
        if now >= entry.partition.lease_until:
            return None
        if now >= entry.fresh_until:
            self._remove(entry)
            return None
        entry.used = True
        self.hits += 1
        return entry

    def get(self, namespace: str, key: str) -> pb.Result | None:
        """What is kept of a key, if it may be served. Do not change it: it is kept, not copied."""
        entry = self.find(f"{namespace}:{key}")
        return entry.result if entry is not None else None

    def get_by_alias(self, namespace: str, alias: str) -> pb.Result | None:
        """What is kept of the key that has an alias, if it may be served."""
        for key in self._by_name.get(f"~{namespace}:{alias.casefold()}", ()):
            result = self.get(namespace, key.partition(":")[2])
            if result is not None and result.HasField("hit") and alias in result.hit.description.aliases:
                return result
        return None

    def remember(self, namespace: str, key: str, result: pb.Result, *, sent: float) -> bool:
        """Keep what was read with `describe`, if it may be kept. sent: when the read was sent, by this clock."""
        kind = result.WhichOneof("result")
        if kind not in ("hit", "negative") or namespace not in self.namespaces:
            return False
        found = result.hit if kind == "hit" else result.negative
        description = found.description
        place = description.position
        partition = self._partitions.get(place.partition)
        if found.freshness != pb.FRESHNESS_FRESH or partition is None or place.epoch != partition.epoch:
            return False
        own = f"#{namespace}:{key}"
        names = (
            own,
            f"={namespace}",
            *(f"+{tag}" for tag in description.tags),
            *(f"~{namespace}:{alias.casefold()}" for alias in description.aliases),
        )
        if place.sequence < partition.floor or any(partition.recent.get(name, 0) > place.sequence for name in names):
            return False
        remaining = description.remaining.seconds + description.remaining.nanos / 1e9
        entry = NearEntry(own[1:], result, names, partition, place.sequence, sent + remaining)
        before = self._entries.get(entry.key)
        if before is not None:
            if before.partition is partition and before.seq > entry.seq:
                return False
            self._remove(before)
        if entry.weight > self._max_bytes:
            return False
        self._entries[entry.key] = entry
        self.bytes += entry.weight
        for name in names:
            self._by_name.setdefault(name, set()).add(entry.key)
        while self.bytes > self._max_bytes or len(self._entries) > self._max_entries:
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
        self._entries.clear()
        self._by_name.clear()
        self.bytes = 0

    # Inside

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
        for entry in [entry for entry in self._entries.values() if entry.partition is partition]:
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
                for key in list(self._by_name.get(name, ())):
                    self._remove(self._entries[key])

    def _drop(self, partition: _Partition, seq: int, names: Iterable[str]) -> None:
        recent = partition.recent
        for name in names:
            recent[name] = max(seq, recent.pop(name, 0))
            for key in list(self._by_name.get(name, ())):
                entry = self._entries[key]
                if entry.partition is partition and entry.seq < seq:
                    self._remove(entry)
        while len(recent) > RECENT:
            oldest = next(iter(recent))
            partition.floor = max(partition.floor, recent.pop(oldest))

    def _evict(self) -> None:
        """Remove the oldest that was not used since it was last looked at (second chance: Corbató, 1968)."""
        while True:
            entry = next(iter(self._entries.values()))
            if not entry.used:
                self._remove(entry)
                return
            entry.used = False
            self._entries.move_to_end(entry.key)

    def _remove(self, entry: NearEntry) -> None:
        del self._entries[entry.key]
        self.bytes -= entry.weight
        for name in entry.names:
            keys = self._by_name[name]
            keys.discard(entry.key)
            if not keys:
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
