"""Several services on one bucket, as processes of their own: one killed, one frozen."""

import asyncio
import contextlib
import signal
from pathlib import Path

import object_stores
import pictures
import processes
import pytest
from souk.client import ClientConfig, ImagingClient, NotFoundError
from souk.imaging.v1 import imaging_pb2 as pb

PHOTO = pictures.jpeg(1600, 1200)


@pytest.fixture
async def bucket(tmp_path: Path):
    async with object_stores.serving_s3(tmp_path / "s3") as server:
        yield server


def client(service: processes.ServiceProcess) -> ImagingClient:
    return ImagingClient(config=ClientConfig(target=service.grpc))


async def test_two_services_on_one_bucket_see_each_others_photos(start, bucket: object_stores.S3Server) -> None:
    one, two = await asyncio.gather(*(start(name=n, state_dir=bucket.folder / n, **bucket.settings()) for n in ("one", "two")))
    async with client(one) as first, client(two) as second:
        image = await first.upload(PHOTO, owner="o", tags=["t"], request_id="r")
        assert await second.get(image.image_id) == image
        assert [each.image_id async for each in second.list(owner="o", tags=["t"])] == [image.image_id]
        name = image.variants[-1].name
        assert await second.download(image.image_id, name) == await first.download(image.image_id, name)
        assert await second.upload(PHOTO, owner="o", tags=["t"], request_id="r") == image

        accepted = await first.upload(PHOTO, wait_for=pb.WAIT_FOR_ACCEPTED)
        seen = [each async for each in second.watch(accepted.image_id)]
        assert seen[-1] is not None
        assert seen[-1].state == pb.IMAGE_STATE_READY

        await second.delete(image.image_id)
        with pytest.raises(NotFoundError):
            await first.get(image.image_id)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_what_a_lost_service_accepted_is_finished_by_another(
    start, bucket: object_stores.S3Server, number: signal.Signals
) -> None:
    settings = {**bucket.settings(), "lease_seconds": 3}
    lost, other = await asyncio.gather(*(start(name=n, state_dir=bucket.folder / n, **settings) for n in ("lost", "other")))
    async with client(lost) as first:
        accepted = [await first.upload(PHOTO, wait_for=pb.WAIT_FOR_ACCEPTED) for _ in range(4)]
        lost.signal(number)
        async with client(other) as second:
            for image in accepted:
                last = [each async for each in second.watch(image.image_id)][-1]
                assert last is not None
                assert last.state == pb.IMAGE_STATE_READY
            if number is signal.SIGSTOP:
                lost.signal(signal.SIGCONT)
                await processes.until(lambda: not list((bucket.folder / object_stores.BUCKET).glob("_pending/*")))
            for image in accepted:
                thawed = await second.get(image.image_id)
                assert thawed.state == pb.IMAGE_STATE_READY
                for variant in thawed.variants:
                    if variant.state == pb.VARIANT_STATE_READY:
                        assert len(await second.download(image.image_id, variant.name)) == variant.size_bytes


@pytest.mark.parametrize("folders", [("one", "two"), ("same", "same")], ids=["a folder each", "one folder"])
async def test_two_services_that_have_one_name_leave_each_other_their_photos(
    start, bucket: object_stores.S3Server, folders: tuple[str, str]
) -> None:
    first, second = (bucket.folder / folder for folder in folders)
    settings = {**bucket.settings(), "node": "same", "workers": 1, "lease_seconds": 6}
    one = await start(name="one", state_dir=first, **settings)
    async with client(one) as uploads:
        accepted = [await uploads.upload(PHOTO, wait_for=pb.WAIT_FOR_ACCEPTED) for _ in range(10)]
        two = await start(name="two", state_dir=second, **settings)
        async with client(two) as watches:
            for image in accepted:
                last = [each async for each in watches.watch(image.image_id)][-1]
                assert last is not None
                assert last.state == pb.IMAGE_STATE_READY
    taken = [line for service in (one, two) for line in service.lines() if line["event"].startswith("taking over")]
    assert taken == []


async def test_a_photo_deleted_on_one_service_while_another_makes_it_does_not_come_back(
    start, bucket: object_stores.S3Server
) -> None:
    settings = {**bucket.settings(), "lease_seconds": 3}
    one, two = await asyncio.gather(*(start(name=n, state_dir=bucket.folder / n, **settings) for n in ("one", "two")))
    large = pictures.jpeg(2400, 1800)
    async with client(one) as first, client(two) as second:
        accepted = await first.upload(large, wait_for=pb.WAIT_FOR_ACCEPTED)
        await second.delete(accepted.image_id)
        with contextlib.suppress(NotFoundError):
            assert [each async for each in first.watch(accepted.image_id)][-1] is None
        folder = bucket.folder / object_stores.BUCKET
        await processes.until(
            lambda: not [p for p in folder.rglob("*") if p.is_file() and p.parts[-2] != "default" and p.name != "_check"]
        )
        with pytest.raises(NotFoundError):
            await second.get(accepted.image_id)
