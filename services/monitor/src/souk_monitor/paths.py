"""What of a file's path names its place in a program, wherever it is installed and however it was built.

A stack text has paths and no modules, a structured frame may have a module and no path, and both are to give the same: the file's
name without extension, hash and version, and the nearest folder that says something, in a repository of many packages with the
package. Folders that every installation calls differently say nothing: the one that a program is deployed to (`/app`,
`/srv/shop-blue`), and `src`, `current`, `dist`, a version, a hash. What is fetched by HTTP and is no script is a page with a script
in it: all of them are one place.
"""

import re
from functools import lru_cache
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
    "(?:/?[A-Za-z]:)?/"
    r"(?:(?:srv|opt|data|mnt|media|root|tmp|snap|nix/store|[Ii]netpub|workspaces"
    r"|(?:private/)?(?:var(?:/(?:www|lib|opt))?|usr(?:/local)?(?:/(?:src|lib|share))?)"
    r"|(?:home|[Uu]sers|builds)/[^/]+(?:/(?:[Dd]ocuments|[Dd]esktop|code|dev|git|source|src|work|workspace))*)/)?"
    r"(?P<sites>(?:apps|deploy|deployments|projects|repos|sites|vhosts)/)*"
)
"""Where programs are deployed. The folder that one is deployed to may be next."""

_STARTERS = frozenset(("__main__", "app", "asgi", "index", "main", "manage", "run", "server", "start", "worker", "wsgi"))
"""Files that programs are started by, which are in no folder of their own, without extension."""

_SOURCE_ROOTS = frozenset(("code", "dev", "git", "lib", "share", "source", "src", "work", "workspace"))

_MANY = frozenset(("apps", "libs", "modules", "packages", "services"))
_PACKAGE = re.compile(rf"(?:^|/)(?:{'|'.join(sorted(_MANY))})/(?:@[^/]+/)?([^/]+)/(?:build|dist|lib|src)/")
"""A package of a repository that has many, above a folder of its sources."""

_GENERATED = re.compile(r"[- ]?\d+>$")
"""At the end of what stands for a file that is none, as `<decorator-gen-12>`."""

_ODD = re.compile(r"[:?\\<]|ipykernel_")
"""Of a path that is more than folders."""
_VARIANTS = ("blue", "green", "canary")
_PLAIN_VARIANTS = tuple(f"_{variant}" for variant in _VARIANTS)
_VARIANT = re.compile(rf"[-_](?:{'|'.join(_VARIANTS)}|[pm]r-?\d+)$")
_INSTANCE = re.compile(rf"[-_](?:{'|'.join(_VARIANTS)}|[pm]r-?\d+|v?\d[\w.]*)$")
"""One of several folders that a program is deployed to."""

_HASHED = re.compile(
    r"(?:(?<![.~@_-])[.~@_-]++|^)(?:(?=[a-f]*[0-9])[0-9a-f]{6,64}|[a-f]{8,64}|v?\d{1,20}+(?:\.\d{1,20}+){1,4}[\w.+-]{0,32})$",
    re.IGNORECASE,
)
_HASH_LENGTH = 8
"""Letters of base64 that Rollup and esbuild give a file."""

_BASE64 = re.compile(r"[A-Za-z0-9_-]+")
_HEX_LETTERS = "abcdefABCDEF"
_WORDS = re.compile(r"[A-Za-z]?[a-z]+(?:[-_][a-z]+)*\d{0,2}")
_CAMEL = re.compile(r"[A-Za-z][a-z]{2,}(?:[A-Z][a-z]{2,})+")
_BUNDLED = re.compile(r"(?:^|/)(?:_app/immutable|_astro|_nuxt|_next/static|\.next/server|\.output/server|server/chunks)/")
_SERVED_BUNDLED = re.compile(r"(?:^|/)(?:assets|chunks)/")
_NAMELESS = re.compile(
    r"(?:^|/)(?:_app/immutable|_astro|_nuxt|(?:_next/static|\.next/server|\.output/server)/(?:[\w-]+/)*chunks|server/chunks)/(?:[\w-]+/)?[^/]*$"
)
"""Folders in which a hash may be all of a name."""

_CHUNKS = re.compile(r"(?:^|/)chunks/[^/]*$")
_APART = re.compile(r"[-_]")

_SHORT = 6
"""Letters below which nothing is a hash."""
_MARKS = (".", "-")
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

_SCRIPTS = frozenset(
    (
        *("js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "vue", "svelte", "astro"),
        *("coffee", "bundle", "jsbundle", "wasm"),
    )
)
"""Extensions of scripts, and a script that is called so."""

_BUILT_SCRIPTS = frozenset(("js", "mjs", "cjs", "bundle", "jsbundle"))
_SERVED = re.compile(r"@\d|(?:^|/)(?:npm|js|bundles|_next|static|assets)/")
"""In the path of a URL: what is at it is a script, whatever it is called."""

_PAGE = "<page>"
_LONGEST = 1000
_MOST_KNOWN = 4096


def _is_bundlers(hashed: str, mark: str, head: str, *, by_http: bool) -> bool:
    """Whether the end of a stem is a hash of base64, and no word."""
    if not _BASE64.fullmatch(hashed) or _WORDS.fullmatch(hashed):
        return False
    if not mark:
        return bool(_NAMELESS.search(head) or (by_http and _CHUNKS.search(head)))
    if _BUNDLED.search(head) or (by_http and (mark == "-" or _SERVED_BUNDLED.search(head))):
        return True
    has_word = any(len(part) > 2 and part.isalpha() and part.islower() for part in _APART.split(hashed))
    return not (has_word or _CAMEL.fullmatch(hashed))


def _unhashed(stem: str, head: str, *, by_http: bool) -> str:
    """A stem without hash and version; empty: it is nothing else."""
    start = len(stem) - _HASH_LENGTH
    if start >= 0:
        mark, hashed = stem[start - 1 : start], stem[start:]
        if (not start or mark in _MARKS) and _is_bundlers(hashed, mark, head, by_http=by_http):
            return stem[: max(start - 1, 0)]
        if not hashed.strip(_HEX_LETTERS):
            return _HASHED.sub("", stem)
    if stem.isalpha() or not _DIGIT.search(stem):
        return stem
    cut = _HASHED.sub("", stem)
    return _HASHED.sub("", cut) if cut and len(cut) != len(stem) else cut


def _stem(name: str, head: str, *, by_http: bool) -> str:
    """A file's name without extension, hash and version."""
    dot = name.rfind(".")
    stem = name[:dot] if dot > 0 else name
    while "." in stem and stem.endswith(_BUILT):
        stem = stem.rpartition(".")[0]
    stem = _unhashed(stem, head, by_http=by_http)
    return "*" if stem.isdigit() or (name and not stem) else stem


def _folder(name: str) -> str:
    """A folder's name without version; empty: it says nothing of the program."""
    if not name.isalpha() and _DIGIT.search(name):
        name = _HASHED.sub("", name)
        if name.isdigit() or name.rstrip("0123456789").rstrip("-_.") in _INSTALLED:
            return ""
    return "" if name in _INSTALLED else name


def _below_root(prefix: str, *, is_start: bool) -> str:
    """What is before a file's name, without what is of the machine, and without the folder that the program is deployed to, where
    that can be told: there is one that every installation has in it, or the file that the program is started by."""
    root = _ROOT.match(prefix)
    if root is None:
        return prefix[:-1]
    start = root.end()
    rest, above = prefix[start:-1], prefix[: start - 1].rpartition("/")
    if not rest or (above[1] and above[2] in _SOURCE_ROOTS):
        return rest
    first, is_folder, below = rest.partition("/")
    is_deployed = (
        first in _INSTALLED
        or root["sites"]
        or (below.partition("/")[0] in _INSTALLED if is_folder else is_start or not above[1])
        or (not first.isalpha() and _INSTANCE.search(first))
    )
    return below if is_deployed else rest


_PARAMETER = re.compile(r"\[.*\]|\(.*\)|@\w+|\$\w*").fullmatch
"""A folder of Next's or SvelteKit's that is a parameter of a route, or a group: what is above it says more."""


def _nearest(head: str, *, by_http: bool) -> str:
    """The nearest folder that says something of the program; empty: none does."""
    while head:
        head, _, name = head.rpartition("/")
        if name and not name[0].isalnum() and _PARAMETER(name):
            continue
        if (folder := _folder(name)) or (by_http and name not in _SOURCES):
            is_root = ("-" in folder or "_" in folder) and _INSTALLED.issuperset(head.split("/") if head else ())
            return _VARIANT.sub("", folder) if is_root else folder
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
    if path[:1] == "<":
        return _GENERATED.sub(">", path)
    return "<blob>" if path.startswith(("blob:", "data:")) else ""


@lru_cache(_MOST_KNOWN)
def _placed(prefix: str, by_http: bool, is_start: bool) -> tuple[str, str]:
    """Of what is before a file's name: the folders below the root, and what they say of the place; many files have them in common.

    is_start: the file is one that programs are started by.
    """
    head = _below_root(prefix, is_start=is_start)
    return head, _folder_of(head, by_http=by_http)


def _folder_of(head: str, *, by_http: bool) -> str:
    """The nearest folder that says something, with its package."""
    folder = _nearest(head, by_http=by_http)
    is_of_many = folder and head.count("/") > 2 and not _MANY.isdisjoint(head.split("/"))
    if is_of_many and (package := _PACKAGE.search(head)) and package[1] != folder:
        return f"{package[1]}/{folder}"
    return folder


@lru_cache(_MOST_KNOWN)
def _named(path: str) -> tuple[str, bool]:
    """The place of a path, and whether its name is that of a bundle."""
    if (path[:1] in "<bd" or "ipykernel_" in path) and (special := _special(path)):
        return special, False
    if "\\" in path:
        path = path.replace("\\", "/")
    scheme = ""
    if "://" in path or "?" in path:
        scheme, path = _of_url(path)
    name = path.rpartition("/")[2]
    by_http = scheme in ("http", "https")
    stem, _, extension = name.partition(".")
    is_start = stem in _STARTERS and extension.replace("_", "x").isalnum()
    head, folder = _placed(path[: len(path) - len(name)], by_http, is_start)
    if by_http and name.rpartition(".")[2] not in _SCRIPTS and not _SERVED.search(f"{head}/{name}" if head else name):
        return _PAGE, False
    if name.startswith("__init__."):
        outer, _, stem = head.rpartition("/")
        stem, folder = stem or "__init__", _folder_of(outer, by_http=by_http)
    else:
        stem = _stem(name, f"{head}/", by_http=by_http)
    is_bundle = stem != (name.rpartition(".")[0] or name) or (not folder and _is_served_bundle(scheme, head, name, stem))
    return f"{folder}/{stem}" if folder else stem, is_bundle


def _is_served_bundle(scheme: str, head: str, name: str, stem: str) -> bool:
    """Whether a script is called as bundles are, and comes as they do."""
    served = scheme in ("http", "https") or (scheme in ("app", "capacitor", "ionic") and not head)
    return served and stem in _BUNDLES and name.rpartition(".")[2] in _BUILT_SCRIPTS


class _Places(dict[str, str]):
    """Places by path. A dictionary that begins anew, because an `lru_cache` takes as long for a new path as a look at its end."""

    def __missing__(self, path: str) -> str:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        end = path[-_LONGEST:]
        place = self[path] = _plain(end) or _named(end)[0]
        return place


_places = _Places()


def place_of_path(path: str) -> str:
    """`shop/orders` of `/srv/app/releases/42/shop/orders.py`, `main` of `https://shop.example/static/main.5f3a2b1c.js?v=3`."""
    return _places[path]


def _plain(path: str) -> str:
    """What `_named` says of most paths, at a fraction of its cost; empty: it is not one of them.

    Their file and folder have names without digits, and the folder is not the one that the program is deployed to.
    """
    head, _, name = path.rpartition("/")
    above, _, folder = head.rpartition("/")
    stem, _, extension = name.partition(".")
    both = f"{folder}{stem}"
    if not (both.isalpha() or both.replace("_", "x").isalpha()) or not folder or not stem or not extension.isalnum():
        return ""
    if folder in _INSTALLED or folder.endswith(_PLAIN_VARIANTS):
        return ""
    if len(stem) == _HASH_LENGTH or _may_be_hash(stem) or not _is_inside(above):  # `__init__` is as long, too
        return ""
    return f"{folder}/{stem}"


def _may_be_hash(word: str) -> bool:
    """Whether a name of letters and _ may be a hash, or end with one."""
    return word[-1] in _HEX_LETTERS and len(word) >= _SHORT and not word[-_HASH_LENGTH:].strip(_HEX_LETTERS)


@lru_cache(_MOST_KNOWN)
def _is_inside(above: str) -> bool:
    """Whether what is in a folder is surely in a program, and no folder that it is deployed to; of files, and of one package."""
    if _ODD.search(above) or not _MANY.isdisjoint(above.split("/")):
        return False
    root = _ROOT.match(f"{above}/")
    if root is None:
        return True
    below = above[root.end() :]
    return below != "" and (root.end() > 1 or "/" in below)


def is_minified(path: str) -> bool:
    """Whether a file's name is that of a bundle, in which short names of functions change with every build."""
    return _named(path[-_LONGEST:])[1]


def is_url(path: str) -> bool:
    """Whether a file was fetched by a URL, as browsers do and servers do not."""
    return "://" in path and not path.startswith(("file:", "app:"))
