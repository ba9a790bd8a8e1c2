"""Callers of a cluster: readers who load what is missing, writers who invalidate until they are told OK, and near caches. What they
see goes to the oracle."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import grpc
from faults.cluster import Cluster
from faults.failures import Failure, failure
from faults.oracle import Oracle
from faults.shop import Database, Row, seen
from google.protobuf.duration_pb2 import Duration
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1.cache_pb2_grpc import CacheServiceStub
from souk.client import CacheClient, SoukError, from_failure

READ_TIMEOUT = 2.0
WRITE_TIMEOUT = 5.0
OUTBOX_PAUSE = 0.03
"""Seconds until a writer tries again."""
NAMESPACES = ("product", "order")
"""One goes on without Redis, one does not."""
EXPECTED = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
"""How a call may fail while there are faults; whoever called tries again."""


def rows_of(count: int) -> list[Row]:
    """So many rows in each namespace, of eight sellers."""
    return [Row(space, f"{index}", f"seller:{index % 8}") for space in NAMESPACES for index in range(count)]


@dataclass
class Tally:
    """What happened."""

    results: Counter[str] = field(default_factory=Counter)
    fills: Counter[str] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)
    failures: Counter[Failure] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """That each mutation took, from the first try until it returned."""

    def failed(self, error: grpc.aio.AioRpcError) -> None:
        """A call has failed."""
        self.failures[failure(error)] += 1
        if error.code().name not in EXPECTED:
            self.unexpected.append(f"{error.code().name}: {error.details()}")

    def mutated(self) -> int:
        """The mutations that have returned."""
        return sum(self.mutations.values())

    def took(self, share: float) -> float:
        """The time that so many of the mutations returned within."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


class Workload:
    """Callers of the nodes of a cluster, at work while it is entered."""

    def __init__(
        self,
        cluster: Cluster,
        database: Database,
        oracle: Oracle,
        *,
        seed: int,
        readers: int = 24,
        writers: int = 12,
        watchers: Sequence[CacheClient] = (),
    ) -> None:
        self.tally = Tally()
        self._caches: Sequence[CacheServiceStub] = cluster.caches
        self._database = database
        self._oracle = oracle
        self._chance = random.Random(seed)
        self._done = False
        self._callers: list[Callable[[], Awaitable[None]]] = [
            *itertools.repeat(self._read, readers - readers // 4),
            *itertools.repeat(self._read_batch, readers // 4),
            *itertools.repeat(self._write, writers),
            *(lambda near=near: self._read_near(near) for near in watchers),
        ]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """They call while the body runs, and finish what they have begun."""
        self._done = False
        async with asyncio.TaskGroup() as callers:
            for call in self._callers:
                callers.create_task(self._repeat(call))
            try:
                yield
            finally:
                self._done = True

    async def _repeat(self, call: Callable[[], Awaitable[None]]) -> None:
        while not self._done:
            try:
                await call()
            except grpc.aio.AioRpcError as error:
                self.tally.failed(error)
            await asyncio.sleep(self._chance.random() * 0.01)

    # Readers

    async def _read(self) -> None:
        row, index = self._row(), self._index()
        options = pb.ReadOptions(lease=self._chance.random() < 0.9, wait=self._wait(), allow_stale=self._chance.random() < 0.1)
        started = time.monotonic()
        request = pb.GetRequest(namespace=row.namespace, key=row.key, options=options)
        result = (await self._caches[index].Get(request, timeout=READ_TIMEOUT)).result
        self._judge(row, result, started, f"node{index}")
        if result.HasField("lease"):
            await self._load(row, result.lease.token)

    async def _read_batch(self) -> None:
        space, index = self._chance.choice(NAMESPACES), self._index()
        rows = self._chance.sample([row for row in self._database.rows if row.namespace == space], 5)
        request = pb.BatchGetRequest(namespace=space, keys=[row.key for row in rows], options=pb.ReadOptions(lease=True))
        started = time.monotonic()
        results = (await self._caches[index].BatchGet(request, timeout=READ_TIMEOUT)).results
        for row, result in zip(rows, results, strict=True):
            if result.HasField("error"):
                self._refused(from_failure(result.error))
                continue
            self._judge(row, result, started, f"node{index}")
            if result.HasField("lease"):
                await self._load(row, result.lease.token)

    async def _read_near(self, near: CacheClient) -> None:
        row = self._row()
        started = time.monotonic()
        kept = near.kept(row.namespace, row.key)
        if kept is not None:
            self._judge(row, kept, started, "a near cache", near=True)
            return
        try:
            result = await near.get(row.namespace, row.key, lease=True, wait=0.1, timeout=READ_TIMEOUT)
        except SoukError as error:
            self._refused(error)
            return
        self._judge(row, result, started, "a client")
        if result.HasField("lease"):
            await self._load(row, result.lease.token)

    def _refused(self, error: SoukError) -> None:
        self.tally.failures[Failure(error.code.name, error.reason)] += 1
        if error.code.name not in EXPECTED:
            self.tally.unexpected.append(repr(error))

    def _judge(self, row: Row, result: pb.Result, started: float, where: str, *, near: bool = False) -> None:
        kind = result.WhichOneof("result")
        if kind != "hit":
            self.tally.results[kind] += 1
            return
        hit = result.hit
        level = "near" if near else pb.Level.Name(hit.level).removeprefix("LEVEL_").lower()
        self.tally.results[f"{level} {pb.Freshness.Name(hit.freshness).removeprefix('FRESHNESS_').lower()}"] += 1
        value = seen(hit.value)
        if value.name != row.name:
            self.tally.unexpected.append(f"{row.name} was asked for, and {value.name} came")
        if hit.freshness == pb.FRESHNESS_FRESH:
            self._oracle.read(row.name, started=started, load_began=value.load_began, near=near, where=where)

    async def _load(self, row: Row, lease: str) -> None:
        """What a caller with a lease does: mostly, load and fill."""
        fate = self._chance.random()
        if fate < 0.03:
            return  # it is gone
        request = pb.FillRequest(namespace=row.namespace, key=row.key, lease=lease, tags=[row.tag])
        if fate < 0.06:
            request.abandon.SetInParent()
        else:
            version = self._database.versions[row]
            request.value = await self._database.load(row)
            if row.namespace == "product":  # where versions would hide what the other rules let pass
                request.version = version
        index = self._index()
        answer = await self._caches[index].Fill(request, timeout=READ_TIMEOUT)
        self.tally.fills[pb.FillOutcome.Name(answer.outcome).removeprefix("FILL_OUTCOME_").lower()] += 1
        await self._look(row, index)

    async def _look(self, row: Row, index: int) -> None:
        """Read what there is, and load nothing."""
        started = time.monotonic()
        request = pb.GetRequest(namespace=row.namespace, key=row.key)
        result = (await self._caches[index].Get(request, timeout=READ_TIMEOUT)).result
        self._judge(row, result, started, f"node{index}")

    # Writers

    async def _write(self) -> None:
        # where somebody loads at this moment, the promise is hardest to keep
        fate, row = self._chance.random(), self._chance.choice([*self._database.loading, self._row()])
        level = self._chance.choices((pb.INVALIDATION_LEVEL_NODES, pb.INVALIDATION_LEVEL_CLIENTS), (2, 1))[0]
        if fate < 0.3:
            await self._mutate("put", [row], level, lambda index: self._put(index, row, level))
            return
        request = pb.InvalidateRequest(level=level)
        if fate < 0.8:
            rows = [row]
            request.keys.add(namespace=row.namespace, key=row.key)
        elif fate < 0.97:
            rows = [each for each in self._database.rows if each.tag == row.tag]
            request.tags.append(row.tag)
        else:
            rows = [each for each in self._database.rows if each.namespace == row.namespace]
            request.namespaces.append(row.namespace)

        async def invalidate(index: int) -> None:
            await self._caches[index].Invalidate(request, timeout=WRITE_TIMEOUT)

        kind = "key" if fate < 0.8 else "tag" if fate < 0.97 else "namespace"
        await self._mutate(f"{kind} invalidated", rows, level, invalidate)

    async def _put(self, index: int, row: Row, level: pb.InvalidationLevel.ValueType) -> None:
        request = pb.PutRequest(namespace=row.namespace, key=row.key, value=self._database.now(row), tags=[row.tag], level=level)
        request.version = self._database.versions[row]
        await self._caches[index].Put(request, timeout=WRITE_TIMEOUT)

    async def _mutate(
        self, kind: str, rows: list[Row], level: pb.InvalidationLevel.ValueType, tell: Callable[[int], Awaitable[None]]
    ) -> None:
        """Write rows, and tell the cache until it says OK, as an outbox does."""
        async with contextlib.AsyncExitStack() as locks:
            for row in rows:  # in one order for all writers
                await locks.enter_async_context(self._database.locks[row])
            for row in rows:
                self._database.write(row)
            began = time.monotonic()
            while True:
                called = time.monotonic()
                try:
                    await tell(self._index())
                    break
                except grpc.aio.AioRpcError as error:
                    self.tally.failed(error)
                await asyncio.sleep(OUTBOX_PAUSE)
            returned = time.monotonic()
            for_clients = level == pb.INVALIDATION_LEVEL_CLIENTS
            self._oracle.invalidated([row.name for row in rows], called=called, returned=returned, for_clients=for_clients)
        self.tally.mutations[kind] += 1
        self.tally.seconds.append(returned - began)
        looks = (self._look(self._chance.choice(rows), index) for index in range(len(self._caches)))
        for error in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(error, grpc.aio.AioRpcError):
                self.tally.failed(error)
            elif error is not None:
                raise error

    # Chance

    def _row(self) -> Row:
        return self._chance.choice(self._database.rows)

    def _index(self) -> int:
        return self._chance.randrange(len(self._caches))

    def _wait(self) -> Duration:
        return Duration(nanos=self._chance.choice((0, 50, 300)) * 1_000_000)
