"""`python -m souk_monitor` and `souk-monitor`: serve until SIGTERM."""

import sys

from souk_common.server import run
from souk_common.settings import SettingsInvalidError, from_environment

from souk_monitor.app import open_app
from souk_monitor.settings import MonitorSettings


def main() -> int:
    """The exit status: 0 after a clean stop, 1 where the service could not start, 2 where a setting is wrong."""
    try:
        settings = from_environment(MonitorSettings)
    except SettingsInvalidError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return run(settings, "monitor", open_app)


if __name__ == "__main__":
    sys.exit(main())
