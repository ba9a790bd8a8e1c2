"""Metrics: counted in plain numbers on the hot path, read by OpenTelemetry's observable instruments when they are exported.

OpenTelemetry's own instruments cost 6 µs a record, and it has no observable histogram: buckets go out as a counter with an `le`
attribute, cumulative, as Prometheus has them.
"""

import bisect
import threading
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation

Attributes = Mapping[str, str | int | float]
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
AT_ONCE = 64
"""Values that are counted together."""
_SETTLING = threading.Lock()


class Buckets:
    """A histogram of seconds: counts between fixed bounds, their sum and the largest.

    Values are counted some at a time: one by itself, among all else that a call does, takes several times as long.
    """

    __slots__ = ("_counts", "_largest", "_new", "_total", "bounds")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._largest = 0.0
        self._new: list[float] = []

    def record(self, seconds: float) -> None:
        """Count one value."""
        self._new.append(seconds)
        if len(self._new) >= AT_ONCE:
            self._settle()

    @property
    def counts(self) -> list[int]:
        """Of each bucket: up to each bound, and above the last."""
        self._settle()
        return self._counts

    @property
    def total(self) -> float:
        """The sum of all values."""
        self._settle()
        return self._total

    @property
    def largest(self) -> float:
        """The largest value; 0 where there were none."""
        self._settle()
        return self._largest

    def _settle(self) -> None:
        with _SETTLING:  # exports read in a thread of their own, while values come
            if new := self._new.copy():
                for seconds in new:
                    self._counts[bisect.bisect_left(self.bounds, seconds)] += 1
                self._total += sum(new)
                self._largest = max(self._largest, *new)
                del self._new[: len(new)]

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """The upper bound of the bucket that the quantile is in, in seconds; 0 where there were no values."""
        rank = share * self.count
        seen = 0
        for bound, count in zip((*self.bounds, self.largest), self.counts, strict=True):
            seen += count
            if seen >= rank:
                return min(bound, self.largest)
        return self.largest


class Method:
    """What is counted of one method: calls by status code, and seconds."""

    __slots__ = ("codes", "seconds")

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.seconds = Buckets()

    def record(self, code: str, seconds: float) -> None:
        """Count one call."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.seconds.record(seconds)


class Metrics:
    """The metrics of one service. `gauge` and `counter` take what a service has of its own."""

    def __init__(self) -> None:
        self._instruments: list[tuple[str, str, str, str, Callable[[], Iterable[Observation]]]] = []

    def gauge(self, name: str, unit: str, description: str, read: Callable[[], float]) -> None:
        """Export what `read` returns, at every export."""
        self._instruments.append(("gauge", name, unit, description, lambda: [Observation(read())]))

    def gauges(self, name: str, unit: str, description: str, read: Callable[[], Iterable[tuple[float, Attributes]]]) -> None:
        """Export what `read` returns, one value for each set of attributes."""
        self._instruments.append(("gauge", name, unit, description, lambda: [Observation(v, a) for v, a in read()]))

    def counters(self, name: str, unit: str, description: str, read: Callable[[], Iterable[tuple[float, Attributes]]]) -> None:
        """Export monotonic totals, one for each set of attributes."""
        self._instruments.append(("counter", name, unit, description, lambda: [Observation(v, a) for v, a in read()]))

    def methods(self, requests: str, bucket: str, total: str, code_key: str, key: str, methods: Mapping[str, Method]) -> None:
        """Export the RED metrics of methods, by their names."""
        self.counters(
            requests,
            "{call}",
            "Calls by method and status code.",
            lambda: [(n, {key: name, code_key: code}) for name, m in methods.items() for code, n in m.codes.items()],
        )
        self.counters(
            bucket,
            "{call}",
            "Calls that took at most le seconds, by method.",
            lambda: [(n, {key: name, "le": le}) for name, m in methods.items() for le, n in cumulative(m.seconds)],
        )
        self.counters(
            total,
            "s",
            "Seconds that calls took, by method.",
            lambda: [(m.seconds.total, {key: name}) for name, m in methods.items()],
        )

    def register(self, meter: Meter) -> None:
        """Make the instruments."""
        for kind, name, unit, description, read in self._instruments:

            def callback(_: CallbackOptions, read: Callable[[], Iterable[Observation]] = read) -> Iterable[Observation]:
                return read()

            make = meter.create_observable_gauge if kind == "gauge" else meter.create_observable_counter
            make(name, [callback], unit=unit, description=description)


def cumulative(buckets: Buckets) -> Iterable[tuple[str, int]]:
    """(le, how many were at most that), as Prometheus has histogram buckets."""
    seen = 0
    for bound, count in zip((*buckets.bounds, float("inf")), buckets.counts, strict=True):
        seen += count
        yield ("+Inf" if bound == float("inf") else f"{bound:g}"), seen
