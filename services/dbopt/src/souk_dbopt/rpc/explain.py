"""ExplainQuery of souk.dbopt.v1.InsightService."""

from typing import Any, TypeAlias

import grpc
import orjson
from souk.dbopt.v1 import insight_pb2 as pb
from souk_common.call import annotate

from souk_dbopt import long_texts
from souk_dbopt.catalogue import Catalogue, Query
from souk_dbopt.exceptions import ArgumentsError
from souk_dbopt.explaining import Explained, Explainer
from souk_dbopt.fingerprints import fingerprint
from souk_dbopt.insight import Insight
from souk_dbopt.rpc import mapping, plan_mapping, validate

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ExplainServicer:
    """Maps the rpc to one call of the core."""

    def __init__(self, catalogue: Catalogue, explainer: Explainer, insight: Insight) -> None:
        self._catalogue = catalogue
        self._explainer = explainer
        self._insight = insight

    async def ExplainQuery(self, request: pb.ExplainQueryRequest, context: Context) -> pb.ExplainQueryResponse:
        """See the proto."""
        validate.explain_query(request)
        annotate(analyze=request.analyze, generic=request.generic)
        if request.WhichOneof("query") == "name":
            return await self._of_catalogue(request)
        values = [mapping.plain(value) for value in request.values]
        explained = await self._explainer.text(request.sql, values, analyze=request.analyze, generic=request.generic)
        return _response(explained, (await long_texts.read(fingerprint, request.sql)).key)

    async def _of_catalogue(self, request: pb.ExplainQueryRequest) -> pb.ExplainQueryResponse:
        query = self._catalogue.get(request.name)
        annotate(query=query.key)
        values = mapping.values(request.parameters)
        for_any = request.generic and not request.analyze and not values
        arguments = None if for_any else await self._arguments(query, values)
        explained = await self._explainer.query(query, arguments, analyze=request.analyze, generic=request.generic)
        return _response(explained, query.key)

    async def _arguments(self, query: Query, values: dict[str, Any]) -> list[Any]:
        """Of the values; where none are given that must be, those of the slowest call that all of them are known of."""
        must = {parameter.name for parameter in query.parameters if parameter.is_required}
        if must and not must & values.keys():
            for sampled in await self._insight.samples(query.key):
                try:
                    return query.arguments({**orjson.loads(sampled.parameters), **values})
                except ArgumentsError:  # some of them are not kept
                    continue
        return query.arguments(values)


def _response(explained: Explained, fingerprint: str) -> pb.ExplainQueryResponse:
    return pb.ExplainQueryResponse(
        plan=plan_mapping.plan(explained.plan),
        findings=[plan_mapping.finding(each, fingerprint) for each in explained.findings],
    )
