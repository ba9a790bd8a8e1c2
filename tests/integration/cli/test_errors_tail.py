"""`souk errors tail --service`: what it shows of a stream of changes, and what it asks for that."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc
from souk_command import souk

NOTABLE = (pb.ISSUE_CHANGE_NEW, pb.ISSUE_CHANGE_REGRESSED, pb.ISSUE_CHANGE_ESCALATED)
OTHERS = (pb.ISSUE_CHANGE_EVENTS, pb.ISSUE_CHANGE_UPDATED, pb.ISSUE_CHANGE_MERGED)


class Changes(error_pb2_grpc.ErrorServiceServicer):
    """A stream that tells some changes and ends, and events of the services that are said."""

    def __init__(self, *told: tuple[pb.IssueChange.ValueType, str, list[str]], events: dict[str, list[str]]) -> None:
        """told: (what, issue, the services that are counted). events: services by issue; one that is not there is unknown."""
        self.told = told
        self.events = events
        self.asked: list[str] = []

    async def WatchIssues(self, request: pb.WatchIssuesRequest, context: Any) -> AsyncIterator[pb.WatchIssuesResponse]:
        for change, issue, services in self.told:
            found = pb.Issue(issue_id=issue, short_id=issue, title=f"title of {issue}", services=services)
            yield pb.WatchIssuesResponse(change=change, issue=found, resume_token="1")

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        self.asked.append(request.issue_id)
        if request.issue_id not in self.events:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such issue")
        reports = [pb.ErrorReport(service=service) for service in self.events[request.issue_id]]
        return pb.ListEventsResponse(events=[pb.ErrorEvent(report=report) for report in reports])


async def shown(changes: Changes) -> list[str]:
    """The issues that are told of the service checkout."""
    server = grpc.aio.server()
    error_pb2_grpc.add_ErrorServiceServicer_to_server(changes, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        result = await souk("errors", "tail", "--service", "checkout", "--address", f"127.0.0.1:{port}")
    finally:
        await server.stop(None)
    assert result.status == 0, result.err
    return [line.split("title of ")[1].split()[0] for line in result.out.splitlines()]


async def test_events_of_an_issue_are_asked_for_only_when_something_notable_happens_to_it() -> None:
    told = [(change, f"{pb.IssueChange.Name(change)}", ["search"]) for change in (*NOTABLE, *OTHERS)]
    changes = Changes(*told, events={name: ["checkout", "search"] for _, name, _ in told})
    notable = [name for change, name, _ in told if change in NOTABLE]
    assert await shown(changes) == notable
    assert changes.asked == notable


@pytest.mark.parametrize("change", [*NOTABLE, *OTHERS], ids=pb.IssueChange.Name)
async def test_whatever_happens_to_an_issue_that_is_counted_in_the_service_is_told_unasked(
    change: pb.IssueChange.ValueType,
) -> None:
    changes = Changes((change, "SHOP-1", ["checkout", "search"]), events={})
    assert (await shown(changes), changes.asked) == (["SHOP-1"], [])


async def test_an_issue_that_is_removed_meanwhile_is_not_of_the_service_and_ends_nothing() -> None:
    new = pb.ISSUE_CHANGE_NEW
    changes = Changes(
        (new, "SHOP-1", []), (new, "SHOP-2", []), (new, "SHOP-3", []), events={"SHOP-2": ["search"], "SHOP-3": ["checkout"]}
    )
    assert await shown(changes) == ["SHOP-3"]
    assert changes.asked == ["SHOP-1", "SHOP-2", "SHOP-3"]
