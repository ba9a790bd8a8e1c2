"""TCP links that misbehave as they are told: a process, whose commands are JSON lines on stdin, each answered by one line.

{"link": name, "upstream": port}         opens a link (the answer has its port), or leads it elsewhere; what is open is cut
{"link": name, "to_server": way, "to_client": way, "delay": seconds, "refuse": bool}
{"link": name, "cut": true}              ends every open connection

A way is `pass`; `hold`: bytes wait, and arrive late when it passes again, even where the sender has gone; or `drop`: bytes are
lost, and a connection that has lost some ends when that changes. delay: before each piece, both ways. refuse: new connections are
reset.
"""

import asyncio
import json
import sys
from typing import Any

PIECE_BYTES = 65536


class Connection:
    """One client, and its connection to the server."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.lossy = False


class Link:
    """One port, and where it leads to."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.state: dict[str, Any] = {"to_server": "pass", "to_client": "pass", "delay": 0.0, "refuse": False}
        self._open: set[Connection] = set()
        self._changed = asyncio.Event()

    def change(self, command: dict[str, Any]) -> None:
        """Misbehave from now on as a command says."""
        if "upstream" in command:
            self.upstream = command["upstream"]
        self.state |= {name: command[name] for name in self.state if name in command}
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for connection in list(self._open):
            if connection.task is not None and ("cut" in command or "upstream" in command or connection.lossy):
                connection.task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until it ends."""
        connection = Connection()
        connection.task = asyncio.current_task()
        self._open.add(connection)
        server: asyncio.StreamWriter | None = None
        try:
            if self.state["refuse"]:
                return
            answers, server = await asyncio.open_connection("127.0.0.1", self.upstream)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(connection, "to_server", reader, server))
                ways.create_task(self._carry(connection, "to_client", answers, writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(connection)
            writer.transport.abort()
            if server is not None:
                server.transport.abort()

    async def _carry(self, connection: Connection, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            data = await reader.read(PIECE_BYTES)
            if self.state["delay"]:
                await asyncio.sleep(self.state["delay"])
            while self.state[way] == "hold":
                await self._changed.wait()
            if self.state[way] == "drop":
                connection.lossy = True
            elif data:
                writer.write(data)
                await writer.drain()
            if not data:
                writer.close()
                return


async def main() -> None:
    """Do what stdin says, until it ends."""
    loop = asyncio.get_running_loop()
    links: dict[str, Link] = {}
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        name, port = command["link"], 0
        if name not in links:
            links[name] = Link(command["upstream"])
            server = await asyncio.start_server(links[name].serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
        links[name].change(command)
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
