"""The recorder: decides on what ended, makes its record, and hands it to the three writers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cleaning.known_content import KnownContent
from otel_dify.guard import failed, guarded
from otel_dify.records.record import Record, record_of
from otel_dify.records.recovery import begun_of

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_dify.cleaning.content import ContentGate
    from otel_dify.export.journal.opened import Opened
    from otel_dify.operations.operation import Operation
    from otel_dify.records.sampling import Identities
    from otel_dify.signals.events import EventWriter
    from otel_dify.signals.points import PointWriter
    from otel_dify.signals.spans import SpanWriter


@dataclass(frozen=True, slots=True)
class Writers:
    """The three writers of a record.

    Attributes:
        spans: writes spans.
        points: writes metric points.
        events: writes log events.
    """

    spans: SpanWriter
    points: PointWriter
    events: EventWriter

    def write(self, record: Record, *, span: bool = True) -> None:
        """Write the signals of a record; one that fails costs itself only.

        Args:
            record: the record.
            span: whether it has a span.
        """
        if span:
            _guarded("span", self.spans.write, record)
        _guarded("points", self.points.write, record)
        if record.plan.kind.event:
            _guarded("event", self.events.ended, record)


class Recorder:
    """Records the operations of a process.

    Attributes:
        slow_ns: from this duration on what folds gets a span of its own.
        points: the writer of metric points.

    Args:
        identities: gives operations the contexts of their spans.
        gate: what of their content goes into which signal.
        slow_query_ms: milliseconds from which on a query gets a span.
        writers: write the signals of a record.
        opened: notes what is begun, for who ends it when this process is killed.
    """

    def __init__(
        self,
        identities: Identities,
        gate: ContentGate,
        slow_query_ms: int,
        writers: Writers,
        opened: Opened | None = None,
    ) -> None:
        self.slow_ns = slow_query_ms * 1_000_000
        self.points = writers.points
        self._identities = identities
        self._gate = gate
        self._writers = writers
        self._opened = opened
        self._forgotten = False

    def started(self, operation: Operation) -> None:
        """Give an operation its span; one of a kind that folds gets it at its end, if at all."""
        kind, above = operation.kind, self._identities.above(operation)
        self._share_known(operation)
        if kind.folds:
            operation.span_context = above
            return
        operation.span_context = self._identities.new(operation, above)
        if kind.recovered and self._opened is not None:
            with guarded("otel_dify.records start"):
                operation.noted = self._opened.add(begun_of(operation, above))
        if kind.start_event and self._writers.events.starts:
            _guarded("event", self._writers.events.started, operation)

    def _share_known(self, operation: Operation) -> None:
        """Have an operation know the content of its tree, where not all of it is sent."""
        if self._gate.whole:
            return
        parent = operation.parent
        known = None if parent is None else parent.known
        operation.known = KnownContent() if known is None else known
        for content in operation.content.values():
            operation.knows(content)

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
        if self._forgotten:
            return
        for content in operation.content.values():
            # What a line in the middle has looked into may have grown since.
            if callable(content):
                operation.knows(content)
        has_span = True
        if operation.kind.folds:
            above = operation.span_context
            elapsed_ns = operation.end_ns - operation.start_ns
            has_span = not self.folds(elapsed_ns, above, has_failed=operation.failed)
            if has_span:
                operation.span_context = self._identities.new(operation, above)
            elif operation.parent is not None and operation.kind.folded:
                system = str(operation.attributes.get(t.DB_SYSTEM.key, ""))
                operation.parent.folding().add(system, elapsed_ns, "")
        else:
            above = self._identities.above(operation)
        self._writers.write(record_of(operation, above, self._gate), span=has_span)
        if operation.noted is not None and self._opened is not None:
            self._opened.remove(operation.noted)

    def forget(self) -> None:
        """Record nothing more: a forked child has its parent's operations, which end there."""
        self._forgotten = True


def _guarded[T: (Record, Operation)](signal: str, write: Callable[[T], None], thing: T) -> None:
    try:
        write(thing)
    except Exception as error:  # noqa: BLE001 - a signal that fails must not cost the others
        failed(f"otel_dify.records {signal}", error)
