"""Stacks as they count: frames of the application, each by its place and function, whatever way they came in."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, compress
from operator import attrgetter
from typing import TypeAlias

from souk_monitor import functions
from souk_monitor.events import Frame
from souk_monitor.functions import ANONYMOUS
from souk_monitor.in_app import NO_RULES, InAppRules, in_app, is_in_app
from souk_monitor.paths import is_minified, is_url, place_of_path

MOST_FRAMES = 100
"""Of a stack: of a longer one its beginning and its end, as texts leave out the middle of deep recursion too."""

_MOST_KNOWN = 4096
"""Stacks that are known by what they say, as those of an error that happens again and again."""
_LONGEST_CYCLE = 3
_LONGEST_NAME = 400
_SHORT = 3
"""Characters of a name that a minifier may have given."""

Place: TypeAlias = tuple[str, str]
"""Where a function is (module, class or file) and its name."""


@dataclass(slots=True)
class Entry:
    """A frame of a stack, and whether it counts."""

    frame: Frame
    place: Place
    in_app: bool
    word: str
    """Who says whether it is of the application."""
    dropped: str = ""
    """Why it does not count; empty: it does."""


_ENTRIES = frozenset(("<module>", "{main}", "<main>", "<top (required)>"))
_PYTHON_INLINED = frozenset(("<listcomp>", "<dictcomp>", "<setcomp>"))
_GENERATED = frozenset(("python", "java", "go", "csharp"))
"""Families in which frames with a name may be of the compiler."""
_GO_PANICS = frozenset(("panic", "gopanic", "runtime.gopanic"))


def _python(frame: Frame) -> Place:
    path = frame.abs_path
    if not path or (path[0] not in "/\\<" and path[1:2] != ":"):
        path = frame.module.replace(".", "/") + "." if frame.module not in ("", "__main__") else path or frame.file
    return place_of_path(path), functions.python(frame.function)


def _javascript(frame: Frame) -> Place:
    path = frame.abs_path or frame.file or frame.module
    owner, name = (
        functions.javascript_method(frame.function) if "." in frame.function else ("", functions.javascript(frame.function))
    )
    if name and len(owner) > _SHORT and not is_url(path):
        name = f"{owner}.{name}"
    elif name and len(name) <= _SHORT and is_minified(path):
        name = ""
    return place_of_path(path), name


def _java(frame: Frame) -> Place:
    module = frame.module
    if not module and "." in frame.function:
        module, _, name = frame.function.rpartition(".")
        return functions.java_class(module), functions.java(name)
    return functions.java_class(module), functions.java(frame.function)


def _go(frame: Frame) -> Place:
    module, name = frame.module, frame.function
    if module and "/" not in name and "." not in module[module.rfind("/") + 1 :]:
        return (module.replace("%2e", ".") if "%" in module else module), functions.go(name)
    whole = f"{frame.module}.{frame.function}" if frame.module else frame.function
    cut = whole.find(".", whole.rfind("/", 0, whole.find("[") if "[" in whole else len(whole)) + 1)
    module = whole[:cut] if cut > 0 else ""
    return module.replace("%2e", "."), functions.go(whole[cut + 1 :])


def _csharp(frame: Frame) -> Place:
    return functions.csharp(frame.module, frame.function)


def _ruby(frame: Frame) -> Place:
    return place_of_path(frame.abs_path or frame.file), functions.ruby(frame.module, frame.function)


def _php(frame: Frame) -> Place:
    module, name = functions.php(frame.module, frame.function)
    return module or place_of_path(frame.abs_path or frame.file), name


def _rust(frame: Frame) -> Place:
    return functions.rust(f"{frame.module}::{frame.function}" if frame.module and "::" not in frame.function else frame.function)


def _elixir(frame: Frame) -> Place:
    path, name = frame.abs_path or frame.file, functions.elixir(frame.function)
    return place_of_path(path) if path else frame.module, "" if name in ANONYMOUS else name


def _native(frame: Frame) -> Place:
    name = functions.native(frame.function)
    if name not in ANONYMOUS and not name.startswith("0x"):
        return "", name
    return place_of_path(frame.package or frame.abs_path or frame.file), ""


def _by_file(frame: Frame) -> Place:
    path = frame.abs_path or frame.file
    name = frame.function
    return place_of_path(path) if path else frame.module, "" if name in ANONYMOUS else name


_PLACES: dict[str, Callable[[Frame], Place]] = {
    "python": _python,
    "javascript": _javascript,
    "java": _java,
    "go": _go,
    "csharp": _csharp,
    "ruby": _ruby,
    "php": _php,
    "rust": _rust,
    "elixir": _elixir,
    "native": _native,
}


def place_of(frame: Frame, family: str) -> Place:
    """Where a frame is, in the form that a stack text and a structured frame both give."""
    module, name = _PLACES.get(family, _by_file)(frame)
    return module[-_LONGEST_NAME:], name[-_LONGEST_NAME:]


def same_call(one: Frame, other: Frame) -> bool:
    """Whether two frames are of the same function of the same file."""
    return (
        one.function == other.function
        and one.module == other.module
        and (one.abs_path or one.file) == (other.abs_path or other.file)
    )


def _noise(frame: Frame, place: Place, family: str) -> str:
    """Why a frame never counts; empty: it may."""
    name = frame.function
    if family == "python" and place[1] in _PYTHON_INLINED:
        return "a comprehension: newer interpreters have no frame for it"
    if family == "java":
        if name.startswith("access$") or "$Proxy" in frame.module or "$$Lambda" in frame.module or "$$FastClass" in frame.module:
            return "generated by the compiler or a proxy"
    elif family == "csharp" and name.startswith("lambda_method"):
        return "compiled while the program runs, with a number that is another in every process"
    elif family == "go" and (frame.abs_path or frame.file) == "<autogenerated>":
        return "generated by the compiler"
    if place == ("", "") or place == ("*", ""):
        return "says nothing of where it is"
    if family == "javascript" and not place[1] and functions.javascript(name):
        return "minified: its name changes with every build"
    return ""


def _before_panic(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Frames of Go without those that ran after the panic: deferred functions, and what took the stack."""
    for index, frame in enumerate(frames):
        if frame.function in _GO_PANICS and frame.module in ("", "runtime"):
            return frames[:index] if index else frames
    return frames


def _way_in(places: Sequence[Place]) -> int:
    """How many are the way into a program: a script's own level differs by how it is started. None where it is all."""
    if not places or places[0][1] not in _ENTRIES:
        return 0
    return next((number for number, (_, name) in enumerate(places) if name not in _ENTRIES), 0)


def _first_rounds(places: Sequence[Place]) -> list[bool]:
    """Of functions that call each other again and again, whether each is of the first round."""
    if len(set(places)) == len(places):
        return [True] * len(places)
    last: deque[Place] = deque(maxlen=_LONGEST_CYCLE)
    first = []
    for place in places:
        is_first = place not in last
        first.append(is_first)
        if is_first:
            last.append(place)
    return first


def _looked_at(frames: Sequence[Frame], family: str) -> Sequence[Frame]:
    """Those of a stack that may count."""
    if family == "go":
        frames = _before_panic(frames)
    if len(frames) > MOST_FRAMES:
        frames = (*frames[: MOST_FRAMES // 2], *frames[-MOST_FRAMES // 2 :])
    return frames


def has_in_app(frames: Sequence[Frame], family: str, rules: InAppRules = NO_RULES) -> bool:
    """Whether a stack has a frame of the application."""
    return any(in_app(frames, family, rules))


def stack_of(frames: Sequence[Frame], family: str, rules: InAppRules = NO_RULES) -> list[Entry]:
    """Frames with what they count for: those of the application, or all where none is; the call that was made last is the last."""
    frames = _looked_at(frames, family)
    judged = [is_in_app(frame, family, rules) for frame in frames]
    any_in_app = any(said for said, _ in judged)
    entries = []
    for frame, (said, word) in zip(frames, judged, strict=True):
        if any_in_app and not said:
            place = (frame.module or frame.file or frame.abs_path, frame.function)
            entries.append(Entry(frame, place, said, word, "not of the application"))
        else:
            place = place_of(frame, family)
            entries.append(Entry(frame, place, said, word, _noise(frame, place, family)))
    _drop(entries)
    return entries


def _drop(entries: Sequence[Entry]) -> None:
    """Say of those that may count which do not for where they are."""
    left = [entry for entry in entries if not entry.dropped]
    way_in = _way_in(counting(left))
    for entry in left[:way_in]:
        entry.dropped = "the way in"
    for entry, is_first in zip(left[way_in:], _first_rounds(counting(left)), strict=True):
        if not is_first:
            entry.dropped = "recursion"


def counting(entries: Sequence[Entry]) -> list[Place]:
    """The places that count, the call that was made last as the last."""
    return [entry.place for entry in entries if not entry.dropped]


def _counting(frames: Sequence[Frame], family: str, rules: InAppRules) -> tuple[Place, ...]:
    """The same of a stack, of which nobody asks what does not count."""
    frames = _looked_at(frames, family)
    of_app = list(compress(frames, in_app(frames, family, rules))) or frames
    found = map(_PLACES.get(family, _by_file), of_app)
    named_count = family not in _GENERATED
    places = [
        (place[0][-_LONGEST_NAME:], place[1][-_LONGEST_NAME:])
        for frame, place in zip(of_app, found, strict=True)
        if (named_count and place[1]) or not _noise(frame, place, family)
    ]
    del places[: _way_in(places)]
    return tuple(compress(places, _first_rounds(places)))


_texts: Callable[[Frame], tuple[str, ...]] = attrgetter("function", "module", "file", "abs_path", "package")
_word: Callable[[Frame], bool | None] = attrgetter("in_app")
"""All of a frame that decides of its place, and whether it counts."""
_glances: set[tuple[int, str, str]] = set()
"""What stacks had at a glance: only one that looks like another is worth the hash of all that it says."""
_known: dict[tuple[bytes, tuple[bool | None, ...], str, InAppRules], tuple[Place, ...]] = {}


def places_of(frames: Sequence[Frame], family: str, rules: InAppRules = NO_RULES) -> tuple[Place, ...]:
    """The places that count of a stack. One that says the same as others is not looked at again."""
    if not frames:
        return ()
    glance = (len(frames), frames[-1].function, frames[-1].module)
    if glance not in _glances:
        if len(_glances) >= _MOST_KNOWN:
            _glances.clear()
        _glances.add(glance)
        return _counting(frames, family, rules)
    texts = "\0".join(chain.from_iterable(map(_texts, frames)))
    key = (blake2b(texts.encode(errors="surrogatepass"), digest_size=16).digest(), tuple(map(_word, frames)), family, rules)
    places = _known.get(key)
    if places is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        places = _known[key] = _counting(frames, family, rules)
    return places
