"""Reports for monitor, made of Python's exceptions and log records."""

import logging
import platform
import socket
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf.struct_pb2 import Struct
from souk.client._errors import SoukError
from souk.client._monitor_frames import FrameOptions, of_place, of_traceback, shown
from souk.client._trace import current_span
from souk.monitor.v1 import error_pb2 as pb

MOST_EXCEPTIONS = 50
"""Of one report: of a longer chain its beginning and its end."""
MOST_LOOKED_AT = 1000
"""Of a chain or a tree of groups, to find its end."""

MAX_TEXT, MAX_TAG = 8192, 500
MAX_BYTES = 512 * 1024
"""Of a report: beyond it local variables go first, then source, then causes that are far from what the program saw."""
KEPT_EXCEPTIONS = 5
"""Of a report that is still too large."""
_OURS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SEVERITIES = (
    (logging.CRITICAL, pb.SEVERITY_FATAL),
    (logging.ERROR, pb.SEVERITY_ERROR),
    (logging.WARNING, pb.SEVERITY_WARNING),
    (logging.INFO, pb.SEVERITY_INFO),
)


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What every report of a program says."""

    service: str = ""
    """Its name. Empty: that of the project."""
    release: str = ""
    environment: str = ""
    server_name: str = field(default_factory=socket.gethostname)
    tags: Mapping[str, str] = field(default_factory=dict)
    in_app: tuple[str, ...] = ()
    """Modules of the application, as "shop", and, with - before them, those that are not. Others are told by their paths."""
    local_variables: bool = False
    """With the values of local variables, shortened. What looks like a secret is taken out by the service, before it is stored."""

    @property
    def frames(self) -> FrameOptions:
        """What frames have."""
        return FrameOptions(self.in_app, self.local_variables)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of one error beside the exception."""

    handled: bool | None = True
    """Whether the program caught it. None: not known."""
    mechanism: str = ""
    severity: pb.Severity.ValueType = pb.SEVERITY_UNSPECIFIED
    transaction: str = ""
    """What was being done: a route, an rpc, a job."""
    message: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    user: pb.ReportedUser | None = None
    contexts: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: tuple[str, ...] = ()
    """To group it by these instead; "{{ default }}" stands for what the service finds."""


PLAIN_OPTIONS, PLAIN = ReportOptions(), Circumstances()


def error_report(
    error: BaseException, options: ReportOptions = PLAIN_OPTIONS, circumstances: Circumstances = PLAIN
) -> pb.ErrorReport:
    """A report of an exception with its causes (`from`, or what was being handled), and the members of groups.

    Its trace is that of OpenTelemetry's current span; its time is now; its event_id is new.
    """
    report = _report(options, circumstances)
    report.exceptions.extend(_exceptions(error, options.frames, circumstances))
    if isinstance(error, SoukError):
        report.error_id = error.error_id[:MAX_TAG]
    return _fitted(report)


def record_report(
    record: logging.LogRecord, options: ReportOptions = PLAIN_OPTIONS, circumstances: Circumstances = PLAIN
) -> pb.ErrorReport:
    """A report of a log record: of the exception that it has, or of the message from where it was logged.

    What a record was given in `extra` is found in contexts.
    """
    error = record.exc_info[1] if record.exc_info else None
    report = error_report(error, options, circumstances) if error is not None else _report(options, circumstances)
    report.severity = next((severity for least, severity in _SEVERITIES if record.levelno >= least), pb.SEVERITY_DEBUG)
    report.time.FromNanoseconds(round(record.created * 1e9))
    report.logger = text(record.name)
    report.message = text(_message(record))
    if record.args and isinstance(record.msg, str):
        report.message_template = text(record.msg)
    if error is None:
        report.stack.append(of_place(record.pathname, record.lineno, record.funcName or "", "", options.frames))
    report.contexts["logging"] = _logging(record)
    return report


def text(value: object, most: int = MAX_TEXT) -> str:
    """A value as text that can be sent; never an exception, whatever its own str does."""
    try:
        made = value if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 — of a class of the application's
        made = f"<{type(value).__name__} that cannot be shown>"
    return made[:most].encode(errors="replace").decode()


def _fitted(report: pb.ErrorReport) -> pb.ErrorReport:
    frames = [frame for exception in report.exceptions for frame in exception.frames]
    if report.ByteSize() > MAX_BYTES:
        for frame in frames:
            frame.ClearField("local_variables")
    if report.ByteSize() > MAX_BYTES:
        for frame in frames:
            frame.ClearField("pre_context")
            frame.ClearField("post_context")
    if report.ByteSize() > MAX_BYTES:
        del report.exceptions[:-KEPT_EXCEPTIONS]
    return report


def _report(options: ReportOptions, circumstances: Circumstances) -> pb.ErrorReport:
    span = current_span()
    report = pb.ErrorReport(
        event_id=uuid.uuid4().hex,
        severity=circumstances.severity,
        platform="python",
        service=options.service,
        release=options.release,
        environment=options.environment,
        server_name=options.server_name,
        transaction=text(circumstances.transaction, MAX_TAG),
        message=text(circumstances.message),
        fingerprint=map(text, circumstances.fingerprint),
        user=circumstances.user,
        trace_id=f"{span.trace_id:032x}" if span else "",
        span_id=f"{span.span_id:016x}" if span else "",
    )
    report.time.FromNanoseconds(time.time_ns())
    for name, value in {**options.tags, **circumstances.tags}.items():
        report.tags[text(name, 100)] = text(value, MAX_TAG)
    report.contexts["runtime"] = _runtime()
    for name, value in circumstances.contexts.items():
        report.contexts[text(name, 100)] = _plain(value)
    return report


@cache
def _runtime() -> Struct:
    made = Struct()
    made.update({"name": platform.python_implementation(), "version": platform.python_version()})
    return made


def _exceptions(error: BaseException, options: FrameOptions, circumstances: Circumstances) -> list[pb.ExceptionReport]:
    """Causes first. They are numbered where there is a group among them; in a chain, each is the cause of the next."""
    told = _told(error)
    has_groups = any(isinstance(each, BaseExceptionGroup) for each, _, _ in told)
    if len(told) > MOST_EXCEPTIONS:  # of a chain its end, which is what failed, and what the program saw
        half = MOST_EXCEPTIONS // 2
        told = told[:MOST_EXCEPTIONS] if has_groups else [*told[:half], *told[-half:]]
    found = []
    for number, (each, parent, source) in enumerate(told):
        made = _exception(each, options)
        made.source = source
        if has_groups:
            made.exception_id = number
            if parent is not None:
                made.parent_id = parent
        found.append(made)
    if circumstances.handled is not None:
        found[0].handled = circumstances.handled
    found[0].mechanism = circumstances.mechanism
    return found[::-1]


def _told(error: BaseException) -> list[tuple[BaseException, int | None, str]]:
    """An exception with all that it came of, and members of groups, each with the number of the one that it belongs to and how."""
    found: list[tuple[BaseException, int | None, str]] = []
    seen: set[int] = set()
    waiting: deque[tuple[BaseException, int | None, str]] = deque([(error, None, "")])
    while waiting and len(found) < MOST_LOOKED_AT:
        each, parent, source = waiting.popleft()
        if id(each) in seen:  # of a ring, or a member of two groups
            continue
        seen.add(id(each))
        number = len(found)
        found.append((each, parent, source))
        if each.__cause__ is not None:
            waiting.append((each.__cause__, number, "__cause__"))
        elif each.__context__ is not None and not each.__suppress_context__:
            waiting.append((each.__context__, number, "__context__"))
        if isinstance(each, BaseExceptionGroup):
            waiting += [(member, number, f"exceptions[{index}]") for index, member in enumerate(each.exceptions)]
    return found


def _exception(error: BaseException, options: FrameOptions) -> pb.ExceptionReport:
    kind = type(error)
    notes = getattr(error, "__notes__", ())
    lines = [text(error), *(text(note) for note in notes if isinstance(note, str))]
    return pb.ExceptionReport(
        type=kind.__qualname__,
        module="" if kind.__module__ == "builtins" else kind.__module__,
        value="\n".join(lines)[:MAX_TEXT],
        frames=of_traceback(error.__traceback__, options),
        is_group=isinstance(error, BaseExceptionGroup),
    )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 — arguments that do not fit the message: logging itself prints these, and goes on
        return str(record.msg)


def _logging(record: logging.LogRecord) -> Struct:
    made = Struct()
    made.update({"thread": text(record.threadName), "process": text(record.processName)})
    for name, value in vars(record).items():
        if name not in _OURS and not name.startswith("_"):
            made[text(name, 100)] = _plain(value)
    return made


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | float():
            return value
        case str():
            return text(value)
        case int():
            return value if abs(value) < 2**53 else str(value)
        case Struct():
            return value
        case Mapping():
            return {text(key, 100): _plain(each) for key, each in list(value.items())[:100]}
        case list() | tuple():
            return [_plain(each) for each in value[:100]]
    return shown(value)
