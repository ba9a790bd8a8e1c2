"""Events into PostgreSQL: a batch in one transaction, each event counted once, whoever else writes.

Locks are taken in one order by everybody: new fingerprints, events, fingerprints, issues; and within each by their keys.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Generic, TypeVar

import zstandard
from souk_common.postgres import CheckError, ConflictError, Pool, Session, UnavailableError

from souk_monitor.adapters import issue_rows, release_table
from souk_monitor.adapters.fingerprint_table import NewFingerprints, Resolved, resolve
from souk_monitor.adapters.user_sets import count_users
from souk_monitor.facets import Counts
from souk_monitor.ingest import Stored
from souk_monitor.lifecycle import Came, Counted, Transition, after_events
from souk_monitor.preparing import Prepared
from souk_monitor.thinning import is_kept

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
REMEMBERED = 100_000
"""Fingerprints, users and releases that a node knows to be there, of each."""
_CLAIM = """
INSERT INTO monitor.events (day, project, event_id, fingerprint)
SELECT day, project, event_id, fingerprint FROM unnest($1::date[], $2::integer[], $3::uuid[], $4::bigint[])
    AS c(day, project, event_id, fingerprint)
ON CONFLICT DO NOTHING RETURNING day, event_id, project
"""
_FIRST = """
SELECT DISTINCT ON (e.event_id, e.project) e.event_id, e.project, f.issue
FROM monitor.events e JOIN monitor.fingerprints f ON f.id = e.fingerprint
WHERE e.event_id = ANY ($1::uuid[]) AND e.day = ANY ($2::date[])
"""
_POINT = """
UPDATE monitor.events e SET fingerprint = o.fingerprint
FROM unnest($1::uuid[], $2::integer[], $3::date[]) AS c(event_id, project, day)
    JOIN monitor.events o ON o.event_id = c.event_id AND o.project = c.project AND o.day IN (c.day - 1, c.day + 1)
WHERE e.event_id = c.event_id AND e.project = c.project AND e.day = c.day
"""
_COUNT_FINGERPRINTS = """
WITH locked AS MATERIALIZED (
    SELECT id FROM monitor.fingerprints WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
)
UPDATE monitor.fingerprints f SET
    events = f.events + c.events,
    first_seen = least(f.first_seen, c.first_seen),
    last_seen = greatest(f.last_seen, c.last_seen),
    first_release = CASE WHEN c.first_release <> '' AND (f.first_release = '' OR c.first_seen < f.first_seen)
                         THEN c.first_release ELSE f.first_release END,
    last_release = CASE WHEN c.last_release <> '' AND (f.last_release = '' OR c.last_seen >= f.last_seen)
                        THEN c.last_release ELSE f.last_release END
FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[])
        AS c(id, events, first_seen, last_seen, first_release, last_release)
    JOIN locked USING (id)
WHERE f.id = c.id
RETURNING f.id, f.issue, f.events, f.users
"""
_COUNT_HOURS = """
INSERT INTO monitor.hours AS h (fingerprint, hour, events)
SELECT fingerprint, hour, events FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS c(fingerprint, hour, events)
ON CONFLICT (fingerprint, hour) DO UPDATE SET events = h.events + excluded.events
"""
_KEEP_BODIES = """
INSERT INTO monitor.bodies (day, project, event_id, fingerprint, time, received, trace, error_id, people, body)
SELECT day, project, event_id, fingerprint, time, received, trace, error_id, people::bigint[], body
FROM unnest($1::date[], $2::integer[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], $7::uuid[], $8::text[],
            $9::text[], $10::bytea[])
    AS b(day, project, event_id, fingerprint, time, received, trace, error_id, people, body)
"""


class Recent(OrderedDict[K, V], Generic[K, V]):
    """The newest of what was put in."""

    def remember(self, items: Iterable[tuple[K, V]]) -> None:
        """Put in, and let go of the oldest."""
        self.update(items)
        while len(self) > REMEMBERED:
            self.popitem(last=False)


@dataclass(slots=True)
class Tally:
    """Events of one fingerprint or one issue in a batch."""

    events: int = 0
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    first_release: str = ""
    last_release: str = ""
    severity: int = 0
    handled: bool | None = None
    releases: dict[str, datetime] = field(default_factory=dict)
    """By release, when the last happened."""

    def add(self, event: Prepared) -> None:
        """One more."""
        self.events += 1
        time = event.time
        if self.first_seen is None or time < self.first_seen:
            self.first_seen, self.first_release = time, event.release or self.first_release
        if self.last_seen is None or time >= self.last_seen:
            self.last_seen, self.last_release = time, event.release or self.last_release
            self.handled = event.handled
        self.severity = max(self.severity, event.severity)
        self.releases[event.release] = max(time, self.releases.get(event.release, time))

    def add_all(self, other: "Tally") -> None:
        """All of another fingerprint."""
        if other.first_seen is None or other.last_seen is None:
            return
        self.events += other.events
        if self.first_seen is None or other.first_seen < self.first_seen:
            self.first_seen, self.first_release = other.first_seen, other.first_release or self.first_release
        if self.last_seen is None or other.last_seen >= self.last_seen:
            self.last_seen, self.last_release = other.last_seen, other.last_release or self.last_release
            self.handled = other.handled
        self.severity = max(self.severity, other.severity)
        for release, time in other.releases.items():
            self.releases[release] = max(time, self.releases.get(release, time))


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept of bodies."""

    first: int = 100
    """Of the first so many events of a fingerprint all are kept."""
    level: int = 3
    """Of zstd."""


@dataclass(slots=True)
class _Known:
    """What is known to be committed, so that no transaction has to look."""

    fingerprints: Recent[tuple[int, bytes], int] = field(default_factory=Recent)
    events: Recent[int, int] = field(default_factory=Recent)
    """About how many a fingerprint has."""
    people: Recent[tuple[int, int], None] = field(default_factory=Recent)
    releases: Recent[tuple[int, str], None] = field(default_factory=Recent)
    days: set[date] = field(default_factory=set)


class EventTables:
    """monitor.events, monitor.bodies, and what is counted with them."""

    def __init__(self, pool: Pool, keeping: Keeping, counts: Counts, *, timeout: float = 20.0) -> None:
        """counts: where services, releases and tags are counted, once events are committed. timeout: seconds of a transaction."""
        self._pool = pool
        self._timeout = timeout
        self._keeping = keeping
        self._counts = counts
        self._known = _Known()

    async def write(self, events: Sequence[Prepared]) -> list[Stored]:
        """Store events in one transaction, each once; what became of them, in their order. PostgresError: none is surely stored."""
        await self._make_days({day for event in events for day in event.days})
        bodies = await asyncio.to_thread(self._compress, events)
        writing = _Writing(self._known, self._keeping, events, bodies)
        try:
            async with asyncio.timeout(self._timeout), self._pool.transaction() as session:
                stored = await writing.run(session)
        except TimeoutError as error:
            raise UnavailableError("PostgreSQL does not answer") from error
        except CheckError:  # a day is gone that was there
            self._known.days.clear()
            raise
        self._learn(writing)
        return stored

    async def _make_days(self, days: set[date]) -> None:
        for day in sorted(days - self._known.days):
            await self._pool.fetch("days.make", "SELECT monitor.make_day($1)", (day,))
            self._known.days.add(day)

    def _compress(self, events: Sequence[Prepared]) -> list[bytes | None]:
        """The bodies, but for those that are surely not kept."""
        compressor = zstandard.ZstdCompressor(level=self._keeping.level)
        ahead: dict[int, int] = {}
        bodies: list[bytes | None] = []
        for event in events:
            number = self._known.fingerprints.get((event.project, event.grouping.fingerprint), 0)
            ahead[number] = ahead.get(number, self._known.events.get(number, 0)) + 1
            likely = ahead[number] <= 2 * self._keeping.first or not number
            bodies.append(compressor.compress(event.body) if likely else None)
        return bodies

    def _learn(self, writing: "_Writing") -> None:
        known = self._known
        known.fingerprints.remember(((r.project, r.fingerprint), r.number) for r in writing.resolved.values())
        known.events.remember(writing.totals.items())
        known.people.remember((key, None) for key in writing.people)
        known.releases.remember((key, None) for key in writing.releases)
        for event, number in writing.new:
            self._counts.add(number, event.project, event.hour, event.named)


class _Writing:
    """One batch, within its transaction."""

    def __init__(self, known: _Known, keeping: Keeping, events: Sequence[Prepared], bodies: list[bytes | None]) -> None:
        self._known = known
        self._keeping = keeping
        self._events = events
        self._bodies = {id(event): body for event, body in zip(events, bodies, strict=True)}
        self.resolved: dict[tuple[int, bytes], Resolved] = {}
        self.new: list[tuple[Prepared, int]] = []
        """Events that were not there, with the numbers of their fingerprints."""
        self.totals: dict[int, int] = {}
        """Events that each fingerprint has now."""
        self.people: set[tuple[int, int]] = set()
        self.releases: set[tuple[int, str]] = set()

    async def run(self, session: Session) -> list[Stored]:
        """Write; what became of the events, in their order."""
        made = await self._resolve(session)
        await self._claim(session)
        gone = await made.remove_unused(session, {number for _, number in self.new})
        self.resolved = {key: each for key, each in self.resolved.items() if each.number not in gone}
        tallies = self._tallies()
        issues = await self._count(session, tallies)
        await self._keep_bodies(session)
        return await self._outcomes(session, issues, made)

    async def _resolve(self, session: Session) -> NewFingerprints:
        wanted = {(event.project, event.grouping.fingerprint): event for event in self._events}
        for key in wanted:
            number = self._known.fingerprints.get(key)
            if number is not None:
                self.resolved[key] = Resolved(*key, number)
        unknown = [wanted[key] for key in sorted(wanted.keys() - self.resolved.keys())]
        found, made = await resolve(session, unknown)
        self.resolved.update({(each.project, each.fingerprint): each for each in found})
        return made

    def _number(self, event: Prepared) -> int:
        return self.resolved[event.project, event.grouping.fingerprint].number

    async def _claim(self, session: Session) -> None:
        """Find out which events are new: those whose days have none of theirs yet."""
        once: dict[tuple[str, int], Prepared] = {}
        for event in self._events:
            once.setdefault((event.event_id, event.project), event)
        claims = sorted((event_id, project, day) for (event_id, project), event in once.items() for day in event.days)
        columns = (
            [day for _, _, day in claims],
            [project for _, project, _ in claims],
            [event_id for event_id, _, _ in claims],
            [self._number(once[event_id, project]) for event_id, project, _ in claims],
        )
        rows = await session.fetch("events.claim", _CLAIM, columns)
        if len(rows) == len(claims):
            self.new = [(event, self._number(event)) for event in once.values()]
            return
        claimed = {(row["event_id"].hex, row["project"], row["day"]) for row in rows}
        for (event_id, project), event in once.items():
            if all((event_id, project, day) in claimed for day in event.days):
                self.new.append((event, self._number(event)))
                claimed.difference_update((event_id, project, day) for day in event.days)
        if claimed:  # events that were there, on the other side of midnight
            split = [list(column) for column in zip(*sorted(claimed), strict=True)]
            await session.fetch("events.point", _POINT, split)

    def _tallies(self) -> dict[int, Tally]:
        tallies: dict[int, Tally] = {}
        for event, number in self.new:
            tallies.setdefault(number, Tally()).add(event)
        return dict(sorted(tallies.items()))

    async def _count(self, session: Session, tallies: dict[int, Tally]) -> dict[int, int]:
        """Count the new events; the issue of each of their fingerprints."""
        if not tallies:
            return {}
        await release_table.add(session, self._new_releases())
        counted = await session.fetch("fingerprints.count", _COUNT_FINGERPRINTS, (list(tallies), *_columns(tallies)))
        issues = {row["id"]: row["issue"] for row in counted}
        self.totals = {row["id"]: row["events"] for row in counted}
        if len(counted) < len(tallies):
            self._known.fingerprints.clear()
            raise ConflictError("a fingerprint is gone that was there")
        users = await count_users(session, self._new_people(), {row["id"]: row["users"] for row in counted}, issues)
        await self._count_hours(session)
        by_issue: dict[int, Tally] = {}
        for number, tally in tallies.items():
            by_issue.setdefault(issues[number], Tally()).add_all(tally)
        await self._count_issues(session, dict(sorted(by_issue.items())), users)
        return issues

    async def _count_issues(self, session: Session, tallies: dict[int, Tally], users: dict[int, int]) -> None:
        rows = await issue_rows.count(session, tallies, users)
        now = max(event.received for event, _ in self.new)
        for row in rows:
            if row.status.state.waits_for_events:
                came = [Came(release, time) for release, time in tallies[row.issue].releases.items()]
                await self._turn(session, row, came, now)

    async def _turn(self, session: Session, row: issue_rows.Hot, came: list[Came], now: datetime) -> None:
        releases = {each.release for each in came} | {row.status.resolved_release}
        first_seen = await release_table.first_seen(session, row.project, sorted(releases - {""}))
        turned: Transition | None = after_events(row.status, Counted(row.events, row.users), came, first_seen, now)
        if turned is not None:
            await issue_rows.turn(session, row.issue, turned, actor="", now=now)

    async def _count_hours(self, session: Session) -> None:
        hours: dict[tuple[int, datetime], int] = {}
        for event, number in self.new:
            hours[number, event.hour] = hours.get((number, event.hour), 0) + 1
        keys = sorted(hours)
        columns = ([number for number, _ in keys], [hour for _, hour in keys], [hours[key] for key in keys])
        await session.fetch("hours.count", _COUNT_HOURS, columns)

    def _new_people(self) -> list[tuple[int, int]]:
        pairs = {(number, event.person) for event, number in self.new if event.person is not None}
        self.people = {(number, person) for number, person in pairs if (number, person) not in self._known.people}
        return sorted(self.people)

    def _new_releases(self) -> dict[tuple[int, str], datetime]:
        """When each was seen first, of those that are not known."""
        found: dict[tuple[int, str], datetime] = {}
        for event, _ in self.new:
            key = (event.project, event.release)
            if event.release and key not in self._known.releases:
                found[key] = min(event.time, found.get(key, event.time))
        self.releases = set(found)
        return dict(sorted(found.items()))

    async def _keep_bodies(self, session: Session) -> None:
        seen: dict[int, int] = {}
        ahead: dict[int, int] = {}
        for _, number in self.new:
            ahead[number] = ahead.get(number, 0) + 1
        kept: list[tuple[Prepared, int]] = []
        for event, number in self.new:
            seen[number] = seen.get(number, 0) + 1
            if is_kept(self.totals[number] - ahead[number] + seen[number], self._keeping.first):
                kept.append((event, number))
        if kept:
            await session.fetch("bodies.keep", _KEEP_BODIES, self._body_columns(kept))

    def _body_columns(self, kept: list[tuple[Prepared, int]]) -> Sequence[list[object]]:
        rows = [
            (
                event.time.date(),
                event.project,
                event.event_id,
                number,
                event.time,
                event.received,
                event.trace_id or None,
                event.error_id or None,
                "{" + ",".join(map(str, event.people)) + "}" if event.people else None,
                self._bodies[id(event)] or zstandard.ZstdCompressor(level=self._keeping.level).compress(event.body),
            )
            for event, number in kept
        ]
        return [list(column) for column in zip(*rows, strict=True)]

    async def _outcomes(self, session: Session, issues: dict[int, int], made: NewFingerprints) -> list[Stored]:
        fresh = {(event.event_id, event.project): number for event, number in self.new}
        before = await self._before(session, fresh)
        told: list[Stored] = []
        opened = set(made.issues.values())
        for event in self._events:
            key = (event.event_id, event.project)
            number = fresh.pop(key, None)
            if number is not None:
                issue = before[key] = issues[number]
                told.append(Stored(event.event_id, str(issue), issue in opened, repeated=False))
                opened.discard(issue)
            else:
                told.append(Stored(event.event_id, str(before[key]), new_issue=False, repeated=True))
        return told

    async def _before(self, session: Session, fresh: dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        """The issues of the events that were there before."""
        known = [event for event in self._events if (event.event_id, event.project) not in fresh]
        if not known:
            return {}
        days = sorted({day for event in known for day in event.days})
        rows = await session.fetch("events.first", _FIRST, ([event.event_id for event in known], days))
        return {(row["event_id"].hex, row["project"]): row["issue"] for row in rows}


def _columns(tallies: dict[int, Tally]) -> Sequence[list[object]]:
    each = tallies.values()
    return (
        [tally.events for tally in each],
        [tally.first_seen for tally in each],
        [tally.last_seen for tally in each],
        [tally.first_release for tally in each],
        [tally.last_release for tally in each],
    )
