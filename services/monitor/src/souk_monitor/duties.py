"""What is to be done from time to time, by one node for all: each has a name, and its next time is in the database."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

import structlog
from souk_common.postgres import PostgresError

log = structlog.get_logger(__name__)


class DutyTable(Protocol):
    """Where it is kept when each is due."""

    async def take(self, name: str, now: datetime, following: datetime) -> bool:
        """Whether it is due and nobody else has taken it; its next time is `following` then."""


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing to be done."""

    name: str
    interval: float
    """Seconds between two times; a node that dies over it leaves it to the next time."""
    do: Callable[[datetime], Awaitable[None]]
    """Does it; told what time it is."""


class Duties:
    """Does what is due. Open it as a context manager."""

    def __init__(self, table: DutyTable, duties: Sequence[Duty], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._table = table
        self._duties = duties
        self._now = now
        self._tasks: list[asyncio.Task[None]] = []
        self._problems: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._keep_doing(duty), name=f"duty-{duty.name}") for duty in self._duties]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def do_due(self, duty: Duty) -> bool:
        """Do it where it is due; whether it was. PostgresError."""
        now = self._now()
        if not await self._table.take(duty.name, now, now + timedelta(seconds=duty.interval * 0.9)):
            return False
        await duty.do(now)
        return True

    async def _keep_doing(self, duty: Duty) -> None:
        while True:
            problem = ""
            fault: Exception | None = None
            try:
                await self.do_due(duty)
            except PostgresError as error:
                problem = str(error) or type(error).__name__
            except Exception as error:  # noqa: BLE001 — of whatever kind, it ends neither this duty nor others
                problem, fault = f"{type(error).__name__}: {error}", error
            if problem != self._problems.get(duty.name, ""):
                self._problems[duty.name] = problem
                tell = log.error if fault else log.warning if problem else log.info
                tell("duty", name=duty.name, done=not problem, problem=problem, exc_info=fault)
            await asyncio.sleep(duty.interval)
