"""Objects as files under one folder."""

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from souk_imaging.exceptions import StoreUnavailableError
from souk_imaging.store import PIECE_BYTES, ObjectInfo, check_key

T = TypeVar("T")
_PARTIAL = ".partial-"
"""No key's part begins so: keys are checked, and this is made here."""


class DiskStore:
    """Implements ObjectStore. Objects are written beside their place, flushed to the disk, and renamed into it."""

    def __init__(self, root: Path, *, sync: bool = True, threads: int = 16) -> None:
        """`root` must exist: a store that makes its own root would serve an empty one where a volume is not mounted.

        `sync` False leaves it to the system when bytes reach the disk: a power cut may then lose what was accepted.
        """
        self._root = root
        self._sync = sync
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="disk-store")

    async def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """See ObjectStore."""
        check_key(key)
        await self._do(self._write, key, lambda file: _write_all(file, data))

    async def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """See ObjectStore."""
        check_key(key)
        await self._do(self._write, key, lambda file: _copy(path, file))

    async def get(self, key: str) -> bytes | None:
        """See ObjectStore."""
        check_key(key)
        try:
            return await self._do((self._root / key).read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            await self._do(self._check_root)
            return None

    async def info(self, key: str) -> ObjectInfo | None:
        """See ObjectStore."""
        check_key(key)
        try:
            found = await self._do(os.stat, self._root / key)
        except (FileNotFoundError, NotADirectoryError):
            await self._do(self._check_root)
            return None
        return ObjectInfo(key, found.st_size) if stat.S_ISREG(found.st_mode) else None

    async def read(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ObjectStore."""
        check_key(key)
        try:
            descriptor = await self._do(os.open, self._root / key, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(key) from None
        try:
            left = length if length is not None else (await self._do(os.fstat, descriptor)).st_size - offset
            while left > 0:
                piece = await self._do(os.pread, descriptor, min(PIECE_BYTES, left), offset)
                if not piece:
                    return
                yield piece
                offset += len(piece)
                left -= len(piece)
        finally:
            os.close(descriptor)

    async def fetch(self, key: str, path: Path) -> bool:
        """See ObjectStore."""
        check_key(key)
        try:
            await self._do(shutil.copyfile, self._root / key, path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    async def keys(self, prefix: str, *, after: str = "", limit: int | None = None) -> AsyncGenerator[str, None]:
        """See ObjectStore. The walk goes on in a thread, a few hundred keys at a time."""
        if prefix:
            check_key(prefix.rstrip("/"))
        walk = self._walk(prefix, after)
        given = 0
        while batch := await self._do(_take, walk, 500):
            for key in batch:
                if limit is not None and given >= limit:
                    return
                given += 1
                yield key

    async def delete(self, key: str) -> None:
        """See ObjectStore."""
        check_key(key)
        await self._do(self._remove, key)

    async def delete_prefix(self, prefix: str) -> int:
        """See ObjectStore."""
        if not prefix.endswith("/"):
            raise ValueError("a prefix to delete ends with /")
        check_key(prefix[:-1])
        return await self._do(self._remove_folder, prefix[:-1])

    async def check(self) -> None:
        """See ObjectStore."""
        await self._do(self._write_probe, self._root / f"{_PARTIAL}{secrets.token_hex(8)}")

    async def close(self) -> None:
        """See ObjectStore."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # In threads

    async def _do(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise
        except OSError as error:
            raise StoreUnavailableError(f"the photo folder cannot be used: {error.strerror}", dependency="store") from error

    def _check_root(self) -> None:
        if not self._root.is_dir():
            raise StoreUnavailableError("the photo folder is gone", dependency="store")

    def _write(self, key: str, fill: Callable[[int], None]) -> None:
        place = self._root / key
        partial = place.parent / f"{_PARTIAL}{secrets.token_hex(8)}"
        descriptor = self._create(partial)
        try:
            try:
                fill(descriptor)
                if self._sync:
                    os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            partial.rename(place)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        if self._sync:
            _sync_folder(place.parent)

    def _create(self, path: Path) -> int:
        """Open a new file in a folder that is made where it is missing, and may go away at any moment until it has a file."""
        for _ in range(100):
            self._check_root()
            self._make_folders(path.parent)
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        raise OSError(errno.EBUSY, "the folder is always deleted again")

    def _make_folders(self, folder: Path) -> None:
        missing = []
        while folder != self._root and not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            try:
                each.mkdir(mode=0o750)
            except FileExistsError:
                continue
            except FileNotFoundError:
                return  # its parent was deleted meanwhile: the caller begins anew
            if self._sync:
                _sync_folder(each.parent)

    def _remove(self, key: str) -> None:
        place = self._root / key
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            place.unlink()
        self._check_root()
        folder = place.parent
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _remove_folder(self, prefix: str) -> int:
        folder = self._root / prefix
        count = 0
        for parent, _, names in os.walk(folder):
            count += sum(not name.startswith(_PARTIAL) for name in names)
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(parent, name))  # noqa: PTH108, PTH118 — os.walk's own currency
        shutil.rmtree(folder, ignore_errors=True)
        self._remove(f"{prefix}/{_PARTIAL}")
        return count

    def _write_probe(self, path: Path) -> None:
        self._check_root()
        try:
            path.write_bytes(b"souk")
            if path.read_bytes() != b"souk":
                raise OSError(errno.EIO, "what was written is not what is read")
        finally:
            path.unlink(missing_ok=True)

    def _walk(self, prefix: str, after: str) -> Iterator[str]:
        """Keys in ASCII order. A folder sorts as its name with `/` behind it, which is where its keys belong among the others."""
        base = prefix.rpartition("/")[0]
        try:
            yield from self._walk_folder(base + "/" if base else "", prefix, after)
        except FileNotFoundError:
            self._check_root()

    def _walk_folder(self, folder: str, prefix: str, after: str) -> Iterator[str]:
        try:
            with os.scandir(self._root / folder) as entries:
                names = sorted(
                    e.name + "/" if e.is_dir(follow_symlinks=False) else e.name for e in entries if not e.name.startswith(_PARTIAL)
                )
        except (FileNotFoundError, NotADirectoryError):
            self._check_root()
            return
        for name in names:
            key = folder + name
            if not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            if name.endswith("/"):
                if after < key or after.startswith(key):
                    yield from self._walk_folder(key, prefix, after)
            elif key > after:
                yield key


def sweep(root: Path, *, older_than: float) -> int:
    """Remove what writers that died left behind, last written before `older_than` (seconds since 1970); return how many files."""
    count = 0
    for parent, _, names in os.walk(root):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):
                if name.startswith(_PARTIAL) and path.stat().st_mtime < older_than:
                    path.unlink()
                    count += 1
    return count


def _take(walk: Iterator[str], count: int) -> list[str]:
    batch = []
    for key in walk:
        batch.append(key)
        if len(batch) == count:
            break
    return batch


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _copy(path: Path, descriptor: int) -> None:
    with path.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        done = 0
        while done < size:
            sent = os.sendfile(descriptor, source.fileno(), done, size - done)
            if sent == 0:
                raise OSError(errno.EIO, "the file became shorter while it was stored")
            done += sent


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # deleted meanwhile, and its files with it
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
