"""Messages with texts that are no UTF-8: mended, where they are messages at all."""

import contextlib
from collections.abc import Generator

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from souk_monitor.decoding.mending import MOST_FIELDS, mended

BAD = b"zebra"
"""A word of the tests that is replaced by bytes that are no UTF-8, as many."""


def value(text: str) -> AnyValue:
    return AnyValue(string_value=text)


def request(*records: LogRecord, resource: str = "shop") -> ExportLogsServiceRequest:
    attributes = [KeyValue(key="service.name", value=value(resource))]
    scope = ScopeLogs(log_records=records)
    return ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=Resource(attributes=attributes), scope_logs=[scope])])


def spoiled(message: Message) -> bytes:
    return message.SerializeToString().replace(BAD, b"\xffbra\xed")


def result(steps: Generator[None, None, bytes]) -> bytes:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bytes(end.value)


def read(body: bytes) -> ExportLogsServiceRequest:
    return ExportLogsServiceRequest.FromString(result(mended(body, ExportLogsServiceRequest.DESCRIPTOR)))


BODIES = {
    "body": LogRecord(body=value("zebra")),
    "long": LogRecord(body=value("zebra" * 1000), severity_text="ERROR"),
    "key": LogRecord(
        attributes=[KeyValue(key="zebra", value=AnyValue(int_value=-7)), KeyValue(key="n", value=AnyValue(double_value=2.5))]
    ),
    "nested": LogRecord(
        body=AnyValue(array_value=ArrayValue(values=[value("é"), value("zebra"), AnyValue(bytes_value=b"\xff\xfe")])),
        trace_id=b"\xab" * 16,
        time_unix_nano=2**64 - 1,
        flags=1,
    ),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("resource", ["shop", "zebra"])
def test_what_is_no_utf_8_is_replaced_and_all_else_is_as_it_was(name: str, resource: str) -> None:
    whole = request(LogRecord(body=value("good"), severity_number=17), BODIES[name], resource=resource)
    with pytest.raises(DecodeError):
        ExportLogsServiceRequest.FromString(spoiled(whole))
    plain = whole.SerializeToString().replace(BAD, b"?bra?")
    assert str(read(spoiled(whole))).replace("\ufffd", "?") == str(ExportLogsServiceRequest.FromString(plain))


@given(st.binary(max_size=300))
@example(b"\x0a\x05\x12\x03\x12\x09a")
@example(b"\x0b\x0c")
@example(b"\xff" * 12)
def test_whatever_bytes_come_it_ends_in_bytes_or_is_refused_as_the_parser_does(body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        made = result(mended(body, ExportLogsServiceRequest.DESCRIPTOR))
        assert ExportLogsServiceRequest.FromString(made) == ExportLogsServiceRequest.FromString(body)


@given(st.binary(max_size=60), st.text(max_size=10))
def test_any_bytes_within_a_text_are_mended(inner: bytes, text: str) -> None:
    length = len(inner)
    good = request(LogRecord(body=value(text)))
    bad = request(LogRecord(body=value("~" * length)))
    body = bad.SerializeToString().replace(b"~" * length, inner) if length else bad.SerializeToString()
    found = read(good.SerializeToString() + body)
    assert [each.scope_logs[0].log_records[0].body.string_value for each in found.resource_logs] == [
        text,
        inner.decode("utf-8", "replace"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        spoiled(request(LogRecord(body=value("zebra"), attributes=[KeyValue()] * MOST_FIELDS))),
        b"\x0a\xff\xff\xff\xff\x0f",
        spoiled(request(LogRecord(body=value("zebra")))) + b"\x0f",
    ],
    ids=["more than is looked at", "no end", "no way to write"],
)
def test_what_cannot_be_mended_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        result(mended(body, ExportLogsServiceRequest.DESCRIPTOR))


def test_messages_nested_deeper_than_the_parser_reads_are_refused() -> None:
    body = b"\x0a\x01\xff"
    for number in range(120):  # a value in a list in a value
        body = bytes([0x2A if number % 2 else 0x0A, 0xFF & (len(body) | 0x80), len(body) >> 7]) + body
    with pytest.raises(DecodeError):
        result(mended(body, AnyValue.DESCRIPTOR))
