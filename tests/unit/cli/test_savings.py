"""What the command line says that variants weigh and save."""

import pytest
from souk.imaging.v1 import imaging_pb2 as pb
from souk_cli.savings import savings


def variant(
    form: pb.Format.ValueType, width: int, size: int, state: pb.VariantState.ValueType = pb.VARIANT_STATE_READY
) -> pb.Variant:
    return pb.Variant(format=form, width=width, height=width, size_bytes=size, state=state)


def image(*variants: pb.Variant, size: int = 1000, frames: int = 1) -> pb.Image:
    return pb.Image(original=pb.Original(size_bytes=size, frames=frames), variants=variants)


def test_formats_are_compared_size_by_size_and_what_was_skipped_costs_its_fallback():
    made = savings(
        image(
            variant(pb.FORMAT_JPEG, 800, 100),
            variant(pb.FORMAT_AVIF, 800, 40),
            variant(pb.FORMAT_JPEG, 200, 20),
            variant(pb.FORMAT_WEBP, 200, 0, pb.VARIANT_STATE_SKIPPED),
        )
    )
    assert made.bytes_by_format == {"AVIF": 40, "JPEG": 120}
    assert (made.fallback_bytes, made.smallest_bytes) == (120, 60)
    assert made.saved == pytest.approx(0.5)
    assert (made.widest_bytes, made.saved_of_original) == (40, pytest.approx(0.96))


def test_an_animation_is_not_compared_with_its_still():
    made = savings(image(variant(pb.FORMAT_WEBP, 400, 300), variant(pb.FORMAT_JPEG, 400, 40), frames=6))
    assert (made.fallback_bytes, made.saved) == (0, 0.0)
    assert made.widest_bytes == 300


def test_several_images_are_added_up():
    one = image(variant(pb.FORMAT_PNG, 100, 50), variant(pb.FORMAT_WEBP, 100, 25))
    made = savings(one, one)
    assert (made.original_bytes, made.bytes_by_format, made.saved) == (2000, {"WebP": 50, "PNG": 100}, 0.5)


def test_an_image_without_variants_saves_nothing():
    made = savings(image(variant(pb.FORMAT_AVIF, 100, 0, pb.VARIANT_STATE_PENDING)))
    assert (made.bytes_by_format, made.saved, made.saved_of_original) == ({}, 0.0, 0.0)
