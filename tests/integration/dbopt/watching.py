"""What dbopt does to know plans, on a real database, with a clock of the test's own."""

import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from souk_common.postgres import Pool, PoolOptions
from souk_dbopt import explaining
from souk_dbopt.adapters.explain_catalog import ExplainCatalog
from souk_dbopt.adapters.explain_runner import ExplainRunner
from souk_dbopt.adapters.history import History
from souk_dbopt.adapters.plan_capture import PlanCapture
from souk_dbopt.adapters.plan_history import PlanHistory
from souk_dbopt.adapters.requests import RequestTable
from souk_dbopt.adapters.stat_statements import StatStatements
from souk_dbopt.adapters.topology import Topology
from souk_dbopt.catalogue import Catalogue
from souk_dbopt.executing import Executor
from souk_dbopt.explaining import Explainer
from souk_dbopt.insight import Insight
from souk_dbopt.plan_budget import PlanBudget
from souk_dbopt.plan_watch import PlanWatch
from souk_dbopt.query_classes import CLASSES
from souk_dbopt.recording import Recorder
from souk_dbopt.repeated_calls import RepeatedCalls
from souk_dbopt.routing import Router
from souk_dbopt.slow_calls import SlowCalls


@dataclass
class Clock:
    """Begins with a whole minute."""

    now: float = field(default_factory=lambda: time.time() // 60 * 60)

    def __call__(self) -> float:
        return self.now


@dataclass
class Node:
    """One of dbopt, which looks when it is told to."""

    executor: Executor
    watch: PlanWatch
    store: PlanHistory
    insight: Insight
    catalogue: Catalogue
    clock: Clock

    async def look(self) -> None:
        """A minute later."""
        self.clock.now = self.clock.now // 60 * 60 + 60
        await self.watch.look()


@contextlib.asynccontextmanager
async def node(
    dsn: str, catalogue: Catalogue, clock: Clock, *, explain_dsn: str = "", share: float = 100.0, seed: int = 0
) -> AsyncIterator[Node]:
    """share: of the database's time; the calls of a test take no longer than a look, so that much more than all of it is given."""
    options = {name: PoolOptions(name=name, size=1, min_open=0, server_settings=each.settings()) for name, each in CLASSES.items()}
    topology = Topology(
        {"here": dsn}, options, lambda servers: Router(servers, max_lag=5, catch_up=0), interval=60, timeout=30, clock=clock
    )
    async with topology, contextlib.AsyncExitStack() as stack:
        router, runner = topology.router, None
        if explain_dsn:
            limits = explaining.pool_options(timeout=10, connect_timeout=5, behind_pooler=False)
            pool = await stack.enter_async_context(Pool(explain_dsn, limits))
            runner = ExplainRunner(router, Explainer(pool, ExplainCatalog(), timeout=10), {})
        repeated = RepeatedCalls(lambda: None, least=0)
        slow_calls = SlowCalls(threshold=1, max_waiting=1, trace_id=str)
        recorder = Recorder(slow_calls, repeated=repeated, clock=clock, chance=random.Random(seed).random)
        insight = Insight(recorder, History(router), StatStatements(router), interval=10, retention=1e6, clock=clock)
        store = PlanHistory(router, kept=50)
        budget = PlanBudget(share=share, connections=100, clock=clock)
        watch = PlanWatch(
            catalogue, recorder, insight, store, PlanCapture(router), runner, budget, repeated,
            interval=60, retention=1e6, run_timeout=10, clock=clock,
        )  # fmt: skip
        executor = Executor(router, RequestTable(), observe=recorder)
        yield Node(executor, watch, store, insight, catalogue, clock)
