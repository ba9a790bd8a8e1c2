"""What errors are reported to: souk.monitor.v1.ProjectService."""

import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.field_mask_pb2 import FieldMask
from souk.client._calls import typed
from souk.client._config import ClientConfig
from souk.client._trace import with_trace
from souk.monitor.v1 import project_pb2 as pb

if TYPE_CHECKING:
    from souk.monitor.v1.project_pb2_grpc import ProjectServiceAsyncStub


class ProjectCalls:
    """The calls of MonitorClient that are about projects and their keys."""

    _projects: "ProjectServiceAsyncStub"
    _config: ClientConfig
    _metadata: tuple[tuple[str, str], ...]

    async def create_project(
        self, name: str, options: pb.ProjectOptions | None = None, *, request_id: str | None = None, timeout: float | None = None
    ) -> pb.Project:
        """Make a project, with a key. AlreadyExistsError, but for a repeat of a request_id."""
        request = pb.CreateProjectRequest(name=name, options=options, request_id=request_id or uuid.uuid4().hex)
        answer: pb.CreateProjectResponse = await typed(self._projects.CreateProject(request, **self._with(timeout)))
        return answer.project

    async def projects(self, *, page_size: int = 0, timeout: float | None = None) -> AsyncGenerator[pb.Project, None]:
        """Yield all projects by name; pages are fetched as they are needed. timeout: seconds for each page."""
        request = pb.ListProjectsRequest(page_size=page_size)
        while True:
            page: pb.ListProjectsResponse = await typed(self._projects.ListProjects(request, **self._with(timeout)))
            for project in page.projects:
                yield project
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get_project(self, name: str, *, timeout: float | None = None) -> pb.Project:
        """One project. NotFoundError."""
        request = pb.GetProjectRequest(name=name)
        answer: pb.GetProjectResponse = await typed(self._projects.GetProject(request, **self._with(timeout)))
        return answer.project

    async def update_project(
        self,
        name: str,
        options: pb.ProjectOptions | None = None,
        *,
        disabled: bool | None = None,
        update_mask: Sequence[str] = (),
        timeout: float | None = None,
    ) -> pb.Project:
        """Change what a project takes and keeps: what is set of `options`, or what update_mask names, also to nothing.

        update_mask: as options.keep_emails, options for all of them, disabled, or * for everything. disabled: it takes no more
        reports.
        """
        mask = FieldMask(paths=update_mask) if update_mask else None
        request = pb.UpdateProjectRequest(name=name, options=options, disabled=disabled, update_mask=mask)
        answer: pb.UpdateProjectResponse = await typed(self._projects.UpdateProject(request, **self._with(timeout)))
        return answer.project

    async def create_project_key(
        self, project: str, label: str = "", *, request_id: str | None = None, timeout: float | None = None
    ) -> pb.ProjectKey:
        """Make one more key of a project; those there are stay."""
        request = pb.CreateProjectKeyRequest(project=project, label=label, request_id=request_id or uuid.uuid4().hex)
        answer: pb.CreateProjectKeyResponse = await typed(self._projects.CreateProjectKey(request, **self._with(timeout)))
        return answer.key

    async def revoke_project_key(self, project: str, public_key: str, *, timeout: float | None = None) -> pb.ProjectKey:
        """End a key of a project. NotFoundError."""
        request = pb.RevokeProjectKeyRequest(project=project, public_key=public_key)
        answer: pb.RevokeProjectKeyResponse = await typed(self._projects.RevokeProjectKey(request, **self._with(timeout)))
        return answer.key

    def _with(self, timeout: float | None) -> dict[str, Any]:
        return {"timeout": self._config.timeout if timeout is None else timeout, "metadata": with_trace(self._metadata)}
