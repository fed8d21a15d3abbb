"""What failed in a trace, and where: said before anything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cli.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_dify.cli.records import Span
    from otel_dify.cli.traces import Trace

# Spans of these names differ by their index only.
_COUNTED = (t.ITEM.span_name, t.PASS.span_name)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure.

    Attributes:
        span: what failed: a node where there is one.
        place: names of what it lies in below the run, the outermost first.
        why: type and message of the error.
        recovered: whether the run went on: by a fail branch, a default value or another attempt.
    """

    span: Span
    place: tuple[str, ...]
    why: str
    recovered: bool


def name_of(span: Span) -> str:
    """Name a span, with its number where it is one item or pass of many."""
    index = span.attributes.get(t.INDEX.key)
    return f"{span.name} {index}" if index is not None and span.name in _COUNTED else span.name


def why(span: Span) -> str:
    """Say why a span failed, or what it recovered from; empty where neither."""
    kind = span.text(t.ERROR_TYPE.key) or span.text(t.NODE_RECOVERED.key)
    message = span.text(t.ERROR_MESSAGE.key) or span.message
    if not span.failed and not span.text(t.NODE_RECOVERED.key):
        return ""
    return ": ".join(filter(None, (kind, message))) or "failed"


def failures(trace: Trace) -> list[Failure]:
    """Find what failed, those that ended the run first.

    Of nodes the innermost (an iteration fails by what is in it); where no node failed, the
    innermost operations. What failed below a node that did not is left out: it was tried again.
    """
    parents = {row.span.span_id: row.parent for row in trace.rows()}
    nodes = [span for span in trace.spans if kind_of(span) is t.NODE]
    failed = _innermost((span for span in nodes if span.failed), parents)
    failed = failed or _innermost((span for span in trace.spans if span.failed), parents)
    recovered = [span for span in nodes if span.text(t.NODE_RECOVERED.key) and not span.failed]
    if not any(one.failed for one in _tops(trace, parents)):
        # The run succeeded: whatever failed in it did not end it.
        recovered, failed = [*recovered, *failed], []
    return [
        Failure(span, _place(span, parents), why(span), span in recovered)
        for span in (*failed, *recovered)
    ]


def _tops(trace: Trace, parents: Mapping[str, Span | None]) -> list[Span]:
    """Return what tells how all went: the runs, or else what lies below nothing."""
    runs = [span for span in trace.spans if kind_of(span) is t.RUN]
    return runs or [span for span in trace.spans if parents[span.span_id] is None]


def _innermost(spans: Iterable[Span], parents: Mapping[str, Span | None]) -> list[Span]:
    """Leave out those that another one of them lies below."""
    found: Sequence[Span] = list(spans)
    outer: set[str] = set()
    for span in found:
        above = parents[span.span_id]
        while above is not None and above.span_id not in outer:
            outer.add(above.span_id)
            above = parents[above.span_id]
    return [span for span in found if span.span_id not in outer]


def _place(span: Span, parents: Mapping[str, Span | None]) -> tuple[str, ...]:
    names: list[str] = []
    above = parents[span.span_id]
    while above is not None:
        names.append(name_of(above))
        if kind_of(above) is t.RUN:
            break
        above = parents[above.span_id]
    return tuple(reversed(names))
