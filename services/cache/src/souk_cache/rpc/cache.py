"""The servicer of souk.cache.v1.CacheService."""

import asyncio
from typing import Any, TypeAlias

import grpc
from souk.cache.v1 import cache_pb2 as pb
from souk.cache.v1 import cache_pb2_grpc as pb_grpc

from souk_cache.cache import Cache
from souk_cache.protocol import NODES
from souk_cache.rpc import mapping, validate

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CacheServicer(pb_grpc.CacheServiceServicer):
    """Maps each rpc to one call of the core."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        """See the proto."""
        validate.get(request)
        found = await self._cache.get(request.namespace, request.key, mapping.read_from(request.options))
        return pb.GetResponse(result=mapping.result(found))

    async def BatchGet(self, request: pb.BatchGetRequest, context: Context) -> pb.BatchGetResponse:
        """See the proto."""
        validate.batch_get(request)
        read = mapping.read_from(request.options)
        space = self._cache.namespaces.get(request.namespace)
        found = {key: self._cache.peek(space, key, read) for key in request.keys}
        missing = [key for key, hit in found.items() if hit is None]
        fetched = {}
        if missing:
            fetched = dict(
                zip(missing, await asyncio.gather(*(self._cache.get(space.name, key, read) for key in missing)), strict=True)
            )
        return pb.BatchGetResponse(results=[mapping.result(found[key] or fetched[key]) for key in request.keys])

    async def Fill(self, request: pb.FillRequest, context: Context) -> pb.FillResponse:
        """See the proto."""
        validate.fill(request)
        if request.HasField("abandon"):
            status = await self._cache.abandon(request.namespace, request.key, request.lease)
        else:
            status = await self._cache.fill(
                request.namespace,
                request.key,
                request.lease,
                request.value if request.HasField("value") else None,
                tags=request.tags,
                ttl=validate.seconds(request.ttl) if request.HasField("ttl") else None,
                version=request.version if request.HasField("version") else None,
            )
        return pb.FillResponse(outcome=mapping.OUTCOMES[status])

    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutResponse:
        """See the proto."""
        validate.put(request)
        status, token = await self._cache.put(
            request.namespace,
            request.key,
            request.value if request.HasField("value") else None,
            tags=request.tags,
            ttl=validate.seconds(request.ttl) if request.HasField("ttl") else None,
            version=request.version if request.HasField("version") else None,
            level=NODES,
        )
        return pb.PutResponse(outcome=mapping.OUTCOMES[status], token=mapping.token(token))

    async def Invalidate(self, request: pb.InvalidateRequest, context: Context) -> pb.InvalidateResponse:
        """See the proto."""
        validate.invalidate(request)
        token = await self._cache.invalidate(
            keys=[(each.namespace, each.key) for each in request.keys],
            tags=request.tags,
            namespaces=request.namespaces,
            level=NODES,
            source=request.source_token if request.HasField("source_token") else None,
        )
        return pb.InvalidateResponse(token=mapping.token(token))

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:
        """See the proto."""
        cache = self._cache
        return pb.GetStatsResponse(
            namespaces=[mapping.stats(space.name, cache.of(space.name)) for space in cache.namespaces.all()],
            memory_entries=len(cache.memory),
            memory_bytes=cache.memory.bytes,
            memory_evictions=cache.memory.evicted,
            coherent=cache.node.coherence.fresh,
        )

    async def ListNamespaces(self, request: pb.ListNamespacesRequest, context: Context) -> pb.ListNamespacesResponse:
        """See the proto."""
        return pb.ListNamespacesResponse(namespaces=[mapping.namespace(space) for space in self._cache.namespaces.all()])
