"""Which of a span's exceptions are errors, each once.

Instrumentation of gRPC records the exception by which a call is refused, and records what leaves a handler on its way out, too.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from souk_monitor.decoding import otlp_exceptions
from souk_monitor.decoding.otlp_values import plain_text_of
from souk_monitor.events import Frame

NAME = "exception"
_MOST_SPANS, _MOST_KINDS = 20_000, 100
_STATUS = ("rpc.grpc.status_code", "rpc.response.status_code")
"""A number in the older conventions of OpenTelemetry, a name in the newer."""
_CALLERS_FAULT = {
    "1": "CANCELLED",
    "3": "INVALID_ARGUMENT",
    "5": "NOT_FOUND",
    "6": "ALREADY_EXISTS",
    "7": "PERMISSION_DENIED",
    "8": "RESOURCE_EXHAUSTED",
    "9": "FAILED_PRECONDITION",
    "10": "ABORTED",
    "11": "OUT_OF_RANGE",
    "16": "UNAUTHENTICATED",
}
"""The codes that are no errors of a server by OpenTelemetry's conventions."""
_REFUSALS = frozenset({*_CALLERS_FAULT, *_CALLERS_FAULT.values()})
_OF_GRPC = frozenset(
    {
        *("AbortError", "AioRpcError", "RpcError", "_InactiveRpcError", "_MultiThreadedRendezvous", "_Rendezvous"),  # Python
        *("StatusException", "StatusRuntimeException"),  # Java and Kotlin
        "RpcException",  # C#
    }
)
"""The exceptions, without their modules, by which gRPC tells the status of a call: of the server's own, or of one that it made."""


def errors_of(span: Span) -> list[Span.Event]:
    """The exceptions of a span but those by which gRPC says that a call was refused: they are an answer, and no error."""
    raised = [event for event in span.events if event.name == NAME]
    if raised and _text(span.attributes, *_STATUS) in _REFUSALS:
        return [event for event in raised if not _is_of_grpc(event)]
    return raised


def _is_of_grpc(event: Span.Event) -> bool:
    name = _text(event.attributes, otlp_exceptions.TYPE).rpartition(".")[2]
    # the bare Exception, without a word, is what a server of Python that has threads aborts by
    return name in _OF_GRPC or (name == "Exception" and not _text(event.attributes, otlp_exceptions.MESSAGE))


def _text(attributes: Iterable[KeyValue], *names: str) -> str:
    return next((plain_text_of(each.value) for each in attributes if each.key in names), "")


class WayOut:
    """Knows, of the exceptions of one span, those that were recorded before, further in.

    A stack of Python grows as its exception is passed on: one that is that of another, and more, is of the same exception. What a
    span raises several times has stacks as long as each other.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[Frame, ...]] = {}

    def passes(self, kind: str, frames: tuple[Frame, ...]) -> bool:
        """Whether an exception of a kind (occurrences.kind_of) is the one before it of that kind, further out."""
        inner = self._last.get(kind, ())
        self._last[kind] = frames
        return 0 < len(inner) < len(frames) and frames[-len(inner) :] == inner


class WaysOut:
    """Knows the exceptions that left spans, for the spans that these are in: instrumentation records one in each that it leaves.

    Spans are told of as they end, those within before those around. Of 20,000 spans around it is known what left those within.
    """

    def __init__(self) -> None:
        self._within: OrderedDict[tuple[bytes, bytes], dict[str, tuple[int, int]]] = OrderedDict()
        """By trace and span: kinds of exceptions that left the spans in it, with the length of their stacks and their hash."""

    def passes(self, span: Span, kind: str, frames: Sequence[Frame]) -> bool:
        """Whether an exception of a span was told of in a span within it. kind: what occurrences.kind_of says of it in any span.

        Its stack is the same, or is longer by the calls that are further out.
        """
        known = self._within.get((span.trace_id, span.span_id), {}).get(kind)
        if span.parent_span_id:
            around = (span.trace_id, span.parent_span_id)
            kinds = self._within.setdefault(around, {})
            self._within.move_to_end(around)
            if len(kinds) < _MOST_KINDS:
                kinds[kind] = (len(frames), _hash(frames))
            while len(self._within) > _MOST_SPANS:
                self._within.popitem(last=False)
        return known is not None and known[0] <= len(frames) and known[1] == _hash(frames[len(frames) - known[0] :])


def _hash(frames: Sequence[Frame]) -> int:
    return hash(tuple((frame.function, frame.abs_path or frame.file or frame.module, frame.line) for frame in frames))
