"""How many issues of a project may still be new in this hour, which begins with the first of them, on all nodes together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from souk_common.postgres import Session

from souk_monitor.preparing import Prepared

log = structlog.get_logger(__name__)
_RUNS = "new_issues_since > now() - interval '1 hour' AND new_issues_since <= now() + interval '1 minute'"
"""An hour that begins in the future is over, since the server's clock was set back; a minute of that is let pass."""
LIMIT = "coalesce(nullif((options ->> 'new_issues_per_hour')::bigint, 0), $1::bigint)"
"""Of a row of monitor.projects; $1 is that of projects that say none. 0: no limit."""
RESUME_TIME = f"""
CASE WHEN {LIMIT} > 0 AND {_RUNS} AND new_issues >= {LIMIT} THEN new_issues_since + interval '1 hour' END
"""
"""Of a row of monitor.projects: when the next new issue may be opened; NULL while that is now."""
COUNT = f"""
new_issues = CASE WHEN {_RUNS} THEN new_issues ELSE 0 END + $3,
new_issues_since = CASE WHEN {_RUNS} THEN new_issues_since ELSE now() END
"""
"""Assignments of an UPDATE of monitor.projects that count $3 more."""
_ROOMS = f"""
SELECT number, name, {LIMIT} AS most, CASE WHEN {_RUNS} THEN new_issues ELSE 0 END AS opened,
    CASE WHEN {_RUNS} THEN new_issues_since ELSE now() END + interval '1 hour' AS end_time
FROM monitor.projects WHERE number = ANY ($2::integer[]) ORDER BY number FOR NO KEY UPDATE
"""  # noqa: S608 — of constants
_GIVE_BACK = """
UPDATE monitor.projects p SET new_issues = greatest(0, p.new_issues - c.issues)
FROM unnest($1::integer[], $2::integer[]) AS c(number, issues) WHERE p.number = c.number
"""


@dataclass(frozen=True, slots=True)
class Room:
    """What a project may still open."""

    number: int
    """Of the project."""
    project: str
    most: int
    """In an hour. 0: any number."""
    opened: int
    end_time: datetime
    """Of the hour."""

    def fits(self, issues: int) -> bool:
        """Whether so many more may be new."""
        return self.most == 0 or self.opened + issues <= self.most


async def rooms(session: Session, projects: Iterable[int], per_hour: int) -> dict[int, Room]:
    """The room of projects, which stay locked until the transaction ends. per_hour: of those that say none; 0: no limit."""
    rows = await session.fetch("projects.rooms", _ROOMS, (per_hour, sorted(set(projects))))
    return {row["number"]: Room(row["number"], row["name"], row["most"], row["opened"], row["end_time"]) for row in rows}


def beyond(events: Sequence[Prepared], rooms: dict[int, Room]) -> list[Prepared]:
    """Those of events, each of which would open an issue, for which there is no room."""
    counted: Counter[int] = Counter()
    over = []
    for event in events:
        counted[event.project] += 1
        if not rooms[event.project].fits(counted[event.project]):
            over.append(event)
    return over


async def give_back(session: Session, projects: Iterable[int]) -> None:
    """Issues that were opened are not. projects: of each of them; they are locked."""
    if counted := Counter(projects):
        await session.fetch("projects.give_back", _GIVE_BACK, (list(counted), list(counted.values())))


class Telling:
    """Tells the log of projects that may open no more issues, once in each such hour."""

    def __init__(self) -> None:
        self._told: dict[str, datetime] = {}
        """The ends of the hours that were told of."""

    def tell(self, full: Iterable[Room]) -> None:
        """Of these."""
        for room in full:
            if room.end_time != self._told.get(room.project):
                self._told[room.project] = room.end_time
                resume = room.end_time.isoformat(timespec="seconds")
                log.warning("too many new issues", project=room.project, new_issues_per_hour=room.most, resume_time=resume)
