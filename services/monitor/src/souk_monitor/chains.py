"""Which of an event's exceptions decides where it belongs: wrappers do not, causes do, and members of a group do together.

Of a cause that happened within libraries the type counts, too: it is what failed, and the place is the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from souk_monitor.events import ExceptionInfo, Frame
from souk_monitor.frames import has_in_app, same_call
from souk_monitor.functions import short_type
from souk_monitor.in_app import InAppRules

MOST_EXCEPTIONS = 100
"""Of an event; the last ones, which the program saw."""

_IMPLICIT = frozenset(("python", "ruby"))
"""Languages that note as cause whatever was being handled."""

_CONTROL = frozenset(("CancelledError", "StopIteration", "StopAsyncIteration", "GeneratorExit", "TaskCanceledException"))
"""Ways of a program rather than failures: never what decides, where something else can."""

_MISSED = frozenset(
    word
    for line in (
        "KeyError IndexError AttributeError LookupError TypeError ValueError UnicodeDecodeError NotImplementedError",
        "ImportError ModuleNotFoundError Empty QueueEmpty Full QueueFull EndOfStream BlockingIOError WouldBlock",
        "SSLWantReadError SSLWantWriteError WaitReadable WaitWritable EAGAINWaitReadable EAGAINWaitWritable",
        "SSLErrorWaitReadable SSLErrorWaitWritable",
    )
    for word in line.split()
)
"""What libraries try first, and how they wait: where another failed while it was handled, it is no cause. Also where it is named
(`raise … from error`), which Sentry's SDK does not tell."""

_OUTERMOST = frozenset(("python",))
"""Languages for which Sentry's SDK sends the members of a group only where nothing wraps it: elsewhere they do not count."""

_UNTOLD = frozenset(("go",))
"""Languages whose texts do not say of what type a cause is."""


@dataclass(slots=True)
class Node:
    """An exception with what it came of."""

    exception: ExceptionInfo
    cause: "Node | None" = None
    members: list["Node"] = field(default_factory=list)
    """Of a group."""
    in_app_below: bool | None = None
    """Whether it, or what it came of, has a frame of the application. None: nobody has asked yet."""


@dataclass(slots=True)
class Deciding:
    """What decides."""

    exception: ExceptionInfo
    frames: tuple[Frame, ...]
    """Its stack, from where the program began: in some languages a cause has only the part below the one who caught it."""
    members: list[Node]
    reason: str
    passed: list[tuple[ExceptionInfo, str]]
    """The others of its chain, outermost first, and why they do not decide."""
    causes: tuple[ExceptionInfo, ...] = ()
    """Of those, what it came of within libraries: their types count."""


def tree(exceptions: Sequence[ExceptionInfo]) -> Node | None:
    """The exception that the program saw, with its causes and members."""
    exceptions = exceptions[-MOST_EXCEPTIONS:]
    if not exceptions:
        return None
    if any(
        exception.exception_id is not None and (exception.is_group or exception.parent_id is not None) for exception in exceptions
    ):
        return _by_number(exceptions)
    root = None
    for exception in exceptions:
        root = Node(exception, cause=root)
    return root


def _by_number(exceptions: Sequence[ExceptionInfo]) -> Node:
    nodes = {exception.exception_id: Node(exception) for exception in exceptions if exception.exception_id is not None}
    root = nodes[min(number for number in nodes if number is not None)]
    for number in sorted(number for number in nodes if number is not None):
        node = nodes[number]
        parent = nodes.get(_parent(node.exception, number))
        if node is root or parent is None or node.exception.mechanism == "suppressed":
            continue
        if parent.exception.is_group and not _is_cause(node.exception):
            parent.members.append(node)
        elif parent.cause is None:
            parent.cause = node
    return root


def _is_cause(exception: ExceptionInfo) -> bool:
    return exception.source in ("__cause__", "__context__", "cause")


def _parent(exception: ExceptionInfo, number: int) -> int:
    """The number of its parent, smaller than its own; -1: none.

    Sentry's SDK for Python says 0 of every cause, and means the one before.
    """
    parent = exception.parent_id
    if not parent and exception.source in ("__cause__", "__context__"):
        return number - 1
    return parent if parent is not None and parent < number else -1


def _joined(outer: Sequence[Frame], inner: Sequence[Frame]) -> tuple[Frame, ...]:
    """The inner stack with the outer's part above it, where it begins in the midst of the outer."""
    if not inner:
        return tuple(outer)
    for index in range(len(outer) - 1, -1, -1):
        if same_call(outer[index], inner[0]):
            return (*outer[:index], *inner)
    return tuple(inner)


def _without_handler(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Ruby shows the `rescue` that raised as a call of its own, below the method that it is in."""
    while len(frames) > 1:
        handler, _, method = frames[-1].function.partition(" in ")
        if handler not in ("rescue", "ensure") or method != frames[-2].function:
            break
        frames = frames[:-1]
    return frames


def _goes_deeper(outer: Sequence[Frame], inner: Sequence[Frame]) -> bool:
    """Whether the outer one was raised below the function that handled the inner one: it is no wrapper then."""
    outer = _without_handler(outer)
    common = 0
    for one, other in zip(outer, inner, strict=False):
        if not same_call(one, other):
            break
        common += 1
    return 0 < common < len(outer)


def decide(node: Node, family: str, rules: InAppRules) -> Deciding:
    """The innermost cause with frames of the application, else the innermost with frames, else the innermost.

    A group's members decide together, but where only what wraps the group is of the application.
    """
    chain = [node]
    while not chain[-1].members and (cause := chain[-1].cause) is not None:
        chain.append(cause)
    exceptions = [link.exception for link in chain]
    members = [] if len(chain) > 1 and family in _OUTERMOST else chain[-1].members
    below = any(_in_app_below(member, family, rules) for member in members)
    if members and (below or not any(has_in_app(one.frames, family, rules) for one in exceptions)):
        return _group(chain)
    return _innermost(exceptions, [end for member in members for end in _ends(member)], family, rules)


def _in_app_below(node: Node, family: str, rules: InAppRules) -> bool:
    if node.in_app_below is None:
        below = node.members if node.cause is None else [*node.members, node.cause]
        node.in_app_below = has_in_app(node.exception.frames, family, rules) or any(
            _in_app_below(one, family, rules) for one in below
        )
    return node.in_app_below


def _ends(node: Node) -> list[ExceptionInfo]:
    """What an exception came of in the end."""
    while not node.members and node.cause is not None:
        node = node.cause
    return [end for member in node.members for end in _ends(member)] or [node.exception]


def _group(chain: Sequence[Node]) -> Deciding:
    group = chain[-1]
    passed = [(link.exception, "a wrapper of the group") for link in chain[:-1]]
    return Deciding(group.exception, group.exception.frames, group.members, "its members decide together", passed)


def _innermost(chain: Sequence[ExceptionInfo], ends: Sequence[ExceptionInfo], family: str, rules: InAppRules) -> Deciding:
    """ends: what members of a group at the end of the chain came of."""
    if len(chain) == 1 and not ends:
        return Deciding(chain[0], chain[0].frames, [], "the only one", [])
    chosen, frames, end = _last_in_app(chain, family, rules)
    reason = "the innermost with frames of the application"
    if chosen is None:
        failures = [index for index, exception in enumerate(chain) if short_type(exception.type) not in _CONTROL] or [0]
        with_frames = [index for index in failures if chain[index].frames]
        chosen = (with_frames or failures)[-1]
        frames, reason = chain[chosen].frames, "the innermost" + (" with frames" if with_frames else "")
    if family in _UNTOLD:
        causes: tuple[ExceptionInfo, ...] = ()
    else:
        causes = tuple(ends) if ends and end == len(chain) else _causes(chain[chosen + 1 : end], family)
    counting = set(map(id, (chain[chosen], *causes)))
    passed = [(each, _why_not(index, chosen, end)) for index, each in enumerate(chain) if id(each) not in counting]
    passed += [(cause, "a cause within libraries: its type counts") for cause in causes]
    return Deciding(chain[chosen], frames, [], reason, passed, causes)


def _causes(tail: Sequence[ExceptionInfo], family: str) -> tuple[ExceptionInfo, ...]:
    """What a chain came of in the end, of that of it which happened within libraries."""
    causes: tuple[ExceptionInfo, ...] = ()
    for exception in tail:
        kind = short_type(exception.type)
        if kind in _MISSED and family in _IMPLICIT:
            break
        if family == "python" and not exception.frames:  # never raised: a traceback does not show it as a cause
            continue
        if kind and kind not in _CONTROL:
            causes = (exception,)
    return causes


def _why_not(index: int, chosen: int, end: int) -> str:
    if index < chosen:
        return "a wrapper"
    return "what was being handled when another failed" if index >= end else "no frames of the application"


def _last_in_app(chain: Sequence[ExceptionInfo], family: str, rules: InAppRules) -> tuple[int | None, tuple[Frame, ...], int]:
    """The innermost that may decide, its whole stack, and where looking further ended."""
    chosen: int | None = None
    frames: tuple[Frame, ...] = ()
    joined: tuple[Frame, ...] = ()
    for index, exception in enumerate(chain):
        joined = _joined(joined, exception.frames)
        if short_type(exception.type) in _CONTROL or not has_in_app(exception.frames, family, rules):
            continue
        if chosen is not None and family in _IMPLICIT and _goes_deeper(frames, joined):
            return chosen, frames, index
        chosen, frames = index, joined
    return chosen, frames, len(chain)
