"""Which variant a client gets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_imaging.images import Format, Variant, VariantState
from souk_imaging.selection import Capabilities, choose, density

BROWSERS = {
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8": Format.AVIF,  # Chrome
    "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5": Format.AVIF,  # Firefox
    "image/webp,image/avif,image/jxl,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5": Format.AVIF,  # Safari
    "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5": Format.WEBP,  # Safari 14
    "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5": Format.JPEG,  # before that
    "*/*": Format.JPEG,  # curl
    "": Format.JPEG,
}


def variant(width: int, form: Format) -> Variant:
    return Variant("product", form, width, width, VariantState.READY, 1, "0" * 16)


OPAQUE = [variant(width, form) for width in (1600, 800, 400) for form in (Format.AVIF, Format.WEBP, Format.JPEG)]
TRANSPARENT = [variant(width, form) for width in (1600, 800) for form in (Format.AVIF, Format.WEBP, Format.PNG)]


@pytest.mark.parametrize(("accept", "expected"), BROWSERS.items())
def test_every_browser_gets_the_newest_format_that_it_names(accept: str, expected: Format) -> None:
    chosen = choose(OPAQUE, Capabilities.from_accept(accept), 300, 1.0)
    assert chosen is not None
    assert (chosen.format, chosen.width) == (expected, 400)


@pytest.mark.parametrize(
    ("accept", "shown"),
    [
        ("image/avif;q=0, image/webp", {Format.WEBP}),
        ("image/avif; q=0.000, */*", {Format.JPEG, Format.PNG}),
        ("IMAGE/AVIF", {Format.AVIF}),
        ("image/*;q=0, image/webp", {Format.WEBP}),
        ("*/*;q=0", set()),
        ("text/html", set()),
        ("image/avif;q=nonsense", set()),
        ("garbage,,;;=,/", {Format.JPEG, Format.PNG}),
        ("image/jpeg;q=0, */*", {Format.PNG}),
    ],
)
def test_weights_are_obeyed(accept: str, shown: set[Format]) -> None:
    capabilities = Capabilities.from_accept(accept)
    assert {form for form in Format if capabilities.shows(form)} == shown


@pytest.mark.parametrize(
    ("width", "dpr", "save_data", "expected"),
    [
        (0, 1, False, 1600),
        (1, 1, False, 400),
        (400, 1, False, 400),
        (401, 1, False, 800),
        (400, 2, False, 800),
        (400, 2, True, 400),
        (5000, 1, False, 1600),
        (200, 99, False, 1600),
    ],
)
def test_the_narrowest_that_fills_the_place_is_chosen(width: int, dpr: float, save_data: bool, expected: int) -> None:
    chosen = choose(OPAQUE, Capabilities(), width, dpr, save_data=save_data)
    assert chosen is not None
    assert chosen.width == expected


@pytest.mark.parametrize(("dpr", "taken"), [(0.01, 0.5), (0.5, 0.5), (2.5, 2.5), (5, 5.0), (30, 5.0)])
def test_a_density_is_taken_as_the_nearest_that_counts(dpr: float, taken: float) -> None:
    assert density(dpr) == taken


@pytest.mark.parametrize("dpr", [0, -1, math.inf, math.nan])
def test_what_is_no_density_is_refused(dpr: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        density(dpr)


def test_transparency_falls_back_to_png() -> None:
    chosen = choose(TRANSPARENT, Capabilities.from_accept("*/*"), 100, 1.0)
    assert chosen is not None
    assert chosen.format is Format.PNG


def test_where_nothing_is_shown_nothing_is_chosen() -> None:
    assert choose(OPAQUE, Capabilities(jpeg=False, png=False), 100, 1.0) is None
    assert choose([], Capabilities(), 100, 1.0) is None


@given(st.text(max_size=300))
def test_no_header_breaks_the_reading_and_avif_is_never_given_unasked(accept: str) -> None:
    capabilities = Capabilities.from_accept(accept)
    chosen = choose(OPAQUE, capabilities, 100, 1.0)
    if chosen is not None and chosen.format is Format.AVIF:
        assert "image/avif" in accept.lower()
