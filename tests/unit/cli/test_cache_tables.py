"""The tables of `souk cache`, in narrow and in wide terminals, and values on a terminal."""

import io
import sys

import pytest
from rich.console import Console
from rich.table import Table
from souk.cache.v1 import cache_pb2 as pb
from souk_cache.adapters.namespace_file import load
from souk_cache.rpc import mapping
from souk_cli.cache import _COUNTS, _POLICY, _policies, _show, _stats

SPACES = [mapping.namespace(space) for space in load(None, max_message_bytes=4 * 1024 * 1024).all()]
COUNTS = [
    pb.NamespaceStats(namespace=space.name, hits_memory=1_234_567, misses=12_345, fills=1, fills_refused=2) for space in SPACES
]


def drawn(table: Table, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 100, 120, 140, 200])
def test_every_namespace_has_one_line_in_a_terminal_of_any_usual_width(width: int):
    stats = pb.GetStatsResponse(namespaces=COUNTS, coherent=True)
    for table in (_stats(stats, None), _policies(SPACES)):
        lines = drawn(table, width)
        assert max(map(len, lines)) <= width
        assert "…" not in "".join(lines)
        assert [line.split()[0] for line in lines[: len(SPACES) + 1]] == ["namespace", *(space.name for space in SPACES)]


def test_a_wide_terminal_shows_all_and_a_narrow_one_says_where_the_rest_is():
    stats = pb.GetStatsResponse(namespaces=COUNTS)
    assert all(column in drawn(_stats(stats, None), 140)[0] for column in _COUNTS)
    assert all(column in drawn(_policies(SPACES), 140)[0] for column in _POLICY)
    assert "souk cache namespaces NAME" in "".join(drawn(_policies(SPACES), 80))


def test_rates_are_of_what_happened_between_two_looks():
    before = pb.GetStatsResponse(namespaces=[pb.NamespaceStats(namespace="product", hits_memory=100, misses=100)])
    now = pb.GetStatsResponse(namespaces=[pb.NamespaceStats(namespace="product", hits_memory=109, misses=101)])
    assert drawn(_stats(now, before), 140)[1].split()[:3] == ["product", "10", "90.0%"]


def test_on_a_terminal_a_value_is_shown_as_it_is_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _show(pb.Hit(value=b"a :heart: [b]c[/] 12"), None)
    assert capsys.readouterr().out == "a :heart: [b]c[/] 12\n"


def test_on_a_terminal_what_is_no_text_is_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _show(pb.Hit(value=b"\xff\xfe"), None)
    shown = capsys.readouterr()
    assert (shown.out, "--output" in shown.err) == ("", True)
