"""Limiting: which operations of a very large run have no span, and what is said of them instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.operations.allowance import Allowance, may_have_span
from otel_dify.process import process

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_dify.operations.operation import Operation
    from otel_dify.records.sampling import Identities


@dataclass(frozen=True, slots=True)
class Limits:
    """When an operation has no span; metrics are not asked.

    Attributes:
        slow_ms: milliseconds from which on what folds has one all the same.
        spans: spans of a run, from which on the rest is left out; 0: any number.
        logs: Python's log records of a run, likewise.
    """

    slow_ms: int
    spans: int
    logs: int


class Limiting:
    """Holds runs and tasks to the limits (``otel_dify.operations.allowance``).

    Args:
        identities: gives operations the contexts of their spans.
        limits: the limits.
    """

    def __init__(self, identities: Identities, limits: Limits) -> None:
        self._identities = identities
        self._limits = limits

    def lets_in(self, operation: Operation, above: SpanContext) -> bool:
        """Tell whether an operation that begins has a span; else it counts where it lies.

        Args:
            operation: the operation.
            above: context of the span above its own.
        """
        kind, parent = operation.kind, operation.parent
        if kind.limited and (operation.allowance is None or operation.allowance.kind is not kind):
            operation.allowance = Allowance(kind, self._limits.spans, self._limits.logs)
            return True
        if not above.is_valid or has_room(operation):
            return True
        operation.left_out = True
        operation.span_context = above
        if parent is not None:
            operation.folded = parent.folding()
        return False

    def has_span(self, operation: Operation) -> bool:
        """Tell whether an operation that ends has a span, as one that was left out and failed may.

        Where there have been too many of these as well it is counted, and what it holds let go of.
        """
        allowance = operation.allowance
        if not operation.left_out:
            return True
        if allowance is None:
            return False
        with process.counting:
            if not operation.left_out:
                # A failure in it has just brought it, on another thread.
                return True
            elapsed_ns = operation.end_ns - operation.start_ns
            if not allowance.leaves_out(
                operation.folding(), operation.kind.name, elapsed_ns, has_failed=operation.failed
            ):
                self._bring(operation)
                return True
        operation.content.clear()
        return False

    def _bring(self, operation: Operation) -> None:
        """Give an operation a span, and before it those around it that are open: its place."""
        if not operation.left_out:
            return
        parent = operation.parent
        if parent is not None and parent.left_out and not parent.end_ns:
            self._bring(parent)
        above = self._identities.above(operation)
        operation.span_context = self._identities.new(operation, above)
        operation.left_out, operation.folded = False, None


def has_room(operation: Operation) -> bool:
    """Ask for the span of an operation where it lies."""
    parent = operation.parent
    return parent is None or may_have_span(parent, operation.kind.share)


def say_what_is_missing(operation: Operation) -> None:
    """Have the operation that an allowance is of say what was left out."""
    own, parent = operation.allowance, operation.parent
    if own is None or not operation.kind.limited:
        return
    of_another = parent is not None and parent.allowance is own
    if not of_another and (own.spans_left_out or own.logs_left_out):
        operation.attributes[t.LEFT_OUT_SPANS.key] = own.spans_left_out
        operation.attributes[t.LEFT_OUT_LOGS.key] = own.logs_left_out
