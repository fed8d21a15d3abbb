"""OTLP JSON lines: the format of the OpenTelemetry Protocol File Exporter.

One line is one export request in OTLP's JSON encoding (ids as hex, enums as numbers), so that
``otel-dify view``, the Collector's OTLP JSON file receiver and other tools can read the files.
https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_dify.guard import say_once
from otel_dify.settings import FILE_PATH, Settings

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def to_otlp_json(message: Message) -> str:
    """Encode an export request as one line of OTLP JSON."""
    plain = MessageToDict(message, use_integers_for_enums=True)
    _hex_ids(plain)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _hex_ids(node: Any) -> None:
    """Turn the ids, which protobuf's JSON has as base64, into the hex that OTLP's JSON has."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _IDS and isinstance(value, str):
                node[key] = base64.b64decode(value).hex()
            else:
                _hex_ids(value)
    elif isinstance(node, list):
        for value in node:
            _hex_ids(value)


class _Lines:
    """Appends lines to the file of one signal of one process.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        environ: where ``OTEL_DIFY_FILE_PATH`` is read.
    """

    def __init__(self, signal: str, environ: Mapping[str, str] | None) -> None:
        self._folder: Path = Settings(environ)[FILE_PATH]
        self._signal = signal

    def append(self, message: Message, instance: str) -> bool:
        """Append one request; a folder that cannot be written costs the request and one line."""
        name = re.sub(r"[^\w.-]", "_", instance) or str(os.getpid())
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / f"{self._signal}-{name}.jsonl").open(
                "a", encoding="utf-8"
            ) as file:
                file.write(to_otlp_json(message) + "\n")
        except OSError as error:
            say_once(
                f"{FILE_PATH.name}={self._folder} cannot be written ({error.strerror}), so "
                f"{self._signal} are lost. Set it to a folder that Dify may write to"
            )
            return False
        return True


class FileSpanExporter(SpanExporter):
    """Writes spans as OTLP JSON lines into ``OTEL_DIFY_FILE_PATH``."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._lines = _Lines("traces", environ)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans as one line."""
        if not spans:
            return SpanExportResult.SUCCESS
        instance = str(spans[0].resource.attributes.get("service.instance.id", ""))
        done = self._lines.append(encode_spans(spans), instance)
        return SpanExportResult.SUCCESS if done else SpanExportResult.FAILURE


class FileMetricExporter(MetricExporter):
    """Writes metrics as OTLP JSON lines into ``OTEL_DIFY_FILE_PATH``."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._lines = _Lines("metrics", environ)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object
    ) -> MetricExportResult:
        """Append the metrics as one line."""
        del timeout_millis
        if not metrics_data.resource_metrics:
            return MetricExportResult.SUCCESS
        resource = metrics_data.resource_metrics[0].resource
        instance = str(resource.attributes.get("service.instance.id", ""))
        done = self._lines.append(encode_metrics(metrics_data), instance)
        return MetricExportResult.SUCCESS if done else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Nothing is held here."""


class FileLogExporter(LogRecordExporter):
    """Writes log records as OTLP JSON lines into ``OTEL_DIFY_FILE_PATH``."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._lines = _Lines("logs", environ)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Append the records as one line."""
        if not batch:
            return LogRecordExportResult.SUCCESS
        instance = str(batch[0].resource.attributes.get("service.instance.id", ""))
        done = self._lines.append(encode_logs(batch), instance)
        return LogRecordExportResult.SUCCESS if done else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        del timeout_millis
        return True

    def shutdown(self) -> None:
        """Nothing is held here."""
