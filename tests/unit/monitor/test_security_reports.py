"""What browsers by themselves report of a site's policies."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_monitor.decoding.envelopes import parse_envelope
from souk_monitor.decoding.sentry import Reports, envelope_reports, security_reports
from souk_monitor.exceptions import MalformedError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"
PAGE = "https://shop.example/cart"
OLD = {
    "document-uri": PAGE,
    "blocked-uri": "https://evil.example/x.js",
    "violated-directive": "script-src 'self' https://cdn.shop.example",
    "original-policy": "script-src 'self'",
    "line-number": 7,
}
NEW = {
    "documentURL": PAGE,
    "blockedURL": "https://evil.example/x.js",
    "effectiveDirective": "script-src",
    "originalPolicy": "script-src 'self'",
    "lineNumber": 7,
}
LISTED = {"type": "csp-violation", "age": 10, "url": PAGE, "user_agent": "Firefox", "body": NEW}
DEPRECATED = {"type": "deprecation", "url": PAGE, "body": {"id": "x"}}


def read(value: Any) -> Reports:
    return security_reports(json.dumps(value).encode(), NOW)


@pytest.mark.parametrize("sent", [{"csp-report": OLD}, LISTED, [LISTED]])
def test_a_violation_is_an_event_in_either_form(sent: Any):
    (event,) = read(sent).events
    assert (event.message, event.logger) == ("Blocked 'script' from 'evil.example'", "csp")
    assert event.fingerprint == ("csp", "script-src", "evil.example")
    assert event.contexts["request"] == {"url": PAGE}
    report = event.extra["csp"]
    assert (report["document-uri"], report["line-number"], report["original-policy"]) == (PAGE, 7, "script-src 'self'")
    assert event.event_id


@pytest.mark.parametrize("name", ["expect-ct", "expect-staple"])
def test_reports_about_certificates_are_events_too(name: str):
    (event,) = read({f"{name}-report": {"hostname": "shop.example", "port": 443}}).events
    assert event.message == f"{'Expect-CT' if name == 'expect-ct' else 'Expect-Staple'} failed for 'shop.example'"
    assert event.logger == name.replace("-", "")


def test_reports_about_something_else_are_counted_and_left():
    reports = read([LISTED, DEPRECATED, {"expect-ct-report": {}}, {"csp-report": {"blocked-uri": "x"}}, 7, LISTED])
    assert len({event.event_id for event in reports.events}) == 2
    assert reports.dropped == {"security": 4}


def test_an_envelope_may_have_one():
    item = json.dumps({"csp-report": OLD}).encode()
    body = b'{"event_id":"%s"}\n{"type":"raw_security","length":%d}\n%s\n{"type":"event"}\n{}' % (ID.encode(), len(item), item)
    reports = envelope_reports(parse_envelope(body), NOW)
    assert reports.event_id == reports.events[0].event_id == ID
    assert [event.logger for event in reports.events] == ["csp", ""]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_what_is_no_report_is_a_typed_error(body: bytes):
    with pytest.raises(MalformedError):
        security_reports(body, NOW)


NAMES = ["csp-report", "type", "body", "blocked-uri", "violated-directive", "effectiveDirective", "blockedURL", "document-uri"]
values = st.recursive(
    st.sampled_from([None, True, -1, 2**80, float("nan"), "", "csp-violation", "\ud800", "a\0b", "http://[", "//"]),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_whatever_a_report_holds_events_or_a_typed_error_come_of_it(value: Any):
    with contextlib.suppress(MalformedError):
        read(value)
