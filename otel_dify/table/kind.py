"""A kind of operation: one row of the table."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import Attribute
from otel_dify.table.instrument import Recording


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of operation.

    Attributes:
        name: how tables and docs call it.
        doc: what one operation of it is.
        span_name: name of its span; ``{key}`` stands for the value of an attribute and is left
            out where it has none.
        span_kind: kind of its span.
        below: the kinds it nests under.
        attributes: what it carries besides what it inherits.
        status: the attribute that holds its outcome, if it has one.
        recordings: the metric points it makes when it ends.
        event: name of the log event it emits when it ends; empty: none.
        start_event: name of the log event it emits when it starts; empty: none.
        subject: the operation in a sentence, as the event's body begins.
        done: what the sentence says of one that succeeded; one that waits or was stopped, and
            others whose outcome has a name, are told by that.
        failed: what it says of one that failed. Where a value is missing, "failed" stands for it.
        also: what it says then of what lies below, the first whose values are known.
        at_once: whether it takes no time worth telling.
        told: outcomes of what lies below that it has as well.
        hoists: whether what operations below it learn (run id, app) is written on it too.
        recovered: whether one that its process never ended is ended by another.
        folds: whether a fast and successful one gets no span.
        folded: what the operation above such a one gets instead: their number, their seconds and
            those of the slowest.
        limited: whether there is a limit to the spans and log records below one.
        share: how often the spans below that one may have come to the limit before one of this
            kind, and what lies in it, gets none.
    """

    name: str
    doc: str
    span_name: str
    span_kind: SpanKind
    below: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    recordings: tuple[Recording, ...] = ()
    status: Attribute | None = None
    event: str = ""
    start_event: str = ""
    subject: str = ""
    done: str = "succeeded"
    failed: str = "failed"
    also: tuple[str, ...] = ()
    at_once: bool = False
    told: tuple[Attribute, ...] = ()
    hoists: bool = False
    recovered: bool = False
    folds: bool = False
    folded: tuple[Attribute, ...] = ()
    limited: bool = False
    share: float = 2

    # A kind is a key of plans; one is made once and never copied.
    def __hash__(self) -> int:
        return id(self)


def happening(
    name: str,
    doc: str,
    event: str,
    *recordings: Recording,
    sentence: tuple[str, str],
    below: tuple[str, ...] = ("request",),
    attributes: tuple[Attribute, ...] = (),
) -> Kind:
    """Make the row of something that happens at once.

    Args:
        name: its name, and that of its span.
        doc: what it is.
        event: name of its log event.
        recordings: the metric points it makes.
        sentence: whom it happens to, and what does.
        below: the kinds it nests under.
        attributes: what it carries besides what it inherits.
    """
    subject, done = sentence
    return Kind(
        name=name,
        doc=doc,
        span_name=name,
        span_kind=SpanKind.INTERNAL,
        below=below,
        attributes=attributes,
        recordings=recordings,
        event=event,
        subject=subject,
        done=done,
        at_once=True,
    )
