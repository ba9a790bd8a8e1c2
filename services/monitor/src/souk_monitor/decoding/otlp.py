"""What logs and spans of OpenTelemetry have in common: what is known of an event, and what becomes of a batch."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.lenient import text_of
from souk_monitor.decoding.occurrences import Positions
from souk_monitor.decoding.otlp_values import Resource, Scope
from souk_monitor.events import Event, Frame, Source, User
from souk_monitor.stack_text.drafts import number_at

_NANOSECONDS = 1_000_000_000
_LAST = 253_402_300_799 * _NANOSECONDS
_USER = (("user.id", "enduser.id"), ("user.email",), ("user.name", "enduser.name"), ("client.address",))

_CODE = (
    ("code.function.name", "code.function"),
    ("code.file.path", "code.filepath"),
    ("code.line.number", "code.lineno"),
    ("code.namespace",),
)
"""Attributes of a function, its file, the line and its class or module, in newer conventions and in older ones."""
MOST_EVENTS = 10_000
"""Of one request."""


@dataclass(slots=True)
class Batch:
    """What came of a request."""

    events: dict[str, list[Event]] = field(default_factory=dict)
    """Project, or empty where the resource names none -> its events."""
    ignored: int = 0
    """Records and spans that are no errors."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Why -> how many were errors that cannot be read."""
    budget: Budget = field(default_factory=Budget, compare=False)
    positions: Positions = field(default_factory=Positions, compare=False)
    count: int = 0
    """Of its events."""

    def begin(self) -> bool:
        """Whether one more event may be read."""
        if self.count == MOST_EVENTS:
            self.rejected[f"more than {MOST_EVENTS:,} errors in one request"] += 1
            return False
        self.budget.begin()
        return True

    def add(self, project: str, event: Event) -> None:
        """Take an event that was begun."""
        event.scrubbed_fields = tuple(dict.fromkeys((*self.budget.noted, *event.scrubbed_fields)))
        self.count += 1
        self.events.setdefault(project, []).append(event)


def event_of(resource: Resource, scope: Scope, source: Source, time: datetime, budget: Budget) -> Event:
    """An event of which only is known what it comes from."""
    contexts = {}
    for name, part in (("resource", resource), ("scope", scope)):
        if part.rest and part.cost.charged(budget, f"contexts.{name}"):
            contexts[name] = dict(part.rest)
    return Event(
        event_id="",
        time=time,
        source=source,
        platform=resource.platform,
        service=resource.service,
        release=resource.release,
        environment=resource.environment,
        server_name=resource.server_name,
        logger=scope.name,
        contexts=contexts,
    )


def take_known(event: Event, attributes: dict[str, Any]) -> None:
    """Take what events have fields for out of attributes."""
    event.error_id = text_of(attributes.pop("error_id", None))
    ids = [next((text_of(attributes.pop(name)) for name in names if name in attributes), "") for names in _USER]
    if any(ids):
        event.user = User(ids[0], ids[1], ids[2], ids[3])


def code_of(attributes: dict[str, Any]) -> tuple[Frame, ...]:
    """The one frame that the attributes `code.…` of a record tell of; what it says is taken out."""

    def named(names: tuple[str, ...]) -> str:
        return next((name for name in names if name in attributes), "")

    function, file, line, namespace = map(named, _CODE)
    if not (function or file):
        return ()
    number = _line_of(attributes.get(line))
    if number:
        del attributes[line]
    said = [text_of(attributes.pop(name, None)) for name in (function, namespace, file)]
    return (Frame(said[0], said[1], said[2], line=number),)


def _line_of(given: Any) -> int:
    """A line's number, which some SDKs give as text; 0: it is none."""
    return number_at(text_of(given)) if isinstance(given, int | str) else 0


def time_of(nanoseconds: int, received: datetime) -> datetime:
    """Nanoseconds since 1970; none and what no calendar has is when it was received."""
    if not 0 < nanoseconds < _LAST:
        return received
    return datetime.fromtimestamp(nanoseconds // _NANOSECONDS, UTC).replace(microsecond=nanoseconds % _NANOSECONDS // 1000)


def bad_ids(trace_id: bytes, span_id: bytes) -> str:
    """What is wrong with the ids of a record; empty: nothing."""
    if len(trace_id) not in (0, 16):
        return f"a trace_id of {len(trace_id)} bytes; it has 16"
    return f"a span_id of {len(span_id)} bytes; it has 8" if len(span_id) not in (0, 8) else ""
