"""What is said of an event, whether one like it came before or not."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from souk_monitor.events import Event, ExceptionInfo, Frame, Level, Source
from souk_monitor.grouping import group
from souk_monitor.in_app import NO_RULES, InAppRules
from souk_monitor.judging import Judge
from souk_monitor.understanding import understand

PLACE = Frame("place", "shop.orders", "shop/orders.py", "/srv/app/shop/orders.py")
ADD = Frame("add", "shop.cart", "shop/cart.py", "/srv/app/shop/cart.py")
FAILED = ExceptionInfo("TimeoutError", "the bank did not answer", "asyncio", (PLACE, ADD), handled=True)


def event(**fields: Any) -> Event:
    chosen: dict[str, Any] = {"platform": "python", "exceptions": (FAILED,), **fields}
    return Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.NATIVE, **chosen)


def failed(**fields: Any) -> Event:
    return event(exceptions=(replace(FAILED, **fields),))


ROOT = ExceptionInfo("ExceptionGroup", "2 failed", frames=(PLACE,), exception_id=0, is_group=True)


def grouped(*exceptions: ExceptionInfo) -> Event:
    """A group of these, by their numbers."""
    return event(exceptions=(*exceptions, ROOT))


MEMBER = replace(FAILED, exception_id=1, parent_id=0)
OTHER = replace(FAILED, type="BankError", exception_id=2, parent_id=0)
NATIVE = replace(FAILED, frames=(Frame("", package="/srv/shop/bin/shop"), Frame("", package="/srv/shop/bin/cart")))
BARE = replace(FAILED, frames=())
SYNTHETIC = replace(FAILED, extra={"mechanism": {"synthetic": True}})
PAIRS = {
    "type": (event(), failed(type="OrderError")),
    "value": (event(), failed(value="invalid signature")),
    "module": (failed(type="Odd", value=""), failed(type="Odd", value="", module="sqlalchemy.exc")),
    "handled": (failed(type="UserRejectedRequestError"), failed(type="UserRejectedRequestError", handled=False)),
    "mechanism": (grouped(MEMBER, OTHER), grouped(MEMBER, replace(OTHER, mechanism="suppressed"))),
    "number": (grouped(MEMBER, OTHER), grouped(MEMBER, replace(OTHER, exception_id=None))),
    "parent": (grouped(MEMBER, OTHER), grouped(MEMBER, replace(OTHER, parent_id=1))),
    "kind": (grouped(MEMBER, OTHER), event(exceptions=(MEMBER, OTHER, replace(ROOT, is_group=False)))),
    "source": (grouped(MEMBER, OTHER), grouped(MEMBER, replace(OTHER, source="__cause__"))),
    "function": (event(), failed(frames=(PLACE, replace(ADD, function="pay")))),
    "function's module": (
        event(platform="java"),
        event(platform="java", exceptions=(replace(FAILED, frames=(PLACE, replace(ADD, module="shop.till"))),)),
    ),
    "file": (
        failed(frames=(Frame("add", file="shop/cart.py"),)),
        failed(frames=(Frame("add", file="shop/till.py"),)),
    ),
    "path": (event(), failed(frames=(PLACE, replace(ADD, abs_path="/srv/app/shop/till.py")))),
    "package": (
        event(platform="native", exceptions=(NATIVE,)),
        event(platform="native", exceptions=(replace(NATIVE, frames=NATIVE.frames[:1] * 2),)),
    ),
    "in_app": (event(), failed(frames=(replace(PLACE, in_app=False), ADD))),
    "frames of one as of another": (
        event(platform="java", exceptions=(FAILED, BARE)),
        event(platform="java", exceptions=(BARE, FAILED)),
    ),
    "synthetic": (event(platform="node"), event(platform="node", exceptions=(SYNTHETIC,))),
    "platform": (event(), event(platform="java")),
    "transaction": (event(exceptions=(BARE,)), event(exceptions=(BARE,), transaction="/orders")),
    "level": (
        failed(type="UserRejectedRequestError"),
        event(exceptions=(replace(FAILED, type="UserRejectedRequestError"),), level=Level.DEBUG),
    ),
    "fingerprint": (event(), event(fingerprint=("{{ default }}", "a"))),
    "stack": (
        event(platform="", exceptions=(replace(FAILED, value="connect ECONNREFUSED", frames=()),)),
        event(
            platform="",
            exceptions=(replace(FAILED, value="connect ECONNREFUSED", frames=()),),
            stack=(replace(ADD, abs_path="/srv/a.js"),),
        ),
    ),
    "message alone": (event(exceptions=(), message="order 17 failed"), event(exceptions=(), message="the bank is closed")),
    "message of a nameless one": (
        event(exceptions=(ExceptionInfo(),), message="order 17 failed"),
        event(exceptions=(ExceptionInfo(),), message="the bank is closed"),
    ),
    "half of a pair": (failed(value="\ud800"), failed(value="\udfff a")),
}
"""Events that differ in one thing, and are not judged alike for it."""


@pytest.mark.parametrize(("one", "other"), list(PAIRS.values()), ids=list(PAIRS))
def test_what_is_said_of_an_event_does_not_depend_on_those_before(one: Event, other: Event) -> None:
    assert (group(one), understand(one)) != (group(other), understand(other))
    judge = Judge()
    for each in (one, other, one, other):
        assert judge(each, NO_RULES) == (group(each), understand(each))


def test_rules_of_one_project_say_nothing_of_another() -> None:
    judge = Judge()
    for rules in (NO_RULES, InAppRules.of(("-shop.cart",)), NO_RULES):
        assert judge(event(), rules)[0] == group(event(), rules)


def test_what_came_before_is_not_looked_at_again() -> None:
    judge = Judge()
    assert judge(event(), NO_RULES)[0] is judge(event(message="of another order"), NO_RULES)[0]
