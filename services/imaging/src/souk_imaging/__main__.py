"""`python -m souk_imaging` and `souk-imaging`: serve until SIGTERM."""

import sys

from pydantic import ValidationError
from souk_common.server import run

from souk_imaging.app import open_app
from souk_imaging.settings import ImagingSettings


def main() -> int:
    """The exit status: 0 after a clean stop, 1 where the service could not start, 2 where a setting is wrong."""
    try:
        settings = ImagingSettings()
    except ValidationError as error:
        for problem in error.errors():
            where = "_".join(map(str, problem["loc"])).upper()
            sys.stderr.write(f"SOUK_IMAGING_{where}: {problem['msg']}\n" if where else f"{problem['msg']}\n")
        return 2
    return run(settings, "imaging", open_app)


if __name__ == "__main__":
    sys.exit(main())
