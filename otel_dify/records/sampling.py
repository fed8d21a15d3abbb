"""Identities: the span context that an operation gets when it starts, sampled or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState

from otel_dify import table as t
from otel_dify.operations.decision import NOT_SAMPLED, SAMPLED, Decision
from otel_dify.operations.span import OperationSpan
from otel_dify.sampling.probability import randomness_of
from otel_dify.sampling.rates import Rates

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    from otel_dify.operations.operation import Operation

CARRIES_ON = frozenset({SpanKind.CLIENT, SpanKind.PRODUCER})
"""Kinds of spans whose context goes to another process."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """How a process decides.

    Attributes:
        rates: which part of what is kept.
        drops: whether this process drops; else it announces the rate, and the Collector does.
        follows: whether it follows what a caller from outside has decided.
    """

    rates: Rates
    drops: bool = True
    follows: bool = True

    def begin(self, above: SpanContext, trace_id: int, *, ours: bool) -> Decision | None:
        """Begin to decide on a trace; none where there is nothing to decide.

        Args:
            above: the span above, of another process; invalid where the trace begins here.
            trace_id: the trace.
            ours: whether the trace comes from another process of Dify's.
        """
        if self.rates.all_kept:
            return None
        made = Decision(randomness_of(trace_id), above.trace_state, drops=self.drops)
        follows = above.is_valid and (self.follows or ours)
        if follows and not made.follow(sampled=above.trace_flags.sampled) and ours:
            made.leave()
        return made

    def undecided(self, above: SpanContext, *, ours: bool) -> tuple[TraceFlags, TraceState]:
        """Return flags and state of a span where there is nothing to decide.

        Args:
            above: the span above; invalid where there is none.
            ours: whether it is of Dify's, in this process or in another.
        """
        as_above = above.is_valid and (self.follows or ours)
        kept = above.trace_flags.sampled if as_above else True
        return SAMPLED if kept else NOT_SAMPLED, above.trace_state


class Identities:
    """Gives operations the contexts of their spans, and has it decided whether they are sampled.

    Args:
        decisions: how this process decides on traces.
        ids: makes ids.
        resource: the resource of this process's spans, which tells them from other providers'.
    """

    def __init__(self, decisions: Decisions, ids: IdGenerator, resource: Resource) -> None:
        self._decisions = decisions
        self._ids = ids
        self._resource = resource

    def above(self, operation: Operation) -> SpanContext:
        """Return the context of the span above an operation's own.

        A span of another provider (Dify's own, with ``ENABLE_OTEL=true``) goes elsewhere, and what
        it encloses would have no parent here: its parent is the span of the operation around both.
        """
        span = trace.get_current_span(operation.parent_context)
        if isinstance(span, OperationSpan):
            return span.operation.span_context
        if operation.parent is not None and operation.parent.span_context.is_valid:
            # What the SDK makes has the resource of its provider.
            resource = getattr(span, "resource", None)
            if resource is not None and resource is not self._resource:
                return operation.parent.span_context
        return span.get_span_context()

    def new(self, operation: Operation, above: SpanContext) -> SpanContext:
        """Make the context of an operation's span, and give the operation its trace's decision.

        Args:
            operation: the operation.
            above: what ``above`` says of it.
        """
        span_id = self._ids.generate_span_id()
        trace_id = above.trace_id if above.is_valid else self._ids.generate_trace_id()
        if above.is_valid and not above.is_remote:
            decision = _of_parent(operation, trace_id)
            flags, state = above.trace_flags, above.trace_state
        else:
            ours = operation.kind.span_kind is SpanKind.CONSUMER
            decision = self._decisions.begin(above, trace_id, ours=ours)
            flags, state = self._decisions.undecided(above, ours=ours)
        if decision is not None:
            flags, state = decision.flags, decision.state
            operation.decision = decision
        return SpanContext(trace_id, span_id, False, flags, state)

    def consider(self, operation: Operation, decision: Decision, *, last: bool) -> bool:
        """Decide on an operation's trace, if it can be; tell whether it has been decided now.

        Args:
            operation: one that has just begun or ended.
            decision: its trace's, which is open.
            last: whether it has to be.
        """
        app, source = _known(operation, t.APP_ID), _known(operation, t.INVOKE_FROM)
        if last or decision.full:
            decision.settle(self._decisions.rates.threshold(app, source))
            return True
        return decision.consider(self._decisions.rates.possible(app, source))


def _of_parent(operation: Operation, trace_id: int) -> Decision | None:
    """Return the decision of the operation around one; one that begins apart has another trace."""
    parent = operation.parent
    if parent is None or parent.decision is None or parent.span_context.trace_id != trace_id:
        return None
    return parent.decision


def _known(operation: Operation, attribute: t.Attribute) -> str | None:
    """Find what is known of a trace, from an operation on to the first of its trace."""
    found = operation.get(attribute)
    above = operation.parent
    while not found and above is not None and above.decision is operation.decision:
        found = above.get(attribute)
        above = above.parent
    return str(found) if found else None
