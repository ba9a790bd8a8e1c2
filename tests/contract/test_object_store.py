"""What every object store promises: the same tests on the disk and on a real S3 server."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import object_stores
import pytest
from souk_imaging.adapters.disk import DiskStore
from souk_imaging.adapters.s3 import S3Store
from souk_imaging.exceptions import StoreUnavailableError
from souk_imaging.store import PIECE_BYTES, ObjectStore


@pytest.fixture(params=["disk", "s3", "s3-prefix"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "disk":
            store: ObjectStore = DiskStore(tmp_path)
        else:
            server = await stack.enter_async_context(object_stores.serving_s3(tmp_path))
            prefix = "a/b/" if request.param == "s3-prefix" else ""
            store = S3Store(
                object_stores.BUCKET,
                prefix=prefix,
                endpoint=server.endpoint,
                region="us-east-1",
                access_key=server.access_key,
                secret_key=server.secret_key,
            )
        stack.push_async_callback(store.close)
        yield store


async def keys(store: ObjectStore, prefix: str = "", **options: object) -> list[str]:
    return [key async for key in store.keys(prefix, **options)]


async def read(store: ObjectStore, key: str, **options: object) -> bytes:
    return b"".join([piece async for piece in store.read(key, **options)])


async def test_what_is_put_is_got(store: ObjectStore) -> None:
    await store.put("a/b/c.txt", b"first", content_type="text/plain")
    assert await store.get("a/b/c.txt") == b"first"
    await store.put("a/b/c.txt", b"second")
    assert await store.get("a/b/c.txt") == b"second"
    info = await store.info("a/b/c.txt")
    assert info is not None
    assert (info.key, info.size) == ("a/b/c.txt", 6)


async def test_what_is_not_there_is_none(store: ObjectStore, tmp_path: Path) -> None:
    await store.put("a/b", b"x")
    for key in ("nothing", "a/bb", "b/c/d"):
        assert await store.get(key) is None
        assert await store.info(key) is None
        assert not await store.fetch(key, tmp_path / "fetched")
        with pytest.raises(KeyError):
            await read(store, key)
        await store.delete(key)
    assert await store.get("a/b") == b"x"


async def test_empty_objects_are_objects(store: ObjectStore) -> None:
    await store.put("_index/all/x~1~", b"")
    assert await store.get("_index/all/x~1~") == b""
    assert await keys(store, "_index/all/") == ["_index/all/x~1~"]


async def test_files_of_many_parts_are_stored_and_fetched_whole(store: ObjectStore, tmp_path: Path) -> None:
    content = os.urandom(1024) * (20 * 1024) + b"tail"
    path = tmp_path / "large"
    path.write_bytes(content)
    await store.put_file("large", path, content_type="image/png")
    assert path.read_bytes() == content
    assert await store.fetch("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    sizes = [len(piece) async for piece in store.read("large")]
    assert sum(sizes) == len(content)
    assert max(sizes) <= PIECE_BYTES


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, None, b"0123456789"), (3, None, b"3456789"), (3, 4, b"3456"), (8, 100, b"89"), (10, None, b""), (0, 0, b""), (50, 5, b"")],
)
async def test_a_part_of_an_object_is_read(store: ObjectStore, offset: int, length: int | None, expected: bytes) -> None:
    await store.put("digits", b"0123456789")
    assert await read(store, "digits", offset=offset, length=length) == expected


async def test_keys_are_listed_in_ascii_order_of_the_whole_key(store: ObjectStore) -> None:
    stored = ["a-b", "a.b", "a/b-c", "a/b/c", "a0", "a:b", "aB", "a_b", "ab", "a~b", "A", "z/1", "z/10", "z/2"]
    for name in stored:
        await store.put(name, b"")
    assert await keys(store) == sorted(stored)
    assert await keys(store, "a/") == ["a/b-c", "a/b/c"]
    assert await keys(store, "a") == [name for name in sorted(stored) if name.startswith("a")]
    assert await keys(store, "nothing/") == []
    for after in sorted(stored):
        assert await keys(store, after=after) == [name for name in sorted(stored) if name > after]
    assert await keys(store, "z/", after="z/1", limit=1) == ["z/10"]


async def test_more_keys_than_a_page_are_listed(store: ObjectStore) -> None:
    names = [f"many/{number:05}" for number in range(1050)]
    for start in range(0, len(names), 50):
        await asyncio.gather(*(store.put(name, b"") for name in names[start : start + 50]))
    assert await keys(store, "many/") == names
    assert await keys(store, "many/", after="many/00999", limit=10) == names[1000:1010]
    assert await store.delete_prefix("many/") == len(names)
    assert await keys(store) == []


async def test_deleting_a_prefix_deletes_nothing_else(store: ObjectStore) -> None:
    for name in ("p/1", "p/2/3", "p.x", "p-", "q/1"):
        await store.put(name, b"x")
    assert await store.delete_prefix("p/") == 2
    assert await keys(store) == ["p-", "p.x", "q/1"]
    assert await store.delete_prefix("p/") == 0
    with pytest.raises(ValueError, match="ends with /"):
        await store.delete_prefix("q")


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", "..", "a/../b", "a/./b", "a\0b", "a b", "ä", "a\\b", "a" * 256, "a/" * 300 + "b", "a\n"]
)
async def test_what_is_no_key_is_refused(store: ObjectStore, key: str, tmp_path: Path) -> None:
    for call in (
        store.put(key, b""),
        store.get(key),
        store.info(key),
        store.delete(key),
        store.fetch(key, tmp_path / "x"),
        read(store, key),
    ):
        with pytest.raises(ValueError, match="not a key"):
            await call


async def test_a_reader_goes_on_with_the_object_it_began(store: ObjectStore) -> None:
    old = b"a" * (3 * PIECE_BYTES)
    await store.put("replaced", old)
    pieces = store.read("replaced")
    begun = await anext(pieces)
    await store.put("replaced", b"b" * (3 * PIECE_BYTES))
    rest = b"".join([piece async for piece in pieces])
    assert begun + rest == old
    assert await read(store, "replaced") == b"b" * (3 * PIECE_BYTES)


async def test_concurrent_writers_leave_one_whole_object(store: ObjectStore) -> None:
    contents = [bytes([number]) * 300_000 for number in range(8)]
    await asyncio.gather(*(store.put("contended", content) for content in contents))
    assert await store.get("contended") in contents


async def test_folders_that_are_deleted_and_made_at_once_do_no_harm(store: ObjectStore) -> None:
    async def write_and_delete(number: int) -> None:
        for _ in range(10):
            await store.put(f"busy/{number}", b"x")
            await store.delete(f"busy/{number}")

    await asyncio.gather(*(write_and_delete(number) for number in range(8)))
    assert await keys(store) == []


async def test_a_read_that_is_left_can_be_begun_again(store: ObjectStore) -> None:
    await store.put("left", b"x" * (4 * PIECE_BYTES))
    for _ in range(40):
        async with contextlib.aclosing(store.read("left")) as pieces:
            assert len(await anext(pieces)) <= PIECE_BYTES
    assert len(await read(store, "left")) == 4 * PIECE_BYTES


async def test_a_store_that_answers_passes_its_check_and_shows_nothing_of_it(store: ObjectStore) -> None:
    await store.check()
    assert [key for key in await keys(store) if key != "_check"] == []


async def test_checks_at_the_same_time_do_not_disturb_each_other(store: ObjectStore, tmp_path: Path) -> None:
    await asyncio.gather(*(store.check() for _ in range(100)))
    assert not list(tmp_path.glob(".partial-*"))


async def test_a_disk_that_is_gone_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    root.mkdir()
    store = DiskStore(root)
    await store.put("a", b"x")
    shutil.move(root, tmp_path / "away")
    for call in (store.check(), store.get("a"), store.put("b", b""), store.info("a"), store.delete("a"), keys(store)):
        with pytest.raises(StoreUnavailableError):
            await call
    assert not root.exists()
    shutil.move(tmp_path / "away", root)
    await store.check()
    assert await store.get("a") == b"x"
    await store.close()


async def test_an_s3_server_that_is_gone_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    server = await object_stores.start_s3(tmp_path)
    store = S3Store(
        object_stores.BUCKET,
        endpoint=server.endpoint,
        region="us-east-1",
        access_key=server.access_key,
        secret_key=server.secret_key,
        attempts=1,
        timeout=2,
    )
    await store.put("a", b"x")
    await server.kill()
    for call in (store.check(), store.get("a"), store.put("b", b""), store.info("a"), store.delete("a"), keys(store)):
        with pytest.raises(StoreUnavailableError):
            await call
    port = int(server.endpoint.rpartition(":")[2])
    again = await object_stores.start_s3(tmp_path, port=port, keys=(server.access_key, server.secret_key))
    try:
        await store.check()
        assert await store.get("a") == b"x"
    finally:
        await again.kill()
        await store.close()


async def test_wrong_credentials_are_unavailable_and_not_missing(tmp_path: Path) -> None:
    async with object_stores.serving_s3(tmp_path) as server:
        store = S3Store(
            object_stores.BUCKET, endpoint=server.endpoint, region="us-east-1", access_key=server.access_key, secret_key="wrong"
        )
        with pytest.raises(StoreUnavailableError):
            await store.get("a")
        await store.close()


async def test_partial_files_of_a_dead_writer_are_not_listed_and_are_swept(tmp_path: Path) -> None:
    from souk_imaging.adapters.disk import sweep

    store = DiskStore(tmp_path)
    await store.put("a/b", b"x")
    (tmp_path / "a" / ".partial-0123").write_bytes(b"half")
    assert await keys(store) == ["a/b"]
    assert sweep(tmp_path, older_than=0) == 0
    assert sweep(tmp_path, older_than=10**12) == 1
    assert await store.delete_prefix("a/") == 1
    assert list(tmp_path.iterdir()) == []
    await store.close()


async def test_a_link_out_of_the_folder_is_not_followed_by_lists(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside)
    store = DiskStore(root)
    assert await keys(store) == ["link"]
    await store.close()
