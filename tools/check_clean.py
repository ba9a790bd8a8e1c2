"""Nothing that belongs to one machine or to a package registry is committed."""

import re
import sys

import committed

FORBIDDEN = {
    "an address of a package registry": re.compile(
        r"https?://(?:files|registry|proxy|static|index|repo|crates)\.[a-z]|--index-url|\"resolved\":"
    ),
    "a path of one machine": re.compile(r"(?:^|[^A-Za-z0-9_.$}])/(?:work|farm|root|home/[a-z]+)/"),
}
ALLOWED = {"tools/check_clean.py"}


def main() -> int:
    """Print every line that should not be there; 1 where there is one."""
    found = 0
    for name, text in committed.texts():
        if name in ALLOWED:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for what, pattern in FORBIDDEN.items():
                if pattern.search(line):
                    found += 1
                    sys.stdout.write(f"{name}:{number}: {what}: {line.strip()[:120]}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
