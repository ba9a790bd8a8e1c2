"""Calls that one trace makes again and again, and what looking at plans may cost."""

from dataclasses import dataclass

import pytest
from souk_common.testing import FakeClock
from souk_dbopt.catalogue import Query
from souk_dbopt.plan_budget import MOST, PlanBudget
from souk_dbopt.query_classes import CLASSES
from souk_dbopt.repeated_calls import RepeatedCalls, finding


@dataclass
class Caller:
    trace_id: int = 0xABC
    peer: str = "ipv4:10.0.0.7:4711"
    from_caller: bool = True


def query(name: str = "own.get", *, is_write: bool = False) -> Query:
    return Query(name, 1, "", "SELECT 1", "", "", (), (), CLASSES["lookup"], is_write, True, 2.0)


GET = query()


def test_a_trace_that_asks_for_one_thing_after_the_other_is_found_with_its_id_and_who_it_was():
    repeated = RepeatedCalls(Caller, least=10)
    for number in range(25):
        repeated.record(GET, [number], 0.001, 1)
    (found,) = repeated.take()
    assert (found.calls, found.rows, found.trace_id, found.peer) == (25, 25, f"{0xABC:032x}", "ipv4:10.0.0.7:4711")
    told = finding(found, {"own.get@1": 0.5})
    assert told.finding.evidence["trace_id"] == f"{0xABC:032x}"
    assert told.database_share == pytest.approx(0.5 * 24 / 25)
    assert "ANY" in told.finding.fix
    assert repeated.take() == []


@pytest.mark.parametrize(
    ("calls", "values", "rows"), [(9, 9, 1), (50, 1, 1), (50, 9, 1), (50, 50, 100)], ids=["few", "same", "nearly", "many rows"]
)
def test_few_calls_the_same_call_and_calls_for_many_rows_are_well(calls: int, values: int, rows: int):
    repeated = RepeatedCalls(Caller, least=10)
    for number in range(calls):
        repeated.record(GET, [number % values], 0.001, rows)
    assert repeated.take() == []


def test_calls_of_different_traces_and_of_different_queries_are_no_repeats():
    caller = Caller()
    repeated = RepeatedCalls(lambda: caller, least=10)
    for number in range(100):
        caller.trace_id = number // 5
        repeated.record(query(f"own.q{number % 2}"), [number], 0.001, 1)
    assert repeated.take() == []


def test_what_no_call_asks_for_and_what_is_switched_off_is_not_counted():
    alone = Caller(from_caller=False)  # its trace began with this rpc, and ends with it
    for repeated in (RepeatedCalls(lambda: None, least=10), RepeatedCalls(Caller, least=0), RepeatedCalls(lambda: alone, least=10)):
        for number in range(50):
            repeated.record(GET, [number], 0.001, 1)
        assert (len(repeated), repeated.take()) == (0, [])


def test_memory_has_a_bound_and_the_trace_that_was_called_last_stays():
    caller = Caller()
    repeated = RepeatedCalls(lambda: caller, least=10, most=100)
    for number in range(1000):
        caller.trace_id = number
        repeated.record(GET, [number], 0.001, 1)
        caller.trace_id = -1
        repeated.record(GET, [number], 0.001, 1)
    assert len(repeated) == 100
    assert [found.calls for found in repeated.take()] == [1000]


def test_a_write_is_told_to_write_all_at_once():
    repeated = RepeatedCalls(Caller, least=2)
    for number in range(2):
        repeated.record(query(is_write=True), [number], 0.001, 1)
    assert finding(repeated.take()[0], {}).finding.fix.startswith("Write all at once")


def test_the_budget_is_the_share_of_what_queries_took_and_what_was_too_much_is_paid_back():
    clock = FakeClock()
    budget = PlanBudget(share=0.01, connections=10, clock=clock)
    assert budget.left == 0
    clock.advance(60)
    budget.fill(100.0)
    assert budget.left == pytest.approx(1.0)
    budget.charge(3.0)
    clock.advance(60)
    budget.fill(200.0)
    assert budget.left == pytest.approx(-1.0)
    assert budget.spent == 3.0


def test_waiting_for_connections_is_not_the_databases_time_and_little_is_saved_up():
    clock = FakeClock()
    budget = PlanBudget(share=0.01, connections=2, clock=clock)
    clock.advance(10)
    budget.fill(1_000_000.0)
    assert budget.left == pytest.approx(0.2)
    clock.advance(1e9)
    budget.fill(1e12)
    assert budget.left == MOST
