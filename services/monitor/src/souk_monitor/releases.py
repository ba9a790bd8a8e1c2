"""Which of two releases is the later: by their versions where both are of one package, else by when each was first seen.

A version is numbers parted by dots, with what semantic versions may have after them: a pre-release, and a build, which decides
between releases that are the same but for it. What is before the numbers names the package: shop@1.4.0, @acme/shop@1.4.0,
shop-1.4.0, build-119. A version that names no package may be of any that has an @.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

_VERSION = re.compile(
    r"(?:(?P<package>.*[@/_ -]))??v?(?P<numbers>\d{1,14}(?:\.\d{1,9}){0,5})"
    r"(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+(?P<build>[0-9A-Za-z.-]+))?"
)
_COMMIT = re.compile(r"\d{7,}")
"""Of git, shortened, or the end of a UUID, where it happens to have digits alone; but for dates."""
_DATE = re.compile(r"(?:19|20)\d\d[01]\d[0-3]\d(?:\d{2}|\d{4}|\d{6})?")
Identifier = tuple[int, int, str]


class Version(NamedTuple):
    """What a release says of itself."""

    package: str
    order: tuple[tuple[int, ...], tuple[Identifier, ...]]
    build: str


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
        builds = _numbers(ours.build), _numbers(theirs.build)
        if builds[0] and builds[1] and builds[0] != builds[1]:
            return builds[0] > builds[1]
    seen, seen_than = first_seen.get(release), first_seen.get(than)
    return seen is not None and seen_than is not None and seen > seen_than


def newest(release: str, first_seen: Mapping[str, datetime]) -> str:
    """The latest release of the package that one is of, or that one itself."""
    for other in _related(release, first_seen):
        if is_later(other, release, first_seen):
            release = other
    return release


def _related(release: str, others: Iterable[str]) -> list[str]:
    """Those that are of the same package, or, as the release itself, of none."""
    if _version(release) is None:
        return [other for other in others if _version(other) is None]
    return [other for other in others if _comparable(release, other) is not None]


def _comparable(release: str, other: str) -> tuple[Version, Version] | None:
    """What both are ordered by, where that is by their versions."""
    ours, theirs = _version(release), _version(other)
    if ours is None or theirs is None:
        return None
    packages = {ours.package, theirs.package}
    if len(packages) > 1 and not ("" in packages and all(name.endswith("@") for name in packages - {""})):
        return None
    return ours, theirs


def _version(release: str) -> Version | None:
    """None where it is none. Pre-releases are ordered as https://semver.org/#spec-item-11 says."""
    matched = _VERSION.fullmatch(release)
    if matched is None or (_COMMIT.fullmatch(matched["numbers"]) and not _DATE.fullmatch(matched["numbers"])):
        return None
    pre = matched["pre"]
    # without a pre-release comes after all with one
    order = ((2, 0, ""),) if pre is None else tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pre.split("."))
    return Version(matched["package"] or "", (_numbers(matched["numbers"]), order), matched["build"] or "")


def _numbers(text: str) -> tuple[int, ...]:
    """Those that are parted by dots, without zeros at the end; none where it is no such text."""
    parts = text.split(".")
    if not all(part.isdecimal() for part in parts):
        return ()
    numbers = [int(part) for part in parts]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
