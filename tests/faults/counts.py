"""How much a counted test does: all of it with SOUK_SOAK=1, as `make soak` sets it, and about a fiftieth in `make test`."""

import os

SOAK = os.environ.get("SOUK_SOAK") == "1"


def count(full: int, short: int = 1) -> int:
    """Repetitions, or seconds."""
    return full if SOAK else short
