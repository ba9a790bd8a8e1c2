"""Events into PostgreSQL: a batch in one transaction, each event counted once, whoever else writes.

Locks are taken in one order by everybody: projects that may open issues (by events, or by a split), new fingerprints, events,
fingerprints, issues; and within each by their keys.
"""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime

from souk_common.postgres import CheckError, ConflictError, Pool, Session, UnavailableError

from souk_monitor.adapters import issue_rows, release_table
from souk_monitor.adapters.body_table import Bodies, Keeping
from souk_monitor.adapters.event_claims import Claim, claim, issues_of
from souk_monitor.adapters.fingerprint_table import NewFingerprints, Resolved, resolve
from souk_monitor.adapters.known_rows import KnownRows
from souk_monitor.adapters.new_issues import Room, Telling
from souk_monitor.adapters.tallies import Tally, columns, tallied
from souk_monitor.adapters.user_sets import count_users
from souk_monitor.facets import Counts
from souk_monitor.ingest import Stored
from souk_monitor.lifecycle import Came, Counted, Transition, after_events
from souk_monitor.preparing import Prepared

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


class EventTables:
    """monitor.events, monitor.bodies, and what is counted with them."""

    def __init__(
        self, pool: Pool, keeping: Keeping, counts: Counts, *, timeout: float = 20.0, new_issues_per_hour: int = 0
    ) -> None:
        """counts: where services, releases and tags are counted, once events are committed. timeout: seconds of a transaction.
        new_issues_per_hour: of projects that do not say how many may be. 0: any number."""
        self._pool = pool
        self._timeout = timeout
        self._keeping = keeping
        self._counts = counts
        self._known = KnownRows()
        self._new_issues = new_issues_per_hour
        self._telling = Telling()

    async def write(self, events: Sequence[Prepared]) -> list[Stored]:
        """Store events in one transaction, each once; what became of them, in their order. PostgresError: none is surely stored."""
        await self._make_days({day for event in events for day in event.days})
        bodies = Bodies(self._keeping)
        await asyncio.to_thread(bodies.compress, events, self._known)
        writing = _Writing(self._known, events, bodies, self._new_issues)
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
            self._known.releases.clear()  # one that was there may be forgotten by now

    def _learn(self, writing: "_Writing") -> None:
        known = self._known
        known.fingerprints.remember(((r.project, r.fingerprint), r.number) for r in writing.resolved.values() if not r.overflows)
        known.events.remember(writing.totals.items())
        known.people.remember((key, None) for key in writing.people)
        known.releases.remember((key, None) for key in writing.releases)
        for project in writing.opened:
            known.full.pop(project, None)
        known.full.update((room.number, room.end_time) for room in writing.full)
        self._telling.tell(writing.full)
        for event, number in writing.new:
            self._counts.add(number, event.project, event.hour, event.named)


class _Writing:
    """One batch, within its transaction."""

    def __init__(self, known: KnownRows, events: Sequence[Prepared], bodies: Bodies, new_issues: int) -> None:
        self._known = known
        self._events = events
        self._bodies = bodies
        self._new_issues = new_issues
        self.resolved: dict[tuple[int, bytes], Resolved] = {}
        self.new: list[Claim] = []
        """Events that were not there."""
        self.totals: dict[int, int] = {}
        """Events that each fingerprint has now."""
        self.people: set[tuple[int, int]] = set()
        self.releases: set[tuple[int, str]] = set()
        self.opened: Sequence[int] = ()
        """Projects that opened issues."""
        self.full: Sequence[Room] = ()
        """Of projects that may open no more issues."""

    async def run(self, session: Session) -> list[Stored]:
        """Write; what became of the events, in their order."""
        made = await self._resolve(session)
        self.new = await claim(session, [Claim(event, self._number(event)) for event in self._events])
        gone = await made.remove_unused(session, {number for _, number in self.new})
        self.resolved = {key: each for key, each in self.resolved.items() if each.number not in gone}
        issues = await self._count(session, tallied(self.new), set(made.issues.values()))
        await self._bodies.keep(session, self.new, self.totals)
        self.opened = list(made.projects.values())
        return await self._outcomes(session, issues, made)

    async def _resolve(self, session: Session) -> NewFingerprints:
        wanted = {(event.project, event.grouping.fingerprint): event for event in self._events}
        for key in wanted:
            number = self._known.fingerprints.get(key)
            if number is not None:
                self.resolved[key] = Resolved(*key, number)
        unknown = [event for key, event in wanted.items() if key not in self.resolved]
        found, made = await resolve(session, unknown, self._new_issues)
        self.full = made.full
        self.resolved.update({(each.project, each.fingerprint): each for each in found})
        return made

    def _number(self, event: Prepared) -> int:
        return self.resolved[event.project, event.grouping.fingerprint].number

    async def _count(self, session: Session, tallies: dict[int, Tally], opened: set[int]) -> dict[int, int]:
        """Count the new events; the issue of each of their fingerprints. opened: those that are new with them."""
        if not tallies:
            return {}
        await release_table.add(session, self._new_releases())
        counted = await session.fetch("fingerprints.count", _COUNT_FINGERPRINTS, (list(tallies), *columns(tallies)))
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
        await self._count_issues(session, dict(sorted(by_issue.items())), users, opened)
        return issues

    async def _count_issues(self, session: Session, tallies: dict[int, Tally], users: dict[int, int], opened: set[int]) -> None:
        rows = await issue_rows.count(session, tallies, users)
        now = max(event.received for event, _ in self.new)
        await issue_rows.rank(session, [row for row in rows if row.issue in opened], now)
        for row in rows:
            if row.status.state.waits_for_events:
                came = [Came(release, time) for release, time in tallies[row.issue].releases.items()]
                await self._turn(session, row, came, now)

    async def _turn(self, session: Session, row: issue_rows.Hot, came: list[Came], now: datetime) -> None:
        releases = {each.release for each in came} | {row.status.resolved_release}
        first_seen = await release_table.first_seen(session, row.project, sorted(releases - {""}))
        turned: Transition | None = after_events(row.status, Counted(row.events, row.users), came, first_seen, now)
        if turned is not None:
            await issue_rows.turn(session, row, turned, actor="", now=now)

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

    async def _outcomes(self, session: Session, issues: dict[int, int], made: NewFingerprints) -> list[Stored]:
        fresh = {(event.event_id, event.project): number for event, number in self.new}
        before = await issues_of(session, [event for event in self._events if (event.event_id, event.project) not in fresh])
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
