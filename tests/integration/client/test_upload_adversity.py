"""Uploads when something goes wrong, against a real server whose answers the test writes."""

import asyncio
import os
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from integration.client.scripted import abort, drain, info, reached, retry, rich
from souk.client import (
    CancelledError,
    ClientConfig,
    DeadlineExceededError,
    ImagingClient,
    InternalError,
    InvalidArgumentError,
    UnavailableError,
)
from souk.imaging.v1 import imaging_pb2 as pb

Code = grpc.StatusCode
PHOTO = os.urandom(700_000)


async def accepted(requests, context):
    """Answer with what arrived, so that the test sees it."""
    spec, *chunks, finish = await drain(requests)
    data = b"".join(request.chunk.data for request in chunks)
    assert finish.finish.size_bytes == len(data)
    return pb.UploadImageResponse(
        image=pb.Image(
            image_id=spec.spec.request_id,
            owner=spec.spec.owner,
            tags=spec.spec.tags,
            original=pb.Original(size_bytes=len(data)),
        )
    )


def unavailable(*details, after=0):
    async def handler(requests, context):
        for _ in range(after):
            await anext(requests)
        await abort(context, Code.UNAVAILABLE, "OVERLOADED", *details)

    return handler


async def test_a_photo_arrives_whole_with_what_is_said_of_it(server, client):
    seen: list[tuple[int, int | None]] = []
    server.script = [accepted]
    image = await client.upload(PHOTO, owner="shop", tags=["a", "b"], on_progress=lambda sent, size: seen.append((sent, size)))
    assert image.original.size_bytes == len(PHOTO)
    assert (image.owner, list(image.tags)) == ("shop", ["a", "b"])
    assert len(image.image_id) == 36, "a random request id is made"
    assert seen[-1] == (700_000, 700_000)
    assert [sent for sent, _ in seen] == sorted(sent for sent, _ in seen)


@pytest.mark.parametrize("after", [0, 1, 2, 5])
async def test_the_error_of_a_server_that_has_heard_enough_is_what_is_raised(server, client, after):
    async def refuse(requests, context):
        for _ in range(after):
            await anext(requests)
        violation = error_details_pb2.BadRequest.FieldViolation(field="spec.owner", description="is bad")
        await abort(
            context,
            Code.INVALID_ARGUMENT,
            "NOT_AN_IMAGE",
            error_details_pb2.BadRequest(field_violations=[violation]),
            found="zip",
        )

    server.script = [refuse]
    for _ in range(25):  # grpc.aio's own write error would win one time in twenty
        with pytest.raises(InvalidArgumentError) as raised:
            await client.upload(PHOTO)
        assert (raised.value.reason, raised.value.metadata) == ("NOT_AN_IMAGE", {"found": "zip"})
        assert [v.field for v in raised.value.field_violations] == ["spec.owner"]


async def test_an_internal_error_of_the_server_is_told_from_that_of_a_broken_write(server, client):
    async def fail(requests, context):
        await anext(requests)
        await abort(context, Code.INTERNAL, "WORKER_CRASHED")

    server.script = [fail]
    for _ in range(25):
        with pytest.raises(InternalError) as raised:
            await client.upload(PHOTO)
        assert raised.value.reason == "WORKER_CRASHED"


async def test_sending_stops_at_once_when_the_server_ends_the_call_though_the_source_goes_on(server, client):
    async def endless():
        nonlocal closed
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0)
        finally:
            closed = True

    closed = False
    server.script = [unavailable(after=3)]
    with pytest.raises(UnavailableError):
        await client.upload(endless())
    assert closed


async def test_a_source_that_waits_does_not_hold_back_the_error(server, client):
    async def stuck():
        yield b"x" * 100_000
        await asyncio.Event().wait()

    async def refuse(requests, context):
        await abort(context, Code.INVALID_ARGUMENT, "NOT_AN_IMAGE")

    server.script = [refuse]
    async with asyncio.timeout(10):
        with pytest.raises(InvalidArgumentError):
            await client.upload(stuck())


async def test_an_early_answer_is_taken_though_not_all_was_sent(server, client):
    async def known(requests, context):
        await anext(requests)
        return pb.UploadImageResponse(image=pb.Image(image_id="first"))

    server.script = [known]
    for _ in range(25):
        assert (await client.upload(PHOTO)).image_id == "first"


async def test_a_photo_is_sent_again_with_the_same_request_id_when_the_server_is_unavailable(server, client, tmp_path):
    specs = []

    async def noting(requests, context):
        specs.append((await anext(requests)).spec)
        if len(specs) < 3:
            await abort(context, Code.UNAVAILABLE, "SHUTTING_DOWN")
        return pb.UploadImageResponse(image=pb.Image(image_id=specs[-1].request_id))

    path = tmp_path / "photo"
    path.write_bytes(PHOTO)
    server.script = [noting]
    image = await client.upload(path)
    assert len(specs) == 3
    assert {spec.request_id for spec in specs} == {image.image_id}
    assert {spec.size_bytes for spec in specs} == {len(PHOTO)}


async def test_what_is_sent_again_is_the_whole_photo(server, client):
    server.script = [unavailable(after=4), accepted]
    seen: list[int] = []
    image = await client.upload(PHOTO, request_id="mine", on_progress=lambda sent, _: seen.append(sent))
    assert (image.image_id, image.original.size_bytes) == ("mine", len(PHOTO))
    assert seen.count(0) == 2, "progress begins again"


async def test_the_server_may_say_how_long_to_wait_before_the_photo_is_sent_again(server, client):
    server.script = [unavailable(retry(0.25)), accepted]
    loop = asyncio.get_running_loop()
    start = loop.time()
    await client.upload(PHOTO)
    assert loop.time() - start >= 0.25


async def test_a_photo_is_sent_no_more_often_than_the_configuration_says(server, client):
    server.script = [unavailable()]
    with pytest.raises(UnavailableError) as raised:
        await client.upload(PHOTO)
    assert raised.value.reason == "OVERLOADED"
    assert server.calls == ["UploadImage"] * ClientConfig().attempts


async def test_a_stream_that_cannot_be_read_again_is_sent_once(server, client):
    async def once():
        yield PHOTO

    server.script = [unavailable(after=1), accepted]
    with pytest.raises(UnavailableError):
        await client.upload(once())
    assert len(server.calls) == 1


async def test_an_upload_of_our_own_that_still_holds_the_request_id_is_waited_for(server, client):
    async def in_progress(requests, context):
        await abort(context, Code.ABORTED, "REQUEST_IN_PROGRESS", retry(0.01))

    server.script = [unavailable(after=1), in_progress, accepted]
    assert (await client.upload(PHOTO)).original.size_bytes == len(PHOTO)


async def test_an_upload_of_somebody_else_that_holds_the_request_id_is_an_error(server, client):
    async def in_progress(requests, context):
        await abort(context, Code.ABORTED, "REQUEST_IN_PROGRESS", retry(0.01))

    server.script = [in_progress, accepted]
    with pytest.raises(Exception, match="REQUEST_IN_PROGRESS"):
        await client.upload(PHOTO, request_id="taken")


async def test_no_answer_in_time_is_deadline_exceeded_whatever_the_source_does(server, client):
    async def silent(requests, context):
        await asyncio.Event().wait()

    server.script = [silent]
    with pytest.raises(DeadlineExceededError):
        await client.upload(os.urandom(5_000_000), timeout=0.2)


async def test_the_deadline_spans_all_attempts(server, client):
    server.script = [unavailable(retry(0.4))]
    with pytest.raises(UnavailableError):
        await client.upload(PHOTO, timeout=0.3)
    assert len(server.calls) == 1


async def test_cancelling_an_upload_reaches_the_server_and_closes_the_source(server, client):
    events: list[str] = []

    async def listening(requests, context):
        whole = False
        try:
            async for request in requests:  # it raises CancelledError, or ends as a truncated upload does
                whole = request.HasField("finish")
            return pb.UploadImageResponse()
        finally:
            events.append("finished" if whole else "server was told")

    async def slow():
        try:
            yield b"x" * 100_000
            events.append("sending")
            await asyncio.Event().wait()
        finally:
            events.append("source closed")

    server.script = [listening]
    upload = asyncio.create_task(client.upload(slow()))
    await reached(lambda: "sending" in events)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await reached(lambda: "server was told" in events)
    assert "source closed" in events


async def test_what_reading_the_source_raises_is_raised_and_the_call_is_ended(server, client):
    async def broken():
        yield b"x" * 100_000
        raise OSError("the card was pulled out")

    ended = asyncio.Event()

    async def listening(requests, context):
        try:
            await drain(requests)
        finally:
            ended.set()

    server.script = [listening]
    with pytest.raises(OSError, match="pulled out"):
        await client.upload(broken())
    await asyncio.wait_for(ended.wait(), 10)


async def test_a_file_that_is_not_there_is_the_error_that_the_system_gives(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        await client.upload(tmp_path / "missing.jpg")


async def test_a_server_that_cancels_is_an_error_and_not_a_cancellation_of_the_caller(server, client):
    async def cancels(requests, context):
        await context.abort(Code.CANCELLED, "not wanted", rich(Code.CANCELLED, "", info("X")))

    server.script = [cancels]
    with pytest.raises(CancelledError):
        await client.upload(b"x" * 10)


async def test_a_server_that_nobody_runs_is_unavailable(nobody):
    config = ClientConfig(target=nobody, attempts=2, initial_backoff=0.01)
    async with ImagingClient(config=config) as client:
        with pytest.raises(UnavailableError):
            await client.upload(PHOTO)


async def test_a_file_is_closed_however_early_its_upload_ends(server, client, tmp_path):
    async def refuse(requests, context):
        await abort(context, Code.INVALID_ARGUMENT, "NOT_AN_IMAGE")

    path = tmp_path / "photo"
    path.write_bytes(PHOTO)
    server.script = [refuse]
    for turns in range(30):
        upload = asyncio.create_task(client.upload(path))
        for _ in range(turns):
            await asyncio.sleep(0)
        upload.cancel()
        with pytest.raises((asyncio.CancelledError, InvalidArgumentError)):
            await upload
    await reached(lambda: path not in [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.exists()])
