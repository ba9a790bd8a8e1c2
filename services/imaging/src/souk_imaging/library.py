"""Where images are in the object store: manifests, originals, variants, the indexes that lists are read from, and what is under
way.

    <image_id>/<variant name>                     public, immutable
    <image_id>/_original                          private; written once, before the manifest, and deleted before anything else
    <image_id>/_manifest.json                     the image exists where this and the original do; written when it begins and ends
    <image_id>/_progress.json                     what is made so far; counts until the manifest says that the image is finished
    _index/all/<entry>                            newest first
    _index/owner/<owner>/<entry>
    _index/tag/<tag>/<entry>
    _pending/<image_id>                           what must be taken further: written before all else, deleted after all else
    _requests/<day>/<owner>/<hash of the request id>   which image a request id made

An index entry's key says all that a filter asks (the owner's and the tags' hashes), so that a list reads only what it returns.

A node that makes an image may write its manifest, or a variant, after another node has deleted it: stores without conditional
writes cannot refuse that. No node writes an original again, so its absence is what says "deleted", and stands for good. Nor can a
node that stood still undo what another has finished meanwhile: what it still writes of its progress is not the manifest.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import orjson

from souk_imaging.images import Image, Variant, newest_first
from souk_imaging.store import ObjectStore

R = TypeVar("R")
REQUEST_ID_SECONDS = 24 * 3600.0
"""How long a request id is remembered."""
SETTLED_SECONDS = 3600.0
"""A finished image whose manifest is this old is not being written by anyone, so that the manifest alone says that it exists."""
LOOKS, LOOK_SECONDS = 6, 0.05
"""How often a record is looked at that cannot be read, and seconds between two looks."""
SCAN_LIMIT = 5_000
"""How many index entries one page looks at, before it returns with what it has found."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What must be taken further for an image, and who is at it."""

    image_id: str
    owner: str
    tags: tuple[str, ...]
    action: str
    """`process` or `delete`."""
    node: str
    expires: float
    """When another node may take it over, in seconds since 1970."""
    attempts: int = 0
    """How often a worker has died of it."""

    @classmethod
    def from_json(cls, data: bytes) -> "Pending":
        """The record; ValueError where it is none."""
        try:
            fields = orjson.loads(data)
            return cls(**{**fields, "tags": tuple(fields["tags"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a pending record: {error}") from error


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """Which image a request id made."""

    image_id: str
    fingerprint: str
    """Of the upload's spec, so that the same id for another upload is found out."""
    expires: float

    @classmethod
    def from_json(cls, data: bytes) -> "RequestRecord":
        """The record; ValueError where it is none."""
        try:
            return cls(**orjson.loads(data))
        except TypeError as error:
            raise ValueError(f"not a record of a request: {error}") from error


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    images: tuple[Image, ...]
    next_position: str
    """Where the next page begins; empty at the end."""


def variant_key(image_id: str, name: str) -> str:
    """The key of a variant's object."""
    return f"{image_id}/{name}"


@lru_cache(maxsize=1024)
def _image_of(manifest: bytes) -> Image:
    """ValueError where it is none. One that says the same as one before is the same: pictures that are looked at come again."""
    return Image.from_json(manifest)


def _original_key(image_id: str) -> str:
    return f"{image_id}/_original"


def _manifest_key(image_id: str) -> str:
    return f"{image_id}/_manifest.json"


def _progress_key(image_id: str) -> str:
    return f"{image_id}/_progress.json"


def _request_key(day: int, owner: str, request_id: str) -> str:
    return f"_requests/{day}/{owner}/{hashlib.sha256(request_id.encode()).hexdigest()[:32]}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _index_keys(image_id: str, owner: str, tags: Sequence[str]) -> list[str]:
    entry = f"{newest_first(image_id)}~{_short_hash(owner)}~{'.'.join(_short_hash(tag) for tag in tags)}"
    return [
        f"_index/all/{entry}",
        f"_index/owner/{owner}/{entry}",
        *(f"_index/tag/{tag}/{entry}" for tag in tags),
    ]


class Library:
    """The images in one object store. Any number of libraries, in any number of processes, may share a store."""

    def __init__(self, store: ObjectStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    async def accept(self, image: Image, photo: Path, pending: Pending, request: tuple[str, RequestRecord] | None) -> None:
        """Store a new image durably: it exists when this returns, and not at all if this raises or is never finished.

        `request` is the request id and its record.
        """
        await self.save_pending(pending)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._store.put_file(_original_key(image.image_id), photo, content_type=image.original.content_type))
            for key in _index_keys(image.image_id, image.owner, image.tags):
                group.create_task(self._store.put(key, b""))
            if request is not None:
                request_id, record = request
                group.create_task(self._store.put(_request_key(self._day(), image.owner, request_id), orjson.dumps(record)))
        await self.save(image)

    async def image(self, image_id: str) -> Image | None:
        """The image as it is, or as far as it is made; None where there is none, or it is deleted."""
        image = await self._record(_manifest_key(image_id), _image_of)
        if image is None or (image.finished and image.update_time < self._clock() - SETTLED_SECONDS):
            return image
        progress = None if image.finished else await self._record(_progress_key(image_id), Image.from_json)
        return (progress or image) if await self.exists(image_id) else None

    async def _record(self, key: str, read: Callable[[bytes], R]) -> R | None:
        """What a record says; None where there is none, ValueError where it is none.

        One that cannot be read is looked at again: S3 replaces an object at once, and not every store that is compatible with it
        does, so that half of one may be seen while another node writes it.
        """
        looks = 0
        while True:
            data = await self._store.get(key)
            try:
                return None if data is None else read(data)
            except ValueError:
                looks += 1
                if looks == LOOKS:
                    raise
            await asyncio.sleep(LOOK_SECONDS)

    async def exists(self, image_id: str) -> bool:
        """False from the moment at which any node has begun to delete the image, whatever others still write of it."""
        return await self._store.info(_original_key(image_id)) is not None

    async def save(self, image: Image) -> None:
        """Write the manifest of an image that is new, or finished."""
        await self._store.put(_manifest_key(image.image_id), image.to_json(), content_type="application/json")

    async def save_progress(self, image: Image) -> None:
        """Write how far an image is made."""
        await self._store.put(_progress_key(image.image_id), image.to_json(), content_type="application/json")

    async def forget_progress(self, image_id: str) -> None:
        """An image is finished: its manifest says all."""
        await self._store.delete(_progress_key(image_id))

    async def publish(self, image_id: str, variant: Variant, path: Path) -> None:
        """Store the bytes of a variant."""
        await self._store.put_file(variant_key(image_id, variant.name), path, content_type=variant.format.content_type)

    async def fetch_original(self, image_id: str, path: Path) -> bool:
        """Write the original to a file; False where there is none."""
        return await self._store.fetch(_original_key(image_id), path)

    async def delete(self, pending: Pending, *, keep_record: bool = False) -> None:
        """Remove every trace of an image, its original first; `pending` (saved by the caller) is removed last, or kept."""
        await self._store.delete(_original_key(pending.image_id))
        async with asyncio.TaskGroup() as group:
            for key in _index_keys(pending.image_id, pending.owner, pending.tags):
                group.create_task(self._store.delete(key))
            group.create_task(self._store.delete_prefix(f"{pending.image_id}/"))
        if not keep_record:
            await self.forget_pending(pending.image_id)

    # What is under way

    async def save_pending(self, pending: Pending) -> None:
        """Say who takes an image further."""
        await self._store.put(f"_pending/{pending.image_id}", orjson.dumps(pending), content_type="application/json")

    async def pending(self, image_id: str) -> Pending | None:
        """Who takes an image further, or None when it is finished."""
        return await self._record(f"_pending/{image_id}", Pending.from_json)

    async def forget_pending(self, image_id: str) -> None:
        """Say that an image is finished."""
        await self._store.delete(f"_pending/{image_id}")

    async def pending_ids(self) -> list[str]:
        """The ids of all images that are under way, on this node or another."""
        return [key.rpartition("/")[2] async for key in self._store.keys("_pending/")]

    # Request ids

    async def request(self, owner: str, request_id: str) -> RequestRecord | None:
        """What a request id made, or None when it is new or expired."""
        for day in (self._day(), self._day() - 1):
            record = await self._record(_request_key(day, owner, request_id), RequestRecord.from_json)
            if record is not None:
                return record if record.expires > self._clock() else None
        return None

    async def forget_request(self, owner: str, request_id: str) -> None:
        """Make a request id new again."""
        for day in (self._day(), self._day() - 1):
            await self._store.delete(_request_key(day, owner, request_id))

    async def forget_old_requests(self) -> int:
        """Remove the records of days that nobody asks for any more; return how many."""
        count = 0
        while True:
            async with contextlib.aclosing(self._store.keys("_requests/", limit=1)) as keys:
                oldest = await anext(keys, None)
            if oldest is None or int(day := oldest.split("/")[1]) >= self._day() - 1:
                return count
            count += await self._store.delete_prefix(f"_requests/{day}/")

    def _day(self) -> int:
        return int(self._clock() // REQUEST_ID_SECONDS)

    # Lists

    async def page(self, *, owner: str, tags: Sequence[str], size: int, position: str) -> Page:
        """At most `size` images of `owner` ('' for all) that carry all `tags`, newest first, from `position` ('' for the start)
        on."""
        if tags:
            prefix = f"_index/tag/{tags[0]}/"
        elif owner:
            prefix = f"_index/owner/{owner}/"
        else:
            prefix = "_index/all/"
        wanted_owner = _short_hash(owner) if owner else ""
        wanted_tags = {_short_hash(tag) for tag in tags}
        images: list[Image] = []
        last = position
        after = prefix + position if position else ""
        scanned = 0
        batch: list[str] = []
        async with contextlib.aclosing(self._store.keys(prefix, after=after, limit=SCAN_LIMIT)) as keys:
            async for key in keys:
                scanned += 1
                entry = key[len(prefix) :]
                inverted, owner_hash, tag_hashes = entry.split("~")
                last = entry
                if (not wanted_owner or owner_hash == wanted_owner) and wanted_tags <= set(tag_hashes.split(".")):
                    batch.append(newest_first(inverted))
                if len(images) + len(batch) == size:
                    images += await self._matching(batch, owner, tags)
                    batch = []
                    if len(images) == size:
                        return Page(tuple(images), next_position=last)
        images += await self._matching(batch, owner, tags)
        return Page(tuple(images), next_position=last if scanned == SCAN_LIMIT else "")

    async def _matching(self, image_ids: Sequence[str], owner: str, tags: Sequence[str]) -> list[Image]:
        """The images of these ids, without those that only seemed to match by their hashes, or are not wholly there."""
        found = await asyncio.gather(*map(self.image, image_ids))
        return [
            image for image in found if image is not None and (not owner or image.owner == owner) and set(tags) <= set(image.tags)
        ]
