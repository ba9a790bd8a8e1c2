"""What is to be done from time to time goes on, whatever goes wrong, and how long things are kept is bounded."""

import asyncio
from datetime import datetime
from math import inf, nan

import pytest
from pydantic import ValidationError
from souk_common.postgres import UnavailableError
from souk_monitor.duties import Duties, Duty
from souk_monitor.settings import LONGEST, MonitorSettings
from structlog.testing import capture_logs


class Always:
    """Everything is due."""

    async def take(self, name: str, now: datetime, following: datetime) -> bool:
        return True


@pytest.mark.parametrize("error", [OverflowError("date value out of range"), UnavailableError("PostgreSQL does not answer")])
async def test_a_duty_that_fails_is_logged_once_and_done_again(error: Exception) -> None:
    failures = [error, error]
    done = asyncio.Event()

    async def do(now: datetime) -> None:
        if failures:
            raise failures.pop()
        done.set()

    with capture_logs() as logs:
        async with Duties(Always(), [Duty("upkeep", 0.001, do)]), asyncio.timeout(10):
            await done.wait()
    told = [each for each in logs if each["event"] == "duty" and not each["done"]]
    assert len(told) == 1
    assert str(error) in told[0]["problem"]
    assert told[0]["exc_info"] is (error if isinstance(error, OverflowError) else None)


RETENTIONS = ("retention", *(f"{what}_retention" for what in ("count", "issue", "open_issue", "release", "request")))


@pytest.mark.parametrize("what", RETENTIONS)
@pytest.mark.parametrize("seconds", [LONGEST * 1.01, 1e12, inf, nan])
def test_nothing_can_be_kept_for_longer_than_times_can_say(what: str, seconds: float) -> None:
    with pytest.raises(ValidationError, match=what):
        MonitorSettings(dsn="postgresql://x", **{what: seconds})  # type: ignore[arg-type]
