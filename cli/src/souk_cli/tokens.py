"""`souk token create`: a new token for a caller, whose hash goes into the services' auth file.

What the servers read that file with is imported where it is needed, so that the other commands start without it."""

import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from souk_cli.connection import Json
from souk_cli.display import err, out, print_json
from souk_cli.visible import escape

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SCOPE = re.compile(r"[a-z]+\.[a-z]+")


def create(
    name: Annotated[str, typer.Argument(help="Who will call, as shop-backend.", show_default=False)],
    scope: Annotated[list[str], typer.Option(help="What it may do, as imaging.write; may be given several times.")],
    file: Annotated[Path, typer.Option(help="The auth file; made where it is not there.")] = Path("tokens.yaml"),
    json: Json = False,
) -> None:
    """Make a token. It is shown once; the file keeps only its hash."""
    from souk_common.auth import new_token

    if not _NAME.fullmatch(name):
        raise typer.BadParameter("must be 1 to 64 characters of a-z A-Z 0-9 . _ : -", param_hint="NAME")
    for each in scope:
        if not _SCOPE.fullmatch(each):
            raise typer.BadParameter(f"{each} is not written as service.right, as imaging.write", param_hint="--scope")
    token, digest = new_token()
    entry = f"  - name: {name}\n    scopes: [{', '.join(dict.fromkeys(scope))}]\n    token_sha256: [{digest}]\n"
    try:
        _add(file, name, entry)
    except (OSError, ValueError) as error:
        err.print(f"[red]✗[/] {escape(str(error))}")
        raise typer.Exit(1) from None
    if json:
        print_json({"name": name, "scopes": list(dict.fromkeys(scope)), "token": token, "file": str(file)})
        return
    out.print(token, soft_wrap=True)
    services = dict.fromkeys(each.partition(".")[0].upper() for each in scope)
    settings = " ".join(f"SOUK_{service}_AUTH_FILE={file.absolute()}" for service in services)
    err.print(f"[dim]Kept nowhere else. Start services with {escape(settings)}[/]")
    err.print("[dim]and call them with --token, or SOUK_TOKEN in the environment.[/]")


def _add(file: Path, name: str, entry: str) -> None:
    """Put `entry` at the end of the file, as it stands; ValueError, and nothing is changed, where it would not be an auth file."""
    from souk_common.auth import Authenticator

    text = file.read_text() if file.exists() else "principals:\n"
    if re.search(rf"""^\s*-?\s*name:\s*["']?{re.escape(name)}["']?\s*(#.*)?$""", text, re.MULTILINE):
        raise ValueError(f"{file} has a principal {name} already; choose another name, or remove it there first")
    written = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        written.touch(mode=0o600)
        written.write_text(f"{text.rstrip()}\n{entry}")
        try:
            Authenticator(written)
        except ValueError as error:
            raise ValueError(f"{file} is not an auth file that can be added to: {str(error).partition(': ')[2]}") from None
        if file.exists():
            written.chmod(file.stat().st_mode & 0o777)
        written.replace(file)
    finally:
        written.unlink(missing_ok=True)
