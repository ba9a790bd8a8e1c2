"""What logs and spans of OpenTelemetry have in common: exceptions by their attributes, and what becomes of a batch.

https://opentelemetry.io/docs/specs/semconv/exceptions/
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.lenient import text_of
from souk_monitor.decoding.occurrences import Positions
from souk_monitor.decoding.otlp_values import Resource
from souk_monitor.events import Event, ExceptionInfo, Frame, Source, User

TYPE, MESSAGE, STACK, ESCAPED = "exception.type", "exception.message", "exception.stacktrace", "exception.escaped"
_NANOSECONDS = 1_000_000_000
_LAST = 253_402_300_799 * _NANOSECONDS
_USER = (("user.id", "enduser.id"), ("user.email",), ("user.name", "enduser.name"), ("client.address",))

ReadStack = Callable[[str, str], tuple[ExceptionInfo, ...]]
"""Exceptions, causes first, of a stack as a language prints it, and the language, where it is known."""
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


def is_exception(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes tell of an exception; by the conventions there is its type or its message."""
    return TYPE in attributes or MESSAGE in attributes or STACK in attributes


def exceptions_of(attributes: dict[str, Any], platform: str, read_stack: ReadStack, budget: Budget) -> tuple[ExceptionInfo, ...]:
    """The exceptions, causes first. What of the attributes has become a part of them is taken out."""
    name, message = text_of(attributes.pop(TYPE, None)), text_of(attributes.pop(MESSAGE, None))
    stack, escaped = text_of(attributes.pop(STACK, None)), attributes.pop(ESCAPED, None)
    module, _, short = name.rpartition(".")
    found = read_stack(stack, platform) if budget.reads_stack(stack) else ()
    if not any(exception.frames for exception in found):  # it was no stack
        found = ()
    last = found[-1] if found else ExceptionInfo(extra={"stack_text": stack} if stack else {})
    raised = replace(
        last,
        type=last.type or short,
        module=last.module or module,
        value=last.value or message,  # of the stack, because some SDKs give an argument for the message: lamp for 'lamp'
        handled=False if escaped in (True, "True", "true") else last.handled,
    )
    return (*found[:-1], raised)


def event_of(resource: Resource, source: Source, time: datetime, budget: Budget) -> Event:
    """An event of which only is known what it comes from."""
    return Event(
        event_id="",
        time=time,
        source=source,
        platform=resource.platform,
        service=resource.service,
        release=resource.release,
        environment=resource.environment,
        server_name=resource.server_name,
        contexts={"resource": dict(resource.rest)} if resource.rest and resource.cost.charged(budget, "contexts.resource") else {},
    )


def take_known(event: Event, attributes: dict[str, Any]) -> None:
    """Take what events have fields for out of attributes."""
    event.error_id = text_of(attributes.pop("error_id", None))
    ids = [next((text_of(attributes.pop(name)) for name in names if name in attributes), "") for names in _USER]
    if any(ids):
        event.user = User(ids[0], ids[1], ids[2], ids[3])


def code_of(attributes: dict[str, Any]) -> tuple[Frame, ...]:
    """The one frame that the attributes `code.…` of a record tell of."""

    def pop(*names: str) -> Any:
        return next((attributes.pop(name) for name in names if name in attributes), None)

    function, file = pop("code.function.name", "code.function"), pop("code.file.path", "code.filepath")
    line, namespace = pop("code.line.number", "code.lineno"), pop("code.namespace")
    if not (function or file):
        return ()
    return (Frame(text_of(function), text_of(namespace), text_of(file), line=line if isinstance(line, int) and line > 0 else 0),)


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
