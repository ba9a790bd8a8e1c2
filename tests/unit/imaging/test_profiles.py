"""Profiles: the shipped ones, a user's own, and what is said where one is not right."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from souk_imaging.adapters import profile_file
from souk_imaging.exceptions import ProfileUnknownError
from souk_imaging.images import Format
from souk_imaging.profiles import Profile

SHIPPED = profile_file.load()
OWN = """
profiles:
  story:
    sides: [640, 1080]
    aspect: "9:16"
    formats: {opaque: [webp, jpg], transparent: [webp, png], animated: [webp, jpg]}
    quality: {webp: 70, jpg: 75, png: 100}
    effort: {webp: 1, jpg: 0, png: 3}
"""


def sizes(name: str, width: int, height: int) -> tuple[tuple[int, int], ...]:
    return SHIPPED.get(name).sizes(width, height)


def test_the_shipped_profiles_are_these() -> None:
    assert SHIPPED.names == ("product", "avatar", "banner")
    product = SHIPPED.get("product")
    formats = {
        kind: tuple(each.format for each in product.encodings(has_alpha=alpha, frames=frames))
        for kind, alpha, frames in (("opaque", False, 1), ("transparent", True, 1), ("animated", False, 7))
    }
    assert formats == {
        "opaque": (Format.AVIF, Format.WEBP, Format.JPEG),
        "transparent": (Format.AVIF, Format.WEBP, Format.PNG),
        "animated": (Format.WEBP, Format.JPEG),
    }
    assert product.sides == (1600, 1200, 800, 400, 200)
    assert product.encodings(has_alpha=True, frames=7) == product.animated


def test_a_photo_gets_the_sizes_that_it_fills() -> None:
    assert sizes("product", 4032, 3024) == ((1600, 1200), (1200, 900), (800, 600), (400, 300), (200, 150))
    assert sizes("product", 3024, 4032) == ((1200, 1600), (900, 1200), (600, 800), (300, 400), (150, 200))
    assert sizes("product", 1000, 500) == ((1000, 500), (800, 400), (400, 200), (200, 100))
    assert sizes("product", 150, 100) == ((150, 100),)
    assert sizes("product", 820, 410) == ((800, 400), (400, 200), (200, 100)), "820 is too near to 800 to be worth a variant"


def test_a_shape_is_cut_out_of_the_photo() -> None:
    assert sizes("avatar", 4032, 3024) == ((512, 512), (256, 256), (128, 128), (64, 64))
    assert sizes("avatar", 100, 400) == ((100, 100), (64, 64))
    assert sizes("banner", 4032, 3024)[0] == (2400, 800)


@given(st.sampled_from(SHIPPED.names), st.integers(1, 70_000), st.integers(1, 70_000))
def test_sizes_are_never_larger_than_the_photo_nor_empty_nor_twice_the_same(name: str, width: int, height: int) -> None:
    made = sizes(name, width, height)
    assert made
    assert all(1 <= wide <= width and 1 <= high <= height for wide, high in made)
    widths = [wide for wide, _ in made]
    assert widths == sorted(set(widths), reverse=True)


def test_an_unknown_profile_is_told_what_there_is() -> None:
    with pytest.raises(ProfileUnknownError) as caught:
        SHIPPED.get("poster")
    assert caught.value.metadata == {"profile": "poster", "known": "avatar, banner, product"}


def test_a_file_of_the_users_adds_to_the_shipped_ones(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    profiles = profile_file.load(path)
    assert profiles.names == ("product", "avatar", "banner", "story")
    story = profiles.get("story")
    assert isinstance(story, Profile)
    assert story.sides == (1080, 640)
    assert story.aspect == pytest.approx(9 / 16)
    assert [(each.format, each.quality, each.effort) for each in story.opaque] == [(Format.WEBP, 70, 1), (Format.JPEG, 75, 0)]


def test_a_profile_of_the_users_replaces_one_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN.replace("story:", "product:"))
    assert profile_file.load(path).get("product").sides == (1080, 640)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sides": []}, "profiles.story.sides"),
        ({"sides": [0]}, "profiles.story.sides"),
        ({"sides": ["wide"]}, "profiles.story.sides"),
        ({"aspect": "wide"}, "profiles.story.aspect"),
        ({"formats": {"opaque": ["jpeg"], "transparent": ["png"], "animated": ["webp"]}}, "profiles.story.formats.opaque"),
        ({"formats": {"opaque": ["jpg"], "transparent": ["jpg"], "animated": ["webp"]}}, "profiles.story.formats.transparent"),
        ({"formats": {"opaque": ["jpg", "jpg"], "transparent": ["png"], "animated": ["webp"]}}, "profiles.story.formats.opaque"),
        ({"formats": {"opaque": ["jpg"], "transparent": ["png"]}}, "profiles.story.formats.animated"),
        ({"formats": {"opaque": ["avif"], "transparent": ["png"], "animated": ["webp"]}}, "profiles.story: no quality"),
        ({"quality": {"webp": 101, "jpg": 75, "png": 100}}, "profiles.story.quality.webp"),
        ({"effort": {"webp": 7, "jpg": 0, "png": 3}}, "profiles.story.effort"),
        ({"colour": "blue"}, "profiles.story.colour"),
    ],
)
def test_what_is_wrong_is_named_by_file_profile_and_field(tmp_path: Path, change: dict[str, object], field: str) -> None:
    plain = yaml.safe_load(OWN)
    plain["profiles"]["story"] |= change
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(plain))
    with pytest.raises(ValueError, match=r"own\.yaml") as caught:
        profile_file.load(path)
    assert field in str(caught.value)


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "profiles: 3", "profiles: {Story: {}}"])
def test_a_file_that_holds_no_profiles_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"own\.yaml"):
        profile_file.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing\.yaml"):
        profile_file.load(tmp_path / "missing.yaml")
