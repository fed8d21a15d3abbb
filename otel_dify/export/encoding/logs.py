"""Log records as OTLP (``opentelemetry/proto/logs/v1/logs.proto``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_dify.export.encoding import lean
from otel_dify.export.encoding.values import Attributes, as_number, as_text, set_value
from otel_dify.guard import failed

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord


class LogEncoder:
    """Encodes log records.

    Args:
        attributes: encodes their attributes.
    """

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes.encode

    def encode(  # noqa: PLR0917 - called for every record: names would cost, too
        self,
        at_ns: int,
        observed_ns: int,
        trace_id: int,
        span_id: int,
        flags: int,
        severity_number: int,
        severity_text: str | None,
        body: Any,
        attributes: Mapping[str, Any] | None,
        event_name: str | None,
        dropped: int = 0,
    ) -> bytes:
        """Return a log record as it stands in ScopeLogs: tag, length, message.

        Args:
            at_ns: when it happened, nanoseconds since the epoch; 0 if that is not known.
            observed_ns: when it was noticed, the same.
            trace_id: the trace that it belongs to, or 0.
            span_id: the span that it belongs to, or 0.
            flags: the trace flags of that span.
            severity_number: OpenTelemetry's number of its level, or 0.
            severity_text: its level in the words of who logged it.
            body: what is logged, of any type that an attribute may have. Any other is left out and
                counted by the guard.
            attributes: its attributes.
            event_name: its name if it is an event.
            dropped: how many attributes were left out of it.

        Raises:
            OverflowError: an id has too many bits.
        """
        record = lean.LogRecordOfScope()
        log = record.log_record
        if trace_id:
            log.trace_id = trace_id.to_bytes(16)
        if span_id:
            log.span_id = span_id.to_bytes(8)
        if flags:
            log.flags = flags
        log.severity_number = severity_number
        try:
            log.time_unix_nano = at_ns
            log.observed_time_unix_nano = observed_ns
            if severity_text:
                log.severity_text = severity_text
            if event_name:
                log.event_name = event_name
        except (TypeError, ValueError):
            # Half a surrogate pair, or a time that a program has given as a float. One such costs
            # OpenTelemetry's exporter the batch.
            log.time_unix_nano = as_number(at_ns)
            log.observed_time_unix_nano = as_number(observed_ns)
            log.severity_text = as_text(severity_text)
            log.event_name = as_text(event_name)
        try:
            set_value(log.body, body)
        except Exception as error:  # noqa: BLE001 - a body may be of any class
            log.body.Clear()
            failed("otel_dify.export.encoding.body", error)
        if attributes:
            log.attributes.extend(self._attributes(attributes))
        if dropped:
            log.dropped_attributes_count = dropped
        encoded: bytes = record.SerializeToString()
        return encoded

    def encode_readable(self, record: ReadableLogRecord) -> bytes:
        """Return a log record of the SDK as ``encode`` does."""
        plain = record.log_record
        severity = plain.severity_number
        return self.encode(
            plain.timestamp or 0,
            plain.observed_timestamp or 0,
            plain.trace_id or 0,
            plain.span_id or 0,
            plain.trace_flags or 0,
            0 if severity is None else severity.value,
            plain.severity_text,
            plain.body,
            plain.attributes,
            plain.event_name,
            record.dropped_attributes,
        )
