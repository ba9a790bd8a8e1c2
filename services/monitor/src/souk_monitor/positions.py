"""Where a page of issues or of events ends, and where a stream of changes is, as text and back: what tokens carry."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from souk_common.paging import page_token_refused

from souk_monitor.issues import EventPlace, Issue, KeptEvent, Order

_DIGITS, _MAX_NUMBER = 20, 2**63 - 1
"""What the database counts by."""


def of_issue(known: Issue, order: Order) -> str:
    """That of an issue in an order."""
    key = getattr(known, order.value)
    return f"{key.isoformat() if isinstance(key, datetime) else repr(key)} {known.issue_id}"


def issue(position: str, order: Order) -> tuple[Any, int] | None:
    """The key and the id that a position says; None of the empty one. INVALID_PAGE_TOKEN."""
    if not position:
        return None
    key, _, number = position.partition(" ")
    readers: dict[Order, Callable[[str], Any]] = {Order.LAST_SEEN: _time, Order.FIRST_SEEN: _time, Order.PRIORITY: float}
    try:
        return readers.get(order, _number)(key), _number(number)
    except (ValueError, OverflowError) as error:
        raise page_token_refused() from error


def of_event(kept: KeptEvent) -> str:
    """That of an event."""
    return f"{kept.event.time.isoformat()} {kept.event.event_id} {kept.project}"


def event(position: str) -> EventPlace | None:
    """The place that a position says; None of the empty one. INVALID_PAGE_TOKEN."""
    if not position:
        return None
    try:
        time, event_id, project = position.split(" ")
        return _time(time), UUID(event_id), _number(project)
    except (ValueError, OverflowError) as error:
        raise page_token_refused() from error


def change(text: str) -> int | None:
    """The position of a change that a text says; None where it says none."""
    try:
        return _number(text) if text.isascii() and text.isdecimal() else None
    except ValueError:
        return None


def _number(text: str) -> int:
    number = int(text[:_DIGITS])
    if len(text) > _DIGITS or abs(number) > _MAX_NUMBER:
        raise ValueError(text[:_DIGITS])
    return number


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time.astimezone(UTC)
