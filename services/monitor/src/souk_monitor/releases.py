"""Which of two releases is the later: by their versions where both are of one package, else by when each was first seen.

A version is numbers parted by dots, with what semantic versions may have after them: a pre-release, and a build, which decides
between releases that are the same but for it. What is before the numbers names the package, and ends with the last @ where there is
one: shop@1.4.0, @acme/shop@1.4.0, shop-1.4.0, build-119. A version of several numbers that names no package, as 1.4, may be of any
that has an @.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

LONGEST = 200
"""Characters of a release that may be a version."""
_MANY = 4096
_NUMBERS = re.compile(r"v?(\d{1,14}(?:\.\d{1,9}){0,5})(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?")
_BEFORE_NUMBERS = re.compile(r"[^@]*?[/_ -](?=v?\d)")
_COMMIT = re.compile(r"\d{7,}")
"""Of git, shortened, or the end of a UUID, where it happens to have digits alone; but for dates."""
_DATE = re.compile(r"(?:19|20)\d\d[01]\d[0-3]\d(?:\d{2}|\d{4}|\d{6})?")
_NEVER = datetime.min.replace(tzinfo=UTC)
Identifier = tuple[int, int, str]


class Version(NamedTuple):
    """What a release says of itself."""

    package: str
    numbers: tuple[int, ...]
    pre: tuple[Identifier, ...]
    build: str
    is_dotted: bool

    @property
    def order(self) -> tuple[tuple[int, ...], tuple[Identifier, ...]]:
        """What it is ordered by before its build is."""
        return self.numbers, self.pre


def is_same(release: str, other: str) -> bool:
    """Whether both are one release, as shop@1.4 and 1.4.0 are, and 1.4.0 and any build of it."""
    both = _comparable(release, other)
    if release == other or both is None:
        return release == other
    return both[0].order == both[1].order and (both[0].build == both[1].build or not (both[0].build and both[1].build))


def is_later(release: str, than: str, first_seen: Mapping[str, datetime]) -> bool:
    """Whether a release came after another. One that was never seen is after none."""
    both = _comparable(release, than)
    if both is not None:
        ours, theirs = both
        if ours.order != theirs.order:
            return ours.order > theirs.order
        if is_same(release, than):
            return False
        builds = _dotted(ours.build), _dotted(theirs.build)
        if builds[0] and builds[1] and builds[0] != builds[1]:
            return builds[0] > builds[1]
    seen, seen_than = first_seen.get(release), first_seen.get(than)
    return seen is not None and seen_than is not None and seen > seen_than


def newest(release: str, first_seen: Mapping[str, datetime]) -> str:
    """The latest of the releases of exactly the package that one is of, itself among them; of those that are no versions, where it
    is none. first_seen: of the others, and of itself where that is known."""
    own = version_of(release)
    package = own.package if own is not None else None
    seen = {release: first_seen.get(release, _NEVER), **first_seen}
    return max((other for other in seen if _package_of(other) == package), key=lambda other: (*_place(other), seen[other], other))


def _package_of(release: str) -> str | None:
    version = version_of(release)
    return version.package if version is not None else None


def _place(release: str) -> tuple[tuple[int, ...], tuple[Identifier, ...], tuple[int, ...]]:
    """In an order that all versions of a package have; those whose builds are no numbers are parted by when they were seen."""
    version = version_of(release)
    return ((), (), ()) if version is None else (*version.order, _dotted(version.build))


def _comparable(release: str, other: str) -> tuple[Version, Version] | None:
    """What both are ordered by, where that is by their versions."""
    ours, theirs = version_of(release), version_of(other)
    if ours is None or theirs is None:
        return None
    if ours.package != theirs.package and not (_may_be_of(ours, theirs) or _may_be_of(theirs, ours)):
        return None
    return ours, theirs


def _may_be_of(one: Version, named: Version) -> bool:
    return not one.package and one.is_dotted and named.package.endswith("@")


@lru_cache(maxsize=_MANY)
def version_of(release: str) -> Version | None:
    """The version that a release is; None where it is none. Pre-releases are ordered as https://semver.org/#spec-item-11 says."""
    if len(release) > LONGEST:
        return None
    name, at, rest = release.rpartition("@")
    matched = _NUMBERS.fullmatch(rest)
    before = None if at or matched else _BEFORE_NUMBERS.match(rest)
    if before is not None:
        matched = _NUMBERS.fullmatch(rest, before.end())
    if matched is None:
        return None
    numbers, pre, build = matched.groups(default="")
    if _COMMIT.fullmatch(numbers) and not _DATE.fullmatch(numbers):
        return None
    # without a pre-release comes after all with one
    order = tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pre.split(".")) if pre else ((2, 0, ""),)
    return Version(before[0] if before is not None else name + at, _dotted(numbers), order, build, "." in numbers)


def _dotted(text: str) -> tuple[int, ...]:
    """Numbers that are parted by dots, without zeros at the end; none where it is no such text."""
    parts = text.split(".")
    if not all(part.isdecimal() for part in parts):
        return ()
    numbers = [int(part) for part in parts]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
