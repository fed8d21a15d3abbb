"""Spans: the writer that makes a span of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Status, StatusCode

from otel_dify import table as t

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext

    from otel_dify.cleaning.values import Value
    from otel_dify.records.record import Record

_UNSET = Status()


class SpanWriter:
    """Writes records as spans.

    Args:
        send: takes each span on.
        resource: the resource of this process.
        scope: the scope that the spans are of.
        limits: the operator's limits (``OTEL_SPAN_*_LIMIT``).
    """

    def __init__(
        self,
        send: Callable[[ReadableSpan], None],
        resource: Resource,
        scope: InstrumentationScope,
        limits: SpanLimits,
    ) -> None:
        self._send = send
        self._resource = resource
        self._scope = scope
        self._limits = limits

    def write(self, record: Record) -> None:
        """Make the span of a record, if its trace is sampled."""
        if not record.span.trace_flags.sampled:
            return
        attributes = (
            {**record.attributes, **record.in_span} if record.in_span else record.attributes
        )
        self._send(
            ReadableSpan(
                record.name,
                record.span,
                _parent(record.above),
                self._resource,
                self._bounded(attributes),
                self._events(record),
                record.links,
                record.plan.kind.span_kind,
                status=_status(record) if record.failed else _UNSET,
                start_time=record.start_ns,
                end_time=record.end_ns,
                instrumentation_scope=self._scope,
            )
        )

    def _bounded(self, attributes: Mapping[str, Value]) -> Any:
        """Hold attributes to the limits; most have none to hold to, and are left as they are."""
        limits = self._limits
        most, longest = limits.max_span_attributes, limits.max_span_attribute_length
        if longest is None and (most is None or len(attributes) <= most):
            return attributes
        return BoundedAttributes(most, attributes, max_value_len=longest)

    def _events(self, record: Record) -> tuple[Event, ...] | BoundedList:  # type: ignore[type-arg] # not generic before 1.41
        if not record.happenings:
            return ()
        events = tuple(
            Event(name, attributes, at_ns) for name, at_ns, attributes in record.happenings
        )
        most = self._limits.max_events
        return events if most is None or len(events) <= most else BoundedList.from_seq(most, events)


def _parent(above: SpanContext) -> SpanContext | None:
    return above if above.is_valid else None


def _status(record: Record) -> Status:
    return Status(StatusCode.ERROR, str(record.attributes.get(t.ERROR_MESSAGE.key, "")))
