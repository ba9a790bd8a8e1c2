"""For all tests: where CI=true, a skipped test has failed; Ctrl-C reaches what tests start."""

import os
import signal
from collections.abc import Generator

import pytest

signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell ignores it for what runs in the background, and so would our children


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true lets no test be skipped: {report.longrepr}"
    return report
