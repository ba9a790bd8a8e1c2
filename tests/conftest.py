"""For all tests: where CI=true, a skipped test has failed; Ctrl-C reaches what tests start; PostgreSQL reaches their folders;
and no example of hypothesis is timed."""

import os
import signal
from collections.abc import Generator
from pathlib import Path
from tempfile import gettempdir

import hypothesis
import pytest
import souk_common as souk_common  # before grpc, whose handlers of fork() it switches off: servers of tests are started by one

signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell ignores it for what runs in the background, and so would our children

hypothesis.settings.register_profile("souk", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("souk")


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
            if folder.parent != folder and folder.stat().st_uid == 0 and folder.is_relative_to(gettempdir()):
                folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path
