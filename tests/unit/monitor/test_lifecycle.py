"""What becomes of issues: by people, by events, by releases and by time."""

from datetime import UTC, datetime, timedelta

import pytest
from souk_monitor.lifecycle import (
    Acknowledge,
    Action,
    Came,
    Change,
    Counted,
    Ignore,
    Reopen,
    Resolve,
    State,
    Status,
    act,
    after_events,
    after_merge,
    after_spike,
    end_of_ignoring,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SEEN = {
    "a": NOW - 3 * HOUR,
    "b": NOW - 2 * HOUR,
    "shop@2.0.0": NOW - HOUR,
    "shop@1.9.0": NOW,
    "ccc333": NOW + HOUR,
    "ddd444": NOW + 2 * HOUR,
}
COUNTED = Counted(events=10, users=4, newest_release="b")


def after(action: Action, *releases: str, when: datetime = NOW + HOUR) -> State:
    """The state of an issue with which this was done, when events of these releases come."""
    status = act(action, COUNTED, NOW).status
    turned = after_events(status, COUNTED, [Came(release, when) for release in releases], SEEN, when)
    return (turned.status if turned else status).state


@pytest.mark.parametrize(
    ("action", "release", "expected"),
    [
        (Resolve(), "a", State.REGRESSED),
        (Resolve(), "", State.REGRESSED),
        (Resolve("b"), "a", State.RESOLVED),
        (Resolve("b"), "b", State.REGRESSED),
        (Resolve("b"), "", State.RESOLVED),
        (Resolve("a"), "b", State.REGRESSED),
        (Resolve("shop@2.0.0"), "shop@1.9.0", State.RESOLVED),
        (Resolve("shop@1.9.0"), "shop@2.0.0", State.REGRESSED),
        (Resolve("shop@1.9.0"), "shop@1.10.0-rc.1", State.REGRESSED),
        (Resolve("shop@2.0.0"), "shop@2.0.0-rc.1", State.RESOLVED),
        (Resolve("1.4"), "shop@1.3", State.RESOLVED),
        (Resolve("1.4"), "shop@1.4", State.REGRESSED),
        (Resolve("1.4"), "shop@1.5", State.REGRESSED),
        (Resolve("shop@1.4"), "2.0", State.REGRESSED),
        (Resolve("shop@1.4"), "1.3", State.RESOLVED),
        (Resolve("api@1.4"), "shop@2.0.0", State.RESOLVED),
        (Resolve("fff000"), "a", State.RESOLVED),
        (Resolve("fff000"), "ccc333", State.REGRESSED),
        (Resolve("ddd444"), "ccc333", State.REGRESSED),
        (Resolve(in_next_release=True), "b", State.RESOLVED),
        (Resolve(in_next_release=True), "a", State.RESOLVED),
        (Resolve(in_next_release=True), "ccc333", State.REGRESSED),
        (Acknowledge(), "a", State.ACKNOWLEDGED),
        (Reopen(), "a", State.OPEN),
        (Ignore(), "a", State.IGNORED),
    ],
)
def test_an_event_regresses_what_is_resolved_where_its_release_counts(action: Action, release: str, expected: State) -> None:
    assert after(action, release) is expected


def test_what_happened_before_it_was_resolved_is_only_late() -> None:
    assert after(Resolve(), "a", when=NOW - HOUR) is State.RESOLVED


@pytest.mark.parametrize(
    ("ignore", "counted", "later", "change"),
    [
        (Ignore(until_time=NOW + HOUR), COUNTED, 2 * HOUR, Change.UPDATED),
        (Ignore(until_time=NOW + HOUR), COUNTED, HOUR / 2, None),
        (Ignore(until_events=5), Counted(15, 4), HOUR, Change.ESCALATED),
        (Ignore(until_events=5), Counted(14, 4), HOUR, None),
        (Ignore(until_users=2), Counted(99, 6), HOUR, Change.ESCALATED),
        (Ignore(until_users=2), Counted(99, 5), HOUR, None),
    ],
)
def test_ignoring_ends_when_it_was_said(ignore: Ignore, counted: Counted, later: timedelta, change: Change | None) -> None:
    turned = end_of_ignoring(act(ignore, COUNTED, NOW).status, counted, NOW + later)
    assert (turned.change if turned else None) is change


def test_a_spike_ends_ignoring_and_nothing_else() -> None:
    turned = after_spike(act(Ignore(), COUNTED, NOW).status, "much")
    assert turned is not None
    assert (turned.status.state, turned.change) == (State.OPEN, Change.ESCALATED)
    assert after_spike(Status(State.RESOLVED), "much") is None


@pytest.mark.parametrize(
    ("into", "others", "expected"),
    [
        (State.RESOLVED, [State.OPEN], State.OPEN),
        (State.IGNORED, [State.OPEN, State.REGRESSED], State.REGRESSED),
        (State.RESOLVED, [State.ACKNOWLEDGED, State.IGNORED], State.ACKNOWLEDGED),
        (State.ACKNOWLEDGED, [State.OPEN], State.OPEN),
        (State.ACKNOWLEDGED, [State.ACKNOWLEDGED, State.RESOLVED], State.ACKNOWLEDGED),
        (State.RESOLVED, [State.IGNORED], State.RESOLVED),
        (State.OPEN, [State.RESOLVED], State.OPEN),
    ],
)
def test_an_issue_is_to_be_seen_to_as_those_that_go_into_it(into: State, others: list[State], expected: State) -> None:
    turned = after_merge(Status(into), [Status(other) for other in others])
    assert (turned.status.state if turned else into) is expected
