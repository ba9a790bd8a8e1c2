"""`souk errors` and `souk monitor`, as a user types them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import processes
import pytest
from postgres_servers import PostgresServer, postgres_server
from processes import ServiceProcess
from souk.client import MonitorClient
from souk.monitor.v1 import error_pb2 as pb
from souk_cli.__main__ import app
from souk_command import Result, souk, terminal
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
        migrated = await souk("monitor", "migrate", "--dsn", server.dsn())
        assert migrated.status == 0, migrated.err
        yield server


@pytest.fixture
async def service(server: PostgresServer, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    settings = {"dsn": server.dsn(user="souk_monitor"), "http_port": 0, "public_url": "https://monitor.example"}
    started = await processes.start_service("monitor", tmp_path, name="one", watch_interval=0.05, **settings)
    yield started
    await processes.stop(started)


async def test_a_schema_is_migrated_once(server: PostgresServer) -> None:
    again = await souk("monitor", "migrate", "--dsn", server.dsn())
    assert "The schema is up to date." in again.out
    assert (await souk("monitor", "migrate", "--dsn", server.dsn(), "--dry-run", "--json")).json() == {"pending": []}
    assert (await souk("monitor", "migrate", "--dsn", server.dsn(), "--role", "no role")).status == 2


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
    ],
)
def test_a_command_that_makes_no_sense_is_a_usage_error(wrong: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["errors", *wrong]).exit_code == 2


async def _keep_reporting(run) -> None:
    """A watch begins when it has reached the server."""
    while True:
        await run("errors", "report", "cache is cold", "--severity", "warning")
