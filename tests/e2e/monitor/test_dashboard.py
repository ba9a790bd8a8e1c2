"""The dashboard in a real browser: it keeps itself up to date, and can be read everywhere."""

import pytest
from browsers import Browser, Page
from e2e.monitor.browsing import report, site
from monitor_serving import Monitor, serving
from object_stores import free_port
from souk.monitor.v1 import error_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVIL = '<script>document.title = "taken"; alert(1)</script><img src=x onerror="document.title = \'taken\'">'


async def open_live(page: Page, url: str) -> None:
    await page.open(url)
    await page.until("document.querySelector('.live').dataset.state === 'on'")


async def test_an_error_that_is_reported_appears_without_a_reload(monitor: Monitor, page: Page) -> None:
    await open_live(page, site(monitor, "/issues"))
    loads = page.navigations
    number, kind = await report(monitor)
    await page.until(f"document.querySelector('#rows').innerText.includes('{kind}')")
    await report(monitor, kind)
    await page.until(f"document.querySelector('[data-key=\"{number}\"]').dataset.events === '2'")
    await page.until(f"document.querySelector('#notice').textContent.includes('{kind}')")
    assert page.navigations == loads


async def test_the_page_of_an_issue_keeps_itself_up_to_date_and_what_is_written_on_it(monitor: Monitor, page: Page) -> None:
    number, kind = await report(monitor)
    await open_live(page, site(monitor, f"/issues/{number}"))
    loads = page.navigations
    await page.click("#comment")
    await page.write("half a sent")
    await report(monitor, kind)
    await page.until("document.querySelector('#trend').innerText.includes('Events\\n2')")
    await page.until("document.querySelector('#steps a[rel=prev]') !== null")
    await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=number, acknowledge=pb.Acknowledge()))
    await page.until("document.querySelector('#head').innerText.includes('acknowledged')")
    assert await page.value("document.activeElement.id + document.activeElement.value") == "commenthalf a sent"
    assert page.navigations == loads


async def test_the_overview_counts_what_comes(monitor: Monitor, page: Page) -> None:
    await open_live(page, site(monitor, "/"))
    _, kind = await report(monitor)
    await page.until(f"document.querySelector('#report').innerText.includes('{kind}')")


async def test_a_script_in_an_error_is_shown_as_text(monitor: Monitor, page: Page) -> None:
    number, _ = await report(monitor, value=EVIL, message=EVIL, service=EVIL, transaction=EVIL)
    for path in ("/", "/issues", f"/issues/{number}", f"/issues/{number}/grouping", f"/events?issue={number}"):
        await page.open(site(monitor, path))
        await page.until("document.body.innerText.includes('<img src=x onerror=')")
        assert await page.value("document.querySelectorAll('img, script:not([src])').length") == 0
        assert await page.value("document.title") != "taken"
    await report(monitor, value=EVIL)
    await open_live(page, site(monitor, "/issues"))
    _, kind = await report(monitor, value=EVIL)
    await page.until(f"document.querySelector('#rows').innerText.includes('{kind}')")
    assert await page.value("document.querySelectorAll('img, script:not([src])').length") == 0


async def test_the_list_is_walked_by_keys(monitor: Monitor, page: Page) -> None:
    for _ in range(3):
        await report(monitor)
    await page.open(site(monitor, "/issues"))
    current = "[...document.querySelectorAll('#rows > .row')].findIndex((row) => row.classList.contains('current'))"
    for key, place in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        await page.press(key)
        assert await page.value(current) == place
    href = await page.value("document.querySelector('.row.current .title').pathname")
    async with page.loading():
        await page.press("Enter")
    assert await page.value("location.pathname") == href
    async with page.loading():
        await page.press("u")
    assert await page.value("location.pathname") == "/issues"
    await page.press("/")
    assert await page.value("document.activeElement.id") == "q"
    await page.write("j")
    assert await page.value("document.querySelector('#q').value") == "j"
    await page.press("Escape")
    await page.press("?")
    await page.until("document.querySelector('#keys').open")
    await page.press("Escape")
    await page.until("!document.querySelector('#keys').open")
    await page.press("g")
    async with page.loading():
        await page.press("p")
    assert await page.value("location.pathname") == "/projects"


NARROW = "document.documentElement.scrollWidth <= window.innerWidth"
CONTRASTS = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data] };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] / 255 + under[i] * (1 - top[3] / 255));
  const behind = (node) => { if (!node) return [255, 255, 255];
    const own = rgba(getComputedStyle(node).backgroundColor);
    return own[3] === 255 ? own.slice(0, 3) : over(own, behind(node.parentElement)) };
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const poor = [];
  for (const node of document.querySelectorAll('body *')) {
    const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.nodeValue.trim());
    if (!text || !node.checkVisibility() || node.closest('svg, .vh, .skip, option')) continue;
    const ground = behind(node), ink = over(rgba(getComputedStyle(node).color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(node.outerHTML.slice(0, 120) + ' ' + ((a + 0.05) / (b + 0.05)).toFixed(2));
  }
  return poor;
})()"""
UNNAMED = """[...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a[href], summary')]
  .filter((node) => node.checkVisibility() && !node.labels?.length && !node.ariaLabel && !node.innerText?.trim() && !node.title)
  .map((node) => node.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_can_be_read_in_dark_and_light_and_on_a_phone(monitor: Monitor, chromium: Browser, scheme: str) -> None:
    number, _ = await report(monitor, value="a message with " + "averylongwordthatcannotbebroken" * 6, service="checkout")
    await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=number, comment="c" * 300, acknowledge=pb.Acknowledge()))
    page = await chromium.page(width=360, height=740, scheme=scheme)
    for path in ("/", "/issues", f"/issues/{number}", f"/issues/{number}/grouping", f"/events?issue={number}", "/projects"):
        await page.open(site(monitor, path))
        assert await page.value(NARROW), path
        assert await page.value(CONTRASTS) == [], path
        assert await page.value(UNNAMED) == [], path
        assert await page.value("document.querySelectorAll('main, header, h1').length >= 3"), path
    background = await page.value("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(part) for part in background.strip("rgb()").split(",")[:3]) < 384
    assert dark is (scheme == "dark")
    assert page.problems == []


TOO_WIDE = """[...document.querySelectorAll("main *:not(svg *)")].filter(each => {
    const left = each.getBoundingClientRect().left, shown = getComputedStyle(each);
    return left + each.scrollWidth > innerWidth + 1 && shown.overflowX === "visible" && !each.closest(".source, .tabs, .vh");
}).map(each => each.outerHTML.slice(0, 70)).slice(-3)"""
"""Where it is that a page is too wide, for people."""


async def test_long_texts_of_programs_break_no_page_on_a_phone(monitor: Monitor, chromium: Browser) -> None:
    long = "averylongwordthatcannotbebroken" * 6
    frame = pb.StackFrame(function=long, module=f"shop.{long}", file=f"/srv/{long}.py", line=3, in_app=True, context_line=long * 3)
    frame.local_variables[long] = long
    other = pb.StackFrame(function=long, module=long, file=long, line=3)
    exception = pb.ExceptionReport(type=long, module=long, value=long, frames=[frame, other])
    fields = dict.fromkeys(("service", "environment", "release", "server_name", "logger", "transaction"), long[:200])
    made = pb.ErrorReport(platform="python", exceptions=[exception], message=long, tags={long[:100]: long[:200]}, **fields)
    made.user.id = made.user.username = long
    (result,) = (await monitor.errors.ReportErrors(pb.ReportErrorsRequest(reports=[made]))).results
    number = result.accepted.issue_id
    assigned = pb.UpdateIssueRequest(
        issue_id=number, assignee=long[:200], actor=long[:200], comment=long, acknowledge=pb.Acknowledge()
    )
    await monitor.errors.UpdateIssue(assigned)
    page = await chromium.page(width=375, height=740)
    for path in ("/", "/issues", f"/issues/{number}", f"/issues/{number}/grouping", f"/events?issue={number}", f"/issues?q={long}"):
        await page.open(site(monitor, path))
        assert await page.value(NARROW), (path, await page.value(TOO_WIDE))
    assert page.problems == []


async def test_a_page_finds_its_way_back_to_a_node_that_was_away(monitor: Monitor, chromium: Browser, dsn: str) -> None:
    page, port = await chromium.page(), free_port()
    async with serving(dsn, http_port=port) as node:
        await open_live(page, site(node, "/issues"))
    await page.until("document.querySelector('.live').dataset.state === 'off'")
    _, kind = await report(monitor)
    async with serving(dsn, http_port=port):
        await page.until(f"document.querySelector('#rows').innerText.includes('{kind}')")
        assert page.navigations == 1
        await page.open("about:blank")


async def test_the_focus_is_seen(monitor: Monitor, page: Page) -> None:
    await page.open(site(monitor, "/issues"))
    for _ in range(4):
        await page.press("Tab")
        assert await page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
