"""Buckets, sampling decisions, log lines."""

import asyncio
import io
import math
import secrets
import subprocess
import sys
import threading

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import propagate
from souk_common.call import CURRENT, Call
from souk_common.telemetry.logs import MAX_WAITING_LINES, LineWriter
from souk_common.telemetry.metrics import Buckets, Method, cumulative
from souk_common.telemetry.tracing import context_of_calls, new_call

METHOD = "/a.B/C"


def test_buckets_are_cumulative_and_end_with_everything() -> None:
    method = Method()
    for seconds in (0.0005, 0.001, 0.0011, 3.0, 99.0):
        method.record("OK", seconds)
    counts = dict(cumulative(method.seconds))
    assert (counts["0.001"], counts["0.002"], counts["5"], counts["+Inf"]) == (2, 3, 4, 5)
    assert method.codes == {"OK": 5}
    assert method.seconds.total == pytest.approx(102.0026)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_no_less_than_the_value_of_its_rank_and_no_more_than_the_largest(values: list[float], share: float) -> None:
    buckets = Buckets()
    for value in values:
        buckets.record(value)
    ranked = sorted(values)[math.ceil(share * len(values)) - 1]
    assert ranked <= buckets.quantile(share) <= max(values)


def test_values_are_counted_once_that_come_while_others_are_read() -> None:
    buckets, count, seen = Buckets(), 50_000, [0]
    reading = threading.Thread(target=lambda: [seen.append(buckets.count) for _ in iter(lambda: seen[-1] < count, False)])
    reading.start()
    for _ in range(count):
        buckets.record(0.5)
    reading.join()
    assert seen == sorted(seen)
    assert (buckets.count, buckets.total, buckets.largest) == (count, count * 0.5, 0.5)


def test_the_callers_decision_is_followed() -> None:
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    sampled = new_call(METHOD, f"00-{trace_id}-{span_id}-01", 0.0)
    assert (sampled.traced, f"{sampled.trace_id:032x}", f"{sampled.span_id:016x}") == (True, trace_id, span_id)
    assert sampled.from_caller
    unsampled = new_call(METHOD, f"00-{trace_id}-{span_id}-00", 1.0)
    assert (unsampled.traced, unsampled.from_caller) == (False, True)


@pytest.mark.parametrize(
    "header", [None, "", "nonsense", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-" + "z" * 32 + "-" + "1" * 16 + "-01"]
)
def test_without_a_valid_traceparent_the_ratio_decides(header: str | None) -> None:
    assert new_call(METHOD, header, 1.0).traced
    assert not new_call(METHOD, header, 0.0).traced
    assert new_call(METHOD, header, 0.0).trace_id != new_call(METHOD, header, 0.0).trace_id
    assert not new_call(METHOD, header, 0.0).from_caller


async def test_what_a_call_that_is_not_traced_asks_of_others_is_of_its_trace_and_not_traced() -> None:
    async def serve(trace_id: int) -> dict[str, str]:
        CURRENT.set(Call("/a.B/C", trace_id, 7))
        await asyncio.sleep(0)
        headers: dict[str, str] = {}
        propagate.inject(headers)
        return headers

    server = context_of_calls()
    tasks = [asyncio.create_task(serve(trace_id), context=server.copy()) for trace_id in (0xA, 0xB)]
    found = await asyncio.gather(*tasks)
    assert [each["traceparent"] for each in found] == [f"00-{number:032x}-{7:016x}-00" for number in (0xA, 0xB)]


async def test_where_there_is_no_call_no_trace_goes_on() -> None:
    headers: dict[str, str] = {}
    context_of_calls().run(propagate.inject, headers)
    assert headers == {}


@given(st.text(max_size=80))
def test_no_traceparent_breaks_the_reading(header: str) -> None:
    assert new_call(METHOD, header, 0.5).trace_id > 0


def test_lines_are_written_in_order_by_another_thread() -> None:
    stream = io.BytesIO()
    writer = LineWriter(stream)
    for number in range(1000):
        writer.write(orjson.dumps({"n": number}))
    writer.close()
    assert [orjson.loads(line)["n"] for line in stream.getvalue().splitlines()] == list(range(1000))


def test_lines_that_nobody_reads_are_dropped_and_counted() -> None:
    release = threading.Event()

    class Stuck(io.RawIOBase):
        def write(self, data: object) -> int:
            release.wait()
            return 1

    writer = LineWriter(Stuck())  # type: ignore[arg-type]
    for _ in range(MAX_WAITING_LINES + 100):
        writer.write(b"x")
    assert 90 <= writer.dropped <= 100
    release.set()
    writer.close()


def test_a_caller_who_has_gone_is_no_error_of_the_service() -> None:
    program = """
import logging
from grpc._cython.cygrpc import ExecuteBatchError
from souk_common.telemetry import logs
writer = logs.setup("echo", "info")
for kind in (ExecuteBatchError, ValueError):
    try:
        raise kind("of an answer")
    except Exception:
        logging.getLogger("grpc").exception("by %s", kind.__name__)
writer.close()
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60).stdout
    assert [orjson.loads(line)["event"] for line in told.splitlines()] == ["by ValueError"]
