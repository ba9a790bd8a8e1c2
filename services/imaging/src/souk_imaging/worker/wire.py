"""Jobs and events as JSON lines between the service and a worker. What a worker says is checked: it has touched a stranger's
photo."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson

from souk_imaging import exceptions
from souk_imaging.exceptions import ImagingError, PhotoError
from souk_imaging.images import Format
from souk_imaging.photos import Encoded, Event, Finished, Job, Limits, Priority, Probed
from souk_imaging.profiles import Encoding, Profile

Message = dict[str, Any]
_PLAIN: dict[type, tuple[type, ...]] = {int: (int,), str: (str,), bool: (bool,), float: (int, float)}


class NonsenseError(Exception):
    """A line is no event of a worker."""


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
    return {"event": "encoded", **asdict(event), "path": None if event.path is None else event.path.name}


def finished(event: Finished) -> Message:
    """The message of the end."""
    return {"event": "finished", **asdict(event)}


def failed(error: PhotoError) -> Message:
    """The message of a photo that cannot be taken."""
    return {"event": "failed", "error": type(error).__name__, "message": error.message, "metadata": dict(error.metadata)}


def load_event(line: bytes, output: Path, *, queue_seconds: float) -> Event | ImagingError:
    """The event of a line, or the PhotoError of a `failed` message. `output` is the job's folder, where its files must be.

    Raises NonsenseError, and nothing else.
    """
    try:
        plain = orjson.loads(line)
        kind = plain.pop("event")
        if kind == "probed":
            plain["planned"] = tuple((Format(form), int(width), int(height)) for form, width, height in plain["planned"])
            return Probed(**_typed(Probed, plain))
        if kind == "encoded":
            path = None if plain["path"] is None else _inside(output, plain["path"])
            return Encoded(**_typed(Encoded, {**plain, "format": Format(plain["format"]), "path": path}))
        if kind == "finished":
            return Finished(**_typed(Finished, {**plain, "queue_seconds": queue_seconds}))
        if kind == "failed":
            error: type[PhotoError] = getattr(exceptions, plain["error"])
            if issubclass(error, PhotoError):
                return error(str(plain["message"]), **plain["metadata"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NonsenseError(str(error)) from error
    raise NonsenseError(f"an event {kind!r}")


def _typed(event: type[Event], plain: Message) -> Message:
    """`plain`, where its plain values have the types of the event's fields; TypeError otherwise."""
    for each in fields(event):
        for kind in _PLAIN:
            if each.type is kind and type(plain[each.name]) not in _PLAIN[kind]:
                raise TypeError(f"{each.name} is not of its type")
    return plain


def _inside(output: Path, name: str) -> Path:
    """The file of this name in the job's folder; ValueError where the name leads elsewhere, or to no file of its own."""
    path = output / name
    if path.parent != output or path.name in ("", "..") or path.is_symlink() or not path.is_file():
        raise ValueError("not a file of the job's")
    return path
