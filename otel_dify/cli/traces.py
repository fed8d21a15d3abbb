"""Spans into traces: grouped, put into a tree, found by run or trace id."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_dify import table as t

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_dify.cli.records import Log, Point, Process, Span


@dataclass(frozen=True, slots=True)
class Row:
    """One span in the order of the tree.

    Attributes:
        parent: the span it stands below; none for a root.
        lines: tree lines that lead to it, such as ``│  ├─ ``; empty for a root.
        below: tree lines for what is written under it.
        stray: why a span that has a parent stands at the top; empty for all others.
        moved: whether it ran in another process than its parent.
    """

    span: Span
    parent: Span | None
    lines: str
    below: str
    stray: str
    moved: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of one trace, by start; at least one."""

    id: str
    spans: tuple[Span, ...]

    @property
    def start_ns(self) -> int:
        """Start of the first span."""
        return self.spans[0].start_ns

    @property
    def end_ns(self) -> int:
        """End of the last span."""
        return max(max(s.end_ns, s.start_ns) for s in self.spans)

    @property
    def runs(self) -> tuple[str, ...]:
        """Workflow run ids in it, in order of appearance."""
        return self._values(t.RUN_ID)

    @property
    def messages(self) -> tuple[str, ...]:
        """Message ids in it, in order of appearance."""
        return self._values(t.MESSAGE_ID)

    def _values(self, of: t.Attribute) -> tuple[str, ...]:
        found = (s.text(of.key) for s in self.spans)
        return tuple(dict.fromkeys(value for value in found if value))

    @property
    def processes(self) -> tuple[Process, ...]:
        """Processes that took part, in order of appearance."""
        return tuple(dict.fromkeys(s.process for s in self.spans))

    @property
    def failed(self) -> int:
        """Number of failed spans."""
        return sum(s.failed for s in self.spans)

    @property
    def status(self) -> str:
        """How the outermost run ended, in Dify's words; without a run, how the first span did.

        A run that goes on, or whose process was killed a moment ago, has ``not ended``.
        """
        for span in self.spans:
            if status := span.text(t.RUN_STATUS.key):
                return status
        first = self.spans[0]
        if first.failed:
            return "failed"
        return "succeeded" if first.end_ns else "not ended"

    @property
    def title(self) -> str:
        """Name of the app, or else of the first span."""
        names = (s.text(t.APP_NAME.key) for s in self.spans)
        return next(filter(None, names), self.spans[0].name)

    def tokens(self) -> tuple[int, int]:
        """Add up the input and the output tokens of the model calls."""
        return (
            int(sum(s.number(t.INPUT_TOKENS.key) for s in self.spans)),
            int(sum(s.number(t.OUTPUT_TOKENS.key) for s in self.spans)),
        )

    def cost(self) -> dict[str, float]:
        """Add up the price of the model calls, by currency."""
        prices: dict[str, float] = defaultdict(float)
        for span in self.spans:
            if t.CALL_PRICE.key in span.attributes:
                prices[span.text(t.CALL_CURRENCY.key)] += span.number(t.CALL_PRICE.key)
        return dict(prices)

    def rows(self) -> Iterator[Row]:
        """Walk the tree, parents first, siblings by start.

        Spans whose parent is not in the data stand beside the roots. Spans that are each other's
        parents (broken data) are shown once, from the earliest.
        """
        known = {s.span_id: s for s in self.spans}
        children: dict[str, list[Span]] = defaultdict(list)
        tops: list[Span] = []
        for span in self.spans:
            (children[span.parent_id] if span.parent_id in known else tops).append(span)
        seen: set[str] = set()
        for top in (*tops, *self.spans):
            if top.span_id not in seen:
                yield from _walk(top, known, children, seen)


def _walk(
    top: Span, known: dict[str, Span], children: dict[str, list[Span]], seen: set[str]
) -> Iterator[Row]:
    stack = [(top, "", "")]
    while stack:
        span, lines, below = stack.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        parent = known.get(span.parent_id)
        under = children[span.span_id]
        yield Row(
            span=span,
            parent=None if span is top else parent,
            lines=lines,
            below=below + ("│  " if under else "   "),
            stray=_stray(span, known) if span is top else "",
            moved=parent is None or parent.process != span.process,
        )
        for place, child in enumerate(reversed(under)):
            last = place == 0
            stack.append(
                (child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))
            )


def _stray(span: Span, known: dict[str, Span]) -> str:
    if not span.parent_id:
        return ""
    where = "is below it" if span.parent_id in known else "is not in the data"
    return f"its parent {span.parent_id} {where}"


def group(spans: Iterable[Span]) -> list[Trace]:
    """Put spans into traces, the latest trace last; a span that was written twice counts once."""
    traces: dict[str, dict[str, Span]] = defaultdict(dict)
    for span in spans:
        traces[span.trace_id][span.span_id] = span
    grouped = [
        Trace(trace_id, tuple(sorted(found.values(), key=lambda s: s.start_ns)))
        for trace_id, found in traces.items()
    ]
    return sorted(grouped, key=lambda t: t.start_ns)


def of_run(traces: Sequence[Trace], run_id: str) -> list[Trace]:
    """Find the traces of a run; a run that was paused and resumed has several."""
    return [trace for trace in traces if run_id.lower() in trace.runs]


def of_id(traces: Sequence[Trace], trace_id: str) -> list[Trace]:
    """Find the trace with an id."""
    return [trace for trace in traces if trace.id == trace_id.lower().replace("-", "")]


def logs_of(traces: Sequence[Trace], logs: Iterable[Log]) -> list[Log]:
    """Find the log records of traces: by trace id, or by run id where a record has no trace."""
    ids = {trace.id for trace in traces}
    runs = {run for trace in traces for run in trace.runs}
    return [
        log
        for log in logs
        if log.trace_id in ids or (not log.trace_id and log.attributes.get(t.RUN_ID.key) in runs)
    ]


def points_of(traces: Sequence[Trace], points: Iterable[Point]) -> list[Point]:
    """Leave out metric points that traces cannot have moved: of other processes or other apps."""
    processes = {process for trace in traces for process in trace.processes}
    apps = {s.text(t.APP_ID.key) for trace in traces for s in trace.spans}
    return [
        point
        for point in points
        if point.process in processes
        and all(value in apps for key, value in point.attributes if key == "app_id")
    ]
