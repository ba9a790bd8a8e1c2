"""When each release of a project was seen first."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from souk_common.postgres import Pool, Session

from souk_monitor.facets import MAX_VALUE, Kind
from souk_monitor.releases import newest

_ADD = """
INSERT INTO monitor.releases (project, release, first_seen)
SELECT project, release, first_seen FROM unnest($1::integer[], $2::text[], $3::timestamptz[]) AS r(project, release, first_seen)
ON CONFLICT DO NOTHING
"""
_FIRST_SEEN = "SELECT release, first_seen FROM monitor.releases WHERE project = $1 AND release = ANY ($2::text[])"
_NEWEST = "SELECT release, first_seen FROM monitor.releases WHERE project = $1 ORDER BY first_seen DESC LIMIT $2"
_LOOKED_AT = 1_000
_FORGET = f"""
DELETE FROM monitor.releases WHERE ctid = ANY (ARRAY(
    SELECT r.ctid FROM monitor.releases r
    WHERE r.first_seen < $1
        AND NOT EXISTS (
            SELECT FROM monitor.facet_hours h
            WHERE h.project = r.project AND h.kind = {Kind.RELEASE:d} AND h.value = left(r.release, {MAX_VALUE})
        )
        AND NOT EXISTS (
            SELECT FROM monitor.facets c JOIN monitor.fingerprints f ON f.id = c.fingerprint
            WHERE c.kind = {Kind.RELEASE:d} AND c.value = left(r.release, {MAX_VALUE}) AND f.project = r.project
        )
        AND NOT EXISTS (
            SELECT FROM monitor.issues i WHERE i.resolved_release <> '' AND i.project = r.project AND i.resolved_release = r.release
        )
    LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING true
"""  # noqa: S608 — of constants
AT_ONCE = 5_000


async def forget(pool: Pool, before: datetime) -> None:
    """Forget those that were seen first earlier, and that nothing names: neither counts by the hour, nor an issue that has counted
    them (else they would come back to it as newer than what it was resolved in), nor one that was resolved in them."""
    while await pool.fetch("releases.forget", _FORGET, (before, AT_ONCE)):
        pass


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


async def newest_of(session: Session, project: int, release: str) -> str:
    """The latest release of the package that one is of, among the newest of the project; empty where none is named."""
    if not release:
        return ""
    rows = await session.fetch("releases.newest", _NEWEST, (project, _LOOKED_AT))
    own = await first_seen(session, project, [release])
    return newest(release, {**{row["release"]: row["first_seen"] for row in rows}, **own})
