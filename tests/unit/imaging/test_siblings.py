"""Which variants of one size are published, and when that is known."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_imaging.images import Format
from souk_imaging.photos import Encoded
from souk_imaging.worker.encoders import Made
from souk_imaging.worker.siblings import Siblings

ORDER = (Format.AVIF, Format.WEBP, Format.JPEG)


def told(sizes: dict[Format, int], order: tuple[Format, ...] = ORDER, original: int | None = None) -> list[Encoded]:
    siblings = Siblings((800, 600), ORDER, original_bytes=original)
    return [event for form in order for event in siblings.add(form, Made(Path(form), sizes[form], "", 0.1))]


def published(avif: int, webp: int, jpeg: int, original: int | None = None) -> set[Format]:
    events = told({Format.AVIF: avif, Format.WEBP: webp, Format.JPEG: jpeg}, original=original)
    return {event.format for event in events if event.path}


def test_newer_formats_are_published_where_they_are_smaller() -> None:
    assert published(50, 70, 100) == {Format.AVIF, Format.WEBP, Format.JPEG}
    assert published(70, 70, 100) == {Format.WEBP, Format.JPEG}
    assert published(50, 100, 100) == {Format.AVIF, Format.JPEG}


def test_a_format_must_beat_every_older_one_and_not_only_a_bad_one() -> None:
    assert published(110, 120, 100) == {Format.JPEG}


def test_in_the_photos_own_size_newer_formats_must_beat_the_photo() -> None:
    assert published(50, 70, 100, original=60) == {Format.AVIF, Format.JPEG}
    assert published(50, 70, 100, original=10) == {Format.JPEG}


def test_an_event_comes_as_soon_as_it_is_certain() -> None:
    sizes = {Format.AVIF: 50, Format.WEBP: 70, Format.JPEG: 100}
    assert [event.format for event in told(sizes, (Format.JPEG,))] == [Format.JPEG]
    assert [event.format for event in told(sizes, (Format.JPEG, Format.WEBP))] == [Format.JPEG, Format.WEBP]
    assert told(sizes, (Format.AVIF, Format.WEBP)) == []


@given(st.lists(st.integers(1, 50), min_size=3, max_size=3), st.none() | st.integers(1, 50))
def test_the_order_of_the_encoders_changes_nothing(bytes_made: list[int], original: int | None) -> None:
    sizes = dict(zip(ORDER, bytes_made, strict=True))
    outcomes = set()
    for order in itertools.permutations(ORDER):
        events = told(sizes, order, original)
        assert sorted(event.format for event in events) == sorted(ORDER)
        outcomes.add(frozenset((event.format, event.path) for event in events))
    assert len(outcomes) == 1
    kept = [sizes[form] for form, path in sorted(outcomes.pop(), key=lambda each: ORDER.index(each[0])) if path]
    assert kept == sorted(set(kept))


def test_a_skipped_variant_still_says_what_it_would_have_weighed() -> None:
    skipped = next(event for event in told({Format.AVIF: 200, Format.WEBP: 70, Format.JPEG: 100}) if event.format is Format.AVIF)
    assert (skipped.path, skipped.size_bytes) == (None, 200)
    assert skipped.encode_seconds == pytest.approx(0.1)
