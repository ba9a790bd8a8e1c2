"""`python -m souk_cache` and `souk-cache`: serve until SIGTERM."""

import sys

from souk_common.server import run
from souk_common.settings import SettingsInvalidError, from_environment

from souk_cache.app import open_app
from souk_cache.settings import CacheSettings


def main() -> int:
    """The exit status: 0 after a clean stop, 1 where the service could not start, 2 where a setting is wrong."""
    try:
        settings = from_environment(CacheSettings)
    except SettingsInvalidError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return run(settings, "cache", open_app)


if __name__ == "__main__":
    sys.exit(main())
