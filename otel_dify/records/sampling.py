"""Identities: the span context that an operation gets when it starts, sampled or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanContext, TraceFlags

from otel_dify.operations.span import OperationSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.sdk.trace.sampling import Sampler

    from otel_dify.operations.operation import Operation

_SAMPLED, _NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)


class Identities:
    """Gives operations the contexts of their spans.

    The sampler is asked where a trace begins in this process. All samplers that can be named
    decide by the trace id and the caller's decision, so what lies below has the same answer.

    Args:
        sampler: decides on traces.
        ids: makes ids.
        resource: the resource of this process's spans, which tells them from other providers'.
    """

    def __init__(self, sampler: Sampler, ids: IdGenerator, resource: Resource) -> None:
        self._sampler = sampler
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
        """Make the context of an operation's span.

        Args:
            operation: the operation.
            above: what ``above`` says of it.
        """
        span_id = self._ids.generate_span_id()
        if above.is_valid and not above.is_remote:
            return SpanContext(
                above.trace_id,
                span_id,
                False,
                above.trace_flags,
                above.trace_state,
            )
        trace_id = above.trace_id if above.is_valid else self._ids.generate_trace_id()
        decided = self._sampler.should_sample(
            operation.parent_context,
            trace_id,
            operation.kind.name,
            operation.kind.span_kind,
            operation.attributes,
            operation.links,
        )
        flags = _SAMPLED if decided.decision is Decision.RECORD_AND_SAMPLE else _NOT_SAMPLED
        return SpanContext(trace_id, span_id, False, flags, decided.trace_state)
