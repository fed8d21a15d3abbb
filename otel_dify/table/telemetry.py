"""How telemetry itself fares."""

from __future__ import annotations

from otel_dify.table.instrument import Instrument

WORKERS = Instrument(
    "dify.workers",
    "gauge",
    "{process}",
    "1 for each process of Dify that records, told apart by its resource: sum or count them",
)
HOOK_FAILURES = Instrument(
    "otel_dify.hook.failures",
    "gauge",
    "{failure}",
    "Failures of otel_dify's own hooks in this process, by `place` and `error_type`",
)
ITEMS_LOST = Instrument(
    "otel_dify.export.lost",
    "gauge",
    "{item}",
    "Spans, log records and metrics that this process could not deliver, by `signal`",
)
