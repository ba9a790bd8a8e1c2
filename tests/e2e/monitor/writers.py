"""Programs that report errors without end: by the native rpc, as Sentry's SDKs, and as OpenTelemetry's. Each sends what it has
until it is acknowledged, and remembers what that was."""

import asyncio
import gzip
import json
import random
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from faults.failures import failure
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_ERROR, LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from processes import ServiceProcess
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc

KINDS, USERS = 20, 300
TIMEOUT, PAUSE = 20.0, 0.05
UNHEARD = 0.2
"""The share of answers that are not heard."""
MESSAGE = "it failed"


@dataclass(frozen=True)
class Refusal:
    """Why something was not taken."""

    status: str
    """A code of gRPC or a status of HTTP; `gone` where there was no answer."""
    retry_after: float = 0.0
    """Seconds; 0: it does not say."""


class RefusedError(Exception):
    """Something was not taken."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status)
        self.refusal = refusal


@dataclass(frozen=True)
class Failed:
    """One error."""

    id: str
    type: str
    user: str
    nanoseconds: int


@dataclass
class Writer(ABC):
    """One program, of a service, that reports to a node."""

    seed: int
    service: str
    node: ServiceProcess
    project: int
    key: str
    sent: dict[str, Failed] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)
    stopping: bool = False

    batch = 20

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    async def run(self) -> None:
        """Report until `stopping`."""
        while not self.stopping:
            batch = [self._failed() for _ in range(self.batch)]
            self.sent |= {failed.id: failed for failed in batch}
            await self._deliver(batch)

    async def _deliver(self, batch: Sequence[Failed]) -> None:
        """Until it is acknowledged; at times once more, as where the answer is lost."""
        while True:
            try:
                for _ in range(1 + (self._chance.random() < UNHEARD)):
                    await self.send(batch)
            except RefusedError as refused:
                self.refusals.append(refused.refusal)
                await asyncio.sleep(PAUSE)
            else:
                self.acknowledged |= {failed.id for failed in batch}
                return

    def _failed(self) -> Failed:
        chance = self._chance
        id_ = uuid.UUID(int=chance.getrandbits(128)).hex
        kind, user = f"{self.service.title()}{chance.randrange(KINDS)}Error", f"user-{chance.randrange(USERS)}"
        return Failed(id_, kind, user, time.time_ns())

    @abstractmethod
    async def send(self, batch: Sequence[Failed]) -> None:
        """Report errors, and return when they are acknowledged; RefusedError."""


class NativeWriter(Writer):
    """By ReportErrors."""

    async def send(self, batch: Sequence[Failed]) -> None:
        request = pb.ReportErrorsRequest(reports=map(self._report, batch))
        try:
            async with grpc.aio.insecure_channel(self.node.grpc) as channel:
                stub: Any = error_pb2_grpc.ErrorServiceStub(channel)
                answer = await stub.ReportErrors(request, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from error
        assert [result.accepted.event_id for result in answer.results] == [failed.id for failed in batch]

    def _report(self, failed: Failed) -> pb.ErrorReport:
        exception = pb.ExceptionReport(type=failed.type, value=MESSAGE)
        user = pb.ReportedUser(id=failed.user)
        made = pb.ErrorReport(event_id=failed.id, exceptions=[exception], user=user, service=self.service, platform="python")
        made.time.FromNanoseconds(failed.nanoseconds)
        return made


class EnvelopeWriter(Writer):
    """By Sentry's envelopes, one for each error."""

    batch = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._client = httpx.AsyncClient(timeout=TIMEOUT)

    async def run(self) -> None:
        async with self._client:
            await super().run()

    async def send(self, batch: Sequence[Failed]) -> None:
        (failed,) = batch
        url = f"{self.node.http}/api/{self.project}/envelope/?sentry_key={self.key}"
        try:
            answer = await self._client.post(url, content=self._envelope(failed), headers={"content-encoding": "gzip"})
        except httpx.TransportError as error:
            raise RefusedError(Refusal("gone")) from error
        if answer.status_code in (429, 503):
            raise RefusedError(Refusal(str(answer.status_code), float(answer.headers.get("retry-after", 0))))
        assert (answer.status_code, answer.json()) == (200, {"id": failed.id})

    def _envelope(self, failed: Failed) -> bytes:
        event = {
            "event_id": failed.id,
            "timestamp": failed.nanoseconds / 1e9,
            "platform": "python",
            "tags": {"service": self.service},
            "user": {"id": failed.user},
            "exception": {"values": [{"type": failed.type, "value": MESSAGE}]},
        }
        return gzip.compress(b"\n".join(json.dumps(part).encode() for part in ({"event_id": failed.id}, {"type": "event"}, event)))


class LogWriter(Writer):
    """By OpenTelemetry's logs, of spans."""

    async def send(self, batch: Sequence[Failed]) -> None:
        resource = Resource(attributes=_attributes({"service.name": self.service, "telemetry.sdk.language": "python"}))
        logs = ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=map(_record, batch))])
        try:
            async with grpc.aio.insecure_channel(self.node.grpc) as channel:
                stub: Any = LogsServiceStub(channel)
                answer = await stub.Export(ExportLogsServiceRequest(resource_logs=[logs]), timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from error
        assert not answer.HasField("partial_success")


def _record(failed: Failed) -> LogRecord:
    attributes = {"exception.type": failed.type, "exception.message": MESSAGE, "user.id": failed.user}
    return LogRecord(
        time_unix_nano=failed.nanoseconds,
        severity_number=SEVERITY_NUMBER_ERROR,
        body=AnyValue(string_value="an order failed"),
        attributes=_attributes(attributes),
        trace_id=bytes.fromhex(failed.id),
        span_id=bytes.fromhex(failed.id[:16]),
    )


def _attributes(values: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()]


def _refused(error: grpc.aio.AioRpcError) -> RefusedError:
    told = failure(error)
    return RefusedError(Refusal(told.code, told.retry_after or 0.0))
