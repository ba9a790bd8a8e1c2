"""What events say that have no message: reports of browsers on a site's policies, and errors in templates.

Titles are those of Sentry. Grouped they are by what was blocked or failed, for in titles that is a value among quotes.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from souk_monitor.decoding.lenient import object_of, text_of
from souk_monitor.events import Json

_LONGEST = 200
"""Characters of a host, a directive or a file that are looked at."""
_SELF = "'self'"
_INLINE = frozenset(("", "self", _SELF, "inline"))
_EVAL = frozenset(("eval", "wasm-eval"))
_KINDS = {
    "child-src": "'child' source", "connect-src": "'connect'", "font-src": "'font'", "form-action": "'form' action",
    "img-src": "'image'", "manifest-src": "'manifest'", "media-src": "'media'", "object-src": "'object'", "script-src": "'script'",
    "script-src-attr": "inline script attribute", "script-src-elem": "'script'", "style-src": "'style'",
    "style-src-attr": "style attribute", "style-src-elem": "'style'",
}  # fmt: skip
"""What a directive of the Content Security Policy is about."""
_UNSAFE = {
    "child-src": "inline 'child'", "script-src": "unsafe (eval() or inline) 'script'",
    "script-src-attr": "inline script attribute", "script-src-elem": "unsafe 'script' element",
    "style-src-attr": "style attribute", "style-src-elem": "'style' or 'link' element",
}  # fmt: skip
"""What it is about where that is in the page itself, unless it is `inline` and the kind."""


class Title(NamedTuple):
    """What stands for a message."""

    text: str
    fingerprint: tuple[str, ...]


def title(payload: Mapping[str, Json]) -> Title | None:
    """Of an event that has one of these parts and says something in it."""
    for name, titled in _TITLES.items():
        part = object_of(payload.get(name))
        if part and (found := titled(part)):
            return found
    return None


def _said(part: Mapping[str, Json], name: str) -> str:
    """In reports of browsers themselves names have dashes."""
    return text_of(part.get(name) or part.get(name.replace("_", "-")))[:_LONGEST].strip()


def _csp(report: Mapping[str, Json]) -> Title | None:
    violated = _said(report, "violated_directive")
    directive = (_said(report, "effective_directive") or violated.partition(" ")[0]).lower()
    if not directive:
        return None
    source = _source(_said(report, "blocked_uri"))
    kind = _KINDS.get(directive, f"'{directive}'")
    if source in _EVAL:
        text = "Blocked unsafe eval() 'script'"
    elif source != _SELF:
        text = f"Blocked {kind} {'to' if directive == 'form-action' else 'from'} '{source}'"
    else:
        text = f"Blocked {_UNSAFE.get(directive, f'inline {kind}')}"
    return Title(text, ("csp", directive, source))


def _source(uri: str) -> str:
    """The host of a URI, with its scheme where that is not HTTP; the scheme alone of one without a host, as `data:`."""
    if uri in _INLINE:
        return _SELF
    scheme, _, after = uri.partition(":")
    if after.startswith("//"):
        host = after[2:].partition("/")[0].rpartition("@")[2]
        return host if scheme in ("http", "https") else f"{scheme}://{host}"
    if uri in _EVAL or "." in scheme:
        return uri.partition("/")[0]
    return f"{scheme}:"


def _of_host(kind: str, what: str) -> Callable[[Mapping[str, Json]], Title | None]:
    def titled(report: Mapping[str, Json]) -> Title | None:
        host = _said(report, "hostname")
        return Title(f"{what} failed for '{host}'", (kind, host)) if host else None

    return titled


def _template(template: Mapping[str, Json]) -> Title | None:
    file = _said(template, "filename") or _said(template, "abs_path")
    return Title(file, ("template", file)) if file else None


_TITLES: dict[str, Callable[[Mapping[str, Json]], Title | None]] = {
    "csp": _csp,
    "expectct": _of_host("expect-ct", "Expect-CT"),
    "expectstaple": _of_host("expect-staple", "Expect-Staple"),
    "hpkp": _of_host("hpkp", "Public key pinning validation"),
    "template": _template,
}
