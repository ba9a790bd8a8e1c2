"""Everything that can be done on the dashboard, in a real browser: by mouse alone, and by keys alone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from browsers import Page
from e2e.monitor.browsing import Hand, issue, report, site
from monitor_serving import Monitor, serving
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2
from souk_common.auth import new_token

pytestmark = pytest.mark.asyncio(loop_scope="module")
STATES = {
    "acknowledge": ("a", pb.ISSUE_STATE_ACKNOWLEDGED),
    "resolve": ("r", pb.ISSUE_STATE_RESOLVED),
    "ignore": ("i", pb.ISSUE_STATE_IGNORED),
    "reopen": ("e", pb.ISSUE_STATE_OPEN),
}
"""Action -> its key, and what becomes of an issue."""
ROWS = "[...document.querySelectorAll('#rows > .row')].map((row) => row.dataset.key)"
CHOSEN = "document.querySelector('#how-many').textContent"


@pytest_asyncio.fixture(loop_scope="module", params=["mouse", "keys"])
async def hand(page: Page, request: pytest.FixtureRequest) -> Hand:
    return Hand(page, request.param)


# An issue


async def test_an_issue_is_acknowledged_resolved_ignored_and_reopened(monitor: Monitor, page: Page, hand: Hand) -> None:
    number, _ = await report(monitor)
    await page.open(site(monitor, f"/issues/{number}"))
    for action, (key, state) in STATES.items():
        async with page.loading():
            await hand.push(f"#acts button[value={action}]", key)
        assert (await issue(monitor, number)).issue.state == state
        assert (await page.text("#notice")) != ""


@pytest.mark.parametrize("release_is", ["next", "this", "written"])
async def test_an_issue_is_resolved_in_a_release(monitor: Monitor, page: Page, hand: Hand, release_is: str) -> None:
    number, _ = await report(monitor)
    await page.open(site(monitor, f"/issues/{number}"))
    await hand.push("#menu-resolve summary", "R")
    await page.until("document.activeElement.name === 'release_is'")
    if release_is == "this":
        await (hand.push("#menu-resolve input[value=this]") if hand.by == "mouse" else page.press("ArrowDown"))
    elif release_is == "written":
        await hand.fill("#menu-resolve input[name=release]", "+7")
    async with page.loading():
        await hand.push("#menu-resolve button")
    resolved = (await issue(monitor, number)).issue
    assert resolved.state == pb.ISSUE_STATE_RESOLVED
    assert ("in the release after" in await page.text("#head")) is (release_is == "next")
    assert ("+7" in resolved.resolved_in_release) is (release_is == "written")


async def test_an_issue_is_ignored_until(monitor: Monitor, page: Page, hand: Hand) -> None:
    number, _ = await report(monitor)
    await page.open(site(monitor, f"/issues/{number}"))
    for until in ("time", "date", "events", "users"):
        await hand.push("#menu-ignore summary", "I")
        await page.until("document.activeElement.name === 'for'")
        match until:
            case "time":
                await hand.choose("#menu-ignore select", "24h")
            case "date":
                await hand.reach_part("#menu-ignore input[name=until]")
                await write_date(page)
            case _:
                await hand.fill(f"#menu-ignore input[name={until}]", "10")
        async with page.loading():
            await hand.push("#menu-ignore button")
        ignored = (await issue(monitor, number)).issue
        told = ignored.ignored_until
        assert ignored.state == pb.ISSUE_STATE_IGNORED
        assert (told.until_events, told.until_users) == (10 * (until == "events"), 10 * (until == "users"))
        assert told.HasField("until_time") is (until in ("time", "date"))
        if until == "date":
            assert told.until_time.ToDatetime(UTC) == datetime(2031, 5, 5, 12, tzinfo=UTC)
        elif until == "time":
            left = told.until_time.ToDatetime(UTC) - datetime.now(UTC)
            assert timedelta(hours=23) < left <= timedelta(hours=24)


async def write_date(page: Page) -> None:
    """12:00 of a fifth of May, by keys, into a field that has the focus: its own popup no test reaches."""
    for key in ("0", "5", "0", "5", "2", "0", "3", "1", "Tab", "1", "2", "0", "0", "p"):
        await page.press(key)
    assert await page.value("document.activeElement.value") == "2031-05-05T12:00"


async def test_an_issue_is_assigned_and_commented(monitor: Monitor, page: Page, hand: Hand) -> None:
    number, _ = await report(monitor)
    await page.open(site(monitor, f"/issues/{number}"))
    await hand.fill("#assignee", "ada", "s")
    async with page.loading():
        await hand.push("#assigned button")
    await hand.fill("#comment", "looks like the gateway", "c")
    async with page.loading():
        await hand.push("#comment + button")
    details = await issue(monitor, number)
    assert details.issue.assignee == "ada"
    assert details.activity[0].text == "looks like the gateway"


async def test_issues_are_merged_and_split(monitor: Monitor, page: Page, hand: Hand) -> None:
    (one, _), (other, _) = await report(monitor), await report(monitor)
    await page.open(site(monitor, f"/issues/{one}"))
    await hand.push("#menu-merge summary", "m")
    await page.until("document.activeElement.name === 'with'")
    await page.write(other)
    async with page.loading():
        await hand.push("#menu-merge button")
    assert len((await issue(monitor, one)).fingerprints) == 2
    async with page.loading():
        await hand.push("#grouping", "w")
    await hand.push("input[name=fingerprint]")
    async with page.loading():
        await hand.push(".fingerprints ~ button")
    assert len((await issue(monitor, one)).fingerprints) == 1
    assert "the new issue" in await page.text("#notice")


async def test_events_are_stepped_through(monitor: Monitor, page: Page, hand: Hand) -> None:
    number, kind = await report(monitor)
    await report(monitor, kind)
    await page.open(site(monitor, f"/issues/{number}"))
    newest = await page.text(".event-id")
    async with page.loading():
        await hand.push(".event-head a[rel=next]", "j")
    assert await page.text(".event-id") != newest
    async with page.loading():
        await hand.push(".event-head a[rel=prev]", "k")
    assert await page.text(".event-id") == newest
    async with page.loading():
        await hand.push(".event-head a[href*='/events']")
    assert await page.value("document.querySelectorAll('.event-list li').length") == 2
    async with page.loading():
        await hand.push("[data-up]", "u")
    assert await page.value("location.pathname") == f"/issues/{number}"


async def test_what_is_folded_is_opened(monitor: Monitor, page: Page, hand: Hand) -> None:
    library = [
        pb.StackFrame(function=f"call{n}", module="requests.sessions", line=n, context_line="send()", in_app=False) for n in (1, 2)
    ]
    own = pb.StackFrame(function="pay", module="shop.pay", line=3, in_app=True, context_line="pay(order)")
    exception = pb.ExceptionReport(type=f"Folded{hand.by}", frames=[own, *library])
    made = pb.ErrorReport(platform="python", exceptions=[exception])
    made.contexts["device"] = {"arch": "arm64"}
    number = (await monitor.report(made))[0].accepted.issue_id
    await page.open(site(monitor, f"/issues/{number}"))
    for selector, shown in ((".folded", "call1"), (".folded .call", "send()"), (".context", "arm64")):
        assert shown not in await page.text("main")
        await hand.push(f"{selector} > summary")
        await page.until(f"document.querySelector('main').innerText.includes('{shown}')")


# The list


async def listed(monitor: Monitor, page: Page, service: str, count: int) -> list[str]:
    """Issues of a service, and the list of them, the newest first."""
    numbers = [(await report(monitor, service=service))[0] for _ in range(count)]
    await page.until_on(site(monitor, f"/issues?sort=first&state=all&service={service}"), f"{ROWS}.length === {count}")
    return numbers


async def states(monitor: Monitor, numbers: Sequence[str]) -> list[pb.IssueState.ValueType]:
    return [(await issue(monitor, number)).issue.state for number in numbers]


async def choose(page: Page, hand: Hand, numbers: Sequence[str]) -> None:
    """Issues of the list; by keys the first of it, because these go through it from its top."""
    for number in numbers:
        if hand.by == "mouse":
            await page.click(f"[data-key='{number}'] input[name=issue]")
        else:
            await page.press("j")
            await page.press("x")


async def test_chosen_issues_are_changed_at_once_and_reopened(monitor: Monitor, page: Page, hand: Hand) -> None:
    numbers = await listed(monitor, page, f"changed-by-{hand.by}", 3)
    for action in ("acknowledge", "resolve", "ignore"):
        key, state = STATES[action]
        await choose(page, hand, numbers[:0:-1])
        await page.until(f"{CHOSEN} === '2 chosen'")
        async with page.loading():
            await hand.push(f".bulk button[value={action}]", key)
        assert await states(monitor, numbers) == [pb.ISSUE_STATE_OPEN, state, state]
        await hand.push("#all")
        await page.until(f"{CHOSEN} === '3 chosen'")
        async with page.loading():
            await hand.push(".bulk button[value=reopen]", "e")
        assert await states(monitor, numbers) == [pb.ISSUE_STATE_OPEN] * 3


async def test_all_issues_of_the_list_are_chosen_and_merged(monitor: Monitor, page: Page, hand: Hand) -> None:
    numbers = await listed(monitor, page, f"merged-by-{hand.by}", 3)
    await hand.push("#all")
    await page.until(f"{CHOSEN} === '3 chosen'")
    await hand.push("#all")
    await page.until(f"{CHOSEN} === 'none chosen'")
    await hand.push("#all")
    async with page.loading():
        await hand.push(".bulk button[value=merge]", "m")
    assert len((await issue(monitor, numbers[0])).fingerprints) == 3


async def test_the_list_is_searched_filtered_and_sorted(monitor: Monitor, page: Page, hand: Hand) -> None:
    service = f"filtered-by-{hand.by}"
    rare, rare_kind = await report(monitor, service=service, severity=pb.SEVERITY_FATAL)
    often, kind = await report(monitor, service=service)
    await report(monitor, kind, service=service)
    solved, _ = await report(monitor, service=service)
    await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=solved, resolve=pb.Resolve()))
    await page.until_on(site(monitor, f"/issues?service={service}"), f"{ROWS}.length === 2")
    await page.open(site(monitor, "/issues"))
    await hand.push("details.more summary")
    await hand.fill("input[name=service]", service)
    async with page.loading():
        await hand.push("details.more button")
    assert sorted(await page.value(ROWS), key=int) == [rare, often]
    for sort, first in (("events", often), ("first", often), ("priority", None)):
        await hand.choose("select[name=sort]", sort)
        async with page.loading():
            await (page.press("Enter") if hand.by == "keys" else hand.push(".search button"))
        assert (await page.value(ROWS))[0] == first or not first
    await hand.choose("select[name=severity]", "5")
    await hand.choose("select[name=within]", "1h")
    async with page.loading():
        await hand.push(".search button")
    assert await page.value(ROWS) == [rare]
    async with page.loading():
        await hand.push(".tabs a[href*='state=resolved']")
    assert await page.value(ROWS) == []
    async with page.loading():
        await hand.push(".clear")
    await hand.fill("#q", rare_kind, "/")
    async with page.loading():
        await (hand.push(".search button") if hand.by == "mouse" else page.press("Enter"))
    assert await page.value(ROWS) == [rare]


async def test_pages_of_the_list_are_turned(monitor: Monitor, page: Page, hand: Hand) -> None:
    service = f"paged-by-{hand.by}"
    reports = [pb.ErrorReport(exceptions=[pb.ExceptionReport(type=f"Paged{hand.by}{n}")], service=service) for n in range(60)]
    await monitor.report(*reports)
    await page.until_on(site(monitor, f"/issues?service={service}"), f"{ROWS}.length === 50")
    for link, key, count in (
        ("a[rel=next]", "n", 10),
        ("a[rel=prev]", "p", 50),
        ("a[rel=next]", "n", 10),
        ("a[data-first]", "P", 50),
        ("a[rel=next]", "n", 10),
    ):
        await hand.push(f".pages {link}", key)
        await page.until(f"{ROWS}.length === {count}")
    await page.value("history.back()")
    await page.until(f"{ROWS}.length === 50")


async def test_an_issue_is_opened_and_left(monitor: Monitor, page: Page, hand: Hand) -> None:
    (number,) = await listed(monitor, page, f"opened-by-{hand.by}", 1)
    async with page.loading():
        await hand.push(".row .title")
    assert await page.value("location.pathname") == f"/issues/{number}"
    async with page.loading():
        await hand.push("nav a[href='/issues']", "u")
    assert await page.value("location.pathname") == "/issues"


async def test_the_overview_is_narrowed(monitor: Monitor, page: Page, hand: Hand) -> None:
    name = f"narrowed-by-{hand.by}"
    await monitor.projects.CreateProject(project_pb2.CreateProjectRequest(name=name))
    await page.open(site(monitor, "/"))
    async with page.loading():
        await hand.push(".tabs a[href*='within=7d']")
    if hand.by == "mouse":
        await pick(page, "select[name=project]", name)
    else:
        await hand.choose("select[name=project]", name)
        async with page.loading():
            await page.press("Enter")
    assert await page.value("location.search") == f"?within=7d&project={name}"


async def pick(page: Page, selector: str, value: str) -> None:
    """By the mouse, in the list that it opens, which is the system's own: what that says when something is chosen in it."""
    await page.click(selector)
    async with page.loading():
        await page.value(
            f"(() => {{ const list = document.querySelector('{selector}'); list.value = '{value}'; "
            "list.dispatchEvent(new Event('change', {bubbles: true})) })()"
        )


async def test_a_choice_of_the_mouse_is_applied_at_once(monitor: Monitor, page: Page) -> None:
    await page.open(site(monitor, "/issues"))
    await pick(page, "select[name=sort]", "users")
    assert await page.value("new URL(location.href).searchParams.get('sort')") == "users"


# Projects


async def test_a_project_and_a_key_are_made_and_the_key_revoked(monitor: Monitor, page: Page, hand: Hand) -> None:
    await page.open(site(monitor, "/issues"))
    async with page.loading():
        if hand.by == "mouse":
            await page.click("nav a[href='/projects']")
        else:
            await page.press("g")
            await page.press("p")
    await hand.fill("input[name=name]", f"shop-by-{hand.by}")
    async with page.loading():
        await hand.push(".one-line button")
    await hand.fill("input[name=label]", "browsers")
    async with page.loading():
        await hand.push(".one-line button")
    await page.until("document.querySelectorAll('.dsns li').length === 2")
    async with page.loading():
        await hand.push(".dsns button")
    await page.until("document.querySelectorAll('.dsns li.revoked').length === 1")


# Every page


async def test_dark_and_light_are_switched_and_kept(monitor: Monitor, page: Page, hand: Hand) -> None:
    await page.open(site(monitor, "/issues"))
    before = await page.value("getComputedStyle(document.body).backgroundColor")
    await hand.push(".theme button")
    await page.until(f"getComputedStyle(document.body).backgroundColor !== '{before}'")
    await page.open(site(monitor, "/projects"))
    assert await page.value("document.documentElement.dataset.theme") == "dark"


async def test_shortcuts_are_switched_off_and_on(monitor: Monitor, page: Page, hand: Hand) -> None:
    await report(monitor)
    await page.open(site(monitor, "/issues"))
    for on in (False, True):
        await hand.push("[data-help]", "?")
        await page.until("document.querySelector('#keys').open")
        await hand.push("#keys-on")
        await hand.push("#keys button")
        await page.until("!document.querySelector('#keys').open")
        await page.open(site(monitor, "/issues"))
        await page.press("j")
        assert await page.value("document.querySelectorAll('.row.current').length") == on


async def test_one_logs_in_and_out(dsn: str, page: Page, hand: Hand, tmp_path: Path) -> None:
    token, digest = new_token()
    people = [{"name": "ada", "scopes": ["monitor.read", "monitor.write"], "token_sha256": [digest]}]
    (tmp_path / "auth.yaml").write_text(yaml.safe_dump({"principals": people}))
    async with serving(dsn, auth_file=tmp_path / "auth.yaml") as guarded:
        await page.open(site(guarded, "/issues?state=all"))
        await page.until("document.activeElement.id === 'token'")
        await page.write(token)
        async with page.loading():
            await hand.push(".login button")
        assert await page.value("location.pathname + location.search") == "/issues?state=all"
        async with page.loading():
            await hand.push("form[action='/logout'] button")
        assert await page.value("location.pathname") == "/login"
        await page.open(site(guarded, "/issues"))
        assert await page.value("location.pathname") == "/login"
        await page.open("about:blank")
