"""Our own export for any program of the SDK: ``OTEL_TRACES_EXPORTER=otel_dify`` and the like.

What the SDK gives them is encoded once and in the journal before ``export`` returns; a thread
sends it. ``OTEL_DIFY_JOURNAL_DIR`` says where journals are. What waits in the SDK's own processors
is in memory, as ever: ``SimpleSpanProcessor`` hands spans on at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_dify import settings as s
from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.export.encoding.metrics import MetricEncoder
from otel_dify.export.encoding.request import encode_resource, encode_scope, request
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.encoding.values import Attributes
from otel_dify.export.outlets import Scopes
from otel_dify.export.own import OwnExport
from otel_dify.export.sending.destination import destination
from otel_dify.export.sending.outcome import Delivered, Retry

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

SHUTDOWN_S = 2.0
"""Seconds that sending the last of it may take; the rest waits in the journal."""
_FOLDER = "sdk"
"""Folder of these journals: they have nothing that another process could end."""


class _Journaled:
    """The journals of one signal, one for each resource that there is: what exporters share.

    Args:
        signal: ``traces`` or ``logs``.
        environ: the variables; ``os.environ`` where none is given.
    """

    def __init__(self, signal: str, environ: Mapping[str, str] | None) -> None:
        self._signal = signal
        self._settings = s.Settings(environ)
        self._process = os.getpid()
        self._by_resource: dict[Resource, tuple[OwnExport, Scopes]] = {}

    def _journals(self) -> dict[Resource, tuple[OwnExport, Scopes]]:
        """Return those of this process.

        The SDK goes on with its exporters in a forked child; the parent's journals are not its.
        """
        if self._process != os.getpid():
            self._process = os.getpid()
            for own, _ in self._by_resource.values():
                own.forget()
            self._by_resource.clear()
        return self._by_resource

    def _append(self, resource: Resource, scope: Any, record: bytes) -> None:
        """Put a record into the journal."""
        journals = self._journals()
        found = journals.get(resource)
        if found is None:
            # What another process leaves is taken over by who sends the same signal.
            folder = f"{_FOLDER}-{self._signal}"
            own = OwnExport(
                self._settings, (self._signal,), resource, _FOLDER, _nothing, folder=folder
            )
            found = journals[resource] = own, Scopes(own.journal(self._signal))
        own, scopes = found
        own.append(self._signal, scopes.number(scope), record)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits; tell whether nothing does."""
        journals = [own for own, _ in self._journals().values()]
        for own in journals:
            own.flush(int(timeout_millis))
        return not any(own.journal(self._signal).waiting for own in journals)

    def shutdown(self) -> None:
        """Send what waits, and stop."""
        deadline = time.monotonic() + SHUTDOWN_S
        journals = [own for own, _ in self._journals().values()]
        for own in journals:
            own.stop(deadline)
        for own in journals:
            own.join(deadline)


def _nothing(_: object) -> None:
    """Nothing is begun here that could be left open."""


class OtelDifySpanExporter(_Journaled, SpanExporter):
    """Journals and sends spans.

    Args:
        environ: the variables; ``os.environ`` where none is given.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__("traces", environ)
        self._encode = SpanEncoder().encode_readable

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Put spans into the journal."""
        for span in spans:
            self._append(span.resource, span.instrumentation_scope, self._encode(span))
        return SpanExportResult.SUCCESS


class OtelDifyLogExporter(_Journaled, LogRecordExporter):
    """Journals and sends log records.

    Args:
        environ: the variables; ``os.environ`` where none is given.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__("logs", environ)
        self._encode = LogEncoder().encode_readable

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Put log records into the journal."""
        for record in batch:
            self._append(record.resource, record.instrumentation_scope, self._encode(record))
        return LogRecordExportResult.SUCCESS


class OtelDifyMetricExporter(MetricExporter):
    """Sends metrics; what is not sent is in the next collection of a cumulative reader.

    Attributes:
        where: where to, in the operator's words.

    Args:
        environ: the variables; ``os.environ`` where none is given.
        temporality: by class of instrument, where it is not cumulative.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        temporality: dict[type, AggregationTemporality] | None = None,
    ) -> None:
        super().__init__(preferred_temporality=temporality)
        to = destination(s.Settings(environ), "metrics")
        self.where = to.where
        self._timeout_s = to.timeout_s
        self._transport = to.transport()
        self._encoder = MetricEncoder(Attributes())

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object
    ) -> MetricExportResult:
        """Send metrics, again and again while there is time and the backend asks for it."""
        body = b"".join(
            request(
                encode_resource(of_resource.resource),
                [
                    (encode_scope(of_scope.scope), map(self._encoder.encode, of_scope.metrics))
                    for of_scope in of_resource.scope_metrics
                ],
            )
            for of_resource in metrics_data.resource_metrics
        )
        until = time.monotonic() + min(timeout_millis / 1000, self._timeout_s)
        wait_s = 0.5
        while (left_s := until - time.monotonic()) > 0:
            outcome = self._transport.send(body, left_s)
            if isinstance(outcome, Delivered):
                return MetricExportResult.SUCCESS
            if not isinstance(outcome, Retry):
                break
            wait_s = max(wait_s * 2, outcome.after_s or 0.0)
            if wait_s > until - time.monotonic():
                break
            time.sleep(wait_s)
        return MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Close the connection."""
        del timeout_millis
        self._transport.close()
