"""The `souk` command as a process, with or without a terminal."""

import asyncio
import contextlib
import itertools
import json
import os
import pty
import re
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forks
from processes import until

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def environment(**more: str) -> dict[str, str]:
    """Ours, without what a user might have set for souk or for colours."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("SOUK_") and key not in ("NO_COLOR", "PHOTOS")}
    return {**ours, "TERM": "xterm-256color", **more}


@dataclass(frozen=True)
class Result:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


async def souk(*arguments: str | Path, **more: str) -> Result:
    """Run a command to its end, without a terminal."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        streams = {"stdin": subprocess.DEVNULL, "stdout": out.fileno(), "stderr": err.fileno()}
        process = await _run(*arguments, environment=environment(**more), **streams)
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        out.seek(0)
        err.seek(0)
        return Result(status, out.read().decode(errors="replace"), err.read().decode())


async def _run(*arguments: str | Path, **how: Any) -> forks.Process:
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), map(str, arguments)))
    depth = 1 if words[:1] in (["up"], ["demo"]) else 3 if words[1:2] in (["operations"], ["projects"], ["keys"]) else 2
    return await forks.run("souk_cli", *map(str, arguments), kind=tuple(words[:depth]), **how)


@dataclass
class Terminal:
    """A command in a pseudo-terminal."""

    process: forks.Process
    side: int
    """Our side of it; -1 when it is closed."""
    has_width: bool
    """It is as wide as was said; a pipe, where the machine has no terminal to give, is not."""
    written: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        """What it wrote so far, without escape sequences."""
        return ESCAPES.sub("", self.written.decode(errors="replace"))

    async def says(self, text: str, timeout: float = 60.0) -> None:
        """Return as soon as it has said that; TimeoutError where it ends or the time does without it."""
        await until(lambda: text in self.text or self.process.returncode is not None, timeout)
        assert text in self.text, self.text

    def close(self) -> None:
        """Close the window: nothing can be written to it any more."""
        if self.side >= 0:
            asyncio.get_running_loop().remove_reader(self.side)
            os.close(self.side)
            self.side = -1

    async def ends(self, timeout: float = 60.0) -> int:
        """Its exit status."""
        async with asyncio.timeout(timeout):
            return await self.process.wait()


def open_screen() -> tuple[int, int, dict[str, str]]:
    """(our end, the command's end, what the command is told) of a pseudo-terminal; where the machine has none to give, of a pipe
    that rich is told to take for one."""
    try:
        return *pty.openpty(), {}
    except OSError:
        return *os.pipe(), {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"}


@contextlib.asynccontextmanager
async def terminal(*arguments: str | Path, columns: int = 120, **more: str) -> AsyncIterator[Terminal]:
    """Run a command in a terminal of its own; it is killed at the end if it still runs."""
    ours, theirs, told = open_screen()
    process = await _run(
        *arguments,
        stdin=theirs if not told else subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        environment=environment(COLUMNS=str(columns), LINES="50", **told, **more),
        own_session=True,
    )
    os.close(theirs)
    seen = Terminal(process, ours, has_width=not told)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the other side is gone
            data = b""
        if data:
            seen.written.extend(data)
        else:
            loop.remove_reader(ours)

    loop.add_reader(ours, read)
    try:
        yield seen
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()
        seen.close()
