"""What services stand on, where the user has none: servers of our own, each a process that ends with us."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Protocol

STOP_TIMEOUT = 20.0


class EngineError(Exception):
    """It did not start, or ended by itself; the text says why, and where its log is."""


class Engine(Protocol):
    """One of them, while it runs."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def stop(self) -> None:
        """End it, and what need not stay."""


async def end(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask a process to end, and kill it where it does not."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
