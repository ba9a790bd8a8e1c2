"""What the process itself uses: event-loop lag, CPU, memory, open files."""

import asyncio
import os
import resource
from pathlib import Path

from souk_common.telemetry import names
from souk_common.telemetry.metrics import Buckets, Metrics

_INTERVAL = 0.02
_BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
_PAGE = os.sysconf("SC_PAGE_SIZE")


class LoopLag:
    """How late the event loop wakes a timer, 50 times a second."""

    def __init__(self) -> None:
        self.buckets = Buckets(_BOUNDS)

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _INTERVAL
            await asyncio.sleep(_INTERVAL)
            self.buckets.record(max(0.0, loop.time() - due))


def resident_bytes(pid: int | str = "self") -> int:
    """Memory that a process holds now, in bytes; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def peak_resident_bytes() -> int:
    """The most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cpu_seconds() -> float:
    """CPU time of this process, in seconds."""
    times = os.times()
    return times.user + times.system


def register(metrics: Metrics, lag: LoopLag) -> None:
    """Export all of it."""
    quantiles = ((0.5, "0.5"), (0.99, "0.99"), (1.0, "1"))
    metrics.gauges(
        names.LOOP_LAG,
        "s",
        "How late the event loop wakes a timer, since the start.",
        lambda: [(lag.buckets.quantile(share), {names.QUANTILE: name}) for share, name in quantiles],
    )
    metrics.counters(names.PROCESS_CPU, "s", "CPU time.", lambda: [(cpu_seconds(), {})])
    metrics.gauge(names.PROCESS_MEMORY, "By", "Resident memory.", resident_bytes)
    metrics.gauge(names.PROCESS_FILES, "{file}", "Open files.", lambda: len(os.listdir("/proc/self/fd")))  # noqa: PTH208
