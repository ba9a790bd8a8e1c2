"""Whether a query takes longer than before, on latencies that a test makes up."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from souk_dbopt.histograms import Histogram
from souk_dbopt.latency_shift import BINS, Outcome, compare, control_of, shift, stands_out


def minutes(count: int, calls: int, seconds: float, seed: int, spread: float = 0.5) -> list[Histogram]:
    """Log-normal latencies."""
    chance, made = random.Random(seed), []
    for _ in range(count):
        minute = Histogram()
        for _ in range(calls):
            minute.record(seconds * chance.lognormvariate(0, spread))
        made.append(minute)
    return made


def whole(parts: list[Histogram]) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


@pytest.mark.parametrize("times", [1.0, 1.5, 2.0, 10.0, 0.25])
def test_the_estimate_is_how_many_times_as_long_calls_take_and_the_interval_holds_it(times: float):
    found = shift(whole(minutes(5, 50, 0.01, 1)), whole(minutes(5, 50, 0.01 * times, 2)))
    assert found is not None
    assert found.ratio == pytest.approx(times, rel=0.2)
    assert found.low <= times <= found.high


def test_one_slow_call_among_many_moves_nothing():
    before, after = minutes(5, 20, 0.001, 1, spread=0.2), minutes(5, 20, 0.001, 2, spread=0.2)
    bounds = shift(whole(before), whole(after))
    after[0].record(100.0)
    moved = shift(whole(before), whole(after))
    assert bounds is not None
    assert moved is not None
    assert (moved.low, moved.ratio, moved.high) == pytest.approx((bounds.low, bounds.ratio, bounds.high), rel=0.05)
    assert compare(before, after).outcome is Outcome.SAME


def test_a_query_that_takes_twice_as_long_is_slower_and_one_that_takes_half_is_faster():
    before = minutes(5, 20, 0.01, 1)
    assert compare(before, minutes(5, 20, 0.02, 2)).outcome is Outcome.SLOWER
    assert compare(before, minutes(5, 20, 0.005, 2)).outcome is Outcome.FASTER


def test_what_slows_everything_down_is_not_the_querys_own():
    others = [(minutes(5, 20, 0.01, seed), minutes(5, 20, 0.02, seed + 100)) for seed in range(3)]
    control = control_of(others)
    assert control == pytest.approx(2, rel=0.2)
    assert compare(minutes(5, 20, 0.01, 1), minutes(5, 20, 0.02, 2), control=control).outcome is not Outcome.SLOWER
    assert control_of(others[:2]) == 1.0
    eased = control_of([(new, old) for old, new in others])
    assert eased == pytest.approx(0.5, rel=0.2)
    assert compare(minutes(5, 20, 0.02, 1), minutes(5, 20, 0.01, 2), control=eased).outcome is not Outcome.FASTER
    assert compare(minutes(5, 20, 0.01, 1), minutes(5, 20, 0.01, 2), control=eased).outcome is not Outcome.SLOWER


def test_one_bad_minute_is_not_enough():
    after = [*minutes(3, 10, 0.01, 2), *minutes(1, 200, 0.05, 3)]
    assert compare(minutes(5, 20, 0.01, 1), after).outcome is not Outcome.SLOWER


def test_few_calls_or_few_minutes_decide_nothing():
    before = minutes(5, 20, 0.01, 1)
    assert compare(before, minutes(2, 100, 0.1, 2)).outcome is Outcome.PENDING
    assert compare(before, minutes(3, 1, 0.1, 2)).outcome is Outcome.PENDING
    assert compare([], []).outcome is Outcome.PENDING
    assert shift(Histogram(), Histogram()) is None


def test_of_unchanged_queries_none_in_a_thousand_is_told():
    outcomes = [compare(minutes(4, 8, 0.01, seed), minutes(4, 8, 0.01, -seed - 1)).outcome for seed in range(1000)]
    assert outcomes.count(Outcome.SLOWER) == 0


def test_what_was_as_slow_before_does_not_stand_out():
    before = [*minutes(10, 10, 0.01, 1), *minutes(1, 10, 0.1, 2)]
    assert stands_out(minutes(10, 10, 0.01, 1), minutes(3, 10, 0.03, 3))
    assert not stands_out(before, minutes(3, 10, 0.03, 3))


@given(st.lists(st.floats(1e-6, 1e3), min_size=20, max_size=60), st.floats(1, 100))
@settings(deadline=None, max_examples=50)
def test_latencies_that_are_all_times_as_long_have_that_ratio_between_the_bounds(taken: list[float], times: float):
    old, new = Histogram(), Histogram()
    for seconds in taken:
        old.record(seconds)
        new.record(min(1e3, seconds * times))
    found = shift(old, new)
    assert found is not None
    coarse = 1.0202 ** (2 * (1038 // BINS + 1))
    assert found.low <= found.ratio <= found.high
    assert found.low / coarse <= times
