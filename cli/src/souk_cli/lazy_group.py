"""Groups of commands that are imported when they are asked for: all of them together take a second."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, TypeAlias

import typer
from typer.core import TyperGroup

Member: TypeAlias = str | typer.Typer
"""A command as `module:function` of this package, or a group."""


class _Commands(Mapping[str, Any]):
    """What a group consists of, by name; each is made when it is looked up."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = members
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _make(name, self._members[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _make(name: str, member: Member) -> Any:
    if isinstance(member, typer.Typer):
        return typer.main.get_command(member)
    module, _, function = member.partition(":")
    alone = typer.Typer(add_completion=False)
    alone.command(name)(getattr(import_module(f"souk_cli.{module}"), function))
    return typer.main.get_command(alone)


def lazy_group(name: str, summary: str, members: Mapping[str, Member]) -> typer.Typer:
    """A group with its members in the order in which help lists them."""

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes | {"commands": _Commands(members)})

        def list_commands(self, ctx: Any) -> list[str]:
            return list(members)

    group = typer.Typer(
        name=name, cls=Group, help=summary, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    group.callback()(_nothing)
    return group


def _nothing() -> None:
    """A callback is what tells typer that this is a group."""
