"""What is told of images that are being made, or could not be made. The test writes what another replica would have written."""

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from souk.client import FailedPreconditionError, ImagingClient, NotFoundError
from souk_common.testing import RunningServer
from souk_imaging.adapters.disk import DiskStore
from souk_imaging.images import Format, Image, ImageState, Original, Variant, VariantState, new_image_id
from souk_imaging.library import Library, Pending

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
