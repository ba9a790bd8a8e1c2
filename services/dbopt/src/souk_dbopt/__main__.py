"""`python -m souk_dbopt` and `souk-dbopt`: serve until SIGTERM."""

import sys

from souk_common.server import run
from souk_common.settings import SettingsInvalidError, from_environment

from souk_dbopt.app import open_app
from souk_dbopt.settings import DboptSettings


def main() -> int:
    """The exit status: 0 after a clean stop, 1 where the service could not start, 2 where a setting is wrong."""
    try:
        settings = from_environment(DboptSettings)
    except SettingsInvalidError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return run(settings, "dbopt", open_app)


if __name__ == "__main__":
    sys.exit(main())
