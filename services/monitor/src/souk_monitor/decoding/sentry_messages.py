"""The message of an event of Sentry's SDKs, which has one as a text, as a template with its parameters, or both."""

from collections.abc import Mapping
from typing import NamedTuple

from souk_monitor.decoding.formatting import formatted
from souk_monitor.decoding.lenient import object_of, rest_of, text_of
from souk_monitor.events import Json


class Message(NamedTuple):
    """What an event says."""

    text: str
    """With its parameters."""
    template: str
    """Without them; empty where it is the same."""
    rest: Mapping[str, Json]
    """What is in neither, by the part that it was in."""


def read(message: Json, entry: Json) -> Message:
    """Of the parts `message` and `logentry`, of which the first was a template too in older SDKs.

    What the SDK formatted is stronger than a text beside the template, and that than what comes of the template and its parameters.
    """
    given = object_of(entry) or object_of(message)
    plain = (entry if isinstance(entry, str) else "") or ("" if isinstance(message, dict) else text_of(message))
    template = text_of(given.get("message"))
    made = formatted(template, given.get("params"))
    text = text_of(given.get("formatted")) or (plain if plain != template else "") or made.text
    said = ("message", "formatted", "params") if made.has_all and made.text == text else ("message", "formatted")
    rest: dict[str, Json] = {}
    for name, part in (("logentry", entry), ("message", message)):
        if part and part is given:
            rest[name] = rest_of({within: value for within, value in given.items() if within not in said})
        elif text_of(part) not in (text, template):
            rest[name] = part
    return Message(text, template if template != text else "", {name: left for name, left in rest.items() if left})
