"""The servicer of souk.cache.v1.CacheService."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, TypeAlias

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1 import cache_pb2_grpc as pb_grpc
from souk_common.call import require_scope

from souk_cache.cache import Cache
from souk_cache.memory import Entry
from souk_cache.namespaces import Namespace
from souk_cache.results import Hit, Lease, Read, Result
from souk_cache.rpc import encoding, mapping, validate
from souk_cache.rpc.failures import failure
from souk_cache.rpc.reads import Reads
from souk_cache.rpc.room import Room
from souk_cache.rpc.warm import Warm
from souk_cache.rpc.watch import Watch
from souk_cache.targets import Named

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
LEASE_SCOPE = "cache.write"
"""What a read needs that may take a lease: who takes it keeps everybody else from loading."""
MAX_PUTS_AT_ONCE = 64
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of one BatchGetResponse: what clients of gRPC take where they are not told otherwise."""
PLAIN = mapping.read_from(pb.ReadOptions())
"""A read without options."""


class CacheServicer(pb_grpc.CacheServiceServicer):
    """Maps each rpc to one call of the core."""

    def __init__(self, cache: Cache, watch: Watch, warm: Warm, *, max_message_bytes: int) -> None:
        """max_message_bytes: of the largest message that the server sends."""
        self._cache = cache
        self._watch = watch
        self._warm = warm
        self._max_message_bytes = max_message_bytes
        self._max_batch_bytes = min(MAX_BATCH_BYTES, max_message_bytes)

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse | bytes:  # type: ignore[override]
        """See the proto. What memory has is answered in bytes."""
        validate.get(request)
        at_once = self._at_once(request)
        return (
            at_once
            if at_once is not None
            else pb.GetResponse(result=mapping.result(await self._find(request), describe=request.options.describe))
        )

    async def BatchGet(  # type: ignore[override]
        self, request: pb.BatchGetRequest, context: Context
    ) -> pb.BatchGetResponse | bytes:
        """See the proto. What memory has is answered in bytes."""
        validate.batch_get(request)
        if request.options.lease:
            require_scope(LEASE_SCOPE)
        cache, keys, options = self._cache, list(request.keys), request.options
        space = cache.namespaces.get(request.namespace)
        read = mapping.read_from(options) if options.ByteSize() else PLAIN
        entries = cache.peek_all(space, keys, read.after)
        present, now, describe = [entry for entry in entries if entry is not None], cache.clock(), options.describe
        if not describe and len(present) == len(keys) and encoding.hits_bytes(present) <= self._max_batch_bytes:
            return b"".join([encoding.hit(entry, now) for entry in present])
        room = Room(self._max_batch_bytes, len(keys))
        missing = Counter(key for key, entry in zip(keys, entries, strict=True) if entry is None)
        fetched = await asyncio.gather(
            *(self._fetch(room, times, space, key, read, describe=describe) for key, times in missing.items())
        )
        results = dict(zip(missing, fetched, strict=True))
        return b"".join(
            [
                results[key] if entry is None else self._in_memory(room, space, key, entry, describe=describe)
                for key, entry in zip(keys, entries, strict=True)
            ]
        )

    async def GetStream(  # type: ignore[override]
        self, requests: AsyncIterator[pb.GetStreamRequest], context: Context
    ) -> AsyncIterator[bytes]:
        """See the proto. Answered in bytes."""

        def at_once(read: pb.GetRequest) -> bytes | None:
            return self._at_once(read, encoding.ITEM_RESULT)

        async for response in Reads(at_once, self._find, max_message_bytes=self._max_message_bytes).serve(requests):
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
        """What memory has of a key, without a wait, as a field with this tag. ServiceError: the caller may not ask so."""
        if request.options.lease:
            require_scope(LEASE_SCOPE)
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

    async def _fetch(self, room: Room, times: int, space: Namespace, key: str, read: Read, *, describe: bool) -> bytes:
        """The result of a key of a batch, as a field of the answer; it is let go of at once where it finds no room."""
        try:
            found = await self._cache.get(space.name, key, read)
        except Exception as error:  # noqa: BLE001 — told in its place
            return room.put(encoding.field(encoding.RESULT, pb.Result(error=failure(error))), times)
        if isinstance(found, Hit) and not room.fits(len(found.data or b""), times):
            return room.refusal
        field = encoding.field(encoding.RESULT, mapping.result(found, describe=describe))
        if isinstance(found, Lease) and not room.fits(len(field), times):  # who has it must know
            field = encoding.field(encoding.RESULT, mapping.result(replace(found, stale=None)))
        return room.put(field, times)

    def _in_memory(self, room: Room, space: Namespace, key: str, entry: Entry, *, describe: bool) -> bytes:
        """The same of a key that memory has."""
        if not room.fits(len(entry.data or b"")):
            return room.refusal
        if not describe:
            return room.put(encoding.hit(entry, self._cache.clock()))
        described = mapping.result(self._cache.found_in_memory(space, key, entry), describe=True)
        return room.put(encoding.field(encoding.RESULT, described))

    async def _find(self, request: pb.GetRequest) -> Result:
        """What there is, not only in memory."""
        read = mapping.read_from(request.options)
        if request.HasField("alias"):
            return await self._cache.get_by_alias(request.namespace, request.alias, read)
        return await self._cache.get(request.namespace, request.key, read)
