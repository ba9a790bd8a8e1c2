"""Sessions of the dashboard: signed, and over in the end."""

from pathlib import Path

import pytest
import yaml
from souk_common.auth import Authenticator, new_token
from souk_common.errors import ServiceError
from souk_monitor.web.dashboard.sessions import Sessions

TOKEN, HASH = new_token()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def authenticator(tmp_path: Path) -> Authenticator:
    path = tmp_path / "auth.yaml"
    path.write_text(yaml.safe_dump({"principals": [{"name": "ada", "scopes": ["monitor.read"], "token_sha256": [HASH]}]}))
    return Authenticator(path)


def sessions(authenticator: Authenticator | None, clock: Clock, key: bytes = b"k" * 32) -> Sessions:
    return Sessions(key, authenticator, lifetime=3600, reload_interval=5, now=clock)


def test_a_session_is_known_until_its_time_is_over(authenticator: Authenticator) -> None:
    clock = Clock()
    known = sessions(authenticator, clock)
    visitor = known.log_in(TOKEN)
    assert (visitor.name, visitor.may("monitor.read"), visitor.may("monitor.write")) == ("ada", True, False)
    clock.now += 3599
    assert known.find(visitor.cookie) == visitor
    clock.now += 1
    assert known.find(visitor.cookie) is None


def test_a_session_of_another_key_is_none(authenticator: Authenticator) -> None:
    clock = Clock()
    visitor = sessions(authenticator, clock).log_in(TOKEN)
    assert sessions(authenticator, clock, b"other" * 8).find(visitor.cookie) is None


def test_a_session_from_before_auth_was_on_is_none(authenticator: Authenticator) -> None:
    clock = Clock()
    visitor = sessions(None, clock).anonymous()
    assert sessions(None, clock).find(visitor.cookie) == visitor
    assert sessions(authenticator, clock).find(visitor.cookie) is None
    assert sessions(None, clock).find(sessions(authenticator, clock).log_in(TOKEN).cookie) is None


def test_each_session_has_forms_of_its_own(authenticator: Authenticator) -> None:
    known = sessions(authenticator, Clock())
    assert known.log_in(TOKEN).csrf != known.log_in(TOKEN).csrf


def test_a_token_that_is_nobodys_opens_none(authenticator: Authenticator) -> None:
    with pytest.raises(ServiceError):
        sessions(authenticator, Clock()).log_in("wrong")
