"""How many reads the cache's own memory answers, beside LRU, the best that is possible (OPT), theine (W-TinyLFU) and cachebox
(LFU; its LRU is LRU).

Ours is the production `Memory`, read with `hit` and filled with `remember`. Requests are mixes made here, and with --traces those
of a folder (NAME.trace.gz, a key a line). Memories are bounded by entries: at the size that belongs to the trace, at half of it and
at double. Closure is the share of the way from LRU to OPT: (ours - LRU) / (OPT - LRU). It is judged on the traces
and over all, not on the mixes alone, of which some (drift, phases) are there because LRU is good at them.
Python salts the hash of every string anew in each process, and ours chooses its samples by hash: so ours and theine run with
several salts, each in processes of its own.

    python bench/cache_hit_ratio.py [--traces FOLDER] [--salts 1,2] [--plot build/bench/cache-hit-ratio.png]
"""

import argparse
import functools
import gzip
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cachebox
import cachetools
import machine
import tabulate
import theine
from optimal import lru_hits, optimal_hits
from request_mixes import MIXES
from souk_cache.counts import Counts
from souk_cache.memory import Memory
from souk_cache.values import Value, encode

SIZES = {
    "gli": (1000, 2000),
    "multi1": (1000,),
    "multi2": (2000,),
    "multi3": (2200,),
    "sprite": (600,),
    "2_pools": (450,),
    "ps": (600,),
    "cs": (600,),
    "cpp": (100,),
    "loop": (512,),
}
"""Entries, for traces that are known by name; others: a tenth of their keys."""
FACTORS = (0.5, 1.0, 2.0)
CLOSURE, UNDER_LRU = 0.55, 1.0
LEAST_ROOM = 0.005
"""Where OPT is better than LRU by less than this, there is no closure."""


class Case(NamedTuple):
    """One trace at one size."""

    trace: str
    folder: str
    """'': it is made."""
    size: int
    factor: float


def ours_hits(requests: Sequence[str], size: int) -> int:
    counts = Counts()
    memory = Memory(
        max_bytes=1 << 40,
        max_entries=size,
        max_value_bytes=1 << 20,
        clock=lambda: 0.0,
        stale_for=lambda key: 0.0,
        refresh_after=lambda key, value: value.fresh_for,
        counts=lambda key: counts,
    )
    memory.served_until = float("inf")
    value = encode(Value(b"x", 3600.0), compress=False)
    for key in requests:
        if memory.hit(key, 0.0) is None:
            memory.remember(key, value, 1, (), 0.0, "")
    assert len(memory) <= size
    return counts.hits_memory


def theine_hits(requests: Sequence[str], size: int) -> int:
    cache: theine.Cache[str, bool] = theine.Cache(size, nolock=True)
    hits = 0
    for key in requests:
        if cache.get(key)[1]:
            hits += 1
        else:
            cache.set(key, True)
    cache.close()
    return hits


def cachebox_hits(requests: Sequence[str], size: int) -> int:
    cache: cachebox.LFUCache[str, bool] = cachebox.LFUCache(size)
    hits = 0
    for key in requests:
        if cache.get(key):
            hits += 1
        else:
            cache[key] = True
    return hits


def checked_lru_hits(requests: Sequence[str], size: int) -> int:
    """Those of LRU, which cachetools must have, too."""
    cache: cachetools.LRUCache[str, bool] = cachetools.LRUCache(size)
    hits = 0
    for key in requests:
        if cache.get(key):
            hits += 1
        else:
            cache[key] = True
    assert hits == lru_hits(requests, size)
    return hits


WAYS: dict[str, Callable[[Sequence[str], int], int]] = {
    "LRU": checked_lru_hits,
    "ours": ours_hits,
    "theine": theine_hits,
    "cachebox": cachebox_hits,
    "OPT": optimal_hits,
}
SALTED = ("ours", "theine")
COMPARED = ("ours", "theine", "cachebox")


@functools.cache
def requests_of(trace: str, folder: str) -> list[str]:
    if folder:
        text: str = gzip.decompress((Path(folder) / f"{trace}.trace.gz").read_bytes()).decode()
        return text.split()
    return MIXES[trace][0]()


def run(job: tuple[Case, str]) -> tuple[Case, str, float]:
    """A hit ratio, in %."""
    case, way = job
    requests = requests_of(case.trace, case.folder)
    return case, way, 100 * WAYS[way](requests, case.size) / len(requests)


def cases(folder: Path | None) -> list[Case]:
    found: list[Case] = []
    names = sorted(path.name.removesuffix(".trace.gz") for path in folder.glob("*.trace.gz")) if folder else []
    for name in names:
        sizes = SIZES.get(name) or (max(10, len(set(requests_of(name, str(folder)))) // 10),)
        found += [Case(name, str(folder), int(size * factor), factor) for size in sizes for factor in FACTORS]
    found += [Case(name, "", int(size * factor), factor) for name, (_, size) in MIXES.items() for factor in FACTORS]
    return found


Ratios = dict[str, list[float]]
"""By way: hit ratios in %, one for each salt."""


def measure(todo: Sequence[Case], salts: Sequence[int]) -> dict[Case, Ratios]:
    """All ways of all cases, on all cores."""
    results: dict[Case, Ratios] = {case: {way: [] for way in WAYS} for case in todo}
    for number, salt in enumerate(salts):
        os.environ["PYTHONHASHSEED"] = str(salt)
        ways = WAYS if number == 0 else SALTED
        jobs = [(case, way) for case in sorted(todo, key=lambda case: (case.trace != "loop", case)) for way in ways]
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            for case, way, ratio in pool.map(run, jobs):
                results[case][way].append(ratio)
    return results


def closure(ratios: Ratios, way: str) -> float | None:
    """None where LRU is as good as can be."""
    lru, opt = ratios["LRU"][0], ratios["OPT"][0]
    if opt - lru < 100 * LEAST_ROOM:
        return None
    return (statistics.mean(ratios[way]) - lru) / (opt - lru)


def show(title: str, results: dict[Case, Ratios]) -> None:
    """A line for each trace and size."""
    rows = []
    for case, ratios in results.items():
        closed = closure(ratios, "ours")
        means = [f"{statistics.mean(ratios[way]):.1f}" for way in WAYS]
        rows.append([case.trace, f"{case.size:,}", *means, "-" if closed is None else f"{closed:.2f}"])
    print(f"\n{title}, hit ratios in %\n")
    print(tabulate.tabulate(rows, headers=["trace", "entries", *WAYS, "closure"], disable_numparse=True, stralign="right"))


def judge(title: str, results: dict[Case, Ratios], *, with_closure: bool) -> bool:
    """The means at each size and over all, and whether the targets are met."""
    rows, met = [], True
    for factors in (*((factor,) for factor in FACTORS), FACTORS):
        some = [ratios for case, ratios in results.items() if case.factor in factors]
        known = [ratios for ratios in some if closure(ratios, "ours") is not None]
        closures = {way: statistics.mean(closure(ratios, way) or 0.0 for ratios in known) for way in COMPARED}
        means = {way: statistics.mean(statistics.mean(ratios[way]) for ratios in some) for way in WAYS}
        worst = min(min(ratios["ours"]) - ratios["LRU"][0] for ratios in some)
        good = worst >= -UNDER_LRU and all(
            each["ours"] >= max(each.values()) for each in (closures, {w: means[w] for w in COMPARED})
        )
        good = good and (not with_closure or closures["ours"] >= CLOSURE)
        met = met and good
        name = "all" if factors == FACTORS else f"x {factors[0]:g}"
        shown = [*(f"{mean:.1f}" for mean in means.values()), *(f"{one:.2f}" for one in closures.values())]
        rows.append([name, *shown, f"{worst:+.1f}", "met" if good else "MISSED"])
    headers = ["sizes", *WAYS, "closure", "theine's", "cachebox's", "worst to LRU", "targets"]
    print(f"\nmeans, {title}\n\n{tabulate.tabulate(rows, headers=headers, disable_numparse=True, stralign='right')}")
    return met


def plot(results: dict[Case, Ratios], path: Path) -> None:
    """A line from LRU to OPT for each trace, and where each way is on it."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False})
    marks = {
        "cachebox": ("cachebox, LFU", "#b8b8b8", "D", 20),
        "theine": ("theine, W-TinyLFU", "#e08b27", "s", 24),
        "ours": ("Souk", "#1667b7", "o", 44),
    }
    by_factor = [[case for case in results if case.factor == factor] for factor in FACTORS]
    figure, axes = plt.subplots(1, len(FACTORS), figsize=(11, 0.27 * len(by_factor[0]) + 1.4), sharey=True, layout="constrained")
    for axis, factor, some in zip(axes, FACTORS, by_factor, strict=True):
        for row, case in enumerate(reversed(some)):
            ratios = {way: statistics.mean(values) for way, values in results[case].items()}
            axis.plot([ratios["LRU"], ratios["OPT"]], [row, row], color="#d5dee8", linewidth=5, solid_capstyle="butt", zorder=1)
            axis.plot([ratios["LRU"]] * 2, [row - 0.3, row + 0.3], color="#444444", linewidth=1.6, zorder=2)
            axis.plot([ratios["OPT"]] * 2, [row - 0.3, row + 0.3], color="#2f9e62", linewidth=1.6, zorder=2)
            for order, (way, (_, colour, shape, area)) in enumerate(marks.items()):
                axis.scatter(
                    ratios[way], row, color=colour, marker=shape, s=area, zorder=3 + order, edgecolor="white", linewidth=0.6
                )
        axis.set_title({0.5: "half the size", 1.0: "size of the trace", 2.0: "double the size"}[factor], fontsize=10, loc="left")
        axis.set_xlim(-2, 102)
        axis.grid(axis="x", color="#eeeeee", zorder=0)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel("hit ratio, %")
    labels = [f"{case.trace}  {case.size:,}" for case in reversed(by_factor[1])]
    axes[0].set_yticks(range(len(labels)), labels)
    handles = [axes[0].scatter([], [], color=colour, marker=shape, s=area) for _, colour, shape, area in marks.values()]
    handles += [axes[0].plot([], [], color=colour, linewidth=2)[0] for colour in ("#444444", "#2f9e62")]
    names = [name for name, *_ in marks.values()]
    figure.legend(handles, [*names, "LRU", "best possible"], loc="outside upper center", ncols=5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nplot: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, help="folder with NAME.trace.gz")
    parser.add_argument("--salts", default="1,2", help="of the hashes of strings")
    parser.add_argument("--plot", type=Path, default=Path("build/bench/cache-hit-ratio.png"))
    options = parser.parse_args()
    print(machine.describe())
    todo = cases(options.traces)
    if options.traces is None:
        print("no --traces: only the mixes that are made here")
    salts = [int(salt) for salt in options.salts.split(",")]
    started = time.monotonic()
    results = measure(todo, salts)
    traces = {case: ratios for case, ratios in results.items() if case.folder}
    mixes = {case: ratios for case, ratios in results.items() if not case.folder}
    if traces:
        show("public traces", traces)
    show("mixes made here", mixes)
    verdicts = [judge("mixes", mixes, with_closure=False)]
    if traces:
        verdicts += [judge("traces", traces, with_closure=True), judge("all", results, with_closure=True)]
    apart = max(max(ratios["ours"]) - min(ratios["ours"]) for ratios in results.values())
    print(f"\nsalts {options.salts}: ours differs by at most {apart:.2f} points between them; {time.monotonic() - started:.0f} s")
    targets = f"never more than {UNDER_LRU:g} point under LRU, mean hit ratio and mean closure >= theine's and cachebox's"
    if traces:
        targets += f", mean closure >= {CLOSURE}"
    print(f"targets, at each size and over all: {targets}: {'met' if all(verdicts) else 'MISSED'}")
    plot(results, options.plot)


if __name__ == "__main__":
    main()
