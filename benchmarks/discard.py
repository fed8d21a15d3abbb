"""Exporters that count what they are given and send nothing, found as any exporter is.

``OTEL_TRACES_EXPORTER=discard`` and its like find them where the folder that ``install`` writes is
on the import path: batches are made and handed over, and nothing is encoded or sent. The stock
parts are given the same classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

exported: Counter[str] = Counter()
"""Items that this process has handed to an exporter: ``spans``, ``logs``, ``collections``."""

_CLASSES = {"traces": "Spans", "metrics": "Metrics", "logs": "Logs"}


class Spans(SpanExporter):
    """Counts spans."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Count a batch."""
        exported["spans"] += len(spans)
        return SpanExportResult.SUCCESS


class Logs(LogRecordExporter):
    """Counts log records, events among them."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Count a batch."""
        exported["logs"] += len(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        """Hold nothing back."""
        del timeout_millis
        return True

    def shutdown(self) -> None:
        """Hold nothing that needs an end."""


class Metrics(MetricExporter):
    """Counts collections of metrics."""

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object
    ) -> MetricExportResult:
        """Count a collection."""
        del metrics_data, timeout_millis, kwargs
        exported["collections"] += 1
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Hold nothing back."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Hold nothing that needs an end."""


def install(folder: Path) -> None:
    """Write a distribution's metadata with the exporters' entry points into a folder.

    The folder has to be on the import path of the process that is to find them.
    """
    metadata = folder / "otel_dify_bench-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: otel-dify-bench\nVersion: 0\n", encoding="utf-8"
    )
    groups = [
        f"[opentelemetry_{signal}_exporter]\ndiscard = {__name__}:{name}\n"
        for signal, name in _CLASSES.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
