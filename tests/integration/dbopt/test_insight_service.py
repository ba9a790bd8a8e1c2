"""What is known of queries: counted as callers count them, by all nodes together, past a restart, and without what is secret."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from integration.dbopt.shop import client_of, dbopt, fill
from postgres_servers import PostgresServer, postgres_server, programs
from souk.client import DbClient, InvalidArgumentError, NotFoundError, SoukError
from souk.dbopt.v1 import insight_pb2 as pb
from souk.dbopt.v1 import query_pb2
from souk.dbopt.v1.insight_pb2_grpc import InsightServiceStub
from souk_common.testing import RunningServer
from souk_dbopt.adapters import schema

pytestmark = pytest.mark.shop
Connection = asyncpg.Connection
SECRET = "correct horse battery staple"
OWN_FILES = {
    "sleep": """-- name: own.sleep
-- version: 1
-- description: Takes its time.
-- class: lookup
-- timeout: 400ms
-- parameters:
--   seconds: {type: float, description: How long.}
--   note: {type: text, default: "", description: Said again.}
SELECT :note::text AS note FROM pg_sleep(:seconds::float8)
""",
    "login": """-- name: own.login
-- version: 1
-- description: Knows a secret.
-- class: lookup
-- parameters:
--   name: {type: text, description: Who.}
--   password: {type: text, sensitive: true, description: With what.}
SELECT :name::text AS name, length(:password::text) AS length, 'of a literal' AS word
""",
    "signup": """-- name: own.signup
-- version: 1
-- description: Writes, with a secret.
-- class: write
-- write: true
-- parameters:
--   name: {type: text, description: Who.}
--   password: {type: text, sensitive: true, description: With what.}
UPDATE shop.users SET display_name = :name WHERE display_name = :name AND length(:password) > 0 RETURNING user_id
""",
    "numbers": """-- name: own.numbers
-- version: 3
-- description: Counts.
-- class: analytics
-- parameters:
--   count: {type: int, description: How far.}
SELECT n FROM generate_series(1, :count::int) AS n
""",
}


@pytest.fixture
async def shop(postgres: PostgresServer, database: str, owner: Connection) -> str:
    """The DSN of dbopt's role for a database with a shop."""
    return postgres.dsn(database, "souk_service")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in OWN_FILES.items():
        (tmp_path / f"{name}.sql").write_text(text)
    return tmp_path


@pytest.fixture
async def node(shop: str, folder: Path) -> AsyncIterator[RunningServer]:
    """A node that writes by itself only when it stops."""
    async with dbopt(shop, queries_dir=folder, insight_interval=60) as server:
        yield server


@pytest.fixture
async def db(node: RunningServer) -> AsyncIterator[DbClient]:
    async with client_of(node, attempts=1) as client:
        yield client


async def slow_queries(db: DbClient, **how: Any) -> dict[str, pb.QueryStats]:
    return {query.fingerprint: query async for query in db.slow_queries(**how)}


def seconds(span: Duration) -> float:
    return span.ToTimedelta().total_seconds()


async def test_what_is_counted_is_what_callers_counted(db: DbClient):
    calls, rows, errors = Counter[str](), Counter[str](), Counter[str]()

    async def call(name: str, **parameters: Any) -> None:
        calls[name] += 1
        try:
            found = await db.execute(name.partition("@")[0], parameters)
        except SoukError:
            errors[name] += 1
        else:
            rows[name] += found.row_count

    await asyncio.gather(
        *(call("product.get@1", product_id=number) for number in range(1, 31)),
        *(call("own.numbers@3", count=number) for number in range(20)),
        *(call("own.sleep@1", seconds=0.05 if number else 5) for number in range(5)),
    )
    streamed = [len(batch) async for batch in db.stream("own.numbers", {"count": 250}, batch_size=100)]
    calls["own.numbers@3"] += 1
    rows["own.numbers@3"] += sum(streamed)
    with pytest.raises(InvalidArgumentError):
        await db.execute("product.get", {"product_id": "none"})

    found = await slow_queries(db)
    assert {key: query.calls for key, query in found.items()} == dict(calls)
    assert {key: query.rows for key, query in found.items()} == {key: rows[key] for key in calls}
    assert (
        {key: query.errors for key, query in found.items()}
        == {key: errors[key] for key in calls}
        == {
            "product.get@1": 0,
            "own.numbers@3": 0,
            "own.sleep@1": 1,
        }
    )
    assert sum(query.time_share for query in found.values()) == pytest.approx(1)
    sleep = found["own.sleep@1"]
    assert seconds(sleep.p50_time) >= 0.0495  # slept that long; how much longer is of the machine
    assert seconds(sleep.max_time) >= 0.3  # ended by its class
    assert seconds(sleep.p50_time) <= seconds(sleep.p95_time) <= seconds(sleep.p99_time) <= seconds(sleep.max_time)
    assert seconds(sleep.mean_time) * sleep.calls == pytest.approx(seconds(sleep.total_time), abs=1e-5)  # of whole microseconds
    assert sleep.text == "select ? as note from pg_sleep(?)"


async def test_a_write_that_was_made_before_is_not_counted_again(db: DbClient):
    review = {"product_id": 20, "user_id": 3, "rating": 5, "body": "Fine"}
    for _ in range(3):
        await db.write("review.add", review, request_id="one")
    assert (await slow_queries(db))["review.add@1"].calls == 1


async def test_a_call_that_its_caller_gives_up_is_counted_with_the_time_that_it_took(db: DbClient):
    with pytest.raises(SoukError):
        await db.execute("own.sleep", {"seconds": 0.39}, timeout=0.1)
    async with asyncio.timeout(10):
        while "own.sleep@1" not in (found := await slow_queries(db)):
            pass
    assert (found["own.sleep@1"].calls, found["own.sleep@1"].errors) == (1, 1)
    assert seconds(found["own.sleep@1"].total_time) >= 0.05


async def test_queries_are_ordered_as_asked_and_read_by_pages(db: DbClient, node: RunningServer):
    for _ in range(10):
        await db.execute("own.numbers", {"count": 1})
    for wait in (0.2, 0.2, 0.2, 0.2, 0.3):
        await db.execute("own.sleep", {"seconds": wait})
    await db.execute("own.login", {"name": "Anna", "password": SECRET})
    for order in (pb.SLOW_QUERY_ORDER_TOTAL_TIME, pb.SLOW_QUERY_ORDER_MEAN_TIME, pb.SLOW_QUERY_ORDER_P99_TIME):
        assert next(iter(await slow_queries(db, order=order))) == "own.sleep@1"
    by_calls = await slow_queries(db, order=pb.SLOW_QUERY_ORDER_CALLS, page_size=1)
    assert list(by_calls) == ["own.numbers@3", "own.sleep@1", "own.login@1"]
    assert all(query.HasField("p99_time") for query in by_calls.values())
    stub = InsightServiceStub(node.channel())
    page = await stub.ListSlowQueries(pb.ListSlowQueriesRequest(page_size=1))
    with pytest.raises(grpc.aio.AioRpcError, match="page_token"):
        await stub.ListSlowQueries(pb.ListSlowQueriesRequest(page_token=page.next_page_token, order=pb.SLOW_QUERY_ORDER_CALLS))


async def test_windows_add_up_to_the_whole_and_samples_are_the_slowest(db: DbClient):
    for number in range(50):
        await db.execute("own.sleep", {"seconds": 0.001 if number % 10 else 0.05, "note": f"number {number}"})
    for window in (None, timedelta(minutes=1), timedelta(minutes=7), timedelta(days=1)):
        found = await db.query_stats("own.sleep@1", window=window)
        assert sum(each.stats.calls for each in found.windows) == found.total.calls == 50
        assert found.total.time_share == pytest.approx(1)
        assert seconds(found.total.p95_time) >= 0.0495
        starts = [each.start_time.ToDatetime(UTC) for each in found.windows]
        assert starts == sorted(starts)
        assert all(start.timestamp() % (window or timedelta(hours=1)).total_seconds() == 0 for start in starts)
    assert 24 <= len(found.samples) <= 32
    taken = [seconds(each.duration) for each in found.samples]
    assert taken == sorted(taken, reverse=True)
    assert {each.parameters["note"] for each in found.samples[:5]} == {f"number {number}" for number in (0, 10, 20, 30, 40)}


async def test_what_is_wrong_with_a_request_is_named_at_once(db: DbClient, node: RunningServer):
    with pytest.raises(NotFoundError) as unknown:
        await db.query_stats("product.list_dearest@1")
    assert (unknown.value.reason, unknown.value.metadata) == ("FINGERPRINT_UNKNOWN", {"fingerprint": "product.list_dearest@1"})
    stub = InsightServiceStub(node.channel())
    never, long = Timestamp(seconds=2**60), Duration(seconds=2**60)
    for call, request, fields in (
        (
            stub.ListSlowQueries,
            pb.ListSlowQueriesRequest(since_time=never, order=99, page_size=-1),
            {"since_time", "order", "page_size"},
        ),
        (
            stub.GetQueryStats,
            pb.GetQueryStatsRequest(since_time=never, until_time=never, window=long),
            {"fingerprint", "since_time", "until_time", "window"},
        ),
        (stub.GetQueryStats, pb.GetQueryStatsRequest(fingerprint="a", window=Duration(seconds=90)), {"window"}),
        (
            stub.GetQueryStats,
            pb.GetQueryStatsRequest(fingerprint="a", since_time=Timestamp(seconds=1), window=Duration(seconds=60)),
            {"window"},
        ),
        (
            stub.GetQueryStats,
            pb.GetQueryStatsRequest(fingerprint="a", until_time=Timestamp(), since_time=Timestamp()),
            {"since_time"},
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert {field for field in fields if field in (refused.value.details() or "")} == fields
    with pytest.raises(grpc.aio.AioRpcError, match="threshold"):
        async for _ in stub.WatchSlowQueries(pb.WatchSlowQueriesRequest(threshold=Duration(seconds=-1))):
            pass


async def test_what_was_counted_outlives_the_node_and_nodes_add_up(shop: str, folder: Path):
    async with dbopt(shop, queries_dir=folder, insight_interval=60) as first, client_of(first) as db:
        for _ in range(7):
            await db.execute("own.numbers", {"count": 2})
    async with (
        dbopt(shop, queries_dir=folder, insight_interval=0.05) as second,
        dbopt(shop, queries_dir=folder, insight_interval=0.05) as third,
        client_of(second) as one,
        client_of(third) as other,
    ):
        assert (await slow_queries(one))["own.numbers@3"].calls == 7
        for _ in range(200):
            await asyncio.gather(*(db.execute("own.numbers", {"count": 2}) for db in (one, other)))
        async with asyncio.timeout(10):
            while (found := await slow_queries(one))["own.numbers@3"].calls < 407:
                pass
        assert (found["own.numbers@3"].calls, found["own.numbers@3"].rows) == (407, 814)
        stats = await other.query_stats("own.numbers@3", window=timedelta(minutes=1))
        assert (stats.total.calls, len(stats.samples)) == (407, 32)


async def test_sensitive_parameters_are_nowhere_in_the_database_nor_told_nor_logged(
    db: DbClient, node: RunningServer, owner: Connection
):
    stub = InsightServiceStub(node.channel())
    watch = stub.WatchSlowQueries(pb.WatchSlowQueriesRequest(threshold=Duration()))
    await watch.initial_metadata()
    for number in range(40):
        await db.execute("own.login", {"name": f"Anna {number}", "password": SECRET})
        await db.write("own.signup", {"name": f"user {number}", "password": SECRET})
    told = [await watch.read() for _ in range(80)]
    watch.cancel()
    assert all(dict(each.parameters).keys() == {"name"} for each in told)
    for key in ("own.login@1", "own.signup@1"):
        samples = (await db.query_stats(key)).samples
        assert 24 <= len(samples) <= 32
        assert all(dict(sample.parameters).keys() == {"name"} for sample in samples)
    tables = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'souk'")
    assert {"query_samples", "query_windows", "query_texts", "statement_marks", "requests"} <= {row[0] for row in tables}
    for (table,) in tables:
        for word in (SECRET, "of a literal"):
            assert await owner.fetchval(f"SELECT count(*) FROM souk.{table} t WHERE t::text LIKE $1", f"%{word}%") == 0, table
    assert SECRET not in json.dumps(node.log.lines)


async def test_slow_calls_are_told_as_they_happen_with_who_answered_and_the_trace(db: DbClient, node: RunningServer):
    stub = InsightServiceStub(node.channel())
    watch = stub.WatchSlowQueries(pb.WatchSlowQueriesRequest(fingerprint="own.sleep@1"))
    await watch.initial_metadata()
    await db.execute("own.sleep", {"seconds": 0.001})
    await db.execute("own.numbers", {"count": 3})
    before = datetime.now(UTC)
    await db.execute("own.sleep", {"seconds": 0.12, "note": "the one"})
    told = await watch.read()
    assert (told.fingerprint, told.rows, told.source, told.missed) == ("own.sleep@1", 1, query_pb2.SOURCE_PRIMARY, 0)
    assert dict(told.parameters) == {"seconds": 0.12, "note": "the one"}
    assert 0.12 <= seconds(told.duration) < 1
    assert before <= told.end_time.ToDatetime(UTC) <= datetime.now(UTC)
    line = await node.log.wait_for(lambda line: line.get("query") == "own.sleep@1" and line.get("trace_id") == told.trace_id)
    assert line["method"].endswith("ExecuteQuery")
    with pytest.raises(SoukError):
        await db.execute("own.sleep", {"seconds": 9})
    told = await watch.read()
    assert (told.source, told.rows) == (query_pb2.SOURCE_UNSPECIFIED, 0)
    watch.cancel()


async def test_a_watcher_that_does_not_keep_up_delays_nobody_and_is_told_what_it_missed(db: DbClient, node: RunningServer):
    stub = InsightServiceStub(node.channel(**{"http2.bdp_probe": 0, "http2.lookahead_bytes": 1024}))
    watch = stub.WatchSlowQueries(pb.WatchSlowQueriesRequest(threshold=Duration()))
    await watch.initial_metadata()
    note = "x" * 900
    for _ in range(50):
        await asyncio.gather(*(db.execute("own.sleep", {"seconds": 0, "note": note}) for _ in range(50)))
    received = 0
    while received < 500:  # then there is room for one more
        assert (await watch.read()).missed == 0
        received += 1
    await db.execute("own.sleep", {"seconds": 0, "note": "the last"})
    while (told := await watch.read()).parameters["note"] != "the last":
        received += 1
    watch.cancel()
    assert received >= 1000
    assert told.missed == 2500 - received > 0


async def test_a_watch_ends_unavailable_when_the_node_stops_and_does_not_hold_it_up(shop: str):
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(dbopt(shop, drain_grace=40.0))
        channel = grpc.aio.insecure_channel(server.addresses.grpc)  # one that is not closed with the server
        watch = InsightServiceStub(channel).WatchSlowQueries(pb.WatchSlowQueriesRequest())
        await watch.initial_metadata()
        reading = asyncio.ensure_future(watch.read())
        async with asyncio.timeout(20):
            stopping = asyncio.create_task(stack.aclose())
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await reading
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
            await stopping
        await channel.close()


async def test_what_is_old_is_forgotten_and_minutes_after_a_day(shop: str, owner: Connection):
    await owner.execute("""
        INSERT INTO souk.query_windows
            SELECT 'old@1', span, now() - make_interval(hours => age), 1, 1, 0, 0, 1, 1, '{5}', '{1}'
            FROM (VALUES (60), (3600)) AS s(span), generate_series(0, 720, 12) AS age;
        INSERT INTO souk.query_samples
            SELECT age, 'old@1', true, 1, now() - make_interval(hours => age), '{}' FROM generate_series(0, 720, 12) AS age;
        INSERT INTO souk.query_texts
            VALUES ('old@1', 'select ?', now() - interval '1 day'), ('older@1', '', now() - interval '20 days')
    """)
    async with dbopt(shop, insight_interval=0.05, insight_retention=14 * 86400.0):
        async with asyncio.timeout(10):
            while await owner.fetchval("SELECT count(*) FROM souk.query_texts WHERE fingerprint = 'older@1'"):
                pass
        oldest = await owner.fetch("""
            SELECT extract(epoch FROM now() - min(start_time)) / 3600 FROM souk.query_windows WHERE fingerprint = 'old@1'
            GROUP BY span ORDER BY span""")
        assert [round(row[0]) for row in oldest] == [24, 324]  # every twelve hours there was one
        assert await owner.fetchval("SELECT extract(epoch FROM now() - min(end_time)) / 86400 FROM souk.query_samples") <= 14


async def test_what_is_older_than_a_day_is_shown_by_the_hour_beside_minutes(db: DbClient, owner: Connection):
    await owner.execute("""
        INSERT INTO souk.query_texts VALUES ('old@1', 'select ?', now());
        INSERT INTO souk.query_windows
            SELECT 'old@1', 3600, date_trunc('hour', now()) - make_interval(hours => age), 1, 60, 0, 60, 6, 0.2, '{600}', '{60}'
            FROM generate_series(1, 47) AS age;
        INSERT INTO souk.query_windows
            SELECT 'old@1', 60, date_trunc('hour', now()) - make_interval(mins => age), 1, 1, 0, 1, 0.1, 0.2, '{600}', '{1}'
            FROM generate_series(1, 60 * 24) AS age;
    """)
    since = datetime.now(UTC) - timedelta(days=3)
    by_hour = await db.query_stats("old@1", since=since)
    by_minutes = await db.query_stats("old@1", since=since, window=timedelta(minutes=30))
    assert by_hour.total.calls == by_minutes.total.calls == 60 * 47
    assert (len(by_hour.windows), len(by_minutes.windows)) == (47, 23 + 2 * 24)
    assert seconds(by_minutes.total.total_time) == pytest.approx(6 * 47)


async def test_without_the_tables_queries_run_and_the_log_says_what_is_missing_and_not_every_time(
    shop: str, folder: Path, owner: Connection
):
    await owner.execute("DROP TABLE souk.query_windows, souk.query_texts, souk.query_samples, souk.statement_marks")
    async with dbopt(shop, queries_dir=folder, insight_interval=0.02) as server, client_of(server) as db:
        for _ in range(20):
            await db.execute("own.numbers", {"count": 2})
        line = await server.log.wait_for(lambda line: line.get("event") == "counts of queries")
        assert "does not exist" in line["problem"]
        with pytest.raises(SoukError) as refused:
            await slow_queries(db)
        assert refused.value.reason == "SCHEMA_MISMATCH"
        told = [line["problem"] for line in server.log.lines if line.get("event") == "counts of queries"]
        assert len(told) == len(set(told))


async def test_while_the_database_is_away_nothing_is_lost_that_ran(tmp_path: Path, folder: Path):
    async with postgres_server() as postgres:
        owner = await asyncpg.connect(postgres.dsn())
        await schema.migrate(owner)
        await owner.close()
        dsn = postgres.dsn(user="souk_service")
        async with dbopt(dsn, queries_dir=folder, insight_interval=0.05) as server, client_of(server, attempts=1) as db:
            answered = 0
            for round_ in range(3):
                for _ in range(20):
                    with contextlib.suppress(SoukError):
                        await db.execute("own.numbers", {"count": 2})
                        answered += 1
                if round_ == 1:
                    await postgres.kill()
                    for _ in range(20):
                        with contextlib.suppress(SoukError):
                            await db.execute("own.numbers", {"count": 2})
                            answered += 1
                    await postgres.start()
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(SoukError):
                        found = (await slow_queries(db))["own.numbers@3"]
                        break
            assert found.calls - found.errors == answered >= 40
            assert found.rows == 2 * answered


async def test_queries_of_others_are_counted_where_pg_stat_statements_can_be_read(folder: Path):
    if not (programs(15) / "postgres").exists():
        pytest.skip("PostgreSQL 15 is not installed: apt-get install postgresql-15")
    async with postgres_server(15, "shared_preload_libraries=pg_stat_statements") as postgres:
        owner = await asyncpg.connect(postgres.dsn())
        await schema.migrate(owner)
        await fill(owner)
        await owner.execute("CREATE EXTENSION pg_stat_statements; SELECT count(*) FROM shop.users WHERE user_id = 0")
        async with (
            dbopt(postgres.dsn(user="souk_service"), queries_dir=folder, insight_interval=60) as server,
            client_of(server) as db,
        ):
            await owner.execute("SELECT 1 FROM shop.users WHERE user_id = 1")
            assert await slow_queries(db) == {}, "its figures of others may not be read"
            await owner.execute("GRANT pg_read_all_stats TO souk_service")
            assert await slow_queries(db) == {}, "what was before is of no hour"
            for number in range(1, 8):
                await owner.execute(f"SELECT title FROM shop.products WHERE product_id IN ({number}, {number + 1})")
            await owner.execute("SELECT title FROM shop.products WHERE product_id IN (1)")
            await db.execute("own.numbers", {"count": 2})
            found = await slow_queries(db)
            (others,) = [query for query in found.values() if "shop.products" in query.text]
            assert others.text == "select title from shop.products where product_id in (?)"
            assert (others.calls, others.rows, others.errors) == (8, 15, 0)
            assert not any(others.HasField(name) for name in ("p50_time", "p99_time", "max_time"))
            assert seconds(others.mean_time) > 0
            assert found["own.numbers@3"].calls == 1
            assert not any(
                "souk." in query.text or "generate_series" in query.text
                for query in found.values()
                if query.text != found["own.numbers@3"].text
            )
            await owner.execute("SELECT pg_stat_statements_reset()")
            await owner.execute("SELECT title FROM shop.products WHERE product_id IN (9, 10)")
            again = (await slow_queries(db))[others.fingerprint]
            assert again.calls == 9
            stats = await db.query_stats(others.fingerprint, window=timedelta(minutes=1))
            assert (stats.total.calls, list(stats.samples)) == (9, [])
        await owner.close()
