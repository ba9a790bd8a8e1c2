"""Between messages and the core."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from souk.dbopt.v1 import query_pb2 as pb
from souk_common.postgres import Pool

from souk_dbopt.arguments import Parameter
from souk_dbopt.catalogue import Query
from souk_dbopt.consistency import Position
from souk_dbopt.executing import Batch
from souk_dbopt.routing import Role, Server

SOURCES = {Role.PRIMARY: pb.SOURCE_PRIMARY, Role.REPLICA: pb.SOURCE_REPLICA, None: pb.SOURCE_CACHE}
ROLES = {Role.PRIMARY: pb.ROLE_PRIMARY, Role.REPLICA: pb.ROLE_REPLICA, Role.UNKNOWN: pb.ROLE_UNSPECIFIED}


def values(struct: Struct) -> dict[str, Any]:
    """A Struct as what JSON would be in Python."""
    fields = struct.fields
    known = {}
    for name in fields:
        value = fields[name]
        known[name] = value.number_value or value.string_value or plain(value)  # most are one or the other
    return known


def plain(value: Value) -> Any:
    """A Value as what JSON would be in Python."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [plain(each) for each in value.list_value.values]
        case "struct_value":
            return values(value.struct_value)
    return None


def span(seconds: float) -> Duration:
    """Seconds as a Duration."""
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def token(position: Position | None) -> str:
    """The consistency token of an answer."""
    return "" if position is None else position.token


async def responses(batches: AsyncIterator[Batch]) -> AsyncGenerator[pb.StreamQueryResponse, None]:
    """A stream of rows; one without rows has no response."""
    first = True
    async for batch in batches:
        response = pb.StreamQueryResponse(rows=batch.text, row_count=batch.count)
        if first:
            response.consistency_token, response.source = str(batch.position), SOURCES[batch.role]
            first = False
        yield response


def query(known: Query) -> pb.Query:
    """A query of the catalogue."""
    return pb.Query(
        name=known.name,
        version=known.version,
        description=known.description,
        writes=known.is_write,
        query_class=known.query_class.name,
        timeout=span(known.timeout),
        parameters=map(_parameter, known.parameters),
        columns=[pb.Column(name=column.name, type=column.type) for column in known.columns],
        custom=known.is_custom,
        sql=known.text,
    )


def _parameter(known: Parameter) -> pb.Parameter:
    return pb.Parameter(
        name=known.name,
        type=known.type,
        optional=not known.is_required,
        default_json="" if known.default is None else orjson.dumps(known.default).decode(),
        description=known.description,
        sensitive=known.sensitive,
    )


def server(known: Server) -> pb.Server:
    """A server and its connections."""
    message = pb.Server(
        address=known.address,
        role=ROLES[known.role],
        available=known.available,
        problem=known.problem,
        version=known.version,
        pgbouncer=any(pool.status().behind_pooler for pool in known.pools.values()),
        lag_bytes=known.lag_bytes,
        pools=[_pool(name, pool) for name, pool in known.pools.items()],
    )
    if known.lag is not None:
        message.lag.CopyFrom(span(known.lag))
    return message


def _pool(query_class: str, pool: Pool) -> pb.Pool:
    status = pool.status()
    return pb.Pool(
        query_class=query_class,
        size=status.size,
        open=status.open,
        in_use=status.in_use,
        waiting=status.waiting,
        max_waiting=status.max_waiting,
        acquired=status.acquired,
        waited=status.waits.count,
        refused=status.refused,
        timed_out=status.timeouts,
        connects=status.connects,
        lost=status.lost,
        wait_p99=span(status.waits.quantile(0.99)),
    )
