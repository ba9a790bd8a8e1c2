"""What the pool costs: primary-key look-ups by 16 callers on 8 connections of an embedded PostgreSQL 18.

`Pool.fetchval` of souk_common.postgres, beside asyncpg's pool as it comes (`pool.fetchval`), a bare asyncio.Queue of statements
prepared by hand, and 8 connections that each serve one caller with a statement prepared by hand, where nobody waits (the floor).
Short blocks alternate, in another order each round, and a ratio is of neighbours: what else the machine does falls on all.

    python bench/db_pool.py [--runs 21] [--lookups 8000]
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import machine
import uvloop
from souk_common.postgres import Pool, PoolOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the starter of servers is
from postgres_servers import postgres_server

CONNECTIONS, CALLERS, ROWS = 8, 16, 100_000
SQL = "SELECT payload FROM item WHERE id = $1"
TARGET_DEFAULT, TARGET_PINNED = 2.0, 0.85
Lookup = Callable[[int], Awaitable[object]]


async def rate(callers: list[Lookup], lookups: int) -> float:
    """Look-ups a second of all callers together."""

    async def work(lookup: Lookup, keys: list[int]) -> None:
        for key in keys:
            await lookup(key)

    share = lookups // len(callers)
    keys = [[random.randint(1, ROWS) for _ in range(share)] for _ in callers]
    start = time.perf_counter()
    await asyncio.gather(*(work(lookup, mine) for lookup, mine in zip(callers, keys, strict=True)))
    return share * len(callers) / (time.perf_counter() - start)


async def measure(dsn: str, runs: int, lookups: int) -> bool:
    async with contextlib.AsyncExitStack() as stack:
        default = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS))
        await default.execute("CREATE TABLE item (id int PRIMARY KEY, payload text NOT NULL)")
        await default.execute("INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series(1, $1) n", ROWS)
        await default.execute("VACUUM ANALYZE item")
        ours = await stack.enter_async_context(Pool(dsn, PoolOptions(size=CONNECTIONS, min_open=CONNECTIONS)))
        statements = []
        for _ in range(CONNECTIONS):
            connection = await asyncpg.connect(dsn)
            stack.push_async_callback(connection.close)
            statements.append(await connection.prepare(SQL))
        queue: asyncio.Queue[asyncpg.prepared_stmt.PreparedStatement] = asyncio.Queue()
        for statement in statements:
            queue.put_nowait(statement)

        async def by_queue(key: int) -> object:
            statement = await queue.get()
            try:
                return await statement.fetchval(key)
            finally:
                queue.put_nowait(statement)

        ways: dict[str, list[Lookup]] = {
            "asyncpg's pool": [lambda key: default.fetchval(SQL, key)] * CALLERS,
            "queue of prepared": [by_queue] * CALLERS,
            "our pool": [lambda key: ours.fetchval("item", SQL, (key,))] * CALLERS,
            "pinned": [statement.fetchval for statement in statements],
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for name in ways:
            await rate(ways[name], lookups)
        for _ in range(runs):
            for name in random.sample(list(ways), len(ways)):
                rates[name].append(await rate(ways[name], lookups))
        waits = ours.status().waits
    for name, values in rates.items():
        print(f"{name:<18} {machine.spread(values)} look-ups/s")
    print(f"{waits.count:,} of our callers waited, {1e6 * waits.total / waits.count:,.0f} µs in the mean")
    met = True
    for name, target in (("asyncpg's pool", TARGET_DEFAULT), ("pinned", TARGET_PINNED)):
        ratios = [a / b for a, b in zip(rates["our pool"], rates[name], strict=True)]
        holds = statistics.median(ratios) >= target
        met &= holds
        print(f"our pool / {name:<14} {machine.spread(ratios, '.2f')}   target >= {target}: {'met' if holds else 'MISSED'}")
    return met


async def run(runs: int, lookups: int) -> bool:
    async with postgres_server(18) as server:
        return await measure(server.dsn(), runs, lookups)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--lookups", type=int, default=8000)
    options = parser.parse_args()
    print(f"{machine.describe()}\nload average {os.getloadavg()[0]:.1f}")
    sys.exit(not uvloop.run(run(options.runs, options.lookups)))


if __name__ == "__main__":
    main()
