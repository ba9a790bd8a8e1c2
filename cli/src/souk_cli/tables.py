"""Tables that fit where they are shown: the least important columns are left out of a narrow terminal, and a line says which."""

from collections.abc import Collection
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2
"""Spaces between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a FittedTable."""

    name: str
    """Its heading. One without a heading is left out without a word."""
    right: bool = False
    """Whether it holds numbers."""
    drop: int = 0
    """When it is left out where there is no room: those with the largest number first, and 0 never."""
    least: int | None = None
    """Characters that it needs, where its text is longer; None: as many as the text."""
    fold: bool = False
    """Whether a longer text goes on in the next line; else it is cut with an …."""
    footer: str = ""
    """What stands below it, as markup."""


class FittedTable:
    """A table that is as wide as where it is printed. Where nobody looks, in a pipe, all of it is there, one line a row."""

    def __init__(self, *columns: Column, caption: str = "", elsewhere: str = "--json") -> None:
        """caption: a line below it, as markup. elsewhere: what shows all columns whatever the width."""
        self._columns = columns
        self._caption = caption
        self._elsewhere = elsewhere
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        """A row, with a cell for each column, as markup or as a text."""
        self._rows.append([Text.from_markup(cell) if isinstance(cell, str) else cell for cell in cells])

    def __rich_console__(self, console: object, options: ConsoleOptions) -> RenderResult:
        """The table, and below it what it leaves out."""
        widths = {number: self._width(number) for number in range(len(self._columns))}
        if not options.no_wrap:  # as the consoles print into a pipe
            widths = self._fitted(widths, options.max_width)
        yield self._table(widths)
        names = [column.name for number, column in enumerate(self._columns) if column.name and number not in widths]
        if names:
            yield Text.from_markup(f"[dim]Left out: {', '.join(names)}. Wider terminals and {self._elsewhere} show all.[/]")
        if self._caption:
            yield Text.from_markup(self._caption)

    def _width(self, number: int) -> int:
        column = self._columns[number]
        texts = (Text(column.name), Text.from_markup(column.footer), *(row[number] for row in self._rows))
        return max(cell_len(line) for text in texts for line in text.plain.split("\n"))

    def _fitted(self, wanted: dict[int, int], room: int) -> dict[int, int]:
        """The columns that there is room for, with their widths: first what each needs, then more for those that want it."""
        needs = {number: self._needed(number, width) for number, width in wanted.items()}
        widths = {number: need for number, need in needs.items() if not self._columns[number].drop}
        for number in sorted(needs.keys() - widths.keys(), key=lambda each: self._columns[each].drop):
            if _total([*widths.values(), needs[number]]) <= room:
                widths[number] = needs[number]
        while _total(widths.values()) > room and max(widths.values()) > 1:
            widths[max(widths, key=widths.__getitem__)] -= 1
        while _total(widths.values()) < room and (short := [each for each in widths if widths[each] < wanted[each]]):
            widths[min(short, key=widths.__getitem__)] += 1
        return dict(sorted(widths.items()))

    def _needed(self, number: int, width: int) -> int:
        column = self._columns[number]
        return width if column.least is None else min(width, max(column.least, cell_len(column.name)))

    def _table(self, widths: dict[int, int]) -> Table:
        footer = any(column.footer for column in self._columns)
        table = Table(
            width=_total(widths.values()),
            box=None,
            show_footer=footer,
            header_style="bold",
            footer_style="bold",
            pad_edge=False,
            padding=(0, GAP, 0, 0),
        )
        for number, width in widths.items():
            column = self._columns[number]
            table.add_column(
                column.name,
                column.footer,
                justify="right" if column.right else "left",
                width=width,
                no_wrap=not column.fold,
                overflow="fold" if column.fold else "ellipsis",
            )
        for row in self._rows:
            table.add_row(*(row[number] for number in widths))
        return table


def _total(widths: Collection[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
