"""Whether a query takes longer than before, decided on histograms of what its calls took.

The shift is Hodges and Lehmann's estimate: the median of the ratios of every call after to every call before ("Estimates of
location based on rank tests", Annals of Mathematical Statistics 34, 1963), with the interval that belongs to the test of Mann and
Whitney (Hollander, Wolfe, Chicken: "Nonparametric Statistical Methods", 3rd ed., 4.3). It does not care for outliers nor for the
form of the distribution; buckets are spaced by the logarithm, so that ratios are differences of their numbers. Calls of one minute
are not independent of each other, and so it must hold minute by minute as well.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from souk_dbopt.histograms import Histogram, seconds_of

LEAST = 1.3
"""Times as long that count as slower; a ratio surely between 1 / LEAST and LEAST is the same."""
CONFIDENCE = 3.29
"""Standard deviations: one case of a thousand is outside, on both sides together."""
GROUP_CALLS = 5
"""Minutes with fewer calls are taken together."""
GROUPS = 3
"""Groups of minutes on either side without which nothing is decided."""
AGREEING = 0.75
"""Of the groups after the change, which must be slower by themselves."""
BINS = 100
"""Of a histogram, so that all pairs are looked at in a millisecond or two."""
TAIL = 0.01
"""Of the calls on either side, which count as the first and the last of the others: a single call makes no bins coarse."""


class Outcome(Enum):
    """What became of a query's latency."""

    PENDING = "pending"
    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Shift:
    """How many times as long calls take."""

    ratio: float
    low: float
    """It is at least this."""
    high: float
    """It is at most this."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two spans of time, and what became of the query's latency. Medians are in seconds."""

    outcome: Outcome
    shift: Shift | None = None
    old_median: float | None = None
    new_median: float | None = None
    old_calls: int = 0
    new_calls: int = 0


def shift(before: Histogram, after: Histogram) -> Shift | None:
    """None where there are too few calls to be sure of anything."""
    spans = _span(before), _span(after)
    width = max((last - first) // BINS + 1 for first, last in spans)
    old, new = _binned(before, spans[0], width), _binned(after, spans[1], width)
    pairs: dict[int, int] = {}
    for place, count in old.items():
        for other, times in new.items():
            pairs[other - place] = pairs.get(other - place, 0) + count * times
    m, n = before.count, after.count
    outside = m * n / 2 - CONFIDENCE * math.sqrt(m * n * (m + n + 1) / 12)
    if outside < 1:
        return None
    low, middle, high = (_ranked(pairs, rank) for rank in (outside, m * n / 2, m * n - outside))
    return Shift(_ratio(middle * width), _ratio(low * width), _ratio(high * width))


def compare(before: Sequence[Histogram], after: Sequence[Histogram], *, control: float = 1.0, least: float = LEAST) -> Comparison:
    """Minutes before against minutes after. control: times as long that everything else took, which is not the query's own: a query
    is slower only where it is so by itself, and faster only where it is more so than the others."""
    old, new = _grouped(before), _grouped(after)
    whole_old, whole_new = _summed(old), _summed(new)
    if len(old) < GROUPS or len(new) < GROUPS:
        return Comparison(Outcome.PENDING, old_calls=whole_old.count, new_calls=whole_new.count)
    found = shift(whole_old, whole_new)
    old_median, new_median = whole_old.quantile(0.5), whole_new.quantile(0.5)
    outcome, slower_all, faster_all = Outcome.PENDING, max(1.0, control), min(1.0, control)
    if found is not None and old_median is not None:
        bar = old_median * least * slower_all
        slower = sum((group.quantile(0.5) or 0.0) > bar for group in new)
        if found.low >= least * slower_all and slower >= AGREEING * len(new):
            outcome = Outcome.SLOWER
        elif found.high <= faster_all / least:
            outcome = Outcome.FASTER
        elif found.low > faster_all / least and found.high < least * slower_all:
            outcome = Outcome.SAME
    return Comparison(outcome, found, old_median, new_median, whole_old.count, whole_new.count)


def stands_out(before: Sequence[Histogram], after: Sequence[Histogram]) -> bool:
    """Whether each group of minutes after was slower than any before."""
    slowest = max((group.quantile(0.5) or 0.0 for group in _grouped(before)), default=math.inf)
    return all((group.quantile(0.5) or 0.0) > slowest for group in _grouped(after))


def control_of(pairs: Sequence[tuple[Sequence[Histogram], Sequence[Histogram]]]) -> float:
    """How many times as long other queries took; 1 where fewer than three are known. pairs: before and after."""
    ratios = sorted(found.ratio for old, new in pairs if (found := shift(_summed(old), _summed(new))) is not None)
    return ratios[len(ratios) // 2] if len(ratios) >= 3 else 1.0


def _grouped(minutes: Sequence[Histogram]) -> list[Histogram]:
    groups: list[Histogram] = []
    for minute in minutes:
        if not groups or groups[-1].count >= GROUP_CALLS:
            groups.append(Histogram())
        groups[-1].add(minute)
    if len(groups) > 1 and groups[-1].count < GROUP_CALLS:
        rest = groups.pop()
        groups[-1].add(rest)
    return [group for group in groups if group.count >= GROUP_CALLS]


def _summed(minutes: Sequence[Histogram]) -> Histogram:
    whole = Histogram()
    for minute in minutes:
        whole.add(minute)
    return whole


def _span(histogram: Histogram) -> tuple[int, int]:
    """The first and the last bucket without the tails."""
    counts, total = histogram.counts, histogram.count
    if not total:
        return 0, 0
    return _ranked(counts, max(1, TAIL * total)), _ranked(counts, min(total - 1, (1 - TAIL) * total) or 1)


def _binned(histogram: Histogram, span: tuple[int, int], width: int) -> Mapping[int, int]:
    bins: dict[int, int] = {}
    for place, count in histogram.counts.items():
        number = min(max(place, span[0]), span[1]) // width
        bins[number] = bins.get(number, 0) + count
    return bins


def _ranked(counts: Mapping[int, int], rank: float) -> int:
    """The number that so many are not greater than."""
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= rank:
            return number
    return max(counts)


def _ratio(buckets: int) -> float:
    return seconds_of(abs(buckets) + 1) / seconds_of(1) if buckets >= 0 else seconds_of(1) / seconds_of(abs(buckets) + 1)
