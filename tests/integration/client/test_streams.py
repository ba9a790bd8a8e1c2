"""Watching, listing and downloading, when connections break under them."""

import asyncio
import hashlib
import os

import google_crc32c
import grpc
import pytest
from integration.client.scripted import abort, reached
from souk.client import DataLossError, NotFoundError, UnavailableError
from souk.imaging.v1 import imaging_pb2 as pb

Code = grpc.StatusCode
DATA = os.urandom(300_000)
STEP = 64 * 1024


def image(version: int, state: pb.ImageState.ValueType = pb.IMAGE_STATE_PROCESSING) -> pb.Image:
    return pb.Image(image_id="i", state=state, variants=[pb.Variant(name=str(n)) for n in range(version)])


def watching(*answers, code=None):
    async def handler(request, context):
        for answer in answers:
            if answer is None:
                yield pb.WatchImageResponse(deleted=pb.ImageDeleted())
            else:
                yield pb.WatchImageResponse(image=answer)
        if code:
            await abort(context, code, "SHUTTING_DOWN" if code is Code.UNAVAILABLE else "IMAGE_NOT_FOUND")

    return handler


async def test_a_watch_goes_on_after_the_server_stops_and_tells_nothing_twice(server, client):
    ready = image(3, pb.IMAGE_STATE_READY)
    server.script = [
        watching(image(0), image(1), code=Code.UNAVAILABLE),
        watching(code=Code.UNAVAILABLE),
        watching(image(1), image(2), code=Code.UNAVAILABLE),
        watching(ready),
    ]
    assert [seen async for seen in client.watch("i")] == [image(0), image(1), image(2), ready]


async def test_a_watch_gives_up_when_nothing_moves(server, client):
    server.script = [watching(image(0), code=Code.UNAVAILABLE), watching(code=Code.UNAVAILABLE)]
    with pytest.raises(UnavailableError):
        async for _ in client.watch("i"):
            pass
    assert len(server.calls) == 4


async def test_a_watch_of_a_deleted_image_ends_with_none(server, client):
    server.script = [watching(image(0), None)]
    assert [seen async for seen in client.watch("i")] == [image(0), None]


async def test_a_watch_of_no_image_is_not_found_at_once(server, client):
    server.script = [watching(code=Code.NOT_FOUND)]
    with pytest.raises(NotFoundError):
        await anext(client.watch("i"))
    assert len(server.calls) == 1


async def test_leaving_a_watch_ends_its_call(server, client):
    left = asyncio.Event()

    async def forever(request, context):
        try:
            yield pb.WatchImageResponse(image=image(0))
            await asyncio.Event().wait()
        finally:
            left.set()

    server.script = [forever]
    watch = client.watch("i")
    assert await anext(watch) == image(0)
    await watch.aclose()
    await asyncio.wait_for(left.wait(), 10)


async def test_listing_follows_the_pages_to_the_end_with_the_same_filter(server, client):
    asked = []

    async def pages(request, context):
        asked.append((request.owner, list(request.tags), request.page_size, request.page_token))
        number = int(request.page_token or 0)
        names = [] if number == 1 else [f"{number}a", f"{number}b"]
        return pb.ListImagesResponse(
            images=[pb.Image(image_id=name) for name in names], next_page_token="" if number == 2 else str(number + 1)
        )

    server.script = [pages]
    found = [seen.image_id async for seen in client.list(owner="shop", tags=["x"], page_size=2)]
    assert found == ["0a", "0b", "2a", "2b"], "an empty page is not the end"
    assert asked == [("shop", ["x"], 2, ""), ("shop", ["x"], 2, "1"), ("shop", ["x"], 2, "2")]


def sending(*, stop=None, code=None, damage=None, skip=0, name="v", size=300_000):
    """Send DATA from read_offset; `stop` bytes at the most, then end with `code`."""

    async def handler(request, context):
        yield pb.DownloadVariantResponse(header=pb.Variant(name=name, size_bytes=size))
        start = request.read_offset + skip
        end = len(DATA) if stop is None else min(len(DATA), start + stop)
        for offset in range(start, end, STEP):
            data = DATA[offset : min(offset + STEP, end)]
            crc32c = google_crc32c.value(data) ^ (damage == offset)
            yield pb.DownloadVariantResponse(chunk=pb.DownloadChunk(read_offset=offset, data=data, crc32c=crc32c))
        if code:
            await abort(context, code, "SHUTTING_DOWN")

    return handler


async def test_a_download_goes_on_where_it_was(server, client):
    offsets = []

    def noting(handler):
        async def handle(request, context):
            offsets.append(request.read_offset)
            async for answer in handler(request, context):
                yield answer

        return handle

    broken = sending(stop=STEP, code=Code.UNAVAILABLE)
    server.script = [noting(broken), noting(broken), noting(sending(stop=0, code=Code.UNAVAILABLE)), noting(sending())]
    assert await client.download("i", "v") == DATA
    assert offsets == [0, STEP, 2 * STEP, 2 * STEP]


async def test_a_download_that_makes_progress_is_never_given_up(server, client):
    server.script = [*[sending(stop=10_000, code=Code.UNAVAILABLE)] * 20, sending()]
    assert await client.download("i", "v") == DATA


async def test_a_download_to_a_file_is_there_whole(server, client, tmp_path):
    server.script = [sending(stop=STEP, code=Code.UNAVAILABLE), sending()]
    destination = tmp_path / "photo.webp"
    assert await client.download("i", "v", destination) == destination
    assert hashlib.sha256(destination.read_bytes()).digest() == hashlib.sha256(DATA).digest()
    assert list(tmp_path.iterdir()) == [destination]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"damage": STEP}, "damaged"),
        ({"skip": 1000}, "offset 1000 came where 0"),
        ({"stop": STEP}, f"ended after {STEP}"),
        ({"size": len(DATA) - 1}, "ended after"),
    ],
    ids=["a wrong checksum", "a gap", "too little", "too much"],
)
async def test_a_download_that_is_not_what_was_sent_is_data_loss_and_leaves_the_old_file(server, client, tmp_path, wrong, text):
    server.script = [sending(**wrong)]
    destination = tmp_path / "photo.webp"
    destination.write_bytes(b"old")
    with pytest.raises(DataLossError, match=text):
        await client.download("i", "v", destination)
    assert destination.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [destination]


async def test_a_variant_that_has_changed_meanwhile_is_not_mixed_with_the_first(server, client):
    server.script = [sending(stop=STEP, code=Code.UNAVAILABLE), sending(name="another")]
    with pytest.raises(DataLossError, match="another one"):
        await client.download("i", "v")


async def test_cancelling_a_download_ends_its_call_and_leaves_nothing_behind(server, client, tmp_path):
    events = []

    async def slow(request, context):
        try:
            yield pb.DownloadVariantResponse(header=pb.Variant(name="v", size_bytes=9))
            events.append("begun")
            await asyncio.Event().wait()
        finally:
            events.append("ended")

    server.script = [slow]
    download = asyncio.create_task(client.download("i", "v", tmp_path / "photo.webp"))
    await reached(lambda: "begun" in events)
    download.cancel()
    with pytest.raises(asyncio.CancelledError):
        await download
    await reached(lambda: "ended" in events)
    assert list(tmp_path.iterdir()) == []
