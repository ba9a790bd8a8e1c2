"""Events made to cost much: what is done for each is bounded, counted in calls of functions and not in seconds."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any, TypeVar

import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_ERROR, LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from souk.monitor.v1 import error_pb2 as pb
from souk_monitor import stack_text
from souk_monitor.decoding import bodies, native
from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.envelopes import parse_envelope
from souk_monitor.decoding.lenient import MOST_VALUES
from souk_monitor.decoding.otlp import MOST_EVENTS, Batch
from souk_monitor.decoding.otlp_logs import LogDecoder
from souk_monitor.decoding.otlp_spans import SpanDecoder
from souk_monitor.decoding.sentry import Reports, envelope_reports, store_reports
from souk_monitor.events import Event, Source
from souk_monitor.exceptions import MalformedError
from souk_monitor.limits import fit

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEPT = 262_144
T = TypeVar("T")


def counted(work: Callable[[], T]) -> tuple[T, int]:
    """What comes of it, and how many functions of Python were called for it."""
    calls = 0

    def count(_frame: FrameType, happened: str, _arg: object) -> None:
        nonlocal calls
        calls += happened == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return work(), calls
    finally:
        sys.setprofile(before)


def read(payload: dict[str, Any]) -> Reports:
    reports = store_reports(json.dumps(payload).encode(), NOW)
    for event in reports.events:
        fit(event, NOW)
    return reports


def deep(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


WIDE: dict[str, dict[str, Any]] = {
    "lists": {"extra": {"a": [[[]] * 1000] * 90}},
    "objects": {"extra": {"a": [[{"x": {}}] * 500] * 100}},
    "numbers": {"extra": {"a": [[1] * 1000] * 190}},
    "contexts": {"contexts": {f"c{n}": {"k": n} for n in range(60_000)}},
    "breadcrumbs": {"breadcrumbs": [{"message": "m"}] * 60_000},
    "exceptions": {"exception": [{"type": "E"}] * 90_000},
    "empty exceptions": {"exception": [{}] * 90_000},
    "frames": {"exception": [{"type": "E", "stacktrace": {"frames": [{"lineno": 1}] * 90_000}}]},
    "chains with frames": {"exception": [{"type": "E", "stacktrace": {"frames": [{"lineno": 1}] * 800}}] * 80},
    "variables": {"stacktrace": {"frames": [{"function": "f", "vars": {"a": [0] * 900}}] * 200}},
    "threads": {"threads": [{"id": 1}] * 60_000},
    "tags": {"tags": {f"t{n}": n for n in range(90_000)}},
    "pairs of tags": {"tags": [[f"a{n}", n] for n in range(60_000)]},
    "fingerprint": {"fingerprint": ["x"] * 150_000},
    "user": {"user": {f"u{n}": n for n in range(90_000)}},
    "modules": {"modules": {f"m{n}": "1" for n in range(90_000)}},
    "lines": {"stacktrace": {"frames": [{"lineno": 1, "pre_context": ["x" * 80] * 400}] * 400}},
    "texts": {"extra": {"a": [["x" * 16_000] * 10] * 60}},
    "parts of no name that is known": {f"n{n}": n for n in range(90_000)},
    "names that the extra has too": {"extra": {f"n{n}": n for n in range(45_000)}, **{f"n{n}": n for n in range(45_000)}},
    "names that are taken": {"n": 1, "extra": {"n": 1, "event.n": 1, **{f"event.n.{n}": 1 for n in range(2, 90_000)}}},
    "threads without an exception's": {
        "exception": {"thread_id": -1},
        "threads": [{"id": n, "stacktrace": [1]} for n in range(40_000)],
    },
    "members of no kind": {"exception": ["E"] * 90_000, "threads": ["main"] * 90_000},
    "tags of no kind": {"tags": ["a:b"] * 90_000},
    "parameters": {"logentry": {"message": "%s {}" * 1000, "params": ["x"] * 90_000}},
    "a report of a browser": {"message": "", "csp": {f"n{n}": n for n in range(90_000)}},
    "a message that is an object": {"message": {"message": [[1]] * 60_000}},
    "threads that crashed": {"threads": [{"crashed": 1, "stacktrace": {"frames": [{"package": "a"}] * 4}}] * 15_000},
    "images": {"debug_meta": {"images": [{"image_addr": f"0x{n}", "code_file": f"/f{n}"} for n in range(50_000)]}},
    "threads without stacks": {
        "threads": [{"crashed": 1}] * 25_000,
        "debug_meta": {"images": [{"image_addr": f"0x{n}", "code_file": f"/f{n}"} for n in range(1500)]},
    },
    "a crash": {
        "exception": [{"type": "E", "stacktrace": {"frames": [{"instruction_addr": f"0x{n}"} for n in range(1000)]}}],
        "threads": [{"crashed": 1, "stacktrace": {"frames": [{"image_addr": "0x0"}] * 5000}}, *[{"crashed": 1, "id": 1}] * 20_000],
        "debug_meta": {"images": [{"image_addr": f"0x{n}", "code_file": f"/f{n}"} for n in range(20_000)]},
    },
    "entries": {
        "contexts": {f"c{n}": "x" * 200 for n in range(1200)},
        "extra": {f"e{n}": "x" * 200 for n in range(1200)},
        "user": {f"u{n}": "x" * 200 for n in range(1200)},
        "exception": [{"type": "E", **{f"x{n}": "x" * 200 for n in range(1200)}}],
    },
    "long names of entries": {part: {f"{n:03}" + "\x01" * 97: n for n in range(1000)} for part in ("contexts", "extra")},
}
CALLS, OF_CRASHES = 35_000, {"threads that crashed": 57_000, "threads without stacks": 57_000, "a crash": 72_000}
"""The latter are asked, too, which of their threads has crashed, and of 1,000 of these and 2,000 images which are of the crash."""


@pytest.mark.parametrize("name", WIDE)
def test_an_event_with_very_many_values_is_cut_without_a_look_at_most(name: str):
    text = json.dumps({"message": "no stock", **WIDE[name]}).encode()

    def work() -> Event:
        (event,) = store_reports(text, NOW).events
        fit(event, NOW)
        return event

    event, calls = counted(work)
    assert calls < OF_CRASHES.get(name, CALLS)
    assert len(bodies.encode(event)) <= KEPT
    assert name == "empty exceptions" or event.scrubbed_fields


@pytest.mark.parametrize("text", ["1," * MOST_VALUES, "[{" * MOST_VALUES, '\\"' * MOST_VALUES + "," * MOST_VALUES])
def test_what_stands_in_texts_is_no_value(text: str):
    """As the body of JSON or CSV that failed to be read, in a local variable."""
    event = {"exception": {"values": [{"type": "ValueError", "value": text}]}}
    (taken,) = store_reports(json.dumps(event).encode(), NOW).events
    assert taken.exceptions[0].type == "ValueError"


@pytest.mark.parametrize("name", WIDE)
def test_a_body_is_not_written_anew_for_each_part_that_is_dropped(name: str, monkeypatch: pytest.MonkeyPatch):
    written: list[int] = []
    encode = bodies.encode

    def counting(event: Event) -> bytes:
        body = encode(event)
        written.append(len(body))
        return body

    monkeypatch.setattr(bodies, "encode", counting)
    (event,) = read({"message": "no stock", **WIDE[name]}).events
    assert len(written) <= 4
    assert written[-1] == len(encode(event)) <= KEPT


def test_a_request_with_more_values_than_may_be_is_refused_before_it_is_read():
    one = json.dumps({"message": "m", "extra": {"a": [0] * 999}}).encode()
    whole = b"{}\n" + b"\n".join(b'{"type":"event"}\n' + one for _ in range(300))
    with pytest.raises(MalformedError, match="values"):
        envelope_reports(parse_envelope(whole), NOW)
    with pytest.raises(MalformedError, match="values"):
        store_reports(b'{"extra":{"a":[' + b"[]," * MOST_VALUES + b"1]}}", NOW)


def test_the_header_of_an_envelope_is_short():
    for body in (b'{"a":[' + b"[]," * 100_000 + b"1]}\n", b'{}\n{"type":"event","a":[' + b"[]," * 100_000 + b"1]}\n{}"):
        with pytest.raises(MalformedError, match="header"):
            parse_envelope(body)


def test_frames_of_all_events_of_a_request_have_one_bound():
    frames = [{"lineno": 1}] * 900
    event = json.dumps({"exception": [{"type": "E", "stacktrace": {"frames": frames}}]}).encode()
    whole = b"{}\n" + b"\n".join(b'{"type":"event"}\n' + event for _ in range(80))
    reports = envelope_reports(parse_envelope(whole), NOW)
    assert sum(bool(event.exceptions[0].frames) for event in reports.events) == 56
    assert "exceptions[0].frames" in reports.events[-1].scrubbed_fields


def test_the_last_exceptions_of_a_chain_have_their_frames():
    frames = [{"function": f"f{n}", "lineno": 1} for n in range(100)]
    chain = [{"type": f"E{n}", "stacktrace": {"frames": frames}} for n in range(210)]
    (event,) = read({"exception": chain}).events
    assert event.exceptions[-1].type == "E209"
    assert event.exceptions[-1].frames[-1].function == "f99"
    assert all(exception.frames for exception in event.exceptions)
    assert {"exceptions", "exceptions[0].frames"} <= set(event.scrubbed_fields)


@pytest.mark.parametrize("depth", [10, 17, 100, 254, 255, 500, 900, 990, 1000, 1010, 1024, 1025, 5000])
@pytest.mark.parametrize(
    "field", ["extra", "message", "tags", "user", "contexts", "fingerprint", "exception", "release", "breadcrumbs"]
)
def test_however_deep_an_event_is_nested_it_is_read_or_malformed(field: str, depth: int):
    nested = b"[" * depth + b"]" * depth
    for value in (nested, b'{"a":%s}' % nested, b"[%s]" % nested, b'{"values":%s}' % nested, b'{"a":NaN,"b":%s}' % nested):
        try:
            (event,) = store_reports(b'{"%s":%s,"message":"m"}' % (field.encode(), value), NOW).events
        except MalformedError:
            assert depth > 900
            continue
        fit(event, NOW)
        assert len(bodies.encode(event)) <= KEPT


def test_what_fits_is_not_touched():
    extra = {"a": [[n, "text"] for n in range(900)]}
    event = Event("0" * 32, NOW, Source.NATIVE, message="m" * 8192, extra=extra)
    fit(event, NOW)
    assert (event.extra, event.scrubbed_fields) == (extra, ())


def test_what_fits_is_not_touched_for_the_commas_in_its_texts():
    extra = {"a": "," * 16_000}
    event = Event("0" * 32, NOW, Source.NATIVE, message="m", extra=extra)
    fit(event, NOW)
    assert (event.extra, event.scrubbed_fields) == (extra, ())


@pytest.mark.parametrize("text", ["a", "a\n", "\n\n", "a\r\nb\rc\n", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", "a\u2028b\r\n\n"])
def test_lines_are_counted_as_they_are_parted(text: str):
    assert stack_text.lines_in(text) == len(text.splitlines())


def test_of_very_many_lines_only_those_are_counted_that_are_read():
    assert stack_text.lines_in("a\n" * 1_000_000) == stack_text.MOST_LINES


@pytest.mark.parametrize("blank", ["\n", " at g\n", "\x0b"])
def test_of_a_stack_with_very_many_lines_both_ends_are_read(blank: str):
    frames = "".join(f"    at f{n} (/srv/a.js:{n + 1}:1)\n" for n in range(5))
    (exception,) = stack_text.parse("Error: no stock\n" + frames + blank * 100_000 + frames.replace("at f", "at last"))
    assert {f"f{n}" for n in range(5)} | {f"last{n}" for n in range(5)} <= {frame.function for frame in exception.frames}


def many(kind: str, number: int) -> Any:
    """A message of protobuf with many of something in it, made of the bytes of one."""
    one = {
        "frames": pb.ErrorReport(stack=[pb.StackFrame()]),
        "lines of source": pb.ErrorReport(stack=[pb.StackFrame(pre_context=["x"] * (number // 1000))]),
        "exceptions": pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E")]),
        "fingerprint": pb.ErrorReport(fingerprint=["x"]),
    }[kind]
    if kind == "lines of source":
        number = 1000
    return pb.ErrorReport.FromString(pb.ErrorReport(message="m").SerializeToString() + one.SerializeToString() * number)


def nulls(number: int) -> Any:
    return ListValue.FromString(ListValue(values=[Value(null_value=0)]).SerializeToString() * number)


JAVASCRIPT = "Error: no stock\n    at pay (/srv/pay.js:1:2)\n"
NATIVE: dict[str, Callable[[], pb.ErrorReport]] = {
    "frames": lambda: many("frames", 500_000),
    "lines of source": lambda: many("lines of source", 500_000),
    "exceptions": lambda: many("exceptions", 300_000),
    "fingerprint": lambda: many("fingerprint", 500_000),
    "tags": lambda: pb.ErrorReport(message="m", tags={str(n): "1" for n in range(100_000)}),
    "contexts": lambda: pb.ErrorReport(message="m", contexts=Struct(fields={"a": Value(list_value=nulls(400_000))})),
    "variables": lambda: pb.ErrorReport(
        stack=[pb.StackFrame(function="f", local_variables=Struct(fields={"a": Value(list_value=nulls(400))}))] * 900
    ),
    "empty lines": lambda: pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E", stack_text=JAVASCRIPT + "\n" * 800_000)]),
    "other lines": lambda: pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E", stack_text=JAVASCRIPT + "\x0b" * 800_000)]),
    "lines of a stack": lambda: pb.ErrorReport(exceptions=[pb.ExceptionReport(stack_text=JAVASCRIPT + " at f\n" * 500_000)]),
    "calls of a stack": lambda: pb.ErrorReport(
        exceptions=[pb.ExceptionReport(stack_text="Error\n" + "".join(f"    at f{n} (/a{n}.js:1:1)\n" for n in range(90_000)))]
    ),
    "texts of stacks": lambda: pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E", stack_text=JAVASCRIPT + "\n" * 4000)] * 200),
}


@pytest.mark.parametrize("name", NATIVE)
def test_a_report_with_very_much_in_it_is_read_without_a_look_at_most(name: str):
    report = NATIVE[name]()

    def work() -> Event:
        event = native.event(report, NOW)
        fit(event, NOW)
        return event

    event, calls = counted(work)
    assert calls < 39_000
    assert len(bodies.encode(event)) <= KEPT
    assert name in ("lines of source", "empty lines", "other lines", "lines of a stack") or event.scrubbed_fields


def test_a_report_names_only_some_of_very_many_fields_that_are_wrong():
    report = pb.ErrorReport(message="m", stack=[pb.StackFrame(line=-1)] * 100_000)

    def work() -> str:
        with pytest.raises(MalformedError, match="stack") as caught:
            native.event(report, NOW)
        return str(caught.value)

    text, calls = counted(work)
    assert len(text) < 2000
    assert calls < 10_000


def test_reports_of_a_call_have_one_bound_for_what_is_read_of_their_stacks():
    budget = Budget()
    text = JAVASCRIPT + "".join(f"    at f{n} (/srv/a.js:{n + 1}:1)\n" for n in range(398))
    report = pb.ErrorReport(exceptions=[pb.ExceptionReport(type="Error", stack_text=text)])
    events = [native.event(report, NOW, budget=budget) for _ in range(300)]
    assert sum(bool(event.exceptions[0].frames) for event in events) == 250
    assert events[-1].exceptions[0].extra["stack_text"]
    assert "stack_text" in events[-1].scrubbed_fields


@pytest.mark.parametrize("depth", [10, 20, 30, 33])
def test_a_struct_is_as_deep_as_a_message_may_be(depth: int):
    nested = Struct(fields={"a": Value(string_value="x")})
    for _ in range(depth - 3):
        nested = Struct(fields={"a": Value(struct_value=nested)})
    event = native.event(pb.ErrorReport(message="m", contexts=nested), NOW)
    fit(event, NOW)
    assert event.contexts


def attribute(key: str, value: AnyValue) -> KeyValue:
    return KeyValue(key=key, value=value)


def array(number: int) -> AnyValue:
    one = ArrayValue(values=[AnyValue()]).SerializeToString()
    return AnyValue(array_value=ArrayValue.FromString(one * number))


def logs(*records: LogRecord, resource: Resource | None = None) -> ExportLogsServiceRequest:
    scope = ScopeLogs(log_records=records)
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource, scope_logs=[scope])])


def failed(**more: Any) -> LogRecord:
    return LogRecord(severity_number=SEVERITY_NUMBER_ERROR, time_unix_nano=1, **more)


WIDE_RESOURCE = Resource(attributes=[attribute(f"a{n}", AnyValue(int_value=n)) for n in range(15_000)])
LONG_RESOURCE = Resource(attributes=[attribute("a", AnyValue(string_value="x" * 900_000))])
EXCEPTION = Span.Event(name="exception", attributes=[attribute("exception.type", AnyValue(string_value="E"))])
OTLP: dict[str, Callable[[], ExportLogsServiceRequest | ExportTraceServiceRequest]] = {
    "an array": lambda: logs(failed(body=array(400_000))),
    "attributes": lambda: logs(failed(attributes=[attribute("a", AnyValue())] * 300_000)),
    "a resource with many attributes": lambda: logs(*[failed()] * 300, resource=WIDE_RESOURCE),
    "a resource with much text": lambda: logs(*[failed()] * 300, resource=LONG_RESOURCE),
    "a span with many attributes": lambda: spans(
        Span(trace_id=b"t" * 16, span_id=b"s" * 8, events=[EXCEPTION] * 300, attributes=WIDE_RESOURCE.attributes)
    ),
    "a stack": lambda: logs(
        failed(attributes=[attribute("exception.stacktrace", AnyValue(string_value=JAVASCRIPT + "\n" * 800_000))])
    ),
}


def spans(*given: Span) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=given)])])


def decoded(request: ExportLogsServiceRequest | ExportTraceServiceRequest) -> Batch:
    if isinstance(request, ExportLogsServiceRequest):
        batch = LogDecoder(stack_text.parse).decode(request, NOW)
    else:
        batch = SpanDecoder(stack_text.parse).decode(request, NOW)
    for event in batch.events[""]:
        fit(event, NOW)
    return batch


@pytest.mark.parametrize("name", OTLP)
def test_what_events_of_opentelemetry_have_in_common_is_not_paid_for_with_each(name: str):
    request = OTLP[name]()
    batch, calls = counted(lambda: decoded(request))
    assert calls < 800_000
    assert batch.events[""]


@pytest.mark.parametrize(
    "request_of",
    [lambda n: logs(*[failed()] * n), lambda n: spans(Span(trace_id=b"t" * 16, span_id=b"s" * 8, events=[EXCEPTION] * n))],
)
def test_no_more_events_come_of_a_request_than_may(request_of: Callable[[int], ExportLogsServiceRequest]):
    batch = decoded(request_of(MOST_EVENTS + 7))
    assert len(batch.events[""]) == MOST_EVENTS
    assert batch.rejected.total() == 7


@pytest.mark.parametrize("depth", [10, 30, 44])
def test_a_value_of_opentelemetry_is_as_deep_as_a_message_may_be(depth: int):
    value = AnyValue(string_value="x")
    for _ in range(depth):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    request = ExportLogsServiceRequest.FromString(logs(failed(body=value, attributes=[attribute("a", value)])).SerializeToString())
    (event,) = decoded(request).events[""]
    assert event.message
