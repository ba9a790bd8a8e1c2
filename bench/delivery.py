"""How fast the origin delivers a picture, beside starlette's StaticFiles serving the same file.

Both run under uvicorn and uvloop in a process of their own, each with one event loop, and are driven by h2load over HTTP/1.1. Runs
alternate. The target is that of the system Souk replaces: a photo delivered in less than 100 ms.

    python bench/delivery.py [--runs 5] [--requests 5000]
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import uvicorn
from souk.client import ImagingClient
from souk.imaging.v1 import imaging_pb2 as pb
from souk_cli import demo_photos
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

TARGET_MS = 100
PEER_PORT = 50973


def serve_static(folder: str) -> None:
    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder))])
    uvicorn.run(app, port=PEER_PORT, log_level="error", access_log=False)


def drive(url: str, requests: int, accept: str) -> tuple[float, dict[str, float]]:
    """(requests a second, milliseconds by name) over 16 connections."""
    with tempfile.NamedTemporaryFile() as log:
        command = ["h2load", "--h1", "-t1", "-c16", f"-n{requests}", "-H", f"accept: {accept}", f"--log-file={log.name}", url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rate = re.search(r"([\d.]+) req/s", output)
        good = re.search(r"status codes: (\d+) 2xx", output)
        if not rate or not good or int(good[1]) != requests:
            raise RuntimeError(output)
        times = sorted(int(line.split("\t")[2]) / 1000 for line in Path(log.name).read_text().splitlines())
    return float(rate[1]), {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "max": times[-1]}


async def upload(target: str, photo: Path) -> tuple[pb.Image, pb.Variant, bytes]:
    async with ImagingClient(target) as client:
        image = await client.upload(photo)
        variant = min((v for v in image.variants if v.url), key=lambda v: abs(v.size_bytes - 100_000))
        data = await client.download(image.image_id, variant.name)
        return image, variant, data if isinstance(data, bytes) else b""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=5_000)
    options = parser.parse_args()
    if not shutil.which("h2load"):
        sys.exit("h2load is not there: apt-get install nghttp2-client")
    print(machine.describe())
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        static = folder / "static"
        static.mkdir()
        environment = {
            **os.environ,
            "SOUK_IMAGING_PORT": "0",
            "SOUK_IMAGING_HTTP_PORT": "0",
            "SOUK_IMAGING_STATE_DIR": str(folder / "state"),
            "SOUK_IMAGING_READY_FILE": str(folder / "ready.json"),
            "SOUK_IMAGING_LOG_SUCCESS_RATIO": "0.01",
        }
        for command in ([sys.executable, "-m", "souk_imaging"], [sys.executable, __file__, "--static", str(static)]):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGKILL)
        while not (folder / "ready.json").exists():
            time.sleep(0.05)
        addresses = json.loads((folder / "ready.json").read_text())
        photo = demo_photos.camera_jpeg(folder / "12mp.jpg").path
        image, variant, data = asyncio.run(upload(addresses["grpc"], photo))
        (static / "picture.bin").write_bytes(data)
        root = f"http://{addresses['http']}"
        urls = {
            "immutable URL": root + variant.url,
            "negotiating URL": f"{root}{image.url}?w={variant.width}",
            "StaticFiles": f"http://127.0.0.1:{PEER_PORT}/picture.bin",
        }
        print(f"{variant.name}, {len(data):,} bytes, 16 connections")
        rates: dict[str, list[float]] = {name: [] for name in urls}
        times: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
        for number in range(options.runs + 1):
            for name, url in urls.items():
                rate, spent = drive(url, options.requests, variant.content_type)
                if number:  # the first run warms up
                    rates[name].append(rate)
                    times[name].append(spent)
    for name in urls:
        shown = ", ".join(f"{q} {machine.spread([each[q] for each in times[name]], '.1f')} ms" for q in ("p50", "p99", "max"))
        print(f"{name:16} {machine.spread(rates[name])} requests/s; {shown}")
    worst = max(each["max"] for name in ("immutable URL", "negotiating URL") for each in times[name])
    print(f"slowest delivery {worst:.1f} ms   target < {TARGET_MS} ms: {'met' if worst < TARGET_MS else 'MISSED'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--static"]:
        serve_static(sys.argv[2])
    else:
        main()
