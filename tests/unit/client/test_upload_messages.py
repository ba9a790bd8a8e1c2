"""The messages of an upload as they go over the wire."""

import io

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk.client._sources import source_of
from souk.client._upload import Upload, encode_chunk
from souk.imaging.v1 import imaging_pb2 as pb


@given(st.integers(0, 2**62), st.binary(min_size=1, max_size=2000), st.integers(0, 2**32 - 1))
def test_a_chunk_encoded_by_hand_is_what_the_generated_code_makes(write_offset, data, crc32c):
    generated = pb.UploadImageRequest(chunk=pb.UploadChunk(write_offset=write_offset, data=data, crc32c=crc32c))
    parsed = pb.UploadImageRequest.FromString(encode_chunk(write_offset, data, crc32c))
    assert parsed == generated
    assert write_offset == 0 or encode_chunk(write_offset, data, crc32c) == generated.SerializeToString()


async def messages(photo, chunk_bytes=4, **options):
    upload = Upload(spec=pb.UploadSpec(owner="me"), source=source_of(photo), chunk_bytes=chunk_bytes, **options)
    return [(pb.UploadImageRequest.FromString(message), sent) async for message, sent in upload._messages()]


async def pieces(*parts):
    for part in parts:
        yield part


class Pipe(io.RawIOBase):
    """Gives what it has, which is one byte, and cannot go back."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = list(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return bytes([self._data.pop(0)]) if self._data else b""


DATA = b"0123456789"


@pytest.mark.parametrize(
    "make",
    [
        lambda: DATA,
        lambda: bytearray(DATA),
        lambda: memoryview(DATA),
        lambda: io.BytesIO(DATA),
        lambda: Pipe(DATA),
        lambda: pieces(DATA),
        lambda: pieces(b"0", b"", b"12345678", b"9"),
    ],
    ids=["bytes", "bytearray", "memoryview", "file", "pipe", "one piece", "odd pieces"],
)
async def test_every_kind_of_source_is_cut_into_full_chunks_with_offsets_and_checksums(make):
    (spec, _), *chunks, (finish, total) = await messages(make())
    assert spec.spec.owner == "me"
    assert [(m.chunk.write_offset, m.chunk.data, sent) for m, sent in chunks] == [(0, b"0123", 4), (4, b"4567", 8), (8, b"89", 10)]
    assert all(m.chunk.crc32c == google_crc32c.value(m.chunk.data) for m, _ in chunks)
    assert (finish.finish.size_bytes, finish.finish.crc32c, finish.finish.sha256, total) == (10, google_crc32c.value(DATA), b"", 10)


async def test_the_first_chunk_is_small_so_that_a_photo_is_refused_by_its_header_before_the_rest_is_sent():
    data = bytes(range(256)) * 2048
    _, *chunks, (finish, _) = await messages(data, chunk_bytes=256 * 1024)
    assert [len(m.chunk.data) for m, _ in chunks] == [64 * 1024, 192 * 1024, 256 * 1024]
    assert b"".join(m.chunk.data for m, _ in chunks) == data
    assert finish.finish.crc32c == google_crc32c.value(data)


async def test_sha256_is_sent_where_it_is_asked_for():
    import hashlib

    *_, (finish, _) = await messages(DATA, with_sha256=True)
    assert finish.finish.sha256 == hashlib.sha256(DATA).digest()


async def test_an_open_file_is_sent_from_where_it_stands_and_stays_open():
    file = io.BytesIO(DATA)
    file.seek(4)
    source = source_of(file)
    assert (source.repeatable, await source.size()) == (True, 6)
    assert [b async for batch in source.batches(100) for b in batch] == [b"456789"]
    assert [b async for batch in source.batches(100) for b in batch] == [b"456789"]
    assert not file.closed


async def test_what_cannot_be_read_twice_is_not_repeatable():
    assert [source_of(pieces()).repeatable, source_of(Pipe(b"")).repeatable] == [False, False]
    assert [source_of(b"").repeatable, source_of("photo.jpg").repeatable] == [True, True]


def test_what_is_no_photo_is_a_type_error():
    with pytest.raises(TypeError, match="not int"):
        source_of(7)  # type: ignore[arg-type]


async def test_a_stream_that_is_left_in_the_middle_is_closed():
    closed = []

    async def endless():
        try:
            while True:
                yield b"0123"
        finally:
            closed.append(True)

    batches = source_of(endless()).batches(4)
    await anext(batches)
    await batches.aclose()
    assert closed
