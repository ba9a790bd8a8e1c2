"""dbopt as a process on a real PostgreSQL: grpcurl, probes, an outage, SIGTERM under work, and starts that go wrong."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import processes
import pytest
from grpcurl import call, run, tool
from integration.dbopt.shop import fill
from postgres_servers import PostgresServer, postgres_server
from processes import ServiceProcess
from souk.client import ClientConfig, DbClient, UnavailableError
from souk_dbopt.adapters import schema

QUERIES, SHOP = "souk.dbopt.v1.QueryService", "souk.dbopt.v1.MarketplaceService"


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    async with postgres_server() as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await fill(owner)
        await owner.close()
        yield server


@pytest.fixture
async def dbopt(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    service = await processes.start_service(
        "dbopt", tmp_path, "dbopt", dsn=postgres.dsn(user="souk_service"), check_interval=0.2, queries_dir=own_queries(tmp_path)
    )
    yield service
    await processes.stop(service)


def own_queries(folder: Path) -> Path:
    """A folder with a query that takes its time."""
    own = folder / "own"
    own.mkdir()
    (own / "sleep.sql").write_text(
        "-- name: own.sleep\n-- version: 1\n-- description: Waits.\n-- class: analytics\n"
        "-- parameters: {seconds: {type: float, description: How long.}}\n"
        "SELECT 1 AS done FROM pg_sleep(:seconds::float8)\n"
    )
    return own


async def test_grpcurl_lists_describes_and_calls_every_rpc(dbopt: ServiceProcess):
    calls: dict[str, dict[str, Any]] = {
        f"{QUERIES}/ExecuteQuery": {"name": "product.get", "parameters": {"product_id": 7}},
        f"{QUERIES}/StreamQuery": {"name": "product.list_newest", "parameters": {"page_size": 3}},
        f"{QUERIES}/ListQueries": {"prefix": "order."},
        f"{QUERIES}/GetPoolStatus": {},
        f"{SHOP}/ListProducts": {"pageSize": 2},
        f"{SHOP}/SearchProducts": {"text": "leather"},
        f"{SHOP}/GetProduct": {"productId": "7"},
        f"{SHOP}/ListOrders": {"buyerId": "1"},
        f"{SHOP}/GetSellerDashboard": {"sellerId": "1"},
        f"{SHOP}/PlaceOrder": {"buyerId": "1", "requestId": "r", "lines": [{"productId": "7", "quantity": 1}]},
    }
    listed = {
        rpc
        for service in (QUERIES, SHOP)
        for rpc in (await run(tool("grpcurl"), "-plaintext", dbopt.grpc, "list", service))[1].split()
    }
    assert {rpc.replace("/", ".") for rpc in calls} == listed
    answers = {rpc: (await call(dbopt, rpc, message))[0] for rpc, message in calls.items()}
    assert json.loads(answers[f"{QUERIES}/ExecuteQuery"]["rows"])[0]["title"] == "Green shoe 7"
    assert answers[f"{SHOP}/PlaceOrder"]["order"]["items"][0]["productId"] == "7"
    assert answers[f"{QUERIES}/GetPoolStatus"]["servers"][0]["role"] == "ROLE_PRIMARY"
    assert [query["name"] for query in answers[f"{QUERIES}/ListQueries"]["queries"]] == ["order.get", "order.list", "order.place"]


async def test_what_is_wrong_is_said_as_rich_errors(dbopt: ServiceProcess):
    for rpc, message, texts in (
        (
            "ExecuteQuery",
            {"name": "product.get", "parameters": {"id": 1}},
            ("INVALID_FIELD", "parameters.product_id", "parameters.id"),
        ),
        ("ExecuteQuery", {"name": "no.such"}, ("NotFound", "QUERY_UNKNOWN", "souk.dbopt.v1")),
        (
            "ExecuteQuery",
            {"name": "product.get", "parameters": {"product_id": 1}, "consistencyToken": "x"},
            ("CONSISTENCY_TOKEN_INVALID",),
        ),
        ("StreamQuery", {"name": "product.get", "batchSize": 10_001}, ("InvalidArgument", "batch_size")),
    ):
        status, output = await run(tool("grpcurl"), "-plaintext", "-d", json.dumps(message), dbopt.grpc, f"{QUERIES}/{rpc}")
        assert status != 0
        assert [text for text in texts if text not in output] == []


async def test_a_probe_sees_the_database_go_and_come_back(dbopt: ServiceProcess, postgres: PostgresServer):
    async def until(wanted: int, name: str = "readiness") -> None:
        async with asyncio.timeout(15):
            while (await run(tool("grpc-health-probe"), "-addr", dbopt.grpc, "-service", name))[0] != wanted:
                pass

    for name in ("", "liveness", "readiness", "dbopt", "dbopt.database", "dbopt.catalogue", QUERIES, SHOP):
        await until(0, name)
    await postgres.kill()
    await until(4)
    await until(0, "liveness")
    await postgres.start()
    await until(0)


async def test_sigterm_lets_a_query_end_and_leaves_no_connection(dbopt: ServiceProcess, postgres: PostgresServer):
    owner = await asyncpg.connect(postgres.dsn())
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()"
    async with DbClient(dbopt.grpc) as client:
        asked = asyncio.create_task(client.execute("own.sleep", {"seconds": 1.0}))
        async with asyncio.timeout(10):
            while not await owner.fetchval(running):
                pass
        dbopt.signal(signal.SIGTERM)
        assert (await asked).rows() == [{"done": 1}]
        assert await dbopt.exit_status() == 0
    assert await owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE usename = 'souk_service'") == 0
    await owner.close()


async def test_without_a_database_it_starts_and_serves_as_soon_as_there_is_one(postgres: PostgresServer, tmp_path: Path):
    await postgres.kill()
    service = await processes.start_service("dbopt", tmp_path, "dbopt", dsn=postgres.dsn(user="souk_service"), check_interval=0.2)
    try:
        async with DbClient(config=ClientConfig(target=service.grpc, attempts=1)) as client:
            with pytest.raises(UnavailableError):
                await client.execute("category.list")
            await postgres.start()
            async with asyncio.timeout(15):
                while True:
                    try:
                        assert (await client.execute("category.list")).row_count == 3
                    except UnavailableError:
                        continue
                    else:
                        break
    finally:
        await processes.stop(service)


async def test_a_database_without_the_schema_is_said_at_the_start(tmp_path: Path):
    async with postgres_server() as server:
        with pytest.raises(RuntimeError, match=r"the schema lacks souk 0001 access, .* run `souk db migrate`"):
            await processes.start_service("dbopt", tmp_path, "dbopt", dsn=server.dsn())
