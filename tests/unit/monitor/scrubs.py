"""Events that are made to be scrubbed, and what is left of them."""

from datetime import UTC, datetime

from souk_monitor.decoding import bodies
from souk_monitor.events import Event, Source
from souk_monitor.scrubbing import scrub


def event(**fields: object) -> Event:
    """One with these fields."""
    return Event(**{"event_id": "a" * 32, "time": datetime(2026, 3, 1, 12, tzinfo=UTC), "source": Source.SENTRY, **fields})


def scrubbed(**fields: object) -> Event:
    """One with these fields, as a project without options stores it."""
    made = event(**fields)
    scrub(made, bodies.encode(made))
    return made


def left(text: str) -> str:
    """What is left of a message."""
    return scrubbed(message=text).message
