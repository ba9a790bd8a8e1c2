"""Exceptions as they are shown: the last one first, with its frames, those of libraries folded together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from souk_monitor.events import Event, ExceptionInfo, Frame
from souk_monitor.in_app import InAppRules, in_app
from souk_monitor.platforms import family_of

MAX_EXCEPTIONS, MAX_FRAMES, MAX_VARIABLES, MAX_VALUE = 30, 200, 50, 500
_BESIDE_VARIABLES = ("vars", "lock")
"""Of what frames have beside their fields: variables that are a list, and what a call waits for."""
_DEPTH = 3
"""Objects within objects that are told of a mechanism by names with dots: meta.signal.number."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of source."""

    number: int
    """0: not known."""
    text: str
    failing: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A frame."""

    name: str
    where: str
    module: str
    in_app: bool
    open: bool
    lines: Sequence[Line] = ()
    variables: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Run:
    """Frames that follow one another and are all of libraries, or all of the application."""

    in_app: bool
    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shown:
    """An exception."""

    type: str
    value: str
    module: str
    relation: str
    """How it belongs to the one before it; empty for the first."""
    depth: int
    handled: bool | None
    facts: Sequence[tuple[str, str]]
    """Names and values of what else is said of it: the mechanism that reported it, the thread."""
    runs: Sequence[Run] = ()
    left_out: int = 0
    """Frames beyond those that are shown."""


def shown(event: Event, rules: InAppRules) -> list[Shown]:
    """The exceptions of an event, or the stack that its message was logged at."""
    family = family_of(event)
    if not event.exceptions:
        if not event.stack:
            return []
        return [_shown(ExceptionInfo(frames=event.stack), family, rules, ("", 0))]
    related = _relations(event.exceptions)
    return [_shown(one, family, rules, related[place]) for place, one in _last_first(event.exceptions)]


def _last_first(exceptions: Sequence[ExceptionInfo]) -> Iterator[tuple[int, ExceptionInfo]]:
    numbered = list(enumerate(exceptions))
    yield from reversed(numbered[-MAX_EXCEPTIONS:])


def _relations(exceptions: Sequence[ExceptionInfo]) -> list[tuple[str, int]]:
    """(relation, depth) of each."""
    places = {one.exception_id: place for place, one in enumerate(exceptions) if one.exception_id is not None}
    depths = [0] * len(exceptions)
    related: list[tuple[str, int]] = [("", 0)] * len(exceptions)
    for place in range(len(exceptions) - 1, -1, -1):
        one = exceptions[place]
        if place == len(exceptions) - 1:
            continue
        parent = places.get(one.parent_id) if one.parent_id is not None else None
        if parent is not None and parent > place and exceptions[parent].is_group and one.source not in _CAUSES:
            depths[place] = depths[parent] + 1
            related[place] = (f"in the group {exceptions[parent].type}", depths[place])
        else:
            depths[place] = depths[parent] if parent is not None and parent > place else depths[place + 1]
            related[place] = (_CAUSES.get(one.source, "caused by"), depths[place])
    return related


_CAUSES: Mapping[str, str] = {"__cause__": "caused by", "__context__": "while handling", "cause": "caused by"}


def _shown(one: ExceptionInfo, family: str, rules: InAppRules, related: tuple[str, int]) -> Shown:
    frames = one.frames[-MAX_FRAMES:]
    calls = _calls(frames, family, rules)
    runs: list[Run] = []
    for call in calls:
        if not runs or runs[-1].in_app != call.in_app or call.open != runs[-1].calls[-1].open:
            runs.append(Run(call.in_app))
        runs[-1].calls.append(call)
    return Shown(
        one.type,
        one.value,
        one.module,
        *related,
        one.handled,
        _facts(one),
        runs,
        len(one.frames) - len(frames),
    )


def _calls(frames: Sequence[Frame], family: str, rules: InAppRules) -> list[Call]:
    """The call that was made last is the first; it is open whoever it is of."""
    frames = frames[::-1]
    said = in_app(frames, family, rules)
    opened = said if any(said) else [place == 0 for place in range(len(said))]
    return [_call(frame, ours, is_open=is_open) for frame, ours, is_open in zip(frames, said, opened, strict=True)]


def _facts(one: ExceptionInfo) -> list[tuple[str, str]]:
    mechanism: dict[str, Any] = {"type": one.mechanism} if one.mechanism else {}
    told = one.extra.get("mechanism")
    if isinstance(told, Mapping):
        mechanism.update(told)
    return variables(flat({"mechanism": mechanism} | {name: one.extra[name] for name in one.extra if name != "mechanism"}, _DEPTH))


def _call(frame: Frame, in_app: bool, *, is_open: bool) -> Call:
    """Of native code without symbols and files, the address says where it is."""
    path = frame.file or frame.abs_path or frame.package
    where = f"{path}:{frame.line}" if path and frame.line else path
    if where and frame.line and frame.column:
        where = f"{where}:{frame.column}"
    symbol, address = (said(frame.extra.get(name) or "") for name in ("symbol", "instruction_addr"))
    name = frame.function or symbol or address or "?"
    if address not in ("", name) and not (frame.file or frame.abs_path):
        where = f"{where} {address}".lstrip()
    return Call(
        name=name,
        where=where,
        module=frame.module,
        in_app=in_app,
        open=is_open,
        lines=_lines(frame),
        variables=variables({**_beside(frame), **frame.local_variables}),
    )


def _beside(frame: Frame) -> Mapping[str, Any]:
    return {name: frame.extra[name] for name in _BESIDE_VARIABLES if name in frame.extra}


def _lines(frame: Frame) -> list[Line]:
    if not frame.context_line and not frame.pre_context:
        return []
    first = frame.line - len(frame.pre_context) if frame.line else 0
    texts = (*frame.pre_context, frame.context_line, *frame.post_context)
    return [
        Line(first + place if first > 0 else 0, text, failing=place == len(frame.pre_context)) for place, text in enumerate(texts)
    ]


def variables(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values, as texts of bounded length."""
    return [(str(name)[:MAX_VALUE], said(value)) for name, value in list(values.items())[:MAX_VARIABLES]]


def flat(value: Any, depth: int = 1) -> Mapping[str, Any]:
    """Objects within an object, so many deep, as names with dots."""
    if not isinstance(value, Mapping):
        return {"": value}
    told: dict[str, Any] = {}
    for name, inner in value.items():
        if depth and isinstance(inner, Mapping) and len(inner) <= MAX_VARIABLES:
            told.update({f"{name}.{within}": each for within, each in flat(inner, depth - 1).items()})
        else:
            told[str(name)] = inner
    return told


def said(value: Any) -> str:
    """A value of JSON as it is read best."""
    match value:
        case str():
            text = value
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case _:
            text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
