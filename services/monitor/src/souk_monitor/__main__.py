"""`python -m souk_monitor` and `souk-monitor`: serve until SIGTERM."""

import gc
import sys

from souk_common.server import run
from souk_common.settings import SettingsInvalidError, from_environment

from souk_monitor.app import open_app
from souk_monitor.settings import MonitorSettings

COLLECTED_AFTER = (20_000, 20, 20)
"""New objects, and collections of the younger, before objects are looked through for cycles. An event is some hundred objects, has
no cycle, and is gone in milliseconds: to look as often as Python does by itself takes a fifth of all time."""


def main() -> int:
    """The exit status: 0 after a clean stop, 1 where the service could not start, 2 where a setting is wrong."""
    try:
        settings = from_environment(MonitorSettings)
    except SettingsInvalidError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    gc.set_threshold(*COLLECTED_AFTER)
    return run(settings, "monitor", open_app)


if __name__ == "__main__":
    sys.exit(main())
