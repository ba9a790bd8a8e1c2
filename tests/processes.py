"""Services as processes of their own, stopped by their process id."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks


@dataclass
class ServiceProcess:
    """One `python -m souk_imaging`, or another service."""

    process: forks.Process
    addresses: dict[str, Any]
    log: Path

    @property
    def grpc(self) -> str:
        return str(self.addresses["grpc"])

    @property
    def http(self) -> str:
        return f"http://{self.addresses['http']}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_status(self, timeout: float = 60.0) -> int:
        async with asyncio.timeout(timeout):
            return await self.process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def workers(self) -> list[int]:
        """The pids of its worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"souk_imaging.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def start_imaging(folder: Path, name: str = "imaging", **settings: Any) -> ServiceProcess:
    """Start imaging with a state folder under `folder`, and return when it listens."""
    chosen = {"http_port": 0, "state_dir": folder / "state", **settings}
    return await start_service("imaging", folder, name, **chosen)


async def start_service(service: str, folder: Path, name: str, **settings: Any) -> ServiceProcess:
    """Start a service as the node `name`, and return when it listens."""
    ready = folder / f"{name}.ready.json"
    ready.unlink(missing_ok=True)
    log = folder / f"{name}.log"
    chosen = {"port": 0, "ready_file": ready, "node": name, "drain_grace": 30, "trace_ratio": 0, **settings}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SOUK_")}
    environment |= {f"SOUK_{service.upper()}_{key.upper()}": str(value) for key, value in chosen.items()}
    with log.open("ab") as output:
        streams = {"stdin": subprocess.DEVNULL, "stdout": output.fileno(), "stderr": output.fileno()}
        process = await forks.run(f"souk_{service}", environment=environment, **streams)
    try:
        await until(lambda: ready.exists() or process.returncode is not None, timeout=30)
        if process.returncode is not None:
            raise RuntimeError(f"{service} ended with {process.returncode}: {log.read_text()[-2000:]}")
        return ServiceProcess(process, json.loads(ready.read_text()), log)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise


async def until(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Return as soon as `condition` holds; TimeoutError where it does not. For what tells nobody when it changes."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def stop(service: ServiceProcess) -> None:
    """End a service that a test is done with, whatever state it is in."""
    if service.process.returncode is None:
        service.process.send_signal(signal.SIGCONT)
        service.process.kill()
        await service.process.wait()
