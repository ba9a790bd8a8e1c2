"""Text of others on a terminal: it is shown, and controls nothing."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from souk.dbopt.v1 import insight_pb2
from souk.monitor.v1 import error_pb2 as pb
from souk_cli import display, error_stack, errors_list, errors_show, plan_tree
from souk_cli.visible import VisibleConsole, escape, visible

HOSTILE = "a\x1b]0;owned\x07b\x1b[2Jc\rd\x9b31me\u202ef\u2066g\x7fh"
SHOWN = r"a\x1b]0;owned\x07b\x1b[2Jc\x0dd\x9b31me\u202ef\u2066g\x7fh"
STYLES = re.compile("\x1b\\[[0-9;]*m")
"""What rich writes itself."""
CONTROLS = re.compile("[^\t\n -~\xa0-\u2027\u202f-\u2065\u206a-\U0010ffff]")
"""Whatever is not plainly to be seen."""


def printed(*shown: RenderableType) -> str:
    """What a terminal gets, without the styles."""
    terminal = VisibleConsole(file=io.StringIO(), force_terminal=True, width=400, highlight=False, legacy_windows=False)
    for each in shown:
        terminal.print(each, soft_wrap=True)
    assert isinstance(terminal.file, io.StringIO)
    return STYLES.sub("", terminal.file.getvalue())


def issue() -> pb.Issue:
    return pb.Issue(short_id="SHOP-1", title=HOSTILE, culprit=HOSTILE, assignee=HOSTILE, state=pb.ISSUE_STATE_OPEN)


def a_stack() -> Iterator[RenderableType]:
    frame = pb.StackFrame(function=HOSTILE, file=HOSTILE, line=1, in_app=True, context_line=HOSTILE)
    frame.local_variables[HOSTILE] = HOSTILE
    exception = pb.ExceptionReport(type=HOSTILE, module=HOSTILE, value=HOSTILE, frames=[frame, pb.StackFrame(function=HOSTILE)])
    bare = pb.ExceptionReport(type="E", stack_text=HOSTILE)
    yield from error_stack.draw(pb.ErrorReport(exceptions=[bare, exception]), all_frames=True)


def a_list_of_issues() -> Iterator[RenderableType]:
    yield errors_list.issues_table([issue()])


def an_issue() -> Iterator[RenderableType]:
    report = pb.ErrorReport(message=HOSTILE, tags={HOSTILE: HOSTILE}, user=pb.ReportedUser(id=HOSTILE, username=HOSTILE))
    yield from errors_show.lines(
        pb.GetIssueResponse(
            issue=issue(),
            latest_event=pb.ErrorEvent(report=report),
            activity=[pb.IssueActivity(kind="commented", actor=HOSTILE, text=HOSTILE)],
        ),
        all_frames=True,
    )


def a_plan() -> Iterator[RenderableType]:
    plan = insight_pb2.Plan(
        root=insight_pb2.PlanNode(type="Seq Scan", relation=HOSTILE, index=HOSTILE, conditions={"Filter": HOSTILE})
    )
    yield plan_tree.draw(plan)
    yield plan_tree.draw_both(plan, plan)


def what_nobody_escaped() -> Iterator[RenderableType]:
    table = Table()
    table.add_column(Text(HOSTILE))
    table.add_row(HOSTILE)
    yield from (table, Text(HOSTILE), HOSTILE)


@pytest.mark.parametrize("drawn", [a_stack, a_list_of_issues, an_issue, a_plan, what_nobody_escaped])
def test_nothing_of_others_controls_the_terminal(drawn: Callable[[], Iterator[RenderableType]]) -> None:
    text = printed(*drawn())
    assert not CONTROLS.findall(text)
    assert r"b\x1b[2Jc" in text


def test_controls_are_written_as_programs_write_them_and_all_else_stays() -> None:
    assert visible(HOSTILE) == SHOWN
    plain = "naïve 价格 🛒 מחיר \t and\nlines \\x1b"
    assert visible(plain) == plain
    assert printed(escape("[red]x[/] \x1b[31m")) == "[red]x[/] \\x1b[31m\n"


def test_tables_are_as_wide_as_what_is_seen() -> None:
    table = Table("A", "B")
    table.add_row(escape(HOSTILE), "1")
    text = printed(table)
    assert SHOWN in text
    assert len({len(line) for line in text.splitlines()}) == 1


def test_json_and_errors_control_nothing_and_json_says_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    display.print_json({"title": HOSTILE})
    told = capsys.readouterr().out
    assert not CONTROLS.findall(told)
    assert json.loads(told) == {"title": HOSTILE}
    terminal = VisibleConsole(file=io.StringIO(), width=400)
    monkeypatch.setattr(display, "err", terminal)
    display.show_error(ValueError(HOSTILE), about=HOSTILE)
    assert isinstance(terminal.file, io.StringIO)
    assert not CONTROLS.findall(terminal.file.getvalue())


def test_every_command_prints_by_the_consoles_that_do_so() -> None:
    sources = Path(display.__file__).parent
    others = [path.name for path in sources.glob("*.py") if path.name != "visible.py"]
    found = [
        name
        for name in others
        if re.search(r"rich\.markup|rich\.console import.*\bConsole\b|typer\.echo|[^.\w]print\(", (sources / name).read_text())
    ]
    assert found == []
