"""The composition of monitor: adapters are opened, the core is built on them, the servicers are handed back."""

import contextlib
from collections.abc import AsyncIterator

from souk_common.health import Dependency
from souk_common.postgres import Pool, PoolOptions
from souk_common.server import Application
from souk_common.telemetry import Telemetry

from souk_monitor.errors import ERRORS
from souk_monitor.settings import MonitorSettings


@contextlib.asynccontextmanager
async def open_app(settings: MonitorSettings, reporting: Telemetry) -> AsyncIterator[Application]:
    """Monitor, ready to be served."""
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(Pool(settings.dsn.get_secret_value(), _options("read", settings)))

        async def check() -> None:
            await pool.fetchval("check", "SELECT 1")

        yield Application(
            name="monitor",
            registrations=[],
            errors=ERRORS,
            dependencies=[Dependency("database", check, interval=settings.check_interval)],
        )


def _options(name: str, settings: MonitorSettings) -> PoolOptions:
    return PoolOptions(
        name=name,
        size=settings.connections,
        max_waiting=settings.max_waiting,
        acquire_timeout=settings.acquire_timeout,
        connect_timeout=settings.connect_timeout,
        server_settings={
            "application_name": f"souk-monitor {name}",
            "statement_timeout": f"{round(settings.statement_timeout * 1000)}ms",
            "idle_in_transaction_session_timeout": "30s",
            "jit": "off",
        },
        behind_pooler=settings.behind_pooler,
    )
