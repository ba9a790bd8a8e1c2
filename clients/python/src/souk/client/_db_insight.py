"""What is slow in the database, and why: souk.dbopt.v1.InsightService."""

import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from souk.client._backoff import Backoff
from souk.client._calls import responses, typed
from souk.client._config import ClientConfig
from souk.client._errors import UnavailableError
from souk.client._trace import with_trace
from souk.dbopt.v1 import insight_pb2 as pb

if TYPE_CHECKING:
    from souk.dbopt.v1.insight_pb2_grpc import InsightServiceAsyncStub


class InsightCalls:
    """The calls of DbClient that say what queries do.

    A query is known by its fingerprint: product.get@1 of the catalogue, ~5f0c3a9e1b7d2c44 of others. Times must have a time zone:
    TypeError.
    """

    _insight: "InsightServiceAsyncStub"
    _config: ClientConfig
    _metadata: tuple[tuple[str, str], ...]

    async def slow_queries(
        self,
        *,
        since: datetime | None = None,
        order: pb.SlowQueryOrder.ValueType = pb.SLOW_QUERY_ORDER_TOTAL_TIME,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[pb.QueryStats, None]:
        """Yield queries by the time that they took, the most first; pages are fetched as they are needed.

        since: the hour that it is in, and those after it; None: the last 24 hours. timeout: seconds for each page.
        """
        request = pb.ListSlowQueriesRequest(since_time=_moment(since), order=order, page_size=page_size)
        while True:
            page = await typed(self._insight.ListSlowQueries(request, **self._with(timeout)))
            for query in page.queries:
                yield query
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def query_stats(
        self,
        fingerprint: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        window: timedelta | None = None,
        timeout: float | None = None,
    ) -> pb.GetQueryStatsResponse:
        """What one query did: in all, window by window, and with which parameters it was slow.

        since: None: the last 24 hours. window: a minute to a day; None: an hour. NotFoundError: nothing is known of it.
        """
        request = pb.GetQueryStatsRequest(
            fingerprint=fingerprint, since_time=_moment(since), until_time=_moment(until), window=_span(window)
        )
        answer: pb.GetQueryStatsResponse = await typed(self._insight.GetQueryStats(request, **self._with(timeout)))
        return answer

    async def plan_findings(
        self,
        *,
        fingerprint: str = "",
        rule: str = "",
        min_severity: pb.FindingSeverity.ValueType = pb.FINDING_SEVERITY_UNSPECIFIED,
        since: datetime | None = None,
        until: datetime | None = None,
        open_only: bool = True,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[pb.PlanFinding, None]:
        """Yield what is wrong with the plans that were seen, the dearest first; pages are fetched as they are needed.

        since, until: seen at the one or later, and for the first time before the other. open_only: without those that the newest
        plan of their query does not show any more. timeout: seconds for each page.
        """
        request = pb.ListPlanFindingsRequest(
            fingerprint=fingerprint,
            rule=rule,
            min_severity=min_severity,
            since_time=_moment(since),
            until_time=_moment(until),
            open_only=open_only,
            page_size=page_size,
        )
        while True:
            page = await typed(self._insight.ListPlanFindings(request, **self._with(timeout)))
            for finding in page.findings:
                yield finding
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def plan_changes(
        self,
        *,
        fingerprint: str = "",
        regressions_only: bool = False,
        kind: pb.PlanChangeKind.ValueType = pb.PLAN_CHANGE_KIND_UNSPECIFIED,
        cause: pb.PlanChangeCause.ValueType = pb.PLAN_CHANGE_CAUSE_UNSPECIFIED,
        since: datetime | None = None,
        until: datetime | None = None,
        with_plans: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncGenerator[pb.PlanChange, None]:
        """Yield queries that got another plan, or take longer with the same, the newest first, page by page as they are needed.

        since, until: when they were noticed. with_plans: with both plans of each, three a page. timeout: seconds for a page.
        """
        request = pb.ListPlanChangesRequest(
            fingerprint=fingerprint,
            regressions_only=regressions_only,
            kind=kind,
            cause=cause,
            since_time=_moment(since),
            until_time=_moment(until),
            with_plans=with_plans,
            page_size=page_size,
        )
        while True:
            page = await typed(self._insight.ListPlanChanges(request, **self._with(timeout)))
            for change in page.changes:
                yield change
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch_slow_queries(
        self, *, threshold: timedelta | None = None, fingerprint: str = "", timeout: float | None = None
    ) -> AsyncGenerator[pb.WatchSlowQueriesResponse, None]:
        """Yield slow calls of the node that answers as they happen, until it is left; with a timeout, for so many seconds.

        threshold: those that take at least so long; None: SOUK_DBOPT_SLOW_QUERY_SECONDS. It goes on by itself, at another node
        perhaps, when the node stops; calls of the time between are not told. `missed` counts what the caller was too slow for.
        """
        request = pb.WatchSlowQueriesRequest(threshold=_span(threshold), fingerprint=fingerprint)
        backoff = Backoff(self._config, timeout)
        while True:
            call = self._insight.WatchSlowQueries(request, timeout=backoff.remaining(), metadata=with_trace(self._metadata))
            try:
                async with contextlib.aclosing(responses(call)) as answers:
                    async for answer in answers:
                        backoff.progress()
                        yield answer
            except UnavailableError as error:
                await backoff.wait_after(error)
            else:
                return

    def _with(self, timeout: float | None) -> dict[str, Any]:
        return {"timeout": self._config.timeout if timeout is None else timeout, "metadata": with_trace(self._metadata)}


def _moment(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise TypeError(f"a time without a time zone is no moment: {time}")
    made = Timestamp()
    made.FromDatetime(time)
    return made


def _span(span: timedelta | None) -> Duration | None:
    if span is None:
        return None
    made = Duration()
    made.FromTimedelta(span)
    return made
