"""Request ids of writes, in a table of the database that they write to: a write and its id are committed together."""

from souk_common.postgres import LockTimeoutError, Pool, Session, StatementTimeoutError

from souk_dbopt.exceptions import RequestIdReusedError, RequestInProgressError
from souk_dbopt.executing import WriteRequest, Written

_CLAIM = """
INSERT INTO souk.requests (principal, request_id, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true
"""
_FIND = "SELECT fingerprint, response, row_count FROM souk.requests WHERE principal = $1 AND request_id = $2"
_KEEP = "UPDATE souk.requests SET response = $3, row_count = $4 WHERE principal = $1 AND request_id = $2"
_FORGET = """
DELETE FROM souk.requests WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM souk.requests WHERE created_at < now() - make_interval(secs => $1)
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING true
"""
FORGOTTEN_AT_ONCE = 1000


class RequestTable:
    """souk.requests."""

    async def begin(self, session: Session, request: WriteRequest) -> Written | None:
        """Claim a request id in the transaction of a session, after a transaction that has claimed it has ended."""
        try:
            claimed = await session.fetch("requests.claim", _CLAIM, (request.principal, request.request_id, request.fingerprint))
        except (LockTimeoutError, StatementTimeoutError) as error:  # it takes that long only where it waits for another
            raise RequestInProgressError(request.request_id) from error
        if claimed:
            return None
        found = await session.fetch("requests.find", _FIND, (request.principal, request.request_id))
        if not found or found[0]["response"] is None:  # it was forgotten between the two
            raise RequestInProgressError(request.request_id)
        if found[0]["fingerprint"] != request.fingerprint:
            raise RequestIdReusedError(request.request_id)
        return Written(found[0]["response"], found[0]["row_count"])

    async def finish(self, session: Session, request: WriteRequest, written: Written) -> None:
        """Keep what was written, for repeats."""
        await session.fetch("requests.keep", _KEEP, (request.principal, request.request_id, written.text, written.count))

    async def forget(self, pool: Pool, *, older: float) -> int:
        """Remove some of those that are older than so many seconds; how many. Several nodes may do so at once."""
        return len(await pool.fetch("requests.forget", _FORGET, (older, FORGOTTEN_AT_ONCE)))
