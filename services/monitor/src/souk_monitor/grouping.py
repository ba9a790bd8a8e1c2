"""What an event is grouped by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from souk_monitor import engines, templates
from souk_monitor.chains import Deciding, Node, decide, tree
from souk_monitor.events import Event, ExceptionInfo
from souk_monitor.frames import Entry, Place, places_of, stack_of
from souk_monitor.functions import NAMELESS, go_type, short_type, system_code
from souk_monitor.in_app import NO_RULES, InAppRules
from souk_monitor.platforms import family_of
from souk_monitor.unifying import exceptions_of, what_failed, without_count, without_paths

MOST_MEMBERS = 32
"""Of a group, different ones, that count."""

LONGEST_TITLE = 250
MOST_OTHERS = 10
"""Messages and exceptions that an issue is also found by."""
_LONGEST_CULPRIT = 200
_DEFAULT = ("{{ default }}", "{{default}}")


class Method(Enum):
    """By what the fingerprint was made."""

    STACK = "stack"
    EXCEPTION = "exception"
    MESSAGE = "message"
    TEMPLATE = "template"
    REPORTER = "reporter"


class Grouping(NamedTuple):
    """Where an event belongs."""

    fingerprint: bytes
    """16 bytes: events of a project with the same are one issue."""
    version: int
    """Of the rules that it was made by."""
    method: Method
    title: str
    """Of the issue, in one line of 250 characters at the most."""
    culprit: str
    type: str
    message_template: str
    secondary: tuple[bytes, ...] = ()
    """What older versions of the rules make of it, the newest first: where no issue has `fingerprint`, one that has any of these
    is the event's own, and is given `fingerprint` too."""


@dataclass(slots=True)
class Found:
    """What a version of the rules finds in an event, or in a member of a group."""

    method: Method
    parts: tuple[str, ...]
    """What the fingerprint is made of."""
    deciding: Deciding | None = None
    type: str = ""
    places: Sequence[Place] = ()
    """Those of its stack that count."""
    entries: Callable[[], Sequence[Entry]] = list
    """The frames of the stack, with why they count or do not."""
    members: Sequence["Found"] = ()
    template: str = ""
    by_message: bool = False
    """Whether the template of its message counts."""

    @property
    def fingerprint(self) -> bytes:
        """Of the parts, 16 bytes. A reporter's template and a message that fits it are one issue."""
        method = Method.MESSAGE if self.method is Method.TEMPLATE else self.method
        return blake2b("\n".join((method.value, *self.parts)).encode(errors="replace"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the rules. One that has made issues is kept as it was, so that they are found again."""

    number: int
    find: Callable[[Event, InAppRules], Found]


def find(event: Event, rules: InAppRules) -> Found:
    """What decides of an event, by version 1."""
    family = family_of(event)
    root = tree(exceptions_of(event, family))
    if root is not None:
        found = _of_exception(root, family, rules)
        if found.parts != ("", ""):
            return found
    return _of_message(event, family, rules)


def _of_exception(node: Node, family: str, rules: InAppRules) -> Found:
    deciding = decide(node, family, rules)
    if deciding.members:
        return _of_group(deciding, family, rules)
    return _of_stack(deciding, family, rules)


def _of_group(deciding: Deciding, family: str, rules: InAppRules) -> Found:
    """A group is the set of its members, and where it was raised; with one kind of member it is as that one."""
    members = [_of_exception(member, family, rules) for member in deciding.members]
    different = {member.fingerprint.hex(): member for member in members}
    if len(different) == 1:
        return members[0]
    found = _of_stack(deciding, family, rules)
    found.parts = (*found.parts, *sorted(different)[:MOST_MEMBERS])
    found.members = members
    return found


def _of_stack(deciding: Deciding, family: str, rules: InAppRules) -> Found:
    exception = deciding.exception
    kind = _type(exception, family)
    template = templates.of_message(worded(exception, family))
    places = places_of(deciding.frames, family, rules)
    entries = partial(stack_of, deciding.frames, family, rules)
    causes = sorted({f"caused by {_type(cause, family)}" for cause in deciding.causes}) if deciding.causes else ()
    said = (template,) if all(name in NAMELESS for _, name in places) else ()
    if family == "go" and not kind and (failed := what_failed(exception.value)):
        said = (failed,)
    ways = sorted(set(places)) if _is_overflow(kind, template, family) else places
    parts = (kind, *[f"{module}\t{name}" for module, name in ways], *said, *causes)
    method = Method.STACK if places else Method.EXCEPTION
    return Found(method, parts, deciding, kind, places, entries, template=template, by_message=bool(said))


def _is_overflow(kind: str, template: str, family: str) -> bool:
    """Whether it is the end of a recursion of which the stack has only the last calls, so that it begins anywhere in a cycle."""
    return kind == "StackOverflowError" or (family == "javascript" and template == engines.RECURSION)


def _type(exception: ExceptionInfo, family: str) -> str:
    if family == "go":
        return go_type(f"{exception.module}.{exception.type}" if exception.module else exception.type, exception.value)
    kind = short_type(exception.type)
    if family != "javascript":
        return kind
    if not kind and exception.frames:  # as V8 begins the stack of an error whose name is empty
        kind = "Error"
    code = system_code(exception.value)
    if code:
        return f"{'Error' if kind == code else kind} {code}"  # OpenTelemetry's SDK says the code for a type
    return engines.kind_of(kind, exception.value)


def worded(exception: ExceptionInfo, family: str) -> str:
    """The message of an exception, as every engine and every SDK says it."""
    if family == "javascript":
        return without_paths(engines.worded(short_type(exception.type), exception.value))
    return without_count(exception.value) if family == "python" else exception.value


def _of_message(event: Event, family: str, rules: InAppRules) -> Found:
    """A message by its template; an event without one by the stack that it was made at, else by who made it."""
    if event.template:
        template = templates.of_template(event.template)
        return Found(Method.TEMPLATE, (template,), template=template)
    if template := templates.of_message(event.message):
        return Found(Method.MESSAGE, (template,), template=template)
    if places := places_of(event.stack, family, rules):
        entries = partial(stack_of, event.stack, family, rules)
        return Found(Method.STACK, ("", *[f"{module}\t{name}" for module, name in places]), places=places, entries=entries)
    return Found(Method.MESSAGE, (event.logger, event.transaction, event.platform))


VERSIONS = (Version(1, find),)
"""The newest first: by it fingerprints are made; by the others issues that are there are found."""


def group(event: Event, in_app: InAppRules = NO_RULES, versions: Sequence[Version] = VERSIONS) -> Grouping:
    """What an event is grouped by. Never fails: of an event that says nothing, its logger and its platform are what there is."""
    newest = versions[0]
    found = newest.find(event, in_app)
    fingerprint = _with_reporter(event, found)
    earlier = [_with_reporter(event, version.find(event, in_app)) for version in versions[1:]]
    return Grouping(
        fingerprint,
        newest.number,
        Method.REPORTER if is_by_reporter(event) else found.method,
        _title(event, found),
        _culprit(event, found),
        short_type(found.deciding.exception.type) if found.deciding else "",
        found.template[:LONGEST_TITLE],
        tuple(dict.fromkeys(one for one in earlier if one != fingerprint)) if earlier else (),
    )


def others(event: Event) -> tuple[str, ...]:
    """What else an issue is found by that an event opens: the message that was logged with an exception, and of several exceptions
    all, the outermost first."""
    if not event.exceptions:
        return ()
    told = [event.message[:LONGEST_TITLE]] if event.message else []
    if len(event.exceptions) > 1:
        told += [f"{each.type} {each.value[:LONGEST_TITLE]}" for each in event.exceptions[: -MOST_OTHERS - 1 : -1]]
    return tuple(told[:MOST_OTHERS])


def is_by_reporter(event: Event) -> bool:
    """Whether the reporter says what it is to be grouped by."""
    return bool(event.fingerprint) and any(part not in _DEFAULT for part in event.fingerprint)


def _with_reporter(event: Event, found: Found) -> bytes:
    if not is_by_reporter(event):
        return found.fingerprint
    parts = [found.fingerprint.hex() if part in _DEFAULT else part for part in event.fingerprint]
    return blake2b("\n".join((Method.REPORTER.value, *parts)).encode(errors="replace"), digest_size=16).digest()


def _title(event: Event, found: Found) -> str:
    if found.deciding is None:
        text = event.message or event.template or event.transaction or event.logger or "An event without a message"
        return " ".join(text[: 4 * LONGEST_TITLE].split())[:LONGEST_TITLE]
    exception = found.deciding.exception
    text = " ".join(exception.value[: 4 * LONGEST_TITLE].split())
    kind = " ".join(short_type(exception.type).split())
    return (f"{kind}: {text}" if kind and text else kind or text or "An exception without a name")[:LONGEST_TITLE]


def _culprit(event: Event, found: Found) -> str:
    if not found.places:
        return event.transaction[:_LONGEST_CULPRIT]
    module, name = found.places[-1]
    return (f"{module} in {name}" if module and name else module or name)[:_LONGEST_CULPRIT]
