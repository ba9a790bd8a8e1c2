"""Commands are imported when they are asked for."""

from collections.abc import Iterator
from typing import Any

import typer
from souk_cli.__main__ import app
from souk_cli.lazy_group import lazy_group
from typer.testing import CliRunner

SOME = lazy_group("some", "What there is.", {"explain": "db_explain:explain", "gone": "no_such_module:gone"})


def commands(group: Any) -> Iterator[Any]:
    """Every command below it."""
    for name in group.list_commands(typer.Context(group)):
        member = group.get_command(typer.Context(group), name)
        assert member.name == name
        yield from commands(member) if hasattr(member, "commands") else [member]


def test_every_command_is_found_and_says_what_it_does():
    found = list(commands(typer.main.get_command(app)))
    assert len(found) > 50
    assert all(command.help and command.callback for command in found)


def test_a_command_is_used_without_an_import_of_its_neighbours():
    shown = CliRunner().invoke(SOME, ["explain", "--help"])
    assert shown.exit_code == 0, shown.output


def test_a_name_that_is_mistyped_is_told_with_what_is_like_it_without_an_import():
    shown = CliRunner().invoke(SOME, ["explane"])
    assert shown.exit_code == 2
    assert "Did you mean 'explain'?" in shown.output


def test_a_group_lists_its_commands_in_the_order_they_are_given_in():
    group = typer.main.get_command(SOME)
    assert group.list_commands(typer.Context(group)) == ["explain", "gone"]
