"""The servicer of souk.dbopt.v1.InsightService."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import grpc
from souk.dbopt.v1 import insight_pb2 as pb
from souk_common.call import annotate
from souk_common.paging import page_position, page_token, page_token_refused

from souk_dbopt.insight import Insight, Order
from souk_dbopt.rpc import insight_mapping, insight_validate, validate
from souk_dbopt.rpc.explain import ExplainServicer
from souk_dbopt.rpc.plans import PlansServicer
from souk_dbopt.slow_calls import SlowCalls

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
DAY = timedelta(days=1)
ORDERS = {
    pb.SLOW_QUERY_ORDER_UNSPECIFIED: Order.TOTAL,
    pb.SLOW_QUERY_ORDER_TOTAL_TIME: Order.TOTAL,
    pb.SLOW_QUERY_ORDER_MEAN_TIME: Order.MEAN,
    pb.SLOW_QUERY_ORDER_P99_TIME: Order.P99,
    pb.SLOW_QUERY_ORDER_CALLS: Order.CALLS,
}


class InsightServicer:
    """Maps each rpc to one call of the core."""

    def __init__(self, insight: Insight, slow_calls: SlowCalls, explain: ExplainServicer, plans: PlansServicer) -> None:
        self._insight = insight
        self._slow_calls = slow_calls
        self._explain = explain
        self._plans = plans

    async def ListSlowQueries(self, request: pb.ListSlowQueriesRequest, context: Context) -> pb.ListSlowQueriesResponse:
        """See the proto."""
        asked = insight_validate.list_slow_queries(request)
        since = asked or datetime.now(UTC) - DAY
        bound_to = (asked, ORDERS[request.order].value)
        first = _first(page_position(request.page_token, *bound_to))
        size = request.page_size or validate.PAGE
        found = await self._insight.slow(since, ORDERS[request.order])
        page = await self._insight.with_latencies(since, found[first : first + size])
        token = page_token(str(first + size), *bound_to) if len(found) > first + size else ""
        return pb.ListSlowQueriesResponse(queries=map(insight_mapping.stats, page), next_page_token=token)

    async def GetQueryStats(self, request: pb.GetQueryStatsRequest, context: Context) -> pb.GetQueryStatsResponse:
        """See the proto."""
        since, until, window = insight_validate.get_query_stats(request, datetime.now(UTC))
        annotate(fingerprint=request.fingerprint)
        found = await self._insight.history(request.fingerprint, since, until, window)
        return pb.GetQueryStatsResponse(
            total=insight_mapping.stats(found.total),
            windows=[insight_mapping.window(start, stats) for start, stats in found.windows],
            samples=map(insight_mapping.sample, found.samples),
        )

    async def ExplainQuery(self, request: pb.ExplainQueryRequest, context: Context) -> pb.ExplainQueryResponse:
        """See the proto."""
        return await self._explain.ExplainQuery(request, context)

    async def ListPlanFindings(self, request: pb.ListPlanFindingsRequest, context: Context) -> pb.ListPlanFindingsResponse:
        """See the proto."""
        return await self._plans.ListPlanFindings(request, context)

    async def ListPlanChanges(self, request: pb.ListPlanChangesRequest, context: Context) -> pb.ListPlanChangesResponse:
        """See the proto."""
        return await self._plans.ListPlanChanges(request, context)

    async def WatchSlowQueries(
        self, request: pb.WatchSlowQueriesRequest, context: Context
    ) -> AsyncIterator[pb.WatchSlowQueriesResponse]:
        """See the proto."""
        threshold = insight_validate.watch_slow_queries(request)
        with self._slow_calls.watch(threshold=threshold, fingerprint=request.fingerprint) as watcher:
            await context.send_initial_metadata(())  # whoever has it misses nothing from now on
            async for call, missed in watcher:
                yield insight_mapping.slow_call(call, missed)


def _first(position: str) -> int:
    """How many a page comes after. Between two pages queries may change places: one that overtakes is shown twice or not at all."""
    if not position:
        return 0
    if not (position.isdecimal() and len(position) < 10):
        raise page_token_refused()
    return int(position)
