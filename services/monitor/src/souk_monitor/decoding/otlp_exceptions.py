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
REPORTED_TYPE, REPORTED_MESSAGE = "reported_type", "reported_message"
"""In the `extra` of an exception: what is given, where the exception has what its stack says."""
STACK_TYPE, STACK_MESSAGE = "stack_type", "stack_message"
"""And what the stack says, where the exception has what is given."""

_OF_JAVASCRIPT = frozenset(
    ("Error", "TypeError", "RangeError", "ReferenceError", "SyntaxError", "URIError", "EvalError", "AggregateError")
)
"""The classes of JavaScript itself: V8 begins a stack with one of them where a program gives an error its name later."""

_LONGEST_TYPE = 300
"""Characters before a message in its stack."""

ReadStack = Callable[[str, str], tuple[ExceptionInfo, ...]]
"""Exceptions, causes first, of a stack as a language prints it, and the language, where it is known."""


def is_exception(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes tell of an exception; by the conventions there is its type or its message."""
    return TYPE in attributes or MESSAGE in attributes or STACK in attributes


def exceptions_of(attributes: dict[str, Any], platform: str, read_stack: ReadStack, budget: Budget) -> tuple[ExceptionInfo, ...]:
    """The exceptions, causes first. What of the attributes has become a part of them is taken out."""
    name, message = text_of(attributes.pop(TYPE, None)), text_of(attributes.pop(MESSAGE, None))
    stack, escaped = text_of(attributes.pop(STACK, None)), attributes.pop(ESCAPED, None)
    found = read_stack(_without_lines(stack, message), platform) if budget.reads_stack(stack) else ()
    if not any(exception.frames for exception in found):  # it was no stack
        found = ()
    last = found[-1] if found else ExceptionInfo(extra={"stack_text": stack} if stack else {})
    family = FAMILIES.get(platform.lower()) or family_of_frames(last.frames)
    raised = _with_message(_with_type(last, name, family), message, family)
    if escaped in (True, "True", "true"):
        raised.handled = False
    return (*found[:-1], raised)


def _without_lines(stack: str, message: str) -> str:
    """A stack that begins with a message, of which only the first line is left: others may be the stack of another program."""
    first, is_long, _ = message.partition("\n")
    at = stack.find(message, 0, len(message) + _LONGEST_TYPE) if is_long and first else -1
    return f"{stack[: at + len(first)]}{stack[at + len(message) :]}" if at > 0 else stack


def _with_type(last: ExceptionInfo, name: str, family: str) -> ExceptionInfo:
    """The last exception of a stack with the type that is given, where that is what an error of JavaScript is called.

    OpenTelemetry for JavaScript gives an error's code for its type, where it has one: all others know the error by its name.
    """
    module, kind = split_type(name)
    if not last.type:
        return replace(last, type=kind, module=last.module or module)
    if not name or short_type(kind) == short_type(last.type):
        return replace(last, module=last.module or module)
    if family == "javascript" and last.type in _OF_JAVASCRIPT and name != "Error" and _is_name(name):
        return replace(last, type=name, extra={**last.extra, STACK_TYPE: last.type})
    return replace(last, extra={**last.extra, REPORTED_TYPE: name})


def _is_name(name: str) -> bool:
    """Whether it is an error's name rather than its code: `PaymentError`, and not `ERR_INVALID_URL`, `23505` or `card_declined`."""
    return name[:1].isupper() and not name.isupper() and name.replace("$", "_").isidentifier()


def _with_message(last: ExceptionInfo, message: str, family: str) -> ExceptionInfo:
    """The same with the message that is given, where that is what all SDKs of the language would say.

    In Python they would not: one gives the first argument, lamp for 'lamp', and `bad` for `bad (x.py, line 1)`. In JavaScript they
    do, even where the program changed it after the stack was made; elsewhere where it says all that the stack does.
    """
    own = last.value.strip()
    if message.strip() in own:
        return last
    if not own:
        return replace(last, value=message)
    if family == "javascript" or (family not in ("python", "") and own in message):
        return replace(last, value=message, extra={**last.extra, STACK_MESSAGE: last.value})
    return replace(last, extra={**last.extra, REPORTED_MESSAGE: message})
