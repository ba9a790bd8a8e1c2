"""What is slow: counts of this node go to the database every few seconds, and what all nodes have counted is read from there."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

import structlog
from souk_common.postgres import PostgresError

from souk_dbopt.exceptions import FingerprintUnknownError, ServerUnavailableError
from souk_dbopt.histograms import Histogram
from souk_dbopt.recording import RANDOM_SAMPLES, SLOW_SAMPLES, Recorder, Sample, Window

log = structlog.get_logger(__name__)
WRITTEN_AT_ONCE = 200
"""Windows, or samples, of one statement."""
TEXTS_AT_ONCE = 50
"""They are made when they are asked for, which takes a millisecond where they are long."""
DAY = timedelta(days=1)
LOOK_EVERY = 60.0
"""Seconds between two looks at queries that did not come through dbopt, and for what is too old to be kept."""
LAST_WRITE = 2.0
"""Seconds that the last write may take, when the node stops."""


class Order(Enum):
    """By what slow queries are sorted, the most first."""

    TOTAL = "total"
    MEAN = "mean"
    P99 = "p99"
    CALLS = "calls"


@dataclass(frozen=True, slots=True)
class QueryStats:
    """What a query did in a span of time. Times are in seconds."""

    fingerprint: str
    text: str
    """Without literals."""
    calls: int
    errors: int
    rows: int
    seconds: float
    """All calls together."""
    longest: float | None = None
    """None where it is not known, as of queries that did not come through dbopt."""
    all_seconds: float = 0.0
    """Of all queries together."""
    latencies: Histogram = field(default_factory=Histogram)
    """Empty where they are not known."""

    @property
    def mean(self) -> float:
        """Of a call."""
        return self.seconds / self.calls if self.calls else 0.0

    @property
    def share(self) -> float:
        """Of the time of all queries, 0 to 1."""
        return self.seconds / self.all_seconds if self.all_seconds else 0.0

    def quantile(self, share: float) -> float | None:
        """True to 1 %; None where latencies are not known."""
        found = self.latencies.quantile(share)
        return found if found is None or self.longest is None else min(found, self.longest)


@dataclass(frozen=True, slots=True)
class Sampled:
    """Parameters that a call had."""

    seconds: float
    end_time: datetime
    parameters: str
    """A JSON object."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, and in which steps."""

    since: datetime
    until: datetime
    window: timedelta
    minutes_since: datetime
    """What is older is kept by the hour."""


@dataclass(frozen=True, slots=True)
class QueryHistory:
    """What one query did."""

    total: QueryStats
    windows: Sequence[tuple[datetime, QueryStats]]
    """By their beginnings, the oldest first."""
    samples: Sequence[Sampled]


class History(Protocol):
    """What all nodes have counted, in the database."""

    async def write_windows(self, windows: Sequence[Window]) -> None:
        """Put windows of this node in the place of their smaller selves."""

    async def write_texts(self, texts: Mapping[str, str]) -> None:
        """Keep texts by fingerprint."""

    async def write_samples(self, samples: Sequence[Sample]) -> None:
        """Keep samples, and of each query no more than are kept."""

    async def totals(self, since: datetime) -> list[QueryStats]:
        """What each query did from the hour of `since` on, without latencies."""

    async def latencies(self, since: datetime, fingerprints: Sequence[str]) -> dict[str, Histogram]:
        """Those of some queries, by fingerprint."""

    async def text(self, fingerprint: str) -> str | None:
        """Of a query; None where nothing is known of it."""

    async def windows(self, fingerprint: str, span: Span) -> tuple[list[tuple[datetime, QueryStats]], float]:
        """What a query did, window by window, the oldest first; and the seconds of all queries in all windows."""

    async def samples(self, fingerprint: str, limit: int) -> list[Sampled]:
        """Of a query, the slowest first."""

    async def forget(self, *, retention: float) -> int:
        """Remove some of what is older than so many seconds; how many rows."""


class Others(Protocol):
    """Queries that did not come through dbopt."""

    async def count(self) -> None:
        """Add what they did since the last time to the history."""


class Insight:
    """What queries do, as all nodes see it. Open it as a context manager, and it writes by itself; leaving it writes the rest."""

    def __init__(
        self,
        recorder: Recorder,
        history: History,
        others: Others,
        *,
        interval: float,
        retention: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """interval: seconds between two writes. retention: seconds that what is written is kept."""
        self._recorder = recorder
        self._history = history
        self._others = others
        self._interval = interval
        self._retention = retention
        self._clock = clock
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._looked = float("-inf")
        self._problem = ""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_writing(), name="write-insight")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_WRITE):
                await self.write()
        except (PostgresError, ServerUnavailableError, TimeoutError) as failed:
            log.warning("the last counts of queries were not written", problem=str(failed) or type(failed).__name__)

    async def write(self) -> None:
        """Have the database have all that this node has counted. PostgresError, ServerUnavailableError: nothing is lost by that,
        and the next time writes it."""
        async with self._writing:
            while texts := self._recorder.untold(TEXTS_AT_ONCE):
                await self._history.write_texts(texts)
                self._recorder.told(texts)
            windows = self._recorder.unwritten()
            for first in range(0, len(windows), WRITTEN_AT_ONCE):
                await self._write_windows(windows[first : first + WRITTEN_AT_ONCE])
            self._recorder.forget_written()
            samples = self._recorder.take_samples()
            for first in range(0, len(samples), WRITTEN_AT_ONCE):
                await self._history.write_samples(samples[first : first + WRITTEN_AT_ONCE])

    async def slow(self, since: datetime, order: Order) -> list[QueryStats]:
        """All queries that ran from the hour of `since` on, in their order; with latencies where they are ordered by them."""
        await self._others.count()
        found = await self.slow_now(since)
        if order is Order.P99:
            found = await self.with_latencies(since, found)
        return sorted(found, key=lambda stats: (-_place(stats, order), stats.fingerprint))

    async def slow_now(self, since: datetime) -> list[QueryStats]:
        """The same by all their time, without a look at queries that did not come through dbopt."""
        await self.write()
        found = await self._history.totals(since)
        everything = sum(stats.seconds for stats in found)
        told = [replace(stats, all_seconds=everything) for stats in found]
        return sorted(told, key=lambda stats: (-stats.seconds, stats.fingerprint))

    async def with_latencies(self, since: datetime, queries: Sequence[QueryStats]) -> list[QueryStats]:
        """The same, with their latencies."""
        missing = [stats.fingerprint for stats in queries if not stats.latencies.counts]
        latencies = await self._history.latencies(since, missing) if missing else {}
        return [replace(stats, latencies=latencies.get(stats.fingerprint, stats.latencies)) for stats in queries]

    async def history(self, fingerprint: str, since: datetime, until: datetime, window: timedelta) -> QueryHistory:
        """What one query did. FingerprintUnknownError."""
        await self.write()
        text = await self._history.text(fingerprint)
        if text is None:
            raise FingerprintUnknownError(fingerprint)
        day_ago = datetime.fromtimestamp(self._clock(), UTC) - DAY
        span = Span(since, until, window, day_ago.replace(minute=0, second=0, microsecond=0))
        windows, all_seconds = await self._history.windows(fingerprint, span)
        samples = await self._history.samples(fingerprint, SLOW_SAMPLES + RANDOM_SAMPLES)
        total = _sum(fingerprint, text, [stats for _, stats in windows], all_seconds)
        return QueryHistory(total, [(start, replace(stats, text=text)) for start, stats in windows], samples)

    async def samples(self, fingerprint: str) -> list[Sampled]:
        """Parameters that a query was called with, those of its slowest calls first; none where nothing is known of it."""
        await self.write()
        return await self._history.samples(fingerprint, SLOW_SAMPLES + RANDOM_SAMPLES)

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.write()
                if self._clock() - self._looked >= LOOK_EVERY:
                    self._looked = self._clock()
                    await self._others.count()
                    while await self._history.forget(retention=self._retention):
                        pass
                problem = ""
            except (PostgresError, ServerUnavailableError) as error:
                problem = str(error) or type(error).__name__
            if problem != self._problem:
                self._problem = problem
                tell = log.warning if problem else log.info
                tell("counts of queries", written=not problem, problem=problem)

    async def _write_windows(self, windows: Sequence[Window]) -> None:
        written = [window.calls for window in windows]  # they go on counting while they are written
        await self._history.write_windows(windows)
        for window, calls in zip(windows, written, strict=True):
            window.written = calls


def _place(stats: QueryStats, order: Order) -> float:
    match order:
        case Order.TOTAL:
            return stats.seconds
        case Order.MEAN:
            return stats.mean
        case Order.P99:
            return stats.quantile(0.99) or 0.0
        case Order.CALLS:
            return stats.calls


def _sum(fingerprint: str, text: str, parts: Sequence[QueryStats], all_seconds: float) -> QueryStats:
    latencies = Histogram()
    for part in parts:
        latencies.add(part.latencies)
    return QueryStats(
        fingerprint,
        text,
        sum(part.calls for part in parts),
        sum(part.errors for part in parts),
        sum(part.rows for part in parts),
        sum(part.seconds for part in parts),
        max((part.longest for part in parts if part.longest is not None), default=None),
        all_seconds,
        latencies,
    )
