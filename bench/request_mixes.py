"""Requests as a marketplace's caches see them, made from a seed: which keys are asked for, one after another."""

import itertools
import random
from collections.abc import Callable, Iterator

REQUESTS = 60_000


def _zipf(rng: random.Random, keys: int, skew: float, count: int) -> list[int]:
    weights = list(itertools.accumulate((rank + 1) ** -skew for rank in range(keys)))
    return rng.choices(range(keys), cum_weights=weights, k=count)


def zipf() -> list[str]:
    """Products by Zipf, the same ones all the time."""
    return [f"product:{rank}" for rank in _zipf(random.Random(1), 20_000, 0.9, REQUESTS)]


def scan() -> list[str]:
    """Products by Zipf, and after each 5,000 requests an export that reads 2,000 others once."""
    made: list[str] = []
    for number, rank in enumerate(_zipf(random.Random(2), 20_000, 0.9, REQUESTS)):
        if number % 5000 == 4999:
            made += [f"export:{number}:{row}" for row in range(2000)]
        made.append(f"product:{rank}")
    return made


def crawl() -> list[str]:
    """Products by Zipf; every third request is of a crawler, which goes through the 20,000 products again and again."""
    ranks = _zipf(random.Random(3), 20_000, 1.0, REQUESTS)
    return [f"product:{number // 3 * 7919 % 20_000 if number % 3 == 0 else rank}" for number, rank in enumerate(ranks)]


def shift() -> list[str]:
    """Products by Zipf; each 10,000 requests half of the products that sell best are others."""
    rng = random.Random(4)
    names = list(range(20_000))
    made: list[str] = []
    for first in range(0, REQUESTS, 10_000):
        for rank in rng.sample(range(1000), 500):
            names[rank] = 20_000 + first + rank
        made += [f"product:{names[rank]}" for rank in _zipf(rng, 20_000, 0.9, 10_000)]
    return made


def drift() -> list[str]:
    """What is asked for is what came lately: new orders all the time, each read mostly in its first minutes."""
    rng = random.Random(5)
    return [f"order:{number // 8 - int(rng.expovariate(1 / 600))}" for number in range(REQUESTS)]


def phases() -> list[str]:
    """By turns: products by Zipf, a report that reads 1,500 rows in a loop, new orders."""
    rng = random.Random(6)

    def sales(first: int) -> Iterator[str]:
        return (f"product:{rank}" for rank in _zipf(rng, 20_000, 0.9, 10_000))

    def report(first: int) -> Iterator[str]:
        return (f"row:{number % 1500}" for number in range(10_000))

    def orders(first: int) -> Iterator[str]:
        return (f"order:{(first + number) // 8 - int(rng.expovariate(1 / 600))}" for number in range(10_000))

    turns = itertools.cycle((sales, report, orders))
    return [key for first, turn in zip(range(0, REQUESTS, 10_000), turns, strict=False) for key in turn(first)]


MIXES: dict[str, tuple[Callable[[], list[str]], int]] = {
    "zipf": (zipf, 1000),
    "scan": (scan, 1000),
    "crawl": (crawl, 1000),
    "shift": (shift, 1000),
    "drift": (drift, 1000),
    "phases": (phases, 1000),
}
"""What makes them, and the entries of a memory for them."""
