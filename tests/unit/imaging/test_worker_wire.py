"""What goes between the service and a worker comes out as it went in, and nothing else comes in."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from souk_imaging.adapters import profile_file
from souk_imaging.exceptions import TooManyPixelsError
from souk_imaging.images import Format
from souk_imaging.photos import Encoded, Finished, Job, Limits, Priority, Probed
from souk_imaging.worker import wire

PROBED = Probed("image/jpeg", 40, 30, 1, False, 999, "ab" * 32, ((Format.AVIF, 40, 30), (Format.JPEG, 40, 30)))
FINISHED = Finished(0.5, 0.1, 0.2, 1.5, 1, 99)


@pytest.mark.parametrize("profile", profile_file.load().names)
def test_a_job_comes_out_as_it_went_in(profile: str) -> None:
    chosen = profile_file.load().get(profile)
    job = Job("id", Path("/a/ü"), Path("/b c"), chosen, Limits(1, 2, 3, 4, 5), Priority.BACKGROUND)
    assert wire.load_job(wire.dump_job(job)) == job


def test_events_come_out_as_they_went_in(tmp_path: Path) -> None:
    (tmp_path / "40.avif").write_bytes(b"x")
    made = Encoded(Format.AVIF, 40, 30, tmp_path / "40.avif", 1, "cd" * 32, 0.25)
    messages: list[tuple[Any, wire.Message]] = [
        (PROBED, wire.probed(PROBED)),
        (made, wire.encoded(made)),
        (replace(made, path=None), wire.encoded(replace(made, path=None))),
        (FINISHED, wire.finished(replace(FINISHED, queue_seconds=0.0))),
    ]
    for event, message in messages:
        assert wire.load_event(wire.dump(message), tmp_path, queue_seconds=0.5) == event


def test_an_error_comes_out_with_what_it_says_of_itself(tmp_path: Path) -> None:
    error = TooManyPixelsError("too many", limit_pixels=5, pixels=9)
    told = wire.load_event(wire.dump(wire.failed(error)), tmp_path, queue_seconds=0)
    assert isinstance(told, TooManyPixelsError)
    assert (told.message, told.metadata) == ("too many", {"limit_pixels": "5", "pixels": "9"})


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", ".", "", "missing.jpg", "link.jpg", "folder", "folder/file.jpg"]
)
def test_a_worker_cannot_publish_a_file_that_is_not_its_job_s(tmp_path: Path, name: str) -> None:
    output = tmp_path / "output"
    (output / "folder").mkdir(parents=True)
    (output / "folder" / "file.jpg").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"x")
    os.symlink("/etc/passwd", output / "link.jpg")  # noqa: PTH211 - as a worker would
    message = {**wire.encoded(Encoded(Format.JPEG, 4, 3, None, 1, "", 0.1)), "path": name}
    with pytest.raises(wire.NonsenseError):
        wire.load_event(wire.dump(message), output, queue_seconds=0)


@pytest.mark.parametrize("error", ["SystemExit", "Mapping", "ImagingError", "WorkerError", "__doc__", "", 5, None])
def test_a_worker_can_only_blame_the_photo(tmp_path: Path, error: object) -> None:
    message = {"event": "failed", "error": error, "message": "x", "metadata": {}}
    with pytest.raises(wire.NonsenseError):
        wire.load_event(wire.dump(message), tmp_path, queue_seconds=0)


@pytest.mark.parametrize("change", [{"width": "40"}, {"width": None}, {"has_alpha": 1}, {"sha256": 5}, {"planned": 3}, {"more": 1}])
def test_an_event_with_values_of_other_types_is_nonsense(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(wire.NonsenseError):
        wire.load_event(wire.dump({**wire.probed(PROBED), **change}), tmp_path, queue_seconds=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["probed", "encoded", "finished", "failed", "else"])


@given(
    st.binary(max_size=60)
    | JSON.map(orjson.dumps)
    | st.builds(lambda kind, rest: orjson.dumps({"event": kind, "path": rest}), KINDS, JSON)
)
def test_no_line_does_more_than_be_nonsense(line: bytes) -> None:
    with pytest.raises(wire.NonsenseError):
        wire.load_event(line, Path("/nowhere"), queue_seconds=0)
