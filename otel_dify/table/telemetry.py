"""How telemetry itself fares."""

from __future__ import annotations

from otel_dify.table.instrument import SHORT_BUCKETS, Instrument

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
    "counter",
    "{item}",
    "Spans, log records and metrics that could not be delivered, by `signal` and `reason`",
)
_FIELDS = "by `otel.component.type`; failures by `error.type`"
EXPORTED = {
    "traces": Instrument(
        "otel.sdk.exporter.span.exported", "counter", "{span}", f"Spans sent, {_FIELDS}"
    ),
    "logs": Instrument(
        "otel.sdk.exporter.log.exported", "counter", "{log_record}", f"Log records sent, {_FIELDS}"
    ),
}
SPANS_EXPORTED, LOGS_EXPORTED = EXPORTED.values()
EXPORT_DURATION = Instrument(
    "otel.sdk.exporter.operation.duration",
    "histogram",
    "s",
    f"Duration of requests to the Collector, {_FIELDS}",
    SHORT_BUCKETS,
)
EXPORTED_BYTES = Instrument(
    "otel_dify.export.bytes",
    "counter",
    "By",
    "Bytes of requests that have arrived, before compression, by `otel.component.type`",
)
QUEUE_SIZES = {
    "traces": Instrument(
        "otel.sdk.processor.span.queue.size", "gauge", "{span}", "Spans that wait to be sent"
    ),
    "logs": Instrument(
        "otel.sdk.processor.log.queue.size",
        "gauge",
        "{log_record}",
        "Log records that wait to be sent",
    ),
}
SPANS_WAITING, LOGS_WAITING = QUEUE_SIZES.values()
JOURNAL_BYTES = Instrument(
    "otel_dify.journal.size", "gauge", "By", "Bytes of this process's journal, by `signal`"
)
JOURNAL_AGE = Instrument(
    "otel_dify.journal.age",
    "gauge",
    "s",
    "Age of the oldest part of this process's journal that waits to be sent, by `signal`",
)
