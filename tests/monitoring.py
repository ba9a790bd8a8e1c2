"""Events to report, and pipelines that take them as they are: what tests of monitor's store share."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from souk_common.postgres import Pool
from souk_monitor.adapters.body_table import Keeping
from souk_monitor.adapters.event_store import EventTables
from souk_monitor.decoding import bodies
from souk_monitor.events import Event, ExceptionInfo, Source, User
from souk_monitor.facets import Counts
from souk_monitor.grouping import Grouping, group
from souk_monitor.ingest import Pipeline, Queue, Stored
from souk_monitor.preparing import Preparer, Understanding

QUICK = Queue(delay=0.002)


def error(kind: str = "KeyError", **fields: Any) -> Event:
    """An error whose type is what it is grouped by."""
    chosen: dict[str, Any] = {
        "event_id": uuid.uuid4().hex,
        "time": datetime.now(UTC),
        "source": Source.NATIVE,
        "platform": "python",
        "exceptions": (ExceptionInfo(type=kind, value=f"value of {kind}"),),
        **fields,
    }
    return Event(**chosen)


def user(name: str) -> User:
    return User(id=name)


def preparer(group: Callable[[Event], Grouping] = group) -> Preparer:
    """One that leaves events as they are."""
    return Preparer(
        fit=lambda event, _: bodies.encode(event),
        scrub=lambda _project, _event, body: body,
        judge=lambda _, event: (group(event), Understanding()),
    )


def pipeline(pool: Pool, keep: int = 100, queue: Queue = QUICK, counts: Counts | None = None, *, new_issues: int = 0) -> Pipeline:
    """new_issues: that a project may open in an hour. 0: any number."""
    store = EventTables(pool, Keeping(keep), counts if counts is not None else Counts(), new_issues_per_hour=new_issues)
    return Pipeline(store, preparer(), queue)


def stored(outcomes: Any) -> list[Stored]:
    """The outcomes, all of which are of events that were stored."""
    assert all(isinstance(outcome, Stored) for outcome in outcomes), outcomes
    return list(outcomes)
