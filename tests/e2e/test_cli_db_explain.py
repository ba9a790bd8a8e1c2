"""`souk db explain`, as an engineer runs it."""

import asyncpg
from integration.dbopt.shop import dbopt, fill
from postgres_servers import postgres_server
from souk_command import souk, terminal
from souk_dbopt.adapters import schema


async def test_a_query_is_explained_drawn_and_what_is_wrong_with_it_said():
    async with postgres_server() as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await fill(owner)
        await owner.execute(
            "CREATE TABLE big AS SELECT n, n % 5000 AS code FROM generate_series(1, 30000) n; GRANT SELECT ON big TO PUBLIC"
        )
        await owner.execute("ANALYZE big")
        await owner.close()
        dsns = {"explain_dsn": server.dsn(user="souk_explain")}
        async with dbopt(server.dsn(user="souk_service"), **dsns) as running:
            told = {"SOUK_DBOPT_ADDRESS": running.addresses.grpc}

            healthy = await souk("db", "explain", "product.get", "-p", "product_id=7", **told)
            assert (healthy.status, healthy.err) == (0, "")
            assert "Index Scan shop.products by products_pkey" in healthy.out
            assert "find nothing wrong" in healthy.out

            bad = await souk("db", "explain", "--sql", "SELECT n FROM big WHERE code = $1", "-v", "77", **told)
            assert bad.status == 0
            assert "SEQ_SCAN_DISCARDS_ROWS" in bad.out
            assert "CREATE INDEX CONCURRENTLY ON public.big (code)" in bad.out

            planned = await souk("db", "explain", "--sql", "SELECT n FROM big WHERE code = 77", "--no-analyze", **told)
            assert (planned.status, "was not run" in planned.out) == (0, True)

            as_json = await souk("db", "explain", "user.get", "--generic", "--no-analyze", "--json", **told)
            assert as_json.json()["plan"]["root"]["type"] == "Aggregate"

            refused = await souk("db", "explain", "--sql", "SELECT pg_sleep(1)", **told)
            assert (refused.status, "pg_sleep() is VOLATILE" in refused.err) == (1, True)
            unsaid = await souk("db", "explain", **told)
            assert (unsaid.status, "--sql" in unsaid.err) == (2, True)
            unreadable = await souk("db", "explain", "user.get", "-p", "user_id", **told)
            assert (unreadable.status, "NAME=VALUE" in unreadable.err) == (2, True)

            async with terminal("db", "explain", "product.list_popular", "-p", "category_id=2", columns=100, **told) as screen:
                await screen.says("Rows")
                assert await screen.ends() == 0
                assert not screen.has_width or max(map(len, screen.text.splitlines())) <= 100
