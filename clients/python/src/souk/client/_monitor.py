"""The client of monitor: souk.monitor.v1.ErrorService and ProjectService."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Self

import grpc
from souk.client._calls import responses, typed
from souk.client._channel import open_channel
from souk.client._config import ClientConfig
from souk.client._errors import SoukError, from_failure
from souk.client._monitor_issues import IssueCalls
from souk.client._monitor_projects import ProjectCalls
from souk.client._monitor_report import PLAIN, Circumstances, ReportOptions, error_report
from souk.client._operations import OperationsClient, RunningOperation
from souk.client._trace import with_trace
from souk.common.v1 import operations_pb2
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc, project_pb2_grpc
from souk.monitor.v1 import project_pb2 as projects_pb

SERVICES = (
    pb.DESCRIPTOR.services_by_name["ErrorService"],
    projects_pb.DESCRIPTOR.services_by_name["ProjectService"],
    operations_pb2.DESCRIPTOR.services_by_name["OperationService"],
)
MOST_REPORTS = 1000
"""Of one request."""


class MonitorClient(IssueCalls, ProjectCalls):
    """Reports errors, and finds out what became of them. Use it as an async context manager, in one event loop.

    `report` waits until an error is stored. A program that must not wait for monitor reports through a MonitorReporter. What may
    be repeated is repeated by itself when the server is UNAVAILABLE, within the `timeout` of the call, which is in seconds; None
    is what the configuration says.

    What the server says, and that it does not answer, is a SoukError, or what derives from it, and nothing of gRPC. An argument
    that cannot be sent is told before the call: a TypeError for one of a wrong type and for a time without a time zone, a
    ValueError for a number that is too large for its field and for a text that is no Unicode. Methods that are iterated over
    raise when the iteration begins.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        config: ClientConfig | None = None,
        channel: grpc.aio.Channel | None = None,
        project: str = "",
        options: ReportOptions | None = None,
    ) -> None:
        """`target` is short for ClientConfig(target=…). A `channel` of your own is used as it is, and stays open.

        project: that reports are of; empty: the service's default. options: what all reports say.
        """
        config = config or ClientConfig(target="127.0.0.1:50054")
        self._config = replace(config, target=target) if target else config
        self._channel = channel or open_channel(self._config, SERVICES)
        self._owns_channel = channel is None
        self._metadata = (("authorization", f"Bearer {self._config.token}"),) if self._config.token else ()
        self._project = project
        self._options = options or ReportOptions()
        errors: Any = error_pb2_grpc.ErrorServiceStub(self._channel)
        projects: Any = project_pb2_grpc.ProjectServiceStub(self._channel)
        self._errors = errors
        self._projects = projects
        self.operations = OperationsClient(self._channel, self._config)
        """Of erase_user."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, if it is the client's own."""
        if self._owns_channel:
            await self._channel.close()

    async def report(
        self, error: BaseException, circumstances: Circumstances = PLAIN, *, timeout: float | None = None
    ) -> pb.Accepted:
        """Store an exception, with its causes and stacks: where it is now. See error_report for what is taken of it."""
        (result,) = await self.report_all([error_report(error, self._options, circumstances)], timeout=timeout)
        return accepted(result)

    async def report_all(
        self, reports: Sequence[pb.ErrorReport], *, project: str | None = None, timeout: float | None = None
    ) -> list[pb.ReportResult]:
        """Store reports, 1 to 1,000, which may be of other languages; what became of each, in their order."""
        request = pb.ReportErrorsRequest(project=self._project if project is None else project, reports=reports)
        answer: pb.ReportErrorsResponse = await typed(
            self._errors.ReportErrors(request, timeout=self._seconds(timeout), metadata=with_trace(self._metadata))
        )
        return list(answer.results)

    async def report_stream(
        self, batches: AsyncIterable[Sequence[pb.ErrorReport]], *, project: str | None = None
    ) -> AsyncGenerator[list[pb.ReportResult], None]:
        """Store batches as they come; yield what became of each batch, in their order. Does not repeat what breaks off."""
        named = self._project if project is None else project

        async def requests() -> AsyncIterator[pb.ReportErrorStreamRequest]:
            async for batch in batches:
                yield pb.ReportErrorStreamRequest(project=named, reports=batch)

        call = self._errors.ReportErrorStream(requests(), metadata=self._metadata)
        async with aclosing(responses(call)) as answers:
            async for answer in answers:
                yield list(answer.results)

    async def erase_user(
        self, user: str, *, project: str | None = None, request_id: str = "", timeout: float | None = None
    ) -> RunningOperation[Mapping[str, int]]:
        """Remove what is stored of a user, by the id, e-mail address, name or address of the network that was reported.

        The operation goes on by itself; `result` waits for it. Its progress counts by name. request_id: the same one starts one
        operation; else one is made.
        """
        request = pb.EraseUserRequest(
            project=self._project if project is None else project, user=user, request_id=request_id or uuid.uuid4().hex
        )
        answer: pb.EraseUserResponse = await typed(
            self._errors.EraseUser(request, timeout=self._seconds(timeout), metadata=with_trace(self._metadata))
        )
        return RunningOperation(self.operations, answer.operation, _counts)

    def _seconds(self, timeout: float | None) -> float:
        return self._config.timeout if timeout is None else timeout


def accepted(result: pb.ReportResult) -> pb.Accepted:
    """What a result says of a report that was stored; the typed error of one that was refused."""
    if result.HasField("accepted"):
        return result.accepted
    if result.HasField("rejected"):
        raise from_failure(result.rejected)
    raise SoukError("the server says nothing of what became of the report")


def _counts(operation: operations_pb2.Operation) -> Mapping[str, int]:
    return dict(operation.progress.counts)
