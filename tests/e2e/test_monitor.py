"""Monitor as a process on a real PostgreSQL: grpcurl, probes, Node, an outage, SIGTERM and SIGKILL, and a start that goes wrong."""

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import processes
import pytest
from e2e.test_node_client import details
from e2e.test_node_client import run as run_node
from grpcurl import call, run, tool
from postgres_servers import PostgresServer, postgres_server
from processes import ServiceProcess
from souk.client import ClientConfig, MonitorClient, UnavailableError, accepted
from souk.monitor.v1 import error_pb2 as pb
from souk_monitor.adapters import schema

ERRORS, PROJECTS = "souk.monitor.v1.ErrorService", "souk.monitor.v1.ProjectService"
LOGS = "opentelemetry.proto.collector.logs.v1.LogsService"


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    async with postgres_server() as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.close()
        yield server


async def start(postgres: PostgresServer, folder: Path, **settings: Any) -> ServiceProcess:
    chosen = {"dsn": postgres.dsn(user="souk_monitor"), "http_port": 0, "check_interval": 0.2, "store_patience": 0.5, **settings}
    return await processes.start_service("monitor", folder, "monitor", **chosen)


@pytest.fixture
async def monitor(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    service = await start(postgres, tmp_path)
    yield service
    await processes.stop(service)


def report(kind: str = "KeyError", **fields: Any) -> pb.ErrorReport:
    return pb.ErrorReport(platform="python", exceptions=[pb.ExceptionReport(type=kind, value="'seller'")], **fields)


async def test_grpcurl_lists_describes_and_calls(monitor: ServiceProcess) -> None:
    grpcurl = tool("grpcurl")
    _, services = await run(grpcurl, "-plaintext", monitor.grpc, "list")
    assert {ERRORS, PROJECTS, LOGS, "grpc.health.v1.Health", "souk.common.v1.OperationService"} <= set(services.split())
    for service in (ERRORS, PROJECTS):
        status, described = await run(grpcurl, "-plaintext", monitor.grpc, "describe", service)
        assert (status, "idempotency_level" in described) == (0, True)
    sent = {"platform": "python", "exceptions": [{"type": "KeyError", "value": "'seller'"}], "eventId": uuid.uuid4().hex}
    (answer,) = await call(monitor, f"{ERRORS}/ReportErrors", {"reports": [sent, {**sent, "eventId": ""}]})
    first, second = (result["accepted"] for result in answer["results"])
    assert (first["newIssue"], first["issueId"]) == (True, second["issueId"])
    streamed = await call(monitor, f"{ERRORS}/ReportErrorStream", {"reports": [sent]}, {"reports": [{"message": "cold"}]})
    assert streamed[0]["results"][0]["accepted"]["repeated"]
    named = {"issueId": first["issueId"]}
    (listed,) = await call(monitor, f"{ERRORS}/ListIssues", {"states": ["ISSUE_STATE_OPEN"]})
    assert sorted(issue["events"] for issue in listed["issues"]) == ["1", "2"]
    (explained,) = await call(monitor, f"{ERRORS}/ExplainGrouping", {"eventId": sent["eventId"]})
    assert explained["issueId"] == first["issueId"]
    (changed,) = await call(monitor, f"{ERRORS}/UpdateIssue", {**named, "resolve": {}, "comment": "mended"})
    assert changed["issue"]["state"] == "ISSUE_STATE_RESOLVED"
    for rpc, request in (
        ("GetIssue", named),
        ("ListEvents", named),
        ("GetEvent", {"eventId": sent["eventId"]}),
        ("GetErrorReport", {}),
        ("EraseUser", {"user": "7"}),
    ):
        assert len(await call(monitor, f"{ERRORS}/{rpc}", request)) == 1
    (made,) = await call(monitor, f"{PROJECTS}/CreateProject", {"name": "shop"})
    assert made["project"]["number"] == "2"
    (projects,) = await call(monitor, f"{PROJECTS}/ListProjects", {})
    assert {project["name"] for project in projects["projects"]} == {"default", "shop"}
    status, output = await run(grpcurl, "-plaintext", "-d", json.dumps({"issueId": "99"}), monitor.grpc, f"{ERRORS}/GetIssue")
    assert (status != 0, "ISSUE_UNKNOWN" in output) == (True, True)


async def test_a_probe_sees_the_database_go_and_come_back(monitor: ServiceProcess, postgres: PostgresServer) -> None:
    async def answers(name: str, wanted: int) -> bool:
        async with asyncio.timeout(20):
            while (await run(tool("grpc-health-probe"), "-addr", monitor.grpc, "-service", name))[0] != wanted:
                pass
        return True

    for name in ("", "liveness", "readiness", "monitor.database", ERRORS, PROJECTS, LOGS):
        assert await answers(name, 0), name
    await postgres.kill()
    assert await answers("readiness", 4)
    assert await answers("liveness", 0)
    async with MonitorClient(config=ClientConfig(target=monitor.grpc, attempts=1, timeout=20)) as client:
        with pytest.raises(UnavailableError) as refused:
            await client.report_all([report()])
        assert refused.value.retry_delay
        await postgres.start()
        assert await answers("readiness", 0)
        assert accepted((await client.report_all([report()]))[0]).new_issue


async def test_a_node_backend_reports_its_errors_and_finds_them(monitor: ServiceProcess) -> None:
    told = await run_node(monitor.grpc, program="monitor.mjs")
    first, second = (result["accepted"] for result in told["results"])
    assert (first["new_issue"], first["issue_id"]) == (True, second["issue_id"])
    again = told["again"][0]["accepted"]
    assert (again["event_id"], again["issue_id"], again["repeated"]) == (first["event_id"], first["issue_id"], True)
    assert told["change"]["issue"]["issue_id"] == first["issue_id"]
    (issue,) = told["issues"]
    assert (issue["events"], issue["type"], issue["platform"]) == (2, "TypeError", "node")
    frames = told["detail"]["latest_event"]["report"]["exceptions"][0]["frames"]
    assert frames[-1]["function"] == "sellerOf"
    assert told["issue"]["state"] == "ISSUE_STATE_RESOLVED"
    assert (told["wrong"]["code"], details(told["wrong"])["ErrorInfo"]["reason"]) == ("NOT_FOUND", "ISSUE_UNKNOWN")
    assert (told["empty"]["code"], details(told["empty"])["ErrorInfo"]["reason"]) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_what_was_acknowledged_is_there_after_a_kill_and_counted_once(postgres: PostgresServer, tmp_path: Path) -> None:
    reports = [report(event_id=uuid.uuid4().hex) for _ in range(20)]
    service = await start(postgres, tmp_path)
    try:
        async with MonitorClient(service.grpc) as client:
            (issue_id,) = {accepted(each).issue_id for each in await client.report_all(reports)}
        service.signal(signal.SIGKILL)
        await service.exit_status()
    finally:
        await processes.stop(service)
    service = await start(postgres, tmp_path)
    try:
        async with MonitorClient(service.grpc) as client:
            assert all(accepted(each).repeated for each in await client.report_all(reports))
            assert (await client.get_issue(issue_id)).issue.events == 20
            assert len([event async for event in client.events(issue_id, page_size=7)]) == 20
    finally:
        await processes.stop(service)


WRITES = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'monitor.fingerprints'::regclass)"
"""Whether events wait to be written."""


async def test_sigterm_stores_what_was_taken_ends_watches_and_exits_with_0(postgres: PostgresServer, tmp_path: Path) -> None:
    service = await start(postgres, tmp_path, batch_delay=0.5)
    owner = await asyncpg.connect(postgres.dsn())
    try:
        async with MonitorClient(service.grpc) as client:
            assert [issue async for issue in client.issues()] == []
            async with owner.transaction():
                await owner.execute("LOCK monitor.fingerprints IN SHARE MODE")  # the batch of half a second waits
                reporting = [asyncio.create_task(client.report_all([report(f"E{number}Error")])) for number in range(5)]
                async with asyncio.timeout(20):
                    while not await owner.fetchval(WRITES):
                        await asyncio.sleep(0.01)
                service.signal(signal.SIGTERM)
            stored = [accepted(each).issue_id for answer in await asyncio.gather(*reporting) for each in answer]
        assert await service.exit_status() == 0
        assert not [line for line in service.lines() if line["level"] == "error"]
        assert await owner.fetchval("SELECT count(DISTINCT event_id) FROM monitor.events") == len(set(stored)) == 5
    finally:
        await owner.close()
        await processes.stop(service)


async def test_a_database_without_the_schema_keeps_it_from_being_ready_and_is_named(tmp_path: Path) -> None:
    async with postgres_server() as empty:
        service = await processes.start_service("monitor", tmp_path, "monitor", dsn=empty.dsn(), http_port=0, check_interval=0.1)
        try:
            async with asyncio.timeout(20):
                while (await run(tool("grpc-health-probe"), "-addr", service.grpc, "-service", "readiness"))[0] != 4:
                    pass
        finally:
            await processes.stop(service)
