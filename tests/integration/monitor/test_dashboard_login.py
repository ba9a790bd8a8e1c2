"""Who may look at the dashboard where auth is on, and what a session is worth."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from dashboards import Reader, Visit, visiting
from monitor_serving import Monitor, serving
from souk_common.auth import new_token
from souk_monitor.web.dashboard.sessions import COOKIE

TOKENS = {name: new_token() for name in ("ada", "reader", "admin", "reporter")}
SCOPES = {
    "ada": ["monitor.read", "monitor.write", "monitor.report"],
    "reader": ["monitor.read"],
    "admin": ["monitor.read", "monitor.admin"],
    "reporter": ["monitor.report"],
}


def write(path: Path, *names: str) -> None:
    entries = [{"name": name, "scopes": SCOPES[name], "token_sha256": [TOKENS[name][1]]} for name in names]
    path.write_text(yaml.safe_dump({"principals": entries}))


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    path = tmp_path / "auth.yaml"
    write(path, *SCOPES)
    return path


@pytest.fixture
async def monitor(dsn: str, auth_file: Path) -> AsyncIterator[Monitor]:
    async with serving(dsn, auth_file=auth_file, auth_reload_interval=0.01) as monitor:
        yield monitor


@pytest.fixture
async def visit(monitor: Monitor) -> AsyncIterator[Visit]:
    async with visiting(monitor) as visit:
        yield visit


async def log_in(visit: Visit, name: str, path: str = "/login") -> int:
    form = (await visit.page(path)).form("/login")
    return (await visit.send(form, ("token", TOKENS[name][0]))).status_code


async def test_nothing_is_seen_without_a_session(visit: Visit) -> None:
    for path in ("/", "/issues", "/issues/1", "/issues/1/grouping", "/events?issue=1", "/projects", "/live"):
        response = await visit.client.get(path)
        assert (response.status_code, response.text) == (303, "")
        assert response.headers["location"].startswith("/login?next=")


async def test_a_token_opens_a_session_and_leads_back_to_the_page(visit: Visit) -> None:
    away = (await visit.client.get("/issues?state=all")).headers["location"]
    form = (await visit.page(away)).form("/login")
    response = await visit.send(form, ("token", TOKENS["ada"][0]))
    assert response.headers["location"] == "/issues?state=all"
    cookie = response.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "max-age=43200", "path=/"))
    assert TOKENS["ada"][0] not in cookie
    assert "Log out" in (await visit.page("/issues")).text


async def test_a_token_that_is_nobodys_opens_none(visit: Visit) -> None:
    form = (await visit.page("/login")).form("/login")
    for token in ("", "wrong", "souk_" + "A" * 43, "x" * 2000):
        assert (await visit.send(form, ("token", token))).status_code in (400, 401)
        assert (await visit.client.get("/issues")).status_code == 303


async def test_who_tries_too_often_is_told_when_to_come_again_and_no_token_is_looked_at(dsn: str, auth_file: Path) -> None:
    told = {"auth_file": auth_file, "logins_per_address": 3}
    async with serving(dsn, **told) as monitor, visiting(monitor) as visit:
        form = (await visit.page("/login")).form("/login")
        answers = [(await visit.send(form, ("token", "wrong"))).status_code for _ in range(3)]
        assert answers == [401] * 3
        refused = await visit.send(form, ("token", TOKENS["ada"][0]))
        assert (refused.status_code, "set-cookie" in refused.headers) == (429, False)
        seconds = int(refused.headers["retry-after"])
        assert 1 <= seconds <= 20
        page = Reader(refused.text)
        assert f"Try again in {seconds} seconds." in page.text
        assert page.form("/login")
        other = await visit.send(form, ("token", TOKENS["ada"][0]), headers={"x-forwarded-for": "10.9.8.7"})
        assert other.status_code == 303


async def test_all_who_try_share_one_limit(dsn: str, auth_file: Path) -> None:
    async with serving(dsn, auth_file=auth_file, logins=2) as monitor, visiting(monitor) as visit:
        form = (await visit.page("/login")).form("/login")
        for number, status in enumerate((401, 401, 429)):
            response = await visit.send(form, ("token", "wrong"), headers={"x-forwarded-for": f"10.9.8.{number}"})
            assert response.status_code == status


async def test_a_token_that_may_only_report_opens_none(visit: Visit) -> None:
    assert await log_in(visit, "reporter") == 403
    assert (await visit.client.get("/issues")).status_code == 303


async def test_a_login_leads_to_this_site_alone(visit: Visit) -> None:
    for path in ("//evil.example", "https://evil.example", "/\\evil.example"):
        form = (await visit.page("/login")).form("/login")
        response = await visit.send(form, ("token", TOKENS["ada"][0]), ("next", path))
        assert response.headers["location"] == "/"
        visit.client.cookies.clear()
    form = (await visit.page("/login")).form("/login")
    response = await visit.send(form, ("token", TOKENS["ada"][0]), ("next", "/issues?q=日本"))
    assert response.headers["location"] == "/issues?q=%E6%97%A5%E6%9C%AC"


async def test_another_site_can_log_nobody_in(visit: Visit) -> None:
    form = (await visit.page("/login")).form("/login")
    response = await visit.send(form, ("token", TOKENS["ada"][0]), headers={"origin": "https://evil.example"})
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


async def test_who_may_only_read_is_shown_no_forms_and_changes_nothing(visit: Visit) -> None:
    await log_in(visit, "reader")
    page = await visit.page("/issues")
    assert not [form for form in page.forms if "Acknowledge" in page.text]
    csrf = next(value for form in page.forms for name, value in form.fields if name == "csrf")
    for path in ("/issues/1/actions", "/issues/actions", "/projects", "/projects/default/keys", "/projects/default/keys/revoke"):
        assert (await visit.post(path, [("csrf", csrf), ("action", "resolve")])).status_code == 403


async def test_projects_are_changed_by_those_who_may(visit: Visit) -> None:
    await log_in(visit, "admin")
    form = (await visit.page("/projects")).form("/projects")
    assert (await visit.send(form, ("name", "shop"))).status_code == 303


async def test_the_one_who_acts_is_named_in_the_activity(monitor: Monitor, visit: Visit) -> None:
    await log_in(visit, "ada")
    project = (await visit.page("/projects/default")).text
    key = project.partition("http://")[2].partition("@")[0]
    event = {"exception": {"values": [{"type": "KeyError", "value": "x"}]}}
    reported = await visit.client.post(f"/api/1/store/?sentry_key={key}", json=event)
    assert reported.status_code == 200
    form = (await visit.page("/issues/DEFAULT-1")).forms
    issue = next(each for each in form if each.action.endswith("/actions"))
    assert (await visit.send(issue, ("action", "acknowledge"))).status_code == 303
    assert "ada acknowledged it" in (await visit.page("/issues/DEFAULT-1")).text


async def test_logging_out_ends_the_session_in_this_browser(visit: Visit) -> None:
    await log_in(visit, "ada")
    form = (await visit.page("/issues")).form("/logout")
    assert (await visit.post("/logout", [("csrf", "0")])).status_code == 403
    assert (await visit.send(form)).headers["location"] == "/login"
    assert (await visit.client.get("/issues")).status_code == 303


async def test_a_token_that_is_taken_out_of_the_auth_file_ends_its_sessions(visit: Visit, auth_file: Path) -> None:
    await log_in(visit, "ada")
    assert (await visit.client.get("/issues")).status_code == 200
    write(auth_file, "reader")
    assert (await visit.client.get("/issues")).status_code == 303


async def test_a_cookie_that_was_changed_is_none(visit: Visit) -> None:
    await log_in(visit, "ada")
    cookie = visit.client.cookies[COOKIE]
    visit.client.cookies.clear()
    for forged in (cookie[:-6] + "AAAAA=", "A" + cookie[1:], "", "é".encode().hex(), "A" * 5000):
        response = await visit.client.get("/issues", headers={"cookie": f"{COOKIE}={forged}"})
        assert response.status_code == 303, forged
    assert (await visit.client.get("/issues", headers={"cookie": f"{COOKIE}={cookie}"})).status_code == 200


async def test_nodes_with_one_key_know_each_others_sessions(dsn: str, auth_file: Path, visit: Visit) -> None:
    settings = {"auth_file": auth_file, "session_key": "one key for both nodes"}
    async with (
        serving(dsn, **settings) as one,
        serving(dsn, **settings) as other,
        visiting(one) as first,
        visiting(other) as second,
    ):
        await log_in(first, "ada")
        cookie = {"cookie": f"{COOKIE}={first.client.cookies[COOKIE]}"}
        assert (await second.client.get("/issues", headers=cookie)).status_code == 200
        assert (await visit.client.get("/issues", headers=cookie)).status_code == 303


async def test_a_link_of_another_site_asks_for_its_page_again(visit: Visit) -> None:
    response = await visit.client.get("/issues?state=all", headers={"sec-fetch-site": "cross-site"})
    assert (response.status_code, "set-cookie" in response.headers) == (200, False)
    assert 'http-equiv="refresh"' in response.text


async def test_the_cookie_is_for_tls_alone_where_the_site_is(dsn: str, auth_file: Path) -> None:
    async with serving(dsn, auth_file=auth_file, public_url="https://monitor.example") as monitor, visiting(monitor) as visit:
        form = (await visit.page("/login")).form("/login")
        response = await visit.send(form, ("token", TOKENS["ada"][0]), headers={"origin": "https://monitor.example"})
        assert "; Secure" in response.headers["set-cookie"]
