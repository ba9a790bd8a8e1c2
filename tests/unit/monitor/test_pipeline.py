"""The queue of events: bounded, drained, patient, and fair to those who come with good events."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from monitoring import error, preparer, stored
from souk_common.postgres import InvalidDataError, ProgramLimitError, UnavailableError
from souk_monitor.events import Event
from souk_monitor.exceptions import QueueFullError, QuotaExceededError, StoreUnavailableError
from souk_monitor.facets import Kind
from souk_monitor.ingest import Pipeline, Queue, Rejected, Stored
from souk_monitor.limits import fit
from souk_monitor.preparing import Prepared
from souk_monitor.projects import Project, ProjectOptions

PROJECT = Project(1, "shop", datetime.now(UTC))


class Store:
    """Keeps events, when it may."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.batches: list[list[str]] = []
        self.failures: list[Exception] = []
        self.poison = ""
        self.poisoned: Exception = InvalidDataError("no")

    async def write(self, events: Sequence[Prepared]) -> list[Stored]:
        await self.open.wait()
        if self.failures:
            raise self.failures.pop()
        if any(event.event_id == self.poison for event in events):
            raise self.poisoned
        self.batches.append([event.event_id for event in events])
        return [Stored(event.event_id, "1", new_issue=False, repeated=False) for event in events]


def pipeline(store: Store, **queue: Any) -> Pipeline:
    return Pipeline(store, preparer(), Queue(**{"delay": 0.0, "writers": 1, "patience": 0.0, **queue}))


async def test_events_that_come_while_others_are_stored_are_stored_together() -> None:
    store = Store()
    store.open.clear()
    async with pipeline(store) as ingest:
        calls = [asyncio.create_task(ingest.submit(PROJECT, [error()])) for _ in range(5)]
        while ingest.events < 5:
            await asyncio.sleep(0)
        store.open.set()
        await asyncio.gather(*calls)
    assert len(store.batches) <= 2
    assert sum(map(len, store.batches)) == 5
    assert ingest.events == ingest.bytes == 0


async def test_one_event_too_many_is_turned_away_and_a_large_call_is_split() -> None:
    store = Store()
    store.open.clear()
    async with pipeline(store, events=10, batch_events=4) as ingest:
        many = [error() for _ in range(10)]
        call = asyncio.create_task(ingest.submit(PROJECT, many))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError) as caught:
            await ingest.submit(PROJECT, [error()])
        assert caught.value.retry_delay > 0
        store.open.set()
        assert len(stored(await call)) == 10
    assert [len(batch) for batch in store.batches] == [4, 4, 2]


async def test_closing_stores_what_waits_and_takes_no_more() -> None:
    store = Store()
    store.open.clear()
    ingest = pipeline(store)
    await ingest.__aenter__()
    call = asyncio.create_task(ingest.submit(PROJECT, [error()]))
    await asyncio.sleep(0)
    closing = asyncio.create_task(ingest.__aexit__(None, None, None))
    await asyncio.sleep(0)
    store.open.set()
    assert stored(await call)
    await closing
    with pytest.raises(QueueFullError):
        await ingest.submit(PROJECT, [error()])


@pytest.mark.parametrize("error_of_data", [InvalidDataError("no"), ProgramLimitError("index row size 9000 exceeds the maximum")])
async def test_a_poisoned_event_is_rejected_and_the_rest_of_its_batch_stored(error_of_data: Exception) -> None:
    store = Store()
    store.poisoned = error_of_data
    events = [error() for _ in range(9)]
    store.poison = events[4].event_id
    async with pipeline(store) as ingest:
        outcomes = await ingest.submit(PROJECT, events)
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [number == 4 for number in range(9)]
    assert [outcome.event_id for outcome in outcomes] == [event.event_id for event in events]


async def test_a_store_that_is_away_for_a_moment_is_asked_again_and_for_longer_is_told() -> None:
    store = Store()
    async with pipeline(store, patience=5.0) as ingest:
        store.failures = [UnavailableError("gone")]
        assert stored(await ingest.submit(PROJECT, [error()]))
    async with pipeline(store, patience=0.0) as ingest:
        store.failures = [UnavailableError("gone")]
        with pytest.raises(StoreUnavailableError) as caught:
            await ingest.submit(PROJECT, [error()])
        assert caught.value.retry_delay > 0
        assert stored(await ingest.submit(PROJECT, [error()]))


class Decoded:
    """Three reports, of which the second is no event."""

    def __init__(self) -> None:
        self.made = 0

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Event | Rejected]:
        for number in range(3):
            self.made += 1
            yield Rejected("b", "MALFORMED", "no report") if number == 1 else error(event_id=f"{number:032x}")


async def test_an_event_is_made_ready_before_the_next_one_is_decoded() -> None:
    decoded, ready = Decoded(), []

    def fitting(event: Event, received: datetime) -> bytes:
        ready.append(decoded.made)
        return fit(event, received)

    async with Pipeline(Store(), replace(preparer(), fit=fitting), Queue(delay=0.0)) as ingest:
        await ingest.submit(PROJECT, decoded)
    assert ready == [1, 3]


async def test_reports_that_are_no_events_are_answered_in_their_places_and_take_nothing_of_a_quota() -> None:
    project = Project(2, "busy", datetime.now(UTC), ProjectOptions(events_per_minute=4))
    async with pipeline(Store()) as ingest:
        outcomes = await ingest.submit(project, Decoded())
        assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, False]
        assert [outcome.event_id for outcome in outcomes] == [f"{0:032x}", "b", f"{2:032x}"]
        await ingest.submit(project, [error(), error()])
        with pytest.raises(QuotaExceededError):
            await ingest.submit(project, [error()])


async def test_a_call_of_which_nothing_is_an_event_is_answered() -> None:
    async with pipeline(Store()) as ingest:
        assert len(await ingest.submit(PROJECT, [Rejected("a", "MALFORMED", "no report")])) == 1
        assert ingest.events == ingest.bytes == 0


async def test_a_project_over_its_quota_is_told_when_to_come_again() -> None:
    project = Project(2, "busy", datetime.now(UTC), ProjectOptions(events_per_minute=3))
    async with pipeline(Store()) as ingest:
        await ingest.submit(project, [error(), error(), error()])
        with pytest.raises(QuotaExceededError) as caught:
            await ingest.submit(project, [error()])
        assert 0 < caught.value.retry_delay <= 20
        assert stored(await ingest.submit(PROJECT, [error()]))


def test_an_event_that_names_no_service_is_of_its_project() -> None:
    prepared = [preparer().prepare(PROJECT, event, datetime.now(UTC)) for event in (error(), error(service="till"))]
    assert [event.named[0] for event in prepared] == [(Kind.SERVICE, "", "shop"), (Kind.SERVICE, "", "till")]


async def test_the_events_of_callers_who_have_gone_are_not_waited_for() -> None:
    store = Store()
    store.open.clear()
    async with pipeline(store, events=10) as ingest:
        blocked = asyncio.create_task(ingest.submit(PROJECT, [error()]))
        await asyncio.sleep(0)
        many = [error() for _ in range(9)]
        gone = asyncio.create_task(ingest.submit(PROJECT, many))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait({gone})
        store.open.set()
        await blocked
        assert stored(await ingest.submit(PROJECT, [error() for _ in range(9)]))
