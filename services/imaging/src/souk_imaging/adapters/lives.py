"""Which services that used a folder still live. Each holds a lock (flock(2)) on a file of its own, and the kernel, which alone
knows when a process is dead, gives it back. A process id would not do: in a container every service has the same."""

import asyncio
import contextlib
import fcntl
import os
import secrets
from pathlib import Path


def hold(path: Path, data: bytes = b"") -> int:
    """Make a file with `data` that is held from the moment it is there; it is until the returned descriptor is closed."""
    new = path.with_name(f".{path.name}")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, data)
        new.rename(path)
    except BaseException:
        os.close(descriptor)
        new.unlink(missing_ok=True)
        raise
    return descriptor


def read_free(path: Path) -> bytes | None:
    """What is in a file that nobody holds; None where somebody does, where it is gone, and where that cannot be told."""
    try:
        with path.open("rb") as file:
            # shared: two who look at once must not take each other for the one who holds it
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return file.read()
    except OSError:
        return None


class Life:
    """Implements work.Life: the life of this service, and what is known of the earlier ones of its node."""

    def __init__(self, folder: Path, node: str) -> None:
        """`folder` is for this alone. OSError where it cannot be used, or where files in it cannot be locked."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.node = node
        self.name = _name(node, secrets.token_hex(8))
        self._folder = folder
        self._descriptor = hold(self._file(self.name), node.encode())

    async def ended(self) -> set[str]:
        """See work.Life."""
        return await asyncio.to_thread(self._ended)

    async def forget(self, lives: set[str]) -> None:
        """See work.Life."""
        for life in lives:
            with contextlib.suppress(OSError):  # it is told again
                await asyncio.to_thread(self._file(life).unlink)

    def close(self) -> None:
        """This life has ended. Its file stays, and tells the next one."""
        os.close(self._descriptor)

    def _ended(self) -> set[str]:
        node = self.node.encode()
        return {_name(self.node, file.name) for file in self._folder.glob("[!.]*") if read_free(file) == node}

    def _file(self, life: str) -> Path:
        return self._folder / life.rpartition("/")[2]


def _name(node: str, token: str) -> str:
    return f"{node}/{token}"
