"""Log records and spans of OpenTelemetry: which are errors, and when two of them are one occurrence."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from souk_monitor.decoding.occurrences import LogOccurrences, numbered
from souk_monitor.decoding.otlp import Batch
from souk_monitor.decoding.otlp_logs import LogDecoder
from souk_monitor.decoding.otlp_spans import SpanDecoder
from souk_monitor.events import Event, ExceptionInfo, Frame, Level, Source, User
from souk_monitor.limits import fit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NANOSECONDS = int(NOW.timestamp()) * 10**9
TRACE, SPAN = b"\xab" * 16, b"\xcd" * 8
RAISED = {"exception.type": "shop.errors.OrderError", "exception.message": "no stock", "exception.stacktrace": "place:7"}


def read_stack(text: str, platform: str) -> tuple[ExceptionInfo, ...]:
    """Stacks of these tests: function:line, one below the other, the first is the innermost."""
    lines = [line.split(":") for line in text.split("\n") if line.count(":") == 1 and line.rpartition(":")[2].isdecimal()]
    return (ExceptionInfo(frames=tuple(Frame(name, line=int(line)) for name, line in reversed(lines))),) if lines else ()


def value(given: Any) -> AnyValue:
    match given:
        case bool():
            return AnyValue(bool_value=given)
        case str():
            return AnyValue(string_value=given)
        case int():
            return AnyValue(int_value=given)
        case float():
            return AnyValue(double_value=given)
        case bytes():
            return AnyValue(bytes_value=given)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(value, given)))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=attributes(given)))
    return AnyValue()


def attributes(given: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=value(each)) for name, each in given.items()]


def record(body: Any = "failed", severity: int = 17, time: int = NANOSECONDS, ids: bool = True, **given: Any) -> LogRecord:
    known = {"trace_id": TRACE, "span_id": SPAN} if ids else {}
    return LogRecord(
        **known,
        time_unix_nano=time,
        severity_number=severity,
        body=value(body),
        attributes=attributes(given),  # type: ignore[arg-type]
    )


def logs(*records: LogRecord, resource: dict[str, Any] | None = None) -> ExportLogsServiceRequest:
    scope = ScopeLogs(scope=InstrumentationScope(name="shop.orders"), log_records=records)
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=Resource(attributes=attributes(resource or {})), scope_logs=[scope])]
    )


def raised(time: int = NANOSECONDS, **given: Any) -> Span.Event:
    return Span.Event(name="exception", time_unix_nano=time, attributes=attributes({**RAISED, **given}))


def spans(
    *events: Span.Event, resource: dict[str, Any] | None = None, span_id: bytes = SPAN, **given: Any
) -> ExportTraceServiceRequest:
    span = Span(trace_id=TRACE, span_id=span_id, name="POST /orders", events=events, attributes=attributes(given))
    scope = ScopeSpans(scope=InstrumentationScope(name="shop.orders"), spans=[span])
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=Resource(attributes=attributes(resource or {})), scope_spans=[scope])]
    )


def decoded(request: ExportLogsServiceRequest | ExportTraceServiceRequest) -> Batch:
    if isinstance(request, ExportLogsServiceRequest):
        return LogDecoder(read_stack).decode(request, NOW)
    return SpanDecoder(read_stack).decode(request, NOW)


def events(request: ExportLogsServiceRequest | ExportTraceServiceRequest) -> list[Event]:
    found = [event for found in decoded(request).events.values() for event in found]
    for event in found:
        fit(event, NOW)
    return found


RESOURCE = {
    "service.name": "orders",
    "service.version": "1.2",
    "deployment.environment.name": "staging",
    "telemetry.sdk.language": "nodejs",
    "host.name": "host-1",
    "process.pid": 7,
}


def test_a_log_record_with_an_exception_becomes_an_event():
    given = {**RAISED, "user.id": "7", "error_id": "0011", "sku": "x", "deep": {"list": [1, 2.5, True, b"\0"]}}
    (event,) = events(logs(record("order failed", time=NANOSECONDS - 10**9, **given), resource=RESOURCE))
    assert event == Event(
        event_id=event.event_id,
        time=NOW - timedelta(seconds=1),
        source=Source.OTLP_LOG,
        level=Level.ERROR,
        platform="node",
        service="orders",
        release="1.2",
        environment="staging",
        server_name="host-1",
        logger="shop.orders",
        message="order failed",
        exceptions=(ExceptionInfo("OrderError", "no stock", "shop.errors", (Frame("place", line=7),)),),
        user=User(id="7"),
        trace_id="ab" * 16,
        span_id="cd" * 8,
        error_id="0011",
        contexts={
            "resource": {"telemetry.sdk.language": "nodejs", "process.pid": 7},
            "attributes": {"sku": "x", "deep": {"list": [1, 2.5, True, "AA=="]}},
        },
    )


def test_a_span_event_becomes_an_event():
    request = spans(raised(**{"exception.escaped": "True"}), resource=RESOURCE, **{"http.route": "/orders", "user.id": "7"})
    (event,) = events(request)
    assert event == Event(
        event_id=event.event_id,
        time=NOW,
        source=Source.OTLP_SPAN,
        platform="node",
        service="orders",
        release="1.2",
        environment="staging",
        server_name="host-1",
        logger="shop.orders",
        transaction="/orders",
        exceptions=(ExceptionInfo("OrderError", "no stock", "shop.errors", (Frame("place", line=7),), handled=False),),
        user=User(id="7"),
        trace_id="ab" * 16,
        span_id="cd" * 8,
        contexts={
            "resource": {"telemetry.sdk.language": "nodejs", "process.pid": 7},
            "span": {"name": "POST /orders", "http.route": "/orders", "user.id": "7"},
        },
    )


@pytest.mark.parametrize(
    ("severity", "level"), [(17, Level.ERROR), (20, Level.ERROR), (21, Level.FATAL), (24, Level.FATAL), (99, Level.ERROR)]
)
def test_a_record_as_grave_as_error_is_an_event(severity: int, level: Level):
    (event,) = events(logs(record(severity=severity)))
    assert (event.level, event.message, event.exceptions) == (level, "failed", ())


@pytest.mark.parametrize("severity", [-1, 0, 1, 9, 13, 16])
def test_a_record_below_error_is_ignored_unless_it_has_an_exception(severity: int):
    assert decoded(logs(record(severity=severity))) == Batch(ignored=1)
    assert len(events(logs(record(severity=severity, **RAISED)))) == 1


SAID = {
    Level.FATAL: "FATAL CRITICAL crit EMERGENCY emerg PANIC ALERT FATAL3",
    Level.ERROR: "ERROR error err SEVERE E fail Error2 [ERROR] error:",
    Level.WARNING: "WARN Warning W",
    Level.INFO: "NOTICE INFO Information",
    Level.DEBUG: "TRACE debug Finest",
}


@pytest.mark.parametrize(("level", "word"), [(level, word) for level, words in SAID.items() for word in words.split()])
def test_a_record_without_a_number_is_as_grave_as_the_word_of_its_logger(level: Level, word: str):
    made, with_exception = record(severity=0), record(severity=0, **RAISED)
    made.severity_text = with_exception.severity_text = word
    assert [event.level for event in events(logs(made))] == ([level] if level >= Level.ERROR else [])
    assert [event.level for event in events(logs(with_exception))] == [level]


def test_a_number_is_stronger_than_a_word_and_a_word_that_no_logger_has_says_nothing():
    first, second = record(severity=9), record(severity=0)
    first.severity_text, second.severity_text = "FATAL", "zebra"
    assert decoded(logs(first, second)) == Batch(ignored=2)


def test_a_span_without_an_exception_is_ignored_even_where_it_failed():
    request = spans(Span.Event(name="message"))
    request.resource_spans[0].scope_spans[0].spans[0].status.code = 2
    assert decoded(request) == Batch(ignored=1)


@pytest.mark.parametrize("line", [7, "7"])
def test_where_a_record_was_logged_is_its_stack(line: int | str):
    given = {"code.function.name": "place", "code.file.path": "shop/orders.py", "code.line.number": line}
    (event,) = events(logs(record(**given)))
    assert event.stack == (Frame("place", file="shop/orders.py", line=7),)
    assert event.contexts == {}


@pytest.mark.parametrize(
    ("given", "stack"), [({"code.lineno": 7}, ()), ({"code.function": "place", "code.lineno": "x"}, (Frame("place"),))]
)
def test_what_is_no_part_of_a_place_stays_an_attribute(given: dict[str, Any], stack: tuple[Frame, ...]):
    (event,) = events(logs(record(**given)))
    assert (event.stack, event.contexts) == (stack, {"attributes": {"code.lineno": given["code.lineno"]}})


def test_the_name_of_an_event_is_kept_and_is_the_message_of_one_that_has_no_body():
    made, bare = record("declined by the bank"), record(None)
    made.event_name = bare.event_name = "payment.declined"
    found = events(logs(made, bare))
    assert [event.message for event in found] == ["declined by the bank", "payment.declined"]
    assert all(event.contexts == {"record": {"event_name": "payment.declined"}} for event in found)


def test_the_version_and_the_attributes_of_a_scope_are_kept():
    scope = InstrumentationScope(name="shop.orders", version="9.9", attributes=attributes({"team": "pay"}))
    by_log, by_span = logs(record(**RAISED)), spans(raised())
    by_log.resource_logs[0].scope_logs[0].scope.CopyFrom(scope)
    by_span.resource_spans[0].scope_spans[0].scope.CopyFrom(scope)
    for (event,) in (events(by_log), events(by_span)):
        assert (event.logger, event.contexts["scope"]) == ("shop.orders", {"version": "9.9", "team": "pay"})


def test_why_a_span_failed_is_kept():
    request = spans(raised())
    request.resource_spans[0].scope_spans[0].spans[0].status.message = "no seller answered"
    (event,) = events(request)
    assert event.contexts["span"] == {"name": "POST /orders", "status_message": "no seller answered"}


def test_a_log_record_and_a_span_event_of_one_occurrence_have_one_id():
    (log,) = events(logs(record(time=NANOSECONDS - 5, **{**RAISED, "exception.type": "OrderError"})))
    (span,) = events(spans(raised(**{"exception.stacktrace": "place:7\nouter:9\nmain:1"})))
    assert log.event_id == span.event_id


@pytest.mark.parametrize(
    "other",
    [
        {"exception.type": "OtherError"},
        {"exception.message": "no seller"},
        {"exception.stacktrace": "place:8"},
    ],
)
def test_different_occurrences_of_one_span_have_different_ids(other: dict[str, str]):
    first, second = events(spans(raised(), raised(**other)))
    assert first.event_id != second.event_id


def test_one_exception_in_two_spans_is_two_occurrences():
    (first,), (second,) = events(spans(raised())), events(spans(raised(), span_id=b"\x01" * 8))
    assert first.event_id != second.event_id


@pytest.mark.parametrize("batches", [[3], [1, 2], [1, 1, 1]])
def test_the_same_exception_several_times_in_a_span_is_as_many_occurrences_by_either_way(batches: list[int]):
    decoder = LogDecoder(read_stack)
    by_log: set[str] = set()
    number = 0
    for size in batches:
        records = [record(time=NANOSECONDS + number + n, **RAISED) for n in range(size)]
        number += size
        by_log |= {event.event_id for event in decoder.decode(logs(*records), NOW).events[""]}
    by_span = {event.event_id for event in events(spans(raised(), raised(), raised()))}
    assert len(by_log) == 3
    assert by_log == by_span


def test_a_batch_that_is_exported_again_has_the_same_ids_on_any_node():
    request = logs(record(**RAISED), record("other"), record("other", ids=False), record("x", ids=False, n=1))
    decoder = LogDecoder(read_stack)
    runs = [[event.event_id for event in one.decode(request, NOW).events[""]] for one in (decoder, decoder, LogDecoder(read_stack))]
    assert runs[0] == runs[1] == runs[2]
    assert len(set(runs[0])) == 4


def ids(decoder: LogDecoder, *records: LogRecord) -> list[str]:
    return [event.event_id for event in decoder.decode(logs(*records), NOW).events[""]]


@pytest.mark.parametrize("given", [{}, {"ids": False}, RAISED, {"ids": False, **RAISED}], ids=str)
def test_records_without_a_time_are_as_many_errors_as_they_come(given: dict[str, Any]):
    decoder = LogDecoder(read_stack)
    found = [event_id for _ in range(3) for event_id in ids(decoder, record(time=0, **given), record(time=0, **given))]
    assert len(set(found)) == 6


@pytest.mark.parametrize("given", [{}, {"ids": False}, RAISED, {"ids": False, **RAISED}], ids=str)
def test_records_of_one_request_that_are_alike_are_as_many_errors_and_a_repeat_is_none_more(given: dict[str, Any]):
    decoder = LogDecoder(read_stack)
    records = [record(**given) for _ in range(3)]
    first = ids(decoder, *records)
    assert len(set(first)) == 3
    assert ids(decoder, *records) == ids(LogDecoder(read_stack), *records) == first


@pytest.mark.parametrize("time", [0, NANOSECONDS])
def test_records_of_one_instant_are_the_events_of_their_span(time: int):
    by_log = set(ids(LogDecoder(read_stack), *[record(time=time, **RAISED) for _ in range(3)]))
    assert by_log == {event.event_id for event in events(spans(raised(), raised(), raised()))}


def test_what_is_alike_and_of_another_resource_is_another_error():
    first, second = (
        events(logs(record(ids=False), resource={"service.name": "shop", "n": number}))[0].event_id for number in (1, 2)
    )
    assert first != second


def test_the_records_that_are_known_are_bounded():
    occurrences = LogOccurrences()
    for kind in range(210):
        for number in range(1001):
            occurrences.id_of(str(kind), (number, 0))
    assert occurrences.known == 200_000
    assert occurrences.id_of("209", (5, 0)) == numbered("209", 5)


def test_events_go_to_the_project_that_their_resource_names():
    request = logs(record(), resource={"souk.project": "shop"})
    request.resource_logs.append(logs(record("other")).resource_logs[0])
    batch = decoded(request)
    assert {project: [event.message for event in found] for project, found in batch.events.items()} == {
        "shop": ["failed"],
        "": ["other"],
    }


@pytest.mark.parametrize("ids", [(b"\1" * 3, SPAN), (TRACE, b"\1" * 9)])
def test_a_record_with_ids_that_are_none_is_rejected_and_the_others_are_taken(ids: tuple[bytes, bytes]):
    bad = record()
    bad.trace_id, bad.span_id = ids
    batch = decoded(logs(bad, record("good")))
    assert batch.rejected.total() == 1
    assert [event.message for event in batch.events[""]] == ["good"]


@pytest.mark.parametrize("time", [0, 2**64 - 1])
def test_a_time_that_is_none_is_that_of_receiving(time: int):
    (event,) = events(logs(record(time=time)))
    assert event.time == NOW


def test_monitor_does_not_report_what_it_takes_in():
    own = {"service.name": "souk-monitor"}
    request = spans(raised(), resource=own)
    request.resource_spans[0].scope_spans[0].spans[0].name = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    assert decoded(request) == Batch(ignored=1)
    assert len(events(spans(raised(), resource=own))) == 1


def test_a_service_that_has_no_name_is_not_called_unknown():
    (event,) = events(logs(record(), resource={"service.name": "unknown_service:node"}))
    assert event.service == ""


def test_texts_that_cannot_be_stored_are_mended_and_cut():
    (event,) = events(logs(record("a\0b" + "x" * 20_000, **{"n": float("inf"), **RAISED})))
    assert event.message.startswith("a�b")
    assert len(event.message) <= 8192
    assert event.contexts == {"attributes": {"n": "inf"}}


@given(st.binary(max_size=200))
def test_whatever_bytes_come_decoding_ends_in_events_or_is_refused_by_the_parser(body: bytes):
    for kind in (ExportLogsServiceRequest, ExportTraceServiceRequest):
        with contextlib.suppress(DecodeError):
            decoded(kind.FromString(body))


ids_of_any_length = st.binary(max_size=20)
texts = st.sampled_from(["", "x", "a.b.C", "place:7", "\0", "True", "error"])
names = st.sampled_from([*RAISED, "exception.escaped", "error_id", "user.id", "code.lineno", "code.function", "http.route", "x"])
anything = st.recursive(
    st.builds(value, texts | st.booleans() | st.integers(-9, 2**62) | st.floats() | st.binary(max_size=3) | st.none()),
    lambda inner: st.lists(inner, max_size=2).map(lambda values: AnyValue(array_value=ArrayValue(values=values))),
    max_leaves=3,
)
pairs = st.lists(st.builds(lambda key, value: KeyValue(key=key, value=value), names, anything), max_size=5)


@given(
    st.lists(
        st.builds(
            LogRecord,
            trace_id=ids_of_any_length,
            span_id=ids_of_any_length,
            time_unix_nano=st.integers(0, 2**64 - 1),
            severity_number=st.integers(0, 24),
            severity_text=texts,
            body=anything,
            attributes=pairs,
        ),
        max_size=4,
    ),
    pairs,
)
def test_whatever_a_record_holds_it_is_an_event_or_ignored_or_rejected(records: list[LogRecord], resource: list[KeyValue]):
    request = logs(*records)
    request.resource_logs[0].resource.attributes.extend(resource)
    batch = decoded(request)
    assert sum(map(len, batch.events.values())) + batch.ignored + batch.rejected.total() == len(records)
    request = spans(*[Span.Event(name="exception", attributes=each.attributes) for each in records])
    request.resource_spans[0].resource.attributes.extend(resource)
    assert len(events(request)) == len(records)
