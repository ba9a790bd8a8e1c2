"""The dashboard over HTTP: every page, every action by plain forms, and what must not get through."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dashboards import Reader, Visit, visiting
from monitor_serving import Monitor, report, serving
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2
from souk_monitor.web.dashboard.rendering import NOTICES

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
async def visit(monitor: Monitor) -> AsyncIterator[Visit]:
    async with visiting(monitor) as visit:
        yield visit


def rich() -> pb.ErrorReport:
    """With all that a page can show."""
    library = pb.StackFrame(function="post", module="httpx", file="httpx/_client.py", line=9, in_app=False)
    own = pb.StackFrame(
        function="charge",
        module="shop.payments",
        file="shop/payments.py",
        line=42,
        in_app=True,
        pre_context=["def charge(order):", "    # take it"],
        context_line="    gateway.post(order)",
        post_context=["    return True"],
        local_variables={"order": {"id": 7}, "evil": EVIL},
    )
    cause = pb.ExceptionReport(type="ConnectError", value="refused", frames=[library, library], exception_id=1, parent_id=0)
    last = pb.ExceptionReport(type="PaymentError", value=f"no money {EVIL}", frames=[own, library, library], exception_id=0)
    return pb.ErrorReport(
        platform="python",
        exceptions=[cause, last],
        message=EVIL,
        service=EVIL,
        release="shop@1.0",
        environment="production",
        transaction="POST /checkout",
        tags={"browser": "Firefox", EVIL: EVIL},
        user=pb.ReportedUser(id="user-1"),
        trace_id=TRACE,
        error_id="00ff00ff00ff00ff",
        contexts={"runtime": {"name": "CPython", "inner": {"evil": EVIL}}, "breadcrumbs": {"values": [{"message": EVIL}]}},
    )


async def issue_of(monitor: Monitor, *reports: pb.ErrorReport) -> str:
    results = await monitor.report(*reports)
    return str(results[-1].accepted.issue_id)


async def known(monitor: Monitor, issue: str) -> pb.GetIssueResponse:
    return await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=issue))


async def test_every_page_shows_what_it_is_for(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, rich())
    page = await visit.page(f"/issues/{issue}")
    for text in ("PaymentError", "DEFAULT-1", "charge", "shop/payments.py:42", "caused by ConnectError", "2 calls of libraries"):
        assert text in page.text, text
    for text in ("gateway.post(order)", '{"id":7}', "Firefox", "user-1", TRACE, "00ff00ff00ff00ff", "shop@1.0", "CPython"):
        assert text in page.text, text
    assert [tag for tag, attributes in page.tags if attributes.get("class") == "failing"] == ["li"]
    assert "PaymentError" in (await visit.page("/")).text
    assert "PaymentError" in (await visit.page("/issues")).text
    assert "version 1 of the rules" in (await visit.page(f"/issues/{issue}/grouping")).text
    assert "PaymentError" in (await visit.page("/issues/DEFAULT-1")).text
    assert "DEFAULT-1" in (await visit.page(f"/events?trace={TRACE}")).text
    assert "DEFAULT-1" in (await visit.page("/events?error=00ff00ff00ff00ff")).text
    assert "default" in (await visit.page("/projects")).text
    assert "@127.0.0.1" in (await visit.page("/projects/default")).text


async def test_scripts_in_errors_are_shown_as_text(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, rich())
    for path in ("/", "/issues", "/issues/{}", "/issues/{}/grouping", "/events?issue={}"):
        page = await visit.page(path.format(issue))
        scripts = [attributes for tag, attributes in page.tags if tag == "script"]
        assert [list(script) for script in scripts] == [["type", "src"]]
        assert not [tag for tag, attributes in page.tags if tag == "img" or any(name.startswith("on") for name in attributes)]
        assert "onerror=alert(1)" in page.text


def native(text: str) -> pb.ErrorReport:
    """A crash of native code that says a text wherever nothing has a field of its own."""
    frames = [
        pb.StackFrame(package="/lib/libc.so.6", extra={"instruction_addr": f"0x1000{text}", "lock": {"class_name": f"Lock{text}"}}),
        pb.StackFrame(package="/srv/shop", extra={"instruction_addr": "0x2000", "symbol": f"_ZN4shop3runEv{text}"}),
        pb.StackFrame(function="run", package="/srv/shop", extra={"instruction_addr": f"0x3000{text}", "vars": [text, 7]}),
        pb.StackFrame(function="main", file="main.cc", line=9, extra={"instruction_addr": "0x4000"}),
    ]
    mechanism = {"meta": {"signal": {"number": 11, "name": f"SIGSEGV{text}"}}, "data": {f"HResult{text}": -2147467261}}
    raised = pb.ExceptionReport(
        type="SIGSEGV", mechanism="signalhandler", frames=frames, extra={"mechanism": mechanism, "thread_id": 77}
    )
    user = pb.ReportedUser(id="user-1", extra={"name": f"Ada{text}", "geo": {"city": "Wien"}, text: text})
    return pb.ErrorReport(platform="native", exceptions=[raised], release="shop@1.0", dist=f"build-114{text}", user=user)


async def test_what_has_no_field_of_its_own_is_shown_beside_what_it_belongs_to(monitor: Monitor, visit: Visit) -> None:
    page = await visit.page(f"/issues/{await issue_of(monitor, native(''))}")
    shown = " ".join(page.text.split())
    for text in ("0x1000 /lib/libc.so.6", "_ZN4shop3runEv /srv/shop 0x2000", "run /srv/shop 0x3000", "main main.cc:9"):
        assert text in shown, text
    for text in ("signalhandler", "meta.signal.name SIGSEGV", "data.HResult -2147467261", "thread_id 77", '["",7]', "Lock"):
        assert text in shown, text
    for text in ("Dist build-114", "User user-1, ", "name: Ada", "geo.city: Wien"):
        assert text in shown, text
    assert "0x4000" not in shown


async def test_scripts_in_what_has_no_field_of_its_own_are_shown_as_text(monitor: Monitor, visit: Visit) -> None:
    page = await visit.page(f"/issues/{await issue_of(monitor, native(EVIL))}")
    assert not [tag for tag, attributes in page.tags if tag == "img" or any(name.startswith("on") for name in attributes)]
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1
    for text in ("0x1000", "_ZN4shop3runEv", "0x3000", "SIGSEGV", "HResult", "Lock", "build-114", "name: Ada"):
        assert f"{text}{EVIL}" in page.text or f"{text}{json.dumps(EVIL)[1:-1]}" in page.text, text


async def test_files_are_kept_for_good_under_the_hash_of_their_content(visit: Visit) -> None:
    page = await visit.page("/issues")
    paths = [attributes.get("src") or attributes.get("href") for tag, attributes in page.tags if tag in ("script", "link")]
    assert len(paths) == 3
    for path in paths:
        assert path is not None
        first = await visit.client.get(path)
        assert "immutable" in first.headers["cache-control"]
        again = await visit.client.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert (await visit.client.get("/static/dashboard.css")).status_code == 404
    assert (await visit.client.get("/static/..%2Fsite.py")).status_code == 404


async def test_what_is_not_there_is_told_with_404(visit: Visit) -> None:
    issues = ("/issues/999", "/issues/none-9", "/issues/1/grouping", "/issues/" + "9" * 300, "/issues?project=none")
    others = ("/nowhere", "/events?issue=9", "/events", "/events?trace=xyz", "/projects/none", "/?project=none")
    strange = ("/issues/a%00-1", "/issues/%C3%A9%FF-1", "/projects/%00", "/?project=%00", "/events?error=%00")
    for path in (*issues, *others, *strange):
        response, page = await visit.get(path)
        assert (path, response.status_code) == (path, 404)
        assert "404" in page.text


async def test_an_event_is_shown_on_the_page_of_its_own_issue_alone(monitor: Monitor, visit: Visit) -> None:
    results = await monitor.report(report("A"), report("B"))
    first, second = results[0].accepted, results[1].accepted
    assert (await visit.get(f"/issues/{first.issue_id}?event={first.event_id}"))[0].status_code == 200
    for event in (second.event_id, "x", uuid.uuid4().hex):
        assert (await visit.get(f"/issues/{first.issue_id}?event={event}"))[0].status_code == 404


async def test_events_are_stepped_through_in_both_directions(monitor: Monitor, visit: Visit) -> None:
    results = [(await monitor.report(report("A")))[0].accepted for _ in range(3)]
    issue, oldest_first = results[0].issue_id, [result.event_id for result in results]

    async def step(event: str, rel: str) -> str:
        page = await visit.page(f"/issues/{issue}?event={event}")
        found = [attributes["href"] for tag, attributes in page.tags if tag == "a" and attributes.get("rel") == rel]
        return found[0].partition("event=")[2] if found else ""

    assert [await step(event, "prev") for event in oldest_first] == [oldest_first[1], oldest_first[2], ""]
    assert [await step(event, "next") for event in oldest_first] == ["", oldest_first[0], oldest_first[1]]


def entries(page: Reader, start: str = "/issues/") -> list[str]:
    return [link for link in page.links if link.startswith(start)]


def turn(page: Reader, rel: str) -> str:
    """Where a link beside the list leads; empty where there is none."""
    found = [known["href"] for tag, known in page.tags if tag == "a" and (known.get("rel") == rel or f"data-{rel}" in known)]
    return found[0] if found else ""


@pytest.mark.parametrize("sort", ["last", "first", "events", "users", "priority"])
async def test_a_list_goes_on_from_page_to_page_and_back(monitor: Monitor, visit: Visit, sort: str) -> None:
    await monitor.report(*[report(f"Kind{number}") for number in range(120)])
    pages = [await visit.page(f"/issues?sort={sort}&state=all")]
    while following := turn(pages[-1], "next"):
        pages.append(await visit.page(following))
    shown = [entries(page) for page in pages]
    assert [len(each) for each in shown] == [50, 50, 20]
    assert len({issue for each in shown for issue in each}) == 120
    assert (turn(pages[0], "prev"), turn(pages[0], "first")) == ("", "")
    second = await visit.page(turn(pages[2], "prev"))
    assert (entries(second), turn(second, "next") != "") == (shown[1], True)
    first = await visit.page(turn(second, "prev"))
    assert (entries(first), turn(first, "prev"), turn(first, "first")) == (shown[0], "", "")
    assert entries(await visit.page(turn(pages[2], "first"))) == shown[0]
    for name in ("page", "back"):
        assert (await visit.get(f"/issues?{name}=nonsense"))[0].status_code == 400
    assert (await visit.get(f"{turn(pages[0], 'next')}&severity=5"))[0].status_code == 400


async def test_what_comes_meanwhile_moves_no_page_and_the_first_one_is_always_full(monitor: Monitor, visit: Visit) -> None:
    await monitor.report(*[report(f"Kind{number}") for number in range(60)])
    second = await visit.page(turn(await visit.page("/issues?sort=first"), "next"))
    await monitor.report(*[report(f"Later{number}") for number in range(30)])
    before = await visit.page(turn(second, "prev"))
    assert (len(entries(before)), turn(before, "prev") != "") == (50, True)
    assert entries(await visit.page(turn(before, "next"))) == entries(second)
    first = await visit.page(turn(before, "prev"))
    assert (len(entries(first)), turn(first, "prev")) == (50, "")


async def test_events_go_on_from_page_to_page_and_back(monitor: Monitor, visit: Visit) -> None:
    results = await monitor.report(*[report("A") for _ in range(70)])
    issue = results[0].accepted.issue_id
    pages = [await visit.page(f"/events?issue={issue}")]
    while following := turn(pages[-1], "next"):
        pages.append(await visit.page(following))
    shown = [entries(page, f"/issues/{issue}?event=") for page in pages]
    assert [len(each) for each in shown] == [30, 30, 10]
    assert len({event for each in shown for event in each}) == 70
    second = await visit.page(turn(pages[2], "prev"))
    assert entries(second, f"/issues/{issue}?event=") == shown[1]
    first = await visit.page(turn(second, "prev"))
    assert (entries(first, f"/issues/{issue}?event="), turn(first, "prev")) == (shown[0], "")
    assert entries(await visit.page(turn(pages[2], "first")), f"/issues/{issue}?event=") == shown[0]


QUERIES = {
    "q=nothing": 0,
    "q=KeyError": 1,
    "q=%00": 2,
    "state=resolved": 0,
    "state=all": 2,
    "severity=5": 1,
    "within=1h": 2,
    "service=checkout": 1,
    "environment=staging": 1,
    "release=2.0": 1,
    "assignee=none": 2,
    "assignee=ada": 0,
    "category=18": 1,
    "project=default": 2,
    "sort=nonsense&state=nonsense&category=x": 2,
}


async def test_a_list_is_narrowed_by_what_its_address_says(monitor: Monitor, visit: Visit) -> None:
    grave = report("MemoryFullError", severity=pb.SEVERITY_FATAL, environment="staging", release="2.0")
    await monitor.report(report("KeyError", service="checkout"), grave)

    async def found(query: str) -> int:
        return len({link for link in (await visit.page(f"/issues?{query}")).links if link.startswith("/issues/")})

    async with asyncio.timeout(10):
        while await found("service=checkout") + await found("environment=staging") < 2:  # which are counted a moment later
            await asyncio.sleep(0.01)
    assert {query: await found(query) for query in QUERIES} == QUERIES


async def test_an_id_that_is_looked_for_leads_to_what_it_is_of(monitor: Monitor, visit: Visit) -> None:
    event = (await monitor.report(rich()))[0].accepted
    expected = {
        "default-1": f"/issues/{event.issue_id}",
        TRACE: f"/events?trace={TRACE}",
        "00ff00ff00ff00ff": "/events?error=00ff00ff00ff00ff",
        event.event_id: f"/issues/{event.issue_id}?event={event.event_id}",
    }
    for text, path in expected.items():
        assert (await visit.client.get("/issues", params={"q": text})).headers["location"] == path


ACTIONS: dict[str, tuple[list[tuple[str, str]], Any]] = {
    "acknowledge": ([], lambda issue: issue.state == pb.ISSUE_STATE_ACKNOWLEDGED),
    "resolve": ([], lambda issue: issue.state == pb.ISSUE_STATE_RESOLVED and not issue.resolved_in_release),
    "resolve in": (
        [("release_is", "this"), ("release", "9.9")],
        lambda issue: issue.state == pb.ISSUE_STATE_RESOLVED and issue.resolved_in_release == "9.9",
    ),
    "resolve next": ([("release_is", "next")], lambda issue: issue.resolved_in_release == "1.0"),
    "ignore": ([], lambda issue: issue.state == pb.ISSUE_STATE_IGNORED),
    "ignore until": (
        [("for", "24h"), ("events", "10"), ("users", "3")],
        lambda issue: issue.ignored_until.HasField("until_time") and issue.ignored_until.until_events == 10,
    ),
    "reopen": ([], lambda issue: issue.state == pb.ISSUE_STATE_OPEN),
    "assign": ([("assignee", "ada")], lambda issue: issue.assignee == "ada"),
}


async def test_every_action_is_a_form(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, report("KeyError", release="1.0"))
    for name, (fields, done) in ACTIONS.items():
        action = name.split()[0]
        form = (await visit.page(f"/issues/{issue}")).form(f"/issues/{issue}/actions")
        response = await visit.send(form, ("action", action), *fields)
        assert (response.status_code, response.headers["location"]) == (303, f"/issues/{issue}?did={action}")
        assert done((await known(monitor, issue)).issue), name
        assert NOTICES[action] in (await visit.page(response.headers["location"])).text


async def test_a_comment_is_kept_once_however_often_its_form_is_sent(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, report("KeyError"))
    form = (await visit.page(f"/issues/{issue}")).form(f"/issues/{issue}/actions", having="comment")
    for text in ("first", "first", "second"):
        assert (await visit.send(form, ("comment", text))).status_code == 303
    activity = (await known(monitor, issue)).activity
    assert [each.text for each in activity] == ["second", "first"]


async def test_the_chosen_issues_of_a_list_are_changed_at_once(monitor: Monitor, visit: Visit) -> None:
    issues = [await issue_of(monitor, report(kind)) for kind in "ABC"]
    form = (await visit.page("/issues?sort=events")).form("/issues/actions")
    chosen = [("issue", issue) for issue in issues[:2]]
    response = await visit.send(form, ("action", "resolve"), *chosen)
    assert response.headers["location"] == "/issues?sort=events&did=resolve"
    states = [(await known(monitor, issue)).issue.state for issue in issues]
    assert states == [pb.ISSUE_STATE_RESOLVED, pb.ISSUE_STATE_RESOLVED, pb.ISSUE_STATE_OPEN]
    elsewhere = await visit.send(form, ("action", "reopen"), ("back", "//evil.example"), *chosen)
    assert elsewhere.headers["location"] == "/issues?did=reopen"


async def test_issues_are_merged_and_split_again(monitor: Monitor, visit: Visit) -> None:
    one, other = [await issue_of(monitor, report(kind)) for kind in "AB"]
    form = (await visit.page("/issues")).form("/issues/actions")
    merged = await visit.send(form, ("action", "merge"), ("issue", one), ("issue", other))
    assert merged.headers["location"] == f"/issues/{one}?did=merge"
    fingerprints = (await known(monitor, one)).fingerprints
    assert len(fingerprints) == 2
    split = (await visit.page(f"/issues/{one}/grouping")).form(f"/issues/{one}/actions", having="split")
    leaving = ("fingerprint", fingerprints[0].fingerprint)
    made, again = [(await visit.send(split, leaving)).headers["location"] for _ in range(2)]
    assert made == again
    assert len((await known(monitor, one)).fingerprints) == 1
    third = made.removeprefix("/issues/").removesuffix("?did=split")
    form = (await visit.page(f"/issues/{one}")).form(f"/issues/{one}/actions", having="merge")
    assert (await visit.send(form, ("with", third))).headers["location"] == f"/issues/{one}?did=merge"


REFUSED: list[list[tuple[str, str]]] = [
    *([], [("action", "explode")], [("action", "comment")], [("action", "comment"), ("comment", "x" * 10_001)]),
    *([("action", "ignore"), ("events", "-1")], [("action", "ignore"), ("until", "then")]),
    *([("action", "ignore"), ("until", "2001-01-01T00:00")], [("action", "resolve"), ("release_is", "this")]),
    *([("action", "split")], [("action", "split"), ("fingerprint", "zz")], [("action", "split"), ("fingerprint", "ab" * 16)]),
    *([("action", "merge")], [("action", "assign"), ("assignee", "a" * 201)]),
]


async def test_what_a_form_may_not_say_is_refused_and_changes_nothing(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, report("KeyError"))
    form = (await visit.page(f"/issues/{issue}")).form(f"/issues/{issue}/actions")
    for fields in REFUSED:
        assert (fields, (await visit.send(form, *fields)).status_code) == (fields, 400)
    details = await known(monitor, issue)
    assert (details.issue.state, len(details.activity)) == (pb.ISSUE_STATE_OPEN, 0)


async def test_a_page_that_is_behind_changes_nothing(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, report("KeyError"))
    form = (await visit.page(f"/issues/{issue}")).form(f"/issues/{issue}/actions")
    await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=issue, resolve=pb.Resolve()))
    response = await visit.send(form, ("action", "ignore"))
    assert response.status_code == 409
    assert (await known(monitor, issue)).issue.state == pb.ISSUE_STATE_RESOLVED


FOREIGN: list[tuple[list[tuple[str, str]], dict[str, str]]] = [
    *(([("csrf", "")], {}), ([("csrf", "é")], {}), ([("csrf", "0" * 64)], {})),
    *(([], {"origin": "https://evil.example"}), ([], {"origin": "null"})),
    *(([], {"sec-fetch-site": "cross-site"}), ([], {"sec-fetch-site": "same-site"})),
]


async def test_a_form_of_another_site_is_refused(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, report("KeyError"))
    acts = (await visit.page(f"/issues/{issue}")).form(f"/issues/{issue}/actions")
    made = (await visit.page("/projects")).form("/projects")
    for fields, headers in FOREIGN:
        assert (await visit.send(acts, ("action", "resolve"), *fields, headers=headers)).status_code == 403
        assert (await visit.send(made, ("name", "other"), *fields, headers=headers)).status_code == 403
    assert (await known(monitor, issue)).issue.state == pb.ISSUE_STATE_OPEN


async def test_a_form_of_another_visitor_is_refused(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, report("KeyError"))
    form = (await visit.page(f"/issues/{issue}")).form(f"/issues/{issue}/actions")
    async with visiting(monitor) as other:
        await other.page("/issues")
        assert (await other.send(form, ("action", "resolve"))).status_code == 403
    assert (await visit.send(form, ("action", "resolve"))).status_code == 303


async def test_a_form_of_one_node_is_taken_by_another(dsn: str, monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, report("KeyError"))
    form = (await visit.page(f"/issues/{issue}")).form(f"/issues/{issue}/actions")
    async with serving(dsn, node="two") as other, visiting(other) as elsewhere:
        elsewhere.client.cookies = visit.client.cookies
        assert (await elsewhere.send(form, ("action", "resolve"))).status_code == 303


async def test_forms_are_bounded_and_must_be_forms(monitor: Monitor, visit: Visit) -> None:
    issue = await issue_of(monitor, report("KeyError"))
    path = f"/issues/{issue}/actions"
    assert (await visit.client.post(path, json={})).status_code == 400
    assert (await visit.post(path, [("comment", "x" * 70_000)])).status_code == 400
    assert (await visit.post(path, [("a", "b")] * 2_000)).status_code == 400
    plain = {"content-type": "application/x-www-form-urlencoded"}
    assert (await visit.client.post(path, content=b"\xff\xfe", headers=plain)).status_code == 400


async def test_projects_and_keys_are_made_and_revoked(monitor: Monitor, visit: Visit) -> None:
    form = (await visit.page("/projects")).form("/projects")
    assert (await visit.send(form, ("name", "Not a name"))).status_code == 400
    assert (await visit.send(form, ("name", "shop"))).headers["location"] == "/projects/shop?did=project"
    fresh = (await visit.page("/projects")).form("/projects")
    assert (await visit.send(fresh, ("name", "shop"))).status_code == 409
    form = (await visit.page("/projects/shop")).form("/projects/shop/keys")
    assert (await visit.send(form, ("label", "browsers"))).status_code == 303
    project = (await monitor.projects.GetProject(project_pb2.GetProjectRequest(name="shop"))).project
    assert [key.label for key in project.keys] == ["browsers", ""]
    revoke = (await visit.page("/projects/shop")).form("/projects/shop/keys/revoke", having=project.keys[0].public_key)
    assert (await visit.send(revoke)).status_code == 303
    project = (await monitor.projects.GetProject(project_pb2.GetProjectRequest(name="shop"))).project
    assert [key.HasField("revoke_time") for key in project.keys] == [True, False]


async def test_dark_and_light_are_kept(visit: Visit) -> None:
    form = (await visit.page("/issues?state=all")).form("/theme")
    response = await visit.send(form, ("theme", "dark"))
    assert response.headers["location"] == "/issues?state=all"
    page = await visit.page("/issues")
    assert dict(page.tags)["html"]["data-theme"] == "dark"
    away = await visit.send(form, ("theme", "neither"), ("back", "https://evil.example/"))
    assert away.headers["location"] == "/"


async def test_without_the_dashboard_the_port_still_takes_what_sdks_send(dsn: str) -> None:
    async with serving(dsn, dashboard=False) as monitor, visiting(monitor) as visit:
        assert (await visit.client.get("/issues")).status_code == 404
        assert (await visit.client.options("/api/1/envelope/")).status_code == 204
