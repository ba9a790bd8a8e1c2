"""A real S3 server on loopback: `rclone serve s3` over a folder."""

import asyncio
import contextlib
import secrets
import shutil
import socket
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import processes

BUCKET = "souk-photos"


@dataclass
class S3Server:
    """What a client needs, and the means to stop it."""

    endpoint: str
    access_key: str
    secret_key: str
    folder: Path
    process: asyncio.subprocess.Process

    def settings(self) -> dict[str, str]:
        """The settings of imaging that use it."""
        return {
            "s3_bucket": BUCKET,
            "s3_endpoint": self.endpoint,
            "s3_region": "us-east-1",
            "s3_access_key": self.access_key,
            "s3_secret_key": self.secret_key,
        }

    async def kill(self) -> None:
        """It is gone, from one moment to the next."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def start_s3(folder: Path, *, port: int = 0, keys: tuple[str, str] | None = None) -> S3Server:
    """Serve `folder`, whose sub-folders are buckets, and return when it answers."""
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    access_key, secret_key = keys or (secrets.token_hex(8), secrets.token_hex(16))
    rclone = shutil.which("rclone", path=sysconfig.get_path("scripts")) or "rclone"
    process = await asyncio.create_subprocess_exec(
        rclone,
        "serve",
        "s3",
        str(folder),
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        f"{access_key},{secret_key}",
        "--vfs-cache-mode",
        "off",
        "--config",
        "",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
        return process.returncode is not None

    await processes.until(answers)
    if process.returncode is not None:
        raise RuntimeError("rclone did not start")
    return S3Server(f"http://127.0.0.1:{port}", access_key, secret_key, folder, process)


@contextlib.asynccontextmanager
async def serving_s3(folder: Path) -> AsyncIterator[S3Server]:
    """Serve while the body runs."""
    server = await start_s3(folder)
    try:
        yield server
    finally:
        await server.kill()
