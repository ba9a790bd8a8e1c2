"""Child processes under one roof: started, waited for, listened to, and stopped together."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from souk.client import MonitorClient

from souk_cli.databases import DATABASES
from souk_cli.engines import Engine, EngineError
from souk_cli.postgres_engine import PostgresEngine
from souk_cli.redis_engine import RedisEngine
from souk_cli.services import MONITOR, Service, free_port

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 35.0
"""Seconds that a service may take to stop; its own grace is 25."""
POLL = 0.05
LAST_LINES = 12


class ChildError(Exception):
    """A service did not do what it should: it did not start, it died, or it did not stop."""

    def __init__(self, child: "Child", text: str) -> None:
        super().__init__(text)
        self.child = child


@dataclass(slots=True)
class Child:
    """One service as a process."""

    service: Service
    process: asyncio.subprocess.Process
    log: Path
    ready_file: Path
    addresses: dict[str, str] = field(default_factory=dict)
    """By kind: grpc, http, health."""

    @classmethod
    async def start(cls, service: Service, folder: Path, environment: Mapping[str, str]) -> "Child":
        """Start a service that keeps its state under `folder`."""
        log, ready_file = folder / f"{service.name}.log", folder / f"{service.name}.ready.json"
        ready_file.unlink(missing_ok=True)
        own = {f"{service.prefix}{service.folder_setting}": str(folder / service.name)} if service.folder_setting else {}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                service.module,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the parent, which stops its children in order
                env={
                    **os.environ,
                    **environment,
                    **own,
                    f"{service.prefix}READY_FILE": str(ready_file),
                },
            )
        return cls(service, process, log, ready_file)

    async def until_ready(self) -> None:
        """Wait until it listens, and says that it is ready. ChildError where it ends first, or takes too long."""
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                while not self.ready_file.exists():
                    if self.process.returncode is not None:
                        raise ChildError(self, f"{self.service.name} could not start ({exit_text(self.process.returncode)})")
                    await asyncio.sleep(POLL)
                told: dict[str, Any] = json.loads(self.ready_file.read_bytes())
                self.addresses = {kind: told[kind] for kind in ("grpc", "http", "health") if told.get(kind)}
                await self._until_serving()
        except TimeoutError:
            raise ChildError(self, f"{self.service.name} is not ready after {READY_TIMEOUT:.0f} seconds") from None

    async def _until_serving(self) -> None:
        if f"{self.service.prefix}TLS_CERT_FILE" in os.environ and "health" not in self.addresses:
            return  # it listens, and only its own clients can ask it more
        request = health_pb2.HealthCheckRequest(service="readiness")
        async with grpc.aio.insecure_channel(self.addresses.get("health", self.addresses["grpc"])) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await check(request, wait_for_ready=True, timeout=5)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                if self.process.returncode is not None:
                    raise ChildError(self, f"{self.service.name} ended while it was starting")
                await asyncio.sleep(POLL)

    async def stop(self) -> int:
        """Ask it to stop and wait. Returns its exit status. ChildError, after killing it, where it does not."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
                raise ChildError(self, f"{self.service.name} did not stop in {STOP_TIMEOUT:.0f} seconds and was killed") from None
        return self.process.returncode or 0

    def hurry(self) -> None:
        """Ask it to stop at once: its second signal."""
        if self.process.returncode is None:
            self.process.terminate()

    def last_lines(self) -> list[str]:
        """The end of its log, for people."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [readable(line) for line in lines[-LAST_LINES:]]

    async def problems(self) -> AsyncIterator[str]:
        """Every warning and error that it logs, as it comes; slow calls are no problem."""
        with self.log.open("rb") as log:
            rest = b""
            while True:
                *lines, rest = (rest + log.read()).split(b"\n")
                for line in lines:
                    if is_problem(line):
                        yield readable(line.decode(errors="replace"))
                await asyncio.sleep(POLL * 5)


class Supervisor:
    """Several services with one state folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self.engines: list[Engine] = []
        self.owner_dsns: dict[str, str] = {}
        """How this machine's owner reaches the databases of this folder, by service; the user's own are not among them."""
        self.sentry_dsn: str | None = None
        """What Sentry's SDKs are told, where monitor was started and needs no token."""
        self.children: list[Child] = []

    async def start(self, services: Sequence[Service]) -> None:
        """Start services together and wait until all are ready. ChildError where one is not; EngineError where what it stands on
        is not."""
        await self._start_engines(services)
        monitor = [service for service in services if service is MONITOR]
        if monitor and not is_guarded(os.environ):
            self._use_itself(MONITOR)
        await self._start(monitor)
        if monitor and not is_guarded(os.environ):
            self.sentry_dsn = await self._read_dsn()
            for service in services:
                self._use_monitor(service)
        later = [service for service in services if service.cache_setting and any(each.name == "cache" for each in services)]
        await self._start([service for service in services if service not in (*monitor, *later)])
        for service in later:
            self._use_cache(service)
        await self._start(later)

    async def _start(self, services: Sequence[Service]) -> None:
        started = [await Child.start(service, self._folder, self._environment) for service in services]
        self.children += started
        await asyncio.gather(*(child.until_ready() for child in started))

    def _use_cache(self, service: Service) -> None:
        """Tell a service where the cache is that was started with it, unless it is told of another, or TLS is wanted."""
        if self._lacks(service, service.cache_setting) and "SOUK_CACHE_TLS_CERT_FILE" not in os.environ:
            self._environment[f"{service.prefix}{service.cache_setting}"] = self._address("cache")

    def _use_monitor(self, service: Service) -> None:
        """Tell a service where to report errors, unless it is told."""
        if self._lacks(service, "MONITOR_ENDPOINT"):
            self._environment[f"{service.prefix}MONITOR_ENDPOINT"] = f"http://{self._address('monitor')}"

    def _use_itself(self, monitor: Service) -> None:
        """Tell monitor where it is going to be itself, unless it is told where to report errors. A free port is chosen here, then,
        and not when it listens."""
        if not self._lacks(monitor, "MONITOR_ENDPOINT"):
            return
        told = {**os.environ, **self._environment}
        number = int(told.get(f"{monitor.prefix}PORT") or monitor.grpc_port)
        if number == 0:
            number = free_port(told.get(f"{monitor.prefix}HOST") or "127.0.0.1")
            self._environment[f"{monitor.prefix}PORT"] = str(number)
        self._environment[f"{monitor.prefix}MONITOR_ENDPOINT"] = f"http://127.0.0.1:{number}"

    async def _read_dsn(self) -> str | None:
        """The DSN of the default project."""
        async with MonitorClient(self._address("monitor")) as client:
            project = await client.get_project(os.environ.get(f"{MONITOR.prefix}DEFAULT_PROJECT") or "default")
        key = next((key for key in project.keys if not key.HasField("revoke_time")), None)
        http = next(child.addresses["http"] for child in self.children if child.service is MONITOR)
        return key and (key.dsn or f"http://{key.public_key}@{http}/{project.number}")

    def _address(self, name: str) -> str:
        return next(child.addresses["grpc"] for child in self.children if child.service.name == name)

    async def _start_engines(self, services: Sequence[Service]) -> None:
        """Start what services stand on, where the user has none."""
        for service in services:
            if self._lacks(service, service.redis_setting):
                redis = await RedisEngine.start(self._folder / "redis.log")
                self.engines.append(redis)
                self._environment[f"{service.prefix}{service.redis_setting}"] = redis.url
        databases = {each.name: DATABASES[each.name] for each in services if self._lacks(each, each.database_setting)}
        if databases:
            postgres = await PostgresEngine.start(self._folder / "postgres", self._folder / "postgres.log", *databases.values())
            self.engines.append(postgres)
            self.owner_dsns = {service: postgres.dsn(database.name) for service, database in databases.items()}
            self._environment |= postgres.environment

    def _lacks(self, service: Service, setting: str | None) -> bool:
        name = f"{service.prefix}{setting}"
        return setting is not None and not (self._environment.get(name) or os.environ.get(name))

    async def watch(self, tell: Callable[[Child, str], None]) -> None:
        """Tell of problems as they are logged. ChildError when a child ends, EngineError when what they stand on does."""

        async def listen(child: Child) -> None:
            async for line in child.problems():
                tell(child, line)

        listening = [asyncio.create_task(listen(child)) for child in self.children]
        watched: list[Child | Engine] = [*self.children, *self.engines]
        ends = {asyncio.create_task(each.process.wait()): each for each in watched}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*listening, *ends):
                task.cancel()
            await asyncio.gather(*listening, *ends, return_exceptions=True)
        ended = done.pop()
        each, how = ends[ended], exit_text(ended.result())
        if isinstance(each, Child):
            raise ChildError(each, f"{each.service.name} ended by itself ({how})")
        raise EngineError(f"{each.name} ended by itself ({how}); its log is {each.log}")

    async def stop(self) -> list[ChildError]:
        """Stop all together, and monitor when they have ended, whom they report to until then; return what went wrong with it."""
        monitor = [child for child in self.children if child.service is MONITOR]
        results: list[int | BaseException] = []
        for children in ([child for child in self.children if child not in monitor], monitor):
            results += await asyncio.gather(*(child.stop() for child in children), return_exceptions=True)
        for engine in self.engines:
            await engine.stop()
        return [result for result in results if isinstance(result, ChildError)]

    def hurry(self) -> None:
        """Ask all to stop at once, where they were asked to stop before."""
        for child in self.children:
            child.hurry()


def is_guarded(environment: Mapping[str, str]) -> bool:
    """Whether monitor, started with this environment, wants TLS or a token."""
    return any(environment.get(f"{MONITOR.prefix}{name}") for name in ("TLS_CERT_FILE", "AUTH_FILE"))


def exit_text(status: int) -> str:
    """An exit status in words."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def is_problem(line: bytes) -> bool:
    """Whether a line of a log is worth showing while all goes well."""
    try:
        entry = json.loads(line)
    except ValueError:
        return bool(line.strip())
    if not isinstance(entry, dict):
        return True
    return entry.get("level") in ("error", "critical") or (entry.get("level") == "warning" and entry.get("event") != "rpc")


def readable(line: str) -> str:
    """A line of a log for people: its level, what happened, and what it says of it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict):
        return line
    level, event = entry.pop("level", ""), entry.pop("event", "")
    for name in ("time", "service", "trace_id", "span_id"):
        entry.pop(name, None)
    details = " ".join(f"{key}={value}" for key, value in entry.items() if value not in (None, "", {}, []))
    return f"{level} {event}  {details}".strip()
