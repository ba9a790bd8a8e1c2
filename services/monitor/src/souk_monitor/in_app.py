"""Whether a frame is of the application rather than of a library, a framework or the runtime."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from souk_monitor import libraries
from souk_monitor.events import Event, Frame
from souk_monitor.platforms import family_of

_UNTOLD = frozenset(("go",))
"""Languages of which no word of a reporter counts: Sentry's SDK for Go takes modules that were fetched for the program's own, and
with -trimpath the program for a library."""
_VENDORING = frozenset({"php", "ruby", "go", "native", ""})


@dataclass(frozen=True, slots=True)
class InAppRules:
    """What a project says of its own frames, before the reporter and before the rules of the languages."""

    rules: tuple[tuple[str, bool], ...] = ()
    """A module (`shop.checkout`, `com.acme`, `github.com/acme/shop`) or whole folders of a path (`/srv/app`), and whether they
    are of the application. The longest that fits decides."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> "InAppRules":
        """Rules as they are set in a project's options: those that begin with - are not of the application."""
        parsed = [(text.strip().removeprefix("-").replace("\\", "/"), not text.strip().startswith("-")) for text in texts]
        return cls(tuple(sorted(((name, says) for name, says in parsed if name), key=lambda rule: (-len(rule[0]), rule))))

    def say(self, frame: Frame) -> bool | None:
        """What they say of a frame; None: nothing."""
        path = (frame.abs_path or frame.file).replace("\\", "/")
        for name, says in self.rules:
            if _begins(frame.module, name) or _begins(frame.function, name) or _holds(path, name):
                return says
        return None


NO_RULES = InAppRules()


def _begins(name: str, start: str) -> bool:
    return name.startswith(start) and (len(name) == len(start) or start[-1] in "./\\:" or name[len(start)] in "./\\:$(")


def _holds(path: str, name: str) -> bool:
    """Whether `name` is whole folders of the path: `/srv/app` of `/srv/app/a.py` and not of `/srv/apple/a.py`."""
    at = path.find(name) if "/" in name else -1
    if at < 0 or (at > 0 and name[0] != "/" and path[at - 1] != "/"):
        return False
    end = at + len(name)
    return name.endswith("/") or end == len(path) or path[end] == "/"


def is_in_app(frame: Frame, family: str, rules: InAppRules = NO_RULES) -> tuple[bool, str]:
    """Whether a frame is of the application, and by whose word."""
    if rules.rules and (said := rules.say(frame)) is not None:
        return said, "a rule of the project"
    (word,) = _heard((frame,), family)
    if word is not None:
        return word, "the reporter"
    return _by_language((frame,), family)[0], "the rules of its language"


def in_app(frames: Sequence[Frame], family: str, rules: InAppRules = NO_RULES) -> list[bool]:
    """Whether each frame of a stack is of the application."""
    if rules.rules:
        return [is_in_app(frame, family, rules)[0] for frame in frames]
    said = _heard(frames, family)
    if None not in said:
        return [bool(word) for word in said]
    found = _by_language(frames, family)
    if said.count(None) == len(said):
        return found
    return [own if word is None else word for word, own in zip(said, found, strict=True)]


def _heard(frames: Sequence[Frame], family: str) -> list[bool | None]:
    """What the reporter says of frames, as far as it counts. Sentry's SDK for Python takes whatever is below the working directory
    for the program's own, and all of the standard library where that is /."""
    if family in _UNTOLD:
        return [None] * len(frames)
    said = [frame.in_app for frame in frames]
    if family == "python":
        of_python = libraries.is_of_python
        return [None if word and of_python(frame.abs_path) else word for frame, word in zip(frames, said, strict=True)]
    return said


def settle(event: Event, rules: InAppRules) -> None:
    """Have every frame of an event say whether it is of the application, as grouping takes it."""
    family = family_of(event)
    for stack in (*(exception.frames for exception in event.exceptions), event.stack):
        for frame, said in zip(stack, in_app(stack, family, rules), strict=True):
            frame.in_app = said


def _by_language(frames: Sequence[Frame], family: str) -> list[bool]:
    """What the rules of a language say of the frames of a stack."""
    paths = [frame.abs_path or frame.file for frame in frames]
    if "\\" in "".join(paths):
        paths = [path.replace("\\", "/") for path in paths]
    theirs = libraries.are_of_others(paths, vendoring=family in _VENDORING)
    judge = _JUDGES.get(family)
    ours = judge(frames, paths) if judge else [True] * len(frames)
    return [own and not other for own, other in zip(ours, theirs, strict=True)]


def _python(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    return [
        path[:1] == "/"
        or path[1:2] == ":"
        or frame.module in ("", "__main__")
        or frame.module.partition(".")[0] not in libraries.PYTHON
        for frame, path in zip(frames, paths, strict=True)
    ]


def _javascript(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    return [bool(path or frame.module) for frame, path in zip(frames, paths, strict=True)]


def _java(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    return [not libraries.JAVA.match(frame.module) for frame in frames]


def _go(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    names = [frame.module or frame.function for frame in frames]
    ours = [
        name.partition("/" if "/" in name else ".")[0] not in libraries.GO and not name.startswith(libraries.GO_EXTENDED)
        for name in names
    ]
    own = [our and not libraries.is_fetched(path) for our, path in zip(ours, paths, strict=True)]
    return own if any(own) else ours  # a program that was fetched itself, by `go install`


def _csharp(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    return [not libraries.DOTNET.match(frame.module or frame.function) for frame in frames]


def _rust(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    return [not libraries.RUST.match(f"{frame.module}::{frame.function}" if frame.module else frame.function) for frame in frames]


def _dart(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    return [not libraries.DART.match(path) for path in paths]


def _elixir(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    spaces = [frame.module.removeprefix("Elixir.").partition(".")[0] for frame in frames]
    return [
        frame.package not in libraries.ELIXIR and space not in libraries.ELIXIR_MODULES and (not space or space[0].isupper())
        for frame, space in zip(frames, spaces, strict=True)
    ]


def _native(frames: Sequence[Frame], paths: Sequence[str]) -> list[bool]:
    return [not (frame.package and libraries.NATIVE.search(frame.package.replace("\\", "/"))) for frame in frames]


_JUDGES: dict[str, Callable[[Sequence[Frame], Sequence[str]], list[bool]]] = {
    "python": _python,
    "javascript": _javascript,
    "java": _java,
    "go": _go,
    "csharp": _csharp,
    "rust": _rust,
    "dart": _dart,
    "elixir": _elixir,
    "native": _native,
}
"""What languages say of frames with these paths, of all of a stack at once: a call for each would take most of the time."""
