"""The servicer of souk.dbopt.v1.QueryService."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import grpc
import orjson
from souk.dbopt.v1 import query_pb2 as pb
from souk.dbopt.v1 import query_pb2_grpc as pb_grpc
from souk_common.call import annotate, caller, require_scope
from souk_common.paging import page_position, page_token

from souk_dbopt.catalogue import Catalogue, Query
from souk_dbopt.consistency import Position
from souk_dbopt.exceptions import QueryKindError
from souk_dbopt.executing import Executor, WriteRequest
from souk_dbopt.result_cache import ResultCache
from souk_dbopt.routing import Router
from souk_dbopt.rpc import encoding, mapping, validate
from souk_dbopt.rpc.flow import taken_in_time

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
WRITE_SCOPE = "dbopt.write"


class QueryServicer(pb_grpc.QueryServiceServicer):
    """Maps each rpc to one call of the core."""

    def __init__(
        self, catalogue: Catalogue, executor: Executor, results: ResultCache, router: Router, *, stream_idle_timeout: float
    ) -> None:
        """A stream whose caller takes nothing for `stream_idle_timeout` seconds is over."""
        self._catalogue = catalogue
        self._executor = executor
        self._results = results
        self._router = router
        self._idle_timeout = stream_idle_timeout

    async def ExecuteQuery(  # type: ignore[override]  # the dispatcher takes a response that is bytes already
        self, request: pb.ExecuteQueryRequest, context: Context
    ) -> bytes:
        """See the proto."""
        validate.execute(request)
        query = self._query(request)
        if query.is_write:
            return await self._write(query, request)
        if request.request_id:
            raise QueryKindError(query.name, "only reads: leave request_id out")
        position = Position.parse(request.consistency_token)
        arguments = query.converted(mapping.values(request.parameters))
        return encoding.rows(await self._results.read(query, arguments, position))

    async def StreamQuery(self, request: pb.StreamQueryRequest, context: Context) -> AsyncIterator[pb.StreamQueryResponse]:
        """See the proto."""
        validate.stream(request)
        query = self._query(request)
        if query.is_write:
            raise QueryKindError(query.name, "writes: use ExecuteQuery")
        position = Position.parse(request.consistency_token)
        arguments = query.arguments(mapping.values(request.parameters))
        size = request.batch_size or validate.BATCH
        batches = self._executor.stream(query, arguments, position, batch=size)
        async with contextlib.aclosing(taken_in_time(batches, self._idle_timeout)) as taken:
            async for response in mapping.responses(taken):
                yield response

    async def ListQueries(self, request: pb.ListQueriesRequest, context: Context) -> pb.ListQueriesResponse:
        """See the proto."""
        validate.list_queries(request)
        after = page_position(request.page_token, request.prefix)
        size = request.page_size or validate.PAGE
        found = [query for query in self._catalogue.list(request.prefix) if not after or query.key > after]
        token = page_token(found[size - 1].key, request.prefix) if len(found) > size else ""
        return pb.ListQueriesResponse(queries=map(mapping.query, found[:size]), next_page_token=token)

    async def GetPoolStatus(self, request: pb.GetPoolStatusRequest, context: Context) -> pb.GetPoolStatusResponse:
        """See the proto."""
        return pb.GetPoolStatusResponse(servers=[mapping.server(each) for each in self._router.by_role()])

    async def _write(self, query: Query, request: pb.ExecuteQueryRequest) -> bytes:
        require_scope(WRITE_SCOPE)
        validate.execute(request, writes=True)
        values = mapping.values(request.parameters)
        arguments = query.arguments(values)
        principal = caller()
        written = WriteRequest(principal, request.request_id, fingerprint(query, values))
        rows = await self._executor.write(query, arguments, written)
        self._results.wrote()
        return encoding.rows(rows)

    def _query(self, request: "pb.ExecuteQueryRequest | pb.StreamQueryRequest") -> Query:
        query = self._catalogue.get(request.name, request.version or None)
        annotate(query=query.key)
        return query


def fingerprint(query: Query, values: Mapping[str, Any]) -> bytes:
    """What is the same for the same query with the same parameters."""
    return hashlib.sha256(f"{query.key} ".encode() + orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).digest()
