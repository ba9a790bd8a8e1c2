"""A photo, from upload to variants, lists, selection, download and deletion."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pictures
import pytest
from PIL import Image
from souk.client import AbortedError, ImagingClient, InvalidArgumentError, NotFoundError
from souk.imaging.v1 import imaging_pb2 as pb
from souk.imaging.v1 import imaging_pb2_grpc
from souk_common.testing import RunningServer


async def test_an_upload_returns_every_variant_ready_and_each_can_be_downloaded(client: ImagingClient) -> None:
    photo = pictures.jpeg(1000, 700)
    image = await client.upload(photo, owner="seller-1", tags=["listing:7", "listing:7"])

    assert image.state == pb.IMAGE_STATE_READY
    assert (image.owner, image.profile, list(image.tags)) == ("seller-1", "product", ["listing:7"])
    assert (image.original.width, image.original.height, image.original.frames) == (1000, 700, 1)
    assert image.original.sha256 == hashlib.sha256(photo).digest()
    assert image.processing.decodes == 1
    assert {(v.width, v.format) for v in image.variants} == {
        (width, form) for width in (1000, 800, 400, 200) for form in (pb.FORMAT_AVIF, pb.FORMAT_WEBP, pb.FORMAT_JPEG)
    }
    for variant in image.variants:
        if variant.state == pb.VARIANT_STATE_SKIPPED:
            continue
        data = await client.download(image.image_id, variant.name)
        assert len(data) == variant.size_bytes
        assert hashlib.sha256(data).hexdigest()[:16] in variant.name
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.size == (variant.width, variant.height)
            assert picture.format == {2: "PNG", 1: "JPEG", 3: "WEBP", 4: "AVIF"}[variant.format]
    assert await client.get(image.image_id) == image


@pytest.mark.parametrize("given", [True, False])
async def test_the_sha256_of_a_photo_is_known_at_once_where_it_was_given_and_in_the_end_anyway(
    client: ImagingClient, given: bool
) -> None:
    photo = pictures.jpeg(300, 200)
    digest = hashlib.sha256(photo).digest()
    accepted = await client.upload(photo, wait_for=pb.WAIT_FOR_ACCEPTED, sha256=given)
    assert accepted.original.sha256 in ({digest} if given else {b"", digest})
    seen = [image async for image in client.watch(accepted.image_id)]
    assert seen[-1].original.sha256 == digest


async def test_a_path_bytes_and_a_stream_give_the_same_variants(client: ImagingClient, tmp_path: Path) -> None:
    photo = pictures.jpeg(300, 200)
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo)

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(photo), 1000):
            yield photo[start : start + 1000]

    seen: list[tuple[int, int | None]] = []
    images = [
        await client.upload(path, on_progress=lambda sent, total: seen.append((sent, total))),
        await client.upload(photo),
        await client.upload(stream()),
    ]
    assert len({tuple(v.name for v in image.variants) for image in images}) == 1
    assert len({image.image_id for image in images}) == 3
    assert seen[-1] == (len(photo), len(photo))


async def test_an_accepted_upload_returns_at_once_and_is_watched_until_it_is_ready(client: ImagingClient) -> None:
    image = await client.upload(pictures.jpeg(), wait_for=pb.WAIT_FOR_ACCEPTED)
    assert image.state == pb.IMAGE_STATE_PROCESSING
    states = [seen.state async for seen in client.watch(image.image_id) if seen is not None]
    assert states[-1] == pb.IMAGE_STATE_READY
    pending = [pb.VARIANT_STATE_PENDING in {v.state for v in (await client.get(image.image_id)).variants}]
    assert pending == [False]


async def test_a_watch_shows_variants_become_ready_one_after_another(client: ImagingClient) -> None:
    image = await client.upload(pictures.jpeg(1600, 1200), wait_for=pb.WAIT_FOR_ACCEPTED)
    counts = [
        sum(v.state != pb.VARIANT_STATE_PENDING for v in seen.variants)
        async for seen in client.watch(image.image_id)
        if seen is not None
    ]
    assert counts == sorted(counts)
    assert len(set(counts)) > 3


async def test_a_repeated_request_id_returns_the_first_image(client: ImagingClient) -> None:
    photo = pictures.jpeg(300, 200)
    first = await client.upload(photo, request_id="order-1/photo-1")
    again = await client.upload(photo, request_id="order-1/photo-1")
    assert again == first
    other_owner = await client.upload(photo, request_id="order-1/photo-1", owner="someone-else")
    assert other_owner.image_id != first.image_id


async def test_a_request_id_cannot_be_used_for_another_upload(client: ImagingClient) -> None:
    await client.upload(pictures.jpeg(300, 200), request_id="r1")
    with pytest.raises(InvalidArgumentError) as caught:
        await client.upload(pictures.jpeg(300, 200), request_id="r1", profile="avatar")
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_a_request_id_is_free_again_after_a_failed_upload_and_after_deletion(client: ImagingClient) -> None:
    broken = pictures.jpeg()[:20_000]
    with pytest.raises(InvalidArgumentError):
        await client.upload(broken, request_id="r1")
    image = await client.upload(pictures.jpeg(300, 200), request_id="r1")
    await client.delete(image.image_id)
    assert (await client.upload(pictures.jpeg(300, 200), request_id="r1")).image_id != image.image_id


async def test_lists_are_newest_first_filtered_and_paged(client: ImagingClient) -> None:
    photo = pictures.jpeg(60, 40)
    made = []
    for number in range(7):
        tags = [f"listing:{number % 2}", "all"]
        made.append((await client.upload(photo, owner=f"o{number % 3}", tags=tags)).image_id)
    newest = made[::-1]

    async def listed(**filters: object) -> list[str]:
        return [image.image_id async for image in client.list(**filters)]

    assert await listed() == newest
    assert await listed(page_size=2) == newest
    assert await listed(owner="o1") == [made[4], made[1]]
    assert await listed(tags=["all", "listing:1"], page_size=1) == [made[5], made[3], made[1]]
    assert await listed(owner="o0", tags=["listing:0"]) == [made[6], made[0]]
    assert await listed(owner="nobody") == []


async def test_a_page_token_is_good_only_for_its_filter(client: ImagingClient, server: RunningServer) -> None:
    for _ in range(3):
        await client.upload(pictures.jpeg(60, 40), owner="a")
    stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())
    page = await stub.ListImages(pb.ListImagesRequest(owner="a", page_size=1))
    assert page.next_page_token
    for request in (
        pb.ListImagesRequest(owner="b", page_size=1, page_token=page.next_page_token),
        pb.ListImagesRequest(owner="a", page_token="../../etc"),
        pb.ListImagesRequest(owner="a", page_token="AAAA"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListImages(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_selection_suits_the_client(client: ImagingClient) -> None:
    image = await client.upload(pictures.jpeg(1000, 700))
    chrome = await client.select(image.image_id, accept="image/avif,image/webp,image/*,*/*;q=0.8", width=300)
    assert (chrome.format, chrome.width) == (pb.FORMAT_AVIF, 400)
    retina = await client.select(image.image_id, accept="image/webp,*/*", width=300, device_pixel_ratio=2.0)
    assert (retina.format, retina.width) == (pb.FORMAT_WEBP, 800)
    saving = await client.select(image.image_id, accept="image/webp,*/*", width=300, device_pixel_ratio=2.0, save_data=True)
    assert saving.width == 400
    for said, taken in ((0.01, 0.5), (20.0, 5.0)):
        zoomed, kept = [await client.select(image.image_id, width=120, device_pixel_ratio=ratio) for ratio in (said, taken)]
        assert zoomed == kept
    for ratio in (-1.0, float("inf"), float("nan")):
        with pytest.raises(InvalidArgumentError):
            await client.select(image.image_id, device_pixel_ratio=ratio)
    old = await client.select(image.image_id, width=5000)
    assert (old.format, old.width) == (pb.FORMAT_JPEG, 1000)
    refused = await client.select(image.image_id, accept="image/avif;q=0,image/webp", width=100)
    assert refused.format == pb.FORMAT_WEBP
    with pytest.raises(NotFoundError) as caught:
        await client.select(image.image_id, accept="text/html")
    assert caught.value.reason == "VARIANT_NOT_FOUND"


async def test_a_download_resumes_at_an_offset(client: ImagingClient, server: RunningServer) -> None:
    image = await client.upload(pictures.jpeg())
    name = image.variants[-1].name
    whole = await client.download(image.image_id, name)
    stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())
    request = pb.DownloadVariantRequest(image_id=image.image_id, variant_name=name, read_offset=100, read_limit=50)
    parts = [part async for part in stub.DownloadVariant(request)]
    assert parts[0].header.name == name
    assert b"".join(part.chunk.data for part in parts[1:]) == whole[100:150]


async def test_deletion_removes_every_trace(client: ImagingClient, tmp_path: Path) -> None:
    image = await client.upload(pictures.jpeg(300, 200), owner="o", tags=["t"])
    await client.delete(image.image_id)
    for attempt in (
        client.get(image.image_id),
        client.download(image.image_id, image.variants[0].name),
        client.delete(image.image_id),
    ):
        with pytest.raises(NotFoundError) as caught:
            await attempt
        assert caught.value.reason == "IMAGE_NOT_FOUND"
    await client.delete(image.image_id, allow_missing=True)
    assert [each async for each in client.list()] == []
    assert photo_files(tmp_path / "state") == []


def photo_files(state: Path) -> list[Path]:
    """What there is of images; the record of what was under way stays for a lease (test_deletion.py)."""
    return [path for path in (state / "photos").rglob("*") if path.is_file() and not {"_requests", "_pending"} & set(path.parts)]


async def test_deletion_ends_an_upload_that_waits_for_its_variants(client: ImagingClient, tmp_path: Path) -> None:
    upload = asyncio.create_task(client.upload(pictures.jpeg(2400, 1800), request_id="r"))
    found: list[pb.Image] = []
    while not found:
        found = [image async for image in client.list()]
    assert found[0].state == pb.IMAGE_STATE_PROCESSING
    await client.delete(found[0].image_id)
    with pytest.raises(AbortedError) as caught:
        await upload
    assert caught.value.reason == "IMAGE_DELETED"
    assert photo_files(tmp_path / "state") == []


async def test_deletion_stops_work_in_the_background_and_ends_its_watches(client: ImagingClient, tmp_path: Path) -> None:
    image = await client.upload(pictures.jpeg(2400, 1800), wait_for=pb.WAIT_FOR_ACCEPTED)
    seen = []
    async for each in client.watch(image.image_id):
        seen.append(each)
        if len(seen) == 1:
            await client.delete(image.image_id)
    assert seen[-1] is None
    assert photo_files(tmp_path / "state") == []
