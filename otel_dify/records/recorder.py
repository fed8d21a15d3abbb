"""The recorder: decides on what ended, makes its record, and hands it to the three writers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cleaning.known_content import KnownContent
from otel_dify.guard import failed, guarded, never_raises
from otel_dify.operations.decision import Decision
from otel_dify.process import process
from otel_dify.records.limiting import Limiting, Limits, has_room, say_what_is_missing
from otel_dify.records.record import Record, record_of
from otel_dify.records.recovery import begun_of
from otel_dify.records.sampling import CARRIES_ON
from otel_dify.sampling.probability import randomness_of
from otel_dify.signals.shown import Shown

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_dify.cleaning.content import ContentGate
    from otel_dify.export.journal.opened import Opened
    from otel_dify.operations.operation import Operation
    from otel_dify.records.sampling import Identities
    from otel_dify.signals.events import EventWriter
    from otel_dify.signals.points import PointWriter
    from otel_dify.signals.spans import SpanWriter


LISTED_NS = 100_000_000
"""Nanoseconds from which on a query is slow where every one has a span."""


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

    def write(self, record: Record, *, span: bool = True, event: bool = True) -> None:
        """Write the signals of a record; one that fails costs itself only.

        Args:
            record: the record.
            span: whether it has a span that is to be written now.
            event: whether it has an event, where its kind has one.
        """
        if span:
            self.write_span(record)
        _guarded("points", self.points.write, record)
        if event and record.plan.kind.event:
            _guarded("event", self.events.ended, record)

    def write_span(self, record: Record) -> None:
        """Write the span of a record."""
        _guarded("span", self.spans.write, record)


class Recorder:
    """Records the operations of a process.

    Attributes:
        slow_ns: from this duration on what folds gets a span of its own.
        listed_ns: from this duration on a query is in the list of slow ones.
        points: the writer of metric points.

    Args:
        identities: gives operations the contexts of their spans.
        gate: what of their content goes into which signal.
        limits: when an operation has no span.
        writers: write the signals of a record.
        opened: notes what is begun, for who ends it when this process is killed.
    """

    def __init__(
        self,
        identities: Identities,
        gate: ContentGate,
        limits: Limits,
        writers: Writers,
        opened: Opened | None = None,
    ) -> None:
        self.slow_ns = limits.slow_ms * 1_000_000
        self.listed_ns = self.slow_ns or LISTED_NS
        self._limiting = Limiting(identities, limits)
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
        if not self._limiting.lets_in(operation, above):
            return
        operation.span_context = self._identities.new(operation, above)
        if operation.decision is not None:
            self._decide(operation, operation.decision, last=kind.span_kind in CARRIES_ON)
        if kind.recovered:
            self._note(operation, above)
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

    def keep(self, operation: Operation) -> None:
        """Have the trace of an operation that has just begun kept, whatever its rate."""
        decision, span = operation.decision, operation.span_context
        if decision is None:
            if span.trace_flags.sampled:
                return
            # Where there are no rates a caller has dropped it.
            decision = Decision(randomness_of(span.trace_id), span.trace_state, drops=True)
            operation.decision = decision
        decision.settle(0, again=True)
        self._told(operation, decision)

    def decide(self, operation: Operation) -> None:
        """Have it decided on the trace of an operation: it goes on where nothing can be held."""
        if operation.decision is not None:
            self._decide(operation, operation.decision, last=True)

    def _decide(self, operation: Operation, decision: Decision, *, last: bool) -> None:
        if not decision.settled and self._identities.consider(operation, decision, last=last):
            self._told(operation, decision)

    def _told(self, operation: Operation, decision: Decision) -> None:
        """Tell the operations around one, which go on, what has been decided on their trace."""
        one: Operation | None = operation
        while one is not None and one.decision is decision:
            one.span_context = decision.context(one.span_context)
            if one.noted is not None:
                self._forget_noted(one)
                self._note(one, self._identities.above(one))
            one = one.parent

    def _note(self, operation: Operation, above: SpanContext) -> None:
        """Note an operation, for who ends it when this process is killed."""
        if self._opened is None:
            return
        with guarded("otel_dify.records start"):
            operation.noted = self._opened.add(begun_of(operation, above))
        if operation.end_ns:  # by another thread, meanwhile
            self._forget_noted(operation)

    def _forget_noted(self, operation: Operation) -> None:
        with process.counting:
            noted, operation.noted = operation.noted, None
        if noted is not None and self._opened is not None:
            self._opened.remove(noted)

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
        if operation.kind.folds:
            above, elapsed_ns = operation.span_context, operation.end_ns - operation.start_ns
            has_span = not self.folds(elapsed_ns, above, has_failed=operation.failed)
            has_span = has_span and has_room(operation)
            if has_span:
                operation.span_context = self._identities.new(operation, above)
            elif operation.parent is not None and operation.kind.folded:
                system = str(operation.attributes.get(t.DB_SYSTEM.key, ""))
                operation.parent.folding().add(system, elapsed_ns, "")
        else:
            has_span = self._limiting.has_span(operation)
            above = self._identities.above(operation)
            say_what_is_missing(operation)
        if has_span and operation.decision is not None:
            self._write_decided(operation, above, operation.decision)
        else:
            record = record_of(operation, above, self._gate)
            self._writers.write(record, span=has_span, event=has_span or operation.kind.folds)
        if operation.kind is t.QUERY:
            self.list_slow(operation)
        if operation.noted is not None:
            self._forget_noted(operation)

    @never_raises("otel_dify.records slow query")
    def list_slow(self, query: Operation) -> None:
        """Have a query that has ended in the list of slow ones, if it is one."""
        elapsed_ns = query.end_ns - query.start_ns
        if elapsed_ns >= self.listed_ns:
            shown, ended_s = process.kept(Shown), query.end_ns / 1e9
            shown.query(query.attributes, elapsed_ns / 1e9, ended_s, failed=query.failed)

    def _write_decided(self, operation: Operation, above: SpanContext, decision: Decision) -> None:
        """Write what has ended; its span, where it is not known yet whether it is sent, later."""
        outer = operation.parent
        last = outer is None or outer.decision is not decision
        self._decide(operation, decision, last=last)
        # Asked before the context is taken: another thread may settle it in between.
        held = not decision.settled
        operation.span_context = decision.context(operation.span_context)
        record = record_of(operation, above, self._gate)
        self._writers.write(record, span=not held)
        if held:
            decision.hold(partial(self._write_held, record, decision))

    def _write_held(self, record: Record, decision: Decision) -> None:
        self._writers.write_span(replace(record, span=decision.context(record.span)))

    def forget(self) -> None:
        """Record nothing more: a forked child has its parent's operations, which end there."""
        self._forgotten = True


def _guarded[T: (Record, Operation)](signal: str, write: Callable[[T], None], thing: T) -> None:
    try:
        write(thing)
    except Exception as error:  # noqa: BLE001 - a signal that fails must not cost the others
        failed(f"otel_dify.records {signal}", error)
