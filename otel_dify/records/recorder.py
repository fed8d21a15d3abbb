"""The recorder: decides on what ended, makes its record, and hands it to the three writers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.guard import failed
from otel_dify.records.record import Record, record_of

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_dify.cleaning.content import ContentGate
    from otel_dify.operations.operation import Operation
    from otel_dify.records.sampling import Identities
    from otel_dify.signals.events import EventWriter
    from otel_dify.signals.points import PointWriter
    from otel_dify.signals.spans import SpanWriter


class Recorder:
    """Records the operations of a process.

    A writer that fails costs its own signal only.

    Attributes:
        slow_ns: from this duration on what folds gets a span of its own.
        points: the writer of metric points.

    Args:
        identities: gives operations the contexts of their spans.
        gate: what of their content goes into which signal.
        slow_query_ms: milliseconds from which on a query gets a span.
        spans: writes spans.
        points: writes metric points.
        events: writes log events.
    """

    def __init__(
        self,
        identities: Identities,
        gate: ContentGate,
        slow_query_ms: int,
        *,
        spans: SpanWriter,
        points: PointWriter,
        events: EventWriter,
    ) -> None:
        self.slow_ns = slow_query_ms * 1_000_000
        self.points = points
        self._identities = identities
        self._gate = gate
        self._spans = spans
        self._events = events

    def started(self, operation: Operation) -> None:
        """Give an operation its span; one of a kind that folds gets it at its end, if at all."""
        if operation.kind.folds:
            operation.span_context = self._identities.above(operation)
        else:
            operation.span_context = self._identities.new(operation)
            if operation.kind.start_event:
                _guarded("event", self._events.started, operation)

    def folds(self, elapsed_ns: int, above: SpanContext, *, has_failed: bool) -> bool:
        """Tell whether what has ended gets no span: it was fast, or no span is above it.

        Args:
            elapsed_ns: what it took, nanoseconds.
            above: context of the span above it.
            has_failed: whether it raised.
        """
        return not (has_failed or elapsed_ns >= self.slow_ns) or not above.is_valid

    def ended(self, operation: Operation) -> None:
        """Make the record of an operation, and of that its signals."""
        has_span = True
        if operation.kind.folds:
            above = operation.span_context
            elapsed_ns = operation.end_ns - operation.start_ns
            has_span = not self.folds(elapsed_ns, above, has_failed=operation.failed)
            if has_span:
                operation.span_context = self._identities.new(operation)
            elif operation.parent is not None and operation.kind.folded:
                system = str(operation.attributes.get(t.DB_SYSTEM.key, ""))
                operation.parent.folding().add(system, elapsed_ns, "")
        else:
            above = self._identities.above(operation)
        record = record_of(operation, above, self._gate)
        if has_span:
            _guarded("span", self._spans.write, record)
        _guarded("points", self.points.write, record)
        if operation.kind.event:
            _guarded("event", self._events.ended, record)


def _guarded[T: (Record, Operation)](signal: str, write: Callable[[T], None], thing: T) -> None:
    try:
        write(thing)
    except Exception as error:  # noqa: BLE001 - a signal that fails must not cost the others
        failed(f"otel_dify.records {signal}", error)
