"""Envelopes as the SDKs of many languages send them: nothing that they say is lost on the way into the database.

The JSON of each is read here by itself; of monitor's own only the event is looked at, as it is read back.
"""

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from monitor_serving import Monitor
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import project_pb2
from souk_common.postgres import Pool
from souk_monitor.adapters.event_reads import EventRows

ENVELOPES = sorted((Path(__file__).parent / "envelopes").glob("*.json"))
FRAME_NAMES = {"filename": "file", "lineno": "line", "colno": "column", "vars": "local_variables"}
SCALARS = ("platform", "release", "environment", "dist", "server_name", "logger")
IN_CONTEXTS = ("request", "modules", "sdk")
ELSEWHERE = {
    *SCALARS, *IN_CONTEXTS, "event_id", "timestamp", "level", "transaction", "culprit", "message", "logentry", "exception",
    "threads", "tags", "user", "contexts", "breadcrumbs", "extra", "fingerprint",
}  # fmt: skip
"""Parts of an event that have a place of their own; all others are in `extra`."""
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
    """Lines of Java below 0, which say that it is native code, are no lines, and kept by the name that they came by; variables that
    are a list are, too."""
    said = told(frame)
    unlike = [name for name in ("lineno", "colno") if said.get(name, 1) <= 0]
    unlike += [name for name in ("vars",) if isinstance(said.get(name), list)]
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


def kept_frame(frame: Said) -> Said:
    said = told(frame)
    extra = said.pop("extra", {})
    lines = {name: list(said[name]) for name in ("pre_context", "post_context") if name in said}
    places = {name: said.get(name) or None for name in ("line", "column")}  # 0: not known
    return told({**said, **lines, **places, **extra})


def kept_stack(frames: Sequence[Said], rest: Said) -> Said:
    return {**rest, "frames": list(map(kept_frame, frames))}


def kept_exception(exception: Said) -> Said:
    rest = dict(exception.get("extra", {}))
    mechanism = {
        "type": exception.get("mechanism"),
        **{name: exception.get(name) for name in ("handled", "exception_id", "parent_id")},
        "is_exception_group": exception.get("is_group") or None,
        **rest.pop("mechanism", {}),
    }
    stacktrace = rest.pop("stacktrace", {})
    said = {**{name: exception.get(name) for name in ("type", "value", "module")}, "mechanism": told(mechanism), **rest}
    frames = exception.get("frames", ())
    return told(said) | ({"stacktrace": kept_stack(frames, stacktrace)} if frames or stacktrace else {})


def kept_threads(threads: Any, stack: Sequence[Said]) -> dict[int, Said]:
    """The stack of a message is that of the thread that reported it."""
    said = {thread["id"]: thread for thread in listed(threads)}
    for thread in said.values():
        stacktrace = thread.get("stacktrace", {})
        if "frames" in stacktrace:
            thread["stacktrace"] = sent_stack(stacktrace)
        elif stack and thread.get("current"):
            thread["stacktrace"] = kept_stack(stack, stacktrace)
    return {number: told(thread) for number, thread in said.items()}


def kept(event: Said) -> Said:
    """The same of the fields of an event that was read back."""
    said: Said = {name: event.get(name, "") for name in (*SCALARS, "level", "transaction")}
    said["fingerprint"], said["tags"] = list(event.get("fingerprint", ())), event.get("tags", {})
    said["exceptions"] = list(map(kept_exception, event.get("exceptions", ())))
    extra, contexts, user = dict(event["extra"]), dict(event.get("contexts", {})), dict(event.get("user") or {})
    said["threads"] = kept_threads(extra.pop("threads", []), event.get("stack", ()))
    said["user"] = told(user | user.pop("extra", {}))
    said["breadcrumbs"] = contexts.pop("breadcrumbs", [])
    said["contexts"], said["extra"] = contexts, extra
    return said


async def stored(pool: Pool, event_id: str) -> Said:
    """The same of an event of the default project, as the database has it."""
    event = (await EventRows(pool).one(1, event_id)).event
    return kept(asdict(event) | {"level": event.level.name.lower()})


def messages(payload: Said) -> tuple[str, str]:
    """What was logged, and the same without its parameters."""
    entry = payload.get("logentry") or payload.get("message") or {}
    template = entry.get("message", "")
    whole = entry.get("formatted") or (template % tuple(entry["params"]) if entry.get("params") else template)
    return whole, template if template != whole else ""


# What is answered


def answered(event: pb.ErrorEvent) -> Said:
    """The same of an event as the rpcs give it. Numbers of their Structs are doubles."""
    report = MessageToDict(event.report, preserving_proto_field_name=True)
    level = pb.Severity.Name(event.report.severity).removeprefix("SEVERITY_").lower()
    return kept({**report, "level": level, "extra": MessageToDict(event.extra)})


def comparable(said: Any) -> Any:
    """Whole numbers beyond 2^53 are answered as texts, and of each frame whether it is of the application, whoever says so."""
    if isinstance(said, dict):
        return {name: comparable(value) for name, value in said.items() if name != "in_app"}
    if isinstance(said, list):
        return list(map(comparable, said))
    return str(said) if isinstance(said, int) and abs(said) > 2**53 else said


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
        assert (file.name, await stored(pool, id_)) == (file.name, sent(payload))
        told_again = (await monitor.errors.GetEvent(pb.GetEventRequest(event_id=id_))).event
        assert (file.name, comparable(answered(told_again))) == (file.name, comparable(sent(payload)))


NATIVE_FRAME = {
    "instruction_addr": "0x1c0a31f40", "image_addr": 2**63, "symbol_addr": "0x1000", "symbol": "_ZN4shop3runEv", "addr_mode": "abs",
    "trust": "cfi", "raw_function": "shop::run(int)", "lock": {"type": 1, "address": "0x0d3a2f0a"}, "native": True,
    "platform": "native", "vars": ["a", 1, None],
}  # fmt: skip
META = {
    "signal": {"number": 11, "code": 0, "name": "SIGSEGV"},
    "mach_exception": {"exception": 1, "code": 1, "subcode": 0, "name": "EXC_BAD_ACCESS"},
    "ns_error": {"domain": "SampleErrorDomain", "code": 0},
}
ODD = {
    "platform": "native", "level": "fatal", "dist": "114", "tags": {}, "contexts": {},
    "user": {"id": 7, "name": "Ada", "geo": {"city": "Wien"}, "data": {"plan": "gold"}, "segment": "beta"},
    "exception": [
        {
            "type": "EXC_BAD_ACCESS", "value": "x", "thread_id": 7,
            "mechanism": {
                "type": "mach", "handled": False, "synthetic": True, "help_link": "https://shop.example", "desc": "a crash",
                "data": {"HResult": -2147467261}, "meta": META,
            },
            "stacktrace": {"frames": [NATIVE_FRAME, {"symbol": "main"}], "registers": {"rip": "0x1c0a31f40"}},
            "raw_stacktrace": {"frames": [{"instruction_addr": "0x1c0a31f40"}]},
        }
    ],
    "threads": [{"id": 7, "crashed": True, "name": "main"}, {"id": 8, "stacktrace": {"frames": [NATIVE_FRAME]}}],
}  # fmt: skip


async def test_what_has_no_field_of_its_own_is_answered_too(monitor: Monitor, http: httpx.AsyncClient) -> None:
    answer = await http.post("/store/", content=gzip.compress(json.dumps(ODD).encode()))
    event = (await monitor.errors.GetEvent(pb.GetEventRequest(event_id=answer.json()["id"]))).event
    assert comparable(answered(event)) == comparable(sent(ODD))
    assert not event.scrubbed_fields
    message = json.dumps({"message": "no stock", "platform": "native", "stacktrace": {"frames": [NATIVE_FRAME]}}).encode()
    answer = await http.post("/store/", content=gzip.compress(message))
    event = (await monitor.errors.GetEvent(pb.GetEventRequest(event_id=answer.json()["id"]))).event
    assert comparable(MessageToDict(event.report.stack[0].extra)) == comparable(NATIVE_FRAME)


async def test_events_that_old_sdks_send_are_kept_as_those_of_envelopes_are(http: httpx.AsyncClient, pool: Pool) -> None:
    for number, file in enumerate(ENVELOPES):
        ((_, payload),) = [item for item in json.loads(file.read_text())["items"] if item[0]["type"] == "event"]
        id_ = f"{number + 1:032x}"
        body = base64.b64encode(zlib.compress(json.dumps({**payload, "event_id": id_}).encode()))
        answer = await http.post("/store/", content=body, headers={"content-encoding": "identity"})
        assert (answer.status_code, answer.json()) == (200, {"id": id_}), file.name
        assert (file.name, await stored(pool, id_)) == (file.name, sent(payload))


async def test_the_id_that_is_answered_is_found_and_a_repeat_counts_once(monitor: Monitor, http: httpx.AsyncClient) -> None:
    header = {"event_id": "0123456789abcdef0123456789abcdef"}
    for given in ({}, {"event_id": None}, {"event_id": "f" * 32}, {"event_id": "0" * 32}):
        payload = {"message": f"no stock of {given}", "fingerprint": [str(given)], **given}
        envelope = {"header": header, "items": [[{"type": "event"}, payload]] * 2}
        ids = [(await http.post("/envelope/", content=on_the_wire(envelope))).json()["id"] for _ in range(2)]
        assert ids[0] == ids[1]
        report = (await monitor.errors.GetEvent(pb.GetEventRequest(event_id=ids[0]))).event.report
        assert (report.event_id, ids[0]) == (ids[0], (given.get("event_id") or "").strip("0") or header["event_id"])
        header["event_id"] = header["event_id"][1:] + header["event_id"][0]
    issues = (await monitor.errors.ListIssues(pb.ListIssuesRequest())).issues
    assert sorted(issue.events for issue in issues) == [1, 2, 2, 2]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_error_is_kept_with_what_is_attached_to_it_left_out(
    monitor: Monitor, http: httpx.AsyncClient, encoding: str
) -> None:
    head, event = b'{"event_id":"%s"}\n' % (b"a" * 32), b'{"type":"event"}\n{"message":"no stock"}\n'
    dump = b'{"type":"attachment","attachment_type":"event.minidump","length":20000000}\n' + bytes(20_000_000) + b"\n"
    body = head + dump + event
    answer = await http.post(
        "/envelope/", content=gzip.compress(body, 1) if encoding == "gzip" else body, headers={"content-encoding": encoding}
    )
    assert (answer.status_code, answer.json()) == (200, {"id": "a" * 32})
    assert (await monitor.errors.GetEvent(pb.GetEventRequest(event_id="a" * 32))).event.report.message == "no stock"


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
