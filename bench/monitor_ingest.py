"""What monitor takes: errors by ReportErrors, and by Sentry's envelopes over HTTP, into nodes of their own processes and a
PostgreSQL 18, beside a COPY of their bodies.

Every event is another, over 1,000 issues and more, and all bodies are kept (thinning is off). The rate is that of events that were
acknowledged, so committed; a block ends when all are. A node is one process, of which little but compression goes beyond one core;
the target is of the machine, and all of --nodes at once are held against it. The floor is asyncpg's COPY of the same bodies,
uncompressed, into a table with a primary key, 500 rows a transaction, on the same server. Blocks alternate, and a ratio is of
neighbours. An envelope has one event, as those of the SDKs have, is not compressed, and comes from another process over 32 kept
connections to one node. Latencies are those of single reports at 50 a second beside batches at half the rate, of one node.

Where the time goes: the CPU of a node for each event, and of that what it takes to decode, cut, scrub, group and classify one, seen
in this process, beside the least that has to be done with one in Python: its message is parsed, and its body written as JSON.

    python bench/monitor_ingest.py [--rounds 5] [--seconds 3] [--nodes 2]

With these numbers it takes about four minutes on two cores.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import grpc
import machine
import orjson
import uvloop
from souk.monitor.v1 import error_pb2 as pb
from souk_monitor import app
from souk_monitor.adapters import schema
from souk_monitor.decoding import native
from souk_monitor.limits import Limits, fit
from souk_monitor.projects import Project

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the starters of servers are
import processes
from postgres_servers import postgres_server

METHOD = "/souk.monitor.v1.ErrorService/ReportErrors"
ISSUES, IN_FLIGHT, COPIED = 1_200, 6, 500
CONNECTIONS = 32
HTTP_SHARE = 3
"""A block over HTTP has one in so many of a block's events."""
SENDER = Path(__file__).with_name("sentry_sender.py")
SIZES = {"3 KiB": (3 * 1024, 100, 0.25), "50 KiB": (50 * 1024, 40, 0.5)}
"""Bytes of an event, events of a call, and the share of COPY's rate that is to be reached."""
WORDS = [f"{word}{n}" for n in range(40) for word in ("basket", "order", "stock", "price", "seller", "payment", "photo", "review")]
DURABLE = ("fsync=on", "full_page_writes=on", "autovacuum=on", "shared_buffers=256MB", "max_wal_size=4GB")


def report(number: int, size: int, chance: random.Random) -> pb.ErrorReport:
    """One that is like no other, of about so many bytes."""
    issue = number % ISSUES
    frames = [
        pb.StackFrame(
            function=f"handle_{issue}_{depth}",
            module=f"shop.part{issue % 37}.views",
            file=f"shop/part{issue % 37}/views.py",
            line=chance.randint(1, 900),
            in_app=depth % 3 == 0,
            context_line=f"    return {chance.choice(WORDS)}({chance.choice(WORDS)}, {number})",
        )
        for depth in range(8 if size < 10_000 else 30)
    ]
    made = pb.ErrorReport(
        event_id=uuid.UUID(int=chance.getrandbits(128)).hex,
        platform="python",
        service=f"service-{issue % 12}",
        release=f"shop@1.{issue % 5}.0",
        environment="production",
        message=f"{chance.choice(WORDS)} {number} failed",
        exceptions=[pb.ExceptionReport(type=f"Shop{issue}Error", value="the order was not placed", frames=frames)],
        user=pb.ReportedUser(id=f"user-{chance.randint(1, 5_000)}"),
        tags={"region": f"r{number % 7}", "route": f"/orders/{issue % 50}"},
        trace_id=uuid.UUID(int=chance.getrandbits(128)).hex,
    )
    made.time.GetCurrentTime()
    crumbs: dict[str, str] = {}
    left = size - made.ByteSize()
    while left > 150:
        words = " ".join(chance.choices(WORDS, k=12))
        crumbs[f"crumb{len(crumbs)}"] = f"{words} {chance.getrandbits(64):x}"
        left -= len(words) + 38  # with the name, the number, and what is around them
    made.contexts.update(crumbs)
    return made


@dataclass
class Load:
    """Events of one size, made before the clock runs."""

    requests: list[bytes]
    bodies: list[bytes]


def load(events: int, size: int, batch: int, chance: random.Random) -> Load:
    now = datetime.now(UTC)
    reports = [report(chance.getrandbits(40), size, chance) for _ in range(events)]
    encoded = [fit(native.event(each, now), now) for each in reports]
    requests = [pb.ReportErrorsRequest(reports=reports[n : n + batch]).SerializeToString() for n in range(0, events, batch)]
    return Load(requests, encoded)


def envelope(told: pb.ErrorReport) -> bytes:
    """The same report as an SDK of Sentry would send it, after its length."""
    (exception,) = told.exceptions
    frames = [
        {
            "function": frame.function,
            "module": frame.module,
            "filename": frame.file,
            "lineno": frame.line,
            "in_app": frame.in_app,
            "context_line": frame.context_line,
        }
        for frame in exception.frames
    ]
    event = {
        "event_id": told.event_id,
        "timestamp": told.time.ToDatetime().isoformat() + "Z",
        "platform": told.platform,
        "level": "error",
        "release": told.release,
        "environment": told.environment,
        "exception": {"values": [{"type": exception.type, "value": exception.value, "stacktrace": {"frames": frames}}]},
        "user": {"id": told.user.id},
        "tags": dict(told.tags),
        "contexts": {"trace": {"trace_id": told.trace_id}, "crumbs": dict(told.contexts)},
    }
    body = orjson.dumps(event)
    whole = b'{"event_id":"%s"}\n{"type":"event","length":%d}\n%s\n' % (told.event_id.encode(), len(body), body)
    return len(whole).to_bytes(4, "big") + whole


@dataclass
class Dsn:
    """Where envelopes go."""

    address: str
    project: int
    key: str

    async def post(self, envelopes: list[bytes]) -> float:
        """Events a second, until all are answered."""
        where = (self.address, str(self.project), self.key, str(CONNECTIONS))
        pipe = asyncio.subprocess.PIPE
        sender = await asyncio.create_subprocess_exec(sys.executable, str(SENDER), *where, stdin=pipe, stdout=pipe)
        printed, _ = await sender.communicate(b"".join(envelopes))
        assert sender.returncode == 0
        return len(envelopes) / float(printed)


async def dsn_of(connection: asyncpg.Connection, http: str) -> Dsn:
    """Of the project that there is once an event is stored."""
    row = await connection.fetchrow("SELECT project, public_key FROM monitor.project_keys LIMIT 1")
    return Dsn(http.removeprefix("http://"), row["project"], row["public_key"])


async def ingest(channels: Sequence[grpc.aio.Channel], made: Load) -> float:
    """Events a second into nodes, until all are acknowledged."""
    waiting = iter(made.requests)

    async def send(channel: grpc.aio.Channel) -> None:
        call = channel.unary_unary(METHOD)
        for request in waiting:
            answer = pb.ReportErrorsResponse.FromString(await call(request))
            assert all(result.WhichOneof("outcome") == "accepted" and not result.accepted.repeated for result in answer.results)

    start = time.perf_counter()
    await asyncio.gather(*(send(channel) for channel in channels for _ in range(IN_FLIGHT)))
    return len(made.bodies) / (time.perf_counter() - start)


async def copy(connection: asyncpg.Connection, made: Load) -> float:
    """Rows a second."""
    rows = [(uuid.uuid4(), body) for body in made.bodies]
    await connection.execute("TRUNCATE bare")
    start = time.perf_counter()
    for first in range(0, len(rows), COPIED):
        async with connection.transaction():
            await connection.copy_records_to_table("bare", records=rows[first : first + COPIED], columns=("id", "body"))
    return len(rows) / (time.perf_counter() - start)


async def latencies(channel: grpc.aio.Channel, rate: float, seconds: float, chance: random.Random) -> list[float]:
    """Seconds to the acknowledgement of single reports, while batches of 50 come at half the rate that is possible."""
    call = channel.unary_unary(METHOD)
    made = load(int(rate / 2 * seconds), 3 * 1024, 50, chance).requests
    singles = [load(1, 3 * 1024, 1, chance).requests[0] for _ in range(int(50 * seconds))]
    found: list[float] = []

    async def send(request: bytes, at: float, measured: bool) -> None:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        start = time.perf_counter()
        await call(request)
        if measured:
            found.append(time.perf_counter() - start)

    begin = time.perf_counter() + 0.2
    batches = [send(request, begin + n * seconds / len(made), False) for n, request in enumerate(made)]
    alone = [send(request, begin + n / 50, True) for n, request in enumerate(singles)]
    await asyncio.gather(*batches, *alone)
    return sorted(found)


@dataclass
class Cost:
    """Microseconds of processor time an event, of each block."""

    node: list[float] = field(default_factory=list)
    """All that a node does."""
    ready: list[float] = field(default_factory=list)
    """Of that, what is done without the database."""
    least: list[float] = field(default_factory=list)
    """To parse the message and to write a body, and nothing else."""


def ready(made: Load) -> tuple[float, float]:
    """What it takes to make events ready, and the least of it, in microseconds of this process's time an event."""
    project, preparer = Project(1, "shop", datetime.now(UTC), secret=b"0" * 32), app.preparer(Limits())
    begin = time.process_time()
    for request in made.requests:
        now, reports = datetime.now(UTC), pb.ReportErrorsRequest.FromString(request).reports
        for each in reports:
            preparer.prepare(project, native.event(each, now), now)
    between = time.process_time()
    events = [orjson.loads(body) for body in made.bodies]
    parsed = time.process_time()
    for request in made.requests:
        pb.ReportErrorsRequest.FromString(request)
    for known in events:
        orjson.dumps(known)
    end = time.process_time()
    return (between - begin) / len(events) * 1e6, (end - parsed) / len(events) * 1e6


@dataclass
class Nodes:
    """Nodes of monitor on one database, and what reaches them."""

    processes: list[processes.ServiceProcess]
    channels: list[grpc.aio.Channel]
    connection: asyncpg.Connection
    """Of the owner of the database."""


async def sizes(nodes: Nodes, rounds: int, seconds: float, chance: random.Random) -> tuple[bool, float]:
    """Whether the targets of both sizes are met, and the rate of one node with the smaller."""
    met, rate = True, 0.0
    for name, (size, batch, target) in SIZES.items():
        guess = 4_000 if size < 10_000 else 600
        await ingest(nodes.channels, load(ISSUES * 2, size, batch, chance))
        sentry = await dsn_of(nodes.connection, nodes.processes[0].http)
        one, every, floor, posted, cost = [], [], [], [], Cost()
        for _ in range(rounds):
            numbers = [chance.getrandbits(40) for _ in range(int(guess * seconds / HTTP_SHARE))]
            posted.append(await sentry.post([envelope(report(number, size, chance)) for number in numbers]))
            made = load(int(guess * seconds), size, batch, chance)
            before = processor_seconds(nodes.processes[0].process.pid)
            one.append(await ingest(nodes.channels[:1], made))
            cost.node.append((processor_seconds(nodes.processes[0].process.pid) - before) / len(made.bodies) * 1e6)
            every.append(await ingest(nodes.channels, load(int(guess * seconds), size, batch, chance)))
            floor.append(await copy(nodes.connection, made))
            stages = ready(made)
            cost.ready.append(stages[0])
            cost.least.append(stages[1])
            await nodes.connection.execute("CHECKPOINT")
        ratios = [a / b for a, b in zip(every, floor, strict=True)]
        holds = statistics.median(ratios) >= target
        met &= holds
        rate = rate or statistics.median(one)
        print(f"{name}: COPY {machine.spread(floor)} rows/s")
        print(f"{name}: {len(nodes.channels)} nodes {machine.spread(every)} events/s, share of COPY", end=" ")
        print(f"{machine.spread(ratios, '.2f')}   target >= {target}: {verdict(holds)}")
        told_one, told_http = shares(one, floor), shares(posted, floor)
        print(f"{name}: one node {machine.spread(one)} events/s, share of COPY {told_one}")
        print(f"{name} as Sentry envelopes: {machine.spread(posted)} events/s, share of COPY {told_http}")
        print(f"{name}: a node's processor time an event {machine.spread(cost.node)} us, of that before the database", end=" ")
        print(f"{machine.spread(cost.ready)}; message parsed and body written {machine.spread(cost.least)}")
    return met, rate


def shares(rates: Sequence[float], floor: Sequence[float]) -> str:
    return machine.spread([a / b for a, b in zip(rates, floor, strict=True)], ".2f")


async def acknowledged(channel: grpc.aio.Channel, rate: float, seconds: float, chance: random.Random) -> bool:
    """Whether acknowledgements are as soon as they are to be."""
    times = await latencies(channel, rate, seconds, chance)
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    holds = statistics.mean(times) < 0.1 and times[-1] < 0.5
    print(f"acknowledgement at half the rate of one node: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f}", end=", ")
    print(f"mean {statistics.mean(times) * 1e3:.0f}, max {times[-1] * 1e3:.0f}", end="   ")
    print(f"target mean < 100, max < 500: {verdict(holds)}")
    return holds


@contextlib.asynccontextmanager
async def serving(dsn: str, owner_dsn: str, count: int) -> AsyncIterator[Nodes]:
    """So many nodes."""
    settings = {"dsn": dsn, "http_port": 0, "keep_bodies": 10_000_000, "log_success_ratio": 0, "max_message_bytes": 16 * 2**20}
    settings |= {"new_issues_per_hour": 0}  # no limit, above which all would be one issue
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        connection = await asyncpg.connect(owner_dsn)
        stack.push_async_callback(connection.close)
        nodes = Nodes([], [], connection)
        for number in range(count):
            node = await processes.start_service("monitor", folder, f"node-{number}", **settings)
            stack.push_async_callback(processes.stop, node)
            nodes.processes.append(node)
            nodes.channels.append(await stack.enter_async_context(grpc.aio.insecure_channel(node.grpc)))
        yield nodes


async def measure(nodes: Nodes, rounds: int, seconds: float) -> bool:
    chance = random.Random(1)
    await nodes.connection.execute("CREATE TABLE bare (id uuid PRIMARY KEY, body bytea NOT NULL)")
    await nodes.connection.execute("ALTER TABLE bare ALTER COLUMN body SET STORAGE EXTERNAL")
    pid = nodes.processes[0].process.pid
    rss = memory(pid)
    print(f"idle memory of a node {rss:.0f} MB   target <= 120: {verdict(rss <= 120)}")
    met, rate = await sizes(nodes, rounds, seconds, chance)
    met &= await acknowledged(nodes.channels[0], rate, seconds, chance)
    count = await nodes.connection.fetchval("SELECT count(*) FROM monitor.issues")
    print(f"{count:,} issues, {memory(pid):.0f} MB in the end")
    return met and rss <= 120


def processor_seconds(pid: int) -> float:
    """That a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def verdict(holds: bool) -> str:
    return "met" if holds else "MISSED"


def memory(pid: int) -> float:
    """Resident, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


async def run(rounds: int, seconds: float, count: int) -> bool:
    async with postgres_server(18, *DURABLE) as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.close()
        async with serving(server.dsn(user="souk_monitor"), server.dsn(), count) as nodes:
            return await measure(nodes, rounds, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--nodes", type=int, default=2)
    options = parser.parse_args()
    print(f"{machine.describe()}\nload average {os.getloadavg()[0]:.1f}")
    sys.exit(not uvloop.run(run(options.rounds, options.seconds, options.nodes)))


if __name__ == "__main__":
    main()
