"""Reads on replicas: never less than the token asks for, on those that have it, and without those that lag or are gone."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from integration.dbopt.shop import client_of, dbopt
from postgres_servers import PostgresServer
from souk.client import AbortedError, DbClient, UnavailableError
from souk.dbopt.v1 import query_pb2 as pb
from souk_common.testing import RunningServer
from souk_dbopt.adapters import schema

PAIRS = 20_000 if os.environ.get("SOUK_SOAK") else 400
WRITERS = 16
LONGEST_LAG = 5.0 if os.environ.get("SOUK_SOAK") else 0.5
CHECK = 0.2
QUERIES = {
    "put": """-- name: pairs.put
-- version: 1
-- description: Writes a value.
-- class: write
-- write: true
-- parameters:
--   id: {type: bigint, description: Where.}
--   value: {type: bigint, description: What.}
INSERT INTO pairs (id, value) VALUES (:id, :value) ON CONFLICT (id) DO UPDATE SET value = excluded.value RETURNING value
""",
    "get": """-- name: pairs.get
-- version: 1
-- description: Reads a value.
-- class: lookup
-- parameters:
--   id: {type: bigint, description: Where.}
SELECT value FROM pairs WHERE id = :id
""",
}


@dataclass
class Cluster:
    """A primary and two streaming replicas."""

    primary: PostgresServer
    replicas: list[PostgresServer]
    folder: Path
    stack: contextlib.AsyncExitStack
    connections: dict[int, asyncpg.Connection] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def dbopt(self, **settings: Any) -> AsyncIterator[RunningServer]:
        """dbopt on all three."""
        replicas = [server.dsn(user="souk_service") for server in self.replicas]
        chosen = {"replica_dsns": replicas, "queries_dir": self.folder, "check_interval": CHECK, **settings}
        async with dbopt(self.primary.dsn(user="souk_service"), **chosen) as running:
            yield running

    async def ask(self, server: PostgresServer, sql: str) -> Any:
        """Ask a server itself, over a connection of the test's own."""
        connection = self.connections.get(server.port)
        if connection is None or connection.is_closed():
            connection = self.connections[server.port] = await asyncpg.connect(server.dsn())
            self.stack.push_async_callback(_closed, connection)
        return await connection.fetchval(sql)

    async def replayed(self, server: PostgresServer) -> int:
        lsn: int = await self.ask(server, "SELECT pg_last_wal_replay_lsn()")
        return lsn


async def _closed(connection: asyncpg.Connection) -> None:
    with contextlib.suppress(Exception):
        await connection.close(timeout=1)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    for name, text in QUERIES.items():
        (tmp_path / f"{name}.sql").write_text(text)
    async with contextlib.AsyncExitStack() as stack:
        primary = await PostgresServer.new()
        stack.push_async_callback(primary.remove)
        owner = await asyncpg.connect(primary.dsn())
        await schema.migrate(owner)
        await owner.execute("CREATE TABLE pairs (id bigint PRIMARY KEY, value bigint NOT NULL)")
        await owner.execute("GRANT SELECT, INSERT, UPDATE ON pairs TO souk_service")
        await owner.close()
        replicas = []
        for name in ("one", "two"):
            replicas.append(await PostgresServer.new(primary=primary, slot=name))
            stack.push_async_callback(replicas[-1].remove)
        yield Cluster(primary, replicas, tmp_path, stack)


def lsn_of(token: str) -> int:
    return int(token.rpartition("-")[2], 16)


@pytest.fixture
async def lag(cluster: Cluster) -> AsyncIterator[None]:
    """Replay stands still from time to time, on each replica by itself, for as long as LONGEST_LAG."""

    async def disturb(server: PostgresServer, chance: random.Random) -> None:
        while True:
            await cluster.ask(server, "SELECT pg_wal_replay_pause()")
            await asyncio.sleep(chance.random() ** 3 * LONGEST_LAG)
            await cluster.ask(server, "SELECT pg_wal_replay_resume()")
            await asyncio.sleep(chance.random() * LONGEST_LAG / 2)

    tasks = [asyncio.create_task(disturb(server, random.Random(seed))) for seed, server in enumerate(cluster.replicas)]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_no_read_with_a_token_is_stale_and_replicas_that_have_it_are_used(cluster: Cluster, lag: None):
    counts = {"stale": 0, "had": 0, "by_replica": 0, "plain_by_replica": 0}
    observers = {server.port: await asyncpg.create_pool(server.dsn(), min_size=1, max_size=WRITERS) for server in cluster.replicas}

    async def pairs(client: DbClient, writer: int) -> None:
        session = client.session()
        for number in range(PAIRS // WRITERS):
            await session.write("pairs.put", {"id": writer, "value": number})
            token = session.consistency_token
            replayed = await asyncio.gather(*(pool.fetchval("SELECT pg_last_wal_replay_lsn()") for pool in observers.values()))
            had = any(lsn >= lsn_of(token) for lsn in replayed)
            found = await session.execute("pairs.get", {"id": writer})
            counts["stale"] += found.rows()[0]["value"] < number
            counts["had"] += had
            counts["by_replica"] += had and found.source == pb.SOURCE_REPLICA
            plain = await client.session().execute("pairs.get", {"id": writer})
            counts["plain_by_replica"] += plain.source == pb.SOURCE_REPLICA

    async with cluster.dbopt() as server, client_of(server) as client:
        await asyncio.gather(*(pairs(client, writer) for writer in range(WRITERS)))
    for pool in observers.values():
        await pool.close()
    print(f"{PAIRS:,} pairs: {counts}")
    assert counts["stale"] == 0
    assert counts["had"] > 0
    assert counts["by_replica"] >= 0.8 * counts["had"]


async def server_status(client: DbClient, server: PostgresServer) -> pb.Server:
    (found,) = [each for each in await client.pool_status() if each.address.startswith(f"127.0.0.1:{server.port}/")]
    return found


async def until_status(client: DbClient, server: PostgresServer, *, available: bool, timeout: float) -> None:
    async with asyncio.timeout(timeout):
        while (await server_status(client, server)).available != available:
            await asyncio.sleep(0.01)


async def sources(client: DbClient, count: int = 60) -> set[int]:
    """Who answers reads without a token."""
    answers = await asyncio.gather(*(client.session().execute("pairs.get", {"id": 1}) for _ in range(count)))
    return {answer.source for answer in answers}


async def test_a_replica_that_lags_takes_no_reads_until_it_has_caught_up(cluster: Cluster):
    async with cluster.dbopt(max_lag=0.5) as server, client_of(server) as client:
        for replica in cluster.replicas:
            await cluster.ask(replica, "SELECT pg_wal_replay_pause()")
        async with asyncio.timeout(10):
            number = 0
            while await sources(client, 5) != {pb.SOURCE_PRIMARY}:
                number += 1
                await client.write("pairs.put", {"id": 1, "value": number})
        lagging = await server_status(client, cluster.replicas[0])
        assert lagging.lag.ToTimedelta().total_seconds() > 0.5
        assert lagging.lag_bytes > 0
        for replica in cluster.replicas:
            await cluster.ask(replica, "SELECT pg_wal_replay_resume()")
        async with asyncio.timeout(10):
            while await sources(client, 5) != {pb.SOURCE_REPLICA}:
                pass


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_replica_that_is_gone_costs_no_read_and_comes_back_by_itself(cluster: Cluster, how: str):
    gone = cluster.replicas[0]
    async with cluster.dbopt() as server, client_of(server) as client:
        assert await sources(client) == {pb.SOURCE_REPLICA}
        if how == "killed":
            await gone.kill()
        else:
            gone.signal(signal.SIGSTOP)
        if how == "killed":
            assert await sources(client) == {pb.SOURCE_REPLICA}, "the other one answers"
        await until_status(client, gone, available=False, timeout=CHECK + 0.5 + 1)
        assert await sources(client) == {pb.SOURCE_REPLICA}
        if how == "killed":
            await gone.start()
        else:
            gone.signal(signal.SIGCONT)
        await until_status(client, gone, available=True, timeout=15)


async def test_without_its_primary_reads_go_on_writes_say_so_and_are_not_made_twice(cluster: Cluster):
    async with cluster.dbopt() as server, client_of(server, attempts=1) as client:
        await client.write("pairs.put", {"id": 1, "value": 1}, request_id="first")
        await cluster.primary.kill()
        for number in range(5):
            with pytest.raises(UnavailableError) as refused:
                await client.session().write("pairs.put", {"id": 1, "value": 2}, request_id=f"second-{number}")
            assert refused.value.reason in ("DEPENDENCY_UNAVAILABLE", "OUTCOME_UNKNOWN")
        assert await sources(client) == {pb.SOURCE_REPLICA}
        await cluster.primary.start()
        async with asyncio.timeout(15):
            while True:
                with contextlib.suppress(UnavailableError):
                    await client.write("pairs.put", {"id": 2, "value": 7}, request_id="third")
                    break
        assert (await client.execute("pairs.get", {"id": 2})).rows() == [{"value": 7}]
        again = await client.write("pairs.put", {"id": 1, "value": 1}, request_id="first")
        assert again.repeated
        rows = await cluster.ask(cluster.primary, "SELECT count(*) FROM souk.requests WHERE request_id LIKE 'second-%'")
        assert rows == 0


async def test_writes_under_way_when_the_primary_is_killed_are_made_once_by_their_repeats(cluster: Cluster):
    """Each adds a row of its own: whatever the caller was told, in the end there is one of each."""
    (cluster.folder / "add.sql").write_text(
        QUERIES["put"].replace("pairs.put", "pairs.add").replace("SET value = excluded.value", "SET value = pairs.value + 1")
    )
    async with cluster.dbopt() as server, client_of(server, attempts=1) as client:
        killed = asyncio.Event()

        async def write(number: int) -> None:
            while True:
                try:
                    await client.session().write("pairs.add", {"id": number, "value": 1}, request_id=str(number), timeout=5)
                except (UnavailableError, AbortedError):
                    await killed.wait()
                else:
                    return

        writes = [asyncio.create_task(write(number)) for number in range(300)]
        async with asyncio.timeout(10):
            while await cluster.ask(cluster.primary, "SELECT count(*) FROM pairs") < 50:
                pass
        await cluster.primary.kill()
        killed.set()
        await cluster.primary.start()
        await asyncio.gather(*writes)
        assert await cluster.ask(cluster.primary, "SELECT count(*) FROM pairs WHERE value = 1") == 300


async def test_a_replica_that_is_promoted_takes_the_writes(cluster: Cluster):
    async with cluster.dbopt() as server, client_of(server, attempts=1) as client:
        await client.write("pairs.put", {"id": 1, "value": 1})
        async with asyncio.timeout(5):
            while await cluster.replayed(cluster.replicas[0]) < lsn_of(client.consistency_token):
                pass
        await cluster.primary.kill()
        await cluster.ask(cluster.replicas[0], "SELECT pg_promote()")
        async with asyncio.timeout(15):
            while True:
                with contextlib.suppress(UnavailableError):
                    await client.write("pairs.put", {"id": 1, "value": 2})
                    break
        assert (await client.execute("pairs.get", {"id": 1})).rows() == [{"value": 2}]
        assert (await server_status(client, cluster.replicas[0])).role == pb.ROLE_PRIMARY
        older = client.session()
        older.consistency_token = client.consistency_token.replace("-2-", "-1-")
        assert (await older.execute("pairs.get", {"id": 1})).rows() == [{"value": 2}], "a token from before goes to the primary"


async def test_a_replica_that_crashed_is_not_believed_to_have_what_it_had(cluster: Cluster):
    """It comes back with less than it had replayed, and the next checks are far away."""
    replica, other = cluster.replicas
    await other.kill()
    async with cluster.dbopt(check_interval=30) as server, client_of(server) as client:
        for value in range(1, 30):
            await client.write("pairs.put", {"id": 1, "value": value})
            found = await client.execute("pairs.get", {"id": 1})
            assert found.rows() == [{"value": value}]
            if value % 10 == 0:
                await replica.kill()
                await replica.start()
                await cluster.ask(replica, "SELECT pg_wal_replay_pause()")
