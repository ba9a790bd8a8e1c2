"""Whether a call is traced, decided before anything is spent on it, and the ids of those that are not."""

import random
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags

from souk_common.call import CURRENT

_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
_EMPTY = Context()
_LENGTH = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


@dataclass(slots=True)
class Decision:
    """What was decided for one call."""

    sampled: bool
    trace_id: int
    span_id: int
    """Of the caller; a new one where the caller has none."""
    from_caller: bool
    """The trace is the caller's, and may have other calls."""


def decide(traceparent: str | None, ratio: float) -> Decision:
    """Follow the caller's traceparent (W3C Trace Context); without one, or with one that is malformed, sample by `ratio`."""
    if traceparent is not None and len(traceparent) >= _LENGTH and traceparent[2] == "-":
        try:
            trace_id, span_id = int(traceparent[3:35], 16), int(traceparent[36:52], 16)
            sampled = bool(int(traceparent[53:55], 16) & 1)
        except ValueError:
            trace_id = span_id = 0
            sampled = False
        if trace_id and span_id:
            return Decision(sampled, trace_id, span_id, True)
    return Decision(random.random() < ratio, random.getrandbits(128), random.getrandbits(64), False)  # noqa: S311 — ids, not secrets


class _SpanOfCall(NonRecordingSpan):
    """The span of whatever call is not traced: one for all, which says what the call of the task is when somebody asks, as a client
    of another service does."""

    def get_span_context(self) -> SpanContext:
        """The caller's trace, with sampled=0."""
        call = CURRENT.get()
        if call is None:
            return INVALID_SPAN_CONTEXT
        return SpanContext(call.trace_id, call.span_id, is_remote=True, trace_flags=_UNSAMPLED)


_OF_CALL = trace.set_span_in_context(_SpanOfCall(INVALID_SPAN_CONTEXT), _EMPTY)


def attach_unsampled() -> None:
    """Give the running task, which has its CURRENT call, a context whose outgoing calls carry the caller's trace on, with
    sampled=0."""
    attach(_OF_CALL)
