"""Bars and charts of `souk db slow` and `souk db stats`."""

import pytest
from souk_cli.db_insight import BAR, bar, sparkline


@pytest.mark.parametrize(
    ("share", "drawn"), [(0.0, ""), (1.0, "█" * BAR), (0.5, "█" * 5), (0.05, "▌"), (0.51, "█████▏"), (2.0, "█" * BAR)]
)
def test_a_bar_shows_a_part_to_an_eightieth(share: float, drawn: str):
    assert bar(share) == drawn.ljust(BAR)


def test_a_sparkline_shows_the_largest_full_nothing_as_nothing_and_little_as_something():
    assert sparkline([0, 1, 50, 100]) == " ▁▄█"
    assert sparkline([0.0, 0.0]) == "  "
    assert sparkline([]) == ""
