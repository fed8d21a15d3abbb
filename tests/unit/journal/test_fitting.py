"""No record is larger than a request may be, whatever it is made of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from otel_dify.cleaning.redaction import LIMIT
from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.fitting import LARGEST
from otel_dify.export.journal.batch import MOST_BYTES, Batch
from otel_dify.export.journal.journal import Journal
from otel_dify.export.outlets import JournalLogs, JournalSpans, LogData, SpanData
from tests.unit.journal.journals import NO_LIMIT, home_in

SCOPE = InstrumentationScope("test")
CONTEXT = SpanContext(7, 8, False, TraceFlags(TraceFlags.SAMPLED))
# The most that cleaning and OpenTelemetry's limits let through, in the widest letters.
WIDE = "\N{GRINNING FACE}" * LIMIT
ATTRIBUTES = {f"text {number}": WIDE for number in range(128)} | {"number": 1}
EVENTS = tuple(Event("event", dict(ATTRIBUTES), 1) for _ in range(4))
LINKS = tuple(Link(CONTEXT) for _ in range(128))


def nothing() -> None:
    """Have nothing sent."""


def batches(journal: Journal) -> Iterator[Batch]:
    while (batch := journal.take()) is not None:
        yield batch
        journal.acknowledge(batch)
        journal.release()


def spans_of(body: bytes) -> list[str]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        span.name
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@pytest.mark.parametrize("foreign", [False, True])
def test_a_span_of_any_size_fits_into_a_request(tmp_path: Path, *, foreign: bool) -> None:
    journal = Journal("traces", home_in(tmp_path), NO_LIMIT, 64)
    outlet = JournalSpans(SpanEncoder(), journal, SCOPE, nothing)
    for name in ("before", WIDE, "after"):
        if foreign:
            outlet.foreign(
                ReadableSpan(
                    name,
                    CONTEXT,
                    attributes=ATTRIBUTES,
                    events=EVENTS,
                    links=LINKS,
                    start_time=1,
                    end_time=2,
                )
            )
        else:
            parts = (CONTEXT, None, SpanKind.INTERNAL, 1, 2, ATTRIBUTES, EVENTS, LINKS)
            outlet.span(SpanData(name, *parts, StatusCode.ERROR, WIDE))
    bodies = [batch.body() for batch in batches(journal)]
    names = [name for body in bodies for name in spans_of(body)]
    assert all(len(body) < LARGEST + MOST_BYTES for body in bodies)
    assert names[0] == "before"
    assert names[1].endswith(f"… ({len(WIDE)} characters)")
    assert names[2] == "after"


def test_what_was_dropped_of_a_foreign_span_is_told_of_the_shorter_one_too(tmp_path: Path) -> None:
    journal = Journal("traces", home_in(tmp_path), NO_LIMIT, 64)
    bounded = BoundedAttributes(len(ATTRIBUTES) - 1, ATTRIBUTES)
    outlet = JournalSpans(SpanEncoder(), journal, SCOPE, nothing)
    outlet.foreign(ReadableSpan("one", CONTEXT, attributes=bounded, start_time=1, end_time=2))
    [batch] = batches(journal)
    [span] = (
        ExportTraceServiceRequest.FromString(batch.body()).resource_spans[0].scope_spans[0].spans
    )
    assert span.ByteSize() < LARGEST
    assert span.dropped_attributes_count == 1


def test_a_log_record_of_any_size_fits_into_a_request(tmp_path: Path) -> None:
    journal = Journal("logs", home_in(tmp_path), NO_LIMIT, 64)
    outlet = JournalLogs(LogEncoder(), journal, SCOPE, nothing)
    outlet.log(
        LogData(time.time_ns(), CONTEXT, SeverityNumber.INFO, "INFO", WIDE, ATTRIBUTES, None)
    )
    [body] = [batch.body() for batch in batches(journal)]
    assert len(body) < LARGEST
    request = ExportLogsServiceRequest.FromString(body)
    [record] = request.resource_logs[0].scope_logs[0].log_records
    assert record.body.string_value.endswith(f"… ({len(WIDE)} characters)")
    assert len(record.attributes) == 128


def test_what_fits_is_left_as_it_is(tmp_path: Path) -> None:
    journal = Journal("traces", home_in(tmp_path), NO_LIMIT, 64)
    parts = (CONTEXT, None, SpanKind.INTERNAL, 1, 2, {"text": WIDE}, (), (), StatusCode.UNSET)
    JournalSpans(SpanEncoder(), journal, SCOPE, nothing).span(SpanData("one", *parts, None))
    [batch] = batches(journal)
    [span] = (
        ExportTraceServiceRequest.FromString(batch.body()).resource_spans[0].scope_spans[0].spans
    )
    assert span.attributes[0].value.string_value == WIDE
