"""How soon monitor answers who reads: lists, searches, details and pages over 1,000,000 events in 10,000 issues, on a
PostgreSQL 18.

The rows are made in the database as the service would have written them: events and bodies over 30 days (bodies thinned), counts by
the hour, users, tags. Calls go one after another from a client over gRPC, and those for pages of the dashboard over HTTP, to a node
of its own process.

    python bench/monitor_read.py [--issues 10000] [--events 1000000] [--calls 200]
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import httpx
import machine
import uvloop
import zstandard
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc
from souk_monitor.adapters import schema
from souk_monitor.decoding import bodies
from souk_monitor.events import Event, ExceptionInfo, Frame, Source

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the starters of servers are
import processes
from postgres_servers import postgres_server

TARGET = 0.1
"""Seconds that 95 of 100 answers take at the most."""
REPORT = ("report of a day", "page: overview")
"""Which are asked for now and then, and have no target."""
KEPT = 12
"""Bodies of an issue."""
DAYS = 30
WORDS = [f"{word}{n}" for n in range(50) for word in ("basket", "order", "stock", "price", "seller", "payment", "photo", "review")]
ISSUES = """
INSERT INTO monitor.issues (project, number, state, severity, category, platform, events, users, first_seen, last_seen,
    first_release, last_release, trend, priority)
SELECT 1, n, CASE WHEN n % 10 = 0 THEN 3 WHEN n % 10 = 1 THEN 5 ELSE 1 END, 3 + n % 3, n % 19, 'python', $2 / $1, n % 300,
    now() - interval '30 days' * (n % 97) / 97.0, now() - interval '7 days' * ((n * 7919) % 10007) / 10007.0,
    'shop@1.' || n % 9, 'shop@2.' || n % 9, n % 6, random() * 8
FROM generate_series(1, $1::integer) AS n
"""
TEXTS = """
INSERT INTO monitor.issue_texts (issue, title, culprit, type, template, words)
SELECT i.id, t.title, t.culprit, t.type, t.title, to_tsvector('simple', t.title || ' ' || t.culprit || ' default ' || i.number)
FROM monitor.issues i
    JOIN unnest($1::integer[], $2::text[], $3::text[], $4::text[]) AS t(number, title, culprit, type) USING (number)
"""
FINGERPRINTS = """
INSERT INTO monitor.fingerprints (project, fingerprint, version, issue, title, events, users, first_seen, last_seen)
SELECT 1, uuid_send(gen_random_uuid()), 1, i.id, t.title, i.events, i.users, i.first_seen, i.last_seen
FROM monitor.issues i JOIN monitor.issue_texts t ON t.issue = i.id
"""
EVENTS = """
INSERT INTO monitor.events (day, project, event_id, fingerprint)
SELECT (now() AT TIME ZONE 'utc')::date - (n % $2)::integer, 1, gen_random_uuid(), 1 + n % $3
FROM generate_series(1, $1::integer) AS n
"""
HOURS = """
INSERT INTO monitor.hours (fingerprint, hour, events)
SELECT f.id, date_trunc('hour', now()) - interval '1 hour' * h, 1 + (f.id * h) % 3
FROM monitor.fingerprints f, generate_series(0, 719, 12) AS step, LATERAL (SELECT step + f.id % 12 AS h) AS at WHERE h < 720
"""
FACETS = """
INSERT INTO monitor.facets (fingerprint, kind, name, value, events)
SELECT f.id, k.kind, k.name, k.value || (f.id + v) % 40, 10 FROM monitor.fingerprints f, generate_series(0, 2) AS v,
    (VALUES (1, '', 'service-'), (2, '', 'environment-'), (3, '', 'shop@3.'), (4, 'region', 'r'),
        (4, 'route', '/orders/')) AS k(kind, name, value)
"""
FACET_HOURS = """
INSERT INTO monitor.facet_hours (project, kind, value, hour, events)
SELECT 1, 1, 'service-' || s, date_trunc('hour', now()) - interval '1 hour' * h, 5
FROM generate_series(1, 40) AS s, generate_series(0, 719) AS h
"""


def body(number: int, chance: random.Random) -> bytes:
    """Of an event of some 3 KiB."""
    lines = [" ".join(chance.choices(WORDS, k=12)) for _ in range(14)]
    frames = tuple(
        Frame(function=f"handle_{depth}", module="shop.views", file="shop/views.py", line=depth, context_line=line)
        for depth, line in enumerate(lines, 1)
    )
    exception = ExceptionInfo(type=f"Shop{number}Error", value=chance.choice(WORDS), frames=frames)
    event = Event(event_id=f"{chance.getrandbits(128):032x}", time=datetime.now(UTC), source=Source.NATIVE, exceptions=(exception,))
    return zstandard.ZstdCompressor(level=3).compress(bodies.encode(event))


async def fill(connection: asyncpg.Connection, issues: int, events: int) -> None:
    chance = random.Random(1)
    await connection.execute("INSERT INTO monitor.projects (name) VALUES ('default')")
    await connection.execute("INSERT INTO monitor.project_keys (public_key, project) VALUES (repeat('a', 32), 1)")
    for ago in range(DAYS):
        await connection.execute("SELECT monitor.make_day($1)", (datetime.now(UTC) - timedelta(days=ago)).date())
    await connection.execute(ISSUES, issues, events)
    titles = [f"Shop{n}Error: {' '.join(chance.choices(WORDS, k=5))} failed" for n in range(1, issues + 1)]
    culprits = [f"shop.{chance.choice(WORDS)}.views in handle_{n}" for n in range(1, issues + 1)]
    kinds = [f"Shop{n}Error" for n in range(1, issues + 1)]
    await connection.execute(TEXTS, list(range(1, issues + 1)), titles, culprits, kinds)
    await connection.execute(FINGERPRINTS)
    await connection.execute(EVENTS, events, DAYS, issues)
    for sql in (HOURS, FACETS, FACET_HOURS):
        await connection.execute(sql)
    samples = [body(n, chance) for n in range(200)]
    for ago in range(DAYS):
        time = datetime.now(UTC) - timedelta(days=ago, seconds=5)
        rows = [
            (time.date(), 1, f"{chance.getrandbits(128):032x}", 1 + n % issues, time, time, chance.choice(samples))
            for n in range(ago, issues * KEPT, DAYS)
        ]
        columns = ("day", "project", "event_id", "fingerprint", "time", "received", "body")
        await connection.copy_records_to_table("bodies", schema_name="monitor", columns=columns, records=rows)
    await connection.execute("VACUUM ANALYZE")


def calls(stub: Any, issues: int, chance: random.Random) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is asked, by what it is called."""

    def listed(**fields: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: stub.ListIssues(pb.ListIssuesRequest(**fields))

    found: dict[str, Callable[[], Awaitable[Any]]] = {
        f"list by {pb.IssueOrder.Name(order).removeprefix('ISSUE_ORDER_').lower()}": listed(order=order) for order in range(1, 6)
    }
    found["list of a service"] = lambda: stub.ListIssues(pb.ListIssuesRequest(service=f"service-{chance.randrange(40)}"))
    found["list of a release"] = lambda: stub.ListIssues(pb.ListIssuesRequest(release=f"shop@3.{chance.randrange(40)}"))
    found["list, 200 a page"] = listed(page_size=200)
    found["search for a word"] = lambda: stub.ListIssues(pb.ListIssuesRequest(search=chance.choice(WORDS)))
    found["search for a frequent word"] = listed(search="failed")
    found["search for two"] = lambda: stub.ListIssues(pb.ListIssuesRequest(search=f"{chance.choice(WORDS)} failed"))
    found["details"] = lambda: stub.GetIssue(pb.GetIssueRequest(issue_id=str(chance.randint(1, issues))))
    found["events"] = lambda: stub.ListEvents(pb.ListEventsRequest(issue_id=str(chance.randint(1, issues))))
    found[REPORT[0]] = lambda: stub.GetErrorReport(pb.GetErrorReportRequest())
    return found


def pages(client: httpx.AsyncClient, issues: int, chance: random.Random) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Pages of the dashboard, by what they are called."""

    async def page(path: str) -> None:
        (await client.get(path)).raise_for_status()

    return {
        "page: issues": lambda: page("/issues"),
        "page: issues by priority": lambda: page("/issues?sort=priority"),
        "page: search": lambda: page(f"/issues?q={chance.choice(WORDS)}"),
        "page: issue": lambda: page(f"/issues/{chance.randint(1, issues)}"),
        "page: grouping": lambda: page(f"/issues/{chance.randint(1, issues)}/grouping"),
        "page: events": lambda: page(f"/events?issue={chance.randint(1, issues)}"),
        REPORT[1]: lambda: page("/"),
    }


async def measure(dsn: str, issues: int, count: int) -> bool:
    chance = random.Random(2)
    met = True
    with tempfile.TemporaryDirectory() as folder:
        node = await processes.start_service("monitor", Path(folder), "node", dsn=dsn, http_port=0, log_success_ratio=0)
        try:
            async with grpc.aio.insecure_channel(node.grpc) as channel, httpx.AsyncClient(base_url=node.http, timeout=60) as client:
                asked = calls(error_pb2_grpc.ErrorServiceStub(channel), issues, chance) | pages(client, issues, chance)
                for name, call in asked.items():
                    await asyncio.gather(*(call() for _ in range(20)))
                    times = []
                    for _ in range(count):
                        start = time.perf_counter()
                        await call()
                        times.append(time.perf_counter() - start)
                    times.sort()
                    p50, p95 = times[count // 2] * 1e3, times[int(count * 0.95)] * 1e3
                    holds = p95 < TARGET * 1e3 or name in REPORT
                    met &= holds
                    verdict = "" if name in REPORT else "met" if holds else "MISSED"
                    print(f"{name:<28} p50 {p50:6.1f} ms   p95 {p95:6.1f}   {verdict}", flush=True)
        finally:
            await processes.stop(node)
    return met


async def run(issues: int, events: int, count: int) -> bool:
    async with postgres_server(18, "shared_buffers=256MB", "autovacuum=on") as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await fill(owner, issues, events)
        size = await owner.fetchval("SELECT pg_size_pretty(pg_database_size(current_database()))")
        print(f"{events:,} events in {issues:,} issues, {size}; target p95 < {TARGET * 1e3:.0f} ms", flush=True)
        await owner.close()
        return await measure(server.dsn(user="souk_monitor"), issues, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--issues", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    print(f"{machine.describe()}\nload average {os.getloadavg()[0]:.1f}")
    sys.exit(not uvloop.run(run(options.issues, options.events, options.calls)))


if __name__ == "__main__":
    main()
