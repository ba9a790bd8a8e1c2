"""Histograms of latencies, whose quantiles are true to 1 % wherever the latencies lie.

Buckets are spaced by the logarithm, as those of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch
with relative-error guarantees", PVLDB 12(12), 2019). With γ = (1 + α) / (1 - α), bucket i holds what is in (γ^(i-1), γ^i] and
stands for 2γ^i / (γ + 1), which nothing in it is further from than α. Unlike DDSketch's they begin at a microsecond and end at a
thousand seconds, so that there are 1,038 at the most and nothing needs to be collapsed. Only those that hold something are kept.
"""

import math
from collections.abc import Mapping

ERROR = 0.01
"""How far a quantile may be from the truth, as a part of it."""
SMALLEST, LARGEST = 1e-6, 1e3
"""Seconds. What is less counts as the first, what is more as the second."""
_GAMMA = (1 + ERROR) / (1 - ERROR)
_PER_E = 1 / math.log(_GAMMA)
LAST = math.ceil(math.log(LARGEST / SMALLEST) * _PER_E)
"""The last bucket; the first is 0."""
_ROUNDING = 1e-9
"""Of 0.95 x 100, which may be a little more than 95."""


def bucket(seconds: float) -> int:
    """Where a latency is counted."""
    if seconds <= SMALLEST:
        return 0
    if seconds >= LARGEST:
        return LAST
    return math.ceil(math.log(seconds / SMALLEST) * _PER_E)


def seconds_of(number: int) -> float:
    """What a bucket stands for."""
    return SMALLEST * 2 * _GAMMA**number / (_GAMMA + 1) if number else SMALLEST


class Histogram:
    """How often each latency was seen."""

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        """counts: by bucket."""
        self.counts: dict[int, int] = dict(counts or {})

    def record(self, seconds: float) -> None:
        """Count one."""
        number = bucket(seconds)
        self.counts[number] = self.counts.get(number, 0) + 1

    def add(self, other: "Histogram") -> None:
        """Count all that another has counted."""
        for number, count in other.counts.items():
            self.counts[number] = self.counts.get(number, 0) + count

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """The least latency, in seconds, that so many of all (0 to 1) did not exceed; None where nothing was counted."""
        rank = max(1, math.ceil(share * self.count - _ROUNDING))
        seen = 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if seen >= rank:
                return seconds_of(number)
        return None
