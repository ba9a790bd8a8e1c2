"""How rates go: spikes are found, and chance, days and nights are not taken for them."""

import math
import random

import pytest
from souk_monitor.trends import HOURS, Direction, priority, trend

OLD = 24.0 * 30


def poisson(chance: random.Random, mean: float) -> int:
    """One count, by Knuth's method."""
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


@pytest.mark.parametrize("mean", [0.02, 0.5, 5, 40])
def test_chance_alone_is_no_spike(mean: float) -> None:
    chance = random.Random(5)
    found = [trend([poisson(chance, mean) for _ in range(HOURS)], passed=1.0, age_hours=OLD).direction for _ in range(300)]
    assert Direction.SPIKE not in found
    assert sum(direction in (Direction.RISING, Direction.FALLING) for direction in found) <= 3


def test_days_and_nights_and_an_outage_last_week_are_no_spike() -> None:
    chance = random.Random(6)
    hours = [poisson(chance, 20 + 18 * math.sin(hour / 24 * 2 * math.pi)) for hour in range(HOURS)]
    hours[60] = hours[61] = 900
    assert trend(hours, passed=1.0, age_hours=OLD).direction is Direction.STABLE


@pytest.mark.parametrize(("usual", "now"), [(0, 12), (1, 15), (5, 40), (40, 200)])
def test_an_hour_far_above_the_week_is_a_spike_though_there_was_one_before(usual: int, now: int) -> None:
    chance = random.Random(7)
    hours = [poisson(chance, usual) if usual else 0 for _ in range(HOURS)]
    hours[30] = now * 5
    hours[-1] = now
    found = trend(hours, passed=1.0, age_hours=OLD)
    assert found.direction is Direction.SPIKE
    assert found.rate == now
    assert abs(found.expected - usual) <= max(0.5, usual / 4)


def test_a_day_above_and_one_below_the_week_are_told() -> None:
    chance = random.Random(8)
    week = [poisson(chance, 10) for _ in range(HOURS - 25)]
    assert trend([*week, *[20] * 25], passed=1.0, age_hours=OLD).direction is Direction.RISING
    assert trend([*week, *[3] * 25], passed=1.0, age_hours=OLD).direction is Direction.FALLING


def test_of_what_is_young_or_rare_nothing_is_said_but_that_it_is_new() -> None:
    steady = [0] * (HOURS - 3) + [10, 20, 20]
    assert trend(steady, passed=0.5, age_hours=0.5).direction is Direction.NEW
    assert trend(steady, passed=0.5, age_hours=2.5).direction is Direction.UNKNOWN
    assert trend([0] * (HOURS - 1) + [2], passed=0.5, age_hours=OLD).direction is Direction.UNKNOWN


def test_the_rate_is_that_of_the_last_sixty_minutes() -> None:
    assert trend([0] * (HOURS - 2) + [40, 10], passed=0.25, age_hours=OLD).rate == 40


def test_what_is_grave_grows_touches_many_and_is_of_now_is_more_urgent() -> None:
    plain = priority(4, Direction.STABLE, 10, 24, regressed=False)
    assert priority(5, Direction.STABLE, 10, 24, regressed=False) > plain
    assert priority(4, Direction.SPIKE, 10, 24, regressed=False) > plain
    assert priority(4, Direction.STABLE, 1000, 24, regressed=False) > plain
    assert priority(4, Direction.STABLE, 10, 0, regressed=False) > plain
    assert priority(4, Direction.STABLE, 10, 24, regressed=True) > plain
