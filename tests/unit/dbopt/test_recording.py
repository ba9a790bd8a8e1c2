"""What a node counts, and what it keeps in memory."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_common.testing import FakeClock
from souk_dbopt.arguments import Parameter
from souk_dbopt.catalogue import Query
from souk_dbopt.query_classes import CLASSES
from souk_dbopt.recording import (
    HOUR,
    MAX_SAMPLE_BYTES,
    MAX_SAMPLES_BYTES,
    MINUTE,
    OTHERS,
    SLOW_SAMPLES,
    Recorder,
    Window,
    kept_parameters,
)
from souk_dbopt.routing import Role
from souk_dbopt.slow_calls import SlowCalls

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()


def query(name: str = "own.get", *parameters: Parameter) -> Query:
    text = "SELECT * FROM own.rows WHERE id = $1 AND kind = 'x'"
    return Query(name, 1, "", text, "", "", parameters, (), CLASSES["lookup"], False, True, 2.0)


ID, SECRET = Parameter("id", "bigint", ""), Parameter("secret", "text", "", sensitive=True)
GET = query("own.get", ID)


class Node:
    """A recorder with a clock that is set, and a chance that never comes."""

    def __init__(self, chance: float = 1e9, **limits: int) -> None:
        self.clock = FakeClock(NOON)
        self.slow_calls = SlowCalls(threshold=0.1, max_waiting=3, trace_id=lambda: "a" * 32)
        self.recorder = Recorder(self.slow_calls, clock=self.clock, chance=lambda: chance, **limits)

    def call(self, seconds: float, what: Query = GET, *arguments: Any, rows: int = 1, error: Exception | None = None) -> None:
        self.recorder(what, arguments or (7,), seconds, rows, error, None if error else Role.PRIMARY)

    def write(self) -> list[Window]:
        """As the database takes it; what it has then."""
        windows = self.recorder.unwritten()
        for window in windows:
            window.written = window.calls
        self.recorder.forget_written()
        return windows


def test_calls_are_counted_in_the_minute_and_in_the_hour_that_they_ended_in():
    node = Node()
    node.call(0.010, rows=3)
    node.clock.advance(59)
    node.call(0.020, rows=2, error=ValueError())
    node.clock.advance(1)
    node.call(0.500)
    found = {(window.span, window.start - NOON): window for window in node.write()}
    assert set(found) == {(MINUTE, 0), (MINUTE, 60), (HOUR, 0)}
    first, hour = found[MINUTE, 0], found[HOUR, 0]
    assert (first.calls, first.errors, first.rows, first.longest) == (2, 1, 5, 0.020)
    assert (hour.calls, hour.errors, hour.rows, hour.longest) == (3, 1, 6, 0.5)
    assert hour.seconds == pytest.approx(0.53)
    assert hour.histogram.count == 3


def test_only_windows_that_grew_are_written_again():
    node = Node()
    node.call(0.01)
    assert len(node.write()) == 2
    assert node.write() == []
    node.call(0.01)
    assert [(window.span, window.calls) for window in node.write()] == [(MINUTE, 2), (HOUR, 2)]
    node.clock.advance(60)
    assert node.write() == []
    node.call(0.01)
    assert sorted((window.span, window.calls) for window in node.write()) == [(MINUTE, 1), (HOUR, 3)]


def test_a_clock_that_is_set_back_loses_nothing():
    node = Node()
    node.call(0.01)
    node.clock.advance(-1000)
    node.call(0.01)
    assert sum(window.calls for window in node.write() if window.span == MINUTE) == 2


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 5), st.booleans()), max_size=60))
def test_whenever_it_is_written_every_call_is_counted_once(events: list[tuple[int, int, bool]]):
    node, kept = Node(max_fingerprints=3, max_unwritten=4), {}
    for seconds, which, writes in events:
        node.clock.advance(seconds)
        node.call(0.01, query(f"own.get{which}", ID))
        if writes:
            kept.update({(each.fingerprint, each.span, each.start): each.calls for each in node.write()})
    kept.update({(each.fingerprint, each.span, each.start): each.calls for each in node.write()})
    for span in (MINUTE, HOUR):
        assert sum(calls for (_, each, _), calls in kept.items() if each == span) == len(events)


def test_queries_beyond_the_limit_are_counted_together_and_their_parameters_are_not_kept():
    node = Node(max_fingerprints=2)
    for number in range(10):
        node.call(0.01, query(f"own.get{number}", ID))
    assert {window.fingerprint: window.calls for window in node.write() if window.span == MINUTE} == {
        "own.get0@1": 1,
        "own.get1@1": 1,
        OTHERS: 8,
    }
    assert len(node.recorder) == 3
    assert {sample.fingerprint for sample in node.recorder.take_samples()} == {"own.get0@1", "own.get1@1"}


def test_queries_that_do_not_run_any_more_make_room():
    node = Node(max_fingerprints=2)
    for number in range(2):
        node.call(0.01, query(f"own.get{number}", ID))
    node.write()
    node.clock.advance(3600)
    node.write()
    assert len(node.recorder) == 0


def test_without_a_database_memory_is_bounded_and_nothing_is_lost():
    node = Node(max_unwritten=10)
    for _ in range(1000):
        node.clock.advance(60)
        node.call(0.01, GET, 7)
    windows = node.recorder.unwritten()
    assert len(windows) <= 10 + 2 + 2
    assert sum(window.calls for window in windows if window.span == MINUTE) == 1000
    assert sum(len(sample.parameters) for sample in node.recorder.take_samples()) < MAX_SAMPLES_BYTES


def test_the_slowest_calls_are_sampled_and_few_others():
    node = Node()
    for number in range(1000):
        node.call(number % 997 / 1000, GET, number)
    samples = node.recorder.take_samples()
    kept = sorted((sample.seconds for sample in samples if sample.is_slow), reverse=True)[:SLOW_SAMPLES]
    assert kept == [(996 - place) / 1000 for place in range(SLOW_SAMPLES)]
    falling = Node()
    for number in range(1000):
        falling.call(1 - number / 1000, GET, number)
    assert len(falling.recorder.take_samples()) == SLOW_SAMPLES


def test_by_chance_any_call_is_sampled():
    node = Node(chance=0.0)
    for _ in range(100):
        node.call(0.001)
    samples = node.recorder.take_samples()
    assert len([sample for sample in samples if not sample.is_slow]) == 100 - SLOW_SAMPLES


def test_parameters_that_are_large_are_not_sampled_and_all_together_are_bounded():
    node, long = Node(chance=0.0), query("own.long", Parameter("text", "text", ""))
    node.call(9.0, long, "x" * MAX_SAMPLE_BYTES)
    assert node.recorder.take_samples() == []
    for _ in range(3 * MAX_SAMPLES_BYTES // 4000):
        node.call(9.0, long, "x" * 4000)
    taken = node.recorder.take_samples()
    assert MAX_SAMPLES_BYTES <= sum(len(sample.parameters) for sample in taken) <= MAX_SAMPLES_BYTES + MAX_SAMPLE_BYTES


async def test_sensitive_parameters_are_in_no_sample_and_told_to_nobody():
    node, login = Node(chance=0.0), query("own.login", ID, SECRET)
    with node.slow_calls.watch(threshold=0.0) as watcher:
        node.call(1.0, login, 7, "hunter2")
        call, _ = await anext(watcher)
    (sample,) = node.recorder.take_samples()
    assert (json.loads(sample.parameters), json.loads(call.parameters)) == ({"id": 7}, {"id": 7})


def test_kept_parameters_are_taken_again_by_the_query():
    parameters = (
        Parameter("at", "timestamptz", ""),
        Parameter("day", "date", ""),
        Parameter("price", "numeric", ""),
        Parameter("key", "uuid", ""),
        Parameter("attributes", "json", ""),
        Parameter("many", "json[]", ""),
        Parameter("ids", "bigint[]", ""),
        Parameter("nothing", "text", "", nullable=True),
    )
    one = query("own.all", *parameters)
    values = {
        "at": "2026-11-26T12:00:00.123456Z",
        "day": "2026-11-26",
        "price": "12.50",
        "key": "123e4567-e89b-12d3-a456-426614174000",
        "attributes": {"colour": ["red", None]},
        "many": [{"a": 1}, "x"],
        "ids": [1, 2],
        "nothing": None,
    }
    arguments = one.arguments(values)
    assert arguments[2:4] == [Decimal("12.50"), UUID(values["key"])]
    assert one.arguments(json.loads(kept_parameters(one, arguments))) == arguments


def test_texts_are_told_once_an_hour_and_have_no_literals():
    node = Node()
    node.call(0.01)
    assert node.recorder.untold(5) == {"own.get@1": "select * from own.rows where id = ? and kind = ?"}
    node.recorder.told(["own.get@1"])
    assert node.recorder.untold(5) == {}
    node.clock.advance(3600)
    node.call(0.01)
    node.call(0.01, query("own.other", ID))
    assert [len(node.recorder.untold(most)) for most in (1, 5)] == [1, 2]


async def test_a_watcher_is_told_of_calls_over_its_threshold_and_of_its_query():
    node, other = Node(), query("own.other", ID)
    with node.slow_calls.watch() as every, node.slow_calls.watch(threshold=0.01, fingerprint="own.other@1") as one:
        node.call(0.05)
        node.call(0.2)
        node.call(0.05, other, rows=4)
        call, missed = await anext(every)
        assert (call.fingerprint, call.seconds, call.role, call.trace_id, missed) == ("own.get@1", 0.2, Role.PRIMARY, "a" * 32, 0)
        call, _ = await anext(one)
        assert (call.fingerprint, call.rows, call.end_time) == ("own.other@1", 4, NOON)
    assert node.slow_calls.threshold == float("inf")


async def test_a_watcher_that_does_not_keep_up_misses_some_and_is_told_how_many_and_others_miss_none():
    node = Node()
    with node.slow_calls.watch(threshold=0.0) as slow, node.slow_calls.watch(threshold=0.0) as quick:
        for number in range(10):
            node.call(number / 10)
            assert (await anext(quick))[1] == 0
        taken = [await anext(slow) for _ in range(3)]
        assert [(call.seconds, missed) for call, missed in taken] == [(0.0, 0), (0.1, 0), (0.2, 0)]
        node.call(5.0)
        call, missed = await anext(slow)
    assert (call.seconds, missed) == (5.0, 7)
    assert len(node.slow_calls) == 0
