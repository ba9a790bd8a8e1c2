"""Every error of the core has its words for a caller, and they are the contract's."""

import inspect

import pytest
from souk.common.v1 import errors_pb2
from souk.imaging.v1 import imaging_pb2
from souk_imaging import exceptions
from souk_imaging.errors import DOMAIN, ERRORS, describe, recall

LEAVES = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, exceptions.ImagingError) and not kind.__subclasses__()
]


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_exception_has_a_reason_of_the_contract(kind: type[exceptions.ImagingError]) -> None:
    told = ERRORS[kind](kind("words", image_id="x"))
    enum = imaging_pb2.ErrorReason if told.domain == DOMAIN else errors_pb2.ErrorReason
    assert f"ERROR_REASON_{told.reason}" in set(enum.keys())
    assert (told.message, told.metadata["image_id"]) == ("words", "x")
    assert describe(kind("words")).reason == told.reason


def test_every_reason_of_the_contract_is_told_by_some_exception() -> None:
    told = {ERRORS[kind](kind("x")).reason for kind in LEAVES}
    promised = {name.removeprefix("ERROR_REASON_") for name in list(imaging_pb2.ErrorReason.keys())} - {"UNSPECIFIED"}
    assert promised <= told


def test_what_may_be_tried_again_says_when() -> None:
    for kind in LEAVES:
        told = ERRORS[kind](kind("x"))
        if told.code.name == "UNAVAILABLE":
            assert told.retry_delay is not None


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_what_an_image_keeps_of_an_error_makes_the_same_error_again(kind: type[exceptions.ImagingError]) -> None:
    kept = describe(kind("words", limit_bytes=5))
    again = recall(kept)
    assert (describe(again), again.message, again.metadata) == (kept, "words", {"limit_bytes": "5"})
