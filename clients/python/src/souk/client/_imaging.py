"""The client of souk.imaging.v1.ImagingService."""

import contextlib
import os
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, overload

import grpc
from souk.client._backoff import Backoff
from souk.client._calls import responses, typed, typed_errors
from souk.client._channel import open_channel
from souk.client._config import ClientConfig
from souk.client._download import Responses, pieces_of, write_whole
from souk.client._errors import AbortedError, SoukError, UnavailableError
from souk.client._sources import PhotoSource, source_of
from souk.client._trace import with_trace
from souk.client._upload import Progress, Upload, upload_method
from souk.imaging.v1 import imaging_pb2 as pb
from souk.imaging.v1 import imaging_pb2_grpc


class ImagingClient:
    """Uploads, finds, downloads and deletes photos. An async context manager; one client serves any number of calls at once.

    What may be repeated is repeated by itself when the server is UNAVAILABLE, within the `timeout` of the call, which is in
    seconds; None is what the configuration says.

    What the server says, and that it does not answer, is a SoukError, or what derives from it, and nothing of gRPC. An argument
    that cannot be sent is told before the call: a TypeError for one of a wrong type, a ValueError for a number that is too large
    for its field and for a text that is no Unicode. A photo that cannot be read is an OSError, and one that is iterated over
    raises what its iterator does. Methods that are iterated over raise when the iteration begins.
    """

    def __init__(
        self, target: str | None = None, *, config: ClientConfig | None = None, channel: grpc.aio.Channel | None = None
    ) -> None:
        """`target` is short for ClientConfig(target=…). A `channel` of your own is used as it is, and stays open."""
        config = config or ClientConfig()
        self._config = replace(config, target=target) if target else config
        self._owns_channel = channel is None
        self._channel = channel or open_channel(self._config, pb.DESCRIPTOR.services_by_name.values())
        self._upload_image = upload_method(self._channel)
        self._stub = imaging_pb2_grpc.ImagingServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {self._config.token}"),) if self._config.token else ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._owns_channel:
            await self._channel.close()

    async def upload(
        self,
        source: PhotoSource,
        *,
        profile: str = "product",
        owner: str = "",
        tags: Iterable[str] = (),
        content_type: str = "",
        wait_for: pb.WaitFor.ValueType = pb.WAIT_FOR_ALL_VARIANTS,
        request_id: str | None = None,
        sha256: bool = False,
        on_progress: Progress | None = None,
        timeout: float | None = None,
    ) -> pb.Image:
        """Upload a photo: a path, its bytes, an open file, or an iterator of pieces. Returns the image as it is when `wait_for`
        is satisfied.

        `request_id` makes a repeat return the same image; without one, this call makes its own, for its own repeats. A path, bytes
        or a seekable file are sent again by themselves when the server is UNAVAILABLE; an iterator cannot be. Every byte is covered
        by CRC-32C, with `sha256` by SHA-256 too. `on_progress` begins at 0 again where the photo is sent again.

        InvalidArgumentError as soon as the server sees a photo that it does not take (`reason` says why); whatever reading `source`
        raises.
        """
        photo = source_of(source)
        spec = pb.UploadSpec(
            request_id=request_id or str(uuid.uuid4()),
            owner=owner,
            profile=profile,
            content_type=content_type,
            size_bytes=await photo.size() or 0,
            tags=tags,
            wait_for=wait_for,
        )
        upload = Upload(spec=spec, source=photo, chunk_bytes=self._config.chunk_bytes, with_sha256=sha256, on_progress=on_progress)
        backoff = self._backoff(timeout)
        while True:
            try:
                with typed_errors():
                    metadata = with_trace(self._metadata)
                    return await upload.attempt(self._upload_image, timeout=backoff.remaining(), metadata=metadata)
            except (UnavailableError, AbortedError) as error:
                if not photo.repeatable or not _may_go_again(error, backoff.attempt):
                    raise
                await backoff.wait_after(error)

    async def get(self, image_id: str, *, timeout: float | None = None) -> pb.Image:
        """The image with the state of its variants."""
        call = self._stub.GetImage(pb.GetImageRequest(image_id=image_id), **self._options(timeout))
        return (await typed(call)).image

    async def watch(self, image_id: str, *, timeout: float | None = None) -> AsyncGenerator[pb.Image | None, None]:
        """Yield the image as it is, then after every change, until it is READY or FAILED; None, at the end, where it was deleted.

        Goes on by itself, on another replica perhaps, when the server stops, and does not tell twice what it told. Without a
        timeout it takes as long as the image does.
        """
        seen: pb.Image | None = None
        backoff = Backoff(self._config, timeout)
        while True:
            request = pb.WatchImageRequest(image_id=image_id)
            call = self._stub.WatchImage(request, timeout=backoff.remaining(), metadata=with_trace(self._metadata))
            try:
                async with contextlib.aclosing(responses(call)) as answers:
                    async for answer in answers:
                        backoff.progress()
                        if answer.HasField("deleted"):
                            yield None
                            return
                        if answer.image != seen:
                            seen = answer.image
                            yield answer.image
            except UnavailableError as error:
                await backoff.wait_after(error)
            else:
                return

    async def list(
        self, *, owner: str = "", tags: Sequence[str] = (), page_size: int = 50, timeout: float | None = None
    ) -> AsyncGenerator[pb.Image, None]:
        """Yield the images of an owner ('' for all) that carry all tags, newest first; pages are fetched as they are needed."""
        token = ""
        while True:
            request = pb.ListImagesRequest(owner=owner, tags=tags, page_size=page_size, page_token=token)
            page = await typed(self._stub.ListImages(request, **self._options(timeout)))
            for image in page.images:
                yield image
            token = page.next_page_token
            if not token:
                return

    async def read(self, image_id: str, variant_name: str, *, timeout: float | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a variant in pieces, each checked; goes on where it was when the server is UNAVAILABLE.

        DataLossError where what arrives is not what the server has.
        """
        backoff = self._backoff(timeout)

        def call(read_offset: int) -> Responses:
            request = pb.DownloadVariantRequest(image_id=image_id, variant_name=variant_name, read_offset=read_offset)
            return responses(self._stub.DownloadVariant(request, timeout=backoff.remaining(), metadata=with_trace(self._metadata)))

        async with contextlib.aclosing(pieces_of(call, backoff)) as pieces:
            async for piece in pieces:
                yield piece

    @overload
    async def download(self, image_id: str, variant_name: str, *, timeout: float | None = None) -> bytes: ...

    @overload
    async def download(
        self, image_id: str, variant_name: str, destination: str | os.PathLike[str], *, timeout: float | None = None
    ) -> Path: ...

    async def download(
        self, image_id: str, variant_name: str, destination: str | os.PathLike[str] | None = None, *, timeout: float | None = None
    ) -> bytes | Path:
        """Fetch a variant: its bytes, or, with `destination`, the path of the file it was written to, whole or not at all.

        OSError where the file cannot be written, and what `read` raises.
        """
        pieces = self.read(image_id, variant_name, timeout=timeout)
        if destination is None:
            return b"".join([piece async for piece in pieces])
        path = Path(destination)
        await write_whole(pieces, path)
        return path

    async def select(
        self,
        image_id: str,
        *,
        accept: str = "",
        width: int = 0,
        device_pixel_ratio: float = 0.0,
        save_data: bool = False,
        timeout: float | None = None,
    ) -> pb.Variant:
        """The variant for a client with this Accept header and this place on the page (CSS pixels; 0: as wide as there is)."""
        request = pb.SelectVariantRequest(
            image_id=image_id, accept=accept, width=width, device_pixel_ratio=device_pixel_ratio, save_data=save_data
        )
        return (await typed(self._stub.SelectVariant(request, **self._options(timeout)))).variant

    async def delete(self, image_id: str, *, allow_missing: bool = False, timeout: float | None = None) -> None:
        """Delete an image and everything of it; NotFoundError where there is none and that is not allowed."""
        request = pb.DeleteImageRequest(image_id=image_id, allow_missing=allow_missing)
        await typed(self._stub.DeleteImage(request, **self._options(timeout)))

    def _options(self, timeout: float | None) -> dict[str, Any]:
        return {"timeout": self._config.timeout if timeout is None else timeout, "metadata": with_trace(self._metadata)}

    def _backoff(self, timeout: float | None) -> Backoff:
        return Backoff(self._config, self._config.upload_timeout if timeout is None else timeout)


def _may_go_again(error: SoukError, attempt: int) -> bool:
    """An attempt whose connection broke may still hold the request_id when the next one arrives."""
    return isinstance(error, UnavailableError) or (attempt > 1 and error.reason == "REQUEST_IN_PROGRESS")
