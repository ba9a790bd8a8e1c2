"""One node's part in keeping every copy right: leases, fences, acknowledgements. Without I/O: operations are generators that yield
what is to be done (a script to run, a time to wait, a flight to join) and are sent what came of it.

The promise (G1): after an invalidation has returned, no read that starts later, on any node, connected or not, returns a value
whose load began before the invalidation was called. The rules that make it true:

* a value is stored only while the lease that it was loaded with is there, and no name of it was invalidated since (fill.lua);
* a node serves its own memory only until the time it *sent* its last successful beat + the read lease;
* it acknowledges an invalidation after it has applied it, and an invalidation returns when every member has, or its lease is over;
* what is in flight when an invalidation is applied is detached: nobody joins it any more, and it leaves nothing in memory;
* a gap in the invalidations, or a new epoch, drops all that the node holds;
* a load is handed the highest source token that this node or Redis knows of; what Redis loses of them, its members bring back.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

from souk_cache import scripts
from souk_cache.cells import Cell, Cells
from souk_cache.scripts import Acquired, Beaten, Call, Keys, Reply, Stored

T = TypeVar("T")
NODES, CLIENTS = 1, 2
"""How far an invalidation has reached when it returns: every node's memory, or every client's near cache too."""
CLOCK_MARGIN = 1.02
"""How much longer Redis believes in a lease than its holder does: clocks may run up to 1 % fast or slow."""
MAX_EVENTS = 512
"""Invalidations that one beat brings."""
SOURCE = "^"
"""Before <namespace>=<source token>, among the names of an invalidation."""
ALIAS = "~"
"""Between a namespace and an alias in the key that an alias is kept at, where a key has a colon."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for what a flight brings."""

    flight: "Flight"


Step = Call | Sleep | Join
Operation = Generator[Step, Reply | None, T]
"""Yields steps; is sent the reply of a Call and None for the others; errors of a step are thrown into it."""


class Entry(Protocol):
    """What memory keeps of a value."""

    seq: int
    """No name of it had been invalidated up to here."""
    tags: tuple[Cell, ...]


class Memory(Protocol):
    """The node's own memory (L1)."""

    served_until: float
    """It serves without asking here until then."""
    latest_tag: int
    """And only entries that have at least this seq."""

    def get(self, key: str, now: float) -> Entry | None:
        """The entry of a key, unless it is expired."""

    def remember(self, key: str, data: bytes, seq: int, tags: tuple[Cell, ...], age: float, version: str) -> None:
        """Keep what Redis holds of a key, if it is worth its place. age: seconds since it was stored there."""

    def remove(self, key: str) -> bool:
        """Forget a key."""

    def clear(self) -> None:
        """Forget everything."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value."""

    acquired: Acquired
    leased: "Leased | None" = None
    """With mode refresh: the right to load it anew."""


@dataclass(frozen=True, slots=True)
class Leased:
    """There is no value, and the caller has the right to load it."""

    token: str
    epoch: str
    source: str
    """The highest source token that an invalidation of the namespace gave: what the load must see at least."""


@dataclass(frozen=True, slots=True)
class Busy:
    """There is no value, and somebody else loads it."""

    left: float
    """Seconds until that lease is over at the latest."""


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no value, and no right to load it was asked for."""


Outcome = Found | Leased | Busy | Missing


@dataclass(eq=False, slots=True)
class Flight:
    """A read of one key that is under way, and that others may join."""

    key: str
    until: float
    """It waits for another's load until then."""
    detached: bool = False
    """An invalidation was applied meanwhile: nobody joins it, and it leaves nothing in memory."""
    done: bool = False
    outcome: Outcome | None = None
    """None at the end: it brought nothing that could be shared."""
    error: Exception | None = None
    waiters: list[Callable[[], None]] = field(default_factory=list)

    def land(self, outcome: Outcome | None, error: Exception | None = None) -> None:
        """Tell who joined."""
        self.done, self.outcome, self.error = True, outcome, error
        for wake in self.waiters:
            wake()
        self.waiters.clear()


@dataclass(frozen=True, slots=True)
class Token:
    """A mutation's place in the order of its partition; a read that is given it sees that mutation."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Aliases:
    """Other names under which a value is found: an entry for each, which says the key."""

    keys: tuple[str, ...]
    """Where the entries are."""
    names: tuple[tuple[str, ...], ...]
    """What invalidates each."""
    data: bytes
    """What each has: the key."""


NO_ALIASES = Aliases((), (), b"")


class Coherence:
    """One node's view of one partition."""

    first_poll = 0.001
    """Seconds until the second look at a lease or an acknowledgement that others hold; doubled each time."""
    longest_poll = 0.02
    """Seconds between such looks, at the most."""

    def __init__(
        self,
        *,
        member: str,
        partition: str,
        memory: Memory,
        read_lease: float,
        client_lease: float,
        clock: Callable[[], float],
        new_token: Callable[[], str],
    ) -> None:
        self.member = member
        self.keys = Keys(partition)
        self.epoch = ""
        self.applied = 0
        self.clients_applied: Callable[[], int] | None = None
        """Up to where every near cache that this node has lent a lease to has applied everything; None: there are none."""
        self.clients_lending: Callable[[], bool] | None = None
        """Whether one of them may still serve."""
        self.on_event: Callable[[int, tuple[str, ...]], None] | None = None
        """Told of each invalidation, after it was applied."""
        self.on_flush: Callable[[], None] | None = None
        """Told when this node could not be told of some: epoch and applied say from where on it knows all."""
        self._memory = memory
        self.lease_until = float("-inf")
        memory.latest_tag = 0
        self._read_lease = read_lease
        self._client_lease = client_lease
        self._clock = clock
        self._new_token = new_token
        self._cells = Cells()
        self._joinable: dict[str, Flight] = {}
        self._open: dict[str, set[Flight]] = {}
        self._has_left = False
        self._sources: dict[str, str] = {}
        self._brought = ""
        """The epoch that has been told of all source tokens of the epochs before it."""

    # Memory

    @property
    def fresh(self) -> bool:
        """Whether this node may serve its memory now."""
        return self._clock() < self.lease_until

    @property
    def lease_until(self) -> float:
        """Memory is right until then."""
        return self._memory.served_until

    @lease_until.setter
    def lease_until(self, until: float) -> None:
        self._memory.served_until = until

    def lookup(self, key: str, now: float) -> Entry | None:
        """What memory holds of a key, where it is known to be right."""
        entry = self._memory.get(key, now)
        if entry is None or now >= self.lease_until:
            return None
        if entry.seq < self._memory.latest_tag:
            for cell in entry.tags:
                if cell.seq > entry.seq:
                    self._memory.remove(key)
                    return None
            entry.seq = max(entry.seq, self.applied)  # and no further: what is between is known of the writer's own names only
        return entry

    # Reads

    def get(self, key: str, *, namespace: str, mode: str, lease: float, until: float, joins: bool = True) -> Operation[Outcome]:
        """Read a key that memory does not hold. Waits for another's load until `until`, then says Busy: so it joins only reads
        that wait no longer.

        mode: as in acquire.lua. lease: seconds that a lease which is given lasts. joins=False reads Redis itself, for a caller who
        brings a token.
        """
        poll = self.first_poll
        while True:
            flight = self._joinable.get(key) if joins and mode == "load" and self.fresh else None
            if flight is not None and flight.until <= until:
                yield Join(flight)
                if flight.error is not None:
                    raise flight.error
                if flight.outcome is not None:
                    return flight.outcome
                if self._clock() >= until:
                    return Busy(0.0)
                continue
            flight = self._take_off(key, joinable=joins and mode == "load", until=until)
            outcome: Outcome | None = None
            shared: Outcome | None = None
            error: Exception | None = None
            try:
                while outcome is None:
                    found, token = yield from self._acquire(key, namespace, mode, lease)
                    if found.status == "wait":
                        left = until - self._clock()
                        if left <= 0:
                            outcome = Busy(found.lease_left)
                        else:
                            yield Sleep(min(poll, left))
                            poll = min(2 * poll, self.longest_poll)
                            if flight.detached:
                                break  # others must not join what began before an invalidation
                    elif found.status == "hit":
                        leased = Leased(token, found.epoch, self._source(namespace, found)) if found.granted else None
                        outcome = shared = Found(found, leased)
                        self._remember(flight, found.epoch, found.data, found.seq, found.names, found.age, found.version)
                    elif found.status == "lease":
                        outcome = Leased(token, found.epoch, self._source(namespace, found))
                    else:
                        outcome = shared = Missing()
            except Exception as caught:
                error = caught
                raise
            finally:
                self._land(flight, shared, error)
            if outcome is not None:
                return outcome

    def _acquire(self, key: str, namespace: str, mode: str, lease: float) -> Operation[tuple[Acquired, str]]:
        token = self._new_token()
        keys = (*self.keys.shared, self.keys.value(key), self.keys.lease(key))
        reply = yield Call("acquire", keys, (self._leases, token, _ms(lease), mode, namespace))
        assert reply is not None  # noqa: S101 — a Call is answered, or raises
        return scripts.acquired(reply), token

    def _source(self, namespace: str, found: Acquired) -> str:
        """The highest source token of a namespace, which Redis may have lost."""
        self._raise_source(namespace, found.source)
        return self._sources.get(namespace, "")

    def _raise_source(self, namespace: str, source: str) -> None:
        if source > self._sources.get(namespace, ""):
            self._sources[namespace] = source

    # Writes

    def fill(
        self,
        key: str,
        leased: Leased,
        data: bytes,
        names: tuple[str, ...],
        *,
        keep: float,
        version: str = "",
        aliases: Aliases = NO_ALIASES,
        leased_key: str | None = None,
    ) -> Operation[Stored]:
        """Store what was loaded with a lease. leased_key: the key that the lease is of, where it is an alias's."""
        keys = (*self.keys.shared, self.keys.value(key), self.keys.lease(leased_key or key), *map(self.keys.value, aliases.keys))
        args = (self._leases, leased.token, data, _joined(names), _ms(keep), version, "0", aliases.data)
        flights = self._take_off_all(key, aliases)
        try:
            reply = yield Call("fill", keys, (*args, *map(_joined, aliases.names)))
            assert reply is not None  # noqa: S101
            came = scripts.stored(reply, is_put=False)
            if came.status == "stored":
                self._remember_all(flights, came, data, names, version, aliases)
            return came
        finally:
            self._land_all(flights)

    def release(self, key: str, token: str) -> Operation[bool]:
        """Give a lease back without a value; False where it is not the holder's any more."""
        keys = (*self.keys.shared, self.keys.value(key), self.keys.lease(key))
        reply = yield Call("fill", keys, (self._leases, token, "", "", "1", "", "1", ""))
        assert reply is not None  # noqa: S101
        return scripts.stored(reply, is_put=False).status == "released"

    def put(
        self,
        key: str,
        data: bytes,
        names: tuple[str, ...],
        *,
        replaces: tuple[str, ...],
        keep: float,
        version: str = "",
        level: int = NODES,
        aliases: Aliases = NO_ALIASES,
    ) -> Operation[Stored]:
        """Store a value that is the newest, and return when every member has dropped the one before.

        replaces: the names of the key and of its aliases: what has one of them goes.

        Where one of its names is invalidated before it arrives, it is not known to be the newest any more, and only the old value
        goes. Where there is a newer version, that stays in Redis: who loaded it early has not dropped what was before it anywhere.
        """
        keys = (*self.keys.shared, self.keys.value(key), self.keys.lease(key), *map(self.keys.value, aliases.keys))
        known = (self.epoch if self.fresh else "", str(self.applied))
        args = (self._leases, data, _joined(names), _ms(keep), version, _joined(replaces), *known, aliases.data)
        flights = self._take_off_all(key, aliases)
        try:
            reply = yield Call("put", keys, (*args, *map(_joined, aliases.names)))
            assert reply is not None  # noqa: S101
            came = scripts.stored(reply, is_put=True)
            detached = [flight.detached for flight in flights]
            if came.epoch == self.epoch and came.status != "older":
                self._drop(replaces, came.seq)
            if came.status == "stored":
                for flight, was in zip(flights, detached, strict=True):
                    flight.detached = was  # what it has just dropped is what was there before it
                self._remember_all(flights, came, data, names, version, aliases)
        finally:
            self._land_all(flights)
        if not (yield from self._await(Token(came.epoch, came.seq), level)):
            yield from self.invalidate(replaces, (key, *aliases.keys), level=level)
        return came

    def invalidate(
        self,
        names: tuple[str, ...],
        keys: tuple[str, ...],
        *,
        level: int = NODES,
        namespaces: tuple[str, ...] = (),
        source: str = "",
    ) -> Operation[Token]:
        """Invalidate names (and remove the values of keys at once); return when every member has, or its lease is over.

        source: the source token that loads of these namespaces are handed from now on, if it is the highest.
        """
        gone = [key for each in keys for key in (self.keys.value(each), self.keys.lease(each))]
        while True:
            args = (self._leases, str(level), _joined(namespaces), source, *names)
            reply = yield Call("invalidate", (*self.keys.shared, *gone), args)
            assert reply is not None  # noqa: S101
            token = Token(scripts.text(reply[0]), int(reply[1]))
            if token.epoch == self.epoch:
                self._drop(names, token.seq)
            if int(reply[2]) == 0 or (yield from self._await(token, level)):
                return token

    def _await(self, token: Token, level: int) -> Operation[bool]:
        """Wait until every member has acknowledged; False where a new epoch has begun meanwhile."""
        poll = self.first_poll
        while True:
            came = yield from self.beat(awaited=(token.seq, level))
            if came.epoch != token.epoch:
                return False
            if came.left == 0:
                return True
            yield Sleep(min(poll, came.left))
            poll = min(1.5 * poll, self.longest_poll)

    # Membership

    def beat(self, *, awaited: tuple[int, int] | None = None, leaves: bool = False) -> Operation[Beaten]:
        """Say what is applied, apply what is new, and renew the read lease.

        leaves: for good; no lease is taken any more, not by a beat that is under way either.
        """
        if leaves:
            self._has_left = True
            self.lease_until = float("-inf")
        leaves = self._has_left
        applied = self.applied
        kept = applied if self.clients_applied is None else min(applied, self.clients_applied())
        sent, epoch = self._clock(), self.epoch
        brings = epoch != self._brought and not leaves
        sources = "\n".join(f"{namespace}={source}" for namespace, source in self._sources.items()) if brings else ""
        reply = yield Call(
            "beat",
            self.keys.shared,
            (
                self._leases,
                self.member,
                epoch,
                str(applied),
                str(kept),
                ("clients" if self.clients_lending and self.clients_lending() else "all") if leaves else "",
                str(MAX_EVENTS),
                str(awaited[0]) if awaited else "",
                str(awaited[1]) if awaited else "",
                sources,
            ),
        )
        assert reply is not None  # noqa: S101
        came = scripts.beaten(reply)
        if brings and came.epoch == epoch:
            self._brought = epoch
        if not self._has_left:
            self._take(came, sent)
        return came

    def push(self, epoch: str, seq: int, names: tuple[str, ...]) -> bool:
        """Apply one invalidation that arrived by itself; False where some before it are missing, so that a beat must fetch them."""
        if epoch != self.epoch or seq > self.applied + 1:
            return False
        if seq == self.applied + 1:
            self._apply(seq, names)
        return True

    def _take(self, came: Beaten, sent: float) -> None:
        if came.status == "flush":
            self.flush()
            self.epoch, self.applied = came.epoch, came.seq
            if self.on_flush:
                self.on_flush()
            return
        if came.epoch != self.epoch:
            return  # an answer from before a flush
        for seq, names in came.events:
            if seq == self.applied + 1:
                self._apply(seq, names)
        if came.status == "ok" and self.applied >= came.seq:
            self.lease_until = max(self.lease_until, sent + self._read_lease)

    def flush(self) -> None:
        """Drop all that is held, and serve nothing until the next beat."""
        self.lease_until = float("-inf")
        self._memory.clear()
        self._detach_all()

    def _apply(self, seq: int, names: tuple[str, ...]) -> None:
        self._drop(names, seq)
        self.applied = seq
        if self.on_event:
            self.on_event(seq, names)

    def _drop(self, names: tuple[str, ...], seq: int) -> None:
        for name in names:
            if name.startswith(SOURCE):
                namespace, _, source = name[1:].partition("=")
                self._raise_source(namespace, scripts.position(source))
            elif name.startswith("#"):
                key = name[1:]
                entry = self._memory.get(key, self._clock())
                if entry is not None and entry.seq < seq:  # else it was stored after that, as by a put of this node
                    self._memory.remove(key)
                for flight in self._open.get(key, ()):
                    flight.detached = True
                self._joinable.pop(key, None)
            else:
                cell = self._cells.find(name)
                if cell is not None:
                    cell.seq = max(cell.seq, seq)
                self._memory.latest_tag = max(self._memory.latest_tag, seq)
                self._detach_all()  # which names a flight will bring is not known before it lands

    # Flights

    def _take_off(self, key: str, *, joinable: bool, until: float = 0.0) -> Flight:
        flight = Flight(key, until)
        self._open.setdefault(key, set()).add(flight)
        if joinable and self.fresh:
            self._joinable[key] = flight
        return flight

    def _land(self, flight: Flight, outcome: Outcome | None, error: Exception | None = None) -> None:
        if self._joinable.get(flight.key) is flight:
            del self._joinable[flight.key]
        flights = self._open[flight.key]
        flights.discard(flight)
        if not flights:
            del self._open[flight.key]
        flight.land(outcome, error)

    def _take_off_all(self, key: str, aliases: Aliases) -> list[Flight]:
        return [self._take_off(each, joinable=False) for each in (key, *aliases.keys)]

    def _land_all(self, flights: list[Flight]) -> None:
        for flight in flights:
            self._land(flight, None)

    def _detach_all(self) -> None:
        for flights in self._open.values():
            for flight in flights:
                flight.detached = True
        self._joinable.clear()

    def _remember(
        self, flight: Flight, epoch: str, data: bytes, seq: int, names: tuple[str, ...], age: float, version: str
    ) -> None:
        """Keep what a flight brought: now, or never, for only until now is it known that no invalidation has passed it."""
        if not flight.detached and epoch == self.epoch and self.fresh:
            self._memory.remember(flight.key, data, seq, self._cells.of(names), age, version)

    def _remember_all(
        self, flights: list[Flight], came: Stored, data: bytes, names: tuple[str, ...], version: str, aliases: Aliases
    ) -> None:
        self._remember(flights[0], came.epoch, data, came.seq, names, 0.0, version)
        for flight, alias_names in zip(flights[1:], aliases.names, strict=True):
            self._remember(flight, came.epoch, aliases.data, came.seq, alias_names, 0.0, "")

    @cached_property
    def _leases(self) -> str:
        """What every script is told first."""
        return f"{_ms(self._read_lease * CLOCK_MARGIN)} {_ms(self._client_lease * CLOCK_MARGIN)}"


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join(names)


def _ms(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
