"""Cutting an event to lengths, and mending its text."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, TypeVar

import orjson

from souk_monitor.events import Event, ExceptionInfo, Frame, Json, User

T = TypeVar("T")
MAX_INT = 2**63
"""Whole numbers are below it; others become texts."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the parts of an event may be, in characters or members."""

    message: int = 8192
    """Of the message, its template, and the value of an exception."""
    name: int = 512
    """Of a type, function, module, file, service, release and the like."""
    line: int = 1024
    """Of a line of source."""
    lines: int = 10
    """Lines of source before a frame's own, and as many after it."""
    frames: int = 250
    """Of one stack; the middle is left out."""
    exceptions: int = 50
    """Of one event; the middle is left out."""
    tags: int = 200
    tag_name: int = 100
    tag_value: int = 500
    fingerprint: int = 32
    """Parts of a fingerprint of the reporter's own."""
    text: int = 16_384
    """Of one text within contexts, extra or local variables."""
    depth: int = 16
    """Of what is nested within contexts, extra or local variables; what is deeper is its text."""
    members: int = 1000
    """Of one object or list within them."""
    noted: int = 1000
    """Paths of what was cut."""


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, with … for the rest. A word that began in the last eighth is left out whole: it might be
    half of a secret."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    boundary = max(kept.rfind(" "), kept.rfind("\n"))
    return (kept[:boundary] if boundary >= limit - limit // 8 else kept) + "…"


def mend(text: str) -> str:
    """The text as UTF-8 and PostgreSQL can hold it: U+FFFD for NUL and for halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def both_ends(parts: tuple[T, ...], limit: int) -> tuple[T, ...]:
    """At most `limit` of them: those at the end, where an error was raised, and those at the beginning."""
    return parts if len(parts) <= limit else parts[: limit // 2] + parts[len(parts) - (limit - limit // 2) :]


def longest(texts: Iterable[str]) -> int:
    """Characters of the longest; 0 of none."""
    return max(map(len, texts), default=0)


class Cutting:
    """Cuts events to lengths and names what was cut."""

    def __init__(self, lengths: Lengths, note: Callable[[str], None]) -> None:
        self._lengths = lengths
        self._note = note

    def head(self, event: Event) -> None:
        """What events are searched and counted by. Its text is taken to need no mending."""
        self._names_and_tags(event)
        user = event.user
        if user is not None and (user.extra or longest(_user_texts(user)) > self._lengths.name):
            self._user(user)

    def _names_and_tags(self, event: Event) -> None:
        lengths = self._lengths
        if longest(_head(event)) > lengths.name:
            for field in _HEAD:
                setattr(event, field, self._cut(getattr(event, field), lengths.name, field))
        tags = event.tags
        if tags and (len(tags) > lengths.tags or longest(tags) > lengths.tag_name or longest(tags.values()) > lengths.tag_value):
            self._cut_tags(event)
        if len(event.fingerprint) > lengths.fingerprint:
            self._note("fingerprint")
            event.fingerprint = event.fingerprint[: lengths.fingerprint]

    def whole(self, event: Event) -> None:
        """All of it, mended too."""
        lengths = self._lengths
        for field in _HEAD:
            setattr(event, field, mend(getattr(event, field)))
        event.tags = {mend(name): mend(value) for name, value in event.tags.items()}
        event.fingerprint = tuple(self._text(part, lengths.tag_value, "fingerprint") for part in event.fingerprint)
        self._names_and_tags(event)
        if event.user is not None:
            self._user(event.user)
        event.message = self._text(event.message, lengths.message, "message")
        event.template = self._text(event.template, lengths.message, "template")
        exceptions = self._both_ends(event.exceptions, lengths.exceptions, "exceptions")
        event.exceptions = tuple(self._exception(each, f"exceptions[{i}]") for i, each in enumerate(exceptions))
        event.stack = self._frames(event.stack, "stack")
        event.contexts = self._object(event.contexts, "contexts")
        event.extra = self._object(event.extra, "extra")

    def _user(self, user: User) -> None:
        for field in _TEXTS[User]:
            setattr(user, field, self._text(getattr(user, field), self._lengths.name, f"user.{field}"))
        if user.extra:
            user.extra = self._object(user.extra, "user")

    def _cut_tags(self, event: Event) -> None:
        lengths = self._lengths
        cut: dict[str, str] = {}
        for name, value in event.tags.items():
            if len(cut) == lengths.tags:
                self._note("tags")
                break
            cut[self._cut(name, lengths.tag_name, "tags")] = self._cut(value, lengths.tag_value, f"tags.{name[:100]}")
        event.tags = cut

    def _exception(self, exception: ExceptionInfo, path: str) -> ExceptionInfo:
        texts = self._names(exception, path)
        texts["value"] = self._text(exception.value, self._lengths.message, f"{path}.value")
        frames = self._frames(exception.frames, f"{path}.frames")
        return replace(exception, **texts, frames=frames, extra=self._object(exception.extra, path))

    def _frames(self, frames: tuple[Frame, ...], path: str) -> tuple[Frame, ...]:
        return tuple(self._frame(frame, path) for frame in self._both_ends(frames, self._lengths.frames, path))

    def _frame(self, frame: Frame, path: str) -> Frame:
        texts = self._names(frame, path)
        texts["context_line"] = self._line(frame.context_line, path)
        before, after = (
            frame.pre_context[max(0, len(frame.pre_context) - self._lengths.lines) :],
            frame.post_context[: self._lengths.lines],
        )
        return replace(
            frame,
            **texts,
            pre_context=tuple(self._line(line, path) for line in before),
            post_context=tuple(self._line(line, path) for line in after),
            local_variables=self._object(frame.local_variables, f"{path}.local_variables"),
            extra=self._object(frame.extra, path),
        )

    def _line(self, text: str, path: str) -> str:
        return self._text(text, self._lengths.line, f"{path}.context_line")

    def _names(self, part: ExceptionInfo | Frame, path: str) -> dict[str, Any]:
        limit = self._lengths.name
        return {name: self._text(getattr(part, name), limit, f"{path}.{name}") for name in NAMES[type(part)]}

    def _object(self, value: Mapping[str, Json], path: str, depth: int = 0) -> dict[str, Json]:
        members = self._lengths.members
        if len(value) > members:
            self._note(path)
        cut: dict[str, Json] = {}
        for name, each in zip(value, list(value.values())[:members], strict=False):
            key = self._text(str(name), self._lengths.name, path)
            cut[key] = self._nested(each, f"{path}.{key[:100]}" if depth < 2 else path, depth + 1)
        return cut

    def _nested(self, value: Json, path: str, depth: int) -> Json:
        match value:
            case str():
                return self._text(value, self._lengths.text, path)
            case None | bool():
                return value
            case int():
                return value if -MAX_INT <= value < MAX_INT else str(value)[:400]
            case float():
                return value if math.isfinite(value) else str(value)
            case dict() | list() | tuple() if depth >= self._lengths.depth:
                self._note(path)
                return self._text(_as_text(value), self._lengths.tag_value, path)
            case dict():
                return self._object(value, path, depth)
            case list() | tuple():
                return self._list(value, path, depth)
        return self._text(str(value), self._lengths.text, path)

    def _list(self, value: Iterable[Json], path: str, depth: int) -> list[Json]:
        parts = list(value)
        if len(parts) > self._lengths.members:
            self._note(path)
        return [self._nested(each, path, depth + 1) for each in parts[: self._lengths.members]]

    def _both_ends(self, parts: tuple[T, ...], limit: int, path: str) -> tuple[T, ...]:
        if len(parts) > limit:
            self._note(path)
        return both_ends(parts, limit)

    def _text(self, text: str, limit: int, path: str) -> str:
        return mend(self._cut(text, limit, path))

    def _cut(self, text: str, limit: int, path: str) -> str:
        if len(text) > limit:
            self._note(path)
        return shorten(text, limit)


def _as_text(value: Json) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError):
        return "…"


_HEAD = ("platform", "service", "release", "environment", "dist", "server_name", "logger", "transaction", "error_id")
_TEXTS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.type in (str, "str")) for kind in (Frame, ExceptionInfo, User)
}
NAMES: dict[type, tuple[str, ...]] = {
    kind: tuple(name for name in names if name not in ("value", "context_line")) for kind, names in _TEXTS.items()
}
"""Fields that have the length of names, of frames, exceptions and users."""
_head: Callable[[Event], tuple[str, ...]] = attrgetter(*_HEAD)
_user_texts: Callable[[User], tuple[str, ...]] = attrgetter(*_TEXTS[User])
