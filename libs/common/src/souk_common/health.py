"""grpc.health.v1: what the service's dependencies say, watched by probes and load balancers.

Names: `liveness` (the event loop answers), `readiness` and "" (every required dependency answers), each proto service's full
name (as readiness), and
`<service>.<dependency>` for each dependency.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

log = structlog.get_logger(__name__)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
Status: TypeAlias = int
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that a service asks of another."""

    name: str
    check: Callable[[], Awaitable[None]]
    """Returns if the dependency answers, raises if not."""
    interval: float = 2.0
    """Seconds between checks."""
    timeout: float = 1.0
    """Seconds after which a check that has not returned counts as failed."""
    required: bool = True
    """Without it the service cannot serve, and is not ready."""


class Health:
    """The serving status of every name, kept by checks that run from open to close."""

    def __init__(self, app: str, services: Sequence[str], dependencies: Sequence[Dependency]) -> None:
        self._app = app
        self._dependencies = dependencies
        self._down: dict[str, str] = {dependency.name: "not checked yet" for dependency in dependencies}
        self._ready_names = ("", "readiness", *services)
        self._draining = False
        self._ended = False
        self._status: dict[str, Status] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._refresh()

    async def open(self) -> None:
        """Check every dependency once, then go on checking."""
        await asyncio.gather(*(self._check(dependency) for dependency in self._dependencies))
        self._tasks = [
            asyncio.create_task(self._keep_checking(dependency), name=f"health-{dependency.name}")
            for dependency in self._dependencies
        ]

    async def close(self) -> None:
        """Stop checking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drain(self) -> None:
        """The service is stopping: it is alive, and ready no more."""
        self._draining = True
        self._refresh()

    def end_watches(self) -> None:
        """The server stops: every Watch ends, once it has told its last change."""
        self._ended = True
        self._wake()

    def status(self, name: str) -> Status | None:
        """The status of a name; None where it is not known."""
        return self._status.get(name)

    async def changes(self, name: str) -> AsyncIterator[Status]:
        """The status of a name, then its changes, until the server stops."""
        last: Status | None = None
        while not self._ended:
            changed = self._changed
            status = self._status.get(name, SERVICE_UNKNOWN)
            if status != last:
                last = status
                yield status
            await changed.wait()

    @property
    def down(self) -> dict[str, str]:
        """The dependencies that do not answer, and why."""
        return dict(self._down)

    async def _keep_checking(self, dependency: Dependency) -> None:
        while True:
            await asyncio.sleep(dependency.interval)
            await self._check(dependency)

    async def _check(self, dependency: Dependency) -> None:
        start = time.monotonic()
        try:
            async with asyncio.timeout(dependency.timeout):
                await dependency.check()
            problem = ""
        except TimeoutError:
            problem = f"no answer within {dependency.timeout:g} s"
        except Exception as error:  # noqa: BLE001 — whatever a check raises says that the dependency is down
            problem = f"{type(error).__name__}: {error}"
        was = self._down.get(dependency.name, "")
        if problem:
            self._down[dependency.name] = problem
        else:
            self._down.pop(dependency.name, None)
        if bool(was) != bool(problem):
            took = time.monotonic() - start
            tell = log.warning if problem else log.info
            tell("dependency", dependency=dependency.name, serving=not problem, detail=problem, seconds=round(took, 3))
        self._refresh()

    def _refresh(self) -> None:
        required = {dependency.name for dependency in self._dependencies if dependency.required}
        ready = NOT_SERVING if self._draining or required & self._down.keys() else SERVING
        status: dict[str, Status] = dict.fromkeys(self._ready_names, ready)
        status["liveness"] = SERVING
        status[self._app] = NOT_SERVING if self._draining or self._down else SERVING
        for dependency in self._dependencies:
            status[f"{self._app}.{dependency.name}"] = NOT_SERVING if dependency.name in self._down else SERVING
        if status != self._status:
            self._status = status
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Serves Health. Unlike the stock servicer its Watch ends when the server stops, and so holds no drain up."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """The status of a name; NOT_FOUND where it is not known."""
        status = self._health.status(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service is named {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status of a name, then its changes."""
        async for status in self._health.changes(request.service):
            yield health_pb2.HealthCheckResponse(status=status)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
