"""A project opens so many issues an hour; what is over it is counted in one issue, and nothing is lost."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from monitor_serving import Monitor, report, serving
from monitoring import QUICK, error, pipeline, preparer, stored, user
from souk.monitor.v1 import error_pb2
from souk.monitor.v1 import project_pb2 as pb
from souk_common.postgres import Pool
from souk_monitor import overflow
from souk_monitor.adapters.body_table import Bodies, Keeping
from souk_monitor.adapters.event_store import EventTables
from souk_monitor.adapters.issue_changes import IssueChangeRows
from souk_monitor.adapters.project_table import ProjectRows
from souk_monitor.facets import Counts
from souk_monitor.grouping import group
from souk_monitor.ingest import Pipeline
from souk_monitor.projects import Project
from souk_monitor.tracker import Remark, Request, Texts
from structlog.testing import capture_logs

ISSUES = """
SELECT t.title, i.events, i.state FROM monitor.issues i JOIN monitor.issue_texts t ON t.issue = i.id ORDER BY i.number
"""


async def issues(owner: Any) -> dict[str, int]:
    """Events by the title of their issue."""
    return {row["title"].partition(":")[0]: row["events"] for row in await owner.fetch(ISSUES)}


async def let_the_hour_pass(owner: Any) -> None:
    await owner.execute("UPDATE monitor.projects SET new_issues_since = new_issues_since - interval '1 hour'")


async def test_events_of_more_new_causes_than_may_be_in_an_hour_are_counted_in_one_issue(
    pool: Pool, project: Project, owner: Any
) -> None:
    async with pipeline(pool, new_issues=3) as ingest:
        for kind in ("A", "B", "C"):
            await ingest.submit(project, [error(kind)])
        outcomes = stored(await ingest.submit(project, [error(kind) for kind in ("D", "E", "E", "A")]))
        again = stored(await ingest.submit(project, [error("F"), error("D"), error("B")]))
    found = await issues(owner)
    assert sum(found.values()) == 3 + len(outcomes) + len(again)
    assert found.pop(overflow.TITLE) == 5
    assert len(found) == 3
    assert (found["A"], found["B"]) == (2, 2)
    assert [each.new_issue for each in outcomes].count(True) == 1
    assert not any(each.new_issue for each in again)
    assert await owner.fetchval("SELECT count(*) FROM monitor.fingerprints") == 4
    assert await owner.fetchval("SELECT count(*) FROM monitor.bodies") == 10


async def test_the_issue_of_what_is_over_says_what_to_do(pool: Pool, project: Project, owner: Any) -> None:
    async with pipeline(pool, new_issues=1) as ingest:
        await ingest.submit(project, [error("A"), error("B", user=user("u"))])
    row = await owner.fetchrow("SELECT t.* FROM monitor.issue_texts t JOIN monitor.issues i ON i.id = t.issue WHERE number = 2")
    assert (row["title"], row["fix_rule"]) == ("Too many new issues", "monitor.too-many-new-issues")
    assert "new_issues_per_hour" in row["fix_text"]


async def test_the_first_of_a_call_open_the_last_issues_that_may_be_new(pool: Pool, project: Project, owner: Any) -> None:
    kinds = [f"Kind{number}" for number in range(20)]
    async with pipeline(pool, new_issues=5) as ingest:
        await ingest.submit(project, [error(kind) for kind in kinds])
    assert set(await issues(owner)) == {*kinds[:5], overflow.TITLE}


async def test_a_clock_that_was_set_back_makes_the_hour_no_longer(pool: Pool, project: Project, owner: Any) -> None:
    ahead = "UPDATE monitor.projects SET new_issues_since = new_issues_since + $1::interval"
    async with pipeline(pool, new_issues=1) as ingest:
        await ingest.submit(project, [error("A")])
        await owner.execute(ahead, timedelta(seconds=30))
        await ingest.submit(project, [error("B")])
        assert await issues(owner) == {"A": 1, overflow.TITLE: 1}
        await owner.execute(ahead, timedelta(days=1))
        assert [each.new_issues_resume_time for each in await ProjectRows(pool, "shop", new_issues_per_hour=1).all()] == [None]
        assert stored(await ingest.submit(project, [error("B")]))[0].new_issue
        await ingest.submit(project, [error("C")])
    assert await issues(owner) == {"A": 1, overflow.TITLE: 2, "B": 1}


async def test_a_cause_has_an_issue_of_its_own_once_the_hour_is_over(pool: Pool, project: Project, owner: Any) -> None:
    async with pipeline(pool, new_issues=1) as ingest:
        over = error("B")
        await ingest.submit(project, [error("A")])
        await ingest.submit(project, [over])
        await let_the_hour_pass(owner)
        (later,) = stored(await ingest.submit(project, [error("B")]))
        (repeated,) = stored(await ingest.submit(project, [over]))
    assert later.new_issue
    assert repeated.repeated
    assert repeated.issue_id != later.issue_id
    assert await issues(owner) == {"A": 1, overflow.TITLE: 1, "B": 1}


async def test_what_a_repeat_would_have_opened_takes_no_room(pool: Pool, project: Project, owner: Any) -> None:
    first, other = error("A"), error("B")
    other.event_id = first.event_id
    async with pipeline(pool, new_issues=2) as ingest:
        await ingest.submit(project, [first])
        for _ in range(3):
            assert stored(await ingest.submit(project, [other]))[0].repeated
        assert stored(await ingest.submit(project, [error("C")]))[0].new_issue
    assert await issues(owner) == {"A": 1, "C": 1}


async def test_a_project_has_a_limit_of_its_own_and_others_theirs(pool: Pool, owner: Any) -> None:
    await owner.execute("""INSERT INTO monitor.projects (name, options) VALUES ('a', '{"new_issues_per_hour": 2}'), ('b', '{}')""")
    known = {each.name: each for each in await ProjectRows(pool, "a").all()}
    async with pipeline(pool, new_issues=4) as ingest:
        for name in ("a", "b"):
            await ingest.submit(known[name], [error(f"{name}{number}") for number in range(6)])
    per_project = await owner.fetch("SELECT count(*), max(events) AS most FROM monitor.issues GROUP BY project ORDER BY project")
    assert [tuple(row) for row in per_project] == [(3, 4), (5, 2)]


async def test_the_limit_holds_over_nodes_that_report_at_once(pool: Pool, project: Project, owner: Any) -> None:
    chance = random.Random(5)
    nodes = [pipeline(pool, new_issues=20) for _ in range(3)]
    for node in nodes:
        await node.__aenter__()

    async def send(number: int) -> None:
        kinds = chance.sample(range(120), 120)
        for first in range(0, 120, 10):
            await nodes[number % 3].submit(project, [error(f"Error{kind}") for kind in kinds[first : first + 10]])

    await asyncio.gather(*(send(number) for number in range(6)))
    for node in nodes:
        await node.__aexit__(None, None, None)
    found = await issues(owner)
    assert sum(found.values()) == 6 * 120
    assert len(found) == 21
    assert found[overflow.TITLE] == 6 * 100


async def test_the_log_tells_once_an_hour_that_a_project_is_over(pool: Pool, project: Project, owner: Any) -> None:
    with capture_logs() as logs:
        async with pipeline(pool, new_issues=1) as ingest:
            for kind in ("A", "B", "C", "D"):
                await ingest.submit(project, [error(kind)])
            await let_the_hour_pass(owner)
            for kind in ("E", "F", "G"):
                await ingest.submit(project, [error(kind)])
    told = [each for each in logs if each["event"] == "too many new issues"]
    assert [(each["project"], each["new_issues_per_hour"]) for each in told] == [("shop", 1), ("shop", 1)]


async def test_the_listing_of_projects_says_until_when_none_may_be_new(dsn: str, owner: Any) -> None:
    async with serving(dsn, new_issues_per_hour=2) as monitor:

        async def resumes() -> bool:
            (project,) = (await monitor.projects.ListProjects(pb.ListProjectsRequest())).projects
            return not project.HasField("new_issues_resume_time")

        assert await resumes()
        await monitor.report(report("A"), report("B"), report("C"))
        assert not await resumes()
        listed = await monitor.errors.ListIssues(error_pb2.ListIssuesRequest())
        assert sorted(issue.title.partition(":")[0] for issue in listed.issues if issue.suggested_fix.rule) == [overflow.TITLE]
        await let_the_hour_pass(owner)
        assert await resumes()


async def over_the_limit(monitor: Monitor) -> tuple[str, str]:
    """The ids of an issue and of its project's overflow, where one issue may be new."""
    results = await monitor.report(report("A"))
    results += await monitor.report(report("B"))
    first, over = (result.accepted.issue_id for result in results)
    return first, over


async def test_the_issue_of_what_is_over_is_merged_into_no_other(dsn: str) -> None:
    async with serving(dsn, new_issues_per_hour=1) as monitor:
        first, over = await over_the_limit(monitor)
        for into in ("", first):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await monitor.errors.MergeIssues(error_pb2.MergeIssuesRequest(issue_ids=[first, over], into_issue_id=into))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "into_issue_id" in (refused.value.details() or "")
        (later,) = await monitor.report(report("C"))
        assert later.accepted.issue_id == over


async def test_what_is_merged_into_the_issue_of_what_is_over_leaves_it_under_its_own_name(dsn: str) -> None:
    async with serving(dsn, new_issues_per_hour=1) as monitor:
        first, over = await over_the_limit(monitor)
        merge = error_pb2.MergeIssuesRequest(issue_ids=[first, over], into_issue_id=over)
        assert (await monitor.errors.MergeIssues(merge)).issue.title == overflow.TITLE
        known = await monitor.errors.GetIssue(error_pb2.GetIssueRequest(issue_id=over))
        own = [each.fingerprint for each in known.fingerprints if each.fingerprint != overflow.FINGERPRINT.hex()]
        split = await monitor.errors.SplitIssue(error_pb2.SplitIssueRequest(issue_id=over, fingerprints=own))
        assert split.new_issue.title.startswith("A")
        assert not split.new_issue.HasField("suggested_fix")
        assert split.issue.suggested_fix.rule == overflow.FIX.rule


async def test_the_issue_of_what_is_over_keeps_its_name_and_fix_when_it_is_split_off(dsn: str) -> None:
    async with serving(dsn, new_issues_per_hour=1) as monitor:
        first, over = await over_the_limit(monitor)
        await monitor.errors.MergeIssues(error_pb2.MergeIssuesRequest(issue_ids=[first, over], into_issue_id=over))
        (last,) = await monitor.report(report("C"))
        request = error_pb2.SplitIssueRequest(issue_id=over, fingerprints=[overflow.FINGERPRINT.hex()])
        made = (await monitor.errors.SplitIssue(request)).new_issue
        assert (made.title, made.events) == (overflow.TITLE, 2)
        assert (made.suggested_fix.rule, made.suggested_fix.text) == (overflow.FIX.rule, overflow.FIX.text)
        (later,) = await monitor.report(report("D"))
        assert (last.accepted.issue_id, later.accepted.issue_id) == (over, made.issue_id)


async def test_what_is_over_is_explained_by_the_issue_that_it_went_to(dsn: str, owner: Any) -> None:
    async with serving(dsn, new_issues_per_hour=1) as monitor:

        async def explained(**what: Any) -> tuple[str, bool]:
            """The issue, and whether it is said that there were too many."""
            answer = await monitor.errors.ExplainGrouping(error_pb2.ExplainGroupingRequest(**what))
            return answer.issue_id, any(each.kind == "overflow" for each in answer.component.children)

        first = await monitor.report(report("A"))
        assert await explained(report=report("B")) == ("", True)
        results = first + await monitor.report(report("B"))
        own, over = (result.accepted for result in results)
        assert await explained(event_id=own.event_id) == (own.issue_id, False)
        assert await explained(event_id=over.event_id) == (over.issue_id, True)
        assert await explained(report=report("A")) == (own.issue_id, False)
        assert await explained(report=report("C")) == (over.issue_id, True)
        await let_the_hour_pass(owner)
        assert await explained(report=report("C")) == ("", False)
        (later,) = await monitor.report(report("B"))
        assert later.accepted.issue_id != over.issue_id
        assert await explained(event_id=over.event_id) == (over.issue_id, True)


async def until_somebody_waits(owner: Any) -> None:
    """For a lock, in this database."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(30):
        while not await owner.fetchval(waiting):
            await owner.execute("SELECT pg_stat_clear_snapshot()")


async def test_an_issue_is_split_and_events_are_stored_without_waiting_for_one_another(
    pool: Pool, project: Project, owner: Any
) -> None:
    """Whoever opens an issue locks its project before any fingerprint."""
    changes = IssueChangeRows(pool)
    async with pipeline(pool) as ingest:
        issue, other = [int(each.issue_id) for each in stored(await ingest.submit(project, [error("A"), error("B")]))]
        await changes.merge([issue, other], issue, Remark("ana"), Request("", "", b""), datetime.now(UTC))
        (leaving, *_) = await owner.fetch("SELECT fingerprint FROM monitor.fingerprints ORDER BY id")
        async with owner.transaction():
            await owner.execute("SELECT FROM monitor.projects FOR NO KEY UPDATE")
            split = changes.split(
                issue, [leaving["fingerprint"]], Texts("A"), Remark("ana"), Request("", "", b""), datetime.now(UTC)
            )
            splitting = asyncio.create_task(split)
            await until_somebody_waits(owner)
            await owner.execute("SELECT FROM monitor.fingerprints FOR NO KEY UPDATE NOWAIT")
        assert await splitting not in {issue, other}


async def test_a_cause_that_older_rules_know_is_looked_for_when_its_project_is_locked(
    pool: Pool, project: Project, owner: Any
) -> None:
    async with pipeline(pool, new_issues=9) as ingest:
        (known,) = stored(await ingest.submit(project, [error("A")]))
        (older,) = await owner.fetch("SELECT fingerprint FROM monitor.fingerprints")
    moved = group(error("Moved"))._replace(secondary=(older["fingerprint"],))
    store = EventTables(pool, Keeping(), Counts(), new_issues_per_hour=9)
    regrouping = preparer(lambda event: moved if event.exceptions[0].type == "A" else group(event))
    async with Pipeline(store, regrouping, QUICK) as ingest:
        async with owner.transaction():
            await owner.execute("SELECT FROM monitor.projects FOR NO KEY UPDATE")
            submitting = asyncio.create_task(ingest.submit(project, [error("A"), error("New")]))
            await until_somebody_waits(owner)
            await owner.execute("SELECT FROM monitor.fingerprints FOR NO KEY UPDATE NOWAIT")
        again, new = stored(await submitting)
    assert (again.issue_id, again.new_issue, new.new_issue) == (known.issue_id, False, True)


async def compressed_ahead(node: EventTables, project: Project, kinds: int) -> int:
    """How many bodies a node makes ready that are each of another new cause, before it knows which are kept."""
    made = Bodies(Keeping(first=10))
    events = [preparer().prepare(project, error(f"Kind{number}"), datetime.now(UTC)) for number in range(kinds)]
    await asyncio.to_thread(made.compress, events, node._known)
    return len(made._ready)


async def test_of_events_over_the_limit_only_bodies_are_compressed_that_may_be_kept(
    pool: Pool, project: Project, owner: Any
) -> None:
    node = EventTables(pool, Keeping(first=10), Counts(), new_issues_per_hour=1)
    async with Pipeline(node, preparer(), QUICK) as ingest:
        await ingest.submit(project, [error("A")])
        assert await compressed_ahead(node, project, 90) == 90
        await ingest.submit(project, [error(kind) for kind in "BCDEF"])
        assert await compressed_ahead(node, project, 90) == 15
        await ingest.submit(project, [error(f"E{number}") for number in range(60)])
        assert await compressed_ahead(node, project, 90) == 0
        await let_the_hour_pass(owner)
        await ingest.submit(project, [error("G")])
        assert await compressed_ahead(node, project, 90) == 90
    assert await issues(owner) == {"A": 1, overflow.TITLE: 65, "G": 1}
    assert await owner.fetchval("SELECT count(*) FROM monitor.bodies") == 2 + 10 + 5 + 5 + 3


async def test_a_limit_below_zero_is_refused(dsn: str) -> None:
    async with serving(dsn) as monitor:
        with pytest.raises(Exception, match="options"):
            await monitor.projects.UpdateProject(
                pb.UpdateProjectRequest(name="default", options=pb.ProjectOptions(new_issues_per_hour=-1))
            )
