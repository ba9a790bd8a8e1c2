"""`python -m souk_cache` and `souk-cache`: serve until SIGTERM."""

import sys

from pydantic import ValidationError
from souk_common.server import run

from souk_cache.app import open_app
from souk_cache.settings import CacheSettings


def main() -> int:
    """The exit status: 0 after a clean stop, 1 where the service could not start, 2 where a setting is wrong."""
    try:
        settings = CacheSettings()
    except ValidationError as error:
        for problem in error.errors():
            where = "_".join(map(str, problem["loc"])).upper()
            sys.stderr.write(f"SOUK_CACHE_{where}: {problem['msg']}\n" if where else f"{problem['msg']}\n")
        return 2
    return run(settings, "cache", open_app)


if __name__ == "__main__":
    sys.exit(main())
