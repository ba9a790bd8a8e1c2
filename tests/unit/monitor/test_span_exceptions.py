"""Exceptions of spans that are no errors, and those that are told more than once, as instrumentations record them."""

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from souk_monitor import stack_text
from souk_monitor.decoding.otlp import Batch
from souk_monitor.decoding.otlp_spans import SpanDecoder
from unit.monitor.test_otlp_decoding import NOW, decoded, events, raised, spans

REFUSED = {
    "aio server": {"exception.type": "grpc._cython.cygrpc.AbortError", "exception.message": "Locally aborted."},
    "server with threads": {"exception.type": "Exception", "exception.message": ""},
    "client": {"exception.type": "grpc._channel._InactiveRpcError", "exception.message": "<_InactiveRpcError of RPC>"},
    "aio client": {"exception.type": "grpc.aio._call.AioRpcError", "exception.message": "<AioRpcError of RPC>"},
    "java": {"exception.type": "io.grpc.StatusRuntimeException", "exception.message": "NOT_FOUND: no such order"},
    "c#": {"exception.type": "Grpc.Core.RpcException", "exception.message": 'Status(StatusCode="NotFound")'},
}
STATUS, NEWER = "rpc.grpc.status_code", "rpc.response.status_code"
AT_HANDLER = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 12, in Place
    raise KeyError("sku")
KeyError: 'sku'
"""
AT_INTERCEPTOR = AT_HANDLER.replace(
    "  File",
    '  File "/site-packages/opentelemetry/instrumentation/grpc/_aio_server.py", line 90, in _unary_interceptor\n'
    "    return await behavior(request_or_iterator, context)\n  File",
    1,
)


@pytest.mark.parametrize("by", REFUSED)
@pytest.mark.parametrize("code", [{STATUS: 5}, {STATUS: 3}, {STATUS: 8}, {STATUS: 16}, {NEWER: "NOT_FOUND"}])
def test_the_exception_by_which_grpc_refuses_a_call_is_no_error(by: str, code: dict[str, Any]):
    assert decoded(spans(raised(**REFUSED[by]), **code)) == Batch(ignored=1)


@pytest.mark.parametrize("by", REFUSED)
@pytest.mark.parametrize("code", [{STATUS: 0}, {STATUS: 4}, {STATUS: 13}, {STATUS: 14}, {NEWER: "INTERNAL"}, {}])
def test_where_the_server_failed_it_is_one(by: str, code: dict[str, Any]):
    assert len(events(spans(raised(**REFUSED[by]), **code))) == 1


def test_another_exception_of_a_refused_call_is_an_error():
    (event,) = events(spans(raised(), raised(**REFUSED["aio server"]), **{STATUS: 5}))
    assert event.exceptions[-1].type == "OrderError"


def occurrences(*stacks: str) -> int:
    told = {"exception.type": "KeyError", "exception.message": "'sku'"}
    recorded = [raised(n, **told, **{"exception.stacktrace": stack}) for n, stack in enumerate(stacks, 1)]
    return len(SpanDecoder(stack_text.parse).decode(spans(*recorded), NOW).events[""])


def test_an_exception_that_is_recorded_again_on_its_way_out_is_counted_once():
    assert occurrences(AT_HANDLER, AT_INTERCEPTOR) == 1


def test_an_exception_that_is_raised_again_is_counted_again():
    assert occurrences(AT_HANDLER, AT_HANDLER) == 2
    assert occurrences(AT_HANDLER, AT_INTERCEPTOR, AT_HANDLER, AT_INTERCEPTOR) == 2


def test_one_that_was_raised_by_another_way_is_counted_again():
    assert occurrences(AT_HANDLER, AT_INTERCEPTOR.replace("orders.py", "baskets.py")) == 2


INNER, OUTER, OUTEST = (b"\x01" * 8, b"\x02" * 8, b"\x03" * 8)
CALLS = """  File "/srv/shop/main.py", line 4, in serve
    Place(request)
  File "/srv/shop/main.py", line 3, in main
    serve()
"""
AT_CALLER = AT_HANDLER.replace("  File", f"{CALLS}  File", 1)


def leaving(*left: tuple[bytes, bytes, str]) -> ExportTraceServiceRequest:
    """Spans, in this order of their ends, that an exception leaves: (span, the one around it, its stack there)."""
    request = spans()
    (first,) = request.resource_spans[0].scope_spans[0].spans
    made = []
    for number, (span_id, around, stack) in enumerate(left):
        span = Span(trace_id=first.trace_id, span_id=span_id, parent_span_id=around, name="x", end_time_unix_nano=1000 + number)
        span.events.append(raised(number + 1, **{"exception.message": "'sku'", "exception.stacktrace": stack}))
        made.append(span)
    del request.resource_spans[0].scope_spans[0].spans[:]
    request.resource_spans[0].scope_spans[0].spans.extend(reversed(made))  # the order in a request says nothing
    return request


def told_by(*requests: ExportTraceServiceRequest) -> list[bytes]:
    """Of which spans events are made."""
    decoder = SpanDecoder(stack_text.parse)
    return [bytes.fromhex(event.span_id) for each in requests for event in decoder.decode(each, NOW).events.get("", [])]


def test_an_exception_that_leaves_several_spans_is_an_event_of_the_innermost():
    """Instrumentation of Python has more of its stack in each, that of Java and JavaScript the same."""
    nested = [(INNER, OUTER, AT_HANDLER), (OUTER, OUTEST, AT_HANDLER), (OUTEST, b"", AT_CALLER)]
    assert told_by(leaving(*nested)) == [INNER]
    assert told_by(*(leaving(each) for each in nested)) == [INNER]
    assert told_by(leaving(*nested), leaving(*nested)) == [INNER, INNER]  # sent again: the same event


def test_attempts_are_counted_each_and_what_leaves_after_them_is_the_last():
    other = b"\x04" * 8
    assert told_by(leaving((INNER, OUTER, AT_HANDLER), (other, OUTER, AT_HANDLER), (OUTER, b"", AT_CALLER))) == [INNER, other]


def test_another_exception_of_the_span_around_is_its_own():
    within = leaving((INNER, OUTER, AT_HANDLER))
    assert told_by(within, leaving((OUTER, b"", AT_CALLER.replace("KeyError", "OrderError")))) == [INNER, OUTER]
    assert told_by(within, leaving((OUTER, b"", AT_CALLER.replace("orders.py", "baskets.py")))) == [INNER, OUTER]
    assert told_by(within, leaving((OUTEST, b"", AT_CALLER))) == [INNER, OUTEST]  # not around it
