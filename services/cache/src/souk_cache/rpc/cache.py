"""The servicer of souk.cache.v1.CacheService."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1 import cache_pb2_grpc as pb_grpc

from souk_cache.cache import Cache, Named
from souk_cache.results import Read
from souk_cache.rpc import encoding, mapping, validate
from souk_cache.rpc.failures import failure
from souk_cache.rpc.reads import Reads
from souk_cache.rpc.warm import Warm
from souk_cache.rpc.watch import Watch

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
MAX_PUTS_AT_ONCE = 64
PLAIN = mapping.read_from(pb.ReadOptions())
"""A read without options."""


class CacheServicer(pb_grpc.CacheServiceServicer):
    """Maps each rpc to one call of the core."""

    def __init__(self, cache: Cache, watch: Watch, warm: Warm) -> None:
        self._cache = cache
        self._watch = watch
        self._warm = warm

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse | bytes:  # type: ignore[override]
        """See the proto. What memory has is answered in bytes."""
        validate.get(request)
        at_once = self._at_once(request)
        return at_once if at_once is not None else pb.GetResponse(result=await self._get(request))

    async def BatchGet(  # type: ignore[override]
        self, request: pb.BatchGetRequest, context: Context
    ) -> pb.BatchGetResponse | bytes:
        """See the proto. What memory has is answered in bytes."""
        validate.batch_get(request)
        cache, keys, options = self._cache, list(request.keys), request.options
        space = cache.namespaces.get(request.namespace)
        read = mapping.read_from(options) if options.ByteSize() else PLAIN
        entries = cache.peek_all(space, keys, read.after)
        now, describe = cache.clock(), options.describe
        if not describe and None not in entries:
            return b"".join([encoding.hit(entry, now) for entry in entries if entry is not None])
        missing = dict.fromkeys(key for key, entry in zip(keys, entries, strict=True) if entry is None)
        fetched = await asyncio.gather(*(self._fetch(space.name, key, read, describe=describe) for key in missing))
        results = dict(zip(missing, fetched, strict=True))
        now = cache.clock()
        return b"".join(
            [
                encoding.field(encoding.RESULT, results[key])
                if entry is None
                else encoding.hit(entry, now)
                if not describe
                else encoding.field(encoding.RESULT, mapping.result(cache.found_in_memory(space, key, entry), describe=True))
                for key, entry in zip(keys, entries, strict=True)
            ]
        )

    async def GetStream(
        self, requests: AsyncIterator[pb.GetStreamRequest], context: Context
    ) -> AsyncIterator[pb.GetStreamResponse]:
        """See the proto."""
        async for response in Reads(lambda read: self._at_once(read, encoding.ITEM_RESULT), self._get).serve(requests):
            yield response

    async def Fill(self, request: pb.FillRequest, context: Context) -> pb.FillResponse:
        """See the proto."""
        validate.fill(request)
        if request.HasField("abandon"):
            status = await self._cache.abandon(request.namespace, request.key, request.lease, alias=request.alias)
        else:
            content = mapping.content(request, load_seconds=validate.seconds(request.load_duration))
            status = await self._cache.fill(request.namespace, request.key, request.lease, content, alias=request.alias)
        return pb.FillResponse(outcome=mapping.OUTCOMES[status])

    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutResponse:
        """See the proto."""
        validate.put(request)
        status, positions = await self._cache.put(
            request.namespace, request.key, mapping.content(request), level=mapping.level(request.level)
        )
        return pb.PutResponse(outcome=mapping.OUTCOMES[status], token=mapping.token(positions))

    async def BatchPut(self, request: pb.BatchPutRequest, context: Context) -> pb.BatchPutResponse:
        """See the proto. Puts of one key are made one after the other."""
        validate.batch_put(request)
        free = asyncio.Semaphore(MAX_PUTS_AT_ONCE)
        items = [pb.BatchPutResponse.Item() for _ in request.puts]
        by_key: dict[tuple[str, str], list[int]] = {}
        for index, put in enumerate(request.puts):
            by_key.setdefault((put.namespace, put.key), []).append(index)

        async def make(indexes: list[int]) -> None:
            async with free:
                for index in indexes:
                    try:
                        items[index].put.CopyFrom(await self.Put(request.puts[index], context))
                    except Exception as error:  # noqa: BLE001 — told in its place
                        items[index].error.CopyFrom(failure(error))

        await asyncio.gather(*(make(indexes) for indexes in by_key.values()))
        return pb.BatchPutResponse(items=items)

    async def Invalidate(self, request: pb.InvalidateRequest, context: Context) -> pb.InvalidateResponse:
        """See the proto."""
        validate.invalidate(request)
        positions = await self._cache.invalidate(
            Named(
                keys=[(each.namespace, each.key) for each in request.keys],
                aliases=[(each.namespace, each.alias) for each in request.aliases],
                tags=request.tags,
                namespaces=request.namespaces,
            ),
            level=mapping.level(request.level),
            source=request.source_token if request.HasField("source_token") else None,
        )
        return pb.InvalidateResponse(token=mapping.token(positions))

    async def Watch(self, requests: AsyncIterator[pb.WatchRequest], context: Context) -> AsyncIterator[pb.WatchResponse]:
        """See the proto."""
        async for response in self._watch.serve(requests, self._cache.namespaces):
            yield response

    async def Warm(self, request: pb.WarmRequest, context: Context) -> pb.WarmResponse:
        """See the proto."""
        return self._warm.start(request)

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:
        """See the proto."""
        cache = self._cache
        memories = [partition.memory for partition in cache.partitions]
        return pb.GetStatsResponse(
            namespaces=[mapping.stats(space.name, cache.counts.of(space.name)) for space in cache.namespaces.all()],
            memory_entries=sum(map(len, memories)),
            memory_bytes=sum(memory.bytes for memory in memories),
            memory_evictions=sum(memory.evicted for memory in memories),
            coherent=cache.partitions.fresh,
            watchers=len(self._watch),
            warming=len(self._warm),
        )

    async def ListNamespaces(self, request: pb.ListNamespacesRequest, context: Context) -> pb.ListNamespacesResponse:
        """See the proto."""
        return pb.ListNamespacesResponse(namespaces=[mapping.namespace(space) for space in self._cache.namespaces.all()])

    def _at_once(self, request: pb.GetRequest, tag: bytes = encoding.RESULT) -> bytes | None:
        """What memory has of a key, without a wait, as a field with this tag."""
        if request.HasField("alias"):
            return None
        cache, options = self._cache, request.options
        space = cache.namespaces.get(request.namespace)
        entry = cache.peek(space, request.key, mapping.after(options) if options.HasField("after") else ())
        if entry is None:
            return None
        if not options.describe:
            return encoding.hit(entry, cache.clock(), tag)
        described = mapping.result(cache.found_in_memory(space, request.key, entry), describe=True)
        return encoding.field(tag, described)

    async def _fetch(self, namespace: str, key: str, read: Read, *, describe: bool) -> pb.Result:
        try:
            return mapping.result(await self._cache.get(namespace, key, read), describe=describe)
        except Exception as error:  # noqa: BLE001 — told in its place
            return pb.Result(error=failure(error))

    async def _get(self, request: pb.GetRequest) -> pb.Result:
        read: Read = mapping.read_from(request.options)
        if request.HasField("alias"):
            found = await self._cache.get_by_alias(request.namespace, request.alias, read)
        else:
            found = await self._cache.get(request.namespace, request.key, read)
        return mapping.result(found, describe=request.options.describe)
