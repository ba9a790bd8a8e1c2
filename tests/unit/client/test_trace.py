"""Calls are of the trace that their program is in."""

import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from souk.client._trace import with_trace

TOKEN = (("authorization", "Bearer x"),)


@pytest.mark.parametrize(("flags", "told"), [(0, "00"), (1, "01"), (3, "01")])
def test_a_call_has_the_current_span_of_opentelemetry_and_whether_it_is_sampled(flags: int, told: str) -> None:
    span = NonRecordingSpan(SpanContext(0xAB, 0xCD, is_remote=False, trace_flags=TraceFlags(flags)))
    with trace.use_span(span):
        assert with_trace(TOKEN) == (*TOKEN, ("traceparent", f"00-{0xAB:032x}-{0xCD:016x}-{told}"))


def test_the_state_of_a_trace_goes_on() -> None:
    state = TraceState([("vendor", "1"), ("other", "2")])
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state))
    with trace.use_span(span):
        assert with_trace(())[1] == ("tracestate", "vendor=1,other=2")


def test_without_a_span_and_without_opentelemetry_a_call_has_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_trace(TOKEN) == TOKEN
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("order"):
        assert len(with_trace(TOKEN)) == 2
        monkeypatch.delitem(sys.modules, "opentelemetry.trace")
        assert with_trace(TOKEN) == TOKEN
