"""Reports from a program that must not wait for monitor: a bounded queue, and a thread that sends what is in it."""

import atexit
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import grpc
from souk.client._channel import open_blocking_channel
from souk.client._config import ClientConfig
from souk.client._monitor_report import PLAIN, Circumstances, ReportOptions, error_report
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc

log = logging.getLogger("souk.client")
_SERVICES = (pb.DESCRIPTOR.services_by_name["ErrorService"],)
_LATER = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    )
)
"""What is worth another attempt."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """What a reporter holds and how it sends. Times are in seconds."""

    reports: int = 1000
    """That wait, at the most; one more is dropped, and counted."""
    bytes: int = 16 * 1024 * 1024
    """Of those that wait, at the most."""
    batch: int = 100
    """That one call carries at the most."""
    batch_bytes: int = 1024 * 1024
    """Of one call, and one report more. Under the service's MAX_MESSAGE_BYTES."""
    delay: float = 0.2
    """That the first one waits for others, so that they go together."""
    backoff: float = 1.0
    """After an attempt that failed; doubles with each, up to max_backoff. Meanwhile reports wait."""
    max_backoff: float = 30.0
    flush_at_exit: float = 2.0
    """For the rest, when the program ends."""


@dataclass(slots=True)
class ReporterCounts:
    """What became of reports."""

    sent: int = 0
    """Stored by the service."""
    dropped: int = 0
    """Not taken: too many waited, or the program ended before they could be sent."""
    refused: int = 0
    """Not stored by the service, for good: they were wrong, or the project is unknown."""


class MonitorReporter:
    """Takes reports without waiting, and sends them from a thread of its own, in batches. Nothing of it raises into the program.

    One for a process; made and used from any thread or event loop. It sends what is left when the program ends, or at `close`.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        config: ClientConfig | None = None,
        project: str = "",
        options: ReportOptions | None = None,
        queue: QueueOptions | None = None,
    ) -> None:
        """As of MonitorClient. queue: what waits, and how it is sent."""
        config = config or ClientConfig(target="127.0.0.1:50054")
        config = replace(config, target=target) if target else config
        self._config = replace(config, attempts=1)  # it has its own
        self._project = project
        self.options = options or ReportOptions()
        """What all reports say."""
        self._queue = queue or QueueOptions()
        self._waiting: deque[tuple[pb.ErrorReport, int]] = deque()
        self._bytes = 0
        self._sending = 0
        self._changed = threading.Condition()
        self._hurry = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self.counts = ReporterCounts()
        """What became of reports so far."""
        self.problem = ""
        """Why the last attempt to send came to nothing, as a certificate that is of no known authority; empty where it did not. The
        logger `souk.client` has it when it begins and when it is over."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def report(self, error: BaseException, circumstances: Circumstances = PLAIN) -> str:
        """Take an exception to be reported; its event id, empty where it could not be taken."""
        if self.is_own_thread():
            return ""
        try:
            return self.take(error_report(error, self.options, circumstances))
        except Exception:  # noqa: BLE001 — what cannot be told of is no failure of the program
            self.counts.dropped += 1
            return ""

    def take(self, report: pb.ErrorReport) -> str:
        """Take a report; its event id, empty where too many wait."""
        size = report.ByteSize()
        with self._changed:
            full = len(self._waiting) >= self._queue.reports or self._bytes + size > self._queue.bytes
            if full or self._closed:
                self.counts.dropped += 1
                return ""
            self._waiting.append((report, size))
            self._bytes += size
            self._start()
            self._changed.notify_all()
        return report.event_id

    def capture(self, *, handled: bool = False, suppress: bool = False, **circumstances: Any) -> "Capture":
        """A context manager, for `with` and for `async with`, that reports the exception which leaves its body. See Capture."""
        return Capture(self, Circumstances(handled=handled, **{"mechanism": "capture", **circumstances}), suppress=suppress)

    def is_own_thread(self) -> bool:
        """Whether the caller is the thread that sends: what it logs is not to be reported."""
        return threading.current_thread() is self._thread

    def flush(self, timeout: float = 5.0) -> bool:
        """Send at once what waits; whether all was sent, or refused, within the timeout in seconds."""
        until = time.monotonic() + timeout
        with self._changed:
            self._hurry = bool(self._waiting or self._sending)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._sending, max(0.0, until - time.monotonic()))

    def close(self, timeout: float | None = None) -> None:
        """Send what waits, for at most `timeout` seconds (default: flush_at_exit), and end. What is left is dropped."""
        if self._closed:
            return
        self.flush(self._queue.flush_at_exit if timeout is None else timeout)
        with self._changed:
            self._closed = True
            self.counts.dropped += len(self._waiting)
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()
        atexit.unregister(self.close)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # it does not live on in a process that was forked
            self._thread = threading.Thread(target=self._run, name="souk-monitor-reporter", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _run(self) -> None:
        channel = self._open()
        if channel is None:
            return
        failures = 0
        with channel:
            stub: Any = error_pb2_grpc.ErrorServiceStub(channel)
            while batch := self._next():
                if self._send(stub, batch):
                    failures = 0
                    continue
                self._put_back(batch)
                self._pause(failures)
                failures += 1

    def _open(self) -> grpc.Channel | None:
        """A channel, as soon as the files of its certificates can be read; None where all is over before."""
        for failures in itertools.count():
            try:
                return open_blocking_channel(self._config, _SERVICES)
            except OSError as error:
                self._tell("the files of certificates cannot be read", str(error))
            self._pause(failures)
            if self._closed:
                break
        return None

    def _tell(self, problem: str, details: str = "") -> None:
        """Keep why nothing was sent, and log it where it is another problem than before, or is over."""
        if problem != self.problem.partition(": ")[0]:
            if problem:
                log.warning("errors are not reported to monitor at %s: %s: %s", self._config.target, problem, details)
            else:
                log.info("errors are reported to monitor at %s again", self._config.target)
        self.problem = f"{problem}: {details}" if details else problem

    def _next(self) -> list[tuple[pb.ErrorReport, int]]:
        """The next batch; empty when all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(lambda: self._is_due() or self._closed, self._queue.delay)
            batch: list[tuple[pb.ErrorReport, int]] = []
            size = 0
            while self._waiting and len(batch) < self._queue.batch and size < self._queue.batch_bytes:
                batch.append(self._waiting.popleft())
                size += batch[-1][1]
            self._bytes -= size
            self._sending = len(batch)
            return batch

    def _is_due(self) -> bool:
        return self._hurry or len(self._waiting) >= self._queue.batch or self._bytes >= self._queue.batch_bytes

    def _send(self, stub: Any, batch: list[tuple[pb.ErrorReport, int]]) -> bool:
        """Whether the batch is done with."""
        request = pb.ReportErrorsRequest(project=self._project, reports=[report for report, _ in batch])
        metadata: Mapping[str, str] = {"authorization": f"Bearer {self._config.token}"} if self._config.token else {}
        try:
            answer = stub.ReportErrors(request, timeout=self._config.timeout, metadata=tuple(metadata.items()))
            stored = sum(result.HasField("accepted") for result in answer.results)
        except grpc.RpcError as error:
            call: Any = error  # gRPC's are calls too, of which its types say nothing
            self._tell(call.code().name, call.details() or "")
            if call.code() in _LATER:
                return False
            stored = 0
        else:
            self._tell("")
        with self._changed:
            self.counts.sent += stored
            self.counts.refused += len(batch) - stored
            self._sending = 0
            self._hurry = self._hurry and bool(self._waiting)
            self._changed.notify_all()
        return True

    def _put_back(self, batch: list[tuple[pb.ErrorReport, int]]) -> None:
        """Keep what was not sent, before what came meanwhile."""
        with self._changed:
            self._sending = 0
            if self._closed:
                self.counts.dropped += len(batch)
                return
            self._waiting.extendleft(reversed(batch))
            self._bytes += sum(size for _, size in batch)

    def _pause(self, failures: int) -> None:
        """failures: that were one after the other before this one."""
        seconds = min(self._queue.backoff * 2 ** min(failures, 30), self._queue.max_backoff)
        with self._changed:
            self._hurry = False
            self._changed.wait_for(lambda: self._hurry or self._closed, seconds)


class Capture:
    """Reports the exception that leaves its body, and lets it go on; with `suppress`, it ends there.

    >>> with reporter.capture(tags={"job": "payout"}):
    ...     pay_sellers()

    What only ends a program, a task or a generator (KeyboardInterrupt, SystemExit, CancelledError, GeneratorExit) is not reported.
    """

    def __init__(self, reporter: MonitorReporter, circumstances: Circumstances, *, suppress: bool) -> None:
        self._reporter = reporter
        self._circumstances = circumstances
        self._suppress = suppress
        self.event_id = ""
        """Of the exception that was reported."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        self.event_id = self._reporter.report(error, self._circumstances)
        return self._suppress

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        return self.__exit__(kind, error, trace)
