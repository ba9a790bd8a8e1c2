"""Writes docs/settings-<service>.md from the settings themselves; `--check` only says whether they are up to date."""

import sys
from pathlib import Path

from pydantic_core import PydanticUndefined
from souk_cache.settings import CacheSettings
from souk_common.settings import ServiceSettings
from souk_dbopt.settings import DboptSettings
from souk_imaging.settings import ImagingSettings
from souk_monitor.settings import MonitorSettings

SERVICES: dict[str, type[ServiceSettings]] = {
    "imaging": ImagingSettings,
    "cache": CacheSettings,
    "dbopt": DboptSettings,
    "monitor": MonitorSettings,
}


def page(service: str) -> str:
    """The whole page of a service."""
    fields = SERVICES[service].model_fields
    own = [name for name in fields if name not in ServiceSettings.model_fields]
    shared = [name for name in fields if name in ServiceSettings.model_fields]
    return (
        f"# Settings of {service}\n\nEnvironment variables. Made by `tools/settings_page.py` from the code.\n\n"
        f"## Of {service}\n\n{table(service, own)}\n## Of every service\n\n{table(service, shared)}"
    )


def table(service: str, names: list[str]) -> str:
    """The fields, one a row."""
    rows = ["| variable | default | meaning |", "|--|--|--|"]
    for name in names:
        field = SERVICES[service].model_fields[name]
        if field.is_required():
            default = "**required**"
        elif field.default is PydanticUndefined:
            default = "of the machine"
        elif field.default is None:
            default = "unset"
        else:
            default = f"`{field.default}`" if field.default != "" else "empty"
        rows.append(f"| `SOUK_{service.upper()}_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """1 where a page is to be made anew and only a check was asked for."""
    status = 0
    for service in SERVICES:
        path = Path(f"docs/settings-{service}.md")
        if "--check" not in sys.argv:
            path.write_text(page(service))
        elif not path.exists() or path.read_text() != page(service):
            sys.stdout.write(f"{path} is out of date: python tools/settings_page.py\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
