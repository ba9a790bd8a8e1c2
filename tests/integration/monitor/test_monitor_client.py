"""The typed client of monitor, its reporter and its handler, against the real service."""

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest
from certificates import Certificates, new_authority
from monitor_serving import Monitor, report, serving
from object_stores import free_port
from souk.client import (
    AlreadyExistsError,
    Circumstances,
    ClientConfig,
    FailedPreconditionError,
    MonitorClient,
    MonitorHandler,
    MonitorReporter,
    NotFoundError,
    QueueOptions,
    ReportOptions,
    UnavailableError,
    accepted,
)
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2

QUICK = QueueOptions(delay=0.01, backoff=0.02, max_backoff=0.05)


@pytest.fixture
async def client(monitor: Monitor) -> AsyncIterator[MonitorClient]:
    async with MonitorClient(monitor.server.addresses.grpc, options=ReportOptions(service="checkout")) as client:
        yield client


@pytest.fixture
def reporter(monitor: Monitor) -> Iterator[MonitorReporter]:
    made = MonitorReporter(monitor.server.addresses.grpc, options=ReportOptions(service="checkout"), queue=QUICK)
    yield made
    made.close(timeout=0)


async def sent(reporter: MonitorReporter) -> bool:
    """Whether all was sent: from a thread, because the server is in this one."""
    return await asyncio.to_thread(reporter.flush, 20.0)


@contextlib.contextmanager
def reporting(name: str, reporter: MonitorReporter) -> Iterator[logging.Logger]:
    """A logger whose records are reported."""
    logger, handler = logging.getLogger(name), MonitorHandler(reporter)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


def fail(order: int) -> None:
    raise ValueError(f"order {order} has no seller")


def raised(order: int) -> ValueError:
    try:
        fail(order)
    except ValueError as error:
        return error
    raise AssertionError


async def test_exceptions_of_one_place_are_one_issue_with_their_stack(client: MonitorClient) -> None:
    first = await client.report(raised(17), Circumstances(handled=False, user=pb.ReportedUser(id="7")))
    second = await client.report(raised(18))
    assert (first.issue_id, first.new_issue, second.new_issue) == (second.issue_id, True, False)
    found = await client.get_issue(first.issue_id)
    assert (found.issue.events, found.issue.type) == (2, "ValueError")
    event = (await client.get_event(first.event_id)).event
    assert (event.report.exceptions[0].frames[-1].function, event.report.service) == ("fail", "checkout")
    assert [each.report.event_id async for each in client.events(first.issue_id, page_size=1)] == [
        second.event_id,
        first.event_id,
    ]


async def test_issues_are_listed_through_all_pages_and_changed(client: MonitorClient) -> None:
    stored = [accepted(each) for each in await client.report_all([report(f"Kind{number}Error") for number in range(5)])]
    listed = [issue async for issue in client.issues(page_size=2, order=pb.ISSUE_ORDER_FIRST_SEEN)]
    assert {issue.issue_id for issue in listed} == {each.issue_id for each in stored}
    name = listed[0].short_id
    assert (await client.acknowledge(name, assignee="ada")).assignee == "ada"
    assert (await client.resolve(name, in_release="2.0")).resolved_in_release == "2.0"
    ignored = await client.ignore(name, until=timedelta(hours=1), comment="known", actor="bob")
    assert (ignored.state, ignored.assignee) == (pb.ISSUE_STATE_IGNORED, "ada")
    reopened = await client.reopen(name)
    assert reopened.state == pb.ISSUE_STATE_OPEN
    with pytest.raises(FailedPreconditionError, match="revision"):
        await client.resolve(name, revision=reopened.revision - 1)
    with pytest.raises(NotFoundError):
        await client.get_issue("SHOP-99999")
    assert [each.actor for each in (await client.get_issue(name)).activity if each.text == "known"] == ["bob"]


async def test_issues_are_merged_split_and_explained(client: MonitorClient) -> None:
    one, two = [accepted(each) for each in await client.report_all([report("OneError"), report("TwoError")])]
    merged = await client.merge_issues([one.issue_id, two.issue_id], into=one.issue_id)
    assert (merged.issue_id, merged.events) == (one.issue_id, 2)
    explained = await client.explain_grouping(two.event_id)
    assert explained.issue_id == one.issue_id
    parts = await client.split_issue(merged.issue_id, [explained.fingerprint])
    assert (parts.issue.events, parts.new_issue.events) == (1, 1)
    assert (await client.explain_grouping(report=report("TwoError"))).issue_id == parts.new_issue.issue_id


async def test_batches_of_a_stream_are_answered_in_order(client: MonitorClient) -> None:
    async def batches() -> AsyncIterator[list[pb.ErrorReport]]:
        for number in range(3):
            yield [report(f"Kind{number}Error"), report("ThatError")]

    answers = [answer async for answer in client.report_stream(batches())]
    assert [len(answer) for answer in answers] == [2, 2, 2]
    assert len({accepted(answer[1]).issue_id for answer in answers}) == 1


async def test_a_watch_tells_of_new_issues_and_goes_on_where_it_was(client: MonitorClient) -> None:
    async with aclosing(client.watch_issues(timeout=30)) as changes:
        first = asyncio.ensure_future(anext(changes))
        while not first.done():  # a watch begins when it has reached the server
            await client.report_all([report("OneError")])
            await asyncio.sleep(0.01)
        seen = await first
    await client.report_all([report("TwoError")])
    async with aclosing(client.watch_issues(resume_token=seen.resume_token, timeout=30)) as changes:
        async for change in changes:
            if change.issue.type == "TwoError":
                assert change.change == pb.ISSUE_CHANGE_NEW
                break


async def test_projects_and_keys_are_made_changed_and_ended(client: MonitorClient) -> None:
    made = await client.create_project("shop", project_pb2.ProjectOptions(in_app=["shop"]))
    with pytest.raises(AlreadyExistsError):
        await client.create_project("shop")
    key = await client.create_project_key("shop", "phones")
    revoked = await client.revoke_project_key("shop", made.keys[0].public_key)
    assert revoked.HasField("revoke_time")
    now = await client.get_project("shop")
    assert [each.public_key for each in now.keys if not each.HasField("revoke_time")] == [key.public_key]
    assert (await client.update_project("shop", disabled=True)).options.in_app == ["shop"]
    assert "shop" in [project.name async for project in client.projects(page_size=1)]
    with pytest.raises(NotFoundError):
        await client.report_all([report()], project="shop")


async def test_a_user_is_erased(client: MonitorClient) -> None:
    stored = await client.report(raised(17), Circumstances(user=pb.ReportedUser(id="user-7")))
    running = await client.erase_user("user-7")
    assert sum((await running.result(timeout=30)).values()) >= 1
    assert (await client.get_event(stored.event_id)).event.report.user.id == ""
    numbers = await client.error_report()
    assert numbers.events == 1


async def test_what_is_reported_beside_the_program_arrives(client: MonitorClient, reporter: MonitorReporter) -> None:
    event_id = reporter.report(raised(17), Circumstances(tags={"job": "payout"}))
    assert await sent(reporter)
    assert dict((await client.get_event(event_id)).event.report.tags) == {"job": "payout"}
    assert (reporter.counts.sent, reporter.counts.dropped, reporter.counts.refused) == (1, 0, 0)


async def test_what_leaves_a_captured_body_is_reported_and_goes_on(client: MonitorClient, reporter: MonitorReporter) -> None:
    with pytest.raises(ValueError, match="17"), reporter.capture() as seen:
        fail(17)
    async with reporter.capture(suppress=True, handled=True, transaction="payout") as second:
        fail(18)
    with reporter.capture() as quiet:
        pass
    with pytest.raises(asyncio.CancelledError):
        async with reporter.capture() as cancelled:
            raise asyncio.CancelledError
    assert (quiet.event_id, cancelled.event_id) == ("", "")
    assert await sent(reporter)
    first = (await client.get_event(seen.event_id)).event.report
    assert (first.exceptions[0].handled, first.exceptions[0].mechanism) == (False, "capture")
    other = (await client.get_event(second.event_id)).event.report
    assert (other.exceptions[0].handled, other.transaction) == (True, "payout")


async def test_logged_errors_are_reported_and_what_is_less_is_not(client: MonitorClient, reporter: MonitorReporter) -> None:
    with reporting("shop.orders", reporter) as logger:
        try:
            fail(17)
        except ValueError:
            logger.exception("order %s failed", 17)
        logger.warning("slow")
        logger.error("no seller for order %s", 18)
    with reporting("grpc._channel", reporter) as own:
        own.error("the monitor does not answer")
    assert await sent(reporter)
    titles = sorted([issue.title async for issue in client.issues()])
    assert (len(titles), reporter.counts.sent) == (2, 2), titles
    assert titles[0].startswith("ValueError: order")
    assert "no seller for order" in titles[1]


async def test_reports_wait_for_a_monitor_that_is_not_there_yet(dsn: str) -> None:
    port = free_port()
    reporter = MonitorReporter(f"127.0.0.1:{port}", config=ClientConfig(max_backoff=0.05, timeout=5), queue=QUICK)
    try:
        event_id = reporter.report(raised(17))
        assert not await asyncio.to_thread(reporter.flush, 0.2)
        async with serving(dsn, port=port) as monitor, MonitorClient(monitor.server.addresses.grpc) as client:
            assert await sent(reporter)
            assert (await client.get_event(event_id)).event.report.event_id == event_id
    finally:
        await asyncio.to_thread(reporter.close, 0)
    assert reporter.counts.dropped == 0


PROGRAM = """
import logging, sys
from souk.client import MonitorHandler, MonitorReporter, QueueOptions

reporter = MonitorReporter(sys.argv[1], queue=QueueOptions(delay=60, flush_at_exit=float(sys.argv[2])))
logging.getLogger().addHandler(MonitorHandler(reporter))
logging.error("the last words")
"""


async def ends(*arguments: str) -> int:
    """The exit status of a program that logs an error and ends."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *arguments)
    return await process.wait()


async def test_a_program_that_ends_sends_what_waits_and_is_not_held_up_where_nobody_answers(client: MonitorClient) -> None:
    assert await ends(client._config.target, "20") == 0
    assert [issue.title async for issue in client.issues()] == ["the last words"]
    async with asyncio.timeout(20):
        assert await ends(f"127.0.0.1:{free_port()}", "0.1") == 0


async def test_more_reports_than_may_wait_are_dropped_and_counted_and_nobody_waits() -> None:
    reporter = MonitorReporter(f"127.0.0.1:{free_port()}", queue=QueueOptions(reports=10, delay=5))
    with reporting("shop", reporter) as logger:
        for number in range(25):
            logger.error("order %s", number)
    assert reporter.counts.dropped == 15
    await asyncio.to_thread(reporter.close, 0)
    assert reporter.counts.dropped == 25
    assert reporter.report(raised(1)) == ""
    assert threading.active_count() < 50


async def test_what_the_service_refuses_for_good_is_counted_and_not_sent_again(monitor: Monitor) -> None:
    reporter = MonitorReporter(monitor.server.addresses.grpc, project="nowhere", queue=QUICK)
    reporter.report(raised(17))
    assert await sent(reporter)
    assert (reporter.counts.refused, reporter.counts.sent) == (1, 0)
    await asyncio.to_thread(reporter.close)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the client's own logger says."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("souk.client")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


@contextlib.asynccontextmanager
async def over_tls(dsn: str, folder: Path) -> AsyncIterator[tuple[str, Certificates]]:
    """The address of a monitor that speaks TLS with a certificate of an authority of its own, and that authority."""
    authority = new_authority(folder / "authority")
    certificate, key = authority.issue("127.0.0.1")
    async with serving(dsn, tls_cert_file=certificate, tls_key_file=key) as node:
        yield node.server.addresses.grpc, authority


async def test_errors_are_reported_over_tls_with_an_authority_of_ones_own(dsn: str, tmp_path: Path) -> None:
    async with over_tls(dsn, tmp_path) as (target, authority):
        config = ClientConfig(target=target, tls_ca_file=authority.ca)
        reporter = MonitorReporter(config=config, queue=QUICK)
        async with MonitorClient(config=config) as client:
            by_client = await client.report(raised(17))
            by_reporter = reporter.report(raised(17))
            assert await sent(reporter)
            (issue,) = [issue async for issue in client.issues()]
            assert (issue.issue_id, issue.events) == (by_client.issue_id, 2)
            assert (await client.get_event(by_reporter)).issue.issue_id == issue.issue_id
        assert (reporter.counts.sent, reporter.problem) == (1, "")
        await asyncio.to_thread(reporter.close)


async def test_a_monitor_of_another_authority_is_told_of_nothing_and_why_and_nobody_waits(
    dsn: str, tmp_path: Path, told: list[str]
) -> None:
    stranger = new_authority(tmp_path / "stranger")
    async with over_tls(dsn, tmp_path) as (target, _):
        config = ClientConfig(target=target, tls_ca_file=stranger.ca, attempts=1, timeout=5)
        async with MonitorClient(config=config) as client:
            with pytest.raises(UnavailableError, match=r"(?i)certificate.?verify.?failed"):
                await client.report(raised(17))
        reporter = MonitorReporter(config=config, queue=QueueOptions(reports=10, delay=0.01, backoff=0.02, max_backoff=0.05))
        start = time.monotonic()
        for number in range(100):
            reporter.report(raised(number))
        assert time.monotonic() - start < 2.0
        async with asyncio.timeout(30):
            while "CERTIFICATE_VERIFY_FAILED" not in reporter.problem.replace(" ", "_").upper():
                await asyncio.sleep(0.02)
        assert not await asyncio.to_thread(reporter.flush, 0.2)
        await asyncio.to_thread(reporter.close, 0)
        assert reporter.counts.sent == 0
        assert reporter.counts.dropped == 100
        (line,) = told
        assert line.startswith(f"errors are not reported to monitor at {target}: UNAVAILABLE: ")


async def test_reports_wait_for_a_file_of_certificates_and_the_log_says_which(dsn: str, tmp_path: Path, told: list[str]) -> None:
    async with over_tls(dsn, tmp_path) as (target, authority):
        missing = tmp_path / "later.pem"
        config = ClientConfig(target=target, tls_ca_file=missing)
        with pytest.raises(FileNotFoundError, match=r"later\.pem"):
            MonitorClient(config=config)
        reporter = MonitorReporter(config=config, queue=QUICK)
        reporter.report(raised(17))
        async with asyncio.timeout(30):
            while str(missing) not in reporter.problem:
                await asyncio.sleep(0.02)
        missing.write_bytes(authority.ca.read_bytes())
        assert await sent(reporter)
        assert (reporter.counts.sent, reporter.problem) == (1, "")
        assert [str(missing) in line for line in told] == [True, False]
        await asyncio.to_thread(reporter.close)


async def test_a_token_that_is_not_known_is_told_where_reports_are_refused(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "auth.yaml").write_text("principals: []")
    async with serving(dsn, auth_file=tmp_path / "auth.yaml") as node:
        reporter = MonitorReporter(config=ClientConfig(target=node.server.addresses.grpc, token="wrong"), queue=QUICK)
        reporter.report(raised(17))
        assert await sent(reporter)
        assert (reporter.counts.refused, reporter.problem.partition(":")[0]) == (1, "UNAUTHENTICATED")
        await asyncio.to_thread(reporter.close)
