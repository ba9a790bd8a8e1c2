"""Which of two releases is the later: by their versions where both are semantic ones of one package, else by when each was first
seen. A version that names no package may be of any."""

import re
from collections.abc import Mapping
from datetime import datetime

_SEMANTIC = re.compile(
    r"(?:(?P<package>[^@]+)@)?v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)
Version = tuple[tuple[int, int, int], tuple[tuple[int, int, str], ...]]


def is_same(release: str, other: str) -> bool:
    """Whether both are one release, as shop@1.4 and 1.4.0 are."""
    versions = _comparable(release, other)
    return versions[0] == versions[1] if versions is not None else release == other


def is_later(release: str, than: str, first_seen: Mapping[str, datetime]) -> bool:
    """Whether a release came after another. One that was never seen is after none."""
    versions = _comparable(release, than)
    if versions is not None:
        return versions[0] > versions[1]
    seen, seen_than = first_seen.get(release), first_seen.get(than)
    return seen is not None and seen_than is not None and seen > seen_than


def _comparable(release: str, other: str) -> tuple[Version, Version] | None:
    """What both are ordered by, where that is by their versions."""
    ours, theirs = _version(release), _version(other)
    if ours is None or theirs is None or (ours[0] != theirs[0] and ours[0] and theirs[0]):
        return None
    return ours[1], theirs[1]


def _version(release: str) -> tuple[str, Version] | None:
    """(package, what it is ordered by), https://semver.org/#spec-item-11; None where it is no semantic version."""
    matched = _SEMANTIC.fullmatch(release)
    if matched is None:
        return None
    numbers = (int(matched[2]), int(matched[3]), int(matched[4] or 0))
    pre = matched["pre"]
    # without a pre-release comes after all with one
    order = ((2, 0, ""),) if pre is None else tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pre.split("."))
    return matched["package"] or "", (numbers, order)
