"""What guards the dashboard in browsers: the names it answers to, and the headers of its answers."""

from collections.abc import AsyncIterator

import httpx
import pytest
from dashboards import Visit, visiting
from monitor_serving import Monitor, report, serving

FOREIGN = {"host": "evil.example:8080"}
PAGES = ("/", "/issues", "/issues/DEFAULT-1", "/issues/DEFAULT-1/grouping", "/events?issue=DEFAULT-1", "/projects", "/login")


@pytest.fixture
async def monitor(dsn: str) -> AsyncIterator[Monitor]:
    async with serving(dsn) as monitor:
        await monitor.report(report("KeyError"))
        yield monitor


@pytest.fixture
async def visit(monitor: Monitor) -> AsyncIterator[Visit]:
    async with visiting(monitor) as visit:
        yield visit


def check_headers(response: httpx.Response) -> None:
    headers = response.headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == ("'none'", "'none'", "'self'")
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"


async def test_every_answer_carries_what_guards_it_in_browsers(visit: Visit) -> None:
    for path in PAGES:
        response = await visit.client.get(path)
        assert response.headers["cache-control"] == "no-store", path
        check_headers(response)
    tags = (await visit.page("/issues")).tags
    files = [value for _, known in tags for name, value in known.items() if name in ("href", "src") and "/static/" in value]
    assert len(files) >= 3
    for path in files:
        response = await visit.client.get(path)
        check_headers(response)
        assert "immutable" in response.headers["cache-control"]
    for path in ("/nowhere", "/issues/DEFAULT-99", "/static/nothing.css"):
        response = await visit.client.get(path)
        assert response.status_code == 404
        check_headers(response)
    for path in ("/issues", "/login", "/nowhere"):
        response = await visit.client.put(path)
        assert response.status_code in (404, 405)
        check_headers(response)
    response = await visit.post("/issues/actions", [("action", "resolve")])
    assert response.status_code == 403
    check_headers(response)


async def test_on_loopback_no_name_of_others_is_answered_to(visit: Visit) -> None:
    for path in (*PAGES, "/live", "/nowhere"):
        response = await visit.client.get(path, headers=FOREIGN)
        assert (response.status_code, "set-cookie" in response.headers) == (421, False)
        assert "evil.example" in response.text
        assert "SOUK_MONITOR_ALLOWED_HOSTS" in response.text
        check_headers(response)
    assert (await visit.client.get("/issues", headers={"host": "localhost:8080"})).status_code == 200


async def test_sdks_report_by_whatever_name_they_know(visit: Visit) -> None:
    key = (await visit.page("/projects/default")).text.partition("http://")[2].partition("@")[0]
    event = {"exception": {"values": [{"type": "OSError", "value": "x"}]}}
    reported = await visit.client.post(f"/api/1/store/?sentry_key={key}", json=event, headers=FOREIGN)
    assert reported.status_code == 200


async def test_names_that_are_set_are_answered_to(dsn: str) -> None:
    told = {"allowed_hosts": ("monitor.example",), "public_url": "https://errors.example"}
    async with serving(dsn, **told) as monitor, visiting(monitor) as visit:
        for name, status in (("monitor.example", 200), ("errors.example", 200), ("evil.example", 421)):
            assert (await visit.client.get("/issues", headers={"host": name})).status_code == status


async def test_where_others_reach_the_port_any_name_is_answered_to(dsn: str) -> None:
    told = {"http_host": "0.0.0.0", "allow_plaintext": True}
    async with serving(dsn, **told) as monitor:
        port = monitor.server.addresses.http.rpartition(":")[2]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/issues", headers=FOREIGN)).status_code == 200
