"""Exceptions of an event as every SDK says them: what one of them adds, or says in another form, is undone before grouping."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from souk_monitor import stack_text, templates
from souk_monitor.events import Event, ExceptionInfo, Frame, Level
from souk_monitor.functions import is_bare_closure

_BROWSERS = "javascript"
_REMOTE = frozenset(("RemoteTraceback", "_RemoteTraceback"))
"""What Python makes the cause of an exception that came from a worker process: its message is the traceback there."""

_CALL = re.compile(r"(E[A-Z0-9]+: [^,\n]{1,100}, \w{1,20}) '", re.DOTALL)
"""A failed call of Node's to the system, before its paths."""

_GO_VALUE = re.compile(r"[\w./]+\((.*)\)|\(([\w./*]+)\) .*").fullmatch
"""As Go prints a panic with a value of a type of the program: `main.Code(12)`, and `(main.Order) {…}` or its address."""

_COUNT = re.compile(r" \(\d+ sub-exceptions?\)")


def exceptions_of(event: Event, family: str) -> Sequence[ExceptionInfo]:
    """Those that an event is grouped by, the outermost last."""
    exceptions = event.exceptions
    match family:
        case "python" if any(_is_remote(each) for each in exceptions):
            return [one for each in exceptions for one in (_of_worker(each) if _is_remote(each) else (each,))]
        case "javascript" if event.platform.lower() != _BROWSERS and any(is_synthetic(each) for each in exceptions):
            return [_thrown(each) if is_synthetic(each) else each for each in exceptions]
        case "go":
            raised = [ExceptionInfo(value=event.message, frames=event.stack)] if not exceptions and _is_panic(event) else exceptions
            return [replace(each, frames=_named(each.frames)) if any(map(_is_cut, each.frames)) else each for each in raised]
    return exceptions


def _is_remote(exception: ExceptionInfo) -> bool:
    return not exception.frames and exception.type.rpartition(".")[2] in _REMOTE


def _of_worker(exception: ExceptionInfo) -> Sequence[ExceptionInfo]:
    """The exceptions of a worker process, in the place of the one that has their traceback as its message."""
    found = stack_text.parse(exception.value.strip('"\n'), "python")
    if not any(each.frames for each in found):
        return (exception,)
    last = replace(found[-1], exception_id=exception.exception_id, parent_id=exception.parent_id, source=exception.source)
    return (*found[:-1], last)


def is_synthetic(exception: ExceptionInfo) -> bool:
    """Whether Sentry's SDK made it of something thrown that is no error: type and stack are those of the SDK then."""
    mechanism = exception.extra.get("mechanism")
    return isinstance(mechanism, Mapping) and mechanism.get("synthetic") is True


def _thrown(exception: ExceptionInfo) -> ExceptionInfo:
    """What was thrown, of which only the value is known."""
    return replace(exception, type="", module="", frames=())


def _is_panic(event: Event) -> bool:
    """Whether a message is what a program of Go panicked with, where that is no error: Sentry's SDK sends it as a message."""
    return event.level is Level.FATAL and bool(event.message and event.stack)


def without_paths(message: str) -> str:
    """What Node says of a failed call to the system without its paths, which Sentry's SDK leaves out."""
    found = _CALL.match(message) if message.startswith("E") else None
    return found[1] if found else message


def without_count(message: str) -> str:
    """What a group of Python says without the number of its members, which Sentry's SDK leaves out; notes are behind it."""
    return _COUNT.sub("", message, count=1) if " sub-exception" in message else message


def what_failed(message: str) -> str:
    """What failed in the end, without values, of the message of a plain error of Go: who passes one on writes what was being done
    before it. Of several errors that are joined the first."""
    failed = templates.of_message(message.partition("\n")[0]).rpartition(": ")[2]
    value = _GO_VALUE(failed)
    return (value[1] or value[2]) if value else failed


def _is_cut(frame: Frame) -> bool:
    return is_bare_closure(frame.function)


def _named(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Frames of Go with the whole names of closures, `place.func1`: Sentry's SDK cuts off the name of the function before, where it
    is the caller's."""
    named: list[Frame] = []
    for frame in frames:
        if named and _is_cut(frame) and named[-1].module == frame.module:
            frame = replace(frame, function=f"{named[-1].function}.{frame.function}")
        named.append(frame)
    return tuple(named)
