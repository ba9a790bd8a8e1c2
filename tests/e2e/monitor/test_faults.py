"""Nodes of monitor that are killed, and a PostgreSQL that is, while programs report in every way: what was acknowledged is there,
and every event is counted once."""

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import processes
import pytest
from e2e.monitor.writers import EnvelopeWriter, Failed, LogWriter, NativeWriter, Writer
from faults.counts import count
from google.protobuf.field_mask_pb2 import FieldMask
from postgres_servers import PostgresServer, postgres_server
from processes import ServiceProcess
from souk.monitor.v1 import project_pb2, project_pb2_grpc
from souk_monitor.adapters import schema

KILLS, OUTAGE = count(20, 2), count(60, 1)
WAYS: tuple[type[Writer], ...] = (NativeWriter, NativeWriter, EnvelopeWriter, EnvelopeWriter, LogWriter, LogWriter)
"""Of the writers of a service."""
COUNTS = """
SELECT (SELECT sum(events)::int FROM monitor.issues) AS issues, (SELECT sum(events)::int FROM monitor.fingerprints) AS fingerprints,
    (SELECT sum(events)::int FROM monitor.hours) AS hours, (SELECT count(DISTINCT event_id)::int FROM monitor.events) AS events
"""
ISSUES = """
SELECT type, events::int, users::int FROM monitor.issues JOIN monitor.issue_texts ON issue = id WHERE merged_into IS NULL
"""
AT_REST = "LOCK TABLE monitor.fingerprints, monitor.facets, monitor.facet_hours IN SHARE MODE"
"""Whatever a node that is gone had begun to write is done or undone by then."""
OF_SERVICE = """
SELECT (SELECT coalesce(sum(i.events), 0)::int FROM monitor.issues i JOIN monitor.issue_texts t ON t.issue = i.id
        WHERE lower(t.type) ^@ $1) AS stored,
    (SELECT coalesce(sum(events), 0)::int FROM monitor.facets WHERE kind = 1 AND value = $1) AS counted,
    (SELECT coalesce(sum(events), 0)::int FROM monitor.facet_hours WHERE kind = 1 AND value = $1) AS counted_by_hours
"""
BLOCKED = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'monitor.fingerprints'::regclass)"
"""Whether events wait to be written."""


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres_server(18, "fsync=on") as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.close()
        yield server


async def start(folder: Path, server: PostgresServer, name: str, **more: Any) -> ServiceProcess:
    settings = {"dsn": server.dsn(user="souk_monitor"), "http_port": 0, "facet_interval": 0.2, "store_patience": 0.5, **more}
    return await processes.start_service("monitor", folder, name, **settings)


async def writers_to(node: ServiceProcess, service: str, seed: int) -> list[Writer]:
    """Writers of a service, one or more for each way, with a key of their own."""
    async with grpc.aio.insecure_channel(node.grpc) as channel:
        stub = project_pb2_grpc.ProjectServiceStub(channel)
        await stub.CreateProjectKey(project_pb2.CreateProjectKeyRequest(project="default"))
        project = (await stub.GetProject(project_pb2.GetProjectRequest(name="default"))).project
    key = project.keys[0].public_key
    return [way(seed + number, service, node, project.number, key) for number, way in enumerate(WAYS)]


@contextlib.asynccontextmanager
async def writing(writers: Sequence[Writer]) -> AsyncIterator[None]:
    """They write while the body runs, and finish what they have begun."""
    tasks = [asyncio.create_task(writer.run()) for writer in writers]
    try:
        yield
        for writer in writers:
            writer.stopping = True
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def limit(node: ServiceProcess, events_per_minute: int) -> None:
    """Of the default project."""
    options = project_pb2.ProjectOptions(events_per_minute=events_per_minute)
    mask = FieldMask(paths=["options.events_per_minute"])
    async with grpc.aio.insecure_channel(node.grpc) as channel:
        stub = project_pb2_grpc.ProjectServiceStub(channel)
        await stub.UpdateProject(project_pb2.UpdateProjectRequest(name="default", options=options, update_mask=mask))


def acknowledged(writers: Sequence[Writer]) -> int:
    return sum(len(writer.acknowledged) for writer in writers)


async def all_go_on(writers: Sequence[Writer]) -> None:
    """Return when each has had something more acknowledged."""
    before = [len(writer.acknowledged) for writer in writers]
    await processes.until(lambda: all(len(w.acknowledged) > n for w, n in zip(writers, before, strict=True)))


@dataclass(frozen=True)
class OfService:
    """What the database says of a service."""

    stored: int
    """Events."""
    counted: int
    """The same in the counts that a node keeps for a while."""
    counted_by_hours: int


async def of_service(server: PostgresServer, service: str) -> OfService:
    owner = await asyncpg.connect(server.dsn())
    try:
        async with owner.transaction():
            await owner.execute(AT_REST)
            return OfService(*(await owner.fetchrow(OF_SERVICE, service)).values())
    finally:
        await owner.close()


async def until_counted(server: PostgresServer, service: str, enough: Callable[[OfService], bool]) -> OfService:
    """Return as soon as the counts of a service are enough."""
    async with asyncio.timeout(30):
        while not enough(found := await of_service(server, service)):
            await asyncio.sleep(0.02)
        return found


async def check(server: PostgresServer, writers: Sequence[Writer]) -> None:
    """All that was sent, and nothing else, is stored and counted, with its users; every way has the same issues."""
    assert all(writer.acknowledged == writer.sent.keys() for writer in writers)
    everything = [failed for writer in writers for failed in writer.sent.values()]
    users: defaultdict[str, set[str]] = defaultdict(set)
    for failed in everything:
        users[failed.type].add(failed.user)
    events = Counter(failed.type for failed in everything)
    owner = await asyncpg.connect(server.dsn())
    try:
        counted = set((await owner.fetchrow(COUNTS)).values())
        issues = [tuple(row) for row in await owner.fetch(ISSUES)]
    finally:
        await owner.close()
    assert counted == {len(everything)}
    assert sorted(issues) == sorted((kind, events[kind], len(users[kind])) for kind in events)


async def check_meanwhile(server: PostgresServer, writers: Sequence[Writer]) -> None:
    """While others go on: what was acknowledged is there. What OpenTelemetry sends has no ids of its own, and is counted."""
    known, fewest = _named(writers, lambda writer: writer.acknowledged), acknowledged(writers)
    owner = await asyncpg.connect(server.dsn())
    try:
        stored = {row["event_id"].hex for row in await owner.fetch("SELECT DISTINCT event_id FROM monitor.events")}
    finally:
        await owner.close()
    assert known <= stored
    assert fewest <= len(stored) <= sum(len(writer.sent) for writer in writers)


def _named(writers: Sequence[Writer], ids: Callable[[Writer], set[str]]) -> set[str]:
    return set().union(*(ids(writer) for writer in writers if not isinstance(writer, LogWriter)))


@pytest.mark.timeout(600)
async def test_a_node_that_is_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, server: PostgresServer) -> None:
    chance = random.Random(11)
    other, node = await asyncio.gather(start(tmp_path, server, "other"), start(tmp_path, server, "node"))
    lost = 0
    try:
        steady, mortal = await writers_to(other, "steady", 100), await writers_to(node, "mortal", 200)
        async with writing([*steady, *mortal]):
            for _ in range(KILLS):
                await all_go_on(mortal)
                fewest = acknowledged(mortal) - lost
                await until_counted(server, "mortal", lambda found, fewest=fewest: found.counted >= fewest)
                await asyncio.sleep(chance.random() / 2)  # the moment is what is tried
                await processes.stop(node)
                await check_meanwhile(server, [*steady, *mortal])
                found = await of_service(server, "mortal")
                assert fewest <= found.counted <= found.stored - lost
                assert found.counted_by_hours == found.counted
                lost = found.stored - found.counted
                node = await start(tmp_path, server, "node")
                for writer in mortal:
                    writer.node = node
            await all_go_on(mortal)
        await check(server, [*steady, *mortal])
        for service, missing in (("steady", 0), ("mortal", lost)):
            found = await until_counted(server, service, lambda found, n=missing: found.counted >= found.stored - n)
            assert found.counted == found.counted_by_hours == found.stored - missing
    finally:
        await processes.stop(node)
        await processes.stop(other)


@pytest.mark.timeout(600)
async def test_a_database_that_is_gone_pushes_back_and_recovers_by_itself(tmp_path: Path, server: PostgresServer) -> None:
    node = await start(tmp_path, server, "node")
    try:
        writers = await writers_to(node, "steady", 300)
        async with writing(writers):
            await all_go_on(writers)
            fewest = acknowledged(writers)
            await until_counted(server, "steady", lambda found: found.counted >= fewest)
            await server.kill()
            uncounted = sum(len(writer.sent) for writer in writers) - fewest
            refused = [len(writer.refusals) for writer in writers]
            await asyncio.sleep(OUTAGE)  # how long it is gone is what is tried
            await processes.until(lambda: all(len(w.refusals) > n for w, n in zip(writers, refused, strict=True)))
            await server.start()
            await all_go_on(writers)
        for writer in writers:
            assert {refusal.status for refusal in writer.refusals} == {
                "503" if isinstance(writer, EnvelopeWriter) else "UNAVAILABLE"
            }
            assert all(refusal.retry_after > 0 for refusal in writer.refusals)
        await check(server, writers)
        last = Failed("f" * 32, "LastError", "user-0", time.time_ns())
        await NativeWriter(1, "last", node, 0, "").send([last])
        await until_counted(server, "last", lambda found: found.counted == 1)
        found = await of_service(server, "steady")
        assert abs(found.counted - found.stored) <= uncounted
    finally:
        await processes.stop(node)


def check_refusals(writers: Sequence[Writer], code: str, status: str) -> None:
    """Each was refused with nothing else, and told when to come again."""
    for writer in writers:
        assert {refusal.status for refusal in writer.refusals} == {status if isinstance(writer, EnvelopeWriter) else code}
        assert all(refusal.retry_after > 0 for refusal in writer.refusals)


async def test_a_full_queue_pushes_back_whichever_way_one_reports(tmp_path: Path, server: PostgresServer) -> None:
    node = await start(tmp_path, server, "node", queue_events=50)
    owner = await asyncpg.connect(server.dsn())
    try:
        writers = await writers_to(node, "pressed", 400)
        first = NativeWriter(1, "first", node, 0, "")
        first.batch = 50
        stuck = owner.transaction()
        await stuck.start()
        await owner.execute("LOCK TABLE monitor.fingerprints IN ACCESS EXCLUSIVE MODE")
        async with writing([first]):
            async with asyncio.timeout(30):
                while not await owner.fetchval(BLOCKED):
                    await asyncio.sleep(0.01)
            async with writing(writers):
                await processes.until(lambda: all(writer.refusals for writer in writers))
                await stuck.rollback()
                await all_go_on(writers)
        check_refusals(writers, "UNAVAILABLE", "429")
        await check(server, [*writers, first])
    finally:
        await owner.close()
        await processes.stop(node)


async def test_a_quota_pushes_back_whichever_way_one_reports(tmp_path: Path, server: PostgresServer) -> None:
    node = await start(tmp_path, server, "node")
    try:
        writers = await writers_to(node, "pressed", 500)
        await limit(node, 1)
        async with writing(writers):
            await processes.until(lambda: all(writer.refusals for writer in writers))
            await limit(node, 0)
            await all_go_on(writers)
        check_refusals(writers, "RESOURCE_EXHAUSTED", "429")
        await check(server, writers)
    finally:
        await processes.stop(node)
