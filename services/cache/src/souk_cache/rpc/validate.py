"""What a request may say: one pure function per request, naming every bad field at once."""

import re
from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from souk.cache.v1 import cache_pb2 as pb
from souk_common.errors import FieldViolation, invalid_fields

MAX_KEY_BYTES = 512
MAX_TAG_BYTES = 256
MAX_TAGS = 64
MAX_KEYS = 1000
MAX_NAMES = 1000
MAX_WAIT = 30.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Violations = list[FieldViolation]


def _refuse(violations: Violations) -> None:
    if violations:
        raise invalid_fields(violations)


def _text(field: str, value: str, limit: int) -> Violations:
    if not 0 < len(value.encode()) <= limit or _CONTROL.search(value):
        return [FieldViolation(field, f"must be 1 to {limit} bytes without control characters")]
    return []


def _tags(tags: Iterable[str]) -> Violations:
    distinct = list(dict.fromkeys(tags))
    if len(distinct) > MAX_TAGS:
        return [FieldViolation("tags", f"must be at most {MAX_TAGS}")]
    return [violation for tag in distinct for violation in _text("tags", tag, MAX_TAG_BYTES)][:1]


def _positive(field: str, message: pb.FillRequest | pb.PutRequest) -> Violations:
    if message.HasField("ttl") and seconds(message.ttl) <= 0:
        return [FieldViolation(field, "must be more than nothing; unset is the namespace's")]
    return []


def _version(message: pb.FillRequest | pb.PutRequest) -> Violations:
    return [FieldViolation("version", "must not be negative")] if message.version < 0 else []


def _options(options: pb.ReadOptions) -> Violations:
    violations: Violations = []
    if not 0 <= seconds(options.wait) <= MAX_WAIT:
        violations.append(FieldViolation("options.wait", f"must be 0 to {MAX_WAIT:.0f} s"))
    if options.HasField("after") and (not options.after.epoch or options.after.sequence < 0):
        violations.append(FieldViolation("options.after", "must be a token as Put or Invalidate gave it"))
    return violations


def seconds(span: Duration) -> float:
    """A span in seconds."""
    return span.seconds + span.nanos / 1e9


def get(request: pb.GetRequest) -> None:
    """Raise ServiceError where a read is not as the proto says."""
    _refuse([*_text("key", request.key, MAX_KEY_BYTES), *_options(request.options)])


def batch_get(request: pb.BatchGetRequest) -> None:
    """Raise ServiceError where a read of many keys is not as the proto says."""
    violations = _options(request.options)
    if not 0 < len(request.keys) <= MAX_KEYS:
        violations.append(FieldViolation("keys", f"must be 1 to {MAX_KEYS}"))
    else:
        violations += [v for i, key in enumerate(request.keys) for v in _text(f"keys[{i}]", key, MAX_KEY_BYTES)][:10]
    _refuse(violations)


def fill(request: pb.FillRequest) -> None:
    """Raise ServiceError where a fill is not as the proto says."""
    violations = [*_text("key", request.key, MAX_KEY_BYTES), *_tags(request.tags), *_positive("ttl", request), *_version(request)]
    violations += _text("lease", request.lease, 128)
    if request.WhichOneof("content") is None:
        violations.append(FieldViolation("content", "must be value, negative or abandon"))
    _refuse(violations)


def put(request: pb.PutRequest) -> None:
    """Raise ServiceError where a put is not as the proto says."""
    violations = [*_text("key", request.key, MAX_KEY_BYTES), *_tags(request.tags), *_positive("ttl", request), *_version(request)]
    if request.WhichOneof("content") is None:
        violations.append(FieldViolation("content", "must be value or negative"))
    _refuse(violations)


def invalidate(request: pb.InvalidateRequest) -> None:
    """Raise ServiceError where an invalidation is not as the proto says."""
    violations: Violations = []
    count = len(request.keys) + len(request.tags) + len(request.namespaces)
    if not 0 < count <= MAX_NAMES:
        violations.append(FieldViolation("keys", f"keys, tags and namespaces must be 1 to {MAX_NAMES} in all"))
    else:
        violations += [v for i, each in enumerate(request.keys) for v in _text(f"keys[{i}].key", each.key, MAX_KEY_BYTES)][:10]
        violations += [v for i, tag in enumerate(request.tags) for v in _text(f"tags[{i}]", tag, MAX_TAG_BYTES)][:10]
    if request.source_token < 0:
        violations.append(FieldViolation("source_token", "must not be negative"))
    _refuse(violations)
