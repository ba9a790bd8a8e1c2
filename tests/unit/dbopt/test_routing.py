"""Where a read goes on one server, and the places that a server tells."""

import pytest
from souk_dbopt.consistency import Position
from souk_dbopt.exceptions import ServerUnavailableError
from souk_dbopt.routing import Role, Router, Server


def primary() -> Server:
    return Server("one:5432/shop", {}, Role.PRIMARY, "", system=7, timeline=1, started=1.0)


def test_the_only_server_is_read_while_it_is_a_primary_and_well():
    server = primary()
    router = Router([server], max_lag=1.0, catch_up=0.0)
    assert router.reader_of_anything() is server
    with pytest.raises(ServerUnavailableError):
        router.reader_of_anything(without=[server])
    server.problem = "does not answer"
    with pytest.raises(ServerUnavailableError, match="does not answer"):
        router.reader_of_anything()
    server.problem, server.role = "", Role.UNKNOWN
    with pytest.raises(ServerUnavailableError):
        router.reader_of_anything()


def test_an_only_server_that_is_a_replica_is_read_within_its_lag():
    server = primary()
    server.role, server.lag = Role.REPLICA, 0.5
    router = Router([server], max_lag=1.0, catch_up=0.0)
    assert router.reader_of_anything() is server
    server.lag = 2.0
    with pytest.raises(ServerUnavailableError):
        router.reader_of_anything()


def test_a_place_is_of_the_cluster_and_the_timeline_that_are_now():
    server = primary()
    assert server.place(5) == server.place(5) == Position(7, 1, 5)
    server.timeline = 2
    assert server.place(5) == Position(7, 2, 5)
    server.system = 8
    assert str(server.place(5)) == "8-2-5"
    assert server.place(6).lsn == 6


def test_a_server_forgets_what_it_had_seen_when_it_was_started_anew():
    server = primary()
    assert server.saw(9, 1.0)
    assert server.saw(4, 1.0)
    assert server.lsn == 9
    assert not server.saw(4, 2.0)
    assert (server.lsn, server.started) == (4, 2.0)
