"""What clients ask of services is of the trace that their program is in."""

from integration.client.scripted import ScriptedImaging
from opentelemetry.sdk.trace import TracerProvider
from souk.client import ImagingClient
from souk.imaging.v1 import imaging_pb2 as pb


async def test_a_call_is_of_the_trace_of_the_program(server: ScriptedImaging, client: ImagingClient) -> None:
    async def answer(request: pb.GetImageRequest, context: object) -> pb.GetImageResponse:
        return pb.GetImageResponse(image=pb.Image(image_id=request.image_id))

    server.script = [answer]
    await client.get("01jd" + "0" * 22)
    with TracerProvider(shutdown_on_exit=False).get_tracer("shop").start_as_current_span("order") as span:
        await client.get("01jd" + "0" * 22)
    without, within = server.metadata
    assert "traceparent" not in without
    ids = span.get_span_context()
    assert within["traceparent"] == f"00-{ids.trace_id:032x}-{ids.span_id:016x}-01"
