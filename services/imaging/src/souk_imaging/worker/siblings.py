"""Which variants are worth their place, told as early as it is known."""

from collections.abc import Iterator

from souk_imaging.images import Format
from souk_imaging.photos import Encoded
from souk_imaging.worker.encoders import Made


class Siblings:
    """The formats of one size, newest first.

    A format is skipped where it comes out no smaller than an older one, or than the photo itself in the photo's own size. The
    last is for clients that know nothing newer, and is always kept.
    """

    def __init__(self, size: tuple[int, int], formats: tuple[Format, ...], *, original_bytes: int | None) -> None:
        self._size = size
        self._formats = formats
        self._original = original_bytes
        """None where the photo is not of this size."""
        self._made: dict[Format, Made] = {}
        self._told: set[Format] = set()

    def add(self, form: Format, made: Made) -> Iterator[Encoded]:
        """What is known for certain now that this one is made."""
        self._made[form] = made
        for index, each in enumerate(self._formats):
            older = self._formats[index + 1 :]
            if each in self._made and each not in self._told and all(other in self._made for other in older):
                self._told.add(each)
                yield self._judge(each, older)

    def _judge(self, form: Format, older: tuple[Format, ...]) -> Encoded:
        mine = self._made[form]
        to_beat = [self._made[other].size_bytes for other in older]
        if older and self._original is not None:
            to_beat.append(self._original)
        skipped = any(mine.size_bytes >= size for size in to_beat)
        return Encoded(form, *self._size, None if skipped else mine.path, mine.size_bytes, mine.sha256, mine.seconds)
