"""Journals into records: what Dify's processes have not sent yet, and what they are doing now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from otel_dify.cli.otlp_json import add, process_of
from otel_dify.cli.records import Process, Span, Telemetry

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

    from otel_dify.export.journal.opened import Begun


def read(folder: Path) -> Telemetry:
    """Read all journals of a folder, changing nothing.

    What a process has begun and not ended is a span without an end. Metrics are in no journal.
    """
    from otel_dify.export.journal.looking import look, places

    telemetry = Telemetry()
    for place in places(folder):
        seen = look(place)
        for signal, bodies in seen.requests.items():
            for body in bodies:
                add(telemetry, _document(signal, body))
        process = _process(seen.resource)
        telemetry.spans += [_open(one, process) for one in seen.begun]
        if seen.damaged:
            telemetry.problems.append(
                f"{place}: {seen.damaged} part(s) are damaged and left out: a process was killed "
                "as it wrote, or the power was cut"
            )
    # One that ended between the two readings is in both.
    ended = {span.span_id for span in telemetry.spans if span.end_ns}
    telemetry.spans = [s for s in telemetry.spans if s.end_ns or s.span_id not in ended]
    return telemetry


def _document(signal: str, body: bytes) -> dict[str, object]:
    """Parse the body of a request into what OTLP JSON has."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from otel_dify.export.file import to_otlp_json

    message: Message = (
        ExportTraceServiceRequest() if signal == "traces" else ExportLogsServiceRequest()
    )
    message.ParseFromString(body)
    document: dict[str, object] = json.loads(to_otlp_json(message))
    return document


def _process(resource: bytes) -> Process:
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

    from otel_dify.export.file import to_otlp_json

    return process_of(json.loads(to_otlp_json(ResourceSpans.FromString(resource))))


def _open(one: Begun, process: Process) -> Span:
    from otel_dify.records.recovery import span_of

    name, kind = span_of(one)
    return Span(
        trace_id=f"{one.trace_id:032x}",
        span_id=f"{one.span_id:016x}",
        parent_id=f"{one.above_id:016x}" if one.above_id else "",
        name=name,
        start_ns=one.start_ns,
        end_ns=0,
        attributes=dict(one.attributes),  # type: ignore[arg-type] # sequences are shown as they are
        failed=False,
        message="",
        process=process,
        kind=kind.value + 1,  # the API counts from 0
    )
