"""What browsers by themselves report of a site's policies, as the payloads of events that SDKs would send of them.

https://www.w3.org/TR/CSP3/#deprecated-serialize-violation (one report, as `report-uri` brings it) and
https://www.w3.org/TR/reporting-1/#media-type (a list, as `report-to` does).
"""

from collections.abc import Iterator, Mapping
from itertools import islice

from souk_monitor.decoding.lenient import list_of, object_of
from souk_monitor.decoding.sentry_titles import title
from souk_monitor.events import Json

MOST_REPORTS = 1000
"""Of one request that are looked at."""
_KINDS = {"csp-report": "csp", "expect-ct-report": "expectct", "expect-staple-report": "expectstaple"}
"""What a report by itself is in, and the part of an event that it becomes."""
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
"""How the fields of a violation in a list are called in one by itself."""


def payloads(given: Json) -> Iterator[dict[str, Json] | None]:
    """The events of one report, or of a list; None for each that is about something else, or does not say what."""
    for report in islice(list_of(given) or [given], MOST_REPORTS):
        yield _payload(object_of(report))


def _payload(report: Mapping[str, Json]) -> dict[str, Json] | None:
    found: dict[str, Json] = {part: object_of(report[name]) for name, part in _KINDS.items() if name in report}
    if report.get("type") == _VIOLATION:
        found["csp"] = {_NAMES.get(name, name): value for name, value in object_of(report.get("body")).items()}
    if not title(found):
        return None
    url = object_of(found.get("csp")).get("document-uri")
    return {**found, "logger": next(iter(found)), "platform": "javascript", "request": {"url": url} if url else None}
