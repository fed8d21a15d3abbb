"""Recovery: the records of what a process has begun and was killed before it could end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState

from otel_dify import table as t
from otel_dify.export.journal.opened import Begun
from otel_dify.operations.errors import category_of, fingerprint_of
from otel_dify.records.plan import PLANS
from otel_dify.records.record import Record

if TYPE_CHECKING:
    from otel_dify.cleaning.values import Value
    from otel_dify.operations.operation import Operation

TERMINATED = "terminated"
"""Status of what its process never ended."""
_ERROR = "process_terminated"
_MESSAGE = "process terminated: it was killed, or ended, before this had ended"
_PLANS = {kind.name: plan for kind, plan in PLANS.items() if kind.recovered}


def begun_of(operation: Operation, above: SpanContext) -> Begun:
    """Say of an operation that has just been started what its record needs.

    Args:
        operation: the operation.
        above: context of the span above its own; invalid where there is none.
    """
    span = operation.span_context
    return Begun(
        operation.kind.name,
        span.trace_id,
        span.span_id,
        int(span.trace_flags),
        span.trace_state.to_header() if span.trace_state else "",
        above.trace_id,
        above.span_id,
        above.is_remote,
        operation.start_ns,
        operation.span_name,
        operation.attributes,
    )


def span_of(one: Begun) -> tuple[str, SpanKind]:
    """Return name and kind of the span of what a process has begun."""
    plan = _PLANS.get(one.kind)
    if plan is None:  # of another version
        return one.span_name or one.kind, SpanKind.INTERNAL
    filled = plan.span_name.fill(one.attributes).strip()
    return one.span_name or filled or plan.kind.name, plan.kind.span_kind


def record_of(one: Begun, end_ns: int) -> Record | None:
    """Make the record of what a dead process has begun; none of a kind that is not known here.

    Args:
        one: what it has begun.
        end_ns: its last sign of life, nanoseconds since the epoch.
    """
    plan = _PLANS.get(one.kind)
    if plan is None:  # of another version
        return None
    attributes: dict[str, Value] = dict(one.attributes)
    if plan.kind.status is not None:
        attributes[plan.kind.status.key] = TERMINATED
    attributes[t.ERROR_TYPE.key] = _ERROR
    attributes[t.ERROR_MESSAGE.key] = _MESSAGE
    attributes[t.ERROR_CATEGORY.key] = category_of(_ERROR)
    attributes[t.ERROR_FINGERPRINT.key] = fingerprint_of(None, _ERROR, _MESSAGE)
    state = TraceState.from_header([one.state]) if one.state else None
    return Record(
        plan,
        span_of(one)[0],
        SpanContext(one.trace_id, one.span_id, False, TraceFlags(one.flags), state),
        SpanContext(one.above_trace_id, one.above_id, one.above_remote, TraceFlags(one.flags)),
        one.start_ns,
        max(end_ns, one.start_ns),
        attributes,
        {},
        {},
        (),
        (),
        True,
        "",
    )
