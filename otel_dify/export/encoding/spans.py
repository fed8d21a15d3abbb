"""Spans as OTLP (``opentelemetry/proto/trace/v1/trace.proto``), put together by hand.

A span ends far more often than anything else is encoded, and by protobuf's messages it takes a
third more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct, error
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link

from otel_dify.export.encoding.names import Names
from otel_dify.export.encoding.values import Attributes, as_number, as_text
from otel_dify.export.encoding.wire import field, varint

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceState

# Tags of ScopeSpans, Span, Event, Link and Status, with the length behind them where that is known.
_SPAN = b"\x12"
_IDS = Struct("<2s16s2s8s")
_TRACE_ID, _SPAN_ID = b"\x0a\x10", b"\x12\x08"
_STATE, _PARENT_ID, _NAME, _EVENT, _LINK, _STATUS = (
    *(b"\x1a", b"\x22\x08", b"\x2a", b"\x5a", b"\x6a", b"\x7a"),
)
_KINDS = tuple(bytes((0x30, kind + 1)) for kind in range(5))
"""OTLP counts from 1, OpenTelemetry's Python from 0."""
_TIMES = Struct("<BQBQ")
_START, _END = 0x39, 0x41
_ATTRIBUTE = b"\x4a"
_DROPPED = b"\x50", b"\x60", b"\x70"
_TIME_OF_EVENT, _TIME_OF_EVENT_TAG = Struct("<BQ"), 0x09
_NAME_OF_EVENT, _ATTRIBUTE_OF_EVENT, _DROPPED_OF_EVENT = b"\x12", b"\x1a", b"\x20"
_ATTRIBUTE_OF_LINK, _DROPPED_OF_LINK = b"\x22", b"\x28"
_MESSAGE, _CODE = b"\x12", b"\x18"
_STATUSES = tuple(field(_STATUS, _CODE + varint(code) if code else b"") for code in range(3))
"""Status without a description, by its code."""
# SpanFlags. As OpenTelemetry's exporter for Python does, the lowest eight bits are left zero.
_KNOWN_WHETHER_REMOTE = bytes((0, 1, 0, 0))
_REMOTE = bytes((0, 3, 0, 0))
_FLAGS, _FLAGS_OF_LINK = b"\x85\x01", b"\x35"


class SpanEncoder:
    """Encodes spans.

    May be used by many threads.

    Args:
        at_most: how many texts of attributes are kept (``Attributes``), and how many names.
    """

    def __init__(self, at_most: int = 4096) -> None:
        self._attributes = Attributes(at_most, _ATTRIBUTE).encode
        self._attributes_of_event = Attributes(at_most, _ATTRIBUTE_OF_EVENT).encode
        self._attributes_of_link = Attributes(at_most, _ATTRIBUTE_OF_LINK).encode
        self._names = Names(_NAME, at_most)
        self._names_of_events = Names(_NAME_OF_EVENT, at_most)
        self._state: tuple[TraceState | None, bytes] = (None, b"")

    def encode(  # noqa: PLR0917 - called for every span: names would cost, too
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, Any] | None,
        events: Sequence[Event],
        links: Sequence[Link],
        status_code: StatusCode,
        status_description: str | None,
        dropped: tuple[int, int, int] = (0, 0, 0),
    ) -> bytes:
        """Return a span as it stands in ScopeSpans: tag, length, message.

        Args:
            name: its name.
            context: its own context.
            parent: that of the span above it.
            kind: its kind.
            start_ns: when it began, nanoseconds since the epoch.
            end_ns: when it ended, the same.
            attributes: its attributes.
            events: its events.
            links: its links.
            status_code: how it ended.
            status_description: what is said of that.
            dropped: how many attributes, events and links were left out of it.

        Raises:
            OverflowError: an id has too many bits.
        """
        parts = [
            _IDS.pack(
                _TRACE_ID, context.trace_id.to_bytes(16), _SPAN_ID, context.span_id.to_bytes(8)
            )
        ]
        state = context.trace_state
        if state:
            known, encoded = self._state
            parts.append(encoded if known is state else self._encode_state(state))
        flags = _KNOWN_WHETHER_REMOTE
        if parent is not None:
            parts.append(_PARENT_ID + parent.span_id.to_bytes(8))
            if parent.is_remote:
                flags = _REMOTE
        parts.append(self._names[name])
        parts.append(_KINDS[kind._value_])
        try:
            parts.append(_TIMES.pack(_START, start_ns, _END, end_ns))
        except error:
            # A program has given a time as a float. That costs OpenTelemetry's exporter the batch.
            parts.append(_TIMES.pack(_START, as_number(start_ns), _END, as_number(end_ns)))
        if attributes:
            parts += self._attributes(attributes)
        if events:
            parts += map(self._event, events)
        if links:
            parts += map(self._link, links)
        if status_description:
            message = field(_MESSAGE, as_text(status_description).encode())
            parts.append(field(_STATUS, message + _CODE + varint(status_code._value_)))
        else:
            parts.append(_STATUSES[status_code._value_])
        if dropped != (0, 0, 0):
            parts += (tag + varint(number) for tag, number in zip(_DROPPED, dropped, strict=True))
        parts.append(_FLAGS + flags)
        return field(_SPAN, b"".join(parts))

    def _encode_state(self, state: TraceState) -> bytes:
        """Encode a tracestate, and keep it: the spans of a trace have the same one in common."""
        encoded = field(_STATE, state.to_header().encode())
        self._state = (state, encoded)
        return encoded

    def encode_readable(self, span: ReadableSpan) -> bytes:
        """Return a span of the SDK as ``encode`` does."""
        return self.encode(*fields_of(span))

    def _event(self, event: Event) -> bytes:
        name, attributes = event.name, event.attributes
        try:
            at = _TIME_OF_EVENT.pack(_TIME_OF_EVENT_TAG, event.timestamp)
        except error:
            at = _TIME_OF_EVENT.pack(_TIME_OF_EVENT_TAG, as_number(event.timestamp))
        parts = [at, self._names_of_events[name]]
        if attributes:
            parts += self._attributes_of_event(attributes)
        # Only the SDK's kind of attributes counts them, and asking costs as much as encoding.
        if type(attributes) is not dict and event.dropped_attributes:
            parts.append(_DROPPED_OF_EVENT + varint(event.dropped_attributes))
        return field(_EVENT, b"".join(parts))

    def _link(self, link: Link) -> bytes:
        context = link.context
        parts = [
            _IDS.pack(
                _TRACE_ID, context.trace_id.to_bytes(16), _SPAN_ID, context.span_id.to_bytes(8)
            )
        ]
        parts += self._attributes_of_link(link.attributes)
        if link.dropped_attributes:
            parts.append(_DROPPED_OF_LINK + varint(link.dropped_attributes))
        parts.append(_FLAGS_OF_LINK + (_REMOTE if context.is_remote else _KNOWN_WHETHER_REMOTE))
        return field(_LINK, b"".join(parts))


def fields_of(span: ReadableSpan) -> tuple[Any, ...]:
    """Return what a span of the SDK has, as ``SpanEncoder.encode`` takes it."""
    status = span.status
    return (
        span.name,
        span.get_span_context() or INVALID_SPAN_CONTEXT,
        span.parent,
        span.kind,
        span.start_time or 0,
        span.end_time or 0,
        span.attributes,
        span.events,
        span.links,
        status.status_code,
        status.description,
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
    )
