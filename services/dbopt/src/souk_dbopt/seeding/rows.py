"""Rows on their way into a table: lines of text as COPY reads them."""

from dataclasses import dataclass

NULL = "\\N"


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one table of the schema `shop`."""

    table: str
    columns: tuple[str, ...]
    lines: list[str]
    """One per row: the columns by tabs, without the end of the line. No value needs to be escaped."""

    def encoded(self) -> bytes:
        """All of them, for COPY."""
        return "".join(f"{line}\n" for line in self.lines).encode()
