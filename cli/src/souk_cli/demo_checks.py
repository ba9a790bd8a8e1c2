"""What the demo prints, checked against the service's own rpcs, its HTTP, and the bytes themselves."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
from PIL import Image, ImageOps
from souk.client import ImagingClient
from souk.imaging.v1 import imaging_pb2 as pb

from souk_cli.savings import ready

METADATA = ("exif", "xmp", "photoshop", "comment", "XML:com.adobe.xmp")
"""Names that Pillow gives metadata in Image.info. (A GIF's comment is not among what the service makes.)"""


class Got(Protocol):
    """What a browser got."""

    @property
    def browser(self) -> str: ...  # noqa: D102
    @property
    def accept(self) -> str: ...  # noqa: D102
    @property
    def content_type(self) -> str: ...  # noqa: D102
    @property
    def location(self) -> str: ...  # noqa: D102
    @property
    def size_bytes(self) -> int: ...  # noqa: D102


@dataclass(slots=True)
class Checks:
    """What was checked. Many good ones of one kind are one line; each bad one is its own."""

    _good: Counter[str] = field(default_factory=Counter)
    _bad: list[str] = field(default_factory=list)

    def add(self, what: str, good: bool, kind: str = "") -> None:
        """One thing that was checked; `kind` says what many of them are."""
        if good:
            self._good[kind or what] += 1
        else:
            self._bad.append(what)

    @property
    def passed(self) -> bool:
        """Whether something was checked, and all of it is good."""
        return bool(self._good) and not self._bad

    def lines(self) -> list[tuple[str, bool]]:
        """What to show, and whether it is good."""
        good = [(f"{count} {kind}" if count > 1 else kind, True) for kind, count in self._good.items()]
        return [*good, *((what, False) for what in self._bad)]


def check_originals(checks: Checks, images: Mapping[Path, pb.Image]) -> None:
    """Every photo was decoded once, and its size was read as it stands upright."""
    for path, image in images.items():
        with Image.open(path) as photo:
            upright = ImageOps.exif_transpose(photo).size
        told = (image.original.width, image.original.height)
        checks.add(f"{path.name} is {upright}, and the service says {told}", told == upright, "photos have their upright size")
        decodes = image.processing.decodes
        checks.add(f"{path.name} was decoded {decodes} times", decodes == 1, "photos were decoded once")


async def check_accounts(checks: Checks, client: ImagingClient, owner: str, images: Sequence[pb.Image]) -> None:
    """GetImage and ListImages say of every image what its upload said, and of no other."""
    listed = {image.image_id: image async for image in client.list(owner=owner, page_size=7)}
    checks.add(
        f"ListImages has {len(listed)} images of {len(images)} uploaded",
        listed.keys() == {image.image_id for image in images},
        "ListImages has exactly what was uploaded",
    )
    for image in images:
        got = await client.get(image.image_id)
        same = _sizes(got) == _sizes(image) == _sizes(listed.get(image.image_id, pb.Image()))
        checks.add(f"rpcs disagree about {image.image_id}", same, "images are the same to UploadImage, GetImage and ListImages")


async def check_browsers(checks: Checks, client: ImagingClient, image: pb.Image, fetched: Iterable[Got], width: int) -> None:
    """Each browser got a type that it asked for, and what SelectVariant chooses for it."""
    for got in fetched:
        asked = got.content_type in got.accept or (got.content_type == "image/jpeg" and "*/*" in got.accept)
        checks.add(f"{got.browser} got {got.content_type}", asked, "browsers got a type that they show")
        chosen = await client.select(image.image_id, accept=got.accept, width=width, device_pixel_ratio=2)
        same = got.location.endswith(chosen.name) and got.size_bytes == chosen.size_bytes
        checks.add(f"SelectVariant gives {got.browser} {chosen.name}", same, "browsers got what SelectVariant chooses")


async def check_variants(
    checks: Checks,
    client: ImagingClient,
    http: httpx.AsyncClient,
    images: Mapping[Path, pb.Image],
    secrets: Sequence[bytes],
    keep: Callable[[str, str, bytes], None],
) -> None:
    """Every variant is the same by rpc and by HTTP, is what its message says, and tells nothing of its origin.

    `keep` gets the image id, the variant's name, and its bytes.
    """
    for path, image in images.items():
        for variant in ready(image):
            data = await client.download(image.image_id, variant.name)
            response = await http.get(variant.url)
            same = response.status_code == 200 and response.content == data and len(data) == variant.size_bytes
            checks.add(f"{path.name}: {variant.name} differs between rpc and HTTP", same, "variants are the same by rpc and HTTP")
            with Image.open(io.BytesIO(data)) as picture:
                checks.add(
                    f"{path.name}: {variant.name} is {picture.size}",
                    picture.size == (variant.width, variant.height),
                    "variants have the size that is said",
                )
                silent = not picture.getexif() and not any(name in picture.info for name in METADATA)
            silent = silent and not any(secret in data for secret in secrets)
            checks.add(f"{path.name}: {variant.name} carries metadata", silent, "variants carry no GPS, EXIF or XMP")
            keep(image.image_id, variant.name, data)


def _sizes(image: pb.Image) -> list[tuple[str, int]]:
    return [(variant.name, variant.size_bytes) for variant in image.variants]
