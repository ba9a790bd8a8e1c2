"""Reads through the cache service: what it has is shown, what it does not have is loaded by one of those who want it.

It never stands in the way: where it does not answer in time, or does not take a result, the database answers.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from souk.cache.v1 import cache_pb2 as pb
from souk.client import CacheClient, DeadlineExceededError, ResourceExhaustedError, SoukError, UnavailableError
from souk_common.call import annotate
from souk_common.postgres import PostgresError

from souk_dbopt.catalogue import CachePolicy, Query
from souk_dbopt.consistency import EVERYTHING, Position
from souk_dbopt.exceptions import DbError, TooFarBehindError
from souk_dbopt.executing import Executor, Rows
from souk_dbopt.kept_rows import KeptRows, shape
from souk_dbopt.routing import Router

MAX_TAGS = 64
"""Of one value, as the cache takes them."""
WAIT_SHARE = 0.1
"""Of a query's time-out: so long its callers wait for another who loads the same."""
WAIT_SLICE = 0.25
"""Seconds of such a wait after which the cache must have answered."""
AWAY = 1.0
"""Seconds for which a cache that did not answer is not asked."""
REFUSED = 60.0
"""Seconds for which a result that the cache does not take is read past it."""
REFUSED_AT_ONCE = 1000
TELL_EVERY = 10.0
"""Seconds between two log lines about what is wrong with the cache."""
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ResultCounts:
    """What became of reads that a cached result could answer."""

    hits: int = 0
    """Answered by the cache, also with nothing."""
    loads: int = 0
    """Loaded for the cache."""
    bypassed: int = 0
    """What it had was too old for the consistency token, or nobody could vouch for it."""
    uncached: int = 0
    """It did not answer, another took too long to load, or it does not take the result."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A result: the query with its arguments, and where the cache has it."""

    query: Query
    policy: CachePolicy
    arguments: Mapping[str, Any]
    key: str
    alias: str

    @property
    def place(self) -> tuple[str, str, str]:
        return self.policy.namespace, self.key, self.alias


@dataclass(eq=False, slots=True)
class ResultCache:
    """What servicers read from. Without a client, everything is read from the database."""

    executor: Executor
    router: Router
    client: CacheClient | None = None
    """Its time-out is what a read may lose by asking."""
    on_write: Callable[[], None] = lambda: None
    """Told of each write, after it is committed."""
    clock: Callable[[], float] = time.monotonic
    counts: ResultCounts = field(default_factory=ResultCounts)
    _shapes: dict[str, str] = field(default_factory=dict)
    _refused: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _away_until: float = float("-inf")
    _told: float = float("-inf")
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def close(self) -> None:
        """Give up what goes on in the background."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wrote(self) -> None:
        """A write of this node is committed."""
        self.on_write()

    def read(self, query: Query, arguments: Mapping[str, Any], position: Position | None = None) -> Coroutine[Any, Any, Rows]:
        """As Executor.read. arguments: of `Query.converted`.

        With a position, a cached result is shown only where it is known to be of a later moment: invalidations follow commits, and
        so the cache may have what is older than a token for a moment.
        """
        wanted = None if self.client is None else self._wanted(query, arguments)
        if self.client is None or wanted is None:
            return self.executor.read(query, list(arguments.values()), position)
        return self._read(self.client, wanted, position)

    async def _read(self, client: CacheClient, wanted: _Wanted, position: Position | None) -> Rows:
        query, arguments = wanted.query, list(wanted.arguments.values())
        found = await self._find(client, wanted)
        match found.WhichOneof("result"):
            case "lease":
                return await self._load(client, wanted, found.lease, position)
            case "hit":
                rows = self._shown(client, wanted, found.hit, position)
            case "negative":
                is_right = found.negative.freshness == pb.FRESHNESS_FRESH and position is None
                rows = Rows("[]", 0, None, None, 0.0) if is_right else None
            case _:
                self.counts.uncached += 1
                return await self.executor.read(query, arguments, position)
        if rows is None:
            self.counts.bypassed += 1
            return await self.executor.read(query, arguments, position)
        self.counts.hits += 1
        annotate(cached=True)
        return rows

    def _wanted(self, query: Query, arguments: Mapping[str, Any]) -> _Wanted | None:
        """Where the cache has a result; None where it has it nowhere, or does not take it, or has not answered lately."""
        if query.cache is None or self.clock() < self._away_until:
            return None
        key, alias = query.cache_key(arguments) or "", query.cache_alias(arguments) or ""
        if not key and not alias:
            return None
        wanted = _Wanted(query, query.cache, arguments, key, alias)
        return None if self.clock() < self._refused.get(wanted.place, float("-inf")) else wanted

    async def _find(self, client: CacheClient, wanted: _Wanted) -> pb.Result:
        """What the cache says, at the latest when another has been loading for some time. Nothing where it does not answer."""
        wait, until = 0.0, self.clock() + wanted.query.timeout * WAIT_SHARE
        while True:
            try:
                result = await client.get(wanted.policy.namespace, wanted.key, alias=wanted.alias, lease=True, wait=wait)
            except SoukError as error:
                self._failed(wanted, error)
                return pb.Result()
            left = until - self.clock()
            if left <= 0 or result.WhichOneof("result") != "wait":
                return result
            wait = min(left, WAIT_SLICE)

    def _shown(self, client: CacheClient, wanted: _Wanted, hit: pb.Hit, position: Position | None) -> Rows | None:
        """Rows that may be shown. What cannot be read, as of a former version of the query, is made to go."""
        if hit.HasField("refresh"):
            self._in_background(self._refresh(client, wanted, hit.refresh))
        kept = KeptRows.decode(hit.value)
        if kept is None or kept.shape != self._shape(wanted.query):
            self._in_background(self._drop(client, wanted.policy.namespace, hit.key or wanted.key))
            return None
        if hit.freshness != pb.FRESHNESS_FRESH:
            return None  # the cache does not know whether it was invalidated, and the database is at hand
        if position is not None and (kept.seen is None or not kept.seen.is_past(position)):
            return None
        return Rows(kept.text, kept.count, kept.position, None, 0.0)

    async def _load(self, client: CacheClient, wanted: _Wanted, lease: pb.Lease, position: Position | None) -> Rows:
        """Read what nobody has, and have the cache keep it. A replica that has not seen what the cache was told of is not asked."""
        began = self.clock()
        arguments = list(wanted.arguments.values())
        least = self._latest(position, lease)
        self.counts.loads += 1
        try:
            rows = await self.executor.read(wanted.query, arguments, least)
        except BaseException as error:
            self._in_background(self._give_back(client, wanted, lease))
            if isinstance(error, TooFarBehindError) and least != position:
                return await self.executor.read(wanted.query, arguments, position)
            raise
        await self._fill(client, wanted, lease, rows, self.clock() - began)
        return rows

    def _latest(self, position: Position | None, lease: pb.Lease) -> Position | None:
        """What a load must have seen: `position`, and what the cache was told of. A cache that was told of nothing may have
        forgotten what it was told of, as one that was started anew: then only the primary will do."""
        if len(self.router.servers) == 1:
            return position
        source = self.router.place(lease.source_token if lease.HasField("source_token") else EVERYTHING)
        if position is None or (position.timeline, position.lsn) < (source.timeline, source.lsn):
            return source
        return position

    async def _fill(self, client: CacheClient, wanted: _Wanted, lease: pb.Lease, rows: Rows, seconds: float) -> None:
        query, loaded = wanted.query, orjson.loads(rows.text)
        is_nothing = not loaded and (query.one_row or bool(wanted.alias))
        kept = None if is_nothing else KeptRows.of(self._shape(query), rows)
        tags = _with_kinds(query.cached_tags(wanted.arguments, loaded), unknown=wanted.alias if is_nothing else "")
        key = wanted.key or ((query.cached_key(loaded[0]) or "") if loaded else "")
        if len(tags) > MAX_TAGS or not (key or is_nothing):
            self._refuse(wanted)
            self._in_background(self._give_back(client, wanted, lease))
            return
        try:
            await client.fill(
                wanted.policy.namespace,
                key,
                lease.token,
                None if kept is None else kept.encode(),
                alias=wanted.alias,
                tags=tags,
                aliases=query.cached_aliases(wanted.arguments, loaded) if loaded else (),
                ttl=wanted.policy.ttl,
                load_duration=seconds,
            )
        except SoukError as error:
            self._failed(wanted, error)
            self._in_background(self._give_back(client, wanted, lease))

    def _failed(self, wanted: _Wanted, error: SoukError) -> None:
        """The cache does not answer, and is left alone for a while; or it does not take a result, which is then read past it."""
        now = self.clock()
        if isinstance(error, UnavailableError | DeadlineExceededError | ResourceExhaustedError):
            self._away_until = now + AWAY
        else:
            self._refuse(wanted)
        if now >= self._told + TELL_EVERY:
            self._told = now
            log.warning("a result was not cached", query=wanted.query.key, namespace=wanted.policy.namespace, problem=str(error))

    def _refuse(self, wanted: _Wanted) -> None:
        if len(self._refused) >= REFUSED_AT_ONCE:
            self._refused.clear()
        self._refused[wanted.place] = self.clock() + REFUSED

    async def _refresh(self, client: CacheClient, wanted: _Wanted, lease: pb.Lease) -> None:
        """Load what is there anew, before its time is over. Where that fails, what is there stays until then."""
        try:
            await self._load(client, wanted, lease, None)
        except (DbError, PostgresError) as error:
            log.info("a result was not refreshed", query=wanted.query.key, problem=str(error))

    async def _give_back(self, client: CacheClient, wanted: _Wanted, lease: pb.Lease) -> None:
        """Let another load it. Where that cannot be told, the lease ends by itself."""
        try:
            await client.abandon(wanted.policy.namespace, wanted.key, lease.token, alias=wanted.alias)
        except SoukError as error:
            log.debug("a lease was not given back", problem=str(error))

    async def _drop(self, client: CacheClient, namespace: str, key: str) -> None:
        try:
            await client.invalidate(keys={namespace: [key]})
        except SoukError as error:
            log.debug("a value was not dropped", problem=str(error))

    def _shape(self, query: Query) -> str:
        found = self._shapes.get(query.key)
        if found is None:
            found = self._shapes[query.key] = shape(query)
        return found

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="result-cache")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _with_kinds(tags: Sequence[str], *, unknown: str) -> list[str]:
    """Tags, and for each kind of them the one that means all: `product:*`, by which a statement tells that touches very many.

    unknown: an alias that nobody has. It is a tag in small letters, as whoever comes to have it tells.
    """
    every = [*tags, unknown.lower()] if unknown else list(tags)
    kinds = dict.fromkeys(f"{kind}:*" for kind, colon, _ in (tag.partition(":") for tag in every) if colon)
    return [*every, *kinds]
