"""Spans of time as callers give them: seconds, or a timedelta."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

Span = float | timedelta
"""Seconds, or a timedelta."""


def seconds(span: Span) -> float:
    """A span in seconds."""
    return span.total_seconds() if isinstance(span, timedelta) else span


def duration(span: Span | None) -> Duration | None:
    """A span as a message says it, to the microsecond; None where there is none."""
    if span is None:
        return None
    told = Duration()
    told.FromMicroseconds(round(seconds(span) * 1e6))
    return told
