"""The composition of dbopt: adapters are opened, the core is built on them, the servicers are handed back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import structlog
from pydantic import SecretStr
from souk.client import CacheClient, ClientConfig
from souk.dbopt.v1 import insight_pb2_grpc, marketplace_pb2_grpc, query_pb2_grpc
from souk_common.call import CURRENT, trace_id
from souk_common.health import Dependency
from souk_common.migrations import Migration
from souk_common.postgres import Pool, PoolOptions, PostgresError
from souk_common.server import Application, Registration, StartError
from souk_common.telemetry import Telemetry

from souk_dbopt import explaining, telemetry
from souk_dbopt.adapters import query_file, schema
from souk_dbopt.adapters.explain_catalog import ExplainCatalog
from souk_dbopt.adapters.explain_runner import ExplainRunner, on_server
from souk_dbopt.adapters.history import History
from souk_dbopt.adapters.outbox import OutboxTable
from souk_dbopt.adapters.plan_capture import PlanCapture
from souk_dbopt.adapters.plan_history import PlanHistory
from souk_dbopt.adapters.query_check import Checked
from souk_dbopt.adapters.requests import RequestTable
from souk_dbopt.adapters.stat_statements import StatStatements
from souk_dbopt.adapters.topology import Topology
from souk_dbopt.catalogue import Catalogue
from souk_dbopt.dispatching import POOL as OUTBOX_POOL
from souk_dbopt.dispatching import Dispatcher
from souk_dbopt.errors import ERRORS
from souk_dbopt.exceptions import CatalogueError, ServerUnavailableError
from souk_dbopt.executing import WRITE, Executor
from souk_dbopt.insight import Insight
from souk_dbopt.plan_budget import PlanBudget
from souk_dbopt.plan_watch import PlanWatch
from souk_dbopt.popularity import QUERY as REFRESH
from souk_dbopt.popularity import Popularity
from souk_dbopt.query_classes import CLASSES
from souk_dbopt.recording import Recorder
from souk_dbopt.repeated_calls import RepeatedCalls
from souk_dbopt.result_cache import ResultCache
from souk_dbopt.routing import Router, Server
from souk_dbopt.rpc.explain import ExplainServicer
from souk_dbopt.rpc.insight import InsightServicer
from souk_dbopt.rpc.marketplace import MarketplaceServicer
from souk_dbopt.rpc.plans import PlansServicer
from souk_dbopt.rpc.query import QueryServicer
from souk_dbopt.settings import DboptSettings
from souk_dbopt.slow_calls import SlowCalls

log = structlog.get_logger(__name__)
SERVICE, MARKETPLACE = "souk.dbopt.v1.QueryService", "souk.dbopt.v1.MarketplaceService"
INSIGHT = "souk.dbopt.v1.InsightService"
SCOPES = {
    f"/{SERVICE}/ExecuteQuery": "dbopt.read",
    f"/{SERVICE}/StreamQuery": "dbopt.read",
    f"/{SERVICE}/ListQueries": "dbopt.read",
    f"/{SERVICE}/GetPoolStatus": "dbopt.read",
    f"/{MARKETPLACE}/ListProducts": "dbopt.read",
    f"/{MARKETPLACE}/SearchProducts": "dbopt.read",
    f"/{MARKETPLACE}/GetProduct": "dbopt.read",
    f"/{MARKETPLACE}/ListOrders": "dbopt.read",
    f"/{MARKETPLACE}/GetSellerDashboard": "dbopt.read",
    f"/{MARKETPLACE}/PlaceOrder": "dbopt.write",
    f"/{INSIGHT}/ExplainQuery": "dbopt.insight",
    f"/{INSIGHT}/ListSlowQueries": "dbopt.insight",
    f"/{INSIGHT}/GetQueryStats": "dbopt.insight",
    f"/{INSIGHT}/ListPlanFindings": "dbopt.insight",
    f"/{INSIGHT}/ListPlanChanges": "dbopt.insight",
    f"/{INSIGHT}/WatchSlowQueries": "dbopt.insight",
}
FORGET_EVERY = 60.0
"""Seconds between two looks for what need not be kept any more."""
WATCHED = 1_000
"""Slow calls that wait to be taken by one who watches them."""
UNTOLD_KEPT = 3600.0
"""Seconds that a node without a cache leaves what writes have touched to others that may have one."""


@contextlib.asynccontextmanager
async def open_app(settings: DboptSettings, reporting: Telemetry) -> AsyncIterator[Application]:
    """dbopt, ready to be served."""
    async with contextlib.AsyncExitStack() as stack:
        catalogue = _catalogue(settings)

        def router(servers: Sequence[Server]) -> Router:
            return Router(servers, max_lag=settings.max_lag, catch_up=settings.catch_up)

        topology = Topology(
            _dsns(settings),
            {name: _options(name, settings) for name in CLASSES} | _outbox_options(settings),
            router,
            interval=settings.check_interval,
            timeout=settings.check_timeout,
            clock=time.monotonic,
        )
        await stack.enter_async_context(topology)
        checked = await stack.enter_async_context(Checked(catalogue, topology.router, _migrations(settings)))
        if checked.problems:
            raise StartError("the queries do not fit the database:\n" + "\n".join(checked.problems))
        requests = RequestTable()
        forgetting = asyncio.create_task(_forget(requests, topology.router, settings), name="forget")
        stack.push_async_callback(_ended, forgetting)
        slow_calls = SlowCalls(threshold=settings.slow_query_seconds, max_waiting=WATCHED, trace_id=trace_id)
        repeated = RepeatedCalls(CURRENT.get, least=settings.repeated_calls)
        recorder = Recorder(slow_calls, repeated=repeated)
        insight = await stack.enter_async_context(
            Insight(
                recorder,
                History(topology.router),
                StatStatements(topology.router),
                interval=settings.insight_interval,
                retention=settings.insight_retention,
            )
        )
        executor = Executor(topology.router, requests, observe=recorder)
        telemetry.register(reporting.metrics, topology.router)
        if settings.popularity_interval and settings.shipped_queries:
            popularity = Popularity(executor, catalogue.get(REFRESH), interval=settings.popularity_interval)
            telemetry.register_popularity(reporting.metrics, popularity)
            stack.push_async_callback(_ended, asyncio.create_task(popularity.run(), name="refresh-popularity"))
        results = ResultCache(executor, topology.router)
        dependencies = [
            Dependency("database", topology.check, interval=settings.check_interval),
            Dependency("catalogue", checked.check, interval=settings.check_interval),
        ]
        if settings.cache_address is not None:
            dispatcher = await _use_cache(stack, settings, settings.cache_address, results)
            telemetry.register_cache(reporting.metrics, results.counts, dispatcher)
            dependencies.append(Dependency("outbox", dispatcher.check, interval=settings.check_interval, required=False))
        queries = QueryServicer(catalogue, executor, results, topology.router, stream_idle_timeout=settings.stream_idle_timeout)
        shop = MarketplaceServicer(catalogue, executor, results)
        explainer = await _explainer(settings, stack, settings.explain_dsn)
        plans = PlanHistory(topology.router, kept=settings.plans_kept)
        watch = PlanWatch(
            catalogue,
            recorder,
            insight,
            plans,
            PlanCapture(topology.router),
            await _runner(settings, stack, topology.router, explainer),
            PlanBudget(share=settings.plan_budget, connections=sum(settings.connections.values())),
            repeated,
            interval=settings.plan_interval,
            retention=settings.insight_retention,
            run_timeout=settings.explain_timeout,
        )
        telemetry.register_plans(reporting.metrics, watch)
        if settings.plan_budget or settings.repeated_calls:
            await stack.enter_async_context(watch)
        explain = ExplainServicer(catalogue, explainer, insight)
        insight_servicer = InsightServicer(insight, slow_calls, explain, PlansServicer(plans))
        yield Application(
            name="dbopt",
            registrations=[
                Registration(query_pb2_grpc.add_QueryServiceServicer_to_server, queries, SERVICE),
                Registration(marketplace_pb2_grpc.add_MarketplaceServiceServicer_to_server, shop, MARKETPLACE),
                Registration(insight_pb2_grpc.add_InsightServiceServicer_to_server, insight_servicer, INSIGHT),
            ],
            errors=ERRORS,
            scopes=SCOPES,
            dependencies=dependencies,
            long_lived=frozenset({f"/{SERVICE}/StreamQuery", f"/{INSIGHT}/WatchSlowQueries"}),
        )


async def _use_cache(stack: contextlib.AsyncExitStack, settings: DboptSettings, address: str, results: ResultCache) -> Dispatcher:
    """Have results read through the cache, and the cache told of what is written."""
    config = ClientConfig(
        target=address,
        token=settings.cache_token.get_secret_value() if settings.cache_token is not None else None,
        tls_ca_file=settings.cache_tls_ca_file,
        timeout=settings.cache_timeout,
        attempts=1,
        max_backoff=1.0,
        user_agent="souk-dbopt",
    )
    client = await stack.enter_async_context(CacheClient(config=config))
    dispatcher = Dispatcher(results.router, OutboxTable(), client, poll=settings.outbox_poll, max_age=settings.outbox_max_age)
    stack.push_async_callback(_ended, asyncio.create_task(dispatcher.run(), name="dispatch-outbox"))
    stack.push_async_callback(results.close)
    results.client, results.on_write = client, dispatcher.wake
    return dispatcher


def _catalogue(settings: DboptSettings) -> Catalogue:
    try:
        return query_file.load(
            settings.queries_dir, serve_shipped=settings.shipped_queries, max_result_bytes=settings.max_result_bytes
        )
    except CatalogueError as error:
        raise StartError(f"the queries cannot be used:\n{error}") from error


def _migrations(settings: DboptSettings) -> list[Migration]:
    return schema.all_migrations(schema.COMPONENTS if settings.shipped_queries else [schema.SOUK])


def _dsns(settings: DboptSettings) -> dict[str, str]:
    """By the address that is shown of each."""
    return {address(secret.get_secret_value()): secret.get_secret_value() for secret in (settings.dsn, *settings.replica_dsns)}


def address(dsn: str) -> str:
    """host:port/database of a DSN, without a role and its password."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    host = parts.netloc.rpartition("@")[2] or query.get("host", "")
    return f"{host}/{parts.path.lstrip('/') or query.get('dbname', '')}"


def _options(name: str, settings: DboptSettings) -> PoolOptions:
    query_class = CLASSES[name]
    stream = {"idle_in_transaction_session_timeout": f"{round((settings.stream_idle_timeout + 5) * 1000)}ms"}
    return PoolOptions(
        name=name,
        size=settings.connections[name],
        max_waiting=settings.max_waiting,
        acquire_timeout=settings.acquire_timeout,
        connect_timeout=settings.connect_timeout,
        server_settings={"application_name": f"souk-dbopt {name}", **query_class.settings(), **stream},
        behind_pooler=settings.behind_pooler,
    )


async def _explainer(settings: DboptSettings, stack: contextlib.AsyncExitStack, dsn: SecretStr | None) -> explaining.Explainer:
    pool = None
    if dsn is not None:
        options = explaining.pool_options(
            timeout=settings.explain_timeout,
            connect_timeout=settings.connect_timeout,
            behind_pooler=settings.behind_pooler,
            max_plan=settings.explain_max_plan,
        )
        pool = await stack.enter_async_context(Pool(dsn.get_secret_value(), options))
    return explaining.Explainer(pool, ExplainCatalog(), timeout=settings.explain_timeout)


async def _runner(
    settings: DboptSettings, stack: contextlib.AsyncExitStack, router: Router, explainer: explaining.Explainer
) -> ExplainRunner | None:
    """Who runs what is to be explained by itself; None where there is no role for it."""
    if settings.explain_dsn is None or not settings.plan_budget:
        return None
    replicas = {}
    for shown, dsn in _dsns(settings).items():
        there = SecretStr(on_server(settings.explain_dsn.get_secret_value(), dsn))
        replicas[shown] = await _explainer(settings, stack, there)
    return ExplainRunner(router, explainer, replicas)


def _outbox_options(settings: DboptSettings) -> dict[str, PoolOptions]:
    """Connections of the dispatcher, where there is one: to tell, and to look how much waits."""
    if settings.cache_address is None:
        return {}
    options = replace(_options(WRITE, settings), name=OUTBOX_POOL, size=2)
    # a node that stands still gives its rows to others
    limits = {"application_name": f"souk-dbopt {OUTBOX_POOL}", "idle_in_transaction_session_timeout": "10s"}
    return {OUTBOX_POOL: replace(options, server_settings={**options.server_settings, **limits})}


async def _forget(requests: RequestTable, router: Router, settings: DboptSettings) -> None:
    """Remove from time to time what need not be kept any more: request ids, and what no cache is to be told of."""
    outbox = OutboxTable() if settings.cache_address is None else None
    while True:
        await asyncio.sleep(FORGET_EVERY)
        try:
            pool = router.primary().pools[WRITE]
            while await requests.forget(pool, older=settings.request_retention):
                pass
            while outbox is not None and await outbox.forget(pool, older=UNTOLD_KEPT):
                pass
        except (PostgresError, ServerUnavailableError) as error:
            log.warning("what need not be kept was not removed", problem=str(error))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
