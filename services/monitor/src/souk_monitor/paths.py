"""What of a file's path names its place in a program, wherever it is installed and however it was built.

A stack text has paths and no modules, a structured frame may have a module and no path, and both are to give the same: the file's
name without extension, hash and version, and the nearest folder that says something. Folders that every installation calls
differently say nothing: the one that a program is deployed to (`/app`, `/srv/shop-blue`), and `src`, `current`, `dist`, a version,
a hash. What is fetched by HTTP and is no script is a page with a script in it: all of them are one place.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

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
_SOURCES = frozenset(("src", "lib"))
"""Folders that are written, also where what is above them in a URL is of the host."""

_ROOT = re.compile(
    "(?:/?[a-z]:)?/"
    r"(?:(?:home|users|builds)/[^/]+/(?:(?:documents|desktop|code|dev|git|source|src|work|workspace)/)*"
    r"|(?:private/)?(?:var(?:/(?:www|lib|opt))?|usr(?:/local)?(?:/(?:src|lib|share))?"
    r"|srv|opt|data|mnt|media|root|tmp|snap|nix/store|inetpub|workspaces)/)?"
    r"(?:(?:apps|deploy|deployments|projects|repos|sites|vhosts)/)*"
    r"(?:[^/]+/)?",
    re.IGNORECASE,
)
"""Where programs are deployed, and the folder that one is deployed to."""

_VARIANT = re.compile(r"[-_](?:blue|green|canary|[pm]r-?\d+)$")
_HASHED = re.compile(
    r"(?:(?<![.~@_-])[.~@_-]++|^)(?:(?=[a-f]*[0-9])[0-9a-f]{6,64}|[a-f]{8,64}|v?\d{1,20}+(?:\.\d{1,20}){1,4}+[\w.+-]{0,32})$",
    re.IGNORECASE,
)
_BUNDLER = re.compile(r"(?:(?P<mark>[.-])|^)(?P<hash>[A-Za-z0-9_-]{8})$")
"""The eight letters of base64 that Rollup and esbuild give a file."""

_WORDS = re.compile(r"[A-Za-z]?[a-z]+(?:[-_][a-z]+)*\d{0,2}")
_CAMEL = re.compile(r"[A-Za-z][a-z]{2,}(?:[A-Z][a-z]{2,})+")
_BUNDLED = re.compile(r"(?:^|/)(?:_app/immutable|_astro|_nuxt|_next/static|assets|chunks)/")
_NAMELESS = re.compile(r"(?:^|/)(?:_app/immutable|_astro|_nuxt|chunks)/(?:[\w-]+/)?[^/]*$")
"""Folders in which a hash may be all of a name."""

_DIGIT = re.compile(r"\d")
_BUILT = (".min", ".bundle", ".chunk", ".prod", ".esm", ".cjs", ".blade", ".html", ".d", "._")
_BUNDLES = frozenset(
    word
    for line in (
        "app application bundle client common commons index index.android index.ios main polyfills runtime scripts vendor",
        "vendors",
    )
    for word in line.split()
)
"""What bundles are called that have no hash."""

_SCRIPT = re.compile(r"(?:\.(?:[cm]?[jt]sx?|vue|svelte|astro|coffee|bundle|jsbundle|wasm)|^js)$")
_PAGE = "<page>"
_LONGEST = 1000
_MOST_KNOWN = 4096


class _Named(NamedTuple):
    place: str
    minified: bool


def _unhashed(stem: str, head: str) -> str:
    """A stem without hash and version; empty: it is nothing else."""
    found = _BUNDLER.search(stem)
    if found and not _WORDS.fullmatch(found["hash"]):
        mark = found["mark"]
        if (mark == "-" or not _CAMEL.fullmatch(found["hash"]) or _BUNDLED.search(head)) and (mark or _NAMELESS.search(head)):
            return stem[: found.start()]
    return _HASHED.sub("", stem)


def _stem(name: str, head: str) -> str:
    """A file's name without extension, hash and version."""
    dot = name.rfind(".")
    stem = name[:dot] if dot > 0 else name
    while stem.endswith(_BUILT):
        stem = stem.rpartition(".")[0]
    if len(stem) >= 6 or _DIGIT.search(stem):
        stem = _unhashed(stem, head)
        if not stem or stem.isdigit():
            return "*"
    return stem


def _folder(name: str) -> str:
    """A folder's name without version; empty: it says nothing of the program."""
    if _DIGIT.search(name):
        name = _HASHED.sub("", name)
        if name.isdigit() or name.rstrip("0123456789").rstrip("-_.") in _INSTALLED:
            return ""
    return "" if name in _INSTALLED else _VARIANT.sub("", name)


def _nearest(head: str, *, by_http: bool) -> str:
    """The nearest folder that says something of the program; empty: none does."""
    while head:
        head, _, name = head.rpartition("/")
        if (folder := _folder(name)) or (by_http and name not in _SOURCES):
            return folder
    return ""


def _of_url(path: str) -> tuple[str, str]:
    """Scheme and path of a URL, without host, query and fragment; of what is none, no scheme."""
    path = path.partition("?")[0].partition("#")[0]
    scheme, found, rest = path.partition("://")
    if not found:
        return "", path
    if "%" in rest:
        rest = unquote(rest)
    return scheme, rest if scheme == "file" else rest.partition("/")[2]


def _special(path: str) -> str:
    """The place of what is no file; empty: it is one."""
    if path.startswith("<ipython") or "ipykernel_" in path:
        return "<notebook>"
    if path.startswith(("blob:", "data:")):
        return "<blob>"
    return path if path.startswith("<") else ""


@lru_cache(_MOST_KNOWN)
def _named(path: str) -> _Named:
    if special := _special(path):
        return _Named(special, minified=False)
    if "\\" in path:
        path = path.replace("\\", "/")
    scheme = ""
    if "://" in path or "?" in path:
        scheme, path = _of_url(path)
    if root := _ROOT.match(path):
        path = path[root.end() :]
    head, _, name = path.rpartition("/")
    by_http = scheme in ("http", "https")
    if by_http and not _SCRIPT.search(name):
        return _Named(_PAGE, minified=False)
    if name.startswith("__init__."):
        head, _, stem = head.rpartition("/")
        stem = stem or "__init__"
    else:
        stem = _stem(name, f"{head}/")
    folder = _nearest(head, by_http=by_http)
    is_bundle = stem != (name.rpartition(".")[0] or name) or (stem in _BUNDLES and scheme not in ("", "file"))
    return _Named(f"{folder}/{stem}" if folder else stem, is_bundle)


def place_of_path(path: str) -> str:
    """`shop/orders` of `/srv/app/releases/42/shop/orders.py`, `main` of `https://shop.example/static/main.5f3a2b1c.js?v=3`."""
    return _named(path[-_LONGEST:]).place


def is_minified(path: str) -> bool:
    """Whether a file's name is that of a bundle, in which short names of functions change with every build."""
    return _named(path[-_LONGEST:]).minified


def is_url(path: str) -> bool:
    """Whether a file was fetched by a URL, as browsers do and servers do not."""
    return "://" in path and not path.startswith("file:")
