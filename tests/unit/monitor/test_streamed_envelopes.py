"""Envelopes that are read while they come: little of them is here at once, and nobody waits for them."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from typing import Any

import brotli
import pytest
import zstandard
from souk_monitor.exceptions import TooLargeError
from souk_monitor.web.streamed import Sizes, StreamedEnvelope

MEBIBYTE = 1024 * 1024
EVENT = json.dumps({"message": "no stock"}).encode()
ATTACHED = b'{}\n{"type":"event"}\n%s\n{"type":"attachment","length":%d}\n' % (EVENT, 20 * MEBIBYTE) + bytes(20 * MEBIBYTE)
COMPRESSED = {
    "gzip": gzip.compress(ATTACHED, 1),
    "deflate": zlib.compress(ATTACHED, 1),
    "br": brotli.compress(ATTACHED, quality=1),
    "zstd": zstandard.ZstdCompressor(level=1).compress(ATTACHED),
}
SIZES = Sizes(30 * MEBIBYTE, 1000)


def streamed(encoding: str, begun: bytes = b"", turns: int = 1, most_bytes: int = 30 * MEBIBYTE) -> StreamedEnvelope:
    return StreamedEnvelope(begun, encoding, SIZES, most_bytes=most_bytes, turns=asyncio.Semaphore(turns))


@pytest.mark.parametrize("encoding", COMPRESSED)
async def test_what_is_read_past_is_never_here_as_a_whole(encoding: str) -> None:
    tracemalloc.start()
    body = streamed(encoding, COMPRESSED[encoding])
    envelope = await body.end()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [item.payload for item in envelope.items] == [EVENT]
    assert peak < 10 * MEBIBYTE  # one slice of zstd gives up to 4 MiB, and it has a window


async def test_an_uncompressed_body_is_not_kept_either() -> None:
    body = streamed("")
    held = set[bool]()
    for start in range(0, len(ATTACHED), 64 * 1024):
        await body.take(ATTACHED[start : start + 64 * 1024])
        held.add(body.held < MEBIBYTE)
    assert held == {True}
    assert [item.payload for item in (await body.end()).items] == [EVENT]


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 32 * 1024), ("br", 16 * MEBIBYTE), ("zstd", 8 * MEBIBYTE)])
def test_the_window_of_a_decompression_is_counted(encoding: str, window: int) -> None:
    assert streamed(encoding).held == window


async def test_it_is_read_beside_the_event_loop_when_it_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, to_thread = 0, asyncio.to_thread

    async def counted(work: Any, *given: Any) -> Any:
        nonlocal begun
        begun += 1
        return await to_thread(work, *given)

    monkeypatch.setattr(asyncio, "to_thread", counted)
    turns = asyncio.Semaphore(0)
    body = StreamedEnvelope(COMPRESSED["gzip"], "gzip", SIZES, most_bytes=MEBIBYTE, turns=turns)
    end = asyncio.ensure_future(body.end())
    for _ in range(10):
        await asyncio.sleep(0)
    assert begun == 0
    turns.release()
    assert len((await end).items) == begun == 1


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_the_whole_has_a_limit_as_it_is_sent(encoding: str) -> None:
    body = streamed(encoding, most_bytes=100_000)
    with pytest.raises(TooLargeError):
        await body.take(bytes(100_001))


@pytest.mark.parametrize("sizes", [Sizes(20 * MEBIBYTE, 1000), Sizes(30 * MEBIBYTE, 10)])
@pytest.mark.parametrize("encoding", COMPRESSED)
async def test_the_whole_and_what_is_kept_have_limits_once_decompressed(encoding: str, sizes: Sizes) -> None:
    body = StreamedEnvelope(COMPRESSED[encoding], encoding, sizes, most_bytes=MEBIBYTE, turns=asyncio.Semaphore(1))
    with pytest.raises(TooLargeError):
        await body.end()
