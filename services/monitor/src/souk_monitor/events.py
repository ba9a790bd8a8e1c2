"""An error as monitor knows it, whichever way it came in: decoders make it, scrubbing and grouping read it, the store keeps it.

Nothing of a report is thrown away for having no field here: what a decoder does not know it leaves in `extra` of
the part that it belongs to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any

Json = Any
"""What JSON can say."""


class Level(IntEnum):
    """How grave the reporter says it is, as in Sentry and in syslog."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    FATAL = 50


class Source(Enum):
    """The way that it came in."""

    NATIVE = "native"
    SENTRY = "sentry"
    OTLP_LOG = "otlp_log"
    OTLP_SPAN = "otlp_span"


@dataclass(slots=True)
class Frame:
    """One call on a stack."""

    function: str = ""
    module: str = ""
    """As the language names it: a dotted module, a Java class with its package, a Go package path."""
    file: str = ""
    """Path as it is shown, mostly relative to the project."""
    abs_path: str = ""
    line: int = 0
    """From 1. 0: not known."""
    column: int = 0
    in_app: bool | None = None
    """Whether it is of the application rather than of a library. None: the reporter did not say."""
    package: str = ""
    """Of native code: the binary or library."""
    context_line: str = ""
    """The source line."""
    pre_context: tuple[str, ...] = ()
    post_context: tuple[str, ...] = ()
    local_variables: Mapping[str, Json] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class ExceptionInfo:
    """One exception of those that make up an error."""

    type: str = ""
    value: str = ""
    """Its message."""
    module: str = ""
    """Where its type is defined, as `sqlalchemy.exc`."""
    frames: tuple[Frame, ...] = ()
    """The call that was made last is the last."""
    handled: bool | None = None
    """Whether the program caught it. None: not known."""
    mechanism: str = ""
    """What reported it, as `excepthook` or `logging`."""
    exception_id: int | None = None
    """Its number within the event, where it is one of a tree."""
    parent_id: int | None = None
    """The exception that it is a cause or a member of."""
    is_group: bool = False
    """It holds others that were raised side by side (ExceptionGroup, AggregateError)."""
    is_suppressed: bool = False
    """`raise … from None` and the like: the one before it is no cause."""
    extra: Mapping[str, Json] = field(default_factory=dict)
    source: str = ""
    """How it belongs to its parent, as Sentry's SDKs say: __cause__, __context__, cause, exceptions[0], errors[1]."""


@dataclass(slots=True)
class User:
    """Whom it happened to."""

    id: str = ""
    email: str = ""
    username: str = ""
    ip_address: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class Event:
    """One error that happened once."""

    event_id: str
    """32 hexadecimal digits, of the reporter or ours. Within a project a repeat is the same event."""
    time: datetime
    """When it happened, by the reporter's clock; not later than it was received."""
    source: Source
    level: Level = Level.ERROR
    platform: str = ""
    """Language or runtime, as python, javascript, node, java, go, csharp, ruby, php, native, cocoa. Empty: not known."""
    service: str = ""
    """The service that it happened in: OTLP's service.name, or what the project says."""
    release: str = ""
    environment: str = ""
    dist: str = ""
    server_name: str = ""
    logger: str = ""
    transaction: str = ""
    """What was being done: a route, an rpc, a job."""
    message: str = ""
    """As it was logged, with its parameters in it."""
    template: str = ""
    """The message without its parameters, where the reporter gave it apart."""
    exceptions: tuple[ExceptionInfo, ...] = ()
    """Causes first: the one that was raised last, and that the program saw, is the last. Empty: an error that is only a message."""
    stack: tuple[Frame, ...] = ()
    """Where a message without an exception was logged. The call that was made last is the last."""
    fingerprint: tuple[str, ...] = ()
    """What the reporter says that it is to be grouped by; "{{ default }}" stands for what monitor finds."""
    tags: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    trace_id: str = ""
    """32 hexadecimal digits, or empty."""
    span_id: str = ""
    """16 hexadecimal digits, or empty."""
    error_id: str = ""
    """The id that a Souk service gave its caller with INTERNAL."""
    contexts: Mapping[str, Json] = field(default_factory=dict)
    """Runtime, system, device, request, breadcrumbs, modules …: as they came, by their name."""
    extra: Mapping[str, Json] = field(default_factory=dict)
    scrubbed_fields: tuple[str, ...] = ()
    """Paths of what was taken out or cut before it was stored, as `user.email` or `exceptions[0].frames`."""
