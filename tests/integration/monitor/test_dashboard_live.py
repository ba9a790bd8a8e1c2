"""What pages are told while they are open: changes of issues as server-sent events, bounded, and ended with the node."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import processes
import pytest
import yaml
from dashboards import Visit, visiting
from monitor_serving import Monitor, report, serving
from souk.monitor.v1 import error_pb2 as pb
from souk_common.auth import new_token
from souk_monitor import watching


@pytest.fixture
async def monitor(dsn: str) -> AsyncIterator[Monitor]:
    async with serving(dsn, event_streams=2) as monitor:
        yield monitor


@pytest.fixture
async def visit(monitor: Monitor) -> AsyncIterator[Visit]:
    async with visiting(monitor) as visit:
        await visit.page("/issues")
        yield visit


class Stream:
    """Events as a browser takes them apart."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The fields of the next event; none at the end."""
        event: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for line in self.lines:
                if not line and event:
                    return event
                name, _, value = line.partition(":")
                if line:
                    event[name or "comment"] = value.removeprefix(" ")
        return event

    async def change(self) -> dict[str, Any]:
        """The next that is a change."""
        while (event := await self.next()).get("event") != "change":
            assert event, "the stream has ended"
        return {"id": event["id"], **orjson.loads(event["data"])}


@contextlib.asynccontextmanager
async def listening(visit: Visit, path: str = "/live", **headers: str) -> AsyncIterator[Stream]:
    """A stream that is open, and knows where it begins."""
    async with visit.client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, response.status_code
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = Stream(response)
        assert (await stream.next())["event"] == "open"
        yield stream


async def test_a_new_issue_is_told_to_all_who_look(monitor: Monitor, visit: Visit) -> None:
    async with listening(visit) as one, listening(visit) as other:
        for stream in (one, other):
            assert "id" in await stream.next()  # where it begins
        (result,) = await monitor.report(report("KeyError"))
        for stream in (one, other):
            assert (await stream.change())["issues"] == {result.accepted.issue_id: "new"}
        await monitor.errors.UpdateIssue(pb.UpdateIssueRequest(issue_id=result.accepted.issue_id, resolve=pb.Resolve()))
        assert (await one.change())["issues"] == {result.accepted.issue_id: "updated"}


async def test_what_changed_while_a_stream_was_away_comes_first(monitor: Monitor, visit: Visit) -> None:
    async with listening(visit) as stream:
        position = (await stream.next())["id"]
    (result,) = await monitor.report(report("KeyError"))
    async with listening(visit, **{"last-event-id": position}) as stream:
        assert result.accepted.issue_id in (await stream.change())["issues"]


async def test_a_stream_of_one_project_tells_nothing_of_others(monitor: Monitor, visit: Visit) -> None:
    form = (await visit.page("/projects")).form("/projects")
    await visit.send(form, ("name", "shop"))
    async with listening(visit, "/live?project=shop") as stream:
        await stream.next()
        await monitor.report(report("KeyError"))
        (result,) = await monitor.report(report("OSError"), project="shop")
        assert list((await stream.change())["issues"]) == [result.accepted.issue_id]


async def test_a_node_keeps_no_more_streams_than_it_may_and_takes_others_when_one_goes(visit: Visit) -> None:
    async with listening(visit):
        async with listening(visit):
            response = await visit.client.get("/live")
            assert (response.status_code, response.headers["retry-after"]) == (503, "10")
        async with asyncio.timeout(20):
            while True:  # that it is gone is seen when it is next written to
                with contextlib.suppress(AssertionError):
                    async with listening(visit):
                        return
                await asyncio.sleep(0.02)


async def test_open_streams_keep_nobody_out_and_are_not_slow(dsn: str) -> None:
    async with serving(dsn, event_streams=3, max_http_requests=1, slow_seconds=0.000_001) as monitor, visiting(monitor) as visit:
        async with contextlib.AsyncExitStack() as streams:
            for _ in range(3):
                await streams.enter_async_context(listening(visit))
            await visit.page("/issues")
        line = await monitor.server.log.wait_for(lambda line: line.get("method") == "GET /live" and "code" in line)
        assert (line["level"], "slow" in line) == ("info", False)
        assert (await monitor.server.log.wait_for(lambda line: line.get("method") == "GET /issues"))["slow"]


async def test_a_stream_without_changes_gives_signs_of_life(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SIGN_OF_LIFE", 0.02)
    async with listening(visit) as stream:
        events = [await stream.next() for _ in range(3)]
        assert all("comment" in event and "id" in event and "event" not in event for event in events)


async def test_a_stream_ends_when_its_token_is_taken_back(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SIGN_OF_LIFE", 0.02)
    token, digest = new_token()
    path = tmp_path / "auth.yaml"
    principal = {"name": "ada", "scopes": ["monitor.read"], "token_sha256": [digest]}
    path.write_text(yaml.safe_dump({"principals": [principal]}))
    async with serving(dsn, auth_file=path, auth_reload_interval=0.01) as monitor, visiting(monitor) as visit:
        await visit.send((await visit.page("/login")).form("/login"), ("token", token))
        async with listening(visit) as stream:
            path.write_text(yaml.safe_dump({"principals": []}))
            while await stream.next():
                pass


async def test_open_streams_do_not_hold_a_node_that_stops(dsn: str, tmp_path: Path) -> None:
    node = await processes.start_service("monitor", tmp_path, "one", dsn=dsn, http_port=0, drain_grace=600)
    try:
        async with httpx.AsyncClient(base_url=node.http) as client:
            visit = Visit(client)
            await visit.page("/issues")
            async with listening(visit) as stream:
                node.process.terminate()
                while await stream.next():
                    pass
        assert await node.exit_status() == 0
    finally:
        await processes.stop(node)
