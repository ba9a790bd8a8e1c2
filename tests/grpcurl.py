"""grpcurl, as an engineer uses it: by reflection alone."""

import asyncio
import json
import shutil
from typing import Any

import pytest
from processes import ServiceProcess


def tool(name: str) -> str:
    """A program that `make tools` fetches."""
    found = shutil.which(name, path=".tools/bin") or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there: `make tools` fetches it")
    return found


async def run(*command: str, stdin: str = "") -> tuple[int, str]:
    """Its exit status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate(stdin.encode())
    return process.returncode or 0, output.decode()


async def call(service: ServiceProcess, rpc: str, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What an rpc, by its full name, answers to messages, as JSON."""
    body = "".join(json.dumps(message) for message in messages)
    status, output = await run(tool("grpcurl"), "-plaintext", "-d", "@", service.grpc, rpc, stdin=body)
    assert status == 0, output
    decoder, answers, position = json.JSONDecoder(), [], 0
    while position < len(output.rstrip()):
        answer, position = decoder.raw_decode(output, position)
        answers.append(answer)
        while position < len(output) and output[position].isspace():
            position += 1
    return answers
