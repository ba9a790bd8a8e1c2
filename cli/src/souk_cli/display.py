"""What the commands show: consoles, sizes, JSON, and errors with what to do next."""

import json
import sys
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from souk.client import SoukError, UnauthenticatedError, UnavailableError

from souk_cli.visible import VisibleConsole, escape, visible_json

PIPE_WIDTH = 160
"""Columns where nobody says how wide the output is."""


def _console(*, stderr: bool) -> VisibleConsole:
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return VisibleConsole(stderr=stderr, highlight=False, width=None if is_terminal else PIPE_WIDTH, soft_wrap=not is_terminal)


out = _console(stderr=False)
err = _console(stderr=True)

_HINTS = {
    "NOT_AN_IMAGE": "Send a photo: JPEG, PNG, WebP, AVIF or GIF.",
    "FORMAT_NOT_SUPPORTED": "Save it in one of these formats: {supported}.",
    "IMAGE_TRUNCATED": "The file ends too early; copy it again from where it came.",
    "IMAGE_CORRUPT": "The file is damaged; save it again in an editor.",
    "CONTENT_TYPE_MISMATCH": "It is {found}; rename the file, or leave --content-type out.",
    "TOO_MANY_BYTES": "At most {limit_bytes} bytes are taken; the server's limit is SOUK_IMAGING_MAX_BYTES.",
    "TOO_MUCH_METADATA": "Strip it, or raise SOUK_IMAGING_MAX_METADATA_BYTES on the server, which is {limit_bytes}.",
    "TOO_MANY_PIXELS": "At most {limit_pixels} pixels are taken; scale it down, or raise SOUK_IMAGING_MAX_PIXELS on the server.",
    "TOO_MANY_FRAMES": "At most {limit_frames} frames are taken; shorten the animation.",
    "UPLOAD_EMPTY": "The file is empty.",
    "SIZE_MISMATCH": "The file changed while it was being read; try again.",
    "PROFILE_UNKNOWN": "The server knows these profiles: {known}.",
    "IMAGE_NOT_FOUND": "`souk image list` shows the images there are.",
    "VARIANT_NOT_FOUND": "`souk image show {image_id}` lists the variants there are.",
    "IMAGE_NOT_READY": "`souk image watch IMAGE_ID` tells when it is.",
    "IMAGE_FAILED": "Its photo could not be used: {reason}. Delete it, and upload another.",
    "REQUEST_ID_REUSED": "Choose another request id, or none: the client makes one.",
    "SCOPE_MISSING": "The token lacks the scope {scope}; `souk token create NAME --scope {scope}` makes one that has it.",
    "QUOTA_EXCEEDED": "Wait a little, or lower --concurrency.",
    "OVERLOADED": "The server has as much work as it takes; try again in a while, or lower --concurrency.",
    "DEPENDENCY_UNAVAILABLE": "The server cannot reach its {dependency}; look at its log.",
    "OPERATION_NOT_FOUND": "`souk cache operations list` shows those there are; they end with their node, and are forgotten later.",
    "OPERATION_ELSEWHERE": "Give --address of the node {node}.",
    "TOO_MANY_OPERATIONS": "Wait until one of them is over, or cancel one: `souk cache operations list --state running`.",
    "NAMESPACE_UNKNOWN": "`souk cache namespaces` lists those there are: {known}.",
    "ALIAS_KIND_UNKNOWN": "An alias is <kind>:<name>; the namespace has {known}.",
    "TIME_BUCKET_UNREADABLE": "Namespaces with time buckets take no other keys; `souk cache namespaces` shows which have them.",
    "VALUE_TOO_LARGE": "At most {limit_bytes} bytes are taken; max_value_bytes of the namespace is the limit.",
    "LOADER_MISSING": "Give the namespace a loader in SOUK_CACHE_NAMESPACES_FILE, or leave --load out.",
    "LOADER_FAILED": "What loads the values of this namespace does not answer; look at its log.",
    "QUERY_UNKNOWN": "ListQueries of dbopt has the queries there are.",
    "NOT_EXPLAINABLE": "Give one SELECT that changes nothing, and calls nothing that could.",
    "EXPLAIN_OFF": "Set SOUK_DBOPT_EXPLAIN_DSN to the database as souk_explain, the role that `souk db migrate` makes.",
    "FINGERPRINT_UNKNOWN": "`souk db slow` shows those that have run, of the last 24 hours or --since.",
    "ISSUE_UNKNOWN": "`souk errors list` shows those there are; --state resolved and --state ignored those that are put away.",
    "EVENT_UNKNOWN": "Bodies are thinned, and kept for a time; `souk errors show ISSUE` has the newest event that is kept.",
    "PROJECT_UNKNOWN": "`souk monitor projects list` shows those there are.",
    "PROJECT_EXISTS": "Choose another name, or use it as it is: `souk monitor keys list {project}`.",
    "KEY_UNKNOWN": "`souk monitor keys list PROJECT` shows those there are.",
    "ISSUE_CHANGED": "Look at it again: it is at revision {revision}.",
    "WORKER_TIMED_OUT": "The photo takes too long to process; scale it down.",
    "WORKER_OUT_OF_MEMORY": "The photo takes too much memory to process; scale it down.",
    "CHECKSUM_MISMATCH": "Bytes were changed on the way; try again.",
}


def hint_for(error: Exception, address: str = "") -> str:
    """What to do next about an error: what it says itself, in `hint`, or what is known of it here; empty where nothing is."""
    if isinstance(error, SoukError):
        if error.reason in _HINTS:
            return _HINTS[error.reason].format_map(_Known(error.metadata))
        if isinstance(error, UnauthenticatedError):
            return "Give a token with --token or SOUK_TOKEN; `souk token create` makes one."
        if isinstance(error, UnavailableError) and not error.reason:
            return f"Does the service run at {address}? `souk up` starts it; --address names another."
        if not error.error_id:
            return ""
        shows = f"`souk errors show {error.error_id}`, if the service exports to monitor (SOUK_…_MONITOR_ENDPOINT)"
        return f"The server's log has more under error_id {error.error_id}; so has {shows}."
    if isinstance(error, FileNotFoundError):
        return "Look at the name again."
    return str(getattr(error, "hint", None) or "")


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"({key} not said)"


def show_error(error: Exception, *, about: str = "", address: str = "") -> None:
    """Say on stderr what went wrong and what to do next."""
    prefix = f"[bold]{escape(about)}[/]: " if about else ""
    text = text_of(error)
    err.print(f"[red]✗[/] {prefix}{escape(text.removeprefix(f'{about}: ') if about else text)}")
    if hint := hint_for(error, address):
        err.print(f"  [dim]→ {escape(hint)}[/]")


def text_of(error: Exception) -> str:
    """An error in one line, with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def as_json(error: Exception, address: str = "") -> dict[str, Any]:
    """An error for --json."""
    if not isinstance(error, SoukError):
        return {"code": "CLIENT", "reason": type(error).__name__, "message": text_of(error), "hint": hint_for(error, address)}
    return {
        "code": error.code.name,
        "reason": error.reason,
        "domain": error.domain,
        "message": error.message,
        "metadata": dict(error.metadata),
        "field_violations": {each.field: each.description for each in error.field_violations},
        "hint": hint_for(error, address),
    }


def plain(message: Message) -> dict[str, Any]:
    """A message for --json: the names of the proto, defaults left out."""
    fields: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return fields


def print_json(data: Any) -> None:
    """One JSON document, or one line of a stream of them."""
    text = json.dumps(data, indent=2 if out.is_terminal else None, ensure_ascii=False)
    sys.stdout.write(visible_json(text) + "\n")
    sys.stdout.flush()


def size(number: float) -> str:
    """Bytes for people, in powers of 1000 as file managers and networks count."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


def seconds(number: float) -> str:
    """A span for people."""
    return f"{number * 1000:.0f} ms" if number < 1 else f"{number:.1f} s"
