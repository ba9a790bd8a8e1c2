"""Reports of the native rpcs to events, and events to the messages of the answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter
from typing import Any
from uuid import uuid4

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from souk.monitor.v1 import error_pb2 as pb

from souk_monitor.cutting import both_ends
from souk_monitor.decoding.budget import MOST_EXCEPTIONS, MOST_SOURCE, Budget, share_of
from souk_monitor.decoding.structs import struct, values
from souk_monitor.events import Event, ExceptionInfo, Frame, Level, Source, User
from souk_monitor.exceptions import MalformedError, Problem
from souk_monitor.stack_text import language_of, parse

_HEX = frozenset("0123456789abcdef")
_LEVELS = {
    pb.SEVERITY_UNSPECIFIED: Level.ERROR,
    pb.SEVERITY_DEBUG: Level.DEBUG,
    pb.SEVERITY_INFO: Level.INFO,
    pb.SEVERITY_WARNING: Level.WARNING,
    pb.SEVERITY_ERROR: Level.ERROR,
    pb.SEVERITY_FATAL: Level.FATAL,
}
SEVERITIES = {level: severity for severity, level in _LEVELS.items() if severity}
_MANY = 1000
"""Tags, and parts of a fingerprint, that are looked at: more than are kept."""
_MOST_PROBLEMS = 20
_FEW, _SMALL = 64, 10_000
"""Contexts, and their bytes, that are read before the stacks, for they leave half of an event's values to these. More come last."""
_TEXT = "stack_text"
"""In an exception's `extra`: the text of its stack, where no frames were made of it."""
_LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z, as in google.protobuf.Timestamp."""


class _NegativeError(Exception):
    """A frame has a line or a column below 0."""


def event(report: pb.ErrorReport, received: datetime, budget: Budget | None = None) -> Event:
    """The event that a report tells of, of any length; MalformedError that names the fields that are wrong.

    budget: of the request that the report is in, where it is not by itself.
    """
    if any(_bad_head(report)):
        raise _malformed(report)
    budget = budget or Budget()
    budget.begin()
    try:
        return _event(report, received, budget)
    except _NegativeError:
        raise _malformed(report) from None


def _malformed(report: pb.ErrorReport) -> MalformedError:
    return MalformedError("no report", islice(_problems(report), _MOST_PROBLEMS))


def _event(report: pb.ErrorReport, received: datetime, budget: Budget) -> Event:
    are_few = len(report.contexts.fields) <= _FEW and report.contexts.ByteSize() <= _SMALL  # of many the size is dear
    contexts = values(report.contexts, budget, "contexts") if are_few else {}
    exceptions = _exceptions(report, budget)
    stack = _frames(report.stack, budget, "stack")
    user = _user(report.user, budget) if report.HasField("user") else None
    return Event(
        event_id=report.event_id.lower() or uuid4().hex,
        time=_time(report, received),
        source=Source.NATIVE,
        level=_LEVELS[report.severity],
        platform=report.platform or _platform(exceptions),
        service=report.service,
        release=report.release,
        environment=report.environment,
        dist=report.dist,
        server_name=report.server_name,
        logger=report.logger,
        transaction=report.transaction,
        message=report.message,
        template=report.message_template,
        exceptions=tuple(exception for exception, _ in exceptions),
        stack=stack,
        fingerprint=tuple(report.fingerprint[:_MANY]),
        tags=dict(islice(report.tags.items(), _MANY)),
        user=user,
        trace_id=report.trace_id.lower(),
        span_id=report.span_id.lower(),
        error_id=report.error_id,
        contexts=contexts if are_few else values(report.contexts, budget, "contexts"),
        scrubbed_fields=tuple(budget.noted),
    )


def report(known: Event) -> pb.ErrorReport:
    """An event as a report; what has no field of its own there is in `extra` of the part that it belongs to, or of the event."""
    message = pb.ErrorReport(
        event_id=known.event_id,
        severity=SEVERITIES[known.level],
        platform=known.platform,
        service=known.service,
        release=known.release,
        environment=known.environment,
        dist=known.dist,
        server_name=known.server_name,
        logger=known.logger,
        transaction=known.transaction,
        message=known.message,
        message_template=known.template,
        exceptions=map(_exception_report, known.exceptions),
        stack=map(_stack_frame, known.stack),
        fingerprint=known.fingerprint,
        tags=known.tags,
        trace_id=known.trace_id,
        span_id=known.span_id,
        error_id=known.error_id,
    )
    message.time.FromDatetime(known.time)
    if known.user is not None:
        message.user.MergeFrom(_reported_user(known.user))
    if known.contexts:
        message.contexts.CopyFrom(struct(known.contexts))
    return message


def _problems(report: pb.ErrorReport) -> Iterator[Problem]:
    yield from _bad_head(report)
    numbers = _read(report)
    for number in numbers:
        yield from _bad_frames(f"exceptions[{number}].frames", report.exceptions[number].frames, len(numbers))
    yield from _bad_frames("stack", report.stack, 1)


def _bad_head(report: pb.ErrorReport) -> Iterator[Problem]:
    """All but the frames, which are many."""
    if not (report.message or report.exceptions or report.stack):
        yield Problem("message", "or exceptions must be there")
    yield from _not_hex("event_id", report.event_id, 32)
    yield from _not_hex("trace_id", report.trace_id, 32)
    yield from _not_hex("span_id", report.span_id, 16)
    if report.severity not in _LEVELS:
        yield Problem("severity", "must be one of Severity")
    if report.HasField("time"):
        yield from _bad_time(report.time)
    for number in _read(report):
        exception, path = report.exceptions[number], f"exceptions[{number}]"
        if not (exception.type or exception.value or exception.frames or exception.stack_text):
            yield Problem(path, "must have a type, a value or a stack")


def _read(report: pb.ErrorReport) -> Sequence[int]:
    """The numbers of the exceptions that are read."""
    return both_ends(range(len(report.exceptions)), MOST_EXCEPTIONS)


def _not_hex(path: str, text: str, digits: int) -> Iterator[Problem]:
    if text and (len(text) != digits or not _HEX.issuperset(text.lower())):
        yield Problem(path, f"must be {digits} hexadecimal digits, or empty")


def _bad_time(time: Timestamp) -> Iterator[Problem]:
    if not (0 <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < 1_000_000_000):
        yield Problem("time", "must be from 1970 to 9999, with nanos from 0 to 999,999,999")


def _bad_frames(path: str, frames: Sequence[pb.StackFrame], stacks: int) -> Iterator[Problem]:
    """Of those that are read."""
    for number in both_ends(range(len(frames)), share_of(stacks)):
        frame = frames[number]
        if frame.line < 0:
            yield Problem(f"{path}[{number}].line", "must be 0 or more")
        if frame.column < 0:
            yield Problem(f"{path}[{number}].column", "must be 0 or more")


def _time(report: pb.ErrorReport, received: datetime) -> datetime:
    if not report.HasField("time"):
        return received
    time = report.time
    return datetime.fromtimestamp(time.seconds, UTC).replace(microsecond=time.nanos // 1000)


def _platform(exceptions: Iterable[tuple[ExceptionInfo, str]]) -> str:
    return next((language for _, language in exceptions if language), "")


def _exceptions(report: pb.ErrorReport, budget: Budget) -> list[tuple[ExceptionInfo, str]]:
    """Those of the report, each with the language that its text is of; the text of the stack of an only one may have its causes in
    it."""
    given = budget.exceptions(report.exceptions)
    found: list[tuple[ExceptionInfo, str]] = []
    for number in reversed(range(len(given))):
        exception = _exception(given[number], budget, f"exceptions[{number}]", len(given))
        read, language = _with_stack(exception, given[number].stack_text, report.platform, budget, only=len(given) == 1)
        found += [(each, language) for each in (reversed(read) if len(given) == 1 else read[-1:])]
    return found[::-1]


def _with_stack(
    exception: ExceptionInfo, text: str, platform: str, budget: Budget, *, only: bool
) -> tuple[tuple[ExceptionInfo, ...], str]:
    """The exception with the frames of the text of its stack, after its causes, where it has no frames of its own; and the
    language. An only one has the number by which members and suppressed ones of the text name it."""
    if not budget.reads_stack(text):
        return (exception,), ""
    language = "" if platform else language_of(text)
    found = () if exception.frames else parse(text, platform or language)
    if not any(each.frames for each in found):  # it was no stack
        said = replace(exception, type=found[-1].type, value=found[-1].value, module=found[-1].module) if found else exception
        return (exception if exception.type or exception.value else said,), language
    last = found[-1]
    known = replace(
        exception,
        type=exception.type or last.type,
        value=exception.value or last.value,
        module=exception.module or last.module,
        frames=last.frames,
        extra=_without_text(exception.extra),
    )
    if only and last.exception_id is not None:
        known = replace(known, exception_id=last.exception_id, parent_id=None, is_group=last.is_group)
    return (*found[:-1], known), language


def _without_text(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name != _TEXT}


def _exception(message: pb.ExceptionReport, budget: Budget, path: str, stacks: int) -> ExceptionInfo:
    extra = _extra(message, budget, path)
    if message.stack_text:
        extra[_TEXT] = message.stack_text
    return ExceptionInfo(
        type=message.type,
        value=message.value,
        module=message.module,
        frames=_frames(message.frames, budget, f"{path}.frames", stacks),
        handled=message.handled if message.HasField("handled") else None,
        mechanism=message.mechanism,
        exception_id=message.exception_id if message.HasField("exception_id") else None,
        parent_id=message.parent_id if message.HasField("parent_id") else None,
        is_group=message.is_group,
        source=message.source,
        extra=extra,
    )


def _extra(message: pb.ExceptionReport | pb.ReportedUser, budget: Budget, path: str) -> dict[str, Any]:
    return values(message.extra, budget, f"{path}.extra") if message.HasField("extra") else {}


_FRAME: Callable[[pb.StackFrame], tuple[str, str, str, str, int, int, str, str, Sequence[str], Sequence[str]]] = attrgetter(
    "function", "module", "file", "abs_path", "line", "column", "package", "context_line", "pre_context", "post_context"
)
"""In the order of `Frame`'s fields: many fields of a message are read at once, for there are many frames."""


def _frames(given: Sequence[pb.StackFrame], budget: Budget, path: str, stacks: int = 1) -> tuple[Frame, ...]:
    return tuple(_frame(each, budget, path) for each in budget.frames(given, path, stacks)) if given else ()


def _frame(message: pb.StackFrame, budget: Budget, path: str) -> Frame:
    function, module, file, abs_path, line, column, package, source, before, after = _FRAME(message)
    if line < 0 or column < 0:
        raise _NegativeError
    return Frame(
        function,
        module,
        file,
        abs_path,
        line,
        column,
        message.in_app if message.HasField("in_app") else None,
        package,
        source,
        tuple(before[-MOST_SOURCE:]) if before else (),
        tuple(after[:MOST_SOURCE]) if after else (),
        values(message.local_variables, budget, f"{path}.local_variables") if message.HasField("local_variables") else {},
        values(message.extra, budget, f"{path}.extra") if message.HasField("extra") else {},
    )


def _user(message: pb.ReportedUser, budget: Budget) -> User:
    return User(message.id, message.email, message.username, message.ip_address, _extra(message, budget, "user"))


def _reported_user(known: User) -> pb.ReportedUser:
    return pb.ReportedUser(
        id=known.id,
        email=known.email,
        username=known.username,
        ip_address=known.ip_address,
        extra=_struct_or_none(known.extra),
    )


def _struct_or_none(known: Mapping[str, Any]) -> Struct | None:
    return struct(known) if known else None


def _exception_report(known: ExceptionInfo) -> pb.ExceptionReport:
    text, extra = known.extra.get(_TEXT), known.extra
    if isinstance(text, str):  # Sentry's SDKs may give anything under this name
        extra = _without_text(extra)
    return pb.ExceptionReport(
        type=known.type,
        value=known.value,
        module=known.module,
        frames=map(_stack_frame, known.frames),
        stack_text=text if isinstance(text, str) else "",
        handled=known.handled,
        mechanism=known.mechanism,
        exception_id=known.exception_id,
        parent_id=known.parent_id,
        is_group=known.is_group,
        source=known.source,
        extra=_struct_or_none(extra),
    )


def _stack_frame(known: Frame) -> pb.StackFrame:
    return pb.StackFrame(
        function=known.function,
        module=known.module,
        file=known.file,
        abs_path=known.abs_path,
        line=known.line,
        column=known.column,
        in_app=known.in_app,
        context_line=known.context_line,
        pre_context=known.pre_context,
        post_context=known.post_context,
        local_variables=_struct_or_none(known.local_variables),
        package=known.package,
        extra=_struct_or_none(known.extra),
    )
