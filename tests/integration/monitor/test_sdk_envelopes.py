"""Envelopes as the SDKs of many languages send them: nothing that they say is lost on the way into the database.

The JSON of each is read here by itself; of monitor's own only the event is looked at, as it is read back.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from monitor_serving import Monitor
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2
from souk_common.postgres import Pool
from souk_monitor.adapters.event_reads import EventRows
from souk_monitor.events import Event, ExceptionInfo, Frame

ENVELOPES = sorted((Path(__file__).parent / "envelopes").glob("*.json"))
FRAME_NAMES = {"filename": "file", "lineno": "line", "colno": "column", "vars": "local_variables"}
SCALARS = ("platform", "release", "environment", "dist", "server_name", "logger")
IN_CONTEXTS = ("request", "modules", "sdk")
ELSEWHERE = {
    *SCALARS, *IN_CONTEXTS, "event_id", "timestamp", "level", "transaction", "culprit", "message", "logentry", "exception",
    "threads", "tags", "user", "contexts", "breadcrumbs", "extra", "fingerprint",
}  # fmt: skip
"""Parts of an event that have a place of their own; all others are in `extra`."""
SHOWN = {"function", "module", "file", "abs_path", "line", "column", "context_line", "package"}
"""Of a frame, by the rpcs."""
FLEET = 800
Said = dict[str, Any]


@pytest.fixture
async def http(monitor: Monitor) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the default project, which keeps personal data."""
    await monitor.projects.CreateProjectKey(project_pb2.CreateProjectKeyRequest(project="default"))
    options = project_pb2.ProjectOptions(keep_emails=True, keep_ip_addresses=True)
    mask = FieldMask(paths=["options.keep_emails", "options.keep_ip_addresses"])
    request = project_pb2.UpdateProjectRequest(name="default", options=options, update_mask=mask)
    project = (await monitor.projects.UpdateProject(request)).project
    headers = {"x-sentry-auth": f"Sentry sentry_key={project.keys[0].public_key}", "content-encoding": "gzip"}
    async with httpx.AsyncClient(base_url=f"{monitor.server.http_url}/api/{project.number}", headers=headers) as client:
        yield client


def on_the_wire(envelope: Said) -> bytes:
    """Items with and without a length."""
    parts = [json.dumps(envelope["header"], ensure_ascii=False).encode()]
    for number, (head, payload) in enumerate(envelope["items"]):
        body = json.dumps(payload, ensure_ascii=number % 2 > 0).encode()
        parts += [json.dumps(head | ({"length": len(body)} if "length" in head or number % 2 else {})).encode(), body]
    return gzip.compress(b"\n".join(parts))


def says(value: object) -> bool:
    """Whether there is something in it. False and 0 are."""
    return value not in (None, "", [], {}, ())


def told(given: Mapping[str, Any]) -> Said:
    return {name: value for name, value in given.items() if says(value)}


def listed(given: Any) -> list[Said]:
    """Of {values: […]}, or of a list."""
    return list(given["values"] if isinstance(given, dict) else given or ())


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# What was sent


def sent_frame(frame: Said) -> Said:
    """Lines of Java below 0, which say that it is native code, are no lines, and kept by the name that they came by."""
    said = told(frame)
    unlike = [name for name in ("lineno", "colno") if said.get(name, 1) <= 0]
    return {
        name if name in unlike else FRAME_NAMES.get(name, name): value
        for name, value in said.items()
        if value or name not in unlike
    }


def sent_stack(stacktrace: Said) -> Said:
    return told(stacktrace) | {"frames": list(map(sent_frame, stacktrace["frames"]))}


def sent_exception(exception: Said) -> Said:
    mechanism = told(exception.get("mechanism") or {})
    if not mechanism.get("is_exception_group"):
        mechanism.pop("is_exception_group", None)
    said = told({**exception, "mechanism": mechanism})
    return said | ({"stacktrace": sent_stack(said["stacktrace"])} if "stacktrace" in said else {})


def sent_thread(thread: Said) -> Said:
    return told(thread) | ({"stacktrace": sent_stack(thread["stacktrace"])} if "stacktrace" in thread else {})


def sent_tags(tags: Any) -> dict[str, str]:
    pairs = tags.items() if isinstance(tags, dict) else [tuple(tag.values()) if isinstance(tag, dict) else tag for tag in tags]
    return {name: text(value) for name, value in pairs if value is not None}


def sent_user(user: Said) -> Said:
    return told(user) | {name: text(user[name]) for name in ("id", "email", "username", "ip_address") if says(user.get(name))}


def sent(payload: Said) -> Said:
    """All of it, with names of its parts."""
    said: Said = {name: payload.get(name) or "" for name in SCALARS}
    said["level"], said["transaction"] = payload["level"], payload.get("transaction") or payload.get("culprit", "")
    said["fingerprint"] = payload.get("fingerprint", [])
    said["exceptions"] = list(map(sent_exception, listed(payload.get("exception"))))
    said["threads"] = {thread["id"]: sent_thread(thread) for thread in listed(payload.get("threads"))}
    said["tags"], said["user"] = sent_tags(payload["tags"]), sent_user(payload["user"])
    said["contexts"] = told(payload["contexts"]) | told({name: payload.get(name) for name in IN_CONTEXTS})
    said["breadcrumbs"] = listed(payload.get("breadcrumbs"))
    more = {name: value for name, value in payload.items() if name not in ELSEWHERE and value is not None}
    said["extra"] = payload.get("extra", {}) | more
    return said


# What is kept


def kept_frame(frame: Frame) -> Said:
    said = told(asdict(frame))
    extra = said.pop("extra", {})
    lines = {name: list(said[name]) for name in ("pre_context", "post_context") if name in said}
    places = {name: said[name] or None for name in ("line", "column")}  # 0: not known
    return told({**said, **lines, **places, **extra})


def kept_stack(frames: Sequence[Frame], rest: Said) -> Said:
    return {**rest, "frames": list(map(kept_frame, frames))}


def kept_exception(exception: ExceptionInfo) -> Said:
    rest = dict(exception.extra)
    mechanism = {
        "type": exception.mechanism,
        "handled": exception.handled,
        "exception_id": exception.exception_id,
        "parent_id": exception.parent_id,
        "is_exception_group": exception.is_group or None,
        **rest.pop("mechanism", {}),
    }
    stacktrace = rest.pop("stacktrace", {})
    said = {"type": exception.type, "value": exception.value, "module": exception.module, "mechanism": told(mechanism), **rest}
    return told(said) | ({"stacktrace": kept_stack(exception.frames, stacktrace)} if exception.frames or stacktrace else {})


def kept_threads(threads: Any, stack: Sequence[Frame]) -> dict[int, Said]:
    """The stack of a message is that of the thread that reported it."""
    said = {thread["id"]: thread for thread in listed(threads)}
    for thread in said.values():
        stacktrace = thread.get("stacktrace", {})
        if "frames" in stacktrace:
            thread["stacktrace"] = sent_stack(stacktrace)
        elif stack and thread.get("current"):
            thread["stacktrace"] = kept_stack(stack, stacktrace)
    return {number: told(thread) for number, thread in said.items()}


def kept(event: Event) -> Said:
    """The same of an event that was read back."""
    said: Said = {name: getattr(event, name) for name in SCALARS}
    said["level"], said["transaction"], said["fingerprint"] = event.level.name.lower(), event.transaction, list(event.fingerprint)
    said["exceptions"] = list(map(kept_exception, event.exceptions))
    extra, contexts = dict(event.extra), dict(event.contexts)
    said["threads"] = kept_threads(extra.pop("threads", []), event.stack)
    user = asdict(event.user) if event.user else {}
    said["tags"], said["user"] = event.tags, told(user | user.pop("extra"))
    said["breadcrumbs"] = contexts.pop("breadcrumbs", [])
    said["contexts"], said["extra"] = contexts, extra
    return said


def messages(payload: Said) -> tuple[str, str]:
    """What was logged, and the same without its parameters."""
    entry = payload.get("logentry") or payload.get("message") or {}
    template = entry.get("message", "")
    whole = entry.get("formatted") or (template % tuple(entry["params"]) if entry.get("params") else template)
    return whole, template if template != whole else ""


# What is shown


def seen(shown: pb.ErrorReport) -> Said:
    """What a reader of an event sees first of it."""
    return {
        "exceptions": [
            (each.type, each.value, each.module, [of_frame(frame) for frame in each.frames]) for each in shown.exceptions
        ],
        "tags": dict(shown.tags),
        "user": [shown.user.id, shown.user.email, shown.user.username, shown.user.ip_address],
        "release": shown.release,
        "contexts": sorted(shown.contexts),
    }


def of_frame(frame: pb.StackFrame) -> Said:
    return told({name: getattr(frame, name) or None for name in SHOWN})


def seen_of(said: Said) -> Said:
    """The same of what was sent."""
    return {
        "exceptions": [
            (
                each.get("type", ""),
                each.get("value", ""),
                each.get("module", ""),
                [{name: frame[name] for name in SHOWN & frame.keys()} for frame in each.get("stacktrace", {}).get("frames", [])],
            )
            for each in said["exceptions"]
        ],
        "tags": said["tags"],
        "user": [said["user"].get(name, "") for name in ("id", "email", "username", "ip_address")],
        "release": said["release"],
        "contexts": sorted({*said["contexts"], *(["breadcrumbs"] if said["breadcrumbs"] else [])}),
    }


async def test_nothing_is_lost_of_what_sdks_of_many_languages_say(monitor: Monitor, http: httpx.AsyncClient, pool: Pool) -> None:
    assert len(ENVELOPES) > 15
    for file in ENVELOPES:
        envelope = json.loads(file.read_text())
        ((_, payload),) = [item for item in envelope["items"] if item[0]["type"] == "event"]
        answer = await http.post("/envelope/", content=on_the_wire(envelope))
        assert answer.status_code == 200, (file.name, answer.text)
        id_ = envelope["header"]["event_id"].replace("-", "")
        assert answer.json()["id"] == id_
        event = (await EventRows(pool).one(1, id_)).event
        assert event.scrubbed_fields in ((), ("time",)), file.name
        trace = payload["contexts"].get("trace", {})
        assert (event.trace_id, event.span_id) == (trace.get("trace_id", ""), trace.get("span_id", "")), file.name
        assert (event.message, event.template) == messages(payload), file.name
        assert (file.name, kept(event)) == (file.name, sent(payload))
        shown = (await monitor.errors.GetEvent(pb.GetEventRequest(event_id=id_))).event.report
        assert (file.name, seen(shown)) == (file.name, seen_of(sent(payload)))


async def test_of_an_error_that_a_fleet_has_at_once_none_is_turned_away(monitor: Monitor, http: httpx.AsyncClient):
    """One that is, is lost: an SDK that is told to come again reports nothing until then."""
    url, body = http.base_url, b'{}\n{"type":"event"}\n{"message":"the payment provider is gone"}'
    head = f"POST {url.path}envelope/ HTTP/1.1\r\nhost: {url.host}\r\nx-sentry-auth: {http.headers['x-sentry-auth']}\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    async def report() -> bytes:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(request)
        status = await reader.readline()
        writer.close()
        return status

    answers = await asyncio.gather(*(report() for _ in range(FLEET)))
    assert set(answers) == {b"HTTP/1.1 200 OK\r\n"}
    (issue,) = (await monitor.errors.ListIssues(pb.ListIssuesRequest())).issues
    assert issue.events == FLEET
