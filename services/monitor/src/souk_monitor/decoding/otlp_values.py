"""OpenTelemetry's attributes and resources as what JSON can say."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1 import resource_pb2

from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.lenient import text_of
from souk_monitor.decoding.occurrences import digest_of

PROJECT = "souk.project"
"""The resource attribute that names the project that errors are for."""
_PLATFORMS = {"nodejs": "node", "webjs": "javascript", "dotnet": "csharp", "cpp": "native", "swift": "cocoa"}
"""Names of languages that monitor has others for."""


class Cost(NamedTuple):
    """What every event is charged that has the same attributes as others."""

    values: int
    bytes: int

    def charged(self, budget: Budget, path: str) -> bool:
        """Whether an event may have them."""
        return budget.takes_whole("values", self.values, path) and budget.takes_whole("bytes", self.bytes, path)


FREE = Cost(0, 0)


@dataclass(frozen=True, slots=True)
class Resource:
    """What a batch comes from."""

    project: str = ""
    """Empty: it names none."""
    service: str = ""
    release: str = ""
    environment: str = ""
    platform: str = ""
    server_name: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost = FREE
    identity: str = ""
    """A digest of all of it."""


def resource_of(message: resource_pb2.Resource, budget: Budget) -> Resource:
    """By OpenTelemetry's semantic conventions."""
    left = budget.left("values")
    known = attributes_of(message.attributes, budget)
    cost = Cost(left - budget.left("values"), message.ByteSize())
    identity = digest_of((text_of(known),))
    language = text_of(known.get("telemetry.sdk.language"))
    named = known.pop("deployment.environment.name", None) or known.pop("deployment.environment", None)
    service = text_of(known.pop("service.name", None))
    return Resource(
        project=text_of(known.pop(PROJECT, None)),
        service="" if service.startswith("unknown_service") else service,
        release=text_of(known.pop("service.version", None)),
        environment=text_of(named),
        platform=_PLATFORMS.get(language, language),
        server_name=text_of(known.pop("host.name", None)),
        rest=known,
        cost=cost,
        identity=identity,
    )


class Scope(NamedTuple):
    """The library, or the logger, that records or spans of a resource come from."""

    name: str
    rest: Mapping[str, Any]
    """Its version and its attributes."""
    cost: Cost


def scope_of(message: InstrumentationScope, budget: Budget) -> Scope:
    """Read once for all of its records."""
    left = budget.left("values")
    version = {"version": message.version} if message.version else {}
    rest = {**version, **attributes_of(message.attributes, budget)}
    return Scope(message.name, rest, Cost(left - budget.left("values"), message.ByteSize()) if rest else FREE)


def attributes_of(attributes: Sequence[KeyValue], budget: Budget) -> dict[str, Any]:
    """Attributes by their names, as many as may be read."""
    granted = budget.members(len(attributes), "attributes")
    return {attribute.key: value_of(attribute.value, budget) for attribute in attributes[:granted]}


def plain_text_of(value: AnyValue) -> str:
    """The text of a text or a number; empty for all else, which is not looked into."""
    kind = value.WhichOneof("value")
    return value.string_value if kind == "string_value" else str(value.int_value) if kind == "int_value" else ""


def value_of(value: AnyValue, budget: Budget) -> Any:
    """A value, as much of it as may be read; bytes as base64, and a number that JSON cannot say as its name."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "int_value":
        return value.int_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "double_value":
        return value.double_value if math.isfinite(value.double_value) else str(value.double_value)
    if kind == "array_value":
        parts = value.array_value.values
        return [value_of(each, budget) for each in parts[: budget.members(len(parts), "attributes")]]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values, budget)
    return base64.b64encode(value.bytes_value).decode() if kind == "bytes_value" else None
