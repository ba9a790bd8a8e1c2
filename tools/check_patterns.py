"""No pattern has a possessive group: Python 3.11.2, as Debian 12 has it, matches less or more by some than 3.11.7 does.

Of a single character or a class (`[^"]*+`) both do the same.
"""

import ast
import re
import sys
from collections.abc import Iterator

import committed

POSSESSIVE_GROUP = re.compile(r"(?<!\()(?<!(?<!\\)\\)\)(?:[*+?]|\{[0-9,]*\})\+|\(\?>")
"""The end of a group with its quantifier, which in an f-string may be all that is written after a part of another name."""


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and texts of a module, without its docstrings."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def main() -> int:
    """Print every such pattern; 1 where there is one."""
    found = 0
    for name, code in committed.texts("services", "libs", "cli", "clients"):
        if not name.endswith(".py"):
            continue
        for line, text in texts(ast.parse(code)):
            if POSSESSIVE_GROUP.search(text):
                found += 1
                sys.stdout.write(f"{name}:{line}: a possessive group: {text[:120]}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
