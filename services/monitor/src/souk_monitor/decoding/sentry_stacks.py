"""Exceptions, stacks and threads of an event of Sentry's SDKs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from souk_monitor.decoding.budget import MOST_SOURCE, Budget
from souk_monitor.decoding.lenient import list_of, object_of, objects_in, rest_of, text_of, values_of
from souk_monitor.events import ExceptionInfo, Frame, Json

_MAX_NUMBER, _MAX_DIGITS = 2**31, 10
_TRUE = (True, "true", "True", "1")
_FALSE = (False, "false", "False", "0")


class Stacks(NamedTuple):
    """What was raised, and where."""

    exceptions: tuple[ExceptionInfo, ...]
    """Causes first, as they come."""
    stack: tuple[Frame, ...]
    """That of a message: the event's own, or that of the thread that crashed or reported. An event whose exceptions have their
    stacks needs none."""
    rest: Mapping[str, Json]
    """What is in neither, by the part that it was in: threads without these frames, and what is beside frames, as registers."""


def read(exception: Json, stacktrace: Json, threads: Json, budget: Budget) -> Stacks:
    """Of the parts of these names. The only exception that has no stack has the event's, or that of the thread in which it was."""
    raised, unread = _exceptions(exception, budget)
    is_lone = len(raised) == 1 and not raised[0].frames
    path = "exceptions[0].frames" if is_lone else "stack"
    found, beside = _frames(stacktrace, path, budget)
    is_raised = bool(found)
    values, unlike = values_of(threads)
    every, others = objects_in(values)
    shown: list[Json] = [*every, *others]
    if not found and not any(each.frames for each in raised):
        chosen, is_raised = _thread(every, raised)
        if chosen is not None:
            found, near = _frames(chosen.get("stacktrace"), path if is_raised else "stack", budget)
            told = rest_of({**chosen, "stacktrace": near})
            shown = [*([told] if told else []), *(each for each in shown if each is not chosen)]
    if isinstance(unlike, dict):
        unlike = {"values": shown, **unlike} if shown else unlike
    rest = rest_of({"exception": unread, "stacktrace": beside, "threads": unlike or shown or None})
    if is_lone and is_raised:
        return Stacks((replace(raised[0], frames=found),), (), rest)
    return Stacks(raised, found, rest)


def _thread(threads: Sequence[dict[str, Json]], raised: Sequence[ExceptionInfo]) -> tuple[dict[str, Json] | None, bool]:
    """The thread whose stack is the event's, and whether an exception was raised in it: that which an exception names or that
    crashed, else the one that reported or the only one."""
    name = next((str(given) for each in reversed(raised) if isinstance(given := each.extra.get("thread_id"), int | str)), "")
    alike = (each for each in threads if isinstance(given := each.get("id"), int | str) and str(given) == name)
    named = next((each for each in alike if each.get("stacktrace")), None)
    if name and named is not None:
        return named, True
    crashed = next((each for each in threads if each.get("crashed") in _TRUE), None)
    if crashed is not None:
        return crashed, True
    current = next((each for each in threads if each.get("current") in _TRUE), None)
    return current or (threads[0] if len(threads) == 1 else None), False


def _exceptions(given: Json, budget: Budget) -> tuple[tuple[ExceptionInfo, ...], Json]:
    """Of {values: […]}, of a list, or of one exception; and what of it is none."""
    values, unlike = values_of(given)
    objects, others = objects_in(values)
    parts = budget.exceptions(objects)
    last_first = [_exception(parts[i], f"exceptions[{i}].frames", budget, len(parts)) for i in reversed(range(len(parts)))]
    if others and isinstance(unlike, dict):
        unlike = {"values": others, **unlike}
    return tuple(reversed(last_first)), unlike or others or None


def _frames(stacktrace: Json, path: str, budget: Budget, stacks: int = 1) -> tuple[tuple[Frame, ...], Json]:
    """The frames of {frames: […]}, or of a list of them, one of so many stacks; and what is beside them, None where nothing is."""
    given = stacktrace.get("frames") if isinstance(stacktrace, dict) else stacktrace
    parts, others = objects_in(list_of(given))
    beside = others or (None if isinstance(given, list) else given or None)
    if isinstance(stacktrace, dict):
        beside = rest_of({**stacktrace, "frames": beside}) or None
    return tuple(map(_frame, budget.frames(parts, path, stacks))), beside


def _exception(given: Mapping[str, Json], path: str, budget: Budget, stacks: int) -> ExceptionInfo:
    rest = dict(given)
    pop = rest.pop
    mechanism = pop("mechanism", None)
    told = {"type": mechanism} if isinstance(mechanism, str) else dict(object_of(mechanism))
    found, beside = _frames(pop("stacktrace", None), path, budget, stacks)
    if not found:
        found, _ = _frames(rest.get("raw_stacktrace"), path, budget, stacks)
    made = ExceptionInfo(
        type=text_of(pop("type", None)),
        value=text_of(pop("value", None)),
        module=text_of(pop("module", None)),
        frames=found,
        handled=_boolean(told, "handled"),
        mechanism=text_of(told.pop("type", None)),
        exception_id=_number(told, "exception_id"),
        parent_id=_number(told, "parent_id"),
        is_group=_boolean(told, "is_exception_group") is True,
        source=text_of(told.get("source")),
    )
    unlike = None if isinstance(mechanism, dict | str) else mechanism
    made.extra = rest_of({**rest, "mechanism": rest_of(told) or unlike or None, "stacktrace": beside})
    return made


def _frame(given: Mapping[str, Json]) -> Frame:
    rest = dict(given)
    pop = rest.pop
    variables = pop("vars", None)
    if variables.__class__ is not dict:
        rest["vars"], variables = variables, {}
    file, path, in_app = text_of(pop("filename", None)), text_of(pop("abs_path", None)), _boolean(rest, "in_app")
    if file[:1] == "<" and file[-1:] == ">" and path.endswith((f"/{file}", f"\\{file}")):
        path, in_app = file, None if in_app else in_app  # no file: the SDK makes it one of its working directory
    return Frame(
        text_of(pop("function", None)),
        text_of(pop("module", None)),
        file,
        path,
        _number(rest, "lineno") or 0,
        _number(rest, "colno") or 0,
        in_app,
        text_of(pop("package", None)),
        text_of(pop("context_line", None)),
        _lines(rest, "pre_context", slice(-MOST_SOURCE, None)),
        _lines(rest, "post_context", slice(MOST_SOURCE)),
        variables,
        rest_of(rest) if rest else {},
    )


def _lines(rest: dict[str, Json], name: str, nearest: slice) -> tuple[str, ...]:
    """Of a list, which is taken out; what is none stays where it is."""
    if rest.get(name).__class__ is not list:
        return ()
    return tuple(map(text_of, rest.pop(name)[nearest]))


def _boolean(rest: dict[str, Json], name: str) -> bool | None:
    """What plainly is one, 1 and "true" too, is taken out; all else stays where it is."""
    given = rest.pop(name, None)
    if given is None or given.__class__ is bool:
        return given
    if given in _TRUE or given in _FALSE:
        return given in _TRUE
    rest[name] = given
    return None


def _number(rest: dict[str, Json], name: str) -> int | None:
    """What plainly is a whole number from 0 that a field can hold, 7.0 and "7" too, is taken out; all else stays where it is."""
    given = number = rest.pop(name, None)
    if isinstance(given, str):
        number = int(given) if given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS else None
    elif isinstance(given, float):
        number = int(given) if given.is_integer() else None
    if number.__class__ is int and 0 <= number < _MAX_NUMBER:
        return number
    if given is not None:
        rest[name] = given
    return None
