"""Spans of foreign instrumentations: inputs like the rest, cleaned before they go on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.trace import Link, Status

from otel_dify.cleaning.content import as_text, is_content, reference_to
from otel_dify.cleaning.known_content import KnownContent, without
from otel_dify.cleaning.text import clean, clean_attribute
from otel_dify.guard import failed
from otel_dify.operations.current import current, known_around

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

    from otel_dify.cleaning.content import ContentGate
    from otel_dify.cleaning.values import Value

type Known = Collection[KnownContent]


class ForeignSpans(SpanProcessor):
    """Takes spans that other instrumentations have ended, and sends clean copies on.

    Args:
        send: takes each span on.
        gate: what content goes into spans.
    """

    def __init__(self, send: Callable[[ReadableSpan], None], gate: ContentGate) -> None:
        self._send = send
        self._gate = gate

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Put the ids of the run that a span lies in on it."""
        operation = current(parent_context)
        if operation is not None:
            span.set_attributes(dict(operation.inherited))

    def on_end(self, span: ReadableSpan) -> None:
        """Send a copy of a span without secrets, and without content where nobody asked for it."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        try:
            copy = self._clean(span)
        except Exception as error:  # noqa: BLE001 - what cannot be cleaned does not leave
            failed("otel_dify.records.foreign", error)
            return
        self._send(copy)

    def _clean(self, span: ReadableSpan) -> ReadableSpan:
        known = () if self._gate.span else known_around(current())
        return ReadableSpan(
            clean(span.name),
            span.get_span_context(),
            span.parent,
            span.resource,
            self._attributes(span.attributes, known),
            [
                Event(clean(event.name), self._attributes(event.attributes, known), event.timestamp)
                for event in span.events
            ],
            [Link(link.context, self._attributes(link.attributes, known)) for link in span.links],
            span.kind,
            status=Status(span.status.status_code, _description(span.status, known)),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _attributes(self, attributes: Mapping[str, Any] | None, known: Known) -> Any:
        """Clean attributes of any name; how many the SDK has dropped is still told."""
        given = attributes or {}
        cleaned = {key: self._value(key, value, given, known) for key, value in given.items()}
        dropped = getattr(attributes, "dropped", 0)
        if not dropped:
            return cleaned
        bounded = BoundedAttributes(attributes=cleaned)
        bounded.dropped = dropped
        return bounded

    def _value(self, key: str, value: object, others: Mapping[str, Any], known: Known) -> Value:
        if not is_content(key):
            cleaned = clean_attribute(key, value)
            return without(cleaned, known) if isinstance(cleaned, str) else cleaned
        return as_text(value) if self._gate.span else reference_to(others)


def _description(status: Status, known: Known) -> str | None:
    text = status.description
    return None if text is None else clean(without(text, known))
