"""Spans: the recorder that opens a span with an operation and closes it with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from otel_dify.operations import attributes as a
from otel_dify.processors.folding import folds

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from otel_dify.operations.operation import Operation
    from otel_dify.processors.content import ContentGate


class SpanRecorder:
    """Records operations as spans.

    Args:
        tracer: where spans are made.
        gate: what of an operation's content goes into its span.
        slow_query_ms: from this duration on a query gets a span of its own.
    """

    def __init__(self, tracer: Tracer, gate: ContentGate, slow_query_ms: int) -> None:
        self._tracer = tracer
        self._gate = gate
        self._slow_ns = slow_query_ms * 1_000_000

    def start(self, operation: Operation) -> None:
        """Open the span; a kind that folds gets one at its end, if at all."""
        if not operation.kind.folds:
            self._open(operation)

    def end(self, operation: Operation) -> None:
        """Complete and close the span, or count the operation on its parent."""
        if operation.kind.folds:
            if folds(operation, slow_ns=self._slow_ns):
                if operation.parent is not None and operation.kind.folded is not None:
                    number, seconds = operation.kind.folded
                    operation.parent.add(number, 1)
                    operation.parent.add(seconds, operation.duration)
                return
            self._open(operation)
        span = operation.span
        if span.is_recording():
            span.update_name(name_of(operation))
            # A copy: what lies below may be hoisting its ids from another thread.
            span.set_attributes(dict(operation.attributes))
            span.set_attributes(self._gate.values(operation, "span"))
            for name, at_ns, attributes in operation.events:
                span.add_event(name, attributes, at_ns)
            if operation.failed:
                message = str(operation.get(a.ERROR_MESSAGE) or "")
                span.set_status(Status(StatusCode.ERROR, message))
        span.end(operation.end_ns)

    def _open(self, operation: Operation) -> None:
        operation.span = self._tracer.start_span(
            name_of(operation),
            _parent_of(operation),
            operation.kind.span_kind,
            operation.attributes,
            operation.links,
            operation.start_ns,
        )
        operation.context = trace.set_span_in_context(operation.span, operation.context)


def _parent_of(operation: Operation) -> Context:
    """Find the context whose span is to be the parent.

    A span of another provider (Dify's own, with ``ENABLE_OTEL=true``) goes elsewhere, and what it
    encloses would have no parent here: its parent is the span of the operation around them both.
    """
    context, above = operation.parent_context, operation.parent
    if above is None or not above.span.get_span_context().is_valid:
        return context
    # What the SDK makes has the resource of its provider.
    resource = getattr(trace.get_current_span(context), "resource", None)
    if resource is None or resource is getattr(above.span, "resource", None):
        return context
    return trace.set_span_in_context(above.span, context)


def name_of(operation: Operation) -> str:
    """Fill the pattern of its kind with what is known of an operation."""
    filled = operation.fill(operation.kind.span_name)
    return operation.span_name or filled.strip() or operation.kind.name
