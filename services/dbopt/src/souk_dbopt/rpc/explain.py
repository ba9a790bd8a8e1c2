"""ExplainQuery of souk.dbopt.v1.InsightService."""

from typing import Any, TypeAlias

import grpc
from souk.dbopt.v1 import insight_pb2 as pb
from souk_common.call import annotate

from souk_dbopt.catalogue import Catalogue
from souk_dbopt.explaining import Explained, Explainer
from souk_dbopt.rpc import mapping, plan_mapping, validate

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ExplainServicer:
    """Maps the rpc to one call of the core."""

    def __init__(self, catalogue: Catalogue, explainer: Explainer) -> None:
        self._catalogue = catalogue
        self._explainer = explainer

    async def ExplainQuery(self, request: pb.ExplainQueryRequest, context: Context) -> pb.ExplainQueryResponse:
        """See the proto."""
        validate.explain_query(request)
        annotate(analyze=request.analyze, generic=request.generic)
        if request.WhichOneof("query") == "name":
            return await self._of_catalogue(request)
        values = [mapping.plain(value) for value in request.values]
        explained = await self._explainer.text(request.sql, values, analyze=request.analyze, generic=request.generic)
        return _response(explained, "")

    async def _of_catalogue(self, request: pb.ExplainQueryRequest) -> pb.ExplainQueryResponse:
        query = self._catalogue.get(request.name)
        annotate(query=query.key)
        values = mapping.values(request.parameters)
        for_any = request.generic and not request.analyze and not values
        arguments = None if for_any else query.arguments(values)
        explained = await self._explainer.query(query, arguments, analyze=request.analyze, generic=request.generic)
        return _response(explained, query.key)


def _response(explained: Explained, fingerprint: str) -> pb.ExplainQueryResponse:
    return pb.ExplainQueryResponse(
        plan=plan_mapping.plan(explained.plan),
        findings=[plan_mapping.finding(each, fingerprint) for each in explained.findings],
    )
