"""What the demo takes for the right issues."""

import pytest
from souk.monitor.v1 import error_pb2 as pb
from souk_cli.demo_checks import Checks
from souk_cli.demo_errors import EXPECTED, _check_issues


def issues() -> list[pb.Issue]:
    return [pb.Issue(type=each.type, services=[each.service], events=each.events) for each in EXPECTED]


def passes(found: list[pb.Issue]) -> bool:
    checks = Checks()
    _check_issues(checks, found)
    return checks.passed


def test_each_fault_once_with_its_count_passes() -> None:
    assert passes(issues())


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_a_fault_that_is_missing_doubled_or_miscounted_fails(number: int) -> None:
    found = issues()
    assert not passes(found[:number] + found[number + 1 :])
    assert not passes([*found, found[number]])
    found[number].events += 1
    assert not passes(found)


def test_an_issue_that_nobody_expected_fails() -> None:
    assert not passes([*issues(), pb.Issue(type="KeyError", services=["demo-shop"], events=1)])
