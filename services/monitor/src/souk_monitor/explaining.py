"""Why an event is grouped as it is: what counted and what did not, as a tree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from souk_monitor import grouping, messages, templates
from souk_monitor.events import Event, ExceptionInfo
from souk_monitor.frames import Entry
from souk_monitor.grouping import Found, Method
from souk_monitor.in_app import NO_RULES, InAppRules
from souk_monitor.platforms import family_of

_MOST_KINDS = 20
_OVERFLOWS = "it would have been a new issue, and no more of its project could be new in that hour"


@dataclass(frozen=True, slots=True)
class Component:
    """A part of what was looked at."""

    kind: str
    """event, overflow, reporter, exception, type, value, stack, frame, group, message, template."""
    value: str = ""
    """After cleaning."""
    original: str = ""
    """Before it, where that is different."""
    contributes: bool = False
    reason: str = ""
    """Why, or why not."""
    children: tuple["Component", ...] = ()


def explain(event: Event, in_app: InAppRules = NO_RULES, *, overflows: bool = False) -> Component:
    """What an event's fingerprint is made of, by the newest rules. overflows: its issue is that of too many new issues."""
    found = grouping.find(event, in_app)
    by_reporter = grouping.is_by_reporter(event)
    counts = not by_reporter or any("default" in part and part.startswith("{{") for part in event.fingerprint)
    children = [_found(event, found, counts)]
    if event.message and found.deciding:
        children.append(_value("message", event.message, event.message, contributes=False, reason="the exceptions decide"))
    if event.fingerprint:
        said = "|".join(event.fingerprint)
        children.insert(
            0, Component("reporter", said, "", by_reporter, "what the reporter groups by" if by_reporter else "the default")
        )
    if overflows:
        children.insert(0, Component("overflow", "", "", True, _OVERFLOWS))
    method = Method.REPORTER if by_reporter else found.method
    return Component("event", method.value, "", True, f"version {grouping.VERSIONS[0].number} of the rules", tuple(children))


def _found(event: Event, found: Found, counts: bool) -> Component:
    if found.deciding is None:
        return _of_message(event, found, counts)
    exception = found.deciding.exception
    parts = [
        Component("type", found.type, _if_other(exception.type, found.type), counts and bool(found.type), "without its module")
    ]
    reason = "" if found.method is Method.EXCEPTION else "no function has a name" if found.by_message else "the stack decides"
    said = grouping.worded(exception, family_of(event))
    parts.append(_value("value", exception.value, said, contributes=counts and found.by_message, reason=reason))
    if found.entries():
        parts.append(_stack(found, counts))
    if found.members:
        parts.append(
            Component("group", "", "", counts, "a set of its members", tuple(_found(event, one, counts) for one in found.members))
        )
    causes = set(map(id, found.deciding.causes)) if counts else set()
    parts.extend(_passed(other, reason, id(other) in causes) for other, reason in found.deciding.passed)
    return Component("exception", found.type, exception.type, counts, found.deciding.reason, tuple(parts))


def _of_message(event: Event, found: Found, counts: bool) -> Component:
    if found.method is Method.STACK:
        return _stack(found, counts)
    if found.method is Method.TEMPLATE:
        return Component("template", found.template, _if_other(event.template, found.template), counts, "the reporter's template")
    if not found.template:
        return Component("message", " ".join(part for part in found.parts if part), "", counts, "nothing but where it comes from")
    return _value("message", event.message, event.message, contributes=counts, reason="")


def _value(kind: str, text: str, said: str, *, contributes: bool, reason: str) -> Component:
    """A message, with what was taken for a value in it. said: the same in the wording that counts."""
    cleaned = templates.of_message(said)
    taken = sorted({messages.kind_of(word) for word in said[: messages.LONGEST].split() if word not in cleaned.split(" ")})
    found = f"values: {', '.join(taken[:_MOST_KINDS])}" if taken else ""
    return Component(kind, cleaned, _if_other(text, cleaned), contributes, "; ".join(part for part in (reason, found) if part))


def _stack(found: Found, counts: bool) -> Component:
    entries = found.entries()
    frames = tuple(_frames(entries, counts))
    any_counts = any(frame.contributes for frame in frames)
    in_app = any(entry.in_app for entry in entries)
    reason = "frames of the application" if in_app else "no frame is of the application: all of them"
    return Component("stack", "", "", any_counts, reason if any_counts or not counts else "no frame says where it is", frames)


def _frames(entries: Iterable[Entry], counts: bool) -> Iterator[Component]:
    for entry in entries:
        value = " in ".join(part for part in entry.place if part)
        yield Component("frame", value, _if_other(_original(entry), value), counts and not entry.dropped, _why(entry))


def _why(entry: Entry) -> str:
    if entry.dropped and entry.dropped != "not of the application":
        return entry.dropped
    return f"{'of' if entry.in_app else 'not of'} the application, says {entry.word}"


def _original(entry: Entry) -> str:
    frame = entry.frame
    return " in ".join(part for part in (frame.abs_path or frame.file or frame.module or frame.package, frame.function) if part)


def _passed(exception: ExceptionInfo, reason: str, contributes: bool) -> Component:
    return Component("exception", exception.type, "", contributes, reason)


def _if_other(original: str, cleaned: str) -> str:
    return original[: messages.LONGEST] if original != cleaned else ""
