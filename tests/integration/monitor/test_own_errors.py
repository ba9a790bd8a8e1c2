"""What our own services report to monitor, and what monitor reports to itself."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from common_echo import Echo, Stub, application
from integration.common.test_error_reports import error_id
from monitor_serving import Monitor, report, serving
from object_stores import free_port
from souk.client import InternalError, MonitorClient
from souk.monitor.v1 import error_pb2 as pb
from souk_common.settings import ServiceSettings
from souk_common.testing import running_server
from souk_monitor.ingest import Pipeline
from souk_monitor.tracker import Tracker


@pytest.fixture
async def monitor(dsn: str) -> AsyncIterator[Monitor]:
    """One that is told where it is itself."""
    port = free_port()
    async with serving(dsn, port=port, monitor_endpoint=f"http://127.0.0.1:{port}") as node:
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
