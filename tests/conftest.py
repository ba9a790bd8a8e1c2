"""For all tests: where CI=true, a skipped test has failed; Ctrl-C reaches what tests start; PostgreSQL reaches their folders, which
are in memory where that has room; and no example of hypothesis is timed."""

import os
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import hypothesis
import psutil
import pytest
import souk_common as souk_common  # before grpc, whose handlers of fork() it switches off: servers of tests are started by one

signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell ignores it for what runs in the background, and so would our children

MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3
"""Bytes that must be free there, and of memory, for the files of tests: a database in memory is made in a tenth of the time."""


def _has_room(folder: Path) -> bool:
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    found = os.statvfs(folder)
    runs_programs = not found.f_flag & os.ST_NOEXEC
    return runs_programs and min(found.f_bavail * found.f_frsize, psutil.virtual_memory().available) >= ROOM


if "TMPDIR" not in os.environ and _has_room(MEMORY):
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # it may have been asked for before

hypothesis.settings.register_profile("souk", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("souk")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with long tests go first, so that no process ends alone with one: the nearer to a user, the longer."""
    kinds = ("e2e", "integration", "contract", "unit")
    root = config.rootpath / "tests"
    items.sort(key=lambda item: kinds.index(item.path.relative_to(root).parts[0]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true lets no test be skipped: {report.longrepr}"
    return report


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """Where root tests, PostgreSQL runs as somebody else, who must be able to enter what it keeps its data in."""
    if os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents[:3]):
            if folder.parent != folder and folder.stat().st_uid == 0 and folder.is_relative_to(tempfile.gettempdir()):
                folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path
