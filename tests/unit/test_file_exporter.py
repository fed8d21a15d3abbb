"""The file exporters write OTLP JSON: what is read back is what OpenTelemetry's encoder made."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    InMemoryLogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from otel_dify import guard
from otel_dify.export.file import (
    FileLogExporter,
    FileMetricExporter,
    FileSpanExporter,
    to_otlp_json,
)
from otel_dify.process import process

INSTANCE = "host:api:0"
RESOURCE = Resource({"service.instance.id": INSTANCE, "service.name": "dify-api"})
IDS = {"traceId", "spanId", "parentSpanId"}

texts = st.text(st.characters(codec="utf-8"), max_size=20)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)
values = st.one_of(
    texts,
    st.booleans(),
    integers,
    floats,
    st.lists(texts, max_size=3),
    st.lists(integers, max_size=3),
    st.lists(floats, max_size=3),
)
attributes = st.dictionaries(st.sampled_from(["traceId", "a.b", "spanId", "x"]), values)


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test hear what is said once in the life of a process."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    return iter(())


def parsed[M: Message](line: str, into: M) -> M:
    """Read OTLP JSON as the Collector does: ids are hex, enums are numbers."""
    plain = json.loads(line)
    _to_protobuf_json(plain)
    return ParseDict(plain, into)


def _to_protobuf_json(node: Any) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in IDS and isinstance(value, str):
                node[key] = base64.b64encode(bytes.fromhex(value)).decode()
            elif key in {"kind", "severityNumber", "aggregationTemporality"}:
                assert isinstance(value, int), f"{key} is a number in OTLP JSON"
            else:
                _to_protobuf_json(value)
    elif isinstance(node, list):
        for value in node:
            _to_protobuf_json(value)


def spans_of(name: str, known: Mapping[str, Any]) -> tuple[ReadableSpan, ...]:
    """Make a span with all that a span may have, below another one."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("scope", "1.0")
    state = TraceState([("ot", "th:8")])
    elsewhere = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    with tracer.start_as_current_span("above"):
        span = tracer.start_span(name, attributes=known, links=[Link(elsewhere, known)])
        span.add_event("event", known, 5)
        span.set_status(Status(StatusCode.ERROR, name))
        span.end()
    return memory.get_finished_spans()


def logs_of(body: str, known: Mapping[str, Any]) -> tuple[ReadableLogRecord, ...]:
    """Make a log record."""
    memory = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # upstream is untyped
    provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    provider.get_logger("scope").emit(
        LogRecord(
            timestamp=1,
            severity_number=SeverityNumber.WARN,
            severity_text="WARNING",
            body=body,
            attributes=dict(known),
            event_name="event",
        )
    )
    return memory.get_finished_logs()


def metrics_of(amount: float) -> MetricsData:
    """Make a point of a counter and of a histogram."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], RESOURCE, shutdown_on_exit=False)
    meter = provider.get_meter("scope")
    meter.create_counter("counter", "{x}", "doc").add(amount, {"label": "a"})
    meter.create_histogram("histogram", "s").record(amount, {"flag": True})
    data = reader.get_metrics_data()
    assert data is not None
    return data


@given(texts, attributes)
def test_spans_survive_the_way_through_json(name: str, known: dict[str, Any]) -> None:
    message = encode_spans(spans_of(name, known))
    assert parsed(to_otlp_json(message), type(message)()) == message


@given(texts, attributes)
def test_log_records_survive_the_way_through_json(body: str, known: dict[str, Any]) -> None:
    message = encode_logs(logs_of(body, known))
    assert parsed(to_otlp_json(message), type(message)()) == message


@given(st.floats(0, 1e12))
def test_metrics_survive_the_way_through_json(amount: float) -> None:
    message = encode_metrics(metrics_of(amount))
    assert parsed(to_otlp_json(message), type(message)()) == message


def test_ids_are_hexadecimal_and_attributes_of_such_a_name_are_left_alone() -> None:
    [child, _] = spans_of("name", {"traceId": "not an id"})
    line = to_otlp_json(encode_spans([child]))
    [span] = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert child.context is not None
    assert child.parent is not None
    assert span["traceId"] == f"{child.context.trace_id:032x}"
    assert span["spanId"] == f"{child.context.span_id:016x}"
    assert span["parentSpanId"] == f"{child.parent.span_id:016x}"
    assert span["attributes"] == [{"key": "traceId", "value": {"stringValue": "not an id"}}]


def test_each_export_is_one_line_in_the_file_of_its_signal_and_process(tmp_path: Path) -> None:
    environ = {"OTEL_DIFY_FILE_PATH": str(tmp_path / "out")}
    spans, logs = spans_of("line\nbreak", {}), logs_of("line\nbreak\u2028", {})
    for _ in range(2):
        assert FileSpanExporter(environ).export(spans) is SpanExportResult.SUCCESS
        assert FileLogExporter(environ).export(logs) is LogRecordExportResult.SUCCESS
        metrics = FileMetricExporter(environ).export(metrics_of(1))
        assert metrics is MetricExportResult.SUCCESS
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {f"{it}-host_api_0.jsonl" for it in ("traces", "metrics", "logs")}
    for text in files.values():
        assert [bool(json.loads(line)) for line in text.splitlines()] == [True, True]


def test_an_empty_export_makes_no_file(tmp_path: Path) -> None:
    environ = {"OTEL_DIFY_FILE_PATH": str(tmp_path / "out")}
    assert FileSpanExporter(environ).export([]) is SpanExportResult.SUCCESS
    assert FileLogExporter(environ).export([]) is LogRecordExportResult.SUCCESS
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_costs_one_line_a_signal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    environ = {"OTEL_DIFY_FILE_PATH": str(tmp_path / "file" / "out")}
    exporter = FileSpanExporter(environ)
    for _ in range(3):
        assert exporter.export(spans_of("name", {})) is SpanExportResult.FAILURE
    [record] = caplog.records
    assert record.getMessage().startswith(f"OTEL_DIFY_FILE_PATH={tmp_path / 'file' / 'out'} cannot")
    assert "Set it to a folder that Dify may write to" in record.getMessage()


@pytest.mark.parametrize("made", [FileMetricExporter, FileLogExporter])
def test_nothing_waits_in_an_exporter(made: Any, tmp_path: Path) -> None:
    exporter = made({"OTEL_DIFY_FILE_PATH": str(tmp_path)})
    assert exporter.force_flush() is True
    exporter.shutdown()
