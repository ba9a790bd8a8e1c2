"""Exceptions with their stacks, drawn for people: calls of the application stand out, those of libraries are in the background."""

from collections.abc import Iterable, Iterator

from souk.monitor.v1 import error_pb2 as pb

from souk_cli.error_facts import fact, facts
from souk_cli.visible import escape

MOST_LIBRARY_FRAMES = 3
"""Calls of libraries in a row that are drawn; of more, those at both ends."""


def draw(report: pb.ErrorReport, *, all_frames: bool = False) -> Iterator[str]:
    """Lines of markup: the exception that the program saw first, then what it came of; each with the last call first."""
    for number, exception in enumerate(reversed(report.exceptions)):
        if number:
            yield "[dim]came of[/]" if exception.parent_id == 0 and not _in_group(report) else "[dim]with[/]"
        yield from _exception(exception, all_frames=all_frames)
    if not report.exceptions and report.stack:
        yield from _frames(report.stack, all_frames=all_frames)


def _in_group(report: pb.ErrorReport) -> bool:
    return any(exception.is_group for exception in report.exceptions)


def _exception(exception: pb.ExceptionReport, *, all_frames: bool) -> Iterator[str]:
    name = f"{exception.module}.{exception.type}" if exception.module else exception.type
    how = "" if not exception.HasField("handled") else " [dim](caught)[/]" if exception.handled else " [red](not caught)[/]"
    first, *others = exception.value.splitlines() or [""]
    yield f"[bold red]{escape(name)}[/]: {escape(first)}{how}" if first else f"[bold red]{escape(name)}[/]{how}"
    yield from (f"  {escape(line)}" for line in others)
    yield from (f"  [dim]{escape(name)}[/] {escape(value)}" for name, value in facts(exception.extra))
    yield from _frames(exception.frames, all_frames=all_frames)
    if not exception.frames:
        yield from (f"  [dim]{escape(line)}[/]" for line in exception.stack_text.splitlines())


def _frames(frames: Iterable[pb.StackFrame], *, all_frames: bool) -> Iterator[str]:
    run: list[pb.StackFrame] = []
    for frame in reversed(list(frames)):
        if all_frames or frame.in_app:
            yield from _libraries(run)
            run = []
            yield from _frame(frame)
        else:
            run.append(frame)
    yield from _libraries(run)


def _libraries(frames: list[pb.StackFrame]) -> Iterator[str]:
    if len(frames) <= MOST_LIBRARY_FRAMES:
        shown, hidden = frames, 0
    else:
        shown, hidden = [frames[0]], len(frames) - 2
    for frame in shown:
        yield f"  [dim]{_place(frame)}[/]"
    if hidden:
        yield f"  [dim]… {hidden} more of libraries[/]"
        yield f"  [dim]{_place(frames[-1])}[/]"


def _frame(frame: pb.StackFrame) -> Iterator[str]:
    if not frame.in_app:
        yield f"  [dim]{_place(frame)}[/]"
        return
    yield f"  [bold]{_place(frame)}[/]"
    if not frame.context_line:
        return
    lines = [*frame.pre_context[-2:], frame.context_line, *frame.post_context[:2]]
    first = frame.line - len(frame.pre_context[-2:])
    for number, line in enumerate(lines, first):
        mark, style = ("❱", "yellow") if number == frame.line else (" ", "dim")
        yield f"    [{style}]{mark} {number:>5} │ {escape(line)}[/]"
    for name, value in frame.local_variables.items():
        yield f"      [cyan]{escape(name)}[/] = {escape(str(value))}"


def _place(frame: pb.StackFrame) -> str:
    """Of native code without symbols and files, the address says where it is."""
    address = fact(frame.extra, "instruction_addr")
    function = frame.function or fact(frame.extra, "symbol") or address or "?"
    where = frame.file or frame.abs_path or frame.package or frame.module
    line = f":{frame.line}" if frame.line else ""
    at = "" if frame.file or frame.abs_path or address in ("", function) else f" {address}"
    return f"{escape(function)}  {escape(where)}{line}{escape(at)}"
