"""Four nodes and near caches, on a Redis that dies, stands still and is cut off, while callers read and write: no stale read."""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from faults.cluster import NODES, Cluster, cluster
from faults.counts import count
from faults.injector import Injector
from faults.links import Link
from faults.oracle import Oracle
from faults.shop import Database
from faults.workload import NAMESPACES, Workload, rows_of
from processes import until
from souk.client import CacheClient, ClientConfig, NearConfig

SECONDS = count(600, 12)
NEAR_CACHES = 4
SEED = int(os.environ.get("SOUK_SEED") or random.SystemRandom().randrange(2**31))


@contextlib.asynccontextmanager
async def near_caches(nodes: Cluster) -> AsyncIterator[tuple[list[CacheClient], list[Link]]]:
    """Clients that keep values, each with links of its own to two nodes."""
    async with contextlib.AsyncExitStack() as stack:
        clients, links = [], []
        for index in range(NEAR_CACHES):
            targets = (index % NODES, (index + 1) % NODES)
            own = [await nodes.proxy.open(f"near{index}-{target}", nodes.ports[target]) for target in targets]
            links += own
            addresses = ",".join(f"127.0.0.1:{link.port}" for link in own)
            config = ClientConfig(target=f"ipv4:{addresses}", attempts=1, max_backoff=0.3)
            client = await stack.enter_async_context(CacheClient(config=config, near=NearConfig(NAMESPACES)))
            await asyncio.wait_for(client.near_ready(), 20)
            clients.append(client)
        yield clients, links


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 180)
async def test_no_read_is_stale_whatever_goes_wrong(tmp_path: Path):
    oracle = Oracle()
    database = Database(rows_of(16), random.Random(SEED))
    async with cluster(tmp_path) as nodes, near_caches(nodes) as (clients, links):
        workload = Workload(nodes, database, oracle, seed=SEED, watchers=clients)
        injector = Injector(nodes, seed=SEED, client_links=links)
        start = time.monotonic()
        async with workload.running():
            await injector.run(SECONDS)
            await until(lambda: workload.tally.mutated() > 5 * SECONDS, timeout=60)  # a frozen node holds each for seconds
        lasted = time.monotonic() - start
        await nodes.coherent()
        near_hits = sum(client.counts.near_hits for client in clients)
    tally = workload.tally
    print(f"\nseed {SEED}, {lasted:.0f} s: {oracle.reads:,} values judged, {oracle.near_reads:,} of them from near caches")
    print(f"  results: {dict(tally.results)}\n  loads: {database.loads:,}, fills: {dict(tally.fills)}")
    print(f"  mutations: {dict(tally.mutations)}")
    print(f"  they took: p50 {tally.took(0.5):.3f} s, p99 {tally.took(0.99):.3f} s, at most {max(tally.seconds):.3f} s")
    print(f"  failures: { {f'{each.code} {each.reason}'.strip(): times for each, times in tally.failures.items()} }")
    print(f"  faults: {dict(injector.happened)}\n  stale reads: {len(oracle.stale)}")
    assert oracle.stale == []
    assert tally.unexpected == []
    assert nodes.logged_errors() == []
    assert sum(injector.happened.values()) >= SECONDS / 3
    assert oracle.reads > 50 * SECONDS
    assert near_hits > SECONDS
