"""What browsers report of a site's Content Security Policy, as the payload of an event.

https://www.w3.org/TR/CSP3/#deprecated-serialize-violation (one report, as `report-uri` brings it) and
https://www.w3.org/TR/reporting-1/#media-type (a list, as `report-to` does).
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from urllib.parse import urlsplit

from souk_monitor.decoding.lenient import list_of, object_of, text_of
from souk_monitor.events import Json

MOST_REPORTS = 1000
"""Of one request that are looked at."""
_VIOLATION = "csp-violation"
_NAMES = {
    "blockedURL": "blocked-uri",
    "documentURL": "document-uri",
    "effectiveDirective": "effective-directive",
    "sourceFile": "source-file",
    "lineNumber": "line-number",
    "columnNumber": "column-number",
    "originalPolicy": "original-policy",
    "statusCode": "status-code",
    "sample": "script-sample",
}
"""How the fields of a report in a list are called in one by itself."""


def payloads(given: Json) -> Iterator[dict[str, Json] | None]:
    """The events of one report, or of a list; None for each that is about something else."""
    for report in islice(list_of(given) or [given], MOST_REPORTS):
        found = _violation(object_of(report))
        yield _payload(found) if found else None


def _violation(report: Mapping[str, Json]) -> dict[str, Json]:
    if report.get("type") == _VIOLATION:
        return {_NAMES.get(name, name): value for name, value in object_of(report.get("body")).items()}
    return object_of(report.get("csp-report"))


def _payload(report: dict[str, Json]) -> dict[str, Json]:
    # what reports of old browsers call violated is the directive with all that it allows
    directive = text_of(report.get("effective-directive") or report.get("violated-directive")).partition(" ")[0]
    blocked = _source(text_of(report.get("blocked-uri")))
    url = report.get("document-uri")
    return {
        "logger": "csp",
        "platform": "javascript",
        "message": f"Blocked '{directive}' from '{blocked}'",
        "fingerprint": ["csp", directive, blocked],
        "request": {"url": url} if url else None,
        "extra": {"csp": report},
    }


def _source(blocked: str) -> str:
    """The host of what was blocked, or a word as `inline`, or a scheme as `data`; `self` where nothing is said."""
    try:
        return urlsplit(blocked).hostname or blocked.partition(":")[0] or "self"
    except ValueError:
        return blocked
