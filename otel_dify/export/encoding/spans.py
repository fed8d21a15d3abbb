"""Spans as OTLP (``opentelemetry/proto/trace/v1/trace.proto``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link

from otel_dify.export.encoding import lean
from otel_dify.export.encoding.values import Attributes, as_number, as_text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, StatusCode

# SpanFlags. As OpenTelemetry's exporter for Python does, the lowest eight bits are left zero.
_KNOWN_WHETHER_REMOTE = 0x100
_REMOTE = 0x300
# Status without a description, by its code.
_STATUS: tuple[bytes, ...] = tuple(lean.Status(code=code).SerializeToString() for code in range(3))


class SpanEncoder:
    """Encodes spans.

    Args:
        attributes: encodes their attributes.
    """

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes.encode

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
        record = lean.SpanOfScope()
        span = record.span
        span.trace_id = context.trace_id.to_bytes(16)
        span.span_id = context.span_id.to_bytes(8)
        state = context.trace_state
        if state:
            span.trace_state = state.to_header()
        if parent is None:
            span.flags = _KNOWN_WHETHER_REMOTE
        else:
            span.parent_span_id = parent.span_id.to_bytes(8)
            span.flags = _REMOTE if parent.is_remote else _KNOWN_WHETHER_REMOTE
        # OTLP counts from 1, OpenTelemetry's Python from 0.
        span.kind = kind._value_ + 1
        try:
            span.name = name
            span.start_time_unix_nano = start_ns
            span.end_time_unix_nano = end_ns
        except (TypeError, ValueError):
            # Half a surrogate pair, or a time that a program has given as a float. One such costs
            # OpenTelemetry's exporter the batch.
            span.name = as_text(name)
            span.start_time_unix_nano = as_number(start_ns)
            span.end_time_unix_nano = as_number(end_ns)
        if attributes:
            span.attributes.extend(self._attributes(attributes))
        if events:
            self._add_events(span.events, events)
        if links:
            self._add_links(span.links, links)
        if status_description:
            status = lean.Status(message=as_text(status_description), code=status_code._value_)
            span.status = status.SerializeToString()
        else:
            span.status = _STATUS[status_code._value_]
        if dropped != (0, 0, 0):
            (
                span.dropped_attributes_count,
                span.dropped_events_count,
                span.dropped_links_count,
            ) = dropped
        encoded: bytes = record.SerializeToString()
        return encoded

    def encode_readable(self, span: ReadableSpan) -> bytes:
        """Return a span of the SDK as ``encode`` does."""
        status = span.status
        return self.encode(
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

    def _add_events(self, messages: Any, events: Sequence[Event]) -> None:
        for event in events:
            message = messages.add()
            try:
                message.name = event.name
                message.time_unix_nano = event.timestamp
            except (TypeError, ValueError):
                message.name = as_text(event.name)
                message.time_unix_nano = as_number(event.timestamp)
            message.attributes.extend(self._attributes(event.attributes))
            if event.dropped_attributes:
                message.dropped_attributes_count = event.dropped_attributes

    def _add_links(self, messages: Any, links: Sequence[Link]) -> None:
        for link in links:
            message = messages.add()
            context = link.context
            message.trace_id = context.trace_id.to_bytes(16)
            message.span_id = context.span_id.to_bytes(8)
            message.flags = _REMOTE if context.is_remote else _KNOWN_WHETHER_REMOTE
            message.attributes.extend(self._attributes(link.attributes))
            if link.dropped_attributes:
                message.dropped_attributes_count = link.dropped_attributes
