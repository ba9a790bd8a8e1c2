"""An event of Sentry's SDKs, of today and of the years before, as an event of monitor.

https://develop.sentry.dev/sdk/data-model/event-payloads/. Whatever is not where it should be is kept in `extra`, not refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any
from uuid import uuid4

from souk_monitor.decoding import percent
from souk_monitor.decoding import sentry_stacks as stacks
from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.lenient import list_of, object_of, rest_of, text_of
from souk_monitor.events import Event, Json, Level, Source, User

_HEX = frozenset("0123456789abcdef")
_LEVELS = {
    "fatal": Level.FATAL, "critical": Level.FATAL, "error": Level.ERROR, "warning": Level.WARNING, "warn": Level.WARNING,
    "info": Level.INFO, "log": Level.INFO, "debug": Level.DEBUG, "sample": Level.INFO,
}  # fmt: skip
_LEGACY = {
    "sentry.interfaces.Exception": "exception",
    "sentry.interfaces.Message": "logentry",
    "sentry.interfaces.Stacktrace": "stacktrace",
    "sentry.interfaces.Http": "request",
    "sentry.interfaces.User": "user",
    "sentry.interfaces.Breadcrumbs": "breadcrumbs",
    "sentry.interfaces.Contexts": "contexts",
    "sentry.interfaces.threads": "threads",
}
"""What parts were called before they had names of their own."""
_OF_CONTEXT = ("request", "modules", "sdk")
_MANY = 1000
"""Tags, and parts of a fingerprint, that are looked at: more than are kept."""
_SECONDS = 253_402_300_799
_AUTO = "{{auto}}"


def event(payload: Mapping[str, Json], received: datetime, budget: Budget) -> Event:
    """The event of a payload, of any length."""
    rest = {_LEGACY.get(name, name): value for name, value in payload.items()}
    budget.begin()
    return _event(rest, received, budget)


def set_address(event: Event, address: str) -> None:
    """Give the event the network address of who sent it, where its SDK leaves it to the server to say that of its user.

    address: empty where it is not known; then the user has none.
    """
    user = event.user
    settings = object_of(object_of(event.contexts.get("sdk")).get("settings"))
    if user is not None and user.ip_address == _AUTO:
        user.ip_address = address
    elif address and settings.get("infer_ip") == "auto" and (user is None or not user.ip_address):
        event.user = User(ip_address=address) if user is None else replace(user, ip_address=address)


def event_id(given: Json) -> str:
    """32 hexadecimal digits of what an SDK gave as an id: with or without dashes, else a digest. Empty: nothing was given."""
    if not isinstance(given, str) or not given:
        return ""
    digits = given.replace("-", "").lower()
    if len(digits) == 32 and _HEX.issuperset(digits):
        return digits
    return blake2b(given.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _event(rest: dict[str, Json], received: datetime, budget: Budget) -> Event:
    pop = rest.pop
    message, template = _message(pop("message", None), pop("logentry", None))
    contexts = _contexts(rest)
    exceptions = stacks.exceptions(pop("exception", None), budget)
    stack, threads = stacks.current_stack(pop("stacktrace", None), pop("threads", None), exceptions, budget)
    tags = dict(islice(_tags(pop("tags", None)), _MANY))
    trace = object_of(contexts.get("trace"))
    made = Event(
        event_id=event_id(pop("event_id", None)) or uuid4().hex,
        time=_time(pop("timestamp", None), received),
        source=Source.SENTRY,
        level=_level(pop("level", None)),
        platform=text_of(pop("platform", None)),
        service=_service(contexts, tags),
        release=text_of(pop("release", None)),
        environment=text_of(pop("environment", None)),
        dist=text_of(pop("dist", None)),
        server_name=text_of(pop("server_name", None)),
        logger=text_of(pop("logger", None)),
        transaction=_transaction(pop("transaction", None), pop("culprit", None)),
        message=message,
        template=template,
        exceptions=exceptions,
        stack=stack,
        fingerprint=tuple(map(text_of, list_of(pop("fingerprint", None))[:_MANY])),
        tags=tags,
        user=_user(pop("user", None)),
        trace_id=_digits(trace.get("trace_id"), 32),
        span_id=_digits(trace.get("span_id"), 16),
        contexts=contexts,
    )
    if threads:
        rest["threads"] = threads
    made.extra = {**object_of(pop("extra", None)), **rest_of(rest)}
    made.scrubbed_fields = tuple(budget.noted)
    made.error_id = tags.get("error_id") or text_of(made.extra.get("error_id"))
    return made


def _message(message: Json, entry: Json) -> tuple[str, str]:
    """The message with its parameters, and without, where it has some."""
    given = object_of(entry) or object_of(message)
    template = text_of(given.get("message"))
    formatted = text_of(given.get("formatted")) or percent.formatted(template, given.get("params"))
    whole = (
        formatted or (entry if isinstance(entry, str) else "") or ("" if given and isinstance(message, dict) else text_of(message))
    )
    return whole, template if template != whole else ""


def _contexts(rest: dict[str, Json]) -> dict[str, Json]:
    contexts = rest_of(object_of(rest.pop("contexts", None)))
    for name in _OF_CONTEXT:
        value = rest.pop(name, None)
        if value:
            contexts[name] = value
    crumbs = rest.pop("breadcrumbs", None)
    found = list_of(object_of(crumbs).get("values")) or list_of(crumbs)
    if found:
        contexts["breadcrumbs"] = found
    return contexts


def _tags(given: Json) -> Iterator[tuple[str, str]]:
    """An object, or a list of pairs or of objects with key and value."""
    pairs: Any = given.items() if isinstance(given, dict) else map(_pair, list_of(given))
    for name, value in pairs:
        if name is not None and value is not None:
            yield text_of(name), text_of(value)


def _pair(given: Json) -> tuple[Json, Json]:
    if isinstance(given, dict):
        return given.get("key"), given.get("value")
    if isinstance(given, list) and len(given) == 2:
        return given[0], given[1]
    return None, None


def _user(given: Json) -> User | None:
    if not isinstance(given, dict) or not given:
        return None
    rest = dict(given)
    pop = rest.pop
    return User(
        id=text_of(pop("id", None)),
        email=text_of(pop("email", None)),
        username=text_of(pop("username", None)),
        ip_address=text_of(pop("ip_address", None)),
        extra=rest_of(rest),
    )


def _service(contexts: Mapping[str, Json], tags: Mapping[str, str]) -> str:
    """By the convention of OpenTelemetry, which Sentry's SDKs pass on; a tag by that name is as good."""
    resource = object_of(object_of(contexts.get("otel")).get("resource"))
    return text_of(resource.get("service.name")) or tags.get("service", "")


def _transaction(transaction: Json, culprit: Json) -> str:
    return text_of(transaction) or text_of(culprit)


def _digits(given: Json, count: int) -> str:
    text = given.replace("-", "").lower() if isinstance(given, str) else ""
    return text if len(text) == count and _HEX.issuperset(text) and text.strip("0") else ""


def _level(given: Json) -> Level:
    if isinstance(given, str):
        return _LEVELS.get(given.lower(), Level.ERROR)
    if isinstance(given, int) and not isinstance(given, bool):  # of Python's logging
        return Level(max(10, min(given, 50)) // 10 * 10)
    return Level.ERROR


def _time(given: Json, received: datetime) -> datetime:
    """Seconds since 1970 or RFC 3339; what is neither is when it was received."""
    try:
        if isinstance(given, str):
            time = datetime.fromisoformat(given.strip())
            return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        if isinstance(given, int | float) and 0 <= given <= _SECONDS:
            return datetime.fromtimestamp(given, UTC)
    except (ValueError, OverflowError):
        pass
    return received
