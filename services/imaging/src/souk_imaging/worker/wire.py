"""Jobs and events as JSON lines between the service and a worker."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from souk_imaging import exceptions
from souk_imaging.exceptions import ImagingError
from souk_imaging.images import Format
from souk_imaging.photos import Encoded, Event, Finished, Job, Limits, Priority, Probed
from souk_imaging.profiles import Encoding, Profile

Message = dict[str, Any]


def dump(message: Message) -> bytes:
    """One line."""
    return orjson.dumps(message, default=str) + b"\n"


def dump_job(job: Job) -> bytes:
    """The line of a job."""
    return dump(asdict(job))


def load_job(line: bytes) -> Job:
    """The job of a line."""
    plain = orjson.loads(line)
    profile = plain["profile"]
    for kind in ("opaque", "transparent", "animated"):
        profile[kind] = tuple(Encoding(Format(e["format"]), e["quality"], e["effort"]) for e in profile[kind])
    profile["sides"] = tuple(profile["sides"])
    return Job(
        image_id=plain["image_id"],
        source=Path(plain["source"]),
        output=Path(plain["output"]),
        profile=Profile(**profile),
        limits=Limits(**plain["limits"]),
        priority=Priority(plain["priority"]),
    )


def probed(event: Probed) -> Message:
    """The message of a probe."""
    return {"event": "probed", **asdict(event)}


def encoded(event: Encoded) -> Message:
    """The message of a variant."""
    return {"event": "encoded", **asdict(event)}


def finished(event: Finished) -> Message:
    """The message of the end."""
    return {"event": "finished", **asdict(event)}


def failed(error: ImagingError) -> Message:
    """The message of a photo that cannot be taken."""
    return {"event": "failed", "error": type(error).__name__, "message": error.message, "metadata": dict(error.metadata)}


def load_event(line: bytes, *, queue_seconds: float) -> Event:
    """The event of a line. Raises what a `failed` message says; ValueError where the line is no event."""
    try:
        plain = orjson.loads(line)
        kind = plain.pop("event")
        if kind == "probed":
            plain["planned"] = tuple((Format(form), width, height) for form, width, height in plain["planned"])
            return Probed(**plain)
        if kind == "encoded":
            path = plain.pop("path")
            return Encoded(**{**plain, "format": Format(plain["format"])}, path=None if path is None else Path(path))
        if kind == "finished":
            return Finished(**{**plain, "queue_seconds": queue_seconds})
        if kind == "failed":
            error = getattr(exceptions, plain["error"])
            raise error(plain["message"], **plain["metadata"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not an event of a worker") from error
    raise ValueError("not an event of a worker")
