"""Bars and charts of `souk db slow` and `souk db stats`."""

import json

import pytest
from google.protobuf.struct_pb2 import Struct
from souk_cli.db_insight import BAR, bar, parameters_text, sparkline


@pytest.mark.parametrize(
    ("share", "drawn"), [(0.0, ""), (1.0, "█" * BAR), (0.5, "█" * 5), (0.05, "▌"), (0.51, "█████▏"), (2.0, "█" * BAR)]
)
def test_a_bar_shows_a_part_to_an_eightieth(share: float, drawn: str):
    assert bar(share) == drawn.ljust(BAR)


def test_a_sparkline_shows_the_largest_full_nothing_as_nothing_and_little_as_something():
    assert sparkline([0, 1, 50, 100]) == " ▁▄█"
    assert sparkline([0.0, 0.0]) == "  "
    assert sparkline([]) == ""


def test_whole_numbers_of_parameters_are_integers_as_they_were_given():
    given = Struct()
    given.update(
        {"product_id": 7, "ids": [1, 2.5], "in": {"stock": 3.0}, "huge": 1e300, "name": "a  b", "sold": True, "none": None}
    )
    assert json.loads(parameters_text(given)) == {
        "product_id": 7,
        "ids": [1, 2.5],
        "in": {"stock": 3},
        "huge": 1e300,
        "name": "a  b",
        "sold": True,
        "none": None,
    }
    assert "7.0" not in parameters_text(given)
    assert "1e+300" in parameters_text(given)
    assert parameters_text(Struct()) == ""
