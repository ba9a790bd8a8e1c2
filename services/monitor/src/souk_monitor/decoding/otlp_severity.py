"""How grave OpenTelemetry's log records are, by their number, or by the word of the logger where they have none.

https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
"""

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from souk_monitor.events import Level

_GRAVEST = 24
"""SEVERITY_NUMBER_FATAL4."""
_LEVELS = (Level.DEBUG, Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR, Level.FATAL)
"""Each of four numbers, from 1."""
_WORDS = {
    Level.DEBUG: "trace trc verbose vrb debug dbg dbug fine finer finest config t v d",
    Level.INFO: "info inf information informational notice log i",
    Level.WARNING: "warn wrn warning w",
    Level.ERROR: "error err eror severe fail failure failed e",
    Level.FATAL: "fatal ftl critical crit emergency emerg panic dpanic alert wtf f",
}
"""What loggers call a level: those of syslog, java.util.logging, log4j, Python, .NET, Go, Ruby, Android, PostgreSQL."""
_NAMED = {word: level for level, words in _WORDS.items() for word in words.split()}


def level_of(record: LogRecord) -> Level | None:
    """The level; None: the record does not say."""
    number: int = record.severity_number
    if 1 <= number <= _GRAVEST:
        return _LEVELS[(number + 3) // 4 - 1]
    if number:  # none of the protocol's
        return Level.ERROR if number > 0 else None
    return _NAMED.get(record.severity_text.strip(" []<>:").lower().rstrip("234"))
