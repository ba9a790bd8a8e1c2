"""Tables in terminals of every width, and in pipes."""

import io
from collections.abc import Iterator

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console, RenderableType
from souk.dbopt.v1 import insight_pb2, query_pb2
from souk.imaging.v1 import imaging_pb2
from souk.monitor.v1 import error_pb2, project_pb2
from souk_cli import db_insight, db_plans, db_pool, errors_list, image, monitor, plan_tree
from souk_cli.tables import Column, FittedTable

LATELY = Timestamp(seconds=1_790_000_000)
SPAN = Duration(nanos=12_345_678)
NAME = "product.list_by_category@2"


def drawn(what: RenderableType, width: int | None) -> list[str]:
    """width: None for a pipe."""
    console = Console(width=width or 160, soft_wrap=width is None, file=io.StringIO(), highlight=False)
    with console.capture() as captured:
        console.print(what)
    return [line.rstrip() for line in captured.get().splitlines()]


def table() -> FittedTable:
    made = FittedTable(
        Column("Name", least=8), Column("", drop=3), Column("Size", right=True), Column("Rare", drop=2), Column("More", drop=1)
    )
    made.add_row("a long name [bold]of it[/]", "███", "12", "seldom", "often")
    return made


def test_a_wide_terminal_shows_all_and_says_nothing_of_it():
    assert drawn(table(), 60) == [f"Name{' ' * 20}Size  Rare    More", "a long name of it  ███    12  seldom  often"]


def test_the_least_important_columns_go_first_and_a_line_says_which():
    lines = drawn(table(), 25)
    assert lines[:2] == ["Name          Size  More", "a long name…    12  often"]
    assert " ".join(lines[2:]) == "Left out: Rare. Wider terminals and --json show all."


def test_the_first_column_keeps_what_it_needs_and_is_cut_before_that():
    lines = drawn(table(), 16)
    assert lines[:2] == ["Name        Size", "a long na…    12"]
    assert lines[2].startswith("Left out: Rare,")
    assert [len(line) <= 6 for line in drawn(table(), 6)[:2]] == [True, True]


def test_a_pipe_gets_everything_one_line_a_row_however_wide():
    wide = FittedTable(Column("Name", least=8), Column("Text", least=8, fold=True), Column("Rare", drop=1))
    wide.add_row("n" * 90, "t" * 90, "seldom")
    assert drawn(wide, None)[1:] == [f"{'n' * 90}  {'t' * 90}  seldom"]


def test_text_that_folds_goes_on_in_its_own_column():
    folding = FittedTable(Column("Name"), Column("Text", least=6, fold=True))
    folding.add_row("one", "some words here")
    assert drawn(folding, 15) == ["Name  Text", "one   some", "      words", "      here"]


def test_characters_of_two_columns_count_as_two():
    wide = FittedTable(Column("Name"), Column("Size"))
    wide.add_row("靴", "1")
    assert drawn(wide, 20) == ["Name  Size", "靴    1"]


def tables() -> Iterator[tuple[RenderableType, str]]:
    """Tables of the commands, and what their first row is about."""
    query = insight_pb2.QueryStats(
        fingerprint=NAME,
        time_share=1.0,
        calls=1_234_567,
        rows=1_234_567,
        **dict.fromkeys(("mean_time", "p50_time", "p95_time", "p99_time"), SPAN),
    )
    yield db_insight.queries_table([query]), NAME
    change = insight_pb2.PlanChange(fingerprint=NAME, time=LATELY, message="word " * 30, cause_message="word " * 30)
    yield db_plans.changes_table([change]), NAME
    pool = query_pb2.Pool(query_class="transaction", in_use=1, open=12, size=123, acquired=1_234_567, waited=1_234, wait_p99=SPAN)
    yield (
        db_pool.tables([query_pb2.Server(address="127.0.0.1:54321", version="18.1", problem="word " * 20, pools=[pool])]),
        ("127.0.0.1:54321"),
    )
    issue = error_pb2.Issue(short_id="SHOP-1234", title="word " * 30, events=12_345, last_seen_time=LATELY)
    yield errors_list.issues_table([issue]), "SHOP-1234"
    key = project_pb2.ProjectKey(
        public_key="0" * 32, label="production", create_time=LATELY, dsn=f"http://{'0' * 32}@127.0.0.1:8080/1"
    )
    yield monitor.keys_table([key]), "0" * 32
    yield monitor.projects_table([project_pb2.Project(name="shop-backend", number=1, keys=[key])]), "shop-backend"
    photo = imaging_pb2.Image(
        image_id="0" * 26, state=imaging_pb2.IMAGE_STATE_READY, owner="seller-1", profile="product", tags=["a"] * 9
    )
    yield image.images_table([photo]), "0" * 26
    step = insight_pb2.PlanNode(
        type="Index Scan",
        relation="shop.products",
        index="products_pkey",
        actual_rows=12_345,
        conditions={"Filter": "x = 1 AND " * 30},
    )
    yield plan_tree.draw(insight_pb2.Plan(root=step, execution_time=SPAN)), "Index Scan shop.products by products_pkey"


@pytest.mark.parametrize("width", [70, 80, 100, 160])
def test_every_table_says_what_its_rows_are_about_and_no_heading_is_cut(width: int):
    for each, about in tables():
        lines = drawn(each, width)
        assert max(map(len, lines)) <= width
        assert about in lines[1]
        assert "…" not in lines[0]


def test_a_project_that_may_open_no_more_issues_says_until_when():
    project = project_pb2.Project(name="shop", number=1)
    project.new_issues_resume_time.FromJsonString("2026-11-02T14:32:10Z")
    assert "yes, no new issues until 14:32 UTC" in "\n".join(drawn(monitor.projects_table([project]), 200))
    project.disabled = True
    assert "no new issues" not in "\n".join(drawn(monitor.projects_table([project]), 200))
