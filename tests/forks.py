"""Modules that are run as processes: the first time by Python itself, then by forks of a process that has their imports behind it,
which takes a fraction of the time."""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Protocol

import fork_server

NEEDED = {
    "souk_cli": (
        *(
            "asyncpg",
            "rich.live",
            "rich.progress",
            "rich.table",
            "rich.tree",
            "souk.client",
            "souk_cli.lazy_group",
            "souk_cli.tables",
        ),
        *(
            "pydantic.plugin._loader",
            "souk_dbopt.adapters.schema",
            "souk_dbopt.seeding",
            "souk_monitor.adapters.schema",
            "typer._adapters",
        ),
    ),
    "souk_imaging": ("souk_imaging.app",),
    "souk_cache": ("souk_cache.app",),
    "souk_dbopt": ("souk_dbopt.app",),
    "souk_monitor": ("souk_monitor.app",),
}
"""What each imports; of the command nothing that looks at its terminal."""


class Process(Protocol):
    """What tests do with a process of their own."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def send_signal(self, signal: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    async def wait(self) -> int: ...


class Fork:
    """Implements Process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._status: int | None = None
        self.pid = int(connection.recv(64))

    @property
    def returncode(self) -> int | None:
        """As asyncio's; what it is does not wait for a loop."""
        if self._status is None:
            try:
                self._status = int(self._connection.recv(64, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return None
            self._connection.close()
        return self._status

    def send_signal(self, signal: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        while (status := self.returncode) is None:
            await asyncio.sleep(0.005)
        return status


class _Server:
    """The process that forks for one module."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="souk-forks-")
        self._path = str(Path(self._folder.name) / "socket")
        self._process = subprocess.Popen(
            [sys.executable, fork_server.__file__, self._path, module, *NEEDED[module]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        atexit.register(self.close)
        with self._process.stdout as told:
            assert told.readline() == b"ready\n"

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()

    def fork(self, streams: tuple[int, ...], **wanted: Any) -> Fork:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(self._path)
        socket.send_fds(connection, [json.dumps(wanted).encode()], streams)
        return Fork(connection)


_servers: dict[str, _Server] = {}
_known: set[Hashable] = set()


async def run(
    module: str,
    *arguments: str,
    kind: Hashable = None,
    environment: Mapping[str, str],
    stdin: int,
    stdout: int,
    stderr: int,
    own_session: bool = False,
) -> Process:
    """A process that runs `python -m module`. kind: what of the module it is; the first of each is started by Python itself, and so
    is what is told something about Python. Streams are file descriptors, or DEVNULL."""
    about_python = {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LC_", "LANG"))}
    if (module, kind) not in _known or any(os.environ.get(name) != value for name, value in about_python.items()):
        _known.add((module, kind))
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            start_new_session=own_session,
        )
    if module not in _servers:
        _servers[module] = await asyncio.to_thread(_Server, module, environment)
    wanted = {"arguments": arguments, "environment": dict(environment), "folder": str(Path.cwd()), "own_session": own_session}
    with Path(os.devnull).open("r+b") as nothing:  # noqa: ASYNC230 - it blocks nobody
        streams = (nothing.fileno() if stream == subprocess.DEVNULL else stream for stream in (stdin, stdout, stderr))
        return _servers[module].fork(tuple(streams), **wanted)
