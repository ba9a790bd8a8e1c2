"""Events into PostgreSQL: each counted once, whoever sends it, how often and at once."""

import asyncio
import contextlib
import random
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from monitoring import QUICK, error, pipeline, preparer, stored, user
from postgres_servers import postgres_server
from souk_common.postgres import Pool, PoolOptions
from souk_monitor.adapters import schema
from souk_monitor.adapters.body_table import Keeping
from souk_monitor.adapters.event_store import EventTables
from souk_monitor.adapters.project_table import ProjectRows
from souk_monitor.events import Event
from souk_monitor.exceptions import StoreUnavailableError
from souk_monitor.facets import Counts
from souk_monitor.ingest import Pipeline, Queue
from souk_monitor.projects import Project

COUNTS = """
SELECT (SELECT sum(events)::int FROM monitor.issues) AS issues, (SELECT sum(events)::int FROM monitor.fingerprints) AS fingerprints,
    (SELECT sum(events)::int FROM monitor.hours) AS hours, (SELECT count(DISTINCT event_id)::int FROM monitor.events) AS events
"""


async def counts(owner: Any) -> set[int]:
    """What the tables say of how many events there are; one number where they agree."""
    return set((await owner.fetchrow(COUNTS)).values())


async def test_events_of_one_cause_are_one_issue_and_others_another(pool: Pool, project: Project, owner: Any) -> None:
    async with pipeline(pool) as ingest:
        first = stored(await ingest.submit(project, [error("KeyError"), error("KeyError"), error("ValueError")]))
        again = stored(await ingest.submit(project, [error("KeyError")]))
    assert first[0].issue_id == first[1].issue_id == again[0].issue_id != first[2].issue_id
    assert [each.new_issue for each in first + again] == [True, False, True, False]
    assert await counts(owner) == {4}
    rows = await owner.fetch("SELECT number, events, state FROM monitor.issues ORDER BY number")
    assert sorted(map(tuple, rows)) == [(1, 3, 1), (2, 1, 1)] or sorted(map(tuple, rows)) == [(1, 1, 1), (2, 3, 1)]


async def test_a_repeat_is_counted_once_and_answered_with_the_issue_of_the_first(pool: Pool, project: Project, owner: Any) -> None:
    event = error("KeyError")
    async with pipeline(pool) as ingest:
        first = stored(await ingest.submit(project, [event, event]))
        later = stored(await ingest.submit(project, [event, error("KeyError")]))
    assert [each.repeated for each in first + later] == [False, True, True, False]
    assert [each.new_issue for each in first + later] == [True, False, False, False]
    assert len({each.issue_id for each in first + later}) == 1
    assert await counts(owner) == {2}


async def test_a_repeat_with_another_cause_leaves_no_issue_behind_and_none_out(pool: Pool, project: Project, owner: Any) -> None:
    first, other = error("KeyError"), error("ValueError")
    other.event_id = first.event_id
    async with pipeline(pool) as ingest:
        (kept,) = stored(await ingest.submit(project, [first]))
        (again,) = stored(await ingest.submit(project, [other]))
        assert (again.issue_id, again.repeated) == (kept.issue_id, True)
        assert await owner.fetchval("SELECT count(*) FROM monitor.issues") == 1
        (later,) = stored(await ingest.submit(project, [error("ValueError")]))
    assert later.new_issue
    assert await counts(owner) == {2}


async def test_one_occurrence_on_both_sides_of_midnight_is_counted_once(pool: Pool, project: Project, owner: Any) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    before, after = (error("KeyError", event_id="ab" * 16, time=midnight + timedelta(microseconds=n)) for n in (-3, 3))
    other = error("ValueError", event_id="ab" * 16, time=midnight + timedelta(minutes=90))
    async with pipeline(pool) as ingest:
        first = stored(await ingest.submit(project, [before]))
        second = stored(await ingest.submit(project, [after, other]))
        third = stored(await ingest.submit(project, [other]))
    assert not first[0].repeated
    assert all(each.repeated and each.issue_id == first[0].issue_id for each in second + third)
    assert await counts(owner) == {1}
    assert await owner.fetchval("SELECT count(*) FROM monitor.issues") == 1


async def test_counts_are_exact_when_many_report_the_same_at_once(pool: Pool, project: Project, owner: Any) -> None:
    chance = random.Random(7)
    events = [error(f"Error{n % 17}", user=user(f"u{n % 23}"), release=f"shop@{n % 3}") for n in range(300)]
    nodes = [pipeline(pool) for _ in range(3)]

    async def send(number: int) -> None:
        mine = chance.sample(events, len(events))
        for first in range(0, len(mine), 25):
            await nodes[number % 3].submit(project, mine[first : first + 25])

    for node in nodes:
        await node.__aenter__()
    await asyncio.gather(*(send(n) for n in range(6)))
    for node in nodes:
        await node.__aexit__(None, None, None)
    assert await counts(owner) == {300}
    assert await owner.fetchval("SELECT count(*) FROM monitor.issues") == 17
    assert {row["users"] for row in await owner.fetch("SELECT users FROM monitor.issues")} <= {17, 18, 23}
    members = "SELECT count(*) FROM monitor.users u WHERE u.fingerprint = f.id"
    assert await owner.fetchval(f"SELECT count(*) FROM monitor.fingerprints f WHERE users <> ({members})") == 0
    assert sum(node.counts.stored for node in nodes) == 300


async def test_an_event_that_the_database_refuses_is_rejected_alone(pool: Pool, project: Project, owner: Any) -> None:
    poisoned = error("KeyError", release="1\0")
    events: list[Event] = [*(error(f"E{n}") for n in range(9)), poisoned, *(error(f"E{n}") for n in range(9))]
    async with pipeline(pool) as ingest:
        outcomes = await ingest.submit(project, events)
    assert [n for n, outcome in enumerate(outcomes) if not hasattr(outcome, "issue_id")] == [9]
    assert await counts(owner) == {18}


async def test_an_event_whose_body_cannot_be_written_is_rejected_alone(pool: Pool, project: Project, owner: Any) -> None:
    """The driver refuses its error id itself, while it copies."""
    events = [*(error(f"E{n}") for n in range(4)), error("KeyError", error_id="\ud800"), *(error(f"E{n}") for n in range(4))]
    unfitted = replace(preparer(), fit=lambda _event, _received: b"body")
    async with Pipeline(EventTables(pool, Keeping(), Counts()), unfitted, QUICK) as ingest:
        outcomes = await ingest.submit(project, events)
    assert [n for n, outcome in enumerate(outcomes) if not hasattr(outcome, "issue_id")] == [4]
    assert await counts(owner) == {8}


async def test_bodies_are_thinned_and_counts_are_not(pool: Pool, project: Project, owner: Any) -> None:
    async with pipeline(pool, keep=10) as ingest:
        for _ in range(9):
            await ingest.submit(project, [error("KeyError") for _ in range(9)])
    assert await counts(owner) == {81}
    assert await owner.fetchval("SELECT count(*) FROM monitor.bodies") == 10 + 5 + 5 + 5 + 0


async def test_users_are_exact_up_to_a_thousand_and_true_to_two_percent_above(pool: Pool, project: Project, owner: Any) -> None:
    async with pipeline(pool, keep=1) as ingest:
        await ingest.submit(project, [error("KeyError", user=user(f"u{n}")) for n in range(1000)])
        assert await owner.fetchval("SELECT users FROM monitor.issues") == 1000
        await ingest.submit(project, [error("KeyError", user=user(f"u{n}")) for n in range(900, 5000)])
        await ingest.submit(project, [error("KeyError", user=user(f"u{n}")) for n in range(5000)])
    assert abs(await owner.fetchval("SELECT users FROM monitor.issues") - 5000) <= 100
    assert await owner.fetchval("SELECT count(*) FROM monitor.users") == 0


async def test_a_database_that_stands_still_is_not_waited_for_and_what_it_did_after_all_is_counted_once() -> None:
    async with postgres_server(18) as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        async with Pool(server.dsn(user="souk_monitor"), PoolOptions(size=3, check_timeout=0.2)) as pool:
            (project,) = await ProjectRows(pool, "shop").all()
            store = EventTables(pool, Keeping(), Counts(), timeout=2.0)
            async with Pipeline(store, preparer(), Queue(patience=0.0)) as ingest:
                await ingest.submit(project, [error()])
                events = [error() for _ in range(5)]
                server.signal(signal.SIGSTOP)
                with pytest.raises(StoreUnavailableError):
                    await ingest.submit(project, events)
                server.signal(signal.SIGCONT)
                async with asyncio.timeout(20):
                    while True:
                        with contextlib.suppress(StoreUnavailableError):
                            stored(await ingest.submit(project, events))
                            break
        assert await counts(owner) == {6}
        await owner.close()
