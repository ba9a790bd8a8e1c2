"""Traces, metrics and log lines, by their names; and that none of them ever fails a request."""

import secrets
from typing import Any

import grpc
import pictures
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from souk.client import ClientConfig, ImagingClient, NotFoundError
from souk.imaging.v1 import imaging_pb2 as pb
from souk.imaging.v1 import imaging_pb2_grpc
from souk_common.telemetry import names
from souk_common.testing import RunningServer, collecting
from souk_imaging import telemetry

from services import Serve

GET = "/souk.imaging.v1.ImagingService/GetImage"
UPLOAD = "/souk.imaging.v1.ImagingService/UploadImage"
MISSING = pb.GetImageRequest(image_id="01jd" + "0" * 22)


def traceparent(*, sampled: bool) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, (("traceparent", f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"),)


def attributes(thing: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in thing.attributes}


def stub(server: RunningServer) -> imaging_pb2_grpc.ImagingServiceStub:
    return imaging_pb2_grpc.ImagingServiceStub(server.channel())


async def test_a_sampled_call_has_a_span_with_the_callers_trace_and_its_outcome(serve: Serve) -> None:
    trace_id, span_id, metadata = traceparent(sampled=True)
    async with collecting() as collector, serve(otlp_endpoint=collector.endpoint) as server:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(server).GetImage(MISSING, metadata=metadata)
        span = await collector.span(lambda span: span.name == GET)
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (trace_id, span_id)
        assert attributes(span)[names.ERROR_REASON] == "IMAGE_NOT_FOUND"
        assert attributes(span)[names.PRINCIPAL] == "anonymous"
        assert attributes(span)[names.STATUS_CODE] == grpc.StatusCode.NOT_FOUND.value[0]
        assert span.status.code == Status.STATUS_CODE_UNSET  # the caller's fault is no error of the server
        line = await server.log.wait_for(lambda line: line.get(names.LOG_METHOD) == GET)
        assert (line[names.LOG_TRACE_ID], line[names.LOG_SPAN_ID]) == (trace_id, span.span_id.hex())
        assert (line[names.LOG_CODE], line[names.LOG_REASON]) == ("NOT_FOUND", "IMAGE_NOT_FOUND")


async def test_a_fault_of_the_server_makes_the_span_an_error_and_shows_only_an_id(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    from souk_imaging.gallery import Gallery

    async def broken(self: Gallery, image_id: str) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(Gallery, "image", broken)
    _, __, metadata = traceparent(sampled=True)
    async with collecting() as collector, serve(otlp_endpoint=collector.endpoint) as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(server).GetImage(MISSING, metadata=metadata)
        told = str(caught.value.details()) + str(caught.value.trailing_metadata())
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert "hunter2" not in told
        assert "RuntimeError" not in told
        span = await collector.span(lambda span: span.name == GET)
        assert span.status.code == Status.STATUS_CODE_ERROR
        error_id = attributes(span)[names.ERROR_ID]
        assert error_id in told
        line = await server.log.wait_for(lambda line: line.get(names.LOG_ERROR_ID) == error_id and "exception" in line)
        assert "hunter2" in str(line["exception"])


async def test_an_unsampled_call_has_no_span_and_its_callers_ids_in_the_log(serve: Serve) -> None:
    trace_id, _, metadata = traceparent(sampled=False)
    async with collecting() as collector, serve(otlp_endpoint=collector.endpoint, trace_ratio=1.0) as server:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(server).GetImage(MISSING, metadata=metadata)
        line = await server.log.wait_for(lambda line: line.get(names.LOG_TRACE_ID) == trace_id)
        assert line[names.LOG_METHOD] == GET
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(server).GetImage(MISSING)  # no traceparent: the ratio says that this one is traced
        await collector.span(lambda span: span.name == GET)
        assert trace_id not in {span.trace_id.hex() for span in collector.spans}


async def test_metrics_count_calls_photos_and_the_process(serve: Serve) -> None:
    async with collecting() as collector, serve(otlp_endpoint=collector.endpoint, metrics_interval=0.2) as server:
        async with ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
            image = await client.upload(pictures.jpeg(300, 200))
            with pytest.raises(NotFoundError):
                await client.get(MISSING.image_id)

        async def points(name: str, wanted: dict[str, str]) -> float:
            while True:
                metric = await collector.metric(name)
                kind = metric.sum if metric.HasField("sum") else metric.gauge
                for point in kind.data_points:
                    if wanted.items() <= attributes(point).items():
                        return float(point.as_double or point.as_int)
                collector.metrics.clear()

        assert await points(names.RPC_REQUESTS, {names.METHOD: UPLOAD, names.STATUS_CODE: "OK"}) == 1
        assert await points(names.RPC_REQUESTS, {names.METHOD: GET, names.STATUS_CODE: "NOT_FOUND"}) == 1
        assert await points(names.RPC_DURATION_BUCKET, {names.METHOD: GET, names.LE: "+Inf"}) == 1
        assert await points(names.RPC_DURATION_SUM, {names.METHOD: UPLOAD}) > 0
        assert await points(telemetry.PHOTOS, {telemetry.RESULT: "ready"}) == 1
        sizes = sum(v.size_bytes for v in image.variants if v.format == pb.FORMAT_JPEG)
        assert await points(telemetry.BYTES_OUT, {telemetry.FORMAT: "jpg"}) == sizes
        assert await points(names.DEPENDENCY_UP, {names.DEPENDENCY: "store"}) == 1
        assert await points(names.PROCESS_MEMORY, {}) > 10_000_000
        assert await points(names.LOOP_LAG, {names.QUANTILE: "1"}) >= 0
        assert await points(names.PROCESS_CPU, {}) > 0


async def test_a_slow_call_is_logged_with_its_parts_whatever_is_sampled(serve: Serve) -> None:
    async with serve(log_success_ratio=0.0, slow_seconds=0.001) as server:
        async with ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
            image = await client.upload(pictures.jpeg(600, 400))
        line = await server.log.wait_for(lambda line: line.get(names.LOG_METHOD) == UPLOAD)
        assert line[names.LOG_SLOW] is True
        assert {"receive", "accept", "queue", "decode", "encode", "store"} <= line[names.LOG_PARTS_MS].keys()
        assert line["image_id"] == image.image_id


async def test_fast_successes_are_not_logged_where_that_is_set_and_errors_are(serve: Serve) -> None:
    async with serve(log_success_ratio=0.0, slow_seconds=60) as server:
        await stub(server).ListImages(pb.ListImagesRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(server).GetImage(MISSING)
        await server.log.wait_for(lambda line: line.get(names.LOG_METHOD) == GET)
        assert not [line for line in server.log.lines if str(line.get(names.LOG_METHOD)).endswith("ListImages")]


async def test_a_collector_that_is_down_fails_no_request_and_holds_no_stop_up(serve: Serve) -> None:
    import time

    async with serve(otlp_endpoint="http://127.0.0.1:9", trace_ratio=1.0, metrics_interval=0.05) as server:
        async with ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
            for _ in range(3):
                assert (await client.upload(pictures.jpeg(60, 40))).state == pb.IMAGE_STATE_READY
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 10


async def test_health_and_reflection_are_not_traced(serve: Serve) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async with collecting() as collector, serve(otlp_endpoint=collector.endpoint, trace_ratio=1.0) as server:
        await health_pb2_grpc.HealthStub(server.channel()).Check(health_pb2.HealthCheckRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await stub(server).GetImage(MISSING)
        await collector.span(lambda span: span.name == GET)
        assert {span.name for span in collector.spans if span.kind == 2} == {GET}
