"""ErrorService against a real PostgreSQL: errors in, issues out, and what people do with them."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from monitor_serving import Monitor, report, serving
from souk.common.v1 import operations_pb2, operations_pb2_grpc
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2


def stamp(time: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(time)
    return made


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_report_is_in_the_list_in_its_issue_and_among_its_events(monitor: Monitor) -> None:
    first, second = await monitor.report(report("KeyError", service="checkout"), report("KeyError", service="checkout"))
    assert first.accepted.new_issue
    assert not second.accepted.new_issue
    issues = (await monitor.errors.ListIssues(pb.ListIssuesRequest())).issues
    assert [(issue.short_id, issue.events, issue.state) for issue in issues] == [("DEFAULT-1", 2, pb.ISSUE_STATE_OPEN)]
    known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id="default-1"))
    assert known.latest_event.report.exceptions[0].type == "KeyError"
    assert sum(hour.events for hour in known.hours) == sum(day.events for day in known.days) == 2
    assert (len(known.hours), len(known.days), len(known.fingerprints)) == (24, 30, 1)
    events = (await monitor.errors.ListEvents(pb.ListEventsRequest(issue_id=issues[0].issue_id))).events
    assert {event.report.event_id for event in events} == {first.accepted.event_id, second.accepted.event_id}
    one = await monitor.errors.GetEvent(pb.GetEventRequest(event_id=first.accepted.event_id))
    assert one.event.source == "native"
    assert one.issue.issue_id == issues[0].issue_id


async def test_a_report_that_is_wrong_is_rejected_and_the_others_are_stored(monitor: Monitor) -> None:
    results = await monitor.report(report("A"), pb.ErrorReport(), report("B"))
    assert [result.WhichOneof("outcome") for result in results] == ["accepted", "rejected", "accepted"]
    assert results[1].rejected.reason == "MALFORMED"


async def test_a_stream_is_answered_in_order_and_a_repeat_is_known(monitor: Monitor) -> None:
    async def requests() -> AsyncIterator[pb.ReportErrorStreamRequest]:
        for number in range(40):
            reports = [report(f"E{number % 4}", event_id=f"{number:032x}"), report("E9", event_id=f"{7:032x}")]
            yield pb.ReportErrorStreamRequest(reports=reports)

    answers = [answer.results async for answer in monitor.errors.ReportErrorStream(requests())]
    assert [answer[0].accepted.event_id for answer in answers] == [f"{number:032x}" for number in range(40)]
    assert sum(result.accepted.repeated for answer in answers for result in answer) == 40


async def test_an_unknown_project_and_no_reports_are_refused(monitor: Monitor) -> None:
    assert (await refused(monitor.report(report(), project="nowhere"))).code() == grpc.StatusCode.NOT_FOUND
    assert (await refused(monitor.report())).code() == grpc.StatusCode.INVALID_ARGUMENT

    async def requests() -> AsyncIterator[pb.ReportErrorStreamRequest]:
        yield pb.ReportErrorStreamRequest(project="nowhere", reports=[report()])

    async def drain() -> None:
        async for _ in monitor.errors.ReportErrorStream(requests()):
            pass

    assert (await refused(drain())).code() == grpc.StatusCode.NOT_FOUND


async def test_issues_are_found_by_filter_search_and_page_in_every_order(monitor: Monitor) -> None:
    now = datetime.now(UTC)
    for number in range(7):
        ago = stamp(now - timedelta(minutes=number))
        user = pb.ReportedUser(id="u")
        many = [report(f"Kind{number}Error", time=ago, service=f"s{number % 2}", user=user) for _ in range(number + 1)]
        await monitor.report(*many)

    async def listed(**fields: Any) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = await monitor.errors.ListIssues(pb.ListIssuesRequest(page_size=3, page_token=token, **fields))
            found += [issue.type for issue in page.issues]
            token = page.next_page_token
            if not token:
                return found

    kinds = [f"Kind{number}Error" for number in range(7)]
    for order in pb.IssueOrder.values():
        assert sorted(await listed(order=order)) == kinds
    assert await listed(order=pb.ISSUE_ORDER_LAST_SEEN) == kinds
    assert await listed(order=pb.ISSUE_ORDER_EVENTS) == kinds[::-1]
    assert await listed(search="kind3error") == ["Kind3Error"]
    assert await listed(search='"value of kind4error"') == ["Kind4Error"]
    assert sorted(await listed(search="error kind")) == kinds
    assert await listed(search="error nothing") == []
    assert await listed(search="default-2") == ["Kind1Error"]
    assert await listed(since_time=stamp(now - timedelta(seconds=90))) == kinds[:2]
    assert await listed(states=[pb.ISSUE_STATE_IGNORED]) == []
    assert await listed(min_severity=pb.SEVERITY_FATAL) == []
    async with asyncio.timeout(10):
        while await listed(service="s1") != kinds[1::2]:
            await asyncio.sleep(0.02)
    await monitor.report(*(report("Kind0Error", release=f"shop@{number}") for number in (1, 2, 3)))
    async with asyncio.timeout(10):
        while await listed(release="shop@2") != ["Kind0Error"]:
            await asyncio.sleep(0.02)
    assert await listed(release="shop@3") == ["Kind0Error"]
    assert await listed(release="shop@4") == []
    first = (await monitor.errors.ListIssues(pb.ListIssuesRequest(page_size=3))).next_page_token
    other = monitor.errors.ListIssues(pb.ListIssuesRequest(page_size=3, page_token=first, search="kind"))
    assert "INVALID_PAGE_TOKEN" in str((await refused(other)).trailing_metadata())


async def test_an_issue_goes_through_its_states_and_its_activity_tells(monitor: Monitor) -> None:
    (result,) = await monitor.report(report("KeyError"))
    issue_id = result.accepted.issue_id

    async def update(**fields: Any) -> pb.Issue:
        request = pb.UpdateIssueRequest(issue_id=issue_id, actor="ana", **fields)
        return (await monitor.errors.UpdateIssue(request)).issue

    assert (await update(acknowledge=pb.Acknowledge(), assignee="ana")).state == pb.ISSUE_STATE_ACKNOWLEDGED
    resolved = await update(resolve=pb.Resolve(), request_id="r1", comment="mended")
    assert resolved.state == pb.ISSUE_STATE_RESOLVED
    await monitor.report(report("KeyError"))
    known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=issue_id))
    assert known.issue.state == pb.ISSUE_STATE_REGRESSED
    again = await update(resolve=pb.Resolve(), request_id="r1", comment="mended")
    assert again.state == pb.ISSUE_STATE_REGRESSED
    stale = monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=issue_id, revision=1, reopen=pb.Reopen()))
    assert (await refused(stale)).code() == grpc.StatusCode.FAILED_PRECONDITION
    kinds = [each.kind for each in known.activity]
    assert kinds == ["regressed", "commented", "resolved", "assigned", "acknowledged"]
    assert known.issue.assignee == "ana"


async def test_a_resolved_issue_regresses_only_by_releases_that_count(monitor: Monitor) -> None:
    (result,) = await monitor.report(report("KeyError", release="shop@1.2.0"))
    issue_id = result.accepted.issue_id

    async def state_after(release: str) -> int:
        await monitor.report(report("KeyError", release=release))
        return int((await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=issue_id))).issue.state)

    await monitor.report(report("OtherError", release="shop@1.3.0"), report("OtherError", release="web@7.0.0"))
    resolve = pb.UpdateIssueRequest(issue_id=issue_id, resolve=pb.Resolve(in_next_release=True))
    await monitor.errors.UpdateIssue(resolve)
    assert await state_after("shop@1.2.0") == pb.ISSUE_STATE_RESOLVED
    assert await state_after("shop@1.3.0") == pb.ISSUE_STATE_RESOLVED  # out before it was mended
    assert await state_after("shop@1.1.9") == pb.ISSUE_STATE_RESOLVED
    assert await state_after("shop@1.10.0") == pb.ISSUE_STATE_REGRESSED


@pytest.mark.parametrize(
    ("seen", "mended_in", "later"),
    [("shop@1.3", "1.4", "shop@1.5"), ("aaa111", "fff000", "ccc333"), ("v1.3", "shop@1.4", "shop@2.0")],
)
async def test_it_regresses_by_a_later_release_though_the_mended_one_reports_nothing(
    monitor: Monitor, seen: str, mended_in: str, later: str
) -> None:
    (result,) = await monitor.report(report("KeyError", release=seen))
    resolve = pb.UpdateIssueRequest(issue_id=result.accepted.issue_id, resolve=pb.Resolve(in_release=mended_in))
    await monitor.errors.UpdateIssue(resolve)
    states = []
    for release in (seen, later):
        await monitor.report(report("KeyError", release=release))
        known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=result.accepted.issue_id))
        states.append(known.issue.state)
    assert states == [pb.ISSUE_STATE_RESOLVED, pb.ISSUE_STATE_REGRESSED]


async def test_an_ignored_issue_comes_back_after_so_many_events(monitor: Monitor) -> None:
    (result,) = await monitor.report(report("KeyError"))
    ignore = pb.UpdateIssueRequest(issue_id=result.accepted.issue_id, ignore=pb.Ignore(until_events=3))
    ignored = (await monitor.errors.UpdateIssue(ignore)).issue
    assert ignored.ignored_until.until_events == 3
    for expected in (pb.ISSUE_STATE_IGNORED, pb.ISSUE_STATE_IGNORED, pb.ISSUE_STATE_OPEN):
        await monitor.report(report("KeyError"))
        known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=result.accepted.issue_id))
        assert known.issue.state == expected


async def test_merging_teaches_and_splitting_unteaches_and_counts_stay_exact(monitor: Monitor) -> None:
    results = await monitor.report(*(report(kind, user=pb.ReportedUser(id=f"u{n}")) for n, kind in enumerate("AABBBC")))
    first, other, third = results[0].accepted.issue_id, results[2].accepted.issue_id, results[5].accepted.issue_id
    merged = (await monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[other, first, third], into_issue_id=first))).issue
    assert (merged.issue_id, merged.events, merged.users) == (first, 6, 6)
    (again,) = await monitor.report(report("B", user=pb.ReportedUser(id="u1")))
    assert again.accepted.issue_id == first
    known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=other))
    assert (known.issue.issue_id, known.issue.events, known.issue.users) == (first, 7, 6)
    leaving = next(each for each in known.fingerprints if each.title.startswith("B"))
    split = await monitor.errors.SplitIssue(pb.SplitIssueRequest(issue_id=first, fingerprints=[leaving.fingerprint]))
    assert (split.issue.events, split.new_issue.events, split.new_issue.type) == (3, 4, "B")
    (later,) = await monitor.report(report("B"))
    assert later.accepted.issue_id == split.new_issue.issue_id
    everything = [each.fingerprint for each in (await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=first))).fingerprints]
    none_left = monitor.errors.SplitIssue(pb.SplitIssueRequest(issue_id=first, fingerprints=everything))
    assert (await refused(none_left)).code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_issue_is_found_by_what_its_user_saw(monitor: Monitor) -> None:
    cause, seen = (
        pb.ExceptionReport(type="KeyError", value="'seller'"),
        pb.ExceptionReport(type="RuntimeError", value="payout failed"),
    )
    cause.frames.add(function="pay", module="shop.payouts", in_app=True)
    await monitor.report(pb.ErrorReport(platform="python", exceptions=[cause, seen], message="order 17 was not paid out"))
    for search in ("payout", "RuntimeError failed", '"not paid out"', "keyerror seller"):
        (issue,) = (await monitor.errors.ListIssues(pb.ListIssuesRequest(search=search))).issues
        assert issue.type == "KeyError", search
    assert not (await monitor.errors.ListIssues(pb.ListIssuesRequest(search="payout refund"))).issues


async def test_nothing_is_ignored_until_a_time_that_is_over(monitor: Monitor) -> None:
    (result,) = await monitor.report(report("KeyError"))
    ignore = pb.Ignore(until_time=stamp(datetime.now(UTC) - timedelta(seconds=1)))
    error = await refused(monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=result.accepted.issue_id, ignore=ignore)))
    assert (error.code(), "ignore.until_time" in (error.details() or "")) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def urgent(monitor: Monitor) -> list[str]:
    """Types of issues, the most urgent first."""
    return [issue.type for issue in (await monitor.errors.ListIssues(pb.ListIssuesRequest(order=pb.ISSUE_ORDER_PRIORITY))).issues]


async def test_what_is_urgent_stands_first_at_once(monitor: Monitor) -> None:
    grave = {"Fatal": pb.SEVERITY_FATAL, "Warning": pb.SEVERITY_WARNING, "Error": pb.SEVERITY_ERROR}
    for kind, severity in grave.items():
        await monitor.report(report(kind, severity=severity))
    assert await urgent(monitor) == ["Fatal", "Error", "Warning"]
    (other,) = await monitor.report(report("Regressed", severity=pb.SEVERITY_FATAL))
    await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=other.accepted.issue_id, resolve=pb.Resolve()))
    await monitor.report(report("Newest", severity=pb.SEVERITY_FATAL), report("Regressed"))
    assert (await urgent(monitor))[0] == "Regressed"


async def test_what_leaves_an_issue_has_its_place_at_once(monitor: Monitor) -> None:
    results = await monitor.report(*(report(kind, severity=pb.SEVERITY_FATAL) for kind in "AB"))
    await monitor.report(report("Error"))
    first, other = (result.accepted.issue_id for result in results)
    merged = (await monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[first, other], into_issue_id=first))).issue
    known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=merged.issue_id))
    leaving = next(each.fingerprint for each in known.fingerprints if each.title.startswith("B"))
    await monitor.errors.SplitIssue(pb.SplitIssueRequest(issue_id=first, fingerprints=[leaving]))
    assert await urgent(monitor) == ["B", "A", "Error"]


async def test_what_is_merged_is_as_grave_and_as_easily_found_as_its_parts(monitor: Monitor) -> None:
    now = datetime.now(UTC)
    fatal = report("Fatal", severity=pb.SEVERITY_FATAL, time=stamp(now))
    fatal.exceptions[0].handled = False
    warning = report("Warning", severity=pb.SEVERITY_WARNING, time=stamp(now - timedelta(minutes=1)))
    warning.exceptions[0].handled = True
    first, other = [result.accepted.issue_id for result in await monitor.report(warning, fatal)]
    merged = (await monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[first, other], into_issue_id=first))).issue
    assert (merged.severity, merged.handled, merged.HasField("handled")) == (pb.SEVERITY_FATAL, False, True)
    for wanted in ({"search": "fatal"}, {"search": "warning"}, {"search": "default-2"}, {"min_severity": pb.SEVERITY_FATAL}):
        found = (await monitor.errors.ListIssues(pb.ListIssuesRequest(**wanted))).issues  # type: ignore[arg-type]
        assert [issue.issue_id for issue in found] == [first]


async def test_an_open_issue_is_not_put_away_by_merging_it(monitor: Monitor) -> None:
    first, other = [result.accepted.issue_id for result in await monitor.report(report("A"), report("B"))]
    await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=first, resolve=pb.Resolve()))
    merged = (await monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[first, other], into_issue_id=first))).issue
    assert merged.state == pb.ISSUE_STATE_OPEN
    known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=first))
    assert [each.kind for each in known.activity] == ["merged", "reopened", "resolved"]


async def ignore(monitor: Monitor, issue: str, **until: int) -> None:
    await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=issue, ignore=pb.Ignore(**until)))  # type: ignore[arg-type]


async def states_after(monitor: Monitor, issue: str, *reports: pb.ErrorReport) -> list[pb.IssueState]:
    """The state of an issue after each of these."""
    states = []
    for each in reports:
        await monitor.report(each)
        states.append((await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=issue))).issue.state)
    return states


IGNORED, OPEN = pb.ISSUE_STATE_IGNORED, pb.ISSUE_STATE_OPEN


async def test_what_is_merged_into_an_ignored_issue_or_split_off_it_does_not_count_as_having_come(monitor: Monitor) -> None:
    results = await monitor.report(*(report(kind) for kind in "AABBBBB"))
    first, other = results[0].accepted.issue_id, results[2].accepted.issue_id
    await ignore(monitor, first, until_events=3)
    await ignore(monitor, other)
    assert await states_after(monitor, first, report("A")) == [IGNORED]
    merged = (await monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[first, other], into_issue_id=first))).issue
    assert (merged.state, merged.events) == (IGNORED, 8)
    assert await states_after(monitor, first, report("B")) == [IGNORED]
    known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=first))
    leaving = next(each.fingerprint for each in known.fingerprints if each.title.startswith("B"))
    await monitor.errors.SplitIssue(pb.SplitIssueRequest(issue_id=first, fingerprints=[leaving]))
    assert await states_after(monitor, first, report("A")) == [OPEN]


async def test_users_who_come_by_merging_do_not_end_ignoring(monitor: Monitor) -> None:
    def met(kind: str, user: int) -> pb.ErrorReport:
        return report(kind, user=pb.ReportedUser(id=f"u{user}"))

    results = await monitor.report(met("A", 1), met("A", 2), *(met("B", user) for user in (2, 3, 4, 5)))
    first, other = results[0].accepted.issue_id, results[2].accepted.issue_id
    await ignore(monitor, first, until_users=2)
    await ignore(monitor, other)
    merged = (await monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[first, other], into_issue_id=first))).issue
    assert (merged.state, merged.users) == (IGNORED, 5)
    assert await states_after(monitor, first, met("A", 3), met("A", 6), met("B", 7)) == [IGNORED, IGNORED, OPEN]


async def test_who_watches_hears_of_changes_and_goes_on_where_they_were_on_another_node(monitor: Monitor, dsn: str) -> None:
    watching = monitor.errors.WatchIssues(pb.WatchIssuesRequest())
    start = await watching.read()
    assert start.change == pb.ISSUE_CHANGE_UNSPECIFIED
    async with serving(dsn, node="two") as other:
        (result,) = await other.report(report("KeyError"))
        new = await watching.read()
        assert (new.change, new.issue.issue_id) == (pb.ISSUE_CHANGE_NEW, result.accepted.issue_id)
        await other.report(report("KeyError"))
        more = await watching.read()
        assert (more.change, more.issue.events) == (pb.ISSUE_CHANGE_EVENTS, 2)
        watching.cancel()
        await other.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=result.accepted.issue_id, resolve=pb.Resolve()))
        resumed = other.errors.WatchIssues(pb.WatchIssuesRequest(resume_token=more.resume_token))
        async with asyncio.timeout(10):
            while (heard := await resumed.read()).change != pb.ISSUE_CHANGE_UPDATED:
                pass
        assert heard.issue.state == pb.ISSUE_STATE_RESOLVED
        resumed.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await resumed.read()


async def test_no_more_watch_than_may_and_reports_come_in_all_the_same(dsn: str) -> None:
    async with serving(dsn, watch_streams=1) as monitor:
        watching = monitor.errors.WatchIssues(pb.WatchIssuesRequest())
        await watching.read()
        with pytest.raises(grpc.aio.AioRpcError) as turned_away:
            await monitor.errors.WatchIssues(pb.WatchIssuesRequest()).read()
        assert turned_away.value.code() == grpc.StatusCode.UNAVAILABLE
        await monitor.report(report("KeyError"))
        assert (await watching.read()).change == pb.ISSUE_CHANGE_NEW
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching.read()


async def test_a_report_says_what_went_wrong(monitor: Monitor) -> None:
    await monitor.report(*(report("A", service="web", release="1") for _ in range(3)), report("B", service="api"))
    async with asyncio.timeout(10):
        while True:
            found = await monitor.errors.GetErrorReport(pb.GetErrorReportRequest())
            if len(found.services) == 2:
                break
            await asyncio.sleep(0.02)
    assert (found.events, found.issues, found.new_issues, found.events_before) == (4, 2, 2, 0)
    assert [(each.issue.type, each.events) for each in found.top_issues] == [("A", 3), ("B", 1)]
    assert [(each.name, each.events) for each in found.services] == [("web", 3), ("api", 1)]
    assert sum(count.events for count in found.counts) == 4


async def test_a_user_is_erased_and_counts_stay(monitor: Monitor) -> None:
    user = pb.ReportedUser(id="user-4711", email="ana@shop.example")
    said = pb.ExceptionReport(type="KeyError", value="user-4711 has no basket")
    (result,) = await monitor.report(pb.ErrorReport(exceptions=[said], user=user, tags={"who": "user-4711"}))
    started = await monitor.errors.EraseUser(pb.EraseUserRequest(user="user-4711", request_id="e1"))
    operations = operations_pb2_grpc.OperationServiceStub(monitor.server.channel())
    watch = operations.WatchOperation(operations_pb2.WatchOperationRequest(operation_id=started.operation.operation_id))
    last = [response.operation async for response in watch][-1]
    assert last.state == operations_pb2.OPERATION_STATE_SUCCEEDED
    assert last.progress.counts["bodies"] == 1
    one = await monitor.errors.GetEvent(pb.GetEventRequest(event_id=result.accepted.event_id))
    assert "4711" not in str(one.event)
    assert "ana" not in str(one.event)
    assert one.issue.events == one.issue.users == 1


def values_of(tag: pb.TagValues) -> dict[str, int]:
    return {value.name: value.events for value in tag.values}


async def erased(monitor: Monitor, user: str) -> int:
    """How many bodies were rewritten."""
    started = await monitor.errors.EraseUser(pb.EraseUserRequest(user=user))
    operations = operations_pb2_grpc.OperationServiceStub(monitor.server.channel())
    watch = operations.WatchOperation(operations_pb2.WatchOperationRequest(operation_id=started.operation.operation_id))
    last = [response.operation async for response in watch][-1]
    assert last.state == operations_pb2.OPERATION_STATE_SUCCEEDED
    return int(last.progress.counts["bodies"])


async def test_every_name_of_an_erased_user_goes_and_others_find_their_events_later(
    monitor: Monitor, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    user = pb.ReportedUser(id="u-17xyz", username="zebra.fan", email="fan@shop.example")
    said = pb.ExceptionReport(type="PaymentError", value="card of zebra.fan was declined")
    (result,) = await monitor.report(pb.ErrorReport(exceptions=[said], user=user, tags={"buyer": "zebra.fan"}))
    (same,) = await monitor.report(pb.ErrorReport(exceptions=[said], user=pb.ReportedUser(username="zebra.fan")))
    async with asyncio.timeout(10):
        while not await owner.fetchval("SELECT count(*) FROM monitor.facets WHERE kind = 4"):
            await asyncio.sleep(0.02)
    issue_id = result.accepted.issue_id
    assert await erased(monitor, "u-17xyz") == 1
    known = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=issue_id))
    assert (known.issue.title, known.issue.users) == ("PaymentError: card of [erased] was declined", 2)
    assert [each.title for each in known.fingerprints] == [known.issue.title]
    assert [(tag.name, values_of(tag)) for tag in known.tags] == [("buyer", {"[erased]": 1})]
    one = await monitor.errors.GetEvent(pb.GetEventRequest(event_id=result.accepted.event_id))
    assert "zebra" not in str(one)
    assert await owner.fetchval("SELECT count(*) FROM monitor.users") == 1
    other = await monitor.errors.GetEvent(pb.GetEventRequest(event_id=same.accepted.event_id))
    assert other.event.report.user.username == "zebra.fan"

    async def found(search: str) -> int:
        return len((await monitor.errors.ListIssues(pb.ListIssuesRequest(search=search))).issues)

    assert [await found(search) for search in ("zebra", "17xyz", "declined", "default-1")] == [0, 0, 1, 1]
    assert await erased(monitor, "zebra.fan") == 2
    assert await erased(monitor, "zebra.fan") == 0


async def test_an_erased_user_is_in_no_title_and_is_found_no_more_and_others_stay(
    monitor: Monitor, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    def told(who: str, kind: str) -> pb.ErrorReport:
        said = pb.ExceptionReport(type=kind, value=f"basket of bob-{who}-1 is gone")
        tags = {"of": f"a bob-{who}-1", "other": f"bob-{who}-12", "by": who}
        return pb.ErrorReport(exceptions=[said], user=pb.ReportedUser(id=f"bob-{who}-1"), tags=tags)

    results = await monitor.report(told("klein", "OwnError"), told("gross", "OtherError"))
    own, other = (result.accepted.issue_id for result in results)
    (mention,) = await monitor.report(
        pb.ErrorReport(message="bob-klein-1 called again", tags={"from": "bob-klein-1", "to": "klein"})
    )
    async with asyncio.timeout(10):
        while await owner.fetchval("SELECT count(*) FROM monitor.facets WHERE kind = 4") < 8:
            await asyncio.sleep(0.02)
    await erased(monitor, "bob-klein-1")
    issue = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=own))
    assert (issue.issue.title, issue.issue.events) == ("OwnError: basket of [erased] is gone", 1)
    assert {tag.name: values_of(tag) for tag in issue.tags} == {
        "of": {"[erased]": 1},
        "other": {"bob-klein-12": 1},
        "by": {"klein": 1},
    }
    mentioned = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=mention.accepted.issue_id))
    assert {tag.name: values_of(tag) for tag in mentioned.tags} == {"from": {"[erased]": 1}, "to": {"klein": 1}}

    async def found(search: str) -> set[str]:
        return {each.issue_id for each in (await monitor.errors.ListIssues(pb.ListIssuesRequest(search=search))).issues}

    assert await found("klein") == {mention.accepted.issue_id}  # what others say stays, as the contract has it
    assert await found("gross") == {other}
    assert await found("OwnError basket") == await found(issue.issue.short_id) == {own}


async def test_events_are_found_by_trace_and_by_error_id(monitor: Monitor) -> None:
    trace = uuid.uuid4().hex
    await monitor.report(report("A", trace_id=trace), report("B", trace_id=trace), report("C", error_id="e77"))
    by_trace = (await monitor.errors.ListEvents(pb.ListEventsRequest(trace_id=trace))).events
    assert {event.report.exceptions[0].type for event in by_trace} == {"A", "B"}
    by_error = (await monitor.errors.ListEvents(pb.ListEventsRequest(error_id="e77"))).events
    assert [event.report.exceptions[0].type for event in by_error] == ["C"]


async def test_an_event_is_found_by_its_id_in_whatever_project(monitor: Monitor) -> None:
    await monitor.projects.CreateProject(project_pb2.CreateProjectRequest(name="shop"))
    await monitor.report(report("A", event_id="1" * 32), report("B", event_id="2" * 32))
    await monitor.report(report("C", event_id="3" * 32), project="shop")
    for event_id, project, kind in (("2" * 32, "default", "B"), ("3" * 32, "shop", "C")):
        (found,) = (await monitor.errors.ListEvents(pb.ListEventsRequest(event_id=event_id))).events
        assert (found.project, found.report.exceptions[0].type) == (project, kind)
    assert not (await monitor.errors.ListEvents(pb.ListEventsRequest(event_id="4" * 32))).events


async def test_an_event_that_was_reported_to_several_projects_is_found_in_each_page_by_page(monitor: Monitor) -> None:
    names = ["default", "shop", "web"]
    same = report("A", event_id="1" * 32, trace_id="2" * 32, error_id="a1", time=stamp(datetime.now(UTC)))
    for name in names:
        if name != "default":
            await monitor.projects.CreateProject(project_pb2.CreateProjectRequest(name=name))
        await monitor.report(same, project=name)
    for wanted in ({"event_id": "1" * 32}, {"trace_id": "2" * 32}, {"error_id": "a1"}):
        found, request = [], pb.ListEventsRequest(page_size=1, **wanted)
        while not found or request.page_token:
            page = await monitor.errors.ListEvents(request)
            found += [event.project for event in page.events]
            request.page_token = page.next_page_token
        assert sorted(found) == names
    for wrong in ({"event_id": "x"}, {"event_id": "1" * 32, "trace_id": "1" * 32}):
        assert (await refused(monitor.errors.ListEvents(pb.ListEventsRequest(**wrong)))).code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_it_says_why_an_event_is_where_it_is(monitor: Monitor) -> None:
    (result,) = await monitor.report(report("A"))
    explained = await monitor.errors.ExplainGrouping(pb.ExplainGroupingRequest(event_id=result.accepted.event_id))
    assert explained.issue_id == result.accepted.issue_id
    unknown = await monitor.errors.ExplainGrouping(pb.ExplainGroupingRequest(report=report("Never")))
    assert not unknown.issue_id
    assert unknown.fingerprint != explained.fingerprint


STACK_TEXT = """Traceback (most recent call last):
  File "/srv/shop/pay.py", line 12, in pay
    client.post(order)
  File "/srv/.venv/lib/python3.12/site-packages/httpx/_client.py", line 99, in post
    raise ConnectError(message)
httpx.ConnectError: no route to host
"""


async def test_frames_of_a_stack_text_say_whether_they_are_of_the_application(monitor: Monitor) -> None:
    (result,) = await monitor.report(pb.ErrorReport(exceptions=[pb.ExceptionReport(stack_text=STACK_TEXT)]))
    accepted = result.accepted

    async def answers() -> list[pb.ErrorEvent]:
        one = await monitor.errors.GetEvent(pb.GetEventRequest(event_id=accepted.event_id))
        listed = await monitor.errors.ListEvents(pb.ListEventsRequest(issue_id=accepted.issue_id))
        issue = await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=accepted.issue_id))
        return [one.event, listed.events[0], issue.latest_event]

    def said(event: pb.ErrorEvent) -> list[tuple[str, bool]]:
        return [(frame.function, frame.in_app) for frame in event.report.exceptions[0].frames if frame.HasField("in_app")]

    assert [said(event) for event in await answers()] == [[("pay", True), ("post", False)]] * 3
    rules = project_pb2.ProjectOptions(in_app=["-/srv/shop", "site-packages/httpx"])
    await monitor.projects.UpdateProject(project_pb2.UpdateProjectRequest(name="default", options=rules))
    assert [said(event) for event in await answers()] == [[("pay", False), ("post", True)]] * 3


async def test_a_repeat_is_answered_with_the_issue_that_the_first_went_to_and_never_as_new(monitor: Monitor) -> None:
    first = report("KeyError", event_id=uuid.uuid4().hex)
    results = await monitor.report(first, report("ValueError"))
    (again,) = await monitor.report(first)
    assert (results[0].accepted.new_issue, again.accepted.new_issue, again.accepted.repeated) == (True, False, True)
    old, kept = (each.accepted.issue_id for each in results)
    await monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=[old, kept], into_issue_id=kept))
    (later,) = await monitor.report(first)
    assert (later.accepted.issue_id, later.accepted.new_issue, later.accepted.repeated) == (kept, False, True)


async def test_what_is_unknown_is_not_found(monitor: Monitor) -> None:
    calls = [
        monitor.errors.GetIssue(pb.GetIssueRequest(issue_id="999")),
        monitor.errors.GetIssue(pb.GetIssueRequest(issue_id="nonsense")),
        monitor.errors.GetEvent(pb.GetEventRequest(event_id="0" * 32)),
        monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id="999", reopen=pb.Reopen())),
        monitor.errors.MergeIssues(pb.MergeIssuesRequest(issue_ids=["998", "999"])),
    ]
    for call in calls:
        assert (await refused(call)).code() == grpc.StatusCode.NOT_FOUND
