"""The half of ErrorService that takes errors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime

from souk.monitor.v1 import error_pb2 as pb
from souk_common.call import annotate

from souk_monitor.decoding import native
from souk_monitor.decoding.budget import Budget
from souk_monitor.events import Event
from souk_monitor.exceptions import MalformedError
from souk_monitor.ingest import Pipeline, Rejected
from souk_monitor.limits import Limits, fit
from souk_monitor.projects import Project, Projects
from souk_monitor.rpc import mapping, validate

MAX_UNANSWERED = 16
"""Requests of a stream that wait for their answers."""
Results = list[pb.ReportResult]


class Reporting:
    """Reports in, results out."""

    def __init__(self, pipeline: Pipeline, projects: Projects, limits: Limits) -> None:
        self._pipeline = pipeline
        self._projects = projects
        self._limits = limits

    async def take(self, project: Project, reports: Sequence[pb.ErrorReport]) -> Results:
        """Store reports of a project; what became of each."""
        return list(map(mapping.result, await self._pipeline.submit(project, _Decoded(reports))))

    async def one(self, request: pb.ReportErrorsRequest) -> Results:
        """A call by itself."""
        validate.reports(request.project, request.reports)
        project = await self._projects.by_name(request.project)
        annotate(project=project.name, reports=len(request.reports))
        return await self.take(project, request.reports)

    async def stream(self, requests: AsyncIterator[pb.ReportErrorStreamRequest]) -> AsyncIterator[Results]:
        """The results of each request, in order; requests that came meanwhile are stored at the same time."""
        waiting: asyncio.Queue[asyncio.Task[Results] | None] = asyncio.Queue(MAX_UNANSWERED - 1)
        reader = asyncio.create_task(self._read(requests, waiting), name="read-reports")
        try:
            while (task := await self._next(waiting, reader)) is not None:
                yield await task
            await reader
        finally:
            await _cancelled([reader, *_drained(waiting)])

    async def _read(
        self, requests: AsyncIterator[pb.ReportErrorStreamRequest], waiting: "asyncio.Queue[asyncio.Task[Results] | None]"
    ) -> None:
        project: Project | None = None
        async for request in requests:
            validate.reports(request.project, request.reports)
            if project is None:
                project = await self._projects.by_name(request.project)
                annotate(project=project.name)
            await waiting.put(asyncio.create_task(self.take(project, request.reports), name="take-reports"))
        await waiting.put(None)

    async def _next(
        self, waiting: "asyncio.Queue[asyncio.Task[Results] | None]", reader: "asyncio.Task[None]"
    ) -> "asyncio.Task[Results] | None":
        """The next one; where the reader has failed, what it failed with once all before are answered."""
        getting = asyncio.create_task(waiting.get(), name="next-reports")
        try:
            await asyncio.wait({getting, reader}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done() and waiting.empty():
                await reader  # raises
            return await getting
        finally:
            getting.cancel()

    def decode(self, report: pb.ErrorReport) -> Event:
        """A report that is not to be stored, within the limits. MalformedError."""
        received = datetime.now(UTC)
        event = native.event(report, received)
        fit(event, received, self._limits)
        return event


class _Decoded:
    """Reports of a request as events, each decoded as it is asked for."""

    def __init__(self, reports: Sequence[pb.ErrorReport]) -> None:
        self._reports = reports

    def __len__(self) -> int:
        return len(self._reports)

    def __iter__(self) -> Iterator[Event | Rejected]:
        received, budget = datetime.now(UTC), Budget()
        for report in self._reports:
            try:
                yield native.event(report, received, budget)
            except MalformedError as error:
                yield Rejected(report.event_id, "MALFORMED", str(error))


def _drained(waiting: "asyncio.Queue[asyncio.Task[Results] | None]") -> list["asyncio.Task[Results]"]:
    tasks = []
    while not waiting.empty():
        task = waiting.get_nowait()
        if task is not None:
            tasks.append(task)
    return tasks


async def _cancelled(tasks: Sequence["asyncio.Task[None] | asyncio.Task[Results]"]) -> None:
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
