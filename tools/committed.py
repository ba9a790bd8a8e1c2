"""The files that are committed, or would be."""

import subprocess
from collections.abc import Iterator
from pathlib import Path


def texts(*folders: str) -> Iterator[tuple[str, str]]:
    """Names and texts of those in the folders, or of all; without what is no text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if Path(name).is_file():
            try:
                yield name, Path(name).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
