"""How a command reaches a database as its owner."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeAlias

import asyncpg
import typer
from souk_common.migrations import MigrationError
from souk_dbopt.seeding.exceptions import SeedingError

from souk_cli.display import as_json, err, print_json, show_error

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
CONNECT_TIMEOUT = 10.0
Dsn: TypeAlias = Annotated[
    str,
    typer.Option(
        "--dsn",
        envvar="SOUK_DB_OWNER_DSN",
        show_envvar=True,
        metavar="DSN",
        help="The database and the role that owns it, as postgresql://owner@host:5432/shop. `souk up` prints that of its own.",
    ),
]


class DatabaseError(Exception):
    """The database cannot be used as it is asked to; the text says why, and what to do."""


def with_owner(
    dsn: str,
    work: Callable[[Connection], Coroutine[Any, Any, None]],
    *,
    json: bool = False,
    interrupted: str = "What is committed stays.",
) -> None:
    """Run `work` with a connection of the owner. An error is shown, and ends the command with 1; Ctrl-C with 130.

    interrupted: what is said then.
    """

    async def run() -> None:
        connection = await connect(dsn)
        try:
            await work(connection)
        finally:
            await asyncio.shield(_close(connection))

    try:
        asyncio.run(run())
    except (DatabaseError, MigrationError, SeedingError, asyncpg.PostgresError, OSError) as error:
        if json:
            print_json({"error": as_json(error)})
        else:
            show_error(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        err.print(f"[yellow]Interrupted.[/] {interrupted}")
        raise typer.Exit(130) from None


async def connect(dsn: str) -> Connection:
    """A connection. DatabaseError, whose text never has the password."""
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT, server_settings={"application_name": "souk-cli"})
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise DatabaseError(f"the server does not let this role in: {error}. Look at the user and the password of --dsn") from None
    except asyncpg.InvalidCatalogNameError as error:
        raise DatabaseError(f"{error}. Make it first: CREATE DATABASE") from None
    except (asyncpg.ClientConfigurationError, ValueError) as error:
        raise DatabaseError(f"--dsn cannot be read, it is like postgresql://owner@host:5432/shop: {error}") from None
    except TimeoutError:
        raise DatabaseError(f"no answer from the server within {CONNECT_TIMEOUT:g} seconds") from None
    except OSError as error:
        raise DatabaseError(f"there is no server to be reached: {error}. `souk up dbopt` starts one, and prints its DSN") from None


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=2)
    except (TimeoutError, asyncpg.PostgresError, OSError):
        connection.terminate()
