"""Which server a query runs on: writes on the primary, reads on a replica that has seen enough, or else on the primary."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from souk_common.postgres import Pool, PostgresError

from souk_dbopt.consistency import EVERYTHING, POSITION, Position
from souk_dbopt.exceptions import ConsistencyTokenInvalidError, ServerUnavailableError, TooFarBehindError

ASKED = "lookup"
"""The class whose connections ask for it."""
POLL = 0.002
"""Seconds between two looks at how far a replica is."""


class Role(Enum):
    """What a server says that it is."""

    UNKNOWN = "unknown"
    PRIMARY = "primary"
    REPLICA = "replica"

    __hash__ = object.__hash__  # each is one object; Enum's is a call in Python


@dataclass(eq=False, slots=True)
class Server:
    """One PostgreSQL server, and what is known of it."""

    address: str
    """As host:port/database, without a role and its password."""
    pools: Mapping[str, Pool]
    """By class of queries."""
    role: Role = Role.UNKNOWN
    problem: str = "not checked yet"
    """Why nothing runs on it; empty where it does."""
    system: int = 0
    timeline: int = 0
    started: float = 0.0
    """When it was started, by its own clock."""
    lsn: int = 0
    """It has seen the log at least up to here since then: written, or replayed."""
    lag: float | None = None
    """Seconds that a replica is behind the primary, as of the last check."""
    lag_bytes: int = 0
    version: str = ""
    _place: Position | None = None
    """The last that `place` told."""

    @property
    def available(self) -> bool:
        """Whether queries run on it."""
        return not self.problem

    def has_seen(self, position: Position) -> bool:
        """Whether it is known to have seen everything up to a place. A primary that took over later has what the cluster has."""
        if self.role is Role.PRIMARY:
            return self.timeline >= position.timeline
        return self.timeline == position.timeline and self.lsn >= position.lsn

    def saw(self, lsn: int, started: float) -> bool:
        """It told how far it is. False where it was started anew since it last did: a replica that crashed comes back with less
        than it had seen before."""
        same = started == self.started
        if lsn > self.lsn or not same:
            self.lsn = lsn
        self.started = started
        return same

    def place(self, lsn: int) -> Position:
        """In its log. While nothing is written, reads are told of the same place."""
        known = self._place
        if known is None or known.lsn != lsn or known.timeline != self.timeline or known.system != self.system:
            known = self._place = Position(self.system, self.timeline, lsn)
        return known


@dataclass(slots=True)
class RouteCounts:
    """What became of reads that brought a token."""

    by_replica: int = 0
    by_primary: int = 0
    waited: int = 0
    """Those for which a replica was asked how far it is."""


@dataclass(eq=False, slots=True)
class Router:
    """The servers of one cluster, for one node of dbopt."""

    servers: Sequence[Server]
    max_lag: float
    """Seconds that a replica may be behind and still take reads."""
    catch_up: float
    """Seconds that a read with a token waits for a replica before it goes to the primary."""
    check_soon: Callable[[Server], None] = lambda _: None
    """Asked to look at a server at once."""
    clock: Callable[[], float] = time.monotonic
    counts: RouteCounts = field(default_factory=RouteCounts)

    def by_role(self) -> list[Server]:
        """All servers, the primary first."""
        return sorted(self.servers, key=lambda server: server.role is not Role.PRIMARY)

    def primary(self) -> Server:
        """Where writes go. ServerUnavailableError."""
        server = self._primary()
        if server is None:
            raise ServerUnavailableError(f"the primary does not answer: {self._why()}")
        return server

    def place(self, lsn: int) -> Position:
        """A place of which only the number is known, as the cache keeps it: on the timeline that is now."""
        timeline, system = max((server.timeline, server.system) for server in self.servers)
        return Position(system, timeline, lsn)

    def failed(self, server: Server, error: PostgresError) -> None:
        """A server did not answer: nothing goes there until a check finds it well."""
        if server.available:
            server.problem = error.message or type(error).__name__
        self.check_soon(server)

    async def reader(self, position: Position | None, *, without: Sequence[Server] = ()) -> Server:
        """Where a read goes that must have seen `position`. without: servers that it has failed on.

        ServerUnavailableError, TooFarBehindError where the primary does not answer and no replica has seen it, or
        ConsistencyTokenInvalidError for a token of another cluster.
        """
        if position is None:
            return self.reader_of_anything(without=without)
        primary = self._primary()
        if primary in without:
            primary = None
        replicas = [server for server in self._replicas() if server not in without]
        self._check_cluster(position)
        seen = [server for server in replicas if server.has_seen(position)]
        if not seen and replicas and position.lsn < EVERYTHING:
            seen = await self._that_catches_up(replicas, position)
        if seen:
            self.counts.by_replica += 1
            return _least_used(seen)
        if primary is not None and primary.has_seen(position):
            self.counts.by_primary += 1
            return primary
        if primary is not None:
            self.check_soon(primary)
        raise TooFarBehindError("no server that answers has seen what the consistency token asks for")

    def reader_of_anything(self, *, without: Sequence[Server] = ()) -> Server:
        """Where a read goes that need have seen nothing, which is known at once. ServerUnavailableError."""
        if len(self.servers) == 1 and not without:  # as it is most often
            (server,) = self.servers
            if server.role is Role.PRIMARY and not server.problem:
                return server
        replicas = [server for server in self._replicas() if server not in without]
        if replicas:
            return _least_used(replicas)
        primary = self._primary()
        if primary is not None and primary not in without:
            return primary
        raise ServerUnavailableError(f"no server answers: {self._why()}")

    async def _that_catches_up(self, replicas: Sequence[Server], position: Position) -> list[Server]:
        """A replica that says, when it is asked, that it has seen a place; none where it does not within `catch_up`."""
        replica = _least_used([each for each in replicas if each.timeline == position.timeline] or replicas)
        if replica.timeline != position.timeline:
            return []
        self.counts.waited += 1
        deadline = self.clock() + self.catch_up
        while True:
            try:
                row = await replica.pools[ASKED].fetchrow("position", f"SELECT {POSITION}", timeout=self.catch_up + POLL)
            except PostgresError as error:
                self.failed(replica, error)
                return []
            if row is not None:
                replica.saw(*row)
            if replica.has_seen(position):
                return [replica]
            if self.clock() + POLL >= deadline:
                return []
            await asyncio.sleep(POLL)

    def _check_cluster(self, position: Position) -> None:
        systems = {server.system for server in self.servers if server.system}
        if systems and position.system not in systems:
            raise ConsistencyTokenInvalidError("the consistency token is of another database")

    def _primary(self) -> Server | None:
        """Of several that say they are, the one that was promoted last."""
        primaries = [server for server in self.servers if server.role is Role.PRIMARY and not server.problem]
        if len(primaries) == 1:
            return primaries[0]
        return max(primaries, key=lambda server: server.timeline, default=None)

    def _replicas(self) -> Iterator[Server]:
        for server in self.servers:
            if server.role is Role.REPLICA and server.available and server.lag is not None and server.lag <= self.max_lag:
                yield server

    def _why(self) -> str:
        return "; ".join(f"{server.address}: {server.problem or server.role.value}" for server in self.servers)


def _least_used(servers: Sequence[Server]) -> Server:
    """The one with the fewest callers, by chance where it is the same."""
    if len(servers) == 1:
        return servers[0]
    return min(servers, key=lambda server: (sum(pool.load for pool in server.pools.values()), random.random()))  # noqa: S311
