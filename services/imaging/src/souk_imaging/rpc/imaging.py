"""The servicer of souk.imaging.v1.ImagingService."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import google_crc32c
import grpc
from souk.imaging.v1 import imaging_pb2 as pb
from souk.imaging.v1 import imaging_pb2_grpc as pb_grpc
from souk_common.call import annotate
from souk_common.paging import page_position, page_token, page_token_refused

from souk_imaging.exceptions import UploadEmptyError, UploadOutOfOrderError
from souk_imaging.gallery import Client, Gallery
from souk_imaging.images import is_list_position
from souk_imaging.rpc import validate
from souk_imaging.rpc.mapping import ImageMapper, pieces_from, spec_from
from souk_imaging.uploads import Uploads, timely

DEFAULT_PAGE_SIZE = 50
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ImagingServicer(pb_grpc.ImagingServiceServicer):
    """Maps each rpc to one call of the core."""

    def __init__(self, uploads: Uploads, gallery: Gallery, mapper: ImageMapper, *, upload_idle_timeout: float) -> None:
        """An upload of which nothing comes for `upload_idle_timeout` seconds is over."""
        self._uploads = uploads
        self._gallery = gallery
        self._map = mapper
        self._idle_timeout = upload_idle_timeout

    async def UploadImage(self, request_iterator: AsyncIterator[pb.UploadImageRequest], context: Context) -> pb.UploadImageResponse:
        """See the proto."""
        steps = timely(request_iterator, self._idle_timeout)
        first = await anext(steps, None)
        if first is None:
            raise UploadEmptyError("the stream carried no bytes of a photo")
        if not first.HasField("spec"):
            raise UploadOutOfOrderError("the first message must be a spec")
        validate.upload_spec(first.spec)
        image = await self._uploads.upload(spec_from(first.spec), pieces_from(steps))
        annotate(image_id=image.image_id, owner=image.owner, size_bytes=image.original.size_bytes)
        return pb.UploadImageResponse(image=self._map.image(image))

    async def GetImage(self, request: pb.GetImageRequest, context: Context) -> pb.GetImageResponse:
        """See the proto."""
        validate.image_id(request)
        return pb.GetImageResponse(image=self._map.image(await self._gallery.image(request.image_id)))

    async def WatchImage(self, request: pb.WatchImageRequest, context: Context) -> AsyncIterator[pb.WatchImageResponse]:
        """See the proto."""
        validate.image_id(request)
        async with contextlib.aclosing(self._gallery.watch(request.image_id)) as images:
            async for image in images:
                if image is None:
                    yield pb.WatchImageResponse(deleted=pb.ImageDeleted())
                else:
                    yield pb.WatchImageResponse(image=self._map.image(image))

    async def ListImages(self, request: pb.ListImagesRequest, context: Context) -> pb.ListImagesResponse:
        """See the proto."""
        validate.list_images(request)
        tags = sorted(set(request.tags))
        position = page_position(request.page_token, request.owner, tags)
        if position and not is_list_position(position):
            raise page_token_refused()
        page = await self._gallery.page(
            owner=request.owner, tags=tags, size=request.page_size or DEFAULT_PAGE_SIZE, position=position
        )
        return pb.ListImagesResponse(
            images=[self._map.image(image) for image in page.images],
            next_page_token=page_token(page.next_position, request.owner, tags),
        )

    async def DownloadVariant(
        self, request: pb.DownloadVariantRequest, context: Context
    ) -> AsyncIterator[pb.DownloadVariantResponse]:
        """See the proto."""
        validate.download_variant(request)
        variant = await self._gallery.variant(request.image_id, request.variant_name)
        validate.read_offset(request, variant.size_bytes)
        offset = request.read_offset
        pieces = self._gallery.read(request.image_id, variant.name, offset=offset, limit=request.read_limit or None)
        async with contextlib.aclosing(pieces):
            data = await anext(pieces, b"")  # what cannot be opened is an error, and not a broken download
            yield pb.DownloadVariantResponse(header=self._map.variant(request.image_id, variant))
            while data:
                chunk = pb.DownloadChunk(read_offset=offset, data=data, crc32c=google_crc32c.value(data))
                yield pb.DownloadVariantResponse(chunk=chunk)
                offset += len(data)
                data = await anext(pieces, b"")

    async def SelectVariant(self, request: pb.SelectVariantRequest, context: Context) -> pb.SelectVariantResponse:
        """See the proto."""
        validate.select_variant(request)
        client = Client(request.accept, request.width, request.device_pixel_ratio or 1.0, request.save_data)
        variant = await self._gallery.select(request.image_id, client)
        return pb.SelectVariantResponse(variant=self._map.variant(request.image_id, variant))

    async def DeleteImage(self, request: pb.DeleteImageRequest, context: Context) -> pb.DeleteImageResponse:
        """See the proto."""
        validate.image_id(request)
        await self._gallery.delete(request.image_id, allow_missing=request.allow_missing)
        return pb.DeleteImageResponse()
