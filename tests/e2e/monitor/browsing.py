"""What tests of the dashboard in a browser have in common: errors to look at, and a hand that works a page by mouse or by keys."""

import itertools
import json
from dataclasses import dataclass
from typing import Any

from browsers import Page
from monitor_serving import Monitor
from souk.monitor.v1 import error_pb2 as pb

MOST_TABS = 150
"""Until the focus has been everywhere on a page."""
_numbers = itertools.count(1)


def site(monitor: Monitor, path: str = "") -> str:
    return f"http://{monitor.server.addresses.http}{path}"


async def report(monitor: Monitor, kind: str = "", value: str = "it failed", **fields: Any) -> tuple[str, str]:
    """An error of a kind of its own; (id of the issue, kind)."""
    kind = kind or f"Kind{next(_numbers)}Error"
    frame = pb.StackFrame(function="pay", module="shop.pay", file="shop/pay.py", line=3, in_app=True, context_line="pay(order)")
    exception = pb.ExceptionReport(type=kind, value=value, frames=[frame])
    made = pb.ErrorReport(platform="python", exceptions=[exception], release="shop@1.0", **fields)
    (result,) = (await monitor.errors.ReportErrors(pb.ReportErrorsRequest(reports=[made]))).results
    return result.accepted.issue_id, kind


async def issue(monitor: Monitor, number: str) -> pb.GetIssueResponse:
    return await monitor.errors.GetIssue(pb.GetIssueRequest(issue_id=number))


@dataclass
class Hand:
    """Works a page as a person does who has only a mouse, or only keys: nothing is brought about by a script."""

    page: Page
    by: str
    """mouse or keys."""

    async def reach(self, selector: str, key: str = "") -> None:
        """Bring the focus into a field: by a click, or by a shortcut of the page, or by Tab."""
        if self.by == "mouse":
            await self.page.click(selector)
        elif key:
            await self._shortcut(key)
        else:
            await self._tab_to(selector)

    async def reach_part(self, selector: str) -> None:
        """The first part of a field of several, or a list, without opening it."""
        await (self.page.click_label(selector) if self.by == "mouse" else self._tab_to(selector))

    async def push(self, selector: str, key: str = "") -> None:
        """A button, a link, a check box, a menu: by a click, by a shortcut, or by Tab and the key that pushes it."""
        if self.by == "mouse":
            await self.page.click(selector)
        elif key:
            await self._shortcut(key)
        else:
            await self._tab_to(selector)
            is_box = await self.page.value("['checkbox', 'radio'].includes(document.activeElement.type)")
            await self.page.press(" " if is_box else "Enter")

    async def fill(self, selector: str, text: str, key: str = "") -> None:
        """Write into a field."""
        await self.reach(selector, key)
        await self.page.until(f"document.activeElement.matches({json.dumps(selector)})")
        await self.page.write(text)

    async def choose(self, selector: str, value: str) -> None:
        """Of a list, whose own popup no test reaches: with the focus in it, arrows go through it."""
        await self.reach_part(selector)
        ahead = (
            "[...document.activeElement.options].findIndex((option) => option.value === {}) - document.activeElement.selectedIndex"
        )
        by = await self.page.value(ahead.format(json.dumps(value)))
        for _ in range(abs(by)):
            await self.page.press("ArrowDown" if by > 0 else "ArrowUp")
        assert await self.page.value("document.activeElement.value") == value

    async def _shortcut(self, key: str) -> None:
        await self.page.press(key, shift=key.isupper())

    async def _tab_to(self, selector: str) -> None:
        for _ in range(MOST_TABS):
            await self.page.press("Tab")
            if await self.page.value(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"Tab does not lead to {selector}")
