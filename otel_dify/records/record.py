"""The record of an operation that ended: clean, complete, and changed by nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cleaning.statement import without_values
from otel_dify.cleaning.text import clean
from otel_dify.operations.errors import stack_of
from otel_dify.records.plan import PLANS, Plan

if TYPE_CHECKING:
    from opentelemetry.trace import Link, SpanContext

    from otel_dify.cleaning.content import ContentGate
    from otel_dify.cleaning.known_content import KnownContent
    from otel_dify.cleaning.values import Value
    from otel_dify.operations.folded import Folded
    from otel_dify.operations.operation import Happening, Operation


@dataclass(frozen=True, slots=True)
class Record:
    """What an operation has come to.

    Attributes:
        plan: its kind's plan.
        name: name of its span.
        span: context of its span, or of the span above where it has none of its own.
        above: context of the span above; invalid where there is none.
        start_ns: start, nanoseconds since the epoch.
        end_ns: end, likewise.
        attributes: by name, content not.
        in_span: content, or references to it, for the span; and texts that quote it, without it.
        in_event: the same for the log event.
        happenings: what becomes span events.
        links: spans that led to it without being its parent.
        failed: whether it failed.
        stack: stack trace of the failure; empty where no exception was the cause.
    """

    plan: Plan
    name: str
    span: SpanContext
    above: SpanContext
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    in_span: Mapping[str, Value]
    in_event: Mapping[str, Value]
    happenings: Sequence[Happening]
    links: Sequence[Link]
    failed: bool
    stack: str

    @property
    def seconds(self) -> float:
        """Seconds from start to end; a clock set back counts as 0."""
        return max(self.end_ns - self.start_ns, 0) / 1e9


def record_of(operation: Operation, above: SpanContext, gate: ContentGate) -> Record:
    """Make the record of an operation that has ended.

    Args:
        operation: the operation.
        above: context of the span above its own.
        gate: what of its content goes into which signal.
    """
    plan = PLANS[operation.kind]
    # A copy: what lies below may be hoisting its ids from another thread.
    attributes = dict(operation.attributes)
    happenings: Sequence[Happening] = operation.events
    # What goes into the span alone is not made where there will be none.
    sampled = operation.span_context.trace_flags.sampled
    if operation.folded is not None and not operation.left_out:
        _write_folded(operation.folded, attributes)
        if sampled:
            happenings = [*happenings, *_repeated(operation.folded, operation.end_ns)]
    in_span, in_event = gate.values(operation.content, attributes, sampled=sampled)
    known = operation.known
    span_texts, event_texts = gate.unquoted(_quoting(attributes), known)
    stack = clean(stack_of(operation.error)) if operation.error is not None else ""
    if known is not None:
        if not gate.span:
            happenings = [_unquoted(one, known) for one in happenings]
        if not gate.event and stack:
            stack = known.without(stack)
    return Record(
        plan,
        operation.span_name or plan.span_name.fill(attributes).strip() or plan.kind.name,
        operation.span_context,
        above,
        operation.start_ns,
        operation.end_ns,
        attributes,
        in_span | span_texts if span_texts else in_span,
        in_event | event_texts if event_texts else in_event,
        happenings,
        operation.links,
        t.ERROR_TYPE.key in attributes,
        stack,
    )


# What is sure to quote nothing: of the table's attributes most, of other people's none.
_PLAIN = frozenset(attribute.key for attribute in t.ATTRIBUTES if not attribute.quotes)
# Where there is a pattern for a path, nothing in it was written by users.
_ADDRESSES = {t.URL_FULL.key: t.URL_TEMPLATE.key, t.URL_PATH.key: t.HTTP_ROUTE.key}


def _quoting(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Find the texts that may quote content; few operations have one."""
    return {
        key: value
        for key, value in attributes.items()
        if key not in _PLAIN and isinstance(value, str) and _ADDRESSES.get(key) not in attributes
    }


def _unquoted(happening: Happening, known: KnownContent) -> Happening:
    """Return a happening without the content that its texts quote."""
    name, at_ns, attributes = happening
    texts = {
        key: known.without(value) if isinstance(value, str) else value
        for key, value in attributes.items()
    }
    return name, at_ns, texts


def _write_folded(folded: Folded, attributes: dict[str, Value]) -> None:
    """Write the sums of what has no span."""
    for kind, sums in list(folded.left_out.items()):
        for attribute, value in (
            (t.LEFT_OUT_OF, sums.number),
            (t.LEFT_OUT_FAILED_OF, sums.failed),
            (t.LEFT_OUT_TIME_OF, sums.elapsed_ns / 1e9),
            (t.LEFT_OUT_SLOWEST_OF, sums.slowest_ns / 1e9),
        ):
            attributes[attribute.key.replace("<kind>", kind.replace(" ", "_"))] = value
    if not folded.systems:
        return
    total = total_ns = 0
    for system, (number, elapsed_ns) in list(folded.systems.items()):
        total += number
        total_ns += elapsed_ns
        attributes[t.DB_QUERIES_OF.key.replace("<system>", system)] = number
        attributes[t.DB_TIME_OF.key.replace("<system>", system)] = elapsed_ns / 1e9
    attributes[t.DB_QUERIES.key] = total
    attributes[t.DB_TIME.key] = total_ns / 1e9
    attributes[t.DB_SLOWEST.key] = folded.slowest_ns / 1e9


def _repeated(folded: Folded, at_ns: int) -> Sequence[Happening]:
    """Say once of a statement that came many times how often it did, and how long it took."""
    return [
        (
            t.REPEATED,
            at_ns,
            {
                t.DB_STATEMENT.key: without_values(statement),
                t.DB_QUERIES.key: number,
                t.DB_TIME.key: elapsed_ns / 1e9,
            },
        )
        for statement, number, elapsed_ns in folded.repeated()
    ]
