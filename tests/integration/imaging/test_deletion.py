"""An image that is deleted stays deleted, whatever a node that was at work on it still writes. The store orders the steps."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import making
import object_stores
import photos
import processes
import pytest
from souk.client import ImagingClient, NotFoundError
from souk.imaging.v1 import imaging_pb2, imaging_pb2_grpc
from souk_common.testing import RunningServer
from souk_imaging.adapters.disk import DiskStore
from souk_imaging.adapters.lives import Life
from souk_imaging.adapters.s3 import S3Store
from souk_imaging.adapters.spool import Spool
from souk_imaging.errors import describe
from souk_imaging.exceptions import ImageNotFoundError
from souk_imaging.gallery import Gallery
from souk_imaging.images import Format, Image, ImageState, Original
from souk_imaging.library import Library
from souk_imaging.photos import PhotoProcessor, Priority
from souk_imaging.processing import NewPhoto, Processor
from souk_imaging.store import ObjectInfo, ObjectStore
from souk_imaging.web.origin import OriginOptions, origin

LEASE = 60.0


class Gate:
    """An object store before which one write waits, and behind it all that its node does next."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._stops: Callable[[str, bytes], bool] = lambda _key, _data: False
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.passed = asyncio.Event()
        self.released = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def hold(self, stops: Callable[[str, bytes], bool]) -> None:
        """Let the next write of which `stops(key, start of the bytes)` is true wait until `opened`."""
        self._stops = stops

    async def info(self, key: str) -> ObjectInfo | None:
        if self.passed.is_set():
            await self.released.wait()
        return await self._store.info(key)

    async def put(self, key: str, data: bytes, **options: Any) -> None:
        await self._through(key, data, self._store.put(key, data, **options))

    async def put_file(self, key: str, path: Path, **options: Any) -> None:
        await self._through(key, b"", self._store.put(key, path.read_bytes(), **options))

    async def _through(self, key: str, data: bytes, write: Any) -> None:
        if self.reached.is_set() or not self._stops(key, data):
            await write
            return
        self.reached.set()

        async def later() -> None:
            await self.opened.wait()
            await write
            self.passed.set()

        # like a write in a thread or on the wire: whoever asked for it can go away, the write cannot be called back
        await asyncio.shield(asyncio.ensure_future(later()))


@dataclass
class Node:
    """One service's core on the common store."""

    library: Library
    processor: Processor
    gallery: Gallery
    store: ObjectStore

    async def shows(self, image_id: str, variants: list[str]) -> list[str]:
        """Every way in which this node still shows the image; empty when it does not."""
        found = []
        with contextlib.suppress(ImageNotFoundError):
            await self.gallery.image(image_id)
            found.append("get")
        with contextlib.suppress(ImageNotFoundError):
            async with contextlib.aclosing(self.gallery.watch(image_id)) as images:
                found.append(f"watch: {await anext(images)}")
        if (await self.gallery.page(owner="", tags=[], size=10, position="")).images:
            found.append("list")
        pages = origin(self.gallery, self.store, OriginOptions())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://origin") as browser:
            paths = [f"/i/{image_id}", *(f"/i/{image_id}/{name}" for name in variants)]
            return found + [path for path in paths if (await browser.get(path)).status_code == 200]


@dataclass
class Clock:
    now: float = 1_750_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["disk", "s3"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """Stores that know no conditional writes."""
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "disk":
            (tmp_path / "photos").mkdir()
            opened: ObjectStore = DiskStore(tmp_path / "photos")
        else:
            server = await stack.enter_async_context(object_stores.serving_s3(tmp_path))
            opened = S3Store(
                object_stores.BUCKET,
                endpoint=server.endpoint,
                region="us-east-1",
                access_key=server.access_key,
                secret_key=server.secret_key,
            )
        stack.push_async_callback(opened.close)
        yield opened


@pytest.fixture
async def workers() -> AsyncIterator[PhotoProcessor]:
    async with making.open_pool() as pool:
        yield pool


@contextlib.asynccontextmanager
async def node(name: str, store: ObjectStore, clock: Clock, workers: PhotoProcessor, folder: Path) -> AsyncIterator[Node]:
    spool = Spool(folder / name)
    life = Life(folder / "lives", name)
    library = Library(store, clock=clock)
    processor = Processor(
        library=library,
        workers=workers,
        workplace=spool,
        profiles=making.PROFILES,
        limits=making.LIMITS,
        life=life,
        max_backlog=10,
        lease_seconds=LEASE,
        describe=describe,
        clock=clock,
    )
    async with processor:
        yield Node(library, processor, Gallery(library, processor, store), store)
    spool.close()
    life.close()


async def accept(at: Node, folder: Path, photo: bytes) -> Image:
    """Accept a photo for which nobody waits."""
    spool = Spool(folder / "received").new_source()
    await spool.write(photo)
    await spool.finish()
    taken = NewPhoto("o", ("t",), making.PROFILES.get("avatar"))
    return await at.processor.accept(taken, Original("image/jpeg", len(photo), 0, 0, 1, False, ""), spool, Priority.BACKGROUND)


async def every_key(store: ObjectStore) -> list[str]:
    return [key async for key in store.keys("")]


def manifest(state: str) -> Callable[[str, bytes], bool]:
    return lambda key, data: key.endswith("/_manifest.json") and f'"{state}"'.encode() in data and b'"pending"' not in data


@pytest.mark.parametrize("late", ["ready manifest", "failed manifest", "variant"])
async def test_what_a_node_writes_after_another_has_deleted_the_image_is_not_seen_and_is_removed(
    store: ObjectStore, workers: PhotoProcessor, tmp_path: Path, late: str
) -> None:
    clock = Clock()
    gate = Gate(store)
    gate.hold(
        {
            "ready manifest": manifest("ready"),
            "failed manifest": manifest("failed"),
            "variant": lambda key, _: key.endswith(".avif"),
        }[late]
    )
    photo = photos.one_of_each()["jpeg"]
    if late == "failed manifest":
        photo = photo[: len(photo) // 2]
    async with node("maker", gate, clock, workers, tmp_path) as maker, node("other", store, clock, workers, tmp_path) as other:
        image_id = (await accept(maker, tmp_path, photo)).image_id
        await gate.reached.wait()
        assert "get" in await other.shows(image_id, [])
        seen = (await maker.gallery.image(image_id)).variants
        variants = [variant.name for variant in seen]

        await other.gallery.delete(image_id, allow_missing=False)
        assert await maker.shows(image_id, variants) == []
        assert await other.shows(image_id, variants) == []

        gate.opened.set()
        await gate.passed.wait()
        variants += [key.rpartition("/")[2] for key in await every_key(store) if key.startswith(image_id) and "/_" not in key]
        assert await other.shows(image_id, variants) == []
        gate.released.set()
        await processes.until(lambda: maker.processor.backlog == 0)
        assert await maker.shows(image_id, variants) == []

        clock.now += LEASE + 1
        await other.processor.recover()
        assert await every_key(store) == []


async def test_a_write_that_cannot_be_stopped_does_not_bring_back_what_its_own_node_has_deleted(
    store: ObjectStore, workers: PhotoProcessor, tmp_path: Path
) -> None:
    clock = Clock()
    gate = Gate(store)
    gate.hold(manifest("ready"))
    async with node("maker", gate, clock, workers, tmp_path) as maker:
        image_id = (await accept(maker, tmp_path, photos.one_of_each()["jpeg"])).image_id
        await gate.reached.wait()
        await maker.gallery.delete(image_id, allow_missing=False)
        gate.opened.set()
        await gate.passed.wait()
        gate.released.set()
        assert await maker.shows(image_id, []) == []
        clock.now += LEASE + 1
        await maker.processor.recover()
        assert await every_key(store) == []


@pytest.mark.parametrize(
    "late",
    [lambda key, _: key.endswith(".avif"), lambda key, data: "/_" in key and b'"pending"' in data and b'"ready"' in data],
    ids=["variant", "progress"],
)
async def test_a_node_that_was_silent_does_not_undo_what_another_has_finished(
    store: ObjectStore, workers: PhotoProcessor, tmp_path: Path, late: Callable[[str, bytes], bool]
) -> None:
    clock = Clock()
    gate = Gate(store)
    gate.hold(late)
    async with node("silent", gate, clock, workers, tmp_path) as silent, node("other", store, clock, workers, tmp_path) as other:
        image_id = (await accept(silent, tmp_path, photos.one_of_each()["jpeg"])).image_id
        await gate.reached.wait()
        clock.now += LEASE + 1
        assert await other.processor.recover() == 1
        finished = await other.processor.finished(image_id)
        assert finished.state is ImageState.READY
        gate.opened.set()
        gate.released.set()
        await processes.until(lambda: silent.processor.backlog == 0)
        assert await silent.gallery.image(image_id) == finished
        assert await other.gallery.image(image_id) == finished


async def test_a_record_that_cannot_be_read_keeps_nobody_from_the_others(
    store: ObjectStore, workers: PhotoProcessor, tmp_path: Path
) -> None:
    clock = Clock()
    gate = Gate(store)
    gate.hold(lambda key, _: key.endswith(".avif"))
    async with node("silent", gate, clock, workers, tmp_path) as silent, node("other", store, clock, workers, tmp_path) as other:
        image_id = (await accept(silent, tmp_path, photos.one_of_each()["jpeg"])).image_id
        await gate.reached.wait()
        await store.put("_pending/0", b"{")
        await store.put("_pending/z", b"")
        clock.now += LEASE + 1
        assert await other.processor.recover() == 1
        assert (await other.processor.finished(image_id)).state is ImageState.READY
        gate.opened.set()
        gate.released.set()
        await processes.until(lambda: silent.processor.backlog == 0)


class Vanishing(Gate):
    """A store in which a variant is deleted as soon as somebody has seen that it is there."""

    async def info(self, key: str) -> ObjectInfo | None:
        found = await self._store.info(key)
        if key.endswith(".jpg"):
            await self._store.delete(key)
        return found


async def test_a_variant_that_goes_while_it_is_asked_for_is_not_found(
    store: ObjectStore, workers: PhotoProcessor, tmp_path: Path
) -> None:
    async with node("n", Vanishing(store), Clock(), workers, tmp_path) as at:
        image_id = (await accept(at, tmp_path, photos.one_of_each()["jpeg"])).image_id
        image = await at.processor.finished(image_id)
        variants = [variant for variant in image.ready() if variant.format is Format.JPEG]
        paths = [f"/i/{image_id}?w={variants[0].width}", f"/i/{image_id}/{variants[1].name}"]
        pages = origin(at.gallery, at.store, OriginOptions())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://origin") as browser:
            for path in paths:
                answer = await browser.get(path)
                assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path


async def test_a_download_of_a_variant_that_is_gone_is_an_error_before_its_header(
    client: ImagingClient, server: RunningServer, tmp_path: Path
) -> None:
    image = await client.upload(photos.one_of_each()["jpeg"])
    name = image.variants[-1].name
    (tmp_path / "state" / "photos" / image.image_id / name).unlink()
    stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())
    call = stub.DownloadVariant(imaging_pb2.DownloadVariantRequest(image_id=image.image_id, variant_name=name))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(NotFoundError) as told:
        await client.download(image.image_id, name)
    assert told.value.reason == "VARIANT_NOT_FOUND"
