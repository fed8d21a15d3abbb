"""Allowances: how many spans and log records there may be below one run, and what was left out.

An iteration of ten thousand items makes fifty thousand spans. Nobody reads them, Jaeger's page does
not open them, and a backend that holds whole traces in memory drops the trace. So a run has as many
as its allowance says; beyond it what happens is counted where it happens, metrics go on as before,
and the run says at its end what was left out.

What is left out is left out whole: an item or pass with everything in it, so that no trace has half
an item. Failures are let in beyond the limit, within a limit of their own.
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING

from otel_dify.process import process

if TYPE_CHECKING:
    from otel_dify.operations.folded import Folded
    from otel_dify.operations.operation import Operation
    from otel_dify.table.kind import Kind

FAILURES = 0.1
"""Failures that get a span beyond the limit, as a share of it; each brings what is around it."""


class Allowance:
    """What there may be below one operation.

    Attributes:
        kind: the kind of that operation.
        spans_left_out: operations that have no span because there were too many.
        logs_left_out: Python's log records that were not sent, for the same reason.

    Args:
        kind: the same.
        spans: spans that items and passes, with what lies in them, may bring it to; all else as
            many again. 0: any number.
        logs: Python's log records below WARNING, and as many again of warnings and errors.
            0: any number.
    """

    __slots__ = (
        "_alarms",
        "_failures",
        "_lines",
        "_logs",
        "_most",
        "_spans",
        "kind",
        "logs_left_out",
        "spans_left_out",
    )

    def __init__(self, kind: Kind, spans: int, logs: int) -> None:
        self.kind = kind
        self.spans_left_out = self.logs_left_out = 0
        self._most = spans or inf
        self._logs = logs or inf
        self._spans = self._failures = self._lines = self._alarms = 0

    def span(self, share: float) -> bool:
        """Ask for a span of what begins; tell whether it may have one.

        Args:
            share: how often the limit may have been reached before (``Kind.share``).
        """
        with process.counting:
            if self._spans >= self._most * share:
                return False
            self._spans += 1
            return True

    def leaves_out(self, folded: Folded, kind: str, elapsed_ns: int, *, has_failed: bool) -> bool:
        """Tell whether something for which there is no room has no span; then it is counted.

        Args:
            folded: where it is counted.
            kind: what it is counted as.
            elapsed_ns: what it took, nanoseconds.
            has_failed: whether it failed: of these some more have one.
        """
        with process.counting:
            if has_failed and self._failures < self._most * FAILURES:
                self._failures += 1
                return False
            folded.leave_out(kind, elapsed_ns, has_failed=has_failed)
            self.spans_left_out += 1
            return True

    def log(self, level: int) -> bool:
        """Ask to send a log record of Python's; tell whether it may be.

        Args:
            level: its level in Python's numbers.
        """
        with process.counting:
            if level >= logging.WARNING:
                self._alarms += 1
                taken = self._alarms <= self._logs
            else:
                self._lines += 1
                taken = self._lines <= self._logs
            if not taken:
                self.logs_left_out += 1
            return taken


def may_have_span(within: Operation, share: float) -> bool:
    """Ask for a span of what lies right in an operation: where that has none, this has none.

    Args:
        within: the operation.
        share: how often the limit may have been reached before (``Kind.share``).
    """
    return not within.left_out and (within.allowance is None or within.allowance.span(share))
