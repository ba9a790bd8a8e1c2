"""What monitor keeps of very many errors: 1,000,000 events of 10,000 causes through ReportErrors, into nodes of their own
processes and a PostgreSQL 18.

Causes are as frequent as Zipf's law has it, over the last 20 days; each event is another, of some 1.5 KiB and of one of 5,000
users. What was sent is counted here, and afterwards compared with what the service says: events of each issue, and in sum; users of
each issue that has up to 1,000; bodies of each issue against what thinning allows. Then a service is started with a retention of 7
days: the days before go, and the counts stay.

    python bench/monitor_volume.py [--issues 10000] [--events 1000000] [--nodes 2]

With these numbers it takes about ten minutes on two cores.
"""

import argparse
import asyncio
import math
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

import asyncpg
import grpc
import machine
import uvloop
from google.protobuf.timestamp_pb2 import Timestamp
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc
from souk_monitor.adapters import schema

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the starters of servers are
import processes
from postgres_servers import postgres_server

BATCH, IN_FLIGHT = 200, 6
DAYS, RETENTION = 20, 7
USERS, EXACT_USERS = 5_000, 1_000
KEPT = 100
"""Of the first so many events of a cause all bodies are kept, by default."""
PATIENCE = 120.0
"""Seconds that days past their time may take to go."""
WORDS = [f"{word}{n}" for n in range(40) for word in ("basket", "order", "stock", "price", "seller", "payment", "photo", "review")]


@dataclass
class Sent:
    """What was sent, by the number of its cause."""

    events: Counter[int] = field(default_factory=Counter)
    users: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))


def report(issue: int, user: int, now: datetime, chance: random.Random) -> pb.ErrorReport:
    frames = [
        pb.StackFrame(
            function=f"handle_{issue}_{depth}",
            module=f"shop.part{issue % 37}.views",
            file=f"shop/part{issue % 37}/views.py",
            line=chance.randint(1, 900),
            in_app=True,
            context_line=f"    return {chance.choice(WORDS)}({chance.choice(WORDS)}, {chance.getrandbits(32)})",
        )
        for depth in range(6)
    ]
    when = Timestamp()
    when.FromDatetime(now - timedelta(seconds=chance.random() * DAYS * 86_400))
    return pb.ErrorReport(
        event_id=f"{chance.getrandbits(128):032x}",
        time=when,
        platform="python",
        service=f"service-{issue % 12}",
        release=f"shop@1.{issue % 5}.0",
        environment="production",
        exceptions=[pb.ExceptionReport(type=f"Shop{issue}Error", value="the order was not placed", frames=frames)],
        user=pb.ReportedUser(id=f"user-{user}"),
        tags={"region": f"r{user % 7}", "route": f"/orders/{issue % 50}"},
    )


def requests(issues: int, events: int, sent: Sent, chance: random.Random) -> Iterator[bytes]:
    """All that is sent: each cause once, and then by how frequent they are."""
    now = datetime.now(UTC)
    weights = list(accumulate(1 / (n + 5) for n in range(issues)))
    first = list(range(issues))
    for begin in range(0, events, BATCH):
        size = min(BATCH, events - begin)
        chosen, first = first[:size], first[size:]
        chosen += chance.choices(range(issues), cum_weights=weights, k=size - len(chosen))
        reports = []
        for issue in chosen:
            user = chance.randrange(USERS)
            sent.events[issue] += 1
            sent.users[issue].add(user)
            reports.append(report(issue, user, now, chance))
        yield pb.ReportErrorsRequest(reports=reports).SerializeToString()


async def ingest(channels: list[grpc.aio.Channel], waiting: Iterator[bytes], events: int) -> float:
    """Events a second, until all are acknowledged."""
    done, start = 0, time.perf_counter()

    async def send(channel: grpc.aio.Channel) -> None:
        nonlocal done
        call = channel.unary_unary("/souk.monitor.v1.ErrorService/ReportErrors")
        for request in waiting:
            answer = pb.ReportErrorsResponse.FromString(await call(request))
            assert all(result.WhichOneof("outcome") == "accepted" and not result.accepted.repeated for result in answer.results)
            done += len(answer.results)
            if sys.stderr.isatty():
                print(f"\r{done:,} of {events:,} events", end="", file=sys.stderr)

    await asyncio.gather(*(send(channel) for channel in channels for _ in range(IN_FLIGHT)))
    return events / (time.perf_counter() - start)


async def listed(channel: grpc.aio.Channel) -> dict[int, pb.Issue]:
    """All issues, page by page, by the number of their cause."""
    stub = error_pb2_grpc.ErrorServiceStub(channel)
    found: dict[int, pb.Issue] = {}
    request = pb.ListIssuesRequest(page_size=200)
    while True:
        page = await stub.ListIssues(request)
        for issue in page.issues:
            found[int(issue.title.removeprefix("Shop").partition("Error")[0])] = issue
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def is_exact(sent: Sent, found: dict[int, pb.Issue]) -> bool:
    """Whether the service has counted what was sent."""
    wrong_events = [n for n, events in sent.events.items() if n not in found or found[n].events != events]
    few = {n: len(users) for n, users in sent.users.items() if len(users) <= EXACT_USERS}
    wrong_users = [n for n, users in few.items() if n not in found or found[n].users != users]
    many = [found[n].users / len(users) for n, users in sent.users.items() if len(users) > EXACT_USERS and n in found]
    in_all = sum(issue.events for issue in found.values())
    print(
        f"{len(found):,} issues with {in_all:,} events; issues with another count than was sent: {len(wrong_events)} of events",
        end=", ",
    )
    print(f"{len(wrong_users)} of {len(few):,} of users; estimates of over {EXACT_USERS:,} users", end=" ")
    print(f"{min(many, default=1):.3f} to {max(many, default=1):.3f} of what they are")
    return not (wrong_events or wrong_users) and in_all == sent.events.total()


def most_bodies(events: int) -> float:
    """Of one cause: the first, each second of as many more, each fourth of twice as many more, and so on."""
    return events if events <= KEPT else KEPT * (1 + math.ceil(math.log2(events / KEPT)) / 2) + 1


async def is_bounded(owner: asyncpg.Connection, sent: Sent) -> bool:
    """Whether no cause has more bodies than thinning allows."""
    rows = await owner.fetch("""
        SELECT substr(split_part(f.title, 'Error', 1), 5)::integer AS issue, count(*) AS bodies, sum(octet_length(b.body)) AS bytes
        FROM monitor.bodies b JOIN monitor.fingerprints f ON f.id = b.fingerprint GROUP BY 1
    """)
    over = [row["issue"] for row in rows if row["bodies"] > most_bodies(sent.events[row["issue"]])]
    kept, size = sum(row["bodies"] for row in rows), sum(row["bytes"] for row in rows)
    most = max(rows, key=lambda row: sent.events[row["issue"]])
    print(f"{kept:,} bodies of {size / 2**20:.0f} MiB; of the most frequent cause {most['bodies']:,} of", end=" ")
    print(f"{sent.events[most['issue']]:,}; causes with more than thinning allows: {len(over)}")
    return not over


async def disk(owner: asyncpg.Connection, table: str) -> float:
    """MiB of a table that is parted by days, its indexes among them."""
    size = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree($1::regclass)"
    return float(await owner.fetchval(size, f"monitor.{table}")) / 2**20


async def days_gone(owner: asyncpg.Connection) -> bool:
    """Whether the days past their time have gone soon enough."""
    before = datetime.now(UTC).date() - timedelta(days=RETENTION + 1)
    deadline = time.monotonic() + PATIENCE
    while await owner.fetchval("SELECT count(*) FROM monitor.days() AS d WHERE d.day < $1", before):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.5)
    return True


async def started(folder: str, dsn: str, count: int, **more: object) -> list[processes.ServiceProcess]:
    settings = {
        "dsn": dsn,
        "http_port": 0,
        "log_success_ratio": 0,
        "max_message_bytes": 16 * 2**20,
        "new_issues_per_hour": 0,
        "maintenance_interval": 5,
        **more,
    }
    return [await processes.start_service("monitor", Path(folder), f"node-{number}", **settings) for number in range(count)]


async def measure(owner: asyncpg.Connection, dsn: str, issues: int, events: int, count: int) -> bool:
    chance, sent = random.Random(3), Sent()
    with tempfile.TemporaryDirectory() as folder:
        nodes = await started(folder, dsn, count)
        channels = [grpc.aio.insecure_channel(node.grpc) for node in nodes]
        try:
            rate = await ingest(channels, requests(issues, events, sent, chance), events)
            print(f"{events:,} events stored, {rate:,.0f} a second")
            exact = is_exact(sent, await listed(channels[0]))
            bounded = await is_bounded(owner, sent)
        finally:
            for channel in channels:
                await channel.close()
            for node in nodes:
                await processes.stop(node)
        before = [await disk(owner, table) for table in ("events", "bodies")]
        nodes = await started(folder, dsn, 1, retention=RETENTION * 86_400)
        try:
            gone = await days_gone(owner)
            after = [await disk(owner, table) for table in ("events", "bodies")]
            print(f"with a retention of {RETENTION} days instead of 30: events {before[0]:.0f} -> {after[0]:.0f} MiB", end=", ")
            print(f"bodies {before[1]:.0f} -> {after[1]:.0f} MiB; days past their time gone: {gone}")
            async with grpc.aio.insecure_channel(nodes[0].grpc) as channel:
                exact &= is_exact(sent, await listed(channel))
        finally:
            await processes.stop(nodes[0])
    return exact and bounded and gone and after[1] < before[1]


async def run(issues: int, events: int, count: int) -> bool:
    async with postgres_server(18, "shared_buffers=256MB", "autovacuum=on", "max_wal_size=4GB") as server:
        owner = await asyncpg.connect(server.dsn())
        try:
            await schema.migrate(owner)
            return await measure(owner, server.dsn(user="souk_monitor"), issues, events, count)
        finally:
            await owner.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--issues", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=2)
    options = parser.parse_args()
    print(f"{machine.describe()}\nload average {os.getloadavg()[0]:.1f}")
    holds = uvloop.run(run(options.issues, options.events, options.nodes))
    print("counts exact, bodies and disk bounded: " + ("met" if holds else "MISSED"))
    sys.exit(not holds)


if __name__ == "__main__":
    main()
