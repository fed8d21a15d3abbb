"""Spans: the writer that makes a span of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import StatusCode

from otel_dify import table as t
from otel_dify.export.outlets import SpanData

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanLimits

    from otel_dify.cleaning.values import Value
    from otel_dify.export.outlets import SpanOutlet
    from otel_dify.records.record import Record


class SpanWriter:
    """Writes records as spans.

    Args:
        outlet: takes each span on.
        limits: the operator's limits (``OTEL_SPAN_*_LIMIT``).
    """

    def __init__(self, outlet: SpanOutlet, limits: SpanLimits) -> None:
        self._outlet = outlet
        self._limits = limits

    def write(self, record: Record) -> None:
        """Make the span of a record, if its trace is sampled."""
        if not record.span.trace_flags.sampled:
            return
        attributes = (
            {**record.attributes, **record.in_span} if record.in_span else record.attributes
        )
        above, failed = record.above, record.failed
        self._outlet.span(
            SpanData(
                record.name,
                record.span,
                above if above.is_valid else None,
                record.plan.kind.span_kind,
                record.start_ns,
                record.end_ns,
                self._bounded(attributes),
                self._events(record) if record.happenings else (),
                record.links,
                StatusCode.ERROR if failed else StatusCode.UNSET,
                str(attributes.get(t.ERROR_MESSAGE.key, "")) if failed else None,
            )
        )

    def _bounded(self, attributes: Mapping[str, Value]) -> Any:
        """Hold attributes to the limits; most have none to hold to, and are left as they are."""
        limits = self._limits
        most, longest = limits.max_span_attributes, limits.max_span_attribute_length
        if longest is None and (most is None or len(attributes) <= most):
            return attributes
        return BoundedAttributes(most, attributes, max_value_len=longest)

    def _events(self, record: Record) -> Sequence[Event]:
        events = tuple(
            Event(name, attributes, at_ns) for name, at_ns, attributes in record.happenings
        )
        most = self._limits.max_events
        return events if most is None or len(events) <= most else BoundedList.from_seq(most, events)
