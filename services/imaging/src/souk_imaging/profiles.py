"""Profiles: which variants are made of a photo. adapters/profile_file.py reads them from YAML."""

from collections.abc import Mapping
from dataclasses import dataclass

from souk_imaging.exceptions import ProfileUnknownError
from souk_imaging.images import Format

NEAR = 1.1
"""A photo's own size becomes a variant where it is more than this times the next size."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one format is written."""

    format: Format
    quality: int
    """1 to 100, on the encoder's own scale. Lossless formats do not look at it."""
    effort: int
    """How hard the encoder tries: AVIF 0 to 9, WebP 0 to 6, PNG 1 to 9 (zlib level); JPEG has one way."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes and formats for one use."""

    name: str
    sides: tuple[int, ...]
    """The longer side of each variant, in pixels, longest first. None is made larger than the photo."""
    aspect: float | None
    """Width by height that photos are cropped to, around what draws the eye; None: the whole photo."""
    opaque: tuple[Encoding, ...]
    """For photos without transparency, newest format first; the last is for clients that know nothing newer."""
    transparent: tuple[Encoding, ...]
    animated: tuple[Encoding, ...]
    """Formats that cannot move show the first frame."""

    def encodings(self, *, has_alpha: bool, frames: int) -> tuple[Encoding, ...]:
        """The formats for one kind of photo."""
        if frames > 1:
            return self.animated
        return self.transparent if has_alpha else self.opaque

    def sizes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """(width, height) of every variant of an upright photo of this size, widest first, no width twice; never larger than the
        photo."""
        if self.aspect is not None:
            width, height = min(width, round(height * self.aspect)), min(height, round(width / self.aspect))
        longer = max(width, height, 1)
        sides = [side for side in self.sides if side <= longer]
        if longer < self.sides[0] and longer > (sides[0] if sides else 0) * NEAR:
            sides.insert(0, longer)
        by_width: dict[int, tuple[int, int]] = {}  # of a very slim photo, several sides come to the same width
        for side in sides:
            size = (max(1, round(width * side / longer)), max(1, round(height * side / longer)))
            by_width.setdefault(size[0], size)
        return tuple(by_width.values())


class Profiles:
    """The profiles of one server, by name."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = dict(profiles)

    def get(self, name: str) -> Profile:
        """The profile of this name; ProfileUnknownError where there is none."""
        try:
            return self._profiles[name]
        except KeyError:
            known = ", ".join(sorted(self._profiles))
            raise ProfileUnknownError(
                f"there is no profile {name[:64]!r}; there are: {known}", profile=name[:64], known=known
            ) from None

    @property
    def names(self) -> tuple[str, ...]:
        """What there is."""
        return tuple(self._profiles)
