"""Log records as OTLP (``opentelemetry/proto/logs/v1/logs.proto``), put together by hand."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct, error
from typing import TYPE_CHECKING, Any

from otel_dify.export.encoding.names import Names
from otel_dify.export.encoding.values import Attributes, any_value, as_number, as_text
from otel_dify.export.encoding.wire import field, varint
from otel_dify.guard import failed

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord

# Tags of ScopeLogs and LogRecord, with the length behind them where that is known.
_RECORD = b"\x12"
_TIMES = Struct("<BQBQ")
_TIME, _OBSERVED = 0x09, 0x59
_SEVERITIES = tuple(bytes((0x10, number)) for number in range(25))
_SEVERITY_TEXT, _BODY, _ATTRIBUTE, _DROPPED = b"\x1a", b"\x2a", b"\x32", b"\x38"
_FLAGS, _TRACE_ID, _SPAN_ID, _EVENT_NAME = b"\x45", b"\x4a\x10", b"\x52\x08", b"\x62"
_TEXT = b"\x0a"  # AnyValue


class LogEncoder:
    """Encodes log records.

    May be used by many threads.

    Args:
        at_most: how many texts of attributes are kept (``Attributes``), and how many names.
    """

    def __init__(self, at_most: int = 4096) -> None:
        self._attributes = Attributes(at_most, _ATTRIBUTE).encode
        self._severities = Names(_SEVERITY_TEXT, at_most)
        self._names = Names(_EVENT_NAME, at_most)

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
        try:
            times = _TIMES.pack(_TIME, at_ns, _OBSERVED, observed_ns)
        except error:
            # A program has given a time as a float. That costs OpenTelemetry's exporter the batch.
            times = _TIMES.pack(_TIME, as_number(at_ns), _OBSERVED, as_number(observed_ns))
        parts = [times, _SEVERITIES[severity_number]]
        if severity_text:
            parts.append(self._severities[severity_text])
        parts.append(_body(body))
        if attributes:
            parts += self._attributes(attributes)
        if dropped:
            parts.append(_DROPPED + varint(dropped))
        if flags:
            parts.append(_FLAGS + flags.to_bytes(4, "little"))
        if trace_id:
            parts.append(_TRACE_ID + trace_id.to_bytes(16))
        if span_id:
            parts.append(_SPAN_ID + span_id.to_bytes(8))
        if event_name:
            parts.append(self._names[event_name])
        return field(_RECORD, b"".join(parts))

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


def _body(body: Any) -> bytes:
    """Encode a body; one that OTLP has no type for is empty."""
    if type(body) is str:
        try:
            text = body.encode()
        except UnicodeError:
            text = as_text(body).encode()
        return field(_BODY, field(_TEXT, text))
    try:
        return field(_BODY, any_value(body))
    except Exception as error:  # noqa: BLE001 - a body may be of any class
        failed("otel_dify.export.encoding.body", error)
        return field(_BODY, b"")
