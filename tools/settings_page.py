"""Writes docs/settings-imaging.md from the settings themselves; `--check` only says whether it is up to date."""

import sys
from pathlib import Path

from pydantic_core import PydanticUndefined
from souk_common.settings import ServiceSettings
from souk_imaging.settings import ImagingSettings

PAGE = Path("docs/settings-imaging.md")


def page() -> str:
    """The whole page."""
    own = [name for name in ImagingSettings.model_fields if name not in ServiceSettings.model_fields]
    shared = [name for name in ImagingSettings.model_fields if name in ServiceSettings.model_fields]
    return (
        "# Settings of imaging\n\nEnvironment variables. Made by `tools/settings_page.py` from the code.\n\n"
        f"## Of imaging\n\n{table(own)}\n## Of every service\n\n{table(shared)}"
    )


def table(names: list[str]) -> str:
    """The fields, one a row."""
    rows = ["| variable | default | meaning |", "|--|--|--|"]
    for name in names:
        field = ImagingSettings.model_fields[name]
        if field.default is PydanticUndefined:
            default = "of the machine"
        elif field.default is None:
            default = "unset"
        else:
            default = f"`{field.default}`" if field.default != "" else "empty"
        rows.append(f"| `SOUK_IMAGING_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """1 where the page is to be made anew and only a check was asked for."""
    if "--check" in sys.argv:
        if PAGE.read_text() == page():
            return 0
        sys.stdout.write(f"{PAGE} is out of date: python tools/settings_page.py\n")
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
