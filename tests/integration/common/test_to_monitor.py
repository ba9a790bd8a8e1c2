"""What a service tells monitor over OTLP, and what it costs where monitor does not answer."""

import asyncio
from typing import Any

import pytest
from common_echo import SERVICE, Echo, Stub, application
from integration.common.test_error_reports import error_id
from integration.common.test_spans import attributes, refused
from object_stores import free_port
from souk_common.settings import ServiceSettings
from souk_common.telemetry import names, to_monitor
from souk_common.testing import Collector, collecting, running_server

FAIL = f"/{SERVICE}/Fail"


def settings(endpoint: str, **changes: Any) -> ServiceSettings:
    return ServiceSettings(**{"trace_ratio": 1.0, "drain_grace": 3.0, "monitor_endpoint": endpoint, **changes})


def traces(collector: Collector) -> set[str]:
    return {span.trace_id.hex() for span in collector.spans}


async def test_the_span_and_the_log_record_of_an_error_are_of_one_trace_one_span_and_one_exception() -> None:
    async with (
        collecting() as monitor,
        running_server(settings(monitor.endpoint), "echo", application(Echo())) as server,
    ):
        told = await error_id(Stub(server.channel()))
        record = await monitor.record(lambda record: attributes(record).get("error_id") == told)
        span = await monitor.span(lambda span: span.name == FAIL)
    (event,) = span.events
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    of_record, of_event = attributes(record), attributes(event)
    for name in ("error_id", "exception.type", "exception.message"):
        assert of_record[name] == of_event[name]
    last = 'raise ZeroDivisionError("secret detail")'
    assert last in of_record["exception.stacktrace"]
    assert last in of_event["exception.stacktrace"]


async def test_traced_calls_are_told_and_others_and_metrics_are_not() -> None:
    async with collecting() as monitor:
        told = settings(monitor.endpoint, trace_ratio=0.0, metrics_interval=0.05)
        async with running_server(told, "echo", application(Echo())) as server:
            stub = Stub(server.channel())
            await stub.call("Echo")
            await stub.call("Echo", metadata=(("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"),))
            await stub.call("Echo", metadata=(("traceparent", f"00-{'cd' * 16}-{'cd' * 8}-00"),))
        assert traces(monitor) == {"ab" * 16}
        assert monitor.metrics == []


async def test_a_collector_beside_monitor_gets_the_same_spans_and_the_metrics() -> None:
    async with collecting() as monitor, collecting() as collector:
        told = settings(monitor.endpoint, otlp_endpoint=collector.endpoint, metrics_interval=0.05)
        async with running_server(told, "echo", application(Echo())) as server:
            await refused(Stub(server.channel()), "table")
            await collector.metric(names.RPC_REQUESTS)
        assert traces(monitor) == traces(collector)
        assert len(traces(monitor)) == 1
        assert (monitor.metrics, collector.records) == ([], [])


async def test_of_calls_that_are_left_out_nothing_is_told() -> None:
    async with collecting() as monitor:

        def open_app(settings: ServiceSettings, reporting: Any) -> Any:
            reporting.to_monitor.leave_out = lambda call: call is None or call.method == FAIL
            return application(Echo())(settings, reporting)

        async with running_server(settings(monitor.endpoint), "echo", open_app) as server:
            stub = Stub(server.channel())
            await error_id(stub)
            await stub.call("Echo")
        assert [span.name for span in monitor.spans] == [f"/{SERVICE}/Echo"]
        assert monitor.records == []


async def test_a_monitor_that_does_not_answer_holds_the_spans_of_a_collector_not_up() -> None:
    async with collecting() as collector, asyncio.timeout(20):
        nowhere = settings(f"http://127.0.0.1:{free_port()}", otlp_endpoint=collector.endpoint)
        async with running_server(nowhere, "echo", application(Echo())) as server:
            await error_id(Stub(server.channel()))
        assert [span.name for span in collector.spans] == [FAIL]


async def test_while_monitor_is_gone_what_waits_is_bounded_and_it_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_monitor, "MAX_WAITING", 600)
    port = free_port()
    last = "ef" * 16
    async with running_server(settings(f"http://127.0.0.1:{port}"), "echo", application(Echo())) as server:
        stub = Stub(server.channel())
        for _ in range(20):
            await asyncio.gather(*(stub.call("Echo") for _ in range(100)))
        await stub.call("Echo", metadata=(("traceparent", f"00-{last}-{'cd' * 8}-01"),))
        async with collecting(port) as monitor:
            await monitor.span(lambda span: span.trace_id.hex() == last, timeout=30)
            assert len(monitor.spans) <= 600 + 512, "what waited, and the batch that was being sent"
        lines = [line for line in server.log.lines if str(line.get(names.LOG_LOGGER)).startswith("opentelemetry")]
    what = [str(line["event"]).partition("127.0.0.1")[0] for line in lines]
    assert 1 <= len(what) == len(set(what)) <= 4


async def test_a_monitor_that_comes_back_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_monitor, "SEND_TIMEOUT", 0.5)
    async with collecting() as first:
        endpoint = first.endpoint
        port = int(endpoint.rpartition(":")[2])
    async with running_server(settings(endpoint), "echo", application(Echo())) as server:
        stub = Stub(server.channel())
        await error_id(stub)
        await server.log.wait_for(lambda line: str(line["event"]).startswith("Failed to export"))
        async with collecting(port) as monitor:
            told: list[str] = []

            async def until_told() -> None:
                while not {attributes(record).get("error_id") for record in monitor.records} & set(told):
                    told.append(await error_id(stub))
                    await asyncio.sleep(0.1)

            await asyncio.wait_for(until_told(), 20)
            await monitor.span(lambda span: span.name == FAIL, timeout=20)
