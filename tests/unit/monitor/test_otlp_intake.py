"""A request of OpenTelemetry is taken whole, for whichever projects it is, or not at all."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from monitoring import error, preparer
from souk_monitor.decoding.otlp import Batch
from souk_monitor.exceptions import MonitorError, ProjectUnknownError, QueueFullError, QuotaExceededError
from souk_monitor.ingest import Pipeline, Queue, Stored
from souk_monitor.preparing import Prepared
from souk_monitor.projects import Project, ProjectOptions, Projects
from souk_monitor.rpc.otlp import Intake

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PROJECTS = (
    Project(1, "default", NOW),
    Project(2, "shop", NOW, ProjectOptions(events_per_minute=5)),
    Project(3, "till", NOW, ProjectOptions(events_per_minute=1)),
)


class Table:
    async def all(self) -> Sequence[Project]:
        return PROJECTS


class Store:
    def __init__(self) -> None:
        self.events: list[Prepared] = []

    async def write(self, events: Sequence[Prepared]) -> list[Stored]:
        self.events += events
        return [Stored(event.event_id, "1", new_issue=False, repeated=False) for event in events]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def intake(store: Store) -> AsyncIterator[Intake]:
    async with Pipeline(store, preparer(), Queue(events=20, delay=0.0), clock=lambda: 0.0) as pipeline:
        yield Intake(pipeline, Projects(Table(), default="default", interval=60))


def batch(**events: int) -> Batch:
    made = Batch()
    for project, count in events.items():
        for _ in range(count):
            made.add(project if project != "unnamed" else "", error())
    return made


@pytest.mark.parametrize(
    ("given", "named", "problem"),
    [
        (batch(default=1, unnamed=1), "nope", ProjectUnknownError),
        (batch(default=1, shop=2, till=2), "", QuotaExceededError),
        (batch(default=15, unnamed=6), "", QueueFullError),
    ],
)
async def test_what_cannot_be_taken_whole_is_not_stored_by_halves(
    intake: Intake, store: Store, given: Batch, named: str, problem: type[MonitorError]
):
    await intake(batch(till=1), "")
    store.events.clear()
    with pytest.raises(problem):
        await intake(given, named)
    assert not store.events


async def test_what_is_turned_away_is_not_counted_against_other_projects(intake: Intake, store: Store):
    await intake(batch(till=1), "")
    for _ in range(3):
        with pytest.raises(QuotaExceededError):
            await intake(batch(shop=4, till=1), "")
    assert not await intake(batch(shop=5), "")
    assert [event.project for event in store.events] == [3, 2, 2, 2, 2, 2]


async def test_a_project_that_a_resource_names_and_that_is_not_there_rejects_its_own(intake: Intake, store: Store):
    rejected = await intake(batch(nope=2, shop=1, unnamed=1), "default")
    assert rejected.total() == 2
    assert sorted(event.project for event in store.events) == [1, 2]
