"""The composition of monitor: adapters are opened, the core is built on them, the servicers are handed back."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache, partial

from souk.monitor.v1 import error_pb2_grpc, project_pb2_grpc
from souk_common import operation_service
from souk_common.health import Dependency
from souk_common.operations import Operations, Work
from souk_common.postgres import Pool, PoolOptions
from souk_common.server import Application, Registration, StartError
from souk_common.telemetry import Telemetry
from starlette.applications import Starlette
from starlette.types import ASGIApp

from souk_monitor import categories, stack_text, telemetry
from souk_monitor.adapters.body_table import Keeping
from souk_monitor.adapters.change_reads import ChangeTable
from souk_monitor.adapters.duty_table import DutyRows
from souk_monitor.adapters.event_reads import EventRows
from souk_monitor.adapters.event_store import EventTables
from souk_monitor.adapters.facet_tables import FacetTables
from souk_monitor.adapters.issue_changes import IssueChangeRows
from souk_monitor.adapters.issue_reads import IssueRows
from souk_monitor.adapters.project_table import ProjectRows
from souk_monitor.adapters.report_reads import ReportSums
from souk_monitor.adapters.trend_rows import TrendRows
from souk_monitor.adapters.upkeep import Retention, Upkeep
from souk_monitor.adapters.user_erasure import Erasure
from souk_monitor.counting import FacetWriter
from souk_monitor.cutting import Lengths
from souk_monitor.duties import Duties, Duty
from souk_monitor.errors import ERRORS
from souk_monitor.events import Event
from souk_monitor.facets import Counts, Limits
from souk_monitor.grouping import Grouping, group
from souk_monitor.in_app import InAppRules
from souk_monitor.ingest import Pipeline, Queue
from souk_monitor.judging import Judge
from souk_monitor.limits import Limits as EventLimits
from souk_monitor.limits import fit
from souk_monitor.preparing import Preparer
from souk_monitor.projects import Project, Projects
from souk_monitor.rpc import otlp
from souk_monitor.rpc.errors import ErrorParts, ErrorServicer
from souk_monitor.rpc.projects import ProjectServicer
from souk_monitor.rpc.reporting import Reporting
from souk_monitor.scrubbing import scrub
from souk_monitor.settings import MonitorSettings
from souk_monitor.tracker import Tracker
from souk_monitor.watching import Places, Watch
from souk_monitor.web import sentry
from souk_monitor.web.dashboard.face import Parts
from souk_monitor.web.dashboard.fence import Fence, Hosts
from souk_monitor.web.dashboard.site import LIVE, Dashboard
from souk_monitor.web.sentry import SentryOptions

ERRORS_SERVICE, PROJECTS = "souk.monitor.v1.ErrorService", "souk.monitor.v1.ProjectService"
_REPORT, _READ, _WRITE, _ADMIN = "monitor.report", "monitor.read", "monitor.write", "monitor.admin"
_OF_ERRORS = {
    _REPORT: ("ReportErrors", "ReportErrorStream"),
    _READ: (*("ListIssues", "GetIssue", "ListEvents", "GetEvent", "ExplainGrouping", "GetErrorReport", "WatchIssues"),),
    _WRITE: ("UpdateIssue", "MergeIssues", "SplitIssue", "EraseUser"),
}
_OF_PROJECTS = {
    _READ: ("ListProjects", "GetProject"),
    _ADMIN: ("CreateProject", "UpdateProject", "CreateProjectKey", "RevokeProjectKey"),
}
SCOPES = {
    **{f"/{ERRORS_SERVICE}/{name}": scope for scope, names in _OF_ERRORS.items() for name in names},
    **{f"/{PROJECTS}/{name}": scope for scope, names in _OF_PROJECTS.items() for name in names},
    **operation_service.scopes("monitor"),
    **otlp.SCOPES,
}


@contextlib.asynccontextmanager
async def open_app(settings: MonitorSettings, reporting: Telemetry) -> AsyncIterator[Application]:
    """Monitor, ready to be served."""
    if reporting.to_monitor is not None:
        reporting.to_monitor.leave_out = telemetry.is_own_ingest
    async with contextlib.AsyncExitStack() as stack:
        core = await _open_core(stack, settings)
        operations = await stack.enter_async_context(_operations(settings))
        operations.register(reporting.metrics)
        telemetry.register(reporting.metrics, core.pipeline, {"read": core.read, "write": core.write})

        def erasure(project: Project, user: str) -> Work:
            return Erasure(core.read, project, user, settings.compression_level).work()

        errors = ErrorServicer(
            ErrorParts(
                reporting=Reporting(core.pipeline, core.projects, _limits(settings)),
                tracker=core.tracker,
                projects=core.projects,
                watch=core.watch,
                places=Places(settings.watch_streams),
                operations=operations,
                erasure=erasure,
                rules=_in_app,
            )
        )
        projects = ProjectServicer(core.projects, core.project_rows, settings.public_url)

        async def check() -> None:
            for pool in (core.read, core.write):  # each waits by itself before it connects again
                await pool.revive()
                await pool.fetchval("check", "SELECT 1 FROM monitor.projects LIMIT 1")

        dashboard = _dashboard(core, settings)
        yield Application(
            name="monitor",
            registrations=[
                Registration(error_pb2_grpc.add_ErrorServiceServicer_to_server, errors, ERRORS_SERVICE),
                Registration(project_pb2_grpc.add_ProjectServiceServicer_to_server, projects, PROJECTS),
                operation_service.registration(operations),
                *otlp.registrations(core.pipeline, core.projects, stack_text.parse),
            ],
            errors=ERRORS,
            scopes=SCOPES,
            dependencies=[Dependency("database", check, interval=settings.check_interval)],
            http=_http(core, settings, dashboard),
            http_streams=frozenset({LIVE}),
            on_drain=dashboard.drain if dashboard is not None else None,
            long_lived=frozenset({f"/{ERRORS_SERVICE}/ReportErrorStream", f"/{ERRORS_SERVICE}/WatchIssues"})
            | operation_service.LONG_LIVED,
        )


def _limits(settings: MonitorSettings) -> EventLimits:
    lengths = Lengths(message=settings.event_message, frames=settings.event_frames, exceptions=settings.event_exceptions)
    return EventLimits(lengths, body=settings.event_bytes, age=timedelta(seconds=settings.retention))


def _http(core: "_Core", settings: MonitorSettings, dashboard: Dashboard | None) -> ASGIApp:
    options = SentryOptions(
        max_bytes=settings.sentry_bytes,
        max_decompressed_bytes=settings.sentry_decompressed_bytes,
        max_whole_bytes=settings.sentry_whole_bytes,
        max_in_flight=settings.sentry_in_flight,
        max_in_flight_bytes=settings.sentry_in_flight_bytes,
        max_large=settings.sentry_large,
        body_timeout=settings.sentry_body_timeout,
        max_reading=settings.sentry_reading,
        max_reading_bytes=settings.sentry_reading_bytes,
        limits=_limits(settings),
    )
    routes = sentry.routes(core.projects, core.pipeline, options)
    if dashboard is not None:
        routes += dashboard.routes()
    app = Starlette(routes=routes, exception_handlers={404: dashboard.not_found} if dashboard is not None else None)
    app.router.redirect_slashes = False
    return Fence(app, Hosts(settings.hosts, public_url=settings.public_url))


def _dashboard(core: "_Core", settings: MonitorSettings) -> Dashboard | None:
    if not settings.dashboard:
        return None
    parts = Parts(
        tracker=core.tracker,
        projects=core.projects,
        changes=core.project_rows,
        watch=core.watch,
        rules=lambda project: _in_app(project.options.in_app),
        public_url=settings.public_url,
    )
    try:
        return Dashboard(parts, settings)
    except (OSError, ValueError) as error:
        raise StartError(f"the auth file cannot be used: {error}") from error


@dataclass(frozen=True, slots=True)
class _Core:
    """What the faces stand on."""

    read: Pool
    write: Pool
    project_rows: ProjectRows
    projects: Projects
    pipeline: Pipeline
    tracker: Tracker
    watch: Watch


async def _open_core(stack: contextlib.AsyncExitStack, settings: MonitorSettings) -> _Core:
    dsn = settings.dsn.get_secret_value()
    read = await stack.enter_async_context(Pool(dsn, _options("read", settings, settings.connections)))
    write = await stack.enter_async_context(Pool(dsn, _options("write", settings, settings.writers + 1)))
    rows = ProjectRows(read, settings.default_project, new_issues_per_hour=settings.new_issues_per_hour)
    projects = await stack.enter_async_context(
        Projects(rows, default=settings.default_project, interval=settings.projects_interval)
    )
    counts = Counts()
    facets = FacetTables(write, Limits(settings.max_tags, settings.max_tag_values))
    await stack.enter_async_context(FacetWriter(counts, facets, interval=settings.facet_interval))
    keeping = Keeping(settings.keep_bodies, settings.compression_level)
    patience = settings.statement_timeout + 5
    store = EventTables(write, keeping, counts, timeout=patience, new_issues_per_hour=settings.new_issues_per_hour)
    pipeline = await stack.enter_async_context(Pipeline(store, preparer(_limits(settings)), _queue(settings)))
    events = EventRows(read)
    issues = IssueRows(read, events)
    tracker = Tracker(issues, events, IssueChangeRows(read), ReportSums(read, issues), _group)
    watch = await stack.enter_async_context(Watch(ChangeTable(read), interval=settings.watch_interval))
    await stack.enter_async_context(Duties(DutyRows(read), _duties(settings, read, projects)))
    return _Core(read, write, rows, projects, pipeline, tracker, watch)


def preparer(limits: EventLimits) -> Preparer:
    """What makes events ready within these limits."""
    categories.rules()  # read now, not while the first event waits
    judge = Judge()
    return Preparer(
        fit=partial(fit, limits=limits),
        scrub=_scrub,
        judge=lambda project, event: judge(event, _in_app(project.options.in_app)),
    )


def _group(project: Project, event: Event) -> Grouping:
    return group(event, _in_app(project.options.in_app))


@lru_cache(maxsize=1_000)
def _in_app(texts: tuple[str, ...]) -> InAppRules:
    return InAppRules.of(texts)


def _scrub(project: Project, event: Event, body: bytes) -> bytes:
    options = project.options
    keeps = {"keep_emails": options.keep_emails, "keep_ip_addresses": options.keep_ip_addresses}
    return scrub(event, body, options.sensitive_fields, **keeps)


def _duties(settings: MonitorSettings, pool: Pool, projects: Projects) -> list[Duty]:
    retention = Retention(
        timedelta(seconds=settings.retention),
        timedelta(seconds=settings.count_retention),
        timedelta(seconds=settings.request_retention),
        timedelta(seconds=settings.issue_retention),
        timedelta(seconds=settings.open_issue_retention) if settings.open_issue_retention else None,
        timedelta(seconds=settings.release_retention) if settings.release_retention else None,
    )
    return [
        Duty("trends", settings.trend_interval, TrendRows(pool).do),
        Duty("upkeep", settings.maintenance_interval, Upkeep(pool, retention, projects.all).do),
    ]


def _queue(settings: MonitorSettings) -> Queue:
    return Queue(
        events=settings.queue_events,
        bytes=settings.queue_bytes,
        writers=settings.writers,
        batch_events=settings.batch_events,
        batch_bytes=settings.batch_bytes,
        delay=settings.batch_delay,
        patience=settings.store_patience,
    )


def _operations(settings: MonitorSettings) -> Operations:
    return Operations(
        settings.node,
        ERRORS,
        max_active=settings.max_operations,
        max_kept=settings.max_kept_operations,
        retention=settings.operation_retention,
    )


def _options(name: str, settings: MonitorSettings, size: int) -> PoolOptions:
    return PoolOptions(
        name=name,
        size=size,
        max_waiting=settings.max_waiting,
        acquire_timeout=settings.acquire_timeout,
        connect_timeout=settings.connect_timeout,
        server_settings={
            "application_name": f"souk-monitor {name}",
            "statement_timeout": f"{round(settings.statement_timeout * 1000)}ms",
            "idle_in_transaction_session_timeout": "30s",
            "jit": "off",
        },
        behind_pooler=settings.behind_pooler,
    )
