"""No pattern has a possessive group: what Python before 3.11.5 makes of one, as Debian 12 has it, may match less or more.

https://github.com/python/cpython/issues/106052. Of a single character or a class (`[^"]*+`) it is right everywhere.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

POSSESSIVE_GROUP = re.compile(r"[^(\\]\)(?:[*+?]|\{+[0-9,]*\}+)\+|\(\?>")


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and texts of a module, without its docstrings."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def main() -> int:
    """Print every such pattern; 1 where there is one."""
    of_souk = ("services", "libs", "cli", "clients")
    listed = subprocess.run(["git", "ls-files", "--", *of_souk], capture_output=True, text=True, check=True)
    found = 0
    for name in listed.stdout.splitlines():
        if not name.endswith(".py") or not Path(name).is_file():
            continue
        for line, text in texts(ast.parse(Path(name).read_text(encoding="utf-8"))):
            if POSSESSIVE_GROUP.search(text):
                found += 1
                sys.stdout.write(f"{name}:{line}: a possessive group: {text[:120]}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
