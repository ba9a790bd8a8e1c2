"""How fast the client uploads: ImagingClient.upload to the real service, beside a raw grpc.aio byte stream to an empty handler.

Raw is grpc.aio as it comes: messages of bytes, made before the clock starts, to a handler that counts them; of 256 KiB, and as
large as our client's. Ours reads a file, sends spec, offsets and CRC-32C of every chunk and of the whole, to a server that checks
and spools them. One line is our client to the empty handler, which shows the client alone. Servers are processes of their own;
runs alternate. The time is from the first write to when gRPC's flow control has taken the last chunk.

The target is a share of the raw stream of 256 KiB messages. The larger one shows how much of what grpc.aio can do at all is left:
reading, two checksums, and writing to the page cache are work that it does not have, and on two cores it leaves nobody idle.

    python bench/upload_stream.py [--runs 15] [--megabytes 64]
"""

import argparse
import asyncio
import contextlib
import json
import operator
import os
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import google_crc32c
import grpc
import machine
import uvloop
from souk.client import ClientConfig, ImagingClient
from souk.client._upload import METHOD, encode_chunk, upload_method
from souk.imaging.v1 import imaging_pb2 as pb

CHUNK = 256 * 1024
LARGE_CHUNK = ClientConfig(target="").chunk_bytes
TARGET = 0.85
RAW, RAW_LARGE = (f"raw, {chunk // 1024:,} KiB messages" for chunk in (CHUNK, LARGE_CHUNK))
OURS_ALONE, OURS = "our client, empty handler", "our client, imaging"


async def serve_empty() -> None:
    """A handler that counts bytes and parses nothing."""

    async def count(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        size = 0
        async for message in messages:
            size += len(message)
        return pb.UploadImageResponse(image=pb.Image(original=pb.Original(size_bytes=size))).SerializeToString()

    service, _, method = METHOD[1:].partition("/")
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(service, {method: grpc.stream_unary_rpc_method_handler(count)})
    server.add_generic_rpc_handlers((handler,))
    sys.stdout.write(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}\n")
    sys.stdout.flush()
    await server.start()
    await server.wait_for_termination()


@contextlib.asynccontextmanager
async def empty_server() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, "--serve-empty", stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def imaging(folder: Path) -> AsyncIterator[str]:
    ready = folder / "ready.json"
    settings = {
        "PORT": 0,
        "HTTP_PORT": 0,
        "READY_FILE": ready,
        "STATE_DIR": folder / "state",
        "MAX_BYTES": 2**31,
        "MAX_PIXELS": 2**30,
        "WORKERS": 1,
        "LOG_LEVEL": "error",
    }
    environment = {**os.environ, **{f"SOUK_IMAGING_{name}": str(value) for name, value in settings.items()}}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "souk_imaging", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        while not ready.exists():
            assert process.returncode is None, "imaging could not start"
            await asyncio.sleep(0.02)
        yield json.loads(ready.read_bytes())["grpc"]
    finally:
        process.terminate()
        await process.wait()


def photo(path: Path, size: int) -> None:
    """A PNG of about `size` bytes whose header is right, and whose pixels end before they are complete.

    The service takes it, for it reads only headers while it receives, and refuses it in the worker, in milliseconds: so no run
    leaves work behind that would slow the next one down.
    """
    side = 16_384

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", os.urandom(size)) + chunk(b"IEND", b""))


async def raw(channel: grpc.aio.Channel, chunks: list[bytes]) -> float:
    """Seconds for the chunks as they are."""
    call = upload_method(channel)()
    await call.write(b"first")
    start = time.perf_counter()
    for chunk in chunks:
        await call.write(chunk)
    took = time.perf_counter() - start
    await call.done_writing()
    await call
    return took


async def ours(client: ImagingClient, path: Path, size: int) -> float:
    """Seconds for an upload of the file."""
    marks: dict[int, float] = {}

    def note(sent: int, _: int | None) -> None:
        marks[sent] = marks.get(sent, time.perf_counter())

    image = await client.upload(path, wait_for=pb.WAIT_FOR_ACCEPTED, on_progress=note, timeout=120)
    assert image.original.size_bytes >= size, "all of it arrived"
    if image.image_id:
        async for _ in client.watch(image.image_id):
            pass
        await client.delete(image.image_id)
    return marks[size] - marks[0]


def measure_encoding(data: bytes) -> tuple[float, float]:
    """Microseconds for one chunk encoded by hand, and by the generated classes."""
    crc32c = google_crc32c.value(data)
    taken = []
    for encode in (
        lambda: encode_chunk(2**24, data, crc32c),
        lambda: pb.UploadImageRequest(chunk=pb.UploadChunk(write_offset=2**24, data=data, crc32c=crc32c)).SerializeToString(),
    ):
        start = time.perf_counter()
        for _ in range(500):
            encode()
        taken.append((time.perf_counter() - start) / 500 * 1e6)
    return taken[0], taken[1]


async def compare(runs: int, megabytes: int) -> bool:
    results: dict[str, list[float]] = {RAW: [], RAW_LARGE: [], OURS_ALONE: [], OURS: []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "photo.png"
        photo(path, megabytes * 1_000_000)
        data = path.read_bytes()
        chunks, large_chunks = (
            [data[start : start + size] for start in range(0, len(data), size)] for size in (CHUNK, LARGE_CHUNK)
        )
        async with empty_server() as empty, imaging(folder) as service, grpc.aio.insecure_channel(empty) as channel:
            config = ClientConfig(target=service, upload_timeout=120)
            async with ImagingClient(config=config) as client, ImagingClient(channel=channel) as alone:
                for run in range(runs + 1):
                    for name, seconds in (
                        (RAW, await raw(channel, chunks)),
                        (OURS_ALONE, await ours(alone, path, len(data))),
                        (OURS, await ours(client, path, len(data))),
                        (RAW_LARGE, await raw(channel, large_chunks)),
                    ):
                        if run:  # the first warms up
                            results[name].append(len(data) / seconds / 2**20)
    print(machine.describe())
    print(f"\n{len(data):,} bytes, ours in chunks of {LARGE_CHUNK // 1024:,} KiB, {runs} alternating runs")
    print("MiB/s: median (least to most)\n")
    for name, rates in results.items():
        print(f"  {name:26} {machine.spread(rates)}")
    ratios = {name: statistics.median(map(operator.truediv, results[OURS], results[name])) for name in (RAW, RAW_LARGE, OURS_ALONE)}
    reached = ratios[RAW] >= TARGET
    print(f"\n  imaging is {ratios[RAW]:.2f} of raw, run by run: {'reached' if reached else 'MISSED'} (target {TARGET})")
    print(f"  and {ratios[RAW_LARGE]:.2f} of raw messages as large as its own, {ratios[OURS_ALONE]:.2f} of its client alone")
    by_hand, generated = measure_encoding(chunks[0])
    print(f"\n  one chunk encoded: {by_hand:.0f} µs by hand, {generated:.0f} µs by the generated classes")
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--serve-empty", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_empty:
        uvloop.run(serve_empty())
        return 0
    return 0 if uvloop.run(compare(options.runs, options.megabytes)) else 1


if __name__ == "__main__":
    sys.exit(main())
