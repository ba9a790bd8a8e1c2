"""What a request may say: one pure function per request, naming every bad field at once."""

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from souk.cache.v1 import cache_pb2 as pb
from souk_common import operation_service
from souk_common.errors import FieldViolation, invalid_fields

from souk_cache.limits import MAX_ALIASES, MAX_KEY_BYTES, MAX_TAG_BYTES, MAX_TAGS, is_name

MAX_KEYS = 1000
MAX_NAMES = 1000
MAX_INTERESTS = 100
MAX_WAIT = 30.0
MAX_WARM_KEYS = 100_000
MAX_WARM_CONCURRENCY = 64
MAX_PRIORITY = 100
MAX_QUERY_BYTES = 1024

Violations = list[FieldViolation]


def _refuse(violations: Violations) -> None:
    if violations:
        raise invalid_fields(violations)


def _text(field: str, value: str, limit: int) -> Violations:
    if not is_name(value, limit):
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


def _aliases(message: pb.FillRequest | pb.PutRequest) -> Violations:
    if len(message.aliases) > MAX_ALIASES:
        return [FieldViolation("aliases", f"must be at most {MAX_ALIASES}")]
    return [violation for alias in message.aliases for violation in _text("aliases", alias, MAX_TAG_BYTES)][:1]


def _version(message: pb.FillRequest | pb.PutRequest) -> Violations:
    return [FieldViolation("version", "must not be negative")] if message.version < 0 else []


def _options(options: pb.ReadOptions) -> Violations:
    violations: Violations = []
    if not 0 <= seconds(options.wait) <= MAX_WAIT:
        violations.append(FieldViolation("options.wait", f"must be 0 to {MAX_WAIT:.0f} s"))
    if any(not each.epoch or each.sequence < 0 or each.partition < 0 for each in options.after.positions):
        violations.append(FieldViolation("options.after", "must be a token as Put or Invalidate gave it"))
    return violations


def seconds(span: Duration) -> float:
    """A span in seconds."""
    return span.seconds + span.nanos / 1e9


def get(request: pb.GetRequest) -> None:
    """Raise ServiceError where a read is not as the proto says."""
    key, options = request.key, request.options
    if not options.ByteSize() and key.isprintable() and 0 < len(key) <= MAX_KEY_BYTES // 4:
        return  # plainly right, as nearly all are
    alias = request.HasField("alias")
    named = _text("alias", request.alias, MAX_TAG_BYTES) if alias else _text("key", key, MAX_KEY_BYTES)
    _refuse([*named, *_options(options)])


def batch_get(request: pb.BatchGetRequest) -> None:
    """Raise ServiceError where a read of many keys is not as the proto says."""
    keys, options = request.keys, request.options
    violations = _options(options) if options.ByteSize() else []
    if not 0 < len(keys) <= MAX_KEYS:
        violations.append(FieldViolation("keys", f"must be 1 to {MAX_KEYS}"))
    elif not all(keys) or max(map(len, keys)) > MAX_KEY_BYTES // 4 or not "".join(keys).isprintable():
        violations += [v for i, key in enumerate(request.keys) for v in _text(f"keys[{i}]", key, MAX_KEY_BYTES)][:10]
    _refuse(violations)


def fill(request: pb.FillRequest) -> None:
    """Raise ServiceError where a fill is not as the proto says."""
    violations = [*_tags(request.tags), *_positive("ttl", request), *_version(request), *_aliases(request)]
    violations += _text("lease", request.lease, 128)
    content = request.WhichOneof("content")
    if content is None:
        violations.append(FieldViolation("content", "must be value, negative or abandon"))
    if request.alias:
        violations += _text("alias", request.alias, MAX_TAG_BYTES)
        if content == "value" and request.alias not in request.aliases:
            violations.append(FieldViolation("aliases", "must have the alias that the lease is of"))
    if request.key or content == "value" or not request.alias:
        violations += _text("key", request.key, MAX_KEY_BYTES)
    if request.HasField("load_duration") and seconds(request.load_duration) < 0:
        violations.append(FieldViolation("load_duration", "must not be negative"))
    _refuse(violations)


def put(request: pb.PutRequest) -> None:
    """Raise ServiceError where a put is not as the proto says."""
    violations = [*_text("key", request.key, MAX_KEY_BYTES), *_tags(request.tags), *_positive("ttl", request), *_version(request)]
    violations += _aliases(request)
    if request.WhichOneof("content") is None:
        violations.append(FieldViolation("content", "must be value or negative"))
    _refuse(violations)


def batch_put(request: pb.BatchPutRequest) -> None:
    """Raise ServiceError where there are too few or too many; each put is looked at by itself."""
    if not 0 < len(request.puts) <= MAX_KEYS:
        _refuse([FieldViolation("puts", f"must be 1 to {MAX_KEYS}")])


def get_stream(request: pb.GetStreamRequest) -> None:
    """Raise ServiceError where there are too few or too many; each read is looked at by itself."""
    if not 0 < len(request.items) <= MAX_KEYS:
        _refuse([FieldViolation("items", f"must be 1 to {MAX_KEYS}")])


def watch_first(request: pb.WatchRequest) -> None:
    """Raise ServiceError where a stream does not begin as the proto says."""
    if not request.HasField("interest"):
        _refuse([FieldViolation("interest", "must be what the first request has")])
    watch(request)


def watch(request: pb.WatchRequest) -> None:
    """Raise ServiceError where a near cache says what it must not."""
    violations: Violations = []
    message = request.WhichOneof("message")
    if message is None:
        violations.append(FieldViolation("message", "must be interest, acknowledgement or ping"))
    if message == "interest":
        if not 0 < len(request.interest.namespaces) <= MAX_INTERESTS:
            violations.append(FieldViolation("interest.namespaces", f"must be 1 to {MAX_INTERESTS}"))
        if any(not each.epoch or each.sequence < 0 or each.partition < 0 for each in request.interest.resume.positions):
            violations.append(FieldViolation("interest.resume", "must be positions as this service gave them"))
    _refuse(violations)


def invalidate(request: pb.InvalidateRequest) -> None:
    """Raise ServiceError where an invalidation is not as the proto says."""
    violations: Violations = []
    count = len(request.keys) + len(request.aliases) + len(request.tags) + len(request.namespaces)
    if not 0 < count <= MAX_NAMES:
        violations.append(FieldViolation("keys", f"keys, aliases, tags and namespaces must be 1 to {MAX_NAMES} in all"))
    else:
        violations += [v for i, each in enumerate(request.keys) for v in _text(f"keys[{i}].key", each.key, MAX_KEY_BYTES)][:10]
        violations += [
            v for i, each in enumerate(request.aliases) for v in _text(f"aliases[{i}].alias", each.alias, MAX_TAG_BYTES)
        ][:10]
        violations += [v for i, tag in enumerate(request.tags) for v in _text(f"tags[{i}]", tag, MAX_TAG_BYTES)][:10]
    if request.source_token < 0:
        violations.append(FieldViolation("source_token", "must not be negative"))
    _refuse(violations)


def warm(request: pb.WarmRequest, longest: float) -> None:
    """Raise ServiceError where a warming is not as the proto says. longest: seconds that it may take."""
    violations: Violations = []
    match request.WhichOneof("source"):
        case "keys":
            if not 0 < len(request.keys.keys) <= MAX_WARM_KEYS:
                violations.append(FieldViolation("keys.keys", f"must be 1 to {MAX_WARM_KEYS:,}"))
            elif not all(0 < len(key) <= MAX_KEY_BYTES // 4 and key.isprintable() for key in request.keys.keys):
                keys = enumerate(request.keys.keys)
                violations += [v for i, key in keys for v in _text(f"keys.keys[{i}]", key, MAX_KEY_BYTES)][:10]
        case "hottest":
            if not 0 <= request.hottest.count <= MAX_WARM_KEYS:
                violations.append(FieldViolation("hottest.count", f"must be 1 to {MAX_WARM_KEYS:,}; unset is all that are known"))
        case "query":
            if not 0 <= request.query.limit <= MAX_WARM_KEYS:
                violations.append(FieldViolation("query.limit", f"must be 1 to {MAX_WARM_KEYS:,}; unset is 10,000"))
            if len(request.query.query.encode()) > MAX_QUERY_BYTES:
                violations.append(FieldViolation("query.query", f"must be at most {MAX_QUERY_BYTES} bytes"))
        case _:
            violations.append(FieldViolation("source", "must be keys, hottest or query"))
    if not -MAX_PRIORITY <= request.priority <= MAX_PRIORITY:
        violations.append(FieldViolation("priority", f"must be -{MAX_PRIORITY} to {MAX_PRIORITY}"))
    if not 0 <= request.concurrency <= MAX_WARM_CONCURRENCY:
        violations.append(FieldViolation("concurrency", f"must be 1 to {MAX_WARM_CONCURRENCY}; unset is the setting"))
    violations += operation_service.request_id(request.request_id)
    if request.HasField("time_limit") and not 0 < seconds(request.time_limit) <= longest:
        violations.append(FieldViolation("time_limit", f"must be more than 0 and at most {longest:g} s; unset is the setting"))
    _refuse(violations)
