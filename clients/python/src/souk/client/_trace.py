"""The trace that the program is in, for those that use OpenTelemetry: what it asks of a service belongs to the same trace."""

import sys
from typing import Any

Metadata = tuple[tuple[str, str], ...]


def current_span() -> Any:
    """The context of OpenTelemetry's current span; None where there is none, or the program does not use it."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    return context if context.is_valid else None


def with_trace(metadata: Metadata) -> Metadata:
    """The metadata of one call, with the current span as W3C Trace Context has it: traceparent, and tracestate where there is one.

    Instrumentation of gRPC, where the program has it, puts a span of its own in the place of this one.
    """
    context = current_span()
    if context is None:
        return metadata
    parent = ("traceparent", f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}")
    if not context.trace_state:
        return (*metadata, parent)
    return (*metadata, parent, ("tracestate", context.trace_state.to_header()))
