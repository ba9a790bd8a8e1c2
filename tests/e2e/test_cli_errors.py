"""`souk errors` and `souk monitor`, as a user types them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import processes
import pytest
from postgres_servers import PostgresServer, postgres_server
from processes import ServiceProcess
from souk.client import MonitorClient
from souk.monitor.v1 import error_pb2 as pb
from souk_cli.__main__ import app
from souk_command import Result, souk, terminal
from souk_monitor.adapters import schema
from typer.testing import CliRunner

STACK = """Traceback (most recent call last):
  File "/srv/shop/checkout.py", line 41, in pay
    charge(order)
  File "/srv/shop/payments.py", line 12, in charge
    raise PaymentError("card was declined for order 17")
shop.payments.PaymentError: card was declined for order 17
"""


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    async with postgres_server() as server:
        owner = await asyncpg.connect(server.dsn())
        await schema.migrate(owner)
        await owner.close()
        yield server


@pytest.fixture
async def service(server: PostgresServer, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    settings = {"dsn": server.dsn(user="souk_monitor"), "http_port": 0, "public_url": "https://monitor.example"}
    started = await processes.start_service("monitor", tmp_path, name="one", watch_interval=0.05, **settings)
    yield started
    await processes.stop(started)


async def test_a_schema_is_migrated_once(tmp_path: Path) -> None:
    async with postgres_server() as server:
        migrate = ("monitor", "migrate", "--dsn", server.dsn())
        migrated = await souk(*migrate)
        assert migrated.status == 0, migrated.err
        started = await processes.start_service("monitor", tmp_path, name="one", dsn=server.dsn(user="souk_monitor"), http_port=0)
        await processes.stop(started)
        assert "The schema is up to date." in (await souk(*migrate)).out
        assert (await souk(*migrate, "--dry-run", "--json")).json() == {"pending": []}
        assert (await souk(*migrate, "--role", "no role")).status == 2


async def test_an_issue_is_shown_with_what_else_failed_in_its_trace(service: ServiceProcess) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"

    def report(kind: str, of: str, trace_id: str = trace) -> pb.ErrorReport:
        raised = pb.ExceptionReport(type=kind, value=f"{kind} of [{of}]\nand more")
        return pb.ErrorReport(platform="python", service=of, trace_id=trace_id, exceptions=[raised])

    reports = [report("OrderError", "shop"), report("StockError", "stock"), report("CardError", "bank", "ab" * 16)]
    async with MonitorClient(service.grpc) as client:
        await client.report_all(reports)
        names = {issue.type: issue.short_id async for issue in client.issues()}
    shown, _, others = (await souk("errors", "show", names["OrderError"], "--address", service.grpc)).out.partition("same trace")
    assert "StockError" not in shown
    assert "stock  StockError: StockError of [stock]  event" in others
    assert "CardError" not in others
    alone = await souk("errors", "show", names["CardError"], "--address", service.grpc)
    assert (alone.status, "same trace" in alone.out) == (0, False)


async def test_events_are_listed_by_issue_trace_and_error_id(service: ServiceProcess) -> None:
    async def run(*arguments: str) -> Result:
        return await souk("errors", *arguments, SOUK_MONITOR_ADDRESS=service.grpc)

    def report(number: int, **fields: str) -> pb.ErrorReport:
        raised = pb.ExceptionReport(type="OrderError", value=f"order [{number}]\nand more")
        user = pb.ReportedUser(id=f"user-{number}")
        return pb.ErrorReport(
            event_id=f"{number:032x}", platform="python", exceptions=[raised], service="shop", user=user, **fields
        )

    trace, error_id = "0af7651916cd43dd8448eb211c80319c", "00ff00ff00ff00ff"
    async with MonitorClient(service.grpc) as client:
        await client.report_all([report(1, trace_id=trace), report(2, error_id=error_id), report(3, release="shop@1.4")])
        (issue,) = [issue.short_id async for issue in client.issues()]
        await client.create_project("other")
        await client.report_all([report(4, trace_id=trace)], project="other")
    listed = (await run("events", issue, "-n", "2")).out
    for text in (f"{3:032x}", f"{2:032x}", "user-3", "shop@1.4", "OrderError: order [3]", "souk errors show EVENT"):
        assert text in listed
    assert f"{1:032x}" not in listed
    assert "and more" not in listed
    for arguments, found in (
        ((issue,), [3, 2, 1]),
        (("--trace", trace), [4, 1]),
        (("--error-id", error_id), [2]),
        ((issue, "--until", "1h"), []),
        ((issue, "--since", "1h"), [3, 2, 1]),
    ):
        events = (await run("events", *arguments, "--json")).json()
        assert [int(event["report"]["event_id"], 16) for event in events] == found, arguments
    assert "No event fits" in (await run("events", issue, "--until", "1h")).out
    unknown = await run("events", "SHOP-99")
    assert (unknown.status, "souk errors list" in unknown.err) == (1, True)


async def test_an_issue_is_shown_by_any_id_that_leads_to_it(service: ServiceProcess) -> None:
    async def shown(command: str, *arguments: str) -> Result:
        return await souk("errors", command, *arguments, "--address", service.grpc)

    def report(number: int, **fields: str) -> pb.ErrorReport:
        raised = pb.ExceptionReport(type="OrderError", value=f"order {number}")
        return pb.ErrorReport(event_id=f"{number:032x}", platform="python", exceptions=[raised], **fields)

    trace, error_id, other_id = "0af7651916cd43dd8448eb211c80319c", "00ff00ff00ff00ff", "cd" * 16
    async with MonitorClient(service.grpc) as client:
        await client.report_all([report(1, trace_id=trace), report(2, error_id=error_id), report(3, error_id=other_id), report(4)])
        await client.create_project("other")
        await client.report_all([report(5)], project="other")
        (issue,) = [issue async for issue in client.issues(project="default")]
    ids = {trace: 1, error_id.upper(): 2, other_id: 3, f"{4:032x}": 4, issue.short_id: 4, issue.issue_id: 4}
    for named, number in ids.items():
        assert f"OrderError: order {number}" in (await shown("show", named)).out, named
    for named in (error_id, issue.short_id):
        assert "✓ type" in (await shown("explain", named)).out, named
    assert "OTHER-1" in (await shown("show", f"{5:032x}")).out
    for unknown in (f"{6:032x}", "ab" * 8):
        result = await shown("show", unknown)
        assert (result.status, "EVENT_UNKNOWN" in result.err, "Bodies are thinned" in result.err) == (1, True, True), unknown
    assert "ISSUE_UNKNOWN" in (await shown("show", "1234567812345678")).err


async def test_an_id_that_several_projects_have_is_shown_and_explained_of_the_one_that_is_said(service: ServiceProcess) -> None:
    async def run(command: str, named: str, project: str) -> Result:
        return await souk("errors", command, named, "--project", project, "--json", "--address", service.grpc)

    event_id, trace, error_id = "ab" * 16, "0af7651916cd43dd8448eb211c80319c", "00ff00ff00ff00ff"
    kinds = {"default": "OneError", "other": "TwoError"}
    async with MonitorClient(service.grpc) as client:
        await client.create_project("other")
        for project, kind in kinds.items():
            raised = pb.ExceptionReport(type=kind, value="no")
            ids = {"event_id": event_id, "trace_id": trace, "error_id": error_id}
            await client.report_all([pb.ErrorReport(platform="python", exceptions=[raised], **ids)], project=project)
        issues = {issue.project: issue async for issue in client.issues()}
    for project, kind in kinds.items():
        for named in (event_id, trace, error_id, issues[project].short_id):
            assert ((await run("show", named, project)).json()["issue"]["type"], named) == (kind, named)
            explained = (await run("explain", named, project)).json()
            assert (explained["issue_id"], named) == (issues[project].issue_id, named)
    for command in ("show", "explain"):
        for named, reason in ((event_id, "EVENT_UNKNOWN"), (issues["other"].short_id, "ISSUE_UNKNOWN")):
            refused = await run(command, named, "third" if named == event_id else "default")
            assert (refused.status, refused.json()["error"]["reason"]) == (1, reason)


async def test_what_went_wrong_is_summed_up(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    for kind in ("OneError", "OneError", "TwoError"):
        await souk("errors", "report", "no", "--type", kind, "--service", "checkout", "--release", "shop@1.4", *where)
    async with asyncio.timeout(20):
        while "releases: shop@1.4 (3)" not in (shown := (await souk("errors", "summary", *where)).out):
            pass  # tags are counted every two seconds
    assert "3 events of 2 issues; 0 events in the time of that length before" in shown
    assert "2 new, 0 regressed, 0 resolved" in shown
    assert "services: checkout (3)" in shown
    assert "1 h each" in shown
    most, new = shown.partition("Most events")[2].split("New\n")
    assert most.index("OneError: no") < most.index("TwoError: no")
    assert "TwoError" in new
    assert (await souk("errors", "summary", "--limit", "1", "--json", *where)).json()["top_issues"][0]["events"] == "2"
    assert "0 events of 0 issues" in (await souk("errors", "summary", "--since", "7d", "--until", "2d", *where)).out
    assert "1 d each" in (await souk("errors", "summary", "--since", "7d", *where)).out
    unknown = await souk("errors", "summary", "--project", "nowhere", *where)
    assert (unknown.status, "souk monitor projects list" in unknown.err) == (1, True)


async def test_a_remark_is_kept_with_an_issue_and_its_state_stays(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    for kind in ("OneError", "TwoError"):
        await souk("errors", "report", "no", "--type", kind, *where)
    one, two = sorted(issue["short_id"] for issue in (await souk("errors", "list", "--json", *where)).json())
    assert f"{one} is open" in (await souk("errors", "comment", one, "-m", "as on Monday", *where)).out
    assert ": as on Monday" in (await souk("errors", "show", one, *where)).out
    await souk("errors", "merge", one, two, "-m", "one cause", *where)
    assert ": one cause" in (await souk("errors", "show", one, *where)).out
    fingerprint = (await souk("errors", "split", one, "--json", *where)).json()[0]["fingerprint"]
    parts = (await souk("errors", "split", one, fingerprint, "-m", "two after all", "--json", *where)).json()
    for part in parts:
        assert ": two after all" in (await souk("errors", "show", part["short_id"], *where)).out


async def test_an_issue_is_ignored_until_a_day(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    await souk("errors", "report", "no", *where)
    (issue,) = (await souk("errors", "list", "--json", *where)).json()
    for day, time in (("2126-12-24T18:00Z", "2126-12-24T18:00:00Z"), ("2126-12-24", "2126-12-23T22:00:00Z")):
        ignored = await souk("errors", "ignore", issue["short_id"], "--until", day, "--json", *where, TZ="Africa/Cairo")
        assert ignored.json()[0]["ignored_until"]["until_time"] == time


async def test_what_happens_in_one_service_is_followed_from_its_first_event(service: ServiceProcess) -> None:
    async def report(of: str, kind: str = "NoError") -> None:
        assert (await souk("errors", "report", "no", "--type", kind, "--service", of, "--address", service.grpc)).status == 0

    async def keep_reporting() -> None:
        while True:  # a watch begins when it has reached the server
            await report("checkout", "FirstError")

    await report("search")
    async with terminal("errors", "tail", "--service", "checkout", "--address", service.grpc) as watching:
        reporting = asyncio.create_task(keep_reporting())
        await watching.says("FirstError")
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        await report("search", "OtherError")
        await report("checkout", "LastError")
        await watching.says("LastError")
        assert "OtherError" not in watching.text


async def test_errors_are_reported_listed_shown_explained_and_changed(service: ServiceProcess, tmp_path: Path) -> None:
    async def run(*arguments: str | Path) -> Result:
        return await souk(*arguments, SOUK_MONITOR_ADDRESS=service.grpc, COLUMNS="160")

    assert "No issue fits" in (await run("errors", "list")).out
    stack = tmp_path / "stack.txt"
    stack.write_text(STACK)
    async with terminal("errors", "tail", "--address", service.grpc) as watching:
        reported = asyncio.create_task(_keep_reporting(run))
        await watching.says("cache is cold")
        reported.cancel()
        await asyncio.gather(reported, return_exceptions=True)
        first = await run("errors", "report", "--stack", stack, "--service", "checkout", "--tag", "card:visa", "--user", "7")
        assert "a new issue): PaymentError: card was declined for order 17" in first.out
        await watching.says("PaymentError: card was declined for order 17")
    found = {issue["type"]: issue for issue in (await run("errors", "list", "--json")).json() if "type" in issue}
    name = found["PaymentError"]["short_id"]

    table = await run("errors", "list", "declined", "--severity", "error", "--category", "payment", "--order", "events")
    assert (table.status, name in table.out, "cache is cold" in table.out) == (0, True, False)
    shown = (await run("errors", "show", name)).out
    for text in ("charge  /srv/shop/payments.py:12", 'raise PaymentError("card was declined for order 17")', "payment", "→ "):
        assert text in shown, shown
    assert (await run("errors", "show", name, "--json")).json()["latest_event"]["report"]["user"] == {"id": "7"}
    explained = await run("errors", "explain", name)
    assert all(text in explained.out for text in ("Grouped by its stack", "✓ frame", "charge")), explained.out

    assert "(ada)" in (await run("errors", "assign", name, "--to", "ada")).out
    assert "is acknowledged (ada)" in (await run("errors", "acknowledge", name)).out
    assert "is resolved" in (await run("errors", "resolve", name, "--release", "2.0", "-m", "a new bank")).out
    assert "a new bank" in (await run("errors", "show", name)).out
    assert "is open" in (await run("errors", "reopen", name)).out
    assert "is ignored" in (await run("errors", "ignore", name, "--for", "6h", "--events", "10")).out
    ignored = (await run("errors", "list", "--state", "ignored", "--json")).json()
    assert [issue["short_id"] for issue in ignored] == [name]


async def test_issues_are_merged_and_split(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    for kind in ("OneError", "TwoError"):
        assert (await souk("errors", "report", "no", "--type", kind, *where)).status == 0
    one, two = sorted(issue["short_id"] for issue in (await souk("errors", "list", "--json", *where)).json())
    (merged,) = (await souk("errors", "merge", one, two, "--json", *where)).json()
    assert (merged["short_id"], merged["events"]) == (one, "2")
    listed = await souk("errors", "split", one, *where)
    fingerprints = [line.split()[0] for line in listed.out.splitlines()]
    assert len(fingerprints) == 2
    parts = (await souk("errors", "split", one, fingerprints[0], "--json", *where)).json()
    assert [part["events"] for part in parts] == ["1", "1"]


async def test_projects_and_keys_are_made_and_ended(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    assert "shop" in (await souk("monitor", "projects", "create", "shop", "--in-app", "shop", *where)).out
    key = (await souk("monitor", "keys", "create", "shop", "--label", "phones", "--json", *where)).json()[0]
    assert key["dsn"] == f"https://{key['public_key']}@monitor.example/2"
    await souk("monitor", "keys", "revoke", "shop", key["public_key"], *where)
    assert "revoked" in (await souk("monitor", "keys", "list", "shop", *where)).out
    await souk("monitor", "projects", "disable", "shop", *where)
    refused = await souk("errors", "report", "no", "--project", "shop", *where)
    assert (refused.status, "souk monitor projects list" in refused.err) == (1, True)
    await souk("monitor", "projects", "enable", "shop", *where)
    assert (await souk("errors", "report", "no", "--project", "shop", *where)).status == 0
    assert "shop" in (await souk("monitor", "projects", "list", *where)).out


async def test_a_project_is_made_with_any_of_its_options(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    options = {
        "--events-per-minute": "600", "--new-issues-per-hour": "2000", "--in-app": "shop", "--sensitive-field": "iban",
        "--retention": "14d", "--allowed-origin": "https://shop.example", "--default-service": "web",
    }  # fmt: skip
    said = [each for option in options.items() for each in option]
    flags = ("--keep-emails", "--keep-ip-addresses", "--in-app", "-shop.vendored")
    made = (await souk("monitor", "projects", "create", "shop", *said, *flags, "--json", *where)).json()["options"]
    assert made == {
        "events_per_minute": "600",
        "new_issues_per_hour": "2000",
        "in_app": ["shop", "-shop.vendored"],
        "sensitive_fields": ["iban"],
        "keep_emails": True,
        "keep_ip_addresses": True,
        "retention": "1209600s",
        "allowed_origins": ["https://shop.example"],
        "default_service": "web",
    }


async def test_options_of_a_project_are_changed_one_by_one(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    options = ("--sensitive-field", "iban", "--retention", "14d", "--keep-emails", "--new-issues-per-hour", "2000")
    await souk("monitor", "projects", "create", "shop", "--in-app", "shop", *where)
    await souk("monitor", "projects", "set", "shop", *options, *where)
    shown = (await souk("monitor", "projects", "set", "shop", "--events-per-minute", "600", "--reset", "keep-emails", *where)).out
    assert [line.split(maxsplit=1)[1].strip() for line in shown.splitlines()] == [
        "600", "shop", "iban", *["as new projects have it"] * 2, "14 days", *["as new projects have it"] * 2, "2,000"
    ]  # fmt: skip
    changed = (await souk("monitor", "projects", "set", "shop", "--json", *where)).json()["options"]
    assert (changed.pop("events_per_minute"), changed.pop("new_issues_per_hour")) == ("600", "2000")
    assert changed == {"in_app": ["shop"], "sensitive_fields": ["iban"], "retention": "1209600s"}
    for wrong in (("--reset", "colour"), ("--keep-emails", "--reset", "keep-emails"), ("--retention", "long")):
        assert (await souk("monitor", "projects", "set", "shop", *wrong, *where)).status == 2


async def test_a_user_is_erased(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    await souk("errors", "report", "no basket", "--user", "user-4711", *where)
    assert "1 events were rewritten" in (await souk("errors", "erase-user", "user-4711", *where)).out
    assert (await souk("errors", "erase-user", "user-4711", "--json", *where)).json()["bodies"] == 0


async def test_an_issue_that_is_not_there_is_told_with_what_to_do(service: ServiceProcess) -> None:
    where = ("--address", service.grpc)
    unknown = await souk("errors", "show", "SHOP-99", *where)
    assert (unknown.status, "souk errors list" in unknown.err) == (1, True)
    assert (await souk("errors", "show", "SHOP-99", "--json", *where)).json()["error"]["reason"] == "ISSUE_UNKNOWN"


@pytest.mark.parametrize(
    "wrong",
    [
        ("report",),
        ("report", "x", "--tag", "no-colon"),
        ("report", "--stack", "/nowhere"),
        ("list", "--category", "nonsense"),
        ("list", "--since", "tomorrow"),
        ("assign", "A-1"),
        ("ignore", "A-1", "--for", "long"),
        ("resolve", "A-1", "--release", "1", "--next-release"),
        ("ignore", "A-1", "--until", "tomorrow"),
        ("ignore", "A-1", "--until", "2001-01-01"),
        ("ignore", "A-1", "--until", "0001-01-01"),
        ("ignore", "A-1", "--until", "2126-12-24", "--for", "6h"),
        ("comment", "A-1"),
        ("split", "A-1", "-m", "why"),
        ("comment", "A-1", "-m", " "),
        ("events",),
        ("events", "A-1", "--trace", "ab" * 16),
        ("events", "A-1", "--until", "yesterday"),
        ("summary", "--since", "yesterday"),
        ("summary", "--until", "yesterday"),
    ],
)
def test_a_command_that_makes_no_sense_is_a_usage_error(wrong: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["errors", *wrong]).exit_code == 2


async def _keep_reporting(run) -> None:
    """A watch begins when it has reached the server."""
    while True:
        await run("errors", "report", "cache is cold", "--severity", "warning")
