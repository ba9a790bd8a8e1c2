"""Debian's Chromium, headless, driven by the DevTools protocol over a pipe: pages as people see them, worked by mouse and keys."""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
WAIT = 20.0
_VIRTUAL = {"Enter": 13, "Escape": 27, "Tab": 9, " ": 32, "ArrowUp": 38, "ArrowDown": 40}


def chromium() -> str:
    """Where it is. The test is skipped where it is not, and fails in CI."""
    found = shutil.which("chromium")
    if found is None:
        reason = "there is no chromium: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class ProtocolError(Exception):
    """The browser refused a command."""


@dataclass
class Browser:
    """A browser that runs."""

    process: asyncio.subprocess.Process
    to_browser: int
    _answers: dict[int, "asyncio.Future[dict[str, Any]]"] = field(default_factory=dict)
    _pages: dict[str, "Page"] = field(default_factory=dict)
    _last: int = 0

    async def send(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """One command; its result."""
        self._last += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._last] = answer
        message = {"id": self._last, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(WAIT):
            return await answer

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Hand on what the browser says, until it ends."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
                if (answer := self._answers.pop(message.get("id", 0), None)) is not None:
                    if answer.cancelled():
                        continue
                    if "error" in message:
                        answer.set_exception(ProtocolError(message["error"]["message"]))
                    else:
                        answer.set_result(message["result"])
                elif (page := self._pages.get(message.get("sessionId", ""))) is not None:
                    page.hear(message["method"], message["params"])

    async def page(self, *, width: int = 1280, height: int = 800, scheme: str = "light") -> "Page":
        """An empty page of its own context. scheme: what the system prefers, light or dark."""
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        target = (await self.send("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.send(f"{domain}.enable")
        await page.resize(width, height)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await page.send("Emulation.setEmulatedMedia", features=features)
        return page


@dataclass
class Page:
    """A page, and what went wrong on it."""

    browser: Browser
    session: str
    problems: list[str] = field(default_factory=list)
    """Errors of the console, exceptions, refusals of the content security policy."""
    requests: list[str] = field(default_factory=list)
    """Addresses that it asked for."""
    navigations: int = 0
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Page.loadEventFired":
                self.navigations += 1
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.problems.append(json.dumps(params["args"]))
            case "Page.javascriptDialogOpening":
                if params["type"] == "alert":
                    self.problems.append(f"a dialog: {params['message']}")
                answered = self.send("Page.handleJavaScriptDialog", accept=True)
                self._answering = asyncio.ensure_future(answered)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.browser.send(method, self.session, **params)

    async def forget(self) -> None:
        """Leave what is shown, and what its person has kept: it is another's after that, for less than a new page costs."""
        await self.open("about:blank")
        await self.send("Network.clearBrowserCookies")
        for origin in {"/".join(url.split("/")[:3]) for url in self.requests}:
            await self.send("Storage.clearDataForOrigin", origin=origin, storageTypes="all")
        await self.send("Page.resetNavigationHistory")
        self.problems, self.requests, self.navigations = [], [], 0

    async def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **metrics)

    async def open(self, url: str) -> None:
        """Go to an address, and return when it is loaded."""
        async with self.loading():
            await self.send("Page.navigate", url=url)

    async def until_on(self, url: str, script: str) -> None:
        """Go to an address, again and again until an expression is true of what is there."""
        async with asyncio.timeout(WAIT):
            await self.open(url)
            while not await self.value(script):
                await self.open(url)

    @contextlib.asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """The body makes another page load; returns when that is loaded."""
        self._loaded.clear()
        yield
        async with asyncio.timeout(WAIT):
            await self._loaded.wait()

    async def value(self, script: str) -> Any:
        """Of an expression."""
        answer = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        """Return as soon as an expression is true; it may be looked at on several pages, one after the other."""
        problem = ""
        try:
            async with asyncio.timeout(WAIT):
                while True:
                    try:
                        if await self.value(script):
                            return
                    except (ProtocolError, AssertionError) as error:  # the page is about to be another
                        problem = str(error)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.value("location.href + ' ' + document.body.innerText.slice(0, 500)")
            raise AssertionError(f"never true: {script} {problem} {' '.join(shown.split())}") from None

    async def text(self, selector: str = "main") -> str:
        """What is to be read there."""
        return str(await self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def press(self, key: str, *, shift: bool = False) -> None:
        """One key, as a person does: on a page that is there."""
        await self.until("document.readyState === 'complete'")
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        code = _VIRTUAL.get(key, ord(key.upper()) if len(key) == 1 and key.isalnum() else 0)
        down = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0, **({"text": text} if text else {})}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **down)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def write(self, text: str) -> None:
        """Into what has the focus."""
        await self.send("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """The middle of an element, where a mouse would hit it."""
        found = json.dumps(selector)
        await self.until(f"document.readyState === 'complete' && document.querySelector({found}) !== null")
        at = await self.value(
            f"(() => {{ const e = document.querySelector({found}); e.scrollIntoView({{block: 'center'}}); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        await self._click_at(at)

    async def click_label(self, selector: str) -> None:
        """The text of the label that a field is in, which brings the focus into it."""
        found = json.dumps(selector)
        at = await self.value(
            f"(() => {{ const label = document.querySelector({found}).closest('label'); label.scrollIntoView({{block: 'center'}}); "
            "const range = document.createRange(); range.selectNodeContents(label.firstChild); "
            "const r = range.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        await self._click_at(at)

    async def _click_at(self, at: Sequence[float]) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    async def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """As PNG. whole: all of the page, not only what is seen of it."""
        answer = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """One that runs while the body does, with a profile of its own."""
    program = chromium()
    profile = tempfile.mkdtemp(prefix="souk-chromium-")
    their_in, to_browser = os.pipe()
    from_browser, their_out = os.pipe()
    # the browser reads its descriptor 3 and writes to 4
    command = f'exec "$@" 3<&{their_in} 4>&{their_out}'
    arguments = (program, *FLAGS, f"--user-data-dir={profile}", "about:blank")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command, "bash", *arguments),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=(their_in, their_out),
        env={**os.environ, "LANGUAGE": "en_US"},
    )
    os.close(their_in)
    os.close(their_out)
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_browser, "rb"))
    running = Browser(process, to_browser)
    listening = asyncio.create_task(running.listen(reader))
    try:
        yield running
    finally:
        with contextlib.suppress(ProtocolError, TimeoutError, BrokenPipeError):
            await running.send("Browser.close")
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        transport.close()
        os.close(to_browser)
        shutil.rmtree(profile, ignore_errors=True)
