"""An event of Sentry's SDKs, of today and of the years before, as an event of monitor.

https://develop.sentry.dev/sdk/data-model/event-payloads/. Whatever is not where it should be is kept in `extra`, not refused: what
reads a part takes out of the payload what it can use, and leaves the rest.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import count, islice
from typing import Any
from uuid import uuid4

from souk_monitor.decoding import sentry_messages, sentry_stacks
from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.lenient import list_of, object_of, rest_of, text_of, values_of
from souk_monitor.decoding.sentry_titles import title
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
    "sentry.interfaces.Template": "template",
    "sentry.interfaces.Csp": "csp",
}
"""What parts were called before they had names of their own."""
_OF_CONTEXT = ("request", "modules", "sdk")
_MANY = 1000
"""Tags, and parts of a fingerprint, that are looked at: more than are kept."""
_LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z"""
_IS_SECONDS = re.compile(r"\d{9,12}(?:\.\d{0,9})?", re.ASCII).fullmatch
"""Eight digits are a day of ISO 8601."""
_AUTO = "{{auto}}"


def event(payload: Mapping[str, Json], received: datetime, budget: Budget) -> Event:
    """The event of a payload, of any length."""
    rest = dict(payload)
    for name, today in _LEGACY.items():
        if rest.get(name) is not None and rest.get(today) is None:
            rest[today] = rest.pop(name)
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
    message, template, unsaid = sentry_messages.read(pop("message", None), pop("logentry", None))
    contexts = _contexts(rest)
    exceptions, stack, unread = sentry_stacks.read(pop("exception", None), pop("stacktrace", None), pop("threads", None), budget)
    rest.update(unsaid)
    rest.update(unread)
    tags = _tags(rest)
    trace = object_of(contexts.get("trace"))
    made = Event(
        event_id=event_id(pop("event_id", None)) or uuid4().hex,
        time=_time(rest) or received,
        source=Source.SENTRY,
        level=_level(rest),
        platform=text_of(pop("platform", None)),
        service=_service(contexts, tags),
        release=text_of(pop("release", None)),
        environment=text_of(pop("environment", None)),
        dist=text_of(pop("dist", None)),
        server_name=text_of(pop("server_name", None)),
        logger=text_of(pop("logger", None)),
        transaction=_transaction(rest),
        message=message,
        template=template,
        exceptions=exceptions,
        stack=stack,
        fingerprint=_fingerprint(rest),
        tags=tags,
        user=_user(rest),
        trace_id=_digits(trace.get("trace_id"), 32),
        span_id=_digits(trace.get("span_id"), 16),
        contexts=contexts,
    )
    if not (message or exceptions or stack) and (found := title(rest)):
        made.message, made.fingerprint = found.text, made.fingerprint or found.fingerprint
    own = _object(rest, "extra")
    made.extra = _beside(own, rest_of(rest), "event")
    made.scrubbed_fields = tuple(budget.noted)
    made.error_id = tags.get("error_id") or text_of(made.extra.get("error_id"))
    return made


def _beside(own: Mapping[str, Json], others: Mapping[str, Json], origin: str) -> dict[str, Json]:
    """Both by their names; others whose name is taken by `origin.name`, and a number behind that where there is such a one too."""
    both = {**own, **others}
    for name in [name for name in others if own.get(name) is not None]:
        both[name] = own[name]
        free = f"{origin}.{name}"
        if free in both:
            free = next(numbered for number in count(2) if (numbered := f"{free}.{number}") not in both)
        both[free] = others[name]
    return both


def _object(rest: dict[str, Json], name: str) -> dict[str, Json]:
    """A part that is an object, which is taken out; another that says something stays where it is."""
    given = rest.pop(name, None)
    if given and not isinstance(given, dict):
        rest[name] = given
    return object_of(given)


def _contexts(rest: dict[str, Json]) -> dict[str, Json]:
    """Those of the user have another name where the event has a part that is kept by theirs."""
    contexts = rest_of(_object(rest, "contexts"))
    parts = {name: rest.pop(name, None) for name in _OF_CONTEXT}
    parts["breadcrumbs"], rest["breadcrumbs"] = values_of(rest.get("breadcrumbs"))
    return _beside({name: value for name, value in parts.items() if value}, contexts, "context")


def _tags(rest: dict[str, Json]) -> dict[str, str]:
    """An object, or a list of pairs or of objects with key and value; what is none of these stays where it is."""
    given = rest.pop("tags", None)
    pairs: list[Any] = list(islice(given.items(), _MANY)) if isinstance(given, dict) else list(map(_pair, list_of(given)[:_MANY]))
    if isinstance(given, list):
        lists = [each for each in given if each and not (isinstance(each, dict) and "key" in each)]
        rest["tags"] = [each for each in lists if not (isinstance(each, list) and len(each) == 2)] or None
    elif not isinstance(given, dict):
        rest["tags"] = given or None
    return {text_of(name): text_of(value) for name, value in pairs if name is not None and value is not None}


def _pair(given: Json) -> tuple[Json, Json]:
    if isinstance(given, dict):
        return given.get("key"), given.get("value")
    if isinstance(given, list) and len(given) == 2:
        return given[0], given[1]
    return None, None


def _fingerprint(rest: dict[str, Json]) -> tuple[str, ...]:
    """A list of parts, or one."""
    given = rest.pop("fingerprint", None)
    if isinstance(given, dict):
        rest["fingerprint"] = given
        return ()
    parts = given if isinstance(given, list) else [given]
    return tuple(map(text_of, parts[:_MANY])) if given else ()


def _user(rest: dict[str, Json]) -> User | None:
    given = dict(_object(rest, "user"))
    if not given:
        return None
    pop = given.pop
    return User(
        id=text_of(pop("id", None)),
        email=text_of(pop("email", None)),
        username=text_of(pop("username", None)),
        ip_address=text_of(pop("ip_address", None)),
        extra=rest_of(given),
    )


def _service(contexts: Mapping[str, Json], tags: Mapping[str, str]) -> str:
    """By the convention of OpenTelemetry, which Sentry's SDKs pass on; a tag by that name is as good."""
    resource = object_of(object_of(contexts.get("otel")).get("resource"))
    return text_of(resource.get("service.name")) or tags.get("service", "")


def _transaction(rest: dict[str, Json]) -> str:
    """What was done; where that is not said the place in the code, which stays where it is otherwise."""
    transaction, culprit = text_of(rest.pop("transaction", None)), text_of(rest.get("culprit"))
    if not transaction or transaction == culprit:
        rest.pop("culprit", None)
    return transaction or culprit


def _digits(given: Json, count: int) -> str:
    text = given.replace("-", "").lower() if isinstance(given, str) else ""
    return text if len(text) == count and _HEX.issuperset(text) and text.strip("0") else ""


def _level(rest: dict[str, Json]) -> Level:
    """By its name, or by its number in Python's logging; one that is neither stays where it is."""
    given = rest.pop("level", None)
    if isinstance(given, str) and (level := _LEVELS.get(given.lower())):
        return level
    if isinstance(given, int) and not isinstance(given, bool):
        return Level(max(10, min(given, 50)) // 10 * 10)
    rest["level"] = given or None
    return Level.ERROR


def _time(rest: dict[str, Json]) -> datetime | None:
    """Seconds since 1970, as a text too, or RFC 3339; what is neither stays where it is."""
    given = seconds = rest.pop("timestamp", None)
    try:
        if isinstance(given, str):
            if not _IS_SECONDS(given.strip()):
                time = datetime.fromisoformat(given.strip())
                return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
            seconds = float(given)
        if isinstance(seconds, int | float) and 0 <= seconds <= _LAST_SECOND:
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):
        pass
    rest["timestamp"] = given or None
    return None
