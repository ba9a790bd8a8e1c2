"""Stacks of Python as monitor takes them: frames with their source, and whether they are of the application."""

import linecache
import os
import reprlib
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType, FunctionType, ModuleType, TracebackType

from google.protobuf.struct_pb2 import Struct
from souk.monitor.v1 import error_pb2 as pb

MOST_FRAMES = 100
"""Of one stack: those at both of its ends."""
CONTEXT = 5
"""Lines of source before and after the one that was at work."""
MAX_LINE = 200
MAX_LOCALS = 40
"""Local variables of one frame."""
_DULL = (ModuleType, FunctionType, type)
"""Local variables of these kinds tell nothing."""
_LIBRARIES = ("site-packages", "dist-packages")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 200
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = _short.maxdict = 10
_short.maxlevel = 3


@dataclass(frozen=True, slots=True)
class FrameOptions:
    """What frames have."""

    in_app: Sequence[str] = ()
    """Modules of the application, as "shop", and, with - before them, those that are not. Others are told by their paths."""
    local_variables: bool = False
    """With the values of local variables, shortened."""


def of_traceback(traceback: TracebackType | None, options: FrameOptions) -> list[pb.StackFrame]:
    """The frames of an exception; the call that was made last is the last."""
    calls: list[tuple[FrameType, int]] = []
    while traceback is not None:
        calls.append((traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return [_frame(frame, line, options) for frame, line in _ends(calls)]


def of_place(path: str, line: int, function: str, module: str, options: FrameOptions) -> pb.StackFrame:
    """The one frame that is known of where a line was logged."""
    frame = pb.StackFrame(function=function, module=module, file=_shown(path), abs_path=path, line=line)
    frame.in_app = _is_in_app(path, module, options.in_app)
    _add_source(frame, path, line, None)
    return frame


def _ends(calls: Sequence[tuple[FrameType, int]]) -> Iterable[tuple[FrameType, int]]:
    half = MOST_FRAMES // 2
    return calls if len(calls) <= MOST_FRAMES else (*calls[:half], *calls[-half:])


def _frame(frame: FrameType, line: int, options: FrameOptions) -> pb.StackFrame:
    code = frame.f_code
    module = str(frame.f_globals.get("__name__") or "")
    made = pb.StackFrame(
        function=code.co_qualname if code.co_qualname.endswith(code.co_name) else code.co_name,  # a template of Jinja has its own
        module=module,
        file=_shown(code.co_filename),
        abs_path=code.co_filename,
        line=line or 0,
        column=_column(code, frame.f_lasti),
        in_app=_is_in_app(code.co_filename, module, options.in_app),
    )
    _add_source(made, code.co_filename, line, frame.f_globals)
    if options.local_variables:
        made.local_variables.CopyFrom(_locals(frame))
    return made


def _column(code: CodeType, instruction: int) -> int:
    """From 1; 0 where it is not known (PEP 657)."""
    for index, (_, _, start, _) in enumerate(code.co_positions()):
        if index == instruction // 2:
            return 0 if start is None else start + 1
    return 0


def _add_source(frame: pb.StackFrame, path: str, line: int, names: dict[str, object] | None) -> None:
    lines = linecache.getlines(path, names)
    if not 1 <= (line or 0) <= len(lines):
        return
    frame.context_line = _text(lines[line - 1])
    frame.pre_context.extend(map(_text, lines[max(0, line - 1 - CONTEXT) : line - 1]))
    frame.post_context.extend(map(_text, lines[line : line + CONTEXT]))


def _text(line: str) -> str:
    return line.rstrip("\r\n")[:MAX_LINE].encode(errors="replace").decode()


def _locals(frame: FrameType) -> Struct:
    made = Struct()
    variables = [(name, value) for name, value in frame.f_locals.items() if not (name.startswith("__") or isinstance(value, _DULL))]
    for name, value in variables[:MAX_LOCALS]:
        made[name] = shown(value)
    return made


def shown(value: object) -> str:
    """A value in a few words, whatever its own repr does."""
    try:
        text = _short.repr(value)
    except Exception:  # noqa: BLE001 — of a class of the application's
        text = f"<{type(value).__name__}>"
    return text.encode(errors="replace").decode()


@lru_cache(maxsize=10_000)
def _shown(path: str) -> str:
    """A path from where its module was found on."""
    for root in _roots(tuple(sys.path)):
        if path.startswith(root):
            return path[len(root) :]
    return path


@lru_cache(maxsize=8)
def _roots(places: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted((f"{place.rstrip(os.sep)}{os.sep}" for place in places if place), key=len, reverse=True))


def _is_in_app(path: str, module: str, rules: Sequence[str]) -> bool:
    """By the rule with the longest name that fits, else by whether it is of an installed package or of Python itself."""
    fitting = [rule for rule in rules if _covers(rule.removeprefix("-"), module)]
    if fitting:
        return not max(fitting, key=len).startswith("-")
    return not _is_library(path)


def _covers(name: str, module: str) -> bool:
    return module == name or module.startswith(f"{name}.")


@lru_cache(maxsize=10_000)
def _is_library(path: str) -> bool:
    if path.startswith("<frozen ") or any(f"{os.sep}{each}{os.sep}" in path for each in _LIBRARIES):
        return True
    return path.startswith(tuple(_library_roots()))


def _library_roots() -> Iterator[str]:
    paths: Mapping[str, str] = sysconfig.get_paths()
    for place in (paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], *_user_site()):
        yield f"{place.rstrip(os.sep)}{os.sep}"


def _user_site() -> list[str]:
    found = site.getusersitepackages() if hasattr(site, "getusersitepackages") else ""
    return [found] if isinstance(found, str) and found else []
