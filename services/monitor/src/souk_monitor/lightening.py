"""What goes of an event whose body is too large: one part after the other, those that are farthest from its crash first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import orjson

from souk_monitor import crash
from souk_monitor.events import Event, Frame, Json

BREADCRUMBS = 20
"""That are kept of more."""
_LAST = frozenset(("trace", "os", "device", "app", "runtime", "mechanism", "stack_text"))
"""Of contexts, and of what is said of exceptions: what goes after all else."""
_LONGEST = 100
"""Characters of a name in the path of what is dropped."""
Freed = tuple[str, int]
"""The path of what was dropped, and no more bytes of the body than it had."""


def lighten(event: Event, over: int) -> Iterator[str]:
    """Drop parts of an event until its body is `over` bytes shorter, or none is left that can be dropped; their paths.

    That these are to be named in the body counts, too. Parts are written to be measured, each twice at the most; the body is not.
    """
    named = set(event.scrubbed_fields)
    for path, freed in chain.from_iterable(step(event) for step in _STEPS):
        yield path
        over -= freed
        if path not in named:
            named.add(path)
            over += _size(path) + 1
        if over <= 0:
            return


def _size(value: Json) -> int:
    return len(orjson.dumps(value))


def _threads(event: Event) -> Iterator[Freed]:
    """Stacks of threads that have not crashed. The first of the threads, which is the main one, keeps its own the longest."""
    threads = list(crash.threads_in(event))
    if threads:
        event.extra = {**event.extra, crash.THREADS: threads}
    for place in reversed(range(len(threads))):
        thread = threads[place]
        if crash.has_stack(thread) and not crash.has_crashed(thread):
            threads[place] = crash.without_stack(thread)
            yield f"extra.{crash.THREADS}.{crash.STACK}", _size(thread) - _size(threads[place])


def _images(event: Event) -> Iterator[Freed]:
    """Images that no frame of the crash is in."""
    images = list(crash.images_in(event))
    if not images:
        return
    are_needed = crash.are_of_crash(images, event)
    event.extra = {**event.extra, crash.IMAGES: {**event.extra[crash.IMAGES], "images": images}}
    for place in reversed(range(len(images))):
        if not are_needed[place]:
            yield f"extra.{crash.IMAGES}.images", _size(images.pop(place))


def _of_frames(event: Event, empty: Mapping[str, Any]) -> Iterator[Freed]:
    """Fields of all frames of a stack, which are named by the first. The stack of the exception that the program saw goes last.

    empty: the fields, and what is left of them.
    """
    name = next(iter(empty))
    for number, exception in enumerate(event.exceptions):
        if freed := _size_in(exception.frames, empty):
            changed = replace(exception, frames=tuple(replace(frame, **empty) for frame in exception.frames))
            event.exceptions = (*event.exceptions[:number], changed, *event.exceptions[number + 1 :])
            yield f"exceptions[{number}].frames.{name}", freed
    if freed := _size_in(event.stack, empty):
        event.stack = tuple(replace(frame, **empty) for frame in event.stack)
        yield f"stack.{name}", freed


def _size_in(frames: Sequence[Frame], empty: Mapping[str, Any]) -> int:
    """Bytes of some fields of frames."""
    if not frames:
        return 0
    return sum(_size(list(map(attrgetter(name), frames))) - _size([left] * len(frames)) for name, left in empty.items())


def _breadcrumbs(event: Event) -> Iterator[Freed]:
    """All but the newest."""
    crumbs = event.contexts.get("breadcrumbs")
    values = crumbs.get("values") if isinstance(crumbs, dict) else crumbs
    if isinstance(values, list) and len(values) > BREADCRUMBS:
        kept = values[-BREADCRUMBS:]
        event.contexts = {**event.contexts, "breadcrumbs": kept}
        yield "contexts.breadcrumbs", _size(crumbs) - _size(kept)


def _entries(event: Event, but: frozenset[str]) -> Iterator[Freed]:
    """The largest of contexts, extra, and what else is said of exceptions and the user.

    but: names of contexts, and of what is said of exceptions, that stay.
    """
    event.contexts, event.extra = dict(event.contexts), dict(event.extra)
    event.exceptions = tuple(replace(exception, extra=dict(exception.extra)) for exception in event.exceptions)
    parts: list[tuple[str, Any, frozenset[str]]] = [("contexts", event.contexts, but), ("extra", event.extra, frozenset())]
    parts += [(f"exceptions[{number}]", exception.extra, but) for number, exception in enumerate(event.exceptions)]
    if event.user is not None:
        event.user = replace(event.user, extra=dict(event.user.extra))
        parts.append(("user", event.user.extra, frozenset()))
    dumps = orjson.dumps  # of very many, without a call of a function of Python for each
    entries = [
        (len(dumps((name, part[name]))) - 2, path, name, part) for path, part, kept in parts for name in part if name not in kept
    ]
    for size, path, name, part in sorted(entries, key=itemgetter(0), reverse=True):
        del part[name]
        yield f"{path}.{name[:_LONGEST]}", size


_STEPS = (
    _threads,
    _images,
    partial(_of_frames, empty={"local_variables": {}}),
    partial(_of_frames, empty={"pre_context": (), "post_context": ()}),
    _breadcrumbs,
    partial(_entries, but=_LAST),
    partial(_of_frames, empty={"extra": {}}),
    partial(_entries, but=frozenset()),
)
