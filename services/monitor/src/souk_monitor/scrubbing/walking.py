"""Going through all texts and names of an event."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from souk_monitor.events import Event, ExceptionInfo, Frame, Json, User
from souk_monitor.scrubbing.detectors import ADDRESS, EMAIL, SECRET, Rewrite
from souk_monitor.scrubbing.names import Name, Names
from souk_monitor.scrubbing.numbers import may_be_card
from souk_monitor.scrubbing.wallets import is_digest, is_hash, without_phrases

_EVENT = ("message", "template", "logger", "transaction", "service", "environment", "server_name")
_RELEASES = ("release", "dist")
_EXCEPTION = ("type", "value", "module", "mechanism", "source")
_FRAME = ("function", "module", "file", "abs_path")
_PACKAGE = ("package",)
_USER = ("id", "username", "email", "ip_address")
_MARKS = (SECRET, EMAIL, ADDRESS)
_MODULES = "modules"
"""The context of what is installed: names of packages and their versions."""
_WORDS = re.compile(r"[A-Za-z_.:/-]{1,100}[0-9]{0,3}")
"""A name of words, as session:duration, that gives nothing a value."""
_DEPTH = 4
_NUMBERS = (int, float)
_PAIR = 2
_NAMING = ("name", "Name", "NAME", "key", "Key", "KEY", "field", "Field", "header", "Header")
_VALUES = frozenset(("value", "Value", "VALUE", "values", "Values"))
"""Of an object that has a name and its value in fields."""
_SETTINGS_FILE = re.compile(
    r"(?i)\.(?:ya?ml|ini|cfg|conf|cnf|env|properties|toml|json|xml|sh|bash|zsh|ksh|fish|bat|cmd|service|tfvars)\Z"
    r"|(?:\A|[/\\])(?:Dockerfile[^/\\]*|\.env[^/\\]*|[._]?netrc|\.(?:npm|pypi|my|pg)[a-z]{0,8})\Z"
)
_LOGIN_FLAGS, _CURL = ("-u", "--user", "--proxy-user"), ("curl", "curl.exe")


class Rules(NamedTuple):
    """What rewrites the texts of an event."""

    texts: Sequence[Rewrite]
    source: Sequence[Rewrite]
    """Lines of source."""
    settings: Sequence[Rewrite]
    """Lines of files that are no code, and have no quotes around values."""
    places: Sequence[Rewrite]
    """Functions, modules and files."""
    names: Sequence[Rewrite]
    """Names of fields that are words."""
    packages: Sequence[Rewrite]
    """Binaries, and packages that are installed: the numbers of a version are no address, what is after an @ is no domain."""
    versions: Sequence[Rewrite]
    """The same of releases, and of what is called a version."""


class Walk:
    """Goes through one event, in place. What is not changed stays the same object."""

    def __init__(self, names: Names, rules: Rules) -> None:
        self._names = names
        self._rules = rules
        self._rewrites = rules.texts
        self._noted: list[str] = []

    def event(self, event: Event) -> list[str]:
        """Paths of what was changed."""
        if self._rewrites:
            self._fields(event, _EVENT, "", self._text)
            self._fields(event, _RELEASES, "", self._version)
        event.tags = self._mapping(event.tags, "tags")
        event.contexts = self._noted_mapping(event.contexts, self._contexts(event.contexts), "contexts")
        event.extra = self._mapping(event.extra, "extra")
        for number, exception in enumerate(event.exceptions):
            self._exception(exception, f"exceptions[{number}]")
        self._stack(event.stack, "stack")
        if event.user is not None:
            self._user(event.user)
        if self._rewrites and event.fingerprint:
            clean = tuple([_rewritten(part, self._rewrites) for part in event.fingerprint])
            if clean != event.fingerprint:
                event.fingerprint = clean
                self._noted.append("fingerprint")
        return self._noted

    def _user(self, user: User) -> None:
        if self._rewrites:
            self._fields(user, _USER[1:] if is_digest(user.id) else _USER, "user.", self._text)
            for field in _USER:  # a mark would make one user of all
                if getattr(user, field) in _MARKS:
                    setattr(user, field, "")
        user.extra = self._mapping(user.extra, "user")

    def _exception(self, exception: ExceptionInfo, path: str) -> None:
        if self._rewrites:
            self._fields(exception, _EXCEPTION, f"{path}.", self._text)
        exception.extra = self._mapping(exception.extra, path)
        self._stack(exception.frames, f"{path}.frames")

    def _stack(self, frames: Sequence[Frame], path: str) -> None:
        """All frames are looked at as one text first: mostly there is nothing in them."""
        if self._rewrites and frames:
            if _has_any("\n".join([_places_of(frame) for frame in frames]), self._rules.places):
                for frame in frames:
                    self._fields(frame, _FRAME, f"{path}.", self._place)
            if _has_any("\n".join([frame.package for frame in frames]), self._rules.packages):
                for frame in frames:
                    self._fields(frame, _PACKAGE, f"{path}.", self._package)
            kinds: tuple[list[Frame], list[Frame]] = ([], [])
            for frame in frames:
                kinds[_SETTINGS_FILE.search(frame.file or frame.abs_path) is not None].append(frame)
            for some, rewrites in zip(kinds, (self._rules.source, self._rules.settings), strict=True):
                if _has_any("\n".join([line for frame in some for line in _lines_of(frame)]), rewrites):
                    for frame in some:
                        self._lines(frame, path, rewrites)
        for frame in frames:
            if frame.local_variables:
                frame.local_variables = self._mapping(frame.local_variables, f"{path}.local_variables")
            if frame.extra:
                frame.extra = self._mapping(frame.extra, path)

    def _lines(self, frame: Frame, path: str, rewrites: Sequence[Rewrite]) -> None:
        before = _lines_of(frame)
        frame.context_line = _rewritten(frame.context_line, rewrites)
        frame.pre_context = tuple([_rewritten(line, rewrites) for line in frame.pre_context])
        frame.post_context = tuple([_rewritten(line, rewrites) for line in frame.post_context])
        if _lines_of(frame) != before:
            self._noted.append(f"{path}.context_line")

    def _fields(
        self, part: Event | ExceptionInfo | Frame | User, fields: Iterable[str], path: str, rewritten: Callable[[str], str]
    ) -> None:
        for field in fields:
            text: str = getattr(part, field)
            if text:
                clean = rewritten(text)
                if clean != text:
                    setattr(part, field, clean)
                    self._noted.append(path + field)

    def _text(self, text: str) -> str:
        return _rewritten(text, self._rewrites)

    def _place(self, text: str) -> str:
        return _rewritten(text, self._rules.places)

    def _package(self, text: str) -> str:
        return _rewritten(text, self._rules.packages)

    def _version(self, text: str) -> str:
        """A version, or a release: with a name before it, and as a hash."""
        name, at, version = text.rpartition("@")
        if is_digest(version):
            return f"{_rewritten(name, self._rules.versions)}{at}{version}"
        return _rewritten(text, self._rules.versions)

    def _name(self, name: str) -> str:
        return _rewritten(name, self._rules.names if _WORDS.fullmatch(name) else self._rewrites)

    def _mapping(self, known: Mapping[str, Json], path: str) -> Mapping[str, Json]:
        return self._noted_mapping(known, self._object(known), path) if known else known

    def _noted_mapping(self, known: Mapping[str, Json], clean: Mapping[str, Json], path: str) -> Mapping[str, Json]:
        if clean == known:
            return known
        self._noted += _differences(known, clean, path)
        return clean

    def _contexts(self, known: Mapping[str, Json]) -> Mapping[str, Json]:
        modules = known.get(_MODULES)
        if not isinstance(modules, dict) or self._names.is_sensitive(_MODULES):
            return self._object(known)
        return {**self._object({**known, _MODULES: None}), _MODULES: self._installed(modules)}

    def _installed(self, modules: Mapping[str, Json]) -> dict[str, Json]:
        """Names of packages, of which those of cookies and tokens have no secrets, and versions."""
        return {
            self._package(name): self._package(version) if version.__class__ is str else self._value(version)
            for name, version in modules.items()
        }

    def _value(self, value: Json) -> Json:
        kind = value.__class__
        if kind is str:
            return _rewritten(value, self._rewrites)
        if kind is dict:
            return self._object(value)
        if kind is list:
            return self._list(value)
        return SECRET if kind in _NUMBERS and may_be_card(value) else value

    def _object(self, known: Mapping[str, Json]) -> dict[str, Json]:
        names = self._names
        clean: dict[str, Json] = {}
        for name, value in known.items():
            verdict = names[name]
            if verdict is Name.SENSITIVE:
                clean[self._name(name)] = _hidden(value)
            elif verdict is Name.PLAIN:
                clean[name] = self._value(value)
            elif verdict is Name.HASH and value.__class__ is str and is_hash(value):
                clean[name] = value
            elif verdict is Name.VERSION and value.__class__ is str:
                clean[self._name(name)] = self._version(value)
            else:
                clean[self._name(name)] = self._value(value)
        if not _VALUES.isdisjoint(known) and self._is_named_so(known):
            clean.update((name, _hidden(known[name])) for name in _VALUES.intersection(known))
        return clean

    def _is_named_so(self, known: Mapping[str, Json]) -> bool:
        named = [known[name] for name in _NAMING if name in known]
        return any(name.__class__ is str and self._names.is_sensitive(name) for name in named)

    def _list(self, known: list[Json]) -> list[Json]:
        if len(known) == _PAIR and known[0].__class__ is str and self._names.is_sensitive(known[0]):
            return [known[0], _hidden(known[1])]
        clean = [self._value(value) for value in known]
        if self._is_version(known):
            clean[1] = self._version(known[1])
        is_curl = False
        for place, value in enumerate(known[1:], 1):
            flag = known[place - 1]
            if flag.__class__ is str and flag[:1] == "-" and value.__class__ is str:
                clean[place] = self._argument(clean[place], flag, value, is_curl=is_curl)
            is_curl = is_curl or (flag.__class__ is str and flag.endswith(_CURL))
        return list(without_phrases(clean))

    def _is_version(self, known: list[Json]) -> bool:
        """Whether it is a pair of the name of a version and of one."""
        return len(known) == _PAIR and known[0].__class__ is known[1].__class__ is str and self._names[known[0]] is Name.VERSION

    def _argument(self, clean: Json, flag: str, value: str, *, is_curl: bool) -> Json:
        """A word of a command after a flag; else what it is without secrets."""
        if value[:1] != "-" and "=" not in flag and self._names.is_sensitive(flag):
            return _hidden(value)
        if is_curl and flag in _LOGIN_FLAGS and ":" in value:
            return f"{value.partition(':')[0]}:{SECRET}"
        return clean


def _places_of(frame: Frame) -> str:
    return f"{frame.function}\n{frame.module}\n{frame.file}\n{frame.abs_path}"


def _lines_of(frame: Frame) -> tuple[str, ...]:
    return (*frame.pre_context, frame.context_line, *frame.post_context)


def _has_any(text: str, rewrites: Sequence[Rewrite]) -> bool:
    return _rewritten(text, rewrites) != text


def _rewritten(text: str, rewrites: Sequence[Rewrite]) -> str:
    length = len(text)
    for least, needed, rewrite in rewrites:
        if length >= least and needed in text:
            text = rewrite(text)
    return text


def _hidden(value: Json) -> Json:
    """What stands for the value of a sensitive name: whether there is one is no secret."""
    return value if value is None or value == "" or value.__class__ is bool else SECRET


def _differences(before: Mapping[str, Json], after: Mapping[str, Json], path: str) -> Iterator[str]:
    """Paths, two names deep, of what is not as it was."""
    for (name, old), (clean_name, new) in zip(before.items(), after.items(), strict=False):
        if old == new and name == clean_name:
            continue
        where = f"{path}.{clean_name}"
        if isinstance(old, dict) and isinstance(new, dict) and path.count(".") < _DEPTH:
            yield from _differences(old, new, where)
        else:
            yield where
