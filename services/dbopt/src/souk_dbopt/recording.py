"""What each query does, counted as it happens: windows of a minute and of an hour, and some of the parameters it ran with."""

import heapq
import itertools
import random
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from souk_dbopt.catalogue import Query
from souk_dbopt.fingerprints import fingerprint
from souk_dbopt.histograms import Histogram, bucket
from souk_dbopt.repeated_calls import RepeatedCalls
from souk_dbopt.routing import Role
from souk_dbopt.slow_calls import SlowCall, SlowCalls

MINUTE, HOUR = 60, 3600
"""Seconds that a window spans."""
MAX_FINGERPRINTS = 50_000
"""Of one node at a time. What is more is counted together."""
OTHERS, OTHERS_TEXT = "other", "(queries beyond the 50,000 that are told apart)"
MAX_UNWRITTEN = 2 * MAX_FINGERPRINTS
"""Windows that are over and wait to be written. With so many the ones of now go on, until there is a database again."""
SLOW_SAMPLES, RANDOM_SAMPLES = 24, 8
"""Sets of parameters that are kept of a query: of its slowest calls, and of any."""
MAX_SAMPLE_BYTES, MAX_SAMPLES_BYTES = 4_096, 4 * 2**20
"""Of one set as JSON, and of all that wait to be written; what is more is not sampled."""
NO_SAMPLE = float("inf")
AT_ONCE = 16
"""Calls that windows are told of together."""


class Window:
    """What one query did in a span of time, on this node."""

    __slots__ = ("calls", "end", "errors", "fingerprint", "histogram", "longest", "rows", "seconds", "span", "start", "written")

    def __init__(self, fingerprint: str, span: int, now: float) -> None:
        self.fingerprint = fingerprint
        self.span = span
        self.start = int(now) // span * span
        """Seconds since 1970."""
        self.end = self.start + span
        self.calls = 0
        self.errors = 0
        self.rows = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.histogram = Histogram()
        self.written = 0
        """Calls that the database has of it."""

    def add(self, recent: "_Recent", buckets: Sequence[int]) -> None:
        """Count calls. buckets: of the histogram, of each."""
        self.calls += len(buckets)
        self.errors += recent.errors
        self.rows += recent.rows
        self.seconds += sum(recent.times)
        self.longest = max(self.longest, max(recent.times))
        counts = self.histogram.counts
        for number in buckets:
            counts[number] = counts.get(number, 0) + 1


class _Recent:
    """Calls of one query that its windows do not have yet. These are told of some at once, when a minute is over, or when somebody
    looks: to count one by itself, among all the rest that a call does, takes several times as long."""

    __slots__ = ("errors", "rows", "times")

    def __init__(self) -> None:
        self.times: list[float] = []
        """Seconds of each."""
        self.clear()

    def clear(self) -> None:
        """The windows have them."""
        self.errors = self.rows = 0
        self.times.clear()


@dataclass(frozen=True, slots=True)
class Sample:
    """Parameters that a call had."""

    sample_id: int
    fingerprint: str
    is_slow: bool
    """It was among the slowest; else it was taken by chance."""
    seconds: float
    end_time: float
    """Seconds since 1970."""
    parameters: str
    """A JSON object, without those that are sensitive."""


class _Series:
    """One query on this node."""

    __slots__ = ("floor", "hour", "key", "minute", "query", "recent", "slowest", "told")

    def __init__(self, key: str, query: Query | None, now: float) -> None:
        self.key = key
        self.query = query
        self.minute = Window(key, MINUTE, now)
        self.hour = Window(key, HOUR, now)
        self.recent = _Recent()
        """Of the same minute."""
        self.told = 0
        """The hour in which the database was told of its text last, by its beginning."""
        self.slowest: list[float] = []
        """A heap of what the slowest calls of the hour took that were sampled."""
        self.floor = -1.0 if query is not None else NO_SAMPLE
        """What takes longer is sampled."""

    def settle(self) -> None:
        """Have the windows have every call."""
        if self.recent.times:
            buckets = list(map(bucket, self.recent.times))
            self.minute.add(self.recent, buckets)
            self.hour.add(self.recent, buckets)
            self.recent.clear()

    def text(self) -> str:
        """Of the query, without its values."""
        return OTHERS_TEXT if self.query is None else fingerprint(self.query.text).text


class Recorder:
    """Counts the calls of a node. Call it as executing.Observer says.

    Windows only grow, and each is of one node: who writes them down puts the larger in place of the smaller, as often as he likes.
    """

    def __init__(
        self,
        slow_calls: SlowCalls,
        *,
        repeated: RepeatedCalls | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        max_fingerprints: int = MAX_FINGERPRINTS,
        max_unwritten: int = MAX_UNWRITTEN,
    ) -> None:
        """slow_calls: told of calls that somebody watches. repeated: counts the calls of each trace."""
        self._slow_calls = slow_calls
        self._clock = clock
        self._chance = chance
        self._max_fingerprints = max_fingerprints
        self._max_unwritten = max_unwritten
        self._series: dict[str, _Series] = {}
        self._over: list[Window] = []
        self._samples: list[Sample] = []
        self._sample_bytes = 0
        self._repeated = repeated
        self.seconds = 0.0
        """Of all calls since the node was started."""

    def __len__(self) -> int:
        """Queries that are told apart."""
        return len(self._series)

    def __call__(
        self, query: Query, arguments: Sequence[Any], seconds: float, rows: int, error: BaseException | None, role: Role | None
    ) -> None:
        """Count a call that is over."""
        now = self._clock()
        series = self._series.get(query.key) or self._begin(query.key, query, now)
        if now >= series.minute.end:
            self._turn(series, now)
        self.seconds += seconds
        recent = series.recent
        recent.rows += rows
        if error is not None:
            recent.errors += 1
        recent.times.append(seconds)
        if len(recent.times) >= AT_ONCE:
            series.settle()
        if seconds > series.floor or self._chance() * (series.hour.calls + len(recent.times)) < RANDOM_SAMPLES:
            self._sample(series, arguments, seconds, now)
        if self._repeated is not None:
            self._repeated.record(query, arguments, seconds, rows)
        if seconds >= self._slow_calls.threshold:
            parameters = kept_parameters(query, arguments)
            told = parameters if len(parameters) <= MAX_SAMPLE_BYTES else "{}"
            self._slow_calls.tell(SlowCall(query.key, now, seconds, rows, told, role, self._slow_calls.trace_id()))

    def unwritten(self) -> list[Window]:
        """Windows of which the database does not have everything. They go on counting: what was written of them is told by
        `written`."""
        self._settle()
        current = (window for series in self._series.values() for window in (series.minute, series.hour))
        return [window for window in (*self._over, *current) if window.calls > window.written]

    def untold(self, most: int) -> dict[str, str]:
        """Some texts by fingerprint, of which the database was not told in this hour."""
        self._settle()
        untold = (series for series in self._series.values() if series.hour.calls and series.told < series.hour.start)
        return {series.key: series.text() for series in itertools.islice(untold, most)}

    def told(self, fingerprints: Iterable[str]) -> None:
        """The database has their texts."""
        for key in fingerprints:
            if (series := self._series.get(key)) is not None:
                series.told = series.hour.start

    def take_samples(self) -> list[Sample]:
        """Those that were taken since the last time."""
        samples, self._samples, self._sample_bytes = self._samples, [], 0
        return samples

    def forget_written(self) -> None:
        """Let go of what the database has, and of queries that have not run for an hour."""
        self._settle()
        self._over = [window for window in self._over if window.calls > window.written]
        now = self._clock()
        idle = [key for key, series in self._series.items() if series.hour.end <= now and series.hour.calls == series.hour.written]
        for key in idle:
            if self._series[key].minute.calls == self._series[key].minute.written:
                del self._series[key]

    def _settle(self) -> None:
        for series in self._series.values():
            series.settle()

    def _begin(self, key: str, query: Query | None, now: float) -> _Series:
        if query is not None and len(self._series) >= self._max_fingerprints:
            return self._series.get(OTHERS) or self._begin(OTHERS, None, now)
        series = self._series[key] = _Series(key, query, now)
        return series

    def _turn(self, series: _Series, now: float) -> None:
        """A minute is over, and perhaps an hour."""
        if len(self._over) >= self._max_unwritten:
            return
        series.settle()
        if series.minute.calls > series.minute.written:
            self._over.append(series.minute)
        series.minute = Window(series.key, MINUTE, now)
        if now < series.hour.end:
            return
        if series.hour.calls > series.hour.written:
            self._over.append(series.hour)
        series.hour = Window(series.key, HOUR, now)
        series.slowest.clear()
        series.floor = -1.0 if series.query is not None else NO_SAMPLE

    def _sample(self, series: _Series, arguments: Sequence[Any], seconds: float, now: float) -> None:
        if series.query is None or self._sample_bytes >= MAX_SAMPLES_BYTES:
            return
        is_slow = seconds > series.floor
        parameters = kept_parameters(series.query, arguments)
        if len(parameters) > MAX_SAMPLE_BYTES:
            return
        if is_slow and len(series.slowest) < SLOW_SAMPLES:
            heapq.heappush(series.slowest, seconds)
        elif is_slow:
            heapq.heapreplace(series.slowest, seconds)
        if len(series.slowest) == SLOW_SAMPLES:
            series.floor = series.slowest[0]
        self._samples.append(Sample(secrets.randbits(63), series.key, is_slow, seconds, now, parameters))
        self._sample_bytes += len(parameters)


def kept_parameters(query: Query, arguments: Sequence[Any]) -> str:
    """A JSON object of the arguments that are not sensitive, as Query.arguments takes them again."""
    values = {}
    for parameter, value in zip(query.parameters, arguments, strict=True):
        if not parameter.sensitive:
            values[parameter.name] = _as_it_came(value, is_json=parameter.type.startswith("json"))
    return orjson.dumps(values, default=str).decode()


def _as_it_came(value: Any, *, is_json: bool) -> Any:
    if isinstance(value, list):
        return [_as_it_came(each, is_json=is_json) for each in value]
    return orjson.Fragment(value) if is_json and value is not None else value
