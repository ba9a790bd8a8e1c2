"""The servicer of souk.monitor.v1.ProjectService."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeAlias

import grpc
from souk.monitor.v1 import project_pb2 as pb
from souk.monitor.v1 import project_pb2_grpc as pb_grpc
from souk_common.paging import page_position, page_token

from souk_monitor.projects import NAME, Project, ProjectKey, ProjectOptions, Projects, dsn
from souk_monitor.rpc.mapping import timestamp
from souk_monitor.rpc.requests import known
from souk_monitor.rpc.validate import MAX_NAME, PAGE, Violations
from souk_monitor.tracker import Request

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
MAX_RULES, MAX_FIELDS, MAX_ORIGINS = 500, 100, 100
_OPTIONS = frozenset(pb.ProjectOptions.DESCRIPTOR.fields_by_name)


class ProjectChanges(Protocol):
    """Where projects are changed."""

    async def create(self, name: str, options: ProjectOptions, request: Request) -> None:
        """Make a project with a key. ProjectExistsError, RequestIdReusedError."""

    async def update(self, name: str, options: ProjectOptions, names: Collection[str], disabled: bool | None) -> None:
        """Change what it takes and keeps: the options of these names, and no others. ProjectUnknownError."""

    async def create_key(self, project: str, label: str, request: Request) -> str:
        """Make one more key; the public key. ProjectUnknownError, RequestIdReusedError."""

    async def revoke_key(self, project: str, public_key: str) -> None:
        """End a key. KeyUnknownError."""


class ProjectServicer(pb_grpc.ProjectServiceServicer):
    """Maps each rpc to one call of the core."""

    def __init__(self, projects: Projects, changes: ProjectChanges, public_url: str) -> None:
        """public_url: where programs reach the HTTP port. Empty: keys have no DSN."""
        self._projects = projects
        self._changes = changes
        self._public_url = public_url

    async def CreateProject(self, request: pb.CreateProjectRequest, context: Context) -> pb.CreateProjectResponse:
        """See the proto."""
        violations = Violations()
        if not NAME.fullmatch(request.name):
            violations.add("name", "must be small letters, digits and -, beginning with a letter, 50 at the most")
        violations.request_id(request.request_id)
        options = _options(request.options, violations)
        violations.check()
        await self._changes.create(request.name, options, known(request, request.request_id))
        return pb.CreateProjectResponse(project=await self._fresh(request.name))

    async def ListProjects(self, request: pb.ListProjectsRequest, context: Context) -> pb.ListProjectsResponse:
        """See the proto."""
        violations = Violations()
        violations.page_size(request.page_size)
        violations.check()
        size = request.page_size or PAGE
        after = page_position(request.page_token)
        await self._projects.refresh()
        found = [project for project in self._projects.all() if project.name > after]
        token = page_token(found[size - 1].name) if len(found) > size else ""
        return pb.ListProjectsResponse(projects=map(self._project, found[:size]), next_page_token=token)

    async def GetProject(self, request: pb.GetProjectRequest, context: Context) -> pb.GetProjectResponse:
        """See the proto."""
        return pb.GetProjectResponse(project=await self._fresh(request.name))

    async def UpdateProject(self, request: pb.UpdateProjectRequest, context: Context) -> pb.UpdateProjectResponse:
        """See the proto."""
        violations = Violations()
        options = _options(request.options, violations)
        names, changes_disabled = _changed(request, violations)
        violations.check()
        await self._projects.refresh()  # which makes the default's, where nobody has looked yet
        await self._changes.update(request.name, options, names, request.disabled if changes_disabled else None)
        return pb.UpdateProjectResponse(project=await self._fresh(request.name))

    async def CreateProjectKey(self, request: pb.CreateProjectKeyRequest, context: Context) -> pb.CreateProjectKeyResponse:
        """See the proto."""
        violations = Violations()
        violations.text("label", request.label, MAX_NAME)
        violations.request_id(request.request_id)
        violations.check()
        await self._projects.refresh()  # which makes the default's, where nobody has looked yet
        made = await self._changes.create_key(request.project, request.label, known(request, request.request_id))
        return pb.CreateProjectKeyResponse(key=await self._key(request.project, made))

    async def RevokeProjectKey(self, request: pb.RevokeProjectKeyRequest, context: Context) -> pb.RevokeProjectKeyResponse:
        """See the proto."""
        await self._changes.revoke_key(request.project, request.public_key)
        return pb.RevokeProjectKeyResponse(key=await self._key(request.project, request.public_key))

    async def _fresh(self, name: str) -> pb.Project:
        await self._projects.refresh()
        return self._project(await self._projects.known(name))

    async def _key(self, name: str, public_key: str) -> pb.ProjectKey:
        await self._projects.refresh()
        project = await self._projects.known(name)
        return next(self._project_key(project, key) for key in project.keys if key.public_key == public_key)

    def _project(self, project: Project) -> pb.Project:
        return pb.Project(
            name=project.name,
            number=project.number,
            options=_options_message(project.options),
            keys=[self._project_key(project, key) for key in project.keys],
            disabled=project.disabled,
            create_time=timestamp(project.create_time),
            new_issues_resume_time=timestamp(project.new_issues_resume_time),
        )

    def _project_key(self, project: Project, key: ProjectKey) -> pb.ProjectKey:
        return pb.ProjectKey(
            public_key=key.public_key,
            label=key.label,
            dsn=dsn(self._public_url, project.number, key.public_key),
            create_time=timestamp(key.create_time),
            revoke_time=timestamp(key.revoke_time),
        )


def _changed(request: pb.UpdateProjectRequest, violations: Violations) -> tuple[set[str], bool]:
    """The names of the options that a request changes, and whether it changes `disabled`: https://google.aip.dev/134."""
    if not request.update_mask.paths:
        return {field.name for field, _ in request.options.ListFields()}, request.HasField("disabled")
    names: set[str] = set()
    changes_disabled = False
    for path in request.update_mask.paths:
        whole, _, name = path.partition(".")
        if path in ("*", "options"):
            names |= _OPTIONS
        elif whole == "options" and name in _OPTIONS:
            names.add(name)
        elif path != "disabled":
            violations.add("update_mask", f"{path[:MAX_NAME]!r} must be disabled, options, options.<field> or *")
        changes_disabled |= path in ("*", "disabled")
    return names, changes_disabled


def _options(message: pb.ProjectOptions, violations: Violations) -> ProjectOptions:
    if not 0 <= message.events_per_minute < 2**31:
        violations.add("options.events_per_minute", "must not be negative")
    if not 0 <= message.new_issues_per_hour < 2**31:
        violations.add("options.new_issues_per_hour", "must not be negative")
    _texts(violations, "options.in_app", message.in_app, MAX_RULES)
    _texts(violations, "options.sensitive_fields", message.sensitive_fields, MAX_FIELDS)
    _texts(violations, "options.allowed_origins", message.allowed_origins, MAX_ORIGINS)
    violations.text("options.default_service", message.default_service, MAX_NAME)
    retention = None
    if message.HasField("retention"):
        retention = violations.span("options.retention", message.retention, timedelta(days=1))
    return ProjectOptions(
        events_per_minute=message.events_per_minute,
        in_app=tuple(message.in_app),
        sensitive_fields=tuple(message.sensitive_fields),
        keep_emails=message.keep_emails,
        keep_ip_addresses=message.keep_ip_addresses,
        retention=retention,
        allowed_origins=tuple(message.allowed_origins) or None,
        default_service=message.default_service,
        new_issues_per_hour=message.new_issues_per_hour,
    )


def _texts(violations: Violations, field: str, texts: Sequence[str], limit: int) -> None:
    if len(texts) > limit:
        violations.add(field, f"must be {limit} at the most")
    for number, text in enumerate(texts[:limit]):
        violations.text(f"{field}[{number}]", text, MAX_NAME, needed=True)


def _options_message(options: ProjectOptions) -> pb.ProjectOptions:
    message = pb.ProjectOptions(
        events_per_minute=options.events_per_minute,
        in_app=options.in_app,
        sensitive_fields=options.sensitive_fields,
        keep_emails=options.keep_emails,
        keep_ip_addresses=options.keep_ip_addresses,
        allowed_origins=options.allowed_origins or (),
        default_service=options.default_service,
        new_issues_per_hour=options.new_issues_per_hour,
    )
    if options.retention is not None:
        message.retention.FromTimedelta(options.retention)
    return message
