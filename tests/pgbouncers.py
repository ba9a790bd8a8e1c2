"""A real PgBouncer before a test's PostgreSQL, where it is installed."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from object_stores import free_port
from postgres_servers import PostgresServer, other_user
from processes import until

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.asynccontextmanager
async def pgbouncer(server: PostgresServer, *users: str, **settings: str) -> AsyncIterator[int]:
    """Its port while the body runs. It pools transactions, on two connections for each database and user: postgres, and others."""
    assert PROGRAM is not None
    folder = Path(tempfile.mkdtemp(prefix="souk-pgbouncer-"))
    port = free_port()
    chosen = {"pool_mode": "transaction", "default_pool_size": "2", "auth_type": "trust", "listen_addr": "127.0.0.1", **settings}
    lines = [
        "[databases]",
        f"* = host=127.0.0.1 port={server.port}",
        "[pgbouncer]",
        f"listen_port = {port}",
        "unix_socket_dir =",
        f"auth_file = {folder}/users",
        *(f"{name} = {value}" for name, value in chosen.items()),
    ]
    (folder / "ini").write_text("\n".join(lines) + "\n")
    (folder / "users").write_text("".join(f'"{user}" ""\n' for user in ("postgres", *users)))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (folder, folder / "ini", folder / "users"):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([PROGRAM, str(folder / "ini")], stdout=log, stderr=log, **other_user())
    try:
        await _answers(process, port, folder / "log")
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _answers(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        return "process up" in log.read_text()

    await until(listens)
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", statement_cache_size=0)
    await connection.close()
