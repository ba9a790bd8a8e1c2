"""Where events belong and what the rules say of them. Of one that says the same as one before that is known: errors come again."""

import marshal
from collections.abc import Callable
from hashlib import blake2b
from operator import attrgetter

from souk_monitor.events import Event, ExceptionInfo, Frame
from souk_monitor.grouping import Grouping, Method, group
from souk_monitor.in_app import InAppRules
from souk_monitor.preparing import Understanding
from souk_monitor.understanding import understand
from souk_monitor.unifying import is_synthetic

_MOST_KNOWN = 4096
_MOST_EXCEPTIONS = 10
"""Of an event that is worth a look whether it is known."""
_BY_EXCEPTIONS = frozenset((Method.STACK, Method.EXCEPTION))
_exception: Callable[[ExceptionInfo], tuple[object, ...]] = attrgetter(
    "type", "value", "module", "handled", "mechanism", "exception_id", "parent_id", "is_group", "source"
)
_frame: Callable[[Frame], tuple[object, ...]] = attrgetter("function", "module", "file", "abs_path", "package", "in_app")
"""All that rules read of exceptions and frames."""


class Judge:
    """Judges events."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, InAppRules], tuple[Grouping, Understanding]] = {}

    def __call__(self, event: Event, rules: InAppRules) -> tuple[Grouping, Understanding]:
        """What `group` and `understand` say of an event. rules: of its project."""
        key = (digest, rules) if (digest := _digest(event)) else None
        judged = self._known.get(key) if key else None
        if judged is None:
            judged = group(event, rules), understand(event)
            if key and judged[0].method in _BY_EXCEPTIONS:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = judged
        return judged


def _digest(event: Event) -> bytes:
    """Of all that an event is judged by; empty where that is more than its exceptions and what they were raised in."""
    exceptions = event.exceptions
    if not exceptions or len(exceptions) > _MOST_EXCEPTIONS or event.stack or event.fingerprint:
        return b""
    said = [(_exception(each), is_synthetic(each), tuple(map(_frame, each.frames))) for each in exceptions]
    whole = marshal.dumps((event.platform, event.transaction, event.level.value, said), 2)  # 2: equal values are equal bytes
    return blake2b(whole, digest_size=16).digest()
