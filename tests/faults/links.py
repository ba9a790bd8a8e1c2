"""The test's hold on the proxy process."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PASS = {"to_server": "pass", "to_client": "pass", "delay": 0.0, "refuse": False}


class Proxy:
    """The process. An async context manager."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("proxy.py")), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def open(self, name: str, upstream: int) -> "Link":
        """A new link to a port of this machine."""
        return Link(self, name, await self.tell(link=name, upstream=upstream))

    async def tell(self, **command: Any) -> int:
        """Send a command; its answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            return int(await self._process.stdout.readline())


@dataclass(frozen=True)
class Link:
    """One way to a server, and what can happen to it."""

    proxy: Proxy
    name: str
    port: int

    async def heal(self) -> None:
        """All is well again."""
        await self.proxy.tell(link=self.name, **PASS)

    async def cut(self) -> None:
        """Open connections end; new ones are welcome."""
        await self.proxy.tell(link=self.name, cut=True)

    async def refuse(self) -> None:
        """Open connections end, and new ones are reset."""
        await self.proxy.tell(link=self.name, refuse=True, cut=True)

    async def hold(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """A black hole: what is sent arrives when it heals."""
        await self._ways("hold", to_server=to_server, to_client=to_client)

    async def drop(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """A black hole: what is sent is lost. With one way only, the link is half open."""
        await self._ways("drop", to_server=to_server, to_client=to_client)

    async def slow(self, seconds: float) -> None:
        """Each piece takes longer by so much."""
        await self.proxy.tell(link=self.name, delay=seconds)

    async def lead_to(self, port: int) -> None:
        """Another server has its address now."""
        await self.proxy.tell(link=self.name, upstream=port)

    async def _ways(self, way: str, *, to_server: bool, to_client: bool) -> None:
        await self.proxy.tell(link=self.name, to_server=way if to_server else "pass", to_client=way if to_client else "pass")
