"""The images as callers see them: one by one, in lists, and by their variants."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from souk_imaging.exceptions import (
    ImageFailedError,
    ImageNotFoundError,
    ImageNotReadyError,
    NoAcceptableVariantError,
    VariantNotFoundError,
)
from souk_imaging.images import Image, Variant, VariantState
from souk_imaging.library import Library, Page, variant_key
from souk_imaging.processing import Processor
from souk_imaging.selection import Capabilities, choose
from souk_imaging.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Client:
    """What a client says of itself."""

    accept: str = ""
    """Its Accept header."""
    width: int = 0
    """Of the place on the page, in CSS pixels; 0: as wide as there is."""
    device_pixel_ratio: float = 1.0
    save_data: bool = False


class Gallery:
    """Reads and deletes images, whether they are in work here or finished in the store."""

    def __init__(self, library: Library, processor: Processor, store: ObjectStore) -> None:
        self._library = library
        self._processor = processor
        self._store = store

    async def image(self, image_id: str) -> Image:
        """The image as it is now; ImageNotFoundError where there is none."""
        image = await self._processor.image(image_id)
        if image is None:
            raise ImageNotFoundError("no image has this id", image_id=image_id)
        return image

    def watch(self, image_id: str) -> AsyncGenerator[Image | None, None]:
        """As Processor.watch."""
        return self._processor.watch(image_id)

    async def page(self, *, owner: str, tags: Sequence[str], size: int, position: str) -> Page:
        """As Library.page."""
        return await self._library.page(owner=owner, tags=tags, size=size, position=position)

    async def variant(self, image_id: str, name: str) -> Variant:
        """A variant that can be served; VariantNotFoundError where there is none of this name, ImageFailedError where there never
        will be one."""
        image = await self._not_failed(image_id)
        for variant in image.ready():
            if variant.name == name:
                return variant
        raise VariantNotFoundError("the image has no variant of this name that is ready", image_id=image_id)

    async def read(self, image_id: str, name: str, *, offset: int, limit: int | None) -> AsyncGenerator[bytes, None]:
        """The bytes of a variant, in pieces of at most 256 KiB; VariantNotFoundError, before the first, where it is gone."""
        pieces = self._store.read(variant_key(image_id, name), offset=offset, length=limit)
        async with contextlib.aclosing(pieces):
            try:
                async for piece in pieces:
                    yield piece
            except KeyError:
                raise VariantNotFoundError("the variant is gone: its image was deleted meanwhile", image_id=image_id) from None

    async def has(self, image_id: str) -> bool:
        """False where there is no such image, or it is deleted: a variant that is in the store all the same is not to be served."""
        return await self._library.exists(image_id)

    async def select(self, image_id: str, client: Client) -> Variant:
        """The variant that a client should get, out of those that are made and those to come: the choice does not change later.

        ImageNotReadyError while it is still being made; NoAcceptableVariantError where none is of a format that the client accepts;
        ImageFailedError where none could be made.
        """
        image = await self._not_failed(image_id)
        candidates = [variant for variant in image.variants if variant.state is not VariantState.SKIPPED]
        if not candidates and not image.finished:
            raise ImageNotReadyError("it is not known yet which variants the image will have", image_id=image_id)
        capabilities = Capabilities.from_accept(client.accept)
        chosen = choose(candidates, capabilities, client.width, client.device_pixel_ratio, save_data=client.save_data)
        if chosen is None:
            raise NoAcceptableVariantError("the client accepts none of the formats there are", image_id=image_id)
        if chosen.state is VariantState.PENDING:
            raise ImageNotReadyError("the variant that suits the client is still being made", image_id=image_id)
        return chosen

    async def _not_failed(self, image_id: str) -> Image:
        image = await self.image(image_id)
        if image.failure:
            raise ImageFailedError(image.failure.message, image_id=image_id, reason=image.failure.reason)
        return image

    async def delete(self, image_id: str, *, allow_missing: bool) -> None:
        """Delete an image and everything of it; ImageNotFoundError where there is none and that is not allowed."""
        if not await self._processor.delete(image_id) and not allow_missing:
            raise ImageNotFoundError("no image has this id", image_id=image_id)
