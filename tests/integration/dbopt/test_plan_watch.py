"""Plans of what is expensive, looked at by themselves: what is found, what it may cost, and that it is in nobody's way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from integration.dbopt.shop import client_of, dbopt
from integration.dbopt.watching import Clock, Node, node
from object_stores import free_port
from postgres_servers import PostgresServer
from souk.client import DbClient, InvalidArgumentError
from souk.dbopt.v1 import insight_pb2 as pb
from souk.dbopt.v1 import query_pb2
from souk.dbopt.v1.insight_pb2_grpc import InsightServiceStub
from souk.dbopt.v1.query_pb2_grpc import QueryServiceStub
from souk_common.testing import RunningServer
from souk_dbopt.adapters import query_file, schema
from souk_dbopt.catalogue import Catalogue
from souk_dbopt.executing import WriteRequest
from souk_dbopt.latency_shift import Outcome
from souk_dbopt.plan_causes import CauseKind
from souk_dbopt.plan_differences import ChangeKind
from souk_dbopt.plan_records import ChangeFilter, FindingFilter

Connection = asyncpg.Connection
TABLES = """
CREATE SCHEMA own;
CREATE TABLE own.items AS SELECT n AS id, n % 5000 AS code, repeat('x', 50) AS name FROM generate_series(1, 50000) n;
CREATE TABLE own.state AS SELECT 0 AS count, 0.0::float8 AS delay;
GRANT USAGE ON SCHEMA own TO souk_service, souk_explain;
GRANT SELECT ON ALL TABLES IN SCHEMA own TO souk_service, souk_explain;
GRANT UPDATE ON own.state TO souk_service;
"""
HEAD = "-- name: own.{name}\n-- version: 1\n-- description: One.\n-- class: {kind}\n"
VALUE = "-- parameters:\n--   value: {type: int, description: What.}\n"
FILES = {
    "find": HEAD.format(name="find", kind="lookup") + VALUE + "SELECT id, name FROM own.items WHERE code = :value",
    "secret": HEAD.format(name="secret", kind="lookup")
    + "-- parameters:\n--   value: {type: int, sensitive: true, description: What.}\n"
    + "SELECT id FROM own.items WHERE code = :value",
    "delay": HEAD.format(name="delay", kind="lookup") + VALUE
    + "SELECT :value::int AS given FROM (SELECT pg_sleep(delay) FROM own.state) s",
    "steady": HEAD.format(name="steady", kind="lookup") + VALUE + "SELECT count FROM own.state WHERE count < :value",
    "bump": HEAD.format(name="bump", kind="write") + "-- write: true\n" + VALUE
    + "UPDATE own.state SET count = count + :value RETURNING count",
}  # fmt: skip


@pytest.fixture
async def dsn(postgres18: PostgresServer, database18: str, owner18: Connection) -> Callable[[str], str]:
    await schema.migrate(owner18, components=[schema.SOUK])
    await owner18.execute(TABLES)
    await owner18.execute("VACUUM (ANALYZE) own.items")
    return lambda role: postgres18.dsn(database18, role)


@pytest.fixture
async def database18(postgres18: PostgresServer, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    owner = await asyncpg.connect(postgres18.dsn())
    try:
        await owner.execute("CREATE DATABASE plans_watched")
        yield "plans_watched"
        await owner.execute("DROP DATABASE plans_watched WITH (FORCE)")
    finally:
        await owner.close()


@pytest.fixture
async def owner18(postgres18: PostgresServer, database18: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(postgres18.dsn(database18))
    yield connection
    await connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / f"{name}.sql").write_text(text + "\n")
    return tmp_path


@pytest.fixture
def catalogue(folder: Path) -> Catalogue:
    return query_file.load(folder, serve_shipped=False)


@pytest.fixture
async def one(dsn: Callable[[str], str], catalogue: Catalogue) -> AsyncIterator[Node]:
    async with node(dsn("souk_service"), catalogue, Clock(), explain_dsn=dsn("souk_explain")) as made:
        yield made


async def call(one: Node, name: str, *values: int) -> None:
    query = one.catalogue.get(f"own.{name}")
    for value in values:
        if query.is_write:
            await one.executor.write(query, [value], WriteRequest("", f"{name}-{value}", b""))
        else:
            await one.executor.read(query, [value])


async def test_what_a_run_shows_is_a_finding_until_a_newer_plan_does_not_show_it(one: Node, owner18: Connection):
    await call(one, "find", *range(10))
    await one.look()
    (found,) = await one.store.findings(FindingFilter(rule="SEQ_SCAN_DISCARDS_ROWS"), None, 10)
    assert (found.fingerprint, found.closed_time) == ("own.find@1", None)
    assert found.finding.fix_sql == "CREATE INDEX CONCURRENTLY ON own.items (code)"
    assert found.database_share > 0.5

    await owner18.execute(found.finding.fix_sql)
    await call(one, "find", *range(10))
    await one.look()
    (closed,) = await one.store.findings(FindingFilter(rule="SEQ_SCAN_DISCARDS_ROWS"), None, 10)
    assert (closed.finding_id, closed.closed_time is not None) == (found.finding_id, True)
    assert await one.store.findings(FindingFilter(open_only=True, rule="SEQ_SCAN_DISCARDS_ROWS"), None, 10) == []
    (change,) = await one.store.changes(ChangeFilter(fingerprint="own.find@1"), None, 10)
    assert change.kinds[0] is ChangeKind.SCAN_METHOD
    assert change.causes[0] is CauseKind.INDEX_ADDED
    assert change.outcome is Outcome.PENDING


async def test_a_query_whose_parameters_are_secret_has_the_plan_for_any_values_and_is_not_run(one: Node):
    await call(one, "secret", *range(10))
    await one.look()
    known = (await one.store.watched(["own.secret@1"]))["own.secret@1"]
    assert [(slot, probe.generic, probe.parameters) for slot, probe in known.probes.items()] == [("any", True, "")]
    assert one.watch.counts.run == 0


async def test_a_write_is_explained_and_never_run(one: Node, owner18: Connection):
    await call(one, "bump", *range(1, 11))
    await one.look()
    known = (await one.store.watched(["own.bump@1"]))["own.bump@1"]
    assert known.probes["slow"].plan
    assert (one.watch.counts.captured > 0, one.watch.counts.run) == (True, 0)
    assert await owner18.fetchval("SELECT count FROM own.state") == 55


async def test_a_run_that_takes_longer_than_the_call_did_is_cut_and_charged_and_not_tried_again_soon(
    one: Node, owner18: Connection
):
    await call(one, "delay", *range(10))
    await owner18.execute("UPDATE own.state SET delay = 5")
    await one.look()
    assert (one.watch.counts.cut, one.watch.counts.run, one.watch.counts.failed) == (1, 0, 0)
    assert 0.1 <= one.watch.budget.spent < 4
    await one.look()
    assert one.watch.counts.cut == 1


async def test_a_table_that_is_locked_holds_a_look_up_for_a_second_and_ends_nothing(one: Node, owner18: Connection):
    await call(one, "find", *range(10))
    async with owner18.transaction():
        await owner18.execute("LOCK TABLE own.items IN ACCESS EXCLUSIVE MODE")
        await one.look()
        assert (one.watch.counts.failed, one.watch.counts.captured) == (1, 0)
    one.clock.now += 60  # the claim of the look that failed is over
    await one.look()
    assert one.watch.counts.captured > 0


async def test_without_a_budget_nothing_is_looked_at(dsn: Callable[[str], str], catalogue: Catalogue):
    async with node(dsn("souk_service"), catalogue, Clock(), explain_dsn=dsn("souk_explain"), share=0.0) as one:
        await call(one, "find", *range(10))
        await one.look()
        assert (one.watch.counts.captured, one.watch.counts.run) == (0, 0)
        assert one.watch.counts.unaffordable == 1


async def test_of_several_nodes_one_looks_at_a_query_and_another_takes_over_from_one_that_is_gone(one: Node):
    now = one.clock.now
    claimed = await asyncio.gather(*(one.store.claim("own.find@1", now, lease=60, every=40) for _ in range(8)))
    assert sum(each is not None for each in claimed) == 1
    assert await one.store.claim("own.find@1", now + 59, lease=60, every=40) is None
    watched = await one.store.claim("own.find@1", now + 60, lease=60, every=40)
    assert watched is not None
    await one.store.keep(watched, now + 60, (), None)
    assert await one.store.claim("own.find@1", now + 99, lease=60, every=40) is None
    assert await one.store.claim("own.find@1", now + 100, lease=60, every=40) is not None


async def test_what_is_kept_of_a_query_is_bounded_and_goes_when_it_is_old(one: Node, owner18: Connection):
    await owner18.execute("""
        INSERT INTO souk.query_plans SELECT 'q', n::text, now(), now() - n * interval '1 minute', false, NULL, ''
        FROM generate_series(1, 80) n;
        INSERT INTO souk.plan_changes (fingerprint, time, before_time, kinds, outcome, old_plan, new_plan, message, causes,
            cause_message, fix_sql, evidence)
        SELECT 'q', now() - n * interval '1 hour', now(), '{}', 'same', '', '', '', '{}', '', '', '{}'
        FROM generate_series(1, 60) n;
    """)
    await one.store.forget(one.clock.now, retention=40 * 60)
    assert await owner18.fetchval("SELECT count(*) FROM souk.query_plans") in range(38, 42)
    assert await owner18.fetchval("SELECT count(*) FROM souk.plan_changes") == 0


async def test_the_same_plan_that_takes_longer_is_told_with_what_grew(one: Node, owner18: Connection):
    async def minute() -> None:
        await call(one, "find", *range(6))
        await call(one, "steady", *range(6))  # which says how busy the machine is
        await one.look()

    await owner18.execute("ALTER TABLE own.items SET (parallel_workers = 0)")
    for _ in range(13):
        await minute()
    await owner18.execute("INSERT INTO own.items SELECT n, -1, repeat('x', 50) FROM generate_series(1, 400000) n")
    await owner18.execute("SELECT pg_stat_force_next_flush()")  # else what a second has changed is known a while later
    for _ in range(6):
        await minute()
    found = await one.store.changes(ChangeFilter(slower_only=True), None, 10)
    assert [(change.fingerprint, change.kinds) for change in found] == [("own.find@1", [ChangeKind.LATENCY_SHIFT])]
    assert found[0].causes[0] is CauseKind.STATISTICS_STALE
    assert "rows of own.items" in found[0].cause_message
    assert found[0].ratio > 2


@pytest.fixture
async def serving(dsn: Callable[[str], str], folder: Path) -> Callable[..., Any]:
    """Starts dbopt, which looks every second."""

    def start(**settings: Any) -> Any:
        chosen = {"plan_interval": 1, "plan_budget": 1.0, "explain_dsn": dsn("souk_explain"), **settings}
        return dbopt(dsn("souk_service"), queries_dir=folder, shipped_queries=False, **chosen)

    return start


async def until_found(db: DbClient, call: Callable[[], Any], **wanted: Any) -> list[pb.PlanFinding]:
    async with asyncio.timeout(60):
        while True:
            await call()
            found = [each async for each in db.plan_findings(**wanted)]
            if found:
                return found


async def test_findings_are_listed_by_filter_page_by_page_and_after_a_restart(serving: Callable[..., Any]):
    async with serving() as server, client_of(server) as db:
        await until_found(db, lambda: db.execute("own.find", {"value": 3}), rule="SEQ_SCAN_DISCARDS_ROWS")
        await until_found(db, lambda: db.execute("own.secret", {"value": 3}), fingerprint="own.find@1")
    async with serving(plan_budget=0.0) as server, client_of(server) as db:
        (found,) = [each async for each in db.plan_findings(rule="SEQ_SCAN_DISCARDS_ROWS")]
        assert (found.fingerprint, found.plan_fingerprint != "") == ("own.find@1", True)
        assert found.severity == pb.FINDING_SEVERITY_HIGH
        assert [each async for each in db.plan_findings(min_severity=pb.FINDING_SEVERITY_HIGH, page_size=1)] != []
        assert [each async for each in db.plan_findings(rule="NO_SUCH_RULE")] == []
        assert [each async for each in db.plan_changes()] == []
        await refuses_what_is_wrong(server)


async def refuses_what_is_wrong(server: RunningServer) -> None:
    async with client_of(server) as db:
        with pytest.raises(InvalidArgumentError) as caught:
            await anext(db.plan_findings(fingerprint="x" * 200, rule="y" * 200, page_size=1000))
        assert {violation.field for violation in caught.value.field_violations} == {"fingerprint", "rule", "page_size"}
        with pytest.raises(InvalidArgumentError):
            await anext(db.plan_changes(kind=99, page_size=-1))  # type: ignore[arg-type]
    async with server.channel() as channel:
        stub = InsightServiceStub(channel)
        for token in ("nonsense", "AAAA"):
            with pytest.raises(Exception, match="page_token"):
                await stub.ListPlanFindings(pb.ListPlanFindingsRequest(page_token=token))
            with pytest.raises(Exception, match="page_token"):
                await stub.ListPlanChanges(pb.ListPlanChangesRequest(page_token=token))


async def test_one_trace_that_asks_again_and_again_is_a_finding_with_its_id(serving: Callable[..., Any]):
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with serving(repeated_calls=10) as server, server.channel() as channel, client_of(server) as db:
        stub = QueryServiceStub(channel)

        async def ask() -> None:
            for number in range(15):
                request = query_pb2.ExecuteQueryRequest(name="own.find")
                request.parameters.update({"value": 6000 + number})
                await stub.ExecuteQuery(request, metadata=[("traceparent", f"00-{trace}-b7ad6b7169203331-00")])

        (found,) = await until_found(db, ask, rule="REPEATED_IN_TRACE")
        assert (found.fingerprint, found.evidence["trace_id"]) == ("own.find@1", trace)
        assert "127.0.0.1" in found.evidence["peer"]
        assert "ANY" in found.fix


async def test_a_role_that_cannot_come_is_in_nobodys_way(serving: Callable[..., Any], owner18: Connection):
    nowhere = f"postgresql://souk_explain@127.0.0.1:{free_port()}/none"
    async with serving(explain_dsn=nowhere) as server, client_of(server, attempts=1) as db, asyncio.timeout(60):
        while not await owner18.fetchval("SELECT EXISTS (SELECT FROM souk.query_plans)"):
            for number in range(5):
                assert (await db.execute("own.find", {"value": number})).row_count == 10
