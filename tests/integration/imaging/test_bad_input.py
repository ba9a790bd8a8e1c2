"""Bad input gets a typed error that names what is wrong, early, and leaves nothing behind."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
import photos
import pictures
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from PIL import Image
from souk.client import ClientConfig, FailedPreconditionError, ImagingClient, InvalidArgumentError, NotFoundError
from souk.imaging.v1 import imaging_pb2 as pb
from souk.imaging.v1 import imaging_pb2_grpc
from souk_common.testing import RunningServer

from services import Serve

PHOTO = pictures.jpeg(600, 400)
IDS = [
    "",
    "x",
    "../../etc/passwd",
    "01jd/../x",
    "%2e%2e",
    "0" * 27,
    "01JDABCDEFGHJKMNPQRSTVWXYZ",
    "z" * 26,
    "_index",
    "\x00" * 26,
    "é" * 13,
]


def png_header(width: int, height: int) -> bytes:
    """The first chunk of a PNG of this size, and nothing more."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0" * 64


def jpeg_header(width: int, height: int, *, marker: int = 0xC0) -> bytes:
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 17, 8, height, width, 3) + bytes([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1])
    return b"\xff\xd8" + frame + b"\0" * 64


def steps(
    photo: bytes, *, spec: dict[str, Any] | None = None, finish: dict[str, Any] | None = None, piece: int = 64 * 1024
) -> Iterable[pb.UploadImageRequest]:
    """A whole upload."""
    yield pb.UploadImageRequest(spec=pb.UploadSpec(**(spec or {})))
    for start in range(0, len(photo), piece):
        yield pb.UploadImageRequest(chunk=pb.UploadChunk(write_offset=start, data=photo[start : start + piece]))
    yield pb.UploadImageRequest(finish=pb.UploadFinish(**{"size_bytes": len(photo), **(finish or {})}))


def told(error: grpc.aio.AioRpcError) -> tuple[str, str, dict[str, str], list[str]]:
    """(code, reason, metadata, bad fields); there must be exactly one ErrorInfo."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    infos, fields = [], []
    for detail in status.details:
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            infos.append(info)
        if detail.Unpack(request):
            fields = [violation.field for violation in request.field_violations]
    assert len(infos) == 1
    return error.code().name, infos[0].reason, dict(infos[0].metadata), fields


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(serve_module: Serve) -> AsyncIterator[RunningServer]:
    async with serve_module() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: RunningServer) -> AsyncIterator[ImagingClient]:
    async with ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        yield client


@pytest.fixture(scope="module")
def stub(server: RunningServer) -> Any:
    return imaging_pb2_grpc.ImagingServiceStub(server.channel(max_send_message_length=8 << 20))


async def refused(stub: Any, messages: Iterable[pb.UploadImageRequest]) -> tuple[str, str, dict[str, str], list[str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UploadImage(iter(messages))
    return told(caught.value)


@pytest.mark.parametrize(
    ("photo", "reason", "metadata"),
    [
        (b"not an image at all, but some text that goes on for a while", "NOT_AN_IMAGE", {}),
        (b"\0" * 1000, "NOT_AN_IMAGE", {}),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'></svg>",
            "FORMAT_NOT_SUPPORTED",
            {"found": "image/svg+xml"},
        ),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64, "FORMAT_NOT_SUPPORTED", {"found": "image/heic"}),
        (b"%PDF-1.7" + b" " * 64, "FORMAT_NOT_SUPPORTED", {"found": "application/pdf"}),
        (PHOTO[:20], "IMAGE_TRUNCATED", {}),
        (PHOTO[: len(PHOTO) // 2], "IMAGE_TRUNCATED", {}),
        (pictures.encode(Image.fromarray(pictures.array(300, 300)), "PNG")[:40_000], "IMAGE_TRUNCATED", {}),
        (png_header(100_000, 100_000), "TOO_MANY_PIXELS", {"pixels": "10000000000", "limit_pixels": "50000000"}),
        (jpeg_header(65_500, 65_500), "TOO_MANY_PIXELS", {"limit_pixels": "50000000"}),
        (jpeg_header(6_000, 6_000, marker=0xC2), "TOO_MANY_PIXELS", {"limit_pixels": "30000000"}),
        (png_header(0, 10), "IMAGE_CORRUPT", {}),
    ],
    ids=[
        "text",
        "zeros",
        "svg",
        "heic",
        "pdf",
        "start",
        "half",
        "half-png",
        "png-bomb",
        "jpeg-bomb",
        "progressive-bomb",
        "no-pixels",
    ],
)
async def test_a_photo_that_cannot_be_taken_is_named(stub: Any, photo: bytes, reason: str, metadata: dict[str, str]) -> None:
    code, found, data, _ = await refused(stub, steps(photo))
    assert (code, found) == ("INVALID_ARGUMENT", reason)
    assert metadata.items() <= data.items()


async def test_a_flat_bomb_in_few_bytes_is_refused(stub: Any) -> None:
    bomb = pictures.encode(Image.new("L", (8000, 8000)), "PNG")
    assert len(bomb) < 100_000
    assert (await refused(stub, steps(bomb)))[1] == "TOO_MANY_PIXELS"


async def test_a_portrait_of_a_phone_with_megabytes_of_metadata_is_taken_up_to_the_limit(serve: Serve) -> None:
    portrait = photos.with_extended_xmp(PHOTO, 25)
    async with serve() as server, ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        image = await client.upload(portrait)
        assert (image.state, image.original.size_bytes) == (pb.IMAGE_STATE_READY, len(portrait))
        assert (await client.upload(photos.with_extended_xmp(PHOTO, 100))).state == pb.IMAGE_STATE_READY
    async with serve(max_metadata_bytes=1_000_000) as server:
        stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())
        code, reason, metadata, _ = await refused(stub, list(steps(portrait))[:-1])
    assert (code, reason, metadata) == ("INVALID_ARGUMENT", "TOO_MUCH_METADATA", {"limit_bytes": "1000000"})


async def test_an_avif_whose_pixels_come_first_is_taken(client: ImagingClient) -> None:
    photo = photos.avif_mdat_first(pictures.encode(Image.fromarray(pictures.array(300, 200)), "AVIF"), padding=3 << 20)
    image = await client.upload(photo)
    assert (image.state, image.original.width) == (pb.IMAGE_STATE_READY, 300)


async def test_too_many_frames_are_refused(serve: Serve) -> None:
    frames = [Image.new("RGB", (32, 32), (n * 10, 0, 0)) for n in range(12)]
    moving = pictures.encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    async with serve(max_frames=10) as server:
        stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())
        code, reason, metadata, _ = await refused(stub, steps(moving))
    assert (code, reason) == ("INVALID_ARGUMENT", "TOO_MANY_FRAMES")
    assert metadata == {"limit_frames": "10", "frames": "12"}


async def test_too_many_bytes_are_refused_by_the_spec_and_by_what_arrives(serve: Serve) -> None:
    async with serve(max_bytes=20_000) as server:
        stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())
        for spec in ({"size_bytes": len(PHOTO)}, {}):
            code, reason, metadata, _ = await refused(stub, steps(PHOTO, spec=spec, piece=5_000))
            assert (code, reason, metadata) == ("INVALID_ARGUMENT", "TOO_MANY_BYTES", {"limit_bytes": "20000"})


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "UPLOAD_EMPTY"),
        ([pb.UploadImageRequest(spec=pb.UploadSpec())], "UPLOAD_EMPTY"),
        (list(steps(b"")), "UPLOAD_EMPTY"),
        (list(steps(PHOTO))[:-1], "UPLOAD_INCOMPLETE"),
        (list(steps(PHOTO))[1:], "UPLOAD_OUT_OF_ORDER"),
        ([*list(steps(PHOTO, piece=5000))[:3], *list(steps(PHOTO, piece=5000))[4:]], "UPLOAD_OUT_OF_ORDER"),
        ([*list(steps(PHOTO))[:1], *list(steps(PHOTO))], "UPLOAD_OUT_OF_ORDER"),
        (list(steps(PHOTO, finish={"size_bytes": 7})), "SIZE_MISMATCH"),
        (list(steps(PHOTO, spec={"size_bytes": len(PHOTO) - 1})), "SIZE_MISMATCH"),
        (list(steps(PHOTO, spec={"size_bytes": len(PHOTO) + 1})), "SIZE_MISMATCH"),
        (list(steps(PHOTO, finish={"crc32c": 1})), "CHECKSUM_MISMATCH"),
        (list(steps(PHOTO, finish={"sha256": b"x" * 32})), "CHECKSUM_MISMATCH"),
        (list(steps(PHOTO, spec={"content_type": "image/png"})), "CONTENT_TYPE_MISMATCH"),
        (list(steps(PHOTO, spec={"profile": "../poster"})), "PROFILE_UNKNOWN"),
        ([pb.UploadImageRequest(spec=pb.UploadSpec()), pb.UploadImageRequest()], "INVALID_FIELD"),
        ([pb.UploadImageRequest(spec=pb.UploadSpec()), pb.UploadImageRequest(chunk=pb.UploadChunk())], "INVALID_FIELD"),
    ],
)
async def test_an_upload_that_breaks_the_rules_is_named(stub: Any, messages: list[pb.UploadImageRequest], reason: str) -> None:
    code, found, _, _ = await refused(stub, messages)
    assert (code, found) == ("INVALID_ARGUMENT", reason)


async def test_a_damaged_chunk_is_named_by_its_offset(stub: Any) -> None:
    messages = list(steps(PHOTO, piece=10_000))
    messages[2].chunk.crc32c = google_crc32c.value(messages[2].chunk.data) ^ 1
    assert (await refused(stub, messages))[1:3] == ("CHECKSUM_MISMATCH", {"algorithm": "crc32c", "write_offset": "10000"})


async def test_every_bad_field_is_named_at_once(stub: Any) -> None:
    spec = {"request_id": "a b", "owner": "a/b", "tags": ["ok", "no good"], "size_bytes": -1, "wait_for": 9}
    code, reason, _, fields = await refused(stub, steps(PHOTO, spec=spec))
    assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert fields == ["spec.request_id", "spec.owner", "spec.tags", "spec.size_bytes", "spec.wait_for"]


@pytest.mark.parametrize("image_id", IDS)
async def test_an_id_that_is_none_is_named(stub: Any, image_id: str) -> None:
    calls = [
        lambda: stub.GetImage(pb.GetImageRequest(image_id=image_id)),
        lambda: stub.DeleteImage(pb.DeleteImageRequest(image_id=image_id, allow_missing=True)),
        lambda: stub.SelectVariant(pb.SelectVariantRequest(image_id=image_id)),
        lambda: anext(aiter(stub.DownloadVariant(pb.DownloadVariantRequest(image_id=image_id, variant_name="x")))),
        lambda: anext(aiter(stub.WatchImage(pb.WatchImageRequest(image_id=image_id)))),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        code, reason, _, fields = told(caught.value)
        assert (code, reason, fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", ["image_id"])


async def test_an_id_that_does_not_exist_is_not_found(client: ImagingClient) -> None:
    missing = "01jd" + "0" * 22
    for call in (
        client.get(missing),
        client.select(missing),
        client.download(missing, "x"),
        client.delete(missing),
        anext(client.watch(missing)),
    ):
        with pytest.raises(NotFoundError) as caught:
            await call
        assert caught.value.reason == "IMAGE_NOT_FOUND"


async def test_a_variant_that_does_not_exist_is_not_found(client: ImagingClient) -> None:
    image = await client.upload(PHOTO)
    for name in ("_original", "_manifest.json", "../x", "product-200.0000000000000000.avif"):
        with pytest.raises(NotFoundError) as caught:
            await client.download(image.image_id, name)
        assert caught.value.reason == "VARIANT_NOT_FOUND"


async def test_what_the_header_tells_is_refused_within_64_kib(server: RunningServer) -> None:
    stub = imaging_pb2_grpc.ImagingServiceStub(server.channel())
    sent = 0
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[pb.UploadImageRequest]:
        nonlocal sent
        yield pb.UploadImageRequest(spec=pb.UploadSpec())
        data = png_header(60_000, 60_000).ljust(16 * 1024, b"\0")
        for _ in range(4):
            yield pb.UploadImageRequest(chunk=pb.UploadChunk(write_offset=sent, data=data))
            sent += len(data)
        await ended.wait()  # nothing more is sent: the answer must come from what there is

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UploadImage(endless(), timeout=20)
    ended.set()
    assert told(caught.value)[1] == "TOO_MANY_PIXELS"
    assert sent <= 64 * 1024


async def test_a_photo_that_fails_after_acceptance_says_so(client: ImagingClient) -> None:
    image = await client.upload(PHOTO[: len(PHOTO) // 2], wait_for=pb.WAIT_FOR_ACCEPTED)
    last = [seen async for seen in client.watch(image.image_id)][-1]
    assert last is not None
    assert last.state == pb.IMAGE_STATE_FAILED
    assert (last.error.reason, last.error.domain) == ("IMAGE_TRUNCATED", "souk.imaging.v1")
    assert last.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    with pytest.raises(FailedPreconditionError) as caught:
        await client.select(image.image_id)
    assert (caught.value.reason, caught.value.metadata["reason"]) == ("IMAGE_FAILED", "IMAGE_TRUNCATED")


async def test_bad_input_leaves_nothing_behind_and_the_next_photo_goes_through(serve: Serve, tmp_path: Path) -> None:
    async with serve() as server, ImagingClient(config=ClientConfig(target=server.addresses.grpc)) as client:
        for photo in (PHOTO[:9000], b"text" * 100, png_header(90_000, 90_000)):
            with pytest.raises(InvalidArgumentError):
                await client.upload(photo, request_id="again")
        photos = tmp_path / "state" / "photos"
        assert [path for path in photos.rglob("*") if path.is_file()] == []
        assert list((tmp_path / "state" / "spool").rglob("photo-*")) == []
        assert (await client.upload(PHOTO, request_id="again")).state == pb.IMAGE_STATE_READY
