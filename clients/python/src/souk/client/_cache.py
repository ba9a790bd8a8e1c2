"""The client of souk.cache.v1.CacheService."""

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar, overload

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1 import cache_pb2_grpc
from souk.client._calls import typed
from souk.client._channel import open_channel
from souk.client._codecs import BYTES, Codec
from souk.client._config import ClientConfig
from souk.client._errors import DeadlineExceededError, SoukError, from_failure, to_failure
from souk.client._namespace import Namespace
from souk.client._near import NearCache
from souk.client._operations import OperationsClient, RunningOperation
from souk.client._puts import MAX_KEYS, NODES, parts, put_request, set_content
from souk.client._read_stream import ReadStream, StreamEndedError
from souk.client._spans import Span, duration, seconds
from souk.client._trace import with_trace
from souk.client._warm_progress import WarmProgress, warm_progress
from souk.client._watch import Watching
from souk.common.v1 import operations_pb2

T = TypeVar("T")
log = logging.getLogger("souk.client")
WARN_EVERY = 10.0
"""Seconds between two log lines about what one namespace does not take."""


@dataclass(frozen=True, slots=True)
class NearConfig:
    """A near cache: values that this process keeps, and drops as soon as they are invalidated anywhere."""

    namespaces: Sequence[str]
    """Those whose values are kept."""
    max_bytes: int = 64 * 1024 * 1024
    max_entries: int = 100_000


@dataclass(slots=True)
class CacheCounts:
    """What happened in this client since it was opened."""

    near_hits: int = 0
    hits: int = 0
    """Values that the service had."""
    stale: int = 0
    """Of those, past their TTL."""
    loads: int = 0
    """Loads with a lease."""
    loads_uncached: int = 0
    """Loads whose value was not cached: the service did not answer or did not take it, or another took too long."""
    refreshes: int = 0
    """Loads in the background, before a TTL was over."""


class CacheClient:
    """Reads, fills and invalidates what the cache keeps. An async context manager; one client serves any number of calls at once.

    Reads of many callers share one stream. What may be repeated is repeated by itself when the server is UNAVAILABLE, within the
    `timeout` of the call, which is in seconds; None is what the configuration says. `namespace` gives a typed view, which is what
    most programs want.

    What the server says, and that it does not answer, is a SoukError, or what derives from it, and nothing of gRPC. An argument
    that cannot be sent is told before the call: a TypeError for one of a wrong type, a ValueError for a number that is too large
    for its field and for a text that is no Unicode. What a loader raises comes as it is. Methods that are iterated over raise
    when the iteration begins.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        config: ClientConfig | None = None,
        channel: grpc.aio.Channel | None = None,
        near: NearConfig | None = None,
    ) -> None:
        """`target` is short for ClientConfig(target=…). A `channel` of your own is used as it is, and stays open.

        near: keep values in this process, too.
        """
        config = config or ClientConfig(target="127.0.0.1:50052")
        self._config = replace(config, target=target) if target else config
        self._owns_channel = channel is None
        services = [*pb.DESCRIPTOR.services_by_name.values(), *operations_pb2.DESCRIPTOR.services_by_name.values()]
        self._channel = channel or open_channel(self._config, services)
        self._stub = cache_pb2_grpc.CacheServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {self._config.token}"),) if self._config.token else ()
        self._reads = ReadStream(lambda: self._stub.GetStream(metadata=self._metadata))
        self.operations = OperationsClient(self._channel, self._config)
        """The warmings of the service, whoever asked for them."""
        self._counts = CacheCounts()
        self._warned: dict[str, float] = {}
        self.near: NearCache | None = None
        """What this process keeps; None where it keeps nothing."""
        self._watching: Watching | None = None
        if near is not None:
            self.near = NearCache(near.namespaces, max_bytes=near.max_bytes, max_entries=near.max_entries, clock=time.monotonic)
            self._watching = Watching(self.near, lambda: self._stub.Watch(metadata=self._metadata), self._config)

    async def __aenter__(self) -> Self:
        if self._watching is not None:
            self._watching.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop serving from the near cache, and close the connection."""
        if self._watching is not None:
            await self._watching.close()
        await self._reads.close()
        if self._owns_channel:
            await self._channel.close()

    @property
    def counts(self) -> CacheCounts:
        """What happened in this client."""
        if self.near is not None:
            self._counts.near_hits = self.near.hits
        return self._counts

    async def near_ready(self) -> None:
        """Wait until the near cache may serve for the first time. Returns at once where there is none; raises what the service says
        where it never may."""
        if self._watching is not None:
            await self._watching.ready.wait()
            if self._watching.error is not None:
                raise self._watching.error

    @overload
    def namespace(self, name: str) -> Namespace[bytes]: ...

    @overload
    def namespace(self, name: str, codec: Codec[T]) -> Namespace[T]: ...

    def namespace(self, name: str, codec: Codec[Any] = BYTES) -> Namespace[Any]:
        """A namespace whose values are of one type: BYTES, JSON, or message(SomeProtobufClass)."""
        return Namespace(self, name, codec)

    # Reads

    def kept(self, namespace: str, key: str = "", *, alias: str = "") -> pb.Result | None:
        """What the near cache may serve of a key or an alias, without a wait."""
        entry = self.near.find(namespace, key, alias=alias) if self.near is not None else None
        return entry.result() if entry is not None else None

    async def get(
        self,
        namespace: str,
        key: str = "",
        *,
        alias: str = "",
        lease: bool = False,
        wait: Span = 0.0,
        allow_stale: bool = False,
        load: bool = False,
        after: pb.ConsistencyToken | None = None,
        timeout: float | None = None,
    ) -> pb.Result:
        """What a key, or the key that has an alias, has: a hit, a negative, a lease, a wait or a miss, as the proto says.

        The near cache answers where it can, but not with `after`. All its attempts together take `wait` + `timeout` seconds at
        the most.
        """
        if after is None:
            found = self.kept(namespace, key, alias=alias)
            if found is not None:
                return found
        near = self.near if self.near is not None and namespace in self.near.namespaces else None
        options = pb.ReadOptions(
            lease=lease, allow_stale=allow_stale, load=load, after=after, describe=near is not None, wait=duration(wait)
        )
        request = pb.GetRequest(namespace=namespace, options=options)
        if alias:
            request.alias = alias
        else:
            request.key = key
        sent = time.monotonic()
        result = await self._read(request, seconds(wait) + (self._config.timeout if timeout is None else timeout))
        kind = result.WhichOneof("result")
        if kind in ("hit", "negative"):
            self._counts.hits += 1
            if near is not None and (key or result.hit.key):
                near.remember(namespace, key or result.hit.key, result, sent=sent, alias=alias)
        return result

    async def batch_get(
        self,
        namespace: str,
        keys: Sequence[str],
        *,
        lease: bool = False,
        allow_stale: bool = False,
        load: bool = False,
        after: pb.ConsistencyToken | None = None,
        timeout: float | None = None,
    ) -> list[pb.Result]:
        """What keys have, in the order asked. What is wrong with one key is the `error` of its result.

        More than 1,000 different keys are read by several calls, and values that find no room in one answer one by one, all within
        the same timeout.
        """
        until = time.monotonic() + (self._config.timeout if timeout is None else timeout)
        near = self.near if self.near is not None and namespace in self.near.namespaces else None
        found = {key: kept for key in keys if after is None and (kept := self.kept(namespace, key)) is not None}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        options = pb.ReadOptions(lease=lease, allow_stale=allow_stale, load=load, after=after, describe=near is not None)
        for first in range(0, len(missing), MAX_KEYS):
            request = pb.BatchGetRequest(namespace=namespace, keys=missing[first : first + MAX_KEYS], options=options)
            sent = time.monotonic()
            found |= await self._get_part(request, until)
            for key in request.keys:
                result = found[key]
                if result.WhichOneof("result") in ("hit", "negative"):
                    self._counts.hits += 1
                    if near is not None:
                        near.remember(namespace, key, result, sent=sent)
        return [found[key] for key in keys]

    # Writes

    async def fill(
        self,
        namespace: str,
        key: str,
        lease: str,
        value: bytes | None,
        *,
        alias: str = "",
        tags: Iterable[str] = (),
        aliases: Iterable[str] = (),
        ttl: Span | None = None,
        version: int | None = None,
        load_duration: Span | None = None,
        timeout: float | None = None,
    ) -> pb.FillOutcome.ValueType:
        """Store what was loaded with a lease. value None: there is nothing. alias: that of the lease, where it is of one."""
        request = pb.FillRequest(
            namespace=namespace,
            key=key,
            lease=lease,
            alias=alias,
            tags=tags,
            aliases=aliases,
            ttl=duration(ttl),
            version=version,
            load_duration=duration(load_duration),
        )
        set_content(request, value)
        return (await typed(self._stub.Fill(request, **self._options(timeout)))).outcome

    async def abandon(
        self, namespace: str, key: str, lease: str, *, alias: str = "", timeout: float | None = None
    ) -> pb.FillOutcome.ValueType:
        """Give a lease back, so that the next caller gets it at once."""
        request = pb.FillRequest(namespace=namespace, key=key, lease=lease, alias=alias, abandon=pb.Abandon())
        return (await typed(self._stub.Fill(request, **self._options(timeout)))).outcome

    async def put(
        self,
        namespace: str,
        key: str,
        value: bytes | None,
        *,
        tags: Iterable[str] = (),
        aliases: Iterable[str] = (),
        ttl: Span | None = None,
        version: int | None = None,
        level: pb.InvalidationLevel.ValueType = NODES,
        timeout: float | None = None,
    ) -> pb.PutResponse:
        """Store what a key has now, after the write is committed. When this returns, no node serves an older value, and with level
        CLIENTS no near cache either. value None: there is nothing any more. The answer's token makes any read see it.
        """
        request = put_request(namespace, key, value, tags=tags, aliases=aliases, ttl=ttl, version=version, level=level)
        answer = await typed(self._stub.Put(request, **self._options(timeout)))
        self._has_put(request, answer)
        return answer

    async def batch_put(self, puts: Sequence[pb.PutRequest], *, timeout: float | None = None) -> list[pb.PutResponse | SoukError]:
        """Make puts (see put_request); what came of each, in the order given.

        More than 1,000, or than go into one message of `ClientConfig.max_request_bytes`, are made by several calls, one after the
        other, within the same timeout. A call that fails is told as the error of each of its puts, which may have been made
        nevertheless; where none succeeds, the error of the first is raised.
        """
        until = time.monotonic() + (self._config.timeout if timeout is None else timeout)
        told: list[list[pb.PutResponse | SoukError]] = []
        failures: list[SoukError] = []
        for part in parts(puts, self._config.max_request_bytes):
            try:
                told.append(await self._put_part(part, until))
            except SoukError as error:
                failures.append(error)
                told.append([error] * len(part))
        if failures and len(failures) == len(told):
            raise failures[0]
        return list(itertools.chain.from_iterable(told))

    async def invalidate(
        self,
        *,
        keys: Mapping[str, Iterable[str]] | None = None,
        aliases: Mapping[str, Iterable[str]] | None = None,
        tags: Iterable[str] = (),
        namespaces: Iterable[str] = (),
        source_token: int | None = None,
        level: pb.InvalidationLevel.ValueType = NODES,
        timeout: float | None = None,
    ) -> pb.ConsistencyToken:
        """Invalidate keys and aliases (by namespace), tags and whole namespaces, after the write is committed. When this returns,
        no node serves what was there, nor does this client's own near cache; with level CLIENTS no near cache at all.

        UnavailableError: it is not known whether every node knows; call again until it returns.
        """
        request = pb.InvalidateRequest(
            keys=[pb.NamespacedKey(namespace=space, key=key) for space, some in (keys or {}).items() for key in some],
            aliases=[pb.NamespacedAlias(namespace=space, alias=each) for space, some in (aliases or {}).items() for each in some],
            tags=tags,
            namespaces=namespaces,
            source_token=source_token,
            level=level,
        )
        token = (await typed(self._stub.Invalidate(request, **self._options(timeout)))).token
        if self.near is not None:
            self.near.invalidated(request, token)
        return token

    # The service

    async def watch(self, namespaces: Iterable[str]) -> AsyncGenerator[pb.WatchResponse, None]:
        """Yield what is invalidated in these namespaces, and every tag, as it happens.

        First a discontinuity, which says from where on, and another one where something could not be told. Goes on by itself, on
        another node perhaps, when the service stops.
        """
        told: asyncio.Queue[pb.WatchResponse | None] = asyncio.Queue()

        def take(response: pb.WatchResponse) -> None:
            if not response.HasField("heartbeat"):
                told.put_nowait(response)

        nothing = NearCache(namespaces, max_bytes=0, max_entries=0, clock=time.monotonic)
        watching = Watching(nothing, lambda: self._stub.Watch(metadata=self._metadata), self._config, on_response=take)
        watching.start()
        failing = asyncio.create_task(watching.ready.wait())
        failing.add_done_callback(lambda _: told.put_nowait(None) if watching.error else None)
        try:
            while (response := await told.get()) is not None:
                yield response
            if watching.error is not None:
                raise watching.error
        finally:
            failing.cancel()
            await watching.close()

    async def warm(
        self,
        namespace: str,
        *,
        keys: Sequence[str] | None = None,
        hottest: int | None = None,
        query: str | None = None,
        limit: int = 0,
        priority: int = 0,
        concurrency: int = 0,
        time_limit: Span | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RunningOperation[WarmProgress]:
        """Have values brought into the cache by the node that answers: of these keys, of the `hottest` (0: all that are known), or
        of those that the loader lists for `query`.

        Returns when the node has taken it; iterate over what is returned to follow it, await its `result()`, or `cancel()` it. Who
        goes away leaves it running, until `time_limit`.

        Keys are up to 100,000, and one message in all, which the service bounds to 4 MiB unless it is told otherwise.

        `request_id` makes a repeat return the same operation; without one, this call makes its own, for its own repeats.
        ResourceExhaustedError where the node warms as much as it takes.
        """
        request = pb.WarmRequest(
            namespace=namespace,
            priority=priority,
            concurrency=concurrency,
            request_id=request_id or str(uuid.uuid4()),
            time_limit=duration(time_limit),
        )
        if keys is not None:
            request.keys.keys.extend(keys)
        if hottest is not None:
            request.hottest.count = hottest
            request.hottest.SetInParent()
        if query is not None:
            request.query.query, request.query.limit = query, limit
        started = await typed(self._stub.Warm(request, **self._options(timeout)))
        return RunningOperation(self.operations, started.operation, warm_progress)

    async def stats(self, *, timeout: float | None = None) -> pb.GetStatsResponse:
        """What happened on the node that answers, since it started."""
        return await typed(self._stub.GetStats(pb.GetStatsRequest(), **self._options(timeout)))

    async def namespaces(self, *, timeout: float | None = None) -> Sequence[pb.Namespace]:
        """Every namespace with its policy, by name."""
        return (await typed(self._stub.ListNamespaces(pb.ListNamespacesRequest(), **self._options(timeout)))).namespaces

    # Inside

    def refused(self, namespace: str, name: str, error: SoukError) -> None:
        """Count a load whose value the service does not take, and say in the log why, now and then."""
        self._counts.loads_uncached += 1
        now = time.monotonic()
        if now >= self._warned.get(namespace, float("-inf")) + WARN_EVERY:
            self._warned[namespace] = now
            log.warning("what was loaded for %s %s cannot be cached: %s", namespace, name, error)

    async def _read(self, request: pb.GetRequest, timeout: float) -> pb.Result:
        deadline = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                return await self._reads.read(request)
        except TimeoutError:
            raise DeadlineExceededError("the read took longer than it may", code=grpc.StatusCode.DEADLINE_EXCEEDED) from None
        except StreamEndedError:  # gRPC makes it again, at another node perhaps
            return (await typed(self._stub.Get(request, timeout=_left(deadline), metadata=with_trace(self._metadata)))).result

    async def _get_part(self, request: pb.BatchGetRequest, until: float) -> dict[str, pb.Result]:
        """What the keys of one BatchGet have."""
        answer = await typed(self._stub.BatchGet(request, **self._options(_left(until))))
        found = dict(zip(request.keys, answer.results, strict=True))
        large = [key for key, result in found.items() if _is_batch_too_large(result)]
        return found | dict(
            zip(large, await asyncio.gather(*(self._read_alone(request, key, until) for key in large)), strict=True)
        )

    async def _put_part(self, puts: Sequence[pb.PutRequest], until: float) -> list[pb.PutResponse | SoukError]:
        """What came of the puts of one BatchPut."""
        answer = await typed(self._stub.BatchPut(pb.BatchPutRequest(puts=puts), **self._options(_left(until))))
        for put, item in zip(puts, answer.items, strict=True):
            if item.HasField("put"):
                self._has_put(put, item.put)
        return [item.put if item.HasField("put") else from_failure(item.error) for item in answer.items]

    async def _read_alone(self, batch: pb.BatchGetRequest, key: str, until: float) -> pb.Result:
        """The result of one key of a batch, as the batch would have told it."""
        request = pb.GetRequest(namespace=batch.namespace, key=key, options=batch.options)
        try:
            return await self._read(request, _left(until))
        except SoukError as error:
            return pb.Result(error=to_failure(error))

    def _has_put(self, request: pb.PutRequest, answer: pb.PutResponse) -> None:
        if self.near is not None:
            self.near.written(request.namespace, request.key, request.aliases, answer.token)

    def _options(self, timeout: float | None) -> dict[str, Any]:
        return {"timeout": self._config.timeout if timeout is None else timeout, "metadata": with_trace(self._metadata)}


def _is_batch_too_large(result: pb.Result) -> bool:
    return result.HasField("error") and (result.error.domain, result.error.reason) == ("souk.cache.v1", "BATCH_TOO_LARGE")


def _left(until: float) -> float:
    """Seconds, by time.monotonic."""
    return max(0.0, until - time.monotonic())
