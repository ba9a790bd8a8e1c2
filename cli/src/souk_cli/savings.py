"""What the variants of an image weigh, and what that saves."""

from dataclasses import dataclass

from souk.imaging.v1 import imaging_pb2 as pb

NEWEST_FIRST = (pb.FORMAT_AVIF, pb.FORMAT_WEBP, pb.FORMAT_JPEG, pb.FORMAT_PNG)
FALLBACKS = (pb.FORMAT_JPEG, pb.FORMAT_PNG)
MOVING = (pb.FORMAT_AVIF, pb.FORMAT_WEBP)
"""What an animation moves in; its fallback is a still, and compares with nothing."""
NAMES = {pb.FORMAT_AVIF: "AVIF", pb.FORMAT_WEBP: "WebP", pb.FORMAT_JPEG: "JPEG", pb.FORMAT_PNG: "PNG"}


@dataclass(frozen=True, slots=True)
class Savings:
    """The bytes of one image, or of several: see `savings`."""

    original_bytes: int
    bytes_by_format: dict[str, int]
    """Over all widths, newest format first; only formats that were published."""
    fallback_bytes: int
    """What a browser that knows only JPEG and PNG would load, all widths together."""
    smallest_bytes: int
    """What a browser that knows everything would load, all widths together."""
    widest_bytes: int
    """The smallest variant of the greatest width."""

    @property
    def saved(self) -> float:
        """What new formats save against the fallback at the same widths: 0.4 is 40 % less."""
        return 1 - self.smallest_bytes / self.fallback_bytes if self.fallback_bytes else 0.0

    @property
    def saved_of_original(self) -> float:
        """What loading the widest variant saves against loading the original."""
        return 1 - self.widest_bytes / self.original_bytes if self.original_bytes and self.widest_bytes else 0.0


def ready(image: pb.Image) -> list[pb.Variant]:
    """The variants that are served, widest first."""
    return [variant for variant in image.variants if variant.state == pb.VARIANT_STATE_READY]


def savings(*images: pb.Image) -> Savings:
    """What the variants of these images weigh together."""
    by_format = dict.fromkeys(NEWEST_FIRST, 0)
    fallback = smallest = widest = 0
    for image in images:
        variants = ready(image)
        for variant in variants:
            by_format[variant.format] += variant.size_bytes
        if image.original.frames > 1:
            variants = [variant for variant in variants if variant.format in MOVING]
        for width in {variant.width for variant in variants}:
            sizes = {variant.format: variant.size_bytes for variant in variants if variant.width == width}
            old = [sizes[form] for form in FALLBACKS if form in sizes]
            if old:
                fallback += min(old)
                smallest += min(sizes.values())
        if variants:
            widest += min(variant.size_bytes for variant in variants if variant.width == variants[0].width)
    return Savings(
        original_bytes=sum(image.original.size_bytes for image in images),
        bytes_by_format={NAMES[form]: total for form, total in by_format.items() if total},
        fallback_bytes=fallback,
        smallest_bytes=smallest,
        widest_bytes=widest,
    )
