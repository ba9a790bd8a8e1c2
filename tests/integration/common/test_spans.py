"""The spans of calls that are traced."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from common_echo import SERVICE, Echo, Stub, application
from google.protobuf.wrappers_pb2 import StringValue
from integration.common.test_error_reports import error_id
from opentelemetry import propagate
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from souk_common.auth import new_token
from souk_common.errors import ServiceError
from souk_common.settings import ServiceSettings
from souk_common.telemetry import names
from souk_common.testing import Collector, RunningServer, collecting, running_server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def attributes(thing: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in thing.attributes}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as found:
        yield found


def settings(collector: Collector, **changes: Any) -> ServiceSettings:
    return ServiceSettings(**{"trace_ratio": 1.0, "drain_grace": 3.0, "otlp_endpoint": collector.endpoint, **changes})


@pytest.fixture
async def server(collector: Collector) -> AsyncIterator[RunningServer]:
    async with running_server(settings(collector), "echo", application(Echo())) as running:
        yield running


async def span_of(collector: Collector, method: str) -> Span:
    return await collector.span(lambda span: span.name == f"/{SERVICE}/{method}")


async def refused(stub: Stub, value: str, **options: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.call("Fail", value, **options)
    return caught.value.code()


async def test_a_span_says_what_was_called_from_where_and_how_it_ended(server: RunningServer, collector: Collector) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = (("traceparent", parent), ("tracestate", "vendor=1"), ("some-bin", b"\xff"))
    assert await Stub(server.channel()).call("Echo", metadata=metadata) == "x"
    span = await span_of(collector, "Echo")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (parent[3:35], parent[36:52])
    assert (span.kind, span.trace_state, span.status.code) == (Span.SPAN_KIND_SERVER, "vendor=1", Status.STATUS_CODE_UNSET)
    told = attributes(span)
    assert {name: told[name] for name in ("rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code")} == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "Echo",
        "rpc.grpc.status_code": 0,
    }
    assert (told["net.peer.ip"], told["souk.principal"]) == ("127.0.0.1", "anonymous")


@pytest.mark.parametrize("why", ["table", "fields", "abort"])
async def test_a_refused_call_is_no_exception_and_no_error_of_the_server(
    server: RunningServer, collector: Collector, why: str
) -> None:
    code = await refused(Stub(server.channel()), why)
    span = await span_of(collector, "Fail")
    assert attributes(span)[names.STATUS_CODE] == code.value[0]
    assert (list(span.events), span.status.code) == ([], Status.STATUS_CODE_UNSET)


async def test_a_time_limit_of_the_servers_own_is_an_error_and_no_exception(server: RunningServer, collector: Collector) -> None:
    await refused(Stub(server.channel()), "timeout")
    span = await span_of(collector, "Fail")
    assert (list(span.events), span.status.code) == ([], Status.STATUS_CODE_ERROR)


async def test_a_call_without_a_token_and_one_too_many_are_no_exceptions(collector: Collector, tmp_path: Path) -> None:
    token, digest = new_token()
    path = tmp_path / "auth.yaml"
    path.write_text(yaml.safe_dump({"principals": [{"name": "shop", "scopes": ["echo.read"], "token_sha256": [digest]}]}))
    quota = settings(collector, auth_file=path, rpcs_per_second_per_caller=1.0)
    async with running_server(quota, "echo", application(Echo())) as server:
        stub = Stub(server.channel())
        codes = {await refused(stub, "fields")}
        bearer = (("authorization", f"Bearer {token}"),)
        async with asyncio.timeout(10):
            while grpc.StatusCode.RESOURCE_EXHAUSTED not in codes:
                try:
                    await stub.call("Echo", metadata=bearer)
                except grpc.aio.AioRpcError as error:
                    codes.add(error.code())
    assert codes == {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    told = {attributes(span)[names.STATUS_CODE] for span in collector.spans}
    assert {code.value[0] for code in codes} <= told
    assert [list(span.events) for span in collector.spans if span.events] == []


async def test_what_nobody_foresaw_is_one_exception_with_its_stack_and_the_id_that_the_caller_was_given(
    server: RunningServer, collector: Collector
) -> None:
    told = await error_id(Stub(server.channel()))
    span = await span_of(collector, "Fail")
    (event,) = span.events
    of_event = attributes(event)
    assert (event.name, of_event["exception.type"], of_event["error_id"]) == ("exception", "ZeroDivisionError", told)
    assert 'raise ZeroDivisionError("secret detail")' in of_event["exception.stacktrace"]
    assert (span.status.code, attributes(span)[names.ERROR_ID]) == (Status.STATUS_CODE_ERROR, told)


async def test_a_stream_that_fails_late_or_is_given_up_has_a_span_that_says_so(server: RunningServer, collector: Collector) -> None:
    stub = Stub(server.channel())
    late = stub.stream["FailLate"](StringValue(value="x"))
    with pytest.raises(grpc.aio.AioRpcError):
        assert len([answer async for answer in late]) == 1
    watching = stub.stream["Watch"](StringValue(value="x"))
    await watching.read()
    watching.cancel()
    failed, given_up = await span_of(collector, "FailLate"), await span_of(collector, "Watch")
    assert attributes(failed)[names.STATUS_CODE] == grpc.StatusCode.ABORTED.value[0]
    assert attributes(given_up)[names.STATUS_CODE] == grpc.StatusCode.CANCELLED.value[0]
    assert (list(failed.events), list(given_up.events)) == ([], [])


async def test_a_refusal_that_its_caller_did_not_wait_for_is_no_exception(collector: Collector) -> None:
    class Late(Echo):
        async def Wait(self, request: StringValue, context: Any) -> StringValue:
            try:
                return await super().Wait(request, context)
            except asyncio.CancelledError:
                raise ServiceError(grpc.StatusCode.RESOURCE_EXHAUSTED, "LATE", "nobody hears this") from None

    echo = Late()
    async with running_server(settings(collector), "echo", application(echo)) as server:
        waiting = asyncio.create_task(Stub(server.channel()).call("Wait"))
        await echo.waiting.wait()
        waiting.cancel()
        span = await span_of(collector, "Wait")
    assert (list(span.events), span.status.code) == ([], Status.STATUS_CODE_UNSET)


async def test_what_a_call_that_is_not_traced_asks_of_others_is_of_its_callers_trace(collector: Collector) -> None:
    """Also a task that it starts, and what a request over HTTP asks."""
    carried: list[str] = []

    async def ask() -> None:
        headers: dict[str, str] = {}
        propagate.inject(headers)
        carried.append(headers.get("traceparent", ""))

    class Asking(Echo):
        async def Echo(self, request: StringValue, context: Any) -> StringValue:
            await ask()
            await asyncio.create_task(ask())
            return request

    async def page(_: Request) -> Response:
        await ask()
        return Response()

    parents = [f"00-{trace_id}-b7ad6b7169203331-00" for trace_id in (32 * "a", 32 * "b", 32 * "c")]
    app = application(Asking(), http=Starlette(routes=[Route("/", page)]))
    async with running_server(settings(collector, trace_ratio=0.0, http_port=0), "echo", app) as server:
        stub = Stub(server.channel())
        await asyncio.gather(*(stub.call("Echo", metadata=(("traceparent", parent),)) for parent in parents[:2]))
        async with httpx.AsyncClient() as client:
            await client.get(f"{server.http_url}/", headers={"traceparent": parents[2]})
    assert sorted(carried) == [parents[0], parents[0], parents[1], parents[1], parents[2]]


async def test_what_a_call_asks_of_others_is_under_its_span(collector: Collector) -> None:
    carried: dict[str, str] = {}

    class Asking(Echo):
        async def Echo(self, request: StringValue, context: Any) -> StringValue:
            propagate.inject(carried)
            return request

    async with running_server(settings(collector), "echo", application(Asking())) as server:
        await Stub(server.channel()).call("Echo")
        span = await span_of(collector, "Echo")
    version, trace_id, parent_id, flags = carried["traceparent"].split("-")
    assert (version, trace_id, parent_id, int(flags, 16) & 1) == ("00", span.trace_id.hex(), span.span_id.hex(), 1)
