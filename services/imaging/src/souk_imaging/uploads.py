"""One upload, from its first message to the accepted image: what may be said in which order, and what is checked when."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import google_crc32c
from souk_common.call import part

from souk_imaging import sniff
from souk_imaging.exceptions import (
    ChecksumMismatchError,
    ContentTypeMismatchError,
    ImagingError,
    RequestIdReusedError,
    RequestInProgressError,
    SizeMismatchError,
    TooManyBytesError,
    TooManyUploadsError,
    UploadEmptyError,
    UploadIncompleteError,
    UploadOutOfOrderError,
    UploadStalledError,
)
from souk_imaging.images import Failure, Image, Original
from souk_imaging.library import Library
from souk_imaging.photos import Limits, Priority
from souk_imaging.processing import NewPhoto, Processor
from souk_imaging.profiles import Profiles

T = TypeVar("T")

MAX_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Spec:
    """What a caller says of a photo before it sends it."""

    request_id: str = ""
    owner: str = "default"
    profile: str = "product"
    content_type: str = ""
    size_bytes: int = 0
    """0: not known yet."""
    tags: tuple[str, ...] = ()
    wait_for_variants: bool = True

    def fingerprint(self) -> str:
        """The same for a repeat of the same upload."""
        said = repr((self.profile, self.content_type, self.size_bytes, self.tags))
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a photo."""

    write_offset: int
    data: bytes
    crc32c: int | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a photo."""

    size_bytes: int
    crc32c: int | None = None
    sha256: bytes = b""


@dataclass(slots=True)
class Intake:
    """The checks on one photo as it arrives. Raises at the first byte that breaks a rule; keeps no more than a part of
    the header."""

    spec: Spec
    limits: Limits
    size: int = 0
    crc32c: int = 0
    header: sniff.Header | None = None
    _reader: sniff.HeaderReader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = sniff.HeaderReader(self.limits.max_metadata_bytes)
        if self.spec.size_bytes > self.limits.max_bytes:
            raise self._too_many_bytes()

    def chunk(self, chunk: Chunk) -> None:
        """Check the next piece."""
        if chunk.write_offset != self.size:
            raise UploadOutOfOrderError(
                "a chunk does not begin where the one before it ended",
                expected_offset=self.size,
                write_offset=chunk.write_offset,
            )
        # crc32c of the whole is extended anyway, so the check of the chunk costs a second pass only where it is asked for
        if chunk.crc32c is not None and google_crc32c.value(chunk.data) != chunk.crc32c:
            raise ChecksumMismatchError(
                "the checksum of a chunk is not that of its bytes", algorithm="crc32c", write_offset=chunk.write_offset
            )
        if self.size + len(chunk.data) > self.limits.max_bytes:
            raise self._too_many_bytes()
        if self.spec.size_bytes and self.size + len(chunk.data) > self.spec.size_bytes:
            raise SizeMismatchError(
                "more bytes than the spec said",
                expected_bytes=self.spec.size_bytes,
                received_bytes=self.size + len(chunk.data),
            )
        self.crc32c = google_crc32c.extend(self.crc32c, chunk.data)
        self.size += len(chunk.data)
        if self.header is None:
            header = self._reader.feed(chunk.data)
            if header is not None:
                self._check(header)

    def finish(self, finish: Finish) -> sniff.Header:
        """Check the whole, but for its SHA-256; return what the header told."""
        if self.size == 0:
            raise UploadEmptyError("the stream carried no bytes of a photo")
        for expected in (self.spec.size_bytes or finish.size_bytes, finish.size_bytes):
            if expected != self.size:
                raise SizeMismatchError(
                    "the photo has not the size that was said", expected_bytes=expected, received_bytes=self.size
                )
        if finish.crc32c is not None and finish.crc32c != self.crc32c:
            raise ChecksumMismatchError("the checksum is not that of the bytes received", algorithm="crc32c")
        return self.header or self._check(self._reader.end())

    def _check(self, header: sniff.Header) -> sniff.Header:
        declared = self.spec.content_type
        if declared and declared != header.content_type:
            raise ContentTypeMismatchError(
                f"the photo is {header.content_type}, not {declared}", declared=declared, found=header.content_type
            )
        sniff.check(header, self.limits)
        self.header = header
        return header

    def _too_many_bytes(self) -> TooManyBytesError:
        return TooManyBytesError(f"a photo may have at most {self.limits.max_bytes:,} bytes", limit_bytes=self.limits.max_bytes)


class SpoolFile(Protocol):
    """A file that an upload is written to, off the event loop."""

    path: Path

    async def write(self, data: bytes) -> None:
        """Take the next piece; may return before it is written, with a bounded amount unwritten."""

    async def finish(self) -> None:
        """Write what is left."""

    async def sha256(self) -> str:
        """The SHA-256 of a finished file in hexadecimal."""

    async def remove(self) -> None:
        """Delete the file; nothing happens when it is gone."""


class Uploads:
    """Takes photos in."""

    def __init__(
        self,
        *,
        library: Library,
        processor: Processor,
        profiles: Profiles,
        limits: Limits,
        max_uploads: int,
        new_spool: Callable[[], SpoolFile],
        recall: Callable[[Failure], ImagingError],
    ) -> None:
        self._library = library
        self._processor = processor
        self._profiles = profiles
        self._limits = limits
        self._max_uploads = max_uploads
        self._new_spool = new_spool
        self._recall = recall
        self._arriving = 0
        self._claimed: set[tuple[str, str]] = set()

    async def upload(self, spec: Spec, pieces: AsyncIterator[Chunk | Finish]) -> Image:
        """Take one photo in; return its image when all variants are stored, or when it is accepted, as the spec says.

        A repeat of a request id returns the first image without reading `pieces`, or raises what made it FAILED where it waits
        for variants. Any other error leaves nothing stored. A caller that goes away after the photo was accepted leaves it in work
        if it gave a request id, and can ask for it again; without one the image is removed.
        """
        profile = self._profiles.get(spec.profile)
        intake = Intake(spec, self._limits)
        claim = (spec.owner, spec.request_id)
        if not spec.request_id:
            return await self._take(spec, intake, pieces, NewPhoto(spec.owner, spec.tags, profile))
        if claim in self._claimed:
            raise RequestInProgressError("an upload with this request id is under way")
        self._claimed.add(claim)
        try:
            earlier = await self._library.request(spec.owner, spec.request_id)
            if earlier is not None and earlier.fingerprint != spec.fingerprint():
                raise RequestIdReusedError("this request id was used for another upload; choose a new one")
            if earlier is not None and (image := await self._processor.image(earlier.image_id)) is not None:
                return await self._finished(image.image_id) if spec.wait_for_variants else image
            photo = NewPhoto(spec.owner, spec.tags, profile, spec.request_id, spec.fingerprint())
            return await self._take(spec, intake, pieces, photo)
        finally:
            self._claimed.discard(claim)

    async def _take(self, spec: Spec, intake: Intake, pieces: AsyncIterator[Chunk | Finish], photo: NewPhoto) -> Image:
        with self._arrival(), self._processor.place():
            spool = self._new_spool()
            try:
                with part("receive"):
                    original = await _receive(intake, pieces, spool)
                priority = Priority.INTERACTIVE if spec.wait_for_variants else Priority.BACKGROUND
                with part("accept"):
                    image = await self._processor.accept(photo, original, spool, priority)
            except BaseException:
                await asyncio.shield(spool.remove())
                raise
        if not spec.wait_for_variants:
            return image
        try:
            return await self._finished(image.image_id)
        except asyncio.CancelledError:
            if not spec.request_id and not self._processor.draining:
                await asyncio.shield(self._processor.delete(image.image_id))
            raise

    async def _finished(self, image_id: str) -> Image:
        image = await self._processor.finished(image_id)
        if image.failure:  # a replica that had nobody waiting has made it FAILED
            raise self._recall(image.failure)
        return image

    @contextlib.contextmanager
    def _arrival(self) -> Iterator[None]:
        """One more photo arrives inside; TooManyUploadsError if as many do as may."""
        if self._arriving >= self._max_uploads:
            raise TooManyUploadsError(f"{self._arriving} photos arrive here at once, and no more may; try again later")
        self._arriving += 1
        try:
            yield
        finally:
            self._arriving -= 1


async def timely(messages: AsyncIterator[T], idle_seconds: float) -> AsyncIterator[T]:
    """The messages of an upload; UploadStalledError where the next one does not come within `idle_seconds`."""
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                message = await anext(messages)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            limit = f"{idle_seconds:g}"
            raise UploadStalledError(f"nothing of the upload came for {limit} s; nothing is stored", limit_seconds=limit) from error
        yield message


async def _receive(intake: Intake, pieces: AsyncIterator[Chunk | Finish], spool: SpoolFile) -> Original:
    """Check and spool every piece; return what is known of the photo."""
    async for piece in pieces:
        if isinstance(piece, Chunk):
            intake.chunk(piece)
            await spool.write(piece.data)
            continue
        header = intake.finish(piece)
        await spool.finish()
        if piece.sha256 and piece.sha256.hex() != await spool.sha256():
            raise ChecksumMismatchError("the checksum is not that of the bytes received", algorithm="sha256")
        return Original(header.content_type, intake.size, header.width, header.height, 1, header.has_alpha, piece.sha256.hex())
    if intake.size == 0:
        raise UploadEmptyError("the stream carried no bytes of a photo")
    raise UploadIncompleteError("the stream ended before its finish message; nothing is stored")
