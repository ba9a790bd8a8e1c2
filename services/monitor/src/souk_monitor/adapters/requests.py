"""Request ids of changes, in a table beside what they change: a change and its id are committed together."""

from souk_common.postgres import Pool, Session

from souk_monitor.exceptions import RequestIdReusedError
from souk_monitor.tracker import Request

_CLAIM = """
INSERT INTO monitor.requests (principal, request_id, fingerprint, result) VALUES ($1, $2, $3, '')
ON CONFLICT DO NOTHING RETURNING true
"""
_FIND = "SELECT fingerprint, result FROM monitor.requests WHERE principal = $1 AND request_id = $2"
_KEEP = "UPDATE monitor.requests SET result = $3 WHERE principal = $1 AND request_id = $2"
_FORGET = "DELETE FROM monitor.requests WHERE created_at < now() - make_interval(secs => $1)"


async def first_result(session: Session, request: Request) -> str | None:
    """What the first request with this id came to, after its transaction has ended; None where this is the first.

    RequestIdReusedError.
    """
    if not request.request_id or await session.fetch(
        "requests.claim", _CLAIM, (request.principal, request.request_id, request.fingerprint)
    ):
        return None
    rows = await session.fetch("requests.find", _FIND, (request.principal, request.request_id))
    if not rows:  # it was forgotten between the two
        return None
    if rows[0]["fingerprint"] != request.fingerprint:
        raise RequestIdReusedError(request.request_id)
    result: str = rows[0]["result"]
    return result


async def keep_result(session: Session, request: Request, result: str) -> None:
    """Keep what a first request came to."""
    if request.request_id:
        await session.fetch("requests.keep", _KEEP, (request.principal, request.request_id, result))


async def forget(pool: Pool, older: float) -> None:
    """Remove those that are older than so many seconds."""
    await pool.fetch("requests.forget", _FORGET, (older,))
