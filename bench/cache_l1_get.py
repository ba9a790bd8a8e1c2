"""What a hit in the cache's own memory costs, beside two libraries, and how long single operations take with a million entries.

Hits: 256 bytes, keys by Zipf over a working set that fits, as new strings each time, as they come from outside. Ours is
`Memory.hit` with the clock read, expiry, statistics, the lease checked and the use noted; and once more with the policy told of
every use, as it is where there are as many misses as hits. Runs alternate, and a ratio is of two neighbours.
"""

import argparse
import gc
import itertools
import random
import statistics
from array import array
from collections.abc import Callable
from time import monotonic, perf_counter, perf_counter_ns, thread_time_ns

import cachebox
import cachetools
import machine
from souk_cache.cells import Cells
from souk_cache.counts import Counts, CountsByNamespace
from souk_cache.memory import Memory
from souk_cache.sweeping import BUDGET
from souk_cache.values import Value, encode

OF_CACHETOOLS, OF_CACHEBOX = 0.3, 4.0
MAX_PAUSE_MS = 5.0
LOOKUPS = 200_000


def memory(max_entries: int, clock: Callable[[], float] = monotonic) -> Memory:
    counts = Counts()
    made = Memory(
        max_bytes=1 << 40,
        max_entries=max_entries,
        max_value_bytes=1 << 20,
        clock=clock,
        stale_for=lambda key: 0.0,
        refresh_after=lambda key, value: value.fresh_for,
        counts=lambda key: counts,
    )
    made.served_until = float("inf")
    return made


def hits(options: argparse.Namespace) -> None:
    rng = random.Random(1)
    names = [f"product:{number:08}" for number in range(options.working_set)]
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(names))))
    order = rng.choices(range(len(names)), cum_weights=weights, k=LOOKUPS)
    value, data = encode(Value(b"x" * 256, 3600.0), compress=False), b"x" * 256
    ours = memory(2 * len(names))
    tools: cachetools.TTLCache[str, bytes] = cachetools.TTLCache(2 * len(names), 3600)
    box: cachebox.TTLCache[str, bytes] = cachebox.TTLCache(2 * len(names), 3600)
    cells = Cells()
    for name in names:
        ours.remember(name, value, 1, cells.of(("=product", f"#{name}")), 0.0, "")
        tools[name] = box[name] = data
    hit, get_tools, get_box = ours.hit, tools.get, box.get

    def with_hit(keys: list[str]) -> None:
        for key in keys:
            hit(key, monotonic())

    def with_policy(keys: list[str]) -> None:
        for number, key in enumerate(keys):
            hit(key, monotonic())
            if number % 512 == 511:
                ours.expire(0.0, BUDGET)

    def with_tools(keys: list[str]) -> None:
        for key in keys:
            get_tools(key)

    def with_box(keys: list[str]) -> None:
        for key in keys:
            get_box(key)

    def nothing(keys: list[str]) -> None:
        for _ in keys:
            pass

    ways = {"ours": with_hit, "ours, policy told": with_policy, "cachetools": with_tools, "cachebox": with_box, "loop": nothing}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.runs):
        for name in ways if number % 2 == 0 else reversed(ways):
            keys = [f"product:{each:08}" for each in order]
            gc.collect()
            started = perf_counter()
            ways[name](keys)
            taken[name].append((perf_counter() - started) / LOOKUPS * 1e9)
    loop = min(taken["loop"])
    print(f"\nhits, ns each, working set {options.working_set:,}, medians of {options.runs} (the loop's own {loop:.0f} off)")
    for name, each in taken.items():
        taken[name] = [one - loop for one, loop in zip(each, taken["loop"], strict=True)] if name != "loop" else each
        if name != "loop":
            print(f"  {name:<18} {machine.spread(taken[name])}")
    for name, limit in (("cachetools", OF_CACHETOOLS), ("cachebox", OF_CACHEBOX)):
        ratios = [one / other for one, other in zip(taken["ours"], taken[name], strict=True)]
        verdict = "met" if statistics.median(ratios) <= limit else "MISSED"
        print(f"  ours / {name:<11} {machine.spread(ratios, '.2f')}   target <= {limit}: {verdict}")
        told = [one / other for one, other in zip(taken["ours, policy told"], taken[name], strict=True)]
        print(f"  ours, policy told / {name:<11} {machine.spread(told, '.2f')}")


def pauses(options: argparse.Namespace) -> None:
    """Every operation by itself: filling, hits, evictions, a big value, expiry, clear, and filling again while the old is freed.

    Judged by the time of the thread: what the system gives to other processes meanwhile is no pause of ours, and is shown beside.
    """
    now = 0.0
    ours = memory(options.entries, lambda: now)
    cells = Cells()
    rng = random.Random(2)
    small = [encode(Value(b"x" * size, 3600.0), compress=False) for size in (64, 256, 1024)]
    taken: dict[str, array[int]] = {}
    longest_by_the_clock = 0

    def timed(name: str, do: Callable[[], object]) -> None:
        nonlocal longest_by_the_clock
        started, started_thread = perf_counter_ns(), thread_time_ns()
        do()
        taken.setdefault(name, array("q")).append(thread_time_ns() - started_thread)
        longest_by_the_clock = max(longest_by_the_clock, perf_counter_ns() - started)

    def remember(name: str, number: int) -> None:
        key = f"product:{number:08}"

        def do() -> None:
            ours.remember(key, small[number % 3], 1, cells.of(("=product", f"#{key}", f"+seller:{number}")), 0.0, "")

        timed(name, do)

    for number in range(options.entries):
        now += 0.001
        remember("remember, filling", number)
    for _ in range(200_000):
        key = f"product:{rng.randrange(options.entries):08}"
        timed("hit", lambda key=key: ours.hit(key, now))
    for number in range(options.entries, options.entries + 200_000):
        now += 0.001
        remember("remember, full", number)
    for number in range(100_000):
        timed("remove", lambda number=number: ours.remove(f"product:{number * 7:08}"))
    timed("full collection", gc.collect)
    now += 3000.0
    for _ in range(500):
        timed(f"expire, {BUDGET} at once", lambda: ours.expire(now, BUDGET))
    timed("clear", ours.clear)
    for number in range(200_000):
        remember("remember, after clear", number)
    while ours.expire(now, BUDGET):
        timed(f"expire, {BUDGET} cleared", lambda: ours.expire(now, BUDGET))

    bounded = Memory(
        max_bytes=64 << 20,
        max_entries=options.entries,
        max_value_bytes=2 << 20,
        clock=monotonic,
        stale_for=lambda key: 0.0,
        refresh_after=lambda key, value: value.fresh_for,
        counts=CountsByNamespace().of,
    )
    large = encode(Value(b"x" * (1 << 20), 3600.0), compress=False)
    for number in range(200_000):
        bounded.remember(f"product:{number:08}", small[0], 1, (), 0.0, "")
    for number in range(200):
        image = f"image:{number // 2}"  # the second time, many small ones go for it
        timed("remember, 1 MiB", lambda image=image: bounded.remember(image, large, 1, (), 0.0, ""))
    print(f"\npauses with {options.entries:,} entries, µs of the thread; gc as Python has it")
    worst = 0.0
    for name, all_of_them in taken.items():
        each = sorted(all_of_them)
        worst = max(worst, each[-1] / 1e6)
        median, high = each[len(each) // 2] / 1e3, each[min(len(each) - 1, int(len(each) * 0.9999))] / 1e3
        print(f"  {name:<24} {len(each):>9,} times   p50 {median:>8,.1f}   p99.99 {high:>8,.1f}   max {each[-1] / 1e3:>8,.1f}")
    print(f"  longest by the clock, other processes included: {longest_by_the_clock / 1e6:.2f} ms")
    print(f"  longest {worst:.2f} ms   target <= {MAX_PAUSE_MS} ms: {'met' if worst <= MAX_PAUSE_MS else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--working-set", type=int, default=20_000)
    options = parser.parse_args()
    print(machine.describe())
    hits(options)
    gc.collect()
    gc.freeze()
    pauses(options)


if __name__ == "__main__":
    main()
