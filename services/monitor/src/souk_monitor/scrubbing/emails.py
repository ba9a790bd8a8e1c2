"""E-mail addresses within a text. Names of files, packages and units of systemd may have an @ and dots as well."""

import re

from souk_monitor.scrubbing.detectors import EMAIL, Detector, Rewrite, always, sub
from souk_monitor.scrubbing.signs import LETTERS

_DOMAIN = r"(?P<domain>(?:[\w-]{1,63}+\.){1,8}[^\W\d_]{2,63}+)"
_EMAIL = re.compile(rf"(?P<before>(?<![\w.+%-]))(?P<local>[\w.+%-]++)@{_DOMAIN}")
_ENCODED = re.compile(
    r"(?P<before>%(?:25){0,3}(?:3[AaBbCcDd]|2[0267Cc])|(?<![\w.+%-]))(?P<local>(?:[\w.+-]|%(?:25){0,3}(?:2[BbDdEe]|5[Ff]))+)"
    rf"%(?:25){{0,3}}40{_DOMAIN}"
)
_NO_DOMAIN = frozenset((
    "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "bmp", "ico", "tif", "tiff", "pdf", "woff", "ttf", "otf",
    "js", "mjs", "cjs", "jsx", "ts", "tsx", "css", "scss", "less", "map", "vue", "svelte", "wasm", "node", "html", "htm",
    "jsbundle", "bundle", "chunk", "min", "esm", "umd", "production", "development", "php", "rb", "java", "kt", "cs", "cpp",
    "swift", "json", "xml", "yml", "yaml", "toml", "ini", "cfg", "conf", "txt", "log", "csv", "sql", "lock", "tmp", "bak",
    "tgz", "gz", "tar", "jar", "war", "whl", "gem", "nupkg", "dll", "exe", "dylib", "asar", "apk", "msi", "deb", "rpm",
    "service", "socket", "timer", "slice", "scope", "mount",
))  # fmt: skip
"""Ends of names of files and of units of systemd, which no domain has."""
_LEAST_LABELS = 2
_VERSION = re.compile(r"\d+\.\d+[.-]")
"""What comes after the @ of a package; 163.com is a domain."""
_SCALE = re.compile(r"\d(?:\.\d)?x\.")
"""Of a picture: icon@2x.dark.png."""
_INSTANCES = ("this", "super")
"""Kotlin's this@Activity.finish."""
_REPOSITORY = re.compile(r"[:/][\w~/]")
"""After the host of one, whose user is no one: git@github.com:shop/web."""


def _email(match: re.Match[str]) -> str:
    """What stands for an address, and the end of the file's name that it is in: ada@shop.example.png."""
    local, labels = match["local"], match["domain"].split(".")
    end = len(labels)
    while end and labels[end - 1].lower() in _NO_DOMAIN:
        end -= 1
    if end < len(labels) and (end < _LEAST_LABELS or not labels[end - 1].isalpha() or _SCALE.match(match["domain"])):
        return match[0]
    if local == "git" and _REPOSITORY.match(match.string, match.end()):
        return match[0]
    if _VERSION.match(match["domain"]) or (local in _INSTANCES and labels[0][:1].isupper()):
        return match[0]
    return ".".join((f"{match['before']}{EMAIL}", *labels[end:]))


_SIGN = rf"[{LETTERS}.+%-](?:@|%(?:25)*40)[{LETTERS}-]+\.[{LETTERS}.-]*[A-Za-z\x80-\xff]{{2}}"

EMAILS = (Detector(_SIGN, always(Rewrite(6, "@", sub(_EMAIL, _email)), Rewrite(8, "40", sub(_ENCODED, _email)))),)
