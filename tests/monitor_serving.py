"""Monitor served in the test's own loop, and stubs of its services."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc, project_pb2_grpc
from souk_common.testing import RunningServer, running_server
from souk_monitor.app import open_app
from souk_monitor.settings import MonitorSettings


@dataclass
class Monitor:
    """A node."""

    server: RunningServer
    errors: Any
    projects: Any

    async def report(self, *reports: pb.ErrorReport, project: str = "") -> list[pb.ReportResult]:
        response = await self.errors.ReportErrors(pb.ReportErrorsRequest(project=project, reports=reports))
        return list(response.results)


@contextlib.asynccontextmanager
async def serving(dsn: str, **settings: Any) -> AsyncIterator[Monitor]:
    """A node while the body runs."""
    chosen = {"port": 0, "http_port": 0, "node": "one", "watch_interval": 0.02, "facet_interval": 0.05, **settings}
    async with running_server(MonitorSettings(dsn=dsn, **chosen), "monitor", open_app) as server:
        channel = server.channel()
        yield Monitor(server, error_pb2_grpc.ErrorServiceStub(channel), project_pb2_grpc.ProjectServiceStub(channel))


def report(kind: str = "KeyError", **fields: Any) -> pb.ErrorReport:
    """An error whose type is what it is grouped by."""
    exception = pb.ExceptionReport(type=kind, value=f"value of {kind}")
    return pb.ErrorReport(platform="python", exceptions=[exception], **fields)
