"""Sends what a program printed of its exceptions as the SDKs of its language would: for languages whose SDKs are not installed."""

import json
import secrets
import time
import urllib.request
import uuid
from typing import Any
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_ERROR, LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc

WAYS = ("sentry", "printed", "log", "span", "both")

Report = dict[str, Any]


def send(reports: list[Report], dsn: str, address: str, project: str) -> None:
    """Each by every way: tags, or the attributes of a record or span, say which failure it is and which way it came."""
    for report in reports:
        _post(report, dsn)
    logs, spans = [], []
    for report in reports:
        for way in ("log", "span", "both"):
            span = Span(trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8), name=report["name"])
            span.attributes.extend(_attributes(_told(report, way)))
            if way != "span":
                logs.append(_log(report, way, span))
            if way != "log":
                span.events.add(name="exception", time_unix_nano=time.time_ns(), attributes=_exception(report))
            spans.append(span)
    platform = reports[0]["platform"]
    of_resource = {"service.name": "shop", "telemetry.sdk.language": platform, "souk.project": project}
    resource = Resource(attributes=_attributes(of_resource))
    of_logs = ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=logs)])
    of_spans = ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)])
    with grpc.insecure_channel(address) as channel:
        stub: Any = error_pb2_grpc.ErrorServiceStub(channel)
        stub.ReportErrors(pb.ReportErrorsRequest(project=project, reports=map(_printed, reports)))
        LogsServiceStub(channel).Export(ExportLogsServiceRequest(resource_logs=[of_logs]))
        TraceServiceStub(channel).Export(ExportTraceServiceRequest(resource_spans=[of_spans]))


def _told(report: Report, way: str) -> dict[str, str]:
    return {"failure": report["name"], "way": way}


def _attributes(values: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()]


def _exception(report: Report) -> list[KeyValue]:
    stack = report.get("stack", report["text"])
    return _attributes(
        {"exception.type": report["type"], "exception.message": report["message"] or "", "exception.stacktrace": stack}
    )


def _log(report: Report, way: str, span: Span) -> LogRecord:
    return LogRecord(
        time_unix_nano=time.time_ns(),
        severity_number=SEVERITY_NUMBER_ERROR,
        body=AnyValue(string_value=f"{report['name']} failed"),
        attributes=[*_exception(report), *_attributes(_told(report, way))],
        trace_id=span.trace_id,
        span_id=span.span_id,
    )


def _printed(report: Report) -> pb.ErrorReport:
    exception = pb.ExceptionReport(stack_text=report["text"])
    return pb.ErrorReport(platform=report["platform"], exceptions=[exception], tags=_told(report, "printed"))


def _post(report: Report, dsn: str) -> None:
    """An envelope with the frames that the program has of itself."""
    event = {
        "event_id": uuid.uuid4().hex,
        "platform": report["platform"],
        "tags": _told(report, "sentry"),
        "exception": {"values": [_value(each) for each in report["exceptions"]]},
    }
    parts = urlsplit(dsn)
    envelope = "\n".join(map(json.dumps, ({"event_id": event["event_id"], "dsn": dsn}, {"type": "event"}, event)))
    url = f"http://{parts.hostname}:{parts.port}/api{parts.path}/envelope/"
    with urllib.request.urlopen(urllib.request.Request(url, envelope.encode()), timeout=20) as answer:
        assert answer.status == 200


def _value(exception: Report) -> Report:
    names = {"function": "function", "module": "module", "file": "filename", "abs_path": "abs_path", "line": "lineno"}
    frames = [{names[key]: value for key, value in frame.items()} for frame in exception["frames"] or ()]
    return {key: exception.get(key) for key in ("type", "module", "value")} | ({"stacktrace": {"frames": frames}} if frames else {})
