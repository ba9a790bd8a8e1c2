"""Posts Sentry envelopes over kept connections, as fast as they are answered: load for monitor_ingest.py, from another process.

    python bench/sentry_sender.py HOST:PORT PROJECT KEY CONNECTIONS < envelopes

Each envelope comes after its length in four bytes, big-endian. Prints the seconds from the first byte sent to the last answer.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

import uvloop


def read(source: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(source):
        end = place + 4 + int.from_bytes(source[place : place + 4], "big")
        found.append(source[place + 4 : end])
        place = end
    return found


async def post(host: str, port: int, head: bytes, waiting: Iterator[bytes]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for envelope in waiting:
        writer.write(b"%sContent-Length: %d\r\n\r\n%s" % (head, len(envelope), envelope))
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"refused: {answer.decode()}")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
    writer.close()


async def send(address: str, project: str, key: str, connections: int, envelopes: list[bytes]) -> float:
    host, _, port = address.rpartition(":")
    auth = f"X-Sentry-Auth: Sentry sentry_key={key}, sentry_version=7\r\n"
    head = f"POST /api/{project}/envelope/ HTTP/1.1\r\nHost: {address}\r\n{auth}".encode()
    waiting = iter(envelopes)
    start = time.perf_counter()
    await asyncio.gather(*(post(host, int(port), head, waiting) for _ in range(connections)))
    return time.perf_counter() - start


def main() -> None:
    address, project, key, connections = sys.argv[1:]
    envelopes = read(sys.stdin.buffer.read())
    print(uvloop.run(send(address, project, key, int(connections), envelopes)))


if __name__ == "__main__":
    main()
