"""What of a file's path names its place in a program, wherever it is installed and however it was built.

A stack text has paths and no modules, a structured frame may have a module and no path, and both are to give the same: the file's
name without extension, hash and version, and the folder that it is in, where that folder is not one of those that every
installation calls differently (`app`, `src`, `current`, `dist`, a version, a hash).
"""

import re

_INSTALLED = frozenset(
    word
    for line in (
        "app apps src lib libs source sources code srv opt home usr var www html htdocs public static assets js mjs cjs scripts",
        "dist build out output target bin tmp temp workspace workspaces workdir work project projects repo repos current release",
        "releases deploy deployment deployments latest shared site sites root data chunks chunk bundles bundle mnt vol volume task",
        "function functions layer checkout esm es umd lib64 local share git versions version main java kotlin scala . .. ~ _next",
    )
    for word in line.split()
)
_HASHED = re.compile(r"(?:(?<=.)[.~@_-]|^)(?:(?=[a-f]*[0-9])[0-9a-f]{6,64}|v?\d+(?:\.\d+)+[\w.+-]{0,32})$", re.IGNORECASE)
_BUNDLER = re.compile(r"-(?=[A-Za-z_-]*[0-9]|[A-Za-z0-9_-]?[A-Za-z0-9_-]*[a-z][A-Z][A-Za-z0-9_-]*[A-Z])[A-Za-z0-9_-]{8}$")
_DIGIT = re.compile(r"\d")
_BUILT = (".min", ".bundle", ".chunk", ".prod", ".esm", ".cjs", ".blade", ".html", ".d")
_LONGEST = 1000


def _stem(name: str) -> str:
    """A file's name without extension, hash and version."""
    dot = name.rfind(".")
    stem = name[:dot] if dot > 0 else name
    while stem.endswith(_BUILT):
        stem = stem.rpartition(".")[0]
    if "-" in stem or _DIGIT.search(stem):
        stem = _BUNDLER.sub("", _HASHED.sub("", stem))
        if not stem or stem.isdigit():
            return "*"
    return stem


def _folder(name: str) -> str:
    """A folder's name without version; empty: it says nothing of the program."""
    if _DIGIT.search(name):
        name = _HASHED.sub("", name)
        if name.isdigit() or name.rstrip("0123456789").rstrip("-_.") in _INSTALLED:
            return ""
    return "" if name in _INSTALLED else name


def _of_url(path: str) -> str:
    """The path of a URL, without host, query and fragment."""
    path = path.partition("?")[0].partition("#")[0]
    scheme, found, rest = path.partition("://")
    if not found:
        return path
    return rest.partition("/")[2] if scheme in ("http", "https", "app", "capacitor", "ionic", "webpack") else rest


def place_of_path(path: str) -> str:
    """`shop/orders` of `/srv/app/releases/42/shop/orders.py`, `main` of `https://shop.example/static/main.5f3a2b1c.js?v=3`."""
    path = path[-_LONGEST:]
    if path.startswith("<"):
        return "<notebook>" if path.startswith("<ipython") else path
    if "\\" in path:
        path = path.replace("\\", "/")
    if "://" in path or "?" in path:
        path = _of_url(path)
    head, _, name = path.rpartition("/")
    folder = head.rpartition("/")[2]
    if name.startswith("__init__."):
        head, _, name = head.rpartition("/")
        folder = head.rpartition("/")[2]
        stem = name
    else:
        stem = _stem(name)
    if folder.startswith("ipykernel_"):
        return "<notebook>"
    folder = _folder(folder)
    return f"{folder}/{stem}" if folder else stem


def is_minified(path: str) -> bool:
    """Whether a file's name is that of a bundle, in which short names of functions change with every build."""
    name = path.rpartition("/")[2].partition("?")[0]
    return ".min." in name or _stem(name) != name.rpartition(".")[0]


def is_url(path: str) -> bool:
    """Whether a file was fetched by a URL, as browsers do and servers do not."""
    return "://" in path and not path.startswith("file:")
