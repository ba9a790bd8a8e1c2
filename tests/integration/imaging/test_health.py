"""Health tells the truth: what is asked by probes, and what becomes of it when the store goes and comes back."""

import asyncio
import shutil
import signal
import time
from pathlib import Path

import grpc
import object_stores
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from souk_common.testing import RunningServer

from services import Serve

NAMES = ["", "liveness", "readiness", "souk.imaging.v1.ImagingService", "imaging.store"]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def stub(server: RunningServer) -> health_pb2_grpc.HealthStub:
    return health_pb2_grpc.HealthStub(server.channel())


async def check(server: RunningServer, name: str) -> int:
    return int((await stub(server).Check(health_pb2.HealthCheckRequest(service=name))).status)


async def test_check_and_watch_answer_for_every_name(server: RunningServer) -> None:
    for name in NAMES:
        assert await check(server, name) == SERVING, name
        watch = stub(server).Watch(health_pb2.HealthCheckRequest(service=name))
        assert (await watch.read()).status == SERVING, name
        watch.cancel()


async def test_an_unknown_name_is_not_found_by_check_and_unknown_to_watch(server: RunningServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(server, "nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub(server).Watch(health_pb2.HealthCheckRequest(service="nothing"))
    assert (await watch.read()).status == SERVICE_UNKNOWN
    watch.cancel()


async def test_readiness_follows_the_store_within_5_seconds_and_liveness_stays(server: RunningServer, tmp_path: Path) -> None:
    photos = tmp_path / "state" / "photos"
    watch = stub(server).Watch(health_pb2.HealthCheckRequest(service="readiness"))
    assert (await watch.read()).status == SERVING

    gone = time.monotonic()
    shutil.move(photos, tmp_path / "away")
    assert (await watch.read()).status == NOT_SERVING
    assert time.monotonic() - gone < 5
    assert await check(server, "liveness") == SERVING
    for name in ("", "souk.imaging.v1.ImagingService", "imaging.store"):
        assert await check(server, name) == NOT_SERVING

    back = time.monotonic()
    shutil.move(tmp_path / "away", photos)
    assert (await watch.read()).status == SERVING
    assert time.monotonic() - back < 5
    watch.cancel()


async def test_readiness_follows_a_bucket_that_hangs_is_gone_and_comes_back(serve: Serve, tmp_path: Path) -> None:
    bucket = await object_stores.start_s3(tmp_path / "s3")
    again = None
    try:
        async with serve(**bucket.settings()) as server:
            watch = stub(server).Watch(health_pb2.HealthCheckRequest(service="readiness"))
            while (await watch.read()).status != SERVING:
                pass
            async with asyncio.timeout(5):
                bucket.process.send_signal(signal.SIGSTOP)
                assert (await watch.read()).status == NOT_SERVING
            await bucket.kill()
            port = int(bucket.endpoint.rpartition(":")[2])
            again = await object_stores.start_s3(tmp_path / "s3", port=port, keys=(bucket.access_key, bucket.secret_key))
            async with asyncio.timeout(5):
                assert (await watch.read()).status == SERVING
            watch.cancel()
    finally:
        for each in filter(None, (bucket, again)):
            await each.kill()


async def test_a_watch_sees_not_serving_and_ends_when_the_server_stops(serve: Serve) -> None:
    seen = []

    async def watch(server: RunningServer, begun: asyncio.Event) -> grpc.StatusCode:
        try:
            async for answer in stub(server).Watch(health_pb2.HealthCheckRequest(service="readiness")):
                seen.append(answer.status)
                begun.set()
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    channel_owner = serve(drain_grace=30)
    server = await channel_owner.__aenter__()
    begun = asyncio.Event()
    server_channels, server.channels = server.channels, []
    watching = asyncio.create_task(watch(server, begun))
    await begun.wait()
    mine, server.channels = server.channels, server_channels
    start = time.monotonic()
    await channel_owner.__aexit__(None, None, None)
    assert await watching is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - start < 10  # and not the 30 s of the grace
    assert seen == [SERVING, NOT_SERVING]
    await asyncio.gather(*(channel.close() for channel in mine))
