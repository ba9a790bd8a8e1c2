"""The style sheet, the script and the icon: under names with the hash of what is in them, so that browsers keep them for good."""

from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_NAMES = ("dashboard.css", "dashboard.js", "icon.svg")
FOREVER = "public, max-age=31536000, immutable"


class Assets:
    """What is in the package's folder `static`."""

    def __init__(self) -> None:
        folder = files("souk_monitor.web.dashboard") / "static"
        self._urls: dict[str, str] = {}
        self._contents: dict[str, bytes] = {}
        for name in _NAMES:
            content = (folder / name).read_bytes()
            stem, _, kind = name.rpartition(".")
            self._urls[name] = f"{stem}.{sha256(content).hexdigest()[:16]}.{kind}"
            self._contents[self._urls[name]] = content

    def url(self, name: str) -> str:
        """Where a file is."""
        return f"/static/{self._urls[name]}"

    async def serve(self, request: Request) -> Response:
        """A file of /static/{name}, by its name with its hash."""
        name: str = request.path_params["name"]
        if name not in self._contents:
            return Response(status_code=404)
        etag = f'"{name.split(".")[1]}"'
        headers = {"etag": etag, "cache-control": FOREVER}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(self._contents[name], media_type=_TYPES[name.rpartition(".")[2]], headers=headers)
