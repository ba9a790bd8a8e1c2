"""What the common server does for every call of every service, on real sockets."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import pytest
from common_echo import SERVICE, Echo, Stub, application
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from souk_common.health import Dependency
from souk_common.settings import ServiceSettings
from souk_common.testing import RunningServer, running_server


def settings(**changes: Any) -> ServiceSettings:
    return ServiceSettings(**{"trace_ratio": 0.0, "drain_grace": 5.0, **changes})


@pytest.fixture
def servicer() -> Echo:
    return Echo()


@pytest.fixture
async def server(servicer: Echo) -> AsyncIterator[RunningServer]:
    async with running_server(settings(), "echo", application(servicer)) as running:
        yield running


async def failure(stub: Stub, value: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.call("Fail", value)
    return caught.value


def details(error: grpc.aio.AioRpcError) -> tuple[list[error_details_pb2.ErrorInfo], list[str], list[float]]:
    """(every ErrorInfo, every bad field, every retry delay)."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    infos, fields, delays = [], [], []
    for detail in status.details:
        info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            infos.append(info)
        if detail.Unpack(request):
            fields += [violation.field for violation in request.field_violations]
        if detail.Unpack(retry):
            delays.append(retry.retry_delay.ToMilliseconds() / 1000)
    return infos, fields, delays


async def values(answers: Iterable[Any]) -> list[str]:
    return [each.value async for each in answers]


async def test_all_four_kinds_of_rpc_go_through(server: RunningServer) -> None:
    stub = Stub(server.channel())
    words = [StringValue(value=word) for word in ("a", "b", "c")]
    assert await stub.call("Echo", "hello") == "hello"
    assert (await stub.join(iter(words))).value == "a b c"
    assert await values(stub.stream["Count"](StringValue(value="3"))) == ["0", "1", "2"]
    assert await values(stub.chat(iter(words))) == ["a", "b", "c"]


async def test_bytes_that_are_no_message_are_malformed_whatever_the_kind_of_rpc(server: RunningServer) -> None:
    channel, bad = server.channel(), b"\xff\xff"
    good = StringValue(value="a").SerializeToString()
    calls: list[Any] = [
        channel.unary_unary(f"/{SERVICE}/Echo")(bad),
        channel.stream_unary(f"/{SERVICE}/Join")(iter([good, bad])),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        (info,), _, _ = details(caught.value)
        assert (caught.value.code(), info.reason, info.domain) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "MALFORMED",
            "souk.common.v1",
        )
    for stream in (
        channel.unary_stream(f"/{SERVICE}/Count")(bad),
        channel.stream_stream(f"/{SERVICE}/Chat")(iter([bad])),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stream))
        assert (caught.value.code(), details(caught.value)[0][0].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED")


async def test_an_unknown_method_is_unimplemented(server: RunningServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await Stub(server.channel()).call("Missing")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_error_of_the_core_is_told_by_the_table_and_by_its_parent(server: RunningServer) -> None:
    error = await failure(Stub(server.channel()), "table")
    (info,), fields, delays = details(error)
    assert (error.code(), info.reason, info.domain, fields, delays) == (grpc.StatusCode.ABORTED, "ECHO", "souk.test.v1", [], [])


async def test_every_bad_field_is_in_one_answer(server: RunningServer) -> None:
    (info,), fields, _ = details(await failure(Stub(server.channel()), "fields"))
    assert (info.reason, info.domain, fields) == ("INVALID_FIELD", "souk.common.v1", ["a", "c.d"])


async def test_what_nobody_foresaw_shows_an_id_and_nothing_else(server: RunningServer) -> None:
    error = await failure(Stub(server.channel()), "crash")
    (info,), _, _ = details(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    everything = f"{error.details()} {error.trailing_metadata()}"
    assert "secret" not in everything
    assert "ZeroDivision" not in everything
    line = await server.log.wait_for(lambda line: line.get("error_id") == info.metadata["error_id"] and "exception" in line)
    assert "secret detail" in str(line["exception"])


async def test_an_abort_of_the_servicer_is_passed_on_and_logged(server: RunningServer) -> None:
    error = await failure(Stub(server.channel()), "abort")
    assert (error.code(), error.details()) == (grpc.StatusCode.OUT_OF_RANGE, "by the servicer")
    assert (await server.log.wait_for(lambda line: line.get("code") == "OUT_OF_RANGE"))["event"] == "rpc"


async def test_a_time_limit_of_the_servers_own_is_deadline_exceeded(server: RunningServer) -> None:
    error = await failure(Stub(server.channel()), "timeout")
    assert (error.code(), details(error)[0][0].reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_an_error_after_the_first_answer_of_a_stream_arrives_whole(server: RunningServer) -> None:
    answers = Stub(server.channel()).stream["FailLate"](StringValue(value="x"))
    assert (await answers.read()).value == "x"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers.read()
    assert details(caught.value)[0][0].reason == "ECHO"


async def test_the_callers_deadline_is_known_to_the_handler_and_ends_it(server: RunningServer, servicer: Echo) -> None:
    stub = Stub(server.channel())
    await stub.call("Echo", timeout=20)
    assert servicer.remaining is not None
    assert 15 < servicer.remaining < 21  # grpc-timeout is rounded up on its way
    await stub.call("Echo")
    assert servicer.remaining is None
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.call("Wait", timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(servicer.cancelled.wait(), 5)
    await server.log.wait_for(lambda line: line.get("code") in ("DEADLINE_EXCEEDED", "CANCELLED"))


async def test_a_cancelled_call_reaches_the_handler_and_frees_its_place(servicer: Echo) -> None:
    async with running_server(settings(max_rpcs=1), "echo", application(servicer)) as server:
        stub = Stub(server.channel())
        waiting = stub.unary["Wait"](StringValue(value="x"))
        await servicer.waiting.wait()
        waiting.cancel()
        await asyncio.wait_for(servicer.cancelled.wait(), 5)
        await server.log.wait_for(lambda line: line.get("code") == "CANCELLED")
        assert await stub.call("Echo", "next") == "next"


@pytest.mark.parametrize(
    ("limit", "code", "reason"),
    [
        ({"max_rpcs": 1}, grpc.StatusCode.UNAVAILABLE, "OVERLOADED"),
        ({"max_rpcs_per_caller": 1}, grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
    ],
)
async def test_a_call_too_many_is_turned_away_with_when_to_come_again(
    servicer: Echo, limit: dict[str, int], code: grpc.StatusCode, reason: str
) -> None:
    async with running_server(settings(**limit), "echo", application(servicer)) as server:
        stub = Stub(server.channel(enable_retries=0))
        waiting = asyncio.ensure_future(stub.call("Wait"))
        await servicer.waiting.wait()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.call("Echo")
        (info,), _, delays = details(caught.value)
        assert (caught.value.code(), info.reason) == (code, reason)
        assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == str(round(delays[0] * 1000))
        health = health_pb2_grpc.HealthStub(server.channel())
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        servicer.release.set()
        await waiting
        assert await stub.call("Echo", "again") == "again"


async def test_a_message_over_the_limit_is_refused(servicer: Echo) -> None:
    async with running_server(settings(max_message_bytes=10_000), "echo", application(servicer)) as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Stub(server.channel()).call("Echo", "x" * 20_000)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_at_the_stop_calls_finish_and_watches_end_unavailable_at_once(servicer: Echo) -> None:
    running = running_server(settings(drain_grace=20), "echo", application(servicer))
    server = await running.__aenter__()
    channel = grpc.aio.insecure_channel(server.addresses.grpc)
    stub = Stub(channel)
    waiting = asyncio.ensure_future(stub.call("Wait", "kept"))
    await servicer.waiting.wait()
    watch = stub.stream["Watch"](StringValue(value="w"))
    assert (await watch.read()).value == "w"

    begin = time.monotonic()
    stopping = asyncio.create_task(running.__aexit__(None, None, None))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch.read()
    assert (caught.value.code(), details(caught.value)[0][0].reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert servicer.cancelled.is_set()
    servicer.release.set()
    assert await waiting == "kept"
    await stopping
    assert time.monotonic() - begin < 10
    await channel.close()


async def test_what_does_not_finish_within_the_grace_ends_unavailable(servicer: Echo) -> None:
    running = running_server(settings(drain_grace=1.5), "echo", application(servicer))
    server = await running.__aenter__()
    channel = grpc.aio.insecure_channel(server.addresses.grpc)
    waiting = asyncio.ensure_future(Stub(channel).call("Wait"))
    await servicer.waiting.wait()
    stopping = asyncio.create_task(running.__aexit__(None, None, None))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await waiting
    assert (caught.value.code(), details(caught.value)[0][0].reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    await stopping
    await channel.close()


async def test_a_dependency_that_fails_hangs_and_comes_back_is_told_by_health(servicer: Echo) -> None:
    state = "up"

    async def check() -> None:
        if state == "down":
            raise OSError("no route")
        if state == "hanging":
            await asyncio.Event().wait()

    dependency = Dependency("db", check, interval=0.05, timeout=0.2)
    optional = Dependency("cache", check, interval=0.05, timeout=0.2, required=False)
    async with running_server(settings(), "echo", application(servicer, dependency)) as server:
        watch = health_pb2_grpc.HealthStub(server.channel()).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        seen = [(await watch.read()).status]
        for state in ("down", "up", "hanging", "up"):  # noqa: B007 — check() reads it
            seen += [(await watch.read()).status]
        assert seen == [1, 2, 1, 2, 1]
        watch.cancel()
    async with running_server(settings(), "echo", application(servicer, optional)) as server:
        state = "down"
        stub = health_pb2_grpc.HealthStub(server.channel())
        one = stub.Watch(health_pb2.HealthCheckRequest(service="echo.cache"))
        while (await one.read()).status != health_pb2.HealthCheckResponse.NOT_SERVING:
            pass
        one.cancel()
        assert (await stub.Check(health_pb2.HealthCheckRequest(service="readiness"))).status == 1


async def test_the_log_line_of_a_call_has_what_the_handler_says_of_it(server: RunningServer) -> None:
    await Stub(server.channel()).call("Echo", "something")
    line = await server.log.wait_for(lambda line: line.get("said") == "something")
    assert (line["code"], line["service"], line["principal"]) == ("OK", "echo", "anonymous")
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert len(line["trace_id"]) == 32


def test_the_garbage_collector_does_not_visit_what_the_imports_of_a_service_made() -> None:
    script = """
import contextlib, gc
import souk_cache.app
from souk_common import server
from souk_common.settings import ServiceSettings

@contextlib.asynccontextmanager
async def open_app(settings, reporting):
    print(len(gc.get_objects()), flush=True)
    raise server.StartError("that was all")
    yield

server.run(ServiceSettings(trace_ratio=0.0), "echo", open_app)
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    [visited] = [int(line) for line in output.splitlines() if line.isdecimal()]
    assert visited < 5000, "of some 85,000, which would be visited for 50 ms"
