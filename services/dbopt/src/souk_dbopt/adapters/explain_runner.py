"""Runs queries to explain them: on a replica where one is fresh, else where the role that explains comes to."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from souk_dbopt.catalogue import Query
from souk_dbopt.explaining import Explained, Explainer
from souk_dbopt.routing import Role, Router

_OF_THE_ROLE = ("user", "password")


class ExplainRunner:
    """Under the guard of ExplainQuery: READ ONLY, with time limits, rolled back."""

    def __init__(self, router: Router, explainer: Explainer, replicas: Mapping[str, Explainer]) -> None:
        """replicas: by the address of the server."""
        self._router = router
        self._explainer = explainer
        self._replicas = replicas

    async def run(self, query: Query, arguments: Sequence[Any], timeout: float) -> Explained:
        """Its plan with what it did. QueryTimedOutError."""
        fresh = [
            server.address
            for server in self._router.servers
            if server.role is Role.REPLICA and server.available and server.lag is not None and server.lag <= self._router.max_lag
        ]
        explainer = self._replicas.get(min(fresh, default=""), self._explainer)
        return await explainer.query(query, arguments, analyze=True, generic=False, timeout=timeout)


def on_server(role_dsn: str, server_dsn: str) -> str:
    """The DSN of one role at another server: streaming replicas have the same roles, with the same passwords."""
    role, server = urlsplit(role_dsn), urlsplit(server_dsn)
    user, at, _ = role.netloc.rpartition("@")
    host = server.netloc.rpartition("@")[2]
    query = {name: value for name, value in parse_qsl(server.query) if name not in _OF_THE_ROLE}
    query |= {name: value for name, value in parse_qsl(role.query) if name in _OF_THE_ROLE}
    return urlunsplit(server._replace(netloc=f"{user}{at}{host}", query=urlencode(query)))
