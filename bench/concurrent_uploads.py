"""64 uploads of 12 MP photos at once: does any fail, does the event loop stay free, is memory bounded?

The service runs as a process of its own with its defaults. Its memory is read from /proc while it works, and its event-loop lag
from its own last log line, as an operator would.

    python bench/concurrent_uploads.py [--uploads 64] [--rounds 3]
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from souk.client import ClientConfig, ImagingClient, SoukError
from souk.imaging.v1 import imaging_pb2 as pb
from souk_cli import demo_photos
from souk_common.telemetry.process import resident_bytes
from souk_imaging.settings import ImagingSettings

LAG_TARGET_MS = 20
SERVICE_BASE_BYTES = 256 * 2**20
"""What the service itself takes besides uploads in flight: interpreter, gRPC, OpenTelemetry, boto3."""
UPLOAD_BYTES = 4 * 2**20
"""What one upload in flight takes: two batches of 1 MiB on their way to the spool, and gRPC's own buffers."""


async def start(folder: Path) -> tuple[asyncio.subprocess.Process, dict[str, Any], Path]:
    ready, log = folder / "ready.json", folder / "log"
    environment = {
        **os.environ,
        "SOUK_IMAGING_PORT": "0",
        "SOUK_IMAGING_HTTP_PORT": "0",
        "SOUK_IMAGING_STATE_DIR": str(folder / "state"),
        "SOUK_IMAGING_READY_FILE": str(ready),
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "souk_imaging", stdout=output, env=environment)
    while not ready.exists():
        if process.returncode is not None:
            sys.exit(log.read_text())
        await asyncio.sleep(0.05)
    return process, json.loads(ready.read_text()), log


async def watch_memory(pid: int, peaks: dict[str, int]) -> None:
    """Keep the largest that the service and its workers have held."""
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        workers = [resident_bytes(child) for child in children]
        service = resident_bytes(pid)
        peaks["service"] = max(peaks.get("service", 0), service)
        peaks["worker"] = max(peaks.get("worker", 0), *workers, 0)
        peaks["together"] = max(peaks.get("together", 0), service + sum(workers))
        await asyncio.sleep(0.05)


async def upload(client: ImagingClient, photo: Path) -> float:
    begin = time.perf_counter()
    image = await client.upload(photo, timeout=600)
    if image.state != pb.IMAGE_STATE_READY or image.processing.decodes != 1:
        raise RuntimeError(f"{image.image_id} is not ready, or was decoded more than once")
    return time.perf_counter() - begin


async def one_round(photo: Path, uploads: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        process, addresses, log = await start(Path(name))
        peaks: dict[str, int] = {}
        watching = asyncio.create_task(watch_memory(process.pid, peaks))
        try:
            async with ImagingClient(config=ClientConfig(target=addresses["grpc"], attempts=1)) as client:
                begin = time.perf_counter()
                results = await asyncio.gather(*(upload(client, photo) for _ in range(uploads)), return_exceptions=True)
                seconds = time.perf_counter() - begin
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            process.send_signal(signal.SIGTERM)
            await process.wait()
        stopped = next(line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "stopped")
        failed = [result for result in results if isinstance(result, BaseException)]
        for failure in failed[:3]:
            print(f"  failed: {failure!r}" if not isinstance(failure, SoukError) else f"  failed: {failure}")
        times = [result for result in results if isinstance(result, float)]
        return {
            "failed": len(failed),
            "seconds": seconds,
            "first": min(times, default=0.0),
            "lag p50": stopped["loop_lag_p50_ms"],
            "lag p99": stopped["loop_lag_p99_ms"],
            "lag max": stopped["loop_lag_max_ms"],
            "service MiB": peaks["service"] / 2**20,
            "worker MiB": peaks["worker"] / 2**20,
            "together MiB": peaks["together"] / 2**20,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photo", type=Path, help="a photo of your own instead of a made one")
    options = parser.parse_args()
    print(machine.describe())
    settings = ImagingSettings()
    bound = SERVICE_BASE_BYTES + options.uploads * UPLOAD_BYTES + settings.workers * settings.worker_max_memory_bytes
    with tempfile.TemporaryDirectory() as folder:
        photo = options.photo or demo_photos.camera_jpeg(Path(folder, "12mp.jpg")).path
        print(f"{options.uploads} uploads at once of {photo.name}, {photo.stat().st_size / 1e6:.1f} MB, {settings.workers} workers")
        rounds = []
        for number in range(options.rounds):
            rounds.append(asyncio.run(one_round(photo, options.uploads)))
            print(f"round {number + 1}: " + ", ".join(f"{key} {value:,.1f}" for key, value in rounds[-1].items()), flush=True)
    rates = [options.uploads / each["seconds"] for each in rounds]
    lag = statistics.median(each["lag p99"] for each in rounds)
    print(f"photos a second       {machine.spread(rates, '.2f')}")
    print(f"failed                {sum(each['failed'] for each in rounds):.0f} of {options.uploads * options.rounds}   target 0")
    print(f"event-loop lag p99    {machine.spread([each['lag p99'] for each in rounds], '.1f')} ms   "
          f"target < {LAG_TARGET_MS} ms: {'met' if lag < LAG_TARGET_MS else 'MISSED'}")  # fmt: skip
    together = max(each["together MiB"] for each in rounds)
    print(f"memory, all processes {together:,.0f} MiB; bound {bound >> 20:,} MiB = {SERVICE_BASE_BYTES >> 20} + "
          f"{options.uploads} uploads x {UPLOAD_BYTES >> 20} + {settings.workers} workers x "
          f"{settings.worker_max_memory_bytes >> 20}: {'within' if together < bound >> 20 else 'OVER'}")  # fmt: skip


if __name__ == "__main__":
    main()
