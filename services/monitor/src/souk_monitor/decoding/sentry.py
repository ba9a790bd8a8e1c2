"""Errors in the requests of Sentry's SDKs: in envelopes, and by themselves as to the store endpoint."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

from souk_monitor.decoding import sentry_events
from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.envelopes import SECURITY, Envelope
from souk_monitor.decoding.lenient import MOST_VALUES, parse, parse_object, values_in
from souk_monitor.decoding.security_reports import payloads as security_payloads
from souk_monitor.events import Event, Json
from souk_monitor.exceptions import MalformedError

_NIL = "0" * 32
"""An id that is none (RFC 9562, 5.9)."""


@dataclass(slots=True)
class Reports:
    """What was in a request."""

    events: list[Event] = field(default_factory=list)
    event_id: str = ""
    """Of its first event as it is stored, else of the envelope; empty where it names none."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Items that are no errors, by their kind."""
    values: int = 0
    """Of its JSON."""
    bytes: int = 0
    """Of the texts that events are in."""
    budget: Budget = field(default_factory=Budget)


def envelope_reports(envelope: Envelope, received: datetime) -> Reports:
    """Its errors; MalformedError where one of them cannot be read, and then none is to be stored.

    An event without an id has that of the envelope, and the next ones have others, which a repeat of the envelope has again.
    """
    given = _id(envelope.header.get("event_id"))
    reports = Reports(dropped=envelope.dropped)
    for item in envelope.items:
        _count(reports, item.payload)
        if item.kind == SECURITY:
            _add_security(reports, item.payload, given, received)
            continue
        payload = parse_object(item.payload, "an event")
        payload["event_id"] = _id(payload.get("event_id")) or _numbered(given, len(reports.events))
        _add(reports, payload, received)
    reports.event_id = reports.event_id or given
    return reports


def store_reports(body: bytes, received: datetime) -> Reports:
    """The error of a request to the store endpoint; MalformedError."""
    reports = Reports()
    _count(reports, body)
    payload = parse_object(body, "the event")
    payload["event_id"] = _id(payload.get("event_id"))
    _add(reports, payload, received)
    return reports


def security_reports(body: bytes, received: datetime) -> Reports:
    """What a browser by itself reports of a site's policies; MalformedError."""
    reports = Reports()
    _count(reports, body)
    _add_security(reports, body, "", received)
    return reports


def _id(given: Json) -> str:
    """Of an event or an envelope; empty where it has none."""
    found = sentry_events.event_id(given)
    return found if found != _NIL else ""


def _numbered(given: str, number: int) -> str:
    """That of the envelope for the first event, and one that follows from it for each that follows."""
    if not given or not number:
        return given
    return blake2b(f"{given}/{number}".encode(), digest_size=16).hexdigest()


def _count(reports: Reports, text: bytes) -> None:
    """Before a text is read; MalformedError where it is too much."""
    reports.bytes += len(text)
    reports.values += values_in(text)
    if reports.values > MOST_VALUES:
        raise MalformedError(f"the events of a request have more than {MOST_VALUES:,} values")


def _add(reports: Reports, payload: dict[str, Json], received: datetime) -> None:
    if payload.get("type") == "transaction":
        reports.dropped["transaction"] += 1
        return
    event = sentry_events.event(payload, received, reports.budget)
    reports.event_id = reports.event_id or event.event_id
    reports.events.append(event)


def _add_security(reports: Reports, text: bytes, given: str, received: datetime) -> None:
    for payload in security_payloads(parse(text, "the report of a browser")):
        if payload is None:
            reports.dropped["security"] += 1
        else:
            _add(reports, {**payload, "event_id": _numbered(given, len(reports.events))}, received)
