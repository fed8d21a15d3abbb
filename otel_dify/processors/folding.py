"""Folding: fast queries are counted on the operation that made them and get no span.

On a real Dify 95 % of all spans are queries, most of them without a parent; they are nearly the
whole cost of tracing, and nobody looks at them. Their metrics are recorded all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace

if TYPE_CHECKING:
    from otel_dify.operations.operation import Operation


def folds(operation: Operation, *, slow_ns: int) -> bool:
    """Tell whether an ended operation of a folding kind gets no span.

    Args:
        operation: the ended operation.
        slow_ns: from this duration on it gets one, provided that it has a parent.
    """
    if not operation.kind.folds:
        return False
    above = trace.get_current_span(operation.parent_context).get_span_context()
    if not above.is_valid:
        return True
    return not operation.failed and operation.end_ns - operation.start_ns < slow_ns
