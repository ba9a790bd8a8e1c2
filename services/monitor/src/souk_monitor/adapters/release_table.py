"""When each release of a project was seen first."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from souk_common.postgres import Session

_ADD = """
INSERT INTO monitor.releases (project, release, first_seen)
SELECT project, release, first_seen FROM unnest($1::integer[], $2::text[], $3::timestamptz[]) AS r(project, release, first_seen)
ON CONFLICT DO NOTHING
"""
_FIRST_SEEN = "SELECT release, first_seen FROM monitor.releases WHERE project = $1 AND release = ANY ($2::text[])"


async def add(session: Session, releases: Mapping[tuple[int, str], datetime]) -> None:
    """Keep releases that may be new, by (project, release), in the order of their keys."""
    if releases:
        columns = ([project for project, _ in releases], [release for _, release in releases], list(releases.values()))
        await session.fetch("releases.add", _ADD, columns)


async def first_seen(session: Session, project: int, releases: Sequence[str]) -> dict[str, datetime]:
    """Of those that are known."""
    if not releases:
        return {}
    rows = await session.fetch("releases.first_seen", _FIRST_SEEN, (project, releases))
    return {row["release"]: row["first_seen"] for row in rows}
