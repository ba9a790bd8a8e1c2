"""Core dataclasses <-> proto messages."""

from collections.abc import AsyncIterator

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from souk.common.v1 import errors_pb2
from souk.imaging.v1 import imaging_pb2 as pb
from souk_common.errors import FieldViolation, invalid_fields

from souk_imaging.exceptions import UploadOutOfOrderError
from souk_imaging.images import Format, Image, ImageState, Processing, Variant, VariantState
from souk_imaging.library import variant_key
from souk_imaging.rpc import validate
from souk_imaging.uploads import Chunk, Finish, Spec

FORMATS = {
    Format.JPEG: pb.FORMAT_JPEG,
    Format.PNG: pb.FORMAT_PNG,
    Format.WEBP: pb.FORMAT_WEBP,
    Format.AVIF: pb.FORMAT_AVIF,
}
IMAGE_STATES = {
    ImageState.PROCESSING: pb.IMAGE_STATE_PROCESSING,
    ImageState.READY: pb.IMAGE_STATE_READY,
    ImageState.FAILED: pb.IMAGE_STATE_FAILED,
}
VARIANT_STATES = {
    VariantState.PENDING: pb.VARIANT_STATE_PENDING,
    VariantState.READY: pb.VARIANT_STATE_READY,
    VariantState.SKIPPED: pb.VARIANT_STATE_SKIPPED,
}


def spec_from(message: pb.UploadSpec) -> Spec:
    """What a valid spec says, with the defaults put in."""
    return Spec(
        request_id=message.request_id,
        owner=message.owner or "default",
        profile=message.profile or "product",
        content_type=message.content_type.partition(";")[0].strip().lower().replace("image/jpg", "image/jpeg"),
        size_bytes=message.size_bytes,
        tags=tuple(dict.fromkeys(message.tags)),
        wait_for_variants=message.wait_for != pb.WAIT_FOR_ACCEPTED,
    )


async def pieces_from(steps: AsyncIterator[pb.UploadImageRequest]) -> AsyncIterator[Chunk | Finish]:
    """The chunks and the finish of an upload, each checked by itself."""
    async for message in steps:
        if message.HasField("chunk"):
            chunk = message.chunk
            data = chunk.data  # each look at it copies it
            validate.chunk_data(data)
            yield Chunk(chunk.write_offset, data, chunk.crc32c if chunk.HasField("crc32c") else None)
        elif message.HasField("finish"):
            finish = message.finish
            validate.upload_finish(finish)
            yield Finish(finish.size_bytes, finish.crc32c if finish.HasField("crc32c") else None, finish.sha256)
        elif message.HasField("spec"):
            raise UploadOutOfOrderError("only the first message may be a spec")
        else:
            raise invalid_fields([FieldViolation("step", "must be a spec, a chunk or a finish")])


class ImageMapper:
    """Core images -> messages, with URLs under the public address of the service ('' for relative ones)."""

    def __init__(self, public_url: str) -> None:
        self._root = f"{public_url.rstrip('/')}/i"

    def image(self, image: Image) -> pb.Image:
        """The message of an image."""
        original = image.original
        message = pb.Image(
            image_id=image.image_id,
            owner=image.owner,
            profile=image.profile,
            tags=image.tags,
            create_time=_timestamp(image.create_time),
            update_time=_timestamp(image.update_time),
            state=IMAGE_STATES[image.state],
            original=pb.Original(
                content_type=original.content_type,
                size_bytes=original.size_bytes,
                width=original.width,
                height=original.height,
                frames=original.frames,
                has_alpha=original.has_alpha,
                sha256=bytes.fromhex(original.sha256),
            ),
            variants=[self.variant(image.image_id, variant) for variant in image.variants],
            url=f"{self._root}/{image.image_id}",
        )
        if image.failure:
            failure = image.failure
            message.error.CopyFrom(
                errors_pb2.Failure(
                    code=failure.code,
                    reason=failure.reason,
                    domain=failure.domain,
                    message=failure.message,
                    metadata=failure.metadata,
                )
            )
        if image.processing:
            message.processing.CopyFrom(_processing(image.processing))
        return message

    def variant(self, image_id: str, variant: Variant) -> pb.Variant:
        """The message of a variant."""
        ready = variant.state is VariantState.READY
        return pb.Variant(
            name=variant.name,
            format=FORMATS[variant.format],
            width=variant.width,
            height=variant.height,
            size_bytes=variant.size_bytes,
            state=VARIANT_STATES[variant.state],
            url=f"{self._root}/{variant_key(image_id, variant.name)}" if ready else "",
            content_type=variant.format.content_type,
            encode_time=_duration(variant.encode_seconds),
        )


def _processing(processing: Processing) -> pb.Processing:
    return pb.Processing(
        queue_time=_duration(processing.queue_seconds),
        decode_time=_duration(processing.decode_seconds),
        worker_time=_duration(processing.worker_seconds),
        total_time=_duration(processing.total_seconds),
        decodes=processing.decodes,
        peak_memory_bytes=processing.peak_memory_bytes,
    )


def _timestamp(seconds: float) -> Timestamp:
    message = Timestamp()
    message.FromMilliseconds(round(seconds * 1000))
    return message


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromMicroseconds(round(seconds * 1_000_000))
    return message
