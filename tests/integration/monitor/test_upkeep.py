"""What is past its time goes, what is not stays, and counts stay exact; rates of issues are looked at."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from monitoring import error, pipeline, stored, user
from souk_common.postgres import InvalidDataError, PermissionDeniedError, Pool
from souk_monitor.adapters.duty_table import DutyRows
from souk_monitor.adapters.facet_tables import FacetTables
from souk_monitor.adapters.issue_changes import IssueChangeRows
from souk_monitor.adapters.trend_rows import TrendRows
from souk_monitor.adapters.upkeep import Retention, Upkeep
from souk_monitor.duties import Duties, Duty
from souk_monitor.facets import Counts, FacetHour, Kind, Limits
from souk_monitor.lifecycle import Change, Ignore, Resolve, State
from souk_monitor.projects import Project, ProjectOptions
from souk_monitor.settings import LONGEST
from souk_monitor.tracker import Remark, Request, Update
from souk_monitor.trends import Direction

DAY = timedelta(days=1)


def upkeep(pool: Pool, *projects: Project, bodies: timedelta = 10 * DAY, **retention: timedelta) -> Upkeep:
    return Upkeep(pool, Retention(bodies, 20 * DAY, DAY, 100 * DAY, **retention), lambda: projects)


async def days(owner: Any) -> list[int]:
    """How many days ago those were that are kept."""
    today = datetime.now(UTC).date()
    return [(today - row["day"]).days for row in await owner.fetch("SELECT day FROM monitor.days()")]


async def report_days_ago(pool: Pool, project: Project, *ago: int) -> None:
    noon = datetime.now(UTC).replace(hour=0) - timedelta(hours=11)
    async with pipeline(pool) as ingest:
        await ingest.submit(project, [error(time=noon - DAY * days) for days in ago])


async def test_days_past_their_retention_are_dropped_and_the_counts_of_issues_stay(
    pool: Pool, project: Project, owner: Any
) -> None:
    await report_days_ago(pool, project, 2, 8, 15, 25)
    now = datetime.now(UTC)
    await upkeep(pool, project).do(now)
    assert [ago for ago in await days(owner) if ago > 0] == [9, 3]
    assert await owner.fetchval("SELECT events FROM monitor.issues") == 4
    assert await owner.fetchval("SELECT count(*) FROM monitor.bodies") == 2
    assert await owner.fetchval("SELECT sum(events)::int FROM monitor.hours") == 3
    await upkeep(pool, project, bodies=5 * DAY).do(now)
    assert [ago for ago in await days(owner) if ago > 0] == [3]
    assert await owner.fetchval("SELECT events FROM monitor.issues") == 4


async def test_a_project_may_keep_bodies_for_longer_or_for_less(pool: Pool, project: Project, owner: Any) -> None:
    await report_days_ago(pool, project, 2, 8, 15, 25)
    longer = Project(99, "longer", project.create_time, ProjectOptions(retention=20 * DAY))
    shorter = Project(project.number, "shop", project.create_time, ProjectOptions(retention=5 * DAY))
    await upkeep(pool, longer, shorter).do(datetime.now(UTC))
    assert [ago for ago in await days(owner) if ago > 0] == [16, 9, 3]
    assert await owner.fetchval("SELECT count(*) FROM monitor.bodies") == 1


async def test_the_longest_retentions_remove_nothing(pool: Pool, project: Project, owner: Any) -> None:
    await report_days_ago(pool, project, 2)
    longest = timedelta(seconds=LONGEST)
    for_ever = Project(project.number, "shop", project.create_time, ProjectOptions(retention=longest))
    keep = Retention(longest, longest, longest, longest, open_issues=longest, releases=longest)
    await Upkeep(pool, keep, lambda: [for_ever]).do(datetime.now(UTC))
    assert await owner.fetchval("SELECT events FROM monitor.issues") == 1


async def test_tomorrow_has_its_day_before_it_comes(pool: Pool, project: Project, owner: Any) -> None:
    await upkeep(pool, project).do(datetime.now(UTC))
    assert await days(owner) == [0, -1]


async def test_the_role_of_the_service_can_make_and_drop_days_and_no_other_table(pool: Pool, project: Project) -> None:
    with pytest.raises(PermissionDeniedError):
        await pool.fetch("a", "CREATE TABLE monitor.mine (n int)")
    with pytest.raises(PermissionDeniedError):
        await pool.fetch("b", "DROP TABLE monitor.issues")
    for sql in ("SELECT monitor.drop_day(current_date)", "SELECT monitor.make_day(current_date + 9)"):
        with pytest.raises(InvalidDataError):
            await pool.fetch(sql, sql)


async def test_one_node_of_several_does_what_is_due(pool: Pool, project: Project) -> None:
    done: list[datetime] = []

    async def do(now: datetime) -> None:
        done.append(now)

    start = datetime.now(UTC)
    times = [start, start, start + timedelta(seconds=30), start + timedelta(seconds=60)]
    duty = Duty("look", 60.0, do)
    assert [await Duties(DutyRows(pool), [duty], lambda now=now: now).do_due(duty) for now in times] == [True, False, False, True]
    assert done == [times[0], times[3]]


async def test_a_spike_is_told_and_ends_ignoring(pool: Pool, project: Project, owner: Any) -> None:
    now = datetime.now(UTC)
    async with pipeline(pool) as ingest:
        quiet = [error("Loud", time=now - timedelta(hours=hours)) for hours in range(30, 240, 6)]
        (first, *_) = stored(await ingest.submit(project, quiet))
        issue = int(first.issue_id)
        await TrendRows(pool).do(now)
        ignore = Update(action=Ignore(until_events=10_000))
        await IssueChangeRows(pool).update(issue, ignore, Request("", "", b""), now)
        await ingest.submit(project, [error("Loud", time=now) for _ in range(60)])
    await TrendRows(pool).do(now)
    await TrendRows(pool).do(now)
    row = await owner.fetchrow("SELECT state, trend, told_change, priority FROM monitor.issues")
    assert (row["state"], row["trend"], row["told_change"]) == (State.OPEN, Direction.SPIKE, Change.ESCALATED)
    assert [each["kind"] for each in await owner.fetch("SELECT kind FROM monitor.activity ORDER BY id")] == ["ignored", "escalated"]


async def test_issues_that_are_put_away_go_when_nothing_was_heard_of_them_for_long(
    pool: Pool, project: Project, owner: Any
) -> None:
    changes = IssueChangeRows(pool)
    now = datetime.now(UTC)
    async with pipeline(pool) as ingest:

        async def reported(kind: str) -> int:
            (outcome,) = stored(await ingest.submit(project, [error(kind, user=user("u-1"))]))
            return int(outcome.issue_id)

        old, merged, still_open, recent = [await reported(kind) for kind in "ABCD"]
        await changes.merge([old, merged], old, Remark("ana"), Request("", "", b""), now)
        for issue in (old, recent):
            await changes.update(issue, Update(action=Resolve()), Request("", "", b""), now)
        await owner.execute("UPDATE monitor.issues SET last_seen = now() - interval '101 days' WHERE id <> $1", recent)
        await upkeep(pool, project).do(now)
        left = {row["id"] for row in await owner.fetch("SELECT id FROM monitor.issues")}
        assert left == {still_open, recent}
        for table, column in (("issue_texts", "issue"), ("activity", "issue"), ("fingerprints", "issue")):
            assert {row[0] for row in await owner.fetch(f"SELECT {column} FROM monitor.{table}")} <= left, table
        kept = {row["id"] for row in await owner.fetch("SELECT id FROM monitor.fingerprints")}
        for table in ("users", "hours"):
            assert {row[0] for row in await owner.fetch(f"SELECT fingerprint FROM monitor.{table}")} == kept, table
        again = await reported("A")
        assert again not in {old, *left}
        assert await owner.fetchval("SELECT events FROM monitor.issues WHERE id = $1", again) == 1


async def test_open_issues_go_when_nothing_was_heard_of_them_for_longer_where_that_is_wanted(
    pool: Pool, project: Project, owner: Any
) -> None:
    now = datetime.now(UTC)
    async with pipeline(pool) as ingest:
        outcomes = stored(await ingest.submit(project, [error(kind) for kind in "ABCD"]))
    silent, quiet, recent, resolved = (int(outcome.issue_id) for outcome in outcomes)
    await IssueChangeRows(pool).update(resolved, Update(action=Resolve()), Request("", "", b""), now)
    ago = "UPDATE monitor.issues SET last_seen = now() - make_interval(days => $2) WHERE id = $1"
    await owner.executemany(ago, [(silent, 201), (quiet, 199), (recent, 99), (resolved, 99)])

    async def left() -> set[int]:
        return {row["id"] for row in await owner.fetch("SELECT id FROM monitor.issues")}

    await upkeep(pool, project).do(now)
    assert await left() == {silent, quiet, recent, resolved}
    await upkeep(pool, project, open_issues=200 * DAY).do(now)
    assert await left() == {quiet, recent, resolved}
    await upkeep(pool, project, open_issues=DAY).do(now)
    assert await left() == {recent, resolved}
    assert await owner.fetchval("SELECT count(*) FROM monitor.fingerprints") == 2


async def test_a_release_that_an_issue_has_counted_comes_back_as_no_newer_one(pool: Pool, project: Project, owner: Any) -> None:
    now = datetime.now(UTC)
    counts = Counts()
    async with pipeline(pool, counts=counts) as ingest:
        earlier = [error("A", release="aaaa111"), error("B", release="cccc333")]
        issue, put_away = (int(each.issue_id) for each in stored(await ingest.submit(project, earlier)))
        await FacetTables(pool, Limits()).write(counts)
        await ingest.submit(project, [error("A", release="bbbb222")])
        resolve = Update(action=Resolve(in_release="bbbb222"))
        await IssueChangeRows(pool).update(issue, resolve, Request("", "", b""), now)
        await IssueChangeRows(pool).update(put_away, Update(action=Resolve()), Request("", "", b""), now)
        await owner.execute("DELETE FROM monitor.facet_hours")
        await owner.execute("UPDATE monitor.releases SET first_seen = first_seen - interval '101 days'")
        await owner.execute("UPDATE monitor.issues SET last_seen = now() - interval '101 days' WHERE id = $1", put_away)
        await upkeep(pool, project, releases=100 * DAY).do(now)
        assert {row["release"] for row in await owner.fetch("SELECT release FROM monitor.releases")} == {"aaaa111", "bbbb222"}
    async with pipeline(pool) as ingest:
        await ingest.submit(project, [error("A", release="aaaa111")])
    assert await owner.fetchval("SELECT state FROM monitor.issues") == State.RESOLVED


async def test_releases_are_forgotten_that_nothing_has_named_for_long(pool: Pool, project: Project, owner: Any) -> None:
    now = datetime.now(UTC)
    counts = Counts()
    async with pipeline(pool) as ingest:
        events = [error("A", release=release) for release in ("old", "resolved-in", "in-use", "young")]
        (first, *_) = stored(await ingest.submit(project, events))
        in_use = FacetHour(project.number, Kind.RELEASE, "in-use", now.replace(minute=0, second=0, microsecond=0))
        counts.hours = Counter({in_use: 1})
        await FacetTables(pool, Limits()).write(counts)
        resolve = Update(action=Resolve(in_release="resolved-in"))
        await IssueChangeRows(pool).update(int(first.issue_id), resolve, Request("", "", b""), now)
        await owner.execute("UPDATE monitor.releases SET first_seen = now() - interval '101 days' WHERE release <> 'young'")

        async def left() -> set[str]:
            return {row["release"] for row in await owner.fetch("SELECT release FROM monitor.releases")}

        await upkeep(pool, project).do(now)
        assert await left() == {"old", "resolved-in", "in-use", "young"}
        await upkeep(pool, project, releases=100 * DAY).do(now)
        assert await left() == {"resolved-in", "in-use", "young"}
        await ingest.submit(project, [error("A", release="old", time=now - 2 * DAY)])
        assert await left() == {"old", "resolved-in", "in-use", "young"}
