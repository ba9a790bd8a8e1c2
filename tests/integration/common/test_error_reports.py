"""Errors that services log are told to whoever takes OpenTelemetry's log records."""

import asyncio
import logging
from typing import Any

import grpc
import pytest
import structlog
from common_echo import Echo, Stub, application
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from object_stores import free_port
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from pydantic import ValidationError
from souk_common.settings import ServiceSettings
from souk_common.testing import collecting, running_server


def settings(**changes: Any) -> ServiceSettings:
    return ServiceSettings(trace_ratio=0.0, drain_grace=3.0, **changes)


def attributes(record: LogRecord) -> dict[str, str]:
    return {each.key: each.value.string_value for each in record.attributes}


async def error_id(stub: Stub) -> str:
    """Of a call that fails as nobody foresaw."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.call("Fail", "unforeseen")
    info = error_details_pb2.ErrorInfo()
    status: Any = rpc_status.from_call(failed.value)
    status.details[0].Unpack(info)
    return info.metadata["error_id"]


async def test_an_unforeseen_error_is_told_once_with_its_stack_its_id_and_its_trace() -> None:
    async with (
        collecting() as collector,
        running_server(settings(monitor_endpoint=collector.endpoint), "echo", application(Echo())) as server,
    ):
        stub = Stub(server.channel())
        told = await error_id(stub)
        record = await collector.record(lambda record: attributes(record).get("error_id") == told)
        line = await server.log.wait_for(lambda line: line.get("error_id") == told and line["event"] == "rpc")
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.call("Fail", "table")
        second = await error_id(stub)
        await collector.record(lambda record: attributes(record).get("error_id") == second)
    of_record = attributes(record)
    assert (record.body.string_value, of_record["exception.type"]) == ("unforeseen error", "ZeroDivisionError")
    assert of_record["exception.message"] == "secret detail"
    assert 'raise ZeroDivisionError("secret detail")' in of_record["exception.stacktrace"]
    assert of_record["method"] == "/souk.test.v1.EchoService/Fail"
    assert (record.trace_id.hex(), record.span_id.hex()) == (line["trace_id"], line["span_id"])
    assert [attributes(each).get("error_id") for each in collector.records] == [told, second], "each once, and nothing else"


async def test_errors_that_libraries_and_the_core_log_are_told_and_warnings_are_not() -> None:
    async with (
        collecting() as collector,
        running_server(settings(monitor_endpoint=collector.endpoint), "echo", application(Echo())),
    ):
        structlog.get_logger().warning("slow")
        logging.getLogger("opentelemetry.exporter").error("nobody answers")
        structlog.get_logger().error("leases could not be renewed", image_id="7")
        logging.getLogger("some.library").critical("out of %s", "memory")
        last = await collector.record(lambda record: record.body.string_value == "out of memory")
    assert [record.body.string_value for record in collector.records] == ["leases could not be renewed", "out of memory"]
    assert attributes(collector.records[0])["image_id"] == "7"
    assert last.severity_text == "CRITICAL"


async def test_what_waits_at_the_stop_is_sent() -> None:
    async with collecting() as collector:
        async with running_server(settings(monitor_endpoint=collector.endpoint), "echo", application(Echo())) as server:
            told = await error_id(Stub(server.channel()))
        assert [attributes(each)["error_id"] for each in collector.records] == [told]


async def test_where_nobody_takes_errors_calls_are_answered_as_ever_and_the_stop_is_not_held_up() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    async with asyncio.timeout(20):
        async with running_server(settings(monitor_endpoint=nowhere), "echo", application(Echo())) as server:
            stub = Stub(server.channel())
            assert await error_id(stub)
            assert await stub.call("Echo", "still here") == "still here"


def test_a_token_does_not_leave_the_machine_without_tls() -> None:
    with pytest.raises(ValidationError, match="MONITOR_TOKEN could be read on the way"):
        settings(monitor_endpoint="http://monitor.example:50054", monitor_token="secret")
    assert settings(monitor_endpoint="https://monitor.example:50054", monitor_token="secret").monitor_token
    assert settings(monitor_endpoint="http://127.0.0.1:50054", monitor_token="secret").monitor_token
