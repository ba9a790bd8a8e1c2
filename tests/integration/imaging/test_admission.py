"""What arrives, and what waits, is bounded; who is turned away is told when to come again, and a place that is given up is free."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import pictures
import pytest
from google.rpc import error_details_pb2, status_pb2
from souk.client import ClientConfig, ImagingClient
from souk.imaging.v1 import imaging_pb2 as pb
from souk.imaging.v1 import imaging_pb2_grpc
from souk_common.testing import RunningServer

from services import Serve

PHOTO = pictures.jpeg(300, 200)
SPEC = pb.UploadImageRequest(spec=pb.UploadSpec(wait_for=pb.WAIT_FOR_ACCEPTED, profile="avatar"))
NAMED = pb.UploadImageRequest(spec=pb.UploadSpec(wait_for=pb.WAIT_FOR_ACCEPTED, profile="avatar", request_id="r"))
START = pb.UploadImageRequest(chunk=pb.UploadChunk(data=PHOTO[:1000]))
REST = pb.UploadImageRequest(chunk=pb.UploadChunk(write_offset=1000, data=PHOTO[1000:]))
FINISH = pb.UploadImageRequest(finish=pb.UploadFinish(size_bytes=len(PHOTO)))
Messages = Iterable[pb.UploadImageRequest]


async def in_two_parts(first: Messages, event: asyncio.Event, second: Messages = ()) -> AsyncIterator[pb.UploadImageRequest]:
    """Some messages of an upload, and others when the event is set."""
    for message in first:
        yield message
    await event.wait()
    for message in second:
        yield message


def told(error: BaseException | None) -> tuple[str, error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo]:
    """Code, ErrorInfo and RetryInfo."""
    assert isinstance(error, grpc.aio.AioRpcError)
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    return error.code().name, info, retry


async def begin(server: RunningServer, event: asyncio.Event, rest: Messages) -> set[asyncio.Task[Any]]:
    """Begin 12 uploads at once, see all but two turned away, and return those two: they go on with `rest` when `event` is set."""
    stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())

    async def upload() -> Any:
        return await stub.UploadImage(in_two_parts([SPEC, START], event, rest))

    running = {asyncio.create_task(upload()) for _ in range(12)}
    while len(running) > 2:
        done, running = await asyncio.wait(running, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert done, f"{len(running)} uploads are taken in at once"
        for task in done:
            code, info, retry = told(task.exception())
            assert (code, info.reason) == ("UNAVAILABLE", "OVERLOADED")
            assert retry.retry_delay.seconds > 0
    return running


@pytest.fixture(params=["max_backlog", "max_uploads"])
async def server(request: pytest.FixtureRequest, serve: Serve) -> AsyncIterator[RunningServer]:
    async with serve(workers=1, **{request.param: 2}) as running:
        yield running


async def test_no_more_uploads_are_taken_in_at_once_than_may(server: RunningServer) -> None:
    event = asyncio.Event()
    taken = await begin(server, event, [REST, FINISH])
    event.set()
    answers = await asyncio.gather(*taken)
    async with ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        for answer in answers:
            last = [image async for image in client.watch(answer.image.image_id)][-1]
            assert last is not None
            assert last.state == pb.IMAGE_STATE_READY


@pytest.mark.parametrize("how", ["cancelled", "refused"])
async def test_an_upload_that_comes_to_nothing_gives_its_place_up(server: RunningServer, how: str) -> None:
    event = asyncio.Event()
    taken = await begin(server, event, [FINISH])
    if how == "cancelled":
        for upload in taken:
            upload.cancel()
    event.set()
    for result in await asyncio.gather(*taken, return_exceptions=True):
        assert isinstance(result, asyncio.CancelledError if how == "cancelled" else grpc.aio.AioRpcError)
    async with ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        images = await asyncio.gather(*(client.upload(PHOTO, profile="avatar", request_id=f"{n}") for n in range(2)))
        assert all(image.state == pb.IMAGE_STATE_READY for image in images)


@pytest.mark.parametrize(
    "messages", [[], [NAMED], [NAMED, START], [NAMED, START, REST]], ids=["none", "spec", "start", "no finish"]
)
async def test_an_upload_that_stops_sending_is_over_and_can_be_repeated(serve: Serve, tmp_path: Path, messages: Messages) -> None:
    async with serve(workers=1, max_uploads=1, upload_idle_timeout=0.5) as server:
        stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.UploadImage(in_two_parts(messages, asyncio.Event()), timeout=20)
        code, info, _ = told(caught.value)
        assert (code, info.reason, dict(info.metadata)) == ("DEADLINE_EXCEEDED", "UPLOAD_STALLED", {"limit_seconds": "0.5"})
        assert list((tmp_path / "state" / "spool").rglob("photo-*")) == []
        answer = await stub.UploadImage(in_two_parts([NAMED, START, REST, FINISH], asyncio.Event()))
        assert answer.image.original.size_bytes == len(PHOTO)
