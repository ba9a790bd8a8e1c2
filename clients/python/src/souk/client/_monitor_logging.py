"""A handler for Python's logging that reports to monitor."""

import logging

from souk.client._monitor_report import Circumstances, record_report
from souk.client._monitor_reporter import MonitorReporter

_OWN = ("grpc", "opentelemetry", "souk")
"""Loggers of what carries reports: what they say of a monitor that does not answer is not for monitor."""


class MonitorHandler(logging.Handler):
    """Reports records of the level ERROR and above, with the exceptions that they have. It never waits and never raises.

    >>> reporter = MonitorReporter("monitor.souk.svc:50054", options=ReportOptions(service="checkout", release="checkout@1.4.2"))
    >>> logging.getLogger().addHandler(MonitorHandler(reporter))
    """

    def __init__(self, reporter: MonitorReporter, level: int = logging.ERROR) -> None:
        super().__init__(level)
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        if self._reporter.is_own_thread() or record.name.partition(".")[0] in _OWN:
            return
        try:
            self._reporter.take(record_report(record, self._reporter.options, Circumstances(mechanism="logging")))
        except Exception:  # noqa: BLE001 — what cannot be told of is no failure of the program
            self._reporter.counts.dropped += 1

    def flush(self) -> None:
        """Nothing: logging calls this often. `MonitorReporter.flush` sends what waits."""
