"""Cutting an event to lengths, and mending its text."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

import orjson

from souk_monitor import crash
from souk_monitor.events import Event, ExceptionInfo, Frame, Json, User

T = TypeVar("T")
MAX_INT = 2**63
"""Whole numbers are below it; others become texts."""
_PER_VALUE = 64
"""Characters of a text that count as one value more."""


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
    values: int = 10_000
    """Values of all objects and lists of an event's contexts, extra and local variables together; each 64 characters of a text, and
    of a line of source, are one more."""
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


def both_ends(parts: Sequence[T], limit: int) -> Sequence[T]:
    """At most `limit` of them: those at the end, where an error was raised, and those at the beginning."""
    return parts if len(parts) <= limit else (*parts[: limit // 2], *parts[len(parts) - (limit - limit // 2) :])


def longest(texts: Iterable[str]) -> int:
    """Characters of the longest; 0 of none."""
    return max(map(len, texts), default=0)


class Cutting:
    """Cuts events to lengths and names what was cut."""

    def __init__(self, lengths: Lengths, note: Callable[[str], None]) -> None:
        self._lengths = lengths
        self._note = note
        self._left = lengths.values

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
        """All of it, mended too. What is beyond the values that an event may have is not looked at.

        They go to what exceptions and stacks say of themselves first, then to the user and contexts, to local variables and
        source, to extra, and to images and threads last; of exceptions and calls to the last ones first.
        """
        lengths = self._lengths
        self._left = lengths.values
        for field in _HEAD:
            setattr(event, field, mend(getattr(event, field)))
        event.tags = {mend(name): mend(value) for name, value in event.tags.items()}
        event.fingerprint = tuple(self._text(part, lengths.tag_value, "fingerprint") for part in event.fingerprint)
        self._names_and_tags(event)
        event.message = self._text(event.message, lengths.message, "message")
        event.template = self._text(event.template, lengths.message, "template")
        exceptions = self._both_ends(event.exceptions, lengths.exceptions, "exceptions")
        last_first = [self._exception(exceptions[i], f"exceptions[{i}]") for i in reversed(range(len(exceptions)))]
        event.exceptions = tuple(reversed(last_first))
        event.stack = self._frames(event.stack, "stack")
        if event.user is not None:
            self._user(event.user)
        event.contexts = self._object(event.contexts, "contexts")
        for number in reversed(range(len(exceptions))):
            self._variables(event.exceptions[number].frames, f"exceptions[{number}].frames")
        self._variables(event.stack, "stack")
        event.extra = self._extra(event)

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
        extra = self._object(exception.extra, path)
        return replace(exception, **texts, frames=self._frames(exception.frames, f"{path}.frames"), extra=extra)

    def _frames(self, frames: tuple[Frame, ...], path: str) -> tuple[Frame, ...]:
        return tuple(self._frame(frame, path) for frame in reversed(self._both_ends(frames, self._lengths.frames, path)))[::-1]

    def _frame(self, frame: Frame, path: str) -> Frame:
        texts = self._names(frame, path)
        texts["context_line"] = self._line(frame.context_line, path)
        return replace(frame, **texts, extra=self._object(frame.extra, path))

    def _variables(self, frames: Sequence[Frame], path: str) -> None:
        """Of frames that are cut otherwise, their variables, and the lines around their own."""
        for frame in reversed(frames):
            before: Sequence[str] = frame.pre_context[max(0, len(frame.pre_context) - self._lengths.lines) :]
            after: Sequence[str] = frame.post_context[: self._lengths.lines]
            if (before or after) and self._left <= 0:
                self._note(f"{path}.context_line")
                before = after = ()
            frame.pre_context = tuple(self._line(line, path) for line in before)
            frame.post_context = tuple(self._line(line, path) for line in after)
            frame.local_variables = self._object(frame.local_variables, f"{path}.local_variables")

    def _line(self, text: str, path: str) -> str:
        self._left -= len(text) // _PER_VALUE
        return self._text(text, self._lengths.line, f"{path}.context_line")

    def _names(self, part: ExceptionInfo | Frame, path: str) -> dict[str, Any]:
        limit = self._lengths.name
        return {name: self._text(getattr(part, name), limit, f"{path}.{name}") for name in NAMES[type(part)]}

    def _extra(self, event: Event) -> dict[str, Json]:
        """The images that were loaded, and the stacks of threads, are cut after all else."""
        extra = event.extra
        if crash.IMAGES not in extra and crash.THREADS not in extra:
            return self._object(extra, "extra")
        cut = self._object({name: extra[name] for name in extra if name not in (crash.IMAGES, crash.THREADS)}, "extra")
        if crash.IMAGES in extra:
            cut[crash.IMAGES] = self._images(event, f"extra.{crash.IMAGES}")
        if crash.THREADS in extra:
            cut[crash.THREADS] = self._threads(extra[crash.THREADS], f"extra.{crash.THREADS}")
        return cut

    def _images(self, event: Event, path: str) -> Json:
        """Where there are too many, those that the crash is in, and as many of the others as there is room for."""
        known, images = event.extra[crash.IMAGES], crash.images_in(event)
        if len(images) > self._lengths.members or crash.values_in(images) > self._left:
            self._note(f"{path}.images")
            known = {**known, "images": crash.some_of(images, event, self._lengths.members, self._left)}
        return self._nested(known, path, 1)

    def _threads(self, threads: Json, path: str) -> Json:
        """What they are, and then their stacks, that of the crash before the others: whole ones, while there are values."""
        if not isinstance(threads, list):
            return self._nested(threads, path, 1)
        taken = threads[: self._takes(len(threads), path)]
        cut = [self._nested(crash.without_stack(thread), path, 2) for thread in taken]
        have_crashed = list(map(crash.has_crashed, taken))
        for place in sorted(range(len(taken)), key=have_crashed.__getitem__, reverse=True):
            if not crash.has_stack(taken[place]):
                continue
            stack = self._nested(taken[place][crash.STACK], path, 3) if self._left > 0 else None
            if stack is not None and (self._left > 0 or have_crashed[place]):
                cut[place][crash.STACK] = stack
            else:
                self._note(f"{path}.{crash.STACK}")
        return cut

    def _object(self, value: Mapping[str, Json], path: str, depth: int = 0) -> dict[str, Json]:
        cut: dict[str, Json] = {}
        taken = self._takes(len(value), path)
        for name, each in value.items() if taken == len(value) else islice(value.items(), taken):
            key = self._text(str(name), self._lengths.name, path)
            cut[key] = self._nested(each, f"{path}.{key[:100]}" if depth < 2 else path, depth + 1)
        return cut

    def _takes(self, wanted: int, path: str) -> int:
        """How many members of an object or a list are looked at."""
        taken = wanted
        if wanted > self._lengths.members or wanted > self._left:
            taken = min(wanted, self._lengths.members, max(0, self._left))
        if taken < wanted:
            self._note(path)
        self._left -= taken
        return taken

    def _nested(self, value: Json, path: str, depth: int) -> Json:
        kind = value.__class__
        if kind is str:
            return self._inner_text(value, path)
        if value is None or kind is bool:
            return value
        if isinstance(value, int):
            return value if -MAX_INT <= value < MAX_INT else str(value)[:400]
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, (dict, list, tuple)):  # a tuple of classes, as a union is made anew each time
            if depth >= self._lengths.depth:
                self._note(path)
                return self._text(_as_text(value), self._lengths.tag_value, path)
            if isinstance(value, dict):
                return self._object(value, path, depth) if value else {}
            return [self._nested(each, path, depth + 1) for each in value[: self._takes(len(value), path)]] if value else []
        return self._inner_text(str(value), path)

    def _inner_text(self, text: str, path: str) -> str:
        self._left -= min(len(text), self._lengths.text) // _PER_VALUE
        return self._text(text, self._lengths.text, path)

    def _both_ends(self, parts: Sequence[T], limit: int, path: str) -> Sequence[T]:
        if len(parts) > limit:
            self._note(path)
        return both_ends(parts, limit)

    def _text(self, text: str, limit: int, path: str) -> str:
        if len(text) > limit:
            text = self._cut(text, limit, path)
        return text if text.isascii() and "\0" not in text else mend(text)

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
