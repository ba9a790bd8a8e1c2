"""What pages call things: states, severities, categories, spans of time, numbers."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from souk.monitor.v1 import error_pb2 as pb

from souk_monitor.issues import Activity
from souk_monitor.lifecycle import State
from souk_monitor.trends import Direction

SEVERITIES: Mapping[int, str] = {0: "unknown", 1: "debug", 2: "info", 3: "warning", 4: "error", 5: "fatal"}
CATEGORIES: Mapping[int, str] = {
    number: name.removeprefix("ERROR_CATEGORY_").lower().replace("_", " ") for name, number in pb.ErrorCategory.items() if number
}
STATES: Mapping[int, str] = {state.value: state.name.lower() for state in State}
DIRECTIONS: Mapping[int, str] = {
    Direction.SPIKE: "spike",
    Direction.RISING: "rising",
    Direction.FALLING: "falling",
    Direction.NEW: "new",
    Direction.STABLE: "steady",
}
KINDS: Mapping[str, str] = {
    "acknowledged": "acknowledged it",
    STATES[State.RESOLVED]: "resolved it",
    "ignored": "ignores it",
    "reopened": "opened it again",
    "regressed": "came again",
    "escalated": "escalated",
    "assigned": "assigned it to",
    "commented": "said",
    "merged": "merged into it",
    "split": "split it by",
    "created": "came for the first time",
}
_UNITS = ((timedelta(days=365), "y"), (timedelta(days=30), "mo"), (timedelta(days=1), "d"), (timedelta(hours=1), "h"))


def who(activity: Activity) -> str:
    """Who did what was done with an issue: where auth is off, and nobody said who, somebody; of what came by itself, the issue."""
    by_itself = activity.kind in ("regressed", "escalated", "created") or (activity.kind == "reopened" and activity.text)
    return activity.actor or ("it" if by_itself else "somebody")


def ago(time: datetime, now: datetime) -> str:
    """How long ago something was, in one unit: 4m, 3h, 12d."""
    span = now - time
    for unit, letter in _UNITS:
        if span >= unit:
            return f"{span // unit}{letter}"
    return f"{span // timedelta(minutes=1)}m" if span >= timedelta(minutes=1) else "now"


def short(number: float) -> str:
    """A number in four characters or so: 7, 950, 1.2k, 34k, 5.6M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            scaled = number / size
            return f"{scaled:.1f}{letter}" if scaled < 9.95 else f"{scaled:.0f}{letter}"
    return f"{number:.0f}"


def clock(time: datetime) -> str:
    """A time in full, in UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
