"""What goes wrong in the shop of the demo, on purpose, and what monitor makes of it: each fault one issue, with the right count."""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from opentelemetry import trace
from souk.client import (
    JSON,
    CacheClient,
    Circumstances,
    DbClient,
    ImagingClient,
    InternalError,
    InvalidArgumentError,
    MonitorClient,
    MonitorHandler,
    MonitorReporter,
    ReportOptions,
    SoukError,
)
from souk.monitor.v1 import error_pb2 as pb

from souk_cli.db_connection import connect
from souk_cli.demo_checks import Checks
from souk_cli.demo_shop import page_key
from souk_cli.display import err, out
from souk_cli.errors_list import issues_table

SHOP, RELEASE = "demo-shop", "demo-shop@1.0.0"
BROWSERS, PHOTOS, BUYERS, SHOPPERS = 6, 5, 4, 6
"""Whom each fault befalls."""
ARRIVAL = 30.0
"""Seconds that what was reported may take to be there."""
PATIENCE = 0.3
"""Seconds that a shopper gives the cache."""
_TRIGGER = """
CREATE FUNCTION shop.score_order() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN ASSERT NEW.buyer_id < 0, 'no score of the buyer'; RETURN NEW; END $$;
CREATE TRIGGER score_order BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.score_order()
"""
"""A deploy that nobody tested: what it takes to be sure is not so."""
_MEND = "DROP FUNCTION shop.score_order() CASCADE"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the services are that get into trouble."""

    imaging: str
    cache: str
    cache_pid: int
    dbopt: str
    owner_dsn: str
    monitor: str
    dashboard: str
    """The URL of its first page."""
    sentry_dsn: str


@dataclass(frozen=True, slots=True)
class Expected:
    """One issue that there must be."""

    type: str
    service: str
    events: int
    what: str


EXPECTED = (
    Expected("TypeError", "storefront", BROWSERS, "browsers with two builds of a page failed in one place"),
    Expected("InvalidArgumentError", SHOP, PHOTOS, "files that are no photos were refused"),
    Expected("InternalError", SHOP, BUYERS, "checkouts failed on a trigger whose assertion fails"),
    Expected("InternalError", "souk-dbopt", BUYERS, "of these dbopt reported, too, with the ids that the shop was given"),
    Expected("DeadlineExceededError", SHOP, SHOPPERS, "shoppers gave up on a cache that stood still"),
)


async def errors(places: Places, checks: Checks) -> None:
    """Let things go wrong, show the issues that monitor made of it, and check them."""
    options = ReportOptions(service=SHOP, release=RELEASE, environment="demo", in_app=("souk_cli", "-souk"))
    with err.status("Things go wrong …"):
        reporter = MonitorReporter(places.monitor, options=options)
        try:
            await _browsers_fail(places.sentry_dsn)
            await _photos_are_garbage(places.imaging, reporter)
            error_ids = await _checkout_breaks(places, reporter)
            await _cache_stands_still(places, reporter, SHOPPERS)
            await asyncio.to_thread(reporter.flush, ARRIVAL)
        finally:
            await asyncio.to_thread(reporter.close)
        checks.add(f"{reporter.counts.dropped} reports were dropped", reporter.counts.dropped == 0, "no report was dropped")
        async with MonitorClient(places.monitor, options=options) as client:
            found = await _arrived(client)
    out.print(f"\n{sum(issue.events for issue in found)} errors, and what they come from:\n", soft_wrap=True)
    out.print(issues_table(found))
    async with MonitorClient(places.monitor, options=options) as client:
        _check_issues(checks, found)
        await _check_dashboard(checks, places.dashboard, found)
        await _check_error_ids(checks, client, error_ids)
        await _check_regression(checks, client, found)


async def _browsers_fail(dsn: str) -> None:
    """The storefront's script, in browsers with two builds of it, as Sentry's SDK for JavaScript tells of it."""
    parts = urlsplit(dsn)
    url = f"{parts.scheme}://{parts.hostname}:{parts.port}/api{parts.path}/envelope/"
    headers = {"x-sentry-auth": f"Sentry sentry_version=7, sentry_key={parts.username}"}
    async with httpx.AsyncClient(timeout=30.0, headers=headers) as http:
        for number in range(BROWSERS):
            event = _script_error(number)
            body = "\n".join(map(json.dumps, ({"event_id": event["event_id"]}, {"type": "event"}, event)))
            answer = await http.post(url, content=body)
            answer.raise_for_status()


def _script_error(number: int) -> dict[str, Any]:
    bundle, line = (("checkout.4f1d2c3b.js", 1), ("checkout.9a8b7c6d.js", 3))[number % 2]
    url = f"https://shop.example/assets/{bundle}"
    calls = enumerate(("onClick", "submitOrder", "readSeller"), line)
    frames = [{"filename": url, "function": name, "lineno": at, "colno": 41, "in_app": True} for at, name in calls]
    value = "Cannot read properties of undefined (reading 'seller')"
    return {
        "event_id": uuid.uuid4().hex,
        "timestamp": datetime.now(UTC).isoformat(),
        "platform": "javascript",
        "release": "storefront@2.3.1",
        "environment": "demo",
        "tags": {"service": "storefront"},
        "user": {"id": f"shopper-{number}"},
        "exception": {"values": [{"type": "TypeError", "value": value, "stacktrace": {"frames": frames}}]},
    }


async def _photos_are_garbage(address: str, reporter: MonitorReporter) -> None:
    """Sellers upload files that are no photos; the shop logs it."""
    logger = logging.getLogger("shop.listings")
    logger.propagate = False
    handler = MonitorHandler(reporter)
    logger.addHandler(handler)
    async with ImagingClient(address) as imaging:
        for number in range(PHOTOS):
            try:
                await imaging.upload(f"listing {number}".encode() * 50, owner=f"seller-{number}")
            except InvalidArgumentError:
                logger.exception("the photo of listing %s was refused", number)
    logger.removeHandler(handler)


async def _checkout_breaks(places: Places, reporter: MonitorReporter) -> list[str]:
    """Buyers order while a trigger fails; the error ids that the shop was given."""
    owner = await connect(places.owner_dsn)
    try:
        await owner.execute(_TRIGGER)
        async with DbClient(places.dbopt) as db:
            (product,) = (await db.list_products(in_stock=True, page_size=1)).products
            given = []
            for buyer in range(1, BUYERS + 1):
                with trace.use_span(_traced()):
                    given.append(await _check_out(db, buyer, product.product_id, reporter))
        await owner.execute(_MEND)
    finally:
        await owner.close()
    return given


def _traced() -> trace.Span:
    """A span of the shop, as a program with OpenTelemetry has it; what the shop asks meanwhile is of its trace."""
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    ids = trace.SpanContext(secrets.randbits(128), secrets.randbits(64), is_remote=False, trace_flags=flags)
    return trace.NonRecordingSpan(ids)


async def _check_out(db: DbClient, buyer: int, product: int, reporter: MonitorReporter) -> str:
    try:
        await db.place_order(buyer, {product: 1})
    except InternalError as error:
        circumstances = Circumstances(transaction="POST /checkout", user=pb.ReportedUser(id=f"buyer-{buyer}"))
        reporter.report(error, circumstances)
        return error.error_id
    return ""


async def _cache_stands_still(places: Places, reporter: MonitorReporter, shoppers: int) -> None:
    async with CacheClient(places.cache) as cache:
        await cache.namespace("product", JSON).get(page_key("1"))
        with _frozen(places.cache_pid):
            await asyncio.gather(*(_look(cache, number, reporter) for number in range(shoppers)))
        await cache.namespace("product", JSON).get(page_key("1"))  # it goes on


async def _look(cache: CacheClient, number: int, reporter: MonitorReporter) -> None:
    circumstances = Circumstances(transaction="GET /product", user=pb.ReportedUser(id=f"shopper-{number}"))
    try:
        await cache.namespace("product", JSON).get(page_key(str(number)), timeout=PATIENCE)
    except SoukError as error:
        reporter.report(error, circumstances)


@contextlib.contextmanager
def _frozen(pid: int) -> Iterator[None]:
    """A process that stands still while the body runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def _arrived(client: MonitorClient) -> list[pb.Issue]:
    """The issues, once all that was reported is there, or is not after ARRIVAL."""
    wanted = sum(each.events for each in EXPECTED)
    until = time.monotonic() + ARRIVAL
    while True:
        found = [issue async for issue in client.issues(order=pb.ISSUE_ORDER_EVENTS)]
        complete = sum(issue.events for issue in found) >= wanted and all(issue.services for issue in found)
        if complete or time.monotonic() > until:
            return found
        await asyncio.sleep(0.2)


def _check_issues(checks: Checks, found: Iterable[pb.Issue]) -> None:
    counted = sorted((issue.type, *issue.services, issue.events) for issue in found)
    for each in EXPECTED:
        right = counted.count((each.type, each.service, each.events)) == 1
        checks.add(f"{each.events} {each.what}: one issue", right)
    others = [issue for issue in counted if issue not in {(each.type, each.service, each.events) for each in EXPECTED}]
    checks.add(f"{others} are issues that nobody expected" if others else "there is no other issue", not others)


async def _check_dashboard(checks: Checks, url: str, found: Iterable[pb.Issue]) -> None:
    """Each issue is on the page of issues, and has a page of its own."""
    async with httpx.AsyncClient(base_url=url, timeout=30.0) as http:
        listed = (await http.get("issues")).text
        for issue in found:
            page = await http.get(f"issues/{issue.short_id}")
            shown = page.status_code == 200 and issue.short_id in page.text and issue.short_id in listed
            checks.add(f"the dashboard does not show {issue.short_id}", shown, "issues are shown by the dashboard")


async def _check_error_ids(checks: Checks, client: MonitorClient, error_ids: list[str]) -> None:
    """Of each id that the shop was given, its own report and that of dbopt, with its stack, are found, and by their trace, too."""
    for error_id in error_ids:
        events = [event async for event in client.events(error_id=error_id)] if error_id else []
        services = sorted(event.report.service for event in events)
        stacks = all(event.report.exceptions and event.report.exceptions[-1].frames for event in events)
        checks.add(
            f"error id {error_id!r} finds {services}",
            services == [SHOP, "souk-dbopt"] and stacks,
            "error ids find the report of the shop and the stack in dbopt",
        )
        traces = {event.report.trace_id for event in events}
        found = [event.report.service for trace_id in traces async for event in client.events(trace_id=trace_id)]
        checks.add(
            f"the traces {traces} of error id {error_id!r} find {found}",
            len(traces) == 1 and sorted(found) == services,
            "the shop and dbopt told of each in one trace",
        )


async def _check_regression(checks: Checks, client: MonitorClient, found: list[pb.Issue]) -> None:
    """What is resolved and comes again is told."""
    name = next((issue.short_id for issue in found if issue.type == "InternalError"), "")
    if not name:
        return
    await client.resolve(name, comment="the trigger is gone", actor="souk demo")
    newest = (await client.get_issue(name)).latest_event.report
    newest.ClearField("event_id")
    newest.time.FromNanoseconds(time.time_ns())
    await client.report_all([newest])
    issue = (await client.get_issue(name)).issue
    checks.add(f"{name} was resolved, came again, and is a regression", issue.state == pb.ISSUE_STATE_REGRESSED)
