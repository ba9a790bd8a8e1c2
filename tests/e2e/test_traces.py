"""Telemetry of services as processes, told to monitor as a process: what of a trace is an error, once, and what is none."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import processes
import pytest
import yaml
from integration.dbopt.shop import fill
from object_stores import free_port
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from postgres_servers import PostgresServer, postgres_server
from processes import ServiceProcess
from souk.client import (
    ClientConfig,
    DbClient,
    InternalError,
    InvalidArgumentError,
    MonitorClient,
    NotFoundError,
    ResourceExhaustedError,
    UnauthenticatedError,
)
from souk.monitor.v1 import error_pb2 as pb
from souk_common.auth import new_token
from souk_dbopt.adapters import schema as shop_schema
from souk_monitor.adapters import schema as monitor_schema

BROKEN = """
CREATE FUNCTION shop.score_order() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN ASSERT NEW.buyer_id < 0; RETURN NEW; END $$;
CREATE TRIGGER score_order BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.score_order()
"""
"""A trigger that divides by zero."""
COLLECTOR = "/opentelemetry.proto.collector."


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    async with postgres_server() as server:
        owner = await asyncpg.connect(server.dsn())
        await shop_schema.migrate(owner)
        await fill(owner)
        await monitor_schema.migrate(owner)
        await owner.execute(BROKEN)
        await owner.close()
        yield server


class Services:
    """Monitor, and dbopt that is told where it is."""

    def __init__(self, postgres: PostgresServer, folder: Path) -> None:
        self._postgres = postgres
        self._folder = folder
        self._port = free_port()
        self.running: list[ServiceProcess] = []

    async def monitor(self) -> ServiceProcess:
        dsn, itself = self._postgres.dsn(user="souk_monitor"), f"http://127.0.0.1:{self._port}"
        return await self._start("monitor", port=self._port, http_port=0, dsn=dsn, monitor_endpoint=itself, trace_ratio=1)

    async def dbopt(self, **settings: Any) -> ServiceProcess:
        dsn, told = self._postgres.dsn(user="souk_service"), f"http://127.0.0.1:{self._port}"
        return await self._start("dbopt", dsn=dsn, monitor_endpoint=told, **settings)

    async def _start(self, name: str, **settings: Any) -> ServiceProcess:
        service = await processes.start_service(name, self._folder, name, **settings)
        self.running.append(service)
        return service


@pytest.fixture
async def services(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Services]:
    started = Services(postgres, tmp_path)
    yield started
    for service in started.running:
        await processes.stop(service)


async def ended(service: ServiceProcess) -> None:
    """A service that was told to stop, and has exported everything."""
    service.signal(signal.SIGTERM)
    assert await service.exit_status() == 0


@contextlib.asynccontextmanager
async def shop(endpoint: str) -> AsyncIterator[Any]:
    """The tracer of a program with OpenTelemetry's SDK, which exports its spans to monitor."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"http://{endpoint}")))
    yield provider.get_tracer("shop")
    await asyncio.to_thread(provider.shutdown)


async def found(client: MonitorClient, services: set[str], **wanted: str) -> list[pb.ErrorEvent]:
    """The events, as soon as there are some of all these services."""
    async with asyncio.timeout(60):
        while True:
            events = [event async for event in client.events(**wanted)]
            if {event.report.service for event in events} >= services:
                return events
            await asyncio.sleep(0.1)


async def issues(client: MonitorClient) -> list[tuple[str, int]]:
    return sorted([(issue.type, issue.events) async for issue in client.issues()])


async def test_a_failing_call_is_one_event_of_each_service_and_they_are_found_by_their_trace(services: Services) -> None:
    monitor, dbopt = await services.monitor(), await services.dbopt()
    async with shop(monitor.grpc) as tracer, DbClient(dbopt.grpc) as db:
        with pytest.raises(InternalError) as failed, tracer.start_as_current_span("POST /checkout") as span:
            await db.place_order(1, {7: 1})
        with pytest.raises(InternalError), tracer.start_as_current_span("POST /checkout"):
            await db.place_order(2, {7: 1})
    await ended(dbopt)
    trace_id = f"{span.get_span_context().trace_id:032x}"
    async with MonitorClient(monitor.grpc) as client:
        events = await found(client, {"shop", "souk-dbopt"}, trace_id=trace_id)
        assert sorted((event.report.service, event.report.exceptions[-1].type) for event in events) == [
            ("shop", "InternalError"),
            ("souk-dbopt", "InternalError"),
        ]
        by_id = [event.report.service async for event in client.events(error_id=failed.value.error_id)]
        assert "souk-dbopt" in by_id
        assert await issues(client) == [("InternalError", 2), ("InternalError", 2)]
    exported = {line["method"] for line in monitor.lines() if str(line.get("method")).startswith(COLLECTOR) and line.get("events")}
    assert len(exported) == 2, "dbopt told it by log records and by spans, and it was counted once"


async def test_refused_calls_are_told_as_spans_and_are_no_issues(services: Services, tmp_path: Path) -> None:
    monitor = await services.monitor()
    tokens = {name: new_token() for name in ("shop", "hasty")}
    auth = tmp_path / "auth.yaml"
    principals = [
        {"name": name, "scopes": ["dbopt.read", "dbopt.write"], "token_sha256": [digest]} for name, (_, digest) in tokens.items()
    ]
    auth.write_text(yaml.safe_dump({"principals": principals}))
    dbopt = await services.dbopt(auth_file=auth, trace_ratio=1, rpcs_per_second_per_caller=5)

    def client(token: str) -> DbClient:
        return DbClient(config=ClientConfig(target=dbopt.grpc, token=token, attempts=1))

    async with client(tokens["shop"][0]) as db:
        with pytest.raises(NotFoundError):
            await db.execute("no.such.query")
        with pytest.raises(InvalidArgumentError):
            await db.place_order(1, {})
    async with client("none") as db:
        with pytest.raises(UnauthenticatedError):
            await db.get_product(7)
    async with client(tokens["hasty"][0]) as db:
        with pytest.raises(ResourceExhaustedError):
            await asyncio.gather(*(db.get_product(7) for _ in range(50)))
    await ended(dbopt)
    async with MonitorClient(monitor.grpc) as errors:
        assert await issues(errors) == []
    spans = [line for line in monitor.lines() if str(line.get("method")).startswith(f"{COLLECTOR}trace")]
    assert sum(line["ignored"] for line in spans) >= 4
    assert sum(line["events"] for line in spans) == 0


async def test_without_monitor_a_service_goes_on_and_tells_it_again_when_it_is_back(services: Services) -> None:
    dbopt = await services.dbopt(trace_ratio=1)
    async with DbClient(dbopt.grpc) as db:
        with pytest.raises(InternalError):
            await db.place_order(1, {7: 1})
        await processes.until(lambda: any("exporting" in str(line["event"]) for line in dbopt.lines()))
        for _ in range(50):
            assert await db.get_product(7, timeout=10)
        monitor = await services.monitor()
        async with MonitorClient(monitor.grpc) as client:
            with pytest.raises(InternalError) as failed:
                await db.place_order(1, {7: 1})
            (event,) = await found(client, {"souk-dbopt"}, error_id=failed.value.error_id)
            assert event.report.exceptions[-1].type == "InternalError"
    told = [
        str(line["event"]).partition(" to 127")[0] for line in dbopt.lines() if str(line.get("logger")).startswith("opentelemetry")
    ]
    assert len(told) == len(set(told)), "each kind of failure once"
