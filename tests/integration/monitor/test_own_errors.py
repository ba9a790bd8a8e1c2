"""What our own services tell monitor, and what monitor tells itself."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from common_echo import Echo, Stub, application
from google.protobuf.message import Message
from integration.common.test_error_reports import error_id
from monitor_serving import Monitor, report, serving
from object_stores import free_port
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from souk.client import InternalError, MonitorClient
from souk.monitor.v1 import error_pb2 as pb
from souk_common.settings import ServiceSettings
from souk_common.testing import collecting, running_server
from souk_monitor.ingest import Pipeline
from souk_monitor.tracker import Tracker


@pytest.fixture
async def monitor(dsn: str) -> AsyncIterator[Monitor]:
    """One that is told where it is itself."""
    port = free_port()
    async with serving(dsn, port=port, monitor_endpoint=f"http://127.0.0.1:{port}", trace_ratio=1.0) as node:
        yield node


async def events(client: MonitorClient, error_id: str) -> list[pb.ErrorEvent]:
    """The events with an error_id, as soon as there are any."""
    async with asyncio.timeout(30):
        while not (found := [event async for event in client.events(error_id=error_id)]):
            await asyncio.sleep(0.05)
        return found


async def test_the_error_id_that_a_caller_was_given_finds_the_error_with_its_stack(monitor: Monitor) -> None:
    address = monitor.server.addresses.grpc
    settings = ServiceSettings(trace_ratio=0.0, monitor_endpoint=f"http://{address}")
    async with running_server(settings, "echo", application(Echo())) as server, MonitorClient(address) as client:
        stub = Stub(server.channel())
        first, second = await error_id(stub), await error_id(stub)
        (event,) = await events(client, first)
        (other,) = await events(client, second)
    assert event.issue_id == other.issue_id
    (exception,) = event.report.exceptions
    assert (exception.type, exception.frames[-1].function) == ("ZeroDivisionError", "Fail")
    assert (event.report.service, event.report.error_id) == ("souk-echo", first)


async def test_a_traced_error_is_told_as_span_and_as_log_record_and_counted_once_and_a_refused_call_never(monitor: Monitor) -> None:
    address = monitor.server.addresses.grpc
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    metadata = (("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"),)
    settings = ServiceSettings(trace_ratio=0.0, monitor_endpoint=f"http://{address}")
    async with running_server(settings, "echo", application(Echo())) as server:
        stub = Stub(server.channel())
        for why in ("table", "fields", "abort", "timeout", "unforeseen"):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.call("Fail", why, metadata=metadata)
    lines = [line for line in server.log.lines if str(line.get("method")).startswith("/opentelemetry.proto.collector.")]
    assert {line["method"].partition(".v1.")[2]: line["events"] for line in lines} == {
        "TraceService/Export": 1,
        "LogsService/Export": 1,
    }
    async with MonitorClient(address) as client:
        (event,) = [event async for event in client.events(trace_id=trace_id)]
        assert [found async for found in client.events(error_id=event.report.error_id)] == [event]
        report = await client.error_report()
    assert (report.events, report.new_issues) == (1, 1)
    assert event.report.exceptions[-1].type == "ZeroDivisionError"


async def test_monitor_tells_of_its_calls_but_those_of_its_ingest(dsn: str) -> None:
    exports: dict[str, Message] = {
        "logs.v1.LogsService": ExportLogsServiceRequest(),
        "trace.v1.TraceService": ExportTraceServiceRequest(),
    }
    async with collecting() as collector:
        async with serving(dsn, monitor_endpoint=collector.endpoint, trace_ratio=1.0) as node:
            await node.report(report())
            for service, request in exports.items():
                export = node.server.channel().unary_unary(f"/opentelemetry.proto.collector.{service}/Export")
                await export(request.SerializeToString())
            await node.errors.ListIssues(pb.ListIssuesRequest())
        assert [span.name for span in collector.spans] == ["/souk.monitor.v1.ErrorService/ListIssues"]


async def test_monitor_reports_its_own_errors_but_those_of_its_ingest(monitor: Monitor, monkeypatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with MonitorClient(monitor.server.addresses.grpc) as client:
        with monkeypatch.context() as patch:
            patch.setattr(Pipeline, "submit", broken)
            with pytest.raises(InternalError) as ingest:
                await client.report_all([report()])
        with monkeypatch.context() as patch:
            patch.setattr(Tracker, "report", broken)
            with pytest.raises(InternalError) as reading:
                await client.error_report()
        (event,) = await events(client, reading.value.error_id)
        assert event.report.service == "souk-monitor"
        assert [event async for event in client.events(error_id=ingest.value.error_id)] == []
        assert (await client.error_report()).events == 1
