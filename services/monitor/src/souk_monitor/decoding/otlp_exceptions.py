"""Exceptions of OpenTelemetry's attributes: of what is given and what the stack says, that which Sentry's SDKs would say too.

https://opentelemetry.io/docs/specs/semconv/exceptions/
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.lenient import text_of
from souk_monitor.events import ExceptionInfo
from souk_monitor.functions import short_type, split_type
from souk_monitor.platforms import FAMILIES, family_of_frames

TYPE, MESSAGE, STACK, ESCAPED = "exception.type", "exception.message", "exception.stacktrace", "exception.escaped"
REPORTED_TYPE, REPORTED_MESSAGE, STACK_MESSAGE = "reported_type", "reported_message", "stack_message"
"""What an exception has in its `extra` where attributes and stack say different things: what is not its type or its value."""

_OF_JAVASCRIPT = frozenset(
    ("Error", "TypeError", "RangeError", "ReferenceError", "SyntaxError", "URIError", "EvalError", "AggregateError")
)
"""The classes of JavaScript itself: V8 begins a stack with one of them where a program gives an error its name later."""

ReadStack = Callable[[str, str], tuple[ExceptionInfo, ...]]
"""Exceptions, causes first, of a stack as a language prints it, and the language, where it is known."""


def is_exception(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes tell of an exception; by the conventions there is its type or its message."""
    return TYPE in attributes or MESSAGE in attributes or STACK in attributes


def exceptions_of(attributes: dict[str, Any], platform: str, read_stack: ReadStack, budget: Budget) -> tuple[ExceptionInfo, ...]:
    """The exceptions, causes first. What of the attributes has become a part of them is taken out."""
    name, message = text_of(attributes.pop(TYPE, None)), text_of(attributes.pop(MESSAGE, None))
    stack, escaped = text_of(attributes.pop(STACK, None)), attributes.pop(ESCAPED, None)
    found = read_stack(stack, platform) if budget.reads_stack(stack) else ()
    if not any(exception.frames for exception in found):  # it was no stack
        found = ()
    last = found[-1] if found else ExceptionInfo(extra={"stack_text": stack} if stack else {})
    by_name = (FAMILIES.get(platform.lower()) or family_of_frames(last.frames)) == "javascript"
    raised = _with_message(_with_type(last, name, by_name=by_name), message, by_name=by_name)
    if escaped in (True, "True", "true"):
        raised.handled = False
    return (*found[:-1], raised)


def _with_type(last: ExceptionInfo, name: str, *, by_name: bool) -> ExceptionInfo:
    """The last exception of a stack with the type that is given.

    OpenTelemetry for JavaScript gives an error's code for its type, where it has one: all others know the error by its name.
    """
    module, kind = split_type(name)
    if not last.type or (by_name and last.type in _OF_JAVASCRIPT and name != "Error" and _is_name(name)):
        return replace(last, type=kind, module=last.module or module)
    if not name or short_type(kind) == short_type(last.type):
        return replace(last, module=last.module or module)
    return replace(last, extra={**last.extra, REPORTED_TYPE: name})


def _is_name(name: str) -> bool:
    """Whether it is an error's name rather than its code: `PaymentError`, and not `ERR_INVALID_URL`, `23505` or `card_declined`."""
    return name[:1].isupper() and not name.isupper() and name.replace("$", "_").isidentifier()


def _with_message(last: ExceptionInfo, message: str, *, by_name: bool) -> ExceptionInfo:
    """The same with the message that is given where that says more, as `invalid syntax (rules.py, line 1)` does.

    Some SDKs give an argument for the message: lamp for 'lamp'. Of JavaScript's errors it is the message, whatever the stack began
    with before the program changed it.
    """
    own = last.value.strip()
    if message.strip() in own:
        return last
    if own in message:
        return replace(last, value=message)
    if by_name:
        return replace(last, value=message, extra={**last.extra, STACK_MESSAGE: last.value})
    return replace(last, extra={**last.extra, REPORTED_MESSAGE: message})
