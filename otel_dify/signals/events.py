"""Log events: the writer that makes a structured event of a record.

Runs and nodes may have one for their start as well: what has begun and not ended is what hangs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry._logs import SeverityNumber

from otel_dify import table as t
from otel_dify.records.plan import PLANS

if TYPE_CHECKING:
    from otel_dify.cleaning.values import Value
    from otel_dify.operations.operation import Operation
    from otel_dify.records.record import Record
    from otel_dify.signals.logs import LogWriter

# Outcome to what a sentence says of it, and the word before its seconds.
_OUTCOMES = {
    "exception": ("recovered from a failure", "in"),
    "partial-succeeded": ("partly succeeded", "in"),
    "paused": ("paused", "after"),
    "stopped": ("was stopped", "after"),
    "RETRY": ("is to be retried, it failed", "in"),
    "REVOKED": ("was revoked", "after"),
    "REJECTED": ("was rejected", "after"),
    "IGNORED": ("was ignored", "after"),
}


class EventWriter:
    """Writes records as log events.

    Args:
        logs: writes log records.
        starts: whether starts are events as well.

    Attributes:
        starts: the same.
    """

    def __init__(self, logs: LogWriter, *, starts: bool) -> None:
        self.starts = starts
        self._logs = logs

    def started(self, operation: Operation) -> None:
        """Write the event of a start, which the kind's row names."""
        kind = operation.kind
        subject = PLANS[kind].subject.fill(operation.attributes)
        attributes = dict(operation.attributes)
        attributes[t.EVENT_NAME.key] = kind.start_event
        self._logs.write(
            operation.start_ns,
            operation.span_context,
            SeverityNumber.INFO,
            "INFO",
            f"{subject} started",
            attributes,
            kind.start_event,
        )

    def ended(self, record: Record) -> None:
        """Write the event of an end, which the kind's row names."""
        name = record.plan.kind.event
        attributes = {**record.attributes, **record.in_event}
        attributes[t.ELAPSED.key] = record.seconds
        if record.stack:
            attributes[t.STACK_TRACE.key] = record.stack
        attributes[t.EVENT_NAME.key] = name
        severity = _severity(record)
        self._logs.write(
            record.end_ns,
            record.span,
            severity,
            severity.name,
            sentence(record, attributes),
            attributes,
            name,
        )


def _severity(record: Record) -> SeverityNumber:
    """What has recovered from a failure is worth a warning."""
    if record.failed:
        return SeverityNumber.ERROR
    status = record.plan.kind.status
    recovered = status is not None and record.attributes.get(status.key) == "exception"
    return SeverityNumber.WARN if recovered else SeverityNumber.INFO


def sentence(record: Record, known: Mapping[str, Value]) -> str:
    """Say what happened, for who reads the log: subject, outcome, seconds, cause.

    Args:
        record: what happened.
        known: its attributes as they are told.
    """
    plan = record.plan
    kind = plan.kind
    status = known.get(kind.status.key) if kind.status else None
    outcome, before = _OUTCOMES.get(str(status), ("", "in"))
    if not outcome:
        pattern, plain = (plan.failed, "failed") if record.failed else (plan.done, "succeeded")
        outcome = pattern.fill(known) if pattern.fits(known) else plain
    took = "" if kind.at_once and not record.failed else f" {before} {record.seconds:.3f} s"
    also = next((pattern.fill(known) for pattern in plan.also if pattern.fits(known)), "")
    message = known.get(t.ERROR_MESSAGE.key)
    cause = f": {message}" if message else ""
    return f"{plan.subject.fill(known)} {outcome}{took}{also}{cause}"
