"""Threads and images (binaries that were loaded) of an event, as SDKs for native code send them: which are of the crash itself."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, compress, islice
from typing import NamedTuple

from souk_monitor.events import Event, Json

THREADS, IMAGES = "threads", "debug_meta"
"""Where they are in an event's `extra`."""
STACK = "stacktrace"
"""Of a thread."""
_TRUE = (True, "true", "True", "1")
_MOST_THREADS, _MOST_FRAMES, _MOST_IMAGES = 1000, 1000, 2000
"""Threads that are asked whether they crashed, frames of those that did, and images, that are looked at."""
_LONGEST = 40
"""Characters of a number that is read."""


class _Place(NamedTuple):
    """What a frame says of where its code is."""

    paths: tuple[Json, Json]
    addresses: tuple[Json, Json]
    mode: Json


def threads_in(event: Event) -> Sequence[Json]:
    """Its threads; none where they are no list."""
    threads = event.extra.get(THREADS)
    return threads if isinstance(threads, list) else ()


def images_in(event: Event) -> Sequence[Json]:
    """Its images; none where they are no list."""
    known = event.extra.get(IMAGES)
    images = known.get("images") if isinstance(known, dict) else None
    return images if isinstance(images, list) else ()


def has_crashed(thread: Json) -> bool:
    """Whether a thread is the one that crashed, or that reported."""
    return isinstance(thread, dict) and (thread.get("crashed") in _TRUE or thread.get("current") in _TRUE)


def has_stack(thread: Json) -> bool:
    """Whether a thread has a stack."""
    return isinstance(thread, dict) and bool(thread.get(STACK))


def without_stack(thread: Json) -> Json:
    """What else is said of a thread."""
    if not isinstance(thread, dict):
        return thread
    rest = dict(thread)
    rest.pop(STACK, None)
    return rest


def are_of_crash(images: Sequence[Json], event: Event) -> list[bool]:
    """Of each of an event's images, whether a frame of its exceptions, its stack or the thread that crashed is in it.

    It is taken to be so of an image that has neither an address nor a file, and of all where frames count them (addr_mode rel:3).
    """
    places = list(_places(event))
    if any(isinstance(place.mode, str) and place.mode.startswith("rel") for place in places):
        return [True] * len(images)
    addresses = sorted({address for place in places for given in place.addresses if (address := _number(given)) is not None})
    files = {_file(path) for place in places for path in place.paths} - {""}
    return [isinstance(image, dict) and _is_referred_to(image, addresses, files) for image in images]


def values_in(images: Sequence[Json]) -> int:
    """How many values images are."""
    return len(images) + sum([len(image) for image in images if isinstance(image, dict)])


def some_of(images: Sequence[Json], event: Event, most: int, values: int) -> list[Json]:
    """Those of the crash, and the first of the others, as long as there are no more than so many images and values.

    Of very many, the first 2,000 are looked at.
    """
    images = images[:_MOST_IMAGES]
    are_kept = are_of_crash(images, event)
    most -= sum(are_kept)
    values -= values_in(list(compress(images, are_kept)))
    for place in range(len(images)):
        if most <= 0 or values <= 0:
            break
        if not are_kept[place]:
            are_kept[place] = True
            most, values = most - 1, values - values_in(images[place : place + 1])
    return list(compress(images, are_kept))


def _places(event: Event) -> Iterator[_Place]:
    for frames in (event.stack, *(exception.frames for exception in event.exceptions)):
        for frame in frames:
            yield _place(frame.extra, frame.package, frame.abs_path)
    crashed = chain.from_iterable(_frames_of(thread) for thread in threads_in(event)[:_MOST_THREADS] if has_crashed(thread))
    for given in islice(crashed, _MOST_FRAMES):
        if isinstance(given, dict):
            yield _place(given, given.get("package"), given.get("abs_path"))


def _frames_of(thread: Mapping[str, Json]) -> Sequence[Json]:
    stack = thread.get(STACK)
    frames = stack.get("frames") if isinstance(stack, dict) else None
    return frames if isinstance(frames, list) else ()


def _place(said: Mapping[str, Json], package: Json, path: Json) -> _Place:
    return _Place((package, path), (said.get("instruction_addr"), said.get("image_addr")), said.get("addr_mode"))


def _is_referred_to(image: Mapping[str, Json], addresses: Sequence[int], files: set[str]) -> bool:
    start = _number(image.get("image_addr"))
    if start is not None:
        place = bisect_left(addresses, start)
        if place < len(addresses) and addresses[place] < start + (_number(image.get("image_size")) or 1):
            return True
    file = image.get("code_file") or image.get("name")
    return _file(file) in files if file else start is None


def _file(path: Json) -> str:
    """The last part of a path."""
    return path.replace("\\", "/").rpartition("/")[2] if isinstance(path, str) else ""


def _number(given: Json) -> int | None:
    """A number as SDKs write addresses: 4096, "4096", "0x1000"."""
    if isinstance(given, str) and len(given) <= _LONGEST:
        try:
            return int(given, 16 if given[:2] in ("0x", "0X") else 10)
        except ValueError:
            return None
    return given if given.__class__ is int else None
