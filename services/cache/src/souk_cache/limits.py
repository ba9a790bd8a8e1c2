"""What a name may be, whoever gives it: a caller, or a loader."""

import re

MAX_KEY_BYTES = 512
MAX_TAG_BYTES = 256
"""Of aliases too."""
MAX_TAGS = 64
MAX_ALIASES = 16
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_name(text: str, limit: int) -> bool:
    """Whether it is 1 to `limit` bytes without control characters."""
    return 0 < len(text.encode()) <= limit and not _CONTROL.search(text)
