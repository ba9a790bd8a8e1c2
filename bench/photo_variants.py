"""The product variants of one photo: time, CPU, memory and bytes, against the same libvips used the plain way.

Ours is a worker of the pool: one decode, encoders in parallel. Peers are fresh processes of the same libvips that make the same
sizes and formats one after the other, each from the file with vips_thumbnail (as many decodes as variants, of a JPEG as small as
the variant allows): once with our encoder settings, so that only the way of working differs, and once with libvips' own defaults
at the same quality. The floor is one full decode and nothing else. Runs alternate. Where the machine has other work, trust the
CPU time.

    python bench/photo_variants.py [--photos FOLDER] [--rounds 5]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import machine
from souk_cli import demo_photos
from souk_imaging.adapters import profile_file
from souk_imaging.adapters.workers import WorkerPool
from souk_imaging.photos import Encoded, Finished, Job, Limits, Probed
from souk_imaging.profiles import Profile
from souk_imaging.worker.__main__ import NICENESS

LIMITS = Limits(
    max_bytes=1 << 30, max_metadata_bytes=1 << 30, max_pixels=200_000_000, max_progressive_pixels=200_000_000, max_frames=300
)
TARGET_SECONDS = 2.0
"""For the product set of a 12 MP photo."""
SIZES = {"6 MP": (3000, 2000), "12 MP": (4032, 3024), "24 MP": (6000, 4000)}

PEER = """
import json, os, sys, time
import pyvips
pyvips.cache_set_max(0)
task = json.loads(sys.argv[1])
os.nice(task["niceness"])
start, cpu = time.perf_counter(), time.process_time()
sizes = {}
if task["mode"] == "floor":
    pyvips.Image.new_from_file(task["photo"], access="sequential").copy_memory()
else:
    for side in task["sides"]:
        for form, quality, effort in task["formats"]:
            image = pyvips.Image.thumbnail(task["photo"], side, height=side, size="down", export_profile="srgb")
            options = {"Q": quality, "keep": "none"}
            if task["mode"] == "settings":
                options |= {
                    "jpg": dict(interlace=True, optimize_coding=True, trellis_quant=True, overshoot_deringing=True, quant_table=3),
                    "webp": dict(effort=effort),
                    "avif": dict(effort=effort, bitdepth=8, tune="iq"),
                }[form]
            if form == "avif":
                options["compression"] = "av1"
            save = {"jpg": image.jpegsave_buffer, "webp": image.webpsave_buffer, "avif": image.heifsave_buffer}[form]
            sizes[form] = sizes.get(form, 0) + len(save(**options))
# not ru_maxrss, which begins with the parent's
(peak,) = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "MiB": peak / 1024} | sizes))
"""

Measures = dict[str, float]


async def ours(pool: WorkerPool, photo: Path, profile: Profile) -> Measures:
    (pid,) = pool.pids
    measures: Measures = defaultdict(float)
    planned = 0
    with tempfile.TemporaryDirectory() as folder:
        before = cpu_seconds(pid)
        async for event in pool.process(Job("bench", photo, Path(folder), profile, LIMITS)):
            match event:
                case Probed():
                    planned = len(event.planned)
                case Encoded():
                    measures[event.format.value] += event.size_bytes
                    measures[f"{event.format.value} s"] += event.encode_seconds
                    measures["skipped"] += event.path is None
                case Finished():
                    measures["seconds"] = event.worker_seconds
                    measures["decode s"] = event.decode_seconds
                    measures["MiB"] = event.peak_memory_bytes / 2**20
                    measures["decodes"] = event.decodes
        measures["cpu"] = cpu_seconds(pid) - before
    measures["variants"] = planned
    return measures


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def peer(mode: str, photo: Path, profile: Profile) -> Measures:
    formats = [(each.format.value, each.quality, each.effort) for each in profile.opaque]
    task = {"niceness": NICENESS, "mode": mode, "photo": str(photo), "sides": profile.sides, "formats": formats}
    done = subprocess.run([sys.executable, "-c", PEER, json.dumps(task)], capture_output=True, text=True, check=True)
    measured: Measures = json.loads(done.stdout)
    variants = 0 if mode == "floor" else len(formats) * len(profile.sides)
    return measured | {"decodes": float(max(variants, 1)), "variants": float(variants)}


async def measure(name: str, photo: Path, profile: Profile, rounds: int) -> dict[str, list[Measures]]:
    runs: dict[str, list[Measures]] = defaultdict(list)
    async with WorkerPool(size=1, concurrency=2, timeout=600, max_memory_bytes=8 << 30) as pool:
        await ours(pool, photo, profile)  # libraries are loaded, the file is in the page cache
        for _ in range(rounds):
            runs["ours"].append(await ours(pool, photo, profile))
            for label, mode in (
                ("n decodes, our settings", "settings"),
                ("n decodes, defaults", "defaults"),
                ("one decode only", "floor"),
            ):
                runs[label].append(await asyncio.to_thread(peer, mode, photo, profile))
    print(f"\n{name}: {photo.name}, {photo.stat().st_size / 1e6:.2f} MB")
    for label, measured in runs.items():
        report(label, measured)
    return runs


def middle(measured: list[Measures], key: str) -> float:
    return statistics.median(run[key] for run in measured)


def report(label: str, measured: list[Measures]) -> None:
    def each(key: str, form: str = ".2f") -> str:
        return machine.spread((run[key] for run in measured), form)

    kib = "  ".join(f"{form} {measured[0][form] / 1024:,.0f}" for form in ("avif", "webp", "jpg") if form in measured[0])
    print(
        f"  {label:24} {each('seconds')} s   CPU {each('cpu')} s   peak {each('MiB', '.0f')} MiB   "
        f"{measured[0]['decodes']:.0f} decodes   {kib + ' KiB' if kib else ''}"
    )
    if "decode s" in measured[0]:
        parts = ("decode s", "avif s", "webp s", "jpg s")
        print(f"  {'':24} " + ", ".join(f"{part} {each(part)}" for part in parts) + f", {measured[0]['skipped']:.0f} skipped")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of photos of your own instead of made ones")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine.describe())
    print(f"load {os.getloadavg()[0]:.1f} at the start; all run at niceness {NICENESS}")
    profile = profile_file.load().get("product")
    settings = ", ".join(f"{each.format.value} Q{each.quality} effort {each.effort}" for each in profile.opaque)
    print(f"product: {', '.join(map(str, profile.sides))} px; {settings}; median of {options.rounds} (smallest to largest)")
    with tempfile.TemporaryDirectory() as folder:
        if options.photos:
            photos = {path.stem: path for path in sorted(options.photos.iterdir())}
        else:
            photos = {
                name: demo_photos.camera_jpeg(Path(folder, f"{name.replace(' ', '').lower()}.jpg"), size=size).path
                for name, size in SIZES.items()
            }
        for name, photo in photos.items():
            runs = asyncio.run(measure(name, photo, profile, options.rounds))
            seconds = middle(runs["ours"], "seconds")
            for label in ("n decodes, our settings", "n decodes, defaults"):
                ratio, cpu = middle(runs[label], "seconds") / seconds, middle(runs[label], "cpu") / middle(runs["ours"], "cpu")
                print(f"  ours against {label}: {ratio:.1f} x as fast, {cpu:.1f} x less CPU")
            if "12" in name:
                print(
                    f"  12 MP in {seconds:.2f} s   target < {TARGET_SECONDS:g} s: {'met' if seconds < TARGET_SECONDS else 'MISSED'}"
                )


if __name__ == "__main__":
    main()
