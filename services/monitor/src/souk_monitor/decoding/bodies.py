"""An event as the bytes that the store keeps: JSON of rows without names, which compresses well and is quick both ways.

A row has the fields of its class in their order. Fields may be added to the end of a class, with a default: rows that were written
before have fewer. Any other change needs a new version.
"""

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson

from souk_monitor.events import Event, ExceptionInfo, Frame, Level, Source, User

VERSION = 1
_Row = list[Any]


def encode(event: Event) -> bytes:
    """The event as bytes; ValueError where a text cannot be UTF-8 or a number is beyond 64 bits (limits.fit mends both)."""
    row = list(_event_row(event))
    row[_EXCEPTIONS] = [_exception(each) for each in event.exceptions]
    row[_STACK] = [_frame_row(frame) for frame in event.stack]
    row[_USER] = None if event.user is None else _user_row(event.user)
    return orjson.dumps((VERSION, row))


def decode(body: bytes) -> Event:
    """The event that `encode` was given; ValueError where the bytes are of a version that is not known."""
    version, row = orjson.loads(body)
    if version != VERSION:
        raise ValueError(f"a body of version {version}; this program reads {VERSION}")
    row[_TIME] = datetime.fromisoformat(row[_TIME])
    row[_SOURCE] = Source(row[_SOURCE])
    row[_LEVEL] = Level(row[_LEVEL])
    row[_EXCEPTIONS] = tuple(map(_exception_of, row[_EXCEPTIONS]))
    row[_STACK] = tuple(map(_frame_of, row[_STACK]))
    row[_USER] = None if row[_USER] is None else User(*row[_USER])
    for place in _EVENT_TUPLES:  # slices, because an old row may end before the place
        row[place : place + 1] = map(tuple, row[place : place + 1])
    return Event(*row)


def _exception(exception: ExceptionInfo) -> _Row:
    row = list(_exception_row(exception))
    row[_FRAMES] = [_frame_row(frame) for frame in exception.frames]
    return row


def _exception_of(row: _Row) -> ExceptionInfo:
    row[_FRAMES] = tuple(map(_frame_of, row[_FRAMES]))
    return ExceptionInfo(*row)


def _frame_of(row: _Row) -> Frame:
    row[_PRE] = tuple(row[_PRE])
    row[_POST] = tuple(row[_POST])
    return Frame(*row)


def _names(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


def _reader(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*_names(kind))


_event_row, _exception_row, _frame_row, _user_row = map(_reader, (Event, ExceptionInfo, Frame, User))
_TIME, _SOURCE, _LEVEL, _EXCEPTIONS, _STACK, _USER = map(
    _names(Event).index, ("time", "source", "level", "exceptions", "stack", "user")
)
_EVENT_TUPLES = tuple(map(_names(Event).index, ("fingerprint", "scrubbed_fields")))
_FRAMES = _names(ExceptionInfo).index("frames")
_PRE, _POST = map(_names(Frame).index, ("pre_context", "post_context"))
