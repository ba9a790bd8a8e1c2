"""Nodes of monitor that are killed, and a PostgreSQL that is: what was acknowledged is there, and every event is counted once."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import processes
import pytest
from faults.counts import count
from google.rpc import error_details_pb2, status_pb2
from postgres_servers import PostgresServer, postgres_server
from processes import ServiceProcess
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc
from souk_monitor.adapters import schema

KILLS, OUTAGE = count(20, 2), count(60, 1)
SENDERS, BATCH = 4, 20
COUNTS = """
SELECT (SELECT sum(events)::int FROM monitor.issues) AS issues, (SELECT sum(events)::int FROM monitor.fingerprints) AS fingerprints,
    (SELECT sum(events)::int FROM monitor.hours) AS hours, (SELECT count(DISTINCT event_id)::int FROM monitor.events) AS events
"""


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres_server(18, "fsync=on") as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.close()
        yield server


class Reporter:
    """Sends errors, each again until it is acknowledged, and remembers which were."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.refusals: list[grpc.aio.AioRpcError] = []
        self.target = ""
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            batch = [self._report() for _ in range(BATCH)]
            self.sent |= {report.event_id for report in batch}
            await self._send(batch)

    async def _send(self, batch: list[pb.ErrorReport]) -> None:
        while True:
            try:
                async with grpc.aio.insecure_channel(self.target) as channel:
                    stub: Any = error_pb2_grpc.ErrorServiceStub(channel)
                    answer = await stub.ReportErrors(pb.ReportErrorsRequest(reports=batch), timeout=20)
            except grpc.aio.AioRpcError as error:
                self.refusals.append(error)
                await asyncio.sleep(0.05)
            else:
                self.acknowledged |= {result.accepted.event_id for result in answer.results}
                return

    def _report(self) -> pb.ErrorReport:
        kind = f"Error{self.chance.randint(1, 60)}"
        exception = pb.ExceptionReport(type=kind, value="it failed")
        user = pb.ReportedUser(id=f"user-{self.chance.randint(1, 300)}")
        made = pb.ErrorReport(event_id=uuid.UUID(int=self.chance.getrandbits(128)).hex, exceptions=[exception], user=user)
        made.time.GetCurrentTime()
        return made


async def start(folder: Path, server: PostgresServer, name: str) -> ServiceProcess:
    settings = {"dsn": server.dsn(user="souk_monitor"), "http_port": 0, "facet_interval": 0.2, "store_patience": 0.5}
    return await processes.start_service("monitor", folder, name, **settings)


async def check(server: PostgresServer, acknowledged: set[str], sent: set[str]) -> None:
    owner = await asyncpg.connect(server.dsn())
    try:
        stored = {row["event_id"].hex for row in await owner.fetch("SELECT DISTINCT event_id FROM monitor.events")}
        counted = set((await owner.fetchrow(COUNTS)).values())
    finally:
        await owner.close()
    assert acknowledged <= stored <= sent
    assert counted == {len(stored)}


@pytest.mark.timeout(600)
async def test_a_node_that_is_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, server: PostgresServer) -> None:
    chance = random.Random(11)
    reporters = [Reporter(seed) for seed in range(SENDERS)]
    other = await start(tmp_path, server, "other")
    node = await start(tmp_path, server, "node")
    sending: list[asyncio.Task[None]] = []
    try:
        for number, reporter in enumerate(reporters):
            reporter.target = node.grpc if number % 2 else other.grpc
            sending.append(asyncio.create_task(reporter.run()))
        for _ in range(KILLS):
            before = len(reporters[1].acknowledged)
            await processes.until(lambda before=before: len(reporters[1].acknowledged) > before)
            await asyncio.sleep(chance.random() / 2)  # the moment is what is tried
            await processes.stop(node)
            acknowledged = set().union(*(reporter.acknowledged for reporter in reporters))
            await check_at_rest(server, acknowledged, reporters)
            node = await start(tmp_path, server, "node")
            for reporter in reporters[1::2]:
                reporter.target = node.grpc
        for reporter in reporters:
            reporter.stopping = True
        await asyncio.gather(*sending)
    finally:
        for task in sending:
            task.cancel()
        await processes.stop(node)
        await processes.stop(other)
    everything = set().union(*(reporter.sent for reporter in reporters))
    assert everything == set().union(*(reporter.acknowledged for reporter in reporters))
    await check(server, everything, everything)


async def check_at_rest(server: PostgresServer, acknowledged: set[str], reporters: list[Reporter]) -> None:
    """While others go on: what was acknowledged is there."""
    owner = await asyncpg.connect(server.dsn())
    try:
        stored = {row["event_id"].hex for row in await owner.fetch("SELECT DISTINCT event_id FROM monitor.events")}
    finally:
        await owner.close()
    assert acknowledged <= stored <= set().union(*(reporter.sent for reporter in reporters))


@pytest.mark.timeout(600)
async def test_a_database_that_is_gone_pushes_back_and_recovers_by_itself(tmp_path: Path, server: PostgresServer) -> None:
    node = await start(tmp_path, server, "node")
    reporters = [Reporter(seed + 100) for seed in range(SENDERS)]
    sending = []
    try:
        for reporter in reporters:
            reporter.target = node.grpc
            sending.append(asyncio.create_task(reporter.run()))
        await processes.until(lambda: all(reporter.acknowledged for reporter in reporters))
        await server.kill()
        acknowledged = [len(reporter.acknowledged) for reporter in reporters]
        refused = [len(reporter.refusals) for reporter in reporters]
        await asyncio.sleep(OUTAGE)  # how long it is gone is what is tried
        await processes.until(lambda: all(len(r.refusals) > n for r, n in zip(reporters, refused, strict=True)))
        await server.start()
        await processes.until(lambda: all(len(r.acknowledged) > n for r, n in zip(reporters, acknowledged, strict=True)))
        for reporter in reporters:
            reporter.stopping = True
        await asyncio.gather(*sending)
    finally:
        for task in sending:
            task.cancel()
        await processes.stop(node)
    refusals = [refusal for reporter in reporters for refusal in reporter.refusals]
    assert {refusal.code() for refusal in refusals} == {grpc.StatusCode.UNAVAILABLE}
    assert all(retry_seconds(refusal) > 0 for refusal in refusals)
    everything = set().union(*(reporter.sent for reporter in reporters))
    await check(server, everything, everything)


def retry_seconds(error: grpc.aio.AioRpcError) -> float:
    """What RetryInfo says."""
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    for each in status_pb2.Status.FromString(details).details:
        retry = error_details_pb2.RetryInfo()
        if each.Unpack(retry):
            return retry.retry_delay.ToTimedelta().total_seconds()
    return 0.0
