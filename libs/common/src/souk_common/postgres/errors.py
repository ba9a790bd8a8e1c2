"""Everything that can go wrong with PostgreSQL, and the one table that makes it of the driver's errors.

PostgresError
├── UnavailableError                nothing answers, or the connection was lost
│   ├── TooManyConnectionsError
│   ├── PoolBusyError               the server is well, and all connections are in use
│   │   ├── PoolFullError           too many wait already
│   │   └── AcquireTimeoutError     no connection came free in time
│   └── PoolClosedError
├── QueryCanceledError              somebody canceled the statement
│   └── StatementTimeoutError
├── LockTimeoutError
├── ConflictError                   the transaction lost against another: do it again
│   ├── SerializationError
│   └── DeadlockError
├── ConstraintError                 `constraint` names it
│   ├── UniqueError, ForeignKeyError, CheckError, NotNullError, ExclusionError
├── InvalidDataError                a value that does not fit its type
├── ReadOnlyError                   a write in a read-only transaction, or on a replica
├── TransactionStateError           the transaction has failed before, or there is none
├── InvalidStatementError           syntax, types, names that mean nothing
│   ├── UndefinedError
│   └── PermissionDeniedError
├── LoginError                      password, role or database
├── ResourceError                   out of something
│   ├── OutOfMemoryError, DiskFullError
├── ProgramLimitError               more than the server can do at all
├── SchemaChangedError              what was known of the schema is out of date
├── RaisedError                     RAISE in a function, or a trigger's
├── MisuseError                     the driver was used as it must not be
└── InternalError                   the rest
"""

import asyncpg


class PostgresError(Exception):
    """The root of the tree.

    sqlstate is the server's code of five characters ("" where the server said nothing), `sent` says whether the statement may
    have reached the server, and `retry_delay`, in seconds, when to come again, where that is known.
    """

    def __init__(self, message: str, *, sqlstate: str = "", sent: bool = True, retry_delay: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate
        self.sent = sent
        self.retry_delay = retry_delay

    def is_safe_to_repeat(self, *, read: bool) -> bool:
        """Whether the statement surely did nothing that a repeat would do twice.

        A read always; a write only where it was never sent, or where the server took it back for a conflict. That a repeat is
        safe does not say that it helps: a name that is unknown stays so.
        """
        return read or not self.sent or isinstance(self, ConflictError)


class UnavailableError(PostgresError):
    """Nothing answers, or the connection was lost in mid-statement."""


class TooManyConnectionsError(UnavailableError):
    """The server takes no more connections."""


class PoolBusyError(UnavailableError):
    """All connections are in use; nothing was sent. `pool` is the name of the pool."""

    def __init__(self, message: str, *, pool: str, retry_delay: float) -> None:
        super().__init__(message, sent=False, retry_delay=retry_delay)
        self.pool = pool


class PoolFullError(PoolBusyError):
    """As many as may wait for a connection do already; nothing was sent."""


class AcquireTimeoutError(PoolBusyError):
    """No connection came free in time; nothing was sent."""


class PoolClosedError(UnavailableError):
    """The pool is closed, or not open yet."""


class QueryCanceledError(PostgresError):
    """The statement was canceled, by an administrator for example."""


class StatementTimeoutError(QueryCanceledError):
    """The statement took longer than it may."""


class LockTimeoutError(PostgresError):
    """A lock was not to be had, in time or at once."""


class ConflictError(PostgresError):
    """The transaction lost against another and was rolled back. It is safe to do again."""


class SerializationError(ConflictError):
    """Concurrent transactions have no order in which they could have run one by one."""


class DeadlockError(ConflictError):
    """Transactions waited for one another."""


class ConstraintError(PostgresError):
    """A constraint forbids it. `constraint`, `table` and `column` are their names, or "" where the server names none."""

    constraint = ""
    table = ""
    column = ""


class UniqueError(ConstraintError):
    """The key exists."""


class ForeignKeyError(ConstraintError):
    """The row that is referred to does not exist, or one that is still referred to would go."""


class CheckError(ConstraintError):
    """A CHECK says no."""


class NotNullError(ConstraintError):
    """A value is missing; `column` says which."""


class ExclusionError(ConstraintError):
    """An EXCLUDE constraint says no."""


class InvalidDataError(PostgresError):
    """A value does not fit: its type, its range, its length."""


class ReadOnlyError(PostgresError):
    """A write where only reads are allowed."""


class TransactionStateError(PostgresError):
    """The transaction has failed before or is in no state for this."""


class InvalidStatementError(PostgresError):
    """The statement is wrong."""


class UndefinedError(InvalidStatementError):
    """A table, column, function, type, schema or parameter that does not exist."""


class PermissionDeniedError(InvalidStatementError):
    """The role may not do this."""


class LoginError(PostgresError):
    """The role, its password or the database is not accepted."""


class ResourceError(PostgresError):
    """The server is out of something, or a limit of it is reached."""


class OutOfMemoryError(ResourceError):
    """The server is out of memory."""


class DiskFullError(ResourceError):
    """The server's disk is full, or its limit of temporary files is reached."""


class ProgramLimitError(PostgresError):
    """The statement is beyond what the server can do at all, as a value of more than 1 GB; it stays so."""


class SchemaChangedError(PostgresError):
    """What this connection knew of tables and types is out of date; it has forgotten it."""


class RaisedError(PostgresError):
    """RAISE in a function or a trigger."""


class MisuseError(PostgresError):
    """The driver was not used as it must be: the number of arguments is wrong, or a connection does two things at once."""


class InternalError(PostgresError):
    """A fault of the server, or of the driver, that nobody foresaw."""


ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Its own."""
DRIVER_ERRORS = (*ASYNCPG_ERRORS, TimeoutError, OSError)
"""All that asyncpg raises, but for the cancellation of its caller's task."""

BY_SQLSTATE: dict[str, type[PostgresError]] = {
    "08": UnavailableError,
    "0A": InvalidStatementError,
    "21": InvalidDataError,
    "22": InvalidDataError,
    "23": ConstraintError,
    "23502": NotNullError,
    "23503": ForeignKeyError,
    "23505": UniqueError,
    "23514": CheckError,
    "23P01": ExclusionError,
    "25": TransactionStateError,
    "25006": ReadOnlyError,
    "25P03": UnavailableError,  # idle_in_transaction_session_timeout: the server has closed the connection
    "25P04": StatementTimeoutError,  # transaction_timeout: likewise
    "26": SchemaChangedError,  # the prepared statement is gone
    "28": LoginError,
    "2D": TransactionStateError,
    "3B": TransactionStateError,
    "3D": LoginError,
    "3F": UndefinedError,
    "40": ConflictError,
    "40001": SerializationError,
    "40003": UnavailableError,  # whether it committed is not known
    "40P01": DeadlockError,
    "42": InvalidStatementError,
    "42501": PermissionDeniedError,
    "42703": UndefinedError,
    "42704": UndefinedError,
    "42883": UndefinedError,
    "42P01": UndefinedError,
    "42P02": UndefinedError,
    "44": ConstraintError,
    "53": ResourceError,
    "53100": DiskFullError,
    "53200": OutOfMemoryError,
    "53300": TooManyConnectionsError,
    "54": ProgramLimitError,
    "55": TransactionStateError,
    "55P03": LockTimeoutError,
    "57": UnavailableError,  # the server stops, starts or has crashed
    "57014": QueryCanceledError,
    "P0": RaisedError,
    "P0004": InternalError,  # ASSERT
}
"""SQLSTATE, or its class of two characters, -> error. https://www.postgresql.org/docs/current/errcodes-appendix.html"""


def translate(error: Exception, *, sent: bool = True, closed: bool = False) -> PostgresError:
    """What an error of the driver is here. sent: the statement may have reached the server. closed: the connection is."""
    if isinstance(error, PostgresError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        return _from_server(error, sent)
    if isinstance(error, asyncpg.OutdatedSchemaCacheError):
        return SchemaChangedError(str(error), sent=sent)
    if isinstance(error, asyncpg.InterfaceError):  # it raises these before it sends anything
        return UnavailableError(str(error), sent=False) if closed else MisuseError(str(error), sent=False)
    if isinstance(error, TimeoutError):
        return StatementTimeoutError("the statement took longer than its caller waits", sent=sent)
    if isinstance(error, OSError):
        return UnavailableError(str(error), sent=sent)
    if isinstance(error, asyncpg.InternalClientError) and "cannot switch to state" in str(error):
        return UnavailableError("the server is ending the connection", sent=False)  # it has said so, and not hung up yet
    return InternalError(str(error), sent=sent)


def translate_connecting(error: Exception) -> PostgresError:
    """What an error of the driver is where it came while connecting: the server's refusal, or nothing that answers."""
    if isinstance(error, TimeoutError):
        return UnavailableError("PostgreSQL does not answer", sent=False)
    return translate(error, sent=False, closed=True)


def _from_server(error: asyncpg.PostgresError, sent: bool) -> PostgresError:
    sqlstate = error.sqlstate or ""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return SchemaChangedError(error.args[0], sqlstate=sqlstate, sent=sent)
    kind = BY_SQLSTATE.get(sqlstate) or BY_SQLSTATE.get(sqlstate[:2], InternalError)
    message = error.args[0]
    if kind is QueryCanceledError and "statement timeout" in message:  # one code for both; a translated message stays the parent
        kind = StatementTimeoutError
    told = kind(message, sqlstate=sqlstate, sent=sent)
    if isinstance(told, ConstraintError):
        told.constraint = getattr(error, "constraint_name", None) or ""
        told.table = getattr(error, "table_name", None) or ""
        told.column = getattr(error, "column_name", None) or ""
    return told
