"""Exceptions, stacks and threads of an event of Sentry's SDKs."""

from collections.abc import Iterable, Mapping
from typing import Any

from souk_monitor.decoding.budget import MOST_SOURCE, Budget
from souk_monitor.decoding.lenient import list_of, object_of, rest_of, text_of
from souk_monitor.events import ExceptionInfo, Frame, Json

_MECHANISM = ("type", "handled", "exception_id", "parent_id", "is_exception_group")
_MAX_NUMBER = 2**31


def exceptions(given: Json, budget: Budget) -> tuple[ExceptionInfo, ...]:
    """Of {values: […]}, of a list, or of one exception; causes first, as they come."""
    parts = budget.exceptions([each for each in _values(given) if isinstance(each, dict) and each])
    last_first = [_exception(parts[i], f"exceptions[{i}].frames", budget, len(parts)) for i in reversed(range(len(parts)))]
    return tuple(reversed(last_first))


def current_stack(
    given: Json, threads: Json, raised: Iterable[ExceptionInfo], budget: Budget
) -> tuple[tuple[Frame, ...], list[Json]]:
    """The stack of a message: the event's own, or that of the thread that crashed or reported; and the threads without its frames.

    An event whose exceptions have their stacks needs none.
    """
    every = [thread for thread in _values(threads) if isinstance(thread, dict)]
    own = frames(given, "stack", budget)
    if own or any(exception.frames for exception in raised):
        return own, list(every)
    chosen = next((thread for thread in every if thread.get("crashed")), None)
    chosen = chosen or next((thread for thread in every if thread.get("current")), None)
    chosen = chosen or (every[0] if len(every) == 1 else None)
    if chosen is None:
        return (), list(every)
    others = [thread for thread in every if thread is not chosen]
    stacktrace = chosen.get("stacktrace")
    shown = {name: value for name, value in chosen.items() if name != "stacktrace"} | _beside_frames(object_of(stacktrace))
    return frames(stacktrace, "stack", budget), [*([shown] if shown else []), *others]


def frames(stacktrace: Json, path: str, budget: Budget, stacks: int = 1) -> tuple[Frame, ...]:
    """The frames of {frames: […]}, or of a list of them, one of so many stacks."""
    given = stacktrace.get("frames") if isinstance(stacktrace, dict) else stacktrace
    parts = [each for each in list_of(given) if isinstance(each, dict) and each]
    return tuple(map(_frame, budget.frames(parts, path, stacks)))


def _values(given: Json) -> list[Any]:
    if isinstance(given, dict):
        return list_of(given["values"]) if "values" in given else [given]
    return list_of(given)


def _exception(given: Mapping[str, Json], path: str, budget: Budget, stacks: int) -> ExceptionInfo:
    rest = dict(given)
    pop = rest.pop
    mechanism = pop("mechanism", None)
    known = object_of(mechanism)
    stacktrace = pop("stacktrace", None)
    found = frames(stacktrace, path, budget, stacks)
    if not found:
        found = frames(rest.get("raw_stacktrace"), path, budget, stacks)
    return ExceptionInfo(
        type=text_of(pop("type", None)),
        value=text_of(pop("value", None)),
        module=text_of(pop("module", None)),
        frames=found,
        handled=_boolean(known.get("handled")),
        mechanism=text_of(known.get("type")) or (mechanism if isinstance(mechanism, str) else ""),
        exception_id=_number(known.get("exception_id")),
        parent_id=_number(known.get("parent_id")),
        is_group=known.get("is_exception_group") is True,
        extra=_more(rest, known, object_of(stacktrace)),
        source=text_of(known.get("source")),
    )


def _more(rest: Mapping[str, Json], mechanism: Mapping[str, Json], stacktrace: Mapping[str, Json]) -> dict[str, Json]:
    more = rest_of(rest)
    told = {name: value for name, value in mechanism.items() if name not in _MECHANISM and value is not None}
    if told:
        more["mechanism"] = told
    return more | _beside_frames(stacktrace)


def _beside_frames(stacktrace: Mapping[str, Json]) -> dict[str, Json]:
    """What a stack has beside its frames, as registers, under its name."""
    shown = {name: value for name, value in stacktrace.items() if name != "frames" and value is not None}
    return {"stacktrace": shown} if shown else {}


def _frame(given: Mapping[str, Json]) -> Frame:
    rest = dict(given)
    pop = rest.pop
    variables = pop("vars", None)
    if variables.__class__ is not dict:
        rest["vars"], variables = variables, {}
    file, path, in_app = text_of(pop("filename", None)), text_of(pop("abs_path", None)), _boolean(pop("in_app", None))
    if file[:1] == "<" and file[-1:] == ">" and path.endswith((f"/{file}", f"\\{file}")):
        path, in_app = file, None if in_app else in_app  # no file: the SDK makes it one of its working directory
    return Frame(
        text_of(pop("function", None)),
        text_of(pop("module", None)),
        file,
        path,
        _number(pop("lineno", None)) or 0,
        _number(pop("colno", None)) or 0,
        in_app,
        text_of(pop("package", None)),
        text_of(pop("context_line", None)),
        _lines(pop("pre_context", None), slice(-MOST_SOURCE, None)),
        _lines(pop("post_context", None), slice(MOST_SOURCE)),
        variables,
        rest_of(rest) if rest else {},
    )


def _lines(given: Json, nearest: slice) -> tuple[str, ...]:
    return tuple(map(text_of, given[nearest])) if given.__class__ is list else ()


def _boolean(given: Json) -> bool | None:
    return given if given.__class__ is bool else None


def _number(given: Json) -> int | None:
    """A number from 0; some SDKs write it as a text."""
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10:
        given = int(given)
    return given if given.__class__ is int and 0 <= given < _MAX_NUMBER else None
