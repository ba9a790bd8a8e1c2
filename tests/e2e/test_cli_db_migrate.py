"""`souk db migrate`, as who owns a database runs it."""

import socket

import asyncpg
from postgres_servers import postgres_server
from souk_command import souk


async def test_a_database_is_brought_up_to_date_and_what_is_wrong_is_said():
    async with postgres_server() as server:
        planned = await souk("db", "migrate", "--dsn", server.dsn(), "--dry-run", "--json")
        assert (planned.status, planned.json()["pending"][:1]) == (0, ["souk 0001 access"])
        first = await souk("db", "migrate", SOUK_DB_OWNER_DSN=server.dsn())
        assert (first.status, "applied in" in first.out, "shop 0001 tables" in first.err) == (0, True, True)
        again = await souk("db", "migrate", "--dsn", server.dsn())
        assert (again.status, again.out.strip(), again.err) == (0, "The schema is up to date.", "")
        service = await asyncpg.connect(server.dsn(user="souk_service"))
        assert await service.fetchval("SELECT count(*) FROM shop.products") == 0
        await service.close()

        stranger = await souk("db", "migrate", "--dsn", server.dsn(user="stranger"))
        assert (stranger.status, 'role "stranger" does not exist' in stranger.err) == (1, True)
        nowhere = await souk("db", "migrate", "--dsn", server.dsn("nowhere"), "--json")
        assert (nowhere.status, "CREATE DATABASE" in nowhere.json()["error"]["message"]) == (1, True)
        same = await souk("db", "migrate", "--dsn", server.dsn(), "--explain-role", "souk_service")
        assert (same.status, "different names" in same.err) == (2, True)


async def test_without_a_server_it_says_how_to_get_one():
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        dsn = f"postgresql://owner:secret@127.0.0.1:{port.getsockname()[1]}/shop"
        refused = await souk("db", "migrate", "--dsn", dsn)
    assert (refused.status, "souk up dbopt" in refused.err, "secret" in refused.err) == (1, True, False)
    missing = await souk("db", "migrate")
    assert (missing.status, "--dsn" in missing.err) == (2, True)
    unreadable = await souk("db", "migrate", "--dsn", "host=127.0.0.1 dbname=shop")
    assert (unreadable.status, "it is like postgresql://" in unreadable.err) == (1, True)
