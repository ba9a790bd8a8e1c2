"""Monitor behind a real PgBouncer that pools transactions: found by itself, and nothing is asked of a session that others share."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dashboards import visiting
from google.protobuf.timestamp_pb2 import Timestamp
from monitor_serving import Monitor, report, serving
from pgbouncers import PROGRAM, pgbouncer
from postgres_servers import PostgresServer
from souk.common.v1 import operations_pb2, operations_pb2_grpc
from souk.monitor.v1 import error_pb2 as pb
from souk_common.postgres import Pool
from souk_monitor.adapters.upkeep import Retention, Upkeep

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed (apt-get install pgbouncer)")
ROLE = "souk_monitor"
DAY = timedelta(days=1)


@pytest.fixture(params=["refuses", "ignores"])
async def pooled(request: pytest.FixtureRequest, dsn: str, postgres: PostgresServer) -> AsyncIterator[str]:
    """A DSN through PgBouncer, which refuses session settings in the parameters of a connection, or ignores them."""
    told = {"ignore_startup_parameters": "statement_timeout,idle_in_transaction_session_timeout,jit"}
    async with pgbouncer(postgres, ROLE, **(told if request.param == "ignores" else {})) as port:
        yield dsn.replace(f":{postgres.port}/", f":{port}/")


@pytest.fixture
async def nodes(pooled: str) -> AsyncIterator[list[Monitor]]:
    """Two, with twenty connections between them, of which PostgreSQL sees two."""
    async with serving(pooled, node="one") as one, serving(pooled, node="two") as other:
        yield [one, other]


async def test_nodes_take_errors_at_once_and_each_is_counted_once(nodes: list[Monitor], owner: Any) -> None:
    reports = [report(f"Kind{number % 7}", event_id=f"{number:032x}", release=f"shop@{number % 3}") for number in range(200)]
    user = pb.ReportedUser(id="u1")
    for each in reports[::2]:
        each.user.CopyFrom(user)
    halves = [reports[first : first + 20] for first in range(0, 200, 20)]
    await asyncio.gather(*(node.report(*half) for half in halves for node in nodes))
    assert await owner.fetchval("SELECT sum(events)::int FROM monitor.issues") == 200
    assert await owner.fetchval("SELECT count(DISTINCT event_id) FROM monitor.events") == 200
    clients = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND datname = current_database()"
    assert await owner.fetchval(clients, ROLE) <= 2


async def test_issues_are_found_watched_and_changed_and_users_erased(nodes: list[Monitor]) -> None:
    one, other = nodes
    watching = one.errors.WatchIssues(pb.WatchIssuesRequest())
    await watching.read()
    results = await other.report(report("KeyError", user=pb.ReportedUser(id="ana-4711")), report("ValueError"))
    first, second = (result.accepted.issue_id for result in results)
    assert (await watching.read()).change == pb.ISSUE_CHANGE_NEW
    watching.cancel()
    found = await one.errors.ListIssues(pb.ListIssuesRequest(search="keyerror"))
    assert [issue.issue_id for issue in found.issues] == [first]
    resolve = pb.UpdateIssueRequest(issue_id=first, resolve=pb.Resolve(), request_id="r1")
    for node in nodes:
        assert (await node.errors.UpdateIssue(resolve)).issue.state == pb.ISSUE_STATE_RESOLVED
    merged = await one.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[first, second]))
    assert merged.issue.events == 2
    started = await one.errors.EraseUser(pb.EraseUserRequest(user="ana-4711"))
    operations = operations_pb2_grpc.OperationServiceStub(one.server.channel())
    watch = operations.WatchOperation(operations_pb2.WatchOperationRequest(operation_id=started.operation.operation_id))
    last = [response.operation async for response in watch][-1]
    assert last.state == operations_pb2.OPERATION_STATE_SUCCEEDED
    async with visiting(other) as visit:
        assert "4711" not in (await visit.page(f"/issues/{first}")).text


async def test_days_are_made_and_dropped(pooled: str, nodes: list[Monitor], owner: Any) -> None:
    now = datetime.now(UTC)
    old = Timestamp()
    old.FromDatetime(now - 3 * DAY)
    await nodes[0].report(report("KeyError", time=old), report("KeyError"))

    async def days() -> set[int]:
        return {(row["day"] - now.date()).days for row in await owner.fetch("SELECT day FROM monitor.days()")}

    assert -3 in await days()
    async with Pool(pooled) as pool:
        assert pool.status().behind_pooler
        await Upkeep(pool, Retention(DAY, DAY, DAY, DAY), list).do(now)
    assert -3 not in await days()
    assert {0, 1} <= await days()
