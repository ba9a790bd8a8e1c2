"""The servicer of souk.dbopt.v1.QueryService."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias, TypeVar

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
from souk_dbopt.rpc.refusals import REFUSED, Refusals

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
WRITE_SCOPE = "dbopt.write"
R = TypeVar("R", pb.ExecuteQueryRequest, pb.StreamQueryRequest)


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
        query, position, arguments = self._given(request, _check_request_id)
        if query.is_write:
            return await self._write(query, arguments, request)
        if request.request_id:
            raise QueryKindError(query.name, "only reads: leave request_id out")
        return encoding.rows(await self._results.read(query, arguments, position))

    async def StreamQuery(self, request: pb.StreamQueryRequest, context: Context) -> AsyncIterator[pb.StreamQueryResponse]:
        """See the proto."""
        query, position, arguments = self._given(request, _check_batch_size)
        if query.is_write:
            raise QueryKindError(query.name, "writes: use ExecuteQuery")
        size = request.batch_size or validate.BATCH
        batches = self._executor.stream(query, list(arguments.values()), position, batch=size)
        async with contextlib.aclosing(taken_in_time(batches, self._idle_timeout)) as taken:
            async for response in mapping.responses(taken):
                yield response

    async def ListQueries(self, request: pb.ListQueriesRequest, context: Context) -> pb.ListQueriesResponse:
        """See the proto."""
        refusals = Refusals()
        refusals.of(validate.list_queries, request)
        after = refusals.of(page_position, request.page_token, request.prefix)
        refusals.check()
        size = request.page_size or validate.PAGE
        found = [query for query in self._catalogue.list(request.prefix) if not after or query.key > after]
        token = page_token(found[size - 1].key, request.prefix) if len(found) > size else ""
        return pb.ListQueriesResponse(queries=map(mapping.query, found[:size]), next_page_token=token)

    async def GetPoolStatus(self, request: pb.GetPoolStatusRequest, context: Context) -> pb.GetPoolStatusResponse:
        """See the proto."""
        return pb.GetPoolStatusResponse(servers=[mapping.server(each) for each in self._router.by_role()])

    async def _write(self, query: Query, arguments: Mapping[str, Any], request: pb.ExecuteQueryRequest) -> bytes:
        require_scope(WRITE_SCOPE)
        written = WriteRequest(caller(), request.request_id, fingerprint(query, mapping.values(request.parameters)))
        rows = await self._executor.write(query, list(arguments.values()), written)
        self._results.wrote()
        return encoding.rows(rows)

    def _given(self, request: R, check: Callable[[R, Query | None], None]) -> tuple[Query, Position | None, dict[str, Any]]:
        """The query of a request, the place that it must have seen, and its parameters. Raises what names all that is wrong.

        check: of what else the request has, whose query may be unknown.
        """
        try:
            query = self._query(request)
            check(request, query)
            position = Position.parse(request.consistency_token)
            return query, position, query.converted(mapping.values(request.parameters))
        except REFUSED:
            self._refuse(request, check)
            raise

    def _refuse(self, request: R, check: Callable[[R, Query | None], None]) -> None:
        """Raise what names all that is wrong, once something is: what is right is looked at once, and gathers nothing."""
        refusals = Refusals()
        query = refusals.of(self._query, request)
        refusals.of(check, request, query)
        refusals.of(Position.parse, request.consistency_token)
        if query is not None:
            refusals.of(query.converted, mapping.values(request.parameters))
        refusals.check()

    def _query(self, request: "pb.ExecuteQueryRequest | pb.StreamQueryRequest") -> Query:
        validate.named(request)
        query = self._catalogue.get(request.name, request.version or None)
        annotate(query=query.key)
        return query


def _check_request_id(request: pb.ExecuteQueryRequest, query: Query | None) -> None:
    if request.request_id or (query is not None and query.is_write):
        validate.request_id(request.request_id)


def _check_batch_size(request: pb.StreamQueryRequest, _: Query | None) -> None:
    validate.batch_size(request.batch_size)


def fingerprint(query: Query, values: Mapping[str, Any]) -> bytes:
    """What is the same for the same query with the same parameters."""
    return hashlib.sha256(f"{query.key} ".encode() + orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).digest()
