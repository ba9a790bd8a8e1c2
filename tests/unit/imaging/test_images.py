"""Ids, names and manifests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_imaging.images import (
    Failure,
    Format,
    Image,
    ImageState,
    Original,
    Processing,
    Variant,
    VariantState,
    is_image_id,
    is_list_position,
    new_image_id,
    newest_first,
    parse_variant_name,
)

ORIGINAL = Original("image/jpeg", 10, 4, 3, 1, False, "00" * 32)


def image(**changes: object) -> Image:
    fields = {
        "image_id": new_image_id(),
        "owner": "o",
        "profile": "product",
        "tags": ("a", "b"),
        "create_time": 1.5,
        "update_time": 2.5,
        "state": ImageState.PROCESSING,
        "original": ORIGINAL,
    }
    return Image(**{**fields, **changes})  # type: ignore[arg-type]


def test_ids_sort_by_the_time_they_were_made_and_their_complement_the_other_way() -> None:
    ids = [new_image_id(now=1_700_000_000 + seconds) for seconds in (0, 0.001, 1, 1000, 10**7)]
    assert ids == sorted(ids)
    assert [newest_first(newest_first(each)) for each in ids] == ids
    assert sorted(map(newest_first, ids)) == [newest_first(each) for each in reversed(ids)]


def test_ids_are_different_within_one_moment() -> None:
    assert len({new_image_id(now=1.0) for _ in range(10_000)}) == 10_000


@given(st.text(max_size=30))
def test_nothing_but_an_id_is_taken_for_one(text: str) -> None:
    if is_image_id(text):
        assert len(text) == 26
        assert text.isascii()
        assert text.isalnum()
        assert text == text.lower()


def test_a_made_id_is_one() -> None:
    assert is_image_id(new_image_id())


def test_a_manifest_keeps_everything() -> None:
    whole = image(
        state=ImageState.READY,
        variants=(
            Variant("product", Format.AVIF, 4, 3, VariantState.READY, 7, "0" * 16, 0.25),
            Variant("product", Format.JPEG, 4, 3),
        ),
        failure=Failure(3, "R", "d", "m", {"k": "v"}),
        processing=Processing(1, 2, 3, 4, 1, 5),
    )
    assert Image.from_json(whole.to_json()) == whole
    assert Image.from_json(image(image_id="x" * 26).to_json()) == image(image_id="x" * 26)


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", b"null", b'{"version": 2}', b'{"version": 1, "image_id": 3}'])
def test_what_is_no_manifest_is_a_value_error(manifest: bytes) -> None:
    with pytest.raises(ValueError):
        Image.from_json(manifest)


def test_a_finished_variant_takes_the_place_of_its_plan_and_order_stays() -> None:
    planned = image()
    for width, form in ((400, Format.JPEG), (800, Format.AVIF), (800, Format.JPEG)):
        planned = planned.with_variant(Variant("product", form, width, width), now=3.0)
    assert [(v.width, v.format) for v in planned.variants] == [(800, Format.JPEG), (800, Format.AVIF), (400, Format.JPEG)]
    done = planned.with_variant(Variant("product", Format.AVIF, 800, 800, VariantState.READY, 9, "1" * 16), now=4.0)
    assert [v.state for v in done.variants] == [VariantState.PENDING, VariantState.READY, VariantState.PENDING]
    assert (done.update_time, len(done.ready())) == (4.0, 1)


def test_the_name_of_a_ready_variant_tells_format_and_digest() -> None:
    ready = Variant("product", Format.WEBP, 800, 600, VariantState.READY, 9, "0123456789abcdef")
    assert ready.name == "product-800.0123456789abcdef.webp"
    assert parse_variant_name(ready.name) == (Format.WEBP, "0123456789abcdef")
    for name in ("_original", "_manifest.json", "product-800.webp", f"../{ready.name}", ready.name + "\n", ready.name.upper(), ""):
        assert parse_variant_name(name) is None


def test_only_the_end_of_an_index_entry_is_a_place_in_a_list() -> None:
    assert is_list_position(f"{newest_first(new_image_id())}~0123abcd~0123abcd.4567cdef")
    for text in ("", "a~b", "a~b~c~d", "../a~b~c", "a~b~c/d", "a~b~é", "a~b~c\n"):
        assert not is_list_position(text)
