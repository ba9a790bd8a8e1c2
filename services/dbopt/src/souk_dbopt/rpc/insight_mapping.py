"""Between messages of InsightService and the core."""

from datetime import datetime
from typing import Any

import orjson
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from souk.dbopt.v1 import insight_pb2 as pb
from souk.dbopt.v1 import query_pb2

from souk_dbopt.insight import QueryStats, Sampled
from souk_dbopt.rpc.mapping import SOURCES, span
from souk_dbopt.slow_calls import SlowCall

EXACT = 2**53


def stats(known: QueryStats) -> pb.QueryStats:
    """What a query did. Times that are not known are left out."""
    message = pb.QueryStats(
        fingerprint=known.fingerprint,
        text=known.text,
        calls=known.calls,
        errors=known.errors,
        rows=known.rows,
        total_time=span(known.seconds),
        time_share=known.share,
        mean_time=span(known.mean),
    )
    for field, share in ((message.p50_time, 0.5), (message.p95_time, 0.95), (message.p99_time, 0.99)):
        if (seconds := known.quantile(share)) is not None:
            field.CopyFrom(span(seconds))
    if known.longest is not None:
        message.max_time.CopyFrom(span(known.longest))
    return message


def window(start: datetime, known: QueryStats) -> pb.QueryWindow:
    """What a query did in a window."""
    return pb.QueryWindow(start_time=moment(start), stats=stats(known))


def sample(known: Sampled) -> pb.ParameterSample:
    """Parameters of a call."""
    return pb.ParameterSample(parameters=parameters(known.parameters), duration=span(known.seconds), time=moment(known.end_time))


def slow_call(call: SlowCall, missed: int) -> pb.WatchSlowQueriesResponse:
    """One slow call."""
    end_time = Timestamp()
    end_time.FromNanoseconds(round(call.end_time * 1e9))
    return pb.WatchSlowQueriesResponse(
        fingerprint=call.fingerprint,
        end_time=end_time,
        duration=span(call.seconds),
        rows=call.rows,
        parameters=parameters(call.parameters),
        source=query_pb2.SOURCE_UNSPECIFIED if call.role is None else SOURCES[call.role],
        trace_id=call.trace_id,
        missed=missed,
    )


def parameters(json: str) -> Struct:
    """A JSON object as a Struct; whole numbers that a double does not hold are strings."""
    made = Struct()
    made.update(_plain(orjson.loads(json)))
    return made


def _plain(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int() if abs(value) > EXACT:
            return str(value)
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
    return value


def moment(time: datetime) -> Timestamp:
    """A time."""
    made = Timestamp()
    made.FromDatetime(time)
    return made
