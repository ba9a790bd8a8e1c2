"""What errors are reported to: projects, their options and their keys."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import structlog
from souk_common.postgres import PostgresError

from souk_monitor.exceptions import KeyInvalidError, ProjectUnknownError
from souk_monitor.misses import Misses

log = structlog.get_logger(__name__)
MISSED_SECONDS, MOST_MISSED = 5.0, 10_000
"""Names and keys that are not there are taken not to be for so long, and so many of them are known."""
LOOK_PAUSE = 0.1
"""Seconds between two looks for what may have been made a moment ago, for all who miss something."""
NAME = re.compile(r"[a-z][a-z0-9-]{0,49}")
"""Of a project."""


@dataclass(frozen=True, slots=True)
class ProjectOptions:
    """What a project takes and keeps."""

    events_per_minute: int = 0
    """As an average, on each node. 0: no limit."""
    in_app: tuple[str, ...] = ()
    """Modules and paths whose frames are of the application; with - before them, those that are not."""
    sensitive_fields: tuple[str, ...] = ()
    """Names of fields whose values are never stored, beside those that are taken for secrets anyhow."""
    keep_emails: bool = False
    keep_ip_addresses: bool = False
    retention: timedelta | None = None
    """Of bodies. None: that of the service."""
    allowed_origins: tuple[str, ...] | None = None
    """Sites whose browsers may report. None: all."""
    default_service: str = ""
    """Of events that name none. Empty: the project's name."""
    new_issues_per_hour: int = 0
    """On all nodes together; the events of more go to one issue, of the project's overflow. 0: as many as the service says."""


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """Lets its bearer report, and nothing else."""

    public_key: str
    """32 hexadecimal digits."""
    label: str
    create_time: datetime
    revoke_time: datetime | None = None
    """None: it holds."""


@dataclass(frozen=True, slots=True)
class Project:
    """What errors are reported to."""

    number: int
    """As it is in DSNs."""
    name: str
    create_time: datetime
    options: ProjectOptions = field(default_factory=ProjectOptions)
    keys: tuple[ProjectKey, ...] = ()
    """The newest first."""
    disabled: bool = False
    """It takes no more reports."""
    secret: bytes = field(default=b"", repr=False)
    """What hashes of its users are keyed by; 64 bytes at the most."""
    new_issues_resume_time: datetime | None = None
    """When the next issue may be new, of a project that has had as many in an hour as may be. None: now."""

    @property
    def service(self) -> str:
        """Of events that name none."""
        return self.options.default_service or self.name


class ProjectTable(Protocol):
    """Where projects are kept."""

    async def all(self) -> Sequence[Project]:
        """Every project, by name."""


class Projects:
    """All projects, as they were within the last seconds. Open it as a context manager: it looks again by itself."""

    def __init__(self, table: ProjectTable, *, default: str, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        """default: the name that the empty name means. interval: seconds between two looks."""
        self._table = table
        self._default = default
        self._interval = interval
        self._by_name: dict[str, Project] = {}
        self._by_number: dict[int, Project] = {}
        self._task: asyncio.Task[None] | None = None
        self._clock = clock
        self._missed: Misses[str | tuple[int, str]] = Misses(MISSED_SECONDS, MOST_MISSED, clock)
        self._looking = asyncio.Lock()
        self._looks = 0
        """That have begun for what was missed; the last when `_looked` says."""
        self._looked = float("-inf")

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="projects")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def by_name(self, name: str) -> Project:
        """The project that takes reports under a name; the empty name is the default's. ProjectUnknownError, PostgresError."""
        return _open(await self.named(name), name or self._default)

    async def named(self, name: str) -> Project | None:
        """A project by its name, whether it takes reports or not; None where there is none. PostgresError."""
        wanted = name or self._default
        if wanted not in self._by_name and wanted not in self._missed:
            await self._look_again()
            if wanted not in self._by_name:
                self._missed.add(wanted)
        return self._by_name.get(wanted)

    async def by_number_and_key(self, number: int, public_key: str) -> Project:
        """The project of a DSN. ProjectUnknownError, KeyInvalidError, PostgresError."""
        wanted = (number, public_key)
        if not self._has(wanted) and wanted not in self._missed:
            await self._look_again()
            if not self._has(wanted):
                self._missed.add(wanted)
        found = _open(self._by_number.get(number), number)
        if not _holds(found, public_key):
            raise KeyInvalidError
        return found

    def _has(self, wanted: tuple[int, str]) -> bool:
        project = self._by_number.get(wanted[0])
        return project is not None and _holds(project, wanted[1])

    async def _look_again(self) -> None:
        """What is missed may have been made a moment ago: look, with all who miss something at the same time. PostgresError."""
        begun = self._looks
        async with self._looking:
            if self._looks > begun:  # by another, after this one was called
                return
            await asyncio.sleep(max(0.0, self._looked + LOOK_PAUSE - self._clock()))
            self._looks += 1
            self._looked = self._clock()
            self._take(await self._table.all())

    async def known(self, name: str) -> Project:
        """A project by its name, whether it takes reports or not. ProjectUnknownError, PostgresError."""
        project = await self.named(name)
        if project is None:
            raise ProjectUnknownError(name or self._default)
        return project

    def numbered(self, number: int) -> Project:
        """A project that there is. ProjectUnknownError, where that is not known here yet."""
        if number not in self._by_number:
            raise ProjectUnknownError(number)
        return self._by_number[number]

    def all(self) -> list[Project]:
        """All of them, by name."""
        return list(self._by_name.values())

    def name_of(self, number: int) -> str:
        """Of a project that there is; empty where it is not known yet."""
        project = self._by_number.get(number)
        return project.name if project is not None else ""

    def in_app_of(self, number: int) -> tuple[str, ...]:
        """What a project says of its own frames; nothing where it is not known yet."""
        project = self._by_number.get(number)
        return project.options.in_app if project is not None else ()

    @property
    def default(self) -> str:
        """The name that the empty name means."""
        return self._default

    async def refresh(self) -> None:
        """Look at once, also for what was missed before. PostgresError."""
        self._take(await self._table.all())
        self._missed.clear()

    def _take(self, projects: Iterable[Project]) -> None:
        known = list(projects)
        self._by_name = {project.name: project for project in known}
        self._by_number = {project.number: project for project in known}

    async def _follow(self) -> None:
        problem = ""
        while True:
            try:
                await self.refresh()
                told = ""
            except PostgresError as error:
                told = str(error)
            if told != problem:
                problem = told
                log.warning("projects", read=not problem, problem=problem)
            await asyncio.sleep(self._interval)


def dsn(public_url: str, number: int, public_key: str) -> str:
    """What Sentry's SDKs are told; empty without a URL."""
    if not public_url:
        return ""
    parts = urlsplit(public_url)
    return f"{parts.scheme}://{public_key}@{parts.netloc}{parts.path.rstrip('/')}/{number}"


def _open(project: Project | None, named: str | int) -> Project:
    if project is None or project.disabled:
        raise ProjectUnknownError(named)
    return project


def _holds(project: Project, public_key: str) -> bool:
    return any(key.public_key == public_key and key.revoke_time is None for key in project.keys)
