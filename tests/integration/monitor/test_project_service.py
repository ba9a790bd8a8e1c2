"""ProjectService: projects and keys are made, changed, rotated and revoked."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from monitor_serving import Monitor, report, serving
from souk.monitor.v1 import error_pb2
from souk.monitor.v1 import project_pb2 as pb


@pytest.fixture
async def monitor(dsn: str) -> AsyncIterator[Monitor]:
    async with serving(dsn, public_url="https://monitor.example/errors") as monitor:
        yield monitor


async def test_there_is_a_default_project_with_a_key_from_the_start(monitor: Monitor) -> None:
    (project,) = (await monitor.projects.ListProjects(pb.ListProjectsRequest())).projects
    assert (project.name, project.number, len(project.keys)) == ("default", 1, 1)
    assert project.keys[0].dsn == f"https://{project.keys[0].public_key}@monitor.example/errors/1"


async def test_the_default_project_can_be_changed_before_anybody_has_looked_for_it(monitor: Monitor, owner: Any) -> None:
    gone = "DELETE FROM monitor.project_keys; DELETE FROM monitor.projects"
    await owner.execute(gone)
    made = await monitor.projects.CreateProjectKey(pb.CreateProjectKeyRequest(project="default"))
    assert made.key.public_key
    await owner.execute(gone)
    changed = await monitor.projects.UpdateProject(pb.UpdateProjectRequest(name="default", disabled=False))
    assert changed.project.name == "default"


async def test_a_project_is_made_once_changed_and_disabled(monitor: Monitor) -> None:
    create = pb.CreateProjectRequest(name="shop", options=pb.ProjectOptions(in_app=["shop"], events_per_minute=5), request_id="p1")
    create.options.retention.FromSeconds(86_400 * 7)
    made = (await monitor.projects.CreateProject(create)).project
    assert (await monitor.projects.CreateProject(create)).project == made
    assert made.options == create.options
    with pytest.raises(grpc.aio.AioRpcError) as exists:
        await monitor.projects.CreateProject(pb.CreateProjectRequest(name="shop"))
    assert exists.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert (await monitor.report(report(), project="shop"))[0].accepted.new_issue
    with pytest.raises(grpc.aio.AioRpcError) as busy:
        await monitor.report(*(report() for _ in range(6)), project="shop")
    assert busy.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    await monitor.projects.UpdateProject(pb.UpdateProjectRequest(name="shop", disabled=True))
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await monitor.report(report(), project="shop")
    assert gone.value.code() == grpc.StatusCode.NOT_FOUND
    known = (await monitor.projects.GetProject(pb.GetProjectRequest(name="shop"))).project
    assert known.disabled
    assert known.options == create.options
    issues = await monitor.errors.ListIssues(error_pb2.ListIssuesRequest(project="shop"))
    assert [issue.short_id for issue in issues.issues] == ["SHOP-1"]


UPDATES: list[tuple[list[str], dict[str, Any], dict[str, Any]]] = [
    ([], {"events_per_minute": 9}, {"events_per_minute": 9, "in_app": ["shop"], "keep_emails": True}),
    ([], {}, {"events_per_minute": 5, "in_app": ["shop"], "keep_emails": True}),
    (["options.in_app"], {"events_per_minute": 9}, {"events_per_minute": 5, "keep_emails": True}),
    (["options.keep_emails", "options.in_app"], {"in_app": ["a", "b"]}, {"events_per_minute": 5, "in_app": ["a", "b"]}),
    (["options"], {"default_service": "web"}, {"default_service": "web"}),
    (["*"], {"default_service": "web"}, {"default_service": "web"}),
    (["disabled"], {"default_service": "web"}, {"events_per_minute": 5, "in_app": ["shop"], "keep_emails": True}),
]
"""(update_mask, what is set, what the project has then)"""


async def test_an_update_changes_what_its_mask_names_and_without_one_what_is_set(monitor: Monitor) -> None:
    before = pb.ProjectOptions(events_per_minute=5, in_app=["shop"], keep_emails=True)
    for number, (mask, options, expected) in enumerate(UPDATES):
        name = f"shop-{number}"
        await monitor.projects.CreateProject(pb.CreateProjectRequest(name=name, options=before))
        request = pb.UpdateProjectRequest(name=name, options=pb.ProjectOptions(**options), update_mask=FieldMask(paths=mask))
        project = (await monitor.projects.UpdateProject(request)).project
        assert (project.options, project.disabled) == (pb.ProjectOptions(**expected), False), mask


async def test_a_mask_that_names_what_there_is_not_changes_nothing(monitor: Monitor) -> None:
    for path in ("options.colour", "name", "options.", "in_app"):
        request = pb.UpdateProjectRequest(name="default", disabled=True, update_mask=FieldMask(paths=["disabled", path]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await monitor.projects.UpdateProject(request)
        assert (caught.value.code(), "update_mask" in (caught.value.details() or "")) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    assert not (await monitor.projects.GetProject(pb.GetProjectRequest(name="default"))).project.disabled


async def test_a_key_is_rotated(monitor: Monitor) -> None:
    request = pb.CreateProjectKeyRequest(project="default", label="browser", request_id="k1")
    key = (await monitor.projects.CreateProjectKey(request)).key
    assert (await monitor.projects.CreateProjectKey(request)).key.public_key == key.public_key
    revoke = pb.RevokeProjectKeyRequest(project="default", public_key=key.public_key)
    assert (await monitor.projects.RevokeProjectKey(revoke)).key.HasField("revoke_time")
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await monitor.projects.RevokeProjectKey(pb.RevokeProjectKeyRequest(project="default", public_key="0" * 32))
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


async def test_all_that_is_wrong_with_a_project_is_said_at_once(monitor: Monitor) -> None:
    options = pb.ProjectOptions(events_per_minute=-1, in_app=[""], default_service="x" * 300)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await monitor.projects.CreateProject(pb.CreateProjectRequest(name="Shop!", options=options))
    for field in ("name", "options.events_per_minute", "options.in_app[0]", "options.default_service"):
        assert field in (caught.value.details() or "")
