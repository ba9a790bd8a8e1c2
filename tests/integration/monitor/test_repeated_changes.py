"""Changes of issues and projects that are sent again under their request_id: to two nodes, after one another and at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from faults.links import Link, Proxy
from monitor_serving import Monitor, report, serving
from souk.client import MonitorClient
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2


@pytest.fixture
async def nodes(dsn: str) -> AsyncIterator[tuple[Monitor, Monitor]]:
    async with serving(dsn) as one, serving(dsn, node="two") as other:
        yield one, other


@pytest.fixture
async def link(nodes: tuple[Monitor, Monitor]) -> AsyncIterator[Link]:
    """To the first node."""
    async with Proxy() as proxy:
        yield await proxy.open("one", int(nodes[0].server.addresses.grpc.rpartition(":")[2]))


async def issues_of(monitor: Monitor, *kinds: str) -> list[str]:
    return [result.accepted.issue_id for result in await monitor.report(*map(report, kinds))]


async def known(monitor: Monitor, issue: str) -> pb.GetIssueResponse:
    found: pb.GetIssueResponse = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=issue))
    return found


async def merged(monitor: Monitor, *kinds: str) -> tuple[str, list[str]]:
    """One issue of these, and its fingerprints."""
    ids = await issues_of(monitor, *kinds)
    left = (await monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=ids, into_issue_id=ids[0]))).issue.issue_id
    return left, [each.fingerprint for each in (await known(monitor, left)).fingerprints]


async def reason_of(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return str(caught.value.trailing_metadata())


async def ignored_until_it_is_over(monitor: Monitor, issue: str, ignore: pb.Ignore) -> None:
    while True:
        await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=issue, ignore=ignore))


async def test_a_merge_that_is_sent_again_answers_as_the_first_did(nodes: tuple[Monitor, Monitor]) -> None:
    one, other = nodes
    ids = await issues_of(one, "A", "B")
    request = pb.MergeIssuesRequest(issue_ids=ids, into_issue_id=ids[0], request_id="m1", comment="one cause", actor="ana")
    first, again = [(await node.errors.MergeIssues(request)).issue for node in nodes]
    assert (first.issue_id, first.events, first.revision) == (again.issue_id, again.events, again.revision) == (ids[0], 2, 2)
    assert [each.kind for each in (await known(one, ids[0])).activity] == ["commented", "merged"]
    (third,) = await issues_of(one, "C")
    await one.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[third, ids[0]], into_issue_id=third))
    assert (await other.errors.MergeIssues(request)).issue.issue_id == third


async def test_a_split_that_is_sent_again_answers_as_the_first_did(nodes: tuple[Monitor, Monitor]) -> None:
    one = nodes[0]
    issue, fingerprints = await merged(one, "A", "B", "C")
    request = pb.SplitIssueRequest(issue_id=issue, fingerprints=fingerprints[:1], request_id="s1", comment="not it", actor="ana")
    first, again = [await node.errors.SplitIssue(request) for node in nodes]
    assert (first.issue.issue_id, first.issue.revision) == (again.issue.issue_id, again.issue.revision)
    assert (first.new_issue.issue_id, first.new_issue.events) == (again.new_issue.issue_id, again.new_issue.events)
    for each in (first.issue, first.new_issue):
        told = [(entry.kind, entry.actor, entry.text) for entry in (await known(nodes[1], each.issue_id)).activity]
        assert told[:2] == [("commented", "ana", "not it"), ("split", "ana", fingerprints[0])]
    unnamed = pb.SplitIssueRequest(issue_id=issue, fingerprints=fingerprints[:1])
    assert "fingerprints[0]" in await reason_of(one.errors.SplitIssue(unnamed))


async def test_changes_that_are_sent_at_once_are_made_once(nodes: tuple[Monitor, Monitor]) -> None:
    ids = await issues_of(nodes[0], "A", "B")
    merge = pb.MergeIssuesRequest(issue_ids=ids, request_id="m1", comment="one cause")
    answers = await asyncio.gather(*(nodes[number % 2].errors.MergeIssues(merge) for number in range(8)))
    left = {answer.issue.issue_id for answer in answers}
    assert len(left) == 1
    now = await known(nodes[0], *left)
    assert [each.kind for each in now.activity] == ["commented", "merged"]
    split = pb.SplitIssueRequest(issue_id=now.issue.issue_id, fingerprints=[now.fingerprints[0].fingerprint], request_id="s1")
    parts = await asyncio.gather(*(nodes[number % 2].errors.SplitIssue(split) for number in range(8)))
    assert len({(part.issue.issue_id, part.new_issue.issue_id) for part in parts}) == 1
    listed = (await nodes[0].errors.ListIssues(pb.ListIssuesRequest())).issues
    assert sorted(issue.events for issue in listed) == [1, 1]


async def test_a_client_whose_answer_is_lost_gets_it_when_it_comes_again(nodes: tuple[Monitor, Monitor], link: Link) -> None:
    issue, fingerprints = await merged(nodes[0], "A", "B")
    async with MonitorClient(f"127.0.0.1:{link.port}") as client:
        await client.get_issue(issue)
        await link.drop(to_server=False)
        splitting = asyncio.create_task(client.split_issue(issue, fingerprints[:1], timeout=30))
        async with asyncio.timeout(30):
            while len(left := (await nodes[1].errors.ListIssues(pb.ListIssuesRequest())).issues) < 2:
                await asyncio.sleep(0.01)
        await link.heal()
        parts = await splitting
        assert {parts.issue.issue_id, parts.new_issue.issue_id} == {each.issue_id for each in left}
        await link.drop(to_server=False)
        both = [parts.issue.issue_id, parts.new_issue.issue_id]
        merging = asyncio.create_task(client.merge_issues(both, into=issue, timeout=30))
        async with asyncio.timeout(30):
            while len(left := (await nodes[1].errors.ListIssues(pb.ListIssuesRequest())).issues) > 1:
                await asyncio.sleep(0.01)
        await link.heal()
        assert (await merging).issue_id == issue
    assert [each.kind for each in (await known(nodes[1], issue)).activity] == ["merged", "split", "merged"]


async def test_a_change_that_was_refused_can_be_sent_again_under_its_id(nodes: tuple[Monitor, Monitor]) -> None:
    issue, fingerprints = await merged(nodes[0], "A", "B")
    request = pb.SplitIssueRequest(issue_id=issue, fingerprints=fingerprints, request_id="s1")
    for _ in range(2):
        assert "fingerprints" in await reason_of(nodes[0].errors.SplitIssue(request))
    del request.fingerprints[1:]
    assert (await nodes[0].errors.SplitIssue(request)).new_issue.events == 1


async def test_a_repeat_answers_as_the_first_did_also_when_the_time_that_it_ignores_until_is_over(
    nodes: tuple[Monitor, Monitor],
) -> None:
    one, other = nodes
    issue, another = await issues_of(one, "A", "B")
    ignore = pb.Ignore()
    ignore.until_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=2))
    request = pb.UpdateIssueRequest(issue_id=issue, request_id="i1", ignore=ignore)
    first = (await one.errors.UpdateIssue(request)).issue
    async with asyncio.timeout(30):
        assert "ignore.until_time" in await reason_of(ignored_until_it_is_over(other, another, ignore))
    again = (await other.errors.UpdateIssue(request)).issue
    assert (again.issue_id, again.revision) == (first.issue_id, first.revision)
    assert [each.kind for each in (await known(one, issue)).activity] == ["ignored"]


async def test_an_id_of_another_request_is_refused_and_changes_nothing(nodes: tuple[Monitor, Monitor]) -> None:
    errors = nodes[0].errors
    ids = await issues_of(nodes[0], "A", "B", "C")
    await errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=ids[:2], into_issue_id=ids[0], request_id="r1"))
    (leaving, _) = (each.fingerprint for each in (await known(nodes[0], ids[0])).fingerprints)
    for call in (
        errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=ids, into_issue_id=ids[0], request_id="r1")),
        errors.SplitIssue(pb.SplitIssueRequest(issue_id=ids[0], fingerprints=[leaving], request_id="r1")),
        errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=ids[0], comment="no", request_id="r1")),
    ):
        assert "REQUEST_ID_REUSED" in await reason_of(call)
    assert [each.kind for each in (await known(nodes[0], ids[0])).activity] == ["merged"]


async def test_an_id_of_a_request_that_says_the_same_of_something_else_is_refused(nodes: tuple[Monitor, Monitor]) -> None:
    projects = nodes[0].projects
    await projects.CreateProject(project_pb2.CreateProjectRequest(name="shop", request_id="r1"))
    key = project_pb2.CreateProjectKeyRequest(project="shop", request_id="r1")
    assert "REQUEST_ID_REUSED" in await reason_of(projects.CreateProjectKey(key))


@pytest.mark.parametrize("field", [{"request_id": "ü"}, {"comment": "x" * 10_001}, {"actor": "x" * 201}])
async def test_what_a_change_may_not_say_is_refused(nodes: tuple[Monitor, Monitor], field: dict[str, Any]) -> None:
    errors = nodes[0].errors
    (name,) = field
    assert name in await reason_of(errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=["1", "2"], **field)))
    assert name in await reason_of(errors.SplitIssue(pb.SplitIssueRequest(issue_id="1", fingerprints=["0" * 32], **field)))
