"""What pages of the dashboard and `souk errors show` call those who did something."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from souk.monitor.v1 import error_pb2 as pb
from souk_cli import errors_show
from souk_monitor.issues import Activity
from souk_monitor.web.dashboard import words

NOW = datetime(2031, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "actor", "text", "on_page", "in_terminal"),
    [
        ("resolved", "ana", "", "ana", "ana"),
        ("resolved", "", "", "somebody", "somebody"),
        ("commented", "", "on it", "somebody", "somebody"),
        ("reopened", "", "", "somebody", "somebody"),
        ("reopened", "", "its time is over", "it", "monitor"),
        ("regressed", "", "shop@2", "it", "monitor"),
        ("escalated", "", "10 events", "it", "monitor"),
    ],
)
def test_who_did_something_is_said_and_what_monitor_did_is_nobodys(
    kind: str, actor: str, text: str, on_page: str, in_terminal: str
) -> None:
    assert words.who(Activity(NOW, actor, kind, text)) == on_page
    told = pb.IssueActivity(time=Timestamp(seconds=int(NOW.timestamp())), actor=actor, kind=kind, text=text)
    found = pb.GetIssueResponse(issue=pb.Issue(title="KeyError", short_id="SHOP-1"), activity=[told])
    assert f"{kind} by {in_terminal}" in "\n".join(errors_show.lines(found, all_frames=False))
