"""Log lines: one JSON object each on standard output, written by a thread, so that a reader that stops reading holds nobody up."""

import logging
import queue
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, BinaryIO

import orjson
import structlog
from structlog.typing import Processor

from souk_common.call import CURRENT, Call
from souk_common.telemetry import names

MAX_WAITING_LINES = 10_000
_REPEAT_SECONDS = 300.0


class LineWriter:
    """Writes lines from its own thread. When too many wait, further ones are dropped and counted."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()
        self.dropped = 0

    def write(self, line: bytes) -> None:
        """Take one line, without its end."""
        if self._lines.qsize() >= MAX_WAITING_LINES:
            self.dropped += 1
        else:
            self._lines.put(line)

    def close(self, timeout: float = 1.0) -> None:
        """Write what waits, for at most `timeout` seconds."""
        self._lines.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line + b"\n")
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                self.dropped += 1
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += 1


class _Logger:
    """What structlog hands a finished line to."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: bytes) -> None:
        self._writer.write(line)

    debug = info = warning = error = critical = exception = log = msg


class _ToStructlog(logging.Handler):
    """The standard library's records (of libraries), as our lines; the same text at most once in five minutes."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and type(record.exc_info[1]).__name__ == "ExecuteBatchError":
            return  # gRPC's, of an answer whose caller has gone meanwhile
        key = (record.name, str(record.msg))
        now = time.monotonic()
        if now - self._last.get(key, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return
        if len(self._last) > 1000:
            self._last.clear()
        self._last[key] = now
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        more = {names.LOG_LOGGER: record.name}
        structlog.get_logger(record.name).log(record.levelno, text, exc_info=record.exc_info, **more)


def setup(service: str, level: str, stream: BinaryIO | None = None, report: Processor | None = None) -> LineWriter:
    """Send structlog and the standard library's logging to `stream` (default: standard output) as JSON lines.

    report: sees every line before its exception is made text.
    """
    writer = LineWriter(stream or sys.stdout.buffer)
    number = logging.getLevelNamesMapping()[level.upper()]

    def add_context(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event[names.LOG_SERVICE] = service
        call = CURRENT.get()
        if call is not None and names.LOG_TRACE_ID not in event:
            event.update(ids(call))
        return event

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key=names.LOG_TIME),
            add_context,
            *([report] if report else []),
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            lambda _, __, event: orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Logger(writer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(max(number, logging.WARNING))
    return writer


def ids(call: Call) -> dict[str, str]:
    """The trace's and the span's id, as every line of a call carries them."""
    return {names.LOG_TRACE_ID: f"{call.trace_id:032x}", names.LOG_SPAN_ID: f"{call.span_id:016x}"}


def call_line(call: Call, *, event: str, code: str, seconds: float, slow: bool, failed: bool, more: Mapping[str, str]) -> None:
    """The one canonical line of a call."""
    line: dict[str, Any] = {
        names.LOG_METHOD: call.method,
        names.LOG_CODE: code,
        names.LOG_DURATION_MS: round(seconds * 1000, 3),
        names.LOG_PRINCIPAL: call.principal.name,
        names.LOG_PEER: call.peer,
        **ids(call),
        **call.facts,
        **more,
    }
    if slow:
        line[names.LOG_SLOW] = True
        parts = {name: round(value * 1000, 3) for name, value in call.parts.items()}
        line[names.LOG_PARTS_MS] = parts
    log = structlog.get_logger()
    if failed:
        log.error(event, **line)
    elif slow:
        log.warning(event, **line)
    else:
        log.info(event, **line)
