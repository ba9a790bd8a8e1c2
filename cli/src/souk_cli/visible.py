"""Text of others on a terminal: what would move its cursor, change its colours or turn its lines round is shown, not done."""

import re
from collections.abc import Iterable

from rich import markup
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 but for tabs and new lines, DEL, C1, separators of lines and paragraphs, and what overrides the direction of a text."""


def visible(text: str) -> str:
    r"""Text with controls as they would be written in a program: \x1b, \u202e."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}" if found[0] < "\u0100" else f"\\u{ord(found[0]):04x}", text)


def visible_json(text: str) -> str:
    """A JSON document that says the same, and nothing to the terminal."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escape(text: str) -> str:
    """Text of others as a part of markup: it is neither markup of its own nor does it control the terminal."""
    return markup.escape(visible(text))


class VisibleConsole(Console):
    """A console on which no text controls the terminal. `escape` and `visible` come before it, so that columns are as wide as what
    they show; it sees to what they were forgotten for."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments, of which only those of rich itself are controls."""
        for segment in super().render(renderable, options):
            if segment.control or not _CONTROLS.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)
