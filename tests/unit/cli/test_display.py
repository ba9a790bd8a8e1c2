"""What the command line says of sizes and of errors."""

from importlib import import_module
from pathlib import Path

import grpc
import pytest
from souk.client import InternalError, InvalidArgumentError, PermissionDeniedError, UnavailableError
from souk_cli.display import _HINTS, as_json, hint_for, seconds, show_error, size
from souk_cli.supervisor import exit_text, is_problem, readable
from souk_common.errors import COMMON_DOMAIN

PROTOS = Path(__file__).parents[3] / "protos"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (123_456, "123 kB"),
        (4_000_000, "4.0 MB"),
        (7e9, "7.0 GB"),
    ],
)
def test_sizes_have_three_digits_and_a_unit(number, text):
    assert size(number) == text


def test_spans_are_milliseconds_up_to_a_second():
    assert [seconds(0.0123), seconds(0.5), seconds(1.25)] == ["12 ms", "500 ms", "1.2 s"]


def test_every_hint_is_of_a_reason_that_the_protos_have():
    contracts = [path.relative_to(PROTOS).with_suffix("").as_posix().replace("/", ".") + "_pb2" for path in PROTOS.rglob("*.proto")]
    enums = [contract.enum_types_by_name.get("ErrorReason") for contract in (import_module(each).DESCRIPTOR for each in contracts)]
    known = {name.removeprefix("ERROR_REASON_") for enum in enums if enum is not None for name in enum.values_by_name}
    assert set(_HINTS) <= known


def test_a_hint_says_what_the_metadata_knows():
    error = InvalidArgumentError("HEIC", reason="FORMAT_NOT_SUPPORTED", metadata={"supported": "JPEG, PNG"})
    assert hint_for(error) == "Save it in one of these formats: JPEG, PNG."
    denied = PermissionDeniedError("no", reason="SCOPE_MISSING", metadata={"scope": "imaging.write"})
    assert "--scope imaging.write" in hint_for(denied)


def test_a_hint_survives_metadata_that_an_older_server_does_not_send():
    assert "not said" in hint_for(InvalidArgumentError("x", reason="TOO_MANY_BYTES"))


def test_a_server_that_does_not_answer_makes_one_ask_whether_it_runs():
    assert "souk up" in hint_for(UnavailableError("refused", code=grpc.StatusCode.UNAVAILABLE), "127.0.0.1:1")


def test_a_fault_of_the_server_names_the_id_that_its_log_has():
    hint = hint_for(InternalError("x", reason="INTERNAL", metadata={"error_id": "c0ffee"}))
    for text in ("error_id c0ffee", "`souk errors show c0ffee`", "if the service exports to monitor (SOUK_…_MONITOR_ENDPOINT)"):
        assert text in hint


def test_an_error_in_json_has_code_reason_and_hint():
    error = UnavailableError("full", code=grpc.StatusCode.UNAVAILABLE, reason="OVERLOADED", domain=COMMON_DOMAIN)
    told = as_json(error)
    assert (told["code"], told["reason"], told["domain"], told["message"]) == (
        "UNAVAILABLE",
        "OVERLOADED",
        "souk.common.v1",
        "full",
    )
    assert told["hint"]
    assert as_json(FileNotFoundError(2, "No such file or directory"))["reason"] == "FileNotFoundError"
    assert as_json(FileNotFoundError(2, "No such file or directory", "ca.pem"))["message"] == "ca.pem: No such file or directory"


def test_an_error_names_its_file_once(capsys: pytest.CaptureFixture[str]):
    error = FileNotFoundError(2, "No such file or directory", "shoe.jpg")
    show_error(error, about="shoe.jpg")
    show_error(error, about="product 42")
    assert [line for line in capsys.readouterr().err.splitlines() if "✗" in line] == [
        "✗ shoe.jpg: No such file or directory",
        "✗ product 42: shoe.jpg: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b'{"level": "error", "event": "dependency"}', True),
        (b'{"level": "warning", "event": "dependency"}', True),
        (b'{"level": "warning", "event": "rpc", "slow": true}', False),
        (b'{"level": "info", "event": "listening"}', False),
        (b"Traceback (most recent call last):", True),
        (b"", False),
        (b"[1]", True),
    ],
)
def test_only_problems_are_shown_while_services_run(line, shown):
    assert is_problem(line) == shown


def test_a_log_line_is_made_readable():
    line = (
        '{"level": "error", "event": "it fell", "detail": "over", "time": "now", "service": "imaging", "span_id": "1", "gap": ""}'
    )
    assert readable(line) == "error it fell  detail=over"
    assert readable("Traceback") == "Traceback"


def test_an_exit_status_is_told_in_words():
    assert [exit_text(1), exit_text(-9)] == ["exit status 1", "killed by SIGKILL"]
