"""ListPlanFindings and ListPlanChanges of souk.dbopt.v1.InsightService."""

from typing import Any, TypeAlias

import grpc
from souk.dbopt.v1 import insight_pb2 as pb
from souk_common.paging import page_position, page_token, page_token_refused

from souk_dbopt.plan_records import KeptChange, PlanStore
from souk_dbopt.rpc import insight_validate, plan_mapping, validate

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
WITH_PLANS = 3
"""Changes of a page with both plans of each, which may have 256 KiB of JSON, and as much again step by step."""
MAX_ID = 2**63


class PlansServicer:
    """Maps each rpc to calls of the store."""

    def __init__(self, store: PlanStore) -> None:
        self._store = store

    async def ListPlanFindings(self, request: pb.ListPlanFindingsRequest, context: Context) -> pb.ListPlanFindingsResponse:
        """See the proto."""
        wanted = insight_validate.list_plan_findings(request)
        after = _share_and_id(page_position(request.page_token, wanted))
        size = request.page_size or validate.PAGE
        found = await self._store.findings(wanted, after, size + 1)
        last = found[size - 1] if len(found) > size else None
        token = "" if last is None else page_token(f"{last.database_share!r} {last.finding_id}", wanted)
        return pb.ListPlanFindingsResponse(findings=map(plan_mapping.kept_finding, found[:size]), next_page_token=token)

    async def ListPlanChanges(self, request: pb.ListPlanChangesRequest, context: Context) -> pb.ListPlanChangesResponse:
        """See the proto."""
        wanted = insight_validate.list_plan_changes(request)
        bound_to = (wanted, request.with_plans)
        before = _id(page_position(request.page_token, *bound_to))
        size = request.page_size or validate.PAGE
        if request.with_plans:
            size = min(size, WITH_PLANS)
        found = await self._store.changes(wanted, before, size + 1)
        token = page_token(str(found[size - 1].change_id), *bound_to) if len(found) > size else ""
        changes = [await self._change(each, with_plans=request.with_plans) for each in found[:size]]
        return pb.ListPlanChangesResponse(changes=changes, next_page_token=token)

    async def _change(self, known: KeptChange, *, with_plans: bool) -> pb.PlanChange:
        message = plan_mapping.change(known)
        if with_plans:
            for field, plan in ((message.old_plan, known.old_plan), (message.new_plan, known.new_plan)):
                kept = plan_mapping.kept_plan(await self._store.plan(known.fingerprint, plan))
                if kept is not None:
                    field.CopyFrom(kept)
        return message


def _share_and_id(position: str) -> tuple[float, int] | None:
    if not position:
        return None
    share, _, number = position.partition(" ")
    try:
        return float(share), _id(number) or 0
    except ValueError:
        raise page_token_refused() from None


def _id(position: str) -> int | None:
    if not position:
        return None
    if not (position.isascii() and position.isdecimal() and len(position) < 20 and int(position) < MAX_ID):
        raise page_token_refused()
    return int(position)
