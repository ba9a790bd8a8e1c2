"""The overview: one report for all who look at the same time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from souk_monitor.reports import Report, Span
from souk_monitor.web.dashboard.overview import FRESH, Overview

NOW = datetime(2031, 5, 4, 12, 30, tzinfo=UTC)


class Tracker:
    """Makes reports, and counts them."""

    made = 0

    async def report(self, project: object, span: Span, limit: int) -> Report:
        self.made += 1
        await asyncio.sleep(0)
        return Report(span, self.made, 0, 0, 0, 0, 0, [], [], [], [], [], [])


class Parts:
    projects = None

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker


async def test_a_report_is_made_once_for_all_who_look_within_a_moment() -> None:
    tracker = Tracker()
    overview = Overview(cast(Any, Parts(tracker)), cast(Any, None))
    reports = await asyncio.gather(*(overview._report(None, "24h", NOW) for _ in range(20)))
    assert (tracker.made, {report.events for report in reports}) == (1, {1})
    assert (await overview._report(None, "7d", NOW)).events == 2
    assert (await overview._report(None, "24h", NOW + FRESH - timedelta(milliseconds=1))).events == 1
    assert (await overview._report(None, "24h", NOW + FRESH)).events == 3
