"""Versions of four numbers, which are written as addresses of the network are, within a text.

They are told by what is beside them, where that is clear. What may be either is an address.
"""

import re
from ipaddress import IPv4Address

_ADDRESS_AFTER = re.compile(r":\d|/\d{1,2}(?![\w.])|[ \t]\(?port\b")
"""A port, or the bits of a network."""
_BETWEEN = " \t\\\"'=:("
"""Characters between a word and the version that it names."""
_NAMED = re.compile(
    r"(?:(?:(?<![a-z])version|Version|VERSION|(?<![A-Za-z])(?i:release|build|firmware|rv|ver\.?))[ \t\\\"'=:(]{0,6}"
    r"|(?<![A-Za-z])[vV] |[?&]v=|[<>]= ?|~[>=] ?"
    r"|\b(?:Chrome|Chromium|Firefox|Safari|Opera|Edge|Electron|Windows|Linux|Android|iOS|macOS|OpenSSL|Java|Kernel|NT|SDK) )\Z"
)
_WORDS = (
    "version", "release", "build", "firmware", "ver", "ver.", "v", "<", ">", "~", "chrome", "chromium", "firefox", "safari",
    "opera", "edge", "electron", "windows", "linux", "android", "ios", "macos", "openssl", "java",
    "kernel", "nt", "sdk",
)  # fmt: skip
"""What `_NAMED` finds ends with, but for what is between; few texts have one."""
_PACKAGE = re.compile(
    r"(?:(?<![A-Za-z])(?i:release|version)[ \t\\\"'=:(]{1,6}|(?:@[\w.-]{1,60}|\bnpm|\bnode_modules|\.pnpm)[/:\\])[\w.+-]{1,60}@\Z"
)
"""`release shop@`, `@acme/shop@`, `node_modules/shop@`; shop@ alone may be a user of a host."""
_PRODUCT = re.compile(r"(?<![\w./\\-])[A-Z][A-Za-z]{0,40}/\Z")
"""Of an agent. Java has a host's name and a slash before an address too: in lower case, or of a network that is private."""
_GEM = re.compile(r"\) [a-z]{1,20}/")
"""What Rails has after the version of a gem: `activerecord (7.0.8.1) lib/…`."""
_REST = re.compile(r"[^\s\"'<>?#:(),;!]{0,200}+")
"""Of a path."""
_CODE = frozenset((
    "js", "mjs", "cjs", "css", "map", "wasm", "node", "asar", "dll", "exe", "pdb", "so", "dylib", "jar", "war", "whl", "gem",
    "nupkg", "apk", "msi", "dmg", "deb", "rpm", "py", "pyd", "rb", "cs",
))  # fmt: skip
"""Ends of paths that have versions in them."""
_FOLDER = re.compile(r"(?:[A-Za-z)][/\\]{1,4}|[/\\][A-Za-z][\w.-]{0,60}-)\Z")
_FILE = re.compile(r"[A-Za-z\d][-_]\Z")
_SLASHES = frozenset("/\\")
_NEAR, _FAR = 24, 130
"""Characters before a version that are looked at: for a word, and for the name of what it is of."""


def is_version(match: re.Match[str], address: IPv4Address) -> bool:
    """Whether what is beside four numbers says that they are a version, and nothing that they are an address."""
    text, start, end = match.string, match.start(), match.end()
    last, near, far = text[start - 1 : start], max(0, start - _NEAR), max(0, start - _FAR)
    if not last or _ADDRESS_AFTER.match(text, end):
        return False
    if last in _BETWEEN:
        if last == "(" and _GEM.match(text, end):
            return True
        if text[near:start].rstrip(_BETWEEN).lower().endswith(_WORDS):
            return _NAMED.search(text, near, start) is not None
    if last in "vV":
        return not text[start - 2 : start - 1].isalpha()
    if last == "@":
        return _PACKAGE.search(text, far, start) is not None
    if last == "/" and _PRODUCT.search(text, far, start) and not address.is_private:
        return True
    return last in "/\\-_" and _is_of_path(text, far, start, end)


def _is_of_path(text: str, far: int, start: int, end: int) -> bool:
    """Whether it is in the name of a file of a program, or of a folder that such a file is in."""
    rest = _REST.match(text, end)
    if rest is None or rest[0].rpartition(".")[2].lower() not in _CODE:
        return False
    before = _FOLDER if rest[0][0] in _SLASHES else _FILE
    return (before is _FOLDER or _SLASHES.isdisjoint(rest[0])) and before.search(text, far, start) is not None
