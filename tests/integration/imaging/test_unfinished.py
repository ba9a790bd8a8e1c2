"""What is told of images that are being made, or could not be made. The test writes what another replica would have written."""

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pictures
import pytest
from souk.client import ClientConfig, FailedPreconditionError, ImagingClient, InternalError, NotFoundError
from souk.imaging.v1 import imaging_pb2 as pb
from souk_common.testing import RunningServer
from souk_imaging.adapters.disk import DiskStore
from souk_imaging.images import Format, Image, ImageState, Original, Variant, VariantState, new_image_id
from souk_imaging.library import Library, Pending

from services import Serve

SLOW = """
profiles:
  product:
    sides: [2400, 200]
    formats: {opaque: [avif, jpg], transparent: [avif, png], animated: [webp, jpg]}
    quality: {avif: 80, webp: 78, jpg: 80, png: 100}
    effort: {avif: 9, webp: 2, jpg: 0, png: 4}
"""
"""A decode takes a moment, and the AVIF many seconds."""
AVIF, WEBP, ANY = "image/avif", "image/webp", "*/*"


class Replica:
    """Another replica on the same store, which does what the test says."""

    def __init__(self, store: DiskStore, folder: Path) -> None:
        self.library = Library(store)
        self._folder = folder

    async def begin(self) -> Image:
        """An image of which nothing is known yet."""
        now = time.time()
        original = Original("image/jpeg", 3, 1600, 1200, 1, False, "")
        image = Image(new_image_id(), "default", "product", (), now, now, ImageState.PROCESSING, original)
        pending = Pending(image.image_id, "default", (), "process", "another/1", now + 3600)
        await self.library.accept(image, self._file(b"jpg"), pending, None)
        return image

    async def show(self, image: Image, **states: VariantState) -> Image:
        """The progress of an image with variants as `avif_1600=READY`."""
        for name, state in states.items():
            form, width = name.split("_")
            digest = secrets.token_hex(8) if state is VariantState.READY else ""
            variant = Variant("product", Format(form), int(width), int(width) * 3 // 4, state, 5 if digest else 0, digest)
            if digest:
                await self.library.publish(image.image_id, variant, self._file(name.encode()))
            image = image.with_variant(variant, now=time.time())
        await self.library.save_progress(image)
        return image

    async def finish(self, image: Image) -> Image:
        """Every variant that is pending is skipped; the image is READY."""
        skipped = (v if v.state is VariantState.READY else replace(v, state=VariantState.SKIPPED) for v in image.variants)
        image = replace(image, state=ImageState.READY, variants=tuple(skipped))
        await self.library.save(image)
        return image

    def _file(self, data: bytes) -> Path:
        path = self._folder / secrets.token_hex(8)
        path.write_bytes(data)
        return path


@pytest.fixture
async def replica(server: RunningServer, tmp_path: Path) -> AsyncIterator[Replica]:
    store = DiskStore(tmp_path / "state" / "photos")
    yield Replica(store, tmp_path)
    await store.close()


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.http_url) as client:
        yield client


PENDING, READY, SKIPPED = VariantState.PENDING, VariantState.READY, VariantState.SKIPPED


async def chosen(client: ImagingClient, http: httpx.AsyncClient, image: Image, accept: str, width: int) -> str:
    """What both faces give, as `avif_200`, or the reason of their refusal, which they share."""
    answer = await http.get(f"/i/{image.image_id}", params={"w": width}, headers={"accept": accept})
    try:
        variant = await client.select(image.image_id, accept=accept, width=width)
    except (FailedPreconditionError, NotFoundError) as error:
        refusal = error.reason
    else:
        assert (answer.status_code, answer.headers["content-location"]) == (200, variant.url)
        return answer.text
    assert answer.status_code == {"IMAGE_NOT_READY": 503, "VARIANT_NOT_FOUND": 406}[refusal]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("retry-after") == ("1" if refusal == "IMAGE_NOT_READY" else None)
    return refusal


@pytest.mark.parametrize(
    ("accept", "width", "expected"),
    [
        (f"{AVIF},{WEBP},{ANY}", 200, "IMAGE_NOT_READY"),  # 1600 is there, 200 is to come
        (f"{AVIF},{WEBP},{ANY}", 1600, "avif_1600"),
        (WEBP, 1600, "IMAGE_NOT_READY"),  # the only format that it shows is to come
        (ANY, 200, "jpg_200"),
        (f"{AVIF},{ANY}", 400, "jpg_400"),  # AVIF is not worth its bytes there
        ("text/html", 200, "VARIANT_NOT_FOUND"),
    ],
)
async def test_a_client_gets_the_variant_that_it_will_always_get_or_is_told_to_come_again(
    client: ImagingClient, http: httpx.AsyncClient, replica: Replica, accept: str, width: int, expected: str
) -> None:
    image = await replica.begin()
    assert await chosen(client, http, image, accept, width) == "IMAGE_NOT_READY"
    image = await replica.show(
        image,
        avif_1600=READY, webp_1600=PENDING, jpg_1600=PENDING,
        avif_400=SKIPPED, webp_400=PENDING, jpg_400=READY,
        avif_200=PENDING, webp_200=PENDING, jpg_200=READY,
    )  # fmt: skip
    assert await chosen(client, http, image, accept, width) == expected
    image = await replica.show(image, webp_1600=READY, avif_200=READY)
    settled = {"IMAGE_NOT_READY": "avif_200" if AVIF in accept else "webp_1600"}
    await replica.finish(image)
    assert await chosen(client, http, image, accept, width) == settled.get(expected, expected)


async def test_a_failed_image_says_everywhere_why_and_promises_no_variants(serve: Serve, tmp_path: Path) -> None:
    photo = pictures.jpeg(2400, 1800)
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text(SLOW)
    async with (
        serve(workers=1, worker_timeout=1.0, profiles_file=profiles) as server,
        ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client,
    ):
        accepted = await client.upload(photo, wait_for=pb.WAIT_FOR_ACCEPTED, request_id="r")
        seen = [image async for image in client.watch(accepted.image_id) if image is not None]
        assert any(image.variants for image in seen)
        failed = seen[-1]
        assert (failed.state, failed.error.reason, list(failed.variants)) == (pb.IMAGE_STATE_FAILED, "WORKER_TIMED_OUT", [])

        reading = (client.select(failed.image_id, accept=ANY), client.download(failed.image_id, "product-1600.jpg"))
        for attempt in reading:
            with pytest.raises(FailedPreconditionError) as caught:
                await attempt
            assert caught.value.reason == "IMAGE_FAILED"
            assert caught.value.message == failed.error.message
            assert caught.value.metadata == {"image_id": failed.image_id, "reason": "WORKER_TIMED_OUT"}
        async with httpx.AsyncClient(base_url=server.http_url) as http:
            answer = await http.get(failed.url)
        assert (answer.status_code, answer.json()["detail"]) == (404, failed.error.message)
        assert "accept" not in answer.headers.get("vary", "").lower()

        assert await client.upload(photo, wait_for=pb.WAIT_FOR_ACCEPTED, request_id="r") == failed
        with pytest.raises(InternalError) as repeated:
            await client.upload(photo, request_id="r")
        assert (repeated.value.reason, repeated.value.message) == ("WORKER_TIMED_OUT", failed.error.message)
        assert repeated.value.metadata == dict(failed.error.metadata)
        assert (await client.get(failed.image_id)).state == pb.IMAGE_STATE_FAILED
