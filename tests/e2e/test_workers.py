"""A worker that dies or hangs costs its photo a typed error, and nobody else anything."""

import asyncio
import os
import signal

import pictures
import pytest
from souk.client import ClientConfig, ImagingClient, InternalError
from souk.imaging.v1 import imaging_pb2 as pb

LARGE = pictures.jpeg(2400, 1800)
SMALL = pictures.jpeg(300, 200)


@pytest.mark.parametrize(("number", "reason"), [(signal.SIGKILL, "WORKER_CRASHED"), (signal.SIGSTOP, "WORKER_TIMED_OUT")])
async def test_a_worker_that_is_lost_costs_one_photo(start, number: signal.Signals, reason: str) -> None:
    service = await start(workers=1, worker_timeout=4)
    (worker,) = service.workers()
    async with ImagingClient(config=ClientConfig(target=service.grpc)) as client:
        lost = asyncio.create_task(client.upload(LARGE))
        listed: list[pb.Image] = []
        while not (listed and listed[0].variants):  # the worker has begun
            listed = [image async for image in client.list()]
        others = [asyncio.create_task(client.upload(SMALL)) for _ in range(3)]
        os.kill(worker, number)
        with pytest.raises(InternalError) as caught:
            await lost
        assert caught.value.reason == reason
        assert all(image.state == pb.IMAGE_STATE_READY for image in await asyncio.gather(*others))
        assert {image.image_id async for image in client.list()} == {other.result().image_id for other in others}
    assert worker not in service.workers()


async def test_an_accepted_photo_outlives_its_worker(start) -> None:
    service = await start(workers=1)
    (worker,) = service.workers()
    async with ImagingClient(config=ClientConfig(target=service.grpc)) as client:
        image = await client.upload(LARGE, wait_for=pb.WAIT_FOR_ACCEPTED)
        killed = False
        async for seen in client.watch(image.image_id):
            assert seen is not None
            if seen.variants and not killed:
                os.kill(worker, signal.SIGKILL)
                killed = True
        assert killed
        assert (await client.get(image.image_id)).state == pb.IMAGE_STATE_READY


async def test_a_photo_that_takes_too_much_memory_is_named(start) -> None:
    service = await start(workers=1, worker_max_memory_bytes=96 * 1024 * 1024)
    async with ImagingClient(config=ClientConfig(target=service.grpc)) as client:
        with pytest.raises(InternalError) as caught:
            await client.upload(pictures.jpeg(6000, 5000, quality=60))
        assert caught.value.reason == "WORKER_OUT_OF_MEMORY"
        assert (await client.upload(SMALL)).state == pb.IMAGE_STATE_READY
