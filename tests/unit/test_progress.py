"""How sending fares: what is told of each request, under OpenTelemetry's names."""

from __future__ import annotations

from typing import Any

import pytest

from otel_dify.export.progress import Progress, Uncounted
from otel_dify.signals.cells import Cells
from otel_dify.signals.points import OwnStore
from otel_dify.signals.series import Exemplars


def told(store: OwnStore) -> dict[str, dict[tuple[tuple[str, Any], ...], float]]:
    """Return the values of counters and the counts of histograms, by metric and labels."""
    return {
        metric.name: {
            tuple(sorted((point.attributes or {}).items())): point.count
            if hasattr(point, "count")
            else point.value
            for point in metric.data.data_points
        }
        for metric in store.collect()
    }


@pytest.mark.parametrize(
    ("signal", "protocol", "component", "exported"),
    [
        ("traces", "grpc", "otlp_grpc_span_exporter", "otel.sdk.exporter.span.exported"),
        ("logs", "http/protobuf", "otlp_http_log_exporter", "otel.sdk.exporter.log.exported"),
        ("metrics", "http/protobuf", "otlp_http_metric_exporter", None),
    ],
)
def test_requests_are_counted_and_those_that_failed_apart(
    signal: str, protocol: str, component: str, exported: str | None
) -> None:
    store = OwnStore(Exemplars(), Cells())
    progress = Progress(store, signal, protocol)
    progress.sent(0.1, 3, 100)
    progress.sent(0.1, 4, 200)
    progress.sent(0.1, 5, 300, "retry")
    arrived = (("otel.component.type", component),)
    failed = (("error.type", "retry"), *arrived)
    expected = {
        "otel.sdk.exporter.operation.duration": {arrived: 2, failed: 1},
        "otel_dify.export.bytes": {arrived: 300},
    }
    if exported is not None:
        expected[exported] = {arrived: 7, failed: 5}
    assert told(store) == expected


def test_a_program_without_our_metrics_counts_nothing() -> None:
    Progress(Uncounted(), "traces", "grpc").sent(0.1, 3, 100)
