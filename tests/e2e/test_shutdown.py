"""Stopping, killing and restarting a service loses nothing that was accepted, and stores nothing by halves."""

import asyncio
import signal
from pathlib import Path

import pictures
import processes
import pytest
from souk.client import ClientConfig, ImagingClient, UnavailableError
from souk.imaging.v1 import imaging_pb2 as pb

PHOTO = pictures.jpeg(2000, 1500)


def photo_folders(state: Path) -> list[Path]:
    return [path for path in (state / "photos").iterdir() if path.is_dir() and not path.name.startswith("_")]


async def test_sigterm_in_the_middle_of_20_uploads_halves_none_and_exits_0(start, tmp_path: Path) -> None:
    service = await start(drain_grace=4)
    config = ClientConfig(target=service.grpc, attempts=1)
    async with ImagingClient(config=config) as client:
        progress = asyncio.Event()
        uploads = [
            asyncio.create_task(client.upload(PHOTO, request_id=f"r{n}", on_progress=lambda *_: progress.set())) for n in range(20)
        ]
        await progress.wait()
        await asyncio.wait(uploads, return_when=asyncio.FIRST_COMPLETED)
        service.signal(signal.SIGTERM)
        results = await asyncio.gather(*uploads, return_exceptions=True)
    assert await service.exit_status() == 0

    failures = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(failure, UnavailableError) for failure in failures), failures
    finished = {result.image_id for result in results if isinstance(result, pb.Image)}
    assert finished

    again = await start(name="imaging")
    async with ImagingClient(config=ClientConfig(target=again.grpc)) as client:
        repeated = await asyncio.gather(*(client.upload(PHOTO, request_id=f"r{n}") for n in range(20)))
        assert all(image.state == pb.IMAGE_STATE_READY for image in repeated)
        assert finished <= {image.image_id for image in repeated}
        listed = {image.image_id async for image in client.list()}
        assert listed == {image.image_id for image in repeated}
        assert len(listed) == 20
    assert {path.name for path in photo_folders(tmp_path / "state")} == listed


async def test_a_second_signal_ends_the_service_at_once(start) -> None:
    service = await start(drain_delay=60)
    service.signal(signal.SIGTERM)
    await processes.until(lambda: any(line["event"] == "stopping" for line in service.lines()))
    service.signal(signal.SIGTERM)
    assert await service.exit_status(timeout=5) == 128 + signal.SIGTERM


async def test_accepted_photos_survive_a_kill_and_are_finished_at_once_by_the_next_life(start, tmp_path: Path) -> None:
    service = await start(lease_seconds=600)
    async with ImagingClient(config=ClientConfig(target=service.grpc)) as client:
        accepted = [await client.upload(PHOTO, wait_for=pb.WAIT_FOR_ACCEPTED) for _ in range(6)]
    service.signal(signal.SIGKILL)
    await service.exit_status()

    again = await start(lease_seconds=600)
    async with ImagingClient(config=ClientConfig(target=again.grpc)) as client:
        for image in accepted:
            last = [seen async for seen in client.watch(image.image_id)][-1]
            assert last is not None
            assert last.state == pb.IMAGE_STATE_READY
    await processes.until(lambda: not list((tmp_path / "state" / "photos").glob("_pending/*")))


async def test_an_upload_cut_by_a_kill_can_be_repeated(start) -> None:
    service = await start()
    async with ImagingClient(config=ClientConfig(target=service.grpc, attempts=1)) as client:
        upload = asyncio.create_task(client.upload(PHOTO, request_id="r"))
        listed: list[pb.Image] = []
        while not listed:
            listed = [image async for image in client.list()]
        service.signal(signal.SIGKILL)
        with pytest.raises(UnavailableError):
            await upload
    again = await start()
    async with ImagingClient(config=ClientConfig(target=again.grpc)) as client:
        image = await client.upload(PHOTO, request_id="r")
        assert (image.image_id, image.state) == (listed[0].image_id, pb.IMAGE_STATE_READY)


async def test_no_process_outlives_the_service(start) -> None:
    service = await start(workers=2)
    workers = service.workers()
    assert len(workers) == 2
    service.signal(signal.SIGKILL)
    await service.exit_status()
    await processes.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), timeout=10)


async def test_a_port_that_is_taken_is_named_with_its_setting(start, tmp_path: Path) -> None:
    service = await start()
    port = service.grpc.rpartition(":")[2]
    with pytest.raises(RuntimeError, match=f"127.0.0.1:{port} cannot be listened on.*SOUK_IMAGING_PORT"):
        await start(name="second", port=port)
