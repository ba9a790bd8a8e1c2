"""What is made of the plans of real servers: where the time goes, and when two plans have one shape."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from integration.dbopt.planning import Bench, bench, drop, make
from postgres_servers import PostgresServer
from souk_dbopt.plans import Plan

STATEMENTS = [
    "SELECT kind, count(*) FROM bad.items GROUP BY kind ORDER BY 2 DESC",
    "WITH c AS MATERIALIZED (SELECT id, other FROM bad.items) SELECT count(*) FROM c a JOIN c b ON b.id = a.other",
    "SELECT a.id, (SELECT count(*) FROM bad.children c WHERE c.id = a.id) FROM bad.items a WHERE a.id < 20",
    "SELECT count(*) FROM bad.items WHERE code > (SELECT avg(code) FROM bad.items)",
    "SELECT id FROM bad.items WHERE kind = 3 UNION ALL SELECT id FROM bad.stale ORDER BY id LIMIT 9",
    "SELECT sum(id) OVER (PARTITION BY kind ORDER BY id) FROM bad.items WHERE id < 3000",
    "WITH RECURSIVE r (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 3000) SELECT * FROM r, bad.items WHERE id = n",
    "SELECT count(b.name) FROM bad.items a JOIN bad.items b ON b.id = a.other WHERE a.kind < 4",
    "SELECT EXISTS (SELECT FROM bad.items WHERE code = 7), ARRAY(SELECT id FROM bad.parents)",
]
SETTINGS = [
    {"max_parallel_workers_per_gather": "0"},
    {"parallel_setup_cost": "0", "parallel_tuple_cost": "0", "min_parallel_table_scan_size": "0"},
    {"enable_hashjoin": "off", "work_mem": "64kB"},
]


@pytest.fixture(scope="module", params=[18, 15], ids=["PostgreSQL 18", "PostgreSQL 15"])
def server(request: pytest.FixtureRequest) -> PostgresServer:
    found: PostgresServer = request.getfixturevalue(f"postgres{request.param}")
    return found


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> Iterator[str]:
    asyncio.run(make(server, "some_plans"))
    yield "some_plans"
    asyncio.run(drop(server, "some_plans"))


@pytest.fixture
async def on(server: PostgresServer, database: str) -> AsyncIterator[Bench]:
    async with bench(server, database) as made:
        yield made


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_the_times_of_all_steps_together_are_the_plans_time(on: Bench, sql: str):
    for settings in SETTINGS:
        plans = [await on.plan(sql, settings=settings)]
        while not adds_up(plans[-1]) and len(plans) < 10:  # workers may wait for a core
            plans.append(await on.plan(sql, settings=settings))
        plan = plans[-1]
        assert adds_up(plan), plan.text
        assert sum(node.share for node in plan.nodes()) == pytest.approx(1)
        assert all(node.self_time >= 0 for node in plan.nodes())
        assert sum(node.own_buffers.hit for node in plan.nodes()) == pytest.approx(plan.root.buffers.hit, rel=0.05), plan.text


def adds_up(plan: Plan) -> bool:
    whole = plan.root.total_time * plan.root.loops
    own = sum(node.self_time for node in plan.nodes())
    rounded = sum(node.loops for node in plan.nodes()) * 0.5e-6  # a run's time is told in whole microseconds
    return abs(own - whole) <= 0.15 * whole + 0.0005 + rounded


async def test_the_step_that_works_is_the_one_that_has_the_time(on: Bench):
    plan = await on.plan("WITH c AS MATERIALIZED (SELECT md5(name || id) AS m FROM bad.items) SELECT count(*) FROM c")
    scan = max(plan.nodes(), key=lambda node: node.share)
    assert (scan.type, scan.relation) == ("Seq Scan", "bad.items")
    plan = await on.plan("SELECT (SELECT count(*) FROM bad.items i WHERE i.code < p.id) FROM bad.parents p WHERE p.id <= 20")
    assert max(plan.nodes(), key=lambda node: node.share).relation == "bad.items"


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_a_plan_that_was_not_run_has_shares_of_its_cost(on: Bench, sql: str):
    plan = await on.plan(sql, analyze=False)
    assert plan.execution_time is None
    assert sum(node.share for node in plan.nodes()) == pytest.approx(1)


async def test_rows_of_each_run_are_told_in_parts_where_the_server_does(on: Bench):
    plan = await on.plan(
        "SELECT (SELECT max(id) FROM bad.children c WHERE c.id = p.id AND p.id % 2 = 0) FROM bad.parents p WHERE p.id <= 9"
    )
    assert plan.root.rows == 9
    assert plan.settings == {}


SAME = [
    ("SELECT name FROM bad.items x WHERE x.id = 7 ORDER BY x.name", "SELECT name FROM bad.items y WHERE y.id = 9 ORDER BY y.name"),
    ("SELECT 1 FROM bad.items WHERE kind = 1 LIMIT 5", "SELECT 1 FROM bad.items i WHERE kind = 2 LIMIT 7"),
    (
        "SELECT count(*) FROM bad.items a JOIN bad.parents b ON b.id = a.other WHERE a.id < 9",
        "SELECT count(*) FROM bad.items m JOIN bad.parents n ON n.id = m.other WHERE m.id < 8",
    ),
    ("SELECT id FROM bad.items ORDER BY name || 'a' LIMIT 3", "SELECT id FROM bad.items z ORDER BY z.name || 'bc' LIMIT 4"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
async def test_aliases_and_values_leave_the_fingerprint_as_it_is(on: Bench, one: str, other: str):
    assert (await on.plan(one, analyze=False)).fingerprint == (await on.plan(other)).fingerprint


@pytest.mark.parametrize(
    ("sql", "settings"),
    [
        ("SELECT name FROM bad.items WHERE id = 7", {"enable_indexscan": "off"}),
        ("SELECT name FROM bad.items WHERE id = 7", {"enable_indexscan": "off", "enable_bitmapscan": "off"}),
        ("SELECT count(*) FROM bad.items a JOIN bad.items b ON b.id = a.other", {"enable_hashjoin": "off"}),
        ("SELECT code, count(*) FROM bad.items GROUP BY code", {"enable_hashagg": "off"}),
        (
            "SELECT count(name) FROM bad.items",
            {"parallel_setup_cost": "0", "min_parallel_table_scan_size": "0", "parallel_tuple_cost": "0"},
        ),
    ],
)
async def test_another_way_of_doing_it_has_another_fingerprint(on: Bench, sql: str, settings: dict[str, str]):
    plain = {"max_parallel_workers_per_gather": "0"} if "parallel_setup_cost" in settings else {}
    before = await on.plan(sql, analyze=False, settings=plain)
    after = await on.plan(sql, analyze=False, settings=settings)
    assert before.fingerprint != after.fingerprint
    assert before.fingerprint == (await on.plan(sql, settings=plain)).fingerprint
