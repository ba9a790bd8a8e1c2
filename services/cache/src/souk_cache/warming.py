"""Brings values into memory before they are asked for: from Redis, or by a namespace's loader. While others read, it takes a small
share of the time; alone, all of it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from souk_cache import values
from souk_cache.cache import Cache
from souk_cache.counts import CountsByNamespace
from souk_cache.exceptions import CacheError
from souk_cache.limits import MAX_KEY_BYTES, is_name
from souk_cache.loading import Loads, Wanted
from souk_cache.memory import Entry
from souk_cache.metering import Metered
from souk_cache.namespaces import Namespace
from souk_cache.numbers import number
from souk_cache.pacing import Pace, processor
from souk_cache.protocol import Busy, Found, Leased
from souk_cache.results import Lease

T = TypeVar("T")
log = structlog.get_logger(__name__)
FETCH_COST, LOAD_COST = 2.5, 6.0
"""What fetching and loading cost those who read, for what is measured of it: the event loop, the pipelines to Redis and gRPC's
thread come on top (bench/cache_warm.py)."""
ALONE_KEYS, SHARED_KEYS = 64, 8
"""Keys that are fetched in one step, or whose loads begin in one, alone and while others read. Together they share pipelines to
Redis: eight loads cost less than half of what they do one by one."""
LISTED_AT_ONCE = 1000
READY_EVERY = 0.1
"""Seconds between two looks at whether the node is ready, after its start."""
LEAST_PRIORITY = -100


@dataclass(slots=True)
class Progress:
    """How far a warming is."""

    total: int = 0
    fetched: int = 0
    loaded: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Keys that are done with."""
        return self.fetched + self.loaded + self.skipped + self.failed


@dataclass(eq=False, slots=True)
class _Job:
    space: Namespace
    priority: int
    concurrency: int
    progress: Progress
    to_fetch: deque[str] = field(default_factory=deque)
    to_load: deque[tuple[str, str]] = field(default_factory=deque)
    """(key, mode of the lease)"""
    fetching: int = 0
    loading: set[asyncio.Task[None]] = field(default_factory=set)
    listed: bool = False
    error: CacheError | None = None
    """Why not all could be listed."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def may_load(self) -> bool:
        return bool(self.to_load) and len(self.loading) < self.concurrency

    @property
    def waiting(self) -> int:
        return len(self.to_fetch) + len(self.to_load)

    @property
    def done(self) -> bool:
        return self.listed and not (self.to_fetch or self.to_load or self.fetching or self.loading)


class Warming:
    """Every warming of one node. Open it as a context manager; leaving it ends them."""

    def __init__(self, cache: Cache, loads: Loads, *, concurrency: int) -> None:
        """concurrency: values that one warming loads at once where it does not say."""
        self._cache = cache
        self._loads = loads
        self._concurrency = concurrency
        self._jobs: list[_Job] = []
        self._due = asyncio.Event()
        self._spent = 0.0
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Warming":
        self._runner = asyncio.create_task(self._run(), name="cache-warming")
        self._runner.add_done_callback(self._wake)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    def __len__(self) -> int:
        """Keys that wait."""
        return sum(job.waiting for job in self._jobs)

    async def warm(
        self,
        space: Namespace,
        source: AsyncIterator[Sequence[str]],
        progress: Progress,
        *,
        priority: int = 0,
        concurrency: int = 0,
    ) -> None:
        """Warm the keys of a source, and count in `progress` what came of them. Returns when all is done.

        Raises the source's error after what it listed until then. concurrency 0: the default. Cancelling it ends the warming, and
        gives its leases back.
        """
        job = _Job(space, priority, concurrency or self._concurrency, progress)
        self._jobs.append(job)
        self._jobs.sort(key=lambda each: -each.priority)
        listing = asyncio.create_task(self._list(job, source), name="cache-warming-list")
        listing.add_done_callback(lambda _: job.changed.set())
        try:
            while not (job.done and listing.done()):
                job.changed.clear()
                await job.changed.wait()
                for task in (listing, self._runner):
                    if task is not None and task.done():
                        task.result()
            if job.error is not None:
                raise job.error
        finally:
            self._jobs.remove(job)
            job.to_fetch.clear()
            job.to_load.clear()
            tasks = (listing, *job.loading)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _list(self, job: _Job, source: AsyncIterator[Sequence[str]]) -> None:
        seen: set[str] = set()
        try:
            async for keys in source:
                fresh = [key for key in dict.fromkeys(keys) if key not in seen]
                seen.update(fresh)
                good = [key for key in fresh if is_name(key, MAX_KEY_BYTES)]
                job.progress.total += len(fresh)
                job.progress.failed += len(fresh) - len(good)
                job.to_fetch.extend(good)
                self._due.set()
        except CacheError as error:
            job.error = error
        finally:
            job.listed = True

    def _wake(self, _: asyncio.Task[None]) -> None:
        """Have every warming see that nobody works any more."""
        for job in self._jobs:
            job.changed.set()

    # At work

    async def _run(self) -> None:
        pace = Pace(capacity=processor())
        pace.pause(0.0, _reads(self._cache.counts))
        while True:
            job = self._next()
            if job is None:
                self._due.clear()
                await self._due.wait()
                continue
            count = ALONE_KEYS if pace.alone else SHARED_KEYS
            if job.may_load:
                self._start_loads(job, count)
            else:
                await self._fetch(job, count)
            spent, self._spent = self._spent, 0.0
            await asyncio.sleep(pace.pause(spent, _reads(self._cache.counts)))

    def _next(self) -> _Job | None:
        """What is to be worked on: of those with the highest priority that wait for anything, the first that can go on."""
        waiting = [job for job in self._jobs if job.waiting]
        return next((job for job in waiting if job.priority == waiting[0].priority and (job.to_fetch or job.may_load)), None)

    async def _fetch(self, job: _Job, count: int) -> None:
        """Bring the next keys in from Redis, by one pipeline."""
        keys = [job.to_fetch.popleft() for _ in range(min(count, len(job.to_fetch)))]
        job.fetching += len(keys)
        try:
            await asyncio.gather(*(self._metered(self._fetch_key(job, key), FETCH_COST) for key in keys))
        finally:
            job.fetching -= len(keys)
            job.changed.set()

    async def _fetch_key(self, job: _Job, key: str) -> None:
        space, progress = job.space, job.progress
        if self._in_memory(space, key) is not None:
            progress.skipped += 1
            return
        try:
            outcome = await self._ask(space, key, "read")
        except CacheError:
            progress.failed += 1
            return
        fresh = isinstance(outcome, Found) and (self._in_memory(space, key) is not None or _is_fresh(outcome, space))
        if fresh:
            progress.fetched += 1
        elif space.loader is not None:
            job.to_load.append((key, "refresh" if isinstance(outcome, Found) else "load"))
        else:
            progress.failed += 1

    def _start_loads(self, job: _Job, count: int) -> None:
        for _ in range(count):
            if not job.may_load:
                return
            self._start_load(job)

    def _start_load(self, job: _Job) -> None:
        key, mode = job.to_load.popleft()
        task = asyncio.create_task(self._metered(self._load_key(job, key, mode), LOAD_COST), name="cache-warming-load")
        job.loading.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            job.loading.discard(task)
            job.changed.set()
            self._due.set()

        task.add_done_callback(ended)

    async def _load_key(self, job: _Job, key: str, mode: str) -> None:
        space, progress = job.space, job.progress
        try:
            outcome = await self._ask(space, key, mode)
            leased = outcome if isinstance(outcome, Leased) else outcome.leased if isinstance(outcome, Found) else None
            if leased is not None:
                await self._loads.load(self._cache, Wanted(space, key=key), Lease(leased.token, number(leased.source)))
                progress.loaded += 1
            elif isinstance(outcome, Found | Busy):
                progress.skipped += 1
            else:
                progress.failed += 1
        except CacheError:
            progress.failed += 1

    async def _ask(self, space: Namespace, key: str, mode: str) -> Any:
        node = self._cache.partitions.of(space, key).node
        return await node.carry_out(
            node.coherence.get(
                f"{space.name}:{key}", namespace=space.name, mode=mode, lease=space.lease_seconds, until=0.0, joins=False
            )
        )

    def _in_memory(self, space: Namespace, key: str) -> Entry | None:
        now = self._cache.clock()
        entry = self._cache.partitions.of(space, key).node.coherence.lookup(f"{space.name}:{key}", now)
        return entry if isinstance(entry, Entry) and now < entry.fresh_until else None

    async def _metered(self, work: Coroutine[Any, Any, T], cost: float) -> T:
        def spend(seconds: float) -> None:
            self._spent += seconds * cost

        return await Metered(work, spend)


async def warm_at_start(
    warming: Warming,
    spaces: Iterable[Namespace],
    hottest: Callable[[str, int], Awaitable[list[str]]],
    check_ready: Callable[[], Awaitable[None]],
) -> None:
    """Warm what was read most before, once this node is ready. hottest: keys of a namespace, the hottest first."""
    wanted = [space for space in spaces if space.warm_hottest]
    while wanted:
        await asyncio.sleep(READY_EVERY)
        with contextlib.suppress(Exception):
            await check_ready()
            break
    for space in wanted:
        try:
            keys = await hottest(space.name, space.warm_hottest)
            progress = Progress()
            await warming.warm(space, listed(keys), progress, priority=LEAST_PRIORITY)
            if progress.total:
                log.info("warmed", namespace=space.name, keys=progress.total, fetched=progress.fetched, loaded=progress.loaded)
        except CacheError as error:
            log.warning("warming ended", namespace=space.name, detail=error.message)


async def listed(keys: Sequence[str]) -> AsyncIterator[Sequence[str]]:
    """Keys that are all known, in parts, so that others come in between."""
    for first in range(0, len(keys), LISTED_AT_ONCE):
        yield keys[first : first + LISTED_AT_ONCE]
        await asyncio.sleep(0)


def _reads(counts: CountsByNamespace) -> int:
    """How often the cache was read."""
    return sum(
        each.hits_memory + each.hits_redis + each.stale_served + each.unverified_served + each.misses + each.leases + each.waits
        for each in counts.by_name.values()
    )


def _is_fresh(found: Found, space: Namespace) -> bool:
    value = values.decode(found.acquired.data, max_bytes=space.max_value_bytes)
    return value is not None and found.acquired.age < value.fresh_for
