"""How the rate of an issue goes: its last hour, and its last day, against the week before.

Counts of errors by the hour scatter more than chance alone would have them (bursts, days and nights), so the week gives a negative
binomial distribution by its mean and its variance; where the week is even, that is Poisson's. One hour of an outage must not hide
the next: the largest hours are taken for no more than what nineteen of twenty hours stay below.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

DAY, WEEK = 24, 7 * 24
HOURS = WEEK + DAY + 1
"""Hours that are looked at: a week, the day after it, and the hour that goes on."""
SPIKE_CHANCE = 1e-5
"""An hour that has so many by chance once in eleven years is a spike; issues are thousands, and looked at each minute."""
TREND_CHANCE = 1e-3
LEAST_SPIKE, LEAST_TREND = 10, 20
"""Events of an hour, and of two days, below which nothing is said of them."""
LEAST_HOURS = 4
"""Hours of an issue before which nothing is known that its rate could be held against."""
SPIKE_TIMES, RISE_TIMES = 3.0, 1.5


class Direction(IntEnum):
    """Which way a rate goes. The numbers are the contract's and the database's."""

    UNKNOWN = 0
    STABLE = 1
    RISING = 2
    FALLING = 3
    SPIKE = 4
    NEW = 5


@dataclass(frozen=True, slots=True)
class Trend:
    """How a rate goes. Rates are in events an hour."""

    direction: Direction
    rate: float
    """Of the last 60 minutes."""
    expected: float
    """By the week before the last day."""
    hours: tuple[int, ...]
    """Events by the hour, the last 24, the oldest first; the hour that goes on is the last."""


def trend(hours: Sequence[int], *, passed: float, age_hours: float) -> Trend:
    """hours: HOURS counts, the oldest first. passed: the share of the last hour that is over, 0 to 1. age_hours: of the issue."""
    rate = hours[-1] + hours[-2] * (1 - passed)
    known = hours[: -DAY - 1][-max(1, math.floor(age_hours) - DAY) :] if age_hours > DAY else ()
    mean, variance = _week(known)
    if not known:  # younger than a day: against what it did before this hour and the last
        mean, variance = _week(hours[-min(DAY, max(2, math.floor(age_hours))) : -2])
    direction = _direction(hours, rate, mean, variance, age_hours, bool(known))
    return Trend(direction, rate, mean, tuple(hours[-DAY:]))


def _direction(hours: Sequence[int], rate: float, mean: float, variance: float, age_hours: float, has_week: bool) -> Direction:
    if age_hours < 1:
        return Direction.NEW
    if age_hours < LEAST_HOURS:
        return Direction.UNKNOWN
    if rate >= LEAST_SPIKE and rate >= SPIKE_TIMES * mean and chance_of_more(rate, mean, variance) < SPIKE_CHANCE:
        return Direction.SPIKE
    today = sum(hours[-DAY:])
    if not has_week or today + mean * DAY < LEAST_TREND:
        return Direction.UNKNOWN
    usual, spread = mean * DAY, variance * DAY
    if today > RISE_TIMES * usual and chance_of_more(today, usual, spread) < TREND_CHANCE:
        return Direction.RISING
    if today * RISE_TIMES < usual and chance_of_fewer(today, usual, spread) < TREND_CHANCE:
        return Direction.FALLING
    return Direction.STABLE


def chance_of_more(count: float, mean: float, variance: float) -> float:
    """The chance of so many events or more."""
    return max(0.0, 1.0 - _below(math.ceil(count), mean, variance))


def chance_of_fewer(count: float, mean: float, variance: float) -> float:
    """The chance of so many events or fewer."""
    return _below(math.floor(count) + 1, mean, variance)


def _week(hours: Sequence[int]) -> tuple[float, float]:
    """Mean and variance of an hour, with the largest cut, and never less than an event a week."""
    if not hours:
        return 1 / WEEK, 1 / WEEK
    ceiling = sorted(hours)[min(len(hours) - 1, math.ceil(len(hours) * 0.95) - 1)]
    cut = [min(hour, max(ceiling, 1)) for hour in hours]
    mean = max(sum(cut) / len(cut), 1 / WEEK)
    return mean, max(mean, sum((hour - mean) ** 2 for hour in cut) / len(cut))


def _below(count: int, mean: float, variance: float) -> float:
    """The chance of fewer than `count`."""
    if count <= 0:
        return 0.0
    if count > 1_000:  # where both distributions are as good as normal
        return 0.5 * math.erfc((mean - count + 0.5) / math.sqrt(2 * variance))
    size = mean * mean / (variance - mean) if variance > mean * 1.001 else math.inf
    term = math.exp(-mean) if math.isinf(size) else (size / (size + mean)) ** size
    total = term
    for k in range(1, count):
        grown = mean / k if math.isinf(size) else (k - 1 + size) / k * mean / (size + mean)
        term *= grown
        total += term
    return min(1.0, total)


def priority(severity: int, direction: Direction, users: int, hours_since: float, *, regressed: bool) -> float:
    """How urgent an issue is, larger for more: what stands high is grave, grows, touches many, and is of now."""
    grows = {Direction.SPIKE: 2.0, Direction.NEW: 1.0, Direction.RISING: 1.0, Direction.FALLING: -0.5}.get(direction, 0.0)
    return severity + grows + math.log10(1 + users) + (1.0 if regressed else 0.0) - math.log2(1 + hours_since / DAY)
