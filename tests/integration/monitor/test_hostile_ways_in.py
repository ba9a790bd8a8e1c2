"""What is made to harm, by every way in: the answer is typed, nothing is stored by halves, and who comes after it is served."""

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import brotli
import grpc
import httpx
import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from monitor_serving import Monitor, serving
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
NATIVE = "/souk.monitor.v1.ErrorService/ReportErrors"
TYPED = {400, 408, 413, 429}
CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED}
CHANCE = random.Random(11)


@pytest.fixture
async def http(monitor: Monitor) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests are to the default project, with its key."""
    await monitor.projects.CreateProjectKey(project_pb2.CreateProjectKeyRequest(project="default"))
    project = (await monitor.projects.GetProject(project_pb2.GetProjectRequest(name="default"))).project
    headers = {"x-sentry-auth": f"Sentry sentry_key={project.keys[0].public_key}"}
    async with httpx.AsyncClient(base_url=f"{monitor.server.http_url}/api/{project.number}", headers=headers, timeout=60) as client:
        yield client


async def stored(monitor: Monitor) -> int:
    """How many events there are."""
    listed = await monitor.errors.ListIssues(pb.ListIssuesRequest(page_size=200))
    return sum(issue.events for issue in listed.issues)


def values() -> Iterator[bytes]:
    """JSON that is deep, wide, huge, or of no right text."""
    for depth in (50, 253, 256, 700, 960, *range(980, 1030, 7), 5000):
        yield b"[" * depth + b"]" * depth
        yield b'{"a":' * depth + b"1" + b"}" * depth
    yield b"[" + b"[]," * 60_000 + b"1]"
    yield b"[" + b"[]," * 300_000 + b"1]"
    yield b"{" + b",".join(b'"k%d":{}' % number for number in range(50_000)) + b"}"
    yield from (b"9" * 18, b"9" * 400, b"9" * 5000, b"-1e999", b"1e-999", b"0." + b"3" * 5000, b"NaN", b"-Infinity")
    for text in (
        rb"\ud800",
        rb"\udfff\ud800",
        rb"\u0000" * 9000,
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"x" * 300_000,
        "é".encode() * 90_000,
    ):
        yield b'"' + text + b'"'
    for template in ("%(a)400000000d", "%400000000d", "%*d", "%.400000000f", "%(a).400000000s", "%(a)s" * 1600, "%c%n%s"):
        yield json.dumps({"message": template, "params": {"a": "x" * 5000}}).encode()
        yield json.dumps({"message": template, "params": [400_000_000, 1]}).encode()


FIELDS = ("message", "logentry", "extra", "contexts", "tags", "user", "exception", "threads", "fingerprint", "timestamp", "level")


def envelopes() -> Iterator[bytes]:
    """Each value in the place of some field of an event, and in headers."""
    for number, value in enumerate(values()):
        for field in {FIELDS[number % len(FIELDS)], FIELDS[(number * 7 + 3) % len(FIELDS)]}:
            yield b'{}\n{"type":"event"}\n{"%s":%s}' % (field.encode(), value)
        yield b'{"a":%s}\n{"type":"event"}\n{"message":"m"}' % value
        yield b'{}\n{"type":"event","length":%s}\n{"message":"m"}' % value
    yield b"{}\n" + b'{"type":"event"}\n{}\n' * 1001
    yield b"{}\n" + b'{"type":"session"}\n{}\n' * 900
    yield b"{}\n" + b"\n" * 500_000
    yield b"{}\n" + b"\n" * 20_000_000
    yield b"{}\n" + (b'{"type":"attachment"}\n' + b" " * 20_000 + b"\n") * 999 + b'{"type":"event"}\n{"message":"m"}'
    yield b'{}\n{"type":"attachment","length":99999999999}\n' + b"y" * 20_000_000
    yield b'{}\n{"type":"' + b"x" * 20_000_000


async def test_whatever_sentrys_door_is_sent_the_answer_is_typed_and_the_next_event_is_stored(
    monitor: Monitor, http: httpx.AsyncClient
):
    taken = count = 0
    for body in envelopes():
        response = await http.post(
            "/envelope/",
            content=gzip.compress(body, 1),
            headers={"content-encoding": "gzip", "origin": "https://shop.example"},
        )
        assert response.status_code in {200, *TYPED}, body[:100]
        assert response.headers["access-control-allow-origin"] == "https://shop.example"
        assert response.status_code == 200 or response.headers["x-sentry-error"]
        taken += response.status_code == 200 and "id" in response.json()
        count += 1
    assert count > 150
    before = await stored(monitor)
    assert before <= taken
    assert (await http.post("/store/", content=b'{"message":"the next"}')).status_code == 200
    assert await stored(monitor) == before + 1


async def test_bombs_and_bodies_that_do_not_come_keep_nobody_out(dsn: str):
    async with serving(dsn, sentry_reading=4, sentry_in_flight=2, sentry_body_timeout=60) as monitor:
        await monitor.projects.CreateProjectKey(project_pb2.CreateProjectKeyRequest(project="default"))
        project = (await monitor.projects.GetProject(project_pb2.GetProjectRequest(name="default"))).project
        host, _, port = monitor.server.http_url.removeprefix("http://").rpartition(":")
        path = f"/api/{project.number}/envelope/"
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(40)]
        for _, writer in idle:
            writer.write(f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{{".encode())
        url = f"{monitor.server.http_url}{path}?sentry_key={project.keys[0].public_key}"
        async with httpx.AsyncClient(timeout=60) as client:
            bomb = gzip.compress(b'{}\n{"type":"event"}\n{"message":"' + b"x" * 40_000_000)
            assert (await client.post(url, content=bomb, headers={"content-encoding": "gzip"})).status_code == 413
            assert (await client.post(url, content=b'{}\n{"type":"event"}\n{"message":"m"}')).status_code == 200
        assert await stored(monitor) == 1
        for _, writer in idle:
            writer.close()


@pytest.mark.parametrize("encoding", ["", "br"])
async def test_long_bodies_that_do_not_come_to_their_end_keep_nobody_out(dsn: str, encoding: str):
    async with serving(dsn, sentry_bytes=10_000, sentry_reading=4, sentry_body_timeout=60) as monitor:
        await monitor.projects.CreateProjectKey(project_pb2.CreateProjectKeyRequest(project="default"))
        project = (await monitor.projects.GetProject(project_pb2.GetProjectRequest(name="default"))).project
        host, _, port = monitor.server.http_url.removeprefix("http://").rpartition(":")
        path = f"/api/{project.number}/envelope/?sentry_key={project.keys[0].public_key}"
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 50000000\r\ncontent-encoding: {encoding}\r\n\r\n".encode()
        begun = b'{}\n{"type":"attachment"}\n' + CHANCE.randbytes(600_000)
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(12)]
        for _, writer in idle:
            writer.write(head + (brotli.compress(begun, quality=1) if encoding else begun))
            await writer.drain()
        async with httpx.AsyncClient(timeout=60) as client:
            for _ in range(3):
                answer = await client.post(monitor.server.http_url + path, content=b'{}\n{"type":"event"}\n{"message":"m"}')
                assert answer.status_code == 200
        assert await stored(monitor) == 3
        for _, writer in idle:
            writer.close()


def nested(depth: int) -> Value:
    value = Value(string_value="x")
    for _ in range(depth):
        value = Value(list_value=ListValue(values=[value]))
    return value


def raw_deep(depth: int) -> bytes:
    """Messages within messages, each in the field with the number 1."""
    body = b""
    for _ in range(depth):
        length = len(body)
        size = b""
        while length > 127:
            size += bytes([length & 127 | 128])
            length >>= 7
        body = b"\x0a" + size + bytes([length]) + body
    return body


REPORTS: dict[str, Callable[[], pb.ErrorReport]] = {
    "frames": lambda: pb.ErrorReport.FromString(
        pb.ErrorReport(message="m").SerializeToString() + pb.ErrorReport(stack=[pb.StackFrame()]).SerializeToString() * 500_000
    ),
    "exceptions": lambda: pb.ErrorReport.FromString(
        pb.ErrorReport(exceptions=[pb.ExceptionReport(type="E")]).SerializeToString() * 300_000
    ),
    "nulls": lambda: pb.ErrorReport(
        message="m", contexts=Struct(fields={"a": Value(list_value=ListValue(values=[Value(null_value=0)] * 300_000))})
    ),
    "deep": lambda: pb.ErrorReport(message="m", contexts=Struct(fields={"a": nested(40)})),
    "a stack": lambda: pb.ErrorReport(
        exceptions=[pb.ExceptionReport(type="E", stack_text="Error: x\n    at f (/a.js:1:2)\n" + "\n" * 800_000)]
    ),
    "numbers": lambda: pb.ErrorReport(
        message="m", contexts=Struct(fields={str(n): Value(number_value=1e308 * n) for n in range(9)})
    ),
    "negative lines": lambda: pb.ErrorReport(message="m", stack=[pb.StackFrame(line=-1)] * 50_000),
    "the first time": lambda: pb.ErrorReport(message="m", time=Timestamp(seconds=-62135596800)),
    "the last time": lambda: pb.ErrorReport(message="m", time=Timestamp(seconds=253402300799, nanos=999_999_999)),
    "no time": lambda: pb.ErrorReport(message="m", time=Timestamp(seconds=2**63 - 1, nanos=-1)),
    "NUL": lambda: pb.ErrorReport(message="\0" * 5000, tags={"\0": "\0"}),
    "ids": lambda: pb.ErrorReport(message="m", event_id="x" * 100_000, trace_id="é" * 32),
}


async def test_whatever_the_native_door_is_sent_each_report_is_stored_or_rejected(monitor: Monitor):
    expected = 0
    for name, make in REPORTS.items():
        results = await monitor.report(make(), pb.ErrorReport(message=f"beside {name}"))
        assert [result.WhichOneof("outcome") for result in results][1] == "accepted", name
        expected += sum(result.WhichOneof("outcome") == "accepted" for result in results)
    assert await stored(monitor) == expected
    many = pb.ErrorReport(message="m", exceptions=[pb.ExceptionReport(type="E", stack_text="Error: x\n" + "    at f\n" * 50)])
    assert len(await monitor.report(*[many] * 1000)) == 1000


async def test_bytes_that_are_no_message_are_refused_by_every_rpc_of_the_doors(monitor: Monitor):
    channel = monitor.server.channel()
    bodies = [b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", CHANCE.randbytes(5000)]
    deep = [raw_deep(150), raw_deep(20_000)]  # an attribute's name to the doors of OpenTelemetry
    for method in (NATIVE, LOGS, LOGS.replace("logs", "trace").replace("Logs", "Trace")):
        for body in [*bodies, *deep] if method == NATIVE else bodies:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(method)(body)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, (method, body[:20])
            details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
            (detail, *_) = status_pb2.Status.FromString(details).details  # type: ignore[arg-type]
            assert detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)
    assert await stored(monitor) == 0


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def array(number: int, depth: int = 1) -> AnyValue:
    value = AnyValue(array_value=ArrayValue(values=[AnyValue()] * number))
    for _ in range(depth - 1):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    return value


def exported(*records: LogRecord, **resource: AnyValue) -> ExportLogsServiceRequest:
    attributes = [KeyValue(key=name.replace("_", "."), value=value) for name, value in resource.items()]
    of_resource = ResourceLogs(resource=Resource(attributes=attributes), scope_logs=[ScopeLogs(log_records=records)])
    return ExportLogsServiceRequest(resource_logs=[of_resource])


def failed(body: AnyValue, **more: Any) -> LogRecord:
    return LogRecord(severity_number=17, body=body, **more)


EXPORTS: dict[str, tuple[Callable[[], ExportLogsServiceRequest], int]] = {
    "wide": (lambda: exported(failed(array(500_000))), 1),
    "deep": (lambda: exported(failed(array(1, depth=44))), 1),
    "a long resource": (lambda: exported(*[failed(text("m"))] * 50, a=text("x" * 1_000_000)), 50),
    "a wide resource": (lambda: exported(*[failed(text("m"))] * 50, a=array(50_000)), 50),
    "huge times": (lambda: exported(failed(text("m"), time_unix_nano=2**64 - 1, observed_time_unix_nano=2**64 - 1)), 1),
    "no text": (lambda: exported(failed(AnyValue(bytes_value=b"\xff" * 5000), severity_text="\0" * 5000)), 1),
    "small ones": (lambda: exported(*[failed(text("m"))] * 10_500), 10_000),
    "ids that are none": (lambda: exported(failed(text("m"), trace_id=b"x" * 100_000), failed(text("n"))), 1),
}


@pytest.mark.parametrize("name", EXPORTS)
async def test_whatever_opentelemetrys_door_is_sent_what_is_taken_is_said(monitor: Monitor, name: str):
    make, taken = EXPORTS[name]
    channel = monitor.server.channel()
    export = channel.unary_unary(LOGS, ExportLogsServiceRequest.SerializeToString)
    request = make()
    await export(request)
    assert await stored(monitor) == taken
    await export(exported(failed(text("the next"))))
    assert await stored(monitor) == taken + 1


async def test_of_a_request_for_several_projects_nothing_is_stored_by_halves(monitor: Monitor):
    channel = monitor.server.channel()
    export = channel.unary_unary(LOGS, ExportLogsServiceRequest.SerializeToString)
    both = exported(failed(text("a")), souk_project=text("default"))
    both.MergeFrom(exported(failed(text("b"))))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(both, metadata=(("souk-project", "nope"),))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert await stored(monitor) == 0
