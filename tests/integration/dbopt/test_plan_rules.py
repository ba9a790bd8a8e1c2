"""Every rule on a plan of a real server that shows what it looks for; that what it advises helps; and silence on healthy plans."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import marketplace
import pytest
from integration.dbopt.planning import Bench, bench, drop, make
from postgres_servers import PostgresServer
from souk_common.postgres import Pool
from souk_dbopt.adapters.explain_catalog import ExplainCatalog
from souk_dbopt.adapters.query_file import load
from souk_dbopt.explaining import Explainer, pool_options
from souk_dbopt.plan_rules import RULES, Finding

CATALOGUE = load()
SMALL = {"work_mem": "64kB", "hash_mem_multiplier": "1"}
NO_NESTED_LOOP = {"enable_mergejoin": "off", "enable_nestloop": "off"}


@dataclass(frozen=True)
class Case:
    """What makes a server show a bad plan."""

    sql: str
    values: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    says: Sequence[str] = ()
    """What the finding's message must have."""
    helps: bool = False
    """What the finding advises makes it go away."""


CASES = {
    "SEQ_SCAN_DISCARDS_ROWS": Case(
        "SELECT id FROM bad.items WHERE code = 77", says=["49,99", "bad.items", "code = 77"], helps=True
    ),
    "FILTER_COULD_BE_INDEX_CONDITION": Case(
        "SELECT id FROM bad.items WHERE kind = 5 AND code = 77",
        settings={"enable_seqscan": "off"},
        says=["2,500", "code = 77"],
        helps=True,
    ),
    "LIMIT_ON_WRONG_INDEX": Case("SELECT id FROM bad.items WHERE part = 9 ORDER BY id LIMIT 5", says=["44,999", "5 for the LIMIT"]),
    "OFFSET_PAGING": Case("SELECT id FROM bad.items ORDER BY id OFFSET 5000 LIMIT 10", says=["5,000 rows were made and skipped"]),
    "INDEX_ONLY_SCAN_FETCHES_HEAP": Case(
        "SELECT count(id) FROM bad.unvacuumed WHERE id < 5000",
        settings={"enable_seqscan": "off", "enable_bitmapscan": "off"},
        says=["4,999", "bad.unvacuumed"],
    ),
    "IMPLICIT_CAST": Case("SELECT name FROM bad.items WHERE id = 7::numeric", says=["numeric", "49,999"]),
    "SORT_COULD_BE_INDEX": Case(
        "SELECT id FROM bad.items ORDER BY name LIMIT 10", says=["50,000 rows", "the first 10"], helps=True
    ),
    "LOSSY_BITMAP": Case(
        "SELECT count(padding) FROM bad.items WHERE kind < 5",
        settings={"work_mem": "64kB", "enable_seqscan": "off", "enable_indexscan": "off"},
        says=["bad.items"],
        helps=True,
    ),
    "SORT_SPILL": Case("SELECT id, name FROM bad.items ORDER BY name", settings=SMALL, says=["sorting took"], helps=True),
    "HASH_SPILL": Case(
        "SELECT count(b.name) FROM bad.items a JOIN bad.items b ON b.id = a.other",
        settings={**SMALL, **NO_NESTED_LOOP},
        says=["parts of a hash table"],
        helps=True,
    ),
    "AGGREGATE_SPILL": Case(
        "SELECT name, count(*) FROM bad.items GROUP BY name",
        settings={**SMALL, "enable_sort": "off"},
        says=["grouping took"],
        helps=True,
    ),
    "STORE_SPILL": Case(
        "WITH c AS MATERIALIZED (SELECT id, name FROM bad.items) SELECT count(*) FROM c a JOIN c b ON b.id = a.id",
        settings=SMALL,
        says=["CTE Scan"],
        helps=True,
    ),
    "NESTED_LOOP_BLOWUP": Case(
        "SELECT count(*) FROM bad.items a JOIN bad.items b ON b.id = a.other AND md5(repeat(b.name, 200)) <> '' "
        "WHERE a.kind = 5 AND a.twin = 5",
        settings={"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_memoize": "off"},
        says=["2,500 times"],
    ),
    "CROSS_JOIN": Case(
        "SELECT count(*) FROM (SELECT id FROM bad.items LIMIT 1000) a, (SELECT id FROM bad.items LIMIT 1000) b",
        says=["1,000,000 rows"],
    ),
    "CORRELATED_SUBPLAN": Case(
        "SELECT a.id, (SELECT max(b.name) FROM bad.items b WHERE b.id = a.other) FROM bad.items a WHERE a.id <= 2000",
        says=["2,000 times"],
    ),
    "NEVER_EXECUTED": Case("SELECT max(name) FROM bad.items WHERE (SELECT false)", says=["did not run", "bad.items"]),
    "MISESTIMATE": Case("SELECT name FROM bad.items WHERE kind = 5 AND twin = 5", says=["2,500 came", "times more"]),
    "STALE_STATISTICS": Case("SELECT count(*) FROM bad.stale WHERE state = 1", says=["bad.stale", "40,000"], helps=True),
    "MISSING_EXTENDED_STATISTICS": Case(
        "SELECT name FROM bad.items WHERE kind = 5 AND twin = 5", says=["kind", "twin", "depend on one another"], helps=True
    ),
    "GENERIC_PLAN_MISESTIMATE": Case(
        "SELECT count(name) FROM bad.items WHERE skewed = $1 AND name <> ''", values=["0"], says=["$1", "45,000 came"]
    ),
    "WORKERS_NOT_LAUNCHED": Case(
        "SELECT count(name) FROM bad.items",
        settings={
            "max_parallel_workers": "0",
            "max_parallel_workers_per_gather": "2",
            "parallel_setup_cost": "0",
            "min_parallel_table_scan_size": "0",
        },
        says=["2 workers were planned, and 0 launched"],
    ),
    "JIT_SHARE": Case(
        "SELECT sum(id + 1), avg(code * 2), max(name) FROM bad.items WHERE id + code > 7",
        settings={"jit": "on", "jit_above_cost": "0", "jit_inline_above_cost": "0", "jit_optimize_above_cost": "0"},
        says=["compiling"],
        helps=True,
    ),
    "TRIGGER_TIME": Case("DELETE FROM bad.parents WHERE id <= 300", says=["children_parent", "300 calls"]),
    "PLANNER_SETTING_OFF": Case(
        "SELECT count(*) FROM bad.items", settings={"enable_hashjoin": "off"}, says=["enable_hashjoin off"]
    ),
}


@pytest.fixture(scope="module", params=[18, 15], ids=["PostgreSQL 18", "PostgreSQL 15"])
def server(request: pytest.FixtureRequest) -> PostgresServer:
    found: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    return found


@pytest.fixture(scope="module")
def bad(server: PostgresServer) -> Iterator[str]:
    asyncio.run(make(server, "bad_plans"))
    yield "bad_plans"
    asyncio.run(drop(server, "bad_plans"))


@pytest.fixture
async def on(server: PostgresServer, bad: str) -> AsyncIterator[Bench]:
    async with bench(server, bad) as made:
        yield made


async def found(on: Bench, case: Case) -> dict[str, Finding]:
    settings = {"max_parallel_workers_per_gather": "0", **case.settings}
    plan = await on.plan(case.sql, *case.values, settings=settings, before=case.before)
    return {finding.rule: finding for finding in reversed(await on.findings(plan))}


async def cannot_happen(on: Bench, rule: str) -> bool:
    """Whether the server was built without what the rule is about."""
    return rule == "JIT_SHARE" and not await on.connection.fetchval("SELECT pg_jit_available()")


def test_every_rule_has_its_case():
    assert len(CASES) == len(RULES) >= 18


@pytest.mark.parametrize("rule", CASES)
async def test_a_rule_finds_what_it_looks_for(on: Bench, rule: str):
    case = CASES[rule]
    if await cannot_happen(on, rule):
        assert rule not in await found(on, case)
        return
    finding = (await found(on, case))[rule]
    assert all(text in finding.message for text in case.says), finding.message
    assert finding.fix
    assert finding.evidence
    assert 0 <= finding.weight <= 1


@pytest.mark.parametrize("rule", [rule for rule, case in CASES.items() if case.helps])
async def test_what_a_rule_advises_makes_it_silent(on: Bench, rule: str):
    case = CASES[rule]
    if await cannot_happen(on, rule):
        return
    fix = (await found(on, case))[rule].fix_sql.replace("CONCURRENTLY ", "").replace("SET ", "SET LOCAL ")
    assert fix
    touched = fix.removeprefix("SET LOCAL ").partition(" ")[0]
    settings = {name: value for name, value in case.settings.items() if name != touched}
    after = await found(
        on, replace(case, settings=settings, before=[fix, "ANALYZE bad.items"] if fix.startswith("CREATE") else [fix])
    )
    assert rule not in after


PARALLEL = {
    "max_parallel_workers_per_gather": "2",
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "0",
}
ADVICE = {
    "an index for each alternative": (
        Case("SELECT id FROM bad.items WHERE code = 77 OR other = 5"),
        "SEQ_SCAN_DISCARDS_ROWS",
        ["CREATE INDEX ON bad.items (code)", "CREATE INDEX ON bad.items (other)"],
    ),
    "an index of an expression": (
        Case("SELECT id FROM bad.items WHERE lower(name) = 'a'"),
        "SEQ_SCAN_DISCARDS_ROWS",
        ["CREATE INDEX ON bad.items ((lower(name)))"],
    ),
    "statistics of an expression": (
        Case("SELECT name FROM bad.items WHERE kind / 10 = 1", says=["25,000 came"]),
        "MISESTIMATE",
        ["CREATE STATISTICS bad.items_expression_statistics ON (kind / 10) FROM bad.items", "ANALYZE bad.items"],
    ),
    "the same where workers share the rows": (
        Case("SELECT name FROM bad.items WHERE kind / 10 = 1", settings=PARALLEL, says=["were expected and 2"]),
        "MISESTIMATE",
        ["CREATE STATISTICS bad.items_expression_statistics ON (kind / 10) FROM bad.items", "ANALYZE bad.items"],
    ),
}


@pytest.mark.parametrize("what", ADVICE)
async def test_what_fits_the_condition_is_advised_and_helps(on: Bench, what: str):
    case, rule, statements = ADVICE[what]
    finding = (await found(on, case))[rule]
    assert finding.fix_sql.replace("CONCURRENTLY ", "").split("; ") == statements
    assert all(text in finding.message for text in case.says), finding.message
    assert rule not in await found(on, replace(case, before=[*statements, "ANALYZE bad.items"]))


@pytest.mark.parametrize(
    "condition",
    ["id = other", "code = 77 OR id = other", "code = 77 OR length(name) <> 32", "id = 7::numeric", "code < other - 49999"],
)
async def test_no_index_is_advised_that_cannot_serve_the_condition(on: Bench, condition: str):
    finding = (await found(on, Case(f"SELECT name FROM bad.items WHERE {condition}")))["SEQ_SCAN_DISCARDS_ROWS"]
    assert finding.fix_sql == ""
    assert "No index" in finding.fix


HEALTHY: dict[str, list[dict[str, Any]]] = {
    "analytics.sales": [{"bucket": "day", "since": "2026-11-01T00:00:00Z", "until": "2026-11-20T00:00:00Z"}],
    "analytics.trending": [{"since": "2026-11-10", "until": "2026-11-17"}],
    "category.list": [{}],
    "order.get": [{"order_id": 7}],
    "order.list": [{"buyer_id": 3}, {"buyer_id": 3, "status": "paid"}, {"buyer_id": 0}],
    "product.get": [{"product_id": 7}, {"product_id": 0}],
    "product.sales": [{"product_id": 7, "since": "2026-01-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}],
    "product.search": [{"words": "lamp"}, {"words": "vintage"}, {"words": "red shoe"}, {"words": "nothingness"}],
    "review.list": [{"product_id": 7}],
    "seller.by_slug": [{"slug": "seller-7"}],
    "seller.dashboard": [{"seller_id": 1}, {"seller_id": 250}],
    "user.by_ens_name": [{"ens_name": "user9.eth"}],
    "user.by_wallet": [{"wallet": f"0x{7:040x}"}],
    "user.get": [{"user_id": 7}],
}
PAGES = [
    {},
    {"category_id": 12},
    {"seller_id": 3},
    {"attributes": {"colour": "red"}},
    {"min_price_cents": 4900},
    {"in_stock": True},
]
HEALTHY.update({f"product.list_{order}": PAGES for order in ("newest", "cheapest", "dearest", "popular")})


@pytest.fixture(scope="module")
def shop(server: PostgresServer) -> Iterator[str]:
    asyncio.run(_shop(server))
    yield "healthy_plans"
    asyncio.run(drop(server, "healthy_plans"))


async def _shop(server: PostgresServer) -> None:
    async with marketplace.connected(server, "postgres") as connection:
        await connection.execute("CREATE DATABASE healthy_plans")
    async with marketplace.connected(server, "healthy_plans") as connection:
        await marketplace.create(connection)


def test_every_query_of_the_catalogue_that_reads_is_among_the_healthy():
    assert set(HEALTHY) == {query.name for query in CATALOGUE if not query.is_write}


@pytest.mark.parametrize("name", HEALTHY)
async def test_every_rule_is_silent_on_the_plans_of_the_catalogue(server: PostgresServer, shop: str, name: str):
    query = CATALOGUE.get(name)
    options = pool_options(timeout=30, connect_timeout=10, behind_pooler=False)
    async with Pool(server.dsn(shop, "souk_explain"), options) as pool:
        explainer = Explainer(pool, ExplainCatalog(), timeout=30)
        for values in HEALTHY[name]:
            for generic in (False, True) if query.query_class.name == "lookup" else (False,):
                explained = await explainer.query(query, query.arguments(values), analyze=True, generic=generic)
                assert [(each.rule, each.message) for each in explained.findings] == [], (values, explained.plan.text)
