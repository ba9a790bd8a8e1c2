"""Sentry's endpoints and OpenTelemetry's services of a real server: bad input gets a typed answer, nothing is stored by halves."""

import gzip
import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import brotli
import grpc
import httpx
import pytest
import zstandard
from google.rpc import error_details_pb2, status_pb2
from monitor_serving import Monitor, serving
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
EVENT = b'{"message": "no stock"}'
ENVELOPE = b'{}\n{"type":"event"}\n' + EVENT


@pytest.fixture
async def http(monitor: Monitor) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests are to the default project, with its key."""
    project = (await monitor.projects.GetProject(project_pb2.GetProjectRequest(name="default"))).project
    if not project.keys:
        await monitor.projects.CreateProjectKey(project_pb2.CreateProjectKeyRequest(project="default"))
        project = (await monitor.projects.GetProject(project_pb2.GetProjectRequest(name="default"))).project
    base = f"{monitor.server.http_url}/api/{project.number}"
    headers = {"x-sentry-auth": f"Sentry sentry_key={project.keys[0].public_key}"}
    async with httpx.AsyncClient(base_url=base, headers=headers) as client:
        yield client


async def stored(monitor: Monitor) -> int:
    """How many events there are."""
    listed = await monitor.errors.ListIssues(pb.ListIssuesRequest(page_size=200))
    return sum(issue.events for issue in listed.issues)


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """What an error says, by the type of its parts."""
    trailers = dict(error.trailing_metadata() or ())
    found: dict[str, Any] = {}
    for detail in status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details:  # type: ignore[arg-type]
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo):
            if detail.Is(kind.DESCRIPTOR):
                found[kind.DESCRIPTOR.name] = kind.FromString(detail.value)
    return found


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def logs(*records: LogRecord, **resource: str) -> ResourceLogs:
    attributes = [text(name.replace("_", "."), value) for name, value in resource.items()]
    return ResourceLogs(resource=Resource(attributes=attributes), scope_logs=[ScopeLogs(log_records=records)])


def error(message: str, **fields: Any) -> LogRecord:
    return LogRecord(severity_number=17, body=AnyValue(string_value=message), **fields)


def broken_envelopes() -> Iterator[tuple[bytes, dict[str, str]]]:
    """Bodies that are no envelope, and their headers."""
    chance = random.Random(5)
    header = b'{"sent_at":"x"}'
    whole = header + b'\n{"type":"event","length":23}\n' + EVENT
    empty = (len(header), len(header) + 1)
    yield from ((whole[:cut], {}) for cut in range(1, len(whole)) if cut not in empty)
    for encoding in ("gzip", "deflate", "br", "zstd"):
        yield from ((chance.randbytes(size), {"content-encoding": encoding}) for size in (1, 30, 1000))
    yield ENVELOPE, {"content-encoding": "lzma"}
    for compress, encoding in ((gzip.compress, "gzip"), (zstandard.compress, "zstd"), (brotli.compress, "br")):
        yield compress(ENVELOPE)[:-3], {"content-encoding": encoding}
    yield from ((chance.randbytes(size), {}) for size in (1, 10, 100, 1000, 100_000))
    yield b"{}\n" + b"[" * 100_000, {}
    yield b'{}\n{"type":"event"}\n' + b'{"a":' * 50_000, {}
    yield ENVELOPE + b'\n{"type":"event"}\n{"message":', {}


async def test_every_broken_envelope_gets_a_typed_answer_and_nothing_is_stored(monitor: Monitor, http: httpx.AsyncClient):
    broken = list(broken_envelopes())
    for body, headers in broken:
        response = await http.post("/envelope/", content=body, headers=headers)
        assert response.status_code == 400, body[:80]
        assert response.headers["x-sentry-error"]
    assert len(broken) >= 50
    assert await stored(monitor) == 0
    assert (await http.post("/envelope/", content=ENVELOPE)).status_code == 200
    assert await stored(monitor) == 1


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
async def test_a_bomb_is_refused(monitor: Monitor, http: httpx.AsyncClient, encoding: str, compress: Any):
    bomb = compress(b'{}\n{"type":"event"}\n{"message":"' + b"x" * 60_000_000)
    response = await http.post("/envelope/", content=bomb, headers={"content-encoding": encoding})
    assert response.status_code == 413
    assert await stored(monitor) == 0


async def test_giant_and_odd_events_are_cut_mended_and_stored(monitor: Monitor, http: httpx.AsyncClient):
    frames = [{"function": f"f{number}", "vars": {"x": "y" * 200}} for number in range(5000)]
    payloads = [
        json.dumps({"exception": {"values": [{"type": "E", "stacktrace": {"frames": frames}}]}}).encode(),
        json.dumps({"message": "m" * 1_000_000, "tags": {f"t{number}": "v" for number in range(5000)}}).encode(),
        b'{"message": "a\\u0000b\\ud800c\xff", "level": "fatal"}',
        b'{"message": "tomorrow", "timestamp": 95617584000}',
        b'{"message": "long ago", "timestamp": "1970-01-01T00:00:00Z"}',
    ]
    for payload in payloads:
        assert (await http.post("/store/", content=payload)).status_code == 200
    assert await stored(monitor) == len(payloads)


def broken_messages() -> Iterator[bytes]:
    chance = random.Random(6)
    whole = logs_pb.ExportLogsServiceRequest(resource_logs=[logs(error("x" * 50), service_name="shop")]).SerializeToString()
    yield from (whole[:cut] for cut in range(1, len(whole) - 1))
    yield from (b"\xff" + chance.randbytes(size) for size in (3, 50, 1000))


async def test_every_broken_message_gets_a_typed_answer_and_nothing_is_stored(monitor: Monitor):
    channel = monitor.server.channel()
    broken = list(broken_messages())
    for method in (LOGS, TRACES):
        export = channel.unary_unary(method)
        for body in broken:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await export(body)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert details(caught.value)["ErrorInfo"].reason == "MALFORMED"
    assert len(broken) >= 50
    assert await stored(monitor) == 0


async def test_a_batch_is_stored_and_its_repeat_counts_nothing(monitor: Monitor):
    export = LogsServiceStub(monitor.server.channel()).Export
    request = logs_pb.ExportLogsServiceRequest(resource_logs=[logs(error("one", time_unix_nano=1), error("two", time_unix_nano=2))])
    for compression in (grpc.Compression.Gzip, None):
        response = await export(request, compression=compression)
        assert not response.HasField("partial_success")
    assert await stored(monitor) == 2


async def test_of_a_batch_that_is_bad_in_part_the_rest_is_stored(monitor: Monitor):
    export = LogsServiceStub(monitor.server.channel()).Export
    bad, good = error("bad", trace_id=b"short"), error("good")
    request = logs_pb.ExportLogsServiceRequest(
        resource_logs=[logs(bad, good), logs(error("elsewhere"), error("too"), souk_project="nowhere")]
    )
    partial = (await export(request)).partial_success
    assert partial.rejected_log_records == 3
    assert "trace_id" in partial.error_message
    assert "nowhere" in partial.error_message
    assert await stored(monitor) == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(logs_pb.ExportLogsServiceRequest(resource_logs=[logs(bad)]))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_text_that_is_no_utf_8_is_mended_and_the_records_beside_it_are_stored(monitor: Monitor):
    request = logs_pb.ExportLogsServiceRequest(resource_logs=[logs(error("no stock of zebra"), error("no seller"))])
    body = request.SerializeToString().replace(b"zebra", b"\xffbra\xed")
    answer = await monitor.server.channel().unary_unary(LOGS)(body)
    assert logs_pb.ExportLogsServiceResponse.FromString(answer) == logs_pb.ExportLogsServiceResponse()
    listed = await monitor.errors.ListIssues(pb.ListIssuesRequest())
    assert {issue.title for issue in listed.issues} == {"no stock of \ufffdbra\ufffd", "no seller"}


async def test_the_project_is_named_by_metadata_or_by_the_resource(monitor: Monitor):
    for name in ("shop", "bazaar"):
        await monitor.projects.CreateProject(project_pb2.CreateProjectRequest(name=name))
    export = LogsServiceStub(monitor.server.channel()).Export
    request = logs_pb.ExportLogsServiceRequest(resource_logs=[logs(error("a")), logs(error("b"), souk_project="bazaar")])
    await export(request, metadata=[("souk-project", "shop")])
    listed = await monitor.errors.ListIssues(pb.ListIssuesRequest())
    assert {(issue.project, issue.title) for issue in listed.issues} == {("shop", "a"), ("bazaar", "b")}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(logs_pb.ExportLogsServiceRequest(resource_logs=[logs(error("c"))]), metadata=[("souk-project", "none")])
    assert details(caught.value)["ErrorInfo"].reason == "PROJECT_UNKNOWN"


async def test_an_exporter_is_told_to_come_again_where_the_queue_is_full(dsn: str):
    async with serving(dsn, queue_events=1) as monitor:
        export = LogsServiceStub(monitor.server.channel()).Export
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await export(logs_pb.ExportLogsServiceRequest(resource_logs=[logs(error("a"), error("b"))]))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert details(caught.value)["RetryInfo"].retry_delay.ToTimedelta()
        assert await stored(monitor) == 0


async def test_spans_of_nothing_are_taken(monitor: Monitor):
    response = await TraceServiceStub(monitor.server.channel()).Export(trace_pb.ExportTraceServiceRequest())
    assert response == trace_pb.ExportTraceServiceResponse()
